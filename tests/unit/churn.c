/* Churn: the set of live rows by itself, and the role against a ledger kept by the test: operations in
 * flight, ends of every kind, in any order. */
#include "role/live.h"

#include "check.h"
#include "role/core.h"

#include <stdlib.h>
#include <string.h>

/* ---- live rows ---- */

enum { LAST = 3, IDS = 200 };

static void put_all(struct mh_live *live)
{
    assert_true(mh_live_reserve(live, IDS));
    for (int id = 0; id < IDS; id++)
        mh_live_put(live, id, (uint16_t)(id % (LAST + 1)));
    assert_int_equal(live->count, IDS);
    assert_int_equal(live->young, IDS - IDS / (LAST + 1));
}

static void each_row_comes_once_and_unchanged(void **state)
{
    (void)state;
    struct mh_live live = {.last = LAST};
    struct mh_random random = {.seed = 7};
    bool seen[IDS] = {false};
    put_all(&live);
    for (int i = 0; i < IDS; i++) {
        const bool young = live.young > 0 && i % 2 == 0;
        const struct mh_live_row row = mh_live_draw(&live, young, &random);
        assert_in_range(row.id, 0, IDS - 1);
        assert_int_equal(row.version, row.id % (LAST + 1));
        assert_true(!young || row.version < LAST);
        assert_false(seen[row.id]);
        seen[row.id] = true;
        assert_int_equal(live.count, IDS - 1 - i);
    }
    assert_int_equal(live.young, 0);
    mh_live_free(&live);
}

static void rows_that_come_back_may_be_drawn_again(void **state)
{
    (void)state;
    struct mh_live live = {.last = LAST};
    struct mh_random random = {.seed = 8};
    int draws[IDS] = {0}, old = 0;
    put_all(&live);
    for (int i = 0; i < 20 * IDS; i++) {
        struct mh_live_row row = mh_live_draw(&live, false, &random);
        draws[row.id]++;
        mh_live_put(&live, row.id, row.version);
    }
    for (int id = 0; id < IDS; id++)
        assert_in_range(draws[id], 1, 60); /* 20 each, at random */
    while (live.young > 0) {
        struct mh_live_row row = mh_live_draw(&live, true, &random);
        old += row.version + 1 == LAST;
        mh_live_put(&live, row.id, (uint16_t)(row.version + 1));
    }
    assert_int_equal(old, IDS - IDS / (LAST + 1));
    assert_int_equal(live.count, IDS);
    mh_live_free(&live);
}

static void room_is_made_once_for_all(void **state)
{
    (void)state;
    struct mh_live live = {.last = LAST};
    assert_true(mh_live_reserve(&live, 5));
    const struct mh_live_row *before = live.rows;
    for (int id = 0; id < 5; id++)
        mh_live_put(&live, id, 0);
    assert_ptr_equal(live.rows, before);
    assert_true(mh_live_reserve(&live, 6));
    assert_int_equal(live.room, 10);
    for (int id = 0; id < 5; id++)
        assert_int_equal(live.rows[id].id, id);
    mh_live_free(&live);
}

/* ---- the role ---- */

enum { INFLIGHT = 4, BATCH = 8, MOST_ROWS = 500 };

struct row {
    bool inserted, live, busy, in_doubt;
    int version;
};

struct drive {
    struct core core;
    struct mh_random random;
    struct row rows[MOST_ROWS];
    int64_t next_id; /* an insert must begin there */
    struct mh_op *flying[INFLIGHT];
    int flying_count;
    int bad_percent;
    int64_t operations[3], ended[MH_OUTCOMES];
};

static void open_drive(struct drive *drive, const char *role, uint64_t seed, int bad_percent)
{
    memset(drive, 0, sizeof *drive);
    core_open(&drive->core, role, seed);
    drive->random = (struct mh_random){.seed = seed, .stream = 99};
    drive->bad_percent = bad_percent;
    drive->next_id = drive->core.worker.first_id;
}

static void close_drive(struct drive *drive)
{
    while (drive->flying_count > 0)
        core_free_op(drive->flying[--drive->flying_count]);
    core_close(&drive->core);
}

static struct row *row_of(struct drive *drive, int64_t id)
{
    const int64_t at = id - drive->core.worker.first_id;
    assert_in_range(at, 0, drive->core.worker.rows - 1);
    return &drive->rows[at];
}

static void check_new(struct drive *drive, const struct mh_op *op, int64_t i)
{
    struct row *row = row_of(drive, op->rows.ids[i]);
    assert_int_equal(op->rows.ids[i], drive->next_id++);
    assert_int_equal(op->versions[i], 0);
    assert_false(row->inserted);
    row->inserted = row->busy = true;
}

static void check_change(struct drive *drive, const struct mh_op *op, int64_t i)
{
    struct row *row = row_of(drive, op->rows.ids[i]);
    assert_true(row->live);
    assert_false(row->busy);
    assert_false(row->in_doubt);
    assert_int_equal(op->versions[i], row->version + (op->request.kind == MH_OP_UPSERT));
    row->busy = true;
}

