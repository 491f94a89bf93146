#include "client/steps.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    POLL_MS = 100,
    LOAD_TRIES = 3, /* the first load after a restart of 2.3 fails now and then */
};

struct mh_request mh_steps_request(const struct mh_job *job, const struct mh_content *content,
                                   enum mh_op_kind kind)
{
    const struct mh_index_options *index = &job->collection.index;
    return (struct mh_request){.kind = kind,
                               .collection = job->collection.name,
                               .index_field = mh_content_vector_name(content),
                               .index_type = index->type,
                               .index_metric = mh_metric_names[index->metric],
                               .index_params = index->params};
}

static int ask(struct mh_asker *asker, struct mh_request request, const struct mh_reply **reply,
               struct mh_error *err)
{
    return mh_ask(asker, &request, reply, err);
}

static int64_t deadline_of(const struct mh_job *job)
{
    return mh_now_ns() + job->server.patience_ns;
}

static int not_in_time(const struct mh_asker *asker, const struct mh_job *job, const char *what,
                       struct mh_error *err)
{
    if (asker->stop && asker->stop())
        return mh_fail(err, "stopped by a signal");
    return mh_fail(err, "%s took longer than %g s (server.patience)", what,
                   (double)job->server.patience_ns / (double)MH_S);
}

static bool go_on(struct mh_asker *asker, int64_t deadline_ns)
{
    return mh_now_ns() < deadline_ns && mh_ask_pause(asker, POLL_MS * MH_MS);
}

static int create_index(MH_STEP_INPUTS)
{
    mh_note("the collection has no index, so it cannot be loaded: creating %s", job->collection.index.type);
    return ask(asker, mh_steps_request(job, content, MH_OP_CREATE_INDEX), NULL, err);
}

/* A loaded collection is what can be read, and only one with an index can be loaded. */
int mh_step_index(MH_STEP_INPUTS)
{
    const int64_t deadline = deadline_of(job);
    const struct mh_reply *reply;
    bool created = false;
    do {
        int rc = ask(asker, mh_steps_request(job, content, MH_OP_DESCRIBE_INDEX), &reply, err);
        bool none =
            (rc != 0 && mh_reply_is_missing_index(reply)) || (rc == 0 && reply->state == MH_INDEX_NONE);
        if (none && !created) {
            created = true;
            if (create_index(asker, job, content, err) != 0)
                return -1;
            continue;
        }
        if (rc != 0)
            return -1;
        if (reply->state == MH_INDEX_FAILED)
            return mh_fail(err, "the index could not be built: %s", reply->text);
        if (reply->state == MH_INDEX_FINISHED && reply->pending_rows == 0)
            return 0;
    } while (go_on(asker, deadline));
    return not_in_time(asker, job, "building the index", err);
}

static int wait_loaded(MH_STEP_INPUTS)
{
    const int64_t deadline = deadline_of(job);
    const struct mh_reply *reply;
    do {
        if (ask(asker, mh_steps_request(job, content, MH_OP_LOAD_STATE), &reply, err) != 0)
            return -1;
        if (reply->state == MH_LOAD_LOADED)
            return 0;
        if (reply->state != MH_LOAD_LOADING)
            return mh_fail(err, "loading the collection ended in state %d", reply->state);
    } while (go_on(asker, deadline));
    return not_in_time(asker, job, "loading the collection", err);
}

static int try_to_load(MH_STEP_INPUTS)
{
    int rc = -1;
    for (int try = 0; rc != 0 && try < LOAD_TRIES; try++) {
        if (try > 0 && !mh_ask_pause(asker, MH_S))
            break;
        rc = ask(asker, mh_steps_request(job, content, MH_OP_LOAD), NULL, err);
        if (rc == 0)
            rc = wait_loaded(asker, job, content, err);
    }
    return rc;
}

int mh_step_flush(MH_STEP_INPUTS)
{
    const int64_t deadline = deadline_of(job);
    const struct mh_reply *reply;
    if (ask(asker, mh_steps_request(job, content, MH_OP_FLUSH), &reply, err) != 0)
        return -1;
    struct mh_request state = mh_steps_request(job, content, MH_OP_FLUSH_STATE);
    int64_t *segments = malloc((reply->segment_count + 1) * sizeof *segments);
    if (!segments)
        return mh_fail(err, "out of memory");
    if (reply->segment_count)
        memcpy(segments, reply->segments, reply->segment_count * sizeof *segments);
    state.segments = segments;
    state.segment_count = reply->segment_count;
    state.flush_ts = reply->flush_ts;
    int rc;
    do
        rc = ask(asker, state, &reply, err);
    while (rc == 0 && !reply->yes && go_on(asker, deadline));
    free(segments);
    return rc == 0 && !reply->yes ? not_in_time(asker, job, "flushing", err) : rc;
}

int mh_step_reload(MH_STEP_INPUTS)
{
    if (ask(asker, mh_steps_request(job, content, MH_OP_RELEASE), NULL, err) != 0)
        return -1;
    return try_to_load(asker, job, content, err);
}

int mh_step_load(MH_STEP_INPUTS)
{
    return mh_step_index(asker, job, content, err) != 0 ? -1 : try_to_load(asker, job, content, err);
}
