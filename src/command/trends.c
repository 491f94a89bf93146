/* Drifts: which series of a run are judged, under which name, and how finely. */
#include "command/session.h"

#include "base/clock.h"
#include "base/grow.h"
#include "job/names.h"
#include "measure/trend.h"
#include "observe/process.h"
#include "observe/prometheus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_POINTS = 64,   /* of the latencies of an operation: neighbours' operations are taken together */
    MORE_POINTS = 8,    /* for each further life: some are left behind its warm-up */
    ONE_RESTART_S = 10, /* in which page and process both tell of it */
    ONE_RESTART_PERIODS = 3
};
#define ALPHA 0.01 /* that a figure's interval, or one of its sources', does not hold the slope */
#define MIB   1048576.0
#define PIECE                                                                                                \
    (MIB / 4) /* our own ranks keep less than this in hand: M_TRIM_THRESHOLD, an interval's histograms */

/* One row a figure of processes: a gauge's name, what thresholds call it, and what it moves by when nothing
 * is the matter: pages come from the kernel, and go back, in pieces. Others are called as the page calls
 * them. */
static const struct figure {
    const char *gauge;
    bool client;
    const char *figure; /* NULL: grows by nature, and says nothing */
    double resolution;
} figures[] = {
    {"rss_bytes", false, "server_rss", MIB},
    {"private_bytes", false, "server_private", MIB},
    {"fds", false, "server_fds", 1},
    {"threads", false, "server_threads", 1},
    {"cpu_s", false, NULL, 0},
    {"process_resident_memory_bytes", false, "server_rss", MIB},
    {"process_open_fds", false, "server_fds", 1},
    {"process_start_time_seconds", false, NULL, 0},
    {MH_SHARED_PROCESS, false, NULL, 0},
    {"rss_bytes", true, "client_rss", PIECE},
    {"private_bytes", true, "client_private", PIECE},
    {"fds", true, "client_fds", 1},
    {"threads", true, "client_threads", 1},
    {"ledger_bytes", true, "client_ledger", 0},
    {"rpc_bytes", true, "client_rpc", PIECE},
    {"cpu_s", true, NULL, 0},
};
enum { FIGURES = sizeof figures / sizeof figures[0] };

