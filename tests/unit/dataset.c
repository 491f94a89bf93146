/* Runs alone and under mpirun: rank 0 makes the files, all ranks open them, and each compares all that it
 * sees. */
#include "dataset/dataset.h"
#include "comm/comm.h"
#include "dataset/files.h"
#include "dataset/synthetic.h"
#include "dataset/table.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

static int rank, ranks;
static char folder[64], path[96], other_path[96], node[HOST_NAME_MAX + 1];
static struct mh_error err;

/* ---- MPI calls that the tests bend ---- */

static int pretended_nodes;   /* 0: the real ones */
static int failing_rank = -1; /* whose MPI_Win_allocate_shared fails */

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out)
{
    if (pretended_nodes)
        return PMPI_Comm_split(comm, rank % pretended_nodes, key, out);
    return PMPI_Comm_split_type(comm, type, key, info, out);
}

int MPI_Win_allocate_shared(MPI_Aint size, int unit, MPI_Info info, MPI_Comm comm, void *base,
                            MPI_Win *window)
{
    if (failing_rank == rank)
        return MPI_ERR_NO_MEM;
    if (failing_rank >= 0) { /* the others have theirs, as far as the code under test can see */
        *window = (MPI_Win)base;
        return MPI_SUCCESS;
    }
    return PMPI_Win_allocate_shared(size, unit, info, comm, base, window);
}

/* ---- helpers ---- */

/* Fails on every rank when it is false on one, so that none is left waiting for the others. */
static void all_true(bool mine, const char *what)
{
    int yes = mine;
    if (!mine)
        fprintf(stderr, "rank %d: %s\n", rank, what);
    MPI_Allreduce(MPI_IN_PLACE, &yes, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    assert_true(yes);
}

static void all_told(int rc, const char *expected)
{
    char what[2600];
    snprintf(what, sizeof what, "returned %d with '%s'; expected '%s'", rc, err.text, expected);
    all_true(rc == -1 && !strcmp(err.text, expected), what);
}

static void write_text(const char *to, const char *text)
{
    FILE *file = fopen(to, "w");
    fputs(text, file);
    fclose(file);
}

static struct mh_dataset_options usual_options(void)
{
    return (struct mh_dataset_options){
        .path = path, .train = "train", .test = "test", .neighbors = "neighbors"};
}

static void make_usual(void)
{
    if (rank == 0)
        make_usual_file(path);
    MPI_Barrier(MPI_COMM_WORLD);
}

static int open_world(const struct mh_dataset_options *options, int64_t overlap, struct mh_dataset **out)
{
    snprintf(err.text, sizeof err.text, "nothing was said");
    return mh_dataset_open(options, overlap, 11, MPI_COMM_WORLD, out, &err);
}

static struct mh_dataset *must_open(const struct mh_dataset_options *options, int64_t overlap)
{
    struct mh_dataset *d = NULL;
    const int rc = open_world(options, overlap, &d);
    all_true(rc == 0 && d, err.text);
    return d;
}

static bool holds_the_truth(const struct mh_dataset *d, int64_t overlap)
{
    const int64_t rows = d->shape.train_rows, dim = d->shape.dim;
    if (d->overlap != overlap)
        return false;
    for (int64_t i = 0; i < (rows + overlap) * dim; i++)
        if (d->train[i] != value_at(i / dim % rows, i % dim))
            return false;
    for (int64_t i = 0; i < d->query_rows * dim; i++) /* test, or train in its place: the same values here */
        if (d->queries[i] != value_at(i / dim, i % dim))
            return false;
    return d->query_rows == (d->shape.test_rows ? d->shape.test_rows : rows);
}

static void check_reading(const struct mh_dataset_options *options, int64_t rows, int64_t dim,
                          int64_t overlap)
{
    struct mh_dataset *d = must_open(options, overlap);
    all_true(d->shape.train_rows == rows && d->shape.dim == dim, "wrong shape");
    all_true(holds_the_truth(d, overlap), "wrong rows");
    mh_dataset_close(d);
}

/* ---- pure parts ---- */

static void shares_cover_every_row_once(void **state)
{
    (void)state;
    for (int64_t rows = 0; rows < 40; rows++) {
        for (int parts = 1; parts < 12; parts++) {
            int64_t next = 0;
            for (int part = 0; part < parts; part++) {
                const struct mh_rows share = mh_rows_share(rows, part, parts);
                assert_int_equal(share.first, next);
                assert_true(share.count == rows / parts || share.count == rows / parts + 1);
                next += share.count;
            }
            assert_int_equal(next, rows);
        }
    }
    assert_int_equal(mh_rows_share(INT64_MAX, 999, 1000).first + mh_rows_share(INT64_MAX, 999, 1000).count,
                     INT64_MAX);
}

static void reads_take_at_most_64_mebibytes(void **state)
{
    (void)state;
    const struct mh_table floats = {.kind = MH_TABLE_VECTORS, .columns = 1024}; /* 16384 rows a read */
    const struct mh_table indices = {.kind = MH_TABLE_INDICES, .columns = 1024};
    const struct mh_table wide = {.kind = MH_TABLE_VECTORS, .columns = 100000000};
    assert_int_equal(mh_table_reads(&floats, 0), 0);
    assert_int_equal(mh_table_reads(&floats, 1), 1);
    assert_int_equal(mh_table_reads(&floats, 16384), 1);
    assert_int_equal(mh_table_reads(&floats, 16385), 2);
    assert_int_equal(mh_table_reads(&indices, 16384), 2);
    assert_int_equal(mh_table_reads(&wide, 3), 3);
}

/* ---- reading ---- */

static void check_layout(struct layout layout)
{
    static const int64_t overlaps[] = {0, 1, 4, 37};
    const struct mh_dataset_options options = usual_options();
    if (rank == 0)
        make_train_file(path, layout);
    MPI_Barrier(MPI_COMM_WORLD);
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++)
        check_reading(&options, (int64_t)layout.extent[0], (int64_t)layout.extent[1], overlaps[i]);
}

