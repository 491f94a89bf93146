/* Session, databases, load, index, flush, compaction; and the table of what handles which request. */
#include "base/clock.h"
#include "job/names.h"
#include "mock/mock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- helpers ---- */

void mh_refuse(struct mh_turn *turn, int legacy_code, int code, const char *format, ...)
{
    va_list arguments;
    turn->answer.legacy_code = legacy_code;
    turn->answer.code = code;
    va_start(arguments, format);
    vsnprintf(turn->answer.reason, sizeof turn->answer.reason, format, arguments);
    va_end(arguments);
    turn->answer.rows = 0;
    turn->answer.id_count = turn->answer.name_count = turn->answer.column_count = 0;
}

void *mh_turn_get(struct mh_turn *turn, size_t bytes)
{
    void *memory = mh_arena_get(turn->arena, bytes);
    if (!memory)
        abort();
    return memory;
}

struct mh_collection *mh_turn_collection(struct mh_turn *turn)
{
    const struct mh_served *request = &turn->request;
    struct mh_collection *collection =
        mh_store_find(&turn->mock->store, request->database, request->collection);
    if (!collection && !request->collection[0] && request->collection_id)
        collection = mh_store_find_id(&turn->mock->store, request->collection_id);
    if (!collection)
        mh_refuse(turn, MH_OLD_COLLECTION, MH_CODE_COLLECTION,
                  "can't find collection[database=%.100s][collection=%.255s]", request->database,
                  request->collection);
    return collection;
}

static int find_partition(struct mh_turn *turn, const struct mh_collection *collection, const char *name)
{
    const int partition = mh_collection_partition(collection, name);
    if (partition < 0)
        mh_refuse(turn, MH_OLD_META, MH_CODE_PARTITION, "partition not found[partition=%.255s]", name);
    return partition;
}

int mh_turn_partition(struct mh_turn *turn, const struct mh_collection *collection)
{
    return find_partition(turn, collection, turn->request.partition);
}

/* ---- session ---- */

static void version(struct mh_turn *turn)
{
    turn->answer.text = "v2.3.5-mock";
    turn->answer.count = ++turn->mock->store.next_id;
}

static void timestamp(struct mh_turn *turn)
{
    turn->answer.timestamp = mh_store_now(&turn->mock->store);
}

static void nothing(struct mh_turn *turn)
{
    (void)turn;
}

static void metrics(struct mh_turn *turn)
{
    enum { ROOM = 1024 };
    if (!strstr(turn->request.text, "system_info")) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, 1200, "metric not found[metric=%.200s]", turn->request.text);
        return;
    }
    int64_t rows = 0;
    for (size_t i = 0; i < turn->mock->store.collection_count; i++)
        rows += turn->mock->store.collections[i]->rows;
    char *text = mh_turn_get(turn, ROOM);
    snprintf(
        text, ROOM,
        "{\"nodes_info\": [{\"identifier\": 1, \"connected\": [], \"infos\": {\"name\": \"mock\", \"type\": "
        "\"proxy\", \"id\": 1, \"has_error\": false, \"error_reason\": \"\", \"hardware_infos\": "
        "{\"ip\": \"%.200s:%d\", \"memory_usage\": "
        "%" PRId64 "}, \"system_info\": {\"system_version\": \"v2.3.5-mock\", \"deploy_mode\": \"MOCK\"}, "
        "\"quota_metrics\": {\"rows\": %" PRId64 ", \"calls\": %" PRId64 "}}}]}",
        turn->mock->options.host, mh_serve_port(turn->mock->server), mh_private_bytes(), rows,
        turn->mock->calls);
    turn->answer.text = text;
}

/* ---- databases ---- */

static void create_database(struct mh_turn *turn)
{
    if (!mh_is_name(turn->request.database))
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "invalid database name: %.255s",
                  turn->request.database);
    else if (mh_store_add_database(&turn->mock->store, turn->request.database) != 0)
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "database already exist: %.255s",
                  turn->request.database);
}

static void drop_database(struct mh_turn *turn)
{
    struct mh_store *store = &turn->mock->store;
    const char *name = mh_store_database(store, turn->request.database);
    if (!name) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_DATABASE, "database not found[database=%.255s]",
                  turn->request.database);
        return;
    }
    bool used = strcmp(name, "default") == 0;
    for (size_t i = 0; i < store->collection_count; i++)
        used |= strcmp(store->collections[i]->database, name) == 0;
    if (used)
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                  "database:%s not empty, must drop all collections before", name);
    else
        mh_store_drop_database(store, name);
}

