/* What takes the server a while, done to its end: one rank asks and polls, before a stage and in the audit.
 * Each gives up after server.patience, or when asker->stop says so. */
#ifndef MH_CLIENT_STEPS_H
#define MH_CLIENT_STEPS_H

#include "client/ask.h"
#include "dataset/content.h"

/* A request about the job's collection and its index, for what needs no more than their names. */
struct mh_request mh_steps_request(const struct mh_job *job, const struct mh_content *content,
                                   enum mh_op_kind kind);

#define MH_STEP_INPUTS                                                                                       \
    struct mh_asker *asker, const struct mh_job *job, const struct mh_content *content, struct mh_error *err
typedef int mh_step(MH_STEP_INPUTS);

int mh_step_index(MH_STEP_INPUTS);  /* waits until the index is built; creates it when there is none */
int mh_step_load(MH_STEP_INPUTS);   /* the index, and then the load: what is not loaded cannot be read */
int mh_step_flush(MH_STEP_INPUTS);  /* until the server says that all is flushed */
int mh_step_reload(MH_STEP_INPUTS); /* releases and loads */

#endif
