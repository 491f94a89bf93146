/* `milvus-hpc merge`: the result of a run that was killed, rebuilt from its ranks' journals by the same
 * booking as in the run itself. Such a result is never called whole: writes that were in flight are in doubt,
 * and nothing was audited. */
#include "command/session.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"
#include "run/keep.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_RANKS = 1000000 };

struct merge {
    struct mh_session session;
    struct mh_arguments as_run; /* what the run was started with */
    json_t *run;                /* run.json */
    char **dirs;
    int dir_count;
    int np;                    /* of the run */
    struct mh_plan plan_alone; /* the plan as one process audits it */
    double *stage_begin_s;     /* since the run began; -1: never */
    double last_s;
    double *sign_s; /* each rank's last sign of life; -1: it left no journal */
    struct ending {
        bool told;         /* it was ended */
        int64_t silent_ns; /* when others first said so; INT64_MAX: never */
        int64_t ended_ns;  /* when it first said so of another, and ended; INT64_MAX: never */
        char *journal;     /* where it was read from; NULL: it left none */
        int64_t start_ns;  /* what its times count from */
    } * endings;           /* each rank's */
    int reading;           /* whose journal */
    struct mh_kept kept;
    int missing, unfinished;
    int64_t earlier_rows; /* that parts before this one had issued; each rank's journal has its share */
};

/* ---- run.json ---- */

static const char *text_of(const struct merge *merge, const char *key)
{
    const char *text = json_string_value(json_object_get(merge->run, key));
    return text ? text : "";
}

static json_int_t earlier_of(const struct merge *merge, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(merge->run, "earlier"), key));
}

static uint32_t run_of(const struct merge *merge)
{
    const char *tail = strrchr(text_of(merge, "run_id"), '-');
    return tail ? (uint32_t)strtoul(tail + 1, NULL, 16) : 0;
}

/* The folders of several nodes hold the same; a node's may have been lost before it was there. */
static int load_run_file(struct merge *merge, const char *dir, struct mh_error *err)
{
    char path[4200];
    json_error_t where;
    snprintf(path, sizeof path, "%.4000s/run.json", dir);
    json_t *run = json_load_file(path, 0, &where);
    if (!run)
        return mh_fail(
            err,
            "%s: %s (line %d); expected the journals' folder of a run that was killed (RESULT.h5.journals)",
            path, where.text, where.line);
    const bool same = !merge->run || json_equal(merge->run, run);
    if (merge->run)
        json_decref(run);
    else
        merge->run = run;
    return same ? 0 : mh_fail(err, "%s: of another run than %s", path, merge->dirs[0]);
}

static int read_run_file(struct merge *merge, struct mh_error *err)
{
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/run.json", merge->dirs[0]);
    for (int d = 0; d < merge->dir_count; d++)
        if (load_run_file(merge, merge->dirs[d], err) != 0)
            return -1;
    merge->np = (int)json_integer_value(json_object_get(merge->run, "np"));
    if (json_integer_value(json_object_get(merge->run, "format")) != 2 || merge->np < 1 ||
        merge->np > MOST_RANKS || !text_of(merge, "job_text")[0])
        return mh_fail(err, "%s: not this program's: format 2, np and job_text are expected in it", path);
    const json_int_t part = earlier_of(merge, "part"), plan_np = earlier_of(merge, "plan_np");
    if (part < 1 || part > MOST_RANKS || plan_np < 1 || plan_np > MOST_RANKS)
        return mh_fail(err, "%s: earlier: expected part and plan_np from 1 to %d", path, MOST_RANKS);
    return 0;
}

static int restore_arguments(struct merge *merge, struct mh_error *err)
{
    json_t *sets = json_object_get(merge->run, "sets");
    struct mh_arguments *a = &merge->as_run;
    a->sets = calloc(json_array_size(sets) + 1, sizeof *a->sets);
    if (!a->sets)
        return mh_fail(err, "out of memory");
    for (size_t i = 0; i < json_array_size(sets); i++)
        if (json_is_string(json_array_get(sets, i)))
            a->sets[a->set_count++] = json_string_value(json_array_get(sets, i));
    a->label = text_of(merge, "label");
    return 0;
}

