/* What a rank keeps beside operations: it comes back from the journals of all ranks as the run itself would
 * have told it; what does not fit the job is an error; cut off anywhere, what was there before is whole. */
#include "run/keep.h"

#include "base/clock.h"
#include "no_record.h"
#include "role/role.h"
#include "rpc/absences.h"
#include "run/stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char job_text[] =
    "server: {uris: ['http://one:1', 'http://two:2']}\n"
    "dataset: {synthetic: {rows: 100, dim: 4}}\n"
    "collection:\n"
    "  name: things\n"
    "  fields:\n"
    "    - {name: id, type: int64, primary: true}\n"
    "    - {name: vector, type: float_vector}\n"
    "  index: {type: FLAT, metric: L2}\n"
    "stages:\n"
    "  - {name: fill, roles: [{role: writer}]}\n"
    "  - {name: look, roles: [{role: searcher}, {role: querier}]}\n"
    "  - name: peak\n"
    "    roles: [{role: searcher}]\n"
    "    find_max: {role: searcher, from: 10/s, to: 100/s, probe: 1s, within: 60s, errors: 1%}\n";
enum { FILL, LOOK, PEAK, RANKS = 2 };

static const int64_t start_ns = 5000 * MH_S;
static char folder[64];
static struct mh_job *job;
static struct mh_run alive[RANKS], dead; /* as they were; what is made of their journals */
static struct mh_kept kept;

