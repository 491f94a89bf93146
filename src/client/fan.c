#include "client/fan.h"

#include "base/alive.h"
#include "base/clock.h"

#include <stdlib.h>

struct round { /* one mh_fan_run */
    struct mh_fan *fan;
    int64_t next, items;
    int busy;
    struct mh_op *waiting; /* to be sent again */
    mh_fan_ask *ask;
    mh_fan_take *take;
    void *context;
    struct mh_error *err;
    int rc;
};

int mh_fan_open(struct mh_fan *fan, struct mh_rpc *rpc, const struct mh_job *job, int64_t which, int width,
                uint64_t seed, struct mh_error *err)
{
    *fan = (struct mh_fan){.rpc = rpc, .width = width, .which = which};
    fan->policy = (struct mh_retry_policy){
        .retry = &job->retry,
        .timeout_ns = job->server.timeout_ns,
        .everywhere = true,
        .random = {.seed = seed, .stream = 0x66616e, .counter = (uint64_t)which << 32}};
    fan->slots = calloc((size_t)width, sizeof *fan->slots);
    fan->connections = calloc((size_t)mh_rpc_uris(rpc), sizeof(struct mh_connection *));
    if (fan->slots && fan->connections)
        return 0;
    mh_fan_close(fan);
    return mh_fail(err, "out of memory");
}

void mh_fan_close(struct mh_fan *fan)
{
    for (int i = 0; fan->slots && i < fan->width; i++) {
        mh_op_free(&fan->slots[i].op);
        free(fan->slots[i].text);
    }
    free(fan->slots);
    for (int u = 0; fan->connections && u < mh_rpc_uris(fan->rpc); u++)
        mh_connection_close(fan->connections[u]);
    free(fan->connections);
    *fan = (struct mh_fan){0};
}

char *mh_fan_text(struct mh_fan_slot *slot, size_t room)
{
    if (room > slot->room) {
        char *grown = realloc(slot->text, room);
        if (!grown)
            return NULL;
        slot->text = grown;
        slot->room = room;
    }
    return slot->text;
}

static void fail(struct round *round)
{
    round->rc = -1;
}

static struct mh_connection *connection_of(struct mh_fan *fan, const struct mh_fan_slot *slot)
{
    const size_t uri = (size_t)slot->via % (size_t)mh_rpc_uris(fan->rpc);
    if (!fan->connections[uri])
        fan->connections[uri] = mh_connection_open(fan->rpc, (int64_t)uri);
    else
        mh_connection_go_home(fan->connections[uri]);
    return fan->connections[uri];
}

static void send(struct round *round, struct mh_fan_slot *slot)
{
    struct mh_connection *connection = connection_of(round->fan, slot);
    if (!connection)
        mh_fail(round->err, "out of memory for a connection");
    else if (mh_op_send(&slot->op, connection, &round->fan->policy, round->err) == 0)
        return;
    round->busy--;
    slot->op.owner = NULL;
    fail(round);
}

/* The next question worth asking goes into the slot. */
static void fill(struct round *round, struct mh_fan_slot *slot)
{
    while (round->rc == 0 && round->next < round->items) {
        slot->item = round->next++;
        slot->via = round->fan->which;
        mh_op_release(&slot->op);
        slot->op.request = (struct mh_request){0};
        enum mh_fan_answer answer = round->ask(round->context, slot->item, slot);
        if (answer == MH_FAN_SKIP)
            continue;
        if (answer == MH_FAN_NO_MEMORY) {
            mh_fail(round->err, "out of memory for a query");
            fail(round);
            return;
        }
        slot->op.owner = slot;
        slot->op.partition = -1;
        slot->op.due_ns = mh_now_ns();
        round->busy++;
        send(round, slot);
        return;
    }
}

static void send_waiting(struct round *round)
{
    int64_t now = mh_now_ns();
    for (struct mh_op **at = &round->waiting; *at;) {
        struct mh_op *op = *at;
        if (round->rc == 0 && op->retry_ns > now) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        if (round->rc == 0)
            send(round, op->owner);
        else
            round->busy--;
    }
}

static void end_badly(struct round *round, const struct mh_op *op)
{
    char text[400];
    if (round->rc != 0)
        return; /* the first cause is told */
    mh_op_describe(op, text, sizeof text);
    mh_fail(round->err, "%s: %s", mh_connection_uri(op->connection), text);
    fail(round);
}

static void take(struct round *round, struct mh_op *op)
{
    struct mh_fan_slot *slot = op->owner;
    if (mh_op_take(op, &round->fan->policy) == MH_OP_AGAIN) {
        mh_op_warn_of_trouble(op);
        op->next = round->waiting;
        round->waiting = op;
        return;
    }
    round->busy--;
    if (round->fan->watch)
        round->fan->watch(round->fan->watch_context, op);
    if (op->outcome != MH_OUTCOME_OK)
        end_badly(round, op);
    else if (round->rc == 0 && round->take(round->context, slot->item, &op->reply, round->err) != 0)
        fail(round);
    fill(round, slot);
}

static void give_up(struct round *round)
{
    if (round->rc == 0)
        mh_fail(round->err, "stopped by a signal");
    fail(round);
    for (int i = 0; i < round->fan->width; i++)
        mh_call_cancel(&round->fan->slots[i].op.call);
}

int mh_fan_run(struct mh_fan *fan, int64_t items, mh_fan_ask *ask, mh_fan_take *take_answer, void *context,
               struct mh_error *err)
{
    struct round round = {
        .fan = fan, .items = items, .ask = ask, .take = take_answer, .context = context, .err = err};
    for (int i = 0; i < fan->width; i++)
        fill(&round, &fan->slots[i]);
    while (round.busy > 0) {
        struct mh_call *call = mh_rpc_wait(fan->rpc, mh_now_ns() + 10 * MH_MS);
        mh_alive();
        if (call)
            take(&round, mh_op_of(call));
        send_waiting(&round);
        if (round.rc == 0 && fan->stop && fan->stop())
            give_up(&round);
    }
    return round.rc;
}
