/* `milvus-hpc verify`: audits the rows of a saved run again, from its ledger: after a restart, a compaction,
 * a day, on any number of ranks. Sends no write; --drop ends with one. */
#include "command/session.h"

#include "base/log.h"

static int open_server(struct mh_session *session, struct mh_error *err)
{
    const int rc = mh_session_open_server(session, mh_session_find_collection, err);
    if (rc == 0 && session->rank == 0)
        mh_note("server %s, Milvus %s; collection %s as run %s of %s left it",
                session->job->server.uris.items[0], session->server_version, session->job->collection.name,
                session->parent.run_id, session->parent.started_utc);
    return rc;
}

static int prepare(struct mh_session *session, struct mh_error *err)
{
    session->only_audits = true;
    if (mh_session_load_saved(session, session->arguments->operand, err) != 0 ||
        mh_session_plan_saved(session, 0, err) != 0)
        return -1;
    session->job->verify.enabled = true;
    session->job->threshold_count = 0; /* they are about the load */
    mh_session_name_run(session);
    return mh_session_choose_output(session, false, err) != 0 ||
                   mh_session_open_saved_dataset(session, err) != 0 || open_server(session, err) != 0 ||
                   mh_session_open_run(session, err) != 0 || mh_session_load_ledger(session, err) != 0
               ? -1
               : 0;
}

int mh_command_verify(const struct mh_arguments *arguments, MPI_Comm comm)
{
    return mh_session_go(arguments, comm, prepare, NULL);
}
