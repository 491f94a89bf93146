/* Requests about collections and partitions as such: made, dropped, described, listed, counted. */
#include "job/names.h"
#include "mock/mock.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SHARDS = 16, MOST_DIM = 32768, MOST_LENGTH = 65535 };

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

void mh_handle_create_collection(struct mh_turn *turn)
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

bool mh_turn_keeps(struct mh_turn *turn)
{
    struct mh_mock *mock = turn->mock;
    const struct mh_fault *fault =
        mh_faults_strike(&mock->faults, "keep_dropped", turn->request.kind, mock->calls);
    if (fault)
        mh_fault_log_call(fault, turn->request.kind, mock->calls);
    return fault;
}

void mh_handle_drop_collection(struct mh_turn *turn)
{
    struct mh_store *store = &turn->mock->store;
    struct mh_collection *collection = mh_store_find(store, turn->request.database, turn->request.collection);
    if (!collection || mh_turn_keeps(turn))
        return; /* of what is not there: as 2.3.5, a success */
    mh_faults_forget(turn->mock, collection->id);
    mh_store_drop(store, collection);
}

void mh_handle_has_collection(struct mh_turn *turn)
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

void mh_handle_describe_collection(struct mh_turn *turn)
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

void mh_handle_show_collections(struct mh_turn *turn)
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

void mh_handle_create_partition(struct mh_turn *turn)
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

void mh_handle_drop_partition(struct mh_turn *turn)
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
    else if (!mh_turn_keeps(turn))
        mh_collection_drop_partition(&turn->mock->store, collection, partition);
}

void mh_handle_has_partition(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    turn->answer.yes = collection && turn->request.partition[0] &&
                       mh_collection_partition(collection, turn->request.partition) >= 0;
}

void mh_handle_show_partitions(struct mh_turn *turn)
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

void mh_handle_statistics(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    int64_t rows = 0;
    for (size_t i = 0; collection && i < collection->partition_count; i++)
        rows += collection->partitions[i].gone ? 0 : collection->partitions[i].sealed;
    turn->answer.count = told_count(turn, rows);
}

void mh_handle_partition_statistics(struct mh_turn *turn)
{
    const struct mh_collection *collection = mh_turn_collection(turn);
    const int partition = collection ? mh_turn_partition(turn, collection) : -1;
    if (partition >= 0)
        turn->answer.count = told_count(turn, collection->partitions[partition].sealed);
}
