/* Thresholds: figures of the report against what the job wants. */
#include "command/session.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum unit { DURATION, PER_SECOND, RATIO, NUMBER };

static double quantile(const struct mh_tally *tally, double q)
{
    return (double)mh_histogram_quantile(&tally->due, q);
}

static double p50(const struct mh_report_operation *op)
{
    return quantile(op->tally, 0.50);
}
static double p95(const struct mh_report_operation *op)
{
    return quantile(op->tally, 0.95);
}
static double p99(const struct mh_report_operation *op)
{
    return quantile(op->tally, 0.99);
}
static double p999(const struct mh_report_operation *op)
{
    return quantile(op->tally, 0.999);
}
static double slowest(const struct mh_report_operation *op)
{
    return (double)op->tally->due.max_ns;
}

static double rate(const struct mh_report_operation *op)
{
    return op->seconds > 0 ? (double)(op->tally->ok - op->tally->warm_up) / op->seconds : 0;
}

static double row_rate(const struct mh_report_operation *op)
{
    return op->seconds > 0 ? (double)(op->tally->rows - op->tally->warm_up_rows) / op->seconds : 0;
}

static double errors(const struct mh_report_operation *op)
{
    const struct mh_tally *t = op->tally;
    return t->planned > 0 ? (double)(t->failed + t->unknown + t->unsent) / (double)t->planned : 0;
}

static double succeeded(const struct mh_report_operation *op)
{
    return (double)op->tally->ok;
}

static double hourly(const struct mh_report_operation *op)
{
    return 3600 * rate(op);
}

/* A new figure is one row. "search.p99" is the worst of all stages and roles with that operation. */
static const struct figure {
    const char *name;
    enum unit unit;
    double (*of)(const struct mh_report_operation *op);
} figures[] = {
    {"p50", DURATION, p50},
    {"p95", DURATION, p95},
    {"p99", DURATION, p99},
    {"p999", DURATION, p999},
    {"max", DURATION, slowest},
    {"rate", PER_SECOND, rate},
    {"rows_rate", PER_SECOND, row_rate},
    {"errors", RATIO, errors},
    {"count", NUMBER, succeeded},
    {"per_hour", NUMBER, hourly},
};
enum { FIGURES = sizeof figures / sizeof figures[0] };

/* Over all searches compared with live truth; false: none was. */
static bool mean_recall(const struct mh_report *report, double *recall)
{
    double wanted = 0, found = 0;
    for (int64_t i = 0; i < report->recall_count; i++) {
        wanted += report->recall[i].wanted;
        found += report->recall[i].found;
    }
    *recall = wanted > 0 ? found / wanted : 0;
    return wanted > 0;
}

static bool is_recall(const struct mh_threshold *t)
{
    return strcmp(t->figure, "recall") == 0;
}

/* "load.max_rate", of a stage that searches for it; NULL: is something else. */
static const char *searched_stage(const struct mh_job *job, const struct mh_threshold *t)
{
    const char *dot = strrchr(t->figure, '.');
    for (size_t s = 0; dot && strcmp(dot, ".max_rate") == 0 && s < job->stage_count; s++)
        if (job->stages[s].find_max.role && strlen(job->stages[s].name) == (size_t)(dot - t->figure) &&
            strncmp(job->stages[s].name, t->figure, (size_t)(dot - t->figure)) == 0)
            return job->stages[s].name;
    return NULL;
}

static bool max_rate(const struct mh_report *report, const char *stage, double *got, bool *client_limited)
{
    for (int64_t i = 0; i < report->peak_count; i++) {
        if (strcmp(report->peaks[i].stage, stage) != 0)
            continue;
        *got = report->peaks[i].rate;
        *client_limited = report->peaks[i].client_limited;
        return true; /* 0: none held */
    }
    return false;
}

/* A search goes beyond what holds: what its probes measured is judged there. */
static bool is_search(const struct mh_report *report, const char *stage)
{
    for (int64_t i = 0; i < report->peak_count; i++)
        if (strcmp(report->peaks[i].stage, stage) == 0)
            return true;
    return false;
}

/* "insert.p99" -> its operation's name and the figure; "errors" alone is over all operations. */
static const struct figure *find(const char *name, char op[64])
{
    const char *dot = strrchr(name, '.');
    const char *what = dot ? dot + 1 : name;
    snprintf(op, 64, "%.*s", dot ? (int)(dot - name) : 0, name);
    for (int i = 0; i < FIGURES; i++)
        if (strcmp(figures[i].name, what) == 0 && (dot || figures[i].of == errors))
            return &figures[i];
    return NULL;
}

