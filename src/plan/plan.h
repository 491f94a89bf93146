/* Who does what: workers to ranks, id ranges, partitions. Pure functions of (job, ranks, nodes):
 * no MPI, no clock. */
#ifndef MH_PLAN_PLAN_H
#define MH_PLAN_PLAN_H

#include "base/error.h"
#include "job/job.h"

#include <stdint.h>

#define MH_PLAN_MOST_PARTITIONS 10000       /* Milvus allows 4,096 unless it was told otherwise */
#define MH_PLAN_MOST_IDS        (1LL << 47) /* the journal keeps a version in the bits above */

/* One logical client, with connections of its own. */
struct mh_worker {
    int64_t number;       /* in the whole plan, from 0: also its stream of random numbers */
    int stage, role;      /* positions in job.stages and stage.roles */
    int64_t index, peers; /* which of the role's `peers` workers */
    int rank;
    int64_t first_id, rows; /* the ids it may write; rows 0: none of its own */
    int partition;          /* position in plan.partitions; -1: none */
};

/* A collection may be filled in several parts, each by a run of the same job that goes on where the last one
 * ended: part p's workers are the job's once more, with numbers and ids behind those of part p-1, and the
 * same partitions. Only those of the last part are at work. */
struct mh_plan {
    int np;
    int for_np; /* ranks by which workers were counted, where a role has one for each: the first part's */
    int parts;  /* 1: no part was before */
    int *node_of_rank; /* np numbers, from 0 */
    int node_count;
    struct mh_worker *workers; /* by part, stage, role, index; first_id ascends */
    int64_t worker_count;      /* of all parts */
    int64_t first_at_work;     /* position of the last part's first worker */
    char **partitions;         /* names; [0] is "_default" */
    int partition_count;
    int64_t id_end; /* ids are 0 .. id_end-1 */
};

/* How a role wants its ids and partition: what the plan needs to know of a role. */
struct mh_plan_needs {
    bool writes_rows;      /* gets options->rows ids for each worker */
    const char *partition; /* "own", "_default" or a name; NULL: none */
};
typedef struct mh_plan_needs mh_plan_needs_of(const struct mh_role_options *role);

/* Workers of a stage go to ranks in an order that takes nodes in turn, one after the other, starting where
 * the previous role ended. `node_of_rank` has np entries; NULL: one node. */
int mh_plan_make(const struct mh_job *job, int np, const int *node_of_rank, mh_plan_needs_of *needs,
                 struct mh_plan **out, struct mh_error *err);
/* The job's plan, made by mh_plan_make, becomes that of its `parts`th part. */
int mh_plan_continue(struct mh_plan *plan, int parts, struct mh_error *err);
/* The same workers on other ranks. */
int mh_plan_spread(struct mh_plan *plan, int np, const int *node_of_rank, struct mh_error *err);
void mh_plan_free(struct mh_plan *plan); /* NULL is allowed */

int mh_plan_part_of(const struct mh_plan *plan, int64_t worker); /* 1 .. parts */

/* The worker whose ids contain `id`, or NULL. */
const struct mh_worker *mh_plan_writer_of(const struct mh_plan *plan, int64_t id);

#endif
