/* Who finds whom silent, on ranks that pretend to be on nodes of their own, or two by two. */
#include "comm/watch.h"

#include "base/alive.h"
#include "base/clock.h"
#include "check.h"
#include "comm/comm.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST_S = 20 }; /* for what is to come */

static int rank, np;
static _Atomic int noticed; /* by another thread, while this one is in a call */
static char heard[256];
static struct mh_watch_news last;

static void note(const struct mh_watch_news *news)
{
    noticed++;
    last = *news;
    snprintf(heard, sizeof heard, "%s", news->text ? news->text : "");
}

static void live(int64_t ns)
{
    for (int64_t until = mh_now_ns() + ns; mh_now_ns() < until; mh_sleep_ns(5 * MH_MS))
        mh_alive();
}

static void live_until_noticed(void)
{
    for (int64_t until = mh_now_ns() + LONGEST_S * MH_S; !noticed && mh_now_ns() < until;)
        live(5 * MH_MS);
}

/* None of them falls silent before the others have done their part. */
static void live_until_all_are_here(MPI_Comm comm)
{
    MPI_Request all;
    int here = 0;
    MPI_Ibarrier(comm, &all);
    for (; !here; MPI_Test(&all, &here, MPI_STATUS_IGNORE))
        live(5 * MH_MS);
}

static void open_watch(int node, int64_t silence_ns)
{
    struct mh_error err;
    MPI_Comm mates;
    int last_node = node;
    noticed = 0;
    heard[0] = '\0';
    MPI_Comm_split(MPI_COMM_WORLD, node, rank, &mates);
    MPI_Allreduce(MPI_IN_PLACE, &last_node, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    assert_int_equal(mh_watch_open(MPI_COMM_WORLD, mates, last_node + 1, silence_ns, note, NULL, &err), 0);
}

static void close_watch(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    mh_watch_close();
    mh_alive(); /* nobody hears it any more */
}

static void those_that_live_are_left_alone(void **state)
{
    (void)state;
    for (int size = 1; size <= 2; size++) {
        open_watch(rank / size, 400 * MH_MS);
        live(700 * MH_MS);
        assert_int_equal(noticed, 0);
        close_watch();
    }
}

/* All but the last one; on that one MPI_COMM_NULL. */
static MPI_Comm the_living(void)
{
    MPI_Comm living;
    MPI_Comm_split(MPI_COMM_WORLD, rank == np - 1 ? MPI_UNDEFINED : 0, rank, &living);
    return living;
}

/* The last rank says nothing until all others have noticed that are to. Nodes of `size` ranks. N: names it;
 * n: notices; -: cannot know. */
static void one_is_silent(int size, const char *expected_by)
{
    char name[32];
    if (np != 4) /* alone there is nobody to watch */
        return;
    MPI_Comm living = the_living();
    open_watch(rank / size, 300 * MH_MS);
    snprintf(name, sizeof name, "rank %d (pid ", np - 1);
    if (living != MPI_COMM_NULL) {
        if (expected_by[rank] != '-')
            live_until_noticed();
        live_until_all_are_here(living);
        live(600 * MH_MS);
        live_until_all_are_here(living);
        MPI_Comm_free(&living);
    }
    close_watch();
    assert_int_equal(noticed, expected_by[rank] != '-');
    assert_int_equal(strncmp(heard, name, strlen(name)) == 0, expected_by[rank] == 'N');
}

static void a_silent_rank_is_named_by_the_first_of_its_node(void **state)
{
    (void)state;
    one_is_silent(4, "Nnn-");
    one_is_silent(2, "--N-");
}

static void a_silent_node_is_named_by_the_next(void **state)
{
    (void)state;
    one_is_silent(1, "N---");
}

/* The last rank is in a call for longer than it may be silent. */
static void one_in_a_call_is_left_alone(void **state)
{
    (void)state;
    for (int size = 1; size <= np; size += np == 1 ? 1 : np - 1) {
        open_watch(rank / size, 400 * MH_MS);
        if (rank == np - 1) {
            mh_watch_call_begin(NULL);
            mh_sleep_ns(1500 * MH_MS);
            mh_watch_call_end();
            live(700 * MH_MS); /* and it does not blame those that it has not heard meanwhile */
        }
        live_until_all_are_here(MPI_COMM_WORLD);
        assert_int_equal(noticed, 0);
        close_watch();
    }
}

/* As long as another thread signs. */
static void be_in_a_call_until_noticed(void)
{
    for (int64_t end = mh_now_ns() + LONGEST_S * MH_S; !noticed && mh_now_ns() < end;)
        mh_sleep_ns(5 * MH_MS);
    mh_watch_call_end();
}

static void those_in_a_call_notice_one_that_is_silent(void **state)
{
    (void)state;
    if (np != 4)
        return;
    MPI_Comm living = the_living();
    open_watch(0, 300 * MH_MS);
    if (living != MPI_COMM_NULL) {
        mh_watch_call_begin(NULL);
        be_in_a_call_until_noticed();
        live_until_all_are_here(living);
        MPI_Comm_free(&living);
    }
    close_watch();
    assert_int_equal(noticed, rank < np - 1);
    if (rank < np - 1) {
        assert_true(last.in_call);
        assert_int_equal(last.rank, np - 1);
        assert_int_equal(strncmp(heard, "rank 3 (pid ", 12) == 0, rank == 0);
    }
}

static int64_t until_ns;

static int64_t until(void)
{
    return until_ns;
}

static void a_call_that_lasts_too_long_is_told(void **state)
{
    (void)state;
    open_watch(0, 1000 * MH_MS);
    until_ns = INT64_MAX;
    mh_watch_call_begin(until);
    mh_sleep_ns(400 * MH_MS);
    assert_int_equal(noticed, 0);
    until_ns = mh_now_ns(); /* as when a signal comes in the middle of it */
    be_in_a_call_until_noticed();
    live_until_all_are_here(MPI_COMM_WORLD);
    assert_int_equal(noticed, 1);
    assert_int_equal(last.rank, -1);
    assert_non_null(strstr(heard, "has waited in one call for"));
    close_watch();
}

static void one_that_slept_itself_names_nobody(void **state)
{
    (void)state;
    open_watch(0, 400 * MH_MS);
    MPI_Barrier(MPI_COMM_WORLD);
    mh_sleep_ns(700 * MH_MS); /* all of them, as when a job is suspended */
    live(300 * MH_MS);
    assert_int_equal(noticed, 0);
    close_watch();
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &np);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_live_are_left_alone),
        cmocka_unit_test(a_silent_rank_is_named_by_the_first_of_its_node),
        cmocka_unit_test(a_silent_node_is_named_by_the_next),
        cmocka_unit_test(one_in_a_call_is_left_alone),
        cmocka_unit_test(those_in_a_call_notice_one_that_is_silent),
        cmocka_unit_test(a_call_that_lasts_too_long_is_told),
        cmocka_unit_test(one_that_slept_itself_names_nobody),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
