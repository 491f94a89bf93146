/* Memory that is handed out piece by piece and taken back all at once. Zero-initialised is empty. */
#ifndef MH_MILVUS_ARENA_H
#define MH_MILVUS_ARENA_H

#include <stddef.h>

struct mh_arena {
    struct mh_arena_block *first, *current;
};

void *mh_arena_get(struct mh_arena *arena, size_t bytes); /* 16-byte aligned; NULL when there is no memory */

/* Takes all of it back. Memory that was not needed since the last time goes to the system: one large reply in
 * a hundred does not stay. */
void mh_arena_reset(struct mh_arena *arena);

void mh_arena_free(struct mh_arena *arena);

#endif
