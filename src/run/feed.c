/* The feed: acknowledged rows go to exactly one claimant, or to nobody. Who gets them is drawn from a hash of
 * (seed, first id), so that a job's runs on any number of ranks change the same rows. */
#include "run/stage.h"

#include <stdlib.h>
#include <string.h>

enum { FEED_STREAM = 0x66656564 };

static int enqueue(struct mh_claim_queue *queue, const struct mh_claim *claim)
{
    if (queue->count == queue->room) {
        size_t room = queue->room ? 2 * queue->room : 16;
        struct mh_claim *grown = malloc(room * sizeof *grown);
        if (!grown)
            return -1;
        for (size_t i = 0; i < queue->count; i++)
            grown[i] = queue->items[(queue->head + i) % queue->room];
        free(queue->items);
        *queue = (struct mh_claim_queue){.items = grown, .count = queue->count, .room = room};
    }
    queue->items[(queue->head + queue->count++) % queue->room] = *claim;
    return 0;
}

void mh_claim_queue_free(struct mh_claim_queue *queue)
{
    free(queue->items);
    *queue = (struct mh_claim_queue){0};
}

bool mh_role_take_claim(struct mh_role *role, struct mh_claim *claim)
{
    struct mh_hand *hand = role->core;
    struct mh_claim_queue *queue = &hand->claims;
    if (queue->count == 0)
        return false;
    *claim = queue->items[queue->head];
    queue->head = (queue->head + 1) % queue->room;
    queue->count--;
    return true;
}

static void out_of_memory(struct mh_stage *stage)
{
    struct mh_error err;
    mh_fail(&err, "out of memory for the feed");
    mh_stage_break(stage, &err);
}

static void deliver(struct mh_stage *stage, const struct mh_claim *claim)
{
    for (size_t i = 0; i < stage->hand_count; i++) {
        struct mh_hand *hand = &stage->hands[i];
        if (hand->role.worker->role != claim->role || hand->role.worker->index != claim->index)
            continue;
        stage->sums->claims_got[hand->role.ops->takes]++;
        if (!hand->exhausted && enqueue(&hand->claims, claim) != 0)
            out_of_memory(stage);
        return;
    }
}

void mh_feed_receive(struct mh_stage *stage)
{
    struct mh_claim claim;
    while (mh_post_receive(&stage->post, &claim))
        deliver(stage, &claim);
}

/* The role whose share the draw falls into, or -1: nobody. Rows that were upserted may still be deleted, not
 * the other way round. */
static int draw_role(const struct mh_stage *stage, enum mh_claim_use from, double draw)
{
    for (size_t r = 0; r < stage->options->role_count; r++) {
        const struct mh_role_options *options = &stage->options->roles[r];
        const struct mh_role_ops *ops = mh_role_ops_of(options);
        if (ops->takes <= from)
            continue;
        draw -= ops->share(options);
        if (draw < 0)
            return (int)r;
    }
    return -1;
}

static const struct mh_worker *find_worker(const struct mh_stage *stage, int role, uint64_t draw)
{
    const struct mh_plan *plan = stage->run->plan;
    for (int64_t i = plan->first_at_work; i < plan->worker_count; i++)
        if (plan->workers[i].stage == stage->index && plan->workers[i].role == role)
            return &plan->workers[i + (int64_t)(draw % (uint64_t)plan->workers[i].peers)];
    return NULL;
}

void mh_role_offer(struct mh_role *role, const struct mh_claim *rows)
{
    struct mh_hand *hand = role->core;
    struct mh_stage *stage = hand->stage;
    struct mh_random random = {.seed = stage->run->seed,
                               .stream = FEED_STREAM + (uint64_t)role->ops->takes,
                               .counter = (uint64_t)rows->first};
    int to = draw_role(stage, role->ops->takes, mh_random_unit(&random));
    if (to < 0 || stage->stopping)
        return;
    struct mh_claim claim = *rows;
    const struct mh_worker *worker =
        find_worker(stage, to, mh_random(random.seed, random.stream, ~random.counter));
    claim.role = to;
    claim.index = worker->index;
    stage->sums->claims_sent[mh_role_ops_of(&stage->options->roles[to])->takes]++;
    if (worker->rank == stage->run->rank)
        deliver(stage, &claim);
    else if (mh_post_send(&stage->post, worker->rank, &claim) != 0)
        out_of_memory(stage);
}
