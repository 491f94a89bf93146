/* One result, in two steps under a temporary name: rank 0 alone writes what it alone holds, then all ranks
 * together add the ledger, the one part that grows with the data. So no rank has to repeat rank 0's metadata
 * calls with arguments that only rank 0 knows. */
#include "comm/comm.h"
#include "dataset/hdf5.h"
#include "result/fields.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LEAST_ROOM     (16LL << 20) /* bytes; many times what a small run takes */
#define MEMORY_STEP    65536u       /* the file is as long as a multiple of it */
#define MOST_IN_HEADER 60000u       /* bytes; HDF5 takes up to 65,535 with what else is there */
#define UNIT_SIZE      16
#define LEDGER_CHUNK   8192
#define LEDGER_PIECE   (1LL << 20) /* rows of a rank in one collective write: 40 MiB */
#define GZIP_LEVEL     4

static void drop(hid_t id)
{
    if (id >= 0)
        H5Idec_ref(id);
}

/* The format of HDF5 1.8, whose object headers and heaps carry checksums: in the older one a damaged byte can
 * make the library read freed memory. */
static void use_checksums(hid_t access)
{
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
}

static int fail_hdf5(struct mh_error *err, const char *what)
{
    char cause[MH_HDF5_TEXT];
    return mh_fail(err, "%s: %s", what, mh_hdf5_cause(cause));
}

/* ---- Attributes and tables of rank 0 ---- */

static int put_attribute(hid_t object, const char *name, hid_t type, hid_t space, const void *value,
                         struct mh_error *err)
{
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int rc = 0;
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0)
        rc = fail_hdf5(err, name);
    drop(attribute);
    return rc;
}

/* Of a fixed length: those of variable length lie in a heap without a checksum. */
static int put_text(hid_t object, const char *name, const char *text, struct mh_error *err)
{
    const hid_t type = mh_result_text_type(strlen(text) + 1);
    const hid_t space = H5Screate(H5S_SCALAR);
    const int rc = put_attribute(object, name, type, space, text, err);
    drop(space);
    drop(type);
    return rc;
}

static int put_number(hid_t object, const struct mh_result_field *field, const void *value,
                      struct mh_error *err)
{
    const hid_t type = mh_result_cell_type(field, field->size);
    const hid_t space = H5Screate(H5S_SCALAR);
    const int rc = put_attribute(object, field->name, type, space, value, err);
    drop(space);
    drop(type);
    return rc;
}

static int put_attributes(hid_t object, const struct mh_result_field *fields, const void *item,
                          struct mh_error *err)
{
    for (const struct mh_result_field *field = fields; field->name; field++) {
        const char *member = (const char *)item + field->offset;
        const char *text = member;
        if (field->cell == MH_CELL_OWNED)
            memcpy(&text, member, sizeof text);
        text = text ? text : "";
        const bool is_text = field->cell == MH_CELL_TEXT || field->cell == MH_CELL_OWNED;
        if (is_text ? put_text(object, field->name, text, err) : put_number(object, field, member, err))
            return -1;
    }
    return 0;
}

static int put_units(hid_t dataset, const struct mh_result_field *fields, struct mh_error *err)
{
    char units[MH_RESULT_FIELDS][UNIT_SIZE] = {{0}};
    hsize_t count = 0;
    for (; fields[count].name; count++)
        snprintf(units[count], UNIT_SIZE, "%s", fields[count].unit);
    const hid_t type = mh_result_text_type(UNIT_SIZE);
    const hid_t space = H5Screate_simple(1, &count, NULL);
    const int rc = put_attribute(dataset, "unit", type, space, units, err);
    drop(space);
    drop(type);
    return rc;
}

static hid_t gzip_layout(hsize_t chunk)
{
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(layout, 1, &chunk);
    H5Pset_shuffle(layout);
    H5Pset_deflate(layout, GZIP_LEVEL);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    return layout;
}