static int set_up(void **state)
{
    struct mh_error err = {""};
    (void)state;
    strcpy(folder, "/tmp/mh-keep-XXXXXX");
    assert_non_null(mkdtemp(folder));
    if (mh_job_parse("job.yaml", job_text, NULL, 0, mh_role_kinds, &job, &err) != 0)
        fail_msg("%s", err.text);
    memset(&dead, 0, sizeof dead);
    dead.job = job;
    assert_int_equal(mh_tallies_init(&dead.tallies, job, 0), 0);
    assert_int_equal(mh_kept_open(&kept, &dead), 0);
    for (int rank = 0; rank < RANKS; rank++) {
        const struct mh_journal_start start = {.rank = rank, .np = RANKS, .start_ns = start_ns};
        alive[rank] = (struct mh_run){.job = job, .rank = rank, .np = RANKS, .start_ns = start_ns};
        assert_int_equal(mh_journal_open(&alive[rank].journal, folder, &start, &err), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int rank = 0; rank < RANKS; rank++)
        mh_journal_close(&alive[rank].journal, true);
    mh_kept_free(&kept);
    mh_tallies_free(&dead.tallies);
    mh_events_free(&dead.events);
    mh_probes_free(&dead.probes);
    free(dead.recall);
    free(dead.missed);
    mh_job_free(job);
    return rmdir(folder);
}

static int keep(void *context, int sort, const void *items, int64_t count, size_t size, struct mh_error *err)
{
    return mh_kept_take(context, sort, items, count, size, err);
}

static int read_rank(int rank, struct mh_error *err)
{
    const struct mh_journal_rest rest = {.tallies = &dead.tallies, .keep = keep};
    struct mh_journal_start start;
    struct mh_journal_end end;
    mh_journal_flush(&alive[rank].journal);
    mh_kept_begin_rank(&kept);
    const int rc = mh_journal_read_all(alive[rank].journal.path, &start, no_record, &kept, &rest, &end, err);
    mh_kept_end_rank(&kept);
    return rc;
}

static void read_all(void)
{
    struct mh_error err = {""};
    for (int rank = 0; rank < RANKS; rank++)
        if (read_rank(rank, &err) != 0)
            fail_msg("%s", err.text);
    assert_int_equal(mh_kept_close(&kept, 100 * MH_S), 0);
    mh_events_sort(&dead.events);
}

static void put(int rank, enum mh_kept_sort sort, const void *item, size_t size)
{
    mh_journal_keep(&alive[rank].journal, sort, item, 1, size);
}

/* ---- events ---- */

static void put_outage(int rank, int number, int64_t from_s, int64_t to_s, bool ended)
{
    const struct mh_outage outage = {.stage = LOOK,
                                     .role = 1,
                                     .ranks = 1,
                                     .ended = ended,
                                     .number = number,
                                     .from_ns = from_s * MH_S,
                                     .first_ns = to_s * MH_S,
                                     .last_ns = to_s * MH_S};
    put(rank, MH_KEPT_OUTAGE, &outage, sizeof outage);
}

static void check_event(int at, int64_t from_s, int64_t lasted_s, const char *says)
{
    const struct mh_event *event = &dead.events.items[at];
    assert_int_equal(event->kind, MH_EVENT_OUTAGE);
    assert_int_equal(event->stage, LOOK);
    assert_int_equal(event->role, 1);
    assert_int_equal(event->time_ns, from_s * MH_S);
    assert_int_equal(event->duration_ns, lasted_s < 0 ? -1 : lasted_s * MH_S);
    if (!strstr(event->what, says))
        fail_msg("'%s' is not in '%s'", says, event->what);
}

/* Of a stage that has ended, and of one that has not: those that overlap are one. */
static void outages_of_all_ranks_become_one(void **state)
{
    (void)state;
    put_outage(0, 0, 3, 0, false);
    put_outage(0, 0, 3, 5, true); /* the same, and its end */
    put_outage(1, 0, 4, 0, false);
    put_outage(1, 0, 4, 7, true);
    put_outage(1, 1, 20, 0, false);
    put_outage(1, 1, 20, 30, false); /* the stage ended before */
    put_outage(0, 1, 40, 0, false);
    read_all();
    assert_int_equal(dead.events.count, 3);
    check_event(0, 3, 2, "querier: calls broke; first success 2 s later, on the last of 2 ranks 4 s later");
    check_event(1, 20, -1, "no success until the stage ended, 10 s later");
    check_event(2, 40, -1, "no success until the stage ended, 1 m later");
}

static void cut_off(struct mh_stage *stage, int role, int64_t from_s, int64_t to_s)
{
    const struct mh_worker worker = {.role = role};
    const struct mh_op broken = {
        .worker = &worker, .call = {.status = MH_GRPC_UNAVAILABLE, .done_ns = start_ns + from_s * MH_S}};
    const struct mh_op well = {
        .worker = &worker,
        .outcome = MH_OUTCOME_OK,
        .call = {.sent_ns = start_ns + to_s * MH_S, .done_ns = start_ns + to_s * MH_S}};
    mh_outages_see(stage, &broken);
    mh_outages_see(stage, &broken); /* the same outage */
    mh_outages_see(stage, &well);
}

static void check_cut_off(int at, int role, int64_t from_s, const char *says)
{
    const struct mh_event *event = &dead.events.items[at];
    assert_int_equal(event->role, role);
    assert_int_equal(event->time_ns, from_s * MH_S);
    assert_int_equal(event->duration_ns, 2 * MH_S);
    assert_string_equal(event->what, says);
}

/* As in a soak of a week: the first ones and the last one are told, and how many there were between. Records
 * of those that are not come at intervals, not with each. */
static void outages_beyond_those_listed_are_counted(void **state)
{
    (void)state;
    enum { BEYOND = 136, ALL = MH_LISTED_OUTAGES + BEYOND };
    for (int rank = 0; rank < RANKS; rank++) {
        struct mh_stage stage = {.run = &alive[rank], .index = LOOK, .options = &job->stages[LOOK]};
        assert_int_equal(mh_outages_open(&stage), 0);
        for (int64_t i = 0; i < ALL; i++) {
            cut_off(&stage, 0, 10 * i, 10 * i + 2);
            if (i == MH_LISTED_OUTAGES + 1)
                mh_outages_keep(&alive[rank]);
        }
        cut_off(&stage, 1, 10 * ALL, 10 * ALL + 2);
        mh_outages_keep(&alive[rank]);
        const uint32_t records = alive[rank].journal.records;
        mh_outages_keep(&alive[rank]);
        assert_int_equal(records, 1 + 2 * (2 * MH_LISTED_OUTAGES + 2 + 2));
        assert_int_equal(alive[rank].journal.records, records);
        mh_outages_close(&alive[rank]);
    }
    read_all();
    assert_int_equal(dead.events.count, MH_LISTED_OUTAGES + 2);
    check_cut_off(MH_LISTED_OUTAGES - 1, 0, 10 * (MH_LISTED_OUTAGES - 1),
                  "searcher: calls broke; first success 2 s later, on the last of 2 ranks 2 s later");
    check_cut_off(MH_LISTED_OUTAGES, 0, 10 * (ALL - 1),
                  "searcher: calls broke; first success 2 s later, on the last of 2 ranks 2 s later; "
                  "270 more before it are not listed");
    check_cut_off(MH_LISTED_OUTAGES + 1, 1, 10 * ALL,
                  "querier: calls broke; first success 2 s later, on the last of 2 ranks 2 s later");
}

static void a_command_is_there_once(void **state)
{
    (void)state;
    struct mh_kept_chaos begun[3];
    for (int i = 0; i < 3; i++) {
        begun[i] = (struct mh_kept_chaos){
            .number = i % 2,
            .event = {.kind = MH_EVENT_CHAOS, .stage = i / 2, .role = -1, .duration_ns = -1}};
        begun[i].event.time_ns = i;
        snprintf(begun[i].event.what, sizeof begun[i].event.what, "under way %d", i);
        put(0, MH_KEPT_CHAOS, &begun[i], sizeof begun[i]);
    }
    begun[1].event.duration_ns = 7;
    strcpy(begun[1].event.what, "over");
    put(0, MH_KEPT_CHAOS, &begun[1], sizeof begun[1]);
    alive[0].sums = (struct mh_kept_sums){.own_searched = 20, .own_found = 10, .chaos_failed = 1};
    mh_keep_sums(&alive[0]);
    mh_keep_sums(&alive[0]); /* nothing more */
    alive[0].sums.own_searched++;
    mh_keep_sums(&alive[0]);
    alive[1].sums = (struct mh_kept_sums){.own_searched = 4, .own_found = 4, .own_contradicted = 1};
    mh_keep_sums(&alive[1]);
    alive[1].sums.own_left += 2; /* and nothing else */
    mh_keep_sums(&alive[1]);
    read_all();
    assert_int_equal(dead.events.count, 3);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(&dead.events.items[i], &begun[i].event, sizeof begun[i].event);
    assert_int_equal(dead.sums.own_searched, 25);
    assert_int_equal(dead.sums.own_found, 14);
    assert_int_equal(dead.sums.own_contradicted, 1);
    assert_int_equal(dead.sums.own_left, 2);
    assert_int_equal(dead.sums.chaos_failed, 1);
}

static void put_absence(int rank, int64_t stage, int64_t from_s, int64_t back_s, int64_t moved)
{
    const struct mh_kept_absence one = {.stage = stage,
                                        .absence = {.from_ns = from_s * MH_S,
                                                    .back_ns = back_s == 0 ? INT64_MAX : back_s * MH_S,
                                                    .moved = moved,
                                                    .uri = 1}};
    put(rank, MH_KEPT_ABSENCE, &one, sizeof one);
}

static void absences_of_all_ranks_become_one(void **state)
{
    (void)state;
    put_absence(0, LOOK, 2, 0, 1);
    put_absence(0, LOOK, 2, 4, 3);
    put_absence(1, LOOK, 3, 5, 2);
    put_absence(1, PEAK + 1, 4, 0, 1); /* the audit's */
    read_all();
    assert_int_equal(dead.events.count, 2);
    const struct mh_event *events = dead.events.items;
    assert_int_equal(events[0].duration_ns, 3 * MH_S);
    assert_non_null(strstr(events[0].what, "proxy http://two:2: no connection; 5 connections moved"));
    assert_int_equal(events[1].stage, PEAK + 1);
    assert_int_equal(events[1].duration_ns, -1);
}

/* One proxy's take no place of another's, and each is counted. */
static void absences_beyond_those_listed_are_counted(void **state)
{
    (void)state;
    enum { URIS = 2, ALL = 300, SHARE = MH_MOST_ABSENCES / URIS };
    struct mh_absences noted = {.count = 0};
    for (int64_t i = 1; i <= ALL; i++) {
        mh_absences_leave(&noted, URIS, 1, false, 10 * i * MH_S);
        mh_absences_leave(&noted, URIS, 1, false, (10 * i + 1) * MH_S);
        mh_absences_return(&noted, 1, (10 * i + 2) * MH_S);
        mh_absences_return(&noted, 1, (10 * i + 3) * MH_S); /* another connection's: it is over */
    }
    mh_absences_leave(&noted, URIS, 0, true, MH_S);
    assert_int_equal(noted.count, SHARE + 1);
    assert_int_equal(noted.items[SHARE].uri, 0);
    const struct mh_absence *last = &noted.items[SHARE - 1];
    assert_int_equal(last->from_ns, 10 * SHARE * MH_S);
    assert_int_equal(last->back_ns, (10 * ALL + 2) * MH_S);
    assert_int_equal(last->unlisted, ALL - SHARE);
    for (int rank = 0; rank < RANKS; rank++) {
        const struct mh_kept_absence kept_one = {.stage = LOOK, .absence = *last};
        put(rank, MH_KEPT_ABSENCE, &kept_one, sizeof kept_one);
    }
    read_all();
    assert_int_equal(dead.events.count, 1);
    assert_string_equal(dead.events.items[0].what,
                        "proxy http://two:2: no connection; 692 connections moved to others; "
                        "used again 28 m 42 s later, and left 344 more times meanwhile");
}

/* ---- how often ---- */

/* A journal of a week has a bounded size (docs/soak.md), and one of a short run loses little. */
static void intervals_grow_with_the_run(void **state)
{
    (void)state;
    int64_t intervals = 0, last_ns = 0;
    for (int64_t since_ns = 0; since_ns < 7 * 24 * 3600 * MH_S; intervals++) {
        last_ns = mh_run_interval(since_ns);
        assert_true(last_ns == MH_S || last_ns <= since_ns / 256);
        since_ns = (since_ns / last_ns + 1) * last_ns;
    }
    assert_int_equal(mh_run_interval(511 * MH_S), MH_S);
    assert_int_equal(last_ns, 512 * MH_S);
    assert_in_range(intervals, 3000, 3600);
}

/* ---- what was judged, and what was not ---- */

static void judge(int stage, int64_t operations_of_0, int64_t operations_of_1, int64_t found)
{
    static struct mh_recall_point point = {.role = 0, .topk = 10, .wanted = 10};
    for (int rank = 0; rank < RANKS; rank++) {
        int64_t missed[] = {100 * found + rank};
        point.stage = stage;
        point.found = (int32_t)found;
        const struct mh_hits hits = {.figures = {.asked = 10 * (operations_of_0 + operations_of_1),
                                                 .judged = 7,
                                                 .neighbors = 10,
                                                 .found = found,
                                                 .behind = {0, 3}},
                                     .behind_ns = {0, 50 - found},
                                     .recall = &point,
                                     .recall_count = 1,
                                     .missed = missed,
                                     .missed_count = 1};
        alive[rank].stage = stage;
        alive[rank].reads.operations = rank == 0 ? operations_of_0 : operations_of_1;
        mh_keep_judged(&alive[rank], &hits);
    }
}

/* As a summary in its journal says. */
static void answer(int rank, int stage, int role, int kind, int64_t operations)
{
    struct mh_tallies interval;
    struct mh_visibilities visible;
    assert_int_equal(mh_tallies_init(&interval, job, start_ns), 0);
    assert_int_equal(mh_visibilities_init(&visible, job), 0);
    struct mh_tally *tally = mh_tally_at(&interval, stage, role, kind);
    tally->planned = tally->ok = operations;
    mh_journal_summarise(&alive[rank].journal, &interval, &visible, start_ns + MH_S);
    mh_tallies_free(&interval);
    mh_visibilities_free(&visible);
}

static void what_was_judged_counts_once_and_what_was_not_is_known(void **state)
{
    (void)state;
    answer(0, LOOK, 0, MH_OP_SEARCH, 300);
    answer(0, LOOK, 1, MH_OP_QUERY, 50);
    answer(1, LOOK, 0, MH_OP_SEARCH, 200);
    judge(LOOK, 350, 200, 9);
    for (int probe = 0; probe < 3; probe++)
        answer(0, PEAK, 0, MH_OP_SEARCH, 100);
    answer(1, PEAK, 0, MH_OP_SEARCH, 20); /* its last summary is lost */
    judge(PEAK, 100, 100, 8);
    judge(PEAK, 100, 100, 7);
    read_all();
    assert_int_equal(dead.judgements, 3);
    assert_int_equal(dead.hit_figures.asked, 5500 + 2000 + 2000);
    assert_int_equal(dead.hit_figures.judged, 21);
    assert_int_equal(dead.hit_figures.neighbors, 30);
    assert_int_equal(dead.hit_figures.found, 24);
    assert_int_equal(dead.hit_figures.behind[MH_SESSION], 9);
    assert_int_equal(dead.behind_ns[MH_SESSION], 43);
    assert_int_equal(dead.recall_count, 3);
    assert_int_equal(dead.recall[2].stage, PEAK);
    assert_int_equal(dead.recall[2].found, 7);
    assert_int_equal(dead.missed_count, 6);
    assert_int_equal(kept.unjudged[FILL], 0);
    assert_int_equal(kept.unjudged[LOOK], 0);
    assert_int_equal(kept.unjudged[PEAK], 100);
}

/* The rank that has them all is gone: what the other has is the same. */
static void figures_are_in_every_journal(void **state)
{
    struct mh_error err = {""};
    (void)state;
    answer(1, LOOK, 0, MH_OP_SEARCH, 200);
    judge(LOOK, 350, 200, 9);
    assert_int_equal(read_rank(1, &err), 0);
    assert_int_equal(dead.hit_figures.asked, 5500);
    assert_int_equal(dead.recall_count, 0);
    assert_int_equal(kept.unjudged[LOOK], 0);
}

/* ---- the search for a rate ---- */

static void put_probe(int number, bool held)
{
    const struct mh_probe probe = {.stage = PEAK,
                                   .number = number,
                                   .begin_ns = number * 10 * MH_S,
                                   .seconds = 1,
                                   .wanted = number * 10,
                                   .held = held};
    put(0, MH_KEPT_PROBE, &probe, sizeof probe);
}

static void a_search_that_was_cut_off_says_so(void **state)
{
    (void)state;
    put_probe(1, true);
    put_probe(2, false);
    read_all();
    assert_int_equal(dead.probes.count, 2);
    assert_true(dead.probes.items[1].wanted > 19 && !dead.probes.items[1].held);
    assert_int_equal(dead.probes.peak_count, 1);
    assert_int_equal(dead.probes.peaks[0].outcome, MH_PEAK_BROKEN_OFF);
    assert_int_equal(dead.probes.peaks[0].probes, 2);
    assert_true(dead.probes.peaks[0].seconds > 10.9 && dead.probes.peaks[0].seconds < 11.1);
}

static void one_that_had_ended_has_its_outcome(void **state)
{
    (void)state;
    const struct mh_peak peak = {.stage = PEAK, .outcome = MH_PEAK_FOUND, .rate = 10, .probes = 1};
    put_probe(1, true);
    put(0, MH_KEPT_PEAK, &peak, sizeof peak);
    read_all();
    assert_int_equal(dead.probes.peak_count, 1);
    assert_memory_equal(&dead.probes.peaks[0], &peak, sizeof peak);
}

/* ---- what does not fit ---- */

static void refused(enum mh_kept_sort sort, const void *item, size_t size)
{
    struct mh_error err = {""};
    assert_int_equal(mh_kept_take(&kept, (int)sort, item, 1, size, &err), -1);
    assert_non_null(strstr(err.text, "beside operations"));
}

static void what_does_not_fit_the_job_is_refused(void **state)
{
    (void)state;
    const struct mh_outage outages[] = {
        {.stage = 3}, {.stage = -1}, {.role = 1}, {.role = -1}, {.unlisted = -1}};
    const struct mh_kept_absence absences[] = {
        {.stage = 4}, {.stage = -1}, {.absence.uri = 2}, {.absence.uri = -1}};
    const struct mh_recall_point points[] = {
        {.stage = 3, .wanted = 1}, {.role = 2, .stage = LOOK, .wanted = 1}, {.stage = LOOK}};
    const struct mh_kept_judged judged[] = {
        {.stage = 3}, {.stage = -1}, {.number = 1}, {.number = -1}, {.operations = -1}};
    const struct mh_probe probes[] = {{.stage = LOOK}, {.stage = PEAK, .role = 1}, {.stage = -1}};
    const struct mh_peak peaks[] = {{.stage = LOOK}, {.stage = PEAK, .outcome = MH_PEAK_OUTCOMES}};
    struct mh_kept_chaos endless = {.event = {.kind = MH_EVENT_CHAOS, .role = -1}};
    struct mh_kept_chaos other = endless;
    memset(endless.event.what, 'x', sizeof endless.event.what);
    other.event.kind = MH_EVENT_OUTAGE;
    for (size_t i = 0; i < COUNT(outages); i++)
        refused(MH_KEPT_OUTAGE, &outages[i], sizeof *outages);
    for (size_t i = 0; i < COUNT(absences); i++)
        refused(MH_KEPT_ABSENCE, &absences[i], sizeof *absences);
    for (size_t i = 0; i < COUNT(points); i++)
        refused(MH_KEPT_RECALL, &points[i], sizeof *points);
    for (size_t i = 0; i < COUNT(judged); i++)
        refused(MH_KEPT_JUDGED, &judged[i], sizeof *judged);
    for (size_t i = 0; i < COUNT(probes); i++)
        refused(MH_KEPT_PROBE, &probes[i], sizeof *probes);
    for (size_t i = 0; i < COUNT(peaks); i++)
        refused(MH_KEPT_PEAK, &peaks[i], sizeof *peaks);
    refused(MH_KEPT_CHAOS, &endless, sizeof endless);
    refused(MH_KEPT_CHAOS, &other, sizeof other);
    refused(MH_KEPT_SORTS, &other, sizeof other);
    refused(MH_KEPT_MISSED, &other, sizeof other);
}

/* ---- in the file ---- */

/* More than one head takes, cut off anywhere: what is read is the beginning of what was kept. */
static void cut_off_anywhere_it_is_a_prefix(void **state)
{
    (void)state;
    enum { IDS = MH_JOURNAL_MOST_KEPT / 8 + 100 };
    struct mh_error err = {""};
    int64_t *ids = calloc(IDS, sizeof *ids);
    for (int64_t i = 0; i < IDS; i++)
        ids[i] = 3 * i;
    mh_journal_keep(&alive[1].journal, MH_KEPT_MISSED, ids, IDS, sizeof *ids);
    assert_int_equal(read_rank(1, &err), 0);
    assert_int_equal(dead.missed_count, IDS);
    assert_memory_equal(dead.missed, ids, IDS * sizeof *ids);
    struct stat info;
    assert_int_equal(stat(alive[1].journal.path, &info), 0);
    for (int64_t length = info.st_size - 1; length > MH_JOURNAL_ENTRY; length -= 50 * MH_JOURNAL_ENTRY + 7) {
        dead.missed_count = 0;
        assert_int_equal(truncate(alive[1].journal.path, length), 0);
        assert_int_equal(read_rank(1, &err), 0);
        assert_true(dead.missed_count == 0 || dead.missed_count == MH_JOURNAL_MOST_KEPT / 8);
        assert_memory_equal(dead.missed, ids, (size_t)dead.missed_count * sizeof *ids);
    }
    free(ids);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_DISK(outages_of_all_ranks_become_one),
        ON_DISK(outages_beyond_those_listed_are_counted),
        ON_DISK(a_command_is_there_once),
        ON_DISK(absences_of_all_ranks_become_one),
        ON_DISK(absences_beyond_those_listed_are_counted),
        cmocka_unit_test(intervals_grow_with_the_run),
        ON_DISK(what_was_judged_counts_once_and_what_was_not_is_known),
        ON_DISK(figures_are_in_every_journal),
        ON_DISK(a_search_that_was_cut_off_says_so),
        ON_DISK(one_that_had_ended_has_its_outcome),
        ON_DISK(what_does_not_fit_the_job_is_refused),
        ON_DISK(cut_off_anywhere_it_is_a_prefix),
    };
    return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
