/* Rows that a mutator may change now: a few claims open at a time, drawn from at random, each row at most
 * once a round. */
#ifndef MH_ROLE_POOL_H
#define MH_ROLE_POOL_H

#include "role/role.h"

enum { MH_POOL_CLAIMS = 8 };

struct mh_pool_claim {
    struct mh_claim claim; /* claim.version: of all its rows, before this round */
    int32_t *offsets;      /* of rows not yet drawn, in offsets[0 .. undrawn-1] */
    int32_t undrawn;
    int32_t out; /* rows drawn whose operation has not ended */
    bool spoilt; /* a row's version is not certain: the claim ends with this round */
    int round;   /* from 0 */
};

struct mh_pool {
    struct mh_pool_claim *open[MH_POOL_CLAIMS];
    int count;
};

/* Opens claims while there is room and some wait. Returns false when there is no memory. */
bool mh_pool_open(struct mh_pool *pool, struct mh_role *role);

/* Which open claim to draw from: one of those with undrawn rows, at random; NULL when none has any. */
struct mh_pool_claim *mh_pool_pick(struct mh_pool *pool, struct mh_random *random);

int64_t mh_pool_draw(struct mh_pool_claim *from, struct mh_random *random); /* an id; from->undrawn > 0 */

struct mh_pool_claim *mh_pool_find(struct mh_pool *pool,
                                   int64_t id); /* the open claim that holds id, or NULL */

bool mh_pool_round_over(const struct mh_pool_claim *claim); /* all drawn, none out */
void mh_pool_next_round(struct mh_pool_claim *claim);       /* all rows may be drawn again, one version up */
void mh_pool_close_claim(struct mh_pool *pool, struct mh_pool_claim *claim);

int64_t mh_pool_undrawn(const struct mh_pool *pool);

/* Hooks of a role whose state is a struct mh_pool. */
int64_t mh_pool_left(const struct mh_role *role);
void mh_pool_fini(struct mh_role *role);

#endif