static bool is_counter(const char *name)
{
    static const char *const ends[] = {"_total", "_count", "_sum", "_bucket"};
    const size_t length = strcspn(name, "{");
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (length > strlen(ends[i]) &&
            strncmp(name + length - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
            return true;
    return false;
}

static struct figure figure_of(const char *gauge, const char *unit, bool client)
{
    for (int i = 0; i < FIGURES; i++)
        if (figures[i].client == client && strcmp(figures[i].gauge, gauge) == 0)
            return figures[i];
    if (is_counter(gauge))
        return (struct figure){.gauge = gauge};
    return (struct figure){
        .gauge = gauge, .figure = gauge, .resolution = strcmp(unit, "bytes") == 0 ? MIB : 0};
}

bool mh_trend_is_known(const struct mh_job *job, const char *figure)
{
    for (int i = 0; i < FIGURES; i++)
        if (figures[i].figure && strcmp(figures[i].figure, figure) == 0)
            return true;
    if (!is_counter(figure) && mh_metric_is_wanted(figure, (const char *const *)job->observe.gauges.items,
                                                   job->observe.gauges.count))
        return true;
    return strcmp(figure, "memory_usage_bytes") == 0 || strcmp(figure, "cpu_usage_percent") == 0;
}

/* ---- one series ---- */

struct points {
    struct mh_trend_point *items;
    int64_t count, room;
};

static int add_point(struct points *points, double second, double value, int32_t life)
{
    if (!mh_grow(&points->items, &points->room, points->count, sizeof *points->items))
        return -1;
    points->items[points->count++] = (struct mh_trend_point){second, value, life};
    return 0;
}

static struct mh_report_trend *add_trend(struct mh_report *report, int64_t *room)
{
    if (!mh_grow(&report->trends, room, report->trend_count, sizeof *report->trends))
        return NULL;
    struct mh_report_trend *trend = &report->trends[report->trend_count++];
    *trend = (struct mh_report_trend){.lives = 0};
    return trend;
}

/* Of nothing, nothing is a share, and anything else none. */
static double ratio_of(double slope, double median)
{
    return median > 0 ? slope / median : slope == 0 ? 0 : NAN;
}

static void fill(struct mh_report_trend *out, const struct mh_trend *trend)
{
    const bool known = trend->state == MH_TREND_KNOWN;
    out->samples = trend->samples;
    out->span_s = trend->span_s;
    out->observed_s = trend->observed_s;
    out->median = trend->median;
    out->lives = trend->lives;
    out->step = trend->step;
    out->step_s = trend->step_s;
    out->slope = known ? trend->slope_per_hour : NAN;
    out->low = known ? trend->low_per_hour : NAN;
    out->high = known ? trend->high_per_hour : NAN;
    out->slope_ratio = ratio_of(out->slope, trend->median);
    out->low_ratio = ratio_of(out->low, trend->median);
    out->high_ratio = ratio_of(out->high, trend->median);
}

struct restart { /* since the run began; from the first that tells of it to the last */
    int64_t first_ns, last_ns;
};

struct judging {
    struct mh_session *session;
    int stage;
    int64_t *room; /* of report->trends */
    struct points points;
    struct restart *restarts; /* of any server, in order of time */
    int64_t restart_count;
    int64_t blind_ns;                     /* from when on restarts are not known */
    const struct mh_timeline **timelines; /* whose slots are added up; room for all operations */
    int64_t timeline_count;
};

/* No look need have fallen into it: then it is not for want of a source that there are no samples. */
static bool is_short(const struct judging *judging)
{
    const struct mh_stage_span *span = &judging->session->run.stage_spans[judging->stage];
    return span->end_ns - span->begin_ns < 2 * judging->session->job->observe.period_ns;
}

/* NULL: no memory. */
static struct mh_report_trend *put_trend(struct judging *judging, const struct figure *figure,
                                         const char *source, const char *unit, double alpha)
{
    struct mh_trend trend;
    const struct mh_trend_options options = {figure->resolution, alpha, .by_events = !figure->gauge};
    const struct mh_stage_span *span = &judging->session->run.stage_spans[judging->stage];
    if (mh_trend_of(judging->points.items, judging->points.count, &options, &trend) != 0)
        return NULL;
    struct mh_report_trend *out = add_trend(&judging->session->report, judging->room);
    if (!out)
        return NULL;
    fill(out, &trend);
    out->stage_s = (double)(span->end_ns - span->begin_ns) / (double)MH_S;
    snprintf(out->stage, sizeof out->stage, "%s", judging->session->job->stages[judging->stage].name);
    snprintf(out->figure, sizeof out->figure, "%s", figure->figure);
    snprintf(out->source, sizeof out->source, "%s", source);
    snprintf(out->unit, sizeof out->unit, "%s", unit);
    return out;
}

static int judge_points(struct judging *judging, const struct figure *figure, const char *source,
                        const char *unit, double alpha)
{
    if (judging->points.count == 0 && !is_short(judging))
        return 0;
    return put_trend(judging, figure, source, unit, alpha) ? 0 : -1;
}

static bool is_within(const struct judging *judging, double second)
{
    const struct mh_stage_span *span = &judging->session->run.stage_spans[judging->stage];
    return second * (double)MH_S >= (double)span->begin_ns && second * (double)MH_S < (double)span->end_ns;
}

/* ---- servers and ranks ---- */

static bool same_gauge(const struct mh_report_gauge *a, const struct mh_report_gauge *b)
{
    return strcmp(a->source, b->source) == 0 && strcmp(a->name, b->name) == 0;
}

/* How many sources a figure has: each is one more chance to be wrong. */
static int sources_of(const struct mh_report *report, const char *figure)
{
    int sources = 0;
    for (int64_t i = 0; i < report->gauge_count; i++) {
        const struct mh_report_gauge *gauge = &report->gauges[i];
        if (i > 0 && same_gauge(gauge, gauge - 1))
            continue;
        const struct figure of = figure_of(gauge->name, gauge->unit, false);
        sources += of.figure && strcmp(of.figure, figure) == 0;
    }
    return sources > 0 ? sources : 1;
}

static int judge_gauges(struct judging *judging)
{
    const struct mh_report *report = &judging->session->report;
    for (int64_t at = 0, end; at < report->gauge_count; at = end) {
        const struct mh_report_gauge *first = &report->gauges[at];
        const struct figure figure = figure_of(first->name, first->unit, false);
        judging->points.count = 0;
        for (end = at; end < report->gauge_count && same_gauge(first, &report->gauges[end]); end++) {
            const struct mh_report_gauge *gauge = &report->gauges[end];
            if (is_within(judging, gauge->second) &&
                add_point(&judging->points, gauge->second, gauge->value, gauge->life) != 0)
                return -1;
        }
        if (figure.figure && judge_points(judging, &figure, first->source, first->unit,
                                          ALPHA / sources_of(report, figure.figure)) != 0)
            return -1;
    }
    return 0;
}

static bool same_series(const struct mh_report_rank_sample *a, const struct mh_report_rank_sample *b)
{
    return a->rank == b->rank && strcmp(a->name, b->name) == 0;
}

static int judge_ranks(struct judging *judging)
{
    const struct mh_report *report = &judging->session->report;
    for (int64_t at = 0, end; at < report->rank_sample_count; at = end) {
        const struct mh_report_rank_sample *first = &report->rank_samples[at];
        const struct figure figure = figure_of(first->name, first->unit, true);
        char source[32];
        snprintf(source, sizeof source, "rank %d", (int)first->rank);
        judging->points.count = 0;
        for (end = at; end < report->rank_sample_count && same_series(first, &report->rank_samples[end]);
             end++)
            if (is_within(judging, report->rank_samples[end].second) &&
                add_point(&judging->points, report->rank_samples[end].second, report->rank_samples[end].value,
                          1) != 0)
                return -1;
        if (figure.figure &&
            judge_points(judging, &figure, source, first->unit, ALPHA / judging->session->np) != 0)
            return -1;
    }
    return 0;
}

/* ---- who was not seen ---- */

/* Of what a threshold asks about, in this stage: the source's row, or with "" any; NULL: there is none. */
static const struct mh_report_trend *row_of(const struct judging *judging, const char *figure,
                                            const char *source)
{
    const struct mh_report *report = &judging->session->report;
    const char *stage = judging->session->job->stages[judging->stage].name;
    for (int64_t i = 0; i < report->trend_count; i++)
        if (strcmp(report->trends[i].stage, stage) == 0 && strcmp(report->trends[i].figure, figure) == 0 &&
            (!source[0] || strcmp(report->trends[i].source, source) == 0))
            return &report->trends[i];
    return NULL;
}

/* A row for a source that has none: that the others do not drift says nothing of it. */
static int miss(struct judging *judging, const char *name, const char *source)
{
    const struct mh_report_trend *other = row_of(judging, name, "");
    if (!other || row_of(judging, name, source))
        return 0;
    const struct figure figure = {.gauge = "", .figure = name};
    judging->points.count = 0;
    char unit[sizeof other->unit];
    memcpy(unit, other->unit, sizeof unit);
    struct mh_report_trend *out = put_trend(judging, &figure, source, unit, ALPHA);
    if (out)
        out->unobserved = true;
    return out ? 0 : -1;
}

static bool has_figure(const struct mh_report_gauge *gauge, const char *name)
{
    const struct figure figure = figure_of(gauge->name, gauge->unit, false);
    return figure.figure && strcmp(figure.figure, name) == 0;
}

/* Of a source: does it lack the figure, and not for want of looks or of room for series? */
static bool is_known_to_lack(const struct judging *judging, const char *source, const char *name)
{
    const struct mh_report *report = &judging->session->report;
    bool answered = false;
    int series = 0;
    for (int64_t i = 0; i < report->gauge_count; i++) {
        const struct mh_report_gauge *gauge = &report->gauges[i];
        series += i == 0 || !same_gauge(gauge, gauge - 1);
        if (strcmp(gauge->source, source) != 0)
            continue;
        answered |= is_within(judging, gauge->second);
        if (has_figure(gauge, name))
            return false;
    }
    return answered && series < MH_MOST_SERIES;
}

static bool is_wanted(const struct mh_observe_options *observe, const char *gauge)
{
    return mh_metric_is_wanted(gauge, (const char *const *)observe->gauges.items, observe->gauges.count);
}

static bool is_of_pages(const char *gauge)
{
    return strncmp(gauge, "process_", strlen("process_")) == 0;
}

static bool may_be_on_pages(const struct mh_observe_options *observe, const char *name)
{
    bool own_name = true;
    for (int i = 0; i < FIGURES; i++)
        if (figures[i].figure && strcmp(figures[i].figure, name) == 0) {
            own_name = false;
            if (is_of_pages(figures[i].gauge) && is_wanted(observe, figures[i].gauge))
                return true;
        }
    return own_name && is_wanted(observe, name);
}

static int miss_pages(struct judging *judging, const char *name)
{
    const struct mh_observe_options *observe = &judging->session->job->observe;
    char source[MH_PAGE_NAME];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < observe->metrics.count && may_be_on_pages(observe, name); i++) {
        mh_page_name(observe->metrics.items[i], source);
        if (!is_known_to_lack(judging, source, name))
            rc = miss(judging, name, source);
    }
    return rc;
}

static bool is_of_processes(const char *name)
{
    for (int i = 0; i < FIGURES; i++)
        if (!figures[i].client && !is_of_pages(figures[i].gauge) && figures[i].figure &&
            strcmp(figures[i].figure, name) == 0)
            return true;
    return false;
}

static bool shares_process(const struct judging *judging, const char *source)
{
    const struct mh_report *report = &judging->session->report;
    for (int64_t i = 0; i < report->gauge_count; i++)
        if (strcmp(report->gauges[i].name, MH_SHARED_PROCESS) == 0 &&
            strcmp(report->gauges[i].source, source) == 0 && is_within(judging, report->gauges[i].second))
            return true;
    return false;
}

/* Where no process is seen at all, servers on loopback are behind a tunnel or in containers. */
static bool sees_processes(const struct mh_report *report)
{
    for (int64_t i = 0; i < report->gauge_count; i++)
        if (strcmp(report->gauges[i].name, "rss_bytes") == 0)
            return true;
    return false;
}

static int miss_processes(struct judging *judging, const char *name)
{
    const struct mh_job *job = judging->session->job;
    char source[MH_PROCESS_NAME];
    int rc = 0;
    if (job->observe.local != MH_LOCAL_AUTO || !is_of_processes(name) ||
        !sees_processes(&judging->session->report))
        return 0;
    for (size_t i = 0; rc == 0 && i < job->server.uris.count; i++)
        if (mh_process_port(job->server.uris.items[i], source) > 0 && !shares_process(judging, source))
            rc = miss(judging, name, source);
    return rc;
}

static int miss_ranks(struct judging *judging, const char *name)
{
    char source[32];
    int rc = 0;
    for (int i = 0; i < FIGURES; i++)
        if (figures[i].client && figures[i].figure && strcmp(figures[i].figure, name) == 0)
            for (int rank = 0; rc == 0 && rank < judging->session->np; rank++) {
                snprintf(source, sizeof source, "rank %d", rank);
                rc = miss(judging, name, source);
            }
    return rc;
}

/* What a threshold asks about, of each page, process and rank that the job names; of figures that another one
 * has: what nobody has was not measured. */
static int judge_unobserved(struct judging *judging)
{
    const struct mh_job *job = judging->session->job;
    char name[MH_DRIFT_NAME];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < job->threshold_count; i++)
        if (mh_threshold_drift(job, job->thresholds[i].figure, name) == judging->stage &&
            (miss_pages(judging, name) != 0 || miss_processes(judging, name) != 0 ||
             miss_ranks(judging, name) != 0))
            rc = -1;
    return rc;
}

