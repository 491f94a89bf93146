/* `milvus-hpc verify`: audits the rows of a saved run again, from its ledger: after a restart, a compaction,
 * a day, on any number of ranks. Sends no write; --drop ends with one. */
#include "command/session.h"

#include "base/alive.h"
#include "base/clock.h"
#include "base/log.h"
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the saved run ---- */

static int check_parent(const struct mh_report *parent, const char *path, struct mh_error *err)
{
    for (int64_t i = 0; i < parent->rank_count; i++)
        if (parent->ranks[i].missing)
            return mh_fail(
                err,
                "%s: rank %d of run %s did not come to its end, so its ledger may lack rows that were "
                "written: nothing can be judged by it",
                path, parent->ranks[i].rank, parent->run_id);
    if (!parent->collection_kept)
        return mh_fail(
            err, "%s: run %s dropped its collection %s when it ended; a run with --keep leaves it for verify",
            path, parent->run_id, parent->collection);
    return 0;
}

/* What may differ from the saved run: where the server and the vectors are now, and how to look. */
static int check_set(const char *set, struct mh_error *err)
{
    static const char *const free_to_change[] = {"server.", "retry.", "verify.", "dataset.path="};
    for (size_t i = 0; i < sizeof free_to_change / sizeof free_to_change[0]; i++)
        if (strncmp(set, free_to_change[i], strlen(free_to_change[i])) == 0)
            return 0;
    return mh_fail(
        err,
        "--set %s: verify takes server.*, retry.*, verify.* and dataset.path; all else is the saved run's",
        set);
}

/* The saved run's own overrides, then this call's. */
static int join_sets(struct mh_session *session, struct mh_arguments *joined, char **text,
                     struct mh_error *err)
{
    const struct mh_arguments *given = session->arguments;
    const struct mh_report *parent = &session->parent;
    size_t room = 1;
    for (int64_t i = 0; i < parent->option_count; i++)
        room += strlen(parent->options[i].path) + strlen(parent->options[i].value) + 2;
    *joined = (struct mh_arguments){.server = given->server};
    joined->sets = calloc((size_t)parent->option_count + given->set_count + 1, sizeof *joined->sets);
    char *end = *text = malloc(room);
    if (!joined->sets || !end)
        return mh_fail(err, "out of memory");
    for (int64_t i = 0; i < parent->option_count; i++) {
        const struct mh_report_option *option = &parent->options[i];
        if (strcmp(option->origin, "--set") != 0 || strcmp(option->path, "server.token") == 0)
            continue;
        joined->sets[joined->set_count++] = end;
        end += sprintf(end, "%s=%s", option->path, option->value) + 1;
    }
    for (size_t i = 0; i < given->set_count; i++) {
        if (check_set(given->sets[i], err) != 0)
            return -1;
        joined->sets[joined->set_count++] = given->sets[i];
    }
    return 0;
}

static int parse_job(struct mh_session *session, struct mh_error *err)
{
    struct mh_arguments joined = {0};
    char *text = NULL;
    int rc = join_sets(session, &joined, &text, err);
    if (rc == 0)
        rc = mh_session_parse_job(&joined, session->parent.job_path, session->parent.job_text, &session->job,
                                  err);
    free(joined.sets);
    free(text);
    if (rc == 0) {
        session->job->verify.enabled = true;
        session->job->threshold_count = 0; /* they are about the load */
    }
    return rc;
}

/* ---- the same ids, on these ranks ---- */

static int compare_worker(const struct mh_plan *plan, const struct mh_report_worker *saved, const char *path,
                          struct mh_error *err)
{
    const struct mh_worker *now =
        saved->worker >= 0 && saved->worker < plan->worker_count ? &plan->workers[saved->worker] : NULL;
    if (now && now->first_id == saved->first_id && now->rows == saved->rows &&
        strcmp(now->partition >= 0 ? plan->partitions[now->partition] : "", saved->partition) == 0)
        return 0;
    return mh_fail(
        err,
        "%s: worker %d wrote %lld ids from %lld in partition '%s'; planned again from the saved job it "
        "would not: the file was changed, or another version of this program wrote it",
        path, saved->worker, (long long)saved->rows, (long long)saved->first_id, saved->partition);
}

