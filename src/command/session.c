/* What `run` and `verify` have in common: the steps before and after the load. Each succeeds on all ranks or
 * on none. */
#include "command/session.h"

#include "base/alive.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/terminal.h"
#include "comm/comm.h"
#include "comm/watch.h"
#include "run/keep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FAREWELL_S = 2,
};

/* ---- before the load ---- */

void mh_session_name_run(struct mh_session *session)
{
    uint32_t tail = 0;
    char utc[24], stamp[20];
    session->started_wall_ns = mh_wall_ns();
    mh_comm_bcast(session->comm, &session->started_wall_ns, sizeof session->started_wall_ns, 0);
    mh_utc_text(session->started_wall_ns, utc);
    size_t n = 0;
    for (const char *c = utc; *c; c++)
        if (*c != '-' && *c != ':')
            stamp[n++] = *c;
    stamp[n] = '\0';
    if (session->rank == 0 && getrandom(&tail, sizeof tail, 0) != sizeof tail)
        tail = (uint32_t)getpid();
    mh_comm_bcast(session->comm, &tail, sizeof tail, 0);
    snprintf(session->run_id, sizeof session->run_id, "%.17s-%08x", stamp, tail);
}

/* Of a node alone: whichever of its ranks comes first makes it. */
static int make_local_folder(const struct mh_session *session, struct mh_error *err)
{
    if ((mkdir(session->arguments->output_local, 0777) != 0 && errno != EEXIST) ||
        (mkdir(session->journals, 0777) != 0 && errno != EEXIST))
        return mh_fail(err, "--output-local: %s: %s; this rank's journal goes there", session->journals,
                       strerror(errno));
    char path[4200];
    snprintf(path, sizeof path, "%s/run.json", session->journals);
    if (access(path, F_OK) == 0)
        return mh_fail(err,
                       "--output-local: %s holds the journals of a run that was killed, and is not touched",
                       session->journals);
    return 0;
}

static int name_journals(struct mh_session *session, struct mh_error *err)
{
    const char *local = session->arguments->output_local, *name = strrchr(session->output, '/');
    if (!local) {
        snprintf(session->journals, sizeof session->journals, "%.3600s.journals", session->output);
        return 0;
    }
    if (!*local || strlen(local) > 3500)
        return mh_fail(err, "--output-local: expected a folder, whose path is at most 3500 bytes long");
    snprintf(session->journals, sizeof session->journals, "%s/%.300s.journals", local,
             name ? name + 1 : session->output);
    return make_local_folder(session, err);
}

static int choose_output(struct mh_session *session, bool journals, struct mh_error *err)
{
    const char *given = session->arguments->output;
    if (given && !*given)
        return mh_fail(err, "--output: an empty path; expected FILE.h5");
    if (given && strlen(given) > 3500)
        return mh_fail(err, "--output: the path is longer than 3500 bytes");
    if (given)
        snprintf(session->output, sizeof session->output, "%s", given);
    else
        snprintf(session->output, sizeof session->output, "results/%s.h5", session->run_id);
    if (journals && name_journals(session, err) != 0)
        return -1;
    if (session->rank != 0)
        return 0;
    if (!given && mkdir("results", 0777) != 0 && errno != EEXIST)
        return mh_fail(err, "results: %s; give another place with --output", strerror(errno));
    if (mh_report_check_output(session->output, err) != 0 ||
        (session->arguments->json && mh_report_check_json(session->arguments->json, err) != 0))
        return -1;
    if (journals && !session->arguments->output_local && mkdir(session->journals, 0777) != 0)
        return mh_fail(err, "%s: %s; the ranks' journals go there", session->journals, strerror(errno));
    return 0;
}

int mh_session_choose_output(struct mh_session *session, bool journals, struct mh_error *err)
{
    return mh_comm_agree(session->comm, choose_output(session, journals, err), err);
}

