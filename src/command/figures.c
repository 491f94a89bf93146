/* The figures of /truth/summary. */
#include "command/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_figure(struct mh_report *report, const char *name, int64_t value)
{
    struct mh_report_figure *out = &report->figures[report->figure_count++];
    *out = (struct mh_report_figure){.value = value};
    snprintf(out->name, sizeof out->name, "%s", name);
}

struct figure {
    const char *name;
    int64_t value;
};

/* -1 for each, when what they come from was not there. */
static int put_rows(struct mh_report *report, const struct figure *rows, size_t count, bool there)
{
    void *grown = realloc(report->figures, ((size_t)report->figure_count + count) * sizeof *report->figures);
    if (!grown)
        return -1;
    report->figures = grown;
    for (size_t i = 0; i < count; i++)
        put_figure(report, rows[i].name, there ? rows[i].value : -1);
    return 0;
}

static int put_load_figures(struct mh_report *report, const struct mh_ledger_totals *totals)
{
    const struct figure rows[] = {
        {"acknowledged_inserts", totals->acknowledged_inserts},
        {"acknowledged_upserts", totals->acknowledged_upserts},
        {"acknowledged_deletes", totals->acknowledged_deletes},
        {"refused_inserts", totals->refused_inserts},
        {"refused_upserts", totals->refused_upserts},
        {"refused_deletes", totals->refused_deletes},
        {"unknown_inserts", totals->unknown_inserts},
        {"unknown_upserts", totals->unknown_upserts},
        {"unknown_deletes", totals->unknown_deletes},
    };
    return put_rows(report, rows, sizeof rows / sizeof rows[0], true);
}

/* Of those, what parts before this one had. */
static int put_earlier_figures(struct mh_report *report, const struct mh_earlier *earlier)
{
    const struct figure rows[] = {{"earlier_inserts", earlier->inserts},
                                  {"earlier_upserts", earlier->upserts},
                                  {"earlier_deletes", earlier->deletes},
                                  {"earlier_live", earlier->live}};
    return put_rows(report, rows, sizeof rows / sizeof rows[0], true);
}

static int put_audit_figures(struct mh_report *report, const struct mh_audit_figures *f, bool audited)
{
    const struct figure rows[] = {
        {"expected_live", f->expected_live},
        {"expected_maybe", f->expected_maybe},
        {"count_star", f->count_star},
        {"partition_sum", f->partition_sum},
        {"scanned", f->scanned},
        {"statistics_row_count", f->statistics_row_count},
        {"unknown_present", f->unknown_present},
        {"unknown_absent", f->unknown_absent},
        {"rows_compared", f->rows_compared},
        {"vectors_compared", f->vectors_compared},
        {"deletes_hit_live", f->deletes_hit_live},
        {"upserts_hit_live", f->upserts_hit_live},
        {"allowed_anomalies", f->allowed},
        {"passes", f->passes},
    };
    return put_rows(report, rows, sizeof rows / sizeof rows[0], audited);
}

static int put_read_figures(struct mh_report *report, const struct mh_session *session)
{
    const struct mh_hit_figures *reads = &session->run.hit_figures;
    const struct figure rows[] = {
        {"reads", reads->asked},
        {"reads_judged", reads->judged},
        {"reads_unjudged", session->reads_unjudged},
        {"hits_judged", reads->hits},
        {"query_rows_judged", reads->rows},
        {"distances_compared", reads->distances},
        {"filters_not_understood", reads->filters_unread},
        {"searches_compared", reads->searches_compared},
        {"queries_compared", reads->queries_compared},
        {"true_neighbors", reads->neighbors},
        {"true_neighbors_found", reads->found},
        {"short_results", reads->short_results},
        {"listed_searches", reads->listed},
        {"listed_neighbors", reads->listed_neighbors},
        {"listed_neighbors_found", reads->listed_found},
        {"non_monotonic_reads", reads->non_monotonic},
        {"rows_behind_session", reads->behind[MH_SESSION]},
        {"rows_behind_bounded", reads->behind[MH_BOUNDED]},
        {"rows_behind_eventually", reads->behind[MH_EVENTUALLY]},
        {"most_behind_session_ns", session->run.behind_ns[MH_SESSION]},
        {"most_behind_bounded_ns", session->run.behind_ns[MH_BOUNDED]},
        {"most_behind_eventually_ns", session->run.behind_ns[MH_EVENTUALLY]},
        {"neighbors_missed", session->neighbors_missed},
        {"neighbors_missed_wrong", session->neighbors_missed_wrong},
    };
    return put_rows(report, rows, sizeof rows / sizeof rows[0],
                    reads->asked > 0 || session->reads_unjudged > 0);
}

/* Of all roles with cycles. */
static struct mh_tally sum_cycles(const struct mh_report *report)
{
    struct mh_tally sum = {0};
    for (int64_t i = 0; i < report->operation_count; i++) {
        const struct mh_tally *tally = report->operations[i].tally;
        if (strcmp(report->operations[i].op, mh_tally_name(MH_TALLY_CYCLE)) != 0)
            continue;
        sum.planned += tally->planned;
        sum.ok += tally->ok;
        sum.failed += tally->failed + tally->unknown;
        sum.unknown += tally->unknown;
        sum.unsent += tally->unsent;
        sum.rows += tally->rows;
    }
    return sum;
}

static int put_cycle_figures(struct mh_report *report, const struct mh_run *run)
{
    const struct mh_tally cycles = sum_cycles(report);
    const struct figure rows[] = {
        {"cycles_begun", cycles.planned},
        {"cycles_whole", cycles.ok},
        {"cycles_broken", cycles.failed},
        {"cycles_unlooked", cycles.unknown},
        {"cycles_contradicted", run->sums.own_contradicted},
        {"cycles_cut", cycles.unsent},
        {"cycle_rows", cycles.rows},
        {"collections_left", run->sums.own_left},
    };
    const struct figure found[] = {{"cycle_rows_searched", run->sums.own_searched},
                                   {"cycle_rows_found", run->sums.own_found}};
    return put_rows(report, rows, sizeof rows / sizeof rows[0], cycles.planned > 0) ||
                   put_rows(report, found, sizeof found / sizeof found[0], run->sums.own_searched > 0)
               ? -1
               : 0;
}

/* Readers may have found some when there was no audit. */
static int put_wrong_figures(struct mh_report *report, const struct mh_audit_figures *f, bool audited)
{
    struct figure rows[MH_WRONGS];
    for (int kind = 0; kind < MH_WRONGS; kind++)
        rows[kind] =
            (struct figure){mh_wrong_names[kind], audited || f->wrong[kind] > 0 ? f->wrong[kind] : -1};
    return put_rows(report, rows, MH_WRONGS, true);
}

int mh_session_put_figures(struct mh_session *session, const struct mh_ledger_totals *totals)
{
    struct mh_report *report = &session->report;
    const struct mh_audit_figures *f = &session->audit.figures;
    const bool audited = session->audited || f->passes > 0;
    return put_load_figures(report, totals) || put_earlier_figures(report, &session->earlier) ||
                   put_audit_figures(report, f, audited) || put_read_figures(report, session) ||
                   put_cycle_figures(report, &session->run) || put_wrong_figures(report, f, audited)
               ? -1
               : 0;
}