static int restore_nodes(struct merge *merge, struct mh_error *err)
{
    struct mh_session *session = &merge->session;
    json_t *nodes = json_object_get(merge->run, "node_of_rank");
    session->node_of_rank = calloc((size_t)merge->np, sizeof *session->node_of_rank);
    if (!session->node_of_rank)
        return mh_fail(err, "out of memory");
    for (int r = 0; r < merge->np; r++) {
        int64_t node = json_integer_value(json_array_get(nodes, (size_t)r));
        session->node_of_rank[r] = node >= 0 && node < merge->np ? (int)node : 0;
        if (session->node_of_rank[r] >= session->nodes)
            session->nodes = session->node_of_rank[r] + 1;
    }
    return 0;
}

static int restore_plan(struct merge *merge, struct mh_error *err)
{
    struct mh_session *session = &merge->session;
    if (mh_plan_make(session->job, (int)earlier_of(merge, "plan_np"), NULL, mh_role_needs, &session->plan,
                     err) != 0 ||
        mh_plan_continue(session->plan, (int)earlier_of(merge, "part"), err) != 0)
        return -1;
    return mh_plan_spread(session->plan, merge->np, session->node_of_rank, err);
}

/* What earlier parts had, but for their rows: those are in the journals. */
static void restore_earlier(struct merge *merge)
{
    struct mh_session *session = &merge->session;
    struct mh_ledger_totals *totals = &session->run.ledger.totals;
    const char *run_id = json_string_value(json_object_get(json_object_get(merge->run, "earlier"), "run_id"));
    snprintf(session->parent.run_id, sizeof session->parent.run_id, "%s", run_id ? run_id : "");
    merge->earlier_rows = earlier_of(merge, "rows");
    totals->refused_upserts = session->run.rows_issued[MH_OP_UPSERT] = earlier_of(merge, "refused_upserts");
    totals->refused_deletes = session->run.rows_issued[MH_OP_DELETE] = earlier_of(merge, "refused_deletes");
}

static int restore_session(struct merge *merge, struct mh_error *err)
{
    struct mh_session *session = &merge->session;
    session->arguments = &merge->as_run;
    session->comm = MPI_COMM_SELF;
    session->rebuilt = true;
    session->run.tag = run_of(merge);
    session->np = merge->np;
    session->seed = (uint64_t)json_integer_value(json_object_get(merge->run, "seed"));
    session->started_wall_ns = json_integer_value(json_object_get(merge->run, "started_wall_ns"));
    session->dataset_digest = (uint64_t)json_integer_value(json_object_get(merge->run, "dataset_digest"));
    session->collection_id = json_integer_value(json_object_get(merge->run, "collection_id"));
    snprintf(session->run_id, sizeof session->run_id, "%s", text_of(merge, "run_id"));
    snprintf(session->server_version, sizeof session->server_version, "%s", text_of(merge, "server_version"));
    snprintf(session->dataset, sizeof session->dataset, "%s", text_of(merge, "dataset"));
    if (mh_session_parse_job(&merge->as_run, text_of(merge, "job_path"), text_of(merge, "job_text"),
                             &session->job, err) != 0)
        return -1;
    if (mh_session_keep_sets(session, &merge->as_run) != 0)
        return mh_fail(err, "out of memory");
    if (restore_nodes(merge, err) != 0 || restore_plan(merge, err) != 0)
        return -1;
    session->run.stage_seconds = calloc(session->job->stage_count + 1, sizeof(double));
    session->run.stage_spans = calloc(session->job->stage_count + 1, sizeof *session->run.stage_spans);
    merge->stage_begin_s = calloc(session->job->stage_count + 1, sizeof(double));
    merge->sign_s = calloc((size_t)merge->np, sizeof(double));
    merge->endings = calloc((size_t)merge->np, sizeof *merge->endings);
    if (!session->run.stage_seconds || !session->run.stage_spans || !merge->stage_begin_s || !merge->sign_s ||
        !merge->endings || mh_tallies_init(&session->run.tallies, session->job, 0) != 0 ||
        mh_ledger_init(&session->run.ledger, session->plan->worker_count) != 0)
        return mh_fail(err, "out of memory");
    for (int rank = 0; rank < merge->np; rank++)
        merge->endings[rank].silent_ns = merge->endings[rank].ended_ns = INT64_MAX;
    session->run.job = session->job;
    session->run.plan = session->plan;
    if (mh_visibilities_init(&session->run.visibilities, session->job) != 0 ||
        mh_kept_open(&merge->kept, &session->run) != 0)
        return mh_fail(err, "out of memory");
    for (size_t s = 0; s < session->job->stage_count; s++)
        merge->stage_begin_s[s] = -1;
    restore_earlier(merge);
    return 0;
}

