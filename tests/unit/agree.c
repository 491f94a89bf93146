/* Runs alone and under mpirun. */
#include "comm/comm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int rank, ranks;

/* ---- every blocking wait is a failure ---- */

int MPI_Wait(MPI_Request *request, MPI_Status *status)
{
    (void)request, (void)status;
    abort();
}

int MPI_Barrier(MPI_Comm comm)
{
    (void)comm;
    abort();
}

int MPI_Bcast(void *data, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    (void)data, (void)count, (void)type, (void)root, (void)comm;
    abort();
}

int MPI_Allreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    (void)from, (void)to, (void)count, (void)type, (void)op, (void)comm;
    abort();
}

/* ---- what is sent ---- */

static int largest_bcast;

int MPI_Ibcast(void *data, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request)
{
    largest_bcast = count > largest_bcast ? count : largest_bcast;
    return PMPI_Ibcast(data, count, type, root, comm, request);
}

static void sums_come_to_every_rank(void **state)
{
    (void)state;
    int64_t values[3] = {rank, 1, INT64_C(1) << 40};
    mh_comm_sum_i64(MPI_COMM_WORLD, values, 3);
    assert_int_equal(values[0], ranks * (ranks - 1) / 2);
    assert_int_equal(values[1], ranks);
    assert_int_equal(values[2], ranks * (INT64_C(1) << 40));
}

static void any_root_can_broadcast(void **state)
{
    (void)state;
    enum { BYTES = 3 << 20 };
    unsigned char *data = malloc(BYTES);
    assert_non_null(data);
    for (int root = 0; root < ranks; root++) {
        for (int i = 0; i < BYTES; i++)
            data[i] = rank == root ? (unsigned char)(i * 7 + root) : 0xee;
        mh_comm_bcast(MPI_COMM_WORLD, data, BYTES, root);
        for (int i = 0; i < BYTES; i++)
            assert_int_equal(data[i], (unsigned char)(i * 7 + root));
    }
    largest_bcast = 0;
    mh_comm_bcast(MPI_COMM_WORLD, data, 0, 0);
    assert_int_equal(largest_bcast, 0);
    free(data);
}

static void agreement_is_silent(void **state)
{
    (void)state;
    struct mh_error err = {"untouched"};
    assert_int_equal(mh_comm_agree(MPI_COMM_WORLD, 0, &err), 0);
    assert_string_equal(err.text, "untouched");
}

/* Every set of failing ranks: all learn the text of the lowest. */
static void the_lowest_failing_rank_is_heard(void **state)
{
    (void)state;
    for (int failing = 1; failing < 1 << ranks; failing++) {
        struct mh_error err = {"nothing"};
        char expected[64];
        const int rc = failing >> rank & 1 ? mh_fail(&err, "rank %d, case %d", rank, failing) : 0;
        assert_int_equal(mh_comm_agree(MPI_COMM_WORLD, rc, &err), -1);
        snprintf(expected, sizeof expected, "rank %d, case %d", __builtin_ctz((unsigned)failing), failing);
        assert_string_equal(err.text, expected);
    }
}

static void long_messages_arrive_whole(void **state)
{
    (void)state;
    struct mh_error err = {""}, expected;
    memset(expected.text, 'x', sizeof expected.text - 1);
    expected.text[sizeof expected.text - 1] = '\0';
    const int rc = rank == ranks - 1 ? mh_fail(&err, "%s", expected.text) : 0;
    assert_int_equal(mh_comm_agree(MPI_COMM_WORLD, rc, &err), -1);
    assert_string_equal(err.text, expected.text);
}

typedef int gathering(MPI_Comm comm, const void *mine, size_t bytes, void **all, size_t *total,
                      struct mh_error *err);

/* Rank r has 3 r bytes of r + 1, rank 0 none. */
static void expect_all(gathering *gather, bool here)
{
    unsigned char mine[3 * 64];
    struct mh_error err;
    void *all = NULL;
    size_t total = 0, at = 0;
    assert_true(ranks <= 64);
    memset(mine, rank + 1, sizeof mine);
    assert_int_equal(gather(MPI_COMM_WORLD, mine, 3 * (size_t)rank, &all, &total, &err), 0);
    assert_int_equal(total, here ? 3 * ranks * (ranks - 1) / 2 : 0);
    assert_int_equal(all != NULL, here);
    const unsigned char *bytes = all;
    for (int r = 0; bytes && r < ranks; r++)
        for (int i = 0; i < 3 * r; i++)
            assert_int_equal(bytes[at++], r + 1);
    free(all);
}

static void bytes_come_to_every_rank_in_order(void **state)
{
    (void)state;
    expect_all(mh_comm_gather_bytes, true);
}

static void bytes_come_to_rank_0_alone(void **state)
{
    (void)state;
    expect_all(mh_comm_collect_bytes, rank == 0);
}

/* The clock of a run's phases looks at them. */
static void waits_are_counted(void **state)
{
    (void)state;
    const struct mh_comm_waits before = mh_comm_waits();
    int64_t value = 1;
    mh_comm_sum_i64(MPI_COMM_WORLD, &value, 1);
    mh_comm_max_i64(MPI_COMM_WORLD, &value, 1);
    const struct mh_comm_waits after = mh_comm_waits();
    assert_int_equal(after.count - before.count, 2);
    assert_true(after.ns > before.ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_come_to_every_rank),    cmocka_unit_test(any_root_can_broadcast),
        cmocka_unit_test(agreement_is_silent),        cmocka_unit_test(the_lowest_failing_rank_is_heard),
        cmocka_unit_test(long_messages_arrive_whole), cmocka_unit_test(bytes_come_to_every_rank_in_order),
        cmocka_unit_test(bytes_come_to_rank_0_alone), cmocka_unit_test(waits_are_counted),
    };
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const int failed = cmocka_run_group_tests_name("agree", tests, NULL, NULL);
    MPI_Finalize();
    return failed != 0;
}
