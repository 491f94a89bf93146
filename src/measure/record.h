/* What one finished operation leaves behind: the fixed-size record that the journal keeps, the counters count
 * and the ledger books. A run that was killed is rebuilt from these records alone. */
#ifndef MH_MEASURE_RECORD_H
#define MH_MEASURE_RECORD_H

#include "client/op.h"

#include <stdint.h>

enum mh_record_type {
    MH_RECORD_INTENT = 1, /* a write is about to be sent; its keys follow unless they are consecutive */
    MH_RECORD_DONE,       /* an operation ended (a write: the INTENT of the same worker and sequence) */
    MH_RECORD_KEYS,       /* keys and versions of the write before it */
    MH_RECORD_TEXT,       /* the server's words for the DONE before it */
    MH_RECORD_STAGE,      /* a stage begins */
    MH_RECORD_UNSENT,  /* `rows` operations of (stage, role, kind) never left; with a sequence: that INTENT */
    MH_RECORD_END,     /* the rank's orderly end */
    MH_RECORD_SUMMARY, /* what operations that change no rows did within an interval */
    MH_RECORD_SPECTRUM, /* one of its histograms */
    MH_RECORD_COUNTS,   /* buckets of that */
    MH_RECORD_ERRORS,   /* `rows` times in the interval, first at due_ns, last at done_ns; its words follow */
    MH_RECORD_VIOLATION, /* a violation that reads of this rank saw: truth/journal.h */
    MH_RECORD_TOLD,      /* to end before its time, at done_ns: rank first_id is silent; -1: by a signal */
    MH_RECORD_VISIBLE,   /* which writes probers saw within an interval, and how late: as a SUMMARY */
    MH_RECORD_KEPT,      /* what else the rank keeps: run/keep.h */
    MH_RECORD_PART,      /* bytes of that */
    MH_RECORD_RESTORED,  /* rows that an earlier part wrote: outcome of their insert; version: theirs and the
                            bits of truth/ledger.h; sent and done: before this run began */
};

const char *mh_tally_name(int kind); /* "insert", "count", "cycle" */

enum {
    MH_RECORD_TIMED_OUT = 1,
    MH_RECORD_UNREACHABLE = 2,
    MH_RECORD_SCATTERED = 4, /* keys are not consecutive */
    MH_RECORD_WARM_UP = 8,   /* due while its role warmed up */
    MH_RECORD_APART = 16,    /* on a collection of its role's own: nothing for the ledger */
};

struct mh_record {
    uint8_t type, kind, outcome, flags; /* enum mh_record_type, MH_TALLY_KINDS, mh_outcome, bits */
    int16_t stage, role;                /* positions in the job; stage == job's stage count: the audit */
    int32_t worker;                     /* number in the plan; -1: the audit's own */
    int32_t attempts;
    int32_t throttled;
    int32_t grpc_status,
        code; /* of the last attempt; code: Milvus' (the older enum where that alone is set) */
    int32_t partition, version; /* of a write; version of its first row */
    uint32_t rows, keys;        /* rows written or returned; in KEYS: how many of `key` are set */
    int64_t sequence;           /* of the worker's operations */
    int64_t first_id;           /* of a write */
    int64_t due_ns, sent_ns, done_ns;
    int64_t bytes_out, bytes_in;
    uint64_t server_ts;
};

_Static_assert(sizeof(struct mh_record) == 112, "the journal's format");

bool mh_record_writes(const struct mh_record *record); /* it is about rows that were written */
bool mh_record_is_owed(
    const struct mh_record *record); /* they are of the job's collection, and the ledger's */

/* From a finished operation. stage and role are the worker's, or given for those without one. */
void mh_record_of(struct mh_record *record, const struct mh_op *op, int stage, int role, int64_t sequence);

#endif