/* ---- journals ---- */

/* What a record says of rows goes into the ledger: ids that nobody could write are damage. */
static bool rows_fit(const struct merge *merge, const struct mh_record *record, const int64_t *keys)
{
    const struct mh_plan *plan = merge->session.plan;
    const bool inserts = record->kind == MH_OP_INSERT;
    const struct mh_worker *worker = &plan->workers[record->worker];
    const int64_t first = inserts ? worker->first_id : 0, end = inserts ? first + worker->rows : plan->id_end;
    for (uint32_t i = 0; keys && i < record->rows; i++)
        if (keys[i] < first || keys[i] >= end)
            return false;
    return keys || (!(record->flags & MH_RECORD_SCATTERED) && record->first_id >= first &&
                    record->first_id <= end - (int64_t)record->rows);
}

static bool fits(const struct merge *merge, const struct mh_record *record, const int64_t *keys)
{
    const struct mh_tallies *tallies = &merge->session.run.tallies;
    const struct mh_plan *plan = merge->session.plan;
    const bool restored = record->type == MH_RECORD_RESTORED;
    const bool of_a_worker = record->type == MH_RECORD_DONE || record->type == MH_RECORD_INTENT || restored;
    if (record->stage >= tallies->stages || record->role >= tallies->roles ||
        record->worker >= plan->worker_count || (of_a_worker && record->worker < 0) ||
        (of_a_worker && restored != (record->worker < plan->first_at_work)) ||
        (restored && !mh_ledger_is_sound(record)))
        return false;
    return !of_a_worker || !mh_record_is_owed(record) || rows_fit(merge, record, keys);
}

static void note_time(struct merge *merge, const struct mh_record *record)
{
    double done_s = (double)record->done_ns / (double)MH_S;
    if (record->type != MH_RECORD_DONE)
        return;
    if (done_s > merge->last_s)
        merge->last_s = done_s;
    if (record->stage >= (int)merge->session.job->stage_count)
        return;
    double begin_s = merge->stage_begin_s[record->stage],
           *seconds = &merge->session.run.stage_seconds[record->stage];
    if (begin_s >= 0 && done_s - begin_s > *seconds)
        *seconds = done_s - begin_s;
}

/* In flight when its rank died: the server may or may not have taken it. */
static int book_in_flight(struct merge *merge, struct mh_record *record, const int64_t *keys,
                          const uint16_t *versions)
{
    struct mh_tally *tally =
        mh_tally_at(&merge->session.run.tallies, record->stage, record->role, record->kind);
    if (!tally)
        return -1;
    tally->planned++;
    tally->in_flight++;
    record->outcome = MH_OUTCOME_UNKNOWN;
    return mh_ledger_book(&merge->session.run.ledger, record, keys, versions);
}

/* Of writes, what a worker had issued. */
static void count_rows(struct merge *merge, const struct mh_record *record)
{
    const bool done = record->type == MH_RECORD_DONE || record->type == MH_RECORD_INTENT;
    if (done && mh_record_is_owed(record))
        merge->session.run.rows_issued[record->kind] += record->rows;
}

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static void note_told(struct merge *merge, const struct mh_record *told)
{
    struct ending *of = &merge->endings[merge->reading];
    of->told = true;
    if (told->first_id < 0 || told->first_id >= merge->np)
        return;
    struct ending *silent = &merge->endings[told->first_id];
    of->ended_ns = earlier(of->ended_ns, told->done_ns);
    silent->silent_ns = earlier(silent->silent_ns, told->done_ns);
}

static int book_restored(struct merge *merge, const struct mh_record *record)
{
    struct mh_session *session = &merge->session;
    struct mh_ledger_totals one = {0};
    mh_ledger_count(&one, record);
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        session->run.rows_issued[kind] += mh_ledger_booked(&one, (enum mh_op_kind)kind);
    mh_earlier_add(&session->earlier, record);
    return mh_ledger_restore(&session->run.ledger, record);
}