/* Every byte under a checksum: small tables lie in their header, which has one, and gzip has its own. */
static hid_t table_layout(hsize_t count, size_t row_size)
{
    if (count * row_size > MOST_IN_HEADER)
        return gzip_layout(MOST_IN_HEADER / row_size + 1);
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(layout, H5D_COMPACT);
    return layout;
}

/* With the groups that lead to it. */
static hid_t create_dataset(hid_t file, const char *path, hid_t type, hsize_t count, hid_t layout)
{
    const hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    const hid_t space = H5Screate_simple(1, &count, NULL);
    const hid_t dataset = H5Dcreate2(file, path, type, space, links, layout, H5P_DEFAULT);
    drop(space);
    drop(links);
    return dataset;
}

static int put_encoded(hid_t dataset, hid_t type, const struct mh_result_field *fields,
                       const struct mh_result_layout *layout, const char *rows, int64_t count,
                       size_t row_size, struct mh_error *err)
{
    char *encoded = malloc((size_t)count * layout->row_size + 1);
    if (!encoded)
        return mh_fail(err, "no memory for %lld rows", (long long)count);
    for (int64_t i = 0; i < count; i++)
        mh_result_encode(fields, layout, rows + (size_t)i * row_size, encoded + (size_t)i * layout->row_size);
    int rc = 0;
    if (count > 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, encoded) < 0)
        rc = fail_hdf5(err, "rows");
    free(encoded);
    return rc;
}

/* `attributes`, when not NULL, are put on it, from `item`. */
static int put_rows(hid_t file, const char *path, const struct mh_result_field *fields, const void *rows,
                    int64_t count, size_t row_size, const struct mh_result_field *attributes,
                    const void *item, struct mh_error *err)
{
    struct mh_result_layout layout;
    mh_result_pack(fields, rows, count, row_size, &layout);
    const hid_t type = mh_result_row_type(fields, &layout);
    const hid_t properties = table_layout((hsize_t)count, layout.row_size);
    const hid_t dataset = create_dataset(file, path, type, (hsize_t)count, properties);
    int rc = dataset < 0 ? fail_hdf5(err, "cannot be created") : 0;
    if (rc == 0)
        rc = put_encoded(dataset, type, fields, &layout, rows, count, row_size, err);
    if (rc == 0)
        rc = put_units(dataset, fields, err);
    if (rc == 0 && attributes)
        rc = put_attributes(dataset, attributes, item, err);
    drop(dataset);
    drop(properties);
    drop(type);
    return rc ? mh_fail_in(err, "/%s", path) : 0;
}

static int put_table(hid_t file, const struct mh_result_view *view, const struct mh_result_table *table,
                     struct mh_error *err)
{
    const void *rows;
    int64_t count;
    memcpy(&rows, (const char *)view + table->rows, sizeof rows);
    memcpy(&count, (const char *)view + table->count, sizeof count);
    if (table->audit && !view->report.audited && count == 0)
        return 0;
    return put_rows(file, table->path, table->fields, rows, count, table->row_size, NULL, NULL, err);
}

static int put_histogram(hid_t file, const struct mh_report_operation *operation, const char *from,
                         const struct mh_histogram *h, struct mh_error *err)
{
    if (h->count == 0)
        return 0;
    const int64_t length = mh_histogram_length();
    struct mh_result_bucket *buckets = calloc((size_t)length, sizeof *buckets);
    if (!buckets)
        return mh_fail(err, "no memory for a histogram");
    int64_t used = 0;
    for (int64_t i = 0; i < length; i++)
        if (h->counts[i])
            buckets[used++] = (struct mh_result_bucket){mh_histogram_low_edge(i), h->counts[i]};
    char path[512];
    snprintf(path, sizeof path, "latency/%s/%s/%s", operation->stage, operation->latency_name, from);
    const int rc = put_rows(file, path, mh_result_bucket_fields, buckets, used, sizeof *buckets,
                            mh_result_histogram_attributes, h, err);
    free(buckets);
    return rc;
}

