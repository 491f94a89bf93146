#include "measure/visibility.h"

#include "comm/comm.h"
#include "measure/reduce.h"

#include <stdlib.h>

static size_t count(const struct mh_visibilities *all)
{
    return (size_t)all->stages * (size_t)all->roles * MH_VISIBLE_WRITES;
}

int mh_visibilities_init(struct mh_visibilities *all, const struct mh_job *job)
{
    *all = (struct mh_visibilities){.stages = (int)job->stage_count, .roles = 1};
    for (size_t s = 0; s < job->stage_count; s++)
        if ((int)job->stages[s].role_count > all->roles)
            all->roles = (int)job->stages[s].role_count;
    all->cells = calloc(count(all) + 1, sizeof *all->cells);
    return all->cells ? 0 : -1;
}

void mh_visibility_free(struct mh_visibility *cell)
{
    if (!cell)
        return;
    mh_histogram_free(&cell->done);
    mh_histogram_free(&cell->sent);
    mh_timeline_free(&cell->timeline);
    free(cell);
}

void mh_visibilities_free(struct mh_visibilities *all)
{
    for (size_t i = 0; all->cells && i < count(all); i++)
        mh_visibility_free(all->cells[i]);
    free(all->cells);
    *all = (struct mh_visibilities){0};
}

static void reset_cell(struct mh_visibility *cell, int64_t start_ns)
{
    mh_histogram_reset(&cell->done);
    mh_histogram_reset(&cell->sent);
    mh_timeline_reset(&cell->timeline, start_ns);
    cell->never = 0;
    cell->read = cell->consistency = -1;
}

void mh_visibilities_reset(struct mh_visibilities *all, int64_t start_ns)
{
    all->start_ns = start_ns;
    for (size_t i = 0; all->cells && i < count(all); i++)
        if (all->cells[i])
            reset_cell(all->cells[i], start_ns);
}

static struct mh_visibility *new_cell(int64_t start_ns)
{
    struct mh_visibility *cell = calloc(1, sizeof *cell);
    if (cell)
        mh_timeline_init(&cell->timeline, start_ns);
    if (cell && mh_histogram_init(&cell->done) == 0 && mh_histogram_init(&cell->sent) == 0) {
        cell->read = cell->consistency = -1;
        return cell;
    }
    mh_visibility_free(cell);
    return NULL;
}

static struct mh_visibility *made(struct mh_visibility **cell, int64_t start_ns)
{
    if (!*cell)
        *cell = new_cell(start_ns);
    return *cell;
}

struct mh_visibility *mh_visibility_at(struct mh_visibilities *all, int stage, int role, int write)
{
    return made(&all->cells[(stage * all->roles + role) * MH_VISIBLE_WRITES + write], all->start_ns);
}

int mh_visibility_record(struct mh_visibility *cell, int64_t acked_ns, int64_t sent_ns, int64_t done_ns)
{
    struct mh_timeline_slot *slot = mh_timeline_at(&cell->timeline, done_ns);
    mh_histogram_record(&cell->done, done_ns - acked_ns);
    mh_histogram_record(&cell->sent, sent_ns - acked_ns);
    if (!slot)
        return -1;
    slot->ok++;
    slot->latency[mh_timeline_bucket(done_ns - acked_ns)]++;
    return 0;
}

static int reduce_cell(struct mh_visibility **at, int64_t start_ns, MPI_Comm comm, struct mh_error *err)
{
    int64_t used = *at != NULL;
    mh_comm_max_i64(comm, &used, 1);
    if (!used)
        return 0;
    struct mh_visibility *cell = made(at, start_ns);
    if (mh_comm_agree(comm, cell ? 0 : mh_fail(err, "out of memory for visibility"), err) != 0)
        return -1;
    mh_reduce_histogram(&cell->done, comm);
    mh_reduce_histogram(&cell->sent, comm);
    mh_comm_sum_i64(comm, &cell->never, 1);
    mh_comm_max_i64(comm, &cell->read, 1);
    mh_comm_max_i64(comm, &cell->consistency, 1);
    return mh_reduce_timeline(&cell->timeline, comm, err);
}

int mh_reduce_visibilities(struct mh_visibilities *all, MPI_Comm comm, struct mh_error *err)
{
    for (size_t i = 0; i < count(all); i++)
        if (reduce_cell(&all->cells[i], all->start_ns, comm, err) != 0)
            return -1;
    return 0;
}
