/* The verdict: from books, ledger and audit figures that were made by hand. One that is right in everything
 * is good; each single thing wrong with it is said, and is the exit code. */
#include "command/session.h"

#include "base/clock.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WRITER, DELETER, UPSERTER, ROLES, INSERTS = 10, BATCH = 100, CHANGED = 200 };

static const char job_text[] =
    "dataset: {synthetic: {rows: 100, dim: 4}}\n"
    "collection:\n"
    "  name: things\n"
    "  fields:\n"
    "    - {name: id, type: int64, primary: true}\n"
    "    - {name: vector, type: float_vector}\n"
    "  index: {type: FLAT, metric: L2}\n"
    "stages:\n"
    "  - name: load\n"
    "    roles: [{role: writer}, {role: deleter, share: 30%}, {role: upserter, share: 30%}]\n";

static struct mh_session session;
static struct mh_arguments arguments;
static struct mh_ledger_totals totals;
static const char *sets[8]; /* of the job; NULL: no more */

static size_t count_sets(void)
{
    size_t count = 0;
    while (count < COUNT(sets) && sets[count])
        count++;
    return count;
}

static struct mh_tally *tally(int role)
{
    static const enum mh_op_kind kinds[ROLES] = {MH_OP_INSERT, MH_OP_DELETE, MH_OP_UPSERT};
    return mh_tally_at(&session.run.tallies, 0, role, kinds[role]);
}

static void carry_out(int role, int operations)
{
    struct mh_tally *t = tally(role);
    t->planned = t->ok = operations;
    t->rows = (int64_t)operations * BATCH;
    for (int i = 0; i < operations; i++)
        mh_histogram_record(&t->due, 1000);
}

static int set_up(void **state)
{
    (void)state;
    struct mh_error err;
    memset(&session, 0, sizeof session);
    session.arguments = &arguments;
    session.np = session.nodes = 1;
    session.audited = true;
    assert_int_equal(
        mh_job_parse("job.yaml", job_text, sets, count_sets(), mh_role_kinds, &session.job, &err), 0);
    assert_int_equal(mh_plan_make(session.job, 1, NULL, mh_role_needs, &session.plan, &err), 0);
    assert_int_equal(mh_tallies_init(&session.run.tallies, session.job, 0), 0);
    session.run.stage_seconds = calloc(session.job->stage_count, sizeof *session.run.stage_seconds);
    carry_out(WRITER, INSERTS);
    carry_out(DELETER, CHANGED / BATCH);
    carry_out(UPSERTER, CHANGED / BATCH);
    totals = (struct mh_ledger_totals){.acknowledged_inserts = INSERTS * BATCH,
                                       .acknowledged_deletes = CHANGED,
                                       .acknowledged_upserts = CHANGED};
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        session.run.rows_issued[kind] = mh_ledger_booked(&totals, (enum mh_op_kind)kind);
    const int64_t live = INSERTS * BATCH - CHANGED;
    session.audit.figures = (struct mh_audit_figures){.expected_live = live,
                                                      .count_star = live,
                                                      .partition_sum = live,
                                                      .scanned = live,
                                                      .statistics_row_count = INSERTS * BATCH,
                                                      .deletes_hit_live = CHANGED,
                                                      .upserts_hit_live = CHANGED,
                                                      .passes = 1};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mh_report_free(&session.report);
    mh_tallies_free(&session.run.tallies);
    mh_visibilities_free(&session.run.visibilities);
    free(session.run.stage_seconds);
    free(session.run.stage_spans);
    mh_events_free(&session.run.events);
    mh_plan_free(session.plan);
    mh_job_free(session.job);
    return 0;
}

static void begin_again(void **state)
{
    tear_down(state);
    set_up(state);
}

static void expect(int exit_code, const char *said)
{
    assert_int_equal(mh_session_fill_report(&session, &totals), 0);
    if (!strstr(session.report.verdict, said))
        fail_msg("\"%s\" is not in \"%s\"", said, session.report.verdict);
    assert_int_equal(session.report.exit_code, exit_code);
}

static void a_run_without_blemish_is_good(void **state)
{
    (void)state;
    expect(MH_EXIT_GOOD, "GOOD");
    assert_string_equal(session.report.verdict, "GOOD: every acknowledged row is there, and nothing else");
}

static void a_collection_that_nobody_wrote_to_is_called_empty(void **state)
{
    (void)state;
    totals = (struct mh_ledger_totals){.acknowledged_inserts = 0};
    memset(session.run.rows_issued, 0, sizeof session.run.rows_issued);
    session.audit.figures = (struct mh_audit_figures){.passes = 1};
    session.run.stopped = true; /* writers that wrote nothing are another matter */
    assert_int_equal(mh_session_fill_report(&session, &totals), 0);
    assert_null(strstr(session.report.verdict, "every acknowledged row"));
    assert_non_null(strstr(session.report.verdict,
                           "GOOD: no row of the job's collection was acknowledged, and none is there"));
}

/* ---- thresholds ---- */

static int check_threshold(const char *set, struct mh_error *err)
{
    struct mh_job *job = NULL;
    assert_int_equal(mh_job_parse("job.yaml", job_text, &set, 1, mh_role_kinds, &job, err), 0);
    const int rc = mh_thresholds_check(job, err);
    mh_job_free(job);
    return rc;
}

