/* The run's collection: made if the name is free, dropped at the end by the one who made it. */
#include "command/session.h"

#include "base/clock.h"
#include "base/log.h"
#include "client/steps.h"
#include "comm/comm.h"
#include "truth/later.h"
#include "truth/presence.h"

#include <stdio.h>

#define IMPATIENT_NS (5 * MH_S)

enum {
    LEAST_DROP_S = 2, /* for the drop at the end, whenever a signal came */
    FAREWELL_S = 1,   /* of the grace, for what comes after it */
};

static int have_version(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    const struct mh_reply *reply;
    struct mh_request request = {.kind = MH_OP_VERSION};
    if (mh_ask(asker, &request, &reply, err) != 0)
        return -1;
    snprintf(session->server_version, sizeof session->server_version, "%s", reply->text);
    return 0;
}

static int guard(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    const struct mh_collection_options *collection = &session->job->collection;
    const struct mh_reply *reply;
    struct mh_request request = {.kind = MH_OP_HAS_COLLECTION, .collection = collection->name};
    if (mh_ask(asker, &request, &reply, err) != 0)
        return -1;
    if (!reply->yes)
        return 0;
    if (!collection->replace)
        return mh_fail(
            err,
            "collection %s exists already on %s and is not touched; choose another collection.name, or say "
            "collection.replace: true to drop it first",
            collection->name, session->job->server.uris.items[0]);
    mh_note("dropping collection %s, as collection.replace says", collection->name);
    request.kind = MH_OP_DROP_COLLECTION;
    return mh_ask(asker, &request, NULL, err);
}

static int create(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    struct mh_request request = {.kind = MH_OP_CREATE_COLLECTION,
                                 .collection = session->job->collection.name,
                                 .schema = &session->job->collection,
                                 .dim = session->data->shape.dim};
    if (mh_ask(asker, &request, NULL, err) != 0)
        return -1;
    session->collection_made = true;
    request.kind = MH_OP_CREATE_PARTITION;
    for (int p = 1; p < session->plan->partition_count; p++) { /* 0 is _default, always there */
        request.partition = session->plan->partitions[p];
        if (mh_ask(asker, &request, NULL, err) != 0)
            return -1;
    }
    return 0;
}

/* So that a later look can tell whether it is still this one. */
static int note_identity(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    const struct mh_reply *reply;
    struct mh_request request = {.kind = MH_OP_DESCRIBE_COLLECTION,
                                 .collection = session->job->collection.name};
    if (mh_ask(asker, &request, &reply, err) != 0)
        return -1;
    session->collection_id = reply->collection_id;
    return 0;
}

/* The collection that the saved run left. */
static int check_identity(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    const char *name = session->job->collection.name, *uri = session->job->server.uris.items[0];
    if (mh_find_collection(asker, session->job, &session->content, false, &session->collection_gone, err) !=
        0)
        return -1;
    if (session->collection_gone)
        return 0; /* the audit will say what is lost: all of it */
    if (note_identity(session, asker, err) != 0)
        return -1;
    const int64_t was = session->parent.collection_id;
    if (was && session->collection_id && was != session->collection_id)
        return mh_fail(err,
                       "collection %s on %s is not the one that run %s filled (its id was %lld, now it is "
                       "%lld): nothing can be said of that one",
                       name, uri, session->parent.run_id, (long long)was, (long long)session->collection_id);
    return 0;
}

/* ---- is the saved ledger all there is to know? ---- */

static int look_for_later(struct mh_session *session, struct mh_asker *asker, int64_t first,
                          struct mh_later *later, struct mh_error *err)
{
    *later = (struct mh_later){0};
    if (session->plan->id_end == 0)
        return 0; /* the job writes no rows */
    asker->policy.patience_ns = MH_AUDIT_PATIENCE_S * MH_S;
    const int rc = mh_step_load(asker, session->job, &session->content, err);
    return rc == 0 ? mh_later_look(asker, session->job, &session->content, first, later, err) : -1;
}

