/* One acknowledged write of one row, and what reads of that row show of it until it is seen. Pure: all times
 * are those of the operations. */
#ifndef MH_ROLE_WATCH_H
#define MH_ROLE_WATCH_H

#include "role/role.h"

enum { MH_BOUND_SLACK_MS = 500 /* Milvus' clock runs in steps of 0.2 s */ };

struct mh_watch_rules {
    int consistency;  /* enum mh_consistency, of the reads */
    int64_t bound_ns; /* how far a read at `bounded` may lag behind */
    int64_t grace_ns; /* after which an unseen write is given up */
};

struct mh_watch {
    struct mh_watch_rules rules;
    struct mh_sighting sighting; /* of the last read: what, id, expected, acked_ns, ... */
    bool stamped;                /* its reply had a timestamp, which a session can ask for */
    bool seen, over;
};

/* Of the row `id`, that is `expected` (a version, or MH_SIGHT_ABSENT) since the acknowledged write `op`. */
void mh_watch_begin(struct mh_watch *watch, const struct mh_watch_rules *rules, const struct mh_op *op,
                    int64_t id, int32_t expected);

/* A read of the row that succeeded has shown `seen`. Sets watch->sighting, its bits included, and, when
 * nothing more is to be learnt, watch->over. The write was seen then if watch->seen. */
void mh_watch_look(struct mh_watch *watch, const struct mh_op *op, int32_t seen);

/* A read that failed tells nothing; the watch is over when they go on failing for as long as a write may go
 * unseen. */
void mh_watch_miss(struct mh_watch *watch, const struct mh_op *op);

#endif
