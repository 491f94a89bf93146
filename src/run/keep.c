#include "run/keep.h"

#include "base/clock.h"
#include "base/grow.h"
#include "run/stage.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT "the journal's format: another size wants another MH_JOURNAL_FORMAT"
_Static_assert(sizeof(struct mh_kept_chaos) == 232, FORMAT);
_Static_assert(sizeof(struct mh_outage) == 56, FORMAT);
_Static_assert(sizeof(struct mh_kept_absence) == 48, FORMAT);
_Static_assert(sizeof(struct mh_kept_judged) == 232, FORMAT);
_Static_assert(sizeof(struct mh_recall_point) == 48, FORMAT);
_Static_assert(sizeof(struct mh_probe) == 200, FORMAT);
_Static_assert(sizeof(struct mh_peak) == 40, FORMAT);
_Static_assert(sizeof(struct mh_kept_sums) == 40, FORMAT);

/* ---- to the journal ---- */

void mh_keep_sums(struct mh_run *run)
{
    const struct mh_kept_sums now = run->sums, then = run->kept_sums;
    const struct mh_kept_sums more = {.own_searched = now.own_searched - then.own_searched,
                                      .own_found = now.own_found - then.own_found,
                                      .own_contradicted = now.own_contradicted - then.own_contradicted,
                                      .own_left = now.own_left - then.own_left,
                                      .chaos_failed = now.chaos_failed - then.chaos_failed};
    run->kept_sums = now;
    if (more.own_searched > 0 || more.own_contradicted > 0 || more.own_left > 0 || more.chaos_failed > 0)
        mh_journal_keep(&run->journal, MH_KEPT_SUMS, &more, 1, sizeof more);
}

/* The figures last: with them all of it is there. */
void mh_keep_judged(struct mh_run *run, const struct mh_hits *hits)
{
    struct mh_kept_judged judged = {.number = run->judgements++,
                                    .stage = run->stage,
                                    .operations = run->reads.operations,
                                    .figures = hits->figures};
    memcpy(judged.behind_ns, hits->behind_ns, sizeof judged.behind_ns);
    if (run->rank == 0)
        mh_journal_keep(&run->journal, MH_KEPT_RECALL, hits->recall, hits->recall_count,
                        sizeof *hits->recall);
    mh_journal_keep(&run->journal, MH_KEPT_MISSED, hits->missed, hits->missed_count, sizeof *hits->missed);
    mh_journal_keep(&run->journal, MH_KEPT_JUDGED, &judged, 1, sizeof judged);
    mh_journal_flush(&run->journal);
}

/* ---- and back: does it fit the job? ---- */

static bool has_stage(const struct mh_kept *kept, int64_t stage)
{
    return stage >= 0 && stage < (int64_t)kept->run->job->stage_count;
}

static bool has_role(const struct mh_kept *kept, int64_t stage, int64_t role)
{
    return has_stage(kept, stage) && role >= 0 && role < (int64_t)kept->run->job->stages[stage].role_count;
}

static bool searches(const struct mh_kept *kept, int64_t stage, int64_t role)
{
    return has_role(kept, stage, role) && kept->run->job->stages[stage].find_max.role;
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool chaos_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_kept_chaos *chaos = item;
    return has_stage(kept, chaos->event.stage) && chaos->event.kind == MH_EVENT_CHAOS &&
           chaos->event.role == -1 && ends(chaos->event.what, sizeof chaos->event.what);
}

static bool outage_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_outage *outage = item;
    return has_role(kept, outage->stage, outage->role) && outage->unlisted >= 0;
}

static bool absence_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_kept_absence *one = item;
    const int64_t stages = (int64_t)kept->run->job->stage_count;
    return (has_stage(kept, one->stage) || one->stage == stages) && one->absence.uri >= 0 &&
           (size_t)one->absence.uri < kept->run->job->server.uris.count;
}

/* Each rank has them all, from the first on. */
static bool judged_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_kept_judged *judged = item;
    return has_stage(kept, judged->stage) && judged->operations >= 0 && judged->number >= 0 &&
           judged->number <= kept->run->judgements;
}

static bool recall_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_recall_point *point = item;
    return has_role(kept, point->stage, point->role) && point->wanted > 0;
}

static bool anything(const struct mh_kept *kept, const void *item)
{
    (void)kept;
    (void)item;
    return true;
}

static bool probe_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_probe *probe = item;
    return searches(kept, probe->stage, probe->role) && ends(probe->why, sizeof probe->why);
}

static bool peak_fits(const struct mh_kept *kept, const void *item)
{
    const struct mh_peak *peak = item;
    return searches(kept, peak->stage, peak->role) && (int)peak->outcome >= 0 &&
           peak->outcome < MH_PEAK_OUTCOMES;
}

/* ---- taking it ---- */

