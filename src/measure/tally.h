/* Counters, histograms and timeline of every (stage, role, operation), and the errors met. */
#ifndef MH_MEASURE_TALLY_H
#define MH_MEASURE_TALLY_H

#include "measure/histogram.h"
#include "measure/record.h"
#include "measure/timeline.h"

/* The books balance: planned = ok + failed + unknown + unsent + in_flight. */
struct mh_tally {
    int64_t planned; /* operations that the role asked for, or still would have */
    int64_t ok, failed;
    int64_t unknown;   /* writes whose effect is uncertain */
    int64_t timed_out; /* among failed and unknown */
    int64_t throttled; /* replies, not operations: each was tried again while the budget lasted */
    int64_t unsent;    /* planned, never sent */
    int64_t in_flight; /* sent, never came back: only in a run that was killed */
    int64_t rows;      /* of ok operations */
    int64_t bytes_out, bytes_in;
    int64_t warm_up, warm_up_rows; /* among ok and rows: due while the role warmed up, in no histogram */
    int64_t backlog;            /* of its role: each worker's most due operations without a slot, added up */
    int64_t backlog_ns, lag_ns; /* of its role's workers the longest: time with such a backlog; from due to
                                   first sending */
    struct mh_histogram due, sent; /* latency of ok operations, from due time and from send time, to reply */
    struct mh_timeline timeline;
};

enum {
    MH_TALLY_COUNTERS = 14, /* the int64 fields up to backlog, in order: ranks add them as one array */
    MH_TALLY_LONGEST = 2,   /* those after them: ranks take the larger */
};

struct mh_error_count {
    int kind;        /* enum mh_op_kind */
    int outcome;     /* enum mh_outcome */
    int grpc_status; /* 0: the server answered */
    int code;        /* Milvus' code; 0 with a gRPC status */
    char message[128];
    int64_t count;
    int64_t first_ns, last_ns; /* monotonic */
};

enum { MH_ERRORS_KEPT = 64 }; /* distinct ones; more are counted in the last */

struct mh_tallies {
    int stages, roles; /* roles: most that a stage has; stage `stages - 1` is the audit, with one role */
    struct mh_tally **cells; /* stages x roles x MH_TALLY_KINDS, NULL where nothing happened */
    int64_t start_ns;        /* of the timelines */
    struct mh_error_count errors[MH_ERRORS_KEPT];
    int error_count;
};

int mh_tallies_init(struct mh_tallies *tallies, const struct mh_job *job,
                    int64_t start_ns); /* -1: no memory */
void mh_tallies_free(struct mh_tallies *tallies);
void mh_tallies_reset(struct mh_tallies *tallies, int64_t start_ns); /* all zeros; keeps the memory */

/* The cell, made when it is not there; NULL when there is no memory. */
struct mh_tally *mh_tally_at(struct mh_tallies *tallies, int stage, int role, int kind);

/* Books that `operations` were asked for: before they leave, so that one that never ends is missed. */
void mh_tallies_plan(struct mh_tallies *tallies, int stage, int role, int kind, int64_t operations);

/* Books a DONE record, planned before; `message` is the server's text for one that is not ok, or "". */
void mh_tallies_book(struct mh_tallies *tallies, const struct mh_record *record, const char *message);

/* Adds what was measured at another time of the same job: of backlogs and lags the larger. -1: no memory. */
int mh_tallies_add(struct mh_tallies *into, const struct mh_tallies *from);

/* What held up a worker of the role, into every operation of the role that this rank has. */
void mh_tallies_hold_up(struct mh_tallies *tallies, int stage, int role, int64_t backlog, int64_t backlog_ns,
                        int64_t lag_ns);

void mh_tallies_add_error(struct mh_tallies *tallies,
                          const struct mh_error_count *error); /* merges equal ones */

#endif