static void list_databases(struct mh_turn *turn)
{
    const struct mh_store *store = &turn->mock->store;
    const char **names = mh_turn_get(turn, (store->database_count + 1) * sizeof *names);
    names[0] = "default";
    for (size_t i = 0; i < store->database_count; i++)
        names[i + 1] = store->databases[i];
    turn->answer.names = names;
    turn->answer.name_count = store->database_count + 1;
}

/* ---- load ---- */

static bool has_vector_index(struct mh_turn *turn, const struct mh_collection *collection)
{
    if (mh_collection_index(collection, collection->fields[collection->vector].name, ""))
        return true;
    mh_refuse(turn, MH_OLD_INDEX, MH_CODE_INDEX,
              "there is no vector index on collection: %s, please create index firstly", collection->name);
    return false;
}

static void begin_to_load(struct mh_turn *turn, struct mh_collection *collection)
{
    if (collection->loaded)
        return;
    if (collection->loaded_ns > 0) /* it was loaded before, and released */
        mh_faults_happen(turn->mock, collection, MH_AT_RELOAD);
    collection->loaded = true;
    collection->loaded_ns = mh_now_ns() + turn->mock->options.load_ns;
}

static void load(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection || !has_vector_index(turn, collection))
        return;
    if (turn->request.replicas > 1) {
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "replica number %" PRId64 ": there is one node",
                  turn->request.replicas);
        return;
    }
    begin_to_load(turn, collection);
    for (size_t i = 0; i < collection->partition_count; i++)
        collection->partitions[i].loaded = !collection->partitions[i].gone;
}

static void release(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection)
        return;
    collection->loaded = false;
    for (size_t i = 0; i < collection->partition_count; i++)
        collection->partitions[i].loaded = false;
}

/* All named partitions exist, or the answer says which does not. */
static bool partitions_exist(struct mh_turn *turn, const struct mh_collection *collection)
{
    for (size_t i = 0; i < turn->request.name_count; i++)
        if (find_partition(turn, collection, turn->request.names[i]) < 0)
            return false;
    return true;
}

static void load_partitions(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection || !has_vector_index(turn, collection) || !partitions_exist(turn, collection))
        return;
    if (turn->request.name_count == 0) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "due to no partition specified");
        return;
    }
    begin_to_load(turn, collection);
    for (size_t i = 0; i < turn->request.name_count; i++)
        collection->partitions[mh_collection_partition(collection, turn->request.names[i])].loaded = true;
}

static void release_partitions(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection || !partitions_exist(turn, collection))
        return;
    if (turn->request.name_count == 0) {
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "partition names is empty");
        return;
    }
    for (size_t i = 0; i < turn->request.name_count; i++)
        collection->partitions[mh_collection_partition(collection, turn->request.names[i])].loaded = false;
    collection->loaded = false;
    for (size_t i = 0; i < collection->partition_count; i++)
        collection->loaded |= collection->partitions[i].loaded;
}

static enum mh_load_state state_of(const struct mh_turn *turn, const struct mh_collection *collection)
{
    bool loaded = collection->loaded;
    for (size_t i = 0; i < turn->request.name_count; i++)
        loaded &= collection->partitions[mh_collection_partition(collection, turn->request.names[i])].loaded;
    if (!loaded)
        return MH_LOAD_NOT_LOADED;
    return mh_now_ns() < collection->loaded_ns ? MH_LOAD_LOADING : MH_LOAD_LOADED;
}

static void load_state(struct mh_turn *turn)
{
    const struct mh_collection *collection =
        mh_store_find(&turn->mock->store, turn->request.database, turn->request.collection);
    if (collection && partitions_exist(turn, collection)) /* a missing one is no error here: NOT_EXIST */
        turn->answer.state = (int)state_of(turn, collection);
}

static void loading_progress(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection || !partitions_exist(turn, collection))
        return;
    const enum mh_load_state state = state_of(turn, collection);
    if (state == MH_LOAD_NOT_LOADED)
        mh_refuse(turn, MH_OLD_UNEXPECTED, turn->request.name_count ? 201 : MH_CODE_NOT_LOADED,
                  "not loaded[collection=%s]", collection->name);
    turn->answer.count = state == MH_LOAD_LOADED ? 100 : 0;
}

/* ---- index ---- */

static bool field_exists(struct mh_turn *turn, const struct mh_collection *collection)
{
    for (size_t i = 0; i < collection->field_count; i++)
        if (strcmp(collection->fields[i].name, turn->request.field) == 0)
            return true;
    mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "cannot create index on non-exist field: %.255s",
              turn->request.field);
    return false;
}

