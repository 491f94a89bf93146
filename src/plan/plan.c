#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranks in the order in which they get workers ---- */

static int count_nodes(const struct mh_plan *plan)
{
    int count = 0;
    for (int rank = 0; rank < plan->np; rank++)
        if (plan->node_of_rank[rank] >= count)
            count = plan->node_of_rank[rank] + 1;
    return count;
}

/* order[] = first rank of each node, then second of each, ... */
static void interleave(const struct mh_plan *plan, int *order, int *seen_on_node)
{
    int used = 0;
    for (; plan->node_count == 1 && used < plan->np; used++)
        order[used] = used; /* below it would take as many turns as ranks */
    for (int turn = 0; used < plan->np; turn++) {
        memset(seen_on_node, 0, (size_t)plan->node_count * sizeof *seen_on_node);
        for (int rank = 0; rank < plan->np; rank++)
            if (seen_on_node[plan->node_of_rank[rank]]++ == turn)
                order[used++] = rank;
    }
}

/* ---- partitions ---- */

static int find_partition(const struct mh_plan *plan, const char *name)
{
    for (int i = 0; i < plan->partition_count; i++)
        if (strcmp(plan->partitions[i], name) == 0)
            return i;
    return -1;
}

/* -1: too many, or no memory. */
static int add_partition(struct mh_plan *plan, const char *name)
{
    int known = find_partition(plan, name);
    if (known >= 0 || plan->partition_count == MH_PLAN_MOST_PARTITIONS)
        return known;
    char **grown = realloc(plan->partitions, ((size_t)plan->partition_count + 1) * sizeof *grown);
    if (!grown)
        return -1;
    plan->partitions = grown;
    grown[plan->partition_count] = strdup(name);
    return grown[plan->partition_count] ? plan->partition_count++ : -1;
}

static int partition_of(struct mh_plan *plan, const struct mh_stage_options *stage,
                        const struct mh_worker *worker, const char *wish)
{
    if (!wish)
        return -1;
    if (strcmp(wish, "own") != 0)
        return add_partition(plan, wish);
    char name[300];
    snprintf(name, sizeof name, "%s_%d_%05lld", stage->name, worker->role, (long long)worker->index);
    return add_partition(plan, name);
}

/* ---- workers ---- */

static int64_t workers_of(const struct mh_role_options *role, int np)
{
    return role->count < 0 ? np : role->count;
}

static int64_t count_workers(const struct mh_job *job, int np)
{
    int64_t count = 0;
    for (size_t s = 0; s < job->stage_count; s++)
        for (size_t r = 0; r < job->stages[s].role_count; r++)
            count += workers_of(&job->stages[s].roles[r], np);
    return count;
}

static int add_worker(struct mh_plan *plan, const struct mh_job *job, struct mh_worker worker,
                      mh_plan_needs_of *needs, struct mh_error *err)
{
    const struct mh_stage_options *stage = &job->stages[worker.stage];
    const struct mh_role_options *role = &stage->roles[worker.role];
    struct mh_plan_needs need = needs(role);
    worker.number = plan->worker_count;
    worker.first_id = plan->id_end;
    worker.rows = need.writes_rows ? role->rows : 0;
    worker.partition = -1;
    if (need.partition) {
        worker.partition = partition_of(plan, stage, &worker, need.partition);
        if (worker.partition < 0 && plan->partition_count == MH_PLAN_MOST_PARTITIONS)
            return mh_fail(
                err, "%s: the job needs more than %d partitions; let writers share some (partition: NAME)",
                job->path, MH_PLAN_MOST_PARTITIONS);
        if (worker.partition < 0)
            return mh_fail(err, "out of memory");
    }
    plan->id_end += worker.rows;
    plan->workers[plan->worker_count++] = worker;
    return 0;
}

static int add_workers(struct mh_plan *plan, const struct mh_job *job, mh_plan_needs_of *needs,
                       struct mh_error *err)
{
    for (size_t s = 0; s < job->stage_count; s++)
        for (size_t r = 0; r < job->stages[s].role_count; r++) {
            int64_t peers = workers_of(&job->stages[s].roles[r], plan->np);
            for (int64_t i = 0; i < peers; i++) {
                struct mh_worker worker = {.stage = (int)s, .role = (int)r, .index = i, .peers = peers};
                if (add_worker(plan, job, worker, needs, err) != 0)
                    return -1;
            }
        }
    return 0;
}