static int number_nodes(struct mh_session *session, MPI_Comm node, struct mh_error *err)
{
    int leader = session->rank;
    session->node_of_rank = calloc((size_t)session->np + 1, sizeof *session->node_of_rank);
    MPI_Bcast(&leader, 1, MPI_INT, 0, node);
    if (mh_comm_agree(session->comm, session->node_of_rank ? 0 : mh_fail(err, "out of memory"), err) != 0)
        return -1;
    MPI_Allgather(&leader, 1, MPI_INT, session->node_of_rank, 1, MPI_INT, session->comm);
    for (int r = 0; r < session->np; r++) /* leaders' ranks become numbers from 0 */
        session->node_of_rank[r] = session->node_of_rank[r] == r
                                       ? session->nodes++
                                       : session->node_of_rank[session->node_of_rank[r]];
    return 0;
}

int mh_session_open_dataset(struct mh_session *session, struct mh_error *err)
{
    int64_t begin = mh_now_ns();
    mh_phases_enter(&session->run.phases, MH_PHASE_DATASET);
    int rc = mh_dataset_open(&session->job->dataset, mh_session_largest_batch(session->job), session->seed,
                             session->comm, &session->data, err);
    if (rc != 0)
        return -1;
    mh_session_describe_dataset(session->job, &session->data->shape, session->dataset,
                                sizeof session->dataset);
    session->dataset_digest =
        session->rank == 0 ? mh_dataset_digest(session->data) : 0; /* all have the same */
    mh_comm_bcast(session->comm, &session->dataset_digest, sizeof session->dataset_digest, 0);
    mh_content_init(&session->content, session->data, &session->job->collection, session->seed);
    if (session->rank == 0)
        mh_note("data set %s, read in %.1f s", session->dataset,
                (double)(mh_now_ns() - begin) / (double)MH_S);
    if (session->rank == 0 && session->job->verify.enabled && !mh_content_tells_version(&session->content))
        mh_warn("no scalar field is wide enough to tell a row's versions apart: stale rows show only where "
                "vectors are compared (verify.vectors)");
    return mh_session_fit_dataset(session->job, &session->data->shape, err);
}

static int64_t progress_of(const struct mh_session *session)
{
    if (session->arguments->quiet)
        return 0;
    if (session->arguments->progress_ns >= 0)
        return session->arguments->progress_ns;
    return (mh_is_terminal(STDERR_FILENO) ? 1 : 10) * MH_S;
}

/* ---- the ranks watch each other ---- */

static struct mh_session *watched;

/* So that merge can tell those that were ended from the one that ended them. */
static void note_told(int64_t silent_rank)
{
    const struct mh_record record = {
        .type = MH_RECORD_TOLD, .worker = -1, .first_id = silent_rank, .done_ns = mh_now_ns()};
    mh_journal_append(&watched->run.journal, &record, NULL, NULL, NULL);
    mh_journal_flush(&watched->run.journal);
}

static void sign_journal(void)
{
    static int64_t signed_ns;
    const int64_t now_ns = mh_now_ns();
    if (now_ns - signed_ns < MH_S / 2)
        return;
    signed_ns = now_ns;
    mh_journal_sign(&watched->run.journal, now_ns);
}

/* At once: a launcher kills a second after it has told. */
static void note_life(void)
{
    static bool noted;
    sign_journal();
    if (noted || watched->run.journal.fd < 0 || !mh_signal_told_to_end())
        return;
    noted = true;
    note_told(-1);
}

static void save_all(int silent_rank)
{
    if (watched->run.journal.fd < 0)
        return;
    mh_run_summarise(&watched->run);
    note_told(silent_rank);
}

static void say_end(const char *who)
{
    if (watched->result_stands)
        mh_complain("%s: this run ends here; its result is whole: %s", who, watched->output);
    else if (watched->journals_begun)
        mh_complain("%s: this run ends here; the journals are kept: milvus-hpc merge %s -o FILE.h5", who,
                    watched->journals);
    else
        mh_complain("%s: this run ends here", who);
}