/* Ids and partitions as the saved run planned them for its ranks; the slices go round the ranks of today. */
static int make_plan(struct mh_session *session, struct mh_error *err)
{
    const struct mh_report *parent = &session->parent;
    mh_phases_enter(&session->run.phases, MH_PHASE_PLAN);
    if (mh_plan_make(session->job, parent->np, NULL, mh_role_needs, &session->plan, err) != 0)
        return -1;
    struct mh_plan *plan = session->plan;
    if (plan->worker_count != parent->worker_count)
        return mh_fail(err, "%s: lists %lld workers, but its job has %lld", session->arguments->operand,
                       (long long)parent->worker_count, (long long)plan->worker_count);
    for (int64_t i = 0; i < parent->worker_count; i++)
        if (compare_worker(plan, &parent->workers[i], session->arguments->operand, err) != 0)
            return -1;
    plan->np = session->np;
    for (int64_t i = 0; i < plan->worker_count; i++)
        plan->workers[i].rank %= session->np;
    return 0;
}

static int load_parent(struct mh_session *session, struct mh_error *err)
{
    const char *path = session->arguments->operand;
    mh_phases_enter(&session->run.phases, MH_PHASE_READ_JOB);
    int rc = mh_report_read(path, &session->parent, err);
    if (rc == 0)
        rc = check_parent(&session->parent, path, err);
    if (rc == 0)
        rc = parse_job(session, err);
    session->seed = session->parent.seed;
    return mh_comm_agree(session->comm, rc, err);
}

/* ---- the ledger ---- */

struct loading {
    struct mh_session *session;
    struct mh_ledger_totals totals; /* of the rows read */
};

static bool sound(const struct mh_plan *plan, const struct mh_report_fate *fate)
{
    if (fate->worker < 0 || fate->worker >= plan->worker_count || fate->insert <= MH_INSERT_NONE ||
        fate->insert > MH_INSERT_ACKED || fate->version < 0 || fate->version > MH_FATE_VERSION ||
        fate->flags & ~(MH_FATE_DELETED | MH_FATE_DELETE_UNKNOWN | MH_FATE_UPSERT_UNKNOWN))
        return false;
    const struct mh_worker *worker = &plan->workers[fate->worker];
    return fate->first >= worker->first_id && fate->count > 0 &&
           fate->count <= worker->first_id + worker->rows - fate->first &&
           fate->partition == worker->partition;
}

static void count_rows(struct mh_ledger_totals *totals, const struct mh_report_fate *fate)
{
    totals->acknowledged_inserts += fate->insert == MH_INSERT_ACKED ? fate->count : 0;
    totals->unknown_inserts += fate->insert == MH_INSERT_UNKNOWN ? fate->count : 0;
    totals->refused_inserts += fate->insert == MH_INSERT_REFUSED ? fate->count : 0;
    totals->acknowledged_upserts += fate->version * fate->count;
    totals->unknown_upserts += fate->flags & MH_FATE_UPSERT_UNKNOWN ? fate->count : 0;
    totals->acknowledged_deletes += fate->flags & MH_FATE_DELETED ? fate->count : 0;
    totals->unknown_deletes += fate->flags & MH_FATE_DELETE_UNKNOWN ? fate->count : 0;
}

static int take_fate(void *context, const struct mh_report_fate *fate, struct mh_error *err)
{
    struct loading *loading = context;
    struct mh_session *session = loading->session;
    mh_alive();
    if (!sound(session->plan, fate))
        return mh_fail(err, "the rows from id %lld do not fit the saved job: the file is damaged",
                       (long long)fate->first);
    count_rows(&loading->totals, fate);
    if (mh_ledger_restore(&session->run.ledger, fate->worker, fate->first, fate->count,
                          (enum mh_insert_fate)fate->insert, (uint16_t)(fate->version | fate->flags)) != 0)
        return mh_fail(err, "out of memory for the ledger");
    return 0;
}