static int put_histograms(hid_t file, const struct mh_report *report, struct mh_error *err)
{
    for (int64_t i = 0; i < report->operation_count; i++) {
        const struct mh_report_operation *operation = &report->operations[i];
        if (put_histogram(file, operation, "due", &operation->tally->due, err) ||
            put_histogram(file, operation, "sent", &operation->tally->sent, err))
            return -1;
    }
    return 0;
}

static int put_job_text(hid_t file, const struct mh_report *report, struct mh_error *err)
{
    const char *text = report->job_text ? report->job_text : "";
    const hid_t type = mh_result_text_type(strlen(text) + 1);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(layout, strlen(text) < MOST_IN_HEADER ? H5D_COMPACT : H5D_CONTIGUOUS);
    const hid_t dataset = H5Dcreate2(file, "job/text", type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    int rc = 0;
    if (dataset < 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0)
        rc = fail_hdf5(err, "/job/text");
    drop(dataset);
    drop(layout);
    drop(space);
    drop(type);
    return rc;
}

static int put_all(hid_t file, const struct mh_result_view *view, struct mh_error *err)
{
    if (put_attributes(file, mh_result_root, view, err))
        return mh_fail_in(err, "attributes of /");
    for (const struct mh_result_table *table = mh_result_tables; table->path; table++)
        if (put_table(file, view, table, err))
            return -1;
    return put_job_text(file, &view->report, err) || put_histograms(file, &view->report, err) ? -1 : 0;
}

/* A file that could not be written to the end still has to be let go of. */
static int close_file(hid_t file, int rc, struct mh_error *err)
{
    if (rc == 0 && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        rc = fail_hdf5(err, "cannot be flushed");
    if (H5Fclose(file) < 0 && rc == 0)
        rc = fail_hdf5(err, "cannot be closed");
    return rc;
}

/* Where they grow in memory: HDF5 neither closes nor forgives a file whose disk is full, and crashes in
 * MPI_Finalize over it. */
static hid_t create_in_memory(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, MEMORY_STEP, false);
    use_checksums(access);
    const hid_t file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, access);
    drop(access);
    return file;
}

static int write_bytes(int fd, const char *bytes, size_t length)
{
    while (length) {
        const ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static int write_image(const char *path, const char *bytes, size_t length, struct mh_error *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return mh_fail(err, "cannot be created: %s", strerror(errno));
    const int failed = write_bytes(fd, bytes, length);
    const int cause = errno;
    if (close(fd) == 0 && !failed)
        return 0;
    unlink(path);
    return mh_fail(err, "cannot be written: %s", strerror(failed ? cause : errno));
}

/* H5Fget_file_image would write over a byte of the superblock that its checksum covers. */
static int save(hid_t file, const char *path, struct mh_error *err)
{
    hsize_t length = 0;
    void **bytes = NULL;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_filesize(file, &length) < 0 ||
        H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&bytes) < 0)
        return fail_hdf5(err, "cannot be made");
    return write_image(path, *bytes, (size_t)length, err);
}

static int write_tables(const char *path, const struct mh_report *report, struct mh_error *err)
{
    struct mh_result_view view;
    if (mh_result_view_of(report, &view, err))
        return -1;
    const hid_t file = create_in_memory(path);
    int rc = file < 0 ? fail_hdf5(err, "cannot be made") : 0;
    if (rc == 0)
        rc = put_all(file, &view, err) || save(file, path, err) ? -1 : 0;
    drop(file);
    mh_result_view_free(&view);
    return rc ? mh_fail_in(err, "%s", path) : 0;
}

/* ---- The ledger, by all ranks ---- */

struct part {
    int64_t first, count, total; /* this rank's rows of the ledger, all ranks' rows */
    int64_t rounds;              /* collective writes that the largest part takes */
};

static struct part part_of(int64_t count, MPI_Comm comm)
{
    struct part part = {.count = count, .total = count, .rounds = (count + LEDGER_PIECE - 1) / LEDGER_PIECE};
    int rank;
    MPI_Comm_rank(comm, &rank);
    MPI_Request request;
    MPI_Iexscan(&part.count, &part.first, 1, MPI_INT64_T, MPI_SUM, comm, &request);
    mh_comm_wait(&request);
    if (rank == 0)
        part.first = 0; /* an exclusive scan leaves it undefined there */
    mh_comm_sum_i64(comm, &part.total, 1);
    MPI_Iallreduce(MPI_IN_PLACE, &part.rounds, 1, MPI_INT64_T, MPI_MAX, comm, &request);
    mh_comm_wait(&request);
    return part;
}

