/* Requests from plain structs. Message structs live in an arena of the call; vector columns go out by
 * reference. */
#include "milvus/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copied piece costs less than a slice by reference below this size. */
enum { BY_REFERENCE_FROM = 4096 };

/* ---- packing ---- */

struct payload_buffer {
    ProtobufCBuffer base;
    struct mh_payload *payload;
    const struct mh_request *request;
    bool failed;
};

static bool append_copy(struct mh_payload *payload, const uint8_t *bytes, size_t length)
{
    if (payload->copied_length + length > payload->copied_room) {
        size_t room = 2 * (payload->copied_length + length) + 1024;
        uint8_t *grown = realloc(payload->copied, room);
        if (!grown)
            return false;
        payload->copied = grown;
        payload->copied_room = room;
    }
    struct mh_piece *last = payload->piece_count ? &payload->pieces[payload->piece_count - 1] : NULL;
    if (!last || last->bytes) {
        if (payload->piece_count == MH_PAYLOAD_PIECES)
            return false;
        last = &payload->pieces[payload->piece_count++];
        *last = (struct mh_piece){.offset = payload->copied_length};
    }
    memcpy(payload->copied + payload->copied_length, bytes, length);
    payload->copied_length += length;
    last->length += length;
    return true;
}

static const struct mh_column *vector_at(const struct mh_request *request, const void *bytes)
{
    for (size_t i = 0; i < request->column_count; i++)
        if (request->columns[i].type == MH_FIELD_FLOAT_VECTOR && request->columns[i].values == bytes)
            return &request->columns[i];
    return NULL;
}

static void append(ProtobufCBuffer *base, size_t length, const uint8_t *bytes)
{
    struct payload_buffer *buffer = (struct payload_buffer *)base;
    struct mh_payload *payload = buffer->payload;
    const struct mh_column *vector = length >= BY_REFERENCE_FROM ? vector_at(buffer->request, bytes) : NULL;
    payload->total += length;
    if (!vector || payload->piece_count == MH_PAYLOAD_PIECES) {
        buffer->failed |= !append_copy(payload, bytes, length);
        return;
    }
    payload->pieces[payload->piece_count++] =
        (struct mh_piece){.bytes = bytes, .length = length, .release = vector->release, .held = vector->held};
}

static bool went_by_reference(const struct mh_payload *payload, const struct mh_column *column)
{
    for (size_t i = 0; i < payload->piece_count; i++)
        if (payload->pieces[i].bytes == column->values)
            return true;
    return false;
}

/* Columns that nobody will read any more. */
static void release_others(const struct mh_request *request, const struct mh_payload *payload)
{
    for (size_t i = 0; i < request->column_count; i++)
        if (request->columns[i].release && !went_by_reference(payload, &request->columns[i]))
            request->columns[i].release(request->columns[i].held);
}

static int pack(const ProtobufCMessage *message, const struct mh_request *request, struct mh_payload *payload,
                struct mh_error *err)
{
    struct payload_buffer buffer = {{append}, payload, request, false};
    mh_payload_reset(payload);
    protobuf_c_message_pack_to_buffer(message, &buffer.base);
    release_others(request, payload);
    return buffer.failed ? mh_fail(err, "out of memory for a request of %zu bytes", payload->total) : 0;
}

/* protobuf-c's strings are not const, though it only reads them. */
static char *text(const char *given)
{
    return given ? (char *)(uintptr_t)given : (char *)(uintptr_t)protobuf_c_empty_string;
}

/* ---- rows ---- */

static void *unconst(const void *pointer)
{
    return (void *)(uintptr_t)pointer;
}

static void set_vectors(struct mh_field_parts *parts, const struct mh_column *column, size_t rows)
{
    milvus__proto__schema__vector_field__init(&parts->vectors);
    milvus__proto__schema__float_array__init(&parts->floats);
    parts->floats.data = (ProtobufCBinaryData){.len = rows * (size_t)column->dim * sizeof(float),
                                               .data = unconst(column->values)};
    parts->vectors.dim = column->dim;
    parts->vectors.data_case = MILVUS__PROTO__SCHEMA__VECTOR_FIELD__DATA_FLOAT_VECTOR;
    parts->vectors.float_vector = &parts->floats;
    parts->field.field_case = MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_VECTORS;
    parts->field.vectors = &parts->vectors;
}

