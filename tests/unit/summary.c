/* What changes no rows is on record as summaries: counters, histograms, timeline, errors and what probers saw
 * come back from them, also from several; one that is cut off is left out whole; a journal's length goes by
 * time, not by operations. */
#include "truth/journal.h"

#include "base/clock.h"
#include "base/random.h"
#include "no_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUNDS = 4, OPERATIONS = 3000 };

static const int64_t start_ns = 5000 * MH_S;
static char folder[64], file[128];
static struct mh_journal journal;
static struct mh_stage_options stages[1] = {{.role_count = 2}};
static const struct mh_job job = {.stages = stages, .stage_count = 1};
static struct mh_tallies expected, interval, got;
static struct mh_visibilities expected_visible, visible, got_visible;
static struct mh_random dice;
static double spread_ns; /* of latencies */

static int set_up(void **state)
{
    struct mh_error err = {""};
    const struct mh_journal_start start = {.start_ns = start_ns, .np = 1};
    (void)state;
    dice = (struct mh_random){.seed = 11};
    spread_ns = 5e8;
    strcpy(folder, "/tmp/mh-summary-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/rank-00000.journal", folder);
    if (mh_journal_open(&journal, folder, &start, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(mh_tallies_init(&expected, &job, 0), 0);
    assert_int_equal(mh_tallies_init(&interval, &job, start_ns), 0);
    assert_int_equal(mh_tallies_init(&got, &job, 0), 0);
    assert_int_equal(mh_visibilities_init(&expected_visible, &job), 0);
    assert_int_equal(mh_visibilities_init(&visible, &job), 0);
    assert_int_equal(mh_visibilities_init(&got_visible, &job), 0);
    mh_visibilities_reset(&visible, start_ns);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mh_journal_close(&journal, true);
    mh_tallies_free(&expected);
    mh_tallies_free(&interval);
    mh_tallies_free(&got);
    mh_visibilities_free(&expected_visible);
    mh_visibilities_free(&visible);
    mh_visibilities_free(&got_visible);
    return rmdir(folder);
}

static void book(struct mh_tallies *tallies, struct mh_record record, int64_t shift_ns)
{
    record.due_ns -= shift_ns;
    record.sent_ns -= shift_ns;
    record.done_ns -= shift_ns;
    mh_tallies_plan(tallies, record.stage, record.role, record.kind, 1);
    mh_tallies_book(tallies, &record, record.outcome == MH_OUTCOME_OK ? "" : "no such thing");
}

/* One in the given second of the run. */
static void operate(int second)
{
    const double chance = mh_random_unit(&dice);
    struct mh_record record = {
        .kind = chance < 0.3 ? MH_OP_QUERY : MH_OP_SEARCH,
        .role = chance<0.3, .rows = 10, .bytes_out = 100, .bytes_in = 70, .throttled = chance> 0.97};
    record.outcome = chance > 0.98 ? MH_OUTCOME_FAILED : MH_OUTCOME_OK;
    record.flags = chance > 0.5 && chance < 0.55 ? MH_RECORD_WARM_UP : 0;
    record.due_ns = start_ns + second * MH_S + (int64_t)(mh_random_unit(&dice) * 0.4 * (double)MH_S);
    record.sent_ns = record.due_ns + (int64_t)(mh_random_unit(&dice) * spread_ns / 500);
    record.done_ns = record.sent_ns + (int64_t)(mh_random_unit(&dice) * spread_ns);
    book(&expected, record, start_ns);
    book(&interval, record, 0);
}

static int64_t length_of_file(void)
{
    struct stat status;
    assert_int_equal(stat(file, &status), 0);
    return status.st_size;
}

static int read_back(struct mh_error *err)
{
    struct mh_journal_start start;
    struct mh_journal_end end;
    const struct mh_journal_rest rest = {.tallies = &got, .visibilities = &got_visible};
    return mh_journal_read_all(file, &start, no_record, NULL, &rest, &end, err);
}

static void compare_histograms(const struct mh_histogram *a, const struct mh_histogram *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->min_ns, b->min_ns);
    assert_int_equal(a->max_ns, b->max_ns);
    assert_true(a->sum_ns - b->sum_ns < 1 && b->sum_ns - a->sum_ns < 1);
    assert_memory_equal(a->counts, b->counts, (size_t)mh_histogram_length() * sizeof *a->counts);
}

static void compare_timelines(const struct mh_timeline *a, const struct mh_timeline *b)
{
    assert_int_equal(a->used, b->used);
    for (int64_t i = 0; i < a->used; i++) {
        struct mh_timeline_slot of_a = {0}, of_b = {0};
        mh_timeline_add_slot(a, i, &of_a);
        mh_timeline_add_slot(b, i, &of_b);
        assert_memory_equal(&of_a, &of_b, sizeof of_a);
    }
}

static void compare_cells(const struct mh_tally *a, const struct mh_tally *b)
{
    assert_memory_equal(&a->planned, &b->planned, MH_TALLY_COUNTERS * sizeof(int64_t));
    compare_histograms(&a->due, &b->due);
    compare_histograms(&a->sent, &b->sent);
    compare_timelines(&a->timeline, &b->timeline);
}

static void summaries_come_back(void **state)
{
    struct mh_error err = {""};
    (void)state;
    for (int second = 0; second < ROUNDS; second++) {
        for (int i = 0; i < OPERATIONS; i++)
            operate(second);
        mh_journal_summarise(&journal, &interval, &visible, start_ns + (second + 1) * MH_S);
        assert_int_equal(interval.error_count, 0);
    }
    mh_journal_flush(&journal);
    if (read_back(&err) != 0)
        fail_msg("%s", err.text);
    compare_cells(mh_tally_at(&expected, 0, 0, MH_OP_SEARCH), mh_tally_at(&got, 0, 0, MH_OP_SEARCH));
    compare_cells(mh_tally_at(&expected, 0, 1, MH_OP_QUERY), mh_tally_at(&got, 0, 1, MH_OP_QUERY));
    assert_int_equal(got.error_count, expected.error_count);
    assert_memory_equal(got.errors, expected.errors, (size_t)got.error_count * sizeof *got.errors);
}

static void see(struct mh_visibilities *all, int write, bool never, int64_t acked_ns, int64_t lag_ns)
{
    struct mh_visibility *cell = mh_visibility_at(all, 0, 1, write);
    cell->read = MH_OP_QUERY;
    cell->consistency = MH_BOUNDED;
    cell->never += never;
    if (!never)
        assert_int_equal(mh_visibility_record(cell, acked_ns, acked_ns + lag_ns / 2, acked_ns + lag_ns), 0);
}

/* A write in the given second of the run. */
static void probe(int second)
{
    const int write = mh_random_unit(&dice) < 0.5 ? MH_OP_INSERT : MH_OP_DELETE;
    const bool never = mh_random_unit(&dice) < 0.1;
    const int64_t since_ns = second * MH_S + (int64_t)(mh_random_unit(&dice) * 0.4 * (double)MH_S),
                  lag_ns = (int64_t)(mh_random_unit(&dice) * spread_ns);
    see(&expected_visible, write, never, since_ns, lag_ns);
    see(&visible, write, never, start_ns + since_ns, lag_ns);
}

static void compare_visibility(int write)
{
    const struct mh_visibility *a = mh_visibility_at(&expected_visible, 0, 1, write),
                               *b = mh_visibility_at(&got_visible, 0, 1, write);
    compare_histograms(&a->done, &b->done);
    compare_histograms(&a->sent, &b->sent);
    assert_true(a->never > 0);
    assert_int_equal(a->never, b->never);
    assert_int_equal(b->read, MH_OP_QUERY);
    assert_int_equal(b->consistency, MH_BOUNDED);
    compare_timelines(&a->timeline, &b->timeline);
}

/* And what nobody measured is not there. */
static void what_probers_saw_comes_back(void **state)
{
    struct mh_error err = {""};
    (void)state;
    for (int second = 0; second < ROUNDS; second++) {
        for (int i = 0; i < OPERATIONS; i++)
            probe(second);
        mh_journal_summarise(&journal, &interval, &visible, start_ns + (second + 1) * MH_S);
    }
    const uint32_t records = journal.records;
    mh_journal_summarise(&journal, &interval, &visible, start_ns + 9 * MH_S); /* nothing was seen */
    assert_int_equal(journal.records, records);
    mh_journal_flush(&journal);
    if (read_back(&err) != 0)
        fail_msg("%s", err.text);
    compare_visibility(MH_OP_INSERT);
    compare_visibility(MH_OP_DELETE);
    for (int i = 0; i < 2 * MH_VISIBLE_WRITES; i++)
        assert_int_equal(got_visible.cells[i] != NULL, expected_visible.cells[i] != NULL);
}

/* Everything before counts, and of it nothing. */
static void one_that_is_cut_off_is_left_out_whole(void **state)
{
    struct mh_error err = {""};
    (void)state;
    operate(0);
    mh_journal_summarise(&journal, &interval, &visible, start_ns + MH_S);
    mh_journal_flush(&journal);
    const int64_t whole = length_of_file();
    const int64_t ok =
        mh_tally_at(&expected, 0, 0, MH_OP_SEARCH)->ok + mh_tally_at(&expected, 0, 1, MH_OP_QUERY)->ok;
    for (int i = 0; i < 50; i++)
        operate(1);
    mh_journal_summarise(&journal, &interval, &visible, start_ns + 2 * MH_S);
    mh_journal_flush(&journal);
    for (int64_t length = whole + 4 * MH_JOURNAL_ENTRY; length >= whole; length -= 50) {
        assert_int_equal(truncate(file, length), 0);
        mh_tallies_free(&got);
        assert_int_equal(mh_tallies_init(&got, &job, 0), 0);
        if (read_back(&err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(mh_tally_at(&got, 0, 0, MH_OP_SEARCH)->ok + mh_tally_at(&got, 0, 1, MH_OP_QUERY)->ok,
                         ok);
    }
}

static int64_t grown_by(int operations)
{
    const int64_t before = length_of_file();
    for (int i = 0; i < operations; i++)
        operate(0);
    mh_journal_summarise(&journal, &interval, &visible, start_ns + MH_S);
    mh_journal_flush(&journal);
    return length_of_file() - before;
}

/* Ten times the operations fill more buckets, but far from ten times as many; an idle interval costs nothing.
 */
static void the_length_goes_by_time(void **state)
{
    (void)state;
    spread_ns = 2e6;
    const int64_t some = grown_by(20000), many = grown_by(200000);
    assert_true(many < 2 * some);
    assert_true(many < 200000 * MH_JOURNAL_ENTRY / 50);
    assert_int_equal(grown_by(0), 0);
}

/* In its place. */
static void a_sign_of_life_costs_no_room(void **state)
{
    struct mh_error err = {""};
    struct mh_journal_start start;
    struct mh_journal_end end;
    (void)state;
    const int64_t before = length_of_file();
    for (int i = 1; i <= 1000; i++)
        mh_journal_sign(&journal, start_ns + i);
    assert_int_equal(length_of_file(), before);
    assert_int_equal(mh_journal_read(file, &start, no_record, NULL, &end, &err), 0);
    assert_int_equal(start.sign_ns, start_ns + 1000);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_DISK(summaries_come_back),
        ON_DISK(what_probers_saw_comes_back),
        ON_DISK(one_that_is_cut_off_is_left_out_whole),
        ON_DISK(the_length_goes_by_time),
        ON_DISK(a_sign_of_life_costs_no_room),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
