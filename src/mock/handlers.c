/* Everything that is neither a write nor a read of rows: collections, partitions, load, index, flush,
 * session. */
#include "base/clock.h"
#include "job/names.h"
#include "mock/mock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SHARDS = 16, MOST_DIM = 32768, MOST_LENGTH = 65535 };

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
        "{\"memory_usage\": "
        "%" PRId64 "}, \"system_info\": {\"system_version\": \"v2.3.5-mock\", \"deploy_mode\": \"MOCK\"}, "
        "\"quota_metrics\": {\"rows\": %" PRId64 ", \"calls\": %" PRId64 "}}}]}",
        mh_private_bytes(), rows, turn->mock->calls);
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

/* ---- collections ---- */

static const char *field_problem(const struct mh_served_field *field)
{
    if (!mh_is_name(field->name))
        return "its name is none";
    if (field->type < 0)
        return "the mock has no such data type";
    if (field->type == MH_FIELD_FLOAT_VECTOR && (field->dim < 1 || field->dim > MOST_DIM))
        return "dim should be in range 1 ~ 32768";
    if (field->type == MH_FIELD_VARCHAR && (field->max_length < 1 || field->max_length > MOST_LENGTH))
        return "max_length should be in range 1 ~ 65535";
    if (field->primary && field->type != MH_FIELD_INT64)
        return "the mock has int64 keys only";
    return field->auto_id ? "the mock makes no keys (autoID)" : NULL;
}

/* NULL, or what is wrong. */
static const char *schema_problem(const struct mh_served *request)
{
    size_t keys = 0, vectors = 0;
    for (size_t i = 0; i < request->field_count; i++) {
        const char *problem = field_problem(&request->fields[i]);
        if (problem)
            return problem;
        keys += request->fields[i].primary;
        vectors += request->fields[i].type == MH_FIELD_FLOAT_VECTOR;
        for (size_t other = 0; other < i; other++)
            if (strcmp(request->fields[i].name, request->fields[other].name) == 0)
                return "duplicated field name";
    }
    if (request->too_many_fields)
        return "maximum field's number should be limited to 64";
    if (keys != 1)
        return "there should be one primary key";
    if (vectors != 1)
        return "there should be one vector field";
    return request->dynamic ? "the mock has no dynamic fields" : NULL;
}

static struct mh_store_field *fields_of(struct mh_turn *turn)
{
    const struct mh_served *request = &turn->request;
    struct mh_store_field *fields = mh_turn_get(turn, request->field_count * sizeof *fields);
    for (size_t i = 0; i < request->field_count; i++)
        fields[i] = (struct mh_store_field){.name = (char *)(uintptr_t)request->fields[i].name,
                                            .type = request->fields[i].type,
                                            .dim = request->fields[i].dim,
                                            .max_length = request->fields[i].max_length,
                                            .key = request->fields[i].primary};
    return fields;
}

static bool is_same(const struct mh_collection *collection, const struct mh_served *request)
{
    bool same = collection->field_count == request->field_count;
    for (size_t i = 0; same && i < request->field_count; i++) {
        const struct mh_store_field *a = &collection->fields[i];
        const struct mh_served_field *b = &request->fields[i];
        same = strcmp(a->name, b->name) == 0 && a->type == b->type && a->dim == b->dim &&
               a->max_length == b->max_length && a->key == b->primary;
    }
    return same;
}

static const char *creation_problem(const struct mh_served *request)
{
    if (!mh_is_name(request->collection))
        return "invalid collection name";
    if (strcmp(request->schema_name, request->collection) != 0)
        return "collection name does not match the schema's";
    if (request->shards < 0 || request->shards > MOST_SHARDS)
        return "maximum shards's number should be limited to 16";
    return schema_problem(request);
}

