/* Due times: exact counts and spacing, whatever the number of workers; Poisson streams. */
#include "check.h"

#include "base/clock.h"
#include "job/job.h"
#include "plan/pace.h"
#include "role/role.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 200000 };

static struct mh_rate_step steady(double rate, int64_t seconds)
{
    return (struct mh_rate_step){rate, rate, seconds * MH_S};
}

static struct mh_pace pace_of(const struct mh_rate_step *steps, size_t count, int arrival, int64_t index,
                              int64_t peers)
{
    return (struct mh_pace){.steps = steps,
                            .count = count,
                            .arrival = arrival,
                            .index = index,
                            .peers = peers,
                            .begin_ns = 1000 * MH_S,
                            .random = {.seed = 7, .stream = (uint64_t)index + 1}};
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* All due times of the role, since its begin, in order. */
static int64_t all_due(const struct mh_rate_step *steps, size_t count, int arrival, int64_t peers,
                       int64_t *due)
{
    int64_t used = 0;
    for (int64_t i = 0; i < peers; i++) {
        struct mh_pace pace = pace_of(steps, count, arrival, i, peers);
        int64_t at, before = 0;
        while ((at = mh_pace_take(&pace)) != MH_PACE_NEVER) {
            assert_true(at >= before && used < ROOM);
            before = at;
            due[used++] = at - pace.begin_ns;
        }
        assert_true(mh_pace_take(&pace) == MH_PACE_NEVER); /* and stays so */
    }
    qsort(due, (size_t)used, sizeof *due, ascending);
    return used;
}

static int64_t count_between(const int64_t *due, int64_t count, int64_t from, int64_t to)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++)
        found += due[i] >= from && due[i] < to;
    return found;
}

/* ---- constant ---- */

static void each_step_has_exactly_its_operations(void **state)
{
    (void)state;
    static int64_t due[ROOM];
    const struct mh_rate_step steps[] = {steady(100, 30), steady(200, 30), steady(0, 10), steady(0.5, 20),
                                         steady(1234.5, 2)};
    static const int64_t wanted[] = {3000, 6000, 0, 10, 2469};
    for (int64_t peers = 1; peers <= 7; peers += 3) {
        const int64_t count = all_due(steps, 5, MH_ARRIVAL_CONSTANT, peers, due);
        assert_int_equal(count, 3000 + 6000 + 10 + 2469);
        for (int64_t at = 0, i = 0; i < 5; at += steps[i++].duration_ns)
            assert_int_equal(count_between(due, count, at, at + steps[i].duration_ns), wanted[i]);
    }
}

static void constant_operations_are_equally_far_apart_across_steps(void **state)
{
    (void)state;
    static int64_t due[ROOM];
    const struct mh_rate_step steps[] = {steady(100, 3), steady(400, 2)};
    const int64_t count = all_due(steps, 2, MH_ARRIVAL_CONSTANT, 3, due);
    for (int64_t i = 0; i < count; i++)
        assert_true(llabs(due[i] - (i < 300 ? i * MH_S / 100 : 3 * MH_S + (i - 300) * MH_S / 400)) <= 1);
}

static void no_rate_drifts(void **state)
{
    (void)state;
    static const double rates[] = {0.1, 3, 500, 12345.6, 999999.9};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const struct mh_role_options role = {.rate = rates[i]};
        struct mh_rate_step whole;
        size_t count;
        const struct mh_rate_step *steps = mh_pace_steps(&role, &whole, &count);
        struct mh_pace pace = pace_of(steps, count, MH_ARRIVAL_CONSTANT, 0, 1);
        for (int64_t n = 0; n < 100000; n++) {
            const double exact = (double)n / rates[i] * 1e9;
            assert_true(fabs((double)(mh_pace_take(&pace) - pace.begin_ns) - exact) <= 1 + 1e-12 * exact);
        }
    }
}

static void workers_take_turns(void **state)
{
    (void)state;
    enum { PEERS = 5 };
    const struct mh_rate_step steps[] = {steady(70, 4), {70, 210, 3 * MH_S}};
    struct mh_pace alone = pace_of(steps, 2, MH_ARRIVAL_CONSTANT, 0, 1), worker[PEERS];
    for (int64_t i = 0; i < PEERS; i++)
        worker[i] = pace_of(steps, 2, MH_ARRIVAL_CONSTANT, i, PEERS);
    int64_t at = 0;
    for (int64_t n = 0; at != MH_PACE_NEVER; n++)
        assert_int_equal(at = mh_pace_take(&alone), mh_pace_take(&worker[n % PEERS]));
}

