/* Milvus' protocol as a server sees it: requests as plain structs, answers from plain structs. The
 * counterpart of milvus.h; methods that the program itself calls are those of mh_op_infos. */
#ifndef MH_MILVUS_SERVE_H
#define MH_MILVUS_SERVE_H

#include "milvus/milvus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mh_serve_kind { /* begins with the kinds of enum mh_op_kind, under their numbers */
                     MH_SERVE_CONNECT = MH_OP_KINDS,
                     MH_SERVE_HEALTH,
                     MH_SERVE_TIMESTAMP,
                     MH_SERVE_COMPONENTS,
                     MH_SERVE_CREATE_DATABASE,
                     MH_SERVE_DROP_DATABASE,
                     MH_SERVE_LIST_DATABASES,
                     MH_SERVE_HAS_PARTITION,
                     MH_SERVE_PARTITION_STATISTICS,
                     MH_SERVE_LOAD_PARTITIONS,
                     MH_SERVE_RELEASE_PARTITIONS,
                     MH_SERVE_LOADING_PROGRESS,
                     MH_SERVE_INDEX_STATE,
                     MH_SERVE_INDEX_PROGRESS,
                     MH_SERVE_COMPACT,
                     MH_SERVE_COMPACTION_STATE,
                     MH_SERVE_KINDS,
};
const char *mh_serve_name(int kind);   /* "search": what reports and options call it */
const char *mh_serve_method(int kind); /* gRPC path */

struct mh_served_field {
    const char *name;
    int type; /* enum mh_field_type; -1: one that we have no use for */
    int64_t dim, max_length;
    bool primary, auto_id;
};

struct mh_served_parameter {
    const char *key, *value;
};

/* One request. Which fields are set depends on the kind; texts are never NULL. All lives in the arena. */
struct mh_served {
    int kind;
    const char *database, *collection, *partition;
    int64_t collection_id;
    const char *const *names; /* partitions; FLUSH, SHOW_COLLECTIONS: collections */
    size_t name_count;
    struct mh_column columns[MH_MOST_FIELDS]; /* INSERT, UPSERT */
    size_t column_count;
    int64_t rows;
    const char
        *bad_column; /* one that is cut, of an odd length or of a type we have no use for; NULL: none */
    const char *expression; /* DELETE, QUERY, SEARCH */
    const char *const *output_fields;
    size_t output_count;
    struct mh_served_parameter *pairs; /* QUERY, SEARCH, CREATE_INDEX: parameters */
    size_t pair_count;
    int consistency; /* enum mh_consistency, or 4: customized */
    bool default_consistency;
    uint64_t timestamp;          /* QUERY, SEARCH: guarantee; FLUSH_STATE: of the flush */
    int dsl_type;                /* SEARCH */
    int64_t nq;                  /* SEARCH: as the request says */
    const float **queries;       /* SEARCH: one a query vector, or NULL: no placeholder "$0" */
    const size_t *query_lengths; /* in bytes */
    size_t query_count;
    struct mh_served_field fields[MH_MOST_FIELDS]; /* CREATE_COLLECTION */
    size_t field_count;
    const char *schema_name;
    bool dynamic, too_many_fields;
    int64_t shards;
    int64_t replicas; /* LOAD */
    const char *field, *index;
    const char *text; /* METRICS */
    int64_t id;       /* COMPACTION_STATE */
};

const char *mh_served_pair(const struct mh_served *request, const char *key); /* NULL: not there */

/* Reads a request into *request, all in the arena; -1: these bytes are no such request. */
int mh_served_decode(int kind, const uint8_t *bytes, size_t length, struct mh_arena *arena,
                     struct mh_served *request);

struct mh_answer_index {
    const char *name, *field, *type, *metric, *params;
    int64_t id, indexed_rows, pending_rows, total_rows;
    int state; /* enum mh_index_state */
};

/* One answer. A code other than 0, of either kind, is all that is sent with it. */
struct mh_answer {
    int legacy_code, code;
    char reason[512];
    int64_t rows;             /* writes: all counts that go with the kind */
    const int64_t *ids;       /* INSERT, UPSERT: keys; SEARCH: of hits; SHOW_*: ids; FLUSH: segments */
    size_t id_count;          /* */
    uint64_t timestamp;       /* writes, FLUSH, TIMESTAMP */
    const uint64_t *times;    /* SHOW_*, LIST_DATABASES: created, one a name */
    const char *const *names; /* SHOW_*, LIST_DATABASES; QUERY, SEARCH: output fields */
    size_t name_count;
    struct mh_column columns[MH_MOST_FIELDS]; /* QUERY, SEARCH */
    size_t column_count;
    bool yes;      /* HAS_*, FLUSH_STATE */
    int state;     /* LOAD_STATE, INDEX_STATE, COMPACTION_STATE */
    int64_t count; /* STATISTICS: rows; LOADING_PROGRESS: percent; COMPACT, CONNECT: an id; INDEX_PROGRESS */
    const char *text;                     /* VERSION, METRICS, FLUSH (collection) */
    const char *database;                 /* FLUSH, DESCRIBE_COLLECTION */
    const char *collection;               /* DESCRIBE_COLLECTION, QUERY, SEARCH */
    int64_t collection_id;                /* DESCRIBE_COLLECTION */
    int consistency;                      /* DESCRIBE_COLLECTION */
    int64_t shards;                       /* DESCRIBE_COLLECTION */
    int64_t partitions;                   /* DESCRIBE_COLLECTION */
    const struct mh_served_field *fields; /* DESCRIBE_COLLECTION */
    size_t field_count;
    const struct mh_answer_index *indexes; /* DESCRIBE_INDEX */
    size_t index_count;
    int64_t query_count; /* SEARCH */
    const int64_t *topks;
    int64_t topk;
    const float *scores;
};

/* The bytes live in the arena. -1: no memory. */
int mh_answer_encode(int kind, const struct mh_answer *answer, struct mh_arena *arena, const uint8_t **bytes,
                     size_t *length);

#endif