static int book(struct merge *merge, struct mh_record *record, const int64_t *keys, const uint16_t *versions,
                const char *text)
{
    struct mh_run *run = &merge->session.run;
    struct mh_tally *tally;
    switch (record->type) {
    case MH_RECORD_INTENT:
        return book_in_flight(merge, record, keys, versions);
    case MH_RECORD_DONE:
        mh_tallies_plan(&run->tallies, record->stage, record->role, record->kind, 1);
        mh_tallies_book(&run->tallies, record, text);
        return mh_ledger_book(&run->ledger, record, keys, versions);
    case MH_RECORD_UNSENT:
        tally = mh_tally_at(&run->tallies, record->stage, record->role, record->kind);
        if (!tally)
            return -1;
        tally->planned += record->rows;
        tally->unsent += record->rows;
        return 0;
    case MH_RECORD_STAGE:
        merge->stage_begin_s[record->stage] = (double)record->due_ns / (double)MH_S;
        return 0;
    case MH_RECORD_RESTORED:
        return book_restored(merge, record);
    case MH_RECORD_TOLD:
        note_told(merge, record);
        return 0;
    default:
        return 0;
    }
}

/* A violation that is of no worker or partition of the job is damage. */
static int take_violation(struct merge *merge, const struct mh_record *record, struct mh_error *err)
{
    struct mh_run *run = &merge->session.run;
    const struct mh_plan *plan = merge->session.plan;
    struct mh_journal_violation found;
    mh_journal_violation_of(record, &found);
    const struct mh_violation *v = &found.violation;
    if (v->reader < 0 || v->reader >= plan->worker_count || v->partition < -1 ||
        v->partition >= plan->partition_count || v->seen_partition < -1)
        return mh_fail(err, "a violation does not fit the job: worker %d, partition %d", v->reader,
                       v->partition);
    if (found.more > 0)
        run->violations_more[v->kind] += found.more;
    else if (!mh_grow(&run->violations, &run->violation_room, run->violation_count, sizeof *run->violations))
        return mh_fail(err, "out of memory for violations");
    else
        run->violations[run->violation_count++] = *v;
    return 0;
}

static int visit(void *context, const struct mh_record *given, const int64_t *keys, const uint16_t *versions,
                 const char *text, struct mh_error *err)
{
    struct merge *merge = context;
    struct mh_record record = *given;
    if (record.type == MH_RECORD_VIOLATION)
        return take_violation(merge, given, err);
    if (!fits(merge, &record, keys))
        return mh_fail(err,
                       "a record does not fit the job: worker %d, stage %d, role %d, %u rows from id %lld",
                       record.worker, record.stage, record.role, record.rows, (long long)record.first_id);
    const int64_t start_ns = merge->endings[merge->reading].start_ns;
    record.due_ns -= start_ns;
    record.sent_ns -= start_ns;
    record.done_ns -= start_ns;
    note_time(merge, &record);
    count_rows(merge, &record);
    return book(merge, &record, keys, versions, text) == 0 ? 0 : mh_fail(err, "out of memory");
}

static int keep(void *context, int sort, const void *items, int64_t count, size_t size, struct mh_error *err)
{
    struct merge *merge = context;
    return mh_kept_take(&merge->kept, sort, items, count, size, err);
}

static void describe_rank(struct merge *merge, int rank, const struct mh_journal_start *start, bool whole)
{
    struct mh_report_rank *out = &merge->session.report.ranks[merge->session.report.rank_count++];
    *out = (struct mh_report_rank){.rank = rank,
                                   .node = merge->session.node_of_rank[rank],
                                   .pid = start->pid,
                                   .core = -1,
                                   .cores = -1,
                                   .cpu_s = -1,
                                   .peak_rss_bytes = -1,
                                   .private_bytes = -1,
                                   .bytes_out = -1,
                                   .bytes_in = -1,
                                   .schedule_lag_ns = -1,
                                   .clock_offset_ns = start->clock_offset_ns,
                                   .missing = !whole};
    snprintf(out->host, sizeof out->host, "%s", start->host);
}

/* ---- of copies in several folders the best ---- */

enum file_of_rank { JOURNAL, SAMPLES };