static void every_row_is_read_whatever_the_number(void **state)
{
    (void)state;
    static const hsize_t rows[] = {1, 2, 3, 4, 5, 7, 10, 61};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_layout((struct layout){.type = H5T_IEEE_F32LE, .rank = 2, .extent = {rows[i], 3}});
}

static void every_row_is_read_whatever_the_layout(void **state)
{
    (void)state;
    const hsize_t rows = 101, dim = 7;
    check_layout((struct layout){.type = H5T_IEEE_F32BE, .rank = 2, .extent = {rows, dim}});
    check_layout((struct layout){.type = H5T_IEEE_F32LE, .rank = 2, .extent = {rows, dim}, .chunk = {10, 7}});
    check_layout((struct layout){.type = H5T_IEEE_F32LE, .rank = 2, .extent = {rows, dim}, .chunk = {33, 2}});
    check_layout((struct layout){
        .type = H5T_IEEE_F32LE, .rank = 2, .extent = {rows, dim}, .chunk = {9, 4}, .gzip = true});
    check_layout((struct layout){
        .type = H5T_IEEE_F32BE, .rank = 2, .extent = {rows, dim}, .chunk = {101, 7}, .gzip = true});
    check_layout((struct layout){.type = H5T_IEEE_F32LE, .rank = 2, .extent = {1, 1}});
}

static void a_usual_file_gives_its_shape(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    make_usual();
    struct mh_dataset *d = must_open(&options, 2);
    struct mh_dataset_shape inspected, examined;
    all_true(!mh_dataset_inspect(&options, &inspected, &err), err.text);
    all_true(!mh_dataset_examine(&options, &examined, &err), err.text);
    const struct mh_dataset_shape *shapes[] = {&d->shape, &inspected, &examined};
    for (int i = 0; i < 3; i++)
        all_true(shapes[i]->train_rows == TRAIN_ROWS && shapes[i]->test_rows == TEST_ROWS &&
                     shapes[i]->dim == DIM && shapes[i]->neighbors == NEIGHBORS &&
                     shapes[i]->metric == MH_METRIC_L2,
                 "wrong shape");
    all_true(holds_the_truth(d, 2), "wrong rows");
    mh_dataset_close(d);
    mh_dataset_close(NULL);
}

static void only_the_first_rows_are_used_when_asked(void **state)
{
    (void)state;
    struct mh_dataset_options options = usual_options();
    make_usual();
    if (rank == 0) {
        set_element(path, "train", 13, 2, NAN);               /* beyond the cut */
        set_element(path, "neighbors", 1, 1, TRAIN_ROWS - 1); /* as well, and right */
    }
    MPI_Barrier(MPI_COMM_WORLD);
    for (options.rows = 1; options.rows <= 13; options.rows++)
        check_reading(&options, options.rows, DIM, 3);
}

