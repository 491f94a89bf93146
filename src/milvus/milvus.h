/* Milvus' protocol as plain structs: requests in, replies out. The only room that sees protobuf-c.
 * Every RPC the program uses is one row of the table in op.c. */
#ifndef MH_MILVUS_MILVUS_H
#define MH_MILVUS_MILVUS_H

#include "base/error.h"
#include "base/payload.h"
#include "job/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mh_op_kind { /* order of the table in op.c */
                  MH_OP_INSERT,
                  MH_OP_UPSERT,
                  MH_OP_DELETE,
                  MH_OP_QUERY,
                  MH_OP_SEARCH,
                  MH_OP_CREATE_INDEX,
                  MH_OP_DROP_INDEX,
                  MH_OP_DESCRIBE_INDEX,
                  MH_OP_CREATE_COLLECTION,
                  MH_OP_DROP_COLLECTION,
                  MH_OP_HAS_COLLECTION,
                  MH_OP_DESCRIBE_COLLECTION,
                  MH_OP_CREATE_PARTITION,
                  MH_OP_SHOW_PARTITIONS,
                  MH_OP_DROP_PARTITION,
                  MH_OP_SHOW_COLLECTIONS,
                  MH_OP_LOAD,
                  MH_OP_RELEASE,
                  MH_OP_LOAD_STATE,
                  MH_OP_FLUSH,
                  MH_OP_FLUSH_STATE,
                  MH_OP_STATISTICS,
                  MH_OP_VERSION,
                  MH_OP_METRICS,
                  MH_OP_KINDS,
};

/* What became of a call. For a write, FAILED is certain to have had no effect; UNKNOWN may have had one. */
enum mh_outcome { MH_OUTCOME_OK, MH_OUTCOME_THROTTLED, MH_OUTCOME_FAILED, MH_OUTCOME_UNKNOWN, MH_OUTCOMES };
extern const char *const mh_outcome_names[MH_OUTCOMES];

/* A column of rows, sent or received. `values` by type: bool, int8, int16, int32 as int32_t; int64 as
 * int64_t; float, double; varchar as char * (NUL-ended UTF-8); float_vector as rows x dim float32. */
struct mh_column {
    const char *name;
    int type; /* enum mh_field_type */
    int64_t dim;
    int64_t rows;
    const void *values;
    void (*release)(void *); /* of a sent vector column: see struct mh_piece */
    void *held;
};

enum { MH_MOST_QUERIES = 16384 /* Milvus' own limit of a search's query vectors */ };

/* One request. Which fields are read depends on the kind; everything is borrowed until mh_encode returns,
 * except vector columns, which must stay until released (or for ever, without `release`). */
struct mh_request {
    enum mh_op_kind kind;
    const char *collection;
    const char *partition; /* INSERT, UPSERT, DELETE, QUERY, CREATE_PARTITION, DROP_PARTITION, LOAD_STATE;
                              NULL or "": none given */
    /* INSERT, UPSERT */
    const struct mh_column *columns;
    size_t column_count;
    int64_t rows;
    /* DELETE: these keys */
    const char *key_field;
    const int64_t *keys;
    int64_t key_count;
    /* QUERY, SEARCH */
    const char *expression;           /* "" or NULL for all */
    const char *const *output_fields; /* {"count(*)"} alone for a count */
    size_t output_count;
    const char *const *partitions; /* beside `partition` */
    size_t partition_count;
    int64_t limit;   /* QUERY: 0: none. SEARCH: hits wanted for each query vector */
    int64_t offset;  /* rows left out in front */
    bool iterator;   /* QUERY: a page of an iterator: the rows with the lowest keys */
    int consistency; /* enum mh_consistency; SESSION uses guarantee_ts */
    uint64_t guarantee_ts;
    /* SEARCH: on index_field, by index_metric */
    const float *queries;      /* query_count x dim */
    int64_t query_count;       /* at most MH_MOST_QUERIES */
    const char *search_params; /* JSON object text */
    /* CREATE_COLLECTION */
    const struct mh_collection_options *schema;
    int64_t dim; /* of the vector field where the schema leaves it to the data set; SEARCH: of the queries */
    /* CREATE_INDEX, DROP_INDEX, DESCRIBE_INDEX */
    const char *index_field;
    const char *index_type, *index_metric, *index_params; /* params: JSON object text */
    /* FLUSH_STATE */
    const int64_t *segments;
    size_t segment_count;
    uint64_t flush_ts;
    const char *text; /* METRICS: JSON, what is asked for */
};

