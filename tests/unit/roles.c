/* The roles, driven by a core of ours: what they send, what they learn from the end of it, when they finish.
 */
#include "role/role.h"

#include "check.h"
#include "role/core.h"
#include "role/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static void roles_end_in_an_order_that_lets_the_feed_run_dry(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int order;
        enum mh_claim_use takes;
        bool writes_rows;
        const char *partition;
    } expected[] = {
        {"writer", 0, MH_CLAIMS_NONE, true, "own"},       {"upserter", 1, MH_CLAIMS_TO_UPSERT, false, NULL},
        {"deleter", 2, MH_CLAIMS_TO_DELETE, false, NULL}, {"churn", 2, MH_CLAIMS_NONE, true, "own"},
        {"indexer", 3, MH_CLAIMS_NONE, false, NULL},      {"searcher", 3, MH_CLAIMS_NONE, false, NULL},
        {"querier", 3, MH_CLAIMS_NONE, false, NULL},      {"prober", 2, MH_CLAIMS_NONE, true, "own"},
        {"lifecycle", 3, MH_CLAIMS_NONE, false, NULL}};
    size_t count = 0;
    while (mh_roles[count])
        count++;
    assert_int_equal(count, COUNT(expected));
    for (size_t i = 0; i < count; i++) {
        struct core core;
        char text[64] = "{role: ";
        core_open(&core, strcat(strcat(text, expected[i].name), "}"), 1);
        const struct mh_role_ops *ops = core.role.ops;
        struct mh_plan_needs needs = mh_role_needs(core.role.options);
        assert_ptr_equal(ops, mh_roles[i]);
        assert_ptr_equal(&ops->kind, mh_role_kinds[i]);
        assert_int_equal(ops->order, expected[i].order);
        assert_int_equal(ops->takes, expected[i].takes);
        assert_int_equal(ops->writes_rows, expected[i].writes_rows);
        assert_int_equal(needs.writes_rows, expected[i].writes_rows);
        assert_int_equal(needs.partition != NULL, expected[i].partition != NULL);
        if (needs.partition)
            assert_string_equal(needs.partition, expected[i].partition);
        assert_int_equal(ops->share != NULL, ops->takes != MH_CLAIMS_NONE);
        core_close(&core);
    }
    assert_null(mh_role_kinds[count]);
}

static void shares_and_partitions_come_from_the_job(void **state)
{
    (void)state;
    static const char *const mutators[] = {"{role: upserter, share: 35%}", "{role: deleter, share: 35%}"};
    struct core core;
    for (size_t i = 0; i < COUNT(mutators); i++) {
        core_open(&core, mutators[i], 1);
        assert_true(fabs(core.role.ops->share(core.role.options) - 0.35) < 1e-9);
        core_close(&core);
    }
    core_open(&core, "{role: writer, partition: common}", 1);
    assert_string_equal(mh_role_needs(core.role.options).partition, "common");
    core_close(&core);
}

/* ---- writer ---- */

static void a_writer_writes_its_ids_in_order(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(10);
    core_open(&core, "{role: writer, rows: 37, batch: 10}", 1);
    for (int64_t at = 0; at < 37; at += 10) {
        assert_int_equal(core.role.ops->left(&core.role), (37 - at + 9) / 10);
        assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_SEND);
        assert_int_equal(op->request.kind, MH_OP_INSERT);
        assert_int_equal(op->partition, core.worker.partition);
        assert_int_equal(op->rows.rows, at < 30 ? 10 : 7);
        for (int64_t i = 0; i < op->rows.rows; i++) {
            assert_int_equal(op->rows.ids[i], core.worker.first_id + at + i);
            assert_int_equal(op->versions[i], 0);
        }
    }
    assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_FINISHED);
    assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_FINISHED);
    assert_int_equal(core.role.ops->left(&core.role), 0);
    core_close(&core);
    core_free_op(op);
}

static void a_writer_offers_what_was_acknowledged(void **state)
{
    (void)state;
    for (int outcome = 0; outcome < MH_OUTCOMES; outcome++) {
        struct core core;
        struct mh_op *op = core_op(10);
        core_open(&core, "{role: writer, rows: 37, batch: 10}", 1);
        core.role.ops->next(&core.role, op);
        core.role.ops->next(&core.role, op);
        op->outcome = (enum mh_outcome)outcome;
        core.role.ops->done(&core.role, op);
        assert_int_equal(core.offer_count, outcome == MH_OUTCOME_OK);
        if (core.offer_count) {
            assert_int_equal(core.offers[0].first, core.worker.first_id + 10);
            assert_int_equal(core.offers[0].count, 10);
            assert_int_equal(core.offers[0].partition, core.worker.partition);
            assert_int_equal(core.offers[0].version, 0);
        }
        core_close(&core);
        core_free_op(op);
    }
}

