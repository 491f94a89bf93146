/* Of the terminal summary: the audit and what is wrong. */
#include "result/page.h"

#include <inttypes.h>
#include <string.h>

enum { SHOWN_VIOLATIONS = 20 };

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

static void add_terms(const struct mh_page *page, struct sum *sum)
{
    const int64_t inserts = mh_page_figure(page, "acknowledged_inserts"),
                  deletes = mh_page_figure(page, "acknowledged_deletes");
    const int64_t hit = mh_page_figure(page, "deletes_hit_live"), removed = hit >= 0 ? hit : deletes;
    const int64_t earlier = mh_page_figure(page, "earlier_inserts");
    struct sum_line *line =
        add_line(sum, inserts < 0 ? NOT_MEASURED : TERM, "", inserts, "acknowledged inserts");
    if (earlier > 0)
        snprintf(line->what, sizeof line->what, "acknowledged inserts, %s of them of earlier parts",
                 mh_shown_count(earlier).text);
    line = add_line(sum, removed < 0 ? NOT_MEASURED : TERM, "-", removed, "acknowledged deletes");
    if (hit >= 0 && deletes >= 0 && hit != deletes)
        snprintf(line->what, sizeof line->what, "acknowledged deletes of live rows (of %s)",
                 mh_shown_count(deletes).text);
    sum->low = inserts - removed;
}

/* A row whose delete has no known outcome is not live for certain; nothing else may stand between the terms
 * and the ledger. */
static void add_live(const struct mh_page *page, struct sum *sum)
{
    const int64_t live = mh_page_figure(page, "expected_live"),
                  maybe = mh_page_figure(page, "expected_maybe");
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
                 mh_shown_count(live + maybe).text, mh_shown_count(maybe).text, mh_plural(maybe));
    sum->low = live;
    sum->high = live + (maybe > 0 ? maybe : 0);
}

/* The first count must agree with the ledger, each further one with the one before. */
static void add_count(const struct mh_page *page, struct sum *sum, const char *name, const char *what)
{
    const int64_t value = mh_page_figure(page, name);
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

static void print_sum(const struct mh_page *page, const struct sum *sum)
{
    static const char *const signs[] = {
        [EQUAL] = "=", [WITHIN] = "in", [UNEQUAL] = "!=", [NOT_MEASURED] = ""};
    for (int i = 0; i < sum->count; i++) {
        const struct sum_line *line = &sum->lines[i];
        const bool wrong = line->relation == UNEQUAL;
        fprintf(page->out, "  %s%2s%s %13s  %s\n", wrong ? mh_page_paint(page, MH_RED) : "",
                line->relation == TERM ? line->sign : signs[line->relation],
                wrong ? mh_page_paint(page, MH_PLAIN) : "", mh_shown_count(line->value).text, line->what);
    }
}

static void print_unknown(const struct mh_page *page)
{
    const int64_t inserts = mh_page_figure(page, "unknown_inserts"),
                  upserts = mh_page_figure(page, "unknown_upserts"),
                  deletes = mh_page_figure(page, "unknown_deletes");
    if (inserts == 0 && upserts == 0 && deletes == 0)
        mh_page_fact(page, "unknown", "no write ended without a known outcome");
    else
        mh_page_fact(
            page, "unknown",
            "rows of writes without a known outcome: %s inserted, %s upserted, %s deleted; by looking: %s "
            "present, %s absent",
            mh_shown_count(inserts).text, mh_shown_count(upserts).text, mh_shown_count(deletes).text,
            mh_shown_count(mh_page_figure(page, "unknown_present")).text,
            mh_shown_count(mh_page_figure(page, "unknown_absent")).text);
}

static void print_beside(const struct mh_page *page)
{
    mh_page_fact(page, "statistics",
                 "row_count %s (servers do not subtract deleted rows there before compaction)",
                 mh_shown_count(mh_page_figure(page, "statistics_row_count")).text);
    mh_page_fact(page, "upserts", "%s rows acknowledged, of %s live rows",
                 mh_shown_count(mh_page_figure(page, "acknowledged_upserts")).text,
                 mh_shown_count(mh_page_figure(page, "upserts_hit_live")).text);
    mh_page_fact(page, "refused", "%s rows of inserts, certain to have had no effect",
                 mh_shown_count(mh_page_figure(page, "refused_inserts")).text);
    print_unknown(page);
    mh_page_fact(page, "compared", "content of %s rows, vectors of %s, over all passes",
                 mh_shown_count(mh_page_figure(page, "rows_compared")).text,
                 mh_shown_count(mh_page_figure(page, "vectors_compared")).text);
    if (mh_page_figure(page, "allowed_anomalies") > 0)
        mh_page_fact(page, "allowed", "%s anomalies that the job's verify.allow names",
                     mh_shown_count(mh_page_figure(page, "allowed_anomalies")).text);
}

/* An audit that broke off has looked at something. */
static bool looked(const struct mh_page *page)
{
    return page->report->audited || mh_page_figure(page, "passes") > 0;
}

/* An equation of zeros would look like rows that were compared. */
static bool is_empty(const struct mh_page *page)
{
    static const char *const zeros[] = {"acknowledged_inserts", "unknown_inserts", "refused_inserts",
                                        "count_star",           "partition_sum",   "scanned"};
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++)
        if (mh_page_figure(page, zeros[i]) != 0)
            return false;
    return true;
}

