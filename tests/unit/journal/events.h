/* What the journal's test writes: events in the order of a run, each with its keys as a function of its
 * place. */
#ifndef MH_UNIT_JOURNAL_EVENTS_H
#define MH_UNIT_JOURNAL_EVENTS_H

#include "truth/journal.h"

#include <string.h>

enum { MOST_KEYS = 40 };

struct event {
    uint8_t type, kind, outcome;
    int32_t worker;
    int64_t sequence;
    uint32_t rows;
    bool scattered;
    const char *text;
};

static const struct event events[] = {
    {MH_RECORD_STAGE, 0, 0, -1, 0, 0, false, ""},
    {MH_RECORD_INTENT, MH_OP_INSERT, 0, 1, 0, 1000, false, ""},
    {MH_RECORD_INTENT, MH_OP_DELETE, 0, 2, 0, 27, true, ""},
    {MH_RECORD_INTENT, MH_OP_UPSERT, 0, 3, 0, 13, true, ""},
    {MH_RECORD_DONE, MH_OP_DELETE, MH_OUTCOME_UNKNOWN, 2, 0, 27, true, "Deadline Exceeded"},
    {MH_RECORD_DONE, MH_OP_QUERY, MH_OUTCOME_FAILED, -1, 5, 3, false, "no such collection"},
    {MH_RECORD_INTENT, MH_OP_UPSERT, 0, 2, 1, 1, true, ""},
    {MH_RECORD_INTENT, MH_OP_INSERT, 0, 1, 1, 500, false, ""},
    {MH_RECORD_DONE, MH_OP_INSERT, MH_OUTCOME_OK, 1, 0, 1000, false, ""},
    {MH_RECORD_UNSENT, MH_OP_INSERT, 0, 1, -1, 4000000000u, false, ""},
    {MH_RECORD_DONE, MH_OP_UPSERT, MH_OUTCOME_OK, 3, 0, 13, true, ""},
    {MH_RECORD_INTENT, MH_OP_DELETE, 0, 3, 1, 14, true, ""},
    {MH_RECORD_INTENT, MH_OP_DELETE, 0, 4, 0, 9, true, ""},
    {MH_RECORD_UNSENT, MH_OP_DELETE, 0, 4, 0, 1, false, ""}, /* that one was called off */
    {MH_RECORD_END, 0, 0, -1, 0, 0, false, ""},
};

static int64_t key_of(const struct event *event, uint32_t i)
{
    return (1LL << 47) - 1 - (event->worker * 1000 + event->sequence * 100) * 7 - (int64_t)i * 3;
}

static uint16_t version_of(const struct event *event, uint32_t i)
{
    return (uint16_t)(65535 - event->worker - (int)i);
}

static struct mh_record record_of(const struct event *event)
{
    struct mh_record record;
    memset(&record, 0, sizeof record);
    record = (struct mh_record){.type = event->type,
                                .kind = event->kind,
                                .outcome = event->outcome,
                                .stage = 1,
                                .role = 2,
                                .worker = event->worker,
                                .sequence = event->sequence,
                                .rows = event->rows,
                                .attempts = 3,
                                .first_id = event->scattered ? key_of(event, 0) : 123456789,
                                .due_ns = 77,
                                .server_ts = ~0ULL};
    if (event->scattered && event->type == MH_RECORD_INTENT)
        record.flags = MH_RECORD_SCATTERED;
    return record;
}

#endif