static void a_ramp_has_its_integral(void **state)
{
    (void)state;
    static int64_t due[ROOM];
    const struct mh_rate_step up = {100, 400, 60 * MH_S}, down = {50, 0, 10 * MH_S},
                              from_rest = {0, 90, 4 * MH_S};
    assert_int_equal(all_due(&up, 1, MH_ARRIVAL_CONSTANT, 4, due), 15000);
    assert_int_equal(count_between(due, 15000, 0, 20 * MH_S), 3000); /* 100 .. 200: 150 on average */
    assert_int_equal(count_between(due, 15000, 40 * MH_S, 60 * MH_S), 7000);
    for (int64_t n = 0; n < 15000; n += 100) /* each where the integral reaches its number */
        assert_true(fabs(mh_pace_integral(&up, 1, due[n]) - (double)n) < 1e-5);
    assert_int_equal(all_due(&down, 1, MH_ARRIVAL_CONSTANT, 3, due), 250);
    assert_int_equal(all_due(&from_rest, 1, MH_ARRIVAL_CONSTANT, 2, due), 180);
    assert_int_equal(due[0], 0);
    assert_true(due[179] < 4 * MH_S);
}

static void lengths_add_up(void **state)
{
    (void)state;
    const struct mh_rate_step steps[] = {steady(1, 30), {1, 5, 60 * MH_S}};
    assert_int_equal(mh_pace_length(steps, 2), 90 * MH_S);
    struct mh_role_options role = {.rate = 5};
    struct mh_rate_step whole;
    size_t count;
    assert_true(mh_pace_length(mh_pace_steps(&role, &whole, &count), 1) == MH_PACE_NEVER);
    role.for_ns = 3 * MH_S;
    assert_int_equal(mh_pace_length(mh_pace_steps(&role, &whole, &count), 1), 3 * MH_S);
}

/* ---- Poisson ---- */

/* Counts of 0.5 s in units of what is expected: mean 1 and, of a Poisson process, variance / mean 1. */
static void poisson_counts_have_their_mean_and_variance(void **state)
{
    (void)state;
    enum { BINS = 800 };
    static int64_t due[ROOM];
    const struct mh_rate_step steps[] = {steady(100, 200), {100, 300, 100 * MH_S}, {300, 20, 100 * MH_S}};
    const int64_t count = all_due(steps, 3, MH_ARRIVAL_POISSON, 4, due);
    double chi = 0, mass = 0;
    for (int64_t i = 0; i < BINS; i++) {
        const int64_t from = i * MH_S / 2, to = from + MH_S / 2;
        const double expected = mh_pace_integral(steps, 3, to) - mh_pace_integral(steps, 3, from);
        const double off = (double)count_between(due, count, from, to) - expected;
        chi += off * off / expected;
        mass += expected;
    }
    assert_true(fabs(mass - 56000) < 1);
    assert_true(fabs((double)count - mass) < 4 * sqrt(mass));
    assert_true(fabs(chi / BINS - 1) < 4 * sqrt(2.0 / BINS)); /* chi^2's deviation is sqrt(2 BINS) */
}

static void poisson_streams_of_workers_are_independent(void **state)
{
    (void)state;
    enum { BINS = 2000 };
    const struct mh_rate_step step = steady(40, BINS);
    struct mh_pace a = pace_of(&step, 1, MH_ARRIVAL_POISSON, 0, 2),
                   b = pace_of(&step, 1, MH_ARRIVAL_POISSON, 1, 2);
    double sum_a = 0, sum_b = 0, product = 0;
    int64_t at_a = mh_pace_take(&a), at_b = mh_pace_take(&b);
    for (int64_t i = 1; i <= BINS; i++) {
        double in_a = 0, in_b = 0;
        for (; at_a < a.begin_ns + i * MH_S; at_a = mh_pace_take(&a))
            in_a++;
        for (; at_b < b.begin_ns + i * MH_S; at_b = mh_pace_take(&b))
            in_b++;
        sum_a += in_a;
        sum_b += in_b;
        product += (in_a - 20) * (in_b - 20) / 20;
    }
    assert_true(fabs(sum_a / BINS - 20) < 4 * sqrt(20.0 / BINS));
    assert_true(fabs(sum_b / BINS - 20) < 4 * sqrt(20.0 / BINS));
    assert_true(fabs(product / BINS) < 4 / sqrt(BINS)); /* the correlation */
}