/* ---- latencies ---- */

/* What the timelines hold of [from, to) since the run began: whole intervals of each. */
static void sum_slots(const struct judging *judging, int64_t from_ns, int64_t to_ns,
                      struct mh_timeline_slot *sum)
{
    memset(sum, 0, sizeof *sum);
    for (int64_t i = 0; i < judging->timeline_count; i++) {
        const struct mh_timeline *timeline = judging->timelines[i];
        for (int64_t k = from_ns / timeline->interval_ns;
             k < to_ns / timeline->interval_ns && k < timeline->used; k++)
            mh_timeline_add_slot(timeline, k, sum);
    }
}

/* What ended early may have finer intervals than the others. */
static int64_t coarsest(const struct judging *judging)
{
    int64_t interval_ns = MH_S; /* the finest there is */
    for (int64_t i = 0; i < judging->timeline_count; i++)
        if (judging->timelines[i]->interval_ns > interval_ns)
            interval_ns = judging->timelines[i]->interval_ns;
    return interval_ns;
}

/* A server that answers again knows nothing of what it was like: its operations begin a new life. */
static int find_restarts(struct judging *judging)
{
    const struct mh_events *events = &judging->session->run.events; /* in order of time */
    const int64_t periods_ns = ONE_RESTART_PERIODS * judging->session->job->observe.period_ns;
    const int64_t one_ns = periods_ns > ONE_RESTART_S * MH_S ? periods_ns : ONE_RESTART_S * MH_S;
    int64_t all = 0;
    judging->restarts = calloc((size_t)events->count + 1, sizeof *judging->restarts);
    judging->blind_ns = INT64_MAX;
    for (int64_t i = 0; judging->restarts && i < events->count; i++) {
        const int64_t time_ns = events->items[i].time_ns;
        struct restart *next = &judging->restarts[judging->restart_count];
        if (events->items[i].kind != MH_EVENT_RESTART)
            continue;
        if (++all == MH_MOST_RESTARTS)
            judging->blind_ns = time_ns;
        if (judging->restart_count > 0 && time_ns - next[-1].last_ns <= one_ns) {
            next[-1].last_ns = time_ns;
        } else {
            *next = (struct restart){time_ns, time_ns};
            judging->restart_count++;
        }
    }
    return judging->restarts ? 0 : -1;
}