/* "290/h" would be 0.08 a second: held, whatever was measured. */
static void thresholds_are_of_the_figures_kind(void **state)
{
    (void)state;
    static const char *const good[] = {"thresholds.cycle.per_hour=>= 290",
                                       "thresholds.cycle.count=> 2k",
                                       "thresholds.errors=< 0.01",
                                       "thresholds.insert.errors=< 1%",
                                       "thresholds.search.p99=< 1s",
                                       "thresholds.search.p99=< 5",
                                       "thresholds.insert.rate=> 10k/s",
                                       "thresholds.insert.rows_rate=> 10",
                                       "thresholds.recall=>= 0.9",
                                       "thresholds.load.server_rss.slope=< 1MiB/h",
                                       "thresholds.load.server_fds.slope=< 3/h",
                                       "thresholds.load.insert.p99.slope=< 5ms/h",
                                       "thresholds.load.insert.p99.slope=< 1%/h"};
    static const char *const bad[] = {"thresholds.cycle.per_hour=>= 290/h",
                                      "thresholds.cycle.count=> 1%",
                                      "thresholds.errors=< 5ms",
                                      "thresholds.search.p99=< 10/s",
                                      "thresholds.search.p99=< 1MiB",
                                      "thresholds.insert.rate=> 1ms",
                                      "thresholds.recall=> 10/s",
                                      "thresholds.load.server_rss.slope=< 5ms/h",
                                      "thresholds.load.server_rss.slope=< 1%",
                                      "thresholds.load.insert.p99.slope=< 1MiB/h",
                                      "thresholds.load.insert.p99.slope=< 3k/h"};
    struct mh_error err;
    for (size_t i = 0; i < COUNT(good); i++)
        if (check_threshold(good[i], &err) != 0)
            fail_msg("%s: %s", good[i], err.text);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (check_threshold(bad[i], &err) == 0)
            fail_msg("%s is taken", bad[i]);
}

static void a_drift_as_a_share_of_nothing_is_not_for_want_of_data(void **state)
{
    (void)state;
    static const char *const set = "thresholds.load.server_fds.slope=< 1%/h";
    struct mh_error err;
    struct mh_job *job = NULL;
    struct mh_thresholds_outcome outcome;
    struct mh_report report = {.trend_count = 1};
    assert_int_equal(mh_job_parse("job.yaml", job_text, &set, 1, mh_role_kinds, &job, &err), 0);
    report.trends = calloc(1, sizeof *report.trends);
    *report.trends = (struct mh_report_trend){.stage = "load",
                                              .figure = "server_fds",
                                              .samples = 1000,
                                              .low = 1,
                                              .high = 2,
                                              .slope_ratio = NAN,
                                              .low_ratio = NAN,
                                              .high_ratio = NAN};
    assert_int_equal(mh_thresholds_judge(job, &report, &outcome), 0);
    assert_true(outcome.undecided == 1 && outcome.missed == 0);
    assert_string_equal(report.thresholds[0].got, "its median is not above 0: ask for an amount an hour");
    free(report.thresholds);
    free(report.trends);
    mh_job_free(job);
}

enum { STAGE_S = 600 };

static void give_span(int64_t seconds)
{
    session.run.stage_spans = calloc(session.job->stage_count, sizeof *session.run.stage_spans);
    session.run.stage_spans[0] = (struct mh_stage_span){0, seconds * MH_S};
}

/* A server's memory, seen in the seconds that are not in [from, to). */
static void observe_memory(double bytes_per_s, int from, int to)
{
    give_span(STAGE_S);
    session.report.gauges = calloc(STAGE_S, sizeof *session.report.gauges);
    for (int second = 0; second < STAGE_S; second++) {
        if (second >= from && second < to)
            continue;
        session.report.gauges[session.report.gauge_count++] =
            (struct mh_report_gauge){.second = second,
                                     .source = "127.0.0.1:1",
                                     .name = "rss_bytes",
                                     .unit = "bytes",
                                     .value = 1e9 + bytes_per_s * second,
                                     .life = 1};
    }
    expect(MH_EXIT_GOOD, "GOOD");
}

static const struct mh_report_threshold *judge_drift(const char *set)
{
    struct mh_thresholds_outcome outcome;
    struct mh_error err;
    struct mh_job *job = NULL;
    assert_int_equal(mh_job_parse("job.yaml", job_text, &set, 1, mh_role_kinds, &job, &err), 0);
    free(session.report.thresholds);
    session.report.threshold_count = 0;
    assert_int_equal(mh_thresholds_judge(job, &session.report, &outcome), 0);
    mh_job_free(job);
    return session.report.thresholds;
}

/* Memory that stands still while it is seen has not been seen to stand still all the time. */
static void a_drift_passes_when_most_of_the_stage_was_observed(void **state)
{
    static const struct {
        double bytes_per_s;
        int from, to; /* not observed */
        bool held, undecided;
        const char *said;
    } cases[] = {{0, 0, 0, true, false, " an hour"},
                 {0, 450, STAGE_S, true, false, " an hour"},
                 {0, 0, 150, true, false, " an hour"},
                 {0, 66, STAGE_S, false, true, "observed for 1 m 5 s of 10 m"},
                 {0, 0, 400, false, true, "observed for 3 m 19 s of 10 m"},
                 {0, 100, 500, false, true, "observed for 3 m 18 s of 10 m"},
                 {1e6, 66, STAGE_S, false, false, " an hour"},
                 {0x1p30 / 3600, 0, 0, false, true, " an hour"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin_again(state);
        observe_memory(cases[i].bytes_per_s, cases[i].from, cases[i].to);
        const struct mh_report_threshold *got = judge_drift("thresholds.load.server_rss.slope=< 1GiB/h");
        if (!strstr(got->got, cases[i].said))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].said, got->got);
        assert_true(got->held == cases[i].held && got->undecided == cases[i].undecided);
        assert_string_equal(session.report.trends[0].verdict, got->held        ? "PASS"
                                                              : got->undecided ? "cannot tell"
                                                                               : "FAIL");
    }
}