/* ---- mutators: a random feed, several operations in flight, ends in any order ---- */

enum { CLAIMS = 25, MOST_ROWS = 60, INFLIGHT = 3, ID_STEP = 1000, FIRST_VERSION = 2, BATCH = 16 };

struct drive {
    struct core core;
    struct mh_random random;
    struct mh_claim claims[CLAIMS];
    int delivered;
    int used[CLAIMS][MOST_ROWS];  /* operations that named the row */
    bool busy[CLAIMS][MOST_ROWS]; /* in one now */
    bool spoilt[CLAIMS];          /* one of its operations ended otherwise than well */
    struct mh_op *flying[INFLIGHT];
    int flying_count;
    int bad_percent; /* of the operations */
    int short_batches;
};

static int below(struct drive *drive, int bound)
{
    return (int)mh_random_below(&drive->random, (uint64_t)bound);
}

static void open_drive(struct drive *drive, const char *role, uint64_t seed, int bad_percent)
{
    memset(drive, 0, sizeof *drive);
    core_open(&drive->core, role, seed);
    drive->random = (struct mh_random){.seed = seed, .stream = 99};
    drive->bad_percent = bad_percent;
    for (int c = 0; c < CLAIMS; c++)
        drive->claims[c] = (struct mh_claim){.first = c * ID_STEP,
                                             .count = 1 + below(drive, MOST_ROWS),
                                             .partition = c % 5,
                                             .version = FIRST_VERSION};
}

static void close_drive(struct drive *drive)
{
    while (drive->flying_count > 0)
        core_free_op(drive->flying[--drive->flying_count]);
    core_close(&drive->core);
}

static void deliver(struct drive *drive)
{
    if (drive->delivered == CLAIMS)
        return;
    core_deliver(&drive->core, drive->claims[drive->delivered++]);
    drive->core.view.dry = drive->delivered == CLAIMS && below(drive, 2);
}

static void mark_rows(struct drive *drive, const struct mh_op *op, bool upsert)
{
    for (int64_t i = 0; i < op->rows.rows; i++) {
        const int claim = (int)(op->rows.ids[i] / ID_STEP), row = (int)(op->rows.ids[i] % ID_STEP);
        assert_in_range(claim, 0, drive->delivered - 1);
        assert_in_range(row, 0, drive->claims[claim].count - 1);
        assert_false(drive->busy[claim][row]);
        drive->busy[claim][row] = true;
        drive->used[claim][row]++;
        assert_int_equal(op->versions[i], FIRST_VERSION + (upsert ? drive->used[claim][row] : 0));
        if (upsert)
            assert_int_equal(op->partition, drive->claims[claim].partition);
        else
            assert_int_equal(op->partition, -1);
        if (upsert)
            assert_int_equal(claim,
                             op->rows.ids[0] / ID_STEP); /* one claim each: they are of one partition */
    }
}

static enum mh_next ask(struct drive *drive, bool upsert)
{
    struct core *core = &drive->core;
    const bool dry = core->view.dry;
    struct mh_op *op = core_op(BATCH);
    enum mh_next next = core->role.ops->next(&core->role, op);
    if (next != MH_NEXT_SEND) {
        core_free_op(op);
        if (next == MH_NEXT_FINISHED) {
            assert_true(dry);
            assert_int_equal(drive->flying_count + core->waiting_count, 0);
        }
        return next;
    }
    assert_int_equal(op->request.kind, upsert ? MH_OP_UPSERT : MH_OP_DELETE);
    assert_in_range(op->rows.rows, 1, BATCH);
    drive->short_batches += op->rows.rows < BATCH;
    mark_rows(drive, op, upsert);
    drive->flying[drive->flying_count++] = op;
    return next;
}

static void end_one(struct drive *drive)
{
    if (drive->flying_count == 0)
        return;
    const int which = below(drive, drive->flying_count);
    struct mh_op *op = drive->flying[which];
    drive->flying[which] = drive->flying[--drive->flying_count];
    op->outcome = MH_OUTCOME_OK;
    if (below(drive, 100) < drive->bad_percent)
        op->outcome = (enum mh_outcome)(1 + below(drive, MH_OUTCOMES - 1));
    for (int64_t i = 0; i < op->rows.rows; i++) {
        drive->busy[op->rows.ids[i] / ID_STEP][op->rows.ids[i] % ID_STEP] = false;
        drive->spoilt[op->rows.ids[i] / ID_STEP] |= op->outcome != MH_OUTCOME_OK;
    }
    drive->core.role.ops->done(&drive->core.role, op);
    core_free_op(op);
}