static void neighbors_are_kept_unless_the_set_is_cut(void **state)
{
    (void)state;
    struct mh_dataset_options options = usual_options();
    make_usual();
    if (rank == 0) {
        set_element(path, "neighbors", 0, 0, 3);
        set_element(path, "neighbors", TEST_ROWS - 1, NEIGHBORS - 1, TRAIN_ROWS - 1);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    for (int64_t overlap = 0; overlap < 2;
         overlap++) { /* an odd number of values before them, and an even one */
        struct mh_dataset *d = must_open(&options, overlap);
        all_true(d->neighbors && d->neighbors[0] == 3 &&
                     d->neighbors[TEST_ROWS * NEIGHBORS - 1] == TRAIN_ROWS - 1,
                 "wrong neighbors");
        all_true(holds_the_truth(d, overlap), "wrong rows");
        mh_dataset_close(d);
    }
    options.rows = TRAIN_ROWS - 1;
    struct mh_dataset *d = must_open(&options, 0);
    all_true(!d->neighbors, "neighbors of a set that was cut");
    mh_dataset_close(d);
}

static void names_may_be_paths_and_unused_sets_left_out(void **state)
{
    (void)state;
    struct mh_dataset_options options = {
        .path = path, .train = "deep/er/train", .test = "", .neighbors = "neighbors"};
    make_usual();
    if (rank == 0)
        replace_dataset(path, "deep/er/train",
                        (struct layout){.type = H5T_IEEE_F32LE, .rank = 2, .extent = {9, 2}});
    MPI_Barrier(MPI_COMM_WORLD);
    struct mh_dataset *d = must_open(&options, 1);
    all_true(d->shape.train_rows == 9 && d->shape.test_rows == 0 && d->shape.neighbors == 0, "wrong shape");
    all_true(holds_the_truth(d, 1), "wrong rows");
    mh_dataset_close(d);
}

static void check_unwritten(struct layout layout)
{
    const struct mh_dataset_options options = usual_options();
    const int64_t marked = 17;
    if (rank == 0) {
        make_train_file(path, layout);
        if (layout.chunk[0])
            set_element(path, "train", marked, 1, 4);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    struct mh_dataset *d = must_open(&options, 0);
    bool right = true;
    for (int64_t i = 0; i < d->shape.train_rows * d->shape.dim; i++)
        right &= d->train[i] == (layout.chunk[0] && i == marked * d->shape.dim + 1 ? 4 : 0);
    all_true(right, "wrong rows");
    mh_dataset_close(d);
}

static void rows_never_written_read_as_zero(void **state)
{
    (void)state;
    struct layout layout = {.type = H5T_IEEE_F32LE, .rank = 2, .extent = {50, 6}, .unwritten = true};
    check_unwritten(layout);
    layout.chunk[0] = 5;
    layout.chunk[1] = 4;
    check_unwritten(layout);
    layout.gzip = true;
    check_unwritten(layout);
}

static bool room_for(int64_t bytes)
{
    struct statvfs status;
    int enough = statvfs("/dev/shm", &status) || (int64_t)(status.f_bavail * status.f_frsize) > bytes;
    MPI_Bcast(&enough, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return enough;
}

enum { WIDE_ROWS = 4, WIDE_DIM = 8600000 };

static void check_wide_rows(const struct mh_dataset_options *options)
{
    struct mh_dataset *d = must_open(options, 0);
    bool right = d->shape.train_rows == WIDE_ROWS && d->shape.dim == WIDE_DIM;
    for (int64_t row = 0; row < WIDE_ROWS; row++)
        right &= d->train[row * WIDE_DIM] == 0 && d->train[(row + 1) * WIDE_DIM - 1] == (float)row + 0.5f;
    all_true(right, "wrong rows");
    mh_dataset_close(d);
}

/* Rows of more than 32 MiB go one a read: with 3 ranks the first makes two reads and the others one, with 5
 * the last makes none; yet all must take part in every read, also those whose rows were found bad. */
static void large_shares_are_read_in_pieces(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    const struct layout layout = {.type = H5T_IEEE_F32LE,
                                  .rank = 2,
                                  .extent = {WIDE_ROWS, WIDE_DIM},
                                  .unwritten = true,
                                  .allocated = true};
    struct mh_dataset *d;
    char expected[200];
    if (!room_for(2LL * WIDE_ROWS * WIDE_DIM * 4))
        skip();
    if (rank == 0) {
        make_train_file(path, layout);
        for (int64_t row = 0; row < WIDE_ROWS; row++)
            set_element(path, "train", row, WIDE_DIM - 1, (double)row + 0.5);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    check_wide_rows(&options);
    if (rank == 0)
        set_element(path, "train", 3, 77, NAN);
    MPI_Barrier(MPI_COMM_WORLD);
    snprintf(expected, sizeof expected, "%s: train: row 3 holds NaN at column 77", path);
    all_told(open_world(&options, 0, &d), expected);
    if (rank == 0)
        set_element(path, "train", 0, 5, INFINITY);
    MPI_Barrier(MPI_COMM_WORLD);
    snprintf(expected, sizeof expected, "%s: train: row 0 holds infinity at column 5", path);
    all_told(open_world(&options, 0, &d), expected);
}

/* ---- several nodes, several communicators ---- */

static void each_node_has_a_whole_copy(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    make_usual();
    for (pretended_nodes = 1; pretended_nodes <= 4; pretended_nodes++)
        check_reading(&options, TRAIN_ROWS, DIM, 6);
    pretended_nodes = 0;
}

static void other_communicators_do(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    make_usual();
    MPI_Comm half;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
    struct mh_dataset *d = NULL;
    const int rc = mh_dataset_open(&options, 3, 0, half, &d, &err);
    const bool right = rc == 0 && holds_the_truth(d, 3);
    mh_dataset_close(d);
    MPI_Comm_free(&half);
    all_true(right, "wrong rows");
}

static void a_file_missing_on_one_node_is_named(void **state)
{
    (void)state;
    struct mh_dataset_options options = usual_options();
    struct mh_dataset *d;
    char expected[600];
    if (ranks == 1)
        skip();
    make_usual();
    unlink(other_path);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == ranks - 1)
        options.path = other_path;
    snprintf(expected, sizeof expected, "node %s: %s: cannot be read: No such file or directory", node,
             other_path);
    all_told(open_world(&options, 0, &d), expected);
    if (rank == ranks - 1)
        write_text(other_path, "abc");
    MPI_Barrier(MPI_COMM_WORLD);
    struct stat status;
    stat(path, &status);
    snprintf(expected, sizeof expected, "node %s: %s: has 3 bytes, but rank 0 sees %lld", node, other_path,
             (long long)status.st_size);
    all_told(open_world(&options, 0, &d), expected);
    unlink(other_path);
}

static void a_refused_window_is_told(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    struct mh_dataset *d;
    char expected[600];
    make_usual();
    snprintf(expected, sizeof expected, "node %s: MPI cannot share %d bytes: MPI_ERR_NO_MEM: out of memory",
             node, (TRAIN_ROWS + 1 + TEST_ROWS) * DIM * 4 + 8 + TEST_ROWS * NEIGHBORS * 8);
    for (failing_rank = 0; failing_rank < ranks; failing_rank++)
        all_told(open_world(&options, 1, &d), expected);
    failing_rank = -1;
}

static void too_little_room_is_told_beforehand(void **state)
{
    (void)state;
    struct mh_dataset_options options = usual_options();
    struct mh_dataset *d;
    char expected[300];
    make_usual();
    options.test = ""; /* of another dim */
    if (rank == 0)
        replace_dataset(path, "train",
                        (struct layout){.type = H5T_IEEE_F32LE,
                                        .rank = 2,
                                        .extent = {1LL << 36, 1024},
                                        .chunk = {1024, 1024},
                                        .unwritten = true});
    MPI_Barrier(MPI_COMM_WORLD);
    const int rc = open_world(&options, 1, &d);
    const int length = snprintf(expected, sizeof expected, "node %s: the data set needs %lld bytes of %s, ",
                                node, ((1LL << 36) + 1) * 4096, ranks > 1 ? "/dev/shm" : "memory");
    all_true(rc == -1 && !strncmp(err.text, expected, (size_t)length), err.text);
    long long room = 0;
    int used = 0;
    sscanf(err.text + length, "%lld are free%n", &room, &used);
    all_true(room > 0 && used && !err.text[length + used], err.text);
    all_told(open_world(&options, INT64_MAX - 5, &d),
             "data set: 68719476736 + 9223372036854775802 rows of 1024 columns are too many");
}

/* ---- made-up vectors ---- */

static void synthetic_rows_are_the_same_everywhere(void **state)
{
    (void)state;
    const struct mh_dataset_options options = {.path = "",
                                               .synthetic = {.rows = 103, .dim = 6, .clusters = 4}};
    for (pretended_nodes = 0; pretended_nodes < 3; pretended_nodes++) {
        struct mh_dataset *d = must_open(&options, 110);
        bool same = d->shape.train_rows == 103 && d->shape.dim == 6 && d->shape.test_rows == 0 &&
                    d->shape.neighbors == 0 && d->shape.metric == MH_METRIC_AUTO;
        for (int64_t i = 0; i < 103 + 110; i++) {
            float row[6];
            mh_synthetic_row(&options.synthetic, 11, i % 103, row);
            same &= !memcmp(row, d->train + i * 6, sizeof row);
        }
        for (int64_t i = 0; i < d->query_rows; i++) {
            float row[6];
            mh_synthetic_row(&options.synthetic, 11, 103 + i, row);
            same &= !memcmp(row, d->queries + i * 6, sizeof row);
        }
        same &= d->query_rows == 1000;
        all_true(same, "rows differ");
        mh_dataset_close(d);
    }
    pretended_nodes = 0;
}

static void synthetic_rows_depend_on_seed_and_row(void **state)
{
    (void)state;
    const struct mh_synthetic_options made = {.rows = 10, .dim = 8, .clusters = 3};
    float a[8], b[8];
    mh_synthetic_row(&made, 1, 5, a);
    mh_synthetic_row(&made, 1, 5, b);
    assert_memory_equal(a, b, sizeof a);
    mh_synthetic_row(&made, 2, 5, b);
    assert_memory_not_equal(a, b, sizeof a);
    mh_synthetic_row(&made, 1, 6, b);
    assert_memory_not_equal(a, b, sizeof a);
}

static float offset_between_rows(uint64_t seed)
{
    const struct mh_synthetic_options made = {.rows = 10, .dim = 1, .clusters = 1};
    float a, b;
    mh_synthetic_row(&made, seed, 3, &a);
    mh_synthetic_row(&made, seed, 4, &b);
    return a - b;
}

/* With one cluster, rows differ by their scatter alone. */
static void synthetic_scatter_depends_on_the_seed(void **state)
{
    (void)state;
    const float offset = offset_between_rows(1) - offset_between_rows(2);
    assert_true(fabsf(offset) > 1e-4f);
}

static double squared_distance(const float *a, const float *b, int dim)
{
    double sum = 0;
    for (int i = 0; i < dim; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum / dim;
}

/* Per dimension: 2 * 0.25^2 = 0.125 inside a cluster; 0.125 + 2/3 = 0.79 between two. One pair in four shares
 * a cluster. */
static void synthetic_rows_form_clusters(void **state)
{
    (void)state;
    enum { ROWS = 200, WIDE = 256 };
    static float rows[ROWS][WIDE];
    const struct mh_synthetic_options made = {.rows = ROWS, .dim = WIDE, .clusters = 4};
    for (int i = 0; i < ROWS; i++)
        mh_synthetic_row(&made, 99, i, rows[i]);
    int near = 0, far = 0;
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < i; j++) {
            const double distance = squared_distance(rows[i], rows[j], WIDE);
            const bool is_near = distance > 0.06 && distance<0.2, is_far = distance> 0.5 && distance < 1.1;
            assert_true(is_near || is_far);
            near += is_near;
            far += is_far;
        }
    }
    assert_true(near > (near + far) / 6 && near < (near + far) / 3);
}

static void synthetic_mistakes_are_told(void **state)
{
    (void)state;
    struct mh_dataset *d;
    struct mh_dataset_options options = {.path = "", .synthetic = {.rows = 10, .dim = 0, .clusters = 4}};
    all_told(open_world(&options, 0, &d), "dataset.synthetic.dim: is 0; expected at least 1");
    options.synthetic.dim = 3;
    options.synthetic.clusters = -1;
    all_told(open_world(&options, 0, &d), "dataset.synthetic.clusters: is -1; expected at least 1");
    options.synthetic.clusters = 1;
    options.rows = 11;
    all_told(open_world(&options, 0, &d), "dataset.rows: asks for 11, but dataset.synthetic.rows is 10");
    options.rows = 4;
    struct mh_dataset_shape shape;
    assert_int_equal(mh_dataset_examine(&options, &shape, &err), 0);
    assert_int_equal(shape.train_rows, 4);
}

/* ---- files that cannot be used ---- */

static void expect_all_three(const struct mh_dataset_options *options, bool inspect_sees_it, const char *tail)
{
    char expected[1024];
    struct mh_dataset_shape shape = {.train_rows = -7};
    struct mh_dataset *d = NULL;
    snprintf(expected, sizeof expected, "%s: %s", options->path, tail);
    const int rc = mh_dataset_inspect(options, &shape, &err);
    if (inspect_sees_it)
        all_told(rc, expected);
    else
        all_true(rc == 0 && shape.train_rows == TRAIN_ROWS, err.text);
    shape.train_rows = -7;
    all_told(mh_dataset_examine(options, &shape, &err), expected);
    all_true(shape.train_rows == -7, "the shape changed");
    all_told(open_world(options, 2, &d), expected);
    all_true(!d, "the data set changed");
}

static void what_is_no_hdf5_file_is_refused(void **state)
{
    (void)state;
    struct mh_dataset_options options = usual_options();
    struct mh_dataset *d;
    if (rank == 0)
        unlink(path);
    MPI_Barrier(MPI_COMM_WORLD);
    expect_all_three(&options, true, "cannot be read: No such file or directory");
    options.path = folder;
    expect_all_three(&options, true, "is a directory; expected an HDF5 file");
    options.path = "/dev/null";
    expect_all_three(&options, true, "is not a regular file; expected an HDF5 file");
    options.path = path;
    if (rank == 0)
        write_text(path, "");
    MPI_Barrier(MPI_COMM_WORLD);
    expect_all_three(&options, true, "is not an HDF5 file");
    if (rank == 0)
        write_text(path, "train,test\n1,2\n");
    MPI_Barrier(MPI_COMM_WORLD);
    expect_all_three(&options, true, "is not an HDF5 file");
    options.path = "";
    all_told(open_world(&options, 0, &d),
             "dataset.path: not given; expected an HDF5 file, or dataset.synthetic");
    options.path = NULL;
    all_told(open_world(&options, 0, &d),
             "dataset.path: not given; expected an HDF5 file, or dataset.synthetic");
}

/* One change to the usual file; the message follows "PATH: ". */
struct fault {
    void (*change)(void);
    const char *message;
};

static struct layout shaped(hid_t type, hsize_t rows, hsize_t columns)
{
    return (struct layout){.type = type, .rank = 2, .extent = {rows, columns}};
}

static void no_train(void)
{
    remove_dataset(path, "train");
    replace_dataset(path, "more/vectors", shaped(H5T_IEEE_F32BE, 3, 3));
    replace_dataset(path, "doubles", shaped(H5T_IEEE_F64LE, 3, 3));
}

static void no_floats(void)
{
    make_train_file(path, shaped(H5T_IEEE_F64LE, 3, 3));
    remove_dataset(path, "train");
}

static void train_is_a_group(void)
{
    remove_dataset(path, "train");
    replace_dataset(path, "train/inner", shaped(H5T_IEEE_F32LE, 3, 3));
}

static void train_is_scalar(void)
{
    replace_dataset(path, "train", (struct layout){.type = H5T_IEEE_F32LE});
}

static void train_is_a_line(void)
{
    replace_dataset(path, "train", (struct layout){.type = H5T_IEEE_F32LE, .rank = 1, .extent = {20}});
}

static void train_is_a_block(void)
{
    replace_dataset(path, "train", (struct layout){.type = H5T_IEEE_F32LE, .rank = 3, .extent = {4, 3, 2}});
}

static void train_is_double(void)
{
    replace_dataset(path, "train", shaped(H5T_IEEE_F64LE, TRAIN_ROWS, DIM));
}

static void train_is_half(void)
{
    const hid_t half = half_float_type();
    replace_dataset(path, "train", shaped(half, TRAIN_ROWS, DIM));
    H5Tclose(half);
}

static void train_is_bytes(void)
{
    replace_dataset(path, "train", shaped(H5T_STD_U8LE, TRAIN_ROWS, DIM));
}

static void train_is_int32(void)
{
    replace_dataset(path, "train", shaped(H5T_STD_I32LE, TRAIN_ROWS, DIM));
}

static void train_is_text(void)
{
    replace_dataset(path, "train", shaped(H5T_C_S1, TRAIN_ROWS, DIM));
}

static void train_is_odd_float(void)
{
    const hid_t odd = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_ebias(odd, 100);
    replace_dataset(path, "train", shaped(odd, TRAIN_ROWS, DIM));
    H5Tclose(odd);
}

static void train_has_no_rows(void)
{
    replace_dataset(path, "train", shaped(H5T_IEEE_F32LE, 0, DIM));
}

static void train_has_no_columns(void)
{
    replace_dataset(path, "train", shaped(H5T_IEEE_F32LE, TRAIN_ROWS, 0));
}

static void train_is_beyond_counting(void)
{
    struct layout layout = shaped(H5T_IEEE_F32LE, 1ULL << 62, 1ULL << 20);
    layout.chunk[0] = layout.chunk[1] = 1;
    layout.unwritten = true;
    replace_dataset(path, "train", layout);
}

static void test_is_double(void)
{
    replace_dataset(path, "test", shaped(H5T_IEEE_F64LE, TEST_ROWS, DIM));
}

static void test_has_another_dim(void)
{
    replace_dataset(path, "test", shaped(H5T_IEEE_F32LE, TEST_ROWS, DIM + 2));
}

static void test_has_no_rows(void)
{
    replace_dataset(path, "test", shaped(H5T_IEEE_F32LE, 0, DIM));
}

static void no_test(void)
{
    remove_dataset(path, "test");
}

static void neighbors_are_floats(void)
{
    replace_dataset(path, "neighbors", shaped(H5T_IEEE_F32LE, TEST_ROWS, NEIGHBORS));
}

static void neighbors_are_unsigned(void)
{
    replace_indices(path, "neighbors", shaped(H5T_STD_U32LE, TEST_ROWS, NEIGHBORS));
}

static void neighbors_are_short(void)
{
    replace_indices(path, "neighbors", shaped(H5T_STD_I16LE, TEST_ROWS, NEIGHBORS));
}

static void neighbors_are_few(void)
{
    replace_indices(path, "neighbors", shaped(H5T_STD_I64LE, TEST_ROWS - 1, NEIGHBORS));
}

static void neighbors_have_no_columns(void)
{
    replace_indices(path, "neighbors", shaped(H5T_STD_I64LE, TEST_ROWS, 0));
}

static void distances_are_narrow(void)
{
    replace_dataset(path, "distances", shaped(H5T_IEEE_F32LE, TEST_ROWS, NEIGHBORS - 1));
}

static void distance_is_a_number(void)
{
    set_number_attribute(path);
}

static void distance_is_two_texts(void)
{
    set_two_texts_attribute(path);
}

static void layouts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct fault faults[] = {
        {no_train, "train: no such data set; those of 32-bit floats are: distances, more/vectors, test"},
        {no_floats, "train: no such data set; the file has none of 32-bit floats"},
        {train_is_a_group, "train: HDF5 cannot open it: not a dataset"},
        {train_is_scalar, "train: has 0 dimensions; expected 2, rows and columns"},
        {train_is_a_line, "train: has 1 dimension; expected 2, rows and columns"},
        {train_is_a_block, "train: has 3 dimensions; expected 2, rows and columns"},
        {train_is_double, "train: holds 64-bit float values; expected 32-bit float"},
        {train_is_half, "train: holds 16-bit float values; expected 32-bit float"},
        {train_is_bytes, "train: holds 8-bit unsigned integer values; expected 32-bit float"},
        {train_is_int32, "train: holds 32-bit signed integer values; expected 32-bit float"},
        {train_is_text, "train: holds string values; expected 32-bit float"},
        {train_is_odd_float, "train: holds non-IEEE 32-bit float values; expected 32-bit float"},
        {train_has_no_rows, "train: has 0 rows of 5 columns; expected at least one of each"},
        {train_has_no_columns, "train: has 20 rows of 0 columns; expected at least one of each"},
        {train_is_beyond_counting, "train: 4611686018427387904 rows of 1048576 columns are too many"},
        {test_is_double, "test: holds 64-bit float values; expected 32-bit float"},
        {test_has_another_dim, "test: has 7 columns; expected 5, as train"},
        {test_has_no_rows, "test: has 0 rows of 5 columns; expected at least one of each"},
        {no_test, "neighbors: has 6 rows, but there is no data set 'test'"},
        {neighbors_are_floats, "neighbors: holds 32-bit float values; expected 32- or 64-bit signed integer"},
        {neighbors_are_unsigned,
         "neighbors: holds 32-bit unsigned integer values; expected 32- or 64-bit signed integer"},
        {neighbors_are_short,
         "neighbors: holds 16-bit signed integer values; expected 32- or 64-bit signed integer"},
        {neighbors_are_few, "neighbors: has 5 rows; expected 6, one for each row of test"},
        {neighbors_have_no_columns, "neighbors: has 6 rows of 0 columns; expected at least one of each"},
        {distances_are_narrow, "distances: is 6 x 3; expected 6 x 4, as neighbors"},
        {distance_is_a_number, "attribute 'distance' holds a 64-bit signed integer; expected a string"},
        {distance_is_two_texts, "attribute 'distance' holds 2 strings; expected one"},
    };
    const struct mh_dataset_options options = usual_options();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        make_usual();
        if (rank == 0)
            faults[i].change();
        MPI_Barrier(MPI_COMM_WORLD);
        expect_all_three(&options, true, faults[i].message);
    }
}

