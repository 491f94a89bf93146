#include "client/ask.h"

#include "base/alive.h"
#include "base/clock.h"

int mh_asker_open(struct mh_asker *asker, struct mh_rpc *rpc, const struct mh_job *job, int64_t which,
                  uint64_t seed, struct mh_error *err)
{
    *asker = (struct mh_asker){.rpc = rpc};
    asker->connection = mh_connection_open(rpc, which);
    if (!asker->connection)
        return mh_fail(err, "out of memory");
    asker->policy = (struct mh_retry_policy){
        .retry = &job->retry,
        .timeout_ns = job->server.timeout_ns,
        .everywhere = true,
        .random = {.seed = seed, .stream = 0x61736b, .counter = (uint64_t)which << 32}};
    return 0;
}

void mh_asker_close(struct mh_asker *asker)
{
    mh_op_free(&asker->op);
    mh_connection_close(asker->connection);
    *asker = (struct mh_asker){0};
}

static bool stopped(const struct mh_asker *asker)
{
    mh_alive();
    return asker->stop && asker->stop();
}

bool mh_ask_pause(struct mh_asker *asker, int64_t ns)
{
    const int64_t until = mh_now_ns() + ns;
    for (int64_t left = ns; left > 0 && !stopped(asker); left = until - mh_now_ns())
        mh_sleep_ns(left < 20 * MH_MS ? left : 20 * MH_MS);
    return !stopped(asker);
}

static void wait_for_call(struct mh_asker *asker)
{
    bool cancelled = false;
    while (!mh_rpc_wait(asker->rpc, mh_now_ns() + 20 * MH_MS))
        if (!cancelled && stopped(asker)) {
            mh_call_cancel(&asker->op.call);
            cancelled = true;
        }
}

int mh_ask(struct mh_asker *asker, const struct mh_request *request, const struct mh_reply **reply,
           struct mh_error *err)
{
    struct mh_op *op = &asker->op;
    mh_op_release(op);
    op->request = *request;
    enum mh_op_next next;
    if (reply)
        *reply = &op->reply;
    mh_connection_go_home(asker->connection);
    do {
        if (mh_op_send(op, asker->connection, &asker->policy, err) != 0)
            return -1;
        wait_for_call(asker);
        next = mh_op_take(op, &asker->policy);
        if (next == MH_OP_AGAIN)
            mh_op_warn_of_trouble(op);
    } while (next == MH_OP_AGAIN && mh_ask_pause(asker, op->retry_ns - mh_now_ns()));
    if (op->outcome == MH_OUTCOME_OK)
        return 0;
    char text[400];
    mh_op_describe(op, text, sizeof text);
    return mh_fail(err, "%s: %s", mh_connection_uri(asker->connection), text);
}
