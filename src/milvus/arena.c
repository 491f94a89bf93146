#include "milvus/wire.h"

#include <stdlib.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 16 << 10 };

struct mh_arena_block {
    struct mh_arena_block *next;
    size_t room, used;
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

static struct mh_arena_block *new_block(size_t wanted, size_t before)
{
    size_t room = before ? 2 * before : FIRST_BLOCK;
    if (room < wanted)
        room = wanted;
    struct mh_arena_block *block = malloc(sizeof *block + room);
    if (block)
        *block = (struct mh_arena_block){.room = room};
    return block;
}

static struct mh_arena_block *block_with(struct mh_arena *arena, size_t bytes)
{
    struct mh_arena_block *block = arena->current;
    while (block && block->room - block->used < bytes && block->next)
        block = block->next;
    if (!block || block->room - block->used < bytes) {
        struct mh_arena_block *fresh = new_block(bytes, block ? block->room : 0);
        if (!fresh)
            return NULL;
        *(block ? &block->next : &arena->first) = fresh;
        block = fresh;
    }
    arena->current = block;
    return block;
}

void *mh_arena_get(struct mh_arena *arena, size_t bytes)
{
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct mh_arena_block *block = block_with(arena, bytes);
    if (!block)
        return NULL;
    void *piece = block->bytes + block->used;
    block->used += bytes;
    return piece;
}

static void free_blocks(struct mh_arena_block *block)
{
    for (struct mh_arena_block *next; block; block = next) {
        next = block->next;
        free(block);
    }
}

void mh_arena_reset(struct mh_arena *arena)
{
    struct mh_arena_block **link = &arena->first;
    for (; *link && (*link)->used > 0; link = &(*link)->next)
        (*link)->used = 0;
    free_blocks(*link);
    *link = NULL;
    arena->current = arena->first;
}

void mh_arena_free(struct mh_arena *arena)
{
    free_blocks(arena->first);
    *arena = (struct mh_arena){0};
}

static void *arena_alloc(void *arena, size_t bytes)
{
    return mh_arena_get(arena, bytes);
}

static void arena_keep(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

ProtobufCAllocator mh_arena_allocator(struct mh_arena *arena)
{
    return (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_keep, .allocator_data = arena};
}
