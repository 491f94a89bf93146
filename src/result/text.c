/* The terminal summary: what a person wants to know, most of it twice - as figures and in words - and the
 * verdict near the end, where the eye is. */
#include "base/clock.h"
#include "base/terminal.h"
#include "base/units.h"
#include "result/fields.h"
#include "result/grid.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_VIOLATIONS = 20, SHOWN_EVENTS = 20, SHOWN_TRENDS = 20, TOLD_FROM_S = 600, LABEL_WIDTH = 12 };

struct page {
    FILE *out;
    bool colour;
    const struct mh_report *report;
    const struct mh_result_view *view;
};

/* ---- Words ---- */

static bool takes_colour(FILE *out)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    const int fd = fileno(out); /* -1: memory */
    return fd >= 0 && mh_is_terminal(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static const char *paint(const struct page *page, const char *code)
{
    return page->colour ? code : "";
}

#define BOLD  "\033[1m"
#define RED   "\033[1;31m"
#define GREEN "\033[1;32m"
#define PLAIN "\033[0m"

static void heading(const struct page *page, const char *colour, const char *title, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void heading(const struct page *page, const char *colour, const char *title, const char *format, ...)
{
    fprintf(page->out, "\n%s%s%s", paint(page, colour), title, paint(page, PLAIN));
    va_list args;
    va_start(args, format);
    vfprintf(page->out, format, args);
    va_end(args);
    fputc('\n', page->out);
}

static void fact(const struct page *page, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fact(const struct page *page, const char *label, const char *format, ...)
{
    char text[1024], clean[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mh_result_clean(text, true, clean, sizeof clean);
    fprintf(page->out, "  %-*s", LABEL_WIDTH, label);
    mh_print_wrapped(page->out, clean, LABEL_WIDTH + 2, LABEL_WIDTH + 2);
}

struct shown {
    char text[40];
};

static struct shown show(int64_t value)
{
    struct shown shown;
    if (value == -1)
        snprintf(shown.text, sizeof shown.text, "not measured");
    else
        mh_show_count(value, shown.text, sizeof shown.text);
    return shown;
}

static struct shown show_bytes(int64_t bytes)
{
    struct shown shown;
    mh_show_bytes(bytes, shown.text, sizeof shown.text);
    return shown;
}

static struct shown show_duration(int64_t ns)
{
    struct shown shown;
    mh_show_duration(ns, shown.text, sizeof shown.text);
    return shown;
}

static struct shown show_moment(int64_t ns)
{
    struct shown shown;
    snprintf(shown.text, sizeof shown.text, "%+.3f s", (double)ns / MH_S);
    return shown;
}

static const char *or_unknown(const char *text)
{
    return *text ? text : "not known";
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static int64_t figure(const struct page *page, const char *name)
{
    return mh_report_figure(page->report, name);
}

/* ---- Head ---- */

static bool is_limited(const struct mh_report *report)
{
    for (int64_t i = 0; i < report->calibration_count; i++)
        if (report->calibrations[i].client_limited)
            return true;
    return false;
}

/* Of its ceiling in the role that came nearest to it; NaN: not calibrated. */
static double largest_share(const struct mh_report *report)
{
    double share = NAN;
    for (int64_t i = 0; i < report->calibration_count; i++)
        share = fmax(share, report->calibrations[i].share);
    return share;
}

static void print_ceiling(const struct page *page)
{
    const struct mh_report *report = page->report;
    const double share = largest_share(report);
    char used[400];
    if (report->calibration_count == 0)
        return;
    if (isnan(share))
        snprintf(used, sizeof used, "not calibrated (%s)", report->calibrations[0].source);
    else
        snprintf(used, sizeof used, "at most %.*f%% of its ceiling", share < 0.1 ? 1 : 0, 100 * share);
    fact(page, "client", "%s; %s", used,
         is_limited(report) ? "CLIENT-LIMITED, see the lines marked *" : "not client-limited");
}

static void print_client(const struct page *page)
{
    const struct mh_report *report = page->report;
    struct mh_report_rank all = {0};
    for (int64_t i = 0; i < report->rank_count; i++) {
        const struct mh_report_rank *rank = &report->ranks[i];
        all.bytes_out += rank->bytes_out;
        all.bytes_in += rank->bytes_in;
        all.cpu_s = rank->cpu_s > all.cpu_s ? rank->cpu_s : all.cpu_s;
        if (rank->schedule_lag_ns > all.schedule_lag_ns)
            all.schedule_lag_ns = rank->schedule_lag_ns;
        if (rank->peak_rss_bytes > all.peak_rss_bytes)
            all.peak_rss_bytes = rank->peak_rss_bytes;
    }
    if (report->rank_count == 0 || report->duration_s <= 0)
        return;
    print_ceiling(page);
    fact(page, report->calibration_count > 0 ? "" : "client",
         "busiest rank used %.0f%% of a core and at most %s; latest send %s behind its due time; %s sent, %s "
         "received",
         100 * all.cpu_s / report->duration_s, show_bytes(all.peak_rss_bytes).text,
         show_duration(all.schedule_lag_ns).text, show_bytes(all.bytes_out).text,
         show_bytes(all.bytes_in).text);
}

static void print_head(const struct page *page)
{
    const struct mh_report *report = page->report;
    char title[256], clean[256];
    snprintf(title, sizeof title, "milvus-hpc %s  run %s%s%s", report->program_version, report->run_id,
             *report->label ? "  " : "", report->label);
    mh_result_clean(title, true, clean, sizeof clean);
    fprintf(page->out, "%s%s%s\n", paint(page, BOLD), clean, paint(page, PLAIN));
    if (*report->parent)
        fact(page, "verifies", "what run %s wrote", report->parent);
    fact(page, "job", "%s, seed %" PRIu64, or_unknown(report->job_path ? report->job_path : ""),
         report->seed);
    fact(page, "server", "%s, version %s", or_unknown(report->server_uri),
         or_unknown(report->server_version));
    fact(page, "collection", "%s", or_unknown(report->collection));
    fact(page, "data set", "%s", or_unknown(report->dataset));
    fact(page, "ran", "on %d rank%s of %d node%s, %" PRId64 " worker%s, for %s; began %s", report->np,
         plural(report->np), report->nodes, plural(report->nodes), report->worker_count,
         plural(report->worker_count), show_duration((int64_t)(report->duration_s * MH_S)).text,
         or_unknown(report->started_utc));
    print_client(page);
}

/* ---- Operations ---- */

static void put_texts(struct mh_grid *grid, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mh_grid_put(grid, "%s", texts[i]);
}

#define HEADS(GRID, ...)                                                                                     \
    put_texts(GRID, (const char *const[]){__VA_ARGS__},                                                      \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* In the order of struct mh_tally. */
enum { PLANNED, OK, FAILED, UNKNOWN, TIMED_OUT, THROTTLED, UNSENT, IN_FLIGHT, WARM_UP = 11, BACKLOG = 13 };

/* Stage, role and operation; a mark where the figures behind them may be the client's own. */
static void put_names(struct mh_grid *grid, const struct mh_result_operation *row)
{
    put_texts(grid, (const char *const[]){row->stage, row->role}, 2);
    mh_grid_put(grid, "%s%s", row->op, row->client_limited ? " *" : "");
}

static void put_operation(struct mh_grid *grid, const struct mh_result_operation *row)
{
    static const int shown[] = {OK, FAILED, UNKNOWN, THROTTLED, UNSENT, TIMED_OUT, IN_FLIGHT};
    put_names(grid, row);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        mh_grid_put_count(grid, row->counters[shown[i]]);
    mh_grid_put_rate(grid, row->per_second);
    mh_grid_put_rate(grid, row->rows_per_second);
}

/* No planned operation may go missing from the books. */
static void print_imbalance(const struct page *page, const struct mh_result_operation *row)
{
    const int64_t *c = row->counters;
    const int64_t found = c[OK] + c[FAILED] + c[UNKNOWN] + c[UNSENT] + c[IN_FLIGHT];
    if (found != c[PLANNED])
        fprintf(page->out, "  %sNOT BALANCED%s: %s %s %s: %s planned, %s accounted for\n", paint(page, RED),
                paint(page, PLAIN), row->stage, row->role, row->op, show(c[PLANNED]).text, show(found).text);
}

static void print_operations(const struct page *page)
{
    const int64_t count = page->report->operation_count;
    if (count == 0)
        return;
    heading(page, BOLD, "OPERATIONS", "%s", "");
    struct mh_grid grid = {.columns = "lllrrrrrRRrr"};
    HEADS(&grid, "stage", "role", "op", "ok", "failed", "unknown", "throttled", "unsent", "timed out",
          "in flight", "ops/s", "rows/s");
    for (int64_t i = 0; i < count; i++)
        put_operation(&grid, &page->view->operations[i]);
    mh_grid_print(page->out, &grid);
    for (int64_t i = 0; i < count; i++)
        print_imbalance(page, &page->view->operations[i]);
}

static void put_latency(struct mh_grid *grid, const struct mh_result_operation *row, bool sent)
{
    if (sent)
        put_texts(grid, (const char *const[]){"", "", row->client_limited ? "*" : "", "sent"}, 4);
    else {
        put_names(grid, row);
        mh_grid_put(grid, "due");
    }
    for (int i = 0; i < 5; i++)
        mh_grid_put_duration(grid, sent ? row->sent_ns[i] : row->due_ns[i]);
}

static bool differ(const struct mh_result_operation *row)
{
    const double due = (double)row->due_ns[2], sent = (double)row->sent_ns[2];
    return due > 1.05 * sent || sent > 1.05 * due;
}

static void print_latencies(const struct page *page)
{
    struct mh_grid grid = {.columns = "llllrrrrr"};
    bool any = false, two = false;
    for (int64_t i = 0; i < page->report->operation_count; i++) {
        const struct mh_result_operation *row = &page->view->operations[i];
        if (row->latency_count == 0)
            continue;
        if (!any)
            HEADS(&grid, "stage", "role", "op", "from", "p50", "p95", "p99", "p99.9", "max");
        any = true;
        put_latency(&grid, row, false);
        if (differ(row))
            put_latency(&grid, row, true);
        two = two || differ(row);
    }
    if (any)
        heading(page, BOLD, "LATENCY", " of successful operations, from the time each was due%s",
                two ? " (and sent, where the p99 differs)" : "");
    mh_grid_print(page->out, &grid);
}

static void print_limits(const struct page *page)
{
    for (int64_t i = 0; i < page->report->calibration_count; i++) {
        const struct mh_report_calibration *row = &page->report->calibrations[i];
        char text[800], clean[800];
        if (!row->client_limited)
            continue;
        snprintf(text, sizeof text, "* client-limited: %s %s: %s", row->stage, row->role, row->reason);
        mh_result_clean(text, true, clean, sizeof clean);
        fputs("  ", page->out);
        mh_print_wrapped(page->out, clean, 4, 2);
    }
}

/* What the figures above leave out, and what held operations up. */
static void print_pace(const struct page *page)
{
    for (int64_t i = 0; i < page->report->operation_count; i++) {
        const struct mh_result_operation *row = &page->view->operations[i];
        char name[700];
        snprintf(name, sizeof name, "%s %s %s", row->stage, row->role, row->op);
        if (row->counters[WARM_UP] > 0)
            fact(page, "warm-up", "%s: %s operations due in it are not in rates and latencies", name,
                 show(row->counters[WARM_UP]).text);
        const bool same_role = i > 0 && strcmp(row[-1].stage, row->stage) == 0 &&
                               strcmp(row[-1].role, row->role) == 0 &&
                               row[-1].counters[BACKLOG] == row->counters[BACKLOG];
        snprintf(name, sizeof name, "%s %s", row->stage, row->role);
        if (row->counters[BACKLOG] > 0 && !same_role)
            fact(page, "backlog",
                 "%s: up to %s operations were due and had no free slot, for %s in all; the latest was sent "
                 "%s after it was due",
                 name, show(row->counters[BACKLOG]).text, show_duration(row->longest[0]).text,
                 show_duration(row->longest[1]).text);
    }
}

/* ---- The highest rate ---- */

static void put_probe(struct mh_grid *grid, const struct mh_probe *probe)
{
    mh_grid_put_count(grid, probe->number);
    mh_grid_put_rate(grid, probe->wanted);
    mh_grid_put_rate(grid, probe->achieved);
    mh_grid_put_duration(grid, probe->p50_ns);
    mh_grid_put_duration(grid, probe->p99_ns);
    mh_grid_put(grid, "%.3g%%", 100 * probe->errors);
    mh_grid_put(grid, probe->recall < 0 ? "-" : "%.4f", probe->recall);
    mh_grid_put(grid, "%s%s", probe->held ? "held" : probe->why, probe->confirms ? " (confirmation)" : "");
}

static const char *what_is_rated(const struct page *page, const struct mh_report_peak *peak)
{
    const char *op = "operation";
    int ops = 0;
    for (int64_t i = 0; i < page->report->operation_count; i++)
        if (strcmp(page->report->operations[i].stage, peak->stage) == 0 &&
            strcmp(page->report->operations[i].role, peak->role) == 0) {
            op = page->report->operations[i].op;
            ops++;
        }
    return ops == 1 ? op : "operation";
}

static bool came_to(const struct mh_report_peak *peak, enum mh_peak_outcome outcome)
{
    return strcmp(peak->outcome, mh_peak_outcome_names[outcome]) == 0;
}

static const char *why_none(const struct mh_report_peak *peak)
{
    return came_to(peak, MH_PEAK_NONE)      ? "not even the lowest holds"
           : came_to(peak, MH_PEAK_NO_TIME) ? "the time was over (find_max.within)"
           : came_to(peak, MH_PEAK_NO_WORK) ? "the role had nothing left to send"
                                            : "the search was broken off";
}

static void describe_peak(const struct page *page, const struct mh_report_peak *peak, char *text, size_t size)
{
    char recall[32] = "", rate[32];
    if (peak->rate >= 100)
        mh_show_count((int64_t)peak->rate, rate, sizeof rate);
    else
        snprintf(rate, sizeof rate, "%.3g", peak->rate);
    if (peak->recall >= 0)
        snprintf(recall, sizeof recall, ", recall %.4g", peak->recall);
    if (peak->rate > 0)
        snprintf(text, size, "highest rate that holds: %s%s %s operations/s%s (p99 %s%s)",
                 came_to(peak, MH_PEAK_AT_LEAST) ? "at least " : "", rate, what_is_rated(page, peak),
                 peak->client_limited ? " *" : "", show_duration(peak->p99_ns).text, recall);
    else
        snprintf(text, size, "no rate is confirmed: %s", why_none(peak));
}

static void print_peak(const struct page *page, const struct mh_report_peak *peak)
{
    char text[600];
    describe_peak(page, peak, text, sizeof text);
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s %.0f s, %d probe%s",
             peak->rate > 0 ? ", found in" : "; sought for", peak->seconds, (int)peak->probes,
             plural(peak->probes));
    fputs("  ", page->out);
    mh_print_wrapped(page->out, text, 2, 2);
}

static void print_search(const struct page *page, const struct mh_report_peak *peak)
{
    const struct mh_report *report = page->report;
    heading(page, BOLD, "HIGHEST RATE", " of %s in stage %s", peak->role, peak->stage);
    struct mh_grid grid = {.columns = "rrrrrrrw"};
    HEADS(&grid, "probe", "wanted/s", "achieved/s", "p50", "p99", "errors", "recall", "");
    for (int64_t i = 0; i < report->probe_count; i++)
        if (strcmp(report->probes[i].stage, peak->stage) == 0)
            put_probe(&grid, &report->probes[i].probe);
    mh_grid_print(page->out, &grid);
    print_peak(page, peak);
}

static void print_searches(const struct page *page)
{
    for (int64_t i = 0; i < page->report->peak_count; i++)
        print_search(page, &page->report->peaks[i]);
}

static void put_error(struct mh_grid *grid, const struct mh_report_error *error)
{
    mh_grid_put_count(grid, error->count);
    put_texts(grid, (const char *const[]){error->op, error->outcome}, 2);
    if (*error->grpc_status && strcmp(error->grpc_status, "OK") != 0)
        mh_grid_put(grid, "%s", error->grpc_status);
    else
        mh_grid_put(grid, "code %d", error->code);
    mh_grid_put(grid, "%s", show_moment(error->first_ns).text);
    mh_grid_put(grid, "%s", show_moment(error->last_ns).text);
    mh_grid_put(grid, "%s", error->message);
}

static void print_errors(const struct page *page)
{
    if (page->report->error_count == 0)
        return;
    heading(page, BOLD, "ERRORS", " (gRPC's status, or Milvus' code)");
    struct mh_grid grid = {.columns = "rlllrrw"};
    HEADS(&grid, "count", "op", "outcome", "code", "first", "last", "message");
    for (int64_t i = 0; i < page->report->error_count; i++)
        put_error(&grid, &page->report->errors[i]);
    mh_grid_print(page->out, &grid);
}

static void print_events(const struct page *page)
{
    const int64_t count = page->report->event_count;
    if (count == 0)
        return;
    heading(page, BOLD, "EVENTS", "%s", "");
    struct mh_grid grid = {.columns = "rw"};
    HEADS(&grid, "when", "what");
    for (int64_t i = 0; i < count && i < SHOWN_EVENTS; i++) {
        mh_grid_put(&grid, "%s", show_moment(page->report->events[i].time_ns).text);
        mh_grid_put(&grid, "%s", page->report->events[i].what);
    }
    mh_grid_print(page->out, &grid);
    if (count > SHOWN_EVENTS)
        fprintf(page->out, "  and %s more in /server/events\n", show(count - SHOWN_EVENTS).text);
}

static void print_thresholds(const struct page *page)
{
    if (page->report->threshold_count == 0)
        return;
    heading(page, BOLD, "THRESHOLDS", "%s", "");
    struct mh_grid grid = {.columns = "llll"};
    HEADS(&grid, "figure", "wanted", "got", "");
    for (int64_t i = 0; i < page->report->threshold_count; i++) {
        const struct mh_report_threshold *threshold = &page->report->thresholds[i];
        put_texts(&grid, (const char *const[]){threshold->figure, threshold->wanted}, 2);
        mh_grid_put(&grid, "%s%s", threshold->got, threshold->client_limited ? " *" : "");
        mh_grid_put(&grid, "%s", threshold->held ? "held" : threshold->undecided ? "UNDECIDED" : "MISSED");
    }
    mh_grid_print(page->out, &grid);
}

/* ---- Drift ---- */

/* Of interest to all: what a threshold is for, and what certainly rose over a time that counts. */
static bool is_told(const struct mh_report_trend *trend)
{
    return trend->wanted[0] || (trend->span_s >= TOLD_FROM_S && trend->low > 0);
}

static void put_amount(struct mh_grid *grid, const char *unit, double value)
{
    if (isnan(value))
        mh_grid_put(grid, "%s", "-");
    else if (strcmp(unit, "bytes") == 0)
        mh_grid_put(grid, "%s", show_bytes((int64_t)value).text);
    else if (strcmp(unit, "ns") == 0)
        mh_grid_put(grid, "%s", show_duration((int64_t)value).text);
    else
        mh_grid_put(grid, "%.3g", value);
}

static void put_trend(struct mh_grid *grid, const struct mh_report_trend *trend)
{
    put_texts(grid, (const char *const[]){trend->stage, trend->figure, trend->source}, 3);
    put_amount(grid, trend->unit, trend->median);
    put_amount(grid, trend->unit, trend->slope);
    if (isnan(trend->low_ratio))
        mh_grid_put(grid, "%s", "-");
    else
        mh_grid_put(grid, "%.3g%% to %.3g%%", 100 * trend->low_ratio, 100 * trend->high_ratio);
    mh_grid_put(grid, "%s", trend->wanted);
    mh_grid_put(grid, "%s", trend->verdict);
}

static void print_steps(const struct page *page)
{
    for (int64_t i = 0; i < page->report->trend_count; i++) {
        const struct mh_report_trend *trend = &page->report->trends[i];
        if (!is_told(trend) || trend->step == 0)
            continue;
        const struct shown height = strcmp(trend->unit, "bytes") == 0 ? show_bytes((int64_t)trend->step)
                                    : strcmp(trend->unit, "ns") == 0  ? show_duration((int64_t)trend->step)
                                                                      : show((int64_t)trend->step);
        fact(page, "step", "%s of %s: by %s at %s", trend->figure, trend->source, height.text,
             show_moment((int64_t)(trend->step_s * (double)MH_S)).text);
    }
}

static void print_trends(const struct page *page)
{
    struct mh_grid grid = {.columns = "lllrrrll"};
    int64_t told = 0;
    for (int64_t i = 0; i < page->report->trend_count; i++)
        told += is_told(&page->report->trends[i]);
    if (told == 0)
        return;
    heading(page, BOLD, "DRIFT", " an hour, and its 99%% interval, of the median");
    HEADS(&grid, "stage", "figure", "source", "median", "drift/h", "certainly within", "wanted", "");
    int64_t shown = 0;
    for (int64_t i = 0; i < page->report->trend_count && shown < SHOWN_TRENDS; i++)
        if (is_told(&page->report->trends[i])) {
            put_trend(&grid, &page->report->trends[i]);
            shown++;
        }
    mh_grid_print(page->out, &grid);
    if (told > shown)
        fprintf(page->out, "  and %s more in /trends\n", show(told - shown).text);
    print_steps(page);
}

/* ---- Audit: the sum, a term a line ---- */

enum relation { TERM, EQUAL, WITHIN, UNEQUAL, NOT_MEASURED };

struct sum_line {
    enum relation relation;
    const char *sign; /* of a TERM */
    int64_t value;
    char what[160];
};

struct sum {
    struct sum_line lines[8];
    int count;
    int64_t low, high; /* what the next count must lie between */
};

static struct sum_line *add_line(struct sum *sum, enum relation relation, const char *sign, int64_t value,
                                 const char *what)
{
    struct sum_line *line = &sum->lines[sum->count++];
    *line = (struct sum_line){.relation = relation, .sign = sign, .value = value};
    snprintf(line->what, sizeof line->what, "%s", what);
    return line;
}

static void add_terms(const struct page *page, struct sum *sum)
{
    const int64_t inserts = figure(page, "acknowledged_inserts"),
                  deletes = figure(page, "acknowledged_deletes");
    const int64_t hit = figure(page, "deletes_hit_live"), removed = hit >= 0 ? hit : deletes;
    add_line(sum, inserts < 0 ? NOT_MEASURED : TERM, "", inserts, "acknowledged inserts");
    struct sum_line *line =
        add_line(sum, removed < 0 ? NOT_MEASURED : TERM, "-", removed, "acknowledged deletes");
    if (hit >= 0 && deletes >= 0 && hit != deletes)
        snprintf(line->what, sizeof line->what, "acknowledged deletes of live rows (of %s)",
                 show(deletes).text);
    sum->low = inserts - removed;
}

/* A row whose delete has no known outcome is not live for certain; nothing else may stand between the terms
 * and the ledger. */
static void add_live(const struct page *page, struct sum *sum)
{
    const int64_t live = figure(page, "expected_live"), maybe = figure(page, "expected_maybe");
    const int64_t doubt = sum->low - live;
    const bool explained = live >= 0 && doubt >= 0 && doubt <= (maybe > 0 ? maybe : 0);
    if (explained && doubt > 0)
        add_line(sum, TERM, "-", doubt, "rows whose delete has no known outcome");
    struct sum_line *line = add_line(sum,
                                     live < 0    ? NOT_MEASURED
                                     : explained ? EQUAL
                                                 : UNEQUAL,
                                     "", live, "live");
    if (maybe > 0)
        snprintf(line->what, sizeof line->what, "live for certain; up to %s with %s row%s of unknown outcome",
                 show(live + maybe).text, show(maybe).text, plural(maybe));
    sum->low = live;
    sum->high = live + (maybe > 0 ? maybe : 0);
}

/* The first count must agree with the ledger, each further one with the one before. */
static void add_count(const struct page *page, struct sum *sum, const char *name, const char *what)
{
    const int64_t value = figure(page, name);
    if (value < 0) {
        add_line(sum, NOT_MEASURED, "", value, what);
        return;
    }
    const bool within = value >= sum->low && value <= sum->high;
    add_line(sum, !within ? UNEQUAL : sum->low == sum->high ? EQUAL : WITHIN, "", value, what);
    sum->low = sum->high = value;
}

static bool has(const struct sum *sum, enum relation relation)
{
    for (int i = 0; i < sum->count; i++)
        if (sum->lines[i].relation == relation)
            return true;
    return false;
}

static void print_sum(const struct page *page, const struct sum *sum)
{
    static const char *const signs[] = {
        [EQUAL] = "=", [WITHIN] = "in", [UNEQUAL] = "!=", [NOT_MEASURED] = ""};
    for (int i = 0; i < sum->count; i++) {
        const struct sum_line *line = &sum->lines[i];
        const bool wrong = line->relation == UNEQUAL;
        fprintf(page->out, "  %s%2s%s %13s  %s\n", wrong ? paint(page, RED) : "",
                line->relation == TERM ? line->sign : signs[line->relation], wrong ? paint(page, PLAIN) : "",
                show(line->value).text, line->what);
    }
}

static void print_unknown(const struct page *page)
{
    const int64_t inserts = figure(page, "unknown_inserts"), upserts = figure(page, "unknown_upserts"),
                  deletes = figure(page, "unknown_deletes");
    if (inserts == 0 && upserts == 0 && deletes == 0)
        fact(page, "unknown", "no write ended without a known outcome");
    else
        fact(page, "unknown",
             "rows of writes without a known outcome: %s inserted, %s upserted, %s deleted; by looking: %s "
             "present, %s absent",
             show(inserts).text, show(upserts).text, show(deletes).text,
             show(figure(page, "unknown_present")).text, show(figure(page, "unknown_absent")).text);
}

static void print_beside(const struct page *page)
{
    fact(page, "statistics", "row_count %s (servers do not subtract deleted rows there before compaction)",
         show(figure(page, "statistics_row_count")).text);
    fact(page, "upserts", "%s rows acknowledged, of %s live rows",
         show(figure(page, "acknowledged_upserts")).text, show(figure(page, "upserts_hit_live")).text);
    fact(page, "refused", "%s rows of inserts, certain to have had no effect",
         show(figure(page, "refused_inserts")).text);
    print_unknown(page);
    fact(page, "compared", "content of %s rows, vectors of %s, over all passes",
         show(figure(page, "rows_compared")).text, show(figure(page, "vectors_compared")).text);
    if (figure(page, "allowed_anomalies") > 0)
        fact(page, "allowed", "%s anomalies that the job's verify.allow names",
             show(figure(page, "allowed_anomalies")).text);
}

/* An audit that broke off has looked at something. */
static bool looked(const struct page *page)
{
    return page->report->audited || figure(page, "passes") > 0;
}

static void print_audit(const struct page *page)
{
    if (!looked(page)) {
        heading(page, BOLD, "AUDIT", " not made: whether the server holds what it acknowledged is not known");
        return;
    }
    struct sum sum = {0};
    add_terms(page, &sum);
    add_live(page, &sum);
    add_count(page, &sum, "count_star", "count(*)");
    add_count(page, &sum, "partition_sum", "sum of count(*) over the partitions");
    add_count(page, &sum, "scanned", "scanned, key by key");
    const char *word = has(&sum, UNEQUAL)        ? "NOT EQUAL"
                       : has(&sum, NOT_MEASURED) ? "not all of it measured"
                       : has(&sum, WITHIN)       ? "all equal, within what unknown outcomes leave open"
                                                 : "all equal";
    const int64_t passes = figure(page, "passes");
    heading(page, has(&sum, UNEQUAL) ? RED : BOLD, "AUDIT", "%s in %s pass%s  [%s]",
            page->report->audited ? "" : " NOT FINISHED,", show(passes).text, passes == 1 ? "" : "es", word);
    print_sum(page, &sum);
    print_beside(page);
}

/* ---- Reads ---- */

enum { BANDS = 3 };
static const double bands[BANDS - 1] = {0.03, 0.3}; /* of selectivity, upper edges */

struct recall_sum {
    const struct mh_report_recall *first; /* of those of one stage, role and item, and of one band */
    int64_t searches;
    double wanted, found, selectivity, worst;
};

static void put_recall(struct mh_grid *grid, const struct recall_sum *sum)
{
    mh_grid_put(grid, "%s", sum->first->stage);
    mh_grid_put(grid, "%s", sum->first->role);
    mh_grid_put(grid, "%d", sum->first->item);
    mh_grid_put(grid, "%d", sum->first->topk);
    mh_grid_put_count(grid, sum->searches);
    mh_grid_put(grid, "%.4f", sum->found / sum->wanted);
    mh_grid_put(grid, "%.4f", sum->worst);
    mh_grid_put(grid, "%.3g%%", 100 * sum->selectivity / (double)sum->searches);
}

static bool alike(const struct mh_report_recall *a, const struct mh_report_recall *b)
{
    return a->item == b->item && a->topk == b->topk && strcmp(a->stage, b->stage) == 0 &&
           strcmp(a->role, b->role) == 0;
}

static int band_of(const struct mh_report_recall *point)
{
    int band = 0;
    while (band < BANDS - 1 && point->selectivity > bands[band])
        band++;
    return band;
}

static struct recall_sum sum_recall(const struct mh_report *report, const struct mh_report_recall *first,
                                    int band)
{
    struct recall_sum sum = {.first = first, .worst = 1};
    for (int64_t i = 0; i < report->recall_count; i++) {
        const struct mh_report_recall *point = &report->recall[i];
        if (!alike(point, first) || band_of(point) != band)
            continue;
        sum.searches++;
        sum.wanted += point->wanted;
        sum.found += point->found;
        sum.selectivity += point->selectivity;
        sum.worst = point->recall < sum.worst ? point->recall : sum.worst;
    }
    return sum;
}

/* A row for each band that has searches: the harder a filter selects, the more an index may miss. */
static void put_bands(struct mh_grid *grid, const struct mh_report *report,
                      const struct mh_report_recall *first)
{
    for (int band = 0; band < BANDS; band++) {
        const struct recall_sum sum = sum_recall(report, first, band);
        if (sum.searches > 0)
            put_recall(grid, &sum);
    }
}

static bool is_first(const struct mh_report *report, int64_t at)
{
    for (int64_t i = 0; i < at; i++)
        if (alike(&report->recall[i], &report->recall[at]))
            return false;
    return true;
}

/* Stages follow one another, so what is of two stages is in their order. */
static int by_kind(const void *a, const void *b)
{
    const struct mh_report_recall *x = *(const struct mh_report_recall *const *)a,
                                  *y = *(const struct mh_report_recall *const *)b;
    if (strcmp(x->stage, y->stage) != 0)
        return x->second < y->second ? -1 : 1;
    const int roles = strcmp(x->role, y->role);
    return roles ? roles : x->item != y->item ? x->item - y->item : x->topk - y->topk;
}

static void put_kinds(struct mh_grid *grid, const struct mh_report *report)
{
    const struct mh_report_recall **firsts = calloc((size_t)report->recall_count, sizeof *firsts);
    size_t count = 0;
    for (int64_t i = 0; firsts && i < report->recall_count; i++)
        if (is_first(report, i))
            firsts[count++] = &report->recall[i];
    if (count > 1)
        qsort(firsts, count, sizeof *firsts, by_kind);
    for (size_t i = 0; i < count; i++)
        put_bands(grid, report, firsts[i]);
    free(firsts);
}

static void print_recall(const struct page *page)
{
    const struct mh_report *report = page->report;
    struct mh_grid grid = {.columns = "llrrrrrr"};
    if (report->recall_count == 0)
        return;
    fprintf(page->out, "\n  Recall against the rows that were certainly live and satisfied the filter\n");
    HEADS(&grid, "stage", "role", "item", "topk", "searches", "recall", "worst", "selectivity");
    put_kinds(&grid, report);
    mh_grid_print(page->out, &grid);
}

static void print_missed(const struct page *page)
{
    const int64_t missed = figure(page, "neighbors_missed"), wrong = figure(page, "neighbors_missed_wrong");
    if (missed > 0)
        fact(page, "missed",
             "%s true neighbour%s; %s of these rows %s wrong in the audit: the index is poor, not "
             "the rows gone, for the others",
             show(missed).text, plural(missed), show(wrong).text, wrong == 1 ? "is" : "are");
    if (figure(page, "short_results") > 0)
        fact(page, "short", "%s searches compared had fewer hits than rows that qualified",
             show(figure(page, "short_results")).text);
    if (figure(page, "filters_not_understood") > 0)
        fact(page, "not judged", "the filter of %s reads, whose expression is beyond this program",
             show(figure(page, "filters_not_understood")).text);
}

/* Of a collection at rest that is the data set, each row once. */
static void print_listed(const struct page *page)
{
    const int64_t searches = figure(page, "listed_searches"), listed = figure(page, "listed_neighbors"),
                  found = figure(page, "listed_neighbors_found");
    if (listed > 0)
        fact(page, "data set",
             "%.4f of the neighbours that the data set itself names, by %s searches at rest",
             (double)found / (double)listed, show(searches).text);
}

/* Of reads at the levels that may lag. */
static void print_behind(const struct page *page)
{
    static const char *const levels[] = {"session", "bounded", "eventually"};
    char rows[40], longest[40];
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        snprintf(rows, sizeof rows, "rows_behind_%s", levels[i]);
        snprintf(longest, sizeof longest, "most_behind_%s_ns", levels[i]);
        if (figure(page, rows) > 0)
            fact(page, "behind",
                 "at %s %s rows were shown as they had been up to %s before the read was sent", levels[i],
                 show(figure(page, rows)).text, show_duration(figure(page, longest)).text);
    }
}

static void print_reads(const struct page *page)
{
    const int64_t asked = figure(page, "reads"), judged = figure(page, "reads_judged");
    if (asked <= 0)
        return;
    heading(page, BOLD, "READS", " under load: %s of %s judged", show(judged).text, show(asked).text);
    fact(page, "judged",
         "%s hits and %s rows of queries: live then, unique, in order, filter and range; %s "
         "distances computed again",
         show(figure(page, "hits_judged")).text, show(figure(page, "query_rows_judged")).text,
         show(figure(page, "distances_compared")).text);
    fact(page, "complete", "%s searches and %s queries compared with every row that was certainly live",
         show(figure(page, "searches_compared")).text, show(figure(page, "queries_compared")).text);
    print_missed(page);
    print_listed(page);
    if (figure(page, "non_monotonic_reads") > 0)
        fact(page, "went back", "%s rows came in an older version than before, at levels that allow it",
             show(figure(page, "non_monotonic_reads")).text);
    print_behind(page);
    print_recall(page);
}

static void print_visibility(const struct page *page)
{
    const struct mh_report *report = page->report;
    struct mh_grid grid = {.columns = "lllllrrrrr"};
    if (report->visibility_count == 0)
        return;
    heading(page, BOLD, "VISIBILITY",
            ": from a write's acknowledgement to the end of the first read that saw it");
    HEADS(&grid, "stage", "role", "write", "read", "consistency", "seen", "never", "p50", "p99", "max");
    for (int64_t i = 0; i < report->visibility_count; i++) {
        const struct mh_report_visibility *row = &report->visibilities[i];
        put_texts(&grid,
                  (const char *const[]){row->stage, row->role, row->write, row->read, row->consistency}, 5);
        mh_grid_put_count(&grid, row->count);
        mh_grid_put_count(&grid, row->never);
        for (int k = 0; k < 3; k++)
            mh_grid_put_duration(&grid, row->done_ns[k]);
    }
    mh_grid_print(page->out, &grid);
}

/* ---- Cycles ---- */

static void print_cycles(const struct page *page)
{
    struct mh_grid grid = {.columns = "llrrrrrrr"};
    if (figure(page, "cycles_begun") <= 0)
        return;
    heading(page, BOLD, "CYCLES", ": lives of collections, each of them looked at");
    HEADS(&grid, "stage", "role", "begun", "whole", "broken", "cut", "per hour", "rows", "p50");
    for (int64_t i = 0; i < page->report->operation_count; i++) {
        const struct mh_result_operation *row = &page->view->operations[i];
        const struct mh_tally *tally = page->report->operations[i].tally;
        if (strcmp(row->op, mh_tally_name(MH_TALLY_CYCLE)) != 0)
            continue;
        put_texts(&grid, (const char *const[]){row->stage, row->role}, 2);
        mh_grid_put_count(&grid, tally->planned);
        mh_grid_put_count(&grid, tally->ok);
        mh_grid_put_count(&grid, tally->failed);
        mh_grid_put_count(&grid, tally->unsent);
        mh_grid_put_count(&grid, (int64_t)(3600 * row->per_second + 0.5));
        mh_grid_put_count(&grid, tally->rows);
        mh_grid_put_duration(&grid, row->due_ns[0]);
    }
    mh_grid_print(page->out, &grid);
}

/* ---- Violations ---- */

static const char *const meanings[MH_WRONGS] = {
    [MH_LOST] = "acknowledged, absent for good",
    [MH_LATE] = "wrong at first, right within the grace: no violation",
    [MH_STALE] = "an older version than acknowledged",
    [MH_DUPLICATED] = "its key is there more than once",
    [MH_RESURRECTED] = "its delete was acknowledged, it is there",
    [MH_UNEXPECTED] = "never written, or never in this version",
    [MH_MISPLACED] = "in another partition than written",
    [MH_CORRUPTED] = "content differs from what was written",
    [MH_MISCOUNTED] = "count(*) contradicts the rows that there are",
    [MH_WRONG_DISTANCE] = "a hit's score is not its vector's distance",
    [MH_WRONG_ORDER] = "a hit is nearer than the one before it",
    [MH_FILTER_IGNORED] = "it does not satisfy the expression it was found by",
    [MH_RANGE_IGNORED] = "a hit outside radius and range_filter",
    [MH_SURPLUS] = "more rows than were asked for, or some that the offset leaves out",
    [MH_MISSED] = "left out by a read that must find every row",
    [MH_UNREAD] = "acknowledged, and a read that had to show it did not",
    [MH_NON_MONOTONIC] = "seen, and by the next read not",
    [MH_NOT_DROPPED] = "its drop was acknowledged, it is still listed (a partition or collection)",
    [MH_INVISIBLE] = "not seen within the grace, where nothing promises it: no violation",
};

static void print_kinds(const struct page *page)
{
    struct mh_grid grid = {.columns = "lrl"};
    HEADS(&grid, "kind", "rows", "what it means");
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        if ((kind > MH_MISCOUNTED || !looked(page)) && figure(page, mh_wrong_names[kind]) <= 0)
            continue; /* of reads under load: a run may have had none */
        mh_grid_put(&grid, "%s", mh_wrong_names[kind]);
        mh_grid_put_count(&grid, figure(page, mh_wrong_names[kind]));
        mh_grid_put(&grid, "%s", meanings[kind]);
    }
    mh_grid_print(page->out, &grid);
}

static void print_no_kinds(const struct page *page)
{
    char text[256] = "";
    size_t used = 0;
    for (int kind = 0; kind <= MH_MISCOUNTED && used < sizeof text; kind++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s 0", kind ? ", " : "",
                                 mh_wrong_names[kind]);
    fputs("  ", page->out);
    mh_print_wrapped(page->out, text, 2, 2);
}

static void put_version(struct mh_grid *grid, int64_t version)
{
    if (version == MH_VERSION_NONE)
        mh_grid_put(grid, "absent");
    else if (version == MH_VERSION_UNKNOWN)
        mh_grid_put(grid, "unknown");
    else
        mh_grid_put(grid, "v%" PRId64, version);
}

/* About no single row, but an answer, a partition or all. */
static bool is_of_all(const struct mh_violation *row)
{
    return row->id < 0 && (row->kind == MH_MISCOUNTED || row->kind == MH_MISSED || row->kind == MH_SURPLUS ||
                           row->kind == MH_CORRUPTED);
}

static void put_judgement(struct mh_grid *grid, const struct mh_violation *row)
{
    if (row->kind == MH_MISCOUNTED || (is_of_all(row) && row->kind != MH_CORRUPTED)) {
        mh_grid_put(grid, "%" PRId64, row->expected_version);
        mh_grid_put(grid, "%" PRId64, row->seen_version);
    } else if (row->kind == MH_NOT_DROPPED) {
        mh_grid_put(grid, "gone");
        mh_grid_put(grid, "listed");
    } else if (row->expected_value != row->seen_value) {
        mh_grid_put(grid, "%.7g", row->expected_value);
        mh_grid_put(grid, "%.7g", row->seen_value);
    } else if (row->kind == MH_DUPLICATED) {
        mh_grid_put(grid, "1 copy");
        mh_grid_put(grid, "%" PRId64 " copies", row->seen_version);
    } else {
        put_version(grid, row->expected_version);
        put_version(grid, row->seen_version);
    }
}

static void put_partition(struct mh_grid *grid, const struct mh_report_violation *violation)
{
    const bool moved =
        *violation->seen_partition && strcmp(violation->partition, violation->seen_partition) != 0;
    const char *home = *violation->collection  ? violation->collection
                       : *violation->partition ? violation->partition
                                               : "-";
    if (moved)
        mh_grid_put(grid, "%s -> %s", home, violation->seen_partition);
    else
        mh_grid_put(grid, "%s", home);
}

static void put_write(struct mh_grid *grid, const struct mh_violation *row)
{
    if (row->worker < 0)
        mh_grid_put(grid, "-");
    else
        mh_grid_put(grid, row->rank < 0 ? "%d" : "%d@%d", row->worker, row->rank);
    const char *write = mh_result_write_name(row->kind_of_write);
    if (write)
        mh_grid_put(grid, "%s %" PRId64 "+%" PRId64, write, row->batch_first, row->batch_rows);
    else
        mh_grid_put(grid, "-");
    mh_grid_put(grid, "%s", row->acked_ns > 0 ? show_moment(row->acked_ns).text : "-");
}

static void put_violation(struct mh_grid *grid, const struct mh_report_violation *violation)
{
    const char *kind = mh_result_wrong_name(violation->row.kind);
    mh_grid_put(grid, "%s", kind ? kind : "?");
    if (is_of_all(&violation->row))
        mh_grid_put(grid, "all");
    else
        mh_grid_put(grid, "%" PRId64, violation->row.id);
    put_partition(grid, violation);
    put_write(grid, &violation->row);
    put_judgement(grid, &violation->row);
}

/* Rows that were only late step back behind those that are wrong. */
static int64_t put_violations(struct mh_grid *grid, const struct mh_report *report)
{
    int64_t shown = 0;
    for (int late = 0; late < 2; late++)
        for (int64_t i = 0; i < report->violation_count && shown < SHOWN_VIOLATIONS; i++) {
            if (mh_is_violation(report->violations[i].row.kind) == (late == 1))
                continue;
            put_violation(grid, &report->violations[i]);
            shown++;
        }
    return shown;
}

static void print_rows(const struct page *page)
{
    const struct mh_report *report = page->report;
    if (report->violation_count == 0)
        return;
    fprintf(page->out, "\n  The first of them (writer: worker@rank; batch: first id + rows; v0, v1, ...: a "
                       "row's versions)\n");
    struct mh_grid grid = {.columns = "lrlllrll"};
    HEADS(&grid, "kind", "id", "partition", "writer", "batch", "acknowledged", "expected", "seen");
    const int64_t shown = put_violations(&grid, report);
    mh_grid_print(page->out, &grid);
    if (report->violation_count > shown)
        fprintf(page->out, "  and %s more in /truth/violations\n",
                show(report->violation_count - shown).text);
    if (report->violations_dropped > 0)
        fprintf(page->out, "  and %s more that were counted and not kept\n",
                show(report->violations_dropped).text);
}

static void print_violations(const struct page *page)
{
    if (!looked(page) && page->report->violation_count == 0)
        return;
    int64_t wrong = 0, harmless = 0;
    bool measured = true;
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        const int64_t rows = figure(page, mh_wrong_names[kind]);
        measured = measured && (rows >= 0 || kind > MH_MISCOUNTED);
        wrong += !mh_is_violation(kind) || rows < 0 ? 0 : rows;
        harmless += !mh_is_violation(kind) && rows > 0 ? rows : 0;
    }
    if (wrong == 0 && measured)
        heading(page, GREEN, "VIOLATIONS", ": none");
    else
        heading(page, wrong ? RED : BOLD, "VIOLATIONS", ": %s%s", show(wrong).text,
                !looked(page) ? ", seen by reads; there was no audit"
                : measured    ? ""
                              : ", not all kinds measured");
    if (wrong == 0 && measured && harmless == 0)
        print_no_kinds(page);
    else
        print_kinds(page);
    print_rows(page);
}

/* ---- Verdict ---- */

static void print_missing(const struct page *page)
{
    const struct mh_report *report = page->report;
    if (report->whole)
        return;
    char text[512] = "";
    size_t used = 0;
    for (int64_t i = 0; i < report->rank_count && used + 16 < sizeof text; i++)
        if (report->ranks[i].missing)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%d", used ? ", " : "",
                                     report->ranks[i].rank);
    fact(page, "not whole", "%s%s%s",
         used ? "nothing is known of these ranks after their journals' ends: " : "", text,
         used ? "" : "not all planned work was done");
}

static void print_verdict(const struct page *page)
{
    static const char *const words[] = {[MH_EXIT_GOOD] = "good",
                                        [MH_EXIT_THRESHOLD] = "a threshold was missed",
                                        [MH_EXIT_VIOLATION] = "data violation",
                                        [MH_EXIT_UNUSABLE] = "not usable"};
    const int code = page->report->exit_code;
    const char *word = code >= 0 && code <= MH_EXIT_UNUSABLE ? words[code] : "unknown";
    heading(page, code == 0 ? GREEN : RED, "VERDICT", ": %s (exit code %d)", word, code);
    char clean[sizeof page->report->verdict];
    mh_result_clean(page->report->verdict, true, clean, sizeof clean);
    fputs("  ", page->out);
    mh_print_wrapped(page->out, clean, 2, 2);
    print_missing(page);
}

static void print_all(const struct page *page)
{
    print_head(page);
    print_operations(page);
    print_latencies(page);
    print_pace(page);
    print_searches(page);
    print_limits(page);
    print_errors(page);
    print_events(page);
    print_thresholds(page);
    print_trends(page);
    print_reads(page);
    print_visibility(page);
    print_cycles(page);
    print_audit(page);
    print_violations(page);
    print_verdict(page);
}

void mh_report_print(FILE *out, const struct mh_report *report, const char *result_path)
{
    struct mh_result_view view;
    struct mh_error err;
    if (mh_result_view_of(report, &view, &err)) {
        fprintf(out, "(%s)\n", err.text);
        return;
    }
    const struct page page = {.out = out, .colour = takes_colour(out), .report = report, .view = &view};
    print_all(&page);
    if (result_path)
        fprintf(out, "\nresult: %s\n", result_path);
    mh_result_view_free(&view);
}
