#include "comm/comm.h"

#include <limits.h>
#include <stdlib.h>

struct lengths {
    int *send, *send_at, *receive, *receive_at; /* np each, in one allocation */
};

static int lay_out(struct lengths *lengths, const struct mh_bytes *to, int np, struct mh_bytes *joined)
{
    size_t at = 0;
    for (int r = 0; r < np; r++) {
        if (to[r].length > (size_t)INT_MAX - at)
            return -1;
        lengths->send[r] = (int)to[r].length;
        lengths->send_at[r] = (int)at;
        at += to[r].length;
        if (mh_bytes_append(joined, to[r].data ? to[r].data : (const uint8_t *)"", to[r].length) != 0)
            return -1;
    }
    return 0;
}

static int64_t receive_layout(struct lengths *lengths, int np)
{
    int64_t at = 0;
    for (int r = 0; r < np; r++) {
        lengths->receive_at[r] = (int)at;
        at += lengths->receive[r];
    }
    return at;
}

int mh_comm_exchange(MPI_Comm comm, const struct mh_bytes *to, struct mh_bytes *received, size_t *from,
                     struct mh_error *err)
{
    int np;
    struct lengths lengths = {0};
    struct mh_bytes joined = {0};
    MPI_Request request;
    MPI_Comm_size(comm, &np);
    lengths.send = calloc(4 * (size_t)np, sizeof(int));
    int rc = lengths.send ? 0 : -1;
    if (rc == 0) {
        lengths.send_at = lengths.send + np;
        lengths.receive = lengths.send + 2 * (size_t)np;
        lengths.receive_at = lengths.send + 3 * (size_t)np;
        rc = lay_out(&lengths, to, np, &joined);
    }
    rc = mh_comm_agree(comm, rc == 0 ? 0 : mh_fail(err, "out of memory for an exchange between ranks"), err);
    if (rc != 0)
        goto done;
    MPI_Ialltoall(lengths.send, 1, MPI_INT, lengths.receive, 1, MPI_INT, comm, &request);
    mh_comm_wait(&request);
    int64_t total = receive_layout(&lengths, np);
    received->data = total <= INT_MAX ? malloc((size_t)total + 1) : NULL;
    received->length = (size_t)total;
    rc = mh_comm_agree(
        comm,
        received->data ? 0 : mh_fail(err, "out of memory for %lld bytes from other ranks", (long long)total),
        err);
    if (rc != 0)
        goto done;
    MPI_Ialltoallv(joined.data, lengths.send, lengths.send_at, MPI_BYTE, received->data, lengths.receive,
                   lengths.receive_at, MPI_BYTE, comm, &request);
    mh_comm_wait(&request);
    for (int r = 0; from && r < np; r++)
        from[r] = (size_t)lengths.receive[r];
done:
    free(lengths.send);
    free(joined.data);
    return rc;
}
