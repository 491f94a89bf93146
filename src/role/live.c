#include "role/live.h"

#include <stdlib.h>

bool mh_live_reserve(struct mh_live *live, int64_t rows)
{
    if (rows <= live->room)
        return true;
    const int64_t room = rows > 2 * live->room ? rows : 2 * live->room;
    struct mh_live_row *grown = realloc(live->rows, (size_t)room * sizeof *grown);
    if (!grown)
        return false;
    live->rows = grown;
    live->room = room;
    return true;
}

void mh_live_put(struct mh_live *live, int64_t id, uint16_t version)
{
    const struct mh_live_row row = {.id = id, .version = version};
    live->rows[live->count++] = row;
    if (version >= live->last)
        return;
    live->rows[live->count - 1] = live->rows[live->young];
    live->rows[live->young++] = row;
}

struct mh_live_row mh_live_draw(struct mh_live *live, bool young, struct mh_random *random)
{
    int64_t at = (int64_t)mh_random_below(random, (uint64_t)(young ? live->young : live->count));
    const struct mh_live_row drawn = live->rows[at];
    if (at < live->young) { /* the last of the young fills its place, the last of all theirs */
        live->rows[at] = live->rows[--live->young];
        at = live->young;
    }
    live->rows[at] = live->rows[--live->count];
    return drawn;
}

void mh_live_free(struct mh_live *live)
{
    free(live->rows);
    *live = (struct mh_live){0};
}