/* In place of what the same rank had said of it before, if it had. */
static int put(struct mh_kept_list *list, const void *item, size_t size,
               bool (*same)(const void *a, const void *b))
{
    int64_t at = list->first;
    while (at < list->count && !same((const char *)list->items + (size_t)at * size, item))
        at++;
    if (at == list->count && !mh_grow(&list->items, &list->room, list->count, size))
        return -1;
    memcpy((char *)list->items + (size_t)at * size, item, size);
    list->count += at == list->count;
    return 0;
}

static bool same_chaos(const void *a, const void *b)
{
    const struct mh_kept_chaos *x = a, *y = b;
    return x->event.stage == y->event.stage && x->number == y->number;
}

static bool same_outage(const void *a, const void *b)
{
    const struct mh_outage *x = a, *y = b;
    return x->stage == y->stage && x->role == y->role && x->number == y->number;
}

static bool same_absence(const void *a, const void *b)
{
    const struct mh_kept_absence *x = a, *y = b;
    return x->stage == y->stage && x->absence.uri == y->absence.uri &&
           x->absence.from_ns == y->absence.from_ns;
}

static int take_chaos(struct mh_kept *kept, const void *item)
{
    return put(&kept->chaos, item, sizeof(struct mh_kept_chaos), same_chaos);
}

static int take_outage(struct mh_kept *kept, const void *item)
{
    return put(&kept->outages, item, sizeof(struct mh_outage), same_outage);
}

static int take_absence(struct mh_kept *kept, const void *item)
{
    return put(&kept->absences, item, sizeof(struct mh_kept_absence), same_absence);
}

static int take_judged(struct mh_kept *kept, const void *item)
{
    const struct mh_kept_judged *judged = item;
    struct mh_run *run = kept->run;
    kept->judged[judged->stage] += judged->operations;
    if (judged->number < run->judgements) /* another rank has said it */
        return 0;
    run->judgements++;
    mh_judge_add(run, &judged->figures, judged->behind_ns);
    return 0;
}

static int take_recall(struct mh_kept *kept, const void *item)
{
    struct mh_run *run = kept->run;
    if (!mh_grow(&run->recall, &run->recall_room, run->recall_count, sizeof *run->recall))
        return -1;
    run->recall[run->recall_count++] = *(const struct mh_recall_point *)item;
    return 0;
}

static int take_missed(struct mh_kept *kept, const void *item)
{
    struct mh_run *run = kept->run;
    if (!mh_grow(&run->missed, &run->missed_room, run->missed_count, sizeof *run->missed))
        return -1;
    run->missed[run->missed_count++] = *(const int64_t *)item;
    return 0;
}

static int take_probe(struct mh_kept *kept, const void *item)
{
    return mh_probes_add(&kept->run->probes, item);
}

static int take_peak(struct mh_kept *kept, const void *item)
{
    return mh_probes_add_peak(&kept->run->probes, item);
}

static int take_sums(struct mh_kept *kept, const void *item)
{
    const struct mh_kept_sums *more = item;
    struct mh_kept_sums *sums = &kept->run->sums;
    sums->own_searched += more->own_searched;
    sums->own_found += more->own_found;
    sums->own_contradicted += more->own_contradicted;
    sums->own_left += more->own_left;
    sums->chaos_failed += more->chaos_failed;
    return 0;
}

static const struct {
    size_t size;
    bool (*fits)(const struct mh_kept *kept, const void *item);
    int (*take)(struct mh_kept *kept, const void *item); /* -1: no memory */
} sorts[MH_KEPT_SORTS] = {
    [MH_KEPT_CHAOS] = {sizeof(struct mh_kept_chaos), chaos_fits, take_chaos},
    [MH_KEPT_OUTAGE] = {sizeof(struct mh_outage), outage_fits, take_outage},
    [MH_KEPT_ABSENCE] = {sizeof(struct mh_kept_absence), absence_fits, take_absence},
    [MH_KEPT_JUDGED] = {sizeof(struct mh_kept_judged), judged_fits, take_judged},
    [MH_KEPT_RECALL] = {sizeof(struct mh_recall_point), recall_fits, take_recall},
    [MH_KEPT_MISSED] = {sizeof(int64_t), anything, take_missed},
    [MH_KEPT_PROBE] = {sizeof(struct mh_probe), probe_fits, take_probe},
    [MH_KEPT_PEAK] = {sizeof(struct mh_peak), peak_fits, take_peak},
    [MH_KEPT_SUMS] = {sizeof(struct mh_kept_sums), anything, take_sums},
};

