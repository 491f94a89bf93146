/* The table of operations, and the judgement of a finished call. */
#include "milvus/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD(name) "/milvus.proto.milvus.MilvusService/" name

const char *const mh_outcome_names[MH_OUTCOMES] = {"ok", "throttled", "failed", "unknown"};

/* A new RPC is one row here, its kind in milvus.h, and its encoder and decoder. */
const struct mh_op_info mh_op_infos[MH_OP_KINDS] = {
    [MH_OP_INSERT] = {"insert", METHOD("Insert"), true, mh_encode_rows, mh_decode_mutation},
    [MH_OP_UPSERT] = {"upsert", METHOD("Upsert"), true, mh_encode_rows, mh_decode_mutation},
    [MH_OP_DELETE] = {"delete", METHOD("Delete"), true, mh_encode_delete, mh_decode_mutation},
    [MH_OP_QUERY] = {"query", METHOD("Query"), false, mh_encode_query, mh_decode_query},
    [MH_OP_SEARCH] = {"search", METHOD("Search"), false, mh_encode_search, mh_decode_search},
    [MH_OP_CREATE_INDEX] = {"create_index", METHOD("CreateIndex"), false, mh_encode_create_index,
                            mh_decode_status},
    [MH_OP_DROP_INDEX] = {"drop_index", METHOD("DropIndex"), false, mh_encode_drop_index, mh_decode_status},
    [MH_OP_DESCRIBE_INDEX] = {"describe_index", METHOD("DescribeIndex"), false, mh_encode_describe_index,
                              mh_decode_describe_index},
    [MH_OP_CREATE_COLLECTION] = {"create_collection", METHOD("CreateCollection"), false,
                                 mh_encode_create_collection, mh_decode_status},
    [MH_OP_DROP_COLLECTION] = {"drop_collection", METHOD("DropCollection"), false, mh_encode_collection_name,
                               mh_decode_status},
    [MH_OP_HAS_COLLECTION] = {"has_collection", METHOD("HasCollection"), false, mh_encode_collection_name,
                              mh_decode_bool},
    [MH_OP_DESCRIBE_COLLECTION] = {"describe_collection", METHOD("DescribeCollection"), false,
                                   mh_encode_collection_name, mh_decode_collection},
    [MH_OP_CREATE_PARTITION] = {"create_partition", METHOD("CreatePartition"), false,
                                mh_encode_partition_name, mh_decode_status},
    [MH_OP_SHOW_PARTITIONS] = {"show_partitions", METHOD("ShowPartitions"), false, mh_encode_collection_name,
                               mh_decode_partitions},
    [MH_OP_DROP_PARTITION] = {"drop_partition", METHOD("DropPartition"), false, mh_encode_partition_name,
                              mh_decode_status},
    [MH_OP_SHOW_COLLECTIONS] = {"show_collections", METHOD("ShowCollections"), false, mh_encode_nothing,
                                mh_decode_collections},
    [MH_OP_LOAD] = {"load", METHOD("LoadCollection"), false, mh_encode_collection_name, mh_decode_status},
    [MH_OP_RELEASE] = {"release", METHOD("ReleaseCollection"), false, mh_encode_collection_name,
                       mh_decode_status},
    [MH_OP_LOAD_STATE] = {"load_state", METHOD("GetLoadState"), false, mh_encode_load_state,
                          mh_decode_load_state},
    [MH_OP_FLUSH] = {"flush", METHOD("Flush"), false, mh_encode_flush, mh_decode_flush},
    [MH_OP_FLUSH_STATE] = {"flush_state", METHOD("GetFlushState"), false, mh_encode_flush_state,
                           mh_decode_flush_state},
    [MH_OP_STATISTICS] = {"statistics", METHOD("GetCollectionStatistics"), false, mh_encode_collection_name,
                          mh_decode_statistics},
    [MH_OP_VERSION] = {"version", METHOD("GetVersion"), false, mh_encode_nothing, mh_decode_version},
    [MH_OP_METRICS] = {"metrics", METHOD("GetMetrics"), false, mh_encode_metrics, mh_decode_metrics},
};

