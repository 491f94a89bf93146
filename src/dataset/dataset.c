#include "dataset/dataset.h"

#include "base/alive.h"
#include "comm/comm.h"
#include "comm/watch.h"
#include "dataset/file.h"
#include "dataset/synthetic.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#define LOOKED_AT_AT_ONCE (1LL << 30) /* bytes; some 20 ms */
#define PAGE              4096
#define SHARED_MEMORY     "/dev/shm" /* where MPI libraries keep shared windows on Linux */

enum { MADE_UP_QUERIES = 1000, ROWS_A_SIGN = 1 << 10 };

struct mh_dataset_storage {
    MPI_Comm world; /* borrowed */
    MPI_Comm node;  /* the ranks that share the window */
    int node_rank, node_size;
    MPI_Win window; /* MPI_WIN_NULL until allocated */
    float *values;  /* the node's copy, which `train` points to */
};

/* What rank 0 found. */
struct finding {
    struct mh_dataset_shape shape;
    int64_t file_bytes; /* 0: synthetic */
};

static const char *node_name(char name[HOST_NAME_MAX + 1])
{
    if (gethostname(name, HOST_NAME_MAX + 1))
        strcpy(name, "(unnamed)");
    name[HOST_NAME_MAX] = '\0';
    return name;
}

static int look(const struct mh_dataset_options *options, struct finding *finding, struct mh_error *err)
{
    if (!options->synthetic.rows && mh_file_bytes(options, &finding->file_bytes, err))
        return -1;
    return mh_dataset_inspect(options, &finding->shape, err);
}

/* A file that is missing or different on one node would make the collective open hang or mix two data sets.
 */
static int same_file_here(const struct mh_dataset_options *options, int64_t expected_bytes,
                          struct mh_error *err)
{
    char name[HOST_NAME_MAX + 1];
    int64_t bytes = 0;
    if (options->synthetic.rows)
        return 0;
    if (mh_file_bytes(options, &bytes, err))
        return mh_fail_in(err, "node %s", node_name(name));
    if (bytes == expected_bytes)
        return 0;
    return mh_fail(err, "node %s: %s: has %" PRId64 " bytes, but rank 0 sees %" PRId64, node_name(name),
                   options->path, bytes, expected_bytes);
}

/* Rank 0 looks alone first, so that a bad file costs one process' reads and gives one message. */
static int find(const struct mh_dataset_options *options, MPI_Comm world, struct finding *finding,
                struct mh_error *err)
{
    int rank;
    MPI_Comm_rank(world, &rank);
    if (mh_comm_agree(world, rank == 0 ? look(options, finding, err) : 0, err))
        return -1;
    mh_comm_bcast(world, finding, sizeof *finding, 0);
    return mh_comm_agree(world, same_file_here(options, finding->file_bytes, err), err);
}

/* Rows of queries that are not rows of train. */
static int64_t own_queries(const struct mh_dataset *d)
{
    return d->queries_are_train ? 0 : d->query_rows;
}

static bool keeps_neighbors(const struct mh_dataset *d)
{
    return d->shape.neighbors > 0 && !d->shape.cut;
}

static int64_t neighbor_bytes(const struct mh_dataset *d)
{
    const int64_t gap = (int64_t)sizeof(int64_t); /* at most, to where they may begin */
    return keeps_neighbors(d) ? gap + d->query_rows * d->shape.neighbors * (int64_t)sizeof(int64_t) : 0;
}

/* Their place in the node's copy, behind the vectors. */
static int64_t *neighbor_values(const struct mh_dataset *d)
{
    const int64_t floats = (d->shape.train_rows + d->overlap + own_queries(d)) * d->shape.dim;
    return (void *)(d->storage->values + (floats + 1) / 2 * 2);
}

/* Bytes of the node's copy; -1 when they pass what can be addressed. */
static int64_t copy_bytes(const struct mh_dataset *d)
{
    int64_t rows, values, bytes;
    if (__builtin_add_overflow(d->shape.train_rows, d->overlap, &rows) ||
        __builtin_add_overflow(rows, own_queries(d), &rows) ||
        __builtin_mul_overflow(rows, d->shape.dim, &values) ||
        __builtin_mul_overflow(values, (int64_t)sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, neighbor_bytes(d), &bytes))
        return -1;
    return bytes;
}

