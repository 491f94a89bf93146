/* What server and ranks use while a run lasts: a thread of each rank, that sleeps but for one look a period.
 * It touches neither MPI nor HDF5, and has a gRPC completion queue of its own. Rank 0's looks at the server,
 * too: at its process where that is on this machine, at Prometheus pages, and by GetMetrics. */
#ifndef MH_OBSERVE_OBSERVE_H
#define MH_OBSERVE_OBSERVE_H

#include "base/error.h"
#include "job/job.h"
#include "observe/samples.h"

#include <stdatomic.h>

struct mh_observer;

struct mh_observer_options {
    const struct mh_job *job;
    struct mh_sample_head head;       /* the rank's */
    int64_t start_ns;                 /* this rank's clock when the run began */
    const atomic_llong *ledger_bytes; /* what the rank's ledger holds, kept up by the thread that writes it */
    const struct mh_rpc *rpc;         /* the rank's */
    const char *log_path;             /* of observe/samples.h; "": none. Valid until the stop */
    void (*along)(void *context); /* called by the thread, after a look, at most every 5 s; NULL: nothing */
    void *context;
};

/* NULL: the job wants none, or it cannot be had (and a warning says why): a run does without. */
struct mh_observer *mh_observer_start(const struct mh_observer_options *options);

/* Ends the thread, within milliseconds, and closes the log; what it saw stays. NULL is allowed, here and
 * below. */
void mh_observer_stop(struct mh_observer *observer);

struct mh_samples *mh_observer_samples(struct mh_observer *observer); /* after the stop; NULL for NULL */

void mh_observer_free(struct mh_observer *observer);

#endif