static enum mh_next ask(struct drive *drive)
{
    struct mh_op *op = core_op(BATCH);
    const enum mh_next next = drive->core.role.ops->next(&drive->core.role, op);
    if (next != MH_NEXT_SEND) {
        core_free_op(op);
        assert_true(next == MH_NEXT_FINISHED || drive->flying_count > 0); /* else it would wait for ever */
        return next;
    }
    assert_in_range(op->request.kind, MH_OP_INSERT, MH_OP_DELETE);
    assert_in_range(op->rows.rows, 1, BATCH);
    assert_int_equal(op->partition, op->request.kind == MH_OP_DELETE ? -1 : drive->core.worker.partition);
    for (int64_t i = 0; i < op->rows.rows; i++)
        if (op->request.kind == MH_OP_INSERT)
            check_new(drive, op, i);
        else
            check_change(drive, op, i);
    drive->operations[op->request.kind]++;
    drive->flying[drive->flying_count++] = op;
    return next;
}

static void learn(struct row *row, const struct mh_op *op, int64_t i)
{
    row->busy = false;
    row->in_doubt |= op->outcome == MH_OUTCOME_UNKNOWN;
    if (op->outcome != MH_OUTCOME_OK)
        return;
    row->live = op->request.kind != MH_OP_DELETE;
    row->version = op->versions[i];
}

static void end_one(struct drive *drive)
{
    if (drive->flying_count == 0)
        return;
    const uint64_t which = mh_random_below(&drive->random, (uint64_t)drive->flying_count);
    struct mh_op *op = drive->flying[which];
    drive->flying[which] = drive->flying[--drive->flying_count];
    op->outcome = MH_OUTCOME_OK;
    if ((int)mh_random_below(&drive->random, 100) < drive->bad_percent)
        op->outcome = (enum mh_outcome)(1 + mh_random_below(&drive->random, MH_OUTCOMES - 1));
    drive->ended[op->outcome]++;
    for (int64_t i = 0; i < op->rows.rows; i++)
        learn(row_of(drive, op->rows.ids[i]), op, i);
    drive->core.role.ops->done(&drive->core.role, op);
    core_free_op(op);
}

static enum mh_next drive_for(struct drive *drive, int steps)
{
    enum mh_next next = MH_NEXT_WAIT;
    for (int step = 0; step < steps && next != MH_NEXT_FINISHED; step++) {
        if (mh_random_below(&drive->random, 2) == 0)
            end_one(drive);
        else if (drive->flying_count < INFLIGHT)
            next = ask(drive);
    }
    return next;
}

static int64_t certain_rows(const struct drive *drive)
{
    int64_t count = 0;
    for (int i = 0; i < MOST_ROWS; i++)
        count += drive->rows[i].live && !drive->rows[i].in_doubt && !drive->rows[i].busy;
    return count;
}

static void every_change_is_of_a_certain_row_of_its_own(void **state)
{
    (void)state;
    static const char *const roles[] = {
        "{role: churn, rows: 500, batch: 8, ops: 100000}",
        "{role: churn, rows: 500, batch: 7, for: 1h, versions: 2, weights: {insert: 1, delete: 0, upsert: "
        "5}}",
        "{role: churn, rows: 500, batch: 1, for: 1h, weights: {insert: 3, delete: 1, upsert: 1}}"};
    static struct drive drive;
    for (size_t r = 0; r < COUNT(roles); r++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            open_drive(&drive, roles[r], seed, seed % 2 ? 15 : 0);
            drive_for(&drive, 3000);
            while (drive.flying_count > 0)
                end_one(&drive);
            close_drive(&drive);
        }
}

/* What is certain is there to be changed, and nothing else, whatever had happened. */
static void it_ends_when_no_row_is_left(void **state)
{
    (void)state;
    static struct drive drive;
    for (uint64_t seed = 0; seed < 20; seed++) {
        open_drive(&drive, "{role: churn, rows: 500, batch: 8, for: 1h, weights: {delete: 9, upsert: 1}}",
                   seed, (int)seed);
        assert_int_equal(drive_for(&drive, 100000), MH_NEXT_FINISHED);
        assert_int_equal(drive.flying_count, 0); /* their rows might have come back */
        assert_int_equal(certain_rows(&drive), 0);
        assert_int_equal(drive.next_id, drive.core.worker.first_id + 500);
        assert_int_equal(drive.core.role.ops->left(&drive.core.role), 0);
        close_drive(&drive);
    }
}

/* However it is told for how long: the last new row is not its end. */
static void it_goes_on_with_what_is_there(void **state)
{
    (void)state;
    static const char *const roles[] = {"{role: churn, rows: 40, batch: 8, for: 1h}",
                                        "{role: churn, rows: 40, batch: 8, ops: 100000}",
                                        "{role: churn, rows: 40, batch: 8, steps: [100/s for 1h]}"};
    static struct drive drive;
    for (size_t r = 0; r < COUNT(roles); r++) {
        open_drive(&drive, roles[r], 6, 0);
        assert_int_equal(drive_for(&drive, 100000), MH_NEXT_FINISHED);
        assert_int_equal(certain_rows(&drive), 0);
        close_drive(&drive);
    }
}

