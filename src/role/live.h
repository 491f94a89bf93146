/* Rows of its own that a worker may change now: live, in a version that is certain, and in no operation. */
#ifndef MH_ROLE_LIVE_H
#define MH_ROLE_LIVE_H

#include "base/random.h"

#include <stdbool.h>
#include <stdint.h>

struct mh_live_row {
    int64_t id;
    uint16_t version;
};

struct mh_live { /* zero-initialised is empty */
    struct mh_live_row *rows;
    int64_t count, room;
    int64_t young; /* rows[0 .. young-1] are below `last`; the rest have reached it */
    uint16_t last; /* version after which a row is upserted no more */
};

/* Makes room for `rows` in all, those that are drawn and may come back among them. False: no memory. */
bool mh_live_reserve(struct mh_live *live, int64_t rows);

void mh_live_put(struct mh_live *live, int64_t id, uint16_t version); /* there must be room */

/* Takes one out, at random: of all (count > 0), or of the young alone (young > 0). */
struct mh_live_row mh_live_draw(struct mh_live *live, bool young, struct mh_random *random);

void mh_live_free(struct mh_live *live);

#endif
