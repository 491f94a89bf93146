/* From what was measured to what is said: the report. */
#include "command/session.h"

#include "base/clock.h"
#include "base/grow.h"
#include "comm/comm.h"
#include "measure/reduce.h"
#include "role/cycle.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- rows of the report ---- */

static int put_options(struct mh_report *report, const struct mh_job *job)
{
    report->options = calloc(job->value_count + 1, sizeof *report->options);
    if (!report->options)
        return -1;
    for (size_t i = 0; i < job->value_count; i++) {
        const struct mh_option_value *v = &job->values[i];
        struct mh_report_option *out = &report->options[report->option_count++];
        const bool secret = strcmp(v->path, "server.token") == 0 && job->server.token && job->server.token[0];
        *out = (struct mh_report_option){strdup(v->path), strdup(secret ? "hidden" : v->value),
                                         strdup(v->origin)};
        if (!out->path || !out->value || !out->origin)
            return -1;
    }
    return 0;
}

static int put_workers(struct mh_report *report, const struct mh_job *job, const struct mh_plan *plan)
{
    report->workers = calloc((size_t)plan->worker_count + 1, sizeof *report->workers);
    if (!report->workers)
        return -1;
    for (int64_t i = 0; i < plan->worker_count; i++) {
        const struct mh_worker *w = &plan->workers[i];
        struct mh_report_worker *out = &report->workers[report->worker_count++];
        *out = (struct mh_report_worker){.worker = (int32_t)w->number,
                                         .stage = w->stage,
                                         .part = mh_plan_part_of(plan, i),
                                         .rank = i < plan->first_at_work ? -1 : w->rank,
                                         .first_id = w->first_id,
                                         .rows = w->rows};
        snprintf(out->role, sizeof out->role, "%s", job->stages[w->stage].roles[w->role].kind->name);
        snprintf(out->partition, sizeof out->partition, "%s",
                 w->partition >= 0 ? plan->partitions[w->partition] : "");
    }
    return 0;
}

static void name_operation(struct mh_report_operation *out, const struct mh_job *job, int stage, int role,
                           int kind)
{
    const bool audit = stage == (int)job->stage_count;
    snprintf(out->stage, sizeof out->stage, "%s", audit ? "verify" : job->stages[stage].name);
    snprintf(out->role, sizeof out->role, "%s",
             audit ? "auditor" : job->stages[stage].roles[role].kind->name);
    snprintf(out->op, sizeof out->op, "%s", mh_tally_name(kind));
}

static bool shared_op(const struct mh_tallies *tallies, int stage, int kind)
{
    int count = 0;
    for (int role = 0; role < tallies->roles; role++)
        count += tallies->cells[((size_t)stage * (size_t)tallies->roles + (size_t)role) * MH_TALLY_KINDS +
                                (size_t)kind] != NULL;
    return count > 1;
}

/* The time that rates are of. */
static double measured_s(const struct mh_session *session, int stage, int role)
{
    const struct mh_stage_options *options = &session->job->stages[stage];
    double warmup_ns = (double)options->roles[role].warmup_ns;
    if (options->find_max.role) {
        const struct mh_probe *last = mh_probes_last(&session->run.probes, stage);
        warmup_ns = last ? (double)last->number * (double)options->find_max.warmup_ns : 0;
    }
    const double s = session->run.stage_seconds[stage] - warmup_ns / (double)MH_S;
    return s > 0 ? s : 0;
}

/* The report takes the tallies over. */
static int put_operations(struct mh_report *report, struct mh_session *session, double audit_s)
{
    const struct mh_job *job = session->job;
    struct mh_tallies *tallies = &session->run.tallies;
    size_t count = (size_t)tallies->stages * (size_t)tallies->roles * MH_TALLY_KINDS;
    report->operations = calloc(count + 1, sizeof *report->operations);
    if (!report->operations)
        return -1;
    for (size_t i = 0; i < count; i++) {
        int kind = (int)(i % MH_TALLY_KINDS), role = (int)(i / MH_TALLY_KINDS) % tallies->roles,
            stage = (int)(i / MH_TALLY_KINDS) / tallies->roles;
        if (!tallies->cells[i])
            continue;
        struct mh_report_operation *out = &report->operations[report->operation_count++];
        name_operation(out, job, stage, role, kind);
        if (shared_op(tallies, stage, kind))
            snprintf(out->latency_name, sizeof out->latency_name, "%.20s.%d.%.24s", out->role, role, out->op);
        else
            snprintf(out->latency_name, sizeof out->latency_name, "%s", out->op);
        out->seconds = stage < (int)job->stage_count ? measured_s(session, stage, role) : audit_s;
        out->client_limited = mh_session_is_limited(report, stage, role);
        out->tally = tallies->cells[i];
    }
    for (size_t i = 0; i < count; i++)
        tallies->cells[i] = NULL;
    return 0;
}