/* Restarts that began before that time. */
static int32_t restarts_before(const struct judging *judging, int64_t time_ns)
{
    int32_t before = 0;
    while (before < judging->restart_count && judging->restarts[before].first_ns < time_ns)
        before++;
    return before;
}

/* What holds a restart is of neither life: a gap, at the begin of the later one. */
static int add_slots(struct judging *judging, int64_t from_ns, int64_t to_ns)
{
    struct mh_timeline_slot sum;
    const int32_t restarts = restarts_before(judging, to_ns);
    const bool apart =
        (restarts > 0 && judging->restarts[restarts - 1].last_ns >= from_ns) || to_ns > judging->blind_ns;
    sum_slots(judging, from_ns, to_ns, &sum);
    return add_point(&judging->points, ((double)from_ns + (double)to_ns) / 2 / (double)MH_S,
                     apart ? NAN : mh_timeline_quantile_within(&sum, 0.99), 1 + restarts);
}

/* The 99th percentile of what judging->timelines hold. */
static int judge_timelines(struct judging *judging, const char *figure_name, const char *source, double alpha)
{
    const struct mh_stage_span *span = &judging->session->run.stage_spans[judging->stage];
    const int64_t interval = coarsest(judging);
    const int64_t first = (span->begin_ns + interval - 1) / interval, last = span->end_ns / interval;
    const int64_t lives = restarts_before(judging, span->end_ns) - restarts_before(judging, span->begin_ns);
    const int64_t step = interval * ((last - first) / (MOST_POINTS + MORE_POINTS * lives) + 1);
    const struct figure figure = {.figure = figure_name};
    judging->points.count = 0;
    for (int64_t at = first * interval; at + step <= last * interval; at += step)
        if (add_slots(judging, at, at + step) != 0)
            return -1;
    return judge_points(judging, &figure, source, "ns", alpha);
}

