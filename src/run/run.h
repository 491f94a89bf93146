/* One rank's part of a run, and its stages. */
#ifndef MH_RUN_RUN_H
#define MH_RUN_RUN_H

#include "comm/comm.h"
#include "dataset/content.h"
#include "job/job.h"
#include "measure/effort.h"
#include "measure/event.h"
#include "measure/phases.h"
#include "measure/probe.h"
#include "measure/tally.h"
#include "measure/visibility.h"
#include "plan/plan.h"
#include "rpc/rpc.h"
#include "truth/hits.h"
#include "truth/journal.h"
#include "truth/ledger.h"

#include <mpi.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What the judges said of the last stage with searches, queries or probers: the same on every rank. */
struct mh_judged {
    int64_t violations;
    double recall;  /* NaN: not measured */
    int64_t judged; /* readings */
};

struct mh_stage_span {        /* since the run began */
    int64_t begin_ns, end_ns; /* end 0: it has not been run */
};

/* What is lost with a rank that is killed, beside what the journal has anyway: see run/keep.h. */
struct mh_kept_sums {
    int64_t own_searched, own_found; /* by life cycles: rows by their vectors */
    int64_t own_contradicted;        /* cycles that ended with an answer that proves nothing: mh_cycle_end */
    int64_t own_left;                /* collections that they may have left on the server */
    int64_t chaos_failed;            /* commands that failed */
};

struct mh_run {
    const struct mh_job *job;
    const struct mh_plan *plan;
    MPI_Comm comm;
    int rank, np;
    uint64_t seed;
    uint32_t tag; /* of this run alone: see struct mh_role */
    const struct mh_content *content;
    struct mh_rpc *rpc;
    int stage;          /* under way, or the last; the job's stage count: the audit */
    int64_t start_ns;   /* this rank's clock when the run began on rank 0 */
    double cpu_start_s; /* of this process by then: not the run's */
    struct mh_clock clock;
    int64_t apart_told_ns; /* of clock.apart_ns, what the user was told */
    int64_t progress_ns;   /* between two progress lines; 0: none */
    int64_t grace_ns;      /* from a signal to the end of the program */
    struct mh_phases phases;
    struct mh_tallies tallies;
    struct mh_tallies interval; /* of operations that change no rows, since the journal's last summary */
    struct mh_visibilities interval_visible; /* likewise, of what probers saw */
    int64_t summary_ns;                      /* when the next one is due */
    struct mh_ledger ledger;
    int64_t rows_issued[3]; /* of inserts, upserts and deletes that were not called off: what the ledger must
                               book */
    struct mh_journal journal;
    struct mh_reads reads;             /* of the stage under way */
    struct mh_judged judged;           /* of the last one */
    int64_t judgements;                /* so far, of all ranks together */
    struct mh_hit_figures hit_figures; /* of all, over all ranks */
    int64_t behind_ns[MH_LEVELS];      /* as in struct mh_hits, of all stages */
    struct mh_violation *violations;   /* what this rank's reads saw wrong; owned */
    int64_t violation_count, violation_room;
    int64_t violations_more[MH_WRONGS];    /* sightings beyond those kept: a row again and again */
    int64_t violations_unsaved[MH_WRONGS]; /* beyond those that are in the journal one by one */
    unsigned kinds_told;                   /* a bit each: the user was told of the first */
    struct mh_recall_point *recall;        /* of all stages, on every rank; owned */
    int64_t recall_count, recall_room;
    int64_t *missed; /* ids of this rank's slices that searches left out; owned */
    int64_t missed_count, missed_room;
    struct mh_visibilities visibilities;               /* what probers measured */
    struct mh_kept_sums sums, kept_sums;               /* so far; of them, in the journal */
    int64_t allowed;                                   /* of what they saw, anomalies that the job allows */
    int64_t schedule_lag_ns;                           /* see struct mh_report_rank */
    int64_t private_bytes;                             /* see struct mh_report_rank */
    struct mh_events events;                           /* rank 0's */
    struct mh_probes probes;                           /* rank 0's */
    struct mh_outages *outages;                        /* this rank's, of the stage under way; NULL: none */
    int64_t chaos_missed;                              /* commands whose time never came */
    struct mh_absence kept_absences[MH_MOST_ABSENCES]; /* as they are in the journal */
    struct mh_effort *efforts;         /* of role r in stage s, on this rank: [s * tallies.roles + r] */
    double *stage_seconds;             /* how long each stage lasted; one a stage */
    struct mh_stage_span *stage_spans; /* from when to when; one a stage */
    atomic_llong ledger_bytes;         /* that the ledger holds, as of the last round of the heartbeat */
    bool cut_off;                      /* a call of this rank broke, in this stage or before */
    bool stopped;                      /* a signal ended a stage early: the same on every rank */
    int64_t workers_refused; /* gave up: whatever they asked was refused; this rank's, then all ranks' */
    bool gave_up;            /* the server could not be reached for server.timeout: the same on every rank */
};

/* Runs one stage to its end on all ranks. Collective. Fails on every rank or on none. */
int mh_stage_run(struct mh_run *run, int stage, struct mh_error *err);

/* Proxies that connections moved away from since the last report become events of run->stage, on rank 0.
 * Collective. */
int mh_absences_report(struct mh_run *run, struct mh_error *err);

/* Between two records of the same, so long after the run's begin. */
int64_t mh_run_interval(int64_t since_ns);

/* Puts on record what happened since it last did. */
void mh_run_summarise(struct mh_run *run);

/* condemn.c: takes what a read saw wrong into run->violations, beyond `most` of them only its number; and
 * MH_VIOLATIONS_KEPT into the journal, at once. The first of a kind is told. -1: no memory. */
int mh_run_condemn(struct mh_run *run, const struct mh_violation *violation, int64_t most);
void mh_run_save_violations(
    struct mh_run *run); /* the number of those that are not in the journal one by one */

/* SIGINT, SIGTERM and SIGUSR1 ask for an orderly end; a second SIGINT or SIGTERM ends the program at once.
 * After MPI_Init. */
void mh_signals_catch(void);
bool mh_signal_seen(void);
int mh_signals_seen(void);        /* how many */
int64_t mh_signal_first_ns(void); /* when the first came; 0: none has */
bool mh_signal_told_to_end(void); /* SIGINT or SIGTERM: not SIGUSR1 */

#endif
