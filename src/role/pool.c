#include "role/pool.h"

#include <stdlib.h>

static void refill(struct mh_pool_claim *claim)
{
    for (int32_t i = 0; i < claim->claim.count; i++)
        claim->offsets[i] = i;
    claim->undrawn = claim->claim.count;
}

static struct mh_pool_claim *new_claim(const struct mh_claim *claim)
{
    struct mh_pool_claim *fresh = calloc(1, sizeof *fresh);
    int32_t *offsets = calloc((size_t)claim->count, sizeof *offsets);
    if (!fresh || !offsets) {
        free(fresh);
        free(offsets);
        return NULL;
    }
    *fresh = (struct mh_pool_claim){.claim = *claim, .offsets = offsets};
    refill(fresh);
    return fresh;
}

bool mh_pool_open(struct mh_pool *pool, struct mh_role *role)
{
    struct mh_claim claim;
    while (pool->count < MH_POOL_CLAIMS && mh_role_take_claim(role, &claim)) {
        pool->open[pool->count] = new_claim(&claim);
        if (!pool->open[pool->count])
            return false;
        pool->count++;
    }
    return true;
}

struct mh_pool_claim *mh_pool_pick(struct mh_pool *pool, struct mh_random *random)
{
    struct mh_pool_claim *candidates[MH_POOL_CLAIMS];
    uint64_t count = 0;
    for (int i = 0; i < pool->count; i++)
        if (pool->open[i]->undrawn > 0)
            candidates[count++] = pool->open[i];
    return count ? candidates[mh_random_below(random, count)] : NULL;
}

int64_t mh_pool_draw(struct mh_pool_claim *from, struct mh_random *random)
{
    int32_t at = (int32_t)mh_random_below(random, (uint64_t)from->undrawn);
    int32_t offset = from->offsets[at];
    from->offsets[at] = from->offsets[--from->undrawn];
    from->out++;
    return from->claim.first + offset;
}

struct mh_pool_claim *mh_pool_find(struct mh_pool *pool, int64_t id)
{
    for (int i = 0; i < pool->count; i++) {
        const struct mh_claim *claim = &pool->open[i]->claim;
        if (id >= claim->first && id < claim->first + claim->count)
            return pool->open[i];
    }
    return NULL;
}

bool mh_pool_round_over(const struct mh_pool_claim *claim)
{
    return claim->undrawn == 0 && claim->out == 0;
}

void mh_pool_next_round(struct mh_pool_claim *claim)
{
    claim->round++;
    claim->claim.version++;
    refill(claim);
}

void mh_pool_close_claim(struct mh_pool *pool, struct mh_pool_claim *claim)
{
    int at = 0;
    while (pool->open[at] != claim)
        at++;
    pool->open[at] = pool->open[--pool->count];
    free(claim->offsets);
    free(claim);
}

int64_t mh_pool_undrawn(const struct mh_pool *pool)
{
    int64_t rows = 0;
    for (int i = 0; i < pool->count; i++)
        rows += pool->open[i]->undrawn;
    return rows;
}

int64_t mh_pool_left(const struct mh_role *role)
{
    int64_t rows = mh_pool_undrawn(role->state), batch = role->options->batch;
    return (rows + batch - 1) / batch;
}

void mh_pool_fini(struct mh_role *role)
{
    struct mh_pool *pool = role->state;
    while (pool->count)
        mh_pool_close_claim(pool, pool->open[0]);
}
