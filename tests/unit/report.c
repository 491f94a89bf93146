#include "result/report.h"
#include "report/sample.h"
#include "result/fields.h"

#include <mpi.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#define FLIPS        400
#define FATES_A_RANK 30000 /* several chunks, borders within chunks */

static int rank, np;
static char directory[256];

/* ---- Helpers ---- */

static const char *in_directory(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static char *read_file(const char *path, size_t *length)
{
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    fseek(in, 0, SEEK_END);
    *length = (size_t)ftell(in);
    rewind(in);
    char *bytes = calloc(*length + 1, 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *length, in), *length);
    fclose(in);
    return bytes;
}

static void write_file(const char *path, const char *bytes, size_t length)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Rank 1 has none: it must join all the same. */
static int64_t fates_of(int of_rank)
{
    return of_rank == 1 ? 0 : FATES_A_RANK + of_rank;
}

static struct mh_report_fate *make_fates(void)
{
    const int64_t count = fates_of(rank);
    struct mh_report_fate *fates = calloc((size_t)count + 1, sizeof *fates);
    assert_non_null(fates);
    for (int64_t i = 0; i < count; i++)
        fates[i] = (struct mh_report_fate){.first = (rank * (int64_t)FATES_A_RANK + i) * 10,
                                           .count = 10,
                                           .worker = rank,
                                           .partition = 1,
                                           .insert = 3,
                                           .version = (int32_t)i % 5,
                                           .flags = 0x1000};
    return fates;
}

static int write_sample(const char *path, void (*make)(struct mh_report *), struct mh_error *err)
{
    struct mh_report report = {0};
    struct mh_report_fate *fates = make_fates();
    if (rank == 0)
        make(&report);
    const int rc = mh_report_write(path, &report, fates, fates_of(rank), MPI_COMM_WORLD, err);
    free(fates);
    mh_report_free(&report);
    return rc;
}

static void write_good(const char *path, void (*make)(struct mh_report *))
{
    struct mh_error err = {0};
    if (write_sample(path, make, &err))
        fail_msg("%s", err.text);
}

static json_t *json_of(const struct mh_report *report)
{
    struct mh_error err = {0};
    const char *path = in_directory("of.json");
    assert_int_equal(mh_report_json(path, report, "x.h5", &err), 0);
    json_error_t where;
    json_t *root = json_load_file(path, 0, &where);
    if (!root)
        fail_msg("%s:%d: %s", path, where.line, where.text);
    return root;
}

static void expect_error(const char *path, const char *word)
{
    struct mh_report report;
    struct mh_error err = {0};
    assert_int_equal(mh_report_read(path, &report, &err), -1);
    if (!strstr(err.text, word) || !strstr(err.text, path) || strchr(err.text, '\n'))
        fail_msg("expected \"%s\" and the path in one line: %s", word, err.text);
}

/* HDF5 leaks object headers that it finds damaged. What we allocate never stands below it in a stack; what we
 * forget to close is found by counting identifiers. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5_openmpi.so\n";
}

struct identifiers {
    int64_t of[5];
};

static struct identifiers open_identifiers(void)
{
    static const H5I_type_t types[] = {H5I_FILE, H5I_DATATYPE, H5I_DATASPACE, H5I_ATTR, H5I_GENPROP_LST};
    struct identifiers open = {0};
    for (int i = 0; i < 5; i++) {
        hsize_t count = 0;
        H5Inmembers(types[i], &count);
        open.of[i] = (int64_t)count;
    }
    assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    return open;
}

/* ---- Write and read ---- */

static void compare_histograms(const struct mh_histogram *a, const struct mh_histogram *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->clamped, b->clamped);
    assert_int_equal(a->min_ns, b->min_ns);
    assert_int_equal(a->max_ns, b->max_ns);
    assert_true(a->sum_ns == b->sum_ns);
    assert_memory_equal(a->counts, b->counts, (size_t)mh_histogram_length() * sizeof *a->counts);
}

