/* Counters and a coarse latency histogram for each second of a stage and each operation. Memory is bounded:
 * once MH_TIMELINE_SLOTS intervals are full, neighbours are merged and the interval doubles; a quarter
 * of it (of 1 MiB) is taken with the first use, all with the first slot beyond that. */
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
    int64_t start_ns;               /* begin of slot 0, monotonic clock */
    int64_t interval_ns;            /* 1 s times a power of two; the same on every rank once merged */
    int64_t used;                   /* slots in use, from the first */
    int64_t room;                   /* slots allocated */
    struct mh_timeline_slot *slots; /* all zeros from `used` on */
};

void mh_timeline_init(struct mh_timeline *t, int64_t start_ns);
void mh_timeline_free(struct mh_timeline *t);
void mh_timeline_reset(struct mh_timeline *t, int64_t start_ns); /* as new, but keeps the memory */

/* The slot of that moment (before start_ns: the first), or NULL when there is no memory. */
struct mh_timeline_slot *mh_timeline_at(struct mh_timeline *t, int64_t now_ns);

int mh_timeline_bucket(int64_t latency_ns); /* which bucket of `latency` a value falls into */
int64_t mh_timeline_quantile(const struct mh_timeline_slot *slot,
                             double quantile); /* upper edge of the bucket, ns */

/* The same, between the bucket's edges, as if its values were spread evenly over it; NaN: there are none. */
double mh_timeline_quantile_within(const struct mh_timeline_slot *slot, double quantile);

/* Merges neighbours until the interval is `interval_ns` (interval_ns times a power of two). */
void mh_timeline_coarsen(struct mh_timeline *t, int64_t interval_ns);

void mh_timeline_slot_add(struct mh_timeline_slot *into, const struct mh_timeline_slot *from);

#endif