static void names_that_the_user_gave_must_exist(void **state)
{
    (void)state;
    struct mh_dataset_options options = usual_options();
    make_usual();
    options.test = "queries";
    expect_all_three(&options, true,
                     "queries: no such data set; those of 32-bit floats are: distances, test, train");
    options = usual_options();
    options.neighbors = "no/group";
    expect_all_three(&options, true,
                     "no/group: no such data set; those of 32-bit floats are: distances, test, train");
    options = usual_options();
    options.rows = TRAIN_ROWS + 1;
    expect_all_three(&options, true, "train: has 20 rows, but dataset.rows asks for 21");
}

static void long_lists_of_names_are_cut(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    struct mh_dataset_shape shape;
    make_usual();
    if (rank == 0) {
        for (int i = 0; i < 60; i++) {
            char name[32];
            snprintf(name, sizeof name, "a_rather_long_name_%02d", i);
            replace_dataset(path, name, shaped(H5T_IEEE_F32LE, 1, 1));
        }
        remove_dataset(path, "train");
    }
    MPI_Barrier(MPI_COMM_WORLD);
    const int rc = mh_dataset_inspect(&options, &shape, &err);
    all_true(rc == -1 && strstr(err.text, "a_rather_long_name_00, a_rather_long_name_01") &&
                 !strstr(err.text, "a_rather_long_name_59") && strlen(err.text) < sizeof err.text - 100,
             err.text);
}

