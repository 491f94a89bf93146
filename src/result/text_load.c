/* Of the terminal summary: what was asked of the server, how fast, and what went wrong. */
#include "base/clock.h"
#include "base/units.h"
#include "result/page.h"

#include <math.h>
#include <string.h>

enum { SHOWN_EVENTS = 20, SHOWN_TRENDS = 20, TOLD_FROM_S = 600 };

/* ---- Operations ---- */

/* In the order of struct mh_tally. */
enum { PLANNED, OK, FAILED, UNKNOWN, TIMED_OUT, THROTTLED, UNSENT, IN_FLIGHT, WARM_UP = 11, BACKLOG = 13 };

/* Stage, role and operation; a mark where the figures behind them may be the client's own. */
static void put_names(struct mh_grid *grid, const struct mh_result_operation *row)
{
    mh_page_put_texts(grid, (const char *const[]){row->stage, row->role}, 2);
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
static void print_imbalance(const struct mh_page *page, const struct mh_result_operation *row)
{
    const int64_t *c = row->counters;
    const int64_t found = c[OK] + c[FAILED] + c[UNKNOWN] + c[UNSENT] + c[IN_FLIGHT];
    if (found != c[PLANNED])
        fprintf(page->out, "  %sNOT BALANCED%s: %s %s %s: %s planned, %s accounted for\n",
                mh_page_paint(page, MH_RED), mh_page_paint(page, MH_PLAIN), row->stage, row->role, row->op,
                mh_shown_count(c[PLANNED]).text, mh_shown_count(found).text);
}

void mh_print_operations(const struct mh_page *page)
{
    const int64_t count = page->report->operation_count;
    if (count == 0)
        return;
    mh_page_heading(page, MH_BOLD, "OPERATIONS", "%s", "");
    struct mh_grid grid = {.columns = "lllrrrrrRRrr"};
    MH_HEADS(&grid, "stage", "role", "op", "ok", "failed", "unknown", "throttled", "unsent", "timed out",
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
        mh_page_put_texts(grid, (const char *const[]){"", "", row->client_limited ? "*" : "", "sent"}, 4);
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

void mh_print_latencies(const struct mh_page *page)
{
    struct mh_grid grid = {.columns = "llllrrrrr"};
    bool any = false, two = false;
    for (int64_t i = 0; i < page->report->operation_count; i++) {
        const struct mh_result_operation *row = &page->view->operations[i];
        if (row->latency_count == 0)
            continue;
        if (!any)
            MH_HEADS(&grid, "stage", "role", "op", "from", "p50", "p95", "p99", "p99.9", "max");
        any = true;
        put_latency(&grid, row, false);
        if (differ(row))
            put_latency(&grid, row, true);
        two = two || differ(row);
    }
    if (any)
        mh_page_heading(page, MH_BOLD, "LATENCY", " of successful operations, from the time each was due%s",
                        two ? " (and sent, where the p99 differs)" : "");
    mh_grid_print(page->out, &grid);
}

void mh_print_limits(const struct mh_page *page)
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
void mh_print_pace(const struct mh_page *page)
{
    for (int64_t i = 0; i < page->report->operation_count; i++) {
        const struct mh_result_operation *row = &page->view->operations[i];
        char name[700];
        snprintf(name, sizeof name, "%s %s %s", row->stage, row->role, row->op);
        if (row->counters[WARM_UP] > 0)
            mh_page_fact(page, "warm-up", "%s: %s operations due in it are not in rates and latencies", name,
                         mh_shown_count(row->counters[WARM_UP]).text);
        const bool same_role = i > 0 && strcmp(row[-1].stage, row->stage) == 0 &&
                               strcmp(row[-1].role, row->role) == 0 &&
                               row[-1].counters[BACKLOG] == row->counters[BACKLOG];
        snprintf(name, sizeof name, "%s %s", row->stage, row->role);
        if (row->counters[BACKLOG] > 0 && !same_role)
            mh_page_fact(
                page, "backlog",
                "%s: up to %s operations were due and had no free slot, for %s in all; the latest was sent "
                "%s after it was due",
                name, mh_shown_count(row->counters[BACKLOG]).text, mh_shown_duration(row->longest[0]).text,
                mh_shown_duration(row->longest[1]).text);
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

static const char *what_is_rated(const struct mh_page *page, const struct mh_report_peak *peak)
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

static void describe_peak(const struct mh_page *page, const struct mh_report_peak *peak, char *text,
                          size_t size)
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
                 peak->client_limited ? " *" : "", mh_shown_duration(peak->p99_ns).text, recall);
    else
        snprintf(text, size, "no rate is confirmed: %s", why_none(peak));
}

static void print_peak(const struct mh_page *page, const struct mh_report_peak *peak)
{
    char text[600];
    describe_peak(page, peak, text, sizeof text);
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s %.0f s, %d probe%s",
             peak->rate > 0 ? ", found in" : "; sought for", peak->seconds, (int)peak->probes,
             mh_plural(peak->probes));
    fputs("  ", page->out);
    mh_print_wrapped(page->out, text, 2, 2);
}

static void print_search(const struct mh_page *page, const struct mh_report_peak *peak)
{
    const struct mh_report *report = page->report;
    mh_page_heading(page, MH_BOLD, "HIGHEST RATE", " of %s in stage %s", peak->role, peak->stage);
    struct mh_grid grid = {.columns = "rrrrrrrw"};
    MH_HEADS(&grid, "probe", "wanted/s", "achieved/s", "p50", "p99", "errors", "recall", "");
    for (int64_t i = 0; i < report->probe_count; i++)
        if (strcmp(report->probes[i].stage, peak->stage) == 0)
            put_probe(&grid, &report->probes[i].probe);
    mh_grid_print(page->out, &grid);
    print_peak(page, peak);
}

void mh_print_searches(const struct mh_page *page)
{
    for (int64_t i = 0; i < page->report->peak_count; i++)
        print_search(page, &page->report->peaks[i]);
}

static void put_error(struct mh_grid *grid, const struct mh_report_error *error)
{
    mh_grid_put_count(grid, error->count);
    mh_page_put_texts(grid, (const char *const[]){error->op, error->outcome}, 2);
    if (*error->grpc_status && strcmp(error->grpc_status, "OK") != 0)
        mh_grid_put(grid, "%s", error->grpc_status);
    else
        mh_grid_put(grid, "code %d", error->code);
    mh_grid_put(grid, "%s", mh_shown_moment(error->first_ns).text);
    mh_grid_put(grid, "%s", mh_shown_moment(error->last_ns).text);
    mh_grid_put(grid, "%s", error->message);
}

void mh_print_errors(const struct mh_page *page)
{
    if (page->report->error_count == 0)
        return;
    mh_page_heading(page, MH_BOLD, "ERRORS", " (gRPC's status, or Milvus' code)");
    struct mh_grid grid = {.columns = "rlllrrw"};
    MH_HEADS(&grid, "count", "op", "outcome", "code", "first", "last", "message");
    for (int64_t i = 0; i < page->report->error_count; i++)
        put_error(&grid, &page->report->errors[i]);
    mh_grid_print(page->out, &grid);
}

void mh_print_events(const struct mh_page *page)
{
    const int64_t count = page->report->event_count;
    if (count == 0)
        return;
    mh_page_heading(page, MH_BOLD, "EVENTS", "%s", "");
    struct mh_grid grid = {.columns = "rw"};
    MH_HEADS(&grid, "when", "what");
    for (int64_t i = 0; i < count && i < SHOWN_EVENTS; i++) {
        mh_grid_put(&grid, "%s", mh_shown_moment(page->report->events[i].time_ns).text);
        mh_grid_put(&grid, "%s", page->report->events[i].what);
    }
    mh_grid_print(page->out, &grid);
    if (count > SHOWN_EVENTS)
        fprintf(page->out, "  and %s more in /server/events\n", mh_shown_count(count - SHOWN_EVENTS).text);
}

void mh_print_thresholds(const struct mh_page *page)
{
    if (page->report->threshold_count == 0)
        return;
    mh_page_heading(page, MH_BOLD, "THRESHOLDS", "%s", "");
    struct mh_grid grid = {.columns = "llll"};
    MH_HEADS(&grid, "figure", "wanted", "got", "");
    for (int64_t i = 0; i < page->report->threshold_count; i++) {
        const struct mh_report_threshold *threshold = &page->report->thresholds[i];
        mh_page_put_texts(&grid, (const char *const[]){threshold->figure, threshold->wanted}, 2);
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
        mh_grid_put(grid, "%s", mh_shown_bytes((int64_t)value).text);
    else if (strcmp(unit, "ns") == 0)
        mh_grid_put(grid, "%s", mh_shown_duration((int64_t)value).text);
    else
        mh_grid_put(grid, "%.3g", value);
}

static void put_trend(struct mh_grid *grid, const struct mh_report_trend *trend)
{
    mh_page_put_texts(grid, (const char *const[]){trend->stage, trend->figure, trend->source}, 3);
    put_amount(grid, trend->unit, trend->median);
    put_amount(grid, trend->unit, trend->slope);
    if (isnan(trend->low_ratio))
        mh_grid_put(grid, "%s", "-");
    else
        mh_grid_put(grid, "%.3g%% to %.3g%%", 100 * trend->low_ratio, 100 * trend->high_ratio);
    mh_grid_put(grid, "%s", trend->wanted);
    mh_grid_put(grid, "%s", trend->verdict);
}

static void print_steps(const struct mh_page *page)
{
    for (int64_t i = 0; i < page->report->trend_count; i++) {
        const struct mh_report_trend *trend = &page->report->trends[i];
        if (!is_told(trend) || trend->step == 0)
            continue;
        const struct mh_shown height =
            strcmp(trend->unit, "bytes") == 0 ? mh_shown_bytes((int64_t)trend->step)
            : strcmp(trend->unit, "ns") == 0  ? mh_shown_duration((int64_t)trend->step)
                                              : mh_shown_count((int64_t)trend->step);
        mh_page_fact(page, "step", "%s of %s: by %s at %s", trend->figure, trend->source, height.text,
                     mh_shown_moment((int64_t)(trend->step_s * (double)MH_S)).text);
    }
}

void mh_print_trends(const struct mh_page *page)
{
    struct mh_grid grid = {.columns = "lllrrrll"};
    int64_t told = 0;
    for (int64_t i = 0; i < page->report->trend_count; i++)
        told += is_told(&page->report->trends[i]);
    if (told == 0)
        return;
    mh_page_heading(page, MH_BOLD, "DRIFT", " an hour, and its 99%% interval, of the median");
    MH_HEADS(&grid, "stage", "figure", "source", "median", "drift/h", "certainly within", "wanted", "");
    int64_t shown = 0;
    for (int64_t i = 0; i < page->report->trend_count && shown < SHOWN_TRENDS; i++)
        if (is_told(&page->report->trends[i])) {
            put_trend(&grid, &page->report->trends[i]);
            shown++;
        }
    mh_grid_print(page->out, &grid);
    if (told > shown)
        fprintf(page->out, "  and %s more in /trends\n", mh_shown_count(told - shown).text);
    print_steps(page);
}
