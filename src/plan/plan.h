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

struct mh_plan {
    int np;
    int *node_of_rank; /* np numbers, from 0 */
    int node_count;
    struct mh_worker *workers; /* by stage, role, index; first_id ascends */
    int64_t worker_count;
    char **partitions; /* names; [0] is "_default" */
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
void mh_plan_free(struct mh_plan *plan); /* NULL is allowed */

/* The worker whose ids contain `id`, or NULL. */
const struct mh_worker *mh_plan_writer_of(const struct mh_plan *plan, int64_t id);

#endif
