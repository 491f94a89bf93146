/* The judgement of a row against the rules said another way: which states may it be in, after all that
 * happened? And the book of violations. */
#include "truth/scan.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { FINE = -1, ABSENT = MH_VERSION_NONE, NO_VERSION = MH_VERSION_UNKNOWN };

/* ---- one row ---- */

static const int versions[] = {0, 1, 2, 3, 7, 4094, 4095};
static const int all_bits[] = {MH_FATE_DELETED, MH_FATE_DELETE_UNKNOWN, MH_FATE_UPSERT_UNKNOWN};

/* Could a row with this story be seen so? Acknowledged: certain; unknown: happened or not; refused: did not.
 */
static bool may_be(enum mh_insert_fate insert, uint16_t fate, int32_t seen)
{
    const int32_t version = fate & MH_FATE_VERSION;
    const bool may_exist = insert == MH_INSERT_ACKED || insert == MH_INSERT_UNKNOWN;
    const bool must_exist = insert == MH_INSERT_ACKED && !(fate & MH_FATE_DELETE_UNKNOWN);
    if (!may_exist || fate & MH_FATE_DELETED)
        return seen == ABSENT;
    if (seen == ABSENT)
        return !must_exist;
    return seen == version || (fate & MH_FATE_UPSERT_UNKNOWN && seen == version + 1);
}

/* The word for it, by the definitions beside enum mh_wrong. */
static int word_for(enum mh_insert_fate insert, uint16_t fate, int32_t seen)
{
    if (may_be(insert, fate, seen))
        return FINE;
    if (seen == ABSENT)
        return MH_LOST;
    if (fate & MH_FATE_DELETED)
        return MH_RESURRECTED;
    if (insert == MH_INSERT_NONE || insert == MH_INSERT_REFUSED)
        return MH_UNEXPECTED;
    if (seen == NO_VERSION)
        return MH_CORRUPTED;
    return seen < (fate & MH_FATE_VERSION) ? MH_STALE : MH_UNEXPECTED;
}

typedef void visit_fate(enum mh_insert_fate insert, uint16_t fate);

static void every_fate(visit_fate *visit)
{
    for (int insert = MH_INSERT_NONE; insert <= MH_INSERT_ACKED; insert++)
        for (size_t v = 0; v < COUNT(versions); v++)
            for (int mask = 0; mask < 1 << COUNT(all_bits); mask++) {
                uint16_t fate = (uint16_t)versions[v];
                for (size_t b = 0; b < COUNT(all_bits); b++)
                    fate |= mask >> b & 1 ? (uint16_t)all_bits[b] : 0;
                visit((enum mh_insert_fate)insert, fate);
            }
}

/* Only a row whose insert was acknowledged has mutators. */
static bool can_happen(enum mh_insert_fate insert, uint16_t fate)
{
    return insert == MH_INSERT_ACKED || fate == 0;
}

static void judge_all_that_may_be_seen(enum mh_insert_fate insert, uint16_t fate)
{
    for (int32_t seen = NO_VERSION; seen <= 4097; seen++) {
        if (can_happen(insert, fate))
            assert_int_equal(mh_judge_row(insert, fate, seen), word_for(insert, fate, seen));
        if (fate & MH_FATE_DELETED) /* whatever came before */
            assert_int_equal(mh_judge_row(insert, fate, seen) == FINE, seen == ABSENT);
    }
}

static void every_row_is_judged_by_what_may_be(void **state)
{
    (void)state;
    every_fate(judge_all_that_may_be_seen);
}

static void expect_the_acknowledged_version(enum mh_insert_fate insert, uint16_t fate)
{
    const bool there = insert >= MH_INSERT_UNKNOWN && !(fate & MH_FATE_DELETED);
    assert_int_equal(mh_expected_version(insert, fate), there ? fate & MH_FATE_VERSION : ABSENT);
}

static void the_expected_version_is_the_newest_acknowledged(void **state)
{
    (void)state;
    every_fate(expect_the_acknowledged_version);
}

