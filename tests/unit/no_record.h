/* For journals in which a reader must find none of the records that it is called with. */
#ifndef MH_UNIT_NO_RECORD_H
#define MH_UNIT_NO_RECORD_H

#include "check.h"
#include "truth/journal.h"

static inline int no_record(void *context, const struct mh_record *record, const int64_t *keys,
                            const uint16_t *versions, const char *text, struct mh_error *err)
{
    (void)context;
    (void)keys;
    (void)versions;
    (void)text;
    (void)err;
    fail_msg("a record of type %d", record->type);
    return -1;
}

#endif
