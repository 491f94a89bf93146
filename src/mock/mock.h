/* The mock as a whole: what it holds, how it lies, and one request on its way through. */
#ifndef MH_MOCK_MOCK_H
#define MH_MOCK_MOCK_H

#include "milvus/arena.h"
#include "milvus/serve.h"
#include "mock/fault.h"
#include "mock/store.h"
#include "rpc/server.h"

struct mh_mock_options {
    const char *host, *data, *fault_log, *save_requests; /* all but host: NULL where not asked for */
    int port;
    uint64_t seed;
    bool no_vectors, null;
    int64_t build_ns, load_ns; /* from CreateIndex to built, from Load to loaded */
    int64_t staleness_ns;      /* how far reads at Bounded and Eventually lag */
};

struct mh_mock {
    struct mh_mock_options options;
    struct mh_store store;
    struct mh_faults faults;
    struct mh_arena arena; /* of the request at hand */
    struct mh_server *server;
    int64_t calls;
    bool saved[MH_SERVE_KINDS]; /* its first request: see options.save_requests */
    int64_t last_write_ns; /* monotonic, and of which partition of which collection: to know of overlap */
    int64_t last_write_collection;
    int last_write_partition;
    int64_t overlap_ns; /* until then writes of several partitions count as concurrent */
};

/* One request being handled. */
struct mh_turn {
    struct mh_mock *mock;
    struct mh_served request;
    struct mh_answer answer;
    struct mh_arena *arena;
};

int mh_mock_open(struct mh_mock *mock, const struct mh_mock_options *options, struct mh_error *err);
int mh_mock_serve(struct mh_mock *mock, bool (*stop)(void), struct mh_error *err); /* until stop says so */
void mh_mock_close(struct mh_mock *mock);

/* Decodes, handles and encodes one request, without any fault of calls; the answer's bytes live in the mock's
 * arena until the next request. -1: these bytes are no such request. */
int mh_mock_handle(struct mh_mock *mock, int kind, const uint8_t *bytes, size_t length,
                   const uint8_t **answer, size_t *answer_length);
/* Handles and answers it, at `due_ns` (0: at once). */
void mh_mock_answer(struct mh_mock *mock, struct mh_incoming *incoming, int64_t due_ns);

bool mh_null_handle(struct mh_turn *turn); /* null.c; false: --null has nothing of its own for it */

/* handlers.c: the table, and what is about neither rows nor collections as such */
void mh_handle(struct mh_turn *turn);
void mh_refuse(struct mh_turn *turn, int legacy_code, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool mh_turn_keeps(struct mh_turn *turn); /* the fault keep_dropped strikes: what is to be dropped stays */
struct mh_collection *mh_turn_collection(struct mh_turn *turn); /* NULL: missing, and the answer says so */
int mh_turn_partition(struct mh_turn *turn, const struct mh_collection *collection); /* -1: missing */
void *mh_turn_get(struct mh_turn *turn, size_t bytes); /* arena memory, not zeroed */

/* Milvus' codes, with the older number beside each. */
enum { MH_CODE_COLLECTION = 100, MH_CODE_NOT_LOADED = 101, MH_CODE_PARTITION = 200, MH_CODE_INDEX = 700 };
enum { MH_CODE_DATABASE = 800, MH_CODE_INVALID = 1100, MH_CODE_OTHER = 65535 };
enum {
    MH_OLD_UNEXPECTED = 1,
    MH_OLD_COLLECTION = 4,
    MH_OLD_ILLEGAL = 5,
    MH_OLD_META = 15,
    MH_OLD_INDEX = 25
};

/* collections.c */
void mh_handle_create_collection(struct mh_turn *turn);
void mh_handle_drop_collection(struct mh_turn *turn);
void mh_handle_has_collection(struct mh_turn *turn);
void mh_handle_describe_collection(struct mh_turn *turn);
void mh_handle_show_collections(struct mh_turn *turn);
void mh_handle_create_partition(struct mh_turn *turn);
void mh_handle_drop_partition(struct mh_turn *turn);
void mh_handle_has_partition(struct mh_turn *turn);
void mh_handle_show_partitions(struct mh_turn *turn);
void mh_handle_statistics(struct mh_turn *turn);
void mh_handle_partition_statistics(struct mh_turn *turn);

/* write.c */
void mh_handle_insert(struct mh_turn *turn);
void mh_handle_upsert(struct mh_turn *turn);
void mh_handle_delete(struct mh_turn *turn);

/* read.c and searches.c */
struct mh_view { /* what a read looks at */
    struct mh_turn *turn;
    const struct mh_collection *collection;
    const bool *partitions; /* by position */
    struct mh_expr *expr;
    uint64_t at;
};
int mh_view_open(struct mh_view *view, struct mh_turn *turn); /* -1: refused, and the answer says so */
void mh_view_close(struct mh_view *view);
bool mh_view_takes(const struct mh_view *view, int64_t row);
/* Sets the answer's columns to these rows' fields that the request asks for; -1: refused. */
int mh_answer_rows(struct mh_turn *turn, const struct mh_collection *collection, const int64_t *rows,
                   int64_t count, bool with_key);
void mh_handle_query(struct mh_turn *turn);
void mh_handle_search(struct mh_turn *turn);

#endif
