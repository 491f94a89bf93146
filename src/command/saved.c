/* A saved run, and its rows, as `verify` and `run --continue` begin with them. */
#include "command/session.h"

#include "base/alive.h"
#include "comm/comm.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_NUMBER = 1000000,   /* of ranks, or parts */
    ROWS_A_RECORD = 1000000, /* that the journal takes */
};

/* ---- what it was ---- */

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
    if (parent->part < 1 || parent->part > MOST_NUMBER || parent->plan_np < 1 ||
        parent->plan_np > MOST_NUMBER)
        return mh_fail(err, "%s: part %d, planned for %d ranks: the file is damaged", path, parent->part,
                       parent->plan_np);
    return 0;
}

/* What may differ from the saved run: where the server and the vectors are now, and how to look. */
static int check_set(const char *set, const char *command, struct mh_error *err)
{
    static const char *const free_to_change[] = {"server.", "retry.", "verify.", "dataset.path="};
    for (size_t i = 0; i < sizeof free_to_change / sizeof free_to_change[0]; i++)
        if (strncmp(set, free_to_change[i], strlen(free_to_change[i])) == 0)
            return 0;
    return mh_fail(
        err, "--set %s: %s takes server.*, retry.*, verify.* and dataset.path; all else is the saved run's",
        set, command);
}

/* The saved run's own, then this call's. */
static int join_sets(const struct mh_session *session, const json_t *own, struct mh_arguments *joined,
                     struct mh_error *err)
{
    const struct mh_arguments *given = session->arguments;
    const size_t count = json_array_size(own);
    *joined = (struct mh_arguments){.server = given->server};
    joined->sets = calloc(count + given->set_count + 1, sizeof *joined->sets);
    if (!joined->sets)
        return mh_fail(err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *set = json_string_value(json_array_get(own, i));
        if (!set)
            return mh_fail(err, "%s: job_sets: expected an array of texts: the file is damaged",
                           session->saved);
        joined->sets[joined->set_count++] = set;
    }
    for (size_t i = 0; i < given->set_count; i++) {
        if (check_set(given->sets[i], given->continues ? "run --continue" : given->command, err) != 0)
            return -1;
        joined->sets[joined->set_count++] = given->sets[i];
    }
    return 0;
}

static int parse_job(struct mh_session *session, struct mh_error *err)
{
    const struct mh_report *parent = &session->parent;
    struct mh_arguments joined = {0};
    json_t *own = json_loads(parent->job_sets, 0, NULL);
    int rc = json_is_array(own)
                 ? join_sets(session, own, &joined, err)
                 : mh_fail(err, "%s: job_sets: expected a JSON array: the file is damaged", session->saved);
    if (rc == 0)
        rc = mh_session_parse_job(&joined, parent->job_path, parent->job_text, &session->job, err);
    if (rc == 0 && mh_session_keep_sets(session, &joined) != 0)
        rc = mh_fail(err, "out of memory");
    mh_arguments_free(&joined);
    json_decref(own);
    return rc;
}

