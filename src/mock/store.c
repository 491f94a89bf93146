#include "mock/store.h"

#include "base/clock.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024, FIRST_PLACES = 2048 };

uint64_t mh_store_now(struct mh_store *store)
{
    const uint64_t wall = (uint64_t)(mh_wall_ns() / MH_MS) << 18;
    store->last = wall > store->last ? wall : store->last + 1;
    return store->last;
}

/* ---- lists ---- */

static void *one_more(void *items, size_t count, size_t size)
{
    void *grown = realloc(items, (count + 1) * size);
    if (!grown)
        abort(); /* a few bytes */
    memset((char *)grown + count * size, 0, size);
    return grown;
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

/* ---- databases ---- */

const char *mh_store_database(const struct mh_store *store, const char *name)
{
    if (name[0] == '\0' || strcmp(name, "default") == 0)
        return "default";
    for (size_t i = 0; i < store->database_count; i++)
        if (strcmp(store->databases[i], name) == 0)
            return store->databases[i];
    return NULL;
}

int mh_store_add_database(struct mh_store *store, const char *name)
{
    if (mh_store_database(store, name))
        return -1;
    store->databases = one_more(store->databases, store->database_count, sizeof *store->databases);
    store->databases[store->database_count++] = copy_of(name);
    return 0;
}

void mh_store_drop_database(struct mh_store *store, const char *name)
{
    for (size_t i = 0; i < store->database_count; i++)
        if (strcmp(store->databases[i], name) == 0) {
            free(store->databases[i]);
            store->databases[i] = store->databases[--store->database_count];
            return;
        }
}

/* ---- collections ---- */

struct mh_collection *mh_store_find(const struct mh_store *store, const char *database, const char *name)
{
    const char *full = mh_store_database(store, database);
    for (size_t i = 0; full && i < store->collection_count; i++)
        if (strcmp(store->collections[i]->name, name) == 0 &&
            strcmp(store->collections[i]->database, full) == 0)
            return store->collections[i];
    return NULL;
}

struct mh_collection *mh_store_find_id(const struct mh_store *store, int64_t id)
{
    for (size_t i = 0; i < store->collection_count; i++)
        if (store->collections[i]->id == id)
            return store->collections[i];
    return NULL;
}

static size_t width_of(const struct mh_store *store, const struct mh_store_field *field)
{
    static const size_t widths[] = {
        [MH_FIELD_BOOL] = 1,  [MH_FIELD_INT8] = 1,  [MH_FIELD_INT16] = 2,  [MH_FIELD_INT32] = 4,
        [MH_FIELD_INT64] = 8, [MH_FIELD_FLOAT] = 4, [MH_FIELD_DOUBLE] = 8, [MH_FIELD_VARCHAR] = 8,
    };
    if (field->type == MH_FIELD_FLOAT_VECTOR)
        return store->no_vectors ? 0 : (size_t)field->dim * sizeof(float);
    return widths[field->type];
}

static void set_fields(const struct mh_store *store, struct mh_collection *collection,
                       const struct mh_store_field *fields)
{
    for (size_t i = 0; i < collection->field_count; i++) {
        struct mh_store_field *field = &collection->fields[i];
        *field = fields[i];
        field->name = copy_of(fields[i].name);
        field->cells = NULL;
        field->width = width_of(store, field);
        collection->names[i] = (struct mh_expr_field){.name = field->name, .type = field->type};
        if (field->key)
            collection->key = i;
        if (field->type == MH_FIELD_FLOAT_VECTOR)
            collection->vector = i;
    }
}

struct mh_collection *mh_store_create(struct mh_store *store, const char *database, const char *name,
                                      const struct mh_store_field *fields, size_t field_count)
{
    struct mh_collection *collection = calloc(1, sizeof *collection);
    if (!collection)
        return NULL;
    collection->fields = calloc(field_count, sizeof *collection->fields);
    collection->names = calloc(field_count, sizeof *collection->names);
    collection->places = calloc(FIRST_PLACES, sizeof *collection->places);
    if (!collection->fields || !collection->names || !collection->places)
        abort();
    collection->place_room = FIRST_PLACES;
    collection->field_count = field_count;
    collection->database = copy_of(mh_store_database(store, database));
    collection->name = copy_of(name);
    collection->id = ++store->next_id;
    collection->created = mh_store_now(store);
    set_fields(store, collection, fields);
    mh_collection_add_partition(store, collection, "_default");
    store->collections = one_more(store->collections, store->collection_count, sizeof collection);
    store->collections[store->collection_count++] = collection;
    return collection;
}

static void free_index(struct mh_store_index *index)
{
    free(index->name);
    free(index->field);
    free(index->type);
    free(index->metric);
    free(index->params);
}

static void free_collection(struct mh_collection *collection)
{
    for (size_t i = 0; i < collection->field_count; i++) {
        free(collection->fields[i].name);
        free(collection->fields[i].cells);
    }
    for (size_t i = 0; i < collection->partition_count; i++)
        free(collection->partitions[i].name);
    for (size_t i = 0; i < collection->index_count; i++)
        free_index(&collection->indexes[i]);
    free(collection->database);
    free(collection->name);
    free(collection->fields);
    free(collection->names);
    free(collection->indexes);
    free(collection->partitions);
    free(collection->born);
    free(collection->end);
    free(collection->partition);
    free(collection->places);
    free(collection->texts);
    free(collection);
}

void mh_store_drop(struct mh_store *store, struct mh_collection *collection)
{
    for (size_t i = 0; i < store->collection_count; i++)
        if (store->collections[i] == collection) {
            store->collections[i] = store->collections[--store->collection_count];
            free_collection(collection);
            return;
        }
}

void mh_store_free(struct mh_store *store)
{
    for (size_t i = 0; i < store->collection_count; i++)
        free_collection(store->collections[i]);
    for (size_t i = 0; i < store->database_count; i++)
        free(store->databases[i]);
    free(store->collections);
    free(store->databases);
    *store = (struct mh_store){0};
}

/* ---- partitions and indexes ---- */

int mh_collection_partition(const struct mh_collection *collection, const char *name)
{
    if (name[0] == '\0')
        return 0;
    for (size_t i = 0; i < collection->partition_count; i++)
        if (!collection->partitions[i].gone && strcmp(collection->partitions[i].name, name) == 0)
            return (int)i;
    return -1;
}

int mh_collection_add_partition(struct mh_store *store, struct mh_collection *collection, const char *name)
{
    if (collection->partition_count > UINT16_MAX)
        return -1;
    collection->partitions =
        one_more(collection->partitions, collection->partition_count, sizeof *collection->partitions);
    collection->partitions[collection->partition_count] =
        (struct mh_store_partition){.name = copy_of(name),
                                    .id = ++store->next_id,
                                    .created = mh_store_now(store),
                                    .loaded = collection->loaded};
    return (int)collection->partition_count++;
}

void mh_collection_drop_partition(struct mh_store *store, struct mh_collection *collection, int partition)
{
    const uint64_t now = mh_store_now(store);
    for (int64_t row = 0; row < collection->rows; row++)
        if (collection->partition[row] == partition && mh_row_live(collection, row))
            mh_collection_kill(collection, row, now);
    collection->partitions[partition].gone = true;
}

struct mh_store_index *mh_collection_index(const struct mh_collection *collection, const char *field,
                                           const char *name)
{
    for (size_t i = 0; i < collection->index_count; i++) {
        struct mh_store_index *index = &collection->indexes[i];
        if ((field[0] == '\0' || strcmp(index->field, field) == 0) &&
            (name[0] == '\0' || strcmp(index->name, name) == 0))
            return index;
    }
    return NULL;
}

struct mh_store_index *mh_collection_add_index(struct mh_store *store, struct mh_collection *collection,
                                               const char *name, const char *field, const char *type,
                                               const char *metric, const char *params)
{
    collection->indexes = one_more(collection->indexes, collection->index_count, sizeof *collection->indexes);
    struct mh_store_index *index = &collection->indexes[collection->index_count++];
    *index = (struct mh_store_index){.name = copy_of(name[0] ? name : field),
                                     .field = copy_of(field),
                                     .type = copy_of(type),
                                     .metric = copy_of(metric),
                                     .params = copy_of(params),
                                     .id = ++store->next_id};
    return index;
}

void mh_collection_drop_index(struct mh_collection *collection, struct mh_store_index *index)
{
    free_index(index);
    *index = collection->indexes[--collection->index_count];
}

/* ---- the key index ---- */

static size_t place_of(const struct mh_collection *collection, int64_t key)
{
    return mh_random(0, 0, (uint64_t)key) & (collection->place_room - 1);
}

static void put(struct mh_collection *collection, int64_t row)
{
    size_t place = place_of(collection, mh_collection_keys(collection)[row]);
    while (collection->places[place])
        place = (place + 1) & (collection->place_room - 1);
    collection->places[place] = (uint32_t)(row + 1);
}

static int index_again(struct mh_collection *collection, size_t room)
{
    uint32_t *places = calloc(room, sizeof *places);
    if (!places)
        return -1;
    free(collection->places);
    collection->places = places;
    collection->place_room = room;
    for (int64_t row = 0; row < collection->rows; row++)
        put(collection, row);
    return 0;
}

/* A place is the number of steps taken from where the key's cluster begins. */
int64_t mh_collection_next(const struct mh_collection *collection, int64_t key, uint64_t *place)
{
    const int64_t *keys = mh_collection_keys(collection);
    const size_t first = place_of(collection, key), mask = collection->place_room - 1;
    for (;;) {
        const uint32_t found = collection->places[(first + *place) & mask];
        if (!found)
            return -1;
        (*place)++;
        if (keys[found - 1] == key)
            return found - 1;
    }
}

int64_t mh_collection_live(const struct mh_collection *collection, int64_t key, int partition)
{
    uint64_t place = 0;
    for (int64_t row; (row = mh_collection_next(collection, key, &place)) >= 0;)
        if (mh_row_live(collection, row) && (partition < 0 || collection->partition[row] == partition))
            return row;
    return -1;
}

/* ---- rows ---- */

static bool widen(void *array, int64_t room, size_t width)
{
    void **pointer = array;
    void *grown = width ? realloc(*pointer, (size_t)room * width) : NULL;
    if (grown)
        *pointer = grown;
    return grown || width == 0;
}

static int make_room(struct mh_collection *collection)
{
    if (collection->rows >= (int64_t)UINT32_MAX - 1)
        return -1;
    if (2 * (uint64_t)collection->rows >= collection->place_room &&
        index_again(collection, 2 * collection->place_room) != 0)
        return -1;
    if (collection->rows < collection->room)
        return 0;
    const int64_t room = collection->room ? collection->room * 3 / 2 : FIRST_ROOM;
    for (size_t i = 0; i < collection->field_count; i++)
        if (!widen(&collection->fields[i].cells, room, collection->fields[i].width))
            return -1;
    if (!widen(&collection->born, room, sizeof *collection->born) ||
        !widen(&collection->end, room, sizeof *collection->end) ||
        !widen(&collection->partition, room, sizeof *collection->partition))
        return -1;
    collection->room = room;
    return 0;
}

static int add_text(struct mh_collection *collection, const char *text, uint64_t *offset)
{
    const size_t length = strlen(text) + 1;
    if (!collection->texts || collection->text_length + length > collection->text_room) {
        const size_t room = (collection->text_length + length) * 3 / 2 + 4096;
        char *grown = realloc(collection->texts, room);
        if (!grown)
            return -1;
        collection->texts = grown;
        collection->text_room = room;
    }
    memcpy(collection->texts + collection->text_length, text, length);
    *offset = collection->text_length;
    collection->text_length += length;
    return 0;
}

static int set_cell(struct mh_collection *collection, struct mh_store_field *field, int64_t row,
                    const struct mh_column *column, int64_t from)
{
    uint8_t *cell = field->cells + (size_t)row * field->width;
    uint64_t offset;
    switch (field->type) {
    case MH_FIELD_BOOL:
    case MH_FIELD_INT8:
        *(int8_t *)cell = (int8_t)((const int32_t *)column->values)[from];
        return 0;
    case MH_FIELD_INT16:
        *(int16_t *)(void *)cell = (int16_t)((const int32_t *)column->values)[from];
        return 0;
    case MH_FIELD_VARCHAR:
        if (add_text(collection, ((const char *const *)column->values)[from], &offset) != 0)
            return -1;
        memcpy(cell, &offset, sizeof offset);
        return 0;
    default:
        if (field->width)
            memcpy(cell, (const uint8_t *)column->values + (size_t)from * field->width, field->width);
        return 0;
    }
}

static int64_t begin_life(struct mh_collection *collection, uint64_t born, int partition)
{
    const int64_t row = collection->rows++;
    collection->born[row] = born;
    collection->end[row] = MH_TS_NEVER;
    collection->partition[row] = (uint16_t)partition;
    collection->partitions[partition].written++;
    put(collection, row);
    return row;
}

int64_t mh_collection_add(struct mh_collection *collection, const struct mh_column *const *columns,
                          int64_t from, uint64_t born, int partition)
{
    if (make_room(collection) != 0)
        return -1;
    for (size_t i = 0; i < collection->field_count; i++)
        if (set_cell(collection, &collection->fields[i], collection->rows, columns[i], from) != 0)
            return -1;
    return begin_life(collection, born, partition);
}

int64_t mh_collection_copy(struct mh_collection *collection, int64_t row, int64_t key, uint64_t born,
                           int partition)
{
    if (make_room(collection) != 0)
        return -1;
    const size_t to = (size_t)collection->rows;
    for (size_t i = 0; i < collection->field_count; i++) {
        const struct mh_store_field *field = &collection->fields[i];
        if (field->width)
            memcpy(field->cells + to * field->width, field->cells + (size_t)row * field->width, field->width);
    }
    ((int64_t *)(void *)collection->fields[collection->key].cells)[to] = key;
    return begin_life(collection, born, partition);
}

void mh_collection_kill(struct mh_collection *collection, int64_t row, uint64_t end)
{
    collection->dead += collection->end[row] == MH_TS_NEVER;
    collection->end[row] = end;
}

struct mh_expr_value mh_collection_value(const void *rows, size_t field_number, int64_t row)
{
    const struct mh_collection *collection = rows;
    const struct mh_store_field *field = &collection->fields[field_number];
    const uint8_t *cell = field->cells + (size_t)row * field->width;
    struct mh_expr_value value = {.type = MH_EXPR_WHOLE};
    float single;
    switch (field->type) {
    case MH_FIELD_BOOL:
        return (struct mh_expr_value){.type = MH_EXPR_BOOL, .whole = *cell};
    case MH_FIELD_VARCHAR:
        return (struct mh_expr_value){.type = MH_EXPR_TEXT,
                                      .text = collection->texts + *(const uint64_t *)(const void *)cell};
    case MH_FIELD_FLOAT:
        memcpy(&single, cell, sizeof single);
        return (struct mh_expr_value){.type = MH_EXPR_REAL, .real = single};
    case MH_FIELD_DOUBLE:
        value.type = MH_EXPR_REAL;
        memcpy(&value.real, cell, sizeof value.real);
        return value;
    case MH_FIELD_INT8:
        value.whole = *(const int8_t *)cell;
        break;
    case MH_FIELD_INT16:
        value.whole = *(const int16_t *)(const void *)cell;
        break;
    case MH_FIELD_INT32:
        value.whole = *(const int32_t *)(const void *)cell;
        break;
    case MH_FIELD_INT64:
        value.whole = *(const int64_t *)(const void *)cell;
        break;
    default:
        break; /* vectors are in no expression */
    }
    value.real = (double)value.whole;
    return value;
}

/* ---- flush and compaction ---- */

void mh_collection_flush(struct mh_store *store, struct mh_collection *collection)
{
    collection->flushed = mh_store_now(store);
    for (size_t i = 0; i < collection->partition_count; i++)
        collection->partitions[i].sealed = collection->partitions[i].written;
}

static void move_row(struct mh_collection *collection, int64_t from, int64_t to)
{
    for (size_t i = 0; i < collection->field_count && from != to; i++) {
        const struct mh_store_field *field = &collection->fields[i];
        if (field->width)
            memcpy(field->cells + (size_t)to * field->width, field->cells + (size_t)from * field->width,
                   field->width);
    }
    collection->born[to] = collection->born[from];
    collection->end[to] = collection->end[from];
    collection->partition[to] = collection->partition[from];
}

/* Texts of the rows that stay, in a new piece of memory. */
static void pack_texts(struct mh_collection *collection)
{
    char *old = collection->texts;
    collection->texts = NULL;
    collection->text_length = collection->text_room = 0;
    for (size_t i = 0; i < collection->field_count; i++) {
        struct mh_store_field *field = &collection->fields[i];
        uint64_t *offsets = (uint64_t *)(void *)field->cells;
        for (int64_t row = 0; field->type == MH_FIELD_VARCHAR && row < collection->rows; row++)
            if (add_text(collection, old + offsets[row], &offsets[row]) != 0)
                abort();
    }
    free(old);
}

static void forget_rows(struct mh_collection *collection, uint64_t before)
{
    int64_t kept = 0;
    for (int64_t row = 0; row < collection->rows; row++)
        if (collection->end[row] > before)
            move_row(collection, row, kept++);
    collection->dead -= collection->rows - kept;
    collection->rows = kept;
    pack_texts(collection);
    if (index_again(collection, collection->place_room) != 0)
        abort();
}

void mh_collection_compact(struct mh_store *store, struct mh_collection *collection, uint64_t before)
{
    if (store->pinned == 0)
        forget_rows(collection, before);
    for (size_t i = 0; i < collection->partition_count; i++)
        collection->partitions[i].written = 0;
    for (int64_t row = 0; row < collection->rows; row++)
        collection->partitions[collection->partition[row]].written += mh_row_live(collection, row);
    for (size_t i = 0; i < collection->partition_count; i++)
        collection->partitions[i].sealed = collection->partitions[i].written;
}