/* The one place beside main.c that ends the program: MPI would wait for the silent rank for ever. */
static void end_run(const struct mh_watch_news *news)
{
    if (!news->in_call)
        save_all(news->rank);
    if (news->text)
        say_end(news->text);
    if (watched->journals[0] && !watched->journals_begun)
        rmdir(watched->journals); /* unless another rank's is in it */
    const int64_t farewell_s = news->rank < 0 ? 0 : news->text ? FAREWELL_S : 2 * FAREWELL_S;
    const int64_t until = mh_now_ns() + farewell_s * MH_S;
    for (; mh_now_ns() < until; mh_sleep_ns(20 * MH_MS)) /* the others save what they have meanwhile */
        if (!news->in_call)
            mh_alive();
    if (news->in_call) /* MPI is the main thread's */
        _exit(MH_EXIT_UNUSABLE);
    MPI_Abort(MPI_COMM_WORLD, MH_EXIT_UNUSABLE);
}

/* Before all else: from here on no rank is waited for without an end. */
static int watch(struct mh_session *session, struct mh_error *err)
{
    watched = session;
    mh_watch_alarm(session->arguments->silence_ns, "the ranks did not come together at this run's start");
    MPI_Comm node = mh_comm_node(session->comm);
    int rc = number_nodes(session, node, err);
    if (rc == 0)
        rc = mh_watch_open(session->comm, node, session->nodes, session->arguments->silence_ns, end_run,
                           note_life, err);
    mh_watch_alarm(0, NULL);
    return rc;
}

int mh_session_open_run(struct mh_session *session, struct mh_error *err)
{
    struct mh_run *run = &session->run;
    mh_phases_enter(&run->phases, MH_PHASE_OPEN_RUN);
    run->job = session->job;
    run->plan = session->plan;
    run->comm = session->comm;
    run->rank = session->rank;
    run->np = session->np;
    run->seed = session->seed;
    run->tag = (uint32_t)strtoul(strrchr(session->run_id, '-') + 1, NULL, 16);
    run->content = &session->content;
    run->rpc = session->rpc;
    run->progress_ns = progress_of(session);
    run->grace_ns = session->arguments->grace_ns;
    run->clock = mh_comm_clock(session->comm);
    run->start_ns = mh_now_ns() - run->clock.offset_ns;
    mh_comm_bcast(session->comm, &run->start_ns, sizeof run->start_ns, 0);
    run->start_ns += run->clock.offset_ns;
    run->cpu_start_s = mh_cpu_s();
    run->reads = (struct mh_reads){.content = run->content,
                                   .plan = run->plan,
                                   .start_ns = run->start_ns,
                                   .share = session->job->verify.reads,
                                   .seed = session->seed};
    run->stage_seconds = calloc(session->job->stage_count + 1, sizeof *run->stage_seconds);
    run->stage_spans = calloc(session->job->stage_count + 1, sizeof *run->stage_spans);
    bool made = run->stage_seconds && run->stage_spans &&
                mh_tallies_init(&run->tallies, session->job, run->start_ns) == 0 &&
                mh_tallies_init(&run->interval, session->job, run->start_ns) == 0 &&
                mh_visibilities_init(&run->visibilities, session->job) == 0 &&
                mh_visibilities_init(&run->interval_visible, session->job) == 0 &&
                mh_ledger_init(&run->ledger, session->plan->worker_count) == 0;
    run->visibilities.start_ns = run->start_ns;
    if (made)
        run->efforts = calloc((size_t)run->tallies.stages * (size_t)run->tallies.roles, sizeof *run->efforts);
    made = made && run->efforts;
    return mh_comm_agree(session->comm, made ? 0 : mh_fail(err, "out of memory"), err);
}

/* ---- audit ---- */

void mh_session_break(struct mh_session *session, const struct mh_error *err)
{
    if (session->broken)
        return;
    session->broken = true;
    snprintf(session->broken_why, sizeof session->broken_why, "%s", err->text);
    if (session->rank == 0)
        mh_complain("%s", err->text);
}

static int64_t signals_before_audit; /* that the rank which saw most of them had seen */
static int64_t audit_until_ns;       /* INT64_MAX: no signal has come */

static bool stop_audit(void)
{
    return mh_signals_seen() > signals_before_audit || mh_now_ns() > audit_until_ns;
}