static void set_then_expect(const char *name, int64_t row, int64_t column, double value, const char *message)
{
    const struct mh_dataset_options options = usual_options();
    if (rank == 0)
        set_element(path, name, row, column, value);
    MPI_Barrier(MPI_COMM_WORLD);
    expect_all_three(&options, false, message);
}

/* From the last row to the first: the lowest of many bad rows is the one told, whichever rank read it. */
static void odd_values_are_named_by_row_and_column(void **state)
{
    (void)state;
    char message[200];
    make_usual();
    for (int64_t row = TRAIN_ROWS - 1; row >= 0; row--) {
        const double odd = row % 3 == 0 ? NAN : row % 3 == 1 ? INFINITY : -INFINITY;
        snprintf(message, sizeof message, "train: row %lld holds %s at column %lld", (long long)row,
                 row % 3 ? "infinity" : "NaN", (long long)(row % DIM));
        set_then_expect("train", row, row % DIM, odd, message);
    }
}

static void neighbors_outside_train_are_named(void **state)
{
    (void)state;
    make_usual();
    for (int wide = 0; wide < 2; wide++) {
        if (rank == 0)
            replace_indices(path, "neighbors",
                            shaped(wide ? H5T_STD_I64BE : H5T_STD_I32LE, TEST_ROWS, NEIGHBORS));
        MPI_Barrier(MPI_COMM_WORLD);
        const struct mh_dataset_options options = usual_options();
        check_reading(&options, TRAIN_ROWS, DIM, 0);
        set_then_expect("neighbors", 5, 3, -1,
                        "neighbors: row 5 holds index -1 at column 3; expected 0 to 19, the rows of train");
        set_then_expect("neighbors", 2, 0, 20,
                        "neighbors: row 2 holds index 20 at column 0; expected 0 to 19, the rows of train");
    }
}