static bool known_operation(const char *op)
{
    for (int k = 0; k < MH_TALLY_KINDS; k++)
        if (strcmp(mh_tally_name(k), op) == 0)
            return true;
    return op[0] == '\0';
}

static int unknown_figure(const struct mh_job *job, const struct mh_threshold *t, struct mh_error *err)
{
    mh_fail(err,
            "thresholds.%s: no such figure; expected errors, recall, STAGE.max_rate of a stage with "
            "find_max, or OPERATION.FIGURE with operation "
            "insert, upsert, delete, search, query, create_index, cycle, ... and figure p50, p95, p99, p999, "
            "max, rate, rows_rate, errors, count or per_hour",
            t->figure);
    return t->line > 0 ? mh_fail_in(err, "%s:%d:%d", job->path, t->line, t->column)
                       : mh_fail_in(err, "--set");
}

int mh_thresholds_check(const struct mh_job *job, struct mh_error *err)
{
    char op[64];
    for (size_t i = 0; i < job->threshold_count; i++)
        if (!is_recall(&job->thresholds[i]) && !searched_stage(job, &job->thresholds[i]) &&
            (!find(job->thresholds[i].figure, op) || !known_operation(op)))
            return unknown_figure(job, &job->thresholds[i], err);
    return 0;
}

static bool holds(const struct mh_threshold *t, double got)
{
    switch (t->comparison) {
    case MH_LESS:
        return got < t->value;
    case MH_AT_MOST:
        return got <= t->value;
    case MH_MORE:
        return got > t->value;
    default:
        return got >= t->value;
    }
}

static bool wants_much(const struct mh_threshold *t)
{
    return t->comparison == MH_MORE || t->comparison == MH_AT_LEAST;
}

static bool worst(const struct mh_report *report, const struct mh_threshold *t, const struct figure *figure,
                  const char *op, double *got, bool *client_limited)
{
    bool any = false;
    *client_limited = false;
    for (int64_t i = 0; i < report->operation_count; i++) {
        const struct mh_report_operation *operation = &report->operations[i];
        if (strcmp(operation->stage, "verify") == 0 || is_search(report, operation->stage) ||
            (op[0] && strcmp(operation->op, op) != 0) || operation->tally->planned == 0)
            continue;
        double value = figure->of(operation);
        if (!any || (wants_much(t) ? value < *got : value > *got)) {
            *got = value;
            *client_limited = operation->client_limited && figure->of != errors;
        }
        any = true;
    }
    return any;
}

static void show(enum unit unit, double value, char *text, size_t size)
{
    if (unit == DURATION)
        mh_show_duration((int64_t)value, text, size);
    else if (unit == PER_SECOND)
        snprintf(text, size, "%.4g/s", value);
    else if (unit == NUMBER)
        snprintf(text, size, "%.6g", value);
    else
        snprintf(text, size, "%.4g%%", 100 * value);
}

int mh_thresholds_judge(const struct mh_job *job, struct mh_report *report)
{
    int missed = 0;
    report->thresholds = calloc(job->threshold_count + 1, sizeof *report->thresholds);
    if (!report->thresholds)
        return -1;
    for (size_t i = 0; i < job->threshold_count; i++) {
        const struct mh_threshold *t = &job->thresholds[i];
        struct mh_report_threshold *out = &report->thresholds[report->threshold_count++];
        char op[64];
        double got = 0;
        const char *stage = searched_stage(job, t);
        const struct figure *figure = stage ? NULL : find(t->figure, op);
        bool measured = stage          ? max_rate(report, stage, &got, &out->client_limited)
                        : is_recall(t) ? mean_recall(report, &got)
                                       : worst(report, t, figure, op, &got, &out->client_limited);
        snprintf(out->figure, sizeof out->figure, "%s", t->figure);
        snprintf(out->wanted, sizeof out->wanted, "%s", t->text);
        if (measured)
            show(figure ? figure->unit : stage ? PER_SECOND : RATIO, got, out->got, sizeof out->got);
        else
            snprintf(out->got, sizeof out->got, "not measured");
        out->held = measured && holds(t, got);
        missed += !out->held;
    }
    return missed;
}