/* Verify: else rows that another run wrote would be called unexpected. */
static int check_latest(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    struct mh_later later;
    if (session->collection_gone)
        return 0;
    if (look_for_later(session, asker, session->plan->id_end, &later, err) != 0)
        return -1;
    if (!later.ours)
        return 0;
    return mh_fail(
        err,
        "%s: run %s was continued since: collection %s holds row %lld of a later part, "
        "which this ledger does not know. verify the last part's result, which has the rows of all; "
        "after a part that was killed there is none that can be judged by",
        session->saved, session->parent.run_id, session->job->collection.name, (long long)later.id);
}

/* Continue: two parts that write the same ids would look like rows that the server made twice. */
static int check_unused(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    const struct mh_plan *plan = session->plan;
    struct mh_later later;
    if (look_for_later(session, asker, plan->id_end / plan->parts * (plan->parts - 1), &later, err) != 0)
        return -1;
    if (!later.any)
        return 0;
    return mh_fail(err, "%s: collection %s holds row %lld, of the ids that part %d would write: %s",
                   session->saved, session->job->collection.name, (long long)later.id, plan->parts,
                   later.ours ? "the run was continued before. Continue the last part's result, "
                                "which has the rows of all; after a part that was killed, begin "
                                "anew"
                              : "milvus-hpc verify says what it is");
}

static int check_there(struct mh_session *session, struct mh_asker *asker, struct mh_error *err)
{
    (void)asker;
    return !session->collection_gone
               ? 0
               : mh_fail(err,
                         "%s: collection %s is no longer on %s: there is nothing to go on with; milvus-hpc "
                         "verify says what is lost",
                         session->saved, session->job->collection.name, session->job->server.uris.items[0]);
}

typedef int server_step(struct mh_session *session, struct mh_asker *asker, struct mh_error *err);

/* Of what failed while a signal ends all questions: in our words, not in those of a call that was cancelled.
 */
static int blame_signal(const struct mh_asker *asker, const char *what, struct mh_error *err)
{
    if (!mh_signal_seen())
        return -1;
    if (asker->op.call.status == MH_GRPC_CANCELLED)
        return mh_fail(err, "a signal came before %s began", what);
    return mh_fail_in(err, "a signal came before %s began", what);
}

/* NULL-ended; the first that fails ends it. */
static int go_through(struct mh_session *session, server_step *const *steps, struct mh_error *err)
{
    struct mh_asker asker;
    if (mh_asker_open(&asker, session->rpc, session->job, 0, session->seed, err) != 0)
        return -1;
    asker.stop = mh_signal_seen;
    int rc = 0;
    for (; rc == 0 && *steps; steps++)
        rc = (*steps)(session, &asker, err);
    if (rc != 0)
        rc = blame_signal(&asker, session->only_audits ? "the audit" : "the load", err);
    mh_asker_close(&asker);
    return rc;
}

int mh_session_find_collection(struct mh_session *session, struct mh_error *err)
{
    static server_step *const steps[] = {have_version, check_identity, check_latest, NULL};
    return go_through(session, steps, err);
}

int mh_session_enter_collection(struct mh_session *session, struct mh_error *err)
{
    static server_step *const steps[] = {have_version, check_identity, check_there, check_unused, NULL};
    return go_through(session, steps, err);
}

int mh_session_make_collection(struct mh_session *session, struct mh_error *err)
{
    static server_step *const steps[] = {have_version, guard, create, note_identity, NULL};
    return go_through(session, steps, err);
}

/* ---- before a stage ---- */

static bool reads(const struct mh_stage_options *stage)
{
    for (size_t r = 0; r < stage->role_count; r++)
        if (mh_role_ops_of(&stage->roles[r])->reads)
            return true;
    return false;
}