static void compare_violations(const struct mh_report *a, const struct mh_report *b)
{
    assert_int_equal(a->violation_count, b->violation_count);
    for (int64_t i = 0; i < a->violation_count; i++) {
        assert_memory_equal(&a->violations[i].row, &b->violations[i].row, sizeof a->violations[i].row);
        assert_string_equal(a->violations[i].partition, b->violations[i].partition);
        assert_string_equal(a->violations[i].seen_partition, b->violations[i].seen_partition);
    }
}

static void compare(const struct mh_report *a, const struct mh_report *b)
{
    json_t *one = json_of(a), *other = json_of(b);
    assert_true(json_equal(one, other)); /* all fields of all tables */
    json_decref(one);
    json_decref(other);
    assert_int_equal(a->operation_count, b->operation_count);
    for (int64_t i = 0; i < a->operation_count; i++) {
        compare_histograms(&a->operations[i].tally->due, &b->operations[i].tally->due);
        compare_histograms(&a->operations[i].tally->sent, &b->operations[i].tally->sent);
        assert_string_equal(a->operations[i].latency_name, b->operations[i].latency_name);
    }
    compare_violations(a, b);
}

static void expect_same(const char *path, void (*make)(struct mh_report *))
{
    struct mh_report wanted, got;
    struct mh_error err = {0};
    const struct identifiers before = open_identifiers();
    if (mh_report_read(path, &got, &err))
        fail_msg("%s", err.text);
    const struct identifiers after = open_identifiers();
    assert_memory_equal(&before, &after, sizeof before);
    make(&wanted);
    compare(&wanted, &got);
    mh_report_free(&wanted);
    mh_report_free(&got);
}

static void expect_ledger(const char *path)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t dataset = H5Dopen2(file, "truth/ledger", H5P_DEFAULT);
    struct mh_result_layout layout;
    mh_result_in_place(mh_result_fate_fields, sizeof(struct mh_report_fate), &layout);
    const hid_t type = mh_result_row_type(mh_result_fate_fields, &layout);
    hsize_t total = 0, wanted = 0;
    const hid_t space = H5Dget_space(dataset);
    H5Sget_simple_extent_dims(space, &total, NULL);
    for (int r = 0; r < np; r++)
        wanted += (hsize_t)fates_of(r);
    assert_int_equal(total, wanted);
    struct mh_report_fate *fates = calloc(total, sizeof *fates);
    assert_true(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, fates) >= 0);
    hsize_t at = 0;
    for (int r = 0; r < np; r++)
        for (int64_t i = 0; i < fates_of(r); i++, at++) {
            const struct mh_report_fate *f = &fates[at];
            const bool same = f->first == (r * (int64_t)FATES_A_RANK + i) * 10 && f->count == 10 &&
                              f->worker == r && f->partition == 1 && f->insert == 3 && f->version == i % 5 &&
                              f->flags == 0x1000;
            assert_true(same);
        }
    free(fates);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void test_round_trip(void **state)
{
    (void)state;
    static void (*const samples[])(struct mh_report *) = {sample_good, sample_violated, sample_empty};
    for (int i = 0; i < 3; i++) {
        char name[32], temporary[96];
        snprintf(name, sizeof name, "round-%d.h5", i);
        write_good(in_directory(name), samples[i]);
        if (rank)
            continue;
        snprintf(temporary, sizeof temporary, "%s.tmp-20261123T210507Z-%s", name,
                 i == 2 ? "00000000" : "1a2b3c4d");
        assert_false(exists(in_directory(temporary)));
        expect_same(in_directory(name), samples[i]);
        expect_ledger(in_directory(name));
    }
}

static void test_no_ledger(void **state)
{
    (void)state;
    struct mh_report report = {0};
    struct mh_error err = {0};
    if (rank == 0)
        sample_good(&report);
    if (mh_report_write(in_directory("no-ledger.h5"), &report, NULL, 0, MPI_COMM_WORLD, &err))
        fail_msg("%s", err.text);
    mh_report_free(&report);
    if (rank == 0)
        expect_same(in_directory("no-ledger.h5"), sample_good);
}

