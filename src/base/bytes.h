/* A growing run of bytes, as ranks exchange it. */
#ifndef MH_BASE_BYTES_H
#define MH_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct mh_bytes {
    uint8_t *data;
    size_t length, room;
};

void mh_bytes_free_all(struct mh_bytes *bytes,
                       int count); /* `count` of them, and the array; NULL is allowed */

int mh_bytes_append(struct mh_bytes *bytes, const void *data, size_t length); /* -1: no memory */

#endif
