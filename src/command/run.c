/* `milvus-hpc run`: from job file to result, step by step. Every step succeeds on all ranks or on none. */
#include "command/session.h"

#include "base/clock.h"
#include "base/log.h"
#include "comm/comm.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- before the load ---- */

static int share_text(struct mh_session *session, char **text, struct mh_error *err)
{
    uint64_t length = session->rank == 0 ? strlen(*text) : 0;
    mh_comm_bcast(session->comm, &length, sizeof length, 0);
    if (session->rank != 0)
        *text = calloc(length + 1, 1);
    if (mh_comm_agree(session->comm, *text ? 0 : mh_fail(err, "out of memory"), err) != 0)
        return -1;
    mh_comm_bcast(session->comm, *text, length, 0);
    return 0;
}

/* Rank 0 alone reads the file and its environment: all ranks parse the same text. */
static int load_job(struct mh_session *session, struct mh_error *err)
{
    char *path = NULL, *text = NULL;
    mh_phases_enter(&session->run.phases, MH_PHASE_READ_JOB);
    int rc = session->rank == 0 ? mh_session_read_job(session->arguments, &path, &text, err) : 0;
    rc = mh_comm_agree(session->comm, rc, err);
    if (rc == 0 && (rc = share_text(session, &path, err)) == 0 && (rc = share_text(session, &text, err)) == 0)
        rc = mh_comm_agree(session->comm,
                           mh_session_parse_job(session->arguments, path, text, &session->job, err), err);
    free(path);
    free(text);
    if (rc == 0)
        rc = mh_comm_agree(
            session->comm,
            mh_session_keep_sets(session, session->arguments) == 0 ? 0 : mh_fail(err, "out of memory"), err);
    if (rc == 0 && session->rank == 0 && !session->arguments->operand)
        mh_note("no job file given: running the small built-in job against %s",
                session->job->server.uris.items[0]);
    return rc;
}

static void draw_seed(struct mh_session *session)
{
    session->seed = session->arguments->seed;
    if (!session->arguments->seed_given && session->rank == 0) {
        uint32_t seed = (uint32_t)mh_wall_ns();
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            seed ^= (uint32_t)getpid();
        session->seed = seed;
    }
    mh_comm_bcast(session->comm, &session->seed, sizeof session->seed, 0);
}

static int make_plan(struct mh_session *session, struct mh_error *err)
{
    mh_phases_enter(&session->run.phases, MH_PHASE_PLAN);
    int rc =
        mh_plan_make(session->job, session->np, session->node_of_rank, mh_role_needs, &session->plan, err);
    if (rc == 0)
        rc = mh_roles_check(session->job, session->plan, err);
    return mh_comm_agree(session->comm, rc, err);
}

/* Before the load, and before the run's clock starts. */
static void calibrate(struct mh_session *session)
{
    const struct mh_run run = {.job = session->job,
                               .plan = session->plan,
                               .comm = session->comm,
                               .rank = session->rank,
                               .np = session->np,
                               .seed = session->seed,
                               .content = &session->content};
    mh_phases_enter(&session->run.phases, MH_PHASE_CALIBRATE);
    mh_calibrate(&session->calibration, &run, session->node_of_rank);
}

static int open_server(struct mh_session *session, struct mh_error *err)
{
    const int rc = mh_session_open_server(session, mh_session_make_collection, err);
    if (rc == 0 && session->rank == 0)
        mh_note("server %s, Milvus %s; collection %s, %d partition%s", session->job->server.uris.items[0],
                session->server_version, session->job->collection.name, session->plan->partition_count,
                session->plan->partition_count == 1 ? "" : "s");
    return rc;
}

static int enter_server(struct mh_session *session, struct mh_error *err)
{
    const int rc = mh_session_open_server(session, mh_session_enter_collection, err);
    if (rc == 0 && session->rank == 0)
        mh_note("server %s, Milvus %s; collection %s as run %s of %s left it, part %d begins",
                session->job->server.uris.items[0], session->server_version, session->job->collection.name,
                session->parent.run_id, session->parent.started_utc, session->plan->parts);
    return rc;
}

static json_t *without_token(const struct mh_session *session, const char *text)
{
    char *copy = mh_session_hide_token(session->job, text);
    json_t *value = copy ? json_string(copy) : NULL;
    free(copy);
    return value;
}

static json_t *earlier_of(const struct mh_session *session)
{
    const struct mh_report *parent = &session->parent;
    int64_t rows = 0, refused[2] = {0};
    if (parent->run_id[0]) {
        rows = mh_report_figure(parent, "acknowledged_inserts") +
               mh_report_figure(parent, "unknown_inserts") + mh_report_figure(parent, "refused_inserts");
        refused[0] = mh_report_figure(parent, "refused_upserts");
        refused[1] = mh_report_figure(parent, "refused_deletes");
    }
    return json_pack("{s:s, s:i, s:i, s:I, s:I, s:I}", "run_id", parent->run_id, "part", session->plan->parts,
                     "plan_np", session->plan->for_np, "rows", (json_int_t)rows, "refused_upserts",
                     (json_int_t)refused[0], "refused_deletes", (json_int_t)refused[1]);
}

