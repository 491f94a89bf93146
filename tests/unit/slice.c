/* Slices: every id on exactly one rank, not its writer's, with the fates that all ranks' ledgers know. Runs
 * alone and under mpirun. */
#include "truth/slice.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, ranks;

/* ---- a plan with workers of all sizes ---- */

enum { SLICE = MH_SLICE_ROWS };

static const int64_t sizes[] = {SLICE - 1, 1, SLICE, SLICE + 1, 0, 5 * SLICE + 17, 2 * SLICE, 3};

static struct mh_plan_needs needs(const struct mh_role_options *role)
{
    return (struct mh_plan_needs){.writes_rows = role->rows > 0, .partition = role->rows > 0 ? "own" : NULL};
}

static struct mh_plan *new_plan(void)
{
    struct mh_role_options roles[COUNT(sizes)];
    char name[] = "crud";
    for (size_t i = 0; i < COUNT(sizes); i++)
        roles[i] =
            (struct mh_role_options){.count = sizes[i] == 1 ? 200 : 1 + (int64_t)i % 3, .rows = sizes[i]};
    struct mh_stage_options stage = {.name = name, .roles = roles, .role_count = COUNT(roles)};
    struct mh_job job = {.path = name, .stages = &stage, .stage_count = 1};
    struct mh_plan *plan = NULL;
    struct mh_error err = {""};
    if (mh_plan_make(&job, ranks, NULL, needs, &plan, &err) != 0)
        fail_msg("%s", err.text);
    return plan;
}

/* ---- what happened: a function of the id, booked on the rank that did it ---- */

enum story {
    NEVER_SENT,
    REFUSED,
    IN_DOUBT,
    PLAIN,
    UPSERTED,
    DELETED,
    UPSERTED_AND_DELETED,
    DELETE_IN_DOUBT,
    STORIES
};

static enum story story_of(int64_t id)
{
    return mh_random(7, 1, (uint64_t)id / 5) % STORIES; /* runs of 5 */
}

static int mutator_of(int64_t id, int what)
{
    return (int)(mh_random(8, (uint64_t)what, (uint64_t)id) % (uint64_t)ranks);
}

static void book(struct mh_ledger *ledger, int kind, enum mh_outcome outcome, const struct mh_worker *worker,
                 int64_t id, int version)
{
    struct mh_record record = {.kind = (uint8_t)kind,
                               .outcome = (uint8_t)outcome,
                               .rows = 1,
                               .first_id = id,
                               .worker = (int32_t)worker->number,
                               .version = version};
    assert_int_equal(mh_ledger_book(ledger, &record, NULL, NULL), 0);
}

static void live_through(struct mh_ledger *ledger, const struct mh_worker *worker, int64_t id)
{
    const enum story story = story_of(id);
    if (worker->rank == rank && story != NEVER_SENT)
        book(ledger, MH_OP_INSERT,
             story == REFUSED    ? MH_OUTCOME_FAILED
             : story == IN_DOUBT ? MH_OUTCOME_UNKNOWN
                                 : MH_OUTCOME_OK,
             worker, id, 0);
    if ((story == UPSERTED || story == UPSERTED_AND_DELETED) && mutator_of(id, 1) == rank)
        book(ledger, MH_OP_UPSERT, MH_OUTCOME_OK, worker, id, 3);
    if ((story == DELETED || story == UPSERTED_AND_DELETED) && mutator_of(id, 2) == rank)
        book(ledger, MH_OP_DELETE, MH_OUTCOME_OK, worker, id, story == DELETED ? 0 : 3);
    if (story == DELETE_IN_DOUBT && mutator_of(id, 2) == rank)
        book(ledger, MH_OP_DELETE, MH_OUTCOME_UNKNOWN, worker, id, 0);
}

static const struct {
    uint8_t insert;
    uint16_t fate;
} expected[STORIES] = {
    [NEVER_SENT] = {MH_INSERT_NONE, 0},
    [REFUSED] = {MH_INSERT_REFUSED, 0},
    [IN_DOUBT] = {MH_INSERT_UNKNOWN, 0},
    [PLAIN] = {MH_INSERT_ACKED, 0},
    [UPSERTED] = {MH_INSERT_ACKED, 3},
    [DELETED] = {MH_INSERT_ACKED, MH_FATE_DELETED},
    [UPSERTED_AND_DELETED] = {MH_INSERT_ACKED, 3 | MH_FATE_DELETED},
    [DELETE_IN_DOUBT] = {MH_INSERT_ACKED, MH_FATE_DELETE_UNKNOWN},
};

/* ---- the slices ---- */

struct fixture {
    struct mh_plan *plan;
    struct mh_ledger ledger;
    struct mh_slices slices;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct mh_error err = {""};
    f->plan = new_plan();
    assert_int_equal(mh_ledger_init(&f->ledger, f->plan->worker_count), 0);
    for (int64_t w = 0; w < f->plan->worker_count; w++)
        for (int64_t i = 0; i < f->plan->workers[w].rows; i++)
            live_through(&f->ledger, &f->plan->workers[w], f->plan->workers[w].first_id + i);
    if (mh_slices_make(&f->slices, f->plan, &f->ledger, MPI_COMM_WORLD, &err) != 0)
        fail_msg("%s", err.text);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    mh_slices_free(&f->slices);
    mh_ledger_free(&f->ledger);
    mh_plan_free(f->plan);
    free(f);
    return 0;
}

