/* Arrays that grow by doubling. */
#ifndef MH_BASE_GROW_H
#define MH_BASE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for one item more than `count`. `items`: address of the array's pointer (NULL while *room is 0),
 * `size`: of an item. False: no memory, and nothing has changed. */
bool mh_grow(void *items, int64_t *room, int64_t count, size_t size);

#endif
