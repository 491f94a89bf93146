#include "measure/reduce.h"

#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>

static void reduce(void *values, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    int rank;
    MPI_Request request;
    MPI_Comm_rank(comm, &rank);
    MPI_Ireduce(rank == 0 ? MPI_IN_PLACE : values, rank == 0 ? values : NULL, count, type, op, 0, comm,
                &request);
    mh_comm_wait(&request);
}

void mh_reduce_histogram(struct mh_histogram *h, MPI_Comm comm)
{
    uint64_t counts[2] = {h->count, h->clamped};
    reduce(counts, 2, MPI_UINT64_T, MPI_SUM, comm);
    reduce(h->counts, (int)mh_histogram_length(), MPI_UINT64_T, MPI_SUM, comm);
    reduce(&h->min_ns, 1, MPI_INT64_T, MPI_MIN, comm);
    reduce(&h->max_ns, 1, MPI_INT64_T, MPI_MAX, comm);
    reduce(&h->sum_ns, 1, MPI_DOUBLE, MPI_SUM, comm);
    h->count = counts[0];
    h->clamped = counts[1];
}

static void add_slots(void *from, void *into, int *count, MPI_Datatype *type)
{
    const struct mh_timeline_slot *more = from;
    struct mh_timeline_slot *sum = into;
    (void)type;
    for (int i = 0; i < *count; i++)
        mh_timeline_slot_add(&sum[i], &more[i]);
}

/* Every rank's timeline gets the coarsest interval and as many slots as the longest. */
static int align_timeline(struct mh_timeline *t, MPI_Comm comm, struct mh_error *err)
{
    int64_t interval_ns = t->interval_ns;
    mh_comm_max_i64(comm, &interval_ns, 1);
    int rc = mh_timeline_coarsen(t, interval_ns);
    int64_t used = t->used;
    mh_comm_max_i64(comm, &used, 1);
    if (rc == 0 && used > 0 && !mh_timeline_at(t, t->start_ns + (used - 1) * t->interval_ns))
        rc = -1;
    return mh_comm_agree(comm, rc == 0 ? 0 : mh_fail(err, "out of memory for the timeline"), err);
}

static void reduce_slots(struct mh_timeline_slot *slots, int count, MPI_Comm comm)
{
    MPI_Datatype slot;
    MPI_Op add;
    MPI_Type_contiguous(sizeof *slots, MPI_BYTE, &slot);
    MPI_Type_commit(&slot);
    MPI_Op_create(add_slots, 1, &add);
    reduce(slots, count, slot, add, comm);
    MPI_Op_free(&add);
    MPI_Type_free(&slot);
}

/* Rank 0's alone are the sums, and go back. */
static int put_back(struct mh_timeline *t, const struct mh_timeline_slot *slots, MPI_Comm comm)
{
    int rank, rc = 0;
    MPI_Comm_rank(comm, &rank);
    for (int64_t i = 0; rank == 0 && rc == 0 && i < t->used; i++)
        rc = mh_timeline_put_slot(t, i, &slots[i]);
    return rc;
}

int mh_reduce_timeline(struct mh_timeline *t, MPI_Comm comm, struct mh_error *err)
{
    if (align_timeline(t, comm, err) != 0)
        return -1;
    struct mh_timeline_slot *slots = calloc((size_t)t->used + 1, sizeof *slots);
    int rc = mh_comm_agree(comm, slots ? 0 : mh_fail(err, "out of memory for the timeline"), err);
    if (rc == 0) {
        for (int64_t i = 0; i < t->used; i++)
            mh_timeline_add_slot(t, i, &slots[i]);
        reduce_slots(slots, (int)t->used, comm);
        rc = mh_comm_agree(
            comm, put_back(t, slots, comm) == 0 ? 0 : mh_fail(err, "out of memory for the timeline"), err);
    }
    free(slots);
    return rc;
}

static int reduce_cell(struct mh_tally *tally, MPI_Comm comm, struct mh_error *err)
{
    reduce(&tally->planned, MH_TALLY_COUNTERS, MPI_INT64_T, MPI_SUM, comm);
    reduce(&tally->backlog_ns, MH_TALLY_LONGEST, MPI_INT64_T, MPI_MAX, comm);
    mh_reduce_histogram(&tally->due, comm);
    mh_reduce_histogram(&tally->sent, comm);
    return mh_reduce_timeline(&tally->timeline, comm, err);
}

/* Which cells any rank has; NULL on all ranks when one has no memory. */
static unsigned char *used_cells(const struct mh_tallies *tallies, size_t count, MPI_Comm comm,
                                 struct mh_error *err)
{
    MPI_Request request;
    unsigned char *used = calloc(count, 1);
    if (mh_comm_agree(comm, used ? 0 : mh_fail(err, "out of memory"), err) != 0) {
        free(used);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        used[i] = tallies->cells[i] != NULL;
    MPI_Iallreduce(MPI_IN_PLACE, used, (int)count, MPI_UNSIGNED_CHAR, MPI_MAX, comm, &request);
    mh_comm_wait(&request);
    return used;
}

static struct mh_tally *cell_at(struct mh_tallies *tallies, size_t at)
{
    size_t kinds = MH_TALLY_KINDS, roles = (size_t)tallies->roles;
    return mh_tally_at(tallies, (int)(at / kinds / roles), (int)(at / kinds % roles), (int)(at % kinds));
}

static int reduce_cells(struct mh_tallies *tallies, MPI_Comm comm, struct mh_error *err)
{
    size_t count = (size_t)tallies->stages * (size_t)tallies->roles * MH_TALLY_KINDS;
    unsigned char *used = used_cells(tallies, count, comm, err);
    int rc = used ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!used[i])
            continue;
        struct mh_tally *tally = cell_at(tallies, i);
        rc = mh_comm_agree(comm, tally ? 0 : mh_fail(err, "out of memory for counters"), err);
        if (rc == 0)
            rc = reduce_cell(tally, comm, err);
    }
    free(used);
    return rc;
}

static int reduce_errors(struct mh_tallies *tallies, MPI_Comm comm, struct mh_error *err)
{
    int rank;
    void *all = NULL; /* rank 0's, its own the first */
    size_t bytes = 0;
    MPI_Comm_rank(comm, &rank);
    const size_t mine = (size_t)tallies->error_count * sizeof *tallies->errors;
    if (mh_comm_collect_bytes(comm, tallies->errors, mine, &all, &bytes, err) != 0)
        return -1;
    const struct mh_error_count *errors = all;
    for (size_t i = mine / sizeof *errors; rank == 0 && i < bytes / sizeof *errors; i++)
        mh_tallies_add_error(tallies, &errors[i]);
    free(all);
    return 0;
}

int mh_reduce_tallies(struct mh_tallies *tallies, MPI_Comm comm, struct mh_error *err)
{
    if (reduce_cells(tallies, comm, err) != 0)
        return -1;
    return reduce_errors(tallies, comm, err);
}
