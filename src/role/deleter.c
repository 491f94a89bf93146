/* Deleter: deletes random batches of recently acknowledged rows, by key, across partitions. */
#include "role/pool.h"

struct deleter_options {
    double share;
};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    MH_ROLE_BATCH("100"),
    MH_ROLE_INFLIGHT("1"),
    MH_ROLE_RATE,
    MH_ROLE_ARRIVAL,
    MH_ROLE_STEPS,
    MH_ROLE_WARMUP,
    MH_ROLE_OPS,
    MH_ROLE_FOR,
    {.name = "share",
     .type = MH_OPTION_RATIO,
     .base = MH_IN_OWN,
     .offset = offsetof(struct deleter_options, share),
     .fallback = "20%",
     .min = 0,
     .max = 1,
     .help = "of the acknowledged batches, how many this role deletes"},
    {0},
};

static double share(const struct mh_role_options *given)
{
    return ((const struct deleter_options *)given->own)->share;
}

/* Waits for a full batch: only a dry feed, or a full pool, makes it send a smaller one. */
static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    struct mh_pool *pool = role->state;
    bool dry = role->view->dry; /* before the look for claims: one that comes in between is seen next time */
    if (!mh_pool_open(pool, role))
        return MH_NEXT_NO_MEMORY;
    int64_t undrawn = mh_pool_undrawn(pool);
    if (undrawn == 0 && dry)
        return pool->count ? MH_NEXT_WAIT : MH_NEXT_FINISHED;
    bool more_may_come = !dry && pool->count < MH_POOL_CLAIMS;
    if (undrawn == 0 || (undrawn < role->options->batch && more_may_come))
        return MH_NEXT_WAIT;
    op->request.kind = MH_OP_DELETE;
    op->partition = -1;
    op->rows.rows = undrawn < role->options->batch ? undrawn : role->options->batch;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        struct mh_pool_claim *from = mh_pool_pick(pool, &role->random);
        op->rows.ids[i] = mh_pool_draw(from, &role->random);
        op->versions[i] = (uint16_t)from->claim.version;
    }
    return MH_NEXT_SEND;
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    struct mh_pool *pool = role->state;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        struct mh_pool_claim *from = mh_pool_find(pool, op->rows.ids[i]);
        from->out--;
        if (mh_pool_round_over(from))
            mh_pool_close_claim(pool, from);
    }
}

const struct mh_role_ops mh_role_deleter = {
    .kind = {.name = "deleter",
             .help = "deletes random batches of rows that others had acknowledged",
             .options = options,
             .own_size = sizeof(struct deleter_options)},
    .order = 2,
    .takes = MH_CLAIMS_TO_DELETE,
    .share = share,
    .state_size = sizeof(struct mh_pool),
    .next = next,
    .done = done,
    .left = mh_pool_left,
    .fini = mh_pool_fini,
};