static void path_of(enum file_of_rank what, char path[4200], const char *dir, int rank)
{
    (what == JOURNAL ? mh_journal_path : mh_sample_log_path)(path, 4200, dir, rank);
}

/* To choose, they are read through. One that cannot be read is worth more than one with nothing in it: it
 * is to be refused by name. -1: it is worth nothing. */
static int64_t worth_of(const struct merge *merge, enum file_of_rank what, int rank, const char *path)
{
    const struct mh_sample_head head = {rank, merge->np, merge->session.run.tag};
    struct mh_journal_start start;
    struct mh_error err;
    if (what == SAMPLES)
        return mh_sample_log_bytes(path, &head);
    if (merge->dir_count == 1)
        return 0;
    const int got = mh_journal_read_start(path, &start, &err);
    return got == 0 ? mh_journal_sound_bytes(path) : got < 0;
}

/* 1: a file, which may be opened. 0: nothing. -1: something else. */
static int look(const char *path, struct mh_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return errno == ENOENT ? 0 : mh_fail(err, "%s: %s", path, strerror(errno));
    if (S_ISREG(info.st_mode))
        return 1;
    return mh_fail(err, "%s: is a %s; expected a file, or nothing", path,
                   S_ISDIR(info.st_mode)    ? "folder"
                   : S_ISFIFO(info.st_mode) ? "named pipe"
                                            : "device or socket");
}

/* 1: there is one. 0: there is none, and `path` is where it was looked for last. -1: something else is there.
 */
static int find_best(const struct merge *merge, enum file_of_rank what, int rank, char path[4200],
                     struct mh_error *err)
{
    int64_t most = -1;
    int best = merge->dir_count - 1;
    for (int d = 0; d < merge->dir_count; d++) {
        path_of(what, path, merge->dirs[d], rank);
        const int there = look(path, err);
        if (there < 0)
            return -1;
        const int64_t got = there == 0 ? -1 : worth_of(merge, what, rank, path);
        if (got > most) {
            most = got;
            best = d;
        }
    }
    path_of(what, path, merge->dirs[best], rank);
    return most >= 0;
}

/* Of all copies the last: one may have been made while the rank still lived, or be damaged there. */
static void find_last_sign(const struct merge *merge, int rank, struct mh_journal_start *start)
{
    for (int d = 0; d < merge->dir_count; d++) {
        struct mh_journal_start other;
        struct mh_error err;
        char path[4200];
        mh_journal_path(path, sizeof path, merge->dirs[d], rank);
        if (mh_journal_read_start(path, &other, &err) == 0 && other.rank == rank && other.run == start->run &&
            other.sign_ns > start->sign_ns)
            start->sign_ns = other.sign_ns;
    }
}

/* A copy under another rank's name, or one of another run, would be counted as if it were this one. */
static int check_start(const struct merge *merge, int rank, const struct mh_journal_start *start,
                       const char *path, struct mh_error *err)
{
    if (start->rank == rank && start->np == merge->np && start->run == merge->session.run.tag)
        return 0;
    return mh_fail(err, "%s: is that of rank %d of %d of run %08x; expected rank %d of %d of run %s", path,
                   start->rank, start->np, start->run, rank, merge->np, text_of(merge, "run_id"));
}

static void note_missing(struct merge *merge, int rank, const char *path, const char *how)
{
    static const struct mh_journal_start nothing;
    mh_warn("%s: %s: what rank %d did is not known", path, how, rank);
    merge->missing++;
    merge->sign_s[rank] = -1;
    describe_rank(merge, rank, &nothing, false);
}

static void note_end(struct merge *merge, int rank, const char *path, const struct mh_journal_start *start,
                     const struct mh_journal_end *end)
{
    merge->unfinished += !end->whole;
    merge->sign_s[rank] =
        start->sign_ns >= 0 ? (double)(start->sign_ns - start->start_ns) / (double)MH_S : -1;
    if (merge->sign_s[rank] > merge->last_s)
        merge->last_s = merge->sign_s[rank];
    if (start->sign_ns < 0)
        mh_warn("%s: its sign of life is damaged: when rank %d fell silent is not known", path, rank);
    if (end->lost_bytes > 0)
        mh_warn("%s: its last %lld bytes hold no sound record, and are left out: what rank %d did last is "
                "not known",
                path, (long long)end->lost_bytes, rank);
    describe_rank(merge, rank, start, end->whole);
}