#define SET_SCALARS(part, member, array, CASE)                                                               \
    do {                                                                                                     \
        milvus__proto__schema__##array##__init(&parts->part);                                                \
        parts->part.n_data = rows;                                                                           \
        parts->part.data = unconst(column->values);                                                          \
        parts->scalars.data_case = MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_##CASE;                         \
        parts->scalars.member = &parts->part;                                                                \
    } while (0)

static void set_floats(struct mh_field_parts *parts, const struct mh_column *column, size_t rows)
{
    milvus__proto__schema__float_array__init(&parts->floats);
    parts->floats.data = (ProtobufCBinaryData){.len = rows * sizeof(float), .data = unconst(column->values)};
    parts->scalars.data_case = MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_FLOAT_DATA;
    parts->scalars.float_data = &parts->floats;
}

static void set_scalars(struct mh_field_parts *parts, const struct mh_column *column, size_t rows)
{
    milvus__proto__schema__scalar_field__init(&parts->scalars);
    parts->field.field_case = MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_SCALARS;
    parts->field.scalars = &parts->scalars;
    switch (column->type) {
    case MH_FIELD_BOOL:
        SET_SCALARS(bools, bool_data, bool_array, BOOL_DATA);
        break;
    case MH_FIELD_INT64:
        SET_SCALARS(longs, long_data, long_array, LONG_DATA);
        break;
    case MH_FIELD_FLOAT:
        set_floats(parts, column, rows);
        break;
    case MH_FIELD_DOUBLE:
        SET_SCALARS(doubles, double_data, double_array, DOUBLE_DATA);
        break;
    case MH_FIELD_VARCHAR:
        SET_SCALARS(texts, string_data, string_array, STRING_DATA);
        break;
    default:
        SET_SCALARS(ints, int_data, int_array, INT_DATA);
    }
}

int mh_field_of_column(struct mh_field_parts *parts, const struct mh_column *column, size_t rows,
                       struct mh_error *err)
{
    milvus__proto__schema__field_data__init(&parts->field);
    parts->field.type = mh_wire_type(column->type);
    parts->field.field_name = text(column->name);
    if (column->type != MH_FIELD_FLOAT_VECTOR) {
        set_scalars(parts, column, rows);
        return 0;
    }
    if (column->dim < 1)
        return mh_fail(err, "field %s: refusing to send vectors of dimension 0: Milvus 2.3 dies of them",
                       column->name);
    set_vectors(parts, column, rows);
    return 0;
}

/* InsertRequest and UpsertRequest have the same fields under the same numbers. */
int mh_encode_rows(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    struct mh_field_parts parts[MH_MOST_FIELDS];
    SCHEMA(FieldData) * fields[MH_MOST_FIELDS];
    mh_payload_reset(payload);
    if (request->column_count > MH_MOST_FIELDS || request->rows < 1) {
        release_others(request, payload);
        return mh_fail(err, "a write needs 1 row or more and at most %d fields", MH_MOST_FIELDS);
    }
    for (size_t i = 0; i < request->column_count; i++) {
        if (mh_field_of_column(&parts[i], &request->columns[i], (size_t)request->rows, err) != 0) {
            release_others(request, payload);
            return -1;
        }
        fields[i] = &parts[i].field;
    }
    MILVUS(InsertRequest) message;
    milvus__proto__milvus__insert_request__init(&message);
    message.collection_name = text(request->collection);
    message.partition_name = text(request->partition);
    message.fields_data = fields;
    message.n_fields_data = request->column_count;
    message.num_rows = (uint32_t)request->rows;
    return pack(&message.base, request, payload, err);
}

static char *key_list(const struct mh_request *request, struct mh_arena *arena)
{
    size_t room = strlen(request->key_field) + 16 + 21 * (size_t)request->key_count;
    char *expression = mh_arena_get(arena, room);
    if (!expression)
        return NULL;
    char *end = expression + sprintf(expression, "%s in [", request->key_field);
    for (int64_t i = 0; i < request->key_count; i++)
        end += sprintf(end, i ? ",%" PRId64 : "%" PRId64, request->keys[i]);
    memcpy(end, "]", 2);
    return expression;
}