static int put_errors(struct mh_report *report, const struct mh_tallies *tallies)
{
    report->errors = calloc((size_t)tallies->error_count + 1, sizeof *report->errors);
    if (!report->errors)
        return -1;
    for (int i = 0; i < tallies->error_count; i++) {
        const struct mh_error_count *e = &tallies->errors[i];
        struct mh_report_error *out = &report->errors[report->error_count++];
        *out = (struct mh_report_error){.code = e->code,
                                        .count = e->count,
                                        .first_ns = e->first_ns - tallies->start_ns,
                                        .last_ns = e->last_ns - tallies->start_ns};
        snprintf(out->op, sizeof out->op, "%s", mh_tally_name(e->kind));
        snprintf(out->outcome, sizeof out->outcome, "%s", mh_outcome_names[e->outcome]);
        snprintf(out->grpc_status, sizeof out->grpc_status, "%s", mh_grpc_status_name(e->grpc_status));
        snprintf(out->message, sizeof out->message, "%s", e->message);
    }
    return 0;
}

static const char *partition_name(const struct mh_audit *audit, int32_t partition)
{
    if (audit->partition_count == 0 && audit->plan && partition >= 0 &&
        partition < audit->plan->partition_count)
        return audit->plan->partitions[partition]; /* nobody asked the server */
    return partition >= 0 && partition < audit->partition_count ? audit->partitions[partition] : "";
}

static int put_violations(struct mh_report *report, const struct mh_session *session)
{
    const struct mh_audit *audit = &session->audit;
    report->violations = calloc((size_t)audit->violation_count + 1, sizeof *report->violations);
    if (!report->violations)
        return -1;
    for (int64_t i = 0; i < audit->violation_count; i++) {
        struct mh_report_violation *out = &report->violations[report->violation_count++];
        out->row = audit->violations[i];
        snprintf(out->partition, sizeof out->partition, "%s", partition_name(audit, out->row.partition));
        snprintf(out->seen_partition, sizeof out->seen_partition, "%s",
                 partition_name(audit, out->row.seen_partition));
        if (out->row.cycle >= 0)
            mh_cycle_name(session->job->collection.name, session->run.tag, out->row.reader, out->row.cycle,
                          out->collection);
    }
    report->violations_dropped = audit->violations_dropped;
    return 0;
}

static int put_events(struct mh_report *report, const struct mh_job *job, struct mh_events *events)
{
    mh_events_sort(events);
    report->events = calloc((size_t)events->count + 1, sizeof *report->events);
    if (!report->events)
        return -1;
    for (int64_t i = 0; i < events->count; i++) {
        const struct mh_event *event = &events->items[i];
        const bool audit = event->stage == (int)job->stage_count;
        const struct mh_stage_options *stage =
            event->stage >= 0 && !audit ? &job->stages[event->stage] : NULL;
        struct mh_report_event *out = &report->events[report->event_count++];
        *out = (struct mh_report_event){.time_ns = event->time_ns, .duration_ns = event->duration_ns};
        snprintf(out->kind, sizeof out->kind, "%s", mh_event_names[event->kind]);
        snprintf(out->stage, sizeof out->stage, "%s", audit ? "verify" : stage ? stage->name : "");
        snprintf(out->role, sizeof out->role, "%s",
                 stage && event->role >= 0 ? stage->roles[event->role].kind->name : "");
        memcpy(out->what, event->what, sizeof out->what);
    }
    return 0;
}

static int put_recall(struct mh_report *report, const struct mh_job *job, const struct mh_run *run)
{
    report->recall = calloc((size_t)run->recall_count + 1, sizeof *report->recall);
    if (!report->recall)
        return -1;
    for (int64_t i = 0; i < run->recall_count; i++) {
        const struct mh_recall_point *point = &run->recall[i];
        const struct mh_stage_options *stage = &job->stages[point->stage];
        struct mh_report_recall *out = &report->recall[report->recall_count++];
        *out = (struct mh_report_recall){.item = point->item,
                                         .topk = point->topk,
                                         .query = point->query,
                                         .wanted = point->wanted,
                                         .found = point->found,
                                         .second = (double)point->sent_ns / (double)MH_S,
                                         .recall = (double)point->found / (double)point->wanted,
                                         .selectivity = point->selectivity};
        snprintf(out->stage, sizeof out->stage, "%s", stage->name);
        snprintf(out->role, sizeof out->role, "%s", stage->roles[point->role].kind->name);
    }
    return 0;
}

