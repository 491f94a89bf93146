/* Replies into plain structs, unpacked into the reply's arena. Columns point into the unpacked message. */
#include "milvus/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void set_status(struct mh_reply *reply, const COMMON(Status) * status)
{
    reply->legacy_code = (int)status->error_code;
    reply->code = status->code;
    const char *reason = status->reason[0] ? status->reason : status->detail;
    size_t n = strnlen(reason, sizeof reply->reason - 1);
    for (size_t i = 0; i < n; i++)
        reply->reason[i] = (unsigned char)reason[i] < ' ' ? ' ' : reason[i];
    reply->reason[n] = '\0';
}

/* A success has a status too, if an empty one: a reply without one is cut, or no reply. */
#define UNPACK(variable, Name, name)                                                                         \
    ProtobufCAllocator allocator = mh_arena_allocator(reply->arena);                                         \
    MILVUS(Name) *variable = milvus__proto__milvus__##name##__unpack(&allocator, length, bytes);             \
    if (!variable || !variable->status)                                                                      \
        return -1;                                                                                           \
    set_status(reply, variable->status)

int mh_decode_status(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    ProtobufCAllocator allocator = mh_arena_allocator(reply->arena);
    COMMON(Status) *status = milvus__proto__common__status__unpack(&allocator, length, bytes);
    if (!status)
        return -1;
    set_status(reply, status);
    return 0;
}

int mh_decode_mutation(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, MutationResult, mutation_result);
    int64_t affected = message->insert_cnt;
    if (message->upsert_cnt > affected)
        affected = message->upsert_cnt;
    reply->affected = affected > 0 ? affected : message->delete_cnt;
    reply->timestamp = message->timestamp;
    if (message->n_err_index > 0 && reply->code == 0 && reply->legacy_code == 0) {
        reply->code = -1; /* a success that names failed rows says both; believe neither */
        strcpy(reply->reason, "the reply says success and names failed rows");
    }
    return 0;
}

/* ---- rows ---- */

static void set_values(struct mh_column *column, size_t rows, const void *values)
{
    column->rows = (int64_t)rows;
    column->values = values;
}

/* protobuf_c_boolean is an int, as our columns have it. */
_Static_assert(sizeof(protobuf_c_boolean) == sizeof(int32_t), "bool columns are int32_t");

static bool set_scalar_column(struct mh_column *column, const SCHEMA(ScalarField) * scalars)
{
    switch (scalars->data_case) {
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_BOOL_DATA:
        set_values(column, scalars->bool_data->n_data, scalars->bool_data->data);
        return column->type == MH_FIELD_BOOL;
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_INT_DATA:
        set_values(column, scalars->int_data->n_data, scalars->int_data->data);
        return column->type == MH_FIELD_INT8 || column->type == MH_FIELD_INT16 ||
               column->type == MH_FIELD_INT32;
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_LONG_DATA:
        set_values(column, scalars->long_data->n_data, scalars->long_data->data);
        return column->type == MH_FIELD_INT64;
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_FLOAT_DATA:
        set_values(column, scalars->float_data->data.len / sizeof(float), scalars->float_data->data.data);
        return column->type == MH_FIELD_FLOAT && scalars->float_data->data.len % sizeof(float) == 0;
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_DOUBLE_DATA:
        set_values(column, scalars->double_data->n_data, scalars->double_data->data);
        return column->type == MH_FIELD_DOUBLE;
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_STRING_DATA:
        set_values(column, scalars->string_data->n_data, scalars->string_data->data);
        return column->type == MH_FIELD_VARCHAR;
    case MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA__NOT_SET:
        return true; /* no rows */
    default:
        return false;
    }
}

static bool set_vector_column(struct mh_column *column, const SCHEMA(VectorField) * vectors)
{
    column->dim = vectors->dim;
    if (vectors->data_case == MILVUS__PROTO__SCHEMA__VECTOR_FIELD__DATA__NOT_SET)
        return true;
    if (vectors->data_case != MILVUS__PROTO__SCHEMA__VECTOR_FIELD__DATA_FLOAT_VECTOR || vectors->dim < 1)
        return false;
    const ProtobufCBinaryData *data = &vectors->float_vector->data;
    const size_t floats = data->len / sizeof(float), dim = (size_t)vectors->dim;
    set_values(column, floats / dim, data->data);
    return data->len % sizeof(float) == 0 && floats % dim == 0;
}

bool mh_column_of_field(struct mh_column *column, const SCHEMA(FieldData) * field)
{
    *column = (struct mh_column){.name = field->field_name, .type = mh_field_type_of(field->type)};
    switch (field->field_case) {
    case MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_SCALARS:
        return set_scalar_column(column, field->scalars);
    case MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_VECTORS:
        return column->type == MH_FIELD_FLOAT_VECTOR && set_vector_column(column, field->vectors);
    default:
        return true; /* no rows */
    }
}

/* protobuf-c keeps no length of a text: what stands behind a NUL in it would be lost unseen. Packed again it
 * would be shorter. */
static bool hides_bytes(SCHEMA(FieldData) *const *fields, size_t count, const ProtobufCMessage *message,
                        size_t length)
{
    bool texts = false;
    for (size_t i = 0; i < count; i++)
        texts |= fields[i]->type == MILVUS__PROTO__SCHEMA__DATA_TYPE__VarChar;
    return texts && protobuf_c_message_get_packed_size(message) < length;
}

/* -1: a type we have no use for, or columns of different lengths: nobody can say which rows they are. */
static int set_columns(struct mh_reply *reply, SCHEMA(FieldData) *const *fields, size_t count)
{
    const size_t room = sizeof reply->columns / sizeof reply->columns[0];
    for (size_t i = 0; i < count; i++) {
        if (reply->column_count == room ||
            !mh_column_of_field(&reply->columns[reply->column_count], fields[i]))
            return -1;
        if (reply->columns[reply->column_count].rows != reply->columns[0].rows)
            return -1;
        reply->column_count++;
    }
    return 0;
}