/* Of the first that came to any rank; -1: none has. Collective. */
static int64_t since_signal(const struct mh_session *session)
{
    const int64_t first_ns = mh_signal_first_ns();
    int64_t gone_ns = first_ns > 0 ? mh_now_ns() - first_ns : -1;
    mh_comm_max_i64(session->comm, &gone_ns, 1);
    return gone_ns;
}

/* What is left of the grace after a signal, less what the result may need of it. Signals go to all ranks, but
 * do not come to all at once: what one has seen by now, the others may be about to. Collective. */
static void set_limit(const struct mh_session *session)
{
    const int64_t gone_ns = since_signal(session), now = mh_now_ns();
    signals_before_audit = mh_signals_seen();
    mh_comm_max_i64(session->comm, &signals_before_audit, 1);
    audit_until_ns = gone_ns < 0 ? INT64_MAX : now - gone_ns + session->arguments->grace_ns / 4 * 3;
}

/* Of an audit that failed: because its time was over? Collective. */
static void tell_cut(const struct mh_session *session, struct mh_error *err)
{
    int64_t cut = mh_now_ns() > audit_until_ns;
    mh_comm_max_i64(session->comm, &cut, 1);
    if (cut)
        mh_fail(err,
                "the audit was cut short: a signal came, and --grace gives %lld s from there to the end; "
                "milvus-hpc verify %.300s makes it",
                (long long)(session->arguments->grace_ns / MH_S), session->output);
}

static int by_number(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* "The index is poor" and "the row is gone" look alike to a search; the audit tells them apart. */
void mh_session_count_missed(struct mh_session *session)
{
    struct mh_run *run = &session->run;
    int64_t counts[2] = {0, 0};
    if (run->missed_count > 1)
        qsort(run->missed, (size_t)run->missed_count, sizeof *run->missed, by_number);
    for (int64_t i = 0; i < run->missed_count; i++) {
        if (i > 0 && run->missed[i] == run->missed[i - 1])
            continue;
        counts[0]++;
        counts[1] += mh_audit_is_wrong(&session->audit, run->missed[i]);
    }
    mh_comm_sum_i64(session->comm, counts, 2);
    session->neighbors_missed = counts[0];
    session->neighbors_missed_wrong = counts[1];
}

void mh_session_condemn(struct mh_session *session)
{
    struct mh_audit *audit = &session->audit;
    for (int64_t i = 0; i < session->run.violation_count; i++)
        mh_audit_condemn(audit, &session->run.violations[i]);
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        audit->violations_dropped += session->run.violations_more[kind];
        audit->sightings += mh_is_violation(kind) ? session->run.violations_more[kind] : 0;
    }
}

static void add_up_found(struct mh_session *session)
{
    struct mh_run *run = &session->run;
    int64_t sums[] = {run->sums.own_searched, run->sums.own_found, run->sums.own_contradicted,
                      run->sums.own_left};
    mh_comm_sum_i64(session->comm, sums, sizeof sums / sizeof sums[0]);
    run->sums.own_searched = sums[0];
    run->sums.own_found = sums[1];
    run->sums.own_contradicted = sums[2];
    run->sums.own_left = sums[3];
    run->kept_sums = run->sums; /* each rank's own are in its journal: these are of all */
}