static int read_records(struct merge *merge, const char *path, struct mh_journal_start *start,
                        struct mh_journal_end *end, struct mh_error *err)
{
    struct mh_run *run = &merge->session.run;
    const struct mh_journal_rest rest = {&run->tallies, &run->visibilities, keep};
    mh_kept_begin_rank(&merge->kept);
    if (mh_journal_read_all(path, start, visit, merge, &rest, end, err) != 0)
        return strncmp(err->text, path, strlen(path)) == 0 ? -1 : mh_fail_in(err, "%s", path);
    mh_kept_end_rank(&merge->kept);
    return 0;
}

static int read_journal(struct merge *merge, int rank, struct mh_error *err)
{
    char path[4200];
    struct mh_journal_start start = {0};
    struct mh_journal_end end;
    const int there = find_best(merge, JOURNAL, rank, path, err);
    const int got = there == 1 ? mh_journal_read_start(path, &start, err) : there == 0 ? 1 : -1;
    if (got == 1)
        note_missing(merge, rank, path, there ? "there is nothing in it" : "not there");
    if (got != 0)
        return got < 0 ? -1 : 0;
    if (check_start(merge, rank, &start, path, err) != 0)
        return -1;
    merge->reading = rank;
    merge->endings[rank].start_ns = start.start_ns;
    merge->endings[rank].journal = strdup(path);
    if (!merge->endings[rank].journal)
        return mh_fail(err, "out of memory");
    if (read_records(merge, path, &start, &end, err) != 0)
        return -1;
    find_last_sign(merge, rank, &start);
    note_end(merge, rank, path, &start, &end);
    return 0;
}

static int read_journals(struct merge *merge, struct mh_error *err)
{
    merge->session.report.ranks = calloc((size_t)merge->np, sizeof *merge->session.report.ranks);
    if (!merge->session.report.ranks)
        return mh_fail(err, "out of memory");
    for (int rank = 0; rank < merge->np; rank++)
        if (read_journal(merge, rank, err) != 0)
            return -1;
    return 0;
}

/* What changed no rows has left no times but its timeline's: a stage lasted at least to the end of that. */
static void stretch_stages(struct merge *merge)
{
    const struct mh_tallies *tallies = &merge->session.run.tallies;
    const int a_stage = tallies->roles * MH_TALLY_KINDS;
    for (int i = 0; i < a_stage * (tallies->stages - 1); i++) {
        const int stage = i / a_stage;
        double *seconds = &merge->session.run.stage_seconds[stage];
        if (!tallies->cells[i] || merge->stage_begin_s[stage] < 0)
            continue;
        const struct mh_timeline *line = &tallies->cells[i]->timeline;
        double end_s = (double)(line->used * line->interval_ns) / (double)MH_S;
        end_s = (end_s < merge->last_s ? end_s : merge->last_s) - merge->stage_begin_s[stage];
        *seconds = end_s > *seconds ? end_s : *seconds;
    }
}

/* What the observation of server and drift goes by. */
static void note_spans(struct merge *merge)
{
    struct mh_run *run = &merge->session.run;
    for (size_t s = 0; s < merge->session.job->stage_count; s++)
        if (merge->stage_begin_s[s] >= 0) {
            run->stage_spans[s].begin_ns = (int64_t)(merge->stage_begin_s[s] * (double)MH_S);
            run->stage_spans[s].end_ns =
                run->stage_spans[s].begin_ns + (int64_t)(run->stage_seconds[s] * (double)MH_S);
        }
}

/* Of a rank without a journal nothing is told anyway. */
static void miss_samples(const struct merge *merge, int rank, const char *path)
{
    if (merge->session.job->observe.enabled && merge->session.report.ranks[rank].pid > 0)
        mh_warn("%s: none of this run is there: what was observed of rank %d%s is not in the result", path,
                rank, rank == 0 ? " and of the server" : "");
}

static int restore_samples(struct merge *merge, struct mh_error *err)
{
    char path[4200];
    for (int rank = 0; rank < merge->np; rank++) {
        const int there = find_best(merge, SAMPLES, rank, path, err);
        if (there == 0)
            miss_samples(merge, rank, path);
        else if (there < 0 || mh_session_restore_samples(&merge->session, rank, path, err) != 0)
            return -1;
    }
    return 0;
}

