/* What a rank keeps in its journal beside operations and violations, as soon as it is known, so that a run
 * that is killed has it; and the way back, for merge. */
#ifndef MH_RUN_KEEP_H
#define MH_RUN_KEEP_H

#include "run/run.h"

enum mh_kept_sort {
    MH_KEPT_CHAOS,   /* struct mh_kept_chaos, when the command begins and when it has ended; rank 0's */
    MH_KEPT_OUTAGE,  /* struct mh_outage, when it begins and when it has ended; beyond MH_LISTED_OUTAGES at
                        intervals */
    MH_KEPT_ABSENCE, /* struct mh_kept_absence, at intervals, where it has changed */
    MH_KEPT_JUDGED,  /* struct mh_kept_judged, when what was read has been judged: every rank */
    MH_KEPT_RECALL,  /* struct mh_recall_point, just before that; rank 0's */
    MH_KEPT_MISSED,  /* int64_t, likewise: ids of this rank's slices */
    MH_KEPT_PROBE,   /* struct mh_probe, when it is over; rank 0's */
    MH_KEPT_PEAK,    /* struct mh_peak, likewise */
    MH_KEPT_SUMS,    /* struct mh_kept_sums, what came to them since the last */
    MH_KEPT_SORTS
};

struct mh_kept_chaos {
    int64_t number; /* of the stage's commands */
    struct mh_event event;
};

struct mh_kept_judged {
    int64_t number; /* of the run's judgements, from 0 */
    int64_t stage;
    int64_t operations;            /* searches and queries of this rank that it was about */
    struct mh_hit_figures figures; /* of all ranks: each keeps the same */
    int64_t behind_ns[MH_LEVELS];
};

void mh_keep_sums(struct mh_run *run);
void mh_keep_absences(struct mh_run *run);
void mh_keep_judged(struct mh_run *run, const struct mh_hits *hits); /* what a stage's reads came to */

/* ---- of a run that was killed ---- */

struct mh_kept_list {
    void *items;
    int64_t count, room;
    int64_t first; /* of the rank that is read now */
};

struct mh_kept {
    struct mh_run *run; /* with job, plan and tallies; what is read goes into it */
    struct mh_kept_list chaos, outages, absences;
    int64_t *judged, *before; /* a stage each: searches and queries of this rank that were judged; of all
                                 ranks before this one */
    int64_t *unjudged;        /* of all ranks: that came back, and were never judged */
};

int mh_kept_open(struct mh_kept *kept, struct mh_run *run); /* -1: no memory */
void mh_kept_free(struct mh_kept *kept);
/* Around the reading of a rank's journal, whose summaries go into run->tallies. */
void mh_kept_begin_rank(struct mh_kept *kept);
void mh_kept_end_rank(struct mh_kept *kept);
/* What the journal had: mh_journal_keeper without its context. What does not fit the job is an error. */
int mh_kept_take(struct mh_kept *kept, int sort, const void *items, int64_t count, size_t size,
                 struct mh_error *err);
/* After all journals: what is left becomes events and outcomes, of a run that ended then. -1: no memory. */
int mh_kept_close(struct mh_kept *kept, int64_t end_ns);

#endif
