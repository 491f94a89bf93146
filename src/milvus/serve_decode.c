/* Requests into plain structs, unpacked into the caller's arena. */
#include "milvus/serve.h"

#include "milvus/wire.h"

#include <stdlib.h>
#include <string.h>

#define METHOD(name) "/milvus.proto.milvus.MilvusService/" name

static const struct {
    const char *name, *method;
} others[MH_SERVE_KINDS - MH_OP_KINDS] = {
#define OTHER(kind, name, method) [MH_SERVE_##kind - MH_OP_KINDS] = {name, METHOD(method)}
    OTHER(CONNECT, "connect", "Connect"),
    OTHER(HEALTH, "health", "CheckHealth"),
    OTHER(TIMESTAMP, "timestamp", "AllocTimestamp"),
    OTHER(COMPONENTS, "components", "GetComponentStates"),
    OTHER(CREATE_DATABASE, "create_database", "CreateDatabase"),
    OTHER(DROP_DATABASE, "drop_database", "DropDatabase"),
    OTHER(LIST_DATABASES, "list_databases", "ListDatabases"),
    OTHER(HAS_PARTITION, "has_partition", "HasPartition"),
    OTHER(PARTITION_STATISTICS, "partition_statistics", "GetPartitionStatistics"),
    OTHER(LOAD_PARTITIONS, "load_partitions", "LoadPartitions"),
    OTHER(RELEASE_PARTITIONS, "release_partitions", "ReleasePartitions"),
    OTHER(LOADING_PROGRESS, "loading_progress", "GetLoadingProgress"),
    OTHER(INDEX_STATE, "index_state", "GetIndexState"),
    OTHER(INDEX_PROGRESS, "index_progress", "GetIndexBuildProgress"),
    OTHER(COMPACT, "compact", "ManualCompaction"),
    OTHER(COMPACTION_STATE, "compaction_state", "GetCompactionState"),
};

const char *mh_serve_name(int kind)
{
    return kind < MH_OP_KINDS ? mh_op_infos[kind].name : others[kind - MH_OP_KINDS].name;
}

const char *mh_serve_method(int kind)
{
    return kind < MH_OP_KINDS ? mh_op_infos[kind].method : others[kind - MH_OP_KINDS].method;
}

const char *mh_served_pair(const struct mh_served *request, const char *key)
{
    for (size_t i = 0; i < request->pair_count; i++)
        if (strcmp(request->pairs[i].key, key) == 0)
            return request->pairs[i].value;
    return NULL;
}

/* ---- parts ---- */

struct input {
    const uint8_t *bytes;
    size_t length;
    struct mh_arena *arena;
    ProtobufCAllocator allocator;
};

#define UNPACK(Name, name)                                                                                   \
    const MILVUS(Name) *message =                                                                            \
        milvus__proto__milvus__##name##__unpack(&input->allocator, input->length, input->bytes);             \
    if (!message)                                                                                            \
    return -1

/* Most requests begin like this. */
#define UNPACK_NAMED(Name, name)                                                                             \
    UNPACK(Name, name);                                                                                      \
    request->database = message->db_name;                                                                    \
    request->collection = message->collection_name

#define DECODER(function) static int function(struct input *input, struct mh_served *request)

static int set_pairs(struct input *input, struct mh_served *request, COMMON(KeyValuePair) * *pairs,
                     size_t count)
{
    request->pairs = mh_arena_get(input->arena, (count + 1) * sizeof *request->pairs);
    if (!request->pairs)
        return -1;
    request->pair_count = count;
    for (size_t i = 0; i < count; i++)
        request->pairs[i] = (struct mh_served_parameter){pairs[i]->key, pairs[i]->value};
    return 0;
}

static void set_names(struct mh_served *request, char **names, size_t count)
{
    request->names = (const char *const *)names;
    request->name_count = count;
}

#define NAMED(function, Name, name)                                                                          \
    DECODER(function)                                                                                        \
    {                                                                                                        \
        UNPACK_NAMED(Name, name);                                                                            \
        return 0;                                                                                            \
    }
NAMED(decode_drop, DropCollectionRequest, drop_collection_request)
NAMED(decode_has, HasCollectionRequest, has_collection_request)
NAMED(decode_release, ReleaseCollectionRequest, release_collection_request)
NAMED(decode_statistics, GetCollectionStatisticsRequest, get_collection_statistics_request)

