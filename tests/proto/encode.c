/* Writes what milvus/ encodes to DIR/NAME.bin, and a line "NAME METHOD" for each: test_encode.py reads it
 * with other descriptors than ours. All values are functions of the row, which that test knows too. */
#include "milvus/milvus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 5, MANY = 300, SMALL_DIM = 4, LARGE_DIM = 16, MOST_FIELDS = 9 };

/* ---- rows ---- */

struct rows {
    int64_t count, dim;
    int32_t bools[MANY], bytes[MANY], shorts[MANY], ints[MANY];
    int64_t longs[MANY], keys[MANY];
    float floats[MANY];
    double doubles[MANY];
    char texts[MANY][32], *pointers[MANY];
    uint32_t vectors[MANY * LARGE_DIM]; /* bits of floats */
};

/* Any finite float, subnormal ones and -0 among them. */
static uint32_t float_bits(int64_t i)
{
    uint32_t bits = i == 1 ? 1u << 31 : (uint32_t)i * 2654435761u;
    return (bits >> 23 & 255) == 255 ? bits & 0x807fffffu : bits;
}

static void make_rows(struct rows *rows, int64_t count, int64_t dim)
{
    rows->count = count;
    rows->dim = dim;
    for (int64_t i = 0; i < count; i++) {
        rows->bools[i] = (int32_t)i % 2;
        rows->bytes[i] = (int32_t)(i % 256) - 128;
        rows->shorts[i] = (int32_t)(i * 300 % 65536) - 32768;
        rows->ints[i] = (int32_t)(i * 7654321 - 2147483648LL);
        rows->longs[i] = INT64_MIN + i * 30744573456182586;
        rows->keys[i] = 1000000000000 + i;
        rows->doubles[i] = (double)i / 3 - 1e10;
        snprintf(rows->texts[i], sizeof rows->texts[i], i % 3 ? "näme %lld" : "", (long long)i);
        rows->pointers[i] = rows->texts[i];
        uint32_t bits = float_bits(i + 17);
        memcpy(&rows->floats[i], &bits, sizeof bits);
    }
    for (int64_t i = 0; i < count * dim; i++)
        rows->vectors[i] = float_bits(i);
}

static size_t columns_of(const struct rows *rows, struct mh_column *columns)
{
    const struct mh_column all[MOST_FIELDS] = {
        {.name = "flag", .type = MH_FIELD_BOOL, .values = rows->bools},
        {.name = "tiny", .type = MH_FIELD_INT8, .values = rows->bytes},
        {.name = "short", .type = MH_FIELD_INT16, .values = rows->shorts},
        {.name = "normal", .type = MH_FIELD_INT32, .values = rows->ints},
        {.name = "long", .type = MH_FIELD_INT64, .values = rows->longs},
        {.name = "single", .type = MH_FIELD_FLOAT, .values = rows->floats},
        {.name = "twice", .type = MH_FIELD_DOUBLE, .values = rows->doubles},
        {.name = "text", .type = MH_FIELD_VARCHAR, .values = rows->pointers},
        {.name = "vector", .type = MH_FIELD_FLOAT_VECTOR, .dim = rows->dim, .values = rows->vectors},
    };
    memcpy(columns, all, sizeof all);
    return MOST_FIELDS;
}

/* ---- out ---- */

static void put(const struct mh_payload *payload, FILE *file)
{
    for (size_t i = 0; i < payload->piece_count; i++) {
        const struct mh_piece *piece = &payload->pieces[i];
        fwrite(piece->bytes ? piece->bytes : payload->copied + piece->offset, 1, piece->length, file);
    }
}

static void write_request(const char *folder, const char *name, const struct mh_request *request)
{
    static struct mh_payload payload; /* reused, as an operation does */
    struct mh_error err = {""};
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.bin", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || mh_encode(request, &payload, &err) != 0) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        exit(1);
    }
    put(&payload, file);
    if (fclose(file) != 0)
        exit(1);
    printf("%s %s\n", name, mh_op_infos[request->kind].method);
    mh_payload_reset(&payload);
}

static void write_rows(const char *folder)
{
    static struct rows few, many;
    struct mh_column columns[MOST_FIELDS];
    make_rows(&few, FEW, SMALL_DIM);
    make_rows(&many, MANY, LARGE_DIM);
    struct mh_request request = {.kind = MH_OP_INSERT,
                                 .collection = "things",
                                 .partition = "part_1",
                                 .columns = columns,
                                 .column_count = columns_of(&few, columns),
                                 .rows = FEW};
    write_request(folder, "insert", &request);
    request.kind = MH_OP_UPSERT;
    write_request(folder, "upsert", &request);
    request.column_count = columns_of(&many, columns);
    request.rows = MANY;
    request.partition = NULL;
    write_request(folder, "upsert_many", &request);
    request.kind = MH_OP_INSERT;
    write_request(folder, "insert_many", &request);
}

static void write_keys(const char *folder)
{
    static const int64_t keys[] = {0, -1, INT64_MAX, INT64_MIN, 1000000000000};
    struct mh_request request = {
        .kind = MH_OP_DELETE, .collection = "things", .key_field = "id", .keys = keys, .key_count = 5};
    write_request(folder, "delete", &request);
    request.partition = "part_1";
    request.key_count = 1;
    write_request(folder, "delete_one", &request);
}

