/* The terminal summary: what a person wants to know, most of it twice - as figures and in words - and the
 * verdict near the end, where the eye is. */
#include "base/clock.h"
#include "result/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

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

static void print_ceiling(const struct mh_page *page)
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
    mh_page_fact(page, "client", "%s; %s", used,
                 is_limited(report) ? "CLIENT-LIMITED, see the lines marked *" : "not client-limited");
}

static void print_client(const struct mh_page *page)
{
    const struct mh_report *report = page->report;
    struct mh_report_rank all = {.cpu_s = -1, .peak_rss_bytes = -1, .schedule_lag_ns = -1};
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
    const char *label = report->calibration_count > 0 ? "" : "client";
    const double share = 100 * all.cpu_s / report->duration_s;
    const struct mh_shown most = mh_shown_bytes(all.peak_rss_bytes);
    if (all.peak_rss_bytes < 0)
        return; /* rebuilt by merge, and nothing was observed */
    if (all.schedule_lag_ns < 0)
        mh_page_fact(page, label, "busiest rank used %.0f%% of a core and at most %s, as far as was observed",
                     share, most.text);
    else
        mh_page_fact(
            page, label,
            "busiest rank used %.0f%% of a core and at most %s; latest send %s behind its due time; %s "
            "sent, %s received",
            share, most.text, mh_shown_duration(all.schedule_lag_ns).text, mh_shown_bytes(all.bytes_out).text,
            mh_shown_bytes(all.bytes_in).text);
}

static void print_head(const struct mh_page *page)
{
    const struct mh_report *report = page->report;
    const int64_t workers = report->part > 1 ? report->worker_count / report->part : report->worker_count;
    char title[256], clean[256];
    snprintf(title, sizeof title, "milvus-hpc %s  run %s%s%s", report->program_version, report->run_id,
             *report->label ? "  " : "", report->label);
    mh_result_clean(title, true, clean, sizeof clean);
    fprintf(page->out, "%s%s%s\n", mh_page_paint(page, MH_BOLD), clean, mh_page_paint(page, MH_PLAIN));
    if (*report->parent)
        mh_page_fact(page, "verifies", "what run %s wrote", report->parent);
    if (*report->continues)
        mh_page_fact(page, "continues", "run %s, as part %d, with one ledger over all parts",
                     report->continues, report->part);
    mh_page_fact(page, "job", "%s, seed %" PRIu64, mh_or_unknown(report->job_path ? report->job_path : ""),
                 report->seed);
    mh_page_fact(page, "server", "%s, version %s", mh_or_unknown(report->server_uri),
                 mh_or_unknown(report->server_version));
    mh_page_fact(page, "collection", "%s", mh_or_unknown(report->collection));
    mh_page_fact(page, "data set", "%s", mh_or_unknown(report->dataset));
    mh_page_fact(page, "ran", "on %d rank%s of %d node%s, %" PRId64 " worker%s, for %s; began %s", report->np,
                 mh_plural(report->np), report->nodes, mh_plural(report->nodes), workers, mh_plural(workers),
                 mh_shown_duration((int64_t)(report->duration_s * MH_S)).text,
                 mh_or_unknown(report->started_utc));
    print_client(page);
}

/* ---- Verdict ---- */

static void print_missing(const struct mh_page *page)
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
    mh_page_fact(page, "not whole", "%s%s%s",
                 used ? "nothing is known of these ranks after their journals' ends: " : "", text,
                 used ? "" : "not all planned work was done");
}

static void print_verdict(const struct mh_page *page)
{
    static const char *const words[] = {[MH_EXIT_GOOD] = "good",
                                        [MH_EXIT_THRESHOLD] = "a threshold was missed",
                                        [MH_EXIT_VIOLATION] = "data violation",
                                        [MH_EXIT_UNUSABLE] = "not usable"};
    const int code = page->report->exit_code;
    const char *word = code >= 0 && code <= MH_EXIT_UNUSABLE ? words[code] : "unknown";
    mh_page_heading(page, code == 0 ? MH_GREEN : MH_RED, "VERDICT", ": %s (exit code %d)", word, code);
    char clean[sizeof page->report->verdict];
    mh_result_clean(page->report->verdict, true, clean, sizeof clean);
    fputs("  ", page->out);
    mh_print_wrapped(page->out, clean, 2, 2);
    print_missing(page);
}

static void print_all(const struct mh_page *page)
{
    print_head(page);
    mh_print_operations(page);
    mh_print_latencies(page);
    mh_print_pace(page);
    mh_print_searches(page);
    mh_print_limits(page);
    mh_print_errors(page);
    mh_print_events(page);
    mh_print_thresholds(page);
    mh_print_trends(page);
    mh_print_reads(page);
    mh_print_visibility(page);
    mh_print_cycles(page);
    mh_print_audit(page);
    mh_print_violations(page);
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
    const struct mh_page page = {
        .out = out, .colour = mh_page_takes_colour(out), .report = report, .view = &view};
    print_all(&page);
    if (result_path)
        fprintf(out, "\nresult: %s\n", result_path);
    mh_result_view_free(&view);
}