int mh_session_ready_collection(struct mh_session *session, int index, struct mh_error *err)
{
    const struct mh_stage_options *stage = &session->job->stages[index];
    const bool load = stage->before & MH_BEFORE_LOAD || reads(stage), flush = stage->before & MH_BEFORE_FLUSH;
    struct mh_asker asker;
    if (!load && !flush)
        return 0;
    mh_note("stage %s: waiting until the collection is %s%s%s", stage->name, flush ? "flushed" : "",
            flush && load ? ", " : "", load ? "indexed and loaded" : "");
    if (mh_asker_open(&asker, session->rpc, session->job, 0, session->seed, err) != 0)
        return -1;
    asker.stop = mh_signal_seen;
    int rc = flush ? mh_step_flush(&asker, session->job, &session->content, err) : 0;
    if (rc == 0 && load)
        rc = mh_step_load(&asker, session->job, &session->content, err);
    if (rc != 0)
        rc = blame_signal(&asker, "it", err);
    mh_asker_close(&asker);
    return rc == 0 ? 0 : mh_fail_in(err, "stage %s", stage->name);
}

int mh_session_open_server(struct mh_session *session, mh_session_step *first, struct mh_error *err)
{
    mh_phases_enter(&session->run.phases, MH_PHASE_SERVER);
    if (mh_comm_agree(session->comm, mh_rpc_open(&session->job->server, &session->rpc, err), err) != 0)
        return -1;
    return mh_comm_agree(session->comm, session->rank == 0 ? first(session, err) : 0, err);
}

/* ---- at the end ---- */

/* The saved run's: verify --drop ends what all is right with; anything else is evidence, or to be continued.
 */
static bool keeps_saved(const struct mh_session *session)
{
    return !session->arguments->drop || session->result_failed || !session->audited ||
           session->report.exit_code != MH_EXIT_GOOD;
}

bool mh_session_keeps_collection(const struct mh_session *session)
{
    if (session->parent.run_id[0])
        return keeps_saved(session);
    const bool violated = session->report.exit_code == MH_EXIT_VIOLATION ||
                          mh_audit_violations(&session->audit.figures) > 0,
               undecided = session->job->verify.enabled && !session->audited &&
                           mh_report_figure(&session->report, "acknowledged_inserts") > 0;
    return !session->collection_made || session->arguments->keep || session->result_failed || violated ||
           undecided;
}

static int64_t drop_least_ns;

/* After a signal the end comes, with the collection or without it: the result stands. */
static bool drop_is_late(void)
{
    const int64_t now = mh_now_ns();
    return now > drop_least_ns && now > mh_session_grace_end() - FAREWELL_S * MH_S;
}

void mh_session_drop_collection(struct mh_session *session)
{
    struct mh_asker asker;
    struct mh_error err;
    struct mh_request request = {.kind = MH_OP_DROP_COLLECTION, .collection = session->job->collection.name};
    if (!session->collection_made && !(session->arguments->drop && session->audited))
        return;
    if (mh_session_keeps_collection(session)) {
        if (!session->arguments->keep)
            mh_note("collection %s is kept, as evidence", request.collection);
        return;
    }
    if (mh_asker_open(&asker, session->rpc, session->job, 0, session->seed, &err) != 0)
        return;
    if (session->broken && asker.policy.timeout_ns > IMPATIENT_NS)
        asker.policy.timeout_ns = IMPATIENT_NS; /* the server may be gone */
    drop_least_ns = mh_now_ns() + LEAST_DROP_S * MH_S;
    asker.stop = drop_is_late;
    const bool failed = mh_ask(&asker, &request, NULL, &err) != 0;
    if (failed && drop_is_late())
        mh_warn("collection %s was not dropped within --grace, and may stay on the server: no answer",
                request.collection);
    else if (failed)
        mh_warn("collection %s could not be dropped: %s", request.collection, err.text);
    mh_asker_close(&asker);
}
