#include "measure/timeline.h"

#include "base/clock.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Bucket 0 begins at 2^FIRST_BIT ns (and takes all that is below); each power of two has 2^STEP_BITS buckets.
 */
#define FIRST_BIT 10
#define STEP_BITS 4
#define STEPS     (1 << STEP_BITS)

#define FEW 8 /* buckets that a packed slot holds itself */

struct bucket {
    uint32_t number, count;
};

struct mh_timeline_packed {
    unsigned char counters[offsetof(struct mh_timeline_slot, latency)];
    uint32_t count, room;          /* of buckets; room is that of `many` */
    struct bucket few[FEW], *many; /* in `many` once they were more than few */
};

void mh_timeline_init(struct mh_timeline *t, int64_t start_ns)
{
    *t = (struct mh_timeline){.start_ns = start_ns, .interval_ns = MH_S, .at = -1};
}

void mh_timeline_free(struct mh_timeline *t)
{
    for (int64_t i = 0; t->slots && i < MH_TIMELINE_SLOTS; i++)
        free(t->slots[i].many);
    free(t->slots);
    free(t->open);
    mh_timeline_init(t, t->start_ns);
}

static void empty(struct mh_timeline_packed *packed)
{
    memset(packed->counters, 0, sizeof packed->counters);
    packed->count = 0;
}

void mh_timeline_reset(struct mh_timeline *t, int64_t start_ns)
{
    for (int64_t i = 0; i < t->used; i++)
        empty(&t->slots[i]);
    t->used = 0;
    t->at = -1;
    t->start_ns = start_ns;
    t->interval_ns = MH_S;
}

/* ---- packed slots ---- */

/* Twice as many each time: a rank must hardly grow when intervals are merged. */
static int make_room_for(struct mh_timeline_packed *packed, uint32_t count)
{
    uint32_t room = packed->room ? packed->room : FEW;
    if (count <= room)
        return 0;
    while (room < count)
        room *= 2;
    struct bucket *many = realloc(packed->many, room * sizeof *many);
    if (!many)
        return -1;
    packed->many = many;
    packed->room = room;
    return 0;
}

static int pack(struct mh_timeline_packed *packed, const struct mh_timeline_slot *slot)
{
    uint32_t count = 0;
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        count += slot->latency[i] > 0;
    if (make_room_for(packed, count) != 0)
        return -1;
    memcpy(packed->counters, slot, sizeof packed->counters);
    packed->count = 0;
    struct bucket *buckets = packed->room ? packed->many : packed->few;
    for (uint32_t i = 0; i < MH_TIMELINE_BUCKETS; i++)
        if (slot->latency[i] > 0)
            buckets[packed->count++] = (struct bucket){i, slot->latency[i]};
    return 0;
}

static void add_counters(struct mh_timeline_slot *into, const struct mh_timeline_slot *from)
{
    into->ok += from->ok;
    into->failed += from->failed;
    into->unknown += from->unknown;
    into->throttled += from->throttled;
    into->rows += from->rows;
    into->bytes += from->bytes;
    into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
    into->lag_ns = from->lag_ns > into->lag_ns ? from->lag_ns : into->lag_ns;
}

static uint32_t saturating_sum(uint32_t a, uint32_t b)
{
    const uint32_t sum = a + b;
    return sum < a ? UINT32_MAX : sum;
}

static void add_packed(struct mh_timeline_slot *into, const struct mh_timeline_packed *packed)
{
    const struct bucket *buckets = packed->room ? packed->many : packed->few;
    struct mh_timeline_slot counters;
    memcpy(&counters, packed->counters, sizeof packed->counters);
    add_counters(into, &counters);
    for (uint32_t i = 0; i < packed->count; i++) {
        uint32_t *sum = &into->latency[buckets[i].number];
        *sum = saturating_sum(*sum, buckets[i].count);
    }
}

void mh_timeline_slot_add(struct mh_timeline_slot *into, const struct mh_timeline_slot *from)
{
    add_counters(into, from);
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        into->latency[i] = saturating_sum(into->latency[i], from->latency[i]);
}

/* ---- the open slot ---- */

/* All of the pages, now: a rank must not grow with each second. */
static int make_slots(struct mh_timeline *t)
{
    if (t->slots)
        return 0;
    t->slots = malloc(MH_TIMELINE_SLOTS * sizeof *t->slots);
    t->open = malloc(sizeof *t->open);
    if (!t->slots || !t->open) {
        free(t->slots);
        free(t->open);
        t->slots = NULL;
        t->open = NULL;
        return -1;
    }
    explicit_bzero(t->slots, MH_TIMELINE_SLOTS * sizeof *t->slots);
    return 0;
}

static int close_slot(struct mh_timeline *t)
{
    if (t->at >= 0 && pack(&t->slots[t->at], t->open) != 0)
        return -1;
    t->at = -1;
    return 0;
}

static int open_slot(struct mh_timeline *t, int64_t slot)
{
    if (slot == t->at)
        return 0;
    if (make_slots(t) != 0 || close_slot(t) != 0)
        return -1;
    memset(t->open, 0, sizeof *t->open);
    add_packed(t->open, &t->slots[slot]);
    t->at = slot;
    t->used = slot >= t->used ? slot + 1 : t->used;
    return 0;
}

struct mh_timeline_slot *mh_timeline_at(struct mh_timeline *t, int64_t now_ns)
{
    const int64_t elapsed_ns = now_ns > t->start_ns ? now_ns - t->start_ns : 0;
    while (elapsed_ns / t->interval_ns >= MH_TIMELINE_SLOTS)
        if (mh_timeline_coarsen(t, 2 * t->interval_ns) != 0)
            return NULL;
    return open_slot(t, elapsed_ns / t->interval_ns) == 0 ? t->open : NULL;
}

void mh_timeline_add_slot(const struct mh_timeline *t, int64_t slot, struct mh_timeline_slot *into)
{
    if (slot == t->at)
        mh_timeline_slot_add(into, t->open);
    else
        add_packed(into, &t->slots[slot]);
}

int mh_timeline_put_slot(struct mh_timeline *t, int64_t slot, const struct mh_timeline_slot *from)
{
    if (slot != t->at)
        return pack(&t->slots[slot], from);
    *t->open = *from;
    return 0;
}

/* ---- longer intervals ---- */

/* Slots 2n and 2n + 1 become slot n. */
static int merge_pair(struct mh_timeline *t, int64_t n)
{
    struct mh_timeline_slot sum = {0};
    add_packed(&sum, &t->slots[2 * n]);
    if (2 * n + 1 < t->used)
        add_packed(&sum, &t->slots[2 * n + 1]);
    return pack(&t->slots[n], &sum);
}

int mh_timeline_coarsen(struct mh_timeline *t, int64_t interval_ns)
{
    if (t->interval_ns < interval_ns && close_slot(t) != 0)
        return -1;
    while (t->interval_ns < interval_ns) {
        const int64_t kept = (t->used + 1) / 2;
        for (int64_t n = 0; n < kept; n++)
            if (merge_pair(t, n) != 0)
                return -1;
        for (int64_t i = kept; i < t->used; i++)
            empty(&t->slots[i]);
        t->used = kept;
        t->interval_ns *= 2;
    }
    return 0;
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