static const char *parameter(const struct mh_turn *turn, const char *key, const char *fallback)
{
    const char *value = mh_served_pair(&turn->request, key);
    return value ? value : fallback;
}

static bool metric_is_known(struct mh_turn *turn, const struct mh_collection *collection, const char *metric)
{
    if (strcmp(collection->fields[collection->vector].name, turn->request.field) != 0)
        return true;
    for (int i = MH_METRIC_L2; i <= MH_METRIC_COSINE; i++)
        if (strcmp(metric, mh_metric_names[i]) == 0)
            return true;
    mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "metric type not found or not supported: %.100s",
              metric);
    return false;
}

static void create_index(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection || !field_exists(turn, collection))
        return;
    const char *type = parameter(turn, "index_type", ""), *metric = parameter(turn, "metric_type", "");
    const char *params = parameter(turn, "params", "{}");
    if (!metric_is_known(turn, collection, metric))
        return;
    const struct mh_store_index *same = mh_collection_index(collection, turn->request.field, "");
    if (same) {
        if (strcmp(same->type, type) != 0 || strcmp(same->metric, metric) != 0 ||
            strcmp(same->params, params) != 0)
            mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                      "at most one distinct index is allowed per field");
        return;
    }
    struct mh_store_index *index = mh_collection_add_index(
        &turn->mock->store, collection, turn->request.index, turn->request.field, type, metric, params);
    index->ready_ns = mh_now_ns() + turn->mock->options.build_ns;
}

static void drop_index(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    struct mh_store_index *index =
        collection ? mh_collection_index(collection, turn->request.field, turn->request.index) : NULL;
    if (!index)
        return;
    if (collection->loaded)
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                  "index cannot be dropped, collection is loaded, please release it first");
    else if (!mh_turn_keeps(turn))
        mh_collection_drop_index(collection, index);
}

static struct mh_store_index *find_index(struct mh_turn *turn, const struct mh_collection *collection)
{
    struct mh_store_index *index = mh_collection_index(collection, turn->request.field, turn->request.index);
    if (!index)
        mh_refuse(turn, MH_OLD_INDEX, MH_CODE_INDEX, "index not found[collection=%s]", collection->name);
    return index;
}

static int64_t rows_written(const struct mh_collection *collection)
{
    int64_t rows = 0;
    for (size_t i = 0; i < collection->partition_count; i++)
        rows += collection->partitions[i].gone ? 0 : collection->partitions[i].written;
    return rows;
}

static void describe_index(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection || !find_index(turn, collection))
        return;
    struct mh_answer_index *indexes = mh_turn_get(turn, collection->index_count * sizeof *indexes);
    const int64_t rows = rows_written(collection);
    size_t count = 0;
    for (size_t i = 0; i < collection->index_count; i++) {
        const struct mh_store_index *index = &collection->indexes[i];
        const bool named = (!turn->request.field[0] || strcmp(index->field, turn->request.field) == 0) &&
                           (!turn->request.index[0] || strcmp(index->name, turn->request.index) == 0);
        const bool ready = mh_now_ns() >= index->ready_ns;
        if (named)
            indexes[count++] =
                (struct mh_answer_index){.name = index->name,
                                         .field = index->field,
                                         .type = index->type,
                                         .metric = index->metric,
                                         .params = index->params,
                                         .id = index->id,
                                         .total_rows = rows,
                                         .indexed_rows = ready ? rows : 0,
                                         .pending_rows = ready ? 0 : rows,
                                         .state = ready ? MH_INDEX_FINISHED : MH_INDEX_IN_PROGRESS};
    }
    turn->answer.indexes = indexes;
    turn->answer.index_count = count;
}

static void index_state(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    const struct mh_store_index *index = collection ? find_index(turn, collection) : NULL;
    if (!index)
        return;
    turn->answer.state = mh_now_ns() >= index->ready_ns ? MH_INDEX_FINISHED : MH_INDEX_IN_PROGRESS;
    turn->answer.count = rows_written(collection);
}

/* ---- flush and compaction ---- */

static int64_t segment_of(const struct mh_collection *collection, size_t partition)
{
    return collection->partitions[partition].id * 1000 + 1;
}

