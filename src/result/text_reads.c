/* Of the terminal summary: what reads under load, probers and life cycles showed. */
#include "result/page.h"

#include <stdlib.h>
#include <string.h>

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

static void print_recall(const struct mh_page *page)
{
    const struct mh_report *report = page->report;
    struct mh_grid grid = {.columns = "llrrrrrr"};
    if (report->recall_count == 0)
        return;
    fprintf(page->out, "\n  Recall against the rows that were certainly live and satisfied the filter\n");
    MH_HEADS(&grid, "stage", "role", "item", "topk", "searches", "recall", "worst", "selectivity");
    put_kinds(&grid, report);
    mh_grid_print(page->out, &grid);
}

static void print_missed(const struct mh_page *page)
{
    const int64_t missed = mh_page_figure(page, "neighbors_missed"),
                  wrong = mh_page_figure(page, "neighbors_missed_wrong");
    if (missed > 0 && wrong < 0)
        mh_page_fact(page, "missed",
                     "%s true neighbour%s; whether the index is poor or the rows are gone is not known",
                     mh_shown_count(missed).text, mh_plural(missed));
    else if (missed > 0)
        mh_page_fact(page, "missed",
                     "%s true neighbour%s; %s of these rows %s wrong in the audit: the index is poor, not "
                     "the rows gone, for the others",
                     mh_shown_count(missed).text, mh_plural(missed), mh_shown_count(wrong).text,
                     wrong == 1 ? "is" : "are");
    if (mh_page_figure(page, "short_results") > 0)
        mh_page_fact(page, "short", "%s searches compared had fewer hits than rows that qualified",
                     mh_shown_count(mh_page_figure(page, "short_results")).text);
    if (mh_page_figure(page, "filters_not_understood") > 0)
        mh_page_fact(page, "not judged", "the filter of %s reads, whose expression is beyond this program",
                     mh_shown_count(mh_page_figure(page, "filters_not_understood")).text);
}

/* Of a collection at rest that is the data set, each row once. */
static void print_listed(const struct mh_page *page)
{
    const int64_t searches = mh_page_figure(page, "listed_searches"),
                  listed = mh_page_figure(page, "listed_neighbors"),
                  found = mh_page_figure(page, "listed_neighbors_found");
    if (listed > 0)
        mh_page_fact(page, "data set",
                     "%.4f of the neighbours that the data set itself names, by %s searches at rest",
                     (double)found / (double)listed, mh_shown_count(searches).text);
}

/* Of reads at the levels that may lag. */
static void print_behind(const struct mh_page *page)
{
    static const char *const levels[] = {"session", "bounded", "eventually"};
    char rows[40], longest[40];
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        snprintf(rows, sizeof rows, "rows_behind_%s", levels[i]);
        snprintf(longest, sizeof longest, "most_behind_%s_ns", levels[i]);
        if (mh_page_figure(page, rows) > 0)
            mh_page_fact(page, "behind",
                         "at %s %s rows were shown as they had been up to %s before the read was sent",
                         levels[i], mh_shown_count(mh_page_figure(page, rows)).text,
                         mh_shown_duration(mh_page_figure(page, longest)).text);
    }
}

void mh_print_reads(const struct mh_page *page)
{
    const int64_t asked = mh_page_figure(page, "reads"), judged = mh_page_figure(page, "reads_judged"),
                  unjudged = mh_page_figure(page, "reads_unjudged");
    if (asked <= 0 && unjudged <= 0)
        return;
    mh_page_heading(page, MH_BOLD, "READS", " under load: %s of %s judged", mh_shown_count(judged).text,
                    mh_shown_count(asked).text);
    if (unjudged > 0)
        mh_page_fact(page, "NOT JUDGED",
                     "%s searches and queries: the run was killed before their stage ended",
                     mh_shown_count(unjudged).text);
    mh_page_fact(page, "judged",
                 "%s hits and %s rows of queries: live then, unique, in order, filter and range; %s "
                 "distances computed again",
                 mh_shown_count(mh_page_figure(page, "hits_judged")).text,
                 mh_shown_count(mh_page_figure(page, "query_rows_judged")).text,
                 mh_shown_count(mh_page_figure(page, "distances_compared")).text);
    mh_page_fact(page, "complete",
                 "%s searches and %s queries compared with every row that was certainly live",
                 mh_shown_count(mh_page_figure(page, "searches_compared")).text,
                 mh_shown_count(mh_page_figure(page, "queries_compared")).text);
    print_missed(page);
    print_listed(page);
    if (mh_page_figure(page, "non_monotonic_reads") > 0)
        mh_page_fact(page, "went back",
                     "%s rows came in an older version than before, at levels that allow it",
                     mh_shown_count(mh_page_figure(page, "non_monotonic_reads")).text);
    print_behind(page);
    print_recall(page);
}

void mh_print_visibility(const struct mh_page *page)
{
    const struct mh_report *report = page->report;
    struct mh_grid grid = {.columns = "lllllrrrrr"};
    if (report->visibility_count == 0)
        return;
    mh_page_heading(page, MH_BOLD, "VISIBILITY",
                    ": from a write's acknowledgement to the end of the first read that saw it");
    MH_HEADS(&grid, "stage", "role", "write", "read", "consistency", "seen", "never", "p50", "p99", "max");
    for (int64_t i = 0; i < report->visibility_count; i++) {
        const struct mh_report_visibility *row = &report->visibilities[i];
        mh_page_put_texts(
            &grid, (const char *const[]){row->stage, row->role, row->write, row->read, row->consistency}, 5);
        mh_grid_put_count(&grid, row->count);
        mh_grid_put_count(&grid, row->never);
        for (int k = 0; k < 3; k++)
            mh_grid_put_duration(&grid, row->done_ns[k]);
    }
    mh_grid_print(page->out, &grid);
}

/* ---- Cycles ---- */

void mh_print_cycles(const struct mh_page *page)
{
    struct mh_grid grid = {.columns = "llrrrrrrrr"};
    if (mh_page_figure(page, "cycles_begun") <= 0)
        return;
    mh_page_heading(page, MH_BOLD, "CYCLES", ": lives of collections, each of them looked at");
    MH_HEADS(&grid, "stage", "role", "begun", "whole", "broken", "unlooked", "cut", "per hour", "rows",
             "p50");
    for (int64_t i = 0; i < page->report->operation_count; i++) {
        const struct mh_result_operation *row = &page->view->operations[i];
        const struct mh_tally *tally = page->report->operations[i].tally;
        if (strcmp(row->op, mh_tally_name(MH_TALLY_CYCLE)) != 0)
            continue;
        mh_page_put_texts(&grid, (const char *const[]){row->stage, row->role}, 2);
        mh_grid_put_count(&grid, tally->planned);
        mh_grid_put_count(&grid, tally->ok);
        mh_grid_put_count(&grid, tally->failed + tally->unknown);
        mh_grid_put_count(&grid, tally->unknown);
        mh_grid_put_count(&grid, tally->unsent);
        mh_grid_put_count(&grid, (int64_t)(3600 * row->per_second + 0.5));
        mh_grid_put_count(&grid, tally->rows);
        mh_grid_put_duration(&grid, row->due_ns[0]);
    }
    mh_grid_print(page->out, &grid);
}