int mh_encode_delete(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    struct mh_arena arena = {0};
    MILVUS(DeleteRequest) message;
    milvus__proto__milvus__delete_request__init(&message);
    message.collection_name = text(request->collection);
    message.partition_name = text(request->partition);
    message.expr = key_list(request, &arena);
    int rc = message.expr ? pack(&message.base, request, payload, err) : mh_fail(err, "out of memory");
    mh_arena_free(&arena);
    return rc;
}

/* ---- queries ---- */

static COMMON(KeyValuePair) pair_of(const char *key, const char *value)
{
    COMMON(KeyValuePair) pair;
    milvus__proto__common__key_value_pair__init(&pair);
    pair.key = text(key);
    pair.value = text(value);
    return pair;
}

/* Servers take the level from the timestamp: 0 strong, 1 eventually, 2 bounded, larger ones literally
 * (session). */
static uint64_t guarantee(const struct mh_request *request)
{
    switch (request->consistency) {
    case MH_EVENTUALLY:
        return 1;
    case MH_BOUNDED:
        return 2;
    case MH_SESSION:
        return request->guarantee_ts ? request->guarantee_ts : 1; /* nothing of its own to be seen yet */
    default:
        return 0;
    }
}

enum { MAX_PARAMETERS = 32 };

struct parameters {
    COMMON(KeyValuePair) pairs[MAX_PARAMETERS];
    COMMON(KeyValuePair) * pointers[MAX_PARAMETERS];
    char numbers[MAX_PARAMETERS][24];
    size_t count;
};

static void add_parameter(struct parameters *list, const char *key, const char *value)
{
    list->pairs[list->count] = pair_of(key, value);
    list->pointers[list->count] = &list->pairs[list->count];
    list->count++;
}

static void add_number(struct parameters *list, const char *key, int64_t number)
{
    char *text = list->numbers[list->count];
    snprintf(text, sizeof list->numbers[0], "%" PRId64, number);
    add_parameter(list, key, text);
}

/* Where a reader looks: *one is room for a single name. */
static size_t partitions_of(const struct mh_request *request, char **one, char ***names)
{
    *one = text(request->partition);
    *names = one;
    if ((*one)[0])
        return 1;
    *names = unconst(request->partitions);
    return request->partition_count;
}

int mh_encode_query(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    struct parameters list = {.count = 0};
    char *partition;
    if (request->limit > 0)
        add_number(&list, "limit", request->limit);
    if (request->offset > 0)
        add_number(&list, "offset", request->offset);
    if (request->iterator) { /* as pymilvus asks for a page */
        add_parameter(&list, "iterator", "True");
        add_parameter(&list, "reduce_stop_for_best", "True");
    }
    MILVUS(QueryRequest) message;
    milvus__proto__milvus__query_request__init(&message);
    message.collection_name = text(request->collection);
    message.expr = text(request->expression);
    message.output_fields = unconst(request->output_fields);
    message.n_output_fields = request->output_count;
    message.n_partition_names = partitions_of(request, &partition, &message.partition_names);
    message.query_params = list.pointers;
    message.n_query_params = list.count;
    message.consistency_level = (COMMON(ConsistencyLevel))request->consistency;
    message.guarantee_timestamp = guarantee(request);
    return pack(&message.base, request, payload, err);
}

/* ---- searches ---- */

static int pack_queries(const struct mh_request *request, struct mh_arena *arena, ProtobufCBinaryData *packed)
{
    const size_t count = (size_t)request->query_count;
    ProtobufCBinaryData *values = mh_arena_get(arena, count * sizeof *values);
    COMMON(PlaceholderValue) value, *pointer = &value;
    COMMON(PlaceholderGroup) group;
    if (!values)
        return -1;
    for (size_t i = 0; i < count; i++) {
        values[i].len = (size_t)request->dim * sizeof(float);
        values[i].data = unconst(request->queries + i * (size_t)request->dim);
    }
    milvus__proto__common__placeholder_value__init(&value);
    value.tag = text("$0");
    value.type = MILVUS__PROTO__COMMON__PLACEHOLDER_TYPE__FloatVector;
    value.values = values;
    value.n_values = count;
    milvus__proto__common__placeholder_group__init(&group);
    group.placeholders = &pointer;
    group.n_placeholders = 1;
    packed->len = milvus__proto__common__placeholder_group__get_packed_size(&group);
    packed->data = mh_arena_get(arena, packed->len);
    if (!packed->data)
        return -1;
    milvus__proto__common__placeholder_group__pack(&group, packed->data);
    return 0;
}

