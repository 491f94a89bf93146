#include "client/op.h"

#include "base/clock.h"
#include "base/log.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct mh_op *mh_op_of(struct mh_call *call)
{
    return (struct mh_op *)(void *)((char *)call - offsetof(struct mh_op, call));
}

/* ---- what lasts longer than its reply ---- */

static bool is_loaded(const struct mh_reply *reply)
{
    return reply->state == MH_LOAD_LOADED;
}

static bool is_not_loading(const struct mh_reply *reply)
{
    return reply->state != MH_LOAD_LOADING;
}

static bool is_built(const struct mh_reply *reply)
{
    return reply->state == MH_INDEX_FINISHED && reply->pending_rows == 0;
}

static bool is_not_building(const struct mh_reply *reply)
{
    return reply->state == MH_INDEX_FAILED || reply->state == MH_INDEX_NONE;
}

static const struct wait {
    enum mh_op_kind ask;
    bool (*over)(const struct mh_reply *reply);
    bool (*hopeless)(const struct mh_reply *reply); /* it will not be over */
} waits[] = {
    [MH_UNTIL_LOADED] = {MH_OP_LOAD_STATE, is_loaded, is_not_loading},
    [MH_UNTIL_BUILT] = {MH_OP_DESCRIBE_INDEX, is_built, is_not_building},
};

static enum mh_op_kind kind_at_hand(const struct mh_op *op)
{
    return op->looking ? waits[op->until].ask : op->request.kind;
}

static int encode(struct mh_op *op, struct mh_error *err)
{
    struct mh_request request = op->request;
    request.kind = kind_at_hand(op);
    return mh_encode(&request, &op->payload, err);
}

/* Until it is over, it counts as failed: whoever ends it before learns that. */
static void not_yet(struct mh_op *op, const char *why)
{
    op->outcome = MH_OUTCOME_FAILED;
    snprintf(op->reply.reason, sizeof op->reply.reason, "%s says state %d: %s",
             mh_op_infos[waits[op->until].ask].name, op->reply.state, why);
}

/* The question at hand was answered. True: look again, at op->retry_ns. */
static bool goes_on(struct mh_op *op)
{
    const struct wait *wait = &waits[op->until];
    if (op->until == MH_UNTIL_REPLY || (op->looking && wait->over(&op->reply)))
        return false;
    const bool hopeless = op->looking && wait->hopeless(&op->reply);
    const bool late = op->done_ns - op->sent_ns > op->patience_ns;
    not_yet(op, hopeless ? "it was given up" : late ? "not done in time" : "not done yet");
    if (hopeless || late)
        return false;
    op->retry_ns = op->done_ns + (op->looking ? op->poll_ns : 0);
    op->looking = true;
    op->asked = op->held = 0;
    return true;
}

/* ---- one call ---- */

int mh_op_send(struct mh_op *op, struct mh_connection *connection, const struct mh_retry_policy *policy,
               struct mh_error *err)
{
    if (encode(op, err) != 0)
        return -1;
    op->call.method = mh_op_infos[kind_at_hand(op)].method;
    op->call.payload = &op->payload;
    op->call.timeout_ns = policy->timeout_ns;
    op->connection = connection;
    mh_call_submit(connection, &op->call);
    if (op->attempts++ == 0)
        op->sent_ns = op->call.sent_ns;
    if (op->asked++ == 0)
        op->asked_ns = op->call.sent_ns;
    op->looks += op->looking;
    return 0;
}

static int64_t backoff(const struct mh_op *op, struct mh_retry_policy *policy)
{
    int doublings = op->asked - 1 < 40 ? op->asked - 1 : 40;
    double wait = (double)policy->retry->backoff_ns[0] * (double)(1LL << doublings);
    if (wait > (double)policy->retry->backoff_ns[1])
        wait = (double)policy->retry->backoff_ns[1];
    return (int64_t)(wait * (0.5 + 0.5 * mh_random_unit(&policy->random)));
}

/* A proxy that it has just moved to and that has not seen it yet. */
static bool has_untried(const struct mh_op *op)
{
    return op->moved && op->asked < mh_connection_choices(op->connection);
}

/* After a load, 2.3 may not find the node that it has just loaded onto: a patient reader asks once more. */
static bool in_trouble(const struct mh_op *op, const struct mh_retry_policy *policy)
{
    return policy->patience_ns > 0 && op->call.status == MH_GRPC_OK && mh_reply_is_trouble(&op->reply);
}

static bool may_try_again(struct mh_op *op, const struct mh_retry_policy *policy)
{
    if (op->outcome == MH_OUTCOME_THROTTLED)
        return op->held <= policy->retry->max;
    const bool write = mh_op_infos[op->request.kind].write;
    const int64_t spent_ns = op->done_ns - op->asked_ns;
    if (!write && op->timed_out)
        return spent_ns < policy->patience_ns || (policy->everywhere && has_untried(op));
    const bool read_broke = !write && (op->call.status == MH_GRPC_UNAVAILABLE || in_trouble(op, policy));
    return (op->unreachable || read_broke) && (spent_ns < policy->timeout_ns || has_untried(op));
}

