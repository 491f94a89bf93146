/* Ranks that give no sign of life (base/alive.h): stuck in a call, stopped, or gone without the launcher's
 * notice. MPI would wait for them for ever. The ranks of a node see each other's signs in shared memory; of
 * each node one rank tells the next node. */
#ifndef MH_COMM_WATCH_H
#define MH_COMM_WATCH_H

#include "base/error.h"

#include <mpi.h>
#include <stdint.h>

/* Called once on each rank that finds another one silent, and then the watch is over; `who` names it on one
 * rank of a node, and is NULL on the others. Nothing can be agreed on any more with the one that is silent.
 */
typedef void mh_watch_end(const char *who);

/* From now on each rank is to give a sign at least every `silence_ns`. `node`: equal for those that share
 * memory. Collective, blocking; before there is load. */
int mh_watch_open(MPI_Comm comm, int node, int64_t silence_ns, mh_watch_end *end, struct mh_error *err);
void mh_watch_hurry(int64_t silence_ns); /* at most so long, where that is less; INT64_MAX: as at first */
void mh_watch_close(void);               /* collective; nothing where it is not open */

/* For what cannot give signs, parallel HDF5 that waits in MPI: unless called off in time, this rank says so
 * and ends with exit code 3, and the launcher ends the others. 0 calls it off. */
void mh_watch_alarm(int seconds);

#endif
