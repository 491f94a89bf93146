/* Private to milvus/: short names for generated code, and the arena that unpacked messages live in. */
#ifndef MH_MILVUS_WIRE_H
#define MH_MILVUS_WIRE_H

#include "milvus/arena.h"
#include "milvus/milvus.h"

#include "common.pb-c.h"
#include "milvus.pb-c.h"
#include "schema.pb-c.h"

#define MILVUS(name)    Milvus__Proto__Milvus__##name
#define SCHEMA(name)    Milvus__Proto__Schema__##name
#define COMMON(name)    Milvus__Proto__Common__##name
#define DATA_TYPE(name) MILVUS__PROTO__SCHEMA__DATA_TYPE__##name

ProtobufCAllocator mh_arena_allocator(struct mh_arena *arena);

/* Milvus' number of a field type, and back (-1: a type we have no use for). */
SCHEMA(DataType) mh_wire_type(int field_type);
int mh_field_type_of(SCHEMA(DataType) type);

/* All that one column needs, in one piece of memory. */
struct mh_field_parts {
    SCHEMA(FieldData) field;
    SCHEMA(ScalarField) scalars;
    SCHEMA(VectorField) vectors;
    SCHEMA(FloatArray) floats;
    union {
        SCHEMA(BoolArray) bools;
        SCHEMA(IntArray) ints;
        SCHEMA(LongArray) longs;
        SCHEMA(DoubleArray) doubles;
        SCHEMA(StringArray) texts;
    };
};
int mh_field_of_column(struct mh_field_parts *parts, const struct mh_column *column, size_t rows,
                       struct mh_error *err); /* the column stays where it is; err: vectors of dimension 0 */
bool mh_column_of_field(struct mh_column *column, const SCHEMA(FieldData) * field); /* false: none of ours */

#define MH_ENCODER(name)                                                                                     \
    int name(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
MH_ENCODER(mh_encode_rows);
MH_ENCODER(mh_encode_delete);
MH_ENCODER(mh_encode_query);
MH_ENCODER(mh_encode_search);
MH_ENCODER(mh_encode_create_index);
MH_ENCODER(mh_encode_drop_index);
MH_ENCODER(mh_encode_describe_index);
MH_ENCODER(mh_encode_create_collection);
MH_ENCODER(mh_encode_collection_name);
MH_ENCODER(mh_encode_partition_name);
MH_ENCODER(mh_encode_load_state);
MH_ENCODER(mh_encode_flush);
MH_ENCODER(mh_encode_flush_state);
MH_ENCODER(mh_encode_nothing);
MH_ENCODER(mh_encode_metrics);

/* Each unpacks into reply->arena and returns 0, or -1 for bytes that are no such message. They set the codes,
 * not the outcome. */
#define MH_DECODER(name) int name(const uint8_t *bytes, size_t length, struct mh_reply *reply)
MH_DECODER(mh_decode_status);
MH_DECODER(mh_decode_mutation);
MH_DECODER(mh_decode_query);
MH_DECODER(mh_decode_search);
MH_DECODER(mh_decode_describe_index);
MH_DECODER(mh_decode_bool);
MH_DECODER(mh_decode_collection);
MH_DECODER(mh_decode_partitions);
MH_DECODER(mh_decode_collections);
MH_DECODER(mh_decode_load_state);
MH_DECODER(mh_decode_flush);
MH_DECODER(mh_decode_flush_state);
MH_DECODER(mh_decode_statistics);
MH_DECODER(mh_decode_version);
MH_DECODER(mh_decode_metrics);

#endif
