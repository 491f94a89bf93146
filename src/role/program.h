/* The steps of a collection's life, as a job names them, and the looks between them. Pure. */
#ifndef MH_ROLE_PROGRAM_H
#define MH_ROLE_PROGRAM_H

#include "base/error.h"
#include "job/job.h"

#include <stdbool.h>

enum mh_step { /* order of mh_step_names; those from MH_STEP_COUNT on are no words of the job: the role looks
                  by itself */
               MH_STEP_CREATE_COLLECTION,
               MH_STEP_CREATE_PARTITION,
               MH_STEP_INSERT,
               MH_STEP_CREATE_INDEX,
               MH_STEP_LOAD,
               MH_STEP_SEARCH,
               MH_STEP_QUERY,
               MH_STEP_RELEASE,
               MH_STEP_DROP_INDEX,
               MH_STEP_DELETE,
               MH_STEP_DROP_PARTITION,
               MH_STEP_DROP_COLLECTION,
               MH_STEP_COUNT,
               MH_STEP_COUNT_ELSEWHERE,
               MH_STEP_LIST_PARTITIONS,
               MH_STEP_LIST_COLLECTIONS,
               MH_STEP_LIST_INDEX,
               MH_STEP_FIND_COLLECTION,
               MH_STEP_FIND_PARTITION,
               MH_STEP_FIND_INDEX,
               MH_STEPS,
};

extern const char *const mh_step_names[MH_STEPS];

enum {
    MH_MOST_WORDS = 32,                       /* that a job may give */
    MH_MOST_STEPS = 2 * MH_MOST_WORDS + 5 + 2 /* of a cycle: each word has one look at most, but for the
                                                 delete, which may have six; the drop and its look come by
                                                 themselves */
};

struct mh_program { /* the steps of a cycle, with the looks between them */
    enum mh_step steps[MH_MOST_STEPS];
    int count;
};

/* What a cycle that broke does before its collection is dropped: is it there, with all that was made of it,
 * and are its rows? */
extern const struct mh_program mh_inquest;
/* Of a collection whose drop was acknowledged: is it gone? */
extern const struct mh_program mh_parting;

/* `words` have been checked. recheck: what a delete of a released collection did is looked at, too. */
struct mh_program mh_program_of(const struct mh_texts *words, bool recheck);

/* Are all words known, and does each stand where it can be done? */
int mh_program_check(const struct mh_texts *steps, struct mh_error *err);

#endif