static void drive_to_the_end(struct drive *drive, bool upsert)
{
    enum mh_next next = MH_NEXT_WAIT;
    for (int step = 0; next != MH_NEXT_FINISHED; step++) {
        assert_true(step < 100000); /* it must come to an end */
        const int what = below(drive, 8);
        if (what == 0)
            deliver(drive);
        else if (what < 4)
            end_one(drive);
        else if (drive->flying_count < INFLIGHT)
            next = ask(drive, upsert);
        if (drive->delivered == CLAIMS && below(drive, 50) == 0)
            drive->core.view.dry = true;
    }
    assert_int_equal(drive->core.role.ops->left(&drive->core.role), 0);
    assert_int_equal(((struct mh_pool *)drive->core.role.state)->count, 0);
}

/* ---- upserter ---- */

static const struct mh_claim *offer_of(const struct core *core, int64_t first)
{
    const struct mh_claim *found = NULL;
    for (int i = 0; i < core->offer_count; i++)
        if (core->offers[i].first == first) {
            assert_null(found); /* once */
            found = &core->offers[i];
        }
    return found;
}

static void check_upserts(const struct drive *drive, int versions)
{
    int offered = 0;
    for (int c = 0; c < CLAIMS; c++) {
        const struct mh_claim *claim = &drive->claims[c], *offer = offer_of(&drive->core, claim->first);
        for (int row = 1; row < claim->count; row++)
            assert_int_equal(drive->used[c][row], drive->used[c][0]); /* rounds are whole */
        assert_in_range(drive->used[c][0], 1, versions);
        assert_int_equal(offer != NULL, !drive->spoilt[c]);
        if (!offer)
            continue;
        offered++;
        assert_int_equal(drive->used[c][0], versions);
        assert_int_equal(offer->count, claim->count);
        assert_int_equal(offer->partition, claim->partition);
        assert_int_equal(offer->version, FIRST_VERSION + versions);
    }
    assert_int_equal(offered, drive->core.offer_count);
}

static void an_upserter_makes_every_version_of_every_row(void **state)
{
    (void)state;
    static const char *const roles[] = {"{role: upserter, batch: 16}",
                                        "{role: upserter, batch: 16, versions: 2}",
                                        "{role: upserter, batch: 16, versions: 5}"};
    static const int versions[] = {1, 2, 5};
    static struct drive drive;
    for (size_t r = 0; r < COUNT(roles); r++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            open_drive(&drive, roles[r], seed, 0);
            drive_to_the_end(&drive, true);
            check_upserts(&drive, versions[r]);
            assert_int_equal(drive.core.offer_count, CLAIMS);
            close_drive(&drive);
        }
}

/* Refused, throttled or in doubt: the version of the claim's rows is no longer one, so nobody gets them. */
static void an_upserter_keeps_what_is_in_doubt(void **state)
{
    (void)state;
    static struct drive drive;
    int kept = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        open_drive(&drive, "{role: upserter, batch: 16, versions: 3}", seed, 10);
        drive_to_the_end(&drive, true);
        check_upserts(&drive, 3);
        kept += CLAIMS - drive.core.offer_count;
        close_drive(&drive);
    }
    assert_in_range(kept, 40 * CLAIMS / 10, 40 * CLAIMS * 9 / 10);
}

static void each_bad_end_of_an_upsert_spoils_its_claim(void **state)
{
    (void)state;
    for (int outcome = 0; outcome < MH_OUTCOMES; outcome++) {
        struct core core;
        struct mh_op *first = core_op(BATCH), *second = core_op(BATCH);
        core_open(&core, "{role: upserter, batch: 16, versions: 2}", 1);
        core_deliver(&core, (struct mh_claim){.first = 50, .count = 20});
        assert_int_equal(core.role.ops->next(&core.role, first), MH_NEXT_SEND);
        assert_int_equal(core.role.ops->next(&core.role, second), MH_NEXT_SEND);
        assert_int_equal(core.role.ops->next(&core.role, first), MH_NEXT_WAIT); /* the round is not over */
        first->outcome = (enum mh_outcome)outcome;
        core.role.ops->done(&core.role, first);
        assert_int_equal(core.offer_count, 0);
        core.role.ops->done(&core.role, second);
        assert_int_equal(core.offer_count, 0);
        core.view.dry = true;
        assert_int_equal(core.role.ops->next(&core.role, first),
                         outcome == MH_OUTCOME_OK ? MH_NEXT_SEND : MH_NEXT_FINISHED);
        core_close(&core);
        core_free_op(first);
        core_free_op(second);
    }
}