static void write_queries(const char *folder)
{
    static const char *const count[] = {"count(*)"}, *const fields[] = {"id", "vector", "text"};
    static const char *const names[] = {"query_strong", "query_session", "query_bounded", "query_eventually"};
    struct mh_request request = {.kind = MH_OP_QUERY,
                                 .collection = "things",
                                 .expression = "",
                                 .output_fields = count,
                                 .output_count = 1};
    write_request(folder, "query_count", &request);
    request = (struct mh_request){.kind = MH_OP_QUERY,
                                  .collection = "things",
                                  .partition = "part_1",
                                  .expression = "id >= -3 and id < 9",
                                  .output_fields = fields,
                                  .output_count = 3,
                                  .limit = 16384,
                                  .guarantee_ts = 0xfedcba9876543210};
    for (int level = MH_STRONG; level <= MH_EVENTUALLY; level++) {
        request.consistency = level;
        write_request(folder, names[level], &request);
    }
}

static void write_searches(const char *folder)
{
    static const char *const fields[] = {"id", "text"}, *const partitions[] = {"part_1", "part_2"};
    static uint32_t queries[3 * SMALL_DIM];
    for (int64_t i = 0; i < 3 * SMALL_DIM; i++)
        queries[i] = float_bits(i);
    struct mh_request request = {.kind = MH_OP_SEARCH,
                                 .collection = "things",
                                 .index_field = "vector",
                                 .index_metric = "L2",
                                 .queries = (const float *)(const void *)queries,
                                 .query_count = 1,
                                 .dim = SMALL_DIM,
                                 .limit = 10};
    write_request(folder, "search", &request);
    request.query_count = 3;
    request.expression = "text like \"prefix%\"";
    request.output_fields = fields;
    request.output_count = 2;
    request.partitions = partitions;
    request.partition_count = 2;
    request.offset = 5;
    request.search_params = "{\"nprobe\": 16}";
    request.consistency = MH_BOUNDED;
    write_request(folder, "search_full", &request);
}

static void write_indexes(const char *folder)
{
    struct mh_request request = {.kind = MH_OP_CREATE_INDEX,
                                 .collection = "things",
                                 .index_field = "vector",
                                 .index_type = "IVF_FLAT",
                                 .index_metric = "L2",
                                 .index_params = "{\"nlist\": 128}"};
    write_request(folder, "create_index", &request);
    request.index_params = "";
    write_request(folder, "create_index_plain", &request);
    request.kind = MH_OP_DROP_INDEX;
    write_request(folder, "drop_index", &request);
    request.kind = MH_OP_DESCRIBE_INDEX;
    write_request(folder, "describe_index", &request);
}

static void write_schema(const char *folder)
{
    struct rows rows = {.dim = SMALL_DIM};
    struct mh_column columns[MOST_FIELDS];
    struct mh_field fields[MOST_FIELDS + 1] = {
        {.name = (char[]){"id"}, .type = MH_FIELD_INT64, .primary = true}};
    columns_of(&rows, columns);
    for (int i = 0; i < MOST_FIELDS; i++)
        fields[i + 1] = (struct mh_field){
            .name = (char *)(uintptr_t)columns[i].name, .type = columns[i].type, .max_length = 99};
    struct mh_collection_options schema = {
        .shards = 3, .consistency = MH_BOUNDED, .fields = {fields, MOST_FIELDS + 1}};
    struct mh_request request = {
        .kind = MH_OP_CREATE_COLLECTION, .collection = "things", .schema = &schema, .dim = 784};
    write_request(folder, "create_collection", &request);
    fields[MOST_FIELDS].dim = 12;
    schema.shards = 0;
    schema.consistency = MH_STRONG;
    write_request(folder, "create_collection_own_dim", &request);
}

static void write_named(const char *folder)
{
    static const enum mh_op_kind kinds[] = {MH_OP_DROP_COLLECTION,
                                            MH_OP_HAS_COLLECTION,
                                            MH_OP_CREATE_PARTITION,
                                            MH_OP_SHOW_PARTITIONS,
                                            MH_OP_LOAD,
                                            MH_OP_RELEASE,
                                            MH_OP_DROP_PARTITION,
                                            MH_OP_SHOW_COLLECTIONS,
                                            MH_OP_LOAD_STATE,
                                            MH_OP_FLUSH,
                                            MH_OP_FLUSH_STATE,
                                            MH_OP_STATISTICS,
                                            MH_OP_VERSION,
                                            MH_OP_METRICS};
    static const int64_t segments[] = {448251234567890123, 1, 300};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct mh_request request = {
            .kind = kinds[i],
            .collection = "things",
            .segments = segments,
            .segment_count = 3,
            .partition =
                kinds[i] == MH_OP_CREATE_PARTITION || kinds[i] == MH_OP_DROP_PARTITION ? "part_1" : NULL,
            .flush_ts = 0xfedcba9876543210,
            .text = "{\"metric_type\": \"system_info\"}"};
        write_request(folder, mh_op_infos[kinds[i]].name, &request);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: proto_encode DIR\n", stderr);
        return 2;
    }
    write_rows(argv[1]);
    write_keys(argv[1]);
    write_queries(argv[1]);
    write_searches(argv[1]);
    write_indexes(argv[1]);
    write_schema(argv[1]);
    write_named(argv[1]);
    return 0;
}