static void add_restart(int second, enum mh_event_kind kind)
{
    const struct mh_event event = {.kind = kind, .stage = 0, .role = -1, .time_ns = second * MH_S};
    assert_int_equal(mh_events_add(&session.run.events, &event), 0);
}

/* Inserts that take longer and longer, until a restart at one of the seconds; but for [from, to), none. */
static const struct mh_report_trend *slow_down(const int *restarts, size_t restart_count, int from, int to)
{
    give_span(STAGE_S);
    for (int second = 0, began = 0; second < STAGE_S; second++) {
        for (size_t i = 0; i < restart_count; i++)
            began = second == restarts[i] ? second : began;
        if (second >= from && second < to)
            continue;
        struct mh_timeline_slot *slot = mh_timeline_at(&tally(WRITER)->timeline, second * MH_S);
        slot->ok++;
        slot->latency[mh_timeline_bucket((1000 + 10 * (second - began)) * MH_US)]++;
    }
    expect(MH_EXIT_GOOD, "GOOD");
    for (int64_t i = 0; i < session.report.trend_count; i++)
        if (strcmp(session.report.trends[i].figure, "insert.p99") == 0)
            return &session.report.trends[i];
    fail_msg("no trend of insert.p99");
    return NULL;
}

/* 10 us a second are 36 ms an hour; across the restarts they are nothing. */
static void latencies_know_restarts(void **state)
{
    static const int two[] = {300},
                     fifteen[] = {40, 80, 120, 160, 200, 240, 280, 320, 360, 400, 440, 480, 520, 560};
    const double per_hour = 10.0 * MH_US * 3600;
    (void)state;
    add_restart(305, MH_EVENT_RESTART); /* the page tells of it later than the process */
    add_restart(300, MH_EVENT_RESTART);
    add_restart(450, MH_EVENT_OUTAGE);
    const struct mh_report_trend *trend = slow_down(two, COUNT(two), 0, 0);
    assert_int_equal(trend->lives, 2);
    assert_true(trend->low > 0.8 * per_hour && trend->high < 1.2 * per_hour && trend->step == 0);
    assert_true(trend->observed_s > STAGE_S * 0.9 && trend->stage_s == STAGE_S);

    begin_again(state);
    for (size_t i = 0; i < COUNT(fifteen); i++)
        add_restart(fifteen[i], MH_EVENT_RESTART);
    trend = slow_down(fifteen, COUNT(fifteen), 0, 0);
    assert_int_equal(trend->lives, 15);
    assert_true(trend->low > 0.5 * per_hour && trend->high < 1.5 * per_hour);
    assert_true(trend->observed_s > STAGE_S * 2 / 3.0);
}

/* An operation is no longer unobserved when it is rare. */
static void latencies_have_no_gaps(void **state)
{
    (void)state;
    const struct mh_report_trend *trend = slow_down(NULL, 0, 100, 500);
    assert_true(trend->observed_s > STAGE_S * 0.9);
    begin_again(state);
    trend = slow_down(NULL, 0, 300, STAGE_S);
    assert_true(trend->observed_s > 280 && trend->observed_s < 300);
    assert_true(judge_drift("thresholds.load.insert.p99.slope=< 1s/h")->undecided);
}

/* ---- drifts of several sources ---- */

/* The stage is the second 600 s of a run. */
static void begin_with(void **state, const char *const *wanted, size_t count)
{
    for (size_t i = 0; i < COUNT(sets); i++)
        sets[i] = i < count ? wanted[i] : NULL;
    begin_again(state);
    memset(sets, 0, sizeof sets);
    give_span(STAGE_S);
    session.run.stage_spans[0].begin_ns += STAGE_S * MH_S;
    session.run.stage_spans[0].end_ns += STAGE_S * MH_S;
    session.report.gauges = calloc(8 * STAGE_S, sizeof *session.report.gauges);
    session.report.rank_samples = calloc(2 * STAGE_S, sizeof *session.report.rank_samples);
}

struct look {
    const char *source, *name; /* NULL: none */
    int from, to;              /* since the stage began */
    double per_s;
};

static void look_at(const struct look *look)
{
    for (int second = look->from; look->name && second < look->to; second++) {
        struct mh_report_gauge *gauge = &session.report.gauges[session.report.gauge_count++];
        *gauge = (struct mh_report_gauge){
            .second = STAGE_S + second, .unit = "bytes", .value = 1e9 + look->per_s * second, .life = 1};
        snprintf(gauge->source, sizeof gauge->source, "%s", look->source);
        snprintf(gauge->name, sizeof gauge->name, "%s", look->name);
    }
}

