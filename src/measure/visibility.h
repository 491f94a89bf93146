/* How long until acknowledged writes can be seen: what probers saw, by stage, role and kind of write. */
#ifndef MH_MEASURE_VISIBILITY_H
#define MH_MEASURE_VISIBILITY_H

#include "base/error.h"
#include "job/job.h"
#include "measure/histogram.h"
#include "measure/timeline.h"

#include <mpi.h>

enum { MH_VISIBLE_WRITES = 3 }; /* enum mh_op_kind: INSERT, UPSERT, DELETE */

struct mh_visibility {
    struct mh_histogram done, sent; /* from the acknowledgement to end and begin of the first read that saw
                                       it: in between it became visible */
    struct mh_timeline timeline;    /* `ok` and `latency`: those seen, when, and how late (done) */
    int64_t never;                  /* writes that were given up */
    int64_t read, consistency;      /* of the reads: enum mh_op_kind, enum mh_consistency; -1: none yet */
};

struct mh_visibilities {          /* zero-initialised is empty */
    int64_t start_ns;             /* of timelines: when the run began */
    int stages, roles;            /* roles: most that a stage has */
    struct mh_visibility **cells; /* stages x roles x MH_VISIBLE_WRITES, NULL where nothing was seen */
};

int mh_visibilities_init(struct mh_visibilities *all, const struct mh_job *job); /* -1: no memory */
void mh_visibilities_free(struct mh_visibilities *all);

void mh_visibilities_reset(struct mh_visibilities *all, int64_t start_ns); /* all zeros; keeps the memory */

void mh_visibility_free(struct mh_visibility *cell); /* NULL is allowed */

/* Made when it is not there; NULL: no memory. */
struct mh_visibility *mh_visibility_at(struct mh_visibilities *all, int stage, int role, int write);

/* A write acknowledged at acked_ns was first seen by a read sent and done then. -1: no memory. */
int mh_visibility_record(struct mh_visibility *cell, int64_t acked_ns, int64_t sent_ns, int64_t done_ns);

/* Rank 0 gets the sums of all ranks. Collective; all ranks fail or none. */
int mh_reduce_visibilities(struct mh_visibilities *all, MPI_Comm comm, struct mh_error *err);

#endif