static void odd_test_vectors_are_found_by_examining(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    struct mh_dataset_shape shape;
    char expected[200];
    make_usual();
    if (rank == 0)
        set_element(path, "test", 4, 1, NAN);
    MPI_Barrier(MPI_COMM_WORLD);
    snprintf(expected, sizeof expected, "%s: test: row 4 holds NaN at column 1", path);
    all_told(mh_dataset_examine(&options, &shape, &err), expected);
}

static void expect_metric(enum mh_metric metric)
{
    const struct mh_dataset_options options = usual_options();
    struct mh_dataset_shape shape = {.metric = -1};
    MPI_Barrier(MPI_COMM_WORLD);
    const int rc = mh_dataset_inspect(&options, &shape, &err);
    all_true(rc == 0 && shape.metric == metric, "wrong metric");
    MPI_Barrier(MPI_COMM_WORLD);
}

static void the_distance_attribute_gives_the_metric(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum mh_metric metric;
    } known[] = {{"euclidean", MH_METRIC_L2}, {"angular", MH_METRIC_COSINE}, {"dot", MH_METRIC_IP},
                 {"ip", MH_METRIC_IP},        {"IP", MH_METRIC_IP},          {"jaccard", MH_METRIC_AUTO},
                 {"", MH_METRIC_AUTO},        {"euclideanx", MH_METRIC_AUTO}};
    make_usual();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        for (int variable = 0; variable < 2; variable++) {
            if (rank == 0)
                set_text_attribute(path, known[i].text, variable);
            expect_metric(known[i].metric);
        }
    }
    if (rank == 0)
        set_unterminated_attribute(path, "angular");
    expect_metric(MH_METRIC_COSINE);
    if (rank == 0)
        remove_attribute(path);
    expect_metric(MH_METRIC_AUTO);
}