/* A rank with nothing left still joins, with nothing selected. */
static int put_piece(hid_t dataset, hid_t type, hid_t transfer, const struct mh_report_fate *fates,
                     struct part part, int64_t round, struct mh_error *err)
{
    const int64_t done = round * LEDGER_PIECE < part.count ? round * LEDGER_PIECE : part.count;
    const int64_t left = part.count - done;
    const hsize_t count = (hsize_t)(left < LEDGER_PIECE ? left : LEDGER_PIECE);
    const hsize_t first = (hsize_t)(part.first + done);
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
                       ? fail_hdf5(err, "rows")
                       : 0;
    drop(space);
    drop(memory);
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
    drop(transfer);
    return rc;
}

static int put_ledger(hid_t file, const struct mh_report_fate *fates, struct part part, struct mh_error *err)
{
    struct mh_result_layout layout; /* the struct's own: a conversion would forbid gzip in parallel */
    mh_result_in_place(mh_result_fate_fields, sizeof *fates, &layout);
    const hid_t type = mh_result_row_type(mh_result_fate_fields, &layout);
    const hid_t properties =
        part.total > LEDGER_CHUNK ? gzip_layout(LEDGER_CHUNK) : H5Pcreate(H5P_DATASET_CREATE);
    const hid_t dataset = create_dataset(file, "truth/ledger", type, (hsize_t)part.total, properties);
    int rc = dataset < 0 ? fail_hdf5(err, "cannot be created") : 0;
    if (rc == 0)
        rc = put_units(dataset, mh_result_fate_fields, err);
    if (rc == 0)
        rc = put_pieces(dataset, type, fates, part, err);
    drop(dataset);
    drop(properties);
    drop(type);
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

/* The most the ledger can take: what gzip cannot make smaller, and chunks at the borders of pieces that are written twice. */
static int64_t most_bytes(struct part part, int np)
{
    const int64_t rows = part.total * (int64_t)sizeof(struct mh_report_fate);
    const int64_t chunk = LEDGER_CHUNK * (int64_t)sizeof(struct mh_report_fate);
    return rows + rows / 64 + part.rounds * np * chunk + LEDGER_MARGIN;
}

/* On a disk that fills up under it, the MPI library hangs and HDF5 crashes; so the room is taken before. Where the file system cannot do that, it is
 * asked how much it has. */
static int reserve(const char *path, int64_t bytes, struct mh_error *err)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat now;
    struct statvfs room;
    int cause = fd < 0 || fstat(fd, &now) ? errno : 0;
    if (!cause && fallocate(fd, FALLOC_FL_KEEP_SIZE, now.st_size, bytes))
        cause = errno;
    if (cause == EOPNOTSUPP && fstatvfs(fd, &room) == 0)
        cause = (double)room.f_bavail * (double)room.f_frsize < (double)bytes ? ENOSPC : 0;
    if (fd >= 0)
        close(fd);
    char text[32];
    return cause ? mh_fail(err, "cannot get %s for the ledger: %s", mh_show_bytes(bytes, text, sizeof text), strerror(cause)) : 0;
}

static int write_ledger(const char *path, const struct mh_report_fate *fates, int64_t fate_count,
                        MPI_Comm comm, struct mh_error *err)
{
    if (mh_comm_agree(comm, can_open(path, err), err))
        return -1;
    const struct part part = part_of(fate_count, comm);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_mpio(access, comm, MPI_INFO_NULL);
    use_checksums(access);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    int rc = file < 0 ? fail_hdf5(err, "cannot be opened by all ranks") : 0;
    drop(access);
    if (mh_comm_agree(comm, rc, err) == 0)
        rc = close_file(file, put_ledger(file, fates, part, err), err);
    if (rc)
        mh_fail_in(err, "%s", path);
    return mh_comm_agree(comm, rc, err);
}