/* What ended the run. Those that the others found silent; else those that nobody told to end, where others
 * were told; else, where none was told (their node was lost), those silent long before the rest. */
enum cause { BY_SILENCE, BY_DEATH, BY_TIME };

/* And not because it had found another silent, ended, and was then missed by a third. That takes a while: of
 * two that find each other silent, at about the same time, neither is the cause before the other. */
static bool fell_silent(const struct ending *of)
{
    return of->silent_ns != INT64_MAX && of->silent_ns - MH_S < of->ended_ns;
}

static enum cause cause_of(const struct merge *merge)
{
    bool told = false;
    for (int rank = 0; rank < merge->np; rank++) {
        if (fell_silent(&merge->endings[rank]))
            return BY_SILENCE;
        told |= merge->endings[rank].told;
    }
    return told ? BY_DEATH : BY_TIME;
}

static bool is_cause(const struct merge *merge, int rank, enum cause cause, double latest_s)
{
    const double apart_s = 5; /* signs are half a second apart; a machine may stall */
    const struct mh_report_rank *row = &merge->session.report.ranks[rank];
    if (!row->missing || row->pid == 0) /* without a journal it is told elsewhere */
        return false;
    if (cause == BY_TIME)
        return merge->sign_s[rank] >= 0 && merge->sign_s[rank] + apart_s < latest_s;
    return cause == BY_SILENCE ? fell_silent(&merge->endings[rank]) : !merge->endings[rank].told;
}

static void name_causes(const struct merge *merge, char *text, size_t size)
{
    static const char *const words[] = {"gave no sign of life, and the others ended",
                                        "died without a word, and the others were told to end",
                                        "fell silent long before the last"};
    const enum cause cause = cause_of(merge);
    double latest_s = 0;
    int named = 0;
    text[0] = '\0';
    for (int rank = 0; rank < merge->np; rank++)
        latest_s = merge->sign_s[rank] > latest_s ? merge->sign_s[rank] : latest_s;
    for (int rank = 0; rank < merge->np && named < 3; rank++) {
        const struct mh_report_rank *row = &merge->session.report.ranks[rank];
        const size_t used = strlen(text);
        if (!is_cause(merge, rank, cause, latest_s))
            continue;
        named++;
        snprintf(text + used, size - used, "; rank %d (pid %lld on %s) %s", rank, (long long)row->pid,
                 row->host, words[cause]);
    }
}

/* The shares of ranks without a journal, and of those that were killed before theirs was written. */
static void name_lacking(const struct merge *merge, char *text, size_t size)
{
    const int64_t lacking = merge->earlier_rows - merge->session.earlier.rows;
    text[0] = '\0';
    if (lacking > 0)
        snprintf(text, size, "; of %lld rows of earlier parts, %lld are not in them",
                 (long long)merge->earlier_rows, (long long)lacking);
}

/* ---- result ---- */

static int put_ledger(struct merge *merge, struct mh_error *err)
{
    struct mh_audit *audit = &merge->session.audit;
    if (mh_slices_plan(&merge->plan_alone, merge->session.plan, &merge->session.run.ledger, MPI_COMM_SELF,
                       err) != 0)
        return -1;
    merge->plan_alone.np = 1;
    return mh_slices_make(&audit->slices, &merge->plan_alone, &merge->session.run.ledger, MPI_COMM_SELF, err);
}

/* What reads had seen wrong by then, and who wrote it. */
static int put_violations(struct merge *merge, struct mh_error *err)
{
    struct mh_audit *audit = &merge->session.audit;
    const int64_t most = (int64_t)merge->np * MH_VIOLATIONS_KEPT; /* as the ranks together */
    audit->plan = merge->session.plan;
    audit->most_kept = most < MH_VIOLATIONS_KEPT_IN_ALL ? most : MH_VIOLATIONS_KEPT_IN_ALL;
    mh_session_condemn(&merge->session);
    mh_sort_violations(audit->violations, audit->violation_count);
    for (int rank = 0; rank < merge->np; rank++) {
        const struct ending *of = &merge->endings[rank];
        if (of->journal && mh_sign_violations(audit->violations, audit->violation_count, rank, of->journal,
                                              of->start_ns, err) != 0)
            return -1;
    }
    return 0;
}