/* Of all roles of the stage with the operation. */
static int judge_latency(struct judging *judging, const struct mh_report_operation *row)
{
    const struct mh_report *report = &judging->session->report;
    char name[64];
    judging->timeline_count = 0;
    for (int64_t i = 0; i < report->operation_count; i++)
        if (strcmp(report->operations[i].stage, row->stage) == 0 &&
            strcmp(report->operations[i].op, row->op) == 0)
            judging->timelines[judging->timeline_count++] = &report->operations[i].tally->timeline;
    snprintf(name, sizeof name, "%.31s.p99", row->op);
    return judge_timelines(judging, name, "", ALPHA);
}

static bool is_first_of_op(const struct mh_report *report, int64_t at)
{
    for (int64_t i = 0; i < at; i++)
        if (strcmp(report->operations[i].stage, report->operations[at].stage) == 0 &&
            strcmp(report->operations[i].op, report->operations[at].op) == 0)
            return false;
    return true;
}

/* A search for a rate changes its latencies on purpose. */
static int judge_latencies(struct judging *judging)
{
    const struct mh_stage_options *stage = &judging->session->job->stages[judging->stage];
    const struct mh_report *report = &judging->session->report;
    for (int64_t i = 0; i < report->operation_count && !stage->find_max.role; i++)
        if (strcmp(report->operations[i].stage, stage->name) == 0 && is_first_of_op(report, i) &&
            judge_latency(judging, &report->operations[i]) != 0)
            return -1;
    return 0;
}

