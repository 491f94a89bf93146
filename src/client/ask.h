/* One question at a time, answered before the call returns: for set-up and audit, never while load runs. */
#ifndef MH_CLIENT_ASK_H
#define MH_CLIENT_ASK_H

#include "client/op.h"

struct mh_asker {
    struct mh_rpc *rpc;
    struct mh_connection *connection;
    struct mh_retry_policy policy;
    struct mh_op op;
    bool (*stop)(void); /* asked while waiting; true gives up. NULL: never */
};

/* `which` picks the server's URI (modulo their number). */
int mh_asker_open(struct mh_asker *asker, struct mh_rpc *rpc, const struct mh_job *job, int64_t which,
                  uint64_t seed, struct mh_error *err);
void mh_asker_close(struct mh_asker *asker);

/* Asks, retrying as the policy of client/op.h says. 0: *reply (valid until the next question) is OK. -1: any
 * other end, described in err; *reply is set all the same when `reply` is not NULL. */
int mh_ask(struct mh_asker *asker, const struct mh_request *request, const struct mh_reply **reply,
           struct mh_error *err);

/* Waits `ns`, or until asker->stop says so; false when it did. */
bool mh_ask_pause(struct mh_asker *asker, int64_t ns);

#endif
