/* MPI, wrapped so that no rank ever burns a core while it waits: every wait is a non-blocking call, MPI_Test
 * and a short sleep. */
#ifndef MH_COMM_COMM_H
#define MH_COMM_COMM_H

#include "base/bytes.h"
#include "base/error.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

/* Waits for one request without spinning (sleeps of 0.05 to 2 ms). */
void mh_comm_wait(MPI_Request *request);

struct mh_comm_waits {
    int64_t count, ns; /* of mh_comm_wait, by this rank so far */
};
struct mh_comm_waits mh_comm_waits(void);

/* Sums, collectively, `count` values in place on every rank. */
void mh_comm_sum_i64(MPI_Comm comm, int64_t *values, int count);

void mh_comm_max_i64(MPI_Comm comm, int64_t *values, int count); /* likewise, the largest */

/* Broadcasts from `root`. Counts above 2 GiB are split. */
void mh_comm_bcast(MPI_Comm comm, void *data, size_t bytes, int root);

/* All ranks learn whether any failed: returns 0 everywhere when every rank passes rc == 0; else -1
 * everywhere, with the message of the lowest failing rank in err. Collective. */
int mh_comm_vote(MPI_Comm comm, int rc, struct mh_error *err);
static inline int mh_comm_agree(MPI_Comm comm, int rc, struct mh_error *err)
{
    return mh_comm_vote(comm, rc, err) != 0 || rc != 0 ? -1 : 0; /* so that a file read alone shows it */
}

/* Every rank's bytes, in order of rank, on every rank: *all (owned by the caller, never NULL on success) and
 * how many. Collective; all ranks return the same. */
int mh_comm_gather_bytes(MPI_Comm comm, const void *mine, size_t bytes, void **all, size_t *total,
                         struct mh_error *err);

/* The same, on rank 0 alone; *all is NULL on the others. Collective; all ranks return the same. */
int mh_comm_collect_bytes(MPI_Comm comm, const void *mine, size_t bytes, void **all, size_t *total,
                          struct mh_error *err);

/* Each rank's bytes `to` each other (np of them), delivered: *received (its data owned by the caller) holds
 * what all ranks sent to this one, in order of rank; from[r], unless NULL, how much of it came from rank r.
 * At most 2 GiB out of and into a rank. Collective; all ranks return the same. */
int mh_comm_exchange(MPI_Comm comm, const struct mh_bytes *to, struct mh_bytes *received, size_t *from,
                     struct mh_error *err);

/* MPI's own that block, with a sign of life (comm/watch.h) meanwhile: the ranks that share this one's memory;
 * the same ranks apart. Collective. */
MPI_Comm mh_comm_node(MPI_Comm comm);
MPI_Comm mh_comm_dup(MPI_Comm comm);

struct mh_clock {
    int64_t offset_ns; /* this rank's monotonic clock minus rank 0's, as first measured; the same for all
                          ranks of a node */
    int64_t doubt_ns;  /* by how much any two ranks' clocks may have differed, once corrected by that, at any
                          measurement so far; 0 on one node */
    int64_t moved_ns;  /* the offset at the last measurement minus that of the first */
    int64_t apart_ns;  /* at least so far some rank's has moved by then; the same on all ranks */
    int64_t error_ns;  /* of the first measurement */
    int64_t ahead_ns, behind_ns; /* of rank 0's, any corrected clock at most: they add up to the doubt */
};

/* Measured between nodes, down a tree from rank 0's: from one to the next to half the shortest of 8 round
 * trips. Collective, when there is no load: it does wait in MPI, some microseconds a level of the tree. */
struct mh_clock mh_comm_clock(MPI_Comm comm);

/* Measures again: clocks drift, and the doubt widens by what they did. Likewise collective. */
void mh_comm_clock_again(MPI_Comm comm, struct mh_clock *clock);

#endif