static int judge_visibilities(struct judging *judging)
{
    const struct mh_report *report = &judging->session->report;
    const char *stage = judging->session->job->stages[judging->stage].name;
    int sources = 0;
    char source[64];
    for (int64_t i = 0; i < report->visibility_count; i++)
        sources += strcmp(report->visibilities[i].stage, stage) == 0;
    for (int64_t i = 0; i < report->visibility_count; i++) {
        const struct mh_report_visibility *row = &report->visibilities[i];
        if (strcmp(row->stage, stage) != 0 || row->count == 0)
            continue;
        judging->timelines[0] = &row->cell->timeline;
        judging->timeline_count = 1;
        snprintf(source, sizeof source, "%.15s, %.15s at %.15s", row->write, row->read, row->consistency);
        if (judge_timelines(judging, "visibility.p99", source, ALPHA / sources) != 0)
            return -1;
    }
    return 0;
}

int mh_session_put_trends(struct mh_session *session)
{
    int64_t room = 0;
    struct judging judging = {.session = session, .room = &room};
    judging.timelines = calloc((size_t)session->report.operation_count + 1, sizeof(struct mh_timeline *));
    int rc = judging.timelines && find_restarts(&judging) == 0 ? 0 : -1;
    for (int s = 0; rc == 0 && session->run.stage_spans && s < (int)session->job->stage_count; s++) {
        judging.stage = s;
        if (session->run.stage_spans[s].end_ns > 0 &&
            (judge_gauges(&judging) != 0 || judge_ranks(&judging) != 0 || judge_unobserved(&judging) != 0 ||
             judge_latencies(&judging) != 0 || judge_visibilities(&judging) != 0))
            rc = -1;
    }
    free(judging.timelines);
    free(judging.restarts);
    free(judging.points.items);
    return rc;
}
