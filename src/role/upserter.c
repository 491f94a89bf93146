/* Upserter: writes new versions (vector and scalars) of random batches of recently acknowledged rows, each
 * batch of one partition, then hands them on to the deleters. */
#include "role/pool.h"

struct upserter_options {
    double share;
    int64_t versions;
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
     .offset = offsetof(struct upserter_options, share),
     .fallback = "20%",
     .min = 0,
     .max = 1,
     .help = "of the acknowledged batches, how many this role upserts"},
    {.name = "versions",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct upserter_options, versions),
     .fallback = "1",
     .min = 1,
     .max = 1000,
     .unit = "versions",
     .help = "how often it upserts each of its rows"},
    {0},
};

static double share(const struct mh_role_options *given)
{
    return ((const struct upserter_options *)given->own)->share;
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    struct mh_pool *pool = role->state;
    bool dry = role->view->dry;
    if (!mh_pool_open(pool, role))
        return MH_NEXT_NO_MEMORY;
    struct mh_pool_claim *from = mh_pool_pick(pool, &role->random);
    if (!from)
        return dry && pool->count == 0 ? MH_NEXT_FINISHED : MH_NEXT_WAIT;
    op->request.kind = MH_OP_UPSERT;
    op->partition = from->claim.partition;
    op->rows.rows = from->undrawn < role->options->batch ? from->undrawn : role->options->batch;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        op->rows.ids[i] = mh_pool_draw(from, &role->random);
        op->versions[i] = (uint16_t)(from->claim.version + 1);
    }
    return MH_NEXT_SEND;
}

static void end_round(struct mh_role *role, struct mh_pool *pool, struct mh_pool_claim *claim)
{
    const struct upserter_options *own = role->options->own;
    if (!claim->spoilt && claim->round + 1 < own->versions) {
        mh_pool_next_round(claim);
        return;
    }
    if (!claim->spoilt) {
        struct mh_claim rows = claim->claim;
        rows.version++;
        mh_role_offer(role, &rows);
    }
    mh_pool_close_claim(pool, claim);
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    struct mh_pool *pool = role->state;
    struct mh_pool_claim *from = mh_pool_find(pool, op->rows.ids[0]);
    from->out -= (int32_t)op->rows.rows;
    from->spoilt |= op->outcome != MH_OUTCOME_OK;
    if (mh_pool_round_over(from))
        end_round(role, pool, from);
}

const struct mh_role_ops mh_role_upserter = {
    .kind = {.name = "upserter",
             .help = "writes new versions of random batches of rows that others had acknowledged",
             .options = options,
             .own_size = sizeof(struct upserter_options)},
    .order = 1,
    .takes = MH_CLAIMS_TO_UPSERT,
    .share = share,
    .state_size = sizeof(struct mh_pool),
    .next = next,
    .done = done,
    .left = mh_pool_left,
    .fini = mh_pool_fini,
};