static void test_printed_the_same_after_reading(void **state)
{
    (void)state;
    write_good(in_directory("printed.h5"), sample_violated);
    if (rank)
        return;
    struct mh_report reports[2];
    struct mh_error err = {0};
    char *texts[2];
    size_t sizes[2];
    sample_violated(&reports[0]);
    assert_int_equal(mh_report_read(in_directory("printed.h5"), &reports[1], &err), 0);
    for (int i = 0; i < 2; i++) {
        FILE *out = open_memstream(&texts[i], &sizes[i]);
        mh_report_print(out, &reports[i], "x.h5");
        fclose(out);
        mh_report_free(&reports[i]);
    }
    assert_string_equal(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}

/* ---- What goes wrong when writing ---- */

static void test_never_overwrites(void **state)
{
    (void)state;
    const char *path = in_directory("taken.h5");
    if (rank == 0)
        write_file(path, "mine", 4);
    MPI_Barrier(MPI_COMM_WORLD);
    struct mh_error err = {0};
    assert_int_equal(write_sample(path, sample_good, &err), -1);
    assert_non_null(strstr(err.text, "exists already and is not overwritten"));
    const char *temporary = in_directory("taken.h5.tmp-20261123T210507Z-1a2b3c4d");
    assert_non_null(strstr(err.text, temporary));
    if (rank)
        return;
    size_t length;
    char *bytes = read_file(path, &length);
    assert_string_equal(bytes, "mine");
    free(bytes);
    expect_same(temporary, sample_good);
    expect_ledger(temporary);
}

static void test_keeps_another_temporary(void **state)
{
    (void)state;
    const char *path = in_directory("again.h5"),
               *temporary = in_directory("again.h5.tmp-20261123T210507Z-1a2b3c4d");
    if (rank == 0)
        write_file(temporary, "earlier", 7);
    MPI_Barrier(MPI_COMM_WORLD);
    struct mh_error err = {0};
    assert_int_equal(write_sample(path, sample_good, &err), -1);
    assert_non_null(strstr(err.text, temporary));
    if (rank)
        return;
    size_t length;
    char *bytes = read_file(temporary, &length);
    assert_string_equal(bytes, "earlier");
    free(bytes);
    assert_false(exists(path));
}

static void test_bad_directory(void **state)
{
    (void)state;
    const char *const paths[] = {in_directory("none/x.h5"), in_directory("file/x.h5"), "/proc/x.h5"};
    const char *const words[] = {"No such file or directory", "Not a directory",
                                 "cannot create files in /proc"};
    if (rank == 0)
        write_file(in_directory("file"), "", 0);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < 3; i++) {
        struct mh_error err = {0};
        assert_int_equal(write_sample(paths[i], sample_good, &err), -1);
        if (!strstr(err.text, words[i]) || !strstr(err.text, paths[i]))
            fail_msg("%s", err.text);
        assert_int_equal(mh_report_check_output(paths[i], &err), -1);
        assert_non_null(strstr(err.text, words[i]));
    }
}

static void test_check_output(void **state)
{
    (void)state;
    if (rank)
        return;
    struct mh_error err = {0};
    assert_int_equal(mh_report_check_output(in_directory("free.h5"), &err), 0);
    assert_false(exists(in_directory("free.h5")));
    write_file(in_directory("there.h5"), "", 0);
    assert_int_equal(mh_report_check_output(in_directory("there.h5"), &err), -1);
    assert_non_null(strstr(err.text, "exists already"));
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* A limit on the size of files fails as a full disk does. */
static void test_full_disk(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    if (rank == 0)
        limit_files(20000);
    struct mh_error err = {0};
    const int rc = write_sample(in_directory("full.h5"), sample_violated, &err);
    if (rank == 0)
        limit_files(RLIM_INFINITY);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, "full.h5"));
    assert_non_null(strstr(err.text, "File too large"));
    if (rank)
        return;
    assert_false(exists(in_directory("full.h5")));
    assert_false(exists(in_directory("full.h5.tmp-20261123T210507Z-1a2b3c4d")));
    open_identifiers(); /* no file is left open */
}

