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

int mh_comm_gather_bytes(MPI_Comm comm, const void *mine, size_t bytes, void **all, size_t *total,
                         struct mh_error *err)
{
    int np, length = (int)bytes;
    int64_t sum = 0;
    MPI_Request request;
    MPI_Comm_size(comm, &np);
    int *lengths = calloc(2 * (size_t)np, sizeof *lengths);
    void *gathered = NULL;
    int rc = lengths && bytes <= INT_MAX ? 0 : mh_fail(err, "no memory to gather %zu bytes", bytes);
    rc = mh_comm_agree(comm, rc, err);
    if (rc == 0) {
        MPI_Iallgather(&length, 1, MPI_INT, lengths, 1, MPI_INT, comm, &request);
        mh_comm_wait(&request);
        sum = lay_out(lengths, lengths + np, np);
        gathered = sum >= 0 ? malloc((size_t)sum + 1) : NULL;
        rc = mh_comm_agree(comm, gathered ? 0 : mh_fail(err, "no memory to gather the ranks' rows"), err);
    }
    if (rc == 0) {
        MPI_Iallgatherv(mine, length, MPI_BYTE, gathered, lengths, lengths + np, MPI_BYTE, comm, &request);
        mh_comm_wait(&request);
        *all = gathered;
        *total = (size_t)sum;
    } else {
        free(gathered);
    }
    free(lengths);
    return rc;
}
