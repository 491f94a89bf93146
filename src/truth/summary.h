/* Private to truth/journal: what operations that change no rows did within an interval, and which writes
 * probers saw in it, as records. */
#ifndef MH_TRUTH_SUMMARY_H
#define MH_TRUTH_SUMMARY_H

#include "measure/tally.h"
#include "measure/visibility.h"

/* One (stage, role, operation). Up to three struct mh_spectrum follow, with their parts. */
struct mh_summary {
    uint8_t type, kind, spare[2]; /* MH_RECORD_SUMMARY */
    int16_t stage, role;
    int64_t records;                  /* that follow and belong to it */
    int64_t begin_ns, lag_ns, max_ns; /* of the interval; longest of its operations */
    int64_t ok, failed, timed_out, throttled, rows, bytes_out, bytes_in, warm_up, warm_up_rows;
};

/* One (stage, role, kind of write). Spectra follow likewise: DUE is `done` of struct mh_visibility. */
struct mh_visible {
    uint8_t type, write, spare[2]; /* MH_RECORD_VISIBLE */
    int16_t stage, role;
    int64_t records; /* so far as struct mh_summary */
    int64_t begin_ns;
    int64_t never, read, consistency; /* as in struct mh_visibility */
    int64_t reserve[8];
};

enum mh_spectrum_of { MH_SPECTRUM_DUE, MH_SPECTRUM_SENT, MH_SPECTRUM_TIMELINE, MH_SPECTRA };

/* A histogram's figures; its buckets that are not empty follow, as struct mh_spectrum_part. */
struct mh_spectrum {
    uint8_t type, of, spare[2]; /* MH_RECORD_SPECTRUM, enum mh_spectrum_of */
    int32_t buckets;
    uint64_t count, clamped;
    int64_t min_ns, max_ns;
    double sum_ns;
    int64_t reserve[8];
};

enum { MH_BUCKETS_A_PART = 13, MH_BUCKET_SHIFT = 48, MH_SUMMARY_RECORDS = 16384 /* more there are never */ };

struct mh_spectrum_part {
    uint8_t type, count, spare[6];       /* MH_RECORD_COUNTS; how many are set */
    uint64_t buckets[MH_BUCKETS_A_PART]; /* count in the low 48 bits, number of the bucket above */
};

_Static_assert(sizeof(struct mh_summary) == sizeof(struct mh_record), "the journal's records have one size");
_Static_assert(sizeof(struct mh_visible) == sizeof(struct mh_record), "the journal's records have one size");
_Static_assert(sizeof(struct mh_spectrum) == sizeof(struct mh_record), "the journal's records have one size");
_Static_assert(sizeof(struct mh_spectrum_part) == sizeof(struct mh_record),
               "the journal's records have one size");

/* Calls `put` with each record that the cell's figures make. */
void mh_summary_make(const struct mh_tally *cell, int stage, int role, int kind, int64_t begin_ns,
                     void (*put)(void *context, const void *record), void *context);

/* The way back, into a cell of other tallies: `following` are its summary->records records. -1: no memory, or
 * they make no sense. */
int mh_summary_take(struct mh_tally *into, const struct mh_summary *summary,
                    const struct mh_record *following, int64_t begin_ns);

/* The same of what probers saw. */
void mh_visible_make(const struct mh_visibility *cell, int stage, int role, int write, int64_t begin_ns,
                     void (*put)(void *context, const void *record), void *context);
int mh_visible_take(struct mh_visibility *into, const struct mh_visible *visible,
                    const struct mh_record *following, int64_t begin_ns);

#endif
