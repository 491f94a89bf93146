#include "truth/summary.h"

#include <string.h>

struct writer {
    void (*put)(void *context, const void *record);
    void *context;
    struct mh_spectrum_part part;
};

/* ---- to records ---- */

static void put_part(struct writer *writer)
{
    if (writer->part.count > 0)
        writer->put(writer->context, &writer->part);
    memset(&writer->part, 0, sizeof writer->part);
    writer->part.type = MH_RECORD_COUNTS;
}

static void put_bucket(struct writer *writer, uint64_t bucket, uint64_t count)
{
    if (count == 0)
        return;
    writer->part.buckets[writer->part.count++] = bucket << MH_BUCKET_SHIFT | count;
    if (writer->part.count == MH_BUCKETS_A_PART)
        put_part(writer);
}

static int32_t used_buckets(const uint64_t *counts, int64_t length)
{
    int32_t used = 0;
    for (int64_t i = 0; i < length; i++)
        used += counts[i] > 0;
    return used;
}

static struct mh_spectrum spectrum_of(const struct mh_histogram *h, enum mh_spectrum_of of)
{
    return (struct mh_spectrum){.type = MH_RECORD_SPECTRUM,
                                .of = (uint8_t)of,
                                .buckets = used_buckets(h->counts, mh_histogram_length()),
                                .count = h->count,
                                .clamped = h->clamped,
                                .min_ns = h->min_ns,
                                .max_ns = h->max_ns,
                                .sum_ns = h->sum_ns};
}

static struct mh_spectrum spectrum_of_slot(const struct mh_timeline_slot *slot)
{
    struct mh_spectrum spectrum = {.type = MH_RECORD_SPECTRUM, .of = MH_SPECTRUM_TIMELINE, .count = slot->ok};
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        spectrum.buckets += slot->latency[i] > 0;
    return spectrum;
}

static int64_t records_of(const struct mh_spectrum *spectrum)
{
    return spectrum->count == 0 ? 0 : 1 + (spectrum->buckets + MH_BUCKETS_A_PART - 1) / MH_BUCKETS_A_PART;
}

static void put_histogram(struct writer *writer, const struct mh_spectrum *spectrum,
                          const struct mh_histogram *h)
{
    if (spectrum->count == 0)
        return;
    writer->put(writer->context, spectrum);
    for (int64_t i = 0; i < mh_histogram_length(); i++)
        put_bucket(writer, (uint64_t)i, h->counts[i]);
    put_part(writer);
}

static void put_slot(struct writer *writer, const struct mh_spectrum *spectrum,
                     const struct mh_timeline_slot *slot)
{
    if (spectrum->count == 0)
        return;
    writer->put(writer->context, spectrum);
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        put_bucket(writer, (uint64_t)i, slot->latency[i]);
    put_part(writer);
}

/* What follows a summary. */
struct spectra {
    const struct mh_histogram *histograms[2]; /* by enum mh_spectrum_of */
    struct mh_timeline_slot slot;             /* of the whole interval */
    struct mh_spectrum heads[MH_SPECTRA];
};

static int64_t find_spectra(struct spectra *all, const struct mh_histogram *due,
                            const struct mh_histogram *sent, const struct mh_timeline *timeline)
{
    *all = (struct spectra){.histograms = {due, sent}};
    for (int64_t i = 0; i < timeline->used; i++)
        mh_timeline_add_slot(timeline, i, &all->slot);
    all->heads[MH_SPECTRUM_DUE] = spectrum_of(due, MH_SPECTRUM_DUE);
    all->heads[MH_SPECTRUM_SENT] = spectrum_of(sent, MH_SPECTRUM_SENT);
    all->heads[MH_SPECTRUM_TIMELINE] = spectrum_of_slot(&all->slot);
    int64_t records = 0;
    for (int of = 0; of < MH_SPECTRA; of++)
        records += records_of(&all->heads[of]);
    return records;
}

static void put_spectra(const struct spectra *all, void (*put)(void *context, const void *record),
                        void *context)
{
    struct writer writer = {.put = put, .context = context, .part = {.type = MH_RECORD_COUNTS}};
    for (int of = MH_SPECTRUM_DUE; of <= MH_SPECTRUM_SENT; of++)
        put_histogram(&writer, &all->heads[of], all->histograms[of]);
    put_slot(&writer, &all->heads[MH_SPECTRUM_TIMELINE], &all->slot);
}

void mh_summary_make(const struct mh_tally *cell, int stage, int role, int kind, int64_t begin_ns,
                     void (*put)(void *context, const void *record), void *context)
{
    struct spectra all;
    const int64_t records = find_spectra(&all, &cell->due, &cell->sent, &cell->timeline);
    const struct mh_summary summary = {.type = MH_RECORD_SUMMARY,
                                       .kind = (uint8_t)kind,
                                       .stage = (int16_t)stage,
                                       .role = (int16_t)role,
                                       .records = records,
                                       .begin_ns = begin_ns,
                                       .lag_ns = all.slot.lag_ns,
                                       .max_ns = all.slot.max_ns,
                                       .ok = cell->ok,
                                       .failed = cell->failed,
                                       .timed_out = cell->timed_out,
                                       .throttled = cell->throttled,
                                       .rows = cell->rows,
                                       .bytes_out = cell->bytes_out,
                                       .bytes_in = cell->bytes_in,
                                       .warm_up = cell->warm_up,
                                       .warm_up_rows = cell->warm_up_rows};
    put(context, &summary);
    put_spectra(&all, put, context);
}