/* The tables fit, the ledger does not: what is there stays and can be read. */
static void test_no_room_for_the_ledger(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    if (rank == 0)
        limit_files(600000);
    struct mh_error err = {0};
    const int rc = write_sample(in_directory("half.h5"), sample_violated, &err);
    if (rank == 0)
        limit_files(RLIM_INFINITY);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, "for the ledger: File too large"));
    const char *temporary = in_directory("half.h5.tmp-20261123T210507Z-1a2b3c4d");
    assert_non_null(strstr(err.text, temporary));
    if (rank)
        return;
    assert_false(exists(in_directory("half.h5")));
    expect_same(temporary, sample_violated);
}

/* What was reserved for the ledger is given back. */
static void test_takes_no_more_room_than_it_needs(void **state)
{
    (void)state;
    write_good(in_directory("small.h5"), sample_good);
    if (rank)
        return;
    struct stat info;
    assert_int_equal(stat(in_directory("small.h5"), &info), 0);
    assert_in_range((long long)info.st_blocks * 512, 0, (long long)info.st_size + 65536);
}

/* ---- What goes wrong when reading ---- */

static void test_not_a_result(void **state)
{
    (void)state;
    if (rank)
        return;
    expect_error(in_directory("nothing.h5"), "No such file or directory");
    expect_error(directory, "is not a file");
    write_file(in_directory("text.h5"), "server: {}\n", 11);
    expect_error(in_directory("text.h5"), "is not a readable HDF5 file");
    write_file(in_directory("empty.h5"), "", 0);
    expect_error(in_directory("empty.h5"), "is not a readable HDF5 file");
    const char *foreign = in_directory("foreign.h5");
    H5Fclose(H5Fcreate(foreign, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    expect_error(foreign, "not a milvus-hpc result");
}

static void test_other_version(void **state)
{
    (void)state;
    const char *path = in_directory("version.h5");
    write_good(path, sample_good);
    if (rank)
        return;
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t attribute = H5Aopen(file, "format_version", H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT32, &(int32_t){7});
    H5Aclose(attribute);
    H5Fclose(file);
    expect_error(path, "format version 7; this program reads version 2");
}

/* Takes one thing away after the other: each must be missed by name. */
static void test_missing_parts(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "ranks",   "job/options", "job/text", "truth/violations", "latency/crud/insert/due",
        "latency", "server"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char name[32];
        snprintf(name, sizeof name, "missing-%zu.h5", i);
        write_good(in_directory(name), sample_good);
        if (rank)
            continue;
        const hid_t file = H5Fopen(in_directory(name), H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(H5Ldelete(file, parts[i], H5P_DEFAULT) >= 0);
        H5Fclose(file);
        expect_error(in_directory(name), parts[i]);
    }
}

static void test_changed_table(void **state)
{
    (void)state;
    const char *path = in_directory("changed.h5");
    write_good(path, sample_good);
    if (rank)
        return;
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(file, "ranks", H5P_DEFAULT);
    const hid_t type = H5Tcreate(H5T_COMPOUND, 4);
    H5Tinsert(type, "rank", 0, H5T_NATIVE_FLOAT);
    const hid_t space = H5Screate_simple(1, &(hsize_t){2}, NULL);
    H5Dclose(H5Dcreate2(file, "ranks", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    H5Sclose(space);
    H5Tclose(type);
    expect_error(path, "/ranks: field rank is of an unexpected type");
}

/* More texts than one would be read over the end of the room for one. */
static void test_several_job_texts(void **state)
{
    (void)state;
    const char *path = in_directory("texts.h5");
    write_good(path, sample_good);
    if (rank)
        return;
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Ldelete(file, "job/text", H5P_DEFAULT);
    const hid_t type = mh_result_text_type(4);
    const hid_t space = H5Screate_simple(1, &(hsize_t){1000}, NULL);
    H5Dclose(H5Dcreate2(file, "job/text", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    H5Sclose(space);
    H5Tclose(type);
    expect_error(path, "/job/text: is not a single text");
}

/* Reads must end, with or without an error, and leave nothing open. */
static int read_and_forget(const char *path)
{
    struct mh_report report;
    struct mh_error err = {0};
    const struct identifiers before = open_identifiers();
    const int rc = mh_report_read(path, &report, &err);
    const struct identifiers after = open_identifiers();
    assert_memory_equal(&before, &after, sizeof before);
    if (rc == 0)
        mh_report_free(&report);
    else
        assert_true(*err.text && !strchr(err.text, '\n'));
    return rc;
}

static void test_cut(void **state)
{
    (void)state;
    write_good(in_directory("whole.h5"), sample_violated);
    if (rank)
        return;
    size_t length;
    char *bytes = read_file(in_directory("whole.h5"), &length);
    const char *path = in_directory("cut.h5");
    for (size_t i = 0; i < 200; i++) {
        write_file(path, bytes, i < 100 ? i * 20 : length * (i - 100) / 100);
        assert_int_equal(read_and_forget(path), -1);
    }
    write_file(path, bytes, length - 1);
    assert_int_equal(read_and_forget(path), -1);
    free(bytes);
}

static void test_flipped(void **state)
{
    (void)state;
    write_good(in_directory("sound.h5"), sample_violated);
    if (rank)
        return;
    size_t length;
    char *bytes = read_file(in_directory("sound.h5"), &length);
    const char *path = in_directory("flipped.h5");
    uint64_t random = 88172645463325252;
    int refused = 0;
    for (int i = 0; i < FLIPS; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        char *at = &bytes[(random >> 8) % length];
        const char was = *at;
        *at = (char)(was ^ (1 << (random & 7)));
        write_file(path, bytes, length);
        refused += read_and_forget(path) != 0;
        *at = was;
    }
    assert_true(refused > 0);
    free(bytes);
}

/* ---- Text and JSON ---- */

static void compare_golden(void (*make)(struct mh_report *), const char *name)
{
    struct mh_report report;
    char *text, golden_path[512];
    size_t size, length;
    make(&report);
    FILE *out = open_memstream(&text, &size);
    mh_report_print(out, &report, "results/crud.h5");
    fclose(out);
    mh_report_free(&report);
    snprintf(golden_path, sizeof golden_path, MH_SOURCE "/tests/unit/report/%s", name);
    char *golden = read_file(golden_path, &length);
    assert_string_equal(text, golden);
    free(golden);
    free(text);
}

static void test_summary(void **state)
{
    (void)state;
    if (rank)
        return;
    compare_golden(sample_good, "good.txt");
    compare_golden(sample_violated, "violated.txt");
    compare_golden(sample_empty, "empty.txt");
}

static void test_summary_fits(void **state)
{
    (void)state;
    if (rank)
        return;
    struct mh_report report;
    char *text, *rest;
    size_t size;
    sample_violated(&report);
    FILE *out = open_memstream(&text, &size);
    mh_report_print(out, &report, "results/crud.h5");
    fclose(out);
    mh_report_free(&report);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_in_range(strlen(line), 0, 100);
        for (const char *c = line; *c; c++)
            assert_in_range((unsigned char)*c, ' ', '~');
    }
    free(text);
}

static int64_t json_figure(const json_t *root, const char *group, const char *name)
{
    const json_t *value = json_object_get(json_object_get(json_object_get(root, "truth"), group), name);
    return json_is_null(value) ? -1 : json_integer_value(value);
}

static void test_json(void **state)
{
    (void)state;
    if (rank)
        return;
    struct mh_report report;
    sample_violated(&report);
    json_t *root = json_of(&report);
    for (int64_t i = 0; i < report.figure_count; i++)
        assert_int_equal(json_figure(root, "summary", report.figures[i].name), report.figures[i].value);
    const json_t *operation = json_array_get(json_object_get(root, "operations"), 0);
    const struct mh_tally *tally = report.operations[0].tally;
    assert_int_equal(json_integer_value(json_object_get(operation, "throttled")), tally->throttled);
    assert_int_equal(json_integer_value(json_object_get(operation, "due_p99_ns")),
                     mh_histogram_quantile(&tally->due, 0.99));
    assert_int_equal(json_integer_value(json_object_get(operation, "latency_count")), tally->due.count);
    assert_true(json_real_value(json_object_get(operation, "rows_per_second")) == 5000);
    const json_t *lost = json_array_get(json_object_get(json_object_get(root, "truth"), "violations"), 8);
    assert_string_equal(json_string_value(json_object_get(lost, "kind")), "lost");
    assert_string_equal(json_string_value(json_object_get(lost, "write")), "insert");
    assert_string_equal(json_string_value(json_object_get(root, "seed")), "18364758544493064720");
    assert_string_equal(json_string_value(json_object_get(root, "result_file")), "x.h5");
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "job"), "text")),
                        report.job_text);
    json_decref(root);
    mh_report_free(&report);
}

static void test_json_not_writable(void **state)
{
    (void)state;
    if (rank)
        return;
    struct mh_report report;
    struct mh_error err = {0};
    sample_empty(&report);
    assert_int_equal(mh_report_json(in_directory("none/x.json"), &report, NULL, &err), -1);
    assert_non_null(strstr(err.text, "none/x.json: cannot be created: No such file or directory"));
    mh_report_free(&report);
}

static void test_clean_text(void **state)
{
    (void)state;
    char out[16];
    mh_result_clean("a\x1b\n\xc3\xbc\xff\xed\xa0\x80z", true, out, sizeof out);
    assert_string_equal(out, "a  \xc3\xbc????z");
    mh_result_clean("a\xc2\x9b"
                    "31m\xc2\xa0",
                    true, out, sizeof out); /* CSI in one character */
    assert_string_equal(out, "a  31m\xc2\xa0");
    mh_result_clean("a\nb", false, out, sizeof out);
    assert_string_equal(out, "a\nb");
    mh_result_clean("12\xc3\xbc", true, out, 4);
    assert_string_equal(out, "12");
    mh_result_clean("1\xc3", true, out, sizeof out);
    assert_string_equal(out, "1?");
}

/* A file made by somebody else: none of its texts may speak to the terminal. */
static void test_evidence_is_clean(void **state)
{
    (void)state;
    static const char evil[] = "\x1b]0;x\x07\xc2\x9b"
                               "2J\xff\t";
    struct mh_report report;
    struct mh_error err;
    char *text;
    size_t length;
    sample_violated(&report);
    char *const texts[] = {report.verdict,
                           report.server_version,
                           report.server_uri,
                           report.collection,
                           report.dataset,
                           report.run_id,
                           report.parent,
                           report.violations[5].partition,
                           report.violations[5].seen_partition};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        strcpy(texts[i], evil);
    free(report.job_text);
    report.job_text = strdup(evil);
    free(report.options[0].value);
    report.options[0].value = strdup(evil);
    FILE *out = open_memstream(&text, &length);
    assert_int_equal(mh_report_print_evidence(out, &report, evil, &err), 0);
    fclose(out);
    assert_non_null(strstr(text, " ]0;x   2J? "));
    assert_non_null(strstr(text, "\n### misplaced: 1 row\n"));
    for (size_t i = 0; i < length; i++)
        assert_true(text[i] == '\n' || ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f));
    assert_null(strstr(text, "\xc2\x9b"));
    free(text);
    mh_report_free(&report);
}