static void add_search_parameters(struct parameters *list, const struct mh_request *request)
{
    add_parameter(list, "anns_field", request->index_field);
    add_parameter(list, "metric_type", request->index_metric);
    add_number(list, "topk", request->limit);
    add_parameter(list, "params", request->search_params ? request->search_params : "{}");
    add_parameter(list, "round_decimal", "-1");
    if (request->offset > 0)
        add_number(list, "offset", request->offset);
}

int mh_encode_search(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    struct mh_arena arena = {0};
    struct parameters list = {.count = 0};
    char *partition;
    if (request->query_count < 1 || request->query_count > MH_MOST_QUERIES || request->dim < 1)
        return mh_fail(err, "a search needs 1 to %d query vectors of dimension 1 or more", MH_MOST_QUERIES);
    MILVUS(SearchRequest) message;
    milvus__proto__milvus__search_request__init(&message);
    add_search_parameters(&list, request);
    message.collection_name = text(request->collection);
    message.n_partition_names = partitions_of(request, &partition, &message.partition_names);
    message.dsl = text(request->expression);
    message.dsl_type = MILVUS__PROTO__COMMON__DSL_TYPE__BoolExprV1; /* Milvus 2.3 dies of the other */
    message.output_fields = unconst(request->output_fields);
    message.n_output_fields = request->output_count;
    message.search_params = list.pointers;
    message.n_search_params = list.count;
    message.nq = request->query_count;
    message.consistency_level = (COMMON(ConsistencyLevel))request->consistency;
    message.guarantee_timestamp = guarantee(request);
    int rc = pack_queries(request, &arena, &message.placeholder_group) != 0
                 ? mh_fail(err, "out of memory for %" PRId64 " query vectors", request->query_count)
                 : pack(&message.base, request, payload, err);
    mh_arena_free(&arena);
    return rc;
}

/* ---- definitions ---- */

int mh_encode_create_index(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    struct parameters list = {.count = 0};
    add_parameter(&list, "index_type", request->index_type);
    add_parameter(&list, "metric_type", request->index_metric);
    add_parameter(&list, "params",
                  request->index_params && request->index_params[0] ? request->index_params : "{}");
    MILVUS(CreateIndexRequest) message;
    milvus__proto__milvus__create_index_request__init(&message);
    message.collection_name = text(request->collection);
    message.field_name = text(request->index_field);
    message.index_name = text(request->index_field);
    message.extra_params = list.pointers;
    message.n_extra_params = list.count;
    return pack(&message.base, request, payload, err);
}

int mh_encode_drop_index(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    MILVUS(DropIndexRequest) message;
    milvus__proto__milvus__drop_index_request__init(&message);
    message.collection_name = text(request->collection);
    message.field_name = text(request->index_field);
    message.index_name = text(request->index_field);
    return pack(&message.base, request, payload, err);
}

int mh_encode_describe_index(const struct mh_request *request, struct mh_payload *payload,
                             struct mh_error *err)
{
    MILVUS(DescribeIndexRequest) message;
    milvus__proto__milvus__describe_index_request__init(&message);
    message.collection_name = text(request->collection);
    message.field_name = text(request->index_field);
    message.index_name = text(request->index_field);
    return pack(&message.base, request, payload, err);
}

struct field_schema {
    SCHEMA(FieldSchema) message;
    COMMON(KeyValuePair) pair, *pairs[1];
    char number[24];
};

static void describe_field(struct field_schema *out, const struct mh_field *field, int64_t dim)
{
    milvus__proto__schema__field_schema__init(&out->message);
    out->message.name = text(field->name);
    out->message.is_primary_key = field->primary;
    out->message.data_type = mh_wire_type(field->type);
    bool vector = field->type == MH_FIELD_FLOAT_VECTOR;
    if (!vector && field->type != MH_FIELD_VARCHAR)
        return;
    int64_t number = vector ? (field->dim ? field->dim : dim) : field->max_length;
    snprintf(out->number, sizeof out->number, "%" PRId64, number);
    out->pair = pair_of(vector ? "dim" : "max_length", out->number);
    out->pairs[0] = &out->pair;
    out->message.type_params = out->pairs;
    out->message.n_type_params = 1;
}