static int64_t available_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file)
        return INT64_MAX;
    int64_t kib = INT64_MAX / 1024;
    char line[128];
    while (fgets(line, sizeof line, file) && sscanf(line, "MemAvailable: %" SCNd64, &kib) != 1)
        ;
    fclose(file);
    return kib * 1024;
}

static int64_t available_shared_memory(void)
{
    struct statvfs status;
    if (statvfs(SHARED_MEMORY, &status))
        return INT64_MAX;
    return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

/* Asked beforehand because a tmpfs that fills up later ends the process with a bare SIGBUS. A rank alone on
 * its node gets ordinary memory from MPI. */
static int check_room(const struct mh_dataset *d, struct mh_error *err)
{
    const bool shared = d->storage->node_size > 1;
    const int64_t bytes = copy_bytes(d), room = shared ? available_shared_memory() : available_memory();
    char name[HOST_NAME_MAX + 1];
    if (bytes < 0)
        return mh_fail(err, "data set: %" PRId64 " + %" PRId64 " rows of %" PRId64 " columns are too many",
                       d->shape.train_rows, d->overlap, d->shape.dim);
    if (bytes <= room)
        return 0;
    return mh_fail(err, "node %s: the data set needs %" PRId64 " bytes of %s, %" PRId64 " are free",
                   node_name(name), bytes, shared ? SHARED_MEMORY : "memory", room);
}

static int allocate_here(struct mh_dataset *d, struct mh_error *err)
{
    struct mh_dataset_storage *s = d->storage;
    /* All of it at the node's first rank: one piece, without gaps. */
    const MPI_Aint bytes = s->node_rank == 0 ? (MPI_Aint)copy_bytes(d) : 0;
    void *own;
    mh_watch_call_begin(NULL);
    const int code = MPI_Win_allocate_shared(bytes, sizeof(float), MPI_INFO_NULL, s->node, &own, &s->window);
    mh_watch_call_end();
    if (code == MPI_SUCCESS)
        return 0;
    char reason[MPI_MAX_ERROR_STRING] = "", name[HOST_NAME_MAX + 1];
    int length;
    MPI_Error_string(code, reason, &length);
    s->window = MPI_WIN_NULL;
    return mh_fail(err, "node %s: MPI cannot share %" PRId64 " bytes: %s", node_name(name), copy_bytes(d),
                   reason);
}

static int allocate(struct mh_dataset *d, struct mh_error *err)
{
    struct mh_dataset_storage *s = d->storage;
    if (mh_comm_agree(s->world, s->node_rank == 0 ? check_room(d, err) : 0, err))
        return -1;
    if (mh_comm_agree(s->world, allocate_here(d, err), err)) {
        s->window = MPI_WIN_NULL; /* freeing is collective, and not every rank has one */
        return -1;
    }
    MPI_Aint bytes;
    int unit;
    MPI_Win_shared_query(s->window, 0, &bytes, &unit, &s->values);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, s->window); /* the epoch that MPI_Win_sync asks for */
    d->train = s->values;
    d->queries = d->train + (own_queries(d) ? (d->shape.train_rows + d->overlap) * d->shape.dim : 0);
    d->neighbors = keeps_neighbors(d) ? neighbor_values(d) : NULL;
    return 0;
}

static void node_barrier(const struct mh_dataset_storage *s)
{
    MPI_Request request;
    MPI_Ibarrier(s->node, &request);
    mh_comm_wait(&request);
}

/* What any rank of the node stored before is seen by all of them after. */
static void publish(const struct mh_dataset_storage *s)
{
    MPI_Win_sync(s->window);
    node_barrier(s);
    MPI_Win_sync(s->window);
}

/* A page counts as a rank's memory once it has looked at it: looked at all of them now, what its memory grows
 * by under load is its own, and no operation waits for a page. Of a larger set most pages may never be
 * needed. */
static void look_at_all_pages(const struct mh_dataset *d)
{
    const int64_t bytes = copy_bytes(d);
    for (int64_t at = 0; bytes <= LOOKED_AT_AT_ONCE && at < bytes; at += PAGE)
        (void)*((const volatile char *)d->train + at);
}

