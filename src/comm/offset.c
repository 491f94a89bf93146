#include "comm/comm.h"

#include "base/clock.h"
#include "comm/watch.h"

enum { ROUND_TRIPS = 8, CLOCK_TAG = 2 };

/* Rank 0's clock is asked for in the middle of the shortest round trip (Cristian's algorithm). */
static struct mh_clock ask_rank_0(MPI_Comm comm)
{
    struct mh_clock clock = {0, INT64_MAX};
    for (int i = 0; i < ROUND_TRIPS; i++) {
        int64_t sent = mh_now_ns(), theirs;
        MPI_Sendrecv(&sent, 1, MPI_INT64_T, 0, CLOCK_TAG, &theirs, 1, MPI_INT64_T, 0, CLOCK_TAG, comm,
                     MPI_STATUS_IGNORE);
        int64_t trip = mh_now_ns() - sent;
        if (trip < clock.doubt_ns)
            clock = (struct mh_clock){sent + trip / 2 - theirs, trip};
    }
    return clock;
}

static void answer(MPI_Comm comm, int rank)
{
    for (int i = 0; i < ROUND_TRIPS; i++) {
        int64_t theirs;
        MPI_Recv(&theirs, 1, MPI_INT64_T, rank, CLOCK_TAG, comm, MPI_STATUS_IGNORE);
        int64_t mine = mh_now_ns();
        MPI_Send(&mine, 1, MPI_INT64_T, rank, CLOCK_TAG, comm);
    }
}

static struct mh_clock compare(MPI_Comm leaders)
{
    int rank, np;
    struct mh_clock clock = {0, 0};
    MPI_Comm_rank(leaders, &rank);
    MPI_Comm_size(leaders, &np);
    for (int turn = 1; turn < np; turn++) {
        if (rank == 0)
            answer(leaders, turn);
        if (rank == turn)
            clock = ask_rank_0(leaders);
    }
    return clock;
}

/* The ranks of a node read one clock: what two of them measured of it would differ by what they measure. */
struct mh_clock mh_comm_clock(MPI_Comm comm)
{
    int rank, node_rank;
    MPI_Comm node = mh_comm_node(comm), leaders;
    struct mh_clock clock = {0, 0};
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_rank(node, &node_rank);
    mh_watch_call_begin(NULL);
    MPI_Comm_split(comm, node_rank == 0 ? 0 : MPI_UNDEFINED, rank, &leaders);
    if (node_rank == 0) {
        clock = compare(leaders);
        MPI_Comm_free(&leaders);
    }
    mh_watch_call_end();
    mh_comm_bcast(node, &clock, sizeof clock, 0);
    MPI_Comm_free(&node);
    mh_comm_max_i64(comm, &clock.doubt_ns, 1);
    return clock;
}