static void a_copy_goes_on_to_the_same_times(void **state)
{
    (void)state;
    const struct mh_rate_step step = {10, 1000, 20 * MH_S};
    for (int arrival = MH_ARRIVAL_CONSTANT; arrival <= MH_ARRIVAL_POISSON; arrival++) {
        struct mh_pace pace = pace_of(&step, 1, arrival, 2, 3);
        for (int i = 0; i < 100; i++)
            mh_pace_take(&pace);
        struct mh_pace copy = pace, again = pace_of(&step, 1, arrival, 2, 3);
        for (int i = 0; i < 100; i++)
            mh_pace_take(&again);
        for (int i = 0; i < 1000; i++) {
            const int64_t at = mh_pace_take(&pace);
            assert_int_equal(at, mh_pace_take(&copy));
            assert_int_equal(at, mh_pace_take(&again));
        }
    }
}

/* ---- the job's words ---- */

static int parse(const char *searcher, struct mh_job **job, struct mh_error *err)
{
    char text[1000];
    snprintf(text, sizeof text,
             "dataset: {synthetic: {rows: 10}}\n"
             "collection: {name: c, fields: [{name: id, type: int64, primary: true}, {name: v, type: "
             "float_vector}]}\n"
             "stages:\n  - {name: s, roles: [{role: searcher, %s}]}\n",
             searcher);
    return mh_job_parse("j.yaml", text, NULL, 0, mh_role_kinds, job, err);
}

static void steps_are_read_and_printed(void **state)
{
    (void)state;
    struct mh_job *job = NULL;
    struct mh_error err = {""};
    if (parse("steps: [\"100/s for 30s\", 6k/m to 0.2k/s  for 1.5m], arrival: poisson", &job, &err) != 0)
        fail_msg("%s", err.text);
    const struct mh_rate_steps *steps = &job->stages[0].roles[0].steps;
    assert_int_equal(steps->count, 2);
    assert_true(steps->items[0].from == 100 && steps->items[0].to == 100);
    assert_true(steps->items[1].from == 100 && steps->items[1].to == 200);
    assert_int_equal(steps->items[1].duration_ns, 90 * MH_S);
    bool printed = false;
    for (size_t i = 0; i < job->value_count; i++)
        printed |= strcmp(job->values[i].path, "stages.s.searcher.steps") == 0 &&
                   strcmp(job->values[i].value, "[100/s for 30s, 100/s to 200/s for 90s]") == 0;
    assert_true(printed);
    mh_job_free(job);
    assert_int_equal(parse("steps: 5/s for 1s", &job, &err), 0); /* one alone stands for a list of it */
    assert_int_equal(job->stages[0].roles[0].steps.count, 1);
    mh_job_free(job);
}

static void wrong_schedules_are_refused_at_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *searcher, *message;
    } wrong[] = {
        {"steps: [100/s for 30s, 200/s]",
         "j.yaml:4:63: stages.s.searcher.steps: '200/s' is not a step such as"},
        {"steps: [100 for 30s]", "j.yaml:4:48: stages.s.searcher.steps: '100' is not a rate"},
        {"steps: [100/s for 30]", "'30' is not a duration"},
        {"steps: [100/s to 5 for 30s]", "'5' is not a rate"},
        {"steps: [100/s to 200/s to 300/s for 30s]", "is not a step such as"},
        {"steps: [100/s for 30s long]", "is not a step such as"},
        {"steps: [2G/s for 30s]", "2G/s is out of range"},
        {"steps: [2/s for 10us]", "10us is out of range"},
        {"steps: [0/s for 30s]", "no step has a rate above 0"},
        {"steps: []", "a list of 0; allowed: 1 .. 1000 steps"},
        {"steps: {a: b}", "a mapping stands here"},
        {"steps: [[1/s for 1s]]", "a list in the list"},
        {"steps: [1/s for 1s], rate: 5/s", "stages.s.searcher.rate: stands beside 'steps'"},
        {"steps: [1/s for 1s], for: 5s", "stages.s.searcher.for: stands beside 'steps'"},
        {"arrival: poisson", "needs 'rate' or 'steps'"},
        {"steps: [1/s for 1s, 1/s for 2s], warmup: 3s", "stages.s.searcher.warmup: is as long as the role"},
        {"for: 2s, warmup: 2s", "stages.s.searcher.warmup: is as long as the role"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct mh_job *job = NULL;
        struct mh_error err = {""};
        assert_int_equal(parse(wrong[i].searcher, &job, &err), -1);
        if (!strstr(err.text, wrong[i].message))
            fail_msg("%s: %s", wrong[i].searcher, err.text);
    }
}