static void each_word_in_an_example(void **state)
{
    (void)state;
    static const struct {
        enum mh_insert_fate insert;
        uint16_t fate;
        int32_t seen;
        int word;
    } examples[] = {
        {MH_INSERT_ACKED, 0, ABSENT, MH_LOST},
        {MH_INSERT_ACKED, 2, ABSENT, MH_LOST},
        {MH_INSERT_ACKED, MH_FATE_UPSERT_UNKNOWN, ABSENT, MH_LOST},
        {MH_INSERT_ACKED, 2, 1, MH_STALE},
        {MH_INSERT_ACKED, 2 | MH_FATE_DELETE_UNKNOWN, 1, MH_STALE},
        {MH_INSERT_ACKED, 0, 1, MH_UNEXPECTED},
        {MH_INSERT_ACKED, MH_FATE_UPSERT_UNKNOWN, 1, FINE},
        {MH_INSERT_ACKED, MH_FATE_UPSERT_UNKNOWN, 2, MH_UNEXPECTED},
        {MH_INSERT_ACKED, MH_FATE_DELETED, 0, MH_RESURRECTED},
        {MH_INSERT_ACKED, MH_FATE_DELETED, NO_VERSION, MH_RESURRECTED},
        {MH_INSERT_ACKED, MH_FATE_DELETED, ABSENT, FINE},
        {MH_INSERT_ACKED, MH_FATE_DELETE_UNKNOWN, ABSENT, FINE},
        {MH_INSERT_ACKED, MH_FATE_DELETE_UNKNOWN, 0, FINE},
        {MH_INSERT_ACKED, 0, NO_VERSION, MH_CORRUPTED},
        {MH_INSERT_UNKNOWN, 0, ABSENT, FINE},
        {MH_INSERT_UNKNOWN, 0, 0, FINE},
        {MH_INSERT_UNKNOWN, 0, NO_VERSION, MH_CORRUPTED},
        {MH_INSERT_REFUSED, 0, 0, MH_UNEXPECTED},
        {MH_INSERT_NONE, 0, 0, MH_UNEXPECTED},
        {MH_INSERT_NONE, 0, ABSENT, FINE},
    };
    for (size_t i = 0; i < COUNT(examples); i++)
        assert_int_equal(mh_judge_row(examples[i].insert, examples[i].fate, examples[i].seen),
                         examples[i].word);
}

/* ---- the book ---- */

static struct mh_violation violation_of(int kind, int64_t id, int pass)
{
    return (struct mh_violation){.kind = kind,
                                 .id = id,
                                 .expected_version = 100 + pass,
                                 .seen_version = 200 + pass,
                                 .first_seen_ns = 1000 + pass,
                                 .last_seen_ns = 2000 + pass,
                                 .first_pass = pass,
                                 .last_pass = pass};
}

static void condemn(struct mh_audit *audit, int kind, int64_t id, int pass)
{
    struct mh_violation violation = violation_of(kind, id, pass);
    mh_audit_condemn(audit, &violation);
}

static void free_book(struct mh_audit *audit)
{
    free(audit->violations);
    free(audit->index);
}

static void a_violation_stands_once_with_first_and_last_sight(void **state)
{
    (void)state;
    struct mh_audit audit = {0};
    assert_false(mh_audit_condemned(&audit, MH_LOST, 5));
    condemn(&audit, MH_LOST, 5, 0);
    condemn(&audit, MH_STALE, 5, 0);
    condemn(&audit, MH_LOST, MH_ID_ALL, 1);
    condemn(&audit, MH_LOST, 5, 2);
    assert_int_equal(audit.violation_count, 3);
    struct mh_violation expected = violation_of(MH_LOST, 5, 0);
    expected.seen_version = 202;
    expected.last_seen_ns = 2002;
    expected.last_pass = 2;
    assert_memory_equal(&audit.violations[0], &expected, sizeof expected);
    expected = violation_of(MH_STALE, 5, 0);
    assert_memory_equal(&audit.violations[1], &expected, sizeof expected);
    assert_int_equal(audit.figures.wrong[MH_LOST], 2);
    assert_int_equal(audit.figures.wrong[MH_STALE], 1);
    assert_true(mh_audit_condemned(&audit, MH_LOST, 5));
    assert_true(mh_audit_condemned(&audit, MH_LOST, MH_ID_ALL));
    assert_false(mh_audit_condemned(&audit, MH_LATE, 5));
    assert_false(mh_audit_condemned(&audit, MH_LOST, 6));
    free_book(&audit);
}