static void fill_visibility(struct mh_report_visibility *out, const struct mh_job *job, int stage, int role,
                            int write, struct mh_visibility *cell)
{
    static const double quantiles[] = {0.5, 0.99};
    const struct mh_stage_options *options = &job->stages[stage];
    const char *role_name = options->roles[role].kind->name, *write_name = mh_op_infos[write].name;
    *out =
        (struct mh_report_visibility){.count = (int64_t)cell->done.count, .never = cell->never, .cell = cell};
    snprintf(out->stage, sizeof out->stage, "%s", options->name);
    snprintf(out->role, sizeof out->role, "%s", role_name);
    snprintf(out->write, sizeof out->write, "%s", write_name);
    snprintf(out->read, sizeof out->read, "%s", mh_op_infos[cell->read].name);
    snprintf(out->consistency, sizeof out->consistency, "%s", mh_consistency_names[cell->consistency]);
    snprintf(out->latency, sizeof out->latency, "visible.%.24s.%d.%.16s", role_name, role, write_name);
    for (int i = 0; i < 2; i++) {
        out->done_ns[i] = mh_histogram_quantile(&cell->done, quantiles[i]);
        out->sent_ns[i] = mh_histogram_quantile(&cell->sent, quantiles[i]);
    }
    out->done_ns[2] = cell->done.max_ns;
    out->sent_ns[2] = cell->sent.max_ns;
}

/* The report takes the histograms over. */
static int put_visibilities(struct mh_report *report, const struct mh_job *job, struct mh_visibilities *all)
{
    const int count = all->stages * all->roles * MH_VISIBLE_WRITES;
    report->visibilities = calloc((size_t)count + 1, sizeof *report->visibilities);
    if (!report->visibilities)
        return -1;
    for (int i = 0; i < count; i++) {
        const int place = i / MH_VISIBLE_WRITES;
        if (!all->cells[i])
            continue;
        fill_visibility(&report->visibilities[report->visibility_count++], job, place / all->roles,
                        place % all->roles, i % MH_VISIBLE_WRITES, all->cells[i]);
        all->cells[i] = NULL;
    }
    return 0;
}

static int put_probes(struct mh_report *report, const struct mh_job *job, const struct mh_probes *probes)
{
    report->probes = calloc((size_t)probes->count + 1, sizeof *report->probes);
    report->peaks = calloc((size_t)probes->peak_count + 1, sizeof *report->peaks);
    if (!report->probes || !report->peaks)
        return -1;
    for (int64_t i = 0; i < probes->count; i++) {
        const struct mh_probe *probe = &probes->items[i];
        struct mh_report_probe *out = &report->probes[report->probe_count++];
        out->probe = *probe;
        snprintf(out->stage, sizeof out->stage, "%s", job->stages[probe->stage].name);
        snprintf(out->role, sizeof out->role, "%s", job->stages[probe->stage].find_max.role);
    }
    for (int64_t i = 0; i < probes->peak_count; i++) {
        const struct mh_peak *peak = &probes->peaks[i];
        const struct mh_probe *last = mh_probes_last(probes, peak->stage);
        const bool known = last && peak->rate > 0;
        struct mh_report_peak *out = &report->peaks[report->peak_count++];
        *out =
            (struct mh_report_peak){.rate = peak->rate,
                                    .probes = peak->probes,
                                    .seconds = peak->seconds,
                                    .p99_ns = known ? last->p99_ns : 0,
                                    .recall = known ? last->recall : -1,
                                    .client_limited = mh_session_is_limited(report, peak->stage, peak->role)};
        snprintf(out->stage, sizeof out->stage, "%s", job->stages[peak->stage].name);
        snprintf(out->role, sizeof out->role, "%s", job->stages[peak->stage].find_max.role);
        snprintf(out->outcome, sizeof out->outcome, "%s", mh_peak_outcome_names[peak->outcome]);
    }
    return 0;
}

static int32_t usable_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

static void describe_this_rank(const struct mh_session *session, struct mh_report_rank *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    *out = (struct mh_report_rank){.rank = session->rank,
                                   .node = session->node_of_rank[session->rank],
                                   .pid = getpid(),
                                   .core = sched_getcpu(),
                                   .cores = usable_cores(),
                                   .cpu_s = mh_cpu_s() - session->run.cpu_start_s,
                                   .peak_rss_bytes = usage.ru_maxrss * 1024L,
                                   .private_bytes = session->run.private_bytes,
                                   .clock_offset_ns = session->run.clock.offset_ns,
                                   .schedule_lag_ns = session->run.schedule_lag_ns};
    gethostname(out->host, sizeof out->host - 1);
    const struct mh_tallies *tallies = &session->run.tallies;
    size_t count = (size_t)tallies->stages * (size_t)tallies->roles * MH_TALLY_KINDS;
    for (size_t i = 0; i < count; i++) {
        out->bytes_out += tallies->cells[i] ? tallies->cells[i]->bytes_out : 0;
        out->bytes_in += tallies->cells[i] ? tallies->cells[i]->bytes_in : 0;
    }
}