/* ---- The name ---- */

static void directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(directory, PATH_MAX, ".");
    else
        snprintf(directory, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Asks by trying: access(2) says yes to root even where a mount is read-only. */
static int can_create_in(const char *directory, struct mh_error *err)
{
    char probe[PATH_MAX + 32];
    snprintf(probe, sizeof probe, "%s/.milvus-hpc-XXXXXX", directory);
    const int fd = mkstemp(probe);
    if (fd < 0)
        return mh_fail(err, "cannot create files in %s: %s", directory, strerror(errno));
    close(fd);
    unlink(probe);
    return 0;
}

int mh_report_check_output(const char *path, struct mh_error *err)
{
    char directory[PATH_MAX];
    directory_of(path, directory);
    struct statvfs room;
    if (strlen(path) + 64 > PATH_MAX)
        return mh_fail(err, "the result's path is longer than %d bytes", PATH_MAX - 64);
    if (access(path, F_OK) == 0)
        return mh_fail(err, "%s exists already; results are never overwritten", path);
    if (can_create_in(directory, err))
        return mh_fail_in(err, "%s", path);
    if (statvfs(directory, &room) == 0 && (double)room.f_bavail * (double)room.f_frsize < (double)LEAST_ROOM)
        return mh_fail(err, "%s: only %.1f MiB are free in %s; a result needs at least %lld MiB", path,
                       (double)room.f_bavail * (double)room.f_frsize / (1 << 20), directory,
                       LEAST_ROOM >> 20);
    return 0;
}

static int name_temporary(const char *path, const struct mh_report *report, char temporary[PATH_MAX],
                          struct mh_error *err)
{
    if (strlen(path) + sizeof report->run_id + 8 > PATH_MAX)
        return mh_fail(err, "the result's path is longer than %d bytes", PATH_MAX);
    snprintf(temporary, PATH_MAX, "%s.tmp-%s", path, report->run_id);
    char directory[PATH_MAX];
    directory_of(path, directory);
    return can_create_in(directory, err) ? mh_fail_in(err, "%s: the result is not written", path) : 0;
}

/* link(2) never replaces a file, rename(2) would. */
static int publish(const char *temporary, const char *path, struct mh_error *err)
{
    const int fd = open(temporary, O_RDWR | O_CLOEXEC);
    const int synced = fd < 0 ? -1 : fsync(fd);
    const int sync_error = errno;
    if (fd >= 0)
        close(fd);
    if (synced)
        return mh_fail(err, "%s cannot be brought to disk (%s); the result is in %s", path,
                       strerror(sync_error), temporary);
    if (link(temporary, path) == 0)
        return unlink(temporary) ? mh_fail(err, "%s: %s", temporary, strerror(errno)) : 0;
    if (errno == EEXIST)
        return mh_fail(err, "%s exists already and is not overwritten; this run's result is in %s", path,
                       temporary);
    return mh_fail(err, "%s cannot be made (%s); this run's result is in %s", path, strerror(errno),
                   temporary);
}

int mh_report_write(const char *path, const struct mh_report *report, const struct mh_report_fate *fates,
                    int64_t fate_count, MPI_Comm comm, struct mh_error *err)
{
    char temporary[PATH_MAX] = "";
    int rank, rc = 0;
    MPI_Comm_rank(comm, &rank);
    mh_hdf5_silence();
    if (rank == 0)
        rc = name_temporary(path, report, temporary, err) || write_tables(temporary, report, err) ? -1 : 0;
    if (mh_comm_agree(comm, rc, err))
        return -1;
    mh_comm_bcast(comm, temporary, sizeof temporary, 0);
    if (write_ledger(temporary, fates, fate_count, comm, err))
        return mh_fail_in(err, "%s is not made; all but the ledger is in %s", path, temporary);
    rc = rank == 0 ? publish(temporary, path, err) : 0;
    return mh_comm_agree(comm, rc, err);
}
