/* What was written when: every write with its times, put together from the ranks' journals, so that for each
 * read one can say which rows, in which versions, it may have seen and which it must have seen. Each rank
 * holds the writes of the ids whose slices it audits (mh_slice_owner). */
#ifndef MH_TRUTH_HISTORY_H
#define MH_TRUTH_HISTORY_H

#include "plan/plan.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

struct mh_write { /* of consecutive rows that became the same version */
    int64_t first;
    int32_t count;
    int32_t worker;           /* number in the plan */
    int64_t sent_ns, done_ns; /* since the run began */
    uint16_t version;         /* after it; of a delete: before it */
    uint8_t kind;             /* MH_OP_INSERT, MH_OP_UPSERT or MH_OP_DELETE */
    bool certain;             /* acknowledged; else its outcome is unknown */
    bool stamped;             /* its reply had a timestamp, which a session can ask for */
};

struct mh_history {
    struct mh_write *inserts; /* by first */
    int64_t insert_count, insert_room;
    struct mh_write *changes; /* upserts and deletes of one row each, in order of effect */
    int64_t change_count, change_room;
};

/* From the writes so far in every rank's journal (this rank's at `journal`, flushed). start_ns: when the run
 * began, on this rank's clock. Collective; all ranks return the same. */
int mh_history_make(struct mh_history *history, const struct mh_plan *plan, const char *journal,
                    int64_t start_ns, MPI_Comm comm, struct mh_error *err);
void mh_history_free(struct mh_history *history);

/* One look at the collection. */
struct mh_look {
    int64_t sent_ns, done_ns; /* since the run began */
    int32_t worker;           /* whose; number in the plan */
    int32_t consistency;      /* enum mh_consistency */
};

struct mh_doubt {
    int64_t bound_ns; /* how far a look at `bounded` may lag behind */
    int64_t clock_ns; /* by how much two ranks' clocks may differ beyond what was corrected */
};

enum mh_standing_kind {
    MH_STANDS_NOWHERE, /* never written, or not before the look had ended */
    MH_STANDS_GONE,    /* its delete was acknowledged before */
    MH_STANDS_PERHAPS, /* 0 or 1 copies are right */
    MH_STANDS_SURELY,  /* acknowledged, and nothing else is under way */
};

/* How a row stands in a look: the versions that it may show are lowest .. highest. */
struct mh_standing {
    int32_t kind; /* enum mh_standing_kind */
    int16_t lowest, highest;
};

/* Of an id whose slice is this rank's.
 *
 * A write is surely seen: at strong, when it was acknowledged before the look was sent; at bounded, when that
 * was `bound_ns` earlier still; at session, when it is the looker's own and stamped; at eventually never. It
 * may be seen when it was sent before the look ended. */
struct mh_standing mh_history_standing(const struct mh_history *history, const struct mh_doubt *doubt,
                                       const struct mh_look *look, int64_t id);

/* How long before `at_ns` an acknowledged write had replaced this version of the row, or deleted it: the
 * first that did. 0: none had. Of an id whose slice is this rank's. */
int64_t mh_history_replaced(const struct mh_history *history, int64_t id, int64_t version, int64_t at_ns);

/* Goes through the inserts, to look at every row there ever was. */
const struct mh_write *mh_history_insert_of(const struct mh_history *history, int64_t id); /* NULL: none */

#endif
