/* A message on its way out: pieces of bytes in order, some copied, some by reference. What milvus/ encodes
 * and rpc/ sends. */
#ifndef MH_BASE_PAYLOAD_H
#define MH_BASE_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

#define MH_PAYLOAD_PIECES 16

struct mh_piece {
    const uint8_t *bytes; /* by reference; NULL: `offset` into the payload's own bytes */
    size_t offset;
    size_t length;
    void (*release)(
        void *); /* called with `held` once nobody reads `bytes` any more; NULL: they outlive all calls */
    void *held;
};

struct mh_payload {
    struct mh_piece pieces[MH_PAYLOAD_PIECES];
    size_t piece_count;
    size_t total;    /* bytes of all pieces */
    uint8_t *copied; /* owned, reused from message to message */
    size_t copied_length, copied_room;
};

/* Empties it for the next message, releasing pieces nobody took over; keeps the memory. */
void mh_payload_reset(struct mh_payload *payload);
void mh_payload_free(struct mh_payload *payload);

#endif
