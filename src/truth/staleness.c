/* How far behind the reads were that may lag: rows that were shown although they had been replaced or deleted
 * before the read was sent, and how long before. Measured, not judged: within what its level allows a read is
 * right all the same. */
#include "comm/comm.h"
#include "truth/hits.h"
#include "truth/slice.h"

#include <stdlib.h>
#include <string.h>

struct shown {
    int64_t id, sent_ns;
    int32_t version, consistency;
};

/* Only of rows that a write may have been under way of, as far as the read could tell. */
static bool may_be_behind(const struct mh_reading *reading, const struct mh_standing *standing)
{
    return reading->consistency != MH_STRONG && standing->kind == MH_STANDS_PERHAPS;
}

int mh_staleness_note(const struct mh_hits *hits, const struct mh_reading *reading,
                      const struct mh_standing *standings, struct mh_bytes *to)
{
    const struct mh_seen *rows = mh_reading_rows(reading);
    for (int32_t i = 0; i < reading->rows; i++) {
        if (!may_be_behind(reading, &standings[i]) || rows[i].claim == MH_CLAIM_FALSE)
            continue;
        const struct shown shown = {.id = rows[i].id,
                                    .sent_ns = reading->sent_ns,
                                    .version = mh_hits_newest(hits, reading, &rows[i], &standings[i]),
                                    .consistency = reading->consistency};
        if (mh_bytes_append(&to[mh_slice_owner(hits->plan, shown.id)], &shown, sizeof shown) != 0)
            return -1;
    }
    return 0;
}

static void measure(struct mh_hits *hits, const struct shown *shown)
{
    const int64_t behind =
        mh_history_replaced(hits->history, shown->id, shown->version, shown->sent_ns - hits->doubt.clock_ns);
    if (behind <= 0)
        return;
    hits->figures.behind[shown->consistency]++;
    if (behind > hits->behind_ns[shown->consistency])
        hits->behind_ns[shown->consistency] = behind;
}

int mh_staleness_measure(struct mh_hits *hits, struct mh_bytes *to, struct mh_error *err)
{
    struct mh_bytes received = {0};
    struct shown shown;
    if (mh_comm_exchange(hits->comm, to, &received, NULL, err) != 0)
        return -1;
    for (size_t at = 0; at < received.length; at += sizeof shown) {
        memcpy(&shown, received.data + at, sizeof shown);
        measure(hits, &shown);
    }
    free(received.data);
    for (int r = 0; r < hits->plan->np; r++)
        to[r].length = 0;
    return 0;
}