static void create_collection(struct mh_turn *turn)
{
    struct mh_served *request = &turn->request;
    struct mh_store *store = &turn->mock->store;
    const struct mh_collection *same = mh_store_find(store, request->database, request->collection);
    const char *problem = creation_problem(request);
    if (!mh_store_database(store, request->database))
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_DATABASE, "database not found[database=%.255s]",
                  request->database);
    else if (problem)
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "collection %.255s: %s", request->collection,
                  problem);
    else if (same && !is_same(same, request))
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                  "create duplicate collection with different parameters, collection: %s",
                  request->collection);
    if (turn->answer.code != 0 || same)
        return;
    struct mh_collection *collection =
        mh_store_create(store, request->database, request->collection, fields_of(turn), request->field_count);
    if (!collection)
        abort();
    collection->shards = request->shards ? request->shards : 1;
    collection->consistency = request->consistency;
}

static void drop_collection(struct mh_turn *turn)
{
    struct mh_store *store = &turn->mock->store;
    struct mh_collection *collection = mh_store_find(store, turn->request.database, turn->request.collection);
    if (!collection)
        return; /* as 2.3.5: a success */
    mh_faults_forget(turn->mock, collection->id);
    mh_store_drop(store, collection);
}

static void has_collection(struct mh_turn *turn)
{
    turn->answer.yes =
        mh_store_find(&turn->mock->store, turn->request.database, turn->request.collection) != NULL;
}

static size_t count_partitions(const struct mh_collection *collection)
{
    size_t count = 0;
    for (size_t i = 0; i < collection->partition_count; i++)
        count += !collection->partitions[i].gone;
    return count;
}

static void describe_collection(struct mh_turn *turn)
{
    struct mh_answer *answer = &turn->answer;
    const struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection) {
        answer->legacy_code = MH_OLD_UNEXPECTED; /* here alone, as 2.3.5 */
        return;
    }
    struct mh_served_field *fields = mh_turn_get(turn, collection->field_count * sizeof *fields);
    for (size_t i = 0; i < collection->field_count; i++)
        fields[i] = (struct mh_served_field){.name = collection->fields[i].name,
                                             .type = collection->fields[i].type,
                                             .dim = collection->fields[i].dim,
                                             .max_length = collection->fields[i].max_length,
                                             .primary = collection->fields[i].key};
    answer->fields = fields;
    answer->field_count = collection->field_count;
    answer->collection = collection->name;
    answer->database = collection->database;
    answer->collection_id = collection->id;
    answer->timestamp = collection->created;
    answer->shards = collection->shards;
    answer->consistency = collection->consistency;
    answer->partitions = (int64_t)count_partitions(collection);
}

struct listing {
    const char **names;
    int64_t *ids;
    uint64_t *times;
    size_t count;
};

static struct listing begin_listing(struct mh_turn *turn, size_t most)
{
    return (struct listing){.names = mh_turn_get(turn, (most + 1) * sizeof(char *)),
                            .ids = mh_turn_get(turn, (most + 1) * sizeof(int64_t)),
                            .times = mh_turn_get(turn, (most + 1) * sizeof(uint64_t))};
}

static void list(struct listing *listing, const char *name, int64_t id, uint64_t time)
{
    listing->names[listing->count] = name;
    listing->ids[listing->count] = id;
    listing->times[listing->count++] = time;
}

static void answer_listing(struct mh_turn *turn, const struct listing *listing)
{
    turn->answer.names = listing->names;
    turn->answer.ids = listing->ids;
    turn->answer.times = listing->times;
    turn->answer.name_count = turn->answer.id_count = listing->count;
}

static void show_collections(struct mh_turn *turn)
{
    const struct mh_store *store = &turn->mock->store;
    const char *database = mh_store_database(store, turn->request.database);
    struct listing listing = begin_listing(turn, store->collection_count);
    if (!database) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_DATABASE, "database not found[database=%.255s]",
                  turn->request.database);
        return;
    }
    for (size_t i = 0; i < store->collection_count; i++)
        if (strcmp(store->collections[i]->database, database) == 0)
            list(&listing, store->collections[i]->name, store->collections[i]->id,
                 store->collections[i]->created);
    answer_listing(turn, &listing);
}

/* ---- partitions ---- */

static void create_partition(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    const char *name = turn->request.partition;
    if (!collection || (name[0] && mh_collection_partition(collection, name) >= 0))
        return;
    if (!mh_is_name(name))
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "invalid partition name: %.255s", name);
    else if (mh_collection_add_partition(&turn->mock->store, collection, name) < 0)
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "too many partitions");
}

