/* The violations of a run as a text for a bug report: what is wrong, who wrote it and when, what else
 * happened then, and how to see it again. */
#include "result/fields.h"

#include "base/clock.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GROUPS = 50, MOST_RANGES = 40, AROUND_S = 2, MOST_NEIGHBOURS = 12 };

/* ---- grouping: the rows of one write that are wrong in one way ---- */

static int compare(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_write(const void *a, const void *b)
{
    const struct mh_violation *x = &((const struct mh_report_violation *)a)->row,
                              *y = &((const struct mh_report_violation *)b)->row;
    int order = compare(x->kind, y->kind);
    order = order ? order : compare(x->worker, y->worker);
    order = order ? order : compare(x->kind_of_write, y->kind_of_write);
    order = order ? order : compare(x->sent_ns, y->sent_ns);
    order = order ? order : compare(x->batch_first, y->batch_first);
    order = order ? order
                  : strcmp(((const struct mh_report_violation *)a)->collection,
                           ((const struct mh_report_violation *)b)->collection);
    return order ? order : compare(x->id, y->id);
}

static bool same_group(const struct mh_report_violation *a, const struct mh_report_violation *b)
{
    const struct mh_violation *x = &a->row, *y = &b->row;
    return x->kind == y->kind && x->worker == y->worker && x->kind_of_write == y->kind_of_write &&
           x->sent_ns == y->sent_ns && x->batch_first == y->batch_first &&
           strcmp(a->seen_partition, b->seen_partition) == 0 && strcmp(a->collection, b->collection) == 0;
}

/* ---- one group ---- */

static void print_ids(FILE *out, const struct mh_report_violation *rows, int64_t count)
{
    int ranges = 0;
    for (int64_t i = 0; i < count;) {
        int64_t end = i + 1;
        while (end < count && rows[end].row.id == rows[end - 1].row.id + 1)
            end++;
        if (ranges++ == MOST_RANGES) {
            fprintf(out, ", and %" PRId64 " more", count - i);
            return;
        }
        fprintf(out, "%s%" PRId64, i ? ", " : "", rows[i].row.id);
        if (end - i > 1)
            fprintf(out, "-%" PRId64, rows[end - 1].row.id);
        i = end;
    }
}

static const char *seconds(int64_t ns, char text[32])
{
    snprintf(text, 32, "%+.3f s", (double)ns / MH_S);
    return text;
}

static void print_write(FILE *out, const struct mh_violation *row, int64_t count)
{
    char due[32], sent[32], acked[32];
    const char *write = mh_result_write_name(row->kind_of_write);
    if (!write) {
        if (row->worker >= 0)
            fprintf(out, "- inserted by worker %d; the run that wrote it has the rest\n", row->worker);
        return;
    }
    fprintf(out, "- last written by worker %d on rank %d: %s of %" PRId64 " rows, the first %" PRId64,
            row->worker, row->rank, write, row->batch_rows, row->batch_first);
    fprintf(out, "; %" PRId64 " of them are wrong like this\n", count);
    fprintf(out, "- due %s, sent %s, acknowledged %s", seconds(row->due_ns, due), seconds(row->sent_ns, sent),
            seconds(row->acked_ns, acked));
    if (row->server_ts)
        fprintf(out, "; the server's timestamp %" PRIu64 " (%" PRIu64 " ms since 1970)", row->server_ts,
                row->server_ts >> 18);
    fputc('\n', out);
}

static const char *version_text(int64_t version, char text[32])
{
    if (version == MH_VERSION_NONE)
        return "no such row";
    if (version == MH_VERSION_UNKNOWN)
        return "content that was never written";
    snprintf(text, 32, "version %" PRId64, version);
    return text;
}

static void print_judgement(FILE *out, const struct mh_report_violation *violation)
{
    const struct mh_violation *row = &violation->row;
    char expected[32], seen[32], first[32], last[32];
    if (row->kind == MH_MISCOUNTED)
        fprintf(out, "- a scan found %" PRId64 " rows, count(*) said %" PRId64, row->expected_version,
                row->seen_version);
    else if (row->kind == MH_NOT_DROPPED)
        fprintf(out, "- expected to be gone, and it is listed");
    else if (row->expected_value != row->seen_value)
        fprintf(out, "- expected %.9g, seen %.9g", row->expected_value, row->seen_value);
    else if (row->kind == MH_DUPLICATED)
        fprintf(out, "- expected 1 copy, seen %" PRId64, row->seen_version);
    else
        fprintf(out, "- expected %s, seen %s", version_text(row->expected_version, expected),
                version_text(row->seen_version, seen));
    if (*violation->collection)
        fprintf(out, "; collection %s (cycle %" PRId64 " of worker %d)", violation->collection, row->cycle,
                row->reader);
    if (*violation->partition)
        fprintf(out, "; partition %s", violation->partition);
    if (*violation->seen_partition && strcmp(violation->partition, violation->seen_partition) != 0)
        fprintf(out, ", seen in %s", violation->seen_partition);
    if (row->first_pass < 0)
        fprintf(out, "\n- first seen wrong %s by a %s of worker %d", seconds(row->first_seen_ns, first),
                mh_result_reader_name(row->seen_by), row->reader);
    else
        fprintf(out, "\n- first seen wrong %s (pass %d)", seconds(row->first_seen_ns, first),
                row->first_pass + 1);
    if (row->last_pass >= 0)
        fprintf(out, ", last %s (pass %d)", seconds(row->last_seen_ns, last), row->last_pass + 1);
    fputc('\n', out);
}

static bool around(int64_t from_ns, int64_t to_ns, const struct mh_violation *row)
{
    return to_ns >= row->sent_ns - AROUND_S * MH_S && from_ns <= row->acked_ns + AROUND_S * MH_S;
}

static bool changes_rows(const char *op)
{
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        if (strcmp(mh_op_infos[kind].name, op) == 0)
            return mh_op_infos[kind].write;
    return false;
}

/* Events until the row was seen wrong, and what else the server was asked when it took the write. */
static void print_neighbours(FILE *out, const struct mh_report *report, const struct mh_violation *row)
{
    char when[32];
    int shown = 0;
    if (row->kind_of_write < 0)
        return;
    for (int64_t i = 0; i < report->event_count && shown < MOST_NEIGHBOURS; i++) {
        const struct mh_report_event *event = &report->events[i];
        const int64_t length = event->duration_ns > 0 ? event->duration_ns : 0;
        if (event->time_ns + length >= row->sent_ns - AROUND_S * MH_S &&
            event->time_ns <= row->first_seen_ns && shown++ >= 0)
            fprintf(out, "- between that and the audit: %s %s: %s\n", seconds(event->time_ns, when),
                    event->kind, event->what);
    }
    for (int64_t i = 0; i < report->moment_count && shown < MOST_NEIGHBOURS; i++) {
        const struct mh_report_moment *moment = &report->moments[i];
        const int64_t from = (int64_t)(moment->second * MH_S),
                      to = from + (int64_t)(moment->interval_s * MH_S);
        if (strcmp(moment->role, "auditor") == 0 || !around(from, to, row) || changes_rows(moment->op) ||
            moment->ok + moment->failed + moment->unknown == 0)
            continue;
        shown++;
        fprintf(out, "- around then: %s to %+.0f s: %s, %" PRId64 " ok, %" PRId64 " failed\n",
                seconds(from, when), (double)to / MH_S, moment->op, moment->ok,
                moment->failed + moment->unknown);
    }
}

static void print_group(FILE *out, const struct mh_report *report, const struct mh_report_violation *rows,
                        int64_t count)
{
    const struct mh_violation *row = &rows[0].row;
    fprintf(out, "\n### %s: %" PRId64 " %s\n\n- id%s ", mh_wrong_names[row->kind], count,
            count == 1 ? "row" : "rows", count == 1 ? "" : "s");
    if (row->id < 0)
        fputs("(all)", out);
    else
        print_ids(out, rows, count);
    fputc('\n', out);
    print_judgement(out, &rows[0]);
    print_write(out, row, count);
    print_neighbours(out, report, row);
}

/* ---- the text ---- */

static void print_head(FILE *out, const struct mh_report *report, const char *path)
{
    fprintf(out, "# %s\n\n", report->verdict);
    fprintf(out, "- server: Milvus %s, %s\n",
            *report->server_version ? report->server_version : "(version unknown)", report->server_uri);
    fprintf(out, "- collection: %s, id %" PRId64 "%s\n", report->collection, report->collection_id,
            report->collection_kept ? " (still on the server)" : "");
    fprintf(out, "- client: milvus-hpc %s, %d rank%s on %d node%s, data set %s\n", report->program_version,
            report->np, report->np == 1 ? "" : "s", report->nodes, report->nodes == 1 ? "" : "s",
            report->dataset);
    fprintf(out, "- run: %s, seed %" PRIu64 ", began %s, result %s\n", report->run_id, report->seed,
            report->started_utc, path);
    if (*report->parent)
        fprintf(out, "- the rows were written by run %s\n", report->parent);
    if (report->part > 1)
        fprintf(out, "- part %d of the runs that filled this collection one after the other%s%s\n",
                report->part, *report->continues ? "; it went on from run " : "", report->continues);
}

static void print_again(FILE *out, const struct mh_report *report)
{
    fprintf(out,
            "\n## To see it again\n\n    mpirun -np %d milvus-hpc run job.yaml --seed %" PRIu64 " --keep",
            report->part > 1 ? report->plan_np : report->np, report->seed);
    for (int64_t i = 0; i < report->option_count; i++)
        if (strcmp(report->options[i].origin, "--set") == 0 &&
            strcmp(report->options[i].path, "server.token") != 0)
            fprintf(out, " --set '%s=%s'", report->options[i].path, report->options[i].value);
    if (report->part > 1)
        fprintf(out,
                "\n\nand then its parts 2 to %d, each from the result of the one before:\n\n"
                "    mpirun -np %d milvus-hpc run --continue RESULT.h5",
                report->part, report->np);
    fprintf(out, "\n\njob.yaml:\n\n");
    for (const char *line = report->job_text; *line;) {
        const size_t length = strcspn(line, "\n");
        fprintf(out, "    %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static int64_t without_late(const struct mh_report *report, struct mh_report_violation *rows)
{
    int64_t count = 0;
    for (int64_t i = 0; i < report->violation_count; i++)
        if (mh_is_violation(report->violations[i].row.kind))
            rows[count++] = report->violations[i];
    return count;
}

static void print_groups(FILE *out, const struct mh_report *report, const struct mh_report_violation *rows,
                         int64_t count)
{
    int groups = 0;
    for (int64_t i = 0; i < count;) {
        int64_t end = i + 1;
        while (end < count && same_group(&rows[i], &rows[end]))
            end++;
        if (groups++ == MOST_GROUPS) {
            fprintf(out, "\n(%" PRId64 " more rows are in /truth/violations of the result)\n", count - i);
            return;
        }
        print_group(out, report, &rows[i], end - i);
        i = end;
    }
}

static void print_all(FILE *out, const struct mh_report *report, const char *path,
                      struct mh_report_violation *rows)
{
    const int64_t count = without_late(report, rows);
    print_head(out, report, path);
    if (count == 0) {
        fprintf(out, "\nThere are no violations.\n");
        return;
    }
    qsort(rows, (size_t)count, sizeof *rows, by_write);
    fprintf(out, "\n## What is wrong\n\nTimes count from the run's beginning.\n");
    print_groups(out, report, rows, count);
    if (report->violations_dropped > 0)
        fprintf(out, "\n(%" PRId64 " more were counted and not kept)\n", report->violations_dropped);
    print_again(out, report);
}

/* A result file is anybody's: nothing of what it says may speak to the terminal. */
static void print_clean(FILE *out, char *text)
{
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        const bool more = *end == '\n';
        *end = '\0';
        mh_result_clean(line, true, line, (size_t)(end - line) + 1);
        fprintf(out, more ? "%s\n" : "%s", line);
        end += more;
    }
}

int mh_report_print_evidence(FILE *out, const struct mh_report *report, const char *path,
                             struct mh_error *err)
{
    struct mh_report_violation *rows = calloc((size_t)report->violation_count + 1, sizeof *rows);
    char *text = NULL;
    size_t length;
    FILE *memory = rows ? open_memstream(&text, &length) : NULL;
    if (memory)
        print_all(memory, report, path, rows);
    const bool whole = memory && !ferror(memory);
    if (memory && fclose(memory) == 0 && whole)
        print_clean(out, text);
    free(rows);
    free(text);
    return whole ? 0 : mh_fail(err, "out of memory for %" PRId64 " violations", report->violation_count);
}