static const SCHEMA(DataType) wire_types[] = {
    [MH_FIELD_BOOL] = DATA_TYPE(Bool),
    [MH_FIELD_INT8] = DATA_TYPE(Int8),
    [MH_FIELD_INT16] = DATA_TYPE(Int16),
    [MH_FIELD_INT32] = DATA_TYPE(Int32),
    [MH_FIELD_INT64] = DATA_TYPE(Int64),
    [MH_FIELD_FLOAT] = DATA_TYPE(Float),
    [MH_FIELD_DOUBLE] = DATA_TYPE(Double),
    [MH_FIELD_VARCHAR] = DATA_TYPE(VarChar),
    [MH_FIELD_FLOAT_VECTOR] = DATA_TYPE(FloatVector),
};

SCHEMA(DataType) mh_wire_type(int field_type)
{
    return wire_types[field_type];
}

int mh_field_type_of(SCHEMA(DataType) type)
{
    for (size_t i = 0; i < sizeof wire_types / sizeof wire_types[0]; i++)
        if (wire_types[i] == type)
            return (int)i;
    return -1;
}

int mh_encode(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    return mh_op_infos[request->kind].encode(request, payload, err);
}

/* ---- judgement ---- */

/* Milvus' own codes and the older enum beside them. Servers before 2.3 set the older alone, and mostly its 1,
 * "unexpected", which says nothing. */
enum {
    CODE_QUEUE_FULL = 4,
    CODE_DISK = 7,
    CODE_RATE_LIMIT = 8,
    CODE_FORCE_DENY = 9,
    CODE_UNIMPLEMENTED = 10,
    CODE_COLLECTION_MISSING = 100,
    CODE_COLLECTION_NOT_LOADED = 101,
    CODE_SCHEMA_MISMATCH = 109,
    CODE_PARTITION_MISSING = 200,
    CODE_PARTITION_NOT_LOADED = 201,
    CODE_INDEX_MISSING = 700,
    CODE_DATABASE_MISSING = 800,
    CODE_PARAMETER_INVALID = 1100,
    CODE_PARAMETER_MISSING = 1101,
    CODE_PARAMETER_TOO_LARGE = 1102,
    CODE_NOT_AUTHENTICATED = 1400,
    CODE_NOT_PERMITTED = 1401,
    LEGACY_NOT_PERMITTED = 3,
    LEGACY_COLLECTION_MISSING = 4,
    LEGACY_PARAMETER_ILLEGAL = 5,
    LEGACY_INDEX_MISSING = 25,
    LEGACY_FORCE_DENY = 48,
    LEGACY_RATE_LIMIT = 49,
};

/* The older code, where it is the only one; 0: it is not. */
static int older_of(const struct mh_reply *reply)
{
    return reply->code == 0 ? reply->legacy_code : 0;
}

bool mh_reply_lists(const struct mh_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->name_count; i++)
        if (strcmp(reply->names[i], name) == 0)
            return true;
    return false;
}

bool mh_reply_is_missing_index(const struct mh_reply *reply)
{
    return reply->code == CODE_INDEX_MISSING || older_of(reply) == LEGACY_INDEX_MISSING;
}

bool mh_reply_is_missing_collection(const struct mh_reply *reply)
{
    return reply->code == CODE_COLLECTION_MISSING || older_of(reply) == LEGACY_COLLECTION_MISSING;
}

bool mh_reply_is_missing_partition(const struct mh_reply *reply)
{
    return reply->code == CODE_PARTITION_MISSING;
}

static bool is_throttle(const struct mh_reply *reply)
{
    return reply->code == CODE_RATE_LIMIT || reply->code == CODE_QUEUE_FULL ||
           older_of(reply) == LEGACY_RATE_LIMIT;
}

/* Codes that a proxy gives before a write reaches the log, so that it certainly had no effect. Everything
 * else, 1 "not ready" and 65535 "unexpected" among it, may come from anywhere on the way. */