static int gather_ranks(struct mh_session *session, struct mh_error *err)
{
    struct mh_report_rank mine;
    MPI_Request request;
    describe_this_rank(session, &mine);
    if (session->rank == 0)
        session->report.ranks = calloc((size_t)session->np + 1, sizeof *session->report.ranks);
    if (mh_comm_agree(session->comm,
                      session->rank == 0 && !session->report.ranks ? mh_fail(err, "out of memory") : 0,
                      err) != 0)
        return -1;
    MPI_Igather(&mine, sizeof mine, MPI_BYTE, session->report.ranks, sizeof mine, MPI_BYTE, 0, session->comm,
                &request);
    mh_comm_wait(&request);
    session->report.rank_count = session->rank == 0 ? session->np : 0;
    return 0;
}

static void put_phase(struct mh_report_phase *out, int phase, const struct mh_phase_cost *sum,
                      const struct mh_phase_cost *most, int np)
{
    const double ns = 1 / (double)MH_S, ranks = sum->ranks > 0 ? (double)sum->ranks : (double)NAN;
    *out = (struct mh_report_phase){.count = most->count,
                                    .wall_s = (double)sum->wall_ns * ns / np,
                                    .wall_max_s = (double)most->wall_ns * ns,
                                    .cpu_s = (double)sum->cpu_ns * ns / ranks,
                                    .cpu_max_s = sum->ranks > 0 ? (double)most->cpu_ns * ns : (double)NAN,
                                    .waits = most->waits,
                                    .waited_s = (double)sum->waited_ns * ns / np};
    snprintf(out->phase, sizeof out->phase, "%s", mh_phase_names[phase]);
}

/* The last of what is gathered: gathering is a phase, too. */
static int put_phases(struct mh_session *session, struct mh_error *err)
{
    struct mh_phase_cost sums[MH_PHASE_ROWS], most[MH_PHASE_ROWS];
    struct mh_report *report = &session->report;
    mh_phases_leave(&session->run.phases);
    mh_phases_reduce(&session->run.phases, session->comm, sums, most);
    if (session->rank != 0)
        return 0;
    report->phases = calloc(MH_PHASE_ROWS, sizeof *report->phases);
    if (!report->phases)
        return mh_fail(err, "out of memory for the report");
    for (int phase = 0; phase < MH_PHASE_ROWS; phase++)
        if (most[phase].count > 0)
            put_phase(&report->phases[report->phase_count++], phase, &sums[phase], &most[phase], session->np);
    return 0;
}

/* ---- all of it ---- */

static int put_header(struct mh_session *session)
{
    struct mh_report *r = &session->report;
    snprintf(r->run_id, sizeof r->run_id, "%s", session->run_id);
    snprintf(r->label, sizeof r->label, "%s", session->arguments->label ? session->arguments->label : "");
    mh_utc_text(session->started_wall_ns, r->started_utc);
    snprintf(session->only_audits ? r->parent : r->continues, sizeof r->parent, "%s", session->parent.run_id);
    r->part = session->plan->parts;
    r->plan_np = session->plan->for_np;
    r->collection_id = session->collection_id;
    r->dataset_digest = session->dataset_digest;
    r->started_wall_ns = session->started_wall_ns;
    r->duration_s = (double)(mh_now_ns() - session->run.start_ns) / (double)MH_S;
    snprintf(r->server_version, sizeof r->server_version, "%s", session->server_version);
    snprintf(r->server_uri, sizeof r->server_uri, "%s", session->job->server.uris.items[0]);
    snprintf(r->collection, sizeof r->collection, "%s", session->job->collection.name);
    snprintf(r->program_version, sizeof r->program_version, "%s", MH_VERSION);
    snprintf(r->dataset, sizeof r->dataset, "%s", session->dataset);
    r->seed = session->seed;
    r->np = session->np;
    r->nodes = session->nodes;
    r->job_path = strdup(session->job->path);
    r->job_text = mh_session_hide_token(session->job, session->job->text);
    r->job_sets = strdup(session->sets ? session->sets : "[]");
    return r->job_path && r->job_text && r->job_sets ? 0 : -1;
}