/* What merge needs beside the journals. */
static int write_run_file(const struct mh_session *session, struct mh_error *err)
{
    char path[4200], part[4230];
    json_t *run =
        json_pack("{s:i, s:s, s:i, s:I, s:I, s:s, s:o, s:s, s:s, s:s, s:I, s:I}", "format", 2, "run_id",
                  session->run_id, "np", session->np, "seed", (json_int_t)session->seed, "started_wall_ns",
                  (json_int_t)session->started_wall_ns, "job_path", session->job->path, "job_text",
                  without_token(session, session->job->text), "label",
                  session->arguments->label ? session->arguments->label : "", "server_version",
                  session->server_version, "dataset", session->dataset, "dataset_digest",
                  (json_int_t)session->dataset_digest, "collection_id", (json_int_t)session->collection_id);
    json_object_set_new(run, "sets", json_loads(session->sets, 0, NULL));
    json_object_set_new(run, "earlier", earlier_of(session));
    json_t *nodes = json_array();
    for (int r = 0; r < session->np; r++)
        json_array_append_new(nodes, json_integer(session->node_of_rank[r]));
    json_object_set_new(run, "node_of_rank", nodes);
    snprintf(path, sizeof path, "%s/run.json", session->journals);
    snprintf(part, sizeof part, "%s.rank-%05d", path, session->rank);
    int rc = json_dump_file(run, part, JSON_INDENT(1));
    json_decref(run);
    if (rc == 0)
        rc = rename(part, path); /* other ranks may be writing the same */
    return rc == 0 ? 0 : mh_fail(err, "%s: cannot be written: %s", path, strerror(errno));
}

static int open_journals(struct mh_session *session, struct mh_error *err)
{
    struct mh_journal_start start = {.rank = session->rank,
                                     .np = session->np,
                                     .run = session->run.tag,
                                     .pid = getpid(),
                                     .start_ns = session->run.start_ns,
                                     .clock_offset_ns = session->run.clock.offset_ns};
    gethostname(start.host, sizeof start.host - 1);
    mh_comm_bcast(session->comm, session->server_version, sizeof session->server_version, 0);
    mh_comm_bcast(session->comm, &session->collection_id, sizeof session->collection_id, 0);
    int rc = session->rank == 0 || session->arguments->output_local ? write_run_file(session, err) : 0;
    if (rc == 0)
        rc = mh_journal_open(&session->run.journal, session->journals, &start, err);
    session->journals_begun = mh_comm_agree(session->comm, rc, err) == 0;
    return session->journals_begun ? 0 : -1;
}

/* ---- load: from here on, whatever goes wrong, what was measured is kept ---- */

static int run_stage(struct mh_session *session, int stage, struct mh_error *err)
{
    mh_phases_enter(&session->run.phases, MH_PHASE_SERVER);
    const int rc = session->rank == 0 ? mh_session_ready_collection(session, stage, err) : 0;
    return mh_comm_agree(session->comm, rc, err) != 0 ? -1 : mh_stage_run(&session->run, stage, err);
}

static void run_stages(struct mh_session *session)
{
    struct mh_error err;
    for (size_t s = 0;
         s < session->job->stage_count && !session->run.stopped && !session->run.gave_up && !session->broken;
         s++)
        if (run_stage(session, (int)s, &err) != 0)
            mh_session_break(session, &err);
}

/* ---- all of it ---- */

static int prepare(struct mh_session *session, struct mh_error *err)
{
    if (load_job(session, err) != 0 || make_plan(session, err) != 0)
        return -1;
    draw_seed(session);
    mh_session_name_run(session);
    if (mh_session_choose_output(session, true, err) != 0 || mh_session_open_dataset(session, err) != 0 ||
        open_server(session, err) != 0)
        return -1;
    calibrate(session);
    return mh_session_open_run(session, err) != 0 || open_journals(session, err) != 0 ? -1 : 0;
}

/* The same with a saved run's job, in its collection, and with the rows of its ledger. */
static int prepare_continued(struct mh_session *session, struct mh_error *err)
{
    if (mh_session_load_saved(session, session->arguments->continues, err) != 0 ||
        mh_session_plan_saved(session, 1, err) != 0)
        return -1;
    mh_session_name_run(session);
    if (mh_session_choose_output(session, true, err) != 0 ||
        mh_session_open_saved_dataset(session, err) != 0 || enter_server(session, err) != 0)
        return -1;
    calibrate(session);
    return mh_session_open_run(session, err) != 0 || open_journals(session, err) != 0 ||
                   mh_session_load_ledger(session, err) != 0
               ? -1
               : 0;
}

int mh_command_run(const struct mh_arguments *arguments, MPI_Comm comm)
{
    return mh_session_go(arguments, comm, arguments->continues ? prepare_continued : prepare, run_stages);
}