static void test_figures(void **state)
{
    (void)state;
    struct mh_report report;
    sample_good(&report);
    assert_int_equal(mh_report_figure(&report, "expected_live"), 160100);
    assert_int_equal(mh_report_figure(&report, "recall"), -1);
    mh_report_free(&report);
}

/* ---- For readers without this program ---- */

static void expect_documented(const char *page, const struct mh_result_field *fields)
{
    for (; fields->name; fields++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "`%s`", fields->name);
        if (!strstr(page, quoted))
            fail_msg("docs/results.md does not have %s", quoted);
    }
}

static void test_documented(void **state)
{
    (void)state;
    if (rank)
        return;
    size_t length;
    char *page = read_file(MH_SOURCE "/docs/results.md", &length);
    expect_documented(page, mh_result_root);
    expect_documented(page, mh_result_fate_fields);
    expect_documented(page, mh_result_bucket_fields);
    expect_documented(page, mh_result_histogram_attributes);
    for (const struct mh_result_table *table = mh_result_tables; table->path; table++) {
        char path[64];
        snprintf(path, sizeof path, "`/%s`", table->path);
        if (!strstr(page, path))
            fail_msg("docs/results.md does not have %s", path);
        expect_documented(page, table->fields);
    }
    free(page);
}

static void test_h5dump(void **state)
{
    (void)state;
    write_good(in_directory("dumped.h5"), sample_violated);
    if (rank)
        return;
    if (!*MH_H5DUMP)
        skip();
    char command[1024];
    snprintf(command, sizeof command, "'%s' '%s' > '%s'", MH_H5DUMP, in_directory("dumped.h5"),
             in_directory("dump.txt"));
    assert_int_equal(system(command), 0);
    size_t length;
    char *dump = read_file(in_directory("dump.txt"), &length);
    static const char *const words[] = {"\"20261123T210507Z-1a2b3c4d\"",
                                        "\"resurrected\"",
                                        "\"low_edge_ns\"",
                                        "DATASET \"ledger\"",
                                        "\"DEADLINE_EXCEEDED\"",
                                        "TRUE"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(dump, words[i]))
            fail_msg("h5dump does not show %s", words[i]);
    free(dump);
}

