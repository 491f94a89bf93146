/* Answers from plain structs. */
#include "milvus/serve.h"

#include "milvus/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct output {
    const struct mh_answer *answer;
    struct mh_arena *arena;
    const uint8_t **bytes;
    size_t *length;
    COMMON(Status) status;
};

static char *text(const char *given)
{
    return given ? (char *)(uintptr_t)given : (char *)(uintptr_t)protobuf_c_empty_string;
}

static void *unconst(const void *pointer)
{
    return (void *)(uintptr_t)pointer;
}

static int pack(struct output *out, const ProtobufCMessage *message)
{
    *out->length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = mh_arena_get(out->arena, *out->length);
    if (!bytes)
        return -1;
    protobuf_c_message_pack(message, bytes);
    *out->bytes = bytes;
    return 0;
}

#define ENCODER(function) static int function(struct output *out)
#define MESSAGE(Name, name)                                                                                  \
    const struct mh_answer *answer = out->answer;                                                            \
    MILVUS(Name) message;                                                                                    \
    milvus__proto__milvus__##name##__init(&message);                                                         \
    message.status = &out->status
#define PACK return pack(out, &message.base)

ENCODER(encode_status)
{
    return pack(out, &out->status.base);
}

ENCODER(encode_bool)
{
    MESSAGE(BoolResponse, bool_response);
    message.value = answer->yes;
    PACK;
}

ENCODER(encode_version)
{
    MESSAGE(GetVersionResponse, get_version_response);
    message.version = text(answer->text);
    PACK;
}

ENCODER(encode_connect)
{
    MESSAGE(ConnectResponse, connect_response);
    COMMON(ServerInfo) info;
    milvus__proto__common__server_info__init(&info);
    info.build_tags = text(answer->text);
    info.deploy_mode = text("MOCK");
    message.server_info = &info;
    message.identifier = answer->count;
    PACK;
}

ENCODER(encode_health)
{
    MESSAGE(CheckHealthResponse, check_health_response);
    message.ishealthy = answer->code == 0;
    PACK;
}

ENCODER(encode_timestamp)
{
    MESSAGE(AllocTimestampResponse, alloc_timestamp_response);
    message.timestamp = answer->timestamp;
    PACK;
}

ENCODER(encode_components)
{
    MESSAGE(ComponentStates, component_states);
    MILVUS(ComponentInfo) info;
    milvus__proto__milvus__component_info__init(&info);
    info.role = text("mock");
    info.state_code = MILVUS__PROTO__COMMON__STATE_CODE__Healthy;
    message.state = answer->code == 0 ? &info : NULL;
    PACK;
}

ENCODER(encode_metrics)
{
    MESSAGE(GetMetricsResponse, get_metrics_response);
    message.response = text(answer->text);
    message.component_name = text("mock");
    PACK;
}

ENCODER(encode_databases)
{
    MESSAGE(ListDatabasesResponse, list_databases_response);
    message.db_names = unconst(answer->names);
    message.n_db_names = answer->name_count;
    message.created_timestamp = unconst(answer->times);
    message.n_created_timestamp = answer->times ? answer->name_count : 0;
    PACK;
}

/* ---- collections ---- */

struct field_out {
    SCHEMA(FieldSchema) message;
    COMMON(KeyValuePair) pair, *pairs[1];
    char number[24];
};

static void set_pair(COMMON(KeyValuePair) * pair, const char *key, const char *value)
{
    milvus__proto__common__key_value_pair__init(pair);
    pair->key = text(key);
    pair->value = text(value);
}

static void describe_field(struct field_out *out, const struct mh_served_field *field, int64_t id)
{
    milvus__proto__schema__field_schema__init(&out->message);
    out->message.fieldid = id;
    out->message.name = text(field->name);
    out->message.is_primary_key = field->primary;
    out->message.data_type = mh_wire_type(field->type);
    const bool vector = field->type == MH_FIELD_FLOAT_VECTOR;
    if (!vector && field->type != MH_FIELD_VARCHAR)
        return;
    snprintf(out->number, sizeof out->number, "%" PRId64, vector ? field->dim : field->max_length);
    set_pair(&out->pair, vector ? "dim" : "max_length", out->number);
    out->pairs[0] = &out->pair;
    out->message.type_params = out->pairs;
    out->message.n_type_params = 1;
}