/* Of a delete some servers count nothing, and others every copy. */
static bool counts_all(const struct mh_op *op)
{
    const int64_t counted = op->reply.affected, sent = op->request.rows;
    if (op->request.kind == MH_OP_DELETE)
        return counted == 0 || counted >= sent;
    return (op->request.kind != MH_OP_INSERT && op->request.kind != MH_OP_UPSERT) || counted == sent;
}

/* A success that counts fewer rows than were sent leaves open which of them it means. */
static void doubt_partial_success(struct mh_op *op)
{
    if (op->outcome != MH_OUTCOME_OK || counts_all(op))
        return;
    op->outcome = MH_OUTCOME_UNKNOWN;
    snprintf(op->reply.reason, sizeof op->reply.reason, "success, but for %lld rows of %lld",
             (long long)op->reply.affected, (long long)op->request.rows);
}

static void accept_none(struct mh_op *op)
{
    if (!op->none_is_fine || op->outcome != MH_OUTCOME_FAILED || !mh_reply_is_missing_index(&op->reply))
        return;
    op->outcome = MH_OUTCOME_OK;
    op->reply.state = MH_INDEX_NONE;
    op->reply.described = false;
}

/* A server that has our deadline may be the first to say so, in words of its own: it makes no difference. */
static bool ran_out_of_time(const struct mh_op *op, const struct mh_retry_policy *policy)
{
    const struct mh_call *call = &op->call;
    if (call->status != MH_GRPC_OK || op->outcome != MH_OUTCOME_FAILED || mh_op_infos[op->request.kind].write)
        return call->status == MH_GRPC_DEADLINE_EXCEEDED;
    return call->done_ns - call->sent_ns >= policy->timeout_ns - policy->timeout_ns / 20;
}

enum mh_op_next mh_op_take(struct mh_op *op, struct mh_retry_policy *policy)
{
    const struct mh_call *call = &op->call;
    mh_decode(kind_at_hand(op), call->status, call->message, call->never_sent, call->reply,
              call->reply_length, &op->reply);
    op->done_ns = call->done_ns;
    op->outcome = op->reply.outcome;
    doubt_partial_success(op);
    accept_none(op);
    op->throttled += op->outcome == MH_OUTCOME_THROTTLED;
    op->held += op->outcome == MH_OUTCOME_THROTTLED;
    op->timed_out = ran_out_of_time(op, policy);
    op->unreachable = call->never_sent;
    op->bytes_out += call->never_sent ? 0 : (int64_t)call->request_length;
    op->moved = op->connection && mh_connection_leave(op->connection, call);
    if (op->outcome == MH_OUTCOME_OK) {
        if (!goes_on(op))
            return MH_OP_FINAL;
    } else if (may_try_again(op, policy)) {
        op->retry_ns = op->done_ns + (has_untried(op) ? 0 : backoff(op, policy));
    } else {
        return MH_OP_FINAL;
    }
    mh_call_release(&op->call);
    return MH_OP_AGAIN;
}

void mh_op_release(struct mh_op *op)
{
    mh_call_release(&op->call);
    op->attempts = op->throttled = op->looks = op->asked = op->held = 0;
    op->looking = op->apart = op->owed = op->none_is_fine = false;
    op->until = MH_UNTIL_REPLY;
    op->booked_as = 0;
    op->bytes_out = 0;
    op->timed_out = op->unreachable = op->moved = false;
    op->delay_ns = 0;
    op->next = NULL;
}

void mh_op_free(struct mh_op *op)
{
    mh_call_free(&op->call);
    mh_payload_free(&op->payload);
    mh_reply_free(&op->reply);
    mh_rowset_free(&op->rows);
    free(op->versions);
    free(op->read.text);
}

void mh_op_describe(const struct mh_op *op, char *text, size_t size)
{
    const char *name = mh_op_infos[op->request.kind].name;
    if (op->call.status != MH_GRPC_OK)
        snprintf(text, size, "%s: gRPC %s: %s", name, mh_grpc_status_name(op->call.status), op->reply.reason);
    else
        snprintf(text, size, "%s: Milvus code %d: %s", name,
                 op->reply.code ? op->reply.code : op->reply.legacy_code, op->reply.reason);
}

void mh_op_warn_of_trouble(const struct mh_op *op)
{
    static uint64_t times[MH_OP_KINDS];
    char text[400];
    if (op->asked != 1 || op->outcome != MH_OUTCOME_FAILED || op->call.status != MH_GRPC_OK)
        return;
    const uint64_t now = ++times[op->request.kind];
    if ((now & (now - 1)) != 0) /* the 1st, 2nd, 4th, 8th...: a server in trouble fills no disk */
        return;
    mh_op_describe(op, text, sizeof text);
    mh_warn("%s: %s: asked again (%llu of this rank's questions of that kind so far)",
            mh_connection_uri(op->connection), text, (unsigned long long)now);
}
