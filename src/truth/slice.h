/* The id space cut into slices, each audited by a rank that did not write it, and the fates of a rank's
 * slices put together from all ranks' ledgers. */
#ifndef MH_TRUTH_SLICE_H
#define MH_TRUTH_SLICE_H

#include "plan/plan.h"
#include "truth/ledger.h"

#include <mpi.h>

enum { MH_SLICE_ROWS = 4096 };

struct mh_slice {
    int64_t first, count; /* ids of one worker */
    int32_t worker;       /* number in the plan */
    int32_t partition;
};

struct mh_slices {
    struct mh_slice *items; /* this rank's, by id */
    int64_t count;
    uint8_t *received; /* what the ranks know of them */
    struct mh_slice_part *parts;
    int64_t *first_part; /* of each slice, count + 1 */
};

/* The plan as far as it was carried out: each writer's ids end where its last insert did, on whatever rank.
 * What lies behind is nobody's, and is looked for as that. Collective; out->workers is the caller's to free,
 * all else is the plan's. */
int mh_slices_plan(struct mh_plan *out, const struct mh_plan *plan, const struct mh_ledger *ledger,
                   MPI_Comm comm, struct mh_error *err);

/* Collective: cuts, and exchanges the ledgers' pieces. All ranks fail or none. */
int mh_slices_make(struct mh_slices *slices, const struct mh_plan *plan, const struct mh_ledger *ledger,
                   MPI_Comm comm, struct mh_error *err);
void mh_slices_free(struct mh_slices *slices);

/* The fates of slice `at` into fates, which has room for MH_SLICE_ROWS. */
int mh_slices_fates(const struct mh_slices *slices, int64_t at, struct mh_fates *fates, struct mh_error *err);

/* Which rank audits `id`; -1: no worker's id. */
int mh_slice_owner(const struct mh_plan *plan, int64_t id);

int64_t mh_slices_find(const struct mh_slices *slices,
                       int64_t id); /* position of the slice that holds it; -1: not this rank's */

#endif