ENCODER(encode_collection)
{
    MESSAGE(DescribeCollectionResponse, describe_collection_response);
    struct field_out fields[MH_MOST_FIELDS];
    SCHEMA(FieldSchema) * pointers[MH_MOST_FIELDS];
    SCHEMA(CollectionSchema) schema;
    milvus__proto__schema__collection_schema__init(&schema);
    for (size_t i = 0; i < answer->field_count; i++) {
        describe_field(&fields[i], &answer->fields[i], 100 + (int64_t)i);
        pointers[i] = &fields[i].message;
    }
    schema.name = message.collection_name = text(answer->collection);
    schema.fields = pointers;
    schema.n_fields = answer->field_count;
    message.schema = answer->field_count ? &schema : NULL;
    message.collectionid = answer->collection_id;
    message.created_timestamp = answer->timestamp;
    message.created_utc_timestamp = answer->timestamp >> 18;
    message.shards_num = (int32_t)answer->shards;
    message.consistency_level = (COMMON(ConsistencyLevel))answer->consistency;
    message.num_partitions = answer->partitions;
    message.db_name = text(answer->database);
    PACK;
}

static uint64_t *to_ms(struct output *out)
{
    uint64_t *ms = mh_arena_get(out->arena, (out->answer->name_count + 1) * sizeof *ms);
    for (size_t i = 0; ms && i < out->answer->name_count; i++)
        ms[i] = out->answer->times[i] >> 18;
    return ms;
}

#define SHOW(ids_field)                                                                                      \
    do {                                                                                                     \
        message.ids_field = unconst(answer->ids);                                                            \
        message.n_##ids_field = answer->id_count;                                                            \
        message.created_timestamps = unconst(answer->times);                                                 \
        message.n_created_timestamps = answer->times ? answer->name_count : 0;                               \
        message.created_utc_timestamps = answer->times ? to_ms(out) : NULL;                                  \
        message.n_created_utc_timestamps = message.created_utc_timestamps ? answer->name_count : 0;          \
    } while (0)

ENCODER(encode_collections)
{
    MESSAGE(ShowCollectionsResponse, show_collections_response);
    message.collection_names = unconst(answer->names);
    message.n_collection_names = answer->name_count;
    SHOW(collection_ids);
    PACK;
}

ENCODER(encode_partitions)
{
    MESSAGE(ShowPartitionsResponse, show_partitions_response);
    message.partition_names = unconst(answer->names);
    message.n_partition_names = answer->name_count;
    SHOW(partitionids);
    PACK;
}

ENCODER(encode_statistics)
{
    MESSAGE(GetCollectionStatisticsResponse, get_collection_statistics_response);
    char number[24];
    COMMON(KeyValuePair) pair, *pairs[] = {&pair};
    snprintf(number, sizeof number, "%" PRId64, answer->count);
    set_pair(&pair, "row_count", number);
    message.stats = pairs;
    message.n_stats = answer->code == 0 ? 1 : 0;
    PACK; /* GetPartitionStatistics' reply has the same fields */
}

ENCODER(encode_load_state)
{
    MESSAGE(GetLoadStateResponse, get_load_state_response);
    message.state = (COMMON(LoadState))answer->state;
    PACK;
}

ENCODER(encode_progress)
{
    MESSAGE(GetLoadingProgressResponse, get_loading_progress_response);
    message.progress = answer->count;
    PACK;
}

/* ---- index, flush, compaction ---- */

struct index_out {
    MILVUS(IndexDescription) message;
    COMMON(KeyValuePair) pairs[3], *pointers[3];
};

static void describe_index(struct index_out *out, const struct mh_answer_index *index)
{
    milvus__proto__milvus__index_description__init(&out->message);
    set_pair(&out->pairs[0], "index_type", index->type);
    set_pair(&out->pairs[1], "metric_type", index->metric);
    set_pair(&out->pairs[2], "params", index->params);
    for (size_t i = 0; i < 3; i++)
        out->pointers[i] = &out->pairs[i];
    out->message.params = out->pointers;
    out->message.n_params = 3;
    out->message.index_name = text(index->name);
    out->message.field_name = text(index->field);
    out->message.indexid = index->id;
    out->message.indexed_rows = index->indexed_rows;
    out->message.total_rows = index->total_rows;
    out->message.pending_index_rows = index->pending_rows;
    out->message.state = (COMMON(IndexState))index->state;
}

ENCODER(encode_indexes)
{
    MESSAGE(DescribeIndexResponse, describe_index_response);
    struct index_out indexes[MH_MOST_FIELDS];
    MILVUS(IndexDescription) * pointers[MH_MOST_FIELDS];
    for (size_t i = 0; i < answer->index_count && i < MH_MOST_FIELDS; i++) {
        describe_index(&indexes[i], &answer->indexes[i]);
        pointers[i] = &indexes[i].message;
    }
    message.index_descriptions = pointers;
    message.n_index_descriptions = answer->index_count;
    PACK;
}

ENCODER(encode_index_state)
{
    MESSAGE(GetIndexStateResponse, get_index_state_response);
    message.state = (COMMON(IndexState))answer->state;
    PACK;
}