#define PARTITION_NAMED(function, Name, name)                                                                \
    DECODER(function)                                                                                        \
    {                                                                                                        \
        UNPACK_NAMED(Name, name);                                                                            \
        request->partition = message->partition_name;                                                        \
        return 0;                                                                                            \
    }
PARTITION_NAMED(decode_create_partition, CreatePartitionRequest, create_partition_request)
PARTITION_NAMED(decode_drop_partition, DropPartitionRequest, drop_partition_request)
PARTITION_NAMED(decode_has_partition, HasPartitionRequest, has_partition_request)
PARTITION_NAMED(decode_partition_statistics, GetPartitionStatisticsRequest, get_partition_statistics_request)

#define PARTITIONS_NAMED(function, Name, name)                                                               \
    DECODER(function)                                                                                        \
    {                                                                                                        \
        UNPACK_NAMED(Name, name);                                                                            \
        set_names(request, message->partition_names, message->n_partition_names);                            \
        return 0;                                                                                            \
    }
PARTITIONS_NAMED(decode_show_partitions, ShowPartitionsRequest, show_partitions_request)
PARTITIONS_NAMED(decode_load_partitions, LoadPartitionsRequest, load_partitions_request)
PARTITIONS_NAMED(decode_release_partitions, ReleasePartitionsRequest, release_partitions_request)
PARTITIONS_NAMED(decode_loading_progress, GetLoadingProgressRequest, get_loading_progress_request)
PARTITIONS_NAMED(decode_load_state, GetLoadStateRequest, get_load_state_request)

#define INDEX_NAMED(function, Name, name)                                                                    \
    DECODER(function)                                                                                        \
    {                                                                                                        \
        UNPACK_NAMED(Name, name);                                                                            \
        request->field = message->field_name;                                                                \
        request->index = message->index_name;                                                                \
        return 0;                                                                                            \
    }
INDEX_NAMED(decode_drop_index, DropIndexRequest, drop_index_request)
INDEX_NAMED(decode_describe_index, DescribeIndexRequest, describe_index_request)
INDEX_NAMED(decode_index_state, GetIndexStateRequest, get_index_state_request)
INDEX_NAMED(decode_index_progress, GetIndexBuildProgressRequest, get_index_build_progress_request)

#define DATABASE_NAMED(function, Name, name)                                                                 \
    DECODER(function)                                                                                        \
    {                                                                                                        \
        UNPACK(Name, name);                                                                                  \
        request->database = message->db_name;                                                                \
        return 0;                                                                                            \
    }
DATABASE_NAMED(decode_create_database, CreateDatabaseRequest, create_database_request)
DATABASE_NAMED(decode_drop_database, DropDatabaseRequest, drop_database_request)

DECODER(decode_nothing)
{
    UNPACK(GetVersionRequest, get_version_request);
    (void)request;
    return 0;
}

DECODER(decode_load)
{
    UNPACK_NAMED(LoadCollectionRequest, load_collection_request);
    request->replicas = message->replica_number;
    return 0;
}

DECODER(decode_describe)
{
    UNPACK_NAMED(DescribeCollectionRequest, describe_collection_request);
    request->collection_id = message->collectionid;
    return 0;
}

DECODER(decode_show_collections)
{
    UNPACK(ShowCollectionsRequest, show_collections_request);
    request->database = message->db_name;
    set_names(request, message->collection_names, message->n_collection_names);
    return 0;
}

DECODER(decode_create_index)
{
    UNPACK_NAMED(CreateIndexRequest, create_index_request);
    request->field = message->field_name;
    request->index = message->index_name;
    return set_pairs(input, request, message->extra_params, message->n_extra_params);
}

DECODER(decode_flush)
{
    UNPACK(FlushRequest, flush_request);
    request->database = message->db_name;
    set_names(request, message->collection_names, message->n_collection_names);
    return 0;
}

DECODER(decode_flush_state)
{
    UNPACK_NAMED(GetFlushStateRequest, get_flush_state_request);
    request->timestamp = message->flush_ts;
    return 0;
}

DECODER(decode_compact)
{
    UNPACK(ManualCompactionRequest, manual_compaction_request);
    request->collection_id = message->collectionid;
    return 0;
}

