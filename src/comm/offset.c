#include "comm/comm.h"

#include "base/clock.h"

enum { ROUND_TRIPS = 8, CLOCK_TAG = 2 };

/* Rank 0's clock is asked for in the middle of the shortest round trip (Cristian's algorithm). */
static int64_t ask_rank_0(MPI_Comm comm)
{
    int64_t best_trip = INT64_MAX, offset = 0;
    for (int i = 0; i < ROUND_TRIPS; i++) {
        int64_t sent = mh_now_ns(), theirs;
        MPI_Sendrecv(&sent, 1, MPI_INT64_T, 0, CLOCK_TAG, &theirs, 1, MPI_INT64_T, 0, CLOCK_TAG, comm,
                     MPI_STATUS_IGNORE);
        int64_t back = mh_now_ns();
        if (back - sent < best_trip) {
            best_trip = back - sent;
            offset = sent + (back - sent) / 2 - theirs;
        }
    }
    return offset;
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

int64_t mh_comm_clock_offset(MPI_Comm comm)
{
    int rank, np;
    int64_t offset = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &np);
    for (int turn = 1; turn < np; turn++) {
        if (rank == 0)
            answer(comm, turn);
        if (rank == turn)
            offset = ask_rank_0(comm);
    }
    return offset;
}