ENCODER(encode_index_progress)
{
    MESSAGE(GetIndexBuildProgressResponse, get_index_build_progress_response);
    message.total_rows = answer->count;
    message.indexed_rows = answer->state == MH_INDEX_FINISHED ? answer->count : 0;
    PACK;
}

/* Of one collection. */
ENCODER(encode_flush)
{
    MESSAGE(FlushResponse, flush_response);
    SCHEMA(LongArray) segments;
    milvus__proto__schema__long_array__init(&segments);
    segments.data = unconst(answer->ids);
    segments.n_data = answer->id_count;
    MILVUS(FlushResponse__CollSegIDsEntry) sealed, *sealeds[] = {&sealed};
    MILVUS(FlushResponse__CollFlushTsEntry) time, *times[] = {&time};
    MILVUS(FlushResponse__CollSealTimesEntry) seal, *seals[] = {&seal};
    milvus__proto__milvus__flush_response__coll_seg_ids_entry__init(&sealed);
    milvus__proto__milvus__flush_response__coll_flush_ts_entry__init(&time);
    milvus__proto__milvus__flush_response__coll_seal_times_entry__init(&seal);
    sealed.key = time.key = seal.key = text(answer->text);
    sealed.value = &segments;
    time.value = answer->timestamp;
    seal.value = (int64_t)((answer->timestamp >> 18) / 1000);
    const size_t count = answer->text ? 1 : 0;
    message.db_name = text(answer->database);
    message.coll_segids = sealeds;
    message.coll_flush_ts = times;
    message.coll_seal_times = seals;
    message.n_coll_segids = message.n_coll_flush_ts = message.n_coll_seal_times = count;
    PACK;
}

ENCODER(encode_flush_state)
{
    MESSAGE(GetFlushStateResponse, get_flush_state_response);
    message.flushed = answer->yes;
    PACK;
}

ENCODER(encode_compact)
{
    MESSAGE(ManualCompactionResponse, manual_compaction_response);
    message.compactionid = answer->count;
    PACK;
}

ENCODER(encode_compaction_state)
{
    MESSAGE(GetCompactionStateResponse, get_compaction_state_response);
    message.state = (COMMON(CompactionState))answer->state;
    PACK;
}

/* ---- rows ---- */

static void set_ids(SCHEMA(IDs) * ids, SCHEMA(LongArray) * array, const struct mh_answer *answer)
{
    milvus__proto__schema__ids__init(ids);
    milvus__proto__schema__long_array__init(array);
    array->data = unconst(answer->ids);
    array->n_data = answer->id_count;
    ids->id_field_case = MILVUS__PROTO__SCHEMA__IDS__ID_FIELD_INT_ID;
    ids->int_id = array;
}

static uint32_t *count_up(struct output *out)
{
    uint32_t *numbers = mh_arena_get(out->arena, ((size_t)out->answer->rows + 1) * sizeof *numbers);
    for (int64_t i = 0; numbers && i < out->answer->rows; i++)
        numbers[i] = (uint32_t)i;
    return numbers;
}

static int encode_write(struct output *out, bool inserts, bool deletes)
{
    MESSAGE(MutationResult, mutation_result);
    SCHEMA(IDs) ids;
    SCHEMA(LongArray) array;
    set_ids(&ids, &array, answer);
    message.ids = &ids;
    message.acknowledged = answer->code == 0;
    message.insert_cnt = inserts ? answer->rows : 0;
    message.delete_cnt = deletes ? answer->rows : 0;
    message.upsert_cnt = inserts && deletes ? answer->rows : 0;
    message.timestamp = answer->timestamp;
    uint32_t *numbers = inserts ? count_up(out) : NULL;
    const size_t count = numbers ? (size_t)answer->rows : 0;
    message.succ_index = message.err_index = numbers;
    *(answer->code == 0 ? &message.n_succ_index : &message.n_err_index) = count;
    PACK;
}

ENCODER(encode_insert)
{
    return encode_write(out, true, false);
}

ENCODER(encode_upsert)
{
    return encode_write(out, true, true);
}

ENCODER(encode_delete)
{
    return encode_write(out, false, true);
}

static SCHEMA(FieldData) * *set_columns(struct output *out)
{
    const size_t count = out->answer->column_count;
    struct mh_field_parts *parts = mh_arena_get(out->arena, (count + 1) * sizeof *parts);
    SCHEMA(FieldData) **fields = mh_arena_get(out->arena, (count + 1) * sizeof *fields);
    struct mh_error err;
    for (size_t i = 0; parts && fields && i < count; i++) {
        const struct mh_column *column = &out->answer->columns[i];
        if (mh_field_of_column(&parts[i], column, (size_t)column->rows, &err) != 0)
            return NULL;
        fields[i] = &parts[i].field;
    }
    return parts ? fields : NULL;
}