/* ---- find_max ---- */

static int parse_search(const char *find, const char *roles, struct mh_job **job, struct mh_error *err)
{
    const char *const sets[] = {"stages.s.find_max.probe=3s"};
    char text[1000];
    snprintf(text, sizeof text,
             "dataset: {synthetic: {rows: 10}}\n"
             "collection: {name: c, fields: [{name: id, type: int64, primary: true}, {name: v, type: "
             "float_vector}]}\n"
             "stages:\n  - {name: s, roles: [%s], find_max: {%s}}\n",
             roles, find);
    return mh_job_parse("j.yaml", text, sets, 1, mh_role_kinds, job, err);
}

static void a_search_is_read(void **state)
{
    (void)state;
    struct mh_job *job = NULL;
    struct mh_error err = {""};
    if (parse_search("role: searcher, from: 50/s, to: 5k/s, p99: 50ms", "{role: writer}, {role: searcher}",
                     &job, &err) != 0)
        fail_msg("%s", err.text);
    const struct mh_find_max_options *find = &job->stages[0].find_max;
    assert_string_equal(find->role, "searcher");
    assert_true(find->from == 50 && find->to == 5000 && find->errors == 1 && find->recall == 0);
    assert_int_equal(find->p99_ns, 50 * MH_MS);
    assert_int_equal(find->probe_ns, 3 * MH_S);
    mh_job_free(job);
}

static void wrong_searches_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *find, *roles, *message;
    } wrong[] = {
        {"from: 1/s, to: 2/s, p99: 1s", "{role: searcher}",
         "j.yaml:4:52: stages.s.find_max: 'role' is missing"},
        {"role: searcher, to: 2/s, p99: 1s", "{role: searcher}", "'from' is missing"},
        {"role: searcher, from: 1/s, to: 2/s", "{role: searcher}",
         "find_max: says nothing of what must hold"},
        {"role: searcher, from: 3/s, to: 2/s, p99: 1s", "{role: searcher}",
         "'from' must be above 0, and 'to'"},
        {"role: searcher, from: 0/s, to: 2/s, p99: 1s", "{role: searcher}", "'from' must be above 0"},
        {"role: querier, from: 1/s, to: 2/s, p99: 1s", "{role: searcher}",
         "j.yaml:4:59: stages.s.find_max.role: 'querier' is no role of this stage"},
        {"role: searcher, from: 1/s, to: 2/s, p99: 1s", "{role: searcher}, {role: searcher}",
         "'searcher' is several of this stage"},
        {"role: indexer, from: 1/s, to: 2/s, p99: 1s", "{role: indexer}", "'indexer' takes no rate"},
        {"role: searcher, from: 1/s, to: 2/s, p99: 1s", "{role: searcher, rate: 5/s}",
         "stages.s.searcher.rate: stands beside 'find_max'"},
        {"role: searcher, from: 1/s, to: 2/s, p99: 1s", "{role: searcher, steps: [1/s for 1s]}",
         "stages.s.searcher.steps: stands beside 'find_max'"},
        {"role: searcher, from: 1/s, to: 2/s, p99: 1s, within: 12s", "{role: searcher}",
         "'within' leaves no time for a probe and its confirmation"},
        {"role: searcher, from: 1/s, to: 2/s, p99: 1s, pace: 5", "{role: searcher}", "unknown key"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct mh_job *job = NULL;
        struct mh_error err = {""};
        assert_int_equal(parse_search(wrong[i].find, wrong[i].roles, &job, &err), -1);
        if (!strstr(err.text, wrong[i].message))
            fail_msg("%s: %s", wrong[i].find, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_step_has_exactly_its_operations),
        cmocka_unit_test(constant_operations_are_equally_far_apart_across_steps),
        cmocka_unit_test(no_rate_drifts),
        cmocka_unit_test(workers_take_turns),
        cmocka_unit_test(a_ramp_has_its_integral),
        cmocka_unit_test(lengths_add_up),
        cmocka_unit_test(poisson_counts_have_their_mean_and_variance),
        cmocka_unit_test(poisson_streams_of_workers_are_independent),
        cmocka_unit_test(a_copy_goes_on_to_the_same_times),
        cmocka_unit_test(steps_are_read_and_printed),
        cmocka_unit_test(wrong_schedules_are_refused_at_their_place),
        cmocka_unit_test(a_search_is_read),
        cmocka_unit_test(wrong_searches_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
