/* Counters and a coarse latency histogram for each second of a stage and each operation. Memory is bounded:
 * once MH_TIMELINE_SLOTS intervals are full, neighbours are merged and the interval doubles. Of all slots but
 * one, the open one, the buckets that are not empty alone are kept, 8 bytes each. */
#ifndef MH_MEASURE_TIMELINE_H
#define MH_MEASURE_TIMELINE_H

#include <stdint.h>

#define MH_TIMELINE_SLOTS   512
#define MH_TIMELINE_BUCKETS 512 /* 16 a power of two, from 1 us to above 1 h */

struct mh_timeline_slot {
    uint64_t ok, failed, unknown, throttled, rows, bytes;
    int64_t max_ns, lag_ns;                /* longest latency from due time; from due time to first sending */
    uint32_t latency[MH_TIMELINE_BUCKETS]; /* from due time */
};

struct mh_timeline {
    int64_t start_ns;                 /* begin of slot 0, monotonic clock */
    int64_t interval_ns;              /* 1 s times a power of two; the same on every rank once merged */
    int64_t used;                     /* slots in use, from the first */
    struct mh_timeline_packed *slots; /* MH_TIMELINE_SLOTS, or NULL before the first use */
    struct mh_timeline_slot *open;    /* slot number `at`, if that is not below 0 */
    int64_t at;
};

void mh_timeline_init(struct mh_timeline *t, int64_t start_ns);
void mh_timeline_free(struct mh_timeline *t);
void mh_timeline_reset(struct mh_timeline *t, int64_t start_ns); /* as new, but keeps the memory */

/* The slot of that moment (before start_ns: the first), to be added to until the next call; NULL when there
 * is no memory. Dear when the moment is not in the same slot as the last call's. */
struct mh_timeline_slot *mh_timeline_at(struct mh_timeline *t, int64_t now_ns);

/* Adds slot number `slot`, which is in use, to `into`. */
void mh_timeline_add_slot(const struct mh_timeline *t, int64_t slot, struct mh_timeline_slot *into);

/* Puts `from` in the place of slot number `slot`, which is in use. -1: no memory. */
int mh_timeline_put_slot(struct mh_timeline *t, int64_t slot, const struct mh_timeline_slot *from);

int mh_timeline_bucket(int64_t latency_ns); /* which bucket of `latency` a value falls into */
int64_t mh_timeline_quantile(const struct mh_timeline_slot *slot,
                             double quantile); /* upper edge of the bucket, ns */

/* The same, between the bucket's edges, as if its values were spread evenly over it; NaN: there are none. */
double mh_timeline_quantile_within(const struct mh_timeline_slot *slot, double quantile);

/* Merges neighbours until the interval is `interval_ns` (interval_ns times a power of two). -1: no memory;
 * the timeline is as it was, or halfway. */
int mh_timeline_coarsen(struct mh_timeline *t, int64_t interval_ns);

void mh_timeline_slot_add(struct mh_timeline_slot *into, const struct mh_timeline_slot *from);

#endif