/* ---- deleter ---- */

static void a_deleter_deletes_every_row_once(void **state)
{
    (void)state;
    static struct drive drive;
    for (uint64_t seed = 0; seed < 60; seed++) {
        open_drive(&drive, "{role: deleter, batch: 16}", seed, seed % 2 ? 20 : 0);
        drive_to_the_end(&drive, false);
        for (int c = 0; c < CLAIMS; c++)
            for (int row = 0; row < drive.claims[c].count; row++)
                assert_int_equal(drive.used[c][row], 1);
        assert_int_equal(drive.core.offer_count, 0);
        close_drive(&drive);
    }
}

static int64_t sent_by(struct core *core, struct mh_op *op)
{
    return core->role.ops->next(&core->role, op) == MH_NEXT_SEND ? op->rows.rows : 0;
}

/* Full batches while more may come; smaller ones when the feed is dry, or when there is no room to wait for
 * more. */
static void a_deleter_waits_for_full_batches(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(BATCH);
    core_open(&core, "{role: deleter, batch: 16}", 1);
    assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_WAIT);
    core_deliver(&core, (struct mh_claim){.first = 0, .count = 10});
    assert_int_equal(sent_by(&core, op), 0);
    core_deliver(&core, (struct mh_claim){.first = 100, .count = 10});
    assert_int_equal(sent_by(&core, op), 16);
    assert_int_equal(sent_by(&core, op), 0);
    core.view.dry = true;
    assert_int_equal(sent_by(&core, op), 4);
    assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_WAIT); /* what is in flight */
    core_close(&core);
    core_open(&core, "{role: deleter, batch: 16}", 1);
    for (int i = 0; i < MH_POOL_CLAIMS - 1; i++)
        core_deliver(&core, (struct mh_claim){.first = i * 100, .count = 1});
    assert_int_equal(sent_by(&core, op), 0);
    core_deliver(&core, (struct mh_claim){.first = 5000, .count = 1});
    assert_int_equal(sent_by(&core, op), MH_POOL_CLAIMS);
    core_close(&core);
    core_free_op(op);
}

static void a_batch_of_deletes_goes_across_claims(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(BATCH);
    bool seen[4] = {false}, in_order = true;
    core_open(&core, "{role: deleter, batch: 16}", 1);
    for (int i = 0; i < 4; i++)
        core_deliver(&core, (struct mh_claim){.first = i * 100, .count = 50, .partition = i, .version = i});
    assert_int_equal(sent_by(&core, op), 16);
    for (int i = 0; i < 16; i++) {
        seen[op->rows.ids[i] / 100] = true;
        assert_int_equal(op->versions[i], op->rows.ids[i] / 100);
        in_order &= i == 0 || op->rows.ids[i] > op->rows.ids[i - 1];
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3] && !in_order);
    core_close(&core);
    core_free_op(op);
}

/* ---- stopped early ---- */

static void a_stopped_mutator_lets_go_of_its_claims(void **state)
{
    (void)state;
    static struct drive drive;
    for (int upsert = 0; upsert <= 1; upsert++) {
        open_drive(&drive, upsert ? "{role: upserter, batch: 16}" : "{role: deleter, batch: 16}", 5, 0);
        for (int i = 0; i < 6; i++)
            deliver(&drive);
        assert_int_equal(ask(&drive, upsert), MH_NEXT_SEND);
        assert_int_equal(ask(&drive, upsert), MH_NEXT_SEND);
        assert_true(drive.core.role.ops->left(&drive.core.role) > 0);
        close_drive(&drive); /* the leak check sees to the rest */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_end_in_an_order_that_lets_the_feed_run_dry),
        cmocka_unit_test(shares_and_partitions_come_from_the_job),
        cmocka_unit_test(a_writer_writes_its_ids_in_order),
        cmocka_unit_test(a_writer_offers_what_was_acknowledged),
        cmocka_unit_test(an_upserter_makes_every_version_of_every_row),
        cmocka_unit_test(an_upserter_keeps_what_is_in_doubt),
        cmocka_unit_test(each_bad_end_of_an_upsert_spoils_its_claim),
        cmocka_unit_test(a_deleter_deletes_every_row_once),
        cmocka_unit_test(a_deleter_waits_for_full_batches),
        cmocka_unit_test(a_batch_of_deletes_goes_across_claims),
        cmocka_unit_test(a_stopped_mutator_lets_go_of_its_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