/* ---- damaged files ---- */

static bool is_one_message(int rc)
{
    return rc == -1 && !strncmp(err.text, path, strlen(path)) && strlen(err.text) > strlen(path) + 5 &&
           !strchr(err.text, '\n');
}

static void check_cut(off_t length)
{
    const struct mh_dataset_options options = usual_options();
    struct mh_dataset_shape shape;
    if (rank == 0 && truncate(path, length))
        abort();
    const bool told = rank != 0 || is_one_message(mh_dataset_inspect(&options, &shape, &err));
    assert_true(told);
    if (length % 499 == 0) { /* collectively, for some */
        struct mh_dataset *d;
        MPI_Barrier(MPI_COMM_WORLD);
        all_true(is_one_message(open_world(&options, 0, &d)), err.text);
    }
}

static void cut_files_are_refused_at_every_length(void **state)
{
    (void)state;
    make_usual();
    struct stat status;
    stat(path, &status);
    MPI_Barrier(MPI_COMM_WORLD);
    for (off_t length = status.st_size - 1; length >= 0; length--)
        if (length % 7 == 0 || length < 200 || length > status.st_size - 50)
            check_cut(length);
}

static void a_cut_file_is_told_as_such(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    struct stat status;
    char message[200];
    make_usual();
    stat(path, &status);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0 && truncate(path, status.st_size - 10))
        abort();
    MPI_Barrier(MPI_COMM_WORLD);
    snprintf(message, sizeof message,
             "HDF5 cannot open it: truncated file: eof = %lld, sblock->base_addr = 0, stored_eof = %lld",
             (long long)status.st_size - 10, (long long)status.st_size);
    expect_all_three(&options, true, message);
}