static void rows_at_their_last_version_are_upserted_no_more(void **state)
{
    (void)state;
    static struct drive drive;
    open_drive(&drive,
               "{role: churn, rows: 500, batch: 8, for: 1h, versions: 3, weights: {delete: 0, upsert: 1}}", 4,
               0);
    assert_int_equal(drive_for(&drive, 100000), MH_NEXT_FINISHED);
    for (int i = 0; i < 500; i++)
        assert_int_equal(drive.rows[i].version, 3);
    close_drive(&drive);
}

static void with_rows_alone_it_ends_with_the_last_new_one(void **state)
{
    (void)state;
    static struct drive drive;
    open_drive(&drive, "{role: churn, rows: 500, batch: 8}", 5, 0);
    assert_int_equal(drive_for(&drive, 100000), MH_NEXT_FINISHED);
    assert_int_equal(drive.operations[MH_OP_INSERT], (500 + 7) / 8);
    assert_true(drive.operations[MH_OP_DELETE] > 0 && drive.operations[MH_OP_UPSERT] > 0);
    close_drive(&drive);
}

static void the_mix_is_as_weighted(void **state)
{
    (void)state;
    static struct drive drive;
    int64_t sums[3] = {0};
    for (uint64_t seed = 0; seed < 40; seed++) {
        open_drive(&drive, "{role: churn, rows: 500, batch: 1, weights: {insert: 5, delete: 2, upsert: 3}}",
                   seed, 0);
        assert_int_equal(drive_for(&drive, 100000), MH_NEXT_FINISHED);
        for (int kind = 0; kind < 3; kind++)
            sums[kind] += drive.operations[kind];
        close_drive(&drive);
    }
    assert_int_equal(sums[MH_OP_INSERT], 40 * 500);
    assert_in_range(sums[MH_OP_DELETE], 40 * 180, 40 * 220);
    assert_in_range(sums[MH_OP_UPSERT], 40 * 270, 40 * 330);
}

/* A change that had no effect may be tried again; one in doubt makes its rows nobody's. */
static void rows_of_each_end(void **state)
{
    (void)state;
    static const char role[] = "{role: churn, rows: 8, batch: 8, for: 1h, weights: {delete: 0, upsert: 1}}";
    for (int insert = 0; insert < MH_OUTCOMES; insert++)
        for (int upsert = 0; upsert < MH_OUTCOMES; upsert++) {
            struct core core;
            struct mh_op *op = core_op(BATCH);
            core_open(&core, role, 1);
            assert_int_equal(core.role.ops->left(&core.role), 1);
            assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_SEND);
            assert_int_equal(core.role.ops->left(&core.role), 0);
            op->outcome = (enum mh_outcome)insert;
            core.role.ops->done(&core.role, op);
            const bool there = insert == MH_OUTCOME_OK;
            assert_int_equal(core.role.ops->next(&core.role, op), there ? MH_NEXT_SEND : MH_NEXT_FINISHED);
            if (there) {
                assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_WAIT);
                op->outcome = (enum mh_outcome)upsert;
                core.role.ops->done(&core.role, op);
                const bool certain = upsert != MH_OUTCOME_UNKNOWN;
                assert_int_equal(core.role.ops->next(&core.role, op),
                                 certain ? MH_NEXT_SEND : MH_NEXT_FINISHED);
                assert_int_equal(op->versions[0], upsert == MH_OUTCOME_OK ? 2 : 1);
            }
            core_close(&core);
            core_free_op(op);
        }
}

static void what_is_left_is_at_most_what_was_asked_for(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(BATCH);
    core_open(&core, "{role: churn, rows: 800, batch: 8, ops: 20}", 1);
    assert_int_equal(core.role.ops->left(&core.role), 20);
    assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_SEND);
    assert_int_equal(core.role.ops->left(&core.role), 19);
    core_close(&core);
    core_free_op(op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_comes_once_and_unchanged),
        cmocka_unit_test(rows_that_come_back_may_be_drawn_again),
        cmocka_unit_test(room_is_made_once_for_all),
        cmocka_unit_test(every_change_is_of_a_certain_row_of_its_own),
        cmocka_unit_test(it_ends_when_no_row_is_left),
        cmocka_unit_test(it_goes_on_with_what_is_there),
        cmocka_unit_test(rows_at_their_last_version_are_upserted_no_more),
        cmocka_unit_test(with_rows_alone_it_ends_with_the_last_new_one),
        cmocka_unit_test(the_mix_is_as_weighted),
        cmocka_unit_test(rows_of_each_end),
        cmocka_unit_test(what_is_left_is_at_most_what_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
