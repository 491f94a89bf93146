/* Thresholds: figures of the report against what the job wants. */
#include "command/session.h"

#include "base/clock.h"
#include "base/units.h"

#include <math.h>
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

/* A cycle that is cut by the stage's end is none that went wrong. */
static double errors(const struct mh_report_operation *op)
{
    const struct mh_tally *t = op->tally;
    const int64_t cut = strcmp(op->op, mh_tally_name(MH_TALLY_CYCLE)) == 0 ? t->unsent : 0;
    const int64_t wrong = t->failed + t->unknown + t->unsent - cut;
    return t->planned > cut ? (double)wrong / (double)(t->planned - cut) : 0;
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

static bool is_found(const struct mh_threshold *t)
{
    return strcmp(t->figure, "cycle.found") == 0;
}

/* By life cycles, of their own rows; false: none was searched for. */
static bool share_found(const struct mh_report *report, double *share)
{
    const int64_t searched = mh_report_figure(report, "cycle_rows_searched");
    *share = searched > 0 ? (double)mh_report_figure(report, "cycle_rows_found") / (double)searched : 0;
    return searched > 0;
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

int mh_threshold_drift(const struct mh_job *job, const char *name, char figure[MH_DRIFT_NAME])
{
    static const char tail[] = ".slope";
    const size_t length = strlen(name), end = length - (sizeof tail - 1);
    if (length < sizeof tail || strcmp(name + end, tail) != 0)
        return -1;
    for (size_t s = 0; s < job->stage_count; s++) {
        const size_t stage = strlen(job->stages[s].name);
        if (stage + 1 >= end || strncmp(job->stages[s].name, name, stage) != 0 || name[stage] != '.')
            continue;
        snprintf(figure, MH_DRIFT_NAME, "%.*s", (int)(end - stage - 1), name + stage + 1);
        return (int)s;
    }
    return -1;
}

static bool known_drift(const struct mh_job *job, const char *name)
{
    char figure[MH_DRIFT_NAME];
    if (mh_threshold_drift(job, name, figure) < 0)
        return false;
    char *dot = strrchr(figure, '.');
    if (!dot || strcmp(dot, ".p99") != 0)
        return mh_trend_is_known(job, figure);
    *dot = '\0';
    return strcmp(figure, "visibility") == 0 || (figure[0] && known_operation(figure));
}

static int wrong_value(const struct mh_job *job, const struct mh_threshold *t, const char *wanted,
                       struct mh_error *err)
{
    mh_fail(err, "thresholds.%s: '%s': expected %s", t->figure, t->text, wanted);
    return t->line > 0 ? mh_fail_in(err, "%s:%d:%d", job->path, t->line, t->column)
                       : mh_fail_in(err, "--set");
}

static int unknown_figure(const struct mh_job *job, const struct mh_threshold *t, struct mh_error *err)
{
    mh_fail(
        err,
        "thresholds.%s: no such figure; expected errors, recall, cycle.found, STAGE.max_rate of a stage with "
        "find_max, STAGE.DRIFT.slope with drift server_rss, server_fds, client_rss, OPERATION.p99, "
        "visibility.p99 or a "
        "name of observe.gauges, or OPERATION.FIGURE with operation "
        "insert, upsert, delete, search, query, create_index, cycle, ... and figure p50, p95, p99, p999, "
        "max, rate, rows_rate, errors, count or per_hour",
        t->figure);
    return t->line > 0 ? mh_fail_in(err, "%s:%d:%d", job->path, t->line, t->column)
                       : mh_fail_in(err, "--set");
}

/* What stands behind the number: "ms" of "< 50ms", "/s", "%", "". */
static const char *unit_in(const struct mh_threshold *t)
{
    char *end;
    strtod(t->text + strspn(t->text, "<>= "), &end);
    return end;
}

static bool is_multiple(const char *unit) /* of a number: "k" */
{
    return strlen(unit) == 1 && strchr("kMGT", *unit);
}

/* "290/h" is 0.08 a second, and 1MiB a million of anything: held, or missed, whatever was measured. */
static bool fits(enum unit wanted, const char *unit)
{
    const size_t length = strlen(unit);
    if (length == 0)
        return true;
    switch (wanted) {
    case DURATION:
        return !strchr(unit, '/') && strchr("smhd", unit[length - 1]);
    case PER_SECOND:
        return strchr(unit, '/') || is_multiple(unit);
    case RATIO:
        return strcmp(unit, "%") == 0;
    default:
        return is_multiple(unit);
    }
}

static bool drift_fits(const struct mh_threshold *t)
{
    static const char latency[] = ".p99.slope";
    const size_t length = strlen(t->figure);
    const bool is_latency =
        length > sizeof latency - 1 && strcmp(t->figure + length - (sizeof latency - 1), latency) == 0;
    char unit[16];
    snprintf(unit, sizeof unit, "%.*s", (int)strcspn(unit_in(t), "/"), unit_in(t));
    return !isnan(t->drift_per_hour) &&
           (unit[0] == '\0' || fits(RATIO, unit) || fits(DURATION, unit) == is_latency);
}

static int check_one(const struct mh_job *job, const struct mh_threshold *t, struct mh_error *err)
{
    static const char *const wanted[] = {
        [DURATION] = "a duration, such as \"< 50ms\"",
        [PER_SECOND] = "a rate, such as \">= 100/s\"",
        [RATIO] = "a share, such as \"<= 0.1%\" or \">= 0.95\"",
        [NUMBER] = "a number, such as \">= 290\"",
    };
    char op[64];
    if (known_drift(job, t->figure))
        return drift_fits(t) ? 0
                             : wrong_value(job, t,
                                           "so much an hour, such as \"< 1%/h\", \"< 10MiB/h\" or, of a "
                                           "latency, \"< 5ms/h\"",
                                           err);
    const struct figure *figure = find(t->figure, op);
    const bool is_rate = searched_stage(job, t);
    if (!is_recall(t) && !is_found(t) && !is_rate && (!figure || !known_operation(op)))
        return unknown_figure(job, t, err);
    const enum unit unit = is_recall(t) || is_found(t) ? RATIO : is_rate ? PER_SECOND : figure->unit;
    if (isnan(t->value))
        return wrong_value(job, t, "a value; only drifts (.slope) are so much an hour", err);
    return fits(unit, unit_in(t)) ? 0 : wrong_value(job, t, wanted[unit], err);
}

int mh_thresholds_check(const struct mh_job *job, struct mh_error *err)
{
    for (size_t i = 0; i < job->threshold_count; i++)
        if (check_one(job, &job->thresholds[i], err) != 0)
            return -1;
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

/* ---- drifts ---- */

enum drift { DRIFT_PASS, DRIFT_FEW, DRIFT_PART, DRIFT_UNCLEAR, DRIFT_FAIL }; /* the worst last */
static const char *const drift_words[] = {[DRIFT_PASS] = "PASS",
                                          [DRIFT_FEW] = "not enough data",
                                          [DRIFT_PART] = "cannot tell",
                                          [DRIFT_UNCLEAR] = "cannot tell",
                                          [DRIFT_FAIL] = "FAIL"};
#define LEAST_OBSERVED (2.0 / 3) /* of a stage that is said not to drift */

/* Does the whole interval hold, or none of it? What rose in a part of the stage rose; what did not may have
 * in the rest. */
static enum drift judge_drift(const struct mh_threshold *t, const struct mh_report_trend *trend)
{
    const double low = t->drift_is_ratio ? trend->low_ratio : trend->low;
    const double high = t->drift_is_ratio ? trend->high_ratio : trend->high;
    struct mh_threshold bound = *t;
    bound.value = t->drift_per_hour;
    if (isnan(trend->low))
        return DRIFT_FEW;
    if (isnan(low) || isnan(high)) /* a share of nothing */
        return DRIFT_UNCLEAR;
    if (holds(&bound, low) && holds(&bound, high))
        return trend->observed_s < LEAST_OBSERVED * trend->stage_s ? DRIFT_PART : DRIFT_PASS;
    return holds(&bound, low) || holds(&bound, high) ? DRIFT_UNCLEAR : DRIFT_FAIL;
}

static void show_amount(const char *unit, double value, char *text, size_t size)
{
    if (strcmp(unit, "bytes") == 0)
        mh_show_bytes((int64_t)value, text, size);
    else if (strcmp(unit, "ns") == 0)
        mh_show_duration((int64_t)value, text, size);
    else
        snprintf(text, size, "%.3g%s%s", value, unit[0] ? " " : "", unit);
}

static void show_drift(const struct mh_threshold *t, const struct mh_report_trend *trend, enum drift drift,
                       char *text, size_t size)
{
    char low[40], high[40], observed[40], stage[40];
    if (trend->unobserved) {
        snprintf(text, size, "not enough data: %.44s was never observed in this stage", trend->source);
        return;
    }
    if (drift == DRIFT_FEW) {
        snprintf(text, size, "not enough data: %lld samples in %.0f s behind warm-ups",
                 (long long)trend->samples, trend->span_s);
        return;
    }
    if (t->drift_is_ratio && (isnan(trend->low_ratio) || isnan(trend->high_ratio))) {
        snprintf(text, size, "its median is not above 0: ask for an amount an hour");
        return;
    }
    if (t->drift_is_ratio) {
        snprintf(low, sizeof low, "%.3g%%", 100 * trend->low_ratio);
        snprintf(high, sizeof high, "%.3g%%", 100 * trend->high_ratio);
    } else {
        show_amount(trend->unit, trend->low, low, sizeof low);
        show_amount(trend->unit, trend->high, high, sizeof high);
    }
    if (drift != DRIFT_PART) {
        snprintf(text, size, "%s to %s an hour", low, high);
        return;
    }
    mh_show_duration((int64_t)(trend->observed_s * (double)MH_S), observed, sizeof observed);
    mh_show_duration((int64_t)(trend->stage_s * (double)MH_S), stage, sizeof stage);
    snprintf(text, size, "%.18s to %.18s an hour, but observed for %.12s of %.12s", low, high, observed,
             stage);
}

/* Of all servers or ranks with the figure the worst counts. */
static void judge_drifts(const struct mh_threshold *t, struct mh_report *report, const char *stage,
                         const char *figure, struct mh_report_threshold *out)
{
    enum drift worst = DRIFT_PASS;
    const struct mh_report_trend *worst_trend = NULL;
    for (int64_t i = 0; i < report->trend_count; i++) {
        struct mh_report_trend *trend = &report->trends[i];
        if (strcmp(trend->stage, stage) != 0 || strcmp(trend->figure, figure) != 0)
            continue;
        const enum drift drift = judge_drift(t, trend);
        snprintf(trend->verdict, sizeof trend->verdict, "%s", drift_words[drift]);
        snprintf(trend->wanted, sizeof trend->wanted, "%s", t->text);
        if (!worst_trend || drift > worst) {
            worst = drift;
            worst_trend = trend;
        }
    }
    if (!worst_trend)
        return;
    show_drift(t, worst_trend, worst, out->got, sizeof out->got);
    out->held = worst == DRIFT_PASS;
    out->undecided = worst != DRIFT_PASS && worst != DRIFT_FAIL;
}

/* ---- all of them ---- */

static void judge_figure(const struct mh_job *job, const struct mh_threshold *t, struct mh_report *report,
                         struct mh_report_threshold *out)
{
    char op[64];
    double got = 0;
    const char *stage = searched_stage(job, t);
    const struct figure *figure = stage ? NULL : find(t->figure, op);
    bool measured = stage          ? max_rate(report, stage, &got, &out->client_limited)
                    : is_recall(t) ? mean_recall(report, &got)
                    : is_found(t)  ? share_found(report, &got)
                                   : worst(report, t, figure, op, &got, &out->client_limited);
    if (measured)
        show(figure ? figure->unit : stage ? PER_SECOND : RATIO, got, out->got, sizeof out->got);
    out->held = measured && holds(t, got);
}

int mh_thresholds_judge(const struct mh_job *job, struct mh_report *report,
                        struct mh_thresholds_outcome *outcome)
{
    *outcome = (struct mh_thresholds_outcome){0};
    report->thresholds = calloc(job->threshold_count + 1, sizeof *report->thresholds);
    if (!report->thresholds)
        return -1;
    for (size_t i = 0; i < job->threshold_count; i++) {
        const struct mh_threshold *t = &job->thresholds[i];
        struct mh_report_threshold *out = &report->thresholds[report->threshold_count++];
        char figure[MH_DRIFT_NAME];
        const int stage = mh_threshold_drift(job, t->figure, figure);
        snprintf(out->figure, sizeof out->figure, "%s", t->figure);
        snprintf(out->wanted, sizeof out->wanted, "%s", t->text);
        snprintf(out->got, sizeof out->got, "not measured");
        if (stage >= 0)
            judge_drifts(t, report, job->stages[stage].name, figure, out);
        else
            judge_figure(job, t, report, out);
        outcome->missed += !out->held && !out->undecided;
        outcome->undecided += out->undecided;
    }
    return 0;
}
