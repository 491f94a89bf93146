/* What the ranks' probers measured, added up on rank 0: with one rank, and under mpirun. */
#include "measure/visibility.h"

#include "base/clock.h"
#include "check.h"
#include "milvus/milvus.h"

#include <string.h>

enum { STAGES = 2, ROLES = 3 };

static struct mh_job job_of(struct mh_stage_options *stages)
{
    memset(stages, 0, STAGES * sizeof *stages);
    stages[0].role_count = 1;
    stages[1].role_count = ROLES;
    return (struct mh_job){.stages = stages, .stage_count = STAGES};
}

static void measure(struct mh_visibilities *all, int stage, int role, int write, int64_t ns)
{
    struct mh_visibility *cell = mh_visibility_at(all, stage, role, write);
    cell->read = MH_OP_SEARCH;
    cell->consistency = MH_SESSION;
    assert_int_equal(mh_visibility_record(cell, 0, ns / 2, ns), 0);
    cell->never += 2;
}

static void each_cell_stands_alone(void **state)
{
    (void)state;
    struct mh_stage_options stages[STAGES];
    const struct mh_job job = job_of(stages);
    struct mh_visibilities all;
    assert_int_equal(mh_visibilities_init(&all, &job), 0);
    for (int i = 0; i < STAGES * ROLES * MH_VISIBLE_WRITES; i++)
        for (int n = 0; n <= i; n++)
            measure(&all, i / 9, i / 3 % 3, i % 3, MH_MS);
    for (int i = 0; i < STAGES * ROLES * MH_VISIBLE_WRITES; i++)
        assert_int_equal(mh_visibility_at(&all, i / 9, i / 3 % 3, i % 3)->done.count, i + 1);
    mh_visibilities_free(&all);
    assert_null(all.cells);
}

/* The last rank alone has one kind of write; every rank has another; a third nobody. */
static void rank_0_gets_the_sum(void **state)
{
    (void)state;
    struct mh_stage_options stages[STAGES];
    const struct mh_job job = job_of(stages);
    struct mh_visibilities all;
    struct mh_error err;
    int rank, np;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &np);
    assert_int_equal(mh_visibilities_init(&all, &job), 0);
    if (rank == np - 1)
        measure(&all, 1, 2, MH_OP_DELETE, 7 * MH_MS);
    measure(&all, 0, 0, MH_OP_INSERT, (rank + 1) * MH_MS);
    assert_int_equal(mh_reduce_visibilities(&all, MPI_COMM_WORLD, &err), 0);
    if (rank == 0) {
        const struct mh_visibility *deletes = mh_visibility_at(&all, 1, 2, MH_OP_DELETE),
                                   *inserts = mh_visibility_at(&all, 0, 0, MH_OP_INSERT);
        assert_int_equal(deletes->done.count, 1);
        assert_int_equal(deletes->done.max_ns, 7 * MH_MS);
        assert_int_equal(deletes->sent.max_ns, 7 * MH_MS / 2);
        assert_int_equal(deletes->never, 2);
        assert_int_equal(deletes->read, MH_OP_SEARCH);
        assert_int_equal(deletes->consistency, MH_SESSION);
        assert_int_equal(inserts->done.count, np);
        assert_int_equal(inserts->done.min_ns, MH_MS);
        assert_int_equal(inserts->done.max_ns, np * MH_MS);
        assert_int_equal(inserts->never, 2 * np);
        struct mh_timeline_slot slot = {0};
        mh_timeline_add_slot(&inserts->timeline, 0, &slot);
        assert_int_equal(slot.ok, np);
        assert_true(mh_timeline_quantile_within(&slot, 1) >= np * MH_MS);
        assert_null(all.cells[1]);
    }
    mh_visibilities_free(&all);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_stands_alone),
        cmocka_unit_test(rank_0_gets_the_sum),
    };
    MPI_Init(&argc, &argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