/* Only the rank whose share holds the chunk fails to read; the others must not wait for it. */
static void a_spoilt_chunk_is_told_by_all(void **state)
{
    (void)state;
    const struct mh_dataset_options options = usual_options();
    const struct layout layout = {
        .type = H5T_IEEE_F32LE, .rank = 2, .extent = {40, 5}, .chunk = {1, 5}, .gzip = true};
    for (int64_t row = 0; row < 40; row += 13) {
        struct mh_dataset *d;
        if (rank == 0) {
            make_train_file(path, layout);
            spoil_chunk(path, "train", row);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        const int rc = open_world(&options, 0, &d);
        all_true(is_one_message(rc) && strstr(err.text, ": train: rows ") &&
                     strstr(err.text, " cannot be read: "),
                 err.text);
    }
}

/* ---- without MPI; must come first in the process ---- */

static struct {
    int good, bad;
    off_t printed; /* bytes on stderr */
    struct mh_dataset_shape shape;
} before_mpi;

static void use_before_mpi(void)
{
    char own[] = "/tmp/mh_dataset_XXXXXX", printed[] = "/tmp/mh_dataset_XXXXXX";
    struct mh_dataset_options options = usual_options();
    const int file = mkstemp(own), log = mkstemp(printed), kept = dup(2);
    if (file < 0 || log < 0 || kept < 0)
        abort();
    make_usual_file(own);
    options.path = own;
    dup2(log, 2);
    before_mpi.good = mh_dataset_examine(&options, &before_mpi.shape, &err);
    options.path = printed;
    before_mpi.bad = mh_dataset_examine(&options, &before_mpi.shape, &err);
    dup2(kept, 2);
    before_mpi.printed = lseek(log, 0, SEEK_END);
    close(kept);
    close(log);
    close(file);
    unlink(own);
    unlink(printed);
}

static void inspection_needs_no_mpi_and_prints_nothing(void **state)
{
    (void)state;
    assert_int_equal(before_mpi.good, 0);
    assert_int_equal(before_mpi.bad, -1);
    assert_int_equal(before_mpi.printed, 0);
    assert_int_equal(before_mpi.shape.train_rows, TRAIN_ROWS);
}

/* ---- the program ---- */

static hsize_t hdf5_objects(void)
{
    static const H5I_type_t types[] = {H5I_FILE,    H5I_GROUP, H5I_DATATYPE,   H5I_DATASPACE,
                                       H5I_DATASET, H5I_ATTR,  H5I_GENPROP_LST};
    hsize_t sum = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        hsize_t members = 0;
        H5Inmembers(types[i], &members);
        sum += members;
    }
    return sum;
}

static hsize_t objects_before;

static int count_before(void **state)
{
    (void)state;
    objects_before = hdf5_objects();
    return 0;
}

static int count_after(void **state)
{
    (void)state;
    const hsize_t objects = hdf5_objects();
    if (objects != objects_before)
        fprintf(stderr, "rank %d: %lld HDF5 objects leaked\n", rank, (long long)(objects - objects_before));
    return objects != objects_before;
}

#define CHECKED(test) cmocka_unit_test_setup_teardown(test, count_before, count_after)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        CHECKED(inspection_needs_no_mpi_and_prints_nothing),
        CHECKED(shares_cover_every_row_once),
        CHECKED(reads_take_at_most_64_mebibytes),
        CHECKED(every_row_is_read_whatever_the_number),
        CHECKED(every_row_is_read_whatever_the_layout),
        CHECKED(a_usual_file_gives_its_shape),
        CHECKED(only_the_first_rows_are_used_when_asked),
        CHECKED(neighbors_are_kept_unless_the_set_is_cut),
        CHECKED(names_may_be_paths_and_unused_sets_left_out),
        CHECKED(rows_never_written_read_as_zero),
        CHECKED(large_shares_are_read_in_pieces),
        CHECKED(each_node_has_a_whole_copy),
        CHECKED(other_communicators_do),
        CHECKED(a_file_missing_on_one_node_is_named),
        CHECKED(a_refused_window_is_told),
        CHECKED(too_little_room_is_told_beforehand),
        CHECKED(synthetic_rows_are_the_same_everywhere),
        CHECKED(synthetic_rows_depend_on_seed_and_row),
        CHECKED(synthetic_scatter_depends_on_the_seed),
        CHECKED(synthetic_rows_form_clusters),
        CHECKED(synthetic_mistakes_are_told),
        CHECKED(what_is_no_hdf5_file_is_refused),
        CHECKED(layouts_that_do_not_fit_are_refused),
        CHECKED(names_that_the_user_gave_must_exist),
        CHECKED(long_lists_of_names_are_cut),
        CHECKED(odd_values_are_named_by_row_and_column),
        CHECKED(neighbors_outside_train_are_named),
        CHECKED(odd_test_vectors_are_found_by_examining),
        CHECKED(the_distance_attribute_gives_the_metric),
        CHECKED(cut_files_are_refused_at_every_length),
        CHECKED(a_cut_file_is_told_as_such),
        CHECKED(a_spoilt_chunk_is_told_by_all),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/mh_dataset_XXXXXX");
    if (rank == 0 && !mkdtemp(folder))
        abort();
    MPI_Bcast(folder, sizeof folder, MPI_BYTE, 0, MPI_COMM_WORLD);
    snprintf(path, sizeof path, "%s/data.hdf5", folder);
    snprintf(other_path, sizeof other_path, "%s/other.hdf5", folder);
    gethostname(node, sizeof node);
}

int main(void)
{
    use_before_mpi();
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    make_folder();
    int failed = run_all();
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0) {
        unlink(path);
        rmdir(folder);
    }
    MPI_Finalize();
    return failed != 0;
}
