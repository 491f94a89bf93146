#include "milvus/replies.h"

#include <stdlib.h>

struct bytes bytes_of(const ProtobufCMessage *message)
{
    struct bytes bytes = {.length = protobuf_c_message_get_packed_size(message)};
    bytes.data = malloc(bytes.length + (bytes.length == 0));
    protobuf_c_message_pack(message, bytes.data);
    return bytes;
}

static char key[] = "row_count", value[] = "1234", other[] = "other", name_1[] = "_default",
            name_2[] = "part_1", version[] = "v2.3.5", why[] = "disk full";
static int64_t sealed[] = {11, 12}, flushed[] = {13};
static float vectors[] = {1, 2, 3, 4, 5, 6};
static int64_t keys[] = {7, 8, 9};

static struct bytes mutation(COMMON(Status) * status)
{
    MILVUS(MutationResult) m = MILVUS__PROTO__MILVUS__MUTATION_RESULT__INIT;
    m.status = status;
    m.insert_cnt = 3;
    m.timestamp = 0xfedcba9876543210;
    return bytes_of(&m.base);
}

static struct bytes query(COMMON(Status) * status)
{
    MILVUS(QueryResults) m = MILVUS__PROTO__MILVUS__QUERY_RESULTS__INIT;
    SCHEMA(FieldData) ids = MILVUS__PROTO__SCHEMA__FIELD_DATA__INIT, rows = ids, *fields[] = {&ids, &rows};
    SCHEMA(ScalarField) scalars = MILVUS__PROTO__SCHEMA__SCALAR_FIELD__INIT;
    SCHEMA(LongArray) longs = MILVUS__PROTO__SCHEMA__LONG_ARRAY__INIT;
    SCHEMA(VectorField) vector = MILVUS__PROTO__SCHEMA__VECTOR_FIELD__INIT;
    SCHEMA(FloatArray) floats = MILVUS__PROTO__SCHEMA__FLOAT_ARRAY__INIT;
    longs.data = keys;
    longs.n_data = 3;
    scalars.data_case = MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_LONG_DATA;
    scalars.long_data = &longs;
    ids.field_name = other;
    ids.type = DATA_TYPE(Int64);
    ids.field_case = MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_SCALARS;
    ids.scalars = &scalars;
    floats.data = (ProtobufCBinaryData){sizeof vectors, (uint8_t *)vectors};
    vector.dim = 2;
    vector.data_case = MILVUS__PROTO__SCHEMA__VECTOR_FIELD__DATA_FLOAT_VECTOR;
    vector.float_vector = &floats;
    rows.field_name = name_2;
    rows.type = DATA_TYPE(FloatVector);
    rows.field_case = MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_VECTORS;
    rows.vectors = &vector;
    m.status = status;
    m.fields_data = fields;
    m.n_fields_data = 2;
    return bytes_of(&m.base);
}

static struct bytes search_of(COMMON(Status) * status, const int64_t *hits_of, size_t ids_count,
                              size_t scores)
{
    MILVUS(SearchResults) m = MILVUS__PROTO__MILVUS__SEARCH_RESULTS__INIT;
    SCHEMA(SearchResultData) data = MILVUS__PROTO__SCHEMA__SEARCH_RESULT_DATA__INIT;
    SCHEMA(IDs) ids = MILVUS__PROTO__SCHEMA__IDS__INIT;
    SCHEMA(LongArray) longs = MILVUS__PROTO__SCHEMA__LONG_ARRAY__INIT;
    longs.data = keys;
    longs.n_data = ids_count;
    ids.id_field_case = MILVUS__PROTO__SCHEMA__IDS__ID_FIELD_INT_ID;
    ids.int_id = &longs;
    data.num_queries = 3;
    data.top_k = 2;
    data.topks = (int64_t *)(uintptr_t)hits_of;
    data.n_topks = 3;
    data.scores = vectors;
    data.n_scores = scores;
    data.ids = &ids;
    m.status = status;
    m.results = &data;
    return bytes_of(&m.base);
}

struct bytes search_with(const int64_t hits_of[3], size_t ids, size_t scores)
{
    COMMON(Status) status = MILVUS__PROTO__COMMON__STATUS__INIT;
    return search_of(&status, hits_of, ids, scores);
}

static struct bytes search(COMMON(Status) * status)
{
    static const int64_t hits[] = {1, 0, 2};
    return search_of(status, hits, 3, 3);
}

static struct bytes index_of(COMMON(Status) * status)
{
    MILVUS(DescribeIndexResponse) m = MILVUS__PROTO__MILVUS__DESCRIBE_INDEX_RESPONSE__INIT;
    MILVUS(IndexDescription) index = MILVUS__PROTO__MILVUS__INDEX_DESCRIPTION__INIT, *indexes[] = {&index};
    index.state = MILVUS__PROTO__COMMON__INDEX_STATE__Failed;
    index.indexed_rows = 5;
    index.pending_index_rows = 6;
    index.index_state_fail_reason = why;
    m.status = status;
    m.index_descriptions = indexes;
    m.n_index_descriptions = 1;
    return bytes_of(&m.base);
}