static void audit(struct mh_session *session)
{
    struct mh_error err;
    struct mh_audit *audit = &session->audit;
    session->run.stage = (int)session->job->stage_count;
    mh_phases_enter(&session->run.phases, MH_PHASE_LEDGER);
    mh_keep_sums(&session->run);
    add_up_found(session);
    if (mh_slices_plan(&session->issued, session->plan, &session->run.ledger, session->comm, &err) != 0) {
        mh_session_break(session, &err);
        return;
    }
    *audit = (struct mh_audit){.job = session->job,
                               .plan = &session->issued,
                               .content = &session->content,
                               .ledger = &session->run.ledger,
                               .rpc = session->rpc,
                               .comm = session->comm,
                               .rank = session->rank,
                               .seed = session->seed,
                               .start_ns = session->run.start_ns,
                               .collection_gone = session->collection_gone,
                               .tallies = &session->run.tallies,
                               .stop = stop_audit,
                               .phases = &session->run.phases};
    mh_session_condemn(session);
    set_limit(session);
    int rc = session->job->verify.enabled ? mh_audit_run(audit, &err) : mh_audit_skip(audit, &err);
    if (rc != 0) {
        tell_cut(session, &err);
        mh_session_break(session, &err);
    }
    session->audited = rc == 0 && session->job->verify.enabled;
    mh_comm_sum_i64(session->comm, &session->run.allowed, 1);
    audit->figures.allowed += session->run.allowed;
    mh_session_count_missed(session);
    if (mh_absences_report(&session->run, &err) != 0)
        mh_session_break(session, &err);
    mh_journal_flush(&session->run.journal);
    mh_phases_enter(&session->run.phases, MH_PHASE_TRACE);
    if (mh_audit_provenance(audit, session->journals[0] ? session->run.journal.path : NULL, &err) != 0)
        mh_session_break(session, &err);
}

/* ---- result ---- */

static void share_outcome(struct mh_session *session)
{
    mh_comm_bcast(session->comm, &session->report.exit_code, sizeof session->report.exit_code, 0);
}

static void move_fates(const struct mh_session *session, struct mh_report_fate *fates, const int64_t *counts)
{
    const int64_t piece = 1 << 20; /* MPI counts are int */
    for (int r = 1; r < session->np; r++) {
        if (session->rank == 0)
            fates += counts[r - 1];
        for (int64_t at = 0; at < counts[r] && (session->rank == 0 || session->rank == r); at += piece) {
            const int64_t left = counts[r] - at;
            const int bytes = (int)((left < piece ? left : piece) * (int64_t)sizeof *fates);
            MPI_Request request;
            if (session->rank == r)
                MPI_Isend(fates + at, bytes, MPI_BYTE, 0, r, session->comm, &request);
            else
                MPI_Irecv(fates + at, bytes, MPI_BYTE, r, r, session->comm, &request);
            mh_comm_wait(&request);
        }
    }
}

/* Without a file system that all share: the ledger's ranges travel, and rank 0 alone writes. */
static int write_on_rank_0(struct mh_session *session, struct mh_report_fate **fates, int64_t count,
                           struct mh_error *err)
{
    int64_t *counts = calloc((size_t)session->np, sizeof *counts), total = 0;
    struct mh_report_fate *all = *fates;
    if (mh_comm_agree(session->comm, counts ? 0 : mh_fail(err, "out of memory"), err) != 0) {
        free(counts);
        return -1;
    }
    counts[session->rank] = count;
    mh_comm_sum_i64(session->comm, counts, session->np);
    for (int r = 0; r < session->np; r++)
        total += counts[r];
    if (session->rank == 0 && (all = realloc(*fates, ((size_t)total + 1) * sizeof *all)))
        *fates = all;
    int rc = mh_comm_agree(session->comm,
                           all || session->rank != 0
                               ? 0
                               : mh_fail(err, "out of memory for a ledger of %lld ranges", (long long)total),
                           err);
    if (rc == 0) {
        move_fates(session, *fates, counts);
        if (session->rank == 0)
            rc = mh_report_write(session->output, &session->report, *fates, total, MPI_COMM_SELF, err);
        rc = mh_comm_agree(session->comm, rc, err);
    }
    free(counts);
    return rc;
}

static int64_t result_begin_ns, signal_ns = -1; /* of any rank's, -1: none had come */

/* Of signals to other ranks this one knows what was asked for last. Collective. */
static void ask_for_signals(const struct mh_session *session)
{
    const int64_t gone_ns = since_signal(session);
    signal_ns = gone_ns < 0 ? -1 : mh_now_ns() - gone_ns;
}

int64_t mh_session_grace_end(void)
{
    const int64_t own_ns = mh_signal_first_ns();
    const int64_t since_ns = own_ns > 0 && (signal_ns < 0 || own_ns < signal_ns) ? own_ns : signal_ns;
    return since_ns < 0 ? INT64_MAX : since_ns + watched->arguments->grace_ns;
}

