/* What a look at the collection may and must see, given who wrote what when. */
#include "truth/history.h"

#include "check.h"
#include "job/job.h"
#include "milvus/milvus.h"
#include "truth/journal.h"
#include "truth/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000000 };

static struct mh_write inserts[1], changes[4];
static struct mh_history history;
static const struct mh_doubt doubt = {.bound_ns = 5000LL * MS, .clock_ns = 0};

static struct mh_write write(enum mh_op_kind kind, int version, int64_t sent_ms, int64_t done_ms,
                             bool certain)
{
    return (struct mh_write){.first = 7,
                             .count = 1,
                             .worker = 3,
                             .sent_ns = sent_ms * MS,
                             .done_ns = done_ms * MS,
                             .version = (uint16_t)version,
                             .kind = (uint8_t)kind,
                             .certain = certain,
                             .stamped = kind != MH_OP_DELETE};
}

static void have(struct mh_write insert, int64_t count, struct mh_write a, struct mh_write b)
{
    inserts[0] = insert;
    changes[0] = a;
    changes[1] = b;
    history =
        (struct mh_history){.inserts = inserts, .insert_count = 1, .changes = changes, .change_count = count};
}

static struct mh_standing stands(int64_t sent_ms, int64_t done_ms, int consistency, int worker)
{
    const struct mh_look look = {sent_ms * MS, done_ms * MS, worker, consistency};
    return mh_history_standing(&history, &doubt, &look, 7);
}

static void expect(struct mh_standing standing, int kind, int lowest, int highest)
{
    assert_int_equal(standing.kind, kind);
    if (kind == MH_STANDS_PERHAPS || kind == MH_STANDS_SURELY) {
        assert_int_equal(standing.lowest, lowest);
        assert_int_equal(standing.highest, highest);
    }
}