/* What nobody has judged is no reason to call anything right. */
static void count_unjudged(struct merge *merge)
{
    struct mh_session *session = &merge->session;
    for (size_t s = 0; s < session->job->stage_count; s++) {
        const int64_t left = merge->kept.unjudged[s];
        session->reads_unjudged += left;
        if (left > 0)
            mh_warn("stage %s: the run ended before %lld searches and queries were judged: whether they were "
                    "right is not known",
                    session->job->stages[s].name, (long long)left);
    }
}

static int put_kept(struct merge *merge, struct mh_error *err)
{
    count_unjudged(merge);
    mh_session_count_missed(&merge->session);
    merge->session.neighbors_missed_wrong = -1; /* only an audit can say */
    return mh_kept_close(&merge->kept, (int64_t)(merge->last_s * (double)MH_S)) == 0
               ? 0
               : mh_fail(err, "out of memory for events");
}

static int write_merged(struct merge *merge, const char *output, struct mh_error *err)
{
    struct mh_session *session = &merge->session;
    struct mh_report_fate *fates = NULL;
    char causes[500], unjudged[80] = "", lacking[100];
    stretch_stages(merge);
    note_spans(merge);
    if (restore_samples(merge, err) != 0 || put_kept(merge, err) != 0)
        return -1;
    name_causes(merge, causes, sizeof causes);
    name_lacking(merge, lacking, sizeof lacking);
    if (session->reads_unjudged > 0)
        snprintf(unjudged, sizeof unjudged, ", %lld reads not judged", (long long)session->reads_unjudged);
    session->run.start_ns = mh_now_ns() - (int64_t)(merge->last_s * (double)MH_S);
    session->broken = true;
    snprintf(session->broken_why, sizeof session->broken_why,
             "rebuilt from the journals of %d ranks and not audited%s: %d ended early, %d left none%s%s",
             merge->np, unjudged, merge->unfinished, merge->missing, causes, lacking);
    if (mh_session_fill_report(session, &session->run.ledger.totals) != 0)
        return mh_fail(err, "out of memory for the report");
    int64_t count = mh_session_fates(session, &fates, err);
    int rc = count < 0 ? -1 : mh_report_write(output, &session->report, fates, count, MPI_COMM_SELF, err);
    free(fates);
    return rc;
}

static void close_merge(struct merge *merge)
{
    struct mh_session *session = &merge->session;
    mh_report_free(&session->report);
    mh_audit_free(&session->audit);
    mh_tallies_free(&session->run.tallies);
    mh_visibilities_free(&session->run.visibilities);
    mh_events_free(&session->run.events);
    mh_probes_free(&session->run.probes);
    mh_kept_free(&merge->kept);
    mh_ledger_free(&session->run.ledger);
    free(session->run.recall);
    free(session->run.missed);
    free(merge->plan_alone.workers);
    mh_plan_free(session->plan);
    mh_job_free(session->job);
    free(session->run.stage_seconds);
    free(session->run.stage_spans);
    free(session->node_of_rank);
    free(session->sets);
    free(session->run.violations);
    free(merge->stage_begin_s);
    free(merge->sign_s);
    for (int rank = 0; merge->endings && rank < merge->np; rank++)
        free(merge->endings[rank].journal);
    free(merge->endings);
    mh_arguments_free(&merge->as_run);
    json_decref(merge->run);
}

int mh_command_merge(const struct mh_arguments *arguments)
{
    struct mh_error err;
    struct merge *merge = calloc(1, sizeof *merge);
    if (!merge)
        abort();
    merge->dirs = arguments->folders;
    merge->dir_count = arguments->folder_count;
    if (read_run_file(merge, &err) != 0 || restore_arguments(merge, &err) != 0 ||
        restore_session(merge, &err) != 0 || read_journals(merge, &err) != 0 ||
        put_ledger(merge, &err) != 0 || put_violations(merge, &err) != 0 ||
        write_merged(merge, arguments->output, &err) != 0)
        mh_complain("%s", err.text);
    else
        mh_report_print(stdout, &merge->session.report, arguments->output);
    close_merge(merge);
    free(merge);
    return MH_EXIT_UNUSABLE; /* never whole, whatever was found */
}