int mh_kept_take(struct mh_kept *kept, int sort, const void *items, int64_t count, size_t size,
                 struct mh_error *err)
{
    const bool known = sort >= 0 && sort < MH_KEPT_SORTS && size == sorts[sort].size;
    for (int64_t i = 0; known && i < count; i++) {
        const void *item = (const char *)items + (size_t)i * size;
        if (!sorts[sort].fits(kept, item))
            return mh_fail(err, "what it keeps beside operations does not fit the job: sort %d", sort);
        if (sorts[sort].take(kept, item) != 0)
            return mh_fail(err, "out of memory");
    }
    return known ? 0
                 : mh_fail(err, "what it keeps beside operations is of sort %d and %zu bytes: not known",
                           sort, size);
}

/* ---- reads that were not judged ---- */

/* Searches and queries that came back to roles that leave the judgement to the stage's end. */
static int64_t count_reads(const struct mh_run *run, size_t stage)
{
    const struct mh_stage_options *options = &run->job->stages[stage];
    int64_t sum = 0;
    for (size_t r = 0; r < options->role_count; r++) {
        const struct mh_role_ops *ops = mh_role_ops_of(&options->roles[r]);
        struct mh_tally *const *cells =
            &run->tallies.cells[(stage * (size_t)run->tallies.roles + r) * MH_TALLY_KINDS];
        if (!ops->reads || ops->probes)
            continue;
        sum += cells[MH_OP_SEARCH] ? cells[MH_OP_SEARCH]->ok : 0;
        sum += cells[MH_OP_QUERY] ? cells[MH_OP_QUERY]->ok : 0;
    }
    return sum;
}

void mh_kept_begin_rank(struct mh_kept *kept)
{
    kept->chaos.first = kept->chaos.count;
    kept->outages.first = kept->outages.count;
    kept->absences.first = kept->absences.count;
    for (size_t s = 0; s < kept->run->job->stage_count; s++) {
        kept->judged[s] = 0;
        kept->before[s] = count_reads(kept->run, s);
    }
}

void mh_kept_end_rank(struct mh_kept *kept)
{
    for (size_t s = 0; s < kept->run->job->stage_count; s++) {
        const int64_t left = count_reads(kept->run, s) - kept->before[s] - kept->judged[s];
        kept->unjudged[s] += left > 0 ? left : 0; /* judged, and in no summary any more */
    }
}

/* ---- all of it ---- */

int mh_kept_open(struct mh_kept *kept, struct mh_run *run)
{
    const size_t stages = run->job->stage_count + 1;
    *kept = (struct mh_kept){.run = run,
                             .judged = calloc(stages, sizeof(int64_t)),
                             .before = calloc(stages, sizeof(int64_t)),
                             .unjudged = calloc(stages, sizeof(int64_t))};
    return kept->judged && kept->before && kept->unjudged ? 0 : -1;
}

void mh_kept_free(struct mh_kept *kept)
{
    free(kept->chaos.items);
    free(kept->outages.items);
    free(kept->absences.items);
    free(kept->judged);
    free(kept->before);
    free(kept->unjudged);
}

static bool has_peak(const struct mh_probes *probes, int stage)
{
    for (int64_t i = 0; i < probes->peak_count; i++)
        if (probes->peaks[i].stage == stage)
            return true;
    return false;
}

static const struct mh_probe *first_probe(const struct mh_probes *probes, int stage)
{
    const struct mh_probe *probe = probes->items;
    while (probe->stage != stage)
        probe++;
    return probe;
}

/* A search for a rate that had begun, and has no outcome. */
static int break_off(struct mh_probes *probes, int stage)
{
    const struct mh_probe *last = mh_probes_last(probes, stage);
    if (!last || has_peak(probes, stage))
        return 0;
    const int64_t before_ns = last->begin_ns - first_probe(probes, stage)->begin_ns;
    const struct mh_peak peak = {.stage = stage,
                                 .role = last->role,
                                 .outcome = MH_PEAK_BROKEN_OFF,
                                 .probes = last->number,
                                 .seconds = (double)before_ns / (double)MH_S + last->seconds};
    return mh_probes_add_peak(probes, &peak);
}

int mh_kept_close(struct mh_kept *kept, int64_t end_ns)
{
    struct mh_run *run = kept->run;
    const struct mh_kept_chaos *chaos = kept->chaos.items;
    struct mh_outage *outages = kept->outages.items;
    int rc = 0;
    for (int64_t i = 0; rc == 0 && i < kept->chaos.count; i++)
        rc = mh_events_add(&run->events, &chaos[i].event);
    for (int64_t i = 0; i < kept->outages.count; i++)
        if (outages[i].last_ns == 0) /* it lasted until then */
            outages[i].first_ns = outages[i].last_ns = end_ns;
    if (rc != 0 || mh_outages_tell(run, outages, (size_t)kept->outages.count) != 0 ||
        mh_absences_tell(run, kept->absences.items, (size_t)kept->absences.count) != 0)
        return -1;
    for (size_t s = 0; rc == 0 && s < run->job->stage_count; s++)
        rc = break_off(&run->probes, (int)s);
    return rc;
}