int mh_decode_query(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, QueryResults, query_results);
    return hides_bytes(message->fields_data, message->n_fields_data, &message->base, length)
               ? -1
               : set_columns(reply, message->fields_data, message->n_fields_data);
}

/* Do the numbers of hits add up to the hits that are there? */
static bool adds_up(const struct mh_reply *reply)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < reply->query_count; i++) {
        if (reply->hits_of[i] < 0 || reply->hits_of[i] > reply->hit_count - sum)
            return false;
        sum += reply->hits_of[i];
    }
    return sum == reply->hit_count;
}

static int set_hits(struct mh_reply *reply, const SCHEMA(SearchResultData) * data)
{
    const SCHEMA(LongArray) *ids = data->ids ? data->ids->int_id : NULL;
    if (data->ids && data->ids->id_field_case == MILVUS__PROTO__SCHEMA__IDS__ID_FIELD_STR_ID)
        return -1;
    reply->query_count = (int64_t)data->n_topks;
    reply->hits_of = data->topks;
    reply->hit_count = ids ? (int64_t)ids->n_data : 0;
    reply->ids = ids ? ids->data : NULL;
    reply->scores = data->scores;
    if ((int64_t)data->n_scores != reply->hit_count || !adds_up(reply))
        return -1;
    return reply->column_count > 0 && reply->columns[0].rows != reply->hit_count ? -1 : 0;
}

int mh_decode_search(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, SearchResults, search_results);
    const SCHEMA(SearchResultData) *data = message->results;
    if (!data)
        return 0;
    if (hides_bytes(data->fields_data, data->n_fields_data, &message->base, length) ||
        set_columns(reply, data->fields_data, data->n_fields_data) != 0)
        return -1;
    return set_hits(reply, data);
}

/* ---- states ---- */

int mh_decode_describe_index(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, DescribeIndexResponse, describe_index_response);
    reply->state = MH_INDEX_NONE;
    reply->text = "";
    if (message->n_index_descriptions == 0)
        return 0;
    const MILVUS(IndexDescription) *index = message->index_descriptions[0];
    reply->described = true;
    reply->state = (int)index->state;
    reply->pending_rows = index->pending_index_rows;
    reply->indexed_rows = index->indexed_rows;
    reply->text = index->index_state_fail_reason;
    return 0;
}

int mh_decode_bool(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, BoolResponse, bool_response);
    reply->yes = message->value;
    return 0;
}

int mh_decode_collection(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, DescribeCollectionResponse, describe_collection_response);
    reply->collection_id = message->collectionid;
    return 0;
}

int mh_decode_partitions(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, ShowPartitionsResponse, show_partitions_response);
    reply->names = (const char *const *)message->partition_names;
    reply->name_count = message->n_partition_names;
    return 0;
}

int mh_decode_collections(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, ShowCollectionsResponse, show_collections_response);
    reply->names = (const char *const *)message->collection_names;
    reply->name_count = message->n_collection_names;
    return 0;
}

int mh_decode_load_state(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, GetLoadStateResponse, get_load_state_response);
    reply->state = (int)message->state;
    return 0;
}

static int64_t *add_segments(int64_t *end, const SCHEMA(LongArray) * segments)
{
    if (segments && segments->n_data)
        memcpy(end, segments->data, segments->n_data * sizeof *end);
    return end + (segments ? segments->n_data : 0);
}

static size_t segments_in(const SCHEMA(LongArray) * segments)
{
    return segments ? segments->n_data : 0;
}

int mh_decode_flush(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, FlushResponse, flush_response);
    size_t count = 0;
    for (size_t i = 0; i < message->n_coll_segids; i++)
        count += segments_in(message->coll_segids[i]->value);
    for (size_t i = 0; i < message->n_flush_coll_segids; i++)
        count += segments_in(message->flush_coll_segids[i]->value);
    int64_t *segments = mh_arena_get(reply->arena, (count + 1) * sizeof *segments), *end = segments;
    if (!segments)
        return -1;
    for (size_t i = 0; i < message->n_coll_segids; i++)
        end = add_segments(end, message->coll_segids[i]->value);
    for (size_t i = 0; i < message->n_flush_coll_segids; i++)
        end = add_segments(end, message->flush_coll_segids[i]->value);
    reply->segments = segments;
    reply->segment_count = count;
    if (message->n_coll_flush_ts > 0)
        reply->flush_ts = message->coll_flush_ts[0]->value;
    return 0;
}

int mh_decode_flush_state(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, GetFlushStateResponse, get_flush_state_response);
    reply->yes = message->flushed;
    return 0;
}

static int64_t row_count_in(const char *text)
{
    char *end;
    errno = 0;
    long long count = strtoll(text, &end, 10);
    return end == text || *end || errno || count < 0 ? -1 : count;
}

int mh_decode_statistics(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, GetCollectionStatisticsResponse, get_collection_statistics_response);
    reply->row_count = -1;
    for (size_t i = 0; i < message->n_stats; i++)
        if (strcmp(message->stats[i]->key, "row_count") == 0)
            reply->row_count = row_count_in(message->stats[i]->value);
    return 0;
}

int mh_decode_version(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, GetVersionResponse, get_version_response);
    reply->text = message->version;
    return 0;
}

int mh_decode_metrics(const uint8_t *bytes, size_t length, struct mh_reply *reply)
{
    UNPACK(message, GetMetricsResponse, get_metrics_response);
    reply->text = message->response;
    return 0;
}