static void look_at_rank(int rank, const char *name, double per_s)
{
    for (int second = 0; second < STAGE_S; second++) {
        struct mh_report_rank_sample *sample =
            &session.report.rank_samples[session.report.rank_sample_count++];
        *sample = (struct mh_report_rank_sample){
            .second = STAGE_S + second, .rank = rank, .value = 1e9 + per_s * second};
        snprintf(sample->name, sizeof sample->name, "%s", name);
    }
}

static const struct mh_report_threshold *conclude(void)
{
    assert_int_equal(mh_session_fill_report(&session, &totals), 0);
    assert_int_equal(session.report.threshold_count, 1);
    return session.report.thresholds;
}

#define PAGES         "observe.metrics=[http://a:1/metrics, http://b:1/metrics]"
#define PROCESSES     "server.uris=[http://127.0.0.1:1, http://127.0.0.1:2, http://10.0.0.1:3]"
#define RSS           "thresholds.load.server_rss.slope=< 1GiB/h"
#define ON_PAGE       "process_resident_memory_bytes"
#define WHOLE         0, STAGE_S
#define BEFORE        -STAGE_S, 0
#define UNSEEN(WHICH) "not enough data: " WHICH " was never observed in this stage"
#define MB            1e6

/* A leak of one that nobody looked at is no reason to praise the others. */
static void a_source_that_was_never_seen_is_not_passed_over(void **state)
{
    static const struct {
        const char *sets[4];
        struct look looks[3];
        const char *said; /* the beginning; NULL: it holds */
    } cases[] = {
        {{PAGES, RSS}, {{"a:1", ON_PAGE, WHOLE, 0}, {"b:1", ON_PAGE, WHOLE, 0}}, NULL},
        {{PAGES, RSS}, {{"a:1", ON_PAGE, WHOLE, 0}}, UNSEEN("b:1")},
        {{PAGES, RSS}, {{"b:1", ON_PAGE, WHOLE, 0}}, UNSEEN("a:1")},
        {{PAGES, RSS}, {{"a:1", ON_PAGE, WHOLE, 0}, {"b:1", ON_PAGE, BEFORE, 0}}, UNSEEN("b:1")},
        {{PAGES, RSS}, {{"a:1", ON_PAGE, BEFORE, 0}, {"b:1", ON_PAGE, WHOLE, 0}}, UNSEEN("a:1")},
        /* it answers, and has no such gauge */
        {{PAGES, RSS}, {{"a:1", ON_PAGE, WHOLE, 0}, {"b:1", "go_goroutines", WHOLE, 0}}, NULL},
        {{PAGES, RSS}, {{"a:1", ON_PAGE, WHOLE, 0}, {"b:1", "go_goroutines", BEFORE, 0}}, UNSEEN("b:1")},
        {{PAGES, RSS},
         {{"a:1", ON_PAGE, WHOLE, 0}, {"b:1", "go_goroutines", WHOLE, 0}, {"b:1", ON_PAGE, BEFORE, 0}},
         UNSEEN("b:1")},
        {{PAGES, "thresholds.load.go_goroutines.slope=< 1G/h"},
         {{"a:1", "go_goroutines", WHOLE, 0}},
         UNSEEN("b:1")},
        /* pages do not tell of it */
        {{PAGES, PROCESSES, "thresholds.load.server_threads.slope=< 1000k/h"},
         {{"127.0.0.1:1", "threads", WHOLE, 0}, {"127.0.0.1:2", "threads", WHOLE, 0}},
         NULL},
        {{PAGES, PROCESSES, "thresholds.load.server_threads.slope=< 1000k/h", "observe.gauges=['*']"},
         {{"127.0.0.1:1", "threads", WHOLE, 0}, {"127.0.0.1:2", "threads", WHOLE, 0}},
         NULL},
        {{PAGES, RSS, "observe.gauges=[go_goroutines]"}, {{"127.0.0.1:19530", "rss_bytes", WHOLE, 0}}, NULL},
        /* nobody tells of it */
        {{PAGES, RSS}, {{NULL, NULL, 0, 0, 0}}, "not measured"},
        {{PAGES, RSS}, {{"a:1", ON_PAGE, BEFORE, 0}}, "not measured"},
        /* one leaks, whatever the other does */
        {{PAGES, "thresholds.load.server_rss.slope=< 1MiB/h"}, {{"a:1", ON_PAGE, WHOLE, MB}}, "3.34 GiB to"},
        {{PROCESSES, RSS}, {{"127.0.0.1:1", "rss_bytes", WHOLE, 0}}, UNSEEN("127.0.0.1:2")},
        {{PROCESSES, RSS, "observe.local=never"}, {{"127.0.0.1:1", "rss_bytes", WHOLE, 0}}, NULL},
        {{PROCESSES, RSS},
         {{"127.0.0.1:1", "rss_bytes", WHOLE, 0}, {"127.0.0.1:2", MH_SHARED_PROCESS, WHOLE, 0}},
         NULL},
        {{PROCESSES, RSS},
         {{"127.0.0.1:1", "rss_bytes", WHOLE, 0}, {"127.0.0.1:2", MH_SHARED_PROCESS, BEFORE, 0}},
         UNSEEN("127.0.0.1:2")},
        /* in containers */
        {{PAGES, PROCESSES, RSS}, {{"a:1", ON_PAGE, WHOLE, 0}, {"b:1", ON_PAGE, WHOLE, 0}}, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin_with(state, cases[i].sets, COUNT(cases[i].sets));
        for (size_t k = 0; k < COUNT(cases[i].looks); k++)
            look_at(&cases[i].looks[k]);
        const struct mh_report_threshold *got = conclude();
        if (cases[i].said ? strncmp(got->got, cases[i].said, strlen(cases[i].said)) != 0 : !got->held)
            fail_msg("case %zu: \"%s\" in place of \"%s\"", i, got->got,
                     cases[i].said ? cases[i].said : "held");
        assert_int_equal(got->undecided, cases[i].said && strstr(cases[i].said, "never observed"));
        assert_int_equal(got->held, !cases[i].said);
    }
}

/* Of more series than are kept, it may have been refused. */
static void a_page_may_have_what_there_was_no_room_for(void **state)
{
    static const char *const wanted[] = {PAGES, RSS};
    char name[32];
    for (int series = MH_MOST_SERIES - 1; series <= MH_MOST_SERIES; series++) {
        begin_with(state, wanted, COUNT(wanted));
        look_at(&(struct look){"a:1", ON_PAGE, WHOLE, 0});
        for (int i = 1; i < series; i++) {
            snprintf(name, sizeof name, "go_%d", i);
            look_at(&(struct look){"b:1", name, 0, 10, 0});
        }
        assert_int_equal(conclude()->undecided, series == MH_MOST_SERIES);
    }
}

static void a_rank_that_was_never_seen_is_not_passed_over(void **state)
{
    static const char *const wanted[] = {"thresholds.load.client_rss.slope=< 1GiB/h"};
    for (int ranks = 1; ranks <= 2; ranks++) {
        begin_with(state, wanted, COUNT(wanted));
        session.np = 2;
        for (int rank = 0; rank < ranks; rank++)
            look_at_rank(rank, "rss_bytes", 0);
        const struct mh_report_threshold *got = conclude();
        assert_true(got->held == (ranks == 2) && got->undecided == (ranks == 1));
        if (ranks == 1)
            assert_string_equal(got->got, UNSEEN("rank 1"));
        if (ranks == 1)
            assert_string_equal(session.report.trends[1].verdict, "not enough data");
    }
}

/* ---- what drifts is missed, whatever it is ---- */

static void expect_fail(const char *figure)
{
    const struct mh_report_threshold *got = conclude();
    if (got->held || got->undecided || !strstr(got->got, " an hour"))
        fail_msg("%s: %s", figure, got->got);
    for (int64_t i = 0; i < session.report.trend_count; i++)
        if (strcmp(session.report.trends[i].figure, figure) == 0)
            assert_string_equal(session.report.trends[i].verdict, "FAIL");
    assert_int_equal(session.report.exit_code, MH_EXIT_THRESHOLD);
    assert_non_null(strstr(session.report.verdict, "1 threshold missed"));
}

static void each_figure_can_fail(void **state)
{
    static const struct {
        const char *figure, *gauge, *bound;
        bool client;
    } cases[] = {{"client_rss", "rss_bytes", "1MiB/h", true},
                 {"client_private", "private_bytes", "1MiB/h", true},
                 {"client_fds", "fds", "1/h", true},
                 {"client_threads", "threads", "1/h", true},
                 {"client_ledger", "ledger_bytes", "1%/h", true},
                 {"client_rpc", "rpc_bytes", "1%/h", true},
                 {"server_rss", "rss_bytes", "1%/h", false},
                 {"server_private", "private_bytes", "1%/h", false},
                 {"server_fds", "fds", "1/h", false},
                 {"server_fds", "process_open_fds", "1/h", false},
                 {"server_threads", "threads", "1/h", false},
                 {"go_goroutines", "go_goroutines", "1/h", false},
                 {"memory_usage_bytes", "memory_usage_bytes", "1%/h", false}};
    char set[128];
    const char *wanted[] = {set};
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(set, sizeof set, "thresholds.load.%s.slope=< %s", cases[i].figure, cases[i].bound);
        begin_with(state, wanted, 1);
        if (cases[i].client)
            look_at_rank(0, cases[i].gauge, MB);
        else
            look_at(&(struct look){"127.0.0.1:19530", cases[i].gauge, WHOLE, MB});
        expect_fail(cases[i].figure);
    }
}

