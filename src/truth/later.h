/* Before a ledger is believed: does the collection hold rows that a later part wrote, which it does not know?
 */
#ifndef MH_TRUTH_LATER_H
#define MH_TRUTH_LATER_H

#include "client/ask.h"
#include "dataset/content.h"

struct mh_later {
    bool any;   /* there are rows with ids of `first` and on */
    bool ours;  /* of those that were looked at, one has the content that this program gives its id */
    int64_t id; /* of that, or else of any */
};

/* The collection must be loaded. */
int mh_later_look(struct mh_asker *asker, const struct mh_job *job, const struct mh_content *content,
                  int64_t first, struct mh_later *later, struct mh_error *err);

#endif
