#include "result/report.h"

#include <stdlib.h>
#include <string.h>

static void free_tally(struct mh_tally *tally)
{
    if (!tally)
        return;
    mh_histogram_free(&tally->due);
    mh_histogram_free(&tally->sent);
    mh_timeline_free(&tally->timeline);
    free(tally);
}

void mh_report_free(struct mh_report *report)
{
    for (int64_t i = 0; report->options && i < report->option_count; i++) {
        free(report->options[i].path);
        free(report->options[i].value);
        free(report->options[i].origin);
    }
    for (int64_t i = 0; report->operations && i < report->operation_count; i++)
        free_tally(report->operations[i].tally);
    for (int64_t i = 0; report->visibilities && i < report->visibility_count; i++)
        mh_visibility_free(report->visibilities[i].cell);
    void *const owned[] = {report->options,    report->ranks,   report->workers,      report->operations,
                           report->errors,     report->figures, report->violations,   report->events,
                           report->thresholds, report->moments, report->job_path,     report->job_text,
                           report->job_sets,   report->recall,  report->calibrations, report->visibilities,
                           report->probes,     report->peaks,   report->gauges,       report->rank_samples,
                           report->trends,     report->phases};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    *report = (struct mh_report){0};
}

int64_t mh_report_figure(const struct mh_report *report, const char *name)
{
    for (int64_t i = 0; i < report->figure_count; i++)
        if (strcmp(report->figures[i].name, name) == 0)
            return report->figures[i].value;
    return -1;
}