static int pack_schema(const struct mh_request *request, struct mh_arena *arena, ProtobufCBinaryData *packed)
{
    const struct mh_list *list = &request->schema->fields;
    const struct mh_field *fields = list->items;
    struct field_schema *parts = mh_arena_get(arena, list->count * sizeof *parts);
    SCHEMA(FieldSchema) **pointers = mh_arena_get(arena, list->count * sizeof *pointers);
    if (!parts || !pointers)
        return -1;
    for (size_t i = 0; i < list->count; i++) {
        describe_field(&parts[i], &fields[i], request->dim);
        pointers[i] = &parts[i].message;
    }
    SCHEMA(CollectionSchema) schema;
    milvus__proto__schema__collection_schema__init(&schema);
    schema.name = text(request->collection);
    schema.fields = pointers;
    schema.n_fields = list->count;
    packed->len = milvus__proto__schema__collection_schema__get_packed_size(&schema);
    packed->data = mh_arena_get(arena, packed->len);
    if (!packed->data)
        return -1;
    milvus__proto__schema__collection_schema__pack(&schema, packed->data);
    return 0;
}

int mh_encode_create_collection(const struct mh_request *request, struct mh_payload *payload,
                                struct mh_error *err)
{
    struct mh_arena arena = {0};
    MILVUS(CreateCollectionRequest) message;
    milvus__proto__milvus__create_collection_request__init(&message);
    message.collection_name = text(request->collection);
    message.shards_num = (int32_t)request->schema->shards;
    message.consistency_level = (COMMON(ConsistencyLevel))request->schema->consistency;
    int rc = pack_schema(request, &arena, &message.schema) != 0 ? mh_fail(err, "out of memory")
                                                                : pack(&message.base, request, payload, err);
    mh_arena_free(&arena);
    return rc;
}

/* Drop, Has, Load, Release, ShowPartitions and GetCollectionStatistics: db_name = 2, collection_name = 3, and
 * nothing else of ours. */
int mh_encode_collection_name(const struct mh_request *request, struct mh_payload *payload,
                              struct mh_error *err)
{
    MILVUS(DropCollectionRequest) message;
    milvus__proto__milvus__drop_collection_request__init(&message);
    message.collection_name = text(request->collection);
    return pack(&message.base, request, payload, err);
}

/* CreatePartition and DropPartition */
int mh_encode_partition_name(const struct mh_request *request, struct mh_payload *payload,
                             struct mh_error *err)
{
    MILVUS(CreatePartitionRequest) message;
    milvus__proto__milvus__create_partition_request__init(&message);
    message.collection_name = text(request->collection);
    message.partition_name = text(request->partition);
    return pack(&message.base, request, payload, err);
}

int mh_encode_load_state(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    MILVUS(GetLoadStateRequest) message;
    char *partition;
    milvus__proto__milvus__get_load_state_request__init(&message);
    message.collection_name = text(request->collection);
    message.n_partition_names = partitions_of(request, &partition, &message.partition_names);
    return pack(&message.base, request, payload, err);
}

int mh_encode_flush(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    char *name = text(request->collection);
    MILVUS(FlushRequest) message;
    milvus__proto__milvus__flush_request__init(&message);
    message.collection_names = &name;
    message.n_collection_names = 1;
    return pack(&message.base, request, payload, err);
}

int mh_encode_flush_state(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    MILVUS(GetFlushStateRequest) message;
    milvus__proto__milvus__get_flush_state_request__init(&message);
    message.segmentids = unconst(request->segments);
    message.n_segmentids = request->segment_count;
    message.flush_ts = request->flush_ts;
    message.collection_name = text(request->collection);
    return pack(&message.base, request, payload, err);
}

int mh_encode_nothing(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    MILVUS(GetVersionRequest) message;
    milvus__proto__milvus__get_version_request__init(&message);
    return pack(&message.base, request, payload, err);
}

int mh_encode_metrics(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err)
{
    MILVUS(GetMetricsRequest) message;
    milvus__proto__milvus__get_metrics_request__init(&message);
    message.request = text(request->text);
    return pack(&message.base, request, payload, err);
}