static void every_id_is_on_one_rank_and_not_its_writers(void **state)
{
    struct fixture *f = *state;
    int *holders = calloc((size_t)f->plan->id_end, sizeof *holders);
    for (int64_t s = 0; s < f->slices.count; s++) {
        const struct mh_slice *slice = &f->slices.items[s];
        const struct mh_worker *writer = mh_plan_writer_of(f->plan, slice->first);
        assert_in_range(slice->count, 1, SLICE);
        assert_int_equal(slice->worker, writer->number);
        assert_int_equal(slice->partition, writer->partition);
        assert_true(ranks == 1 || writer->rank != rank);
        assert_ptr_equal(mh_plan_writer_of(f->plan, slice->first + slice->count - 1), writer);
        assert_true(s == 0 || f->slices.items[s - 1].first < slice->first);
        for (int64_t id = slice->first; id < slice->first + slice->count; id++) {
            holders[id]++;
            assert_int_equal(mh_slice_owner(f->plan, id), rank);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, holders, (int)f->plan->id_end, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    for (int64_t id = 0; id < f->plan->id_end; id++)
        assert_int_equal(holders[id], 1);
    free(holders);
}

static void ids_are_found_where_they_are(void **state)
{
    struct fixture *f = *state;
    for (int64_t id = -2; id < f->plan->id_end + 2; id++) {
        int64_t at = mh_slices_find(&f->slices, id);
        bool mine = mh_slice_owner(f->plan, id) == rank;
        assert_int_equal(mh_slice_owner(f->plan, id) < 0, id < 0 || id >= f->plan->id_end);
        assert_int_equal(at >= 0, mine);
        if (mine)
            assert_true(f->slices.items[at].first <= id &&
                        id < f->slices.items[at].first + f->slices.items[at].count);
    }
}

static void fates_are_what_all_ranks_know(void **state)
{
    struct fixture *f = *state;
    struct mh_fates fates;
    struct mh_error err;
    assert_int_equal(mh_fates_init(&fates, SLICE), 0);
    for (int64_t s = f->slices.count - 1; s >= 0; s--) {
        assert_int_equal(mh_slices_fates(&f->slices, s, &fates, &err), 0);
        assert_int_equal(fates.first, f->slices.items[s].first);
        assert_int_equal(fates.count, f->slices.items[s].count);
        for (int64_t i = 0; i < fates.count; i++) {
            enum story story = story_of(fates.first + i);
            assert_int_equal(fates.insert[i], expected[story].insert);
            assert_int_equal(fates.fate[i], expected[story].fate);
        }
    }
    mh_fates_free(&fates);
}

/* A worker's slices go round the other ranks, so that the audit of one large writer is shared. */
static void the_work_is_shared(void **state)
{
    struct fixture *f = *state;
    const struct mh_worker *largest = &f->plan->workers[0];
    for (int64_t w = 0; w < f->plan->worker_count; w++)
        largest = f->plan->workers[w].rows > largest->rows ? &f->plan->workers[w] : largest;
    int here = 0;
    for (int64_t s = 0; s < f->slices.count; s++)
        here += f->slices.items[s].worker == largest->number;
    assert_int_equal(here > 0, ranks == 1 || largest->rank != rank);
}

/* An empty ledger, and a plan without ids: nothing, and no hang. */
static void nothing_known_and_nothing_there(void **state)
{
    struct fixture *f = *state;
    struct mh_ledger nothing;
    struct mh_slices slices;
    struct mh_fates fates;
    struct mh_error err;
    assert_int_equal(mh_ledger_init(&nothing, f->plan->worker_count), 0);
    assert_int_equal(mh_fates_init(&fates, SLICE), 0);
    assert_int_equal(mh_slices_make(&slices, f->plan, &nothing, MPI_COMM_WORLD, &err), 0);
    assert_int_equal(slices.count, f->slices.count);
    for (int64_t s = 0; s < slices.count; s++) {
        assert_int_equal(mh_slices_fates(&slices, s, &fates, &err), 0);
        for (int64_t i = 0; i < fates.count; i++)
            assert_true(fates.insert[i] == MH_INSERT_NONE && fates.fate[i] == 0);
    }
    mh_slices_free(&slices);
    struct mh_plan empty = {.np = ranks};
    assert_int_equal(mh_slices_make(&slices, &empty, &nothing, MPI_COMM_WORLD, &err), 0);
    assert_int_equal(slices.count, 0);
    assert_int_equal(mh_slices_find(&slices, 0), -1);
    mh_slices_free(&slices);
    mh_fates_free(&fates);
    mh_ledger_free(&nothing);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_id_is_on_one_rank_and_not_its_writers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_are_found_where_they_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fates_are_what_all_ranks_know, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_work_is_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_known_and_nothing_there, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return failed;
}
