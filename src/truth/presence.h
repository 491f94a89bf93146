/* Is the collection there, and which of its partitions? "Gone" costs all rows of it, and a reply that lost
 * its content says just that. So no single answer decides: it is asked again until verify.grace is over, and
 * then by another kind of question. */
#ifndef MH_TRUTH_PRESENCE_H
#define MH_TRUTH_PRESENCE_H

#include "truth/audit.h"

struct mh_presence { /* what is on the server: made by rank 0, the same on all ranks */
    bool collection_gone;
    bool *partition_gone; /* by position in the plan and beyond */
    char **partitions;    /* the plan's, then those that only the server knows */
    int count;
    char *names; /* their text */
};

/* Rank 0 asks. `known`: that it is gone was confirmed before, so that nobody waits for it again. Fails, too,
 * where the server's answers contradict one another to the end. */
int mh_find_collection(struct mh_asker *asker, const struct mh_job *job, const struct mh_content *content,
                       bool known, bool *gone, struct mh_error *err);

/* All but collection_gone, which rank 0 has found out: it may have gone since. What `audit` remembers of the
 * pass before needs no grace. Collective. */
int mh_presence_learn(struct mh_audit *audit, struct mh_asker *asker, struct mh_presence *presence,
                      struct mh_error *err);

/* The audit keeps what the next pass and its violations refer to. */
void mh_presence_end(struct mh_audit *audit, struct mh_presence *presence);

#endif