static void an_insert_is_seen_from_its_acknowledgement(void **state)
{
    (void)state;
    const struct mh_write none = {0};
    have(write(MH_OP_INSERT, 0, 100, 110, true), 0, none, none);
    expect(stands(90, 99, MH_STRONG, 0), MH_STANDS_NOWHERE, 0, 0);
    expect(stands(90, 100, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 0);
    expect(stands(105, 120, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 0);
    expect(stands(110, 120, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 0); /* the same moment is not before */
    expect(stands(111, 120, MH_STRONG, 0), MH_STANDS_SURELY, 0, 0);
    const struct mh_look other = {111 * MS, 120 * MS, 0, MH_STRONG};
    assert_int_equal(mh_history_standing(&history, &doubt, &other, 8).kind, MH_STANDS_NOWHERE);
    have(write(MH_OP_INSERT, 0, 100, 110, false), 0, none, none); /* no known outcome */
    expect(stands(500, 510, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 0);
}

static void each_level_promises_its_own(void **state)
{
    (void)state;
    const struct mh_write none = {0};
    have(write(MH_OP_INSERT, 0, 100, 110, true), 0, none, none);
    expect(stands(5110, 5120, MH_BOUNDED, 0), MH_STANDS_PERHAPS, 0, 0);
    expect(stands(5111, 5120, MH_BOUNDED, 0), MH_STANDS_SURELY, 0, 0);
    expect(stands(111, 120, MH_SESSION, 3), MH_STANDS_SURELY, 0, 0);
    expect(stands(60000, 60010, MH_SESSION, 4), MH_STANDS_PERHAPS, 0, 0); /* another's */
    expect(stands(60000, 60010, MH_EVENTUALLY, 3), MH_STANDS_PERHAPS, 0, 0);
    inserts[0].stamped = false; /* nothing that the session could ask for */
    expect(stands(111, 120, MH_SESSION, 3), MH_STANDS_PERHAPS, 0, 0);
}

static void an_upsert_under_way_shows_either_version_or_none(void **state)
{
    (void)state;
    const struct mh_write none = {0};
    have(write(MH_OP_INSERT, 0, 100, 110, true), 1, write(MH_OP_UPSERT, 1, 200, 210, true), none);
    expect(stands(150, 199, MH_STRONG, 0), MH_STANDS_SURELY, 0, 0);
    expect(stands(150, 200, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 1);
    expect(stands(205, 250, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 1);
    expect(stands(211, 250, MH_STRONG, 0), MH_STANDS_SURELY, 1, 1);
    expect(stands(211, 250, MH_BOUNDED, 0), MH_STANDS_PERHAPS, 0, 1);
    have(write(MH_OP_INSERT, 0, 100, 110, false), 1, write(MH_OP_UPSERT, 1, 200, 210, true), none);
    expect(stands(211, 250, MH_STRONG, 0), MH_STANDS_SURELY, 1, 1); /* whatever became of the insert */
    have(write(MH_OP_INSERT, 0, 100, 110, true), 1, write(MH_OP_UPSERT, 1, 200, 210, false), none);
    expect(stands(900, 950, MH_STRONG, 0), MH_STANDS_PERHAPS, 0, 1); /* for ever */
}

static void a_deleted_row_is_gone_from_the_acknowledgement(void **state)
{
    (void)state;
    have(write(MH_OP_INSERT, 0, 100, 110, true), 2, write(MH_OP_UPSERT, 1, 200, 210, true),
         write(MH_OP_DELETE, 1, 300, 310, true));
    expect(stands(250, 299, MH_STRONG, 0), MH_STANDS_SURELY, 1, 1);
    expect(stands(250, 300, MH_STRONG, 0), MH_STANDS_PERHAPS, 1, 1);
    expect(stands(311, 320, MH_STRONG, 0), MH_STANDS_GONE, 0, 0);
    expect(stands(311, 320, MH_BOUNDED, 0), MH_STANDS_PERHAPS, 0, 1); /* three things may not be seen yet */
    expect(stands(5311, 5320, MH_BOUNDED, 0), MH_STANDS_GONE, 0, 0);
    expect(stands(311, 320, MH_SESSION, 3), MH_STANDS_PERHAPS, 1, 1); /* deletes have no stamp here */
    changes[1].certain = false;
    expect(stands(900, 950, MH_STRONG, 0), MH_STANDS_PERHAPS, 1, 1);
}

static void how_long_a_version_has_been_replaced(void **state)
{
    (void)state;
    have(write(MH_OP_INSERT, 0, 100, 110, true), 2, write(MH_OP_UPSERT, 1, 200, 210, true),
         write(MH_OP_DELETE, 1, 300, 310, true));
    assert_int_equal(mh_history_replaced(&history, 7, 0, 210 * MS), 0);
    assert_int_equal(mh_history_replaced(&history, 7, 0, 250 * MS), 40 * MS);
    assert_int_equal(mh_history_replaced(&history, 7, 0, 400 * MS),
                     190 * MS); /* since the first of the two */
    assert_int_equal(mh_history_replaced(&history, 7, 1, 250 * MS), 0);
    assert_int_equal(mh_history_replaced(&history, 7, 1, 400 * MS), 90 * MS); /* by the delete */
    assert_int_equal(mh_history_replaced(&history, 8, 0, 400 * MS), 0);
    changes[0].certain = false;
    assert_int_equal(mh_history_replaced(&history, 7, 0, 250 * MS), 0); /* nobody knows */
}

static void clocks_that_differ_widen_the_window(void **state)
{
    (void)state;
    const struct mh_write none = {0};
    const struct mh_doubt apart = {.bound_ns = doubt.bound_ns, .clock_ns = 2 * MS};
    struct mh_look look = {112 * MS, 120 * MS, 0, MH_STRONG};
    have(write(MH_OP_INSERT, 0, 100, 110, true), 0, none, none);
    assert_int_equal(mh_history_standing(&history, &apart, &look, 7).kind, MH_STANDS_PERHAPS);
    look.sent_ns = 113 * MS;
    assert_int_equal(mh_history_standing(&history, &apart, &look, 7).kind, MH_STANDS_SURELY);
    look = (struct mh_look){90 * MS, 98 * MS, 0, MH_STRONG};
    assert_int_equal(mh_history_standing(&history, &apart, &look, 7).kind, MH_STANDS_PERHAPS);
    look.done_ns = 97 * MS;
    assert_int_equal(mh_history_standing(&history, &apart, &look, 7).kind, MH_STANDS_NOWHERE);
}

/* ---- from a journal ---- */

enum { START_NS = 5000 };

/* Of one rank and one worker, whose ids are 0 .. rows - 1. */
static void make_history(struct mh_history *made, int64_t rows, const struct mh_record *records, size_t count)
{
    struct mh_worker workers[] = {{.rows = rows, .partition = -1}};
    const struct mh_plan plan = {.np = 1, .workers = workers, .worker_count = 1};
    static struct mh_journal journal;
    struct mh_journal_start start = {.np = 1, .start_ns = START_NS};
    struct mh_error err = {""};
    char folder[] = "/tmp/mh-history-XXXXXX", file[64];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/rank-00000.journal", folder);
    assert_int_equal(mh_journal_open(&journal, folder, &start, &err), 0);
    for (size_t i = 0; i < count; i++) {
        struct mh_record record = records[i];
        record.sequence = (int64_t)i;
        record.type = MH_RECORD_INTENT;
        if (records[i].type == MH_RECORD_DONE)
            mh_journal_append(&journal, &record, NULL, NULL, NULL);
        record.type = records[i].type;
        mh_journal_append(&journal, &record, NULL, NULL, NULL);
    }
    mh_journal_close(&journal, false);
    if (mh_history_make(made, &plan, file, START_NS, MPI_COMM_SELF, &err) != 0)
        fail_msg("%s", err.text);
    remove(file);
    remove(folder);
}

/* What an earlier part left is certain from the first look on, but for what never was. */
static void restored_rows_stand_from_the_beginning(void **state)
{
    (void)state;
    static const struct {
        enum mh_insert_fate insert;
        uint16_t fate;
        int kind, lowest, highest;
    } cases[] = {{MH_INSERT_ACKED, 0, MH_STANDS_SURELY, 0, 0},
                 {MH_INSERT_ACKED, 3, MH_STANDS_SURELY, 3, 3},
                 {MH_INSERT_ACKED, 3 | MH_FATE_DELETED, MH_STANDS_GONE, 0, 0},
                 {MH_INSERT_ACKED, 3 | MH_FATE_DELETE_UNKNOWN, MH_STANDS_PERHAPS, 3, 3},
                 {MH_INSERT_ACKED, 2 | MH_FATE_UPSERT_UNKNOWN, MH_STANDS_PERHAPS, 2, 3},
                 {MH_INSERT_UNKNOWN, 0, MH_STANDS_PERHAPS, 0, 0},
                 {MH_INSERT_REFUSED, 0, MH_STANDS_NOWHERE, 0, 0}};
    enum { EACH = 10 };
    struct mh_record records[COUNT(cases)];
    struct mh_history made;
    for (size_t i = 0; i < COUNT(cases); i++)
        records[i] = mh_ledger_record(0, -1, EACH * (int64_t)i, EACH, cases[i].insert, cases[i].fate);
    make_history(&made, EACH * COUNT(cases), records, COUNT(cases));
    const struct mh_look look = {0, 1, 9, MH_STRONG};
    for (size_t i = 0; i < EACH * COUNT(cases); i++)
        expect(mh_history_standing(&made, &doubt, &look, (int64_t)i), cases[i / EACH].kind,
               cases[i / EACH].lowest, cases[i / EACH].highest);
    mh_history_free(&made);
}

static struct mh_record done(enum mh_op_kind kind, int version, int64_t sent_ms)
{
    return (struct mh_record){.type = MH_RECORD_DONE,
                              .kind = (uint8_t)kind,
                              .outcome = MH_OUTCOME_OK,
                              .version = (uint16_t)version,
                              .rows = 1,
                              .first_id = 7,
                              .sent_ns = START_NS + sent_ms * MS,
                              .done_ns = START_NS + (sent_ms + 10) * MS};
}

/* Of two ranks, one whose clock is 100 ms late, and one that deletes what the other upserted: the times say
 * the contrary of what was. */
static void clocks_do_not_say_what_became_of_a_row(void **state)
{
    (void)state;
    const struct mh_record records[] = {done(MH_OP_INSERT, 0, 100), done(MH_OP_DELETE, 2, 160),
                                        done(MH_OP_UPSERT, 1, 220), done(MH_OP_UPSERT, 2, 200)};
    const struct mh_look look = {300 * MS, 310 * MS, 9, MH_STRONG};
    struct mh_history made;
    make_history(&made, 8, records, COUNT(records));
    expect(mh_history_standing(&made, &doubt, &look, 7), MH_STANDS_GONE, 0, 0);
    made.change_count--; /* without the delete, which is the last */
    expect(mh_history_standing(&made, &doubt, &look, 7), MH_STANDS_SURELY, 2, 2);
    mh_history_free(&made);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_insert_is_seen_from_its_acknowledgement),
        cmocka_unit_test(each_level_promises_its_own),
        cmocka_unit_test(an_upsert_under_way_shows_either_version_or_none),
        cmocka_unit_test(a_deleted_row_is_gone_from_the_acknowledgement),
        cmocka_unit_test(how_long_a_version_has_been_replaced),
        cmocka_unit_test(clocks_that_differ_widen_the_window),
        cmocka_unit_test(restored_rows_stand_from_the_beginning),
        cmocka_unit_test(clocks_do_not_say_what_became_of_a_row),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
