#include "base/alive.h"
#include "base/clock.h"
#include "comm/comm.h"
#include "comm/watch.h"

#include <limits.h>

#define FIRST_SLEEP_NS (50 * MH_US)
#define LONGEST_NS     (2 * MH_MS)
#define LARGEST_PIECE  ((size_t)1 << 30) /* MPI counts are int */

static struct mh_comm_waits waits;

struct mh_comm_waits mh_comm_waits(void)
{
    return waits;
}

void mh_comm_wait(MPI_Request *request)
{
    int done = 0;
    const int64_t began = mh_now_ns();
    MPI_Test(request, &done, MPI_STATUS_IGNORE);
    for (int64_t sleep_ns = FIRST_SLEEP_NS; !done; sleep_ns += sleep_ns / 2) {
        sleep_ns = sleep_ns < LONGEST_NS ? sleep_ns : LONGEST_NS;
        mh_sleep_ns(sleep_ns);
        mh_alive();
        MPI_Test(request, &done, MPI_STATUS_IGNORE);
    }
    waits.count++;
    waits.ns += mh_now_ns() - began;
}

void mh_comm_sum_i64(MPI_Comm comm, int64_t *values, int count)
{
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_SUM, comm, &request);
    mh_comm_wait(&request);
}

void mh_comm_max_i64(MPI_Comm comm, int64_t *values, int count)
{
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_MAX, comm, &request);
    mh_comm_wait(&request);
}

void mh_comm_bcast(MPI_Comm comm, void *data, size_t bytes, int root)
{
    for (size_t at = 0; at < bytes; at += LARGEST_PIECE) {
        const size_t piece = bytes - at < LARGEST_PIECE ? bytes - at : LARGEST_PIECE;
        MPI_Request request;
        MPI_Ibcast((char *)data + at, (int)piece, MPI_BYTE, root, comm, &request);
        mh_comm_wait(&request);
    }
}

MPI_Comm mh_comm_node(MPI_Comm comm)
{
    MPI_Comm node;
    int rank;
    MPI_Comm_rank(comm, &rank);
    mh_watch_call_begin(NULL);
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node);
    mh_watch_call_end();
    return node;
}

MPI_Comm mh_comm_dup(MPI_Comm comm)
{
    MPI_Comm copy;
    mh_watch_call_begin(NULL);
    MPI_Comm_dup(comm, &copy);
    mh_watch_call_end();
    return copy;
}

int mh_comm_vote(MPI_Comm comm, int rc, struct mh_error *err)
{
    int lowest = INT_MAX;
    if (rc)
        MPI_Comm_rank(comm, &lowest);
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, &lowest, 1, MPI_INT, MPI_MIN, comm, &request);
    mh_comm_wait(&request);
    if (lowest == INT_MAX)
        return 0;
    mh_comm_bcast(comm, err->text, sizeof err->text, lowest);
    return -1;
}