static int64_t largest(MPI_Comm comm, int64_t value)
{
    mh_comm_max_i64(comm, &value, 1);
    return value;
}

/* HDF5 1.10 reads wrongly, or not at all, when a collective read meets chunks that were never written. */
static hid_t transfer_for(const struct mh_table *t)
{
    H5D_space_status_t status;
    const bool complete = H5Dget_space_status(t->id, &status) >= 0 && status == H5D_SPACE_STATUS_ALLOCATED;
    const hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_dxpl_mpio(transfer, complete ? H5FD_MPIO_COLLECTIVE : H5FD_MPIO_INDEPENDENT);
    return transfer;
}

static int scan_together(const struct mh_dataset *d, const struct mh_table *t, struct mh_rows share,
                         void *into, struct mh_error *err)
{
    const MPI_Comm world = d->storage->world;
    const int64_t reads = largest(world, mh_table_reads(t, share.count));
    const hid_t transfer = transfer_for(t);
    const int rc = mh_table_scan(t, share, reads, transfer, into, err);
    H5Pclose(transfer);
    return mh_comm_agree(world, rc, err);
}

static int scan_train(const struct mh_dataset *d, const struct mh_file *f, struct mh_error *err)
{
    const struct mh_dataset_storage *s = d->storage;
    const struct mh_rows share = mh_rows_share(d->shape.train_rows, s->node_rank, s->node_size);
    return scan_together(d, &f->train, share, s->values + share.first * d->shape.dim, err);
}

/* The queries' place in the node's copy. */
static float *query_values(const struct mh_dataset *d)
{
    return d->storage->values + (d->shape.train_rows + d->overlap) * d->shape.dim;
}

static int scan_test(const struct mh_dataset *d, const struct mh_file *f, struct mh_error *err)
{
    const struct mh_dataset_storage *s = d->storage;
    if (own_queries(d) == 0)
        return 0;
    const struct mh_rows share = mh_rows_share(d->query_rows, s->node_rank, s->node_size);
    return scan_together(d, &f->test, share, query_values(d) + share.first * d->shape.dim, err);
}

static int scan_neighbors(const struct mh_dataset *d, const struct mh_file *f, struct mh_error *err)
{
    const struct mh_dataset_storage *s = d->storage;
    const struct mh_rows share = mh_rows_share(f->neighbors.rows, s->node_rank, s->node_size);
    if (!d->shape.neighbors)
        return 0;
    return scan_together(d, &f->neighbors, share,
                         keeps_neighbors(d) ? neighbor_values(d) + share.first * d->shape.neighbors : NULL,
                         err);
}

static int read_file(const struct mh_dataset *d, const struct mh_dataset_options *options,
                     struct mh_error *err)
{
    struct mh_file file;
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    mh_watch_call_begin(NULL); /* HDF5 copies the communicator */
    H5Pset_fapl_mpio(access, d->storage->world, MPI_INFO_NULL);
    int rc = mh_file_open(options, access, &file, err);
    H5Pclose(access);
    mh_watch_call_end();
    if (mh_comm_agree(d->storage->world, rc, err))
        return -1;
    rc = scan_train(d, &file, err) || scan_test(d, &file, err) || scan_neighbors(d, &file, err) ? -1 : 0;
    mh_watch_call_begin(NULL);
    mh_file_close(&file);
    mh_watch_call_end();
    return rc;
}

static void make_row(const struct mh_synthetic_options *options, uint64_t seed, int64_t row, float *into)
{
    if (row % ROWS_A_SIGN == 0)
        mh_alive();
    mh_synthetic_row(options, seed, row, into);
}

static void make_rows(const struct mh_dataset *d, const struct mh_synthetic_options *options, uint64_t seed,
                      int64_t first, int64_t count, float *into)
{
    const struct mh_rows share = mh_rows_share(count, d->storage->node_rank, d->storage->node_size);
    for (int64_t row = share.first; row < share.first + share.count; row++)
        make_row(options, seed, first + row, into + row * d->shape.dim);
}

static void make_up(const struct mh_dataset *d, const struct mh_synthetic_options *options, uint64_t seed)
{
    make_rows(d, options, seed, 0, d->shape.train_rows, d->storage->values);
    make_rows(d, options, seed, options->rows, d->query_rows, query_values(d));
}