static struct bytes flush(COMMON(Status) * status)
{
    MILVUS(FlushResponse) m = MILVUS__PROTO__MILVUS__FLUSH_RESPONSE__INIT;
    MILVUS(FlushResponse__CollSegIDsEntry)
    a = MILVUS__PROTO__MILVUS__FLUSH_RESPONSE__COLL_SEG_IDS_ENTRY__INIT, *as[] = {&a};
    MILVUS(FlushResponse__FlushCollSegIDsEntry)
    b = MILVUS__PROTO__MILVUS__FLUSH_RESPONSE__FLUSH_COLL_SEG_IDS_ENTRY__INIT, *bs[] = {&b};
    MILVUS(FlushResponse__CollFlushTsEntry)
    t = MILVUS__PROTO__MILVUS__FLUSH_RESPONSE__COLL_FLUSH_TS_ENTRY__INIT, *ts[] = {&t};
    SCHEMA(LongArray) first = MILVUS__PROTO__SCHEMA__LONG_ARRAY__INIT, second = first;
    first.data = sealed;
    first.n_data = 2;
    second.data = flushed;
    second.n_data = 1;
    a.key = b.key = t.key = name_2;
    a.value = &first;
    b.value = &second;
    t.value = 77;
    m.status = status;
    m.coll_segids = as;
    m.flush_coll_segids = bs;
    m.coll_flush_ts = ts;
    m.n_coll_segids = m.n_flush_coll_segids = m.n_coll_flush_ts = 1;
    return bytes_of(&m.base);
}

static struct bytes statistics(COMMON(Status) * status)
{
    MILVUS(GetCollectionStatisticsResponse)
    m = MILVUS__PROTO__MILVUS__GET_COLLECTION_STATISTICS_RESPONSE__INIT;
    COMMON(KeyValuePair) a = MILVUS__PROTO__COMMON__KEY_VALUE_PAIR__INIT, b = a, *pairs[] = {&a, &b};
    a.key = other;
    a.value = why;
    b.key = key;
    b.value = value;
    m.status = status;
    m.stats = pairs;
    m.n_stats = 2;
    return bytes_of(&m.base);
}

static struct bytes partitions(COMMON(Status) * status)
{
    MILVUS(ShowPartitionsResponse) m = MILVUS__PROTO__MILVUS__SHOW_PARTITIONS_RESPONSE__INIT;
    char *names[] = {name_1, name_2};
    m.status = status;
    m.partition_names = names;
    m.n_partition_names = 2;
    return bytes_of(&m.base);
}

static struct bytes collections(COMMON(Status) * status)
{
    MILVUS(ShowCollectionsResponse) m = MILVUS__PROTO__MILVUS__SHOW_COLLECTIONS_RESPONSE__INIT;
    char *names[] = {name_1, name_2};
    m.status = status;
    m.collection_names = names;
    m.n_collection_names = 2;
    return bytes_of(&m.base);
}

static struct bytes yes(enum mh_op_kind kind, COMMON(Status) * status)
{
    MILVUS(BoolResponse) has = MILVUS__PROTO__MILVUS__BOOL_RESPONSE__INIT;
    MILVUS(GetFlushStateResponse) done = MILVUS__PROTO__MILVUS__GET_FLUSH_STATE_RESPONSE__INIT;
    MILVUS(GetLoadStateResponse) load = MILVUS__PROTO__MILVUS__GET_LOAD_STATE_RESPONSE__INIT;
    MILVUS(DescribeCollectionResponse) described = MILVUS__PROTO__MILVUS__DESCRIBE_COLLECTION_RESPONSE__INIT;
    MILVUS(GetVersionResponse) is = MILVUS__PROTO__MILVUS__GET_VERSION_RESPONSE__INIT;
    MILVUS(GetMetricsResponse) metrics = MILVUS__PROTO__MILVUS__GET_METRICS_RESPONSE__INIT;
    has.status = done.status = load.status = described.status = is.status = metrics.status = status;
    metrics.response = version;
    has.value = done.flushed = 1;
    load.state = MILVUS__PROTO__COMMON__LOAD_STATE__LoadStateLoading;
    described.collectionid = 4711;
    is.version = version;
    return bytes_of(kind == MH_OP_HAS_COLLECTION        ? &has.base
                    : kind == MH_OP_DESCRIBE_COLLECTION ? &described.base
                    : kind == MH_OP_FLUSH_STATE         ? &done.base
                    : kind == MH_OP_LOAD_STATE          ? &load.base
                    : kind == MH_OP_METRICS             ? &metrics.base
                                                        : &is.base);
}

static struct bytes reply(enum mh_op_kind kind, COMMON(Status) * status)
{
    switch (kind) {
    case MH_OP_INSERT:
    case MH_OP_UPSERT:
    case MH_OP_DELETE:
        return mutation(status);
    case MH_OP_QUERY:
        return query(status);
    case MH_OP_SEARCH:
        return search(status);
    case MH_OP_DESCRIBE_INDEX:
        return index_of(status);
    case MH_OP_FLUSH:
        return flush(status);
    case MH_OP_STATISTICS:
        return statistics(status);
    case MH_OP_SHOW_PARTITIONS:
        return partitions(status);
    case MH_OP_SHOW_COLLECTIONS:
        return collections(status);
    case MH_OP_HAS_COLLECTION:
    case MH_OP_DESCRIBE_COLLECTION:
    case MH_OP_FLUSH_STATE:
    case MH_OP_LOAD_STATE:
    case MH_OP_VERSION:
    case MH_OP_METRICS:
        return yes(kind, status);
    default:
        return status ? bytes_of(&status->base) : (struct bytes){.data = malloc(1)};
    }
}

struct bytes reply_to(enum mh_op_kind kind, int legacy, int code, const char *reason)
{
    COMMON(Status) status = MILVUS__PROTO__COMMON__STATUS__INIT;
    status.error_code = (COMMON(ErrorCode))legacy;
    status.code = code;
    status.reason = (char *)(uintptr_t)reason;
    return reply(kind, &status);
}

struct bytes reply_without_status(enum mh_op_kind kind)
{
    return reply(kind, NULL);
}
