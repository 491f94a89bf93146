/* What the mock holds: collections of rows in flat arrays, each row with the timestamps between which it can
 * be seen. It knows no protocol and tells no lies; whoever wants a lie adds, copies and kills rows as it
 * likes. */
#ifndef MH_MOCK_STORE_H
#define MH_MOCK_STORE_H

#include "base/error.h"
#include "expr/expr.h"
#include "milvus/milvus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Hybrid timestamps: milliseconds since 1970 above 18 bits that count within one. */
#define MH_TS_SECOND (1000ULL << 18)
#define MH_TS_NEVER  UINT64_MAX

struct mh_store_field {
    char *name;
    int type; /* enum mh_field_type */
    int64_t dim, max_length;
    bool key;
    size_t width;   /* bytes of a cell; 0: vectors that are not kept */
    uint8_t *cells; /* bool, int8: 1 byte; int16: 2; int32, float: 4; int64, double: 8; float_vector: 4 dim;
                       varchar: uint64_t, where it begins in the collection's texts */
};

struct mh_store_index {
    char *name, *field, *type, *metric, *params;
    int64_t id, ready_ns; /* monotonic: built from then on */
};

struct mh_store_partition {
    char *name;
    int64_t id;
    uint64_t created;
    bool gone, loaded;
    int64_t written; /* rows stored since the beginning or the last compaction, dead ones too */
    int64_t sealed;  /* of them, those before the last flush: what statistics tell */
};

struct mh_collection {
    char *database, *name;
    int64_t id, shards;
    int consistency; /* enum mh_consistency */
    uint64_t created, flushed;
    bool loaded;
    int64_t loaded_ns; /* monotonic: fully loaded from then on */
    struct mh_store_field *fields;
    struct mh_expr_field *names; /* the same fields, as expressions want them */
    size_t field_count, key, vector;
    struct mh_store_index *indexes;
    size_t index_count;
    struct mh_store_partition *partitions; /* rows name them by position; those dropped stay, as gone */
    size_t partition_count;
    int64_t rows, room;   /* stored, dead ones too */
    int64_t dead;         /* rows with an end */
    uint64_t *born, *end; /* a row can be seen at t with born <= t < end */
    uint16_t *partition;
    uint32_t *places; /* open addressing by key, copies of a key beside each other; 0: free, else row + 1 */
    size_t place_room;
    char *texts;
    size_t text_length, text_room;
};

struct mh_store {
    struct mh_collection **collections;
    size_t collection_count;
    char **databases; /* beside "default" */
    size_t database_count;
    uint64_t last; /* timestamp given */
    int64_t next_id;
    int64_t pinned; /* somebody remembers rows by number: nothing is moved */
    bool no_vectors;
};

void mh_store_free(struct mh_store *store); /* what it holds; a zeroed store is empty */

uint64_t mh_store_now(struct mh_store *store); /* a new timestamp, larger than all before */
const char *mh_store_database(const struct mh_store *store,
                              const char *name); /* "" is "default"; NULL: none */
int mh_store_add_database(struct mh_store *store, const char *name);
void mh_store_drop_database(struct mh_store *store, const char *name);

struct mh_collection *mh_store_find(const struct mh_store *store, const char *database, const char *name);
struct mh_collection *mh_store_find_id(const struct mh_store *store, int64_t id);

/* A collection of these fields (their names are copied) and the partition _default; exactly one field is the
 * key, an int64, and one a float_vector. NULL: no memory. */
struct mh_collection *mh_store_create(struct mh_store *store, const char *database, const char *name,
                                      const struct mh_store_field *fields, size_t field_count);
void mh_store_drop(struct mh_store *store, struct mh_collection *collection);

int mh_collection_partition(const struct mh_collection *collection, const char *name); /* "": 0; -1: none */
int mh_collection_add_partition(struct mh_store *store, struct mh_collection *collection, const char *name);
void mh_collection_drop_partition(struct mh_store *store, struct mh_collection *collection, int partition);
struct mh_store_index *mh_collection_index(const struct mh_collection *collection, const char *field,
                                           const char *name);
struct mh_store_index *mh_collection_add_index(struct mh_store *store, struct mh_collection *collection,
                                               const char *name, const char *field, const char *type,
                                               const char *metric, const char *params);
void mh_collection_drop_index(struct mh_collection *collection, struct mh_store_index *index);

/* Stores row `from` of the columns, one for each field, in the fields' order; returns its number or -1: no
 * memory. */
int64_t mh_collection_add(struct mh_collection *collection, const struct mh_column *const *columns,
                          int64_t from, uint64_t born, int partition);
int64_t mh_collection_copy(struct mh_collection *collection, int64_t row, int64_t key, uint64_t born,
                           int partition); /* under a key that may be another */
void mh_collection_kill(struct mh_collection *collection, int64_t row, uint64_t end);

/* Copies of a key, in the order of storing: place starts at 0; -1: no further one. */
int64_t mh_collection_next(const struct mh_collection *collection, int64_t key, uint64_t *place);
int64_t mh_collection_live(const struct mh_collection *collection, int64_t key, int partition); /* -1: none */

void mh_collection_flush(struct mh_store *store, struct mh_collection *collection);
/* Forgets rows that ended before `before`, unless rows are pinned. Statistics no longer count dead rows. */
void mh_collection_compact(struct mh_store *store, struct mh_collection *collection, uint64_t before);

static inline bool mh_row_seen(const struct mh_collection *collection, int64_t row, uint64_t at)
{
    return collection->born[row] <= at && at < collection->end[row];
}

static inline bool mh_row_live(const struct mh_collection *collection, int64_t row)
{
    return collection->end[row] == MH_TS_NEVER;
}

static inline const int64_t *mh_collection_keys(const struct mh_collection *collection)
{
    return (const int64_t *)(const void *)collection->fields[collection->key].cells;
}

/* struct mh_expr_rows.value, of rows that are a struct mh_collection. */
struct mh_expr_value mh_collection_value(const void *collection, size_t field, int64_t row);

/* The whole store to a file and back; the file has a header and a checksum. A file that does not exist loads
 * as an empty store. */
int mh_store_save(const struct mh_store *store, const char *path, struct mh_error *err);
int mh_store_load(struct mh_store *store, const char *path, struct mh_error *err);

#endif