/* What the grace leaves, but at least the quarter that the audit leaves it. Asked by another thread. */
static int64_t result_until(void)
{
    const int64_t end_ns = mh_session_grace_end();
    if (end_ns == INT64_MAX)
        return result_begin_ns + MH_WATCH_CALL_S * MH_S;
    const int64_t least_ns = result_begin_ns + watched->arguments->grace_ns / 4;
    return end_ns > least_ns ? end_ns : least_ns;
}

/* HDF5 waits in MPI, without a sign. Collective. */
static void begin_result(struct mh_session *session)
{
    ask_for_signals(session);
    result_begin_ns = mh_now_ns();
    mh_watch_call_begin(result_until);
}

/* It cannot be in the file. */
static void note_writing(const struct mh_session *session, int64_t begin_ns, double cpu_begin_s)
{
    int64_t cpu_ns = (int64_t)((mh_cpu_s() - cpu_begin_s) * (double)MH_S);
    mh_comm_sum_i64(session->comm, &cpu_ns, 1);
    if (session->rank == 0)
        mh_note("result written in %.3f s, with %.4f s of CPU a rank",
                (double)(mh_now_ns() - begin_ns) / (double)MH_S, (double)cpu_ns / (double)MH_S / session->np);
}

static int write_result(struct mh_session *session, struct mh_error *err)
{
    struct mh_report_fate *fates = NULL;
    const int64_t begin_ns = mh_now_ns();
    const double cpu_begin_s = mh_cpu_s();
    int64_t count = mh_session_fates(session, &fates, err);
    int rc = mh_comm_agree(session->comm, count < 0 ? -1 : 0, err);
    begin_result(session);
    if (rc == 0 && session->arguments->output_local)
        rc = write_on_rank_0(session, &fates, count, err);
    else if (rc == 0)
        rc = mh_report_write(session->output, &session->report, fates, count, session->comm, err);
    if (rc == 0)
        note_writing(session, begin_ns, cpu_begin_s);
    mh_watch_call_end();
    free(fates);
    return rc;
}

static void remove_journals(struct mh_session *session)
{
    char path[4200];
    MPI_Request request;
    if (!session->journals[0])
        return;
    mh_journal_close(&session->run.journal, true);
    unlink(session->samples);
    MPI_Ibarrier(session->comm, &request);
    mh_comm_wait(&request);
    if (session->rank != 0 && !session->arguments->output_local)
        return;
    snprintf(path, sizeof path, "%s/run.json", session->journals);
    unlink(path);
    rmdir(session->journals);
}

static void end_journal(struct mh_session *session)
{
    struct mh_record record = {.type = MH_RECORD_END, .worker = -1};
    mh_journal_append(&session->run.journal, &record, NULL, NULL, NULL);
    mh_journal_flush(&session->run.journal);
}

static void note_journals(struct mh_session *session)
{
    struct mh_error err;
    int64_t failed = session->run.journal.failed;
    mh_comm_sum_i64(session->comm, &failed, 1);
    if (failed == 0)
        return;
    mh_fail(&err, "the journals of %lld ranks could not be written to their end: who wrote what is not sure",
            (long long)failed);
    mh_session_break(session, &err);
}

static int write_json(struct mh_session *session, struct mh_error *err)
{
    if (session->rank != 0 || !session->arguments->json)
        return 0;
    return mh_report_json(session->arguments->json, &session->report, session->output, err);
}

/* Who reads it may take his time: it may be a pager. */
static int64_t for_ever(void)
{
    return INT64_MAX;
}

static int print_result(struct mh_session *session, struct mh_error *err)
{
    if (session->rank == 0 && !(session->arguments->json && strcmp(session->arguments->json, "-") == 0))
        mh_report_print(stdout, &session->report, session->output);
    const int rc = write_json(session, err);
    fflush(stdout); /* main.c says if it fails */
    return rc;
}

