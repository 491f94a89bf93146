/* The clocks of the nodes, while a run lasts: they drift. Times since the run began are by the offsets of its
 * beginning; what the clocks have moved by since makes comparisons between ranks more careful. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "comm/comm.h"

#include <stdio.h>

enum {
    APART_MS = 2,   /* beyond what was measured, whatever it was; */
    WANDER_PPM = 2, /* and of the run's length: to and fro, of which later measurements show nothing */
    WORTH_TELLING_MS = 1
};

int64_t mh_clocks_doubt(const struct mh_run *run)
{
    const int64_t wander_ns = (mh_now_ns() - run->start_ns) / 1000000 * WANDER_PPM;
    return run->plan->node_count > 1 ? run->clock.doubt_ns + APART_MS * MH_MS + wander_ns : 0;
}

/* The first time, and each time that it has doubled. */
static int tell(struct mh_run *run)
{
    const int64_t apart_ns = run->clock.apart_ns;
    struct mh_event event = {.kind = MH_EVENT_CLOCKS,
                             .stage = run->stage,
                             .role = -1,
                             .time_ns = mh_now_ns() - run->start_ns,
                             .duration_ns = -1};
    char apart[32], doubt[32];
    if (apart_ns < WORTH_TELLING_MS * MH_MS || apart_ns < 2 * run->apart_told_ns)
        return 0;
    run->apart_told_ns = apart_ns;
    snprintf(event.what, sizeof event.what,
             "the nodes' clocks have moved apart by %s since the run began: between ranks, reads are judged "
             "with a doubt of %s",
             mh_show_duration(apart_ns, apart, sizeof apart),
             mh_show_duration(mh_clocks_doubt(run), doubt, sizeof doubt));
    mh_warn("%s", event.what);
    return mh_events_add(&run->events, &event);
}

int mh_clocks_compare(struct mh_run *run, struct mh_error *err)
{
    if (run->plan->node_count == 1)
        return 0;
    mh_comm_clock_again(run->comm, &run->clock);
    const int rc = run->rank == 0 ? tell(run) : 0;
    return mh_comm_agree(run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for events"), err);
}
