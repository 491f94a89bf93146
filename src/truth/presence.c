#include "truth/presence.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "client/steps.h"
#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_AGAIN_MS = 500 };

/* ---- asking until the grace is over ---- */

/* Waits for the next look; false: there is none. */
static bool look_again(struct mh_asker *asker, int64_t deadline_ns)
{
    const int64_t left = deadline_ns - mh_now_ns(), pause = LOOK_AGAIN_MS * MH_MS;
    return left > 0 && mh_ask_pause(asker, left < pause ? left : pause);
}

/* A stop cuts the grace short: then nothing is confirmed. */
static int had_its_grace(const struct mh_asker *asker, struct mh_error *err)
{
    return asker->stop && asker->stop() ? mh_fail(err, "stopped by a signal") : 0;
}

static int confirm_collection(struct mh_asker *asker, const struct mh_job *job,
                              const struct mh_content *content, struct mh_error *err)
{
    const char *name = job->collection.name;
    const struct mh_reply *reply;
    const struct mh_request request = mh_steps_request(job, content, MH_OP_DESCRIBE_COLLECTION);
    if (had_its_grace(asker, err) != 0)
        return -1;
    if (mh_ask(asker, &request, &reply, err) == 0)
        return mh_fail(
            err,
            "has_collection says that there is no collection %s, describe_collection that there is, "
            "and verify.grace is over: nothing can be said of its rows",
            name);
    return mh_reply_is_missing_collection(reply)
               ? 0
               : mh_fail_in(err, "has_collection says that there is no collection %s; asked once more", name);
}

int mh_find_collection(struct mh_asker *asker, const struct mh_job *job, const struct mh_content *content,
                       bool known, bool *gone, struct mh_error *err)
{
    const int64_t deadline = mh_now_ns() + (known ? 0 : job->verify.grace_ns);
    const struct mh_request request = mh_steps_request(job, content, MH_OP_HAS_COLLECTION);
    const struct mh_reply *reply;
    *gone = false;
    do {
        if (mh_ask(asker, &request, &reply, err) != 0)
            return -1;
        if (reply->yes && *gone)
            mh_note("collection %s was said to be gone; asked again, it is there", job->collection.name);
        *gone = !reply->yes;
    } while (*gone && look_again(asker, deadline));
    return *gone ? confirm_collection(asker, job, content, err) : 0;
}

/* ---- partitions ---- */

static bool is_planned(const struct mh_plan *plan, const char *name)
{
    for (int p = 0; p < plan->partition_count; p++)
        if (strcmp(plan->partitions[p], name) == 0)
            return true;
    return false;
}

static bool was_gone(const struct mh_audit *audit, int p)
{
    return audit->partition_gone && !audit->collection_gone && audit->partition_gone[p];
}

/* The first partition of the plan that is missing for the first time; NULL: none is. */
static const char *newly_missing(const struct mh_audit *audit, const struct mh_reply *reply)
{
    for (int p = 0; p < audit->plan->partition_count; p++)
        if (!mh_reply_lists(reply, audit->plan->partitions[p]) && !was_gone(audit, p))
            return audit->plan->partitions[p];
    return NULL;
}

static int show_partitions(const struct mh_audit *audit, struct mh_asker *asker,
                           const struct mh_reply **reply, struct mh_error *err)
{
    const int64_t deadline = mh_now_ns() + audit->job->verify.grace_ns;
    const struct mh_request request = mh_steps_request(audit->job, audit->content, MH_OP_SHOW_PARTITIONS);
    const char *missing = NULL, *before;
    do {
        before = missing;
        if (mh_ask(asker, &request, reply, err) != 0)
            return -1;
        missing = newly_missing(audit, *reply);
        if (before && mh_reply_lists(*reply, before))
            mh_note("partition %s was said to be gone; asked again, it is there", before);
    } while (missing && look_again(asker, deadline));
    return missing ? had_its_grace(asker, err) : 0;
}

/* One line a partition: '+' or '-' (gone), its name, NUL. */
static int list_partitions(const struct mh_audit *audit, const struct mh_reply *reply, struct mh_bytes *out,
                           struct mh_error *err)
{
    int rc = 0;
    for (int p = 0; p < audit->plan->partition_count && rc == 0; p++) {
        const char *name = audit->plan->partitions[p];
        rc = mh_bytes_append(out, mh_reply_lists(reply, name) ? "+" : "-", 1);
        if (rc == 0)
            rc = mh_bytes_append(out, name, strlen(name) + 1);
    }
    for (size_t i = 0; i < reply->name_count && rc == 0; i++) {
        if (!reply->names[i][0]) /* asking for it would ask for all */
            return mh_fail(err, "show_partitions: the server names a partition that has no name");
        if (is_planned(audit->plan, reply->names[i]))
            continue;
        rc = mh_bytes_append(out, "+", 1);
        if (rc == 0)
            rc = mh_bytes_append(out, reply->names[i], strlen(reply->names[i]) + 1);
    }
    return rc == 0 ? 0 : mh_fail(err, "out of memory");
}