/* Row by row: the overlap may be longer than the data set, and then goes round it several times. */
static void repeat_first_rows(const struct mh_dataset *d)
{
    float *values = d->storage->values;
    const int64_t rows = d->shape.train_rows, dim = d->shape.dim;
    for (int64_t i = 0; i < d->overlap; i++) {
        if (i % ROWS_A_SIGN == 0)
            mh_alive();
        memcpy(values + (rows + i) * dim, values + i * dim, (size_t)dim * sizeof *values);
    }
}

static int fill(struct mh_dataset *d, const struct mh_dataset_options *options, uint64_t seed,
                struct mh_error *err)
{
    if (options->synthetic.rows)
        make_up(d, &options->synthetic, seed);
    else if (read_file(d, options, err))
        return -1;
    publish(d->storage);
    if (d->storage->node_rank == 0)
        repeat_first_rows(d);
    publish(d->storage);
    return 0;
}

static struct mh_dataset *create(const struct finding *finding, int64_t overlap)
{
    struct mh_dataset *d = calloc(1, sizeof *d);
    struct mh_dataset_storage *s = calloc(1, sizeof *s);
    if (!d || !s) {
        free(d);
        free(s);
        return NULL;
    }
    *s = (struct mh_dataset_storage){.node = MPI_COMM_NULL, .window = MPI_WIN_NULL};
    *d = (struct mh_dataset){.shape = finding->shape, .overlap = overlap, .storage = s};
    d->queries_are_train = finding->file_bytes > 0 && finding->shape.test_rows == 0;
    d->query_rows = d->queries_are_train           ? d->shape.train_rows
                    : finding->shape.test_rows > 0 ? finding->shape.test_rows
                                                   : MADE_UP_QUERIES;
    return d;
}

static void join_node(struct mh_dataset_storage *s, MPI_Comm world)
{
    s->world = world;
    s->node = mh_comm_node(world);
    MPI_Comm_set_errhandler(s->node, MPI_ERRORS_RETURN); /* too little memory is ours to explain */
    MPI_Comm_rank(s->node, &s->node_rank);
    MPI_Comm_size(s->node, &s->node_size);
}

int mh_dataset_open(const struct mh_dataset_options *options, int64_t overlap, uint64_t seed, MPI_Comm world,
                    struct mh_dataset **out, struct mh_error *err)
{
    struct finding finding = {.file_bytes = 0};
    if (find(options, world, &finding, err))
        return -1;
    struct mh_dataset *d = create(&finding, overlap);
    if (mh_comm_agree(world, d ? 0 : mh_fail(err, "no memory for the data set"), err)) {
        if (d)
            free(d->storage);
        free(d);
        return -1;
    }
    join_node(d->storage, world);
    if (allocate(d, err) || fill(d, options, seed, err)) {
        mh_dataset_close(d);
        return -1;
    }
    look_at_all_pages(d);
    *out = d;
    return 0;
}

uint64_t mh_dataset_digest(const struct mh_dataset *dataset)
{
    enum { MOST = 65536 };
    const int64_t rows = dataset->shape.train_rows, step = (rows + MOST - 1) / MOST;
    const size_t row_bytes = (size_t)dataset->shape.dim * sizeof(float);
    uint64_t digest = XXH3_64bits(&dataset->shape.dim, sizeof dataset->shape.dim) ^ (uint64_t)rows;
    for (int64_t row = 0; row < rows; row += step) {
        mh_alive();
        digest = XXH3_64bits_withSeed(dataset->train + row * dataset->shape.dim, row_bytes, digest);
    }
    return digest;
}

void mh_dataset_close(struct mh_dataset *dataset)
{
    if (!dataset)
        return;
    struct mh_dataset_storage *s = dataset->storage;
    if (s->window != MPI_WIN_NULL) {
        node_barrier(s); /* the one inside MPI_Win_free would spin */
        mh_watch_call_begin(NULL);
        MPI_Win_unlock_all(s->window);
        MPI_Win_free(&s->window);
        mh_watch_call_end();
    }
    MPI_Comm_free(&s->node);
    free(s);
    free(dataset);
}
