/* Replies as a server would send them, packed with protobuf-c. */
#ifndef MH_UNIT_MILVUS_REPLIES_H
#define MH_UNIT_MILVUS_REPLIES_H

#include "milvus/wire.h"

struct bytes {
    uint8_t *data; /* owned, exactly `length` long, so that a read beyond is seen */
    size_t length;
};

struct bytes bytes_of(const ProtobufCMessage *message);

/* A good reply to an operation of `kind`, with `code` and `legacy` in its status. */
struct bytes reply_to(enum mh_op_kind kind, int legacy, int code, const char *reason);

/* The same as if the server had left its status out (an operation whose reply is a status: no bytes). */
struct bytes reply_without_status(enum mh_op_kind kind);

/* A reply to a search for three vectors: hits of each, and how many ids and scores (at most 3) there are. */
struct bytes search_with(const int64_t hits_of[3], size_t ids, size_t scores);

#endif
