/* The ledger, the one part of a result that grows with the data: written by all ranks together. */
#include "base/units.h"
#include "comm/comm.h"
#include "result/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LEDGER_CHUNK  8192
#define LEDGER_PIECE  (1LL << 20) /* rows of a rank in one collective write: 40 MiB */
#define LEDGER_MARGIN (1LL << 20) /* bytes for HDF5's own structures */

/* A file that could not be written to the end still has to be let go of. */
static int close_file(hid_t file, int rc, struct mh_error *err)
{
    if (rc == 0 && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        rc = mh_store_fail(err, "cannot be flushed");
    if (H5Fclose(file) < 0 && rc == 0)
        rc = mh_store_fail(err, "cannot be closed");
    return rc;
}

struct part {
    int64_t first, count, total; /* this rank's rows of the ledger, all ranks' rows */
    int64_t most_bytes;          /* that all ranks' rows can take in the file */
    int64_t rounds;              /* collective writes that the largest part takes */
};

/* The most the ledger can take: what gzip cannot make smaller, and chunks at the borders of pieces that are
 * written twice. */
static int64_t most_bytes(const struct part *part, int np)
{
    const int64_t rows = part->total * (int64_t)sizeof(struct mh_report_fate);
    const int64_t chunk = LEDGER_CHUNK * (int64_t)sizeof(struct mh_report_fate);
    return rows + rows / 64 + part->rounds * np * chunk + LEDGER_MARGIN;
}

static struct part part_of(int64_t count, MPI_Comm comm)
{
    struct part part = {.count = count, .total = count, .rounds = (count + LEDGER_PIECE - 1) / LEDGER_PIECE};
    int rank, np;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &np);
    MPI_Request request;
    MPI_Iexscan(&part.count, &part.first, 1, MPI_INT64_T, MPI_SUM, comm, &request);
    mh_comm_wait(&request);
    if (rank == 0)
        part.first = 0; /* an exclusive scan leaves it undefined there */
    mh_comm_sum_i64(comm, &part.total, 1);
    mh_comm_max_i64(comm, &part.rounds, 1);
    part.most_bytes = most_bytes(&part, np);
    return part;
}

/* A rank with nothing left still joins, with nothing selected. */
static int put_piece(hid_t dataset, hid_t type, hid_t transfer, const struct mh_report_fate *fates,
                     struct part part, int64_t round, struct mh_error *err)
{
    const int64_t done = round * LEDGER_PIECE < part.count ? round * LEDGER_PIECE : part.count;
    const int64_t left = part.count - done;
    const hsize_t count = (hsize_t)(left < LEDGER_PIECE ? left : LEDGER_PIECE);
    const hsize_t first = (hsize_t)part.first + (hsize_t)done;
    const hsize_t room = count ? count : 1;
    const hid_t memory = H5Screate_simple(1, &room, NULL);
    const hid_t space = H5Dget_space(dataset);
    if (count) {
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &count, NULL);
    } else {
        H5Sselect_none(memory);
        H5Sselect_none(space);
    }
    const struct mh_report_fate none = {0};
    const int rc = H5Dwrite(dataset, type, memory, space, transfer, count ? fates + done : &none) < 0
                       ? mh_store_fail(err, "rows")
                       : 0;
    mh_store_drop(space);
    mh_store_drop(memory);
    return rc;
}

/* After a failure the rounds go on: the other ranks are in them. */
static int put_pieces(hid_t dataset, hid_t type, const struct mh_report_fate *fates, struct part part,
                      struct mh_error *err)
{
    const hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE); /* gzip in parallel is allowed so alone */
    int rc = 0;
    for (int64_t round = 0; round < part.rounds; round++)
        rc = put_piece(dataset, type, transfer, fates, part, round, err) ? -1 : rc;
    mh_store_drop(transfer);
    return rc;
}

static int put_ledger(hid_t file, const struct mh_report_fate *fates, struct part part, struct mh_error *err)
{
    struct mh_result_layout layout; /* the struct's own: a conversion would forbid gzip in parallel */
    mh_result_in_place(mh_result_fate_fields, sizeof *fates, &layout);
    const hid_t type = mh_result_row_type(mh_result_fate_fields, &layout);
    const hid_t properties =
        part.total > LEDGER_CHUNK ? mh_store_gzip(LEDGER_CHUNK) : H5Pcreate(H5P_DATASET_CREATE);
    const hid_t dataset = mh_store_create(file, "truth/ledger", type, (hsize_t)part.total, properties);
    int rc = dataset < 0 ? mh_store_fail(err, "cannot be created") : 0;
    if (rc == 0)
        rc = mh_store_units(dataset, mh_result_fate_fields, err);
    if (rc == 0)
        rc = put_pieces(dataset, type, fates, part, err);
    mh_store_drop(dataset);
    mh_store_drop(properties);
    mh_store_drop(type);
    return rc ? mh_fail_in(err, "/truth/ledger") : 0;
}

/* HDF5's collective open hangs or crashes where a rank cannot see the file; so each looks first. */
static int can_open(const char *path, struct mh_error *err)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return close(fd);
    char host[64] = "?";
    gethostname(host, sizeof host - 1);
    return mh_fail(err, "%s: cannot be opened on %s: %s (the result's directory must be shared by all nodes)",
                   path, host, strerror(errno));
}

/* 0, or why not. Where the file system cannot reserve, it is asked how much it has. */
static int take_room(int fd, int64_t bytes)
{
    struct stat now;
    struct statvfs room;
    struct rlimit limit;
    if (fstat(fd, &now) || getrlimit(RLIMIT_FSIZE, &limit))
        return errno;
    if (limit.rlim_cur != RLIM_INFINITY && (rlim_t)(now.st_size + bytes) > limit.rlim_cur)
        return EFBIG; /* fallocate does not look there */
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, now.st_size, bytes) == 0)
        return 0;
    const int cause = errno;
    if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG)
        return ftruncate(fd, now.st_size) ? errno : cause; /* a part may have been taken */
    return fstatvfs(fd, &room) == 0 && (double)room.f_bavail * (double)room.f_frsize < (double)bytes ? ENOSPC
                                                                                                     : 0;
}

/* On a disk that fills up under it, the MPI library hangs and HDF5 crashes; so the room is taken before. */
static int reserve(const char *path, int64_t bytes, struct mh_error *err)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    const int cause = fd < 0 ? errno : take_room(fd, bytes);
    if (fd >= 0)
        close(fd);
    char text[32];
    return cause ? mh_fail(err, "cannot get %s for the ledger: %s", mh_show_bytes(bytes, text, sizeof text),
                           strerror(cause))
                 : 0;
}

static hid_t open_together(const char *path, MPI_Comm comm)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_mpio(access, comm, MPI_INFO_NULL);
    mh_store_use_checksums(access);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    mh_store_drop(access);
    return file;
}

int mh_store_ledger(const char *path, const struct mh_report_fate *fates, int64_t fate_count, MPI_Comm comm,
                    struct mh_error *err)
{
    if (mh_comm_agree(comm, can_open(path, err), err))
        return -1;
    const struct part part = part_of(fate_count, comm);
    int rank;
    MPI_Comm_rank(comm, &rank);
    if (mh_comm_agree(comm, rank == 0 ? reserve(path, part.most_bytes, err) : 0, err))
        return -1;
    const hid_t file = open_together(path, comm);
    int rc = file < 0 ? mh_store_fail(err, "cannot be opened by all ranks") : 0;
    if (mh_comm_agree(comm, rc, err))
        return -1;
    rc = close_file(file, put_ledger(file, fates, part, err), err);
    return mh_comm_agree(comm, rc, err);
}
