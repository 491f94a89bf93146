/* Ranks that give no sign of life (base/alive.h): stuck in a call, stopped, or gone without the launcher's
 * notice. MPI would wait for them for ever. The ranks of a node see each other's signs in shared memory; of
 * each node one rank tells the next node. */
#ifndef MH_COMM_WATCH_H
#define MH_COMM_WATCH_H

#include "base/error.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

struct mh_watch_news {
    const char *text; /* names the silent one on one rank of a node; NULL on the others */
    int rank;         /* the silent one; -1: not known which */
    bool in_call;     /* the main thread is in a call and not to be disturbed: this is another thread */
};

/* Called once on each rank that finds another one silent, and then the watch is over. Nothing can be agreed
 * on any more with the one that is silent. */
typedef void mh_watch_end(const struct mh_watch_news *news);

/* From now on each rank is to give a sign at least every `silence_ns`. `node`: those that share memory, of
 * `nodes` such; the watch's own from now on. `along` (NULL: nothing) is called with each sign of the main
 * thread. Collective, blocking. */
int mh_watch_open(MPI_Comm comm, MPI_Comm node, int nodes, int64_t silence_ns, mh_watch_end *end,
                  void (*along)(void), struct mh_error *err);
void mh_watch_hurry(int64_t silence_ns); /* at most so long, where that is less; INT64_MAX: as at first */
void mh_watch_close(void);               /* collective; nothing where it is not open */

/* Around calls that wait without a sign: MPI's that block, parallel HDF5. A thread signs in the main thread's
 * place and looks at the others of the node; a process that is stopped does not run that either. Until when
 * may it last? Asked at every look (NULL: MH_WATCH_CALL_S from now). Nothing where no watch is open. */
enum { MH_WATCH_CALL_S = 900 };
typedef int64_t mh_watch_until(void);
void mh_watch_call_begin(mh_watch_until *until);
void mh_watch_call_end(void);

/* For where no watch can be open, before its opening and after its end: unless called off in time, this rank
 * says `what`, which did not come about within that time, and ends with exit code 3, and the launcher ends
 * the others. 0 calls it off. */
void mh_watch_alarm(int64_t ns, const char *what);

#endif
