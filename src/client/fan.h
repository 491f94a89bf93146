/* Many questions, a few at a time: what the audit is made of. Never while load runs on the same struct
 * mh_rpc. */
#ifndef MH_CLIENT_FAN_H
#define MH_CLIENT_FAN_H

#include "client/op.h"

struct mh_fan_slot {
    struct mh_op op;
    int64_t item; /* which question it is */
    int64_t via;  /* picks the server's URI; the fan's `which` unless whoever asks sets it */
    char *text;   /* room for an expression, kept from question to question */
    size_t room;
};

struct mh_fan {
    struct mh_rpc *rpc;
    struct mh_connection **connections; /* by URI; opened when needed */
    int64_t which;
    struct mh_retry_policy policy;
    struct mh_fan_slot *slots;
    int width;
    bool (*stop)(void);                                   /* true: give up. NULL: never */
    void (*watch)(void *context, const struct mh_op *op); /* sees every final operation; NULL: nobody */
    void *watch_context;
};

/* `which` picks the server's URI. */
int mh_fan_open(struct mh_fan *fan, struct mh_rpc *rpc, const struct mh_job *job, int64_t which, int width,
                uint64_t seed, struct mh_error *err);
void mh_fan_close(struct mh_fan *fan);

enum mh_fan_answer { MH_FAN_ASK, MH_FAN_SKIP /* nothing to ask, go on */, MH_FAN_NO_MEMORY };

/* Fills the request of question `item` (slot->op.request, zeroed), with texts in slot->text. */
typedef enum mh_fan_answer mh_fan_ask(void *context, int64_t item, struct mh_fan_slot *slot);
/* Takes the answer, which is OK. */
typedef int mh_fan_take(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err);

/* Asks questions 0 .. items-1, fan->width at a time, in order; answers come in any order. The first that
 * fails for good ends it. */
int mh_fan_run(struct mh_fan *fan, int64_t items, mh_fan_ask *ask, mh_fan_take *take, void *context,
               struct mh_error *err);

/* At least `room` bytes at slot->text; NULL: no memory. */
char *mh_fan_text(struct mh_fan_slot *slot, size_t room);

#endif