static bool is_refusal(int code)
{
    static const int refusals[] = {
        CODE_DISK,
        CODE_FORCE_DENY,
        CODE_UNIMPLEMENTED,
        CODE_COLLECTION_MISSING,
        CODE_SCHEMA_MISMATCH,
        CODE_PARTITION_MISSING,
        CODE_DATABASE_MISSING,
        CODE_PARAMETER_INVALID,
        CODE_PARAMETER_MISSING,
        CODE_PARAMETER_TOO_LARGE,
        CODE_NOT_AUTHENTICATED,
        CODE_NOT_PERMITTED,
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i] == code)
            return true;
    return false;
}

static bool is_older_trouble(int code)
{
    return code > 0 && code != LEGACY_NOT_PERMITTED && code != LEGACY_COLLECTION_MISSING &&
           code != LEGACY_PARAMETER_ILLEGAL && code != LEGACY_INDEX_MISSING && code != LEGACY_FORCE_DENY;
}

bool mh_reply_is_trouble(const struct mh_reply *reply)
{
    const int code = reply->code;
    if (code == 0)
        return is_older_trouble(reply->legacy_code);
    return code > 0 && !is_refusal(code) && code != CODE_COLLECTION_NOT_LOADED &&
           code != CODE_PARTITION_NOT_LOADED && code != CODE_INDEX_MISSING;
}

/* Given before the handler runs. PERMISSION_DENIED and RESOURCE_EXHAUSTED are not among them: HTTP/2 stream
 * resets and replies too large to send arrive as these too, after the effect. */
static bool is_transport_refusal(int grpc_status)
{
    enum { INVALID_ARGUMENT = 3, UNIMPLEMENTED = 12, UNAUTHENTICATED = 16 };
    return grpc_status == INVALID_ARGUMENT || grpc_status == UNIMPLEMENTED || grpc_status == UNAUTHENTICATED;
}

static enum mh_outcome judge(bool write, const struct mh_reply *reply)
{
    if (reply->code == 0 && reply->legacy_code == 0)
        return MH_OUTCOME_OK;
    if (is_throttle(reply))
        return MH_OUTCOME_THROTTLED;
    const bool denied = older_of(reply) == LEGACY_FORCE_DENY; /* by the limiter, as the rates */
    return !write || is_refusal(reply->code) || denied ? MH_OUTCOME_FAILED : MH_OUTCOME_UNKNOWN;
}

void mh_decode(enum mh_op_kind kind, int grpc_status, const char *grpc_message, bool never_sent,
               const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    const struct mh_op_info *info = &mh_op_infos[kind];
    mh_reply_clear(reply);
    if (grpc_status != 0) {
        bool certain = !info->write || never_sent || is_transport_refusal(grpc_status);
        reply->outcome = certain ? MH_OUTCOME_FAILED : MH_OUTCOME_UNKNOWN;
        snprintf(reply->reason, sizeof reply->reason, "%s", grpc_message);
        return;
    }
    if (!bytes || !reply->arena || info->decode(bytes, length, reply) != 0) {
        reply->code = -1;
        reply->column_count = 0;
        reply->outcome = info->write ? MH_OUTCOME_UNKNOWN : MH_OUTCOME_FAILED;
        snprintf(reply->reason, sizeof reply->reason, "%zu bytes that are no valid reply to %s", length,
                 info->name);
        return;
    }
    reply->outcome = judge(info->write, reply);
}

const struct mh_column *mh_reply_column(const struct mh_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->column_count; i++)
        if (strcmp(reply->columns[i].name, name) == 0)
            return &reply->columns[i];
    return NULL;
}

bool mh_reply_count(const struct mh_reply *reply, int64_t *count)
{
    const struct mh_column *column = reply->column_count == 1 ? &reply->columns[0] : NULL;
    if (!column || column->type != MH_FIELD_INT64 || column->rows != 1)
        return false;
    *count = *(const int64_t *)column->values;
    return true;
}

void mh_reply_clear(struct mh_reply *reply)
{
    struct mh_arena *arena = reply->arena ? reply->arena : calloc(1, sizeof *arena);
    if (arena)
        mh_arena_reset(arena);
    *reply = (struct mh_reply){.arena = arena};
}

void mh_reply_free(struct mh_reply *reply)
{
    if (reply->arena)
        mh_arena_free(reply->arena);
    free(reply->arena);
    *reply = (struct mh_reply){0};
}
