/* Monotonic reads: what a reader saw in a newer version, it does not see in an older one later. Only rows
 * that bring fields which tell versions, and only those that were seen changed, so nothing is kept without
 * upserts.
 */
#include "base/alive.h"
#include "base/grow.h"
#include "truth/hits.h"

#include <stdlib.h>

struct sight {
    int64_t id;
    const struct mh_reading *reading;
    const struct mh_seen *seen;
};

struct sights {
    struct sight *items;
    int64_t count, room;
};

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_row(const void *a, const void *b)
{
    const struct sight *x = a, *y = b;
    const int workers = order(x->reading->worker, y->reading->worker);
    return workers ? workers : order(x->id, y->id);
}

static int by_sent(const void *a, const void *b)
{
    const struct sight *x = a, *y = b;
    const int rows = by_row(a, b);
    return rows ? rows : order(x->reading->sent_ns, y->reading->sent_ns);
}

static int by_done(const void *a, const void *b)
{
    const struct sight *x = a, *y = b;
    const int rows = by_row(a, b);
    return rows ? rows : order(x->reading->done_ns, y->reading->done_ns);
}

static int put(struct sights *sights, const struct sight *sight)
{
    if (!mh_grow(&sights->items, &sights->room, sights->count, sizeof *sights->items))
        return -1;
    sights->items[sights->count++] = *sight;
    return 0;
}

/* Sorted by row. */
static bool holds_row(const struct sights *sights, const struct sight *sight)
{
    return bsearch(sight, sights->items, (size_t)sights->count, sizeof *sights->items, by_row) != NULL;
}

static void sort(struct sights *sights, int (*compare)(const void *, const void *))
{
    if (sights->count > 1)
        qsort(sights->items, (size_t)sights->count, sizeof *sights->items, compare);
}

/* The sights of the rows that `changed` holds; without it, those of a changed version. */
static int collect(const struct mh_reads *reads, const struct sights *changed, struct sights *out)
{
    const struct mh_reading *reading;
    for (size_t at = 0; (reading = mh_reads_next(reads, &at));) {
        const struct mh_seen *rows = mh_reading_rows(reading);
        for (int32_t i = 0; i < reading->rows; i++) {
            const struct sight sight = {rows[i].id, reading, &rows[i]};
            if (rows[i].claim < (changed ? 0 : 1) || (changed && !holds_row(changed, &sight)))
                continue;
            if (put(out, &sight) != 0)
                return -1;
        }
    }
    return 0;
}

static void condemn(struct mh_hits *hits, const struct sight *sight, int32_t newest)
{
    const struct mh_violation violation = {.kind = MH_NON_MONOTONIC,
                                           .id = sight->id,
                                           .expected_version = newest,
                                           .seen_version = sight->seen->claim};
    if (sight->reading->consistency != MH_STRONG)
        hits->figures.non_monotonic++; /* of others' writes no other level promises it, session neither */
    else if (hits->allow_non_monotonic)
        hits->figures.allowed++;
    else
        mh_hits_condemn(hits, sight->reading, &violation);
}

/* In every version that has the fields which it shows; where it is no more than counted, in the first. */
static bool is_older(const struct mh_content *content, const struct sight *sight, int32_t newest)
{
    if (sight->seen->claim >= newest || sight->reading->consistency != MH_STRONG)
        return sight->seen->claim < newest;
    mh_alive();
    for (int32_t version = newest; version <= MH_LAST_VERSION; version++)
        if (mh_seen_fits(content, sight->reading, sight->seen, version))
            return false;
    return true;
}

/* Of each row, the sights in the order they were asked for, beside those that had come by then. */
static void judge(struct mh_hits *hits, const struct sights *sent, const struct sights *done)
{
    int32_t newest = -1;
    for (int64_t i = 0, come = 0; i < sent->count; i++) {
        const struct sight *sight = &sent->items[i];
        if (i == 0 || by_row(sight, sight - 1) != 0) {
            newest = -1;
            come = i; /* both orders have a row's sights in the same places */
        }
        for (; by_row(&done->items[come], sight) == 0 &&
               done->items[come].reading->done_ns < sight->reading->sent_ns;
             come++)
            if (done->items[come].seen->claim > newest)
                newest = done->items[come].seen->claim;
        if (is_older(hits->content, sight, newest))
            condemn(hits, sight, newest);
    }
}

int mh_hits_judge_monotonic(struct mh_hits *hits)
{
    struct sights changed = {0}, sent = {0}, done = {0};
    int rc = collect(hits->reads, NULL, &changed);
    sort(&changed, by_row);
    if (rc == 0 && changed.count > 0)
        rc = collect(hits->reads, &changed, &sent);
    for (int64_t i = 0; rc == 0 && i < sent.count; i++)
        rc = put(&done, &sent.items[i]);
    if (rc == 0) {
        sort(&sent, by_sent);
        sort(&done, by_done);
        judge(hits, &sent, &done);
    }
    free(changed.items);
    free(sent.items);
    free(done.items);
    return rc;
}
