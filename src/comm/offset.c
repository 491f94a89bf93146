#include "comm/comm.h"

#include "base/clock.h"
#include "comm/watch.h"

#include <stdlib.h>

enum { ROUND_TRIPS = 8, CLOCK_TAG = 2 };

struct answer {
    int64_t time_ns;  /* rank 0's, as the one who is asked knows it */
    int64_t doubt_ns; /* his own */
};

/* A clock is asked for in the middle of the shortest round trip (Cristian's algorithm). The error is half of
 * that at most, beyond the error of who answers; any two may differ by twice the error. */
static struct mh_clock ask(MPI_Comm comm, int whom)
{
    struct mh_clock clock = {.doubt_ns = INT64_MAX};
    for (int i = 0; i < ROUND_TRIPS; i++) {
        struct answer answer;
        const int64_t sent = mh_now_ns();
        MPI_Sendrecv(&sent, 1, MPI_INT64_T, whom, CLOCK_TAG, &answer, sizeof answer, MPI_BYTE, whom,
                     CLOCK_TAG, comm, MPI_STATUS_IGNORE);
        const int64_t trip = mh_now_ns() - sent;
        if (trip + answer.doubt_ns < clock.doubt_ns)
            clock = (struct mh_clock){.offset_ns = sent + trip / 2 - answer.time_ns,
                                      .doubt_ns = trip + answer.doubt_ns};
    }
    return clock;
}

static void tell(MPI_Comm comm, int whom, const struct mh_clock *clock)
{
    for (int i = 0; i < ROUND_TRIPS; i++) {
        int64_t theirs;
        MPI_Recv(&theirs, 1, MPI_INT64_T, whom, CLOCK_TAG, comm, MPI_STATUS_IGNORE);
        const struct answer answer = {mh_now_ns() - clock->offset_ns, clock->doubt_ns};
        MPI_Send(&answer, sizeof answer, MPI_BYTE, whom, CLOCK_TAG, comm);
    }
}

/* Down a binomial tree from rank 0, all pairs of a round at once: log P rounds, and as many errors add up. */
static struct mh_clock compare(MPI_Comm leaders)
{
    int rank, np, half = 1;
    struct mh_clock clock = {0};
    MPI_Comm_rank(leaders, &rank);
    MPI_Comm_size(leaders, &np);
    while (2 * half < np)
        half *= 2;
    for (; half > 0; half /= 2) {
        const int place = rank % (2 * half);
        if (place == half)
            clock = ask(leaders, rank - half);
        else if (place == 0 && rank + half < np)
            tell(leaders, rank + half, &clock);
    }
    return clock;
}

/* The ranks of a node read one clock: what two of them measured of it would differ by what they measure. */
struct mh_clock mh_comm_clock(MPI_Comm comm)
{
    int rank, node_rank;
    MPI_Comm node = mh_comm_node(comm), leaders;
    struct mh_clock clock = {0};
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
    clock.error_ns = clock.ahead_ns = clock.behind_ns = (clock.doubt_ns + 1) / 2;
    return clock;
}

void mh_comm_clock_again(MPI_Comm comm, struct mh_clock *clock)
{
    const struct mh_clock now = mh_comm_clock(comm);
    const int64_t moved = now.offset_ns - clock->offset_ns;
    int64_t most[] = {moved + now.error_ns, now.error_ns - moved, llabs(moved)};
    mh_comm_max_i64(comm, most, 3);
    const int64_t apart = most[2] - now.error_ns - clock->error_ns;
    clock->moved_ns = moved;
    clock->apart_ns = apart > 0 ? apart : 0;
    clock->ahead_ns = most[0] > clock->ahead_ns ? most[0] : clock->ahead_ns;
    clock->behind_ns = most[1] > clock->behind_ns ? most[1] : clock->behind_ns;
    clock->doubt_ns = clock->ahead_ns + clock->behind_ns;
}