/* Result and summary; the journals go only once the result stands. */
static int finish(struct mh_session *session, struct mh_error *err)
{
    mh_phases_enter(&session->run.phases, MH_PHASE_REDUCE);
    end_journal(session);
    note_journals(session);
    if (mh_session_conclude(session, err) != 0 || write_result(session, err) != 0) {
        mh_journal_close(&session->run.journal, false);
        session->result_failed = true;
        return session->journals[0]
                   ? mh_fail_in(err,
                                "the result could not be written (the journals are kept: milvus-hpc merge %s "
                                "-o FILE.h5)",
                                session->journals)
                   : mh_fail_in(err, "the result could not be written");
    }
    session->result_stands = true;
    remove_journals(session);
    mh_watch_call_begin(for_ever);
    int rc = print_result(session, err);
    mh_watch_call_end();
    rc = mh_comm_agree(session->comm, rc, err);
    share_outcome(session);
    return rc;
}

/* While rank 0 waits for the server, the others, of other nodes too, wait for rank 0, and all give signs of
 * life: after this they would take it for silent. Collective. */
static void drop_collection(struct mh_session *session)
{
    struct mh_error ignored;
    ask_for_signals(session);
    if (session->rank == 0 && session->rpc)
        mh_session_drop_collection(session);
    (void)mh_comm_agree(session->comm, 0, &ignored);
}

static void close_session(struct mh_session *session)
{
    char path[4200];
    mh_journal_close(&session->run.journal, false);
    mh_report_free(&session->report);
    mh_report_free(&session->parent);
    mh_audit_free(&session->audit);
    mh_tallies_free(&session->run.tallies);
    mh_tallies_free(&session->run.interval);
    mh_visibilities_free(&session->run.visibilities);
    mh_visibilities_free(&session->run.interval_visible);
    mh_ledger_free(&session->run.ledger);
    mh_events_free(&session->run.events);
    free(session->run.stage_seconds);
    free(session->run.stage_spans);
    mh_observer_free(session->observer);
    free(session->run.violations);
    free(session->run.recall);
    mh_probes_free(&session->run.probes);
    free(session->run.missed);
    mh_reads_free(&session->run.reads);
    free(session->run.efforts);
    free(session->longest);
    mh_calibration_free(&session->calibration);
    mh_rpc_close(session->rpc);
    mh_dataset_close(session->data);
    free(session->issued.workers);
    mh_plan_free(session->plan);
    mh_job_free(session->job);
    free(session->node_of_rank);
    free(session->sets);
    snprintf(path, sizeof path, "%.4000s", session->journals);
    if ((session->rank == 0 || session->arguments->output_local) && path[0])
        rmdir(path); /* empty when the run never began */
    /* to the end of MPI_Finalize */
    mh_watch_alarm(session->arguments->silence_ns, "the ranks did not come together at this run's end");
    mh_watch_close();
}

/* ---- all of it ---- */

static bool begin(struct mh_session *session, mh_session_prepare *prepare, struct mh_error *err)
{
    if (watch(session, err) != 0)
        return false;
    if (prepare(session, err) == 0)
        return true;
    if (session->journals_begun)
        remove_journals(session); /* nothing was done that they could tell */
    return false;
}

int mh_session_go(const struct mh_arguments *arguments, MPI_Comm comm, mh_session_prepare *prepare,
                  void (*load)(struct mh_session *session))
{
    struct mh_error err = {""};
    struct mh_session *session = calloc(1, sizeof *session);
    int exit_code = MH_EXIT_UNUSABLE;
    if (!session)
        abort();
    session->arguments = arguments;
    session->comm = comm;
    session->run.journal.fd = -1;
    mh_phases_enter(&session->run.phases, MH_PHASE_WATCH);
    mh_signals_catch();
    MPI_Comm_rank(comm, &session->rank);
    MPI_Comm_size(comm, &session->np);
    if (begin(session, prepare, &err)) {
        mh_session_observe(session);
        if (load)
            load(session);
        audit(session);
        mh_observer_stop(session->observer);
        if (finish(session, &err) == 0)
            exit_code = session->report.exit_code;
    }
    if (err.text[0] && session->rank == 0)
        mh_complain("%s", err.text);
    drop_collection(session);
    close_session(session);
    free(session);
    return exit_code;
}