enum mh_load_state { MH_LOAD_NOT_EXIST, MH_LOAD_NOT_LOADED, MH_LOAD_LOADING, MH_LOAD_LOADED };
enum mh_index_state {
    MH_INDEX_NONE,
    MH_INDEX_UNISSUED,
    MH_INDEX_IN_PROGRESS,
    MH_INDEX_FINISHED,
    MH_INDEX_FAILED,
    MH_INDEX_RETRY
};

/* One reply. Pointers live until mh_reply_clear. */
struct mh_reply {
    enum mh_outcome outcome;
    int legacy_code;                          /* Status.error_code */
    int code;                                 /* Status.code; 0 when ok */
    char reason[256];                         /* the server's words, one line, cut */
    int64_t affected;                         /* INSERT, UPSERT, DELETE: the count the server claims */
    uint64_t timestamp;                       /* INSERT, UPSERT, DELETE: hybrid timestamp, 0 if none */
    struct mh_column columns[MH_MOST_FIELDS]; /* QUERY, SEARCH */
    size_t column_count;
    /* SEARCH: the hits of all query vectors, one after the other; columns hold as many rows */
    const int64_t *hits_of; /* hits of each query vector; query_count of them */
    int64_t query_count;
    const int64_t *ids;
    const float *scores; /* L2: squared distance; IP, COSINE: similarity */
    int64_t hit_count;
    bool yes;                 /* HAS_COLLECTION, FLUSH_STATE (flushed) */
    int state;                /* LOAD_STATE: enum mh_load_state; DESCRIBE_INDEX: enum mh_index_state */
    bool described;           /* DESCRIBE_INDEX: there is one, in whatever state */
    int64_t collection_id;    /* DESCRIBE_COLLECTION; 0: the server gives none */
    int64_t pending_rows;     /* DESCRIBE_INDEX */
    int64_t indexed_rows;     /* DESCRIBE_INDEX */
    const char *text;         /* VERSION; METRICS: JSON; DESCRIBE_INDEX: fail reason */
    int64_t row_count;        /* STATISTICS; -1 when the server did not say */
    const char *const *names; /* SHOW_PARTITIONS, SHOW_COLLECTIONS */
    size_t name_count;
    const int64_t *segments; /* FLUSH: all segments to wait for */
    size_t segment_count;
    uint64_t flush_ts;      /* FLUSH */
    struct mh_arena *arena; /* owns the above */
};

struct mh_op_info {
    const char *name;   /* as in reports: "insert" */
    const char *method; /* gRPC path */
    bool write;         /* changes rows: an unclear end is UNKNOWN, and it is never re-sent */
    int (*encode)(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err);
    int (*decode)(const uint8_t *bytes, size_t length, struct mh_reply *reply);
};
extern const struct mh_op_info mh_op_infos[MH_OP_KINDS];

/* Encodes into payload (reset first). Fails only on a request that no server should see: a vector of
 * dimension 0 crashes Milvus 2.3. */
int mh_encode(const struct mh_request *request, struct mh_payload *payload, struct mh_error *err);

/* Judges one finished call. grpc_status is gRPC's number; never_sent says that the request certainly did not
 * leave. Sets every field of *reply (arena included: it is reused if set). Bytes that are no valid reply give
 * UNKNOWN for a write, FAILED else, with code -1. */
void mh_decode(enum mh_op_kind kind, int grpc_status, const char *grpc_message, bool never_sent,
               const uint8_t *bytes, size_t length, struct mh_reply *reply);

const struct mh_column *mh_reply_column(const struct mh_reply *reply, const char *name); /* NULL: not there */
bool mh_reply_count(const struct mh_reply *reply,
                    int64_t *count); /* of a query for count(*); false: no single integer */
bool mh_reply_lists(const struct mh_reply *reply, const char *name); /* SHOW_COLLECTIONS, SHOW_PARTITIONS */
/* What the newer of the two codes says or, where a server sets the older alone, that one. */
bool mh_reply_is_missing_index(const struct mh_reply *reply);
bool mh_reply_is_missing_collection(const struct mh_reply *reply);
bool mh_reply_is_missing_partition(const struct mh_reply *reply); /* only the newer code says so */
/* The server's trouble, not ours: the same question may be answered when asked again. Not a success, nor an
 * unreadable reply. */
bool mh_reply_is_trouble(const struct mh_reply *reply);

void mh_reply_clear(struct mh_reply *reply); /* keeps the memory for the next reply */
void mh_reply_free(struct mh_reply *reply);

#endif