static void flush_one(struct mh_turn *turn, struct mh_collection *collection)
{
    int64_t *segments = mh_turn_get(turn, (collection->partition_count + 1) * sizeof *segments);
    size_t count = 0;
    mh_collection_flush(&turn->mock->store, collection);
    mh_faults_happen(turn->mock, collection, MH_AT_FLUSH);
    for (size_t i = 0; i < collection->partition_count; i++)
        if (!collection->partitions[i].gone && collection->partitions[i].sealed > 0)
            segments[count++] = segment_of(collection, i);
    turn->answer.ids = segments;
    turn->answer.id_count = count;
    turn->answer.timestamp = collection->flushed;
    turn->answer.text = collection->name;
    turn->answer.database = collection->database;
}

/* The answer tells of the last collection named; clients name one. */
static void flush(struct mh_turn *turn)
{
    for (size_t i = 0; i < turn->request.name_count && turn->answer.code == 0; i++) {
        turn->request.collection = turn->request.names[i];
        struct mh_collection *collection = mh_turn_collection(turn);
        if (collection)
            flush_one(turn, collection);
    }
}

static void flush_state(struct mh_turn *turn)
{
    const struct mh_collection *collection = turn->request.collection[0] ? mh_turn_collection(turn) : NULL;
    turn->answer.yes = !collection || collection->flushed >= turn->request.timestamp;
}

static void compact(struct mh_turn *turn)
{
    struct mh_store *store = &turn->mock->store;
    struct mh_collection *collection = mh_store_find_id(store, turn->request.collection_id);
    if (collection) {
        mh_faults_happen(turn->mock, collection, MH_AT_COMPACTION);
        mh_collection_compact(store, collection, mh_store_now(store));
    }
    turn->answer.count = ++store->next_id; /* an id, even of nothing: as 2.3.5 */
}

static void compaction_state(struct mh_turn *turn)
{
    enum { COMPLETED = 2 };
    turn->answer.state = COMPLETED;
}

/* ---- the table ---- */

static void (*const handlers[MH_SERVE_KINDS])(struct mh_turn *) = {
    [MH_OP_INSERT] = mh_handle_insert,
    [MH_OP_UPSERT] = mh_handle_upsert,
    [MH_OP_DELETE] = mh_handle_delete,
    [MH_OP_QUERY] = mh_handle_query,
    [MH_OP_CREATE_INDEX] = create_index,
    [MH_OP_DROP_INDEX] = drop_index,
    [MH_OP_DESCRIBE_INDEX] = describe_index,
    [MH_OP_CREATE_COLLECTION] = mh_handle_create_collection,
    [MH_OP_DROP_COLLECTION] = mh_handle_drop_collection,
    [MH_OP_HAS_COLLECTION] = mh_handle_has_collection,
    [MH_OP_DESCRIBE_COLLECTION] = mh_handle_describe_collection,
    [MH_OP_CREATE_PARTITION] = mh_handle_create_partition,
    [MH_OP_SHOW_PARTITIONS] = mh_handle_show_partitions,
    [MH_OP_LOAD] = load,
    [MH_OP_RELEASE] = release,
    [MH_OP_LOAD_STATE] = load_state,
    [MH_OP_FLUSH] = flush,
    [MH_OP_FLUSH_STATE] = flush_state,
    [MH_OP_STATISTICS] = mh_handle_statistics,
    [MH_OP_VERSION] = version,
    [MH_OP_SEARCH] = mh_handle_search,
    [MH_SERVE_CONNECT] = version,
    [MH_SERVE_HEALTH] = nothing,
    [MH_SERVE_TIMESTAMP] = timestamp,
    [MH_SERVE_COMPONENTS] = nothing,
    [MH_SERVE_CREATE_DATABASE] = create_database,
    [MH_SERVE_DROP_DATABASE] = drop_database,
    [MH_SERVE_LIST_DATABASES] = list_databases,
    [MH_OP_SHOW_COLLECTIONS] = mh_handle_show_collections,
    [MH_SERVE_HAS_PARTITION] = mh_handle_has_partition,
    [MH_OP_DROP_PARTITION] = mh_handle_drop_partition,
    [MH_SERVE_PARTITION_STATISTICS] = mh_handle_partition_statistics,
    [MH_SERVE_LOAD_PARTITIONS] = load_partitions,
    [MH_SERVE_RELEASE_PARTITIONS] = release_partitions,
    [MH_SERVE_LOADING_PROGRESS] = loading_progress,
    [MH_SERVE_INDEX_STATE] = index_state,
    [MH_SERVE_INDEX_PROGRESS] = index_state,
    [MH_SERVE_COMPACT] = compact,
    [MH_SERVE_COMPACTION_STATE] = compaction_state,
    [MH_OP_METRICS] = metrics,
};

void mh_handle(struct mh_turn *turn)
{
    handlers[turn->request.kind](turn);
}
