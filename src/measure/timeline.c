#include "measure/timeline.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bucket 0 begins at 2^FIRST_BIT ns (and takes all that is below); each power of two has 2^STEP_BITS buckets.
 */
#define FIRST_BIT 10
#define STEP_BITS 4
#define STEPS     (1 << STEP_BITS)

void mh_timeline_init(struct mh_timeline *t, int64_t start_ns)
{
    *t = (struct mh_timeline){.start_ns = start_ns, .interval_ns = MH_S};
}

void mh_timeline_free(struct mh_timeline *t)
{
    free(t->slots);
    mh_timeline_init(t, t->start_ns);
}

void mh_timeline_reset(struct mh_timeline *t, int64_t start_ns)
{
    if (t->used > 0)
        memset(t->slots, 0, (size_t)t->used * sizeof *t->slots);
    t->used = 0;
    t->start_ns = start_ns;
    t->interval_ns = MH_S;
}

/* All of its pages, now: a rank must not grow with each second. In two steps, as those of a journal's
 * intervals never need the second. */
static int grow(struct mh_timeline *t, int64_t wanted)
{
    const int64_t room = wanted <= MH_TIMELINE_SLOTS / 4 ? MH_TIMELINE_SLOTS / 4 : MH_TIMELINE_SLOTS;
    struct mh_timeline_slot *slots = realloc(t->slots, (size_t)room * sizeof *slots);
    if (!slots)
        return -1;
    explicit_bzero(slots + t->room, (size_t)(room - t->room) * sizeof *slots);
    t->slots = slots;
    t->room = room;
    return 0;
}

/* Slots up to `used` exist. */
static int extend(struct mh_timeline *t, int64_t used)
{
    if (used > t->room && grow(t, used) != 0)
        return -1;
    t->used = used > t->used ? used : t->used;
    return 0;
}

struct mh_timeline_slot *mh_timeline_at(struct mh_timeline *t, int64_t now_ns)
{
    const int64_t elapsed_ns = now_ns > t->start_ns ? now_ns - t->start_ns : 0;
    while (elapsed_ns / t->interval_ns >= MH_TIMELINE_SLOTS)
        mh_timeline_coarsen(t, 2 * t->interval_ns);
    const int64_t slot = elapsed_ns / t->interval_ns;
    return extend(t, slot + 1) ? NULL : &t->slots[slot];
}

int mh_timeline_bucket(int64_t latency_ns)
{
    if (latency_ns < INT64_C(1) << FIRST_BIT)
        return 0;
    const int top_bit = 63 - __builtin_clzll((uint64_t)latency_ns);
    const int bucket = (top_bit - FIRST_BIT - 1) * STEPS + (int)(latency_ns >> (top_bit - STEP_BITS));
    return bucket < MH_TIMELINE_BUCKETS ? bucket : MH_TIMELINE_BUCKETS - 1;
}

static int64_t upper_edge(int bucket)
{
    const int64_t steps = STEPS + bucket % STEPS + 1;
    return steps << (FIRST_BIT - STEP_BITS + bucket / STEPS);
}

int64_t mh_timeline_quantile(const struct mh_timeline_slot *slot, double quantile)
{
    uint64_t count = 0;
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        count += slot->latency[i];
    if (!count)
        return 0;
    int bucket = 0;
    uint64_t seen = slot->latency[0];
    while (bucket < MH_TIMELINE_BUCKETS - 1 && (!seen || (double)seen / (double)count < quantile))
        seen += slot->latency[++bucket];
    return upper_edge(bucket);
}

double mh_timeline_quantile_within(const struct mh_timeline_slot *slot, double quantile)
{
    double count = 0, seen = 0;
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        count += slot->latency[i];
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++) {
        const double here = slot->latency[i], low = i > 0 ? (double)upper_edge(i - 1) : 0;
        if (here > 0 && seen + here >= quantile * count)
            return low + ((double)upper_edge(i) - low) * (quantile * count - seen) / here;
        seen += here;
    }
    return NAN;
}

void mh_timeline_coarsen(struct mh_timeline *t, int64_t interval_ns)
{
    while (t->interval_ns < interval_ns) {
        for (int64_t i = 1; i < t->used; i++) {
            if (i % 2)
                mh_timeline_slot_add(&t->slots[i / 2], &t->slots[i]);
            else
                t->slots[i / 2] = t->slots[i];
        }
        const int64_t kept = (t->used + 1) / 2;
        if (t->used > kept)
            memset(&t->slots[kept], 0, (size_t)(t->used - kept) * sizeof *t->slots);
        t->used = kept;
        t->interval_ns *= 2;
    }
}

static uint32_t saturating_sum(uint32_t a, uint32_t b)
{
    const uint32_t sum = a + b;
    return sum < a ? UINT32_MAX : sum;
}

void mh_timeline_slot_add(struct mh_timeline_slot *into, const struct mh_timeline_slot *from)
{
    into->ok += from->ok;
    into->failed += from->failed;
    into->unknown += from->unknown;
    into->throttled += from->throttled;
    into->rows += from->rows;
    into->bytes += from->bytes;
    into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
    into->lag_ns = from->lag_ns > into->lag_ns ? from->lag_ns : into->lag_ns;
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        into->latency[i] = saturating_sum(into->latency[i], from->latency[i]);
}