static void the_book_grows(void **state)
{
    (void)state;
    enum { EACH = 3000 };
    struct mh_audit audit = {0};
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < EACH; i++)
            for (int kind = 0; kind < MH_WRONGS; kind++)
                condemn(&audit, kind, i * 1000003 - 5, pass);
    assert_int_equal(audit.violation_count, EACH * MH_WRONGS);
    assert_int_equal(audit.violations_dropped, 0);
    for (int64_t i = 0; i < EACH * MH_WRONGS; i++) {
        assert_int_equal(audit.violations[i].kind, i % MH_WRONGS);
        assert_int_equal(audit.violations[i].id, i / MH_WRONGS * 1000003 - 5);
        assert_int_equal(audit.violations[i].first_pass, 0);
        assert_int_equal(audit.violations[i].last_pass, 1);
    }
    for (int kind = 0; kind < MH_WRONGS; kind++)
        assert_int_equal(audit.figures.wrong[kind], EACH);
    free_book(&audit);
}

static void a_full_book_still_counts(void **state)
{
    (void)state;
    struct mh_audit audit = {0};
    for (int64_t id = 0; id < MH_VIOLATIONS_KEPT + 50; id++)
        condemn(&audit, MH_LOST, id, 0);
    assert_int_equal(audit.violation_count, MH_VIOLATIONS_KEPT);
    assert_int_equal(audit.violations_dropped, 50);
    assert_int_equal(audit.figures.wrong[MH_LOST], MH_VIOLATIONS_KEPT + 50);
    condemn(&audit, MH_LOST, 7, 3); /* one it knows */
    assert_int_equal(audit.violations[7].last_pass, 3);
    condemn(&audit, MH_LOST, MH_VIOLATIONS_KEPT + 7, 3); /* one it knows, though it did not keep it */
    assert_int_equal(audit.figures.wrong[MH_LOST], MH_VIOLATIONS_KEPT + 50);
    assert_int_equal(audit.violations_dropped, 50);
    assert_int_equal(audit.violations[MH_VIOLATIONS_KEPT - 1].id, MH_VIOLATIONS_KEPT - 1);
    free_book(&audit);
}

static void late_rows_are_no_violations(void **state)
{
    (void)state;
    struct mh_audit_figures figures = {0};
    int64_t sum = 0;
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        figures.wrong[kind] = 1LL << kind;
        sum += kind == MH_LATE || kind == MH_INVISIBLE ? 0 : 1LL << kind;
    }
    assert_int_equal(mh_audit_violations(&figures), sum);
}

static void every_wrong_has_a_name_of_its_own(void **state)
{
    (void)state;
    static const char *const names[MH_WRONGS] = {
        "lost",        "late",           "stale",         "duplicated", "resurrected",
        "unexpected",  "misplaced",      "corrupted",     "miscounted", "wrong_distance",
        "wrong_order", "filter_ignored", "range_ignored", "surplus",    "missed",
        "unread",      "non_monotonic",  "invisible",     "not_dropped"};
    for (int kind = 0; kind < MH_WRONGS; kind++)
        assert_string_equal(mh_wrong_names[kind], names[kind]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_judged_by_what_may_be),
        cmocka_unit_test(the_expected_version_is_the_newest_acknowledged),
        cmocka_unit_test(each_word_in_an_example),
        cmocka_unit_test(a_violation_stands_once_with_first_and_last_sight),
        cmocka_unit_test(the_book_grows),
        cmocka_unit_test(a_full_book_still_counts),
        cmocka_unit_test(late_rows_are_no_violations),
        cmocka_unit_test(every_wrong_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