DECODER(decode_compaction_state)
{
    UNPACK(GetCompactionStateRequest, get_compaction_state_request);
    request->id = message->compactionid;
    return 0;
}

DECODER(decode_metrics)
{
    UNPACK(GetMetricsRequest, get_metrics_request);
    request->text = message->request;
    return 0;
}

/* ---- a collection ---- */

static int64_t number_of(const SCHEMA(FieldSchema) * field, const char *key)
{
    for (size_t i = 0; i < field->n_type_params; i++)
        if (strcmp(field->type_params[i]->key, key) == 0)
            return strtoll(field->type_params[i]->value, NULL, 10);
    return 0;
}

static void set_field(struct mh_served_field *out, const SCHEMA(FieldSchema) * field)
{
    *out = (struct mh_served_field){.name = field->name,
                                    .type = mh_field_type_of(field->data_type),
                                    .dim = number_of(field, "dim"),
                                    .max_length = number_of(field, "max_length"),
                                    .primary = field->is_primary_key,
                                    .auto_id = field->autoid};
}

DECODER(decode_create_collection)
{
    UNPACK_NAMED(CreateCollectionRequest, create_collection_request);
    const SCHEMA(CollectionSchema) *schema = milvus__proto__schema__collection_schema__unpack(
        &input->allocator, message->schema.len, message->schema.data);
    if (!schema)
        return -1;
    request->shards = message->shards_num;
    request->consistency = (int)message->consistency_level;
    request->schema_name = schema->name;
    request->dynamic = schema->enable_dynamic_field;
    request->too_many_fields = schema->n_fields > MH_MOST_FIELDS;
    request->field_count = request->too_many_fields ? MH_MOST_FIELDS : schema->n_fields;
    for (size_t i = 0; i < request->field_count; i++) {
        set_field(&request->fields[i], schema->fields[i]);
        request->fields[i].auto_id |= request->fields[i].primary && schema->autoid;
    }
    return 0;
}

/* ---- rows ---- */

static void set_columns(struct mh_served *request, SCHEMA(FieldData) * *fields, size_t count)
{
    request->too_many_fields = count > MH_MOST_FIELDS;
    for (size_t i = 0; i < count && i < MH_MOST_FIELDS; i++)
        if (!mh_column_of_field(&request->columns[request->column_count++], fields[i]))
            request->bad_column = fields[i]->field_name;
}

DECODER(decode_insert)
{
    UNPACK_NAMED(InsertRequest, insert_request);
    request->partition = message->partition_name;
    request->rows = message->num_rows;
    set_columns(request, message->fields_data, message->n_fields_data);
    return 0;
}

DECODER(decode_upsert)
{
    UNPACK_NAMED(UpsertRequest, upsert_request);
    request->partition = message->partition_name;
    request->rows = message->num_rows;
    set_columns(request, message->fields_data, message->n_fields_data);
    return 0;
}

DECODER(decode_delete)
{
    UNPACK_NAMED(DeleteRequest, delete_request);
    request->partition = message->partition_name;
    request->expression = message->expr;
    return 0;
}

DECODER(decode_query)
{
    UNPACK_NAMED(QueryRequest, query_request);
    set_names(request, message->partition_names, message->n_partition_names);
    request->expression = message->expr;
    request->output_fields = (const char *const *)message->output_fields;
    request->output_count = message->n_output_fields;
    request->consistency = (int)message->consistency_level;
    request->default_consistency = message->use_default_consistency;
    request->timestamp = message->guarantee_timestamp;
    return set_pairs(input, request, message->query_params, message->n_query_params);
}

static int set_queries(struct input *input, struct mh_served *request, const ProtobufCBinaryData *packed)
{
    const COMMON(PlaceholderGroup) *group =
        milvus__proto__common__placeholder_group__unpack(&input->allocator, packed->len, packed->data);
    if (!group)
        return -1;
    if (group->n_placeholders != 1 || strcmp(group->placeholders[0]->tag, "$0") != 0)
        return 0;
    const COMMON(PlaceholderValue) *value = group->placeholders[0];
    const float **queries = mh_arena_get(input->arena, (value->n_values + 1) * sizeof *queries);
    size_t *lengths = mh_arena_get(input->arena, (value->n_values + 1) * sizeof *lengths);
    if (!queries || !lengths)
        return -1;
    for (size_t i = 0; i < value->n_values; i++) {
        queries[i] = (const float *)(const void *)value->values[i].data;
        lengths[i] = value->values[i].len;
    }
    request->queries = queries;
    request->query_lengths = lengths;
    request->query_count = value->n_values;
    return 0;
}