ENCODER(encode_query)
{
    MESSAGE(QueryResults, query_results);
    message.fields_data = set_columns(out);
    if (!message.fields_data)
        return -1;
    message.n_fields_data = answer->column_count;
    message.output_fields = unconst(answer->names);
    message.n_output_fields = answer->name_count;
    message.collection_name = text(answer->collection);
    PACK;
}

ENCODER(encode_search)
{
    MESSAGE(SearchResults, search_results);
    SCHEMA(IDs) ids;
    SCHEMA(LongArray) array;
    SCHEMA(SearchResultData) data;
    set_ids(&ids, &array, answer);
    milvus__proto__schema__search_result_data__init(&data);
    data.num_queries = answer->query_count;
    data.top_k = answer->topk;
    data.topks = unconst(answer->topks);
    data.n_topks = (size_t)answer->query_count;
    data.scores = unconst(answer->scores);
    data.n_scores = answer->id_count;
    data.ids = &ids;
    data.fields_data = set_columns(out);
    if (!data.fields_data)
        return -1;
    data.n_fields_data = answer->column_count;
    data.output_fields = unconst(answer->names);
    data.n_output_fields = answer->name_count;
    message.results = answer->code == 0 ? &data : NULL;
    message.collection_name = text(answer->collection);
    PACK;
}

static int (*const encoders[MH_SERVE_KINDS])(struct output *) = {
    [MH_OP_INSERT] = encode_insert,
    [MH_OP_UPSERT] = encode_upsert,
    [MH_OP_DELETE] = encode_delete,
    [MH_OP_QUERY] = encode_query,
    [MH_OP_CREATE_INDEX] = encode_status,
    [MH_OP_DROP_INDEX] = encode_status,
    [MH_OP_DESCRIBE_INDEX] = encode_indexes,
    [MH_OP_CREATE_COLLECTION] = encode_status,
    [MH_OP_DROP_COLLECTION] = encode_status,
    [MH_OP_HAS_COLLECTION] = encode_bool,
    [MH_OP_DESCRIBE_COLLECTION] = encode_collection,
    [MH_OP_CREATE_PARTITION] = encode_status,
    [MH_OP_SHOW_PARTITIONS] = encode_partitions,
    [MH_OP_LOAD] = encode_status,
    [MH_OP_RELEASE] = encode_status,
    [MH_OP_LOAD_STATE] = encode_load_state,
    [MH_OP_FLUSH] = encode_flush,
    [MH_OP_FLUSH_STATE] = encode_flush_state,
    [MH_OP_STATISTICS] = encode_statistics,
    [MH_OP_VERSION] = encode_version,
    [MH_OP_SEARCH] = encode_search,
    [MH_SERVE_CONNECT] = encode_connect,
    [MH_SERVE_HEALTH] = encode_health,
    [MH_SERVE_TIMESTAMP] = encode_timestamp,
    [MH_SERVE_COMPONENTS] = encode_components,
    [MH_SERVE_CREATE_DATABASE] = encode_status,
    [MH_SERVE_DROP_DATABASE] = encode_status,
    [MH_SERVE_LIST_DATABASES] = encode_databases,
    [MH_OP_SHOW_COLLECTIONS] = encode_collections,
    [MH_SERVE_HAS_PARTITION] = encode_bool,
    [MH_OP_DROP_PARTITION] = encode_status,
    [MH_SERVE_PARTITION_STATISTICS] = encode_statistics,
    [MH_SERVE_LOAD_PARTITIONS] = encode_status,
    [MH_SERVE_RELEASE_PARTITIONS] = encode_status,
    [MH_SERVE_LOADING_PROGRESS] = encode_progress,
    [MH_SERVE_INDEX_STATE] = encode_index_state,
    [MH_SERVE_INDEX_PROGRESS] = encode_index_progress,
    [MH_SERVE_COMPACT] = encode_compact,
    [MH_SERVE_COMPACTION_STATE] = encode_compaction_state,
    [MH_OP_METRICS] = encode_metrics,
};

int mh_answer_encode(int kind, const struct mh_answer *answer, struct mh_arena *arena, const uint8_t **bytes,
                     size_t *length)
{
    struct output out = {.answer = answer, .arena = arena, .bytes = bytes, .length = length};
    milvus__proto__common__status__init(&out.status);
    out.status.error_code = (COMMON(ErrorCode))answer->legacy_code;
    out.status.code = answer->code;
    out.status.reason = text(answer->reason);
    return encoders[kind](&out);
}