/* What the ledger adds up to is in the file twice: a damaged one is not judged by. */
static int compare_totals(const struct mh_session *session, const struct mh_ledger_totals *totals,
                          struct mh_error *err)
{
    const struct {
        const char *figure;
        int64_t rows;
    } sums[] = {{"acknowledged_inserts", totals->acknowledged_inserts},
                {"acknowledged_upserts", totals->acknowledged_upserts},
                {"acknowledged_deletes", totals->acknowledged_deletes},
                {"refused_inserts", totals->refused_inserts},
                {"unknown_inserts", totals->unknown_inserts},
                {"unknown_upserts", totals->unknown_upserts},
                {"unknown_deletes", totals->unknown_deletes}};
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        const int64_t saved = mh_report_figure(&session->parent, sums[i].figure);
        if (saved != sums[i].rows)
            return mh_fail(
                err,
                "%s: /truth/ledger adds up to %lld rows of %s, /truth/summary says %lld: the file is "
                "damaged",
                session->arguments->operand, (long long)sums[i].rows, sums[i].figure, (long long)saved);
    }
    return 0;
}

/* Rank 0 keeps the totals, as if it alone had written: ranks add theirs up. */
static void put_totals(struct mh_session *session, struct mh_ledger_totals *totals)
{
    struct mh_run *run = &session->run;
    if (session->rank != 0)
        return;
    totals->refused_upserts = mh_report_figure(&session->parent, "refused_upserts");
    totals->refused_deletes = mh_report_figure(&session->parent, "refused_deletes");
    run->ledger.totals = *totals;
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        run->rows_issued[kind] = mh_ledger_booked(totals, (enum mh_op_kind)kind);
}

static int load_ledger(struct mh_session *session, struct mh_error *err)
{
    struct loading loading = {.session = session};
    int rc = mh_report_read_fates(session->arguments->operand, session->rank, session->np, take_fate,
                                  &loading, err);
    if (mh_comm_agree(session->comm, rc, err) != 0)
        return -1;
    mh_comm_sum_i64(session->comm, (int64_t *)&loading.totals, sizeof loading.totals / sizeof(int64_t));
    if (compare_totals(session, &loading.totals, err) != 0)
        return -1;
    put_totals(session, &loading.totals);
    return 0;
}

/* ---- data set and server ---- */

static int open_dataset(struct mh_session *session, struct mh_error *err)
{
    if (mh_session_open_dataset(session, err) != 0)
        return -1;
    if (session->dataset_digest == session->parent.dataset_digest)
        return 0;
    return mh_fail(err,
                   "data set %s is not the one that run %s wrote its vectors from (%s): its content differs",
                   session->dataset, session->parent.run_id, session->parent.dataset);
}

static int open_server(struct mh_session *session, struct mh_error *err)
{
    mh_phases_enter(&session->run.phases, MH_PHASE_SERVER);
    int rc = mh_comm_agree(session->comm, mh_rpc_open(&session->job->server, &session->rpc, err), err);
    if (rc == 0)
        rc = mh_comm_agree(session->comm, session->rank == 0 ? mh_session_find_collection(session, err) : 0,
                           err);
    if (rc == 0 && session->rank == 0)
        mh_note("server %s, Milvus %s; collection %s as run %s of %s left it",
                session->job->server.uris.items[0], session->server_version, session->job->collection.name,
                session->parent.run_id, session->parent.started_utc);
    return rc;
}

static int prepare(struct mh_session *session, struct mh_error *err)
{
    if (load_parent(session, err) != 0 || mh_comm_agree(session->comm, make_plan(session, err), err) != 0)
        return -1;
    mh_session_name_run(session);
    return mh_session_choose_output(session, false, err) != 0 || open_dataset(session, err) != 0 ||
                   open_server(session, err) != 0 || mh_session_open_run(session, err) != 0 ||
                   load_ledger(session, err) != 0
               ? -1
               : 0;
}

int mh_command_verify(const struct mh_arguments *arguments, MPI_Comm comm)
{
    return mh_session_go(arguments, comm, prepare, NULL);
}