static int64_t slower(int second)
{
    return (1000 + 10 * second) * MH_US;
}

static void visibility_can_fail(void **state)
{
    static const char *const wanted[] = {"thresholds.load.visibility.p99.slope=< 1ms/h"};
    begin_with(state, wanted, COUNT(wanted));
    assert_int_equal(mh_visibilities_init(&session.run.visibilities, session.job), 0);
    struct mh_visibility *cell = mh_visibility_at(&session.run.visibilities, 0, 0, MH_OP_INSERT);
    assert_non_null(cell);
    cell->read = MH_OP_QUERY;
    cell->consistency = 0;
    for (int second = 0; second < STAGE_S; second++) {
        const int64_t acked_ns = (STAGE_S + second) * MH_S;
        assert_int_equal(mh_visibility_record(cell, acked_ns, acked_ns, acked_ns + slower(second)), 0);
    }
    expect_fail("visibility.p99");
}

/* An index is built in a cycle, or by an indexer. */
static void a_step_can_fail(void **state)
{
    static const char *const wanted[][2] = {{"thresholds.load.create_index.p99.slope=< 1ms/h", " an hour"},
                                            {"thresholds.create_index.p99=< 5ms", "6."}};
    for (size_t i = 0; i < COUNT(wanted); i++) {
        begin_with(state, wanted[i], 1);
        struct mh_tally *t = mh_tally_at(&session.run.tallies, 0, WRITER, MH_OP_CREATE_INDEX);
        t->planned = t->ok = STAGE_S;
        for (int second = 0; second < STAGE_S; second++) {
            struct mh_timeline_slot *slot = mh_timeline_at(&t->timeline, (STAGE_S + second) * MH_S);
            slot->ok++;
            slot->latency[mh_timeline_bucket(slower(second))]++;
            mh_histogram_record(&t->due, slower(second));
        }
        const struct mh_report_threshold *got = conclude();
        if (got->held || got->undecided || !strstr(got->got, wanted[i][1]))
            fail_msg("%s: %s", wanted[i][0], got->got);
        assert_int_equal(session.report.exit_code, MH_EXIT_THRESHOLD);
    }
}