int mh_session_fill_report(struct mh_session *session, const struct mh_ledger_totals *totals)
{
    struct mh_report *report = &session->report;
    const struct mh_idle idle = mh_session_find_idle(session); /* the report takes the tallies over */
    double stages_s = 0;
    for (size_t s = 0; s < session->job->stage_count; s++)
        stages_s += session->run.stage_seconds[s];
    if (put_header(session) != 0 || put_options(report, session->job) != 0 ||
        put_workers(report, session->job, session->plan) != 0 ||
        put_errors(report, &session->run.tallies) != 0 || mh_session_put_calibration(session) != 0 ||
        put_operations(report, session, report->duration_s - stages_s) != 0 ||
        mh_session_put_figures(session, totals) != 0 ||
        put_events(report, session->job, &session->run.events) != 0 ||
        put_recall(report, session->job, &session->run) != 0 ||
        put_visibilities(report, session->job, &session->run.visibilities) != 0 ||
        put_probes(report, session->job, &session->run.probes) != 0 || put_violations(report, session) != 0)
        return -1;
    struct mh_thresholds_outcome thresholds;
    if (mh_session_put_trends(session) != 0 || mh_thresholds_judge(session->job, report, &thresholds) != 0)
        return -1;
    mh_session_judge(session, totals, idle, thresholds);
    report->collection_kept = mh_session_keeps_collection(session);
    return 0;
}

int mh_session_conclude(struct mh_session *session, struct mh_error *err)
{
    struct mh_ledger_totals totals = session->run.ledger.totals;
    mh_comm_sum_i64(session->comm, (int64_t *)&totals, sizeof totals / sizeof(int64_t));
    mh_comm_sum_i64(session->comm, session->run.rows_issued, 3);
    mh_comm_sum_i64(session->comm, &session->run.workers_refused, 1);
    if (gather_ranks(session, err) != 0 || mh_session_gather_efforts(session, err) != 0 ||
        mh_reduce_tallies(&session->run.tallies, session->comm, err) != 0 ||
        mh_reduce_visibilities(&session->run.visibilities, session->comm, err) != 0 ||
        mh_session_put_samples(session, err) != 0)
        return -1;
    int rc = put_phases(session, err);
    if (rc == 0 && session->rank == 0 && mh_session_fill_report(session, &totals) != 0)
        rc = mh_fail(err, "out of memory for the report");
    return mh_comm_agree(session->comm, rc, err);
}

/* ---- the ledger as ranges ---- */

static bool same_fate(const struct mh_report_fate *a, const struct mh_report_fate *b)
{
    return a->first + a->count == b->first && a->worker == b->worker && a->insert == b->insert &&
           a->version == b->version && a->flags == b->flags;
}

struct fates {
    struct mh_report_fate *items;
    int64_t count, room;
};

static int add_fate(struct fates *list, struct mh_report_fate fate)
{
    if (list->count > 0 && same_fate(&list->items[list->count - 1], &fate)) {
        list->items[list->count - 1].count += fate.count;
        return 0;
    }
    if (!mh_grow(&list->items, &list->room, list->count, sizeof *list->items))
        return -1;
    list->items[list->count++] = fate;
    return 0;
}

static int add_slice(struct fates *list, const struct mh_slice *slice, const struct mh_fates *fates)
{
    for (int64_t i = 0; i < slice->count; i++) {
        if (fates->insert[i] == MH_INSERT_NONE)
            continue;
        struct mh_report_fate fate = {.first = slice->first + i,
                                      .count = 1,
                                      .worker = slice->worker,
                                      .partition = slice->partition,
                                      .insert = fates->insert[i],
                                      .version = fates->fate[i] & MH_FATE_VERSION,
                                      .flags = fates->fate[i] & ~MH_FATE_VERSION};
        if (add_fate(list, fate) != 0)
            return -1;
    }
    return 0;
}

int64_t mh_session_fates(const struct mh_session *session, struct mh_report_fate **out, struct mh_error *err)
{
    const struct mh_slices *slices = &session->audit.slices;
    struct fates list = {0};
    struct mh_fates fates;
    int rc = mh_fates_init(&fates, MH_SLICE_ROWS);
    for (int64_t at = 0; rc == 0 && at < slices->count; at++)
        if ((rc = mh_slices_fates(slices, at, &fates, err)) == 0)
            rc = add_slice(&list, &slices->items[at], &fates);
    mh_fates_free(&fates);
    *out = list.items;
    return rc == 0 ? list.count : (mh_fail(err, "out of memory for the saved ledger"), -1);
}