void mh_print_audit(const struct mh_page *page)
{
    if (!looked(page)) {
        mh_page_heading(page, MH_BOLD, "AUDIT",
                        " not made: whether the server holds what it acknowledged is not known");
        return;
    }
    const int64_t passes = mh_page_figure(page, "passes");
    if (page->report->audited && is_empty(page)) {
        mh_page_heading(page, MH_BOLD, "AUDIT",
                        " in %s pass%s: nobody wrote to the job's collection, and it is empty",
                        mh_shown_count(passes).text, passes == 1 ? "" : "es");
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
    mh_page_heading(page, has(&sum, UNEQUAL) ? MH_RED : MH_BOLD, "AUDIT", "%s in %s pass%s  [%s]",
                    page->report->audited ? "" : " NOT FINISHED,", mh_shown_count(passes).text,
                    passes == 1 ? "" : "es", word);
    print_sum(page, &sum);
    print_beside(page);
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
    [MH_NOT_DROPPED] = "its drop was acknowledged, it is still listed (index, partition or collection)",
    [MH_INVISIBLE] = "not seen within the grace, where nothing promises it: no violation",
};

static void print_kinds(const struct mh_page *page)
{
    struct mh_grid grid = {.columns = "lrl"};
    MH_HEADS(&grid, "kind", "rows", "what it means");
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        if ((kind > MH_MISCOUNTED || !looked(page)) && mh_page_figure(page, mh_wrong_names[kind]) <= 0)
            continue; /* of reads under load: a run may have had none */
        mh_grid_put(&grid, "%s", mh_wrong_names[kind]);
        mh_grid_put_count(&grid, mh_page_figure(page, mh_wrong_names[kind]));
        mh_grid_put(&grid, "%s", meanings[kind]);
    }
    mh_grid_print(page->out, &grid);
}

static void print_no_kinds(const struct mh_page *page)
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
    mh_grid_put(grid, "%s", row->acked_ns > 0 ? mh_shown_moment(row->acked_ns).text : "-");
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

static void print_rows(const struct mh_page *page)
{
    const struct mh_report *report = page->report;
    if (report->violation_count == 0)
        return;
    fprintf(page->out, "\n  The first of them (writer: worker@rank; batch: first id + rows; v0, v1, ...: a "
                       "row's versions)\n");
    struct mh_grid grid = {.columns = "lrlllrll"};
    MH_HEADS(&grid, "kind", "id", "partition", "writer", "batch", "acknowledged", "expected", "seen");
    const int64_t shown = put_violations(&grid, report);
    mh_grid_print(page->out, &grid);
    if (report->violation_count > shown)
        fprintf(page->out, "  and %s more in /truth/violations\n",
                mh_shown_count(report->violation_count - shown).text);
    if (report->violations_dropped > 0)
        fprintf(page->out, "  and %s more that were counted and not kept\n",
                mh_shown_count(report->violations_dropped).text);
}

void mh_print_violations(const struct mh_page *page)
{
    if (!looked(page) && page->report->violation_count == 0)
        return;
    int64_t wrong = 0, harmless = 0;
    bool measured = true;
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        const int64_t rows = mh_page_figure(page, mh_wrong_names[kind]);
        measured = measured && (rows >= 0 || kind > MH_MISCOUNTED);
        wrong += !mh_is_violation(kind) || rows < 0 ? 0 : rows;
        harmless += !mh_is_violation(kind) && rows > 0 ? rows : 0;
    }
    if (wrong == 0 && measured)
        mh_page_heading(page, MH_GREEN, "VIOLATIONS", ": none");
    else
        mh_page_heading(page, wrong ? MH_RED : MH_BOLD, "VIOLATIONS", ": %s%s", mh_shown_count(wrong).text,
                        !looked(page) ? ", seen by reads; there was no audit"
                        : measured    ? ""
                                      : ", not all kinds measured");
    if (wrong == 0 && measured && harmless == 0)
        print_no_kinds(page);
    else
        print_kinds(page);
    print_rows(page);
}