/* Of more restarts than are kept, latencies behind the last cannot be told from one another's lives. */
static void latencies_behind_too_many_restarts_are_not_told(void **state)
{
    for (int restarts = MH_MOST_RESTARTS - 1; restarts <= MH_MOST_RESTARTS; restarts++) {
        begin_again(state);
        for (int i = 0; i < restarts; i++) {
            const struct mh_event event = {.kind = MH_EVENT_RESTART, .time_ns = 60 * MH_S + i};
            assert_int_equal(mh_events_add(&session.run.events, &event), 0);
        }
        const struct mh_report_trend *trend = slow_down(NULL, 0, 0, 0);
        assert_true((trend->observed_s < 60) == (restarts == MH_MOST_RESTARTS));
        assert_int_equal(judge_drift("thresholds.load.insert.p99.slope=< 1s/h")->undecided,
                         restarts == MH_MOST_RESTARTS);
    }
}

/* ---- the harness itself ---- */

static void a_planned_operation_that_nobody_accounts_for(void **state)
{
    (void)state;
    tally(DELETER)->planned++;
    expect(MH_EXIT_UNUSABLE, "lost count of delete operations");
}

static void an_end_that_was_not_planned(void **state)
{
    (void)state;
    tally(UPSERTER)->unknown++;
    expect(MH_EXIT_UNUSABLE, "lost count of upsert operations");
}

static void operations_and_latencies_that_differ_in_number(void **state)
{
    (void)state;
    mh_histogram_record(&tally(WRITER)->due, 1);
    expect(MH_EXIT_UNUSABLE, "lost count of insert operations");
}

static void every_way_to_end_is_in_the_books(void **state)
{
    (void)state;
    struct mh_tally *t = tally(WRITER);
    t->planned += 15;
    t->failed = 1;
    t->unknown = 2;
    t->unsent = 4;
    t->in_flight = 8;
    expect(MH_EXIT_GOOD, "GOOD");
}

static void issued_inserts_that_the_ledger_lacks(void **state)
{
    (void)state;
    session.run.rows_issued[MH_OP_INSERT]++;
    expect(MH_EXIT_UNUSABLE, "lost count of insert rows");
}

static void booked_deletes_that_nobody_issued(void **state)
{
    (void)state;
    totals.unknown_deletes++;
    expect(MH_EXIT_UNUSABLE, "lost count of delete rows");
}

static void a_deleter_that_never_hits(void **state)
{
    (void)state;
    session.audit.figures.deletes_hit_live = 0;
    expect(MH_EXIT_UNUSABLE, "no delete hit a live row, so the run did not test deletes");
}

static void a_deleter_that_seldom_hits(void **state)
{
    (void)state;
    session.audit.figures.deletes_hit_live = CHANGED * 9 / 10 - 1;
    expect(MH_EXIT_UNUSABLE, "only 179 of 200 deletes hit a live row");
}

static void an_upserter_that_never_hits(void **state)
{
    (void)state;
    session.audit.figures.upserts_hit_live = 0;
    expect(MH_EXIT_UNUSABLE, "no upsert hit a live row");
}

static void nine_hits_in_ten_are_enough(void **state)
{
    (void)state;
    session.audit.figures.deletes_hit_live = session.audit.figures.upserts_hit_live = CHANGED * 9 / 10;
    expect(MH_EXIT_GOOD, "GOOD");
}

/* ---- lives of collections ---- */

static void live(int whole, int broken, int unlooked, int cut)
{
    struct mh_tally *t = mh_tally_at(&session.run.tallies, 0, WRITER, MH_TALLY_CYCLE);
    t->planned = whole + broken + unlooked + cut;
    t->ok = whole;
    t->failed = broken;
    t->unknown = unlooked;
    t->unsent = cut;
    for (int i = 0; i < whole; i++)
        mh_histogram_record(&t->due, 1000);
}