/* Of a query in a partition that is missing Milvus says no more than "unexpected"; of its load state, why. */
static int confirm_partition(const struct mh_audit *audit, struct mh_asker *asker, const char *name,
                             struct mh_error *err)
{
    const char *collection = audit->job->collection.name;
    const struct mh_reply *reply;
    struct mh_request request = mh_steps_request(audit->job, audit->content, MH_OP_LOAD_STATE);
    request.partition = name;
    if (mh_ask(asker, &request, &reply, err) == 0)
        return mh_fail(err,
                       "show_partitions says that collection %s has no partition %s, load_state does not, "
                       "and verify.grace is over: nothing can be said of its rows",
                       collection, name);
    return mh_reply_is_missing_partition(reply)
               ? 0
               : mh_fail_in(err,
                            "show_partitions says that collection %s has no partition %s; asked once more",
                            collection, name);
}

static int confirm_partitions(const struct mh_audit *audit, struct mh_asker *asker,
                              const struct mh_bytes *names, struct mh_error *err)
{
    for (const char *at = (const char *)names->data, *end = at + names->length; at < end;
         at += strlen(at) + 1)
        if (*at == '-' && confirm_partition(audit, asker, at + 1, err) != 0)
            return -1;
    return 0;
}

static int ask_partitions(const struct mh_audit *audit, struct mh_asker *asker, struct mh_bytes *out,
                          bool *collection_gone, struct mh_error *err)
{
    static const struct mh_reply nothing;
    const struct mh_reply *reply = &nothing;
    struct mh_error ignored;
    if (!*collection_gone && show_partitions(audit, asker, &reply, err) != 0) {
        if (!mh_reply_is_missing_collection(reply) ||
            mh_find_collection(asker, audit->job, audit->content, false, collection_gone, &ignored) != 0 ||
            !*collection_gone)
            return -1;
        reply = &nothing;
    }
    if (list_partitions(audit, reply, out, err) != 0)
        return -1;
    return *collection_gone ? 0 : confirm_partitions(audit, asker, out, err);
}

/* ---- all ranks ---- */

static int split_names(struct mh_presence *presence, size_t length)
{
    for (size_t at = 0; at < length; at += strlen(presence->names + at) + 1)
        presence->count++;
    presence->partitions = calloc((size_t)presence->count + 1, sizeof *presence->partitions);
    presence->partition_gone = calloc((size_t)presence->count + 1, sizeof *presence->partition_gone);
    if (!presence->partitions || !presence->partition_gone)
        return -1;
    size_t at = 0;
    for (int p = 0; p < presence->count; p++) {
        presence->partition_gone[p] = presence->names[at] == '-';
        presence->partitions[p] = presence->names + at + 1;
        at += strlen(presence->names + at) + 1;
    }
    return 0;
}

int mh_presence_learn(struct mh_audit *audit, struct mh_asker *asker, struct mh_presence *presence,
                      struct mh_error *err)
{
    struct mh_bytes names = {0};
    int rc = audit->rank == 0 ? ask_partitions(audit, asker, &names, &presence->collection_gone, err) : 0;
    rc = mh_comm_agree(audit->comm, rc, err);
    if (rc != 0) {
        free(names.data);
        return -1;
    }
    mh_comm_bcast(audit->comm, &presence->collection_gone, sizeof presence->collection_gone, 0);
    mh_comm_bcast(audit->comm, &names.length, sizeof names.length, 0);
    presence->names = audit->rank == 0 ? (char *)names.data : malloc(names.length + 1);
    rc = mh_comm_agree(audit->comm, presence->names ? 0 : mh_fail(err, "out of memory"), err);
    if (rc == 0) {
        mh_comm_bcast(audit->comm, presence->names, names.length, 0);
        rc = mh_comm_agree(audit->comm,
                           split_names(presence, names.length) == 0 ? 0 : mh_fail(err, "out of memory"), err);
    }
    return rc;
}

/* Positions in the plan mean the same in every pass. */
static void remember(struct mh_audit *audit, struct mh_presence *presence)
{
    if (!presence->partition_gone)
        return;
    free(audit->partition_gone);
    audit->partition_gone = presence->partition_gone;
    audit->collection_gone = presence->collection_gone;
}

void mh_presence_end(struct mh_audit *audit, struct mh_presence *presence)
{
    remember(audit, presence);
    if (presence->count < audit->partition_count || !presence->partitions) {
        free(presence->partitions);
        free(presence->names);
        return;
    }
    free(audit->partitions);
    free(audit->partition_text);
    audit->partitions = presence->partitions;
    audit->partition_text = presence->names;
    audit->partition_count = presence->count;
}