int mh_plan_spread(struct mh_plan *plan, int np, const int *node_of_rank, struct mh_error *err)
{
    int *nodes = calloc((size_t)np, sizeof *nodes);
    if (!nodes)
        return mh_fail(err, "out of memory");
    if (node_of_rank)
        memcpy(nodes, node_of_rank, (size_t)np * sizeof *nodes);
    free(plan->node_of_rank);
    plan->node_of_rank = nodes;
    plan->np = np;
    plan->node_count = count_nodes(plan);
    int *order = calloc((size_t)np + (size_t)plan->node_count, sizeof *order);
    if (!order)
        return mh_fail(err, "out of memory");
    interleave(plan, order, order + np);
    const int64_t each = plan->worker_count / plan->parts;
    int64_t turn = 0;
    for (int64_t i = 0; i < plan->worker_count; i++) {
        turn = i % each > 0 && plan->workers[i].stage == plan->workers[i - 1].stage ? turn + 1 : 0;
        plan->workers[i].rank = order[turn % np];
    }
    free(order);
    return 0;
}

static int fill(struct mh_plan *plan, const struct mh_job *job, const int *node_of_rank,
                mh_plan_needs_of *needs, struct mh_error *err)
{
    plan->workers = calloc((size_t)count_workers(job, plan->np) + 1, sizeof *plan->workers);
    if (!plan->workers || add_partition(plan, "_default") != 0)
        return mh_fail(err, "out of memory");
    if (add_workers(plan, job, needs, err) != 0)
        return -1;
    if (plan->id_end > MH_PLAN_MOST_IDS)
        return mh_fail(err, "%s: the job's writers would need %lld ids; at most %lld are possible", job->path,
                       (long long)plan->id_end, (long long)MH_PLAN_MOST_IDS);
    return mh_plan_spread(plan, plan->np, node_of_rank, err);
}

int mh_plan_make(const struct mh_job *job, int np, const int *node_of_rank, mh_plan_needs_of *needs,
                 struct mh_plan **out, struct mh_error *err)
{
    struct mh_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return mh_fail(err, "out of memory");
    plan->np = plan->for_np = np;
    plan->parts = 1;
    if (fill(plan, job, node_of_rank, needs, err) != 0) {
        mh_plan_free(plan);
        return -1;
    }
    *out = plan;
    return 0;
}

/* Of all parts, in the place of the one part's. */
static int repeat_workers(struct mh_plan *plan, int parts)
{
    const int64_t each = plan->worker_count;
    struct mh_worker *workers = calloc((size_t)(each * parts) + 1, sizeof *workers);
    if (!workers)
        return -1;
    for (int64_t i = 0; i < each * parts; i++) {
        workers[i] = plan->workers[i % each];
        workers[i].number = i;
        workers[i].first_id += i / each * plan->id_end;
    }
    free(plan->workers);
    plan->workers = workers;
    plan->worker_count = each * parts;
    plan->first_at_work = each * (parts - 1);
    return 0;
}

int mh_plan_continue(struct mh_plan *plan, int parts, struct mh_error *err)
{
    if (plan->id_end > MH_PLAN_MOST_IDS / parts || plan->worker_count > INT32_MAX / parts)
        return mh_fail(err, "part %d would need more than the %lld ids, or the %d workers, that are possible",
                       parts, (long long)MH_PLAN_MOST_IDS, INT32_MAX);
    if (repeat_workers(plan, parts) != 0)
        return mh_fail(err, "out of memory for the plan of %d parts", parts);
    plan->id_end *= parts;
    plan->parts = parts;
    return 0;
}

int mh_plan_part_of(const struct mh_plan *plan, int64_t worker)
{
    return (int)(worker / (plan->worker_count / plan->parts)) + 1;
}

void mh_plan_free(struct mh_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->partition_count; i++)
        free(plan->partitions[i]);
    free(plan->partitions);
    free(plan->node_of_rank);
    free(plan->workers);
    free(plan);
}

const struct mh_worker *mh_plan_writer_of(const struct mh_plan *plan, int64_t id)
{
    int64_t low = 0,
            high =
                plan->worker_count; /* last worker with first_id <= id; those without rows share a first_id */
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (plan->workers[middle].first_id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    while (low-- > 0) {
        const struct mh_worker *worker = &plan->workers[low];
        if (worker->rows > 0)
            return id >= worker->first_id && id < worker->first_id + worker->rows ? worker : NULL;
    }
    return NULL;
}