/* Broken or cut, by a stop or not, and whatever other roles did. */
static void cycles_of_which_none_was_whole_tested_nothing(void **state)
{
    static const struct {
        int broken, unlooked, cut;
        bool stopped;
        const char *said;
    } cases[] = {{0, 0, 8, true, "no cycle of the lifecycle role succeeded: 0 broken, 8 cut"},
                 {2, 1, 8, true, "no cycle of the lifecycle role succeeded: 3 broken, 8 cut"},
                 {2, 0, 0, true, "no cycle of the lifecycle role succeeded: 2 broken, 0 cut"},
                 {2, 0, 0, false, "no cycle of the lifecycle role succeeded: 2 broken, 0 cut"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin_again(state);
        session.run.stopped = cases[i].stopped;
        live(0, cases[i].broken, cases[i].unlooked, cases[i].cut);
        expect(MH_EXIT_UNUSABLE, cases[i].said);
        const char *once = strstr(session.report.verdict, "no cycle");
        assert_null(strstr(once + 1, "no cycle"));
    }
}

static void what_became_of_cycles_is_said(void **state)
{
    static const char *const said[] = {"5 of 14 cycles whole, and what they looked at was as it had to be",
                                       "cycles cut before they were whole: 6",
                                       "cycles broken, rows not looked at: 2",
                                       "collections of cycles that may be left on the server: 3"};
    for (size_t i = 0; i < COUNT(said); i++) {
        begin_again(state);
        session.run.stopped = true;
        session.run.sums.own_left = 3;
        live(5, 1, 2, 6);
        expect(MH_EXIT_GOOD, said[i]);
        assert_int_equal(mh_report_figure(&session.report, "collections_left"), 3);
    }
    begin_again(state);
    live(5, 0, 0, 0);
    expect(MH_EXIT_GOOD, "5 of 5 cycles whole, and what they looked at was as it had to be");
    assert_null(strstr(session.report.verdict, "cut"));
    assert_null(strstr(session.report.verdict, "left"));
}

static void a_contradiction_decides_nothing(void **state)
{
    (void)state;
    session.run.sums.own_contradicted = 2;
    live(5, 0, 2, 0);
    expect(MH_EXIT_UNUSABLE, "UNDECIDED: 2 cycles ended with an answer that contradicted");
}

static void a_role_that_never_succeeds(void **state)
{
    (void)state;
    struct mh_tally *t = mh_tally_at(&session.run.tallies, 0, UPSERTER, MH_OP_DROP_INDEX);
    t->planned = t->failed = 3;
    expect(MH_EXIT_UNUSABLE, "no drop_index of the upserter role succeeded");
}

/* Another stage's upserters may have hit all the same. */
static void a_role_that_never_reports(void **state)
{
    (void)state;
    mh_tallies_free(&session.run.tallies);
    assert_int_equal(mh_tallies_init(&session.run.tallies, session.job, 0), 0);
    carry_out(WRITER, INSERTS);
    carry_out(DELETER, CHANGED / BATCH);
    expect(MH_EXIT_UNUSABLE, "the upserter role of stage load did nothing");
}

/* What earlier parts did is no work of this one. */
static void hits_are_judged_of_this_part(void **state)
{
    (void)state;
    session.earlier = (struct mh_earlier){
        .inserts = CHANGED, .deletes = CHANGED / 2, .deletes_hit_live = CHANGED / 2, .live = CHANGED};
    expect(MH_EXIT_GOOD, "acknowledged rows, ");
    begin_again(state);
    session.earlier = (struct mh_earlier){.deletes_hit_live = CHANGED};
    expect(MH_EXIT_UNUSABLE, "no delete hit a live row");
    begin_again(state);
    session.earlier = (struct mh_earlier){.upserts_hit_live = CHANGED / 2};
    expect(MH_EXIT_UNUSABLE, "upserts hit a live row");
}

static void verify_runs_no_roles(void **state)
{
    (void)state;
    mh_tallies_free(&session.run.tallies);
    assert_int_equal(mh_tallies_init(&session.run.tallies, session.job, 0), 0);
    session.only_audits = true;
    expect(MH_EXIT_GOOD, "GOOD");
}

/* Stopped before the deleters' turn, it was excused; so is each look at its rows. */
static void hits_of_a_run_that_was_cut_are_not_verified(void **state)
{
    (void)state;
    session.only_audits = session.parent.whole = true;
    session.audit.figures.deletes_hit_live = 0;
    expect(MH_EXIT_UNUSABLE, "no delete hit a live row");
    assert_true(session.report.whole);
    begin_again(state);
    session.only_audits = true;
    session.audit.figures.deletes_hit_live = 0;
    expect(MH_EXIT_GOOD, "GOOD");
    assert_false(session.report.whole); /* verify of this result excuses it likewise */
}

static void an_incomplete_run_is_not_good(void **state)
{
    (void)state;
    session.audited = false;
    session.broken = true;
    strcpy(session.broken_why, "the disk is full");
    expect(MH_EXIT_UNUSABLE, "INCOMPLETE: the disk is full");
}

static void what_was_rebuilt_says_once_that_nothing_was_audited(void **state)
{
    (void)state;
    session.audited = session.job->verify.enabled = false;
    session.broken = session.rebuilt = true;
    strcpy(session.broken_why, "rebuilt from journals and not audited");
    expect(MH_EXIT_UNUSABLE, "INCOMPLETE: rebuilt from journals and not audited");
    assert_null(strstr(session.report.verdict, "verify.enabled"));
}

/* ---- the server ---- */

static void any_violation_is_one(void **state)
{
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        begin_again(state);
        session.audit.figures.wrong[kind] = 2;
        if (kind == MH_LATE || kind == MH_INVISIBLE)
            expect(MH_EXIT_GOOD, "GOOD");
        else
            expect(MH_EXIT_VIOLATION, "VIOLATED: the server broke its promise about 2 rows");
    }
}

static void violations_outlive_a_broken_run(void **state)
{
    (void)state;
    session.audit.figures.wrong[MH_LOST] = 1;
    session.broken = true;
    expect(MH_EXIT_UNUSABLE, "VIOLATED: the server broke its promise about 1 row; INCOMPLETE");
}

