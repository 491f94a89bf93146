/* Proxies that workers moved away from. Each rank notes its own; those that overlap become one event. */
#include "run/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>

/* On rank 0, in times since the run began, which all ranks share. */
static int gather(struct mh_run *run, struct mh_absence **all, size_t *count, struct mh_error *err)
{
    const struct mh_absence *noted;
    const size_t here = mh_rpc_absences(run->rpc, &noted);
    struct mh_absence *mine = calloc(here + 1, sizeof *mine);
    void *gathered = NULL;
    size_t bytes = 0;
    if (mh_comm_agree(run->comm, mine ? 0 : mh_fail(err, "out of memory for events"), err) != 0) {
        free(mine);
        return -1;
    }
    for (size_t i = 0; i < here; i++) {
        mine[i] = noted[i];
        mine[i].from_ns -= run->start_ns;
        mine[i].back_ns = noted[i].back_ns > 0 ? noted[i].back_ns - run->start_ns : INT64_MAX;
    }
    const int rc = mh_comm_collect_bytes(run->comm, mine, here * sizeof *mine, &gathered, &bytes, err);
    free(mine);
    *all = gathered;
    *count = bytes / sizeof **all;
    return rc;
}

static int by_uri_and_time(const void *a, const void *b)
{
    const struct mh_absence *x = a, *y = b;
    if (x->uri != y->uri)
        return x->uri < y->uri ? -1 : 1;
    return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

/* It is back when the last rank has found it so. */
static size_t join(struct mh_absence *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct mh_absence *last = kept > 0 ? &items[kept - 1] : NULL;
        if (!last || last->uri != items[i].uri || last->back_ns < items[i].from_ns) {
            items[kept++] = items[i];
            continue;
        }
        last->moved += items[i].moved;
        last->silent &= items[i].silent;
        last->back_ns = items[i].back_ns > last->back_ns ? items[i].back_ns : last->back_ns;
    }
    return kept;
}

static int report_one(struct mh_run *run, int stage, const struct mh_absence *absence)
{
    const bool ended = absence->back_ns < INT64_MAX;
    const int64_t lasted_ns = ended ? absence->back_ns - absence->from_ns : -1;
    struct mh_event event = {.kind = MH_EVENT_PROXY,
                             .stage = stage,
                             .role = -1,
                             .time_ns = absence->from_ns,
                             .duration_ns = lasted_ns};
    char back[52] = "not used again", lasted[32];
    if (ended)
        snprintf(back, sizeof back, "used again %.31s later",
                 mh_show_duration(lasted_ns, lasted, sizeof lasted));
    snprintf(event.what, sizeof event.what, "proxy %.90s: %s; %lld connection%s moved to others; %s",
             run->job->server.uris.items[absence->uri], absence->silent ? "no answer" : "no connection",
             (long long)absence->moved, absence->moved == 1 ? "" : "s", back);
    mh_warn("%s", event.what);
    return mh_events_add(&run->events, &event);
}

int mh_absences_report(struct mh_run *run, int stage, struct mh_error *err)
{
    struct mh_absence *all = NULL;
    size_t count = 0;
    if (gather(run, &all, &count, err) != 0)
        return -1;
    int rc = 0;
    if (count > 0)
        qsort(all, count, sizeof *all, by_uri_and_time);
    const size_t kept = join(all, count);
    for (size_t i = 0; run->rank == 0 && rc == 0 && i < kept; i++)
        rc = report_one(run, stage, &all[i]);
    free(all);
    return mh_comm_agree(run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for events"), err);
}
