/* The verdict on the client: each limit alone, just below and just above it. */
#include "measure/effort.h"

#include "base/clock.h"

#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct mh_limit_facts calm = {.busiest_rank = 3,
                                           .busiest_cpu = 0.5,
                                           .blocked = NAN,
                                           .lag_p99_ns = -1,
                                           .latency_p99_ns = 20 * MH_MS,
                                           .share = NAN};

/* `words`: NULL for not limited, else what the reason must say. */
static void expect(struct mh_limit_facts facts, const char *words)
{
    char reason[256] = "old";
    const bool limited = mh_limit_judge(&facts, reason, sizeof reason);
    assert_int_equal(limited, words != NULL);
    if (words ? !strstr(reason, words) : reason[0] != '\0')
        fail_msg("'%s' where '%s' was expected", reason, words ? words : "");
}

static struct mh_limit_facts with_cpu(double cpu, double starved)
{
    struct mh_limit_facts facts = calm;
    facts.busiest_cpu = cpu;
    facts.starved = starved;
    return facts;
}

static void a_core_is_a_limit(void **state)
{
    (void)state;
    expect(calm, NULL);
    expect(with_cpu(0.89, 0), NULL);
    expect(with_cpu(0.97, 0), "rank 3 used 97% of a core");
    expect(with_cpu(NAN, 0), NULL);
    expect(with_cpu(0.2, 0.69), NULL);
    expect(with_cpu(0.2, 0.71), "rank 3 used 20% of a core and waited for one 71% of the time");
}

static void full_slots_at_a_rate_are_a_limit(void **state)
{
    (void)state;
    struct mh_limit_facts facts = calm;
    facts.blocked = 0.05;
    expect(facts, NULL);
    facts.blocked = 0.12;
    expect(facts, "no slot was free for 12% of the time");
}

static struct mh_limit_facts with_lag(int64_t lag_ns, int64_t latency_ns)
{
    struct mh_limit_facts facts = calm;
    facts.lag_p99_ns = lag_ns;
    facts.latency_p99_ns = latency_ns;
    return facts;
}

static void lag_is_a_limit_where_it_shows(void **state)
{
    (void)state;
    expect(with_lag(MH_MS, 2 * MH_MS), NULL); /* large beside the latency, but no more than 1 ms */
    expect(with_lag(2 * MH_MS, 20 * MH_MS), NULL);
    expect(with_lag(2 * MH_MS + 1, 20 * MH_MS), "left 2 ms or more after its time");
    expect(with_lag(5 * MH_MS, -1), NULL); /* nothing succeeded: no latency to be wrong */
}

static void the_ceiling_is_a_limit(void **state)
{
    (void)state;
    struct mh_limit_facts facts = calm;
    facts.share = 0.79;
    expect(facts, NULL);
    facts.share = 0.8;
    expect(facts, "80% of the calibrated ceiling");
}

static void all_reasons_are_given(void **state)
{
    (void)state;
    char reason[256], few[16];
    struct mh_limit_facts facts = with_cpu(1.2, 0);
    facts.blocked = 1;
    facts.share = 2;
    assert_true(mh_limit_judge(&facts, reason, sizeof reason));
    assert_string_equal(reason,
                        "rank 3 used 120% of a core; no slot was free for 100% of the time with an operation "
                        "due (see inflight); 200% of the calibrated ceiling");
    assert_true(mh_limit_judge(&facts, few, sizeof few));
    assert_string_equal(few, "rank 3 used 120");
}

static void lag_has_a_quantile(void **state)
{
    (void)state;
    struct mh_effort *effort = calloc(1, sizeof *effort);
    assert_non_null(effort);
    assert_int_equal(mh_effort_lag_p99(effort), -1);
    for (int i = 0; i < 99; i++)
        mh_effort_lag(effort, 10 * MH_US);
    mh_effort_lag(effort, 50 * MH_MS);
    assert_in_range(mh_effort_lag_p99(effort), 10 * MH_US, 11 * MH_US);
    mh_effort_lag(effort, 50 * MH_MS);
    assert_in_range(mh_effort_lag_p99(effort), 50 * MH_MS, 54 * MH_MS);
    free(effort);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_is_a_limit),
        cmocka_unit_test(full_slots_at_a_rate_are_a_limit),
        cmocka_unit_test(lag_is_a_limit_where_it_shows),
        cmocka_unit_test(the_ceiling_is_a_limit),
        cmocka_unit_test(all_reasons_are_given),
        cmocka_unit_test(lag_has_a_quantile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