static const struct {
    size_t offset;
    const char *name;
} sums[] = {{offsetof(struct mh_audit_figures, count_star), "count(*) says"},
            {offsetof(struct mh_audit_figures, partition_sum), "the partitions' sum says"},
            {offsetof(struct mh_audit_figures, scanned), "the scan says"}};

static void set_sum(size_t i, int64_t rows)
{
    struct mh_audit_figures *figures = &session.audit.figures;
    figures->count_star = figures->partition_sum = figures->scanned = figures->expected_live;
    memcpy((char *)figures + sums[i].offset, &rows, sizeof rows);
}

static void a_sum_outside_of_what_must_be_live(void **state)
{
    for (size_t i = 0; i < COUNT(sums); i++)
        for (int way = -1; way <= 1; way += 2) {
            begin_again(state);
            session.audit.figures.expected_maybe = 50;
            set_sum(i, session.audit.figures.expected_live + (way < 0 ? -1 : 51));
            expect(MH_EXIT_VIOLATION, sums[i].name);
        }
}

/* An upsert in doubt may have taken the old version away, and not yet have put the new one there. */
static void a_sum_that_may_fall_into_an_upsert_decides_nothing(void **state)
{
    for (size_t i = 0; i < COUNT(sums); i++)
        for (int torn = 2; torn <= 3; torn++) {
            begin_again(state);
            totals.unknown_upserts = 2;
            session.run.rows_issued[MH_OP_UPSERT] += 2;
            set_sum(i, session.audit.figures.expected_live - torn);
            if (i == 0) /* all of them alike */
                session.audit.figures.partition_sum = session.audit.figures.scanned =
                    session.audit.figures.count_star;
            expect(torn > 2 ? MH_EXIT_VIOLATION : MH_EXIT_UNUSABLE, torn > 2 ? sums[i].name : "UNDECIDED");
        }
}

static void sums_that_contradict_one_another_decide_nothing(void **state)
{
    for (size_t i = 0; i < COUNT(sums); i++) {
        begin_again(state);
        session.audit.figures.expected_maybe = 50;
        set_sum(i, session.audit.figures.expected_live + 50);
        expect(MH_EXIT_UNUSABLE, "UNDECIDED");
    }
}

/* Deletes do not lower it before a compaction. */
static void statistics_are_shown_and_judge_nothing(void **state)
{
    (void)state;
    session.audit.figures.statistics_row_count = 7;
    expect(MH_EXIT_GOOD, "GOOD");
    assert_int_equal(mh_report_figure(&session.report, "statistics_row_count"), 7);
}

#define OF_SESSION(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OF_SESSION(a_run_without_blemish_is_good),
        cmocka_unit_test(thresholds_are_of_the_figures_kind),
        cmocka_unit_test(a_drift_as_a_share_of_nothing_is_not_for_want_of_data),
        OF_SESSION(a_drift_passes_when_most_of_the_stage_was_observed),
        OF_SESSION(latencies_know_restarts),
        OF_SESSION(latencies_have_no_gaps),
        OF_SESSION(a_source_that_was_never_seen_is_not_passed_over),
        OF_SESSION(a_page_may_have_what_there_was_no_room_for),
        OF_SESSION(a_rank_that_was_never_seen_is_not_passed_over),
        OF_SESSION(each_figure_can_fail),
        OF_SESSION(visibility_can_fail),
        OF_SESSION(a_step_can_fail),
        OF_SESSION(latencies_behind_too_many_restarts_are_not_told),
        OF_SESSION(a_collection_that_nobody_wrote_to_is_called_empty),
        OF_SESSION(a_planned_operation_that_nobody_accounts_for),
        OF_SESSION(an_end_that_was_not_planned),
        OF_SESSION(operations_and_latencies_that_differ_in_number),
        OF_SESSION(every_way_to_end_is_in_the_books),
        OF_SESSION(issued_inserts_that_the_ledger_lacks),
        OF_SESSION(booked_deletes_that_nobody_issued),
        OF_SESSION(a_deleter_that_never_hits),
        OF_SESSION(a_deleter_that_seldom_hits),
        OF_SESSION(an_upserter_that_never_hits),
        OF_SESSION(nine_hits_in_ten_are_enough),
        OF_SESSION(cycles_of_which_none_was_whole_tested_nothing),
        OF_SESSION(what_became_of_cycles_is_said),
        OF_SESSION(a_contradiction_decides_nothing),
        OF_SESSION(a_role_that_never_succeeds),
        OF_SESSION(a_role_that_never_reports),
        OF_SESSION(hits_are_judged_of_this_part),
        OF_SESSION(verify_runs_no_roles),
        OF_SESSION(hits_of_a_run_that_was_cut_are_not_verified),
        OF_SESSION(an_incomplete_run_is_not_good),
        OF_SESSION(what_was_rebuilt_says_once_that_nothing_was_audited),
        OF_SESSION(any_violation_is_one),
        OF_SESSION(violations_outlive_a_broken_run),
        OF_SESSION(a_sum_outside_of_what_must_be_live),
        OF_SESSION(a_sum_that_may_fall_into_an_upsert_decides_nothing),
        OF_SESSION(sums_that_contradict_one_another_decide_nothing),
        OF_SESSION(statistics_are_shown_and_judge_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
