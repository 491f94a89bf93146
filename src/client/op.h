/* One operation, from the role that asked for it to the ledger. Joins the protocol (milvus/) and the
 * transport (rpc/), and owns the retry policy:
 *
 *   a throttled call had no effect: sent again after a backoff that doubles from retry.backoff's first to its
 * second value, with jitter (uniform in [half, whole]), at most retry.max times; a call that certainly never
 * left is sent again the same way for as long as server.timeout, then fails as unreachable; anything else is
 * final, but for patient readers. Where there are several proxies, it is sent to the next one, at once, until
 * each was tried; then with the backoff. A write whose effect is uncertain is never sent again. */
#ifndef MH_CLIENT_OP_H
#define MH_CLIENT_OP_H

#include "base/random.h"
#include "dataset/content.h"
#include "milvus/milvus.h"
#include "plan/plan.h"
#include "rpc/rpc.h"

enum { MH_LAST_VERSION = 0x0fff }; /* that a row can have: the ledger keeps 12 bits of it */

/* What a search or query asked for, beside its request: for those who judge the answer. */
struct mh_read {
    int item;                    /* which of its role's kinds of read */
    int64_t first_query;         /* SEARCH: row of the data set's queries; the others follow it */
    double radius, range_filter; /* NaN: none */
    bool exact;                  /* every row that qualifies must be found */
    bool count;                  /* count(*) */
    char *text;                  /* the expression; room for it is kept */
    size_t text_room;
    char params[512]; /* request.search_params */
};

/* What is counted and timed: the kinds of operation, and beside them */
enum {
    MH_TALLY_COUNT = MH_OP_KINDS, /* a query for count(*) by which a role checks its own rows */
    MH_TALLY_CYCLE,               /* many operations that a role sees as one: see mh_role_cycle_ended */
    MH_TALLY_KINDS,
};

/* What the server goes on with behind its reply, and what asks it whether that is done. */
enum mh_until {
    MH_UNTIL_REPLY,  /* nothing: the reply ends it */
    MH_UNTIL_LOADED, /* LOAD: load_state */
    MH_UNTIL_BUILT,  /* CREATE_INDEX: describe_index */
};

struct mh_op {
    /* What: set by whoever asks, before mh_op_send. */
    struct mh_request request; /* request.kind says which operation */
    struct mh_rowset rows;     /* writes: ids (and columns, once filled) */
    uint16_t
        *versions; /* writes: the version each row has after (upsert) or had before (delete); room as rows */
    int partition; /* writes: position in the plan; -1: none */
    struct mh_read read;
    int64_t tag; /* the role's own note */
    enum mh_until
        until; /* it lasts so long: one operation, whose latency ends with the answer that says so */
    int64_t poll_ns, patience_ns; /* with `until`: between two looks; of all together, then it has failed */
    int booked_as;                /* MH_TALLY_*, in place of request.kind; 0: as that */
    bool apart; /* on a collection of the role's own: the request names it, and the ledger knows nothing of it
                 */
    bool none_is_fine; /* DESCRIBE_INDEX: that there is none is an answer, and no error */
    bool owed;         /* removes what the role made: sent even while the stage stops */
    const struct mh_worker *worker;
    void *owner;      /* the one who gets it back */
    int64_t delay_ns; /* due so long after it was asked for: a poll's pause. 0: at once */
    int64_t due_ns;

    /* How it went. */
    int64_t sent_ns, done_ns; /* first sending, final reply */
    int64_t bytes_out;        /* of sendings that left */
    int attempts, throttled;  /* sendings; throttled replies among them */
    int looks;                /* at whether it is done: sendings among them */
    enum mh_outcome outcome;  /* final: OK, THROTTLED (budget spent), FAILED, UNKNOWN */
    bool timed_out, unreachable;
    bool moved; /* its last call found its proxy gone, and its connection has moved to another */
    struct mh_reply reply;

    /* client/'s own. */
    struct mh_connection *connection;
    struct mh_call call;
    struct mh_payload payload;
    bool looking;     /* the reply was there: now it asks whether all is done */
    int64_t asked_ns; /* first sending of the question at hand */
    int asked, held;  /* how often it was sent, and throttled */
    int64_t retry_ns; /* when to send again */
    struct mh_op *next;
};

struct mh_retry_policy {
    const struct mh_retry_options *retry;
    int64_t timeout_ns;  /* of each call */
    int64_t patience_ns; /* what is no write and times out is sent again for so long; 0: never. With it, what
                          * the server fails in trouble of its own is sent again, too, for timeout_ns */
    bool everywhere;     /* what timed out goes to each proxy before it fails */
    struct mh_random random;
};

enum mh_op_next { MH_OP_FINAL, MH_OP_AGAIN };

/* Encodes and sends. Fails only on a request that must not be sent; the operation is then not in flight. */
int mh_op_send(struct mh_op *op, struct mh_connection *connection, const struct mh_retry_policy *policy,
               struct mh_error *err);

/* Takes a finished call of the operation: decodes, judges, and says whether it is final or to be sent again
 * at op->retry_ns. */
enum mh_op_next mh_op_take(struct mh_op *op, struct mh_retry_policy *policy);

struct mh_op *mh_op_of(struct mh_call *call); /* the operation that a call belongs to */

/* Rows in the reply are valid until then; the operation can be used again. */
void mh_op_release(struct mh_op *op);
void mh_op_free(struct mh_op *op); /* its memory, not the struct */

/* "insert: gRPC DEADLINE_EXCEEDED: Deadline Exceeded" or "insert: Milvus code 8: rate limit exceeded" */
void mh_op_describe(const struct mh_op *op, char *text, size_t size);

/* Of one that is to be sent again: warns when the server failed it; of each kind of question a rank's 1st,
 * 2nd, 4th... */
void mh_op_warn_of_trouble(const struct mh_op *op);

#endif