DECODER(decode_search)
{
    UNPACK_NAMED(SearchRequest, search_request);
    set_names(request, message->partition_names, message->n_partition_names);
    request->expression = message->dsl;
    request->dsl_type = (int)message->dsl_type;
    request->nq = message->nq;
    request->output_fields = (const char *const *)message->output_fields;
    request->output_count = message->n_output_fields;
    request->consistency = (int)message->consistency_level;
    request->default_consistency = message->use_default_consistency;
    request->timestamp = message->guarantee_timestamp;
    if (set_pairs(input, request, message->search_params, message->n_search_params) != 0)
        return -1;
    return set_queries(input, request, &message->placeholder_group);
}

static int (*const decoders[MH_SERVE_KINDS])(struct input *, struct mh_served *) = {
    [MH_OP_INSERT] = decode_insert,
    [MH_OP_UPSERT] = decode_upsert,
    [MH_OP_DELETE] = decode_delete,
    [MH_OP_QUERY] = decode_query,
    [MH_OP_CREATE_INDEX] = decode_create_index,
    [MH_OP_DROP_INDEX] = decode_drop_index,
    [MH_OP_DESCRIBE_INDEX] = decode_describe_index,
    [MH_OP_CREATE_COLLECTION] = decode_create_collection,
    [MH_OP_DROP_COLLECTION] = decode_drop,
    [MH_OP_HAS_COLLECTION] = decode_has,
    [MH_OP_DESCRIBE_COLLECTION] = decode_describe,
    [MH_OP_CREATE_PARTITION] = decode_create_partition,
    [MH_OP_SHOW_PARTITIONS] = decode_show_partitions,
    [MH_OP_LOAD] = decode_load,
    [MH_OP_RELEASE] = decode_release,
    [MH_OP_LOAD_STATE] = decode_load_state,
    [MH_OP_FLUSH] = decode_flush,
    [MH_OP_FLUSH_STATE] = decode_flush_state,
    [MH_OP_STATISTICS] = decode_statistics,
    [MH_OP_VERSION] = decode_nothing,
    [MH_OP_SEARCH] = decode_search,
    [MH_SERVE_CONNECT] = decode_nothing,
    [MH_SERVE_HEALTH] = decode_nothing,
    [MH_SERVE_TIMESTAMP] = decode_nothing,
    [MH_SERVE_COMPONENTS] = decode_nothing,
    [MH_SERVE_CREATE_DATABASE] = decode_create_database,
    [MH_SERVE_DROP_DATABASE] = decode_drop_database,
    [MH_SERVE_LIST_DATABASES] = decode_nothing,
    [MH_OP_SHOW_COLLECTIONS] = decode_show_collections,
    [MH_SERVE_HAS_PARTITION] = decode_has_partition,
    [MH_OP_DROP_PARTITION] = decode_drop_partition,
    [MH_SERVE_PARTITION_STATISTICS] = decode_partition_statistics,
    [MH_SERVE_LOAD_PARTITIONS] = decode_load_partitions,
    [MH_SERVE_RELEASE_PARTITIONS] = decode_release_partitions,
    [MH_SERVE_LOADING_PROGRESS] = decode_loading_progress,
    [MH_SERVE_INDEX_STATE] = decode_index_state,
    [MH_SERVE_INDEX_PROGRESS] = decode_index_progress,
    [MH_SERVE_COMPACT] = decode_compact,
    [MH_SERVE_COMPACTION_STATE] = decode_compaction_state,
    [MH_OP_METRICS] = decode_metrics,
};

static const struct mh_served blank = {.database = "",
                                       .collection = "",
                                       .partition = "",
                                       .expression = "",
                                       .schema_name = "",
                                       .field = "",
                                       .index = "",
                                       .text = ""};

int mh_served_decode(int kind, const uint8_t *bytes, size_t length, struct mh_arena *arena,
                     struct mh_served *request)
{
    struct input input = {
        .bytes = bytes, .length = length, .arena = arena, .allocator = mh_arena_allocator(arena)};
    *request = blank;
    request->kind = kind;
    return decoders[kind](&input, request);
}
