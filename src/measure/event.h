/* What happened around a run beside its operations: a user's command that was started, a role cut off from
 * the server, a proxy that workers moved away from, a server that began a new life, clocks of nodes
 * that have moved apart. */
#ifndef MH_MEASURE_EVENT_H
#define MH_MEASURE_EVENT_H

#include <stdint.h>

enum mh_event_kind {
    MH_EVENT_CHAOS,
    MH_EVENT_OUTAGE,
    MH_EVENT_PROXY,
    MH_EVENT_RESTART,
    MH_EVENT_CLOCKS,
    MH_EVENT_KINDS
};
extern const char *const mh_event_names[MH_EVENT_KINDS]; /* "chaos", "outage", "proxy", "restart", "clocks" */

struct mh_event {
    int32_t kind;        /* enum mh_event_kind */
    int32_t stage, role; /* positions in the job (its stage count: the audit); -1: none */
    int64_t time_ns;     /* since the run began */
    int64_t duration_ns; /* -1: it had no end */
    char what[192];      /* a line for people */
};

struct mh_events { /* zero-initialised is empty */
    struct mh_event *items;
    int64_t count, room;
};

int mh_events_add(struct mh_events *events, const struct mh_event *event); /* -1: no memory */
void mh_events_sort(struct mh_events *events);                             /* by time */
void mh_events_free(struct mh_events *events);

#endif
