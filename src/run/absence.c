/* Proxies that workers moved away from. Each rank notes its own; those that overlap become one event. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "comm/comm.h"
#include "run/keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In times since the run began, which all ranks share. */
static struct mh_kept_absence since_begin(const struct mh_run *run, const struct mh_absence *noted)
{
    struct mh_kept_absence kept = {.absence = *noted, .stage = run->stage};
    kept.absence.from_ns -= run->start_ns;
    kept.absence.back_ns = noted->back_ns > 0 ? noted->back_ns - run->start_ns : INT64_MAX;
    return kept;
}

static bool changed(const struct mh_absence *a, const struct mh_absence *b)
{
    return a->from_ns != b->from_ns || a->back_ns != b->back_ns || a->moved != b->moved ||
           a->silent != b->silent || a->unlisted != b->unlisted;
}

void mh_keep_absences(struct mh_run *run)
{
    const struct mh_absence *noted;
    const size_t count = mh_rpc_absences(run->rpc, &noted);
    for (size_t i = 0; i < count; i++) {
        if (!changed(&noted[i], &run->kept_absences[i]))
            continue;
        const struct mh_kept_absence kept = since_begin(run, &noted[i]);
        run->kept_absences[i] = noted[i];
        mh_journal_keep(&run->journal, MH_KEPT_ABSENCE, &kept, 1, sizeof kept);
    }
}

/* On rank 0. */
static int gather(struct mh_run *run, struct mh_kept_absence **all, size_t *count, struct mh_error *err)
{
    const struct mh_absence *noted;
    const size_t here = mh_rpc_absences(run->rpc, &noted);
    struct mh_kept_absence *mine = calloc(here + 1, sizeof *mine);
    void *gathered = NULL;
    size_t bytes = 0;
    if (mh_comm_agree(run->comm, mine ? 0 : mh_fail(err, "out of memory for events"), err) != 0) {
        free(mine);
        return -1;
    }
    for (size_t i = 0; i < here; i++)
        mine[i] = since_begin(run, &noted[i]);
    const int rc = mh_comm_collect_bytes(run->comm, mine, here * sizeof *mine, &gathered, &bytes, err);
    free(mine);
    *all = gathered;
    *count = bytes / sizeof **all;
    return rc;
}

static int by_uri_and_time(const void *a, const void *b)
{
    const struct mh_kept_absence *x = a, *y = b;
    if (x->stage != y->stage)
        return x->stage < y->stage ? -1 : 1;
    if (x->absence.uri != y->absence.uri)
        return x->absence.uri < y->absence.uri ? -1 : 1;
    return x->absence.from_ns < y->absence.from_ns ? -1 : x->absence.from_ns > y->absence.from_ns;
}

static bool overlap(const struct mh_kept_absence *a, const struct mh_kept_absence *b)
{
    return a->stage == b->stage && a->absence.uri == b->absence.uri &&
           a->absence.back_ns >= b->absence.from_ns;
}

/* It is back when the last rank has found it so. */
static size_t join(struct mh_kept_absence *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !overlap(&items[kept - 1], &items[i])) {
            items[kept++] = items[i];
            continue;
        }
        struct mh_absence *last = &items[kept - 1].absence;
        const struct mh_absence *more = &items[i].absence;
        last->moved += more->moved;
        last->unlisted += more->unlisted;
        last->silent &= more->silent;
        last->back_ns = more->back_ns > last->back_ns ? more->back_ns : last->back_ns;
    }
    return kept;
}

static int report_one(struct mh_run *run, const struct mh_kept_absence *kept)
{
    const struct mh_absence *absence = &kept->absence;
    const bool ended = absence->back_ns < INT64_MAX;
    const int64_t lasted_ns = ended ? absence->back_ns - absence->from_ns : -1;
    struct mh_event event = {.kind = MH_EVENT_PROXY,
                             .stage = (int32_t)kept->stage,
                             .role = -1,
                             .time_ns = absence->from_ns,
                             .duration_ns = lasted_ns};
    char back[52] = "not used again", lasted[32], unlisted[64] = "";
    if (ended)
        snprintf(back, sizeof back, "used again %.31s later",
                 mh_show_duration(lasted_ns, lasted, sizeof lasted));
    if (absence->unlisted > 0)
        snprintf(unlisted, sizeof unlisted, ", and left %lld more times meanwhile",
                 (long long)absence->unlisted);
    snprintf(event.what, sizeof event.what, "proxy %.*s: %s; %lld connection%s moved to others; %s%s",
             unlisted[0] ? 50 : 90, run->job->server.uris.items[absence->uri],
             absence->silent ? "no answer" : "no connection", (long long)absence->moved,
             absence->moved == 1 ? "" : "s", back, unlisted);
    mh_warn("%s", event.what);
    return mh_events_add(&run->events, &event);
}

int mh_absences_tell(struct mh_run *run, struct mh_kept_absence *items, size_t count)
{
    int rc = 0;
    if (count > 0)
        qsort(items, count, sizeof *items, by_uri_and_time);
    const size_t kept = join(items, count);
    for (size_t i = 0; rc == 0 && i < kept; i++)
        rc = report_one(run, &items[i]);
    return rc;
}

int mh_absences_report(struct mh_run *run, struct mh_error *err)
{
    struct mh_kept_absence *all = NULL;
    size_t count = 0;
    mh_keep_absences(run);
    int rc = gather(run, &all, &count, err);
    mh_rpc_forget_absences(run->rpc);
    memset(run->kept_absences, 0, sizeof run->kept_absences);
    if (rc != 0)
        return -1;
    if (run->rank == 0)
        rc = mh_absences_tell(run, all, count);
    free(all);
    return mh_comm_agree(run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for events"), err);
}
