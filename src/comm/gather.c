#include "comm/comm.h"

#include <limits.h>
#include <stdlib.h>

/* Where each rank's bytes go; the sum, or -1 when MPI cannot count that far. */
static int64_t lay_out(const int *lengths, int *starts, int np)
{
    int64_t total = 0;
    for (int r = 0; r < np; r++) {
        starts[r] = (int)total;
        total += lengths[r];
        if (total > INT_MAX)
            return -1;
    }
    return total;
}

struct gathering {
    MPI_Comm comm;
    bool here;             /* this rank gets them */
    int *lengths, *starts; /* np each, in one allocation */
    int64_t sum;
    void *gathered;
};

static void share_lengths(struct gathering *g, int length, bool everywhere)
{
    MPI_Request request;
    if (everywhere)
        MPI_Iallgather(&length, 1, MPI_INT, g->lengths, 1, MPI_INT, g->comm, &request);
    else
        MPI_Igather(&length, 1, MPI_INT, g->lengths, 1, MPI_INT, 0, g->comm, &request);
    mh_comm_wait(&request);
}

static void share_bytes(struct gathering *g, const void *mine, int length, bool everywhere)
{
    MPI_Request request;
    if (everywhere)
        MPI_Iallgatherv(mine, length, MPI_BYTE, g->gathered, g->lengths, g->starts, MPI_BYTE, g->comm,
                        &request);
    else
        MPI_Igatherv(mine, length, MPI_BYTE, g->gathered, g->lengths, g->starts, MPI_BYTE, 0, g->comm,
                     &request);
    mh_comm_wait(&request);
}

static int gather(MPI_Comm comm, const void *mine, size_t bytes, bool everywhere, void **all, size_t *total,
                  struct mh_error *err)
{
    int np, rank;
    MPI_Comm_size(comm, &np);
    MPI_Comm_rank(comm, &rank);
    struct gathering g = {.comm = comm, .here = everywhere || rank == 0};
    g.lengths = calloc(2 * (size_t)np, sizeof *g.lengths);
    g.starts = g.lengths ? g.lengths + np : NULL;
    int rc = g.lengths && bytes <= INT_MAX ? 0 : mh_fail(err, "no memory to gather %zu bytes", bytes);
    rc = mh_comm_agree(comm, rc, err);
    if (rc == 0) {
        share_lengths(&g, (int)bytes, everywhere);
        g.sum = g.here ? lay_out(g.lengths, g.starts, np) : 0;
        g.gathered = g.here && g.sum >= 0 ? malloc((size_t)g.sum + 1) : NULL;
        rc = g.here && !g.gathered ? mh_fail(err, "no memory to gather the ranks' rows") : 0;
        rc = mh_comm_agree(comm, rc, err);
    }
    if (rc == 0) {
        share_bytes(&g, mine, (int)bytes, everywhere);
        *all = g.gathered;
        *total = (size_t)g.sum;
    } else {
        free(g.gathered);
    }
    free(g.lengths);
    return rc;
}

int mh_comm_gather_bytes(MPI_Comm comm, const void *mine, size_t bytes, void **all, size_t *total,
                         struct mh_error *err)
{
    return gather(comm, mine, bytes, true, all, total, err);
}

int mh_comm_collect_bytes(MPI_Comm comm, const void *mine, size_t bytes, void **all, size_t *total,
                          struct mh_error *err)
{
    return gather(comm, mine, bytes, false, all, total, err);
}
