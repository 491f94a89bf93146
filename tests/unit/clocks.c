/* Clocks of nodes that differ, compared. Runs alone and under mpirun, where each rank is a node of its own
 * with a clock of its own. */
#include "base/clock.h"
#include "comm/comm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int rank, ranks, messages;
static int64_t ahead_ns; /* this rank's clock, of the machine's */

static int64_t ahead_of(int64_t which)
{
    return which * 1000 * MH_S - which % 3 * 7777 * MH_MS;
}

/* ---- a clock and a node for each rank ---- */

int clock_gettime(clockid_t id, struct timespec *t)
{
    const int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (rc == 0 && id == CLOCK_MONOTONIC) {
        const int64_t ns = (int64_t)t->tv_sec * MH_S + t->tv_nsec + ahead_ns;
        *t = (struct timespec){.tv_sec = (time_t)(ns / MH_S), .tv_nsec = (long)(ns % MH_S)};
    }
    return rc;
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *node)
{
    (void)type, (void)info;
    return PMPI_Comm_split(comm, rank, key, node);
}

int MPI_Sendrecv(const void *out, int out_count, MPI_Datatype out_type, int to, int out_tag, void *in,
                 int in_count, MPI_Datatype in_type, int from, int in_tag, MPI_Comm comm, MPI_Status *status)
{
    messages++;
    return PMPI_Sendrecv(out, out_count, out_type, to, out_tag, in, in_count, in_type, from, in_tag, comm,
                         status);
}

int MPI_Send(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm)
{
    messages++;
    return PMPI_Send(data, count, type, to, tag, comm);
}

static int levels(void)
{
    int count = 0;
    while (1 << count < ranks)
        count++;
    return count;
}

/* ---- what is to be ---- */

static void every_clock_is_known_to_within_its_doubt(void **state)
{
    (void)state;
    ahead_ns = ahead_of(rank);
    const struct mh_clock clock = mh_comm_clock(MPI_COMM_WORLD);
    const int64_t error = clock.offset_ns - (ahead_of(rank) - ahead_of(0));
    ahead_ns = 0;
    assert_true(2 * llabs(error) <= clock.doubt_ns);
    assert_true(rank != 0 || clock.offset_ns == 0);
    assert_true(ranks > 1 ? clock.doubt_ns > 0 : clock.doubt_ns == 0);
}

static void all_know_the_same_doubt(void **state)
{
    (void)state;
    const struct mh_clock clock = mh_comm_clock(MPI_COMM_WORLD);
    int64_t doubt_ns = clock.doubt_ns;
    mh_comm_max_i64(MPI_COMM_WORLD, &doubt_ns, 1);
    assert_int_equal(doubt_ns, clock.doubt_ns);
}

static void no_rank_talks_to_all(void **state)
{
    enum { ROUND_TRIPS = 8 };
    (void)state;
    messages = 0;
    (void)mh_comm_clock(MPI_COMM_WORLD);
    assert_true(messages <= ROUND_TRIPS * levels());
    int64_t all = messages; /* a question and an answer each, for every rank but rank 0 */
    mh_comm_sum_i64(MPI_COMM_WORLD, &all, 1);
    assert_int_equal(all, 2 * ROUND_TRIPS * (ranks - 1));
}

/* Two clocks are never farther apart, once corrected, than all ranks believe. */
static void expect_doubt_of(const struct mh_clock *clock, int64_t drift_ns)
{
    int64_t most[] = {drift_ns, -drift_ns, clock->doubt_ns};
    mh_comm_max_i64(MPI_COMM_WORLD, most, 3);
    assert_int_equal(clock->doubt_ns, most[2]);
    assert_true(clock->doubt_ns >= most[0] + most[1]);
}

static void a_drift_widens_the_doubt(void **state)
{
    const int64_t drift_ns = rank % 3 * 5 * MH_S - rank % 2 * 7 * MH_S; /* 0, -2, 10, -7, ... */
    int64_t farthest_ns = llabs(drift_ns);
    (void)state;
    ahead_ns = ahead_of(rank);
    struct mh_clock clock = mh_comm_clock(MPI_COMM_WORLD);
    const int64_t offset_ns = clock.offset_ns;
    ahead_ns += drift_ns;
    mh_comm_clock_again(MPI_COMM_WORLD, &clock);
    ahead_ns = 0;
    mh_comm_max_i64(MPI_COMM_WORLD, &farthest_ns, 1);
    expect_doubt_of(&clock, drift_ns);
    assert_int_equal(clock.offset_ns, offset_ns); /* the run's times are by it */
    assert_true(llabs(clock.moved_ns - drift_ns) <= clock.doubt_ns);
    assert_true(clock.apart_ns <= farthest_ns && (clock.apart_ns > 0) == (ranks > 1));
    assert_true(ranks > 1 || clock.doubt_ns == 0);
}

static void what_a_clock_once_was_off_stays_in_the_doubt(void **state)
{
    const int64_t drift_ns = -rank * MH_S;
    (void)state;
    ahead_ns = ahead_of(rank);
    struct mh_clock clock = mh_comm_clock(MPI_COMM_WORLD);
    ahead_ns += drift_ns;
    mh_comm_clock_again(MPI_COMM_WORLD, &clock);
    ahead_ns -= drift_ns;
    mh_comm_clock_again(MPI_COMM_WORLD, &clock);
    ahead_ns = 0;
    expect_doubt_of(&clock, drift_ns);
    assert_int_equal(clock.apart_ns, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_clock_is_known_to_within_its_doubt),
        cmocka_unit_test(all_know_the_same_doubt),
        cmocka_unit_test(no_rank_talks_to_all),
        cmocka_unit_test(a_drift_widens_the_doubt),
        cmocka_unit_test(what_a_clock_once_was_off_stays_in_the_doubt),
    };
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const int failed = cmocka_run_group_tests_name("clocks", tests, NULL, NULL);
    MPI_Finalize();
    return failed != 0;
}
