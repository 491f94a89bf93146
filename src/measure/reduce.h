/* Rank 0 gets the sum of what every rank measured. */
#ifndef MH_COMM_REDUCE_H
#define MH_COMM_REDUCE_H

#include "measure/tally.h"

#include <mpi.h>

/* Adds all ranks' tallies into rank 0's, bucket by bucket (min and max apart), timelines slot by slot, errors
 * by kind. The other ranks' are left as they are. Collective; all ranks fail or none. */
int mh_reduce_tallies(struct mh_tallies *tallies, MPI_Comm comm, struct mh_error *err);

/* The same of one histogram; of one timeline, whose slots other ranks' are made to fit. */
void mh_reduce_histogram(struct mh_histogram *h, MPI_Comm comm);
int mh_reduce_timeline(struct mh_timeline *t, MPI_Comm comm, struct mh_error *err);

#endif