void mh_visible_make(const struct mh_visibility *cell, int stage, int role, int write, int64_t begin_ns,
                     void (*put)(void *context, const void *record), void *context)
{
    struct spectra all;
    const int64_t records = find_spectra(&all, &cell->done, &cell->sent, &cell->timeline);
    const struct mh_visible visible = {.type = MH_RECORD_VISIBLE,
                                       .write = (uint8_t)write,
                                       .stage = (int16_t)stage,
                                       .role = (int16_t)role,
                                       .records = records,
                                       .begin_ns = begin_ns,
                                       .never = cell->never,
                                       .read = cell->read,
                                       .consistency = cell->consistency};
    put(context, &visible);
    put_spectra(&all, put, context);
}

/* ---- and back ---- */

static void take_counters(struct mh_tally *into, const struct mh_summary *summary)
{
    into->planned += summary->ok + summary->failed;
    into->ok += summary->ok;
    into->failed += summary->failed;
    into->timed_out += summary->timed_out;
    into->throttled += summary->throttled;
    into->rows += summary->rows;
    into->bytes_out += summary->bytes_out;
    into->bytes_in += summary->bytes_in;
    into->warm_up += summary->warm_up;
    into->warm_up_rows += summary->warm_up_rows;
}

static void take_slot(struct mh_timeline_slot *slot, const struct mh_summary *summary)
{
    const struct mh_timeline_slot more = {.ok = (uint64_t)summary->ok,
                                          .failed = (uint64_t)summary->failed,
                                          .throttled = (uint64_t)summary->throttled,
                                          .rows = (uint64_t)summary->rows,
                                          .bytes = (uint64_t)(summary->bytes_out + summary->bytes_in),
                                          .max_ns = summary->max_ns,
                                          .lag_ns = summary->lag_ns};
    mh_timeline_slot_add(slot, &more);
}

static void take_spectrum(struct mh_histogram *h, const struct mh_spectrum *spectrum)
{
    if (!h)
        return;
    h->count += spectrum->count;
    h->clamped += spectrum->clamped;
    h->sum_ns += spectrum->sum_ns;
    h->min_ns = spectrum->min_ns < h->min_ns ? spectrum->min_ns : h->min_ns;
    h->max_ns = spectrum->max_ns > h->max_ns ? spectrum->max_ns : h->max_ns;
}

static int take_part(struct mh_histogram *h, struct mh_timeline_slot *slot,
                     const struct mh_spectrum_part *part)
{
    const int64_t length = h ? mh_histogram_length() : MH_TIMELINE_BUCKETS;
    for (int i = 0; i < part->count && i < MH_BUCKETS_A_PART; i++) {
        const int64_t bucket = (int64_t)(part->buckets[i] >> MH_BUCKET_SHIFT);
        const uint64_t count = part->buckets[i] & ((1ULL << MH_BUCKET_SHIFT) - 1);
        if (bucket >= length)
            return -1;
        if (h)
            h->counts[bucket] += count;
        else
            slot->latency[bucket] += (uint32_t)count;
    }
    return 0;
}

static int take_spectra(struct mh_histogram *const histograms[2], struct mh_timeline_slot *slot,
                        const struct mh_record *following, int64_t records)
{
    struct mh_histogram *h = histograms[MH_SPECTRUM_DUE];
    for (int64_t i = 0; i < records; i++) {
        const void *record = &following[i];
        const struct mh_spectrum *spectrum = record;
        if (following[i].type == MH_RECORD_SPECTRUM && spectrum->of < MH_SPECTRA) {
            h = spectrum->of == MH_SPECTRUM_TIMELINE ? NULL : histograms[spectrum->of];
            take_spectrum(h, spectrum);
        } else if (following[i].type != MH_RECORD_COUNTS || take_part(h, slot, record) != 0) {
            return -1;
        }
    }
    return 0;
}

int mh_summary_take(struct mh_tally *into, const struct mh_summary *summary,
                    const struct mh_record *following, int64_t begin_ns)
{
    struct mh_histogram *const histograms[] = {&into->due, &into->sent};
    struct mh_timeline_slot *slot = mh_timeline_at(&into->timeline, begin_ns);
    if (!slot)
        return -1;
    take_counters(into, summary);
    take_slot(slot, summary);
    return take_spectra(histograms, slot, following, summary->records);
}

int mh_visible_take(struct mh_visibility *into, const struct mh_visible *visible,
                    const struct mh_record *following, int64_t begin_ns)
{
    struct mh_histogram *const histograms[] = {&into->done, &into->sent};
    struct mh_timeline_slot *slot = mh_timeline_at(&into->timeline, begin_ns);
    const uint64_t before = into->done.count;
    if (!slot || visible->read < 0 || visible->read >= MH_OP_KINDS || visible->consistency < 0 ||
        visible->consistency > MH_EVENTUALLY)
        return -1;
    into->never += visible->never;
    into->read = visible->read;
    into->consistency = visible->consistency;
    const int rc = take_spectra(histograms, slot, following, visible->records);
    slot->ok += into->done.count - before;
    return rc;
}
