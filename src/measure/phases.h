/* What a run costs beside its load, phase by phase: a rank is in exactly one at any time, from its first step
 * until what it has measured is with rank 0. */
#ifndef MH_MEASURE_PHASES_H
#define MH_MEASURE_PHASES_H

#include <mpi.h>
#include <stdint.h>

enum mh_phase {
    MH_PHASE_WATCH, /* nodes found; ranks begin to look after each other */
    MH_PHASE_READ_JOB,
    MH_PHASE_PLAN,    /* and the run named */
    MH_PHASE_DATASET, /* opened */
    MH_PHASE_SERVER,  /* opened; rank 0 makes, indexes, loads the collection */
    MH_PHASE_CALIBRATE,
    MH_PHASE_OPEN_RUN, /* clocks, counters, journals */
    MH_PHASE_BEGIN_STAGE,
    MH_PHASE_LOAD,
    MH_PHASE_JUDGE, /* what was read under load */
    MH_PHASE_END_STAGE,
    MH_PHASE_LEDGER, /* to the ranks that audit it */
    MH_PHASE_AUDIT,
    MH_PHASE_TRACE,     /* what was found wrong, to the writes behind it */
    MH_PHASE_REDUCE,    /* tallies, histograms, timelines, samples to rank 0 */
    MH_PHASE_HEARTBEAT, /* not one of them: its rounds go on beside the load */
    MH_PHASE_ROWS
};

extern const char *const mh_phase_names[]; /* MH_PHASE_ROWS */

struct mh_phase_cost {
    int64_t count; /* times that it began; rounds */
    int64_t wall_ns;
    int64_t cpu_ns;           /* of the whole process */
    int64_t waits, waited_ns; /* in MPI, by mh_comm_wait */
    int64_t ranks;            /* 1 where cpu_ns is known; of a sum, how many they are */
};
enum { MH_PHASE_NUMBERS = sizeof(struct mh_phase_cost) / sizeof(int64_t) };

struct mh_phases { /* zero-initialised: in none */
    struct mh_phase_cost costs[MH_PHASE_ROWS];
    int now; /* 1 + the phase that the rank is in; 0: none */
    struct mh_phase_cost began;
};

void mh_phases_enter(struct mh_phases *phases,
                     enum mh_phase phase);      /* and leaves the one before; NULL: nothing */
void mh_phases_leave(struct mh_phases *phases); /* the one that it is in */

/* Rounds of the heartbeat, beside the phase that the rank is in. cpu_ns: of a rank that did nothing else
 * meanwhile; -1: not known. */
void mh_phases_beat(struct mh_phases *phases, int64_t rounds, int64_t wall_ns, int64_t cpu_ns);

/* All ranks' costs, added up and the largest of each number, on every rank. Collective. */
void mh_phases_reduce(const struct mh_phases *phases, MPI_Comm comm, struct mh_phase_cost sums[MH_PHASE_ROWS],
                      struct mh_phase_cost most[MH_PHASE_ROWS]);

#endif
