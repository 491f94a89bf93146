/* Who finds whom silent, on ranks that pretend to be on nodes of their own, or two by two. */
#include "comm/watch.h"

#include "base/alive.h"
#include "base/clock.h"
#include "check.h"
#include "comm/comm.h"

#include <stdio.h>
#include <string.h>

static int rank, np, noticed;
static char heard[256];

static void note(const char *who)
{
    noticed++;
    snprintf(heard, sizeof heard, "%s", who ? who : "");
}

static void live(int64_t ns)
{
    for (int64_t until = mh_now_ns() + ns; mh_now_ns() < until; mh_sleep_ns(5 * MH_MS))
        mh_alive();
}

static void open_watch(int node, int64_t silence_ns)
{
    struct mh_error err;
    noticed = 0;
    heard[0] = '\0';
    assert_int_equal(mh_watch_open(MPI_COMM_WORLD, node, silence_ns, note, &err), 0);
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

/* The last rank says nothing until all others have had the time to notice. Nodes of `size` ranks.
 * N: names it; n: notices; -: cannot know. */
static void one_is_silent(int size, const char *expected_by)
{
    char name[32];
    if (np != 4) /* alone there is nobody to watch */
        return;
    open_watch(rank / size, 300 * MH_MS);
    snprintf(name, sizeof name, "rank %d (pid ", np - 1);
    if (rank == np - 1)
        mh_sleep_ns(1500 * MH_MS);
    else
        live(1300 * MH_MS);
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

static void one_that_slept_itself_accuses_nobody(void **state)
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
        cmocka_unit_test(one_that_slept_itself_accuses_nobody),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
