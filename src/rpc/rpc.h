/* Unary gRPC calls, many in flight, from one thread. The only room that sees gRPC.
 *
 * Verbs, in this order: fill a struct mh_call, submit it, wait until it comes back done, read it, release it.
 */
#ifndef MH_RPC_RPC_H
#define MH_RPC_RPC_H

#include "base/error.h"
#include "base/payload.h"
#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

/* gRPC's status numbers that the program tells apart (grpc/status.h). */
enum {
    MH_GRPC_OK = 0,
    MH_GRPC_CANCELLED = 1,
    MH_GRPC_INVALID_ARGUMENT = 3,
    MH_GRPC_DEADLINE_EXCEEDED = 4,
    MH_GRPC_PERMISSION_DENIED = 7,
    MH_GRPC_RESOURCE_EXHAUSTED = 8,
    MH_GRPC_UNIMPLEMENTED = 12,
    MH_GRPC_UNAVAILABLE = 14,
    MH_GRPC_UNAUTHENTICATED = 16,
};
const char *mh_grpc_status_name(int status); /* "DEADLINE_EXCEEDED" */

struct mh_rpc;        /* one a rank: completion queue, credentials */
struct mh_connection; /* one TCP connection (or several, taken in turn), one worker's */

/* Of one rank, between two reports; each URI has an equal share of them (with more URIs than that, those left
 * first have one each). Its last one then lasts on: a later one is counted there. */
enum { MH_MOST_ABSENCES = 256 };

/* A proxy that connections moved away from, on this rank. */
struct mh_absence {
    int64_t from_ns, back_ns; /* first move away; first return, 0: none yet. Monotonic clock */
    int64_t moved;            /* connections that left */
    int64_t unlisted;         /* absences after this one that are counted here: back_ns is the last one's */
    int32_t uri;              /* position in the job's list */
    bool silent;              /* it could be reached, and gave no answer for the whole of a call's time */
};

/* One call. Its address identifies it while it is in flight, so it must not move. */
struct mh_call {
    const char *method;         /* in: gRPC path, static */
    struct mh_payload *payload; /* in: taken over by submit, which empties it */
    int64_t timeout_ns;         /* in */
    int64_t sent_ns, done_ns;   /* out: monotonic clock */
    int status;                 /* out: gRPC's number */
    bool never_sent;            /* out: with a status that is not OK: the request certainly did not leave */
    char message[200];          /* out: gRPC's words for a status that is not OK */
    const uint8_t *reply;       /* out: contiguous, until release; NULL if there is none */
    size_t reply_length;
    size_t request_length;                 /* out */
    struct mh_call_private *private_state; /* owned by rpc/ from the first submit to mh_call_free */
};

int mh_rpc_open(const struct mh_server_options *server, struct mh_rpc **out, struct mh_error *err);
void mh_rpc_close(struct mh_rpc *rpc); /* after every connection and call is gone; NULL is allowed */

int mh_rpc_uris(const struct mh_rpc *rpc); /* how many there are */

/* `which` picks the URI at home: which modulo the number of URIs. Does not wait for the server. */
struct mh_connection *mh_connection_open(struct mh_rpc *rpc, int64_t which);
void mh_connection_close(struct mh_connection *connection);
const char *mh_connection_uri(const struct mh_connection *connection); /* where calls go now */
bool mh_connection_away(const struct mh_connection *connection);
int mh_connection_choices(const struct mh_connection *connection); /* URIs to choose from */

/* After a finished call: if it says that its proxy cannot be reached (the call never left), or is silent (it
 * timed out, and nothing else was answered since it was sent), later calls go to the next URI. True: they go
 * elsewhere now.
 * What is in flight stays where it is. With one URI there is nowhere to go. */
bool mh_connection_leave(struct mh_connection *connection, const struct mh_call *call);
/* Back to the URI at home, once that can be reached again; looks at most once a second. */
void mh_connection_go_home(struct mh_connection *connection);

/* What was noted of proxies since it was last forgotten, by time of leaving; the array lives as `rpc` does.
 */
size_t mh_rpc_absences(const struct mh_rpc *rpc, const struct mh_absence **absences);
void mh_rpc_forget_absences(struct mh_rpc *rpc);

void mh_call_submit(struct mh_connection *connection, struct mh_call *call);
void mh_call_cancel(struct mh_call *call);  /* it still comes back through mh_rpc_wait */
void mh_call_release(struct mh_call *call); /* frees the reply; the call can be submitted again */
void mh_call_free(struct mh_call *call);    /* not in flight */

/* The next finished call, or NULL when none finishes before `until_ns` (monotonic; in the past: just looks).
 */
struct mh_call *mh_rpc_wait(struct mh_rpc *rpc, int64_t until_ns);

/* The same, but NULL comes within 0.2 ms of `until_ns`, where the other may be 2 ms late. Costs CPU. */
struct mh_call *mh_rpc_wait_sharp(struct mh_rpc *rpc, int64_t until_ns);

int64_t mh_rpc_in_flight(const struct mh_rpc *rpc);

/* Of requests in flight and replies not yet released. From any thread; gRPC's own memory is not in it. */
int64_t mh_rpc_bytes(const struct mh_rpc *rpc);

#endif
