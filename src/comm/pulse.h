/* The stage's heartbeat: sums of a few counters over all ranks, again and again, without ever blocking. Every
 * rank sees the same sums in the same round, so that all can take the same decision in it: votes and barriers
 * are sums that reach a value. */
#ifndef MH_COMM_PULSE_H
#define MH_COMM_PULSE_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

struct mh_pulse {
    MPI_Comm comm; /* its own */
    int count;
    int64_t *mine, *sums; /* of the round under way */
    int64_t *totals;      /* of the last round that ended; zeros before the first */
    int64_t rounds;       /* that ended */
    int64_t period_ns;    /* between two rounds' beginnings */
    int64_t next_ns;
    int64_t begin_ns; /* of the last round, by this rank */
    int64_t busy_ns;  /* that rounds took, from this rank's beginning to its seeing their end */
    MPI_Request request;
};

/* Collective. -1: no memory. */
int mh_pulse_open(struct mh_pulse *pulse, MPI_Comm comm, int count, int64_t period_ns);
void mh_pulse_close(struct mh_pulse *pulse); /* collective; no round may be under way */

/* Moves on: `counters` are sampled when a round begins. True when a round has just ended: look at totals; the
 * next round begins at a later call, so that a rank that then stops leaves no round under way anywhere. */
bool mh_pulse_beat(struct mh_pulse *pulse, const int64_t *counters);

/* Small messages between ranks, of one fixed size, in no order. */
struct mh_post {
    MPI_Comm comm; /* its own */
    int bytes;
    struct mh_letter *sent; /* not yet gone */
};

void mh_post_open(struct mh_post *post, MPI_Comm comm, int bytes); /* collective */
void mh_post_close(struct mh_post *post); /* collective; every letter must have been received */
int mh_post_send(struct mh_post *post, int rank, const void *letter); /* -1: no memory */
bool mh_post_receive(struct mh_post *post, void *letter);             /* false: none has come */

#endif
