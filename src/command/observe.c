/* What was observed of server and ranks, from the observers into the report. */
#include "command/session.h"

#include "base/clock.h"
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So that a table of a week with many ranks or servers stays one that can be read. */
enum { MOST_ROWS = 100000, LEAST_SAMPLES = 64 };

static void write_back(void *journal)
{
    mh_journal_write_back(journal);
}

void mh_session_observe(struct mh_session *session)
{
    if (session->journals[0])
        mh_sample_log_path(session->samples, sizeof session->samples, session->journals, session->rank);
    const struct mh_observer_options options = {.job = session->job,
                                                .head = {session->rank, session->np, session->run.tag},
                                                .start_ns = session->run.start_ns,
                                                .ledger_bytes = &session->run.ledger_bytes,
                                                .rpc = session->rpc,
                                                .log_path = session->samples,
                                                .along = write_back,
                                                .context = &session->run.journal};
    session->observer = mh_observer_start(&options);
}

static void coarsen(struct mh_series_list *list, int64_t all_series)
{
    int64_t most = all_series > 0 ? MOST_ROWS / all_series : MH_MOST_SAMPLES;
    if (most < LEAST_SAMPLES)
        most = LEAST_SAMPLES;
    for (int64_t i = 0; i < list->count; i++)
        mh_series_coarsen(&list->items[i], most);
}

static int64_t count_samples(const struct mh_series_list *list)
{
    int64_t count = 0;
    for (int64_t i = 0; i < list->count; i++)
        count += list->items[i].count;
    return count;
}

/* ---- the server ---- */

static int put_gauges(struct mh_report *report, struct mh_series_list *list)
{
    coarsen(list, list->count);
    report->gauges = calloc((size_t)count_samples(list) + 1, sizeof *report->gauges);
    if (!report->gauges)
        return -1;
    for (int64_t i = 0; i < list->count; i++)
        for (int64_t k = 0; k < list->items[i].count; k++) {
            const struct mh_series *series = &list->items[i];
            const struct mh_sample *sample = &series->samples[k];
            struct mh_report_gauge *out = &report->gauges[report->gauge_count++];
            *out = (struct mh_report_gauge){
                .second = sample->second, .value = sample->value, .life = sample->life};
            memcpy(out->source, series->source, sizeof out->source);
            memcpy(out->name, series->name, sizeof out->name);
            memcpy(out->unit, series->unit, sizeof out->unit);
        }
    return 0;
}

/* The stage during which it was; -1: between two. */
static int stage_at(const struct mh_session *session, int64_t time_ns)
{
    for (size_t s = 0; s < session->job->stage_count; s++) {
        const struct mh_stage_span *span = &session->run.stage_spans[s];
        if (time_ns >= span->begin_ns && time_ns < span->end_ns)
            return (int)s;
    }
    return -1;
}

static int put_restarts(struct mh_session *session, const struct mh_samples *samples)
{
    for (int64_t i = 0; i < samples->restart_count; i++) {
        const struct mh_restart *restart = &samples->restarts[i];
        const int64_t time_ns = (int64_t)(restart->second * (double)MH_S);
        struct mh_event event = {
            .kind = MH_EVENT_RESTART, .stage = stage_at(session, time_ns), .role = -1, .time_ns = time_ns};
        snprintf(event.what, sizeof event.what, "restart: %s", restart->what);
        if (mh_events_add(&session->run.events, &event) != 0)
            return -1;
    }
    return 0;
}

/* ---- the ranks ---- */

/* Behind those that are there already; false: no memory. */
static bool add_samples(struct mh_report_rank_sample **rows, int64_t *count, int rank,
                        const struct mh_series_list *list)
{
    struct mh_report_rank_sample *grown =
        realloc(*rows, (size_t)(*count + count_samples(list) + 1) * sizeof *grown);
    if (!grown)
        return false;
    *rows = grown;
    for (int64_t i = 0; i < list->count; i++)
        for (int64_t k = 0; k < list->items[i].count; k++) {
            const struct mh_series *series = &list->items[i];
            struct mh_report_rank_sample *out = &grown[(*count)++];
            *out = (struct mh_report_rank_sample){
                .second = series->samples[k].second, .rank = rank, .value = series->samples[k].value};
            snprintf(out->name, sizeof out->name, "%.31s", series->name);
            memcpy(out->unit, series->unit, sizeof out->unit);
        }
    return true;
}

static int gather_samples(struct mh_session *session, struct mh_error *err)
{
    static struct mh_series_list none;
    struct mh_samples *samples = mh_observer_samples(session->observer);
    struct mh_series_list *list = samples ? &samples->own : &none;
    struct mh_report_rank_sample *rows = NULL;
    void *all = NULL;
    size_t bytes = 0;
    int64_t count = 0;
    coarsen(list, list->count * session->np);
    const bool added = add_samples(&rows, &count, session->rank, list);
    int rc = mh_comm_agree(session->comm, added ? 0 : mh_fail(err, "out of memory for samples"), err);
    if (rc == 0)
        rc = mh_comm_collect_bytes(session->comm, rows, (size_t)count * sizeof *rows, &all, &bytes, err);
    free(rows);
    if (rc != 0)
        return -1;
    session->report.rank_samples = all;
    session->report.rank_sample_count = (int64_t)(bytes / sizeof *rows);
    return 0;
}

static int put_server(struct mh_session *session, struct mh_samples *samples, struct mh_error *err)
{
    if (put_gauges(&session->report, &samples->server) == 0 && put_restarts(session, samples) == 0)
        return 0;
    return mh_fail(err, "out of memory for samples");
}

int mh_session_put_samples(struct mh_session *session, struct mh_error *err)
{
    struct mh_samples *samples = mh_observer_samples(session->observer);
    const int rc = session->rank == 0 && samples ? put_server(session, samples, err) : 0;
    return mh_comm_agree(session->comm, rc, err) != 0 ? -1 : gather_samples(session, err);
}

static int64_t highest(const struct mh_series *series)
{
    double most = 0;
    for (int64_t i = 0; i < series->count; i++)
        most = series->samples[i].value > most ? series->samples[i].value : most;
    return most < 0x1p62 ? (int64_t)most : -1; /* as a damaged log may have it */
}

/* What a rank that ends in order says of itself. A series has at least one sample. */
static void note_use(struct mh_report_rank *rank, const struct mh_series_list *own)
{
    for (int64_t i = 0; i < own->count; i++) {
        const struct mh_series *series = &own->items[i];
        if (strcmp(series->name, "cpu_s") == 0)
            rank->cpu_s = series->samples[series->count - 1].value - series->samples[0].value;
        else if (strcmp(series->name, "rss_bytes") == 0)
            rank->peak_rss_bytes = highest(series);
        else if (strcmp(series->name, "private_bytes") == 0)
            rank->private_bytes = highest(series);
    }
}

int mh_session_restore_samples(struct mh_session *session, int rank, const char *path, struct mh_error *err)
{
    struct mh_report *report = &session->report;
    struct mh_samples samples = {0};
    int rc = 0;
    mh_samples_read(&samples, path);
    note_use(&report->ranks[rank], &samples.own);
    coarsen(&samples.own, samples.own.count * session->np);
    if (!add_samples(&report->rank_samples, &report->rank_sample_count, rank, &samples.own))
        rc = mh_fail(err, "out of memory for samples");
    else if (rank == 0)
        rc = put_server(session, &samples, err);
    mh_samples_free(&samples);
    return rc;
}
