/* Private to milvus/: short names for generated code, and the arena that unpacked messages live in. */
#ifndef MH_MILVUS_WIRE_H
#define MH_MILVUS_WIRE_H

#include "milvus/milvus.h"

#include "common.pb-c.h"
#include "milvus.pb-c.h"
#include "schema.pb-c.h"

#define MILVUS(name)    Milvus__Proto__Milvus__##name
#define SCHEMA(name)    Milvus__Proto__Schema__##name
#define COMMON(name)    Milvus__Proto__Common__##name
#define DATA_TYPE(name) MILVUS__PROTO__SCHEMA__DATA_TYPE__##name

/* Memory that is handed out piece by piece and taken back all at once. Zero-initialised is empty. */
struct mh_arena {
    struct mh_arena_block *first, *current;
};

void *mh_arena_get(struct mh_arena *arena, size_t bytes); /* 16-byte aligned; NULL when there is no memory */
void mh_arena_reset(struct mh_arena *arena);
void mh_arena_free(struct mh_arena *arena);
ProtobufCAllocator mh_arena_allocator(struct mh_arena *arena);

/* Milvus' number of a field type, and back (-1: a type we have no use for). */
SCHEMA(DataType) mh_wire_type(int field_type);
int mh_field_type_of(SCHEMA(DataType) type);

#define MH_ENCODER(name)                                                                                     \
    int name(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
MH_ENCODER(mh_encode_rows);
MH_ENCODER(mh_encode_delete);
MH_ENCODER(mh_encode_query);
MH_ENCODER(mh_encode_create_index);
MH_ENCODER(mh_encode_drop_index);
MH_ENCODER(mh_encode_describe_index);
MH_ENCODER(mh_encode_create_collection);
MH_ENCODER(mh_encode_collection_name);
MH_ENCODER(mh_encode_create_partition);
MH_ENCODER(mh_encode_load_state);
MH_ENCODER(mh_encode_flush);
MH_ENCODER(mh_encode_flush_state);
MH_ENCODER(mh_encode_nothing);

/* Each unpacks into reply->arena and returns 0, or -1 for bytes that are no such message. They set the codes,
 * not the outcome. */
#define MH_DECODER(name) int name(const uint8_t *bytes, size_t length, struct mh_reply *reply)
MH_DECODER(mh_decode_status);
MH_DECODER(mh_decode_mutation);
MH_DECODER(mh_decode_query);
MH_DECODER(mh_decode_describe_index);
MH_DECODER(mh_decode_bool);
MH_DECODER(mh_decode_collection);
MH_DECODER(mh_decode_partitions);
MH_DECODER(mh_decode_load_state);
MH_DECODER(mh_decode_flush);
MH_DECODER(mh_decode_flush_state);
MH_DECODER(mh_decode_statistics);
MH_DECODER(mh_decode_version);

#endif