int mh_session_load_saved(struct mh_session *session, const char *path, struct mh_error *err)
{
    mh_phases_enter(&session->run.phases, MH_PHASE_READ_JOB);
    session->saved = path;
    int rc = mh_report_read(path, &session->parent, err);
    if (rc == 0)
        rc = check_parent(&session->parent, path, err);
    if (rc == 0)
        rc = parse_job(session, err);
    session->seed = session->parent.seed;
    return mh_comm_agree(session->comm, rc, err);
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

/* Ids and partitions as the saved run planned them; what is written, and audited, goes round the ranks of
 * today. */
static int plan_again(struct mh_session *session, int more, struct mh_error *err)
{
    const struct mh_report *parent = &session->parent;
    mh_phases_enter(&session->run.phases, MH_PHASE_PLAN);
    if (mh_plan_make(session->job, parent->plan_np, NULL, mh_role_needs, &session->plan, err) != 0)
        return -1;
    struct mh_plan *plan = session->plan;
    if (plan->worker_count * parent->part != parent->worker_count)
        return mh_fail(err, "%s: lists %lld workers, but its job has %lld", session->saved,
                       (long long)parent->worker_count, (long long)plan->worker_count * parent->part);
    if (mh_plan_continue(plan, parent->part + more, err) != 0)
        return mh_fail_in(err, "%s", session->saved);
    for (int64_t i = 0; i < parent->worker_count; i++)
        if (compare_worker(plan, &parent->workers[i], session->saved, err) != 0)
            return -1;
    return mh_plan_spread(plan, session->np, session->node_of_rank, err);
}

int mh_session_plan_saved(struct mh_session *session, int more, struct mh_error *err)
{
    return mh_comm_agree(session->comm, plan_again(session, more, err), err);
}

/* ---- the same vectors ---- */

int mh_session_open_saved_dataset(struct mh_session *session, struct mh_error *err)
{
    if (mh_session_open_dataset(session, err) != 0)
        return -1;
    if (session->dataset_digest == session->parent.dataset_digest)
        return 0;
    return mh_fail(err,
                   "data set %s is not the one that run %s wrote its vectors from (%s): its content differs",
                   session->dataset, session->parent.run_id, session->parent.dataset);
}

/* ---- its ledger ---- */

void mh_earlier_add(struct mh_earlier *earlier, const struct mh_record *restored)
{
    const int64_t rows = restored->rows, version = restored->version & MH_FATE_VERSION;
    const bool acked = restored->outcome == MH_OUTCOME_OK, deleted = restored->version & MH_FATE_DELETED;
    earlier->rows += rows;
    earlier->inserts += acked ? rows : 0;
    earlier->upserts += version * rows;
    earlier->deletes += deleted ? rows : 0;
    earlier->live += acked && !deleted && !(restored->version & MH_FATE_DELETE_UNKNOWN) ? rows : 0;
    earlier->upserts_hit_live += acked ? version * rows : 0;
    earlier->deletes_hit_live += acked && deleted ? rows : 0;
}

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

/* As a record of this rank's journal, where there is one: so that history, and merge, know the rows. */
static int restore(struct mh_session *session, const struct mh_record *record)
{
    struct mh_run *run = &session->run;
    mh_journal_append(&run->journal, record, NULL, NULL, NULL);
    if (record->worker < session->plan->first_at_work)
        mh_earlier_add(&session->earlier, record);
    return mh_ledger_restore(&run->ledger, record);
}

static int take_fate(void *context, const struct mh_report_fate *fate, struct mh_error *err)
{
    struct mh_session *session = context;
    mh_alive();
    if (!sound(session->plan, fate))
        return mh_fail(err, "the rows from id %lld do not fit the saved job: the file is damaged",
                       (long long)fate->first);
    for (int64_t at = 0; at < fate->count; at += ROWS_A_RECORD) {
        const int64_t left = fate->count - at;
        const struct mh_record record = mh_ledger_record(
            fate->worker, fate->partition, fate->first + at, left < ROWS_A_RECORD ? left : ROWS_A_RECORD,
            (enum mh_insert_fate)fate->insert, (uint16_t)(fate->version | fate->flags));
        if (restore(session, &record) != 0)
            return mh_fail(err, "out of memory for the ledger");
    }
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
                session->saved, (long long)sums[i].rows, sums[i].figure, (long long)saved);
    }
    static const char *const refused[] = {"refused_upserts", "refused_deletes"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (mh_report_figure(&session->parent, refused[i]) < 0)
            return mh_fail(err, "%s: /truth/summary has no number of %s: the file is damaged", session->saved,
                           refused[i]);
    return 0;
}

/* What was refused since is no row's fate: rank 0 counts it. */
static void put_totals(struct mh_session *session)
{
    struct mh_ledger_totals *totals = &session->run.ledger.totals;
    if (session->rank == 0) {
        totals->refused_upserts = mh_report_figure(&session->parent, "refused_upserts");
        totals->refused_deletes = mh_report_figure(&session->parent, "refused_deletes");
    }
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        session->run.rows_issued[kind] = mh_ledger_booked(totals, (enum mh_op_kind)kind);
}

int mh_session_load_ledger(struct mh_session *session, struct mh_error *err)
{
    int rc = mh_report_read_fates(session->saved, session->rank, session->np, take_fate, session, err);
    if (mh_comm_agree(session->comm, rc, err) != 0)
        return -1;
    mh_journal_flush(&session->run.journal);
    struct mh_ledger_totals totals = session->run.ledger.totals;
    mh_comm_sum_i64(session->comm, (int64_t *)&totals, sizeof totals / sizeof(int64_t));
    mh_comm_sum_i64(session->comm, (int64_t *)&session->earlier, sizeof session->earlier / sizeof(int64_t));
    if (compare_totals(session, &totals, err) != 0)
        return -1;
    put_totals(session);
    return 0;
}