/* ---- main ---- */

static void make_directory(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/unit_report-XXXXXX", base ? base : "/tmp");
    if (rank == 0 && !mkdtemp(directory))
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Bcast(directory, sizeof directory, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static void remove_directory(void)
{
    char command[512];
    snprintf(command, sizeof command, "rm -r '%s'", directory);
    if (rank == 0 && system(command) != 0)
        fprintf(stderr, "%s stays\n", directory);
}

/* unit_report good > tests/unit/report/good.txt */
static int print_sample(const char *name)
{
    struct mh_report report;
    if (strcmp(name, "good") == 0)
        sample_good(&report);
    else if (strcmp(name, "violated") == 0)
        sample_violated(&report);
    else
        sample_empty(&report);
    mh_report_print(stdout, &report, "results/crud.h5");
    mh_report_free(&report);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return print_sample(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_ledger),
        cmocka_unit_test(test_printed_the_same_after_reading),
        cmocka_unit_test(test_never_overwrites),
        cmocka_unit_test(test_keeps_another_temporary),
        cmocka_unit_test(test_bad_directory),
        cmocka_unit_test(test_check_output),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_no_room_for_the_ledger),
        cmocka_unit_test(test_takes_no_more_room_than_it_needs),
        cmocka_unit_test(test_not_a_result),
        cmocka_unit_test(test_other_version),
        cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_changed_table),
        cmocka_unit_test(test_several_job_texts),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_summary_fits),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_not_writable),
        cmocka_unit_test(test_clean_text),
        cmocka_unit_test(test_evidence_is_clean),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_h5dump),
    };
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &np);
    make_directory();
    const int failed = cmocka_run_group_tests_name("report", tests, NULL, NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    remove_directory();
    MPI_Finalize();
    return failed;
}