static void drop_partition(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    const int partition = collection ? mh_collection_partition(collection, turn->request.partition) : -1;
    if (partition < 0)
        return;
    if (partition == 0)
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "default partition cannot be deleted");
    else if (collection->partitions[partition].loaded)
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                  "partition cannot be dropped, partition is loaded, please release it first");
    else
        mh_collection_drop_partition(&turn->mock->store, collection, partition);
}

static void has_partition(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    turn->answer.yes = collection && turn->request.partition[0] &&
                       mh_collection_partition(collection, turn->request.partition) >= 0;
}

static void show_partitions(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection)
        return;
    struct listing listing = begin_listing(turn, collection->partition_count);
    for (size_t i = 0; i < collection->partition_count; i++)
        if (!collection->partitions[i].gone)
            list(&listing, collection->partitions[i].name, collection->partitions[i].id,
                 collection->partitions[i].created);
    answer_listing(turn, &listing);
}

static int64_t told_count(struct mh_turn *turn, int64_t count)
{
    struct mh_mock *mock = turn->mock;
    const struct mh_fault *fault =
        mh_faults_strike(&mock->faults, "statistics_off", turn->request.kind, mock->calls);
    if (!fault)
        return count;
    mh_fault_log_call(fault, turn->request.kind, mock->calls);
    return count + fault->by;
}

static void statistics(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    int64_t rows = 0;
    for (size_t i = 0; collection && i < collection->partition_count; i++)
        rows += collection->partitions[i].gone ? 0 : collection->partitions[i].sealed;
    turn->answer.count = told_count(turn, rows);
}

static void partition_statistics(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    const int partition = collection ? mh_turn_partition(turn, collection) : -1;
    if (partition >= 0)
        turn->answer.count = told_count(turn, collection->partitions[partition].sealed);
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
    else
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
    [MH_OP_CREATE_COLLECTION] = create_collection,
    [MH_OP_DROP_COLLECTION] = drop_collection,
    [MH_OP_HAS_COLLECTION] = has_collection,
    [MH_OP_DESCRIBE_COLLECTION] = describe_collection,
    [MH_OP_CREATE_PARTITION] = create_partition,
    [MH_OP_SHOW_PARTITIONS] = show_partitions,
    [MH_OP_LOAD] = load,
    [MH_OP_RELEASE] = release,
    [MH_OP_LOAD_STATE] = load_state,
    [MH_OP_FLUSH] = flush,
    [MH_OP_FLUSH_STATE] = flush_state,
    [MH_OP_STATISTICS] = statistics,
    [MH_OP_VERSION] = version,
    [MH_SERVE_SEARCH] = mh_handle_search,
    [MH_SERVE_CONNECT] = version,
    [MH_SERVE_HEALTH] = nothing,
    [MH_SERVE_TIMESTAMP] = timestamp,
    [MH_SERVE_COMPONENTS] = nothing,
    [MH_SERVE_CREATE_DATABASE] = create_database,
    [MH_SERVE_DROP_DATABASE] = drop_database,
    [MH_SERVE_LIST_DATABASES] = list_databases,
    [MH_SERVE_SHOW_COLLECTIONS] = show_collections,
    [MH_SERVE_HAS_PARTITION] = has_partition,
    [MH_SERVE_DROP_PARTITION] = drop_partition,
    [MH_SERVE_PARTITION_STATISTICS] = partition_statistics,
    [MH_SERVE_LOAD_PARTITIONS] = load_partitions,
    [MH_SERVE_RELEASE_PARTITIONS] = release_partitions,
    [MH_SERVE_LOADING_PROGRESS] = loading_progress,
    [MH_SERVE_INDEX_STATE] = index_state,
    [MH_SERVE_INDEX_PROGRESS] = index_state,
    [MH_SERVE_COMPACT] = compact,
    [MH_SERVE_COMPACTION_STATE] = compaction_state,
    [MH_SERVE_METRICS] = metrics,
};

void mh_handle(struct mh_turn *turn)
{
    handlers[turn->request.kind](turn);
}
