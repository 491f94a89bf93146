#include "base/grow.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

bool mh_grow(void *items, int64_t *room, int64_t count, size_t size)
{
    if (count < *room)
        return true;
    const int64_t wanted = *room ? 2 * *room : FIRST_ROOM;
    void *now;
    memcpy(&now, items, sizeof now); /* whatever it points to, it is a pointer */
    now = realloc(now, (size_t)wanted * size);
    if (!now)
        return false;
    memcpy(items, &now, sizeof now);
    *room = wanted;
    return true;
}
