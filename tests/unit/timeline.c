#include "measure/timeline.h"
#include "base/clock.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define START 777000000123LL

static struct mh_timeline begin(void)
{
    struct mh_timeline t;
    mh_timeline_init(&t, START);
    return t;
}

static struct mh_timeline_slot *at_second(struct mh_timeline *t, double second)
{
    struct mh_timeline_slot *slot = mh_timeline_at(t, START + (int64_t)(second * MH_S));
    assert_non_null(slot);
    return slot;
}

static int64_t index_at(struct mh_timeline *t, int64_t now_ns)
{
    assert_non_null(mh_timeline_at(t, now_ns));
    return t->at;
}

static struct mh_timeline_slot slot_of(const struct mh_timeline *t, int64_t slot)
{
    struct mh_timeline_slot out = {.ok = 0};
    mh_timeline_add_slot(t, slot, &out);
    return out;
}

static struct mh_timeline_slot total_of(const struct mh_timeline *t)
{
    struct mh_timeline_slot total = {.ok = 0};
    for (int64_t i = 0; i < t->used; i++)
        mh_timeline_add_slot(t, i, &total);
    return total;
}

static void moments_fall_into_their_second(void **state)
{
    (void)state;
    struct mh_timeline t = begin();
    assert_int_equal(index_at(&t, START - 5 * MH_S), 0);
    assert_int_equal(t.used, 1);
    assert_int_equal(index_at(&t, START + MH_S - 1), 0);
    assert_int_equal(index_at(&t, START + MH_S), 1);
    assert_int_equal(index_at(&t, START + 100 * MH_S + MH_S / 2), 100);
    assert_int_equal(t.used, 101);
    assert_int_equal(index_at(&t, START + 3 * MH_S), 3);
    assert_int_equal(t.used, 101);
    assert_int_equal(t.interval_ns, MH_S);
    const struct mh_timeline_slot empty = {.ok = 0};
    for (int64_t i = 0; i < t.used; i++) {
        const struct mh_timeline_slot slot = slot_of(&t, i);
        assert_memory_equal(&slot, &empty, sizeof empty);
    }
    mh_timeline_free(&t);
    assert_null(t.slots);
    assert_int_equal(t.used, 0);
}

static void a_full_timeline_doubles_its_interval(void **state)
{
    (void)state;
    struct mh_timeline t = begin();
    for (int second = 0; second < MH_TIMELINE_SLOTS; second++)
        at_second(&t, second)->ok = (uint64_t)second + 1;
    assert_int_equal(t.used, MH_TIMELINE_SLOTS);
    assert_int_equal(t.interval_ns, MH_S);
    at_second(&t, MH_TIMELINE_SLOTS)->ok += 1000000;
    assert_int_equal(t.interval_ns, 2 * MH_S);
    assert_int_equal(t.used, MH_TIMELINE_SLOTS / 2 + 1);
    for (int i = 0; i < MH_TIMELINE_SLOTS / 2; i++)
        assert_int_equal(slot_of(&t, i).ok, (2 * i + 1) + (2 * i + 2));
    assert_int_equal(slot_of(&t, MH_TIMELINE_SLOTS / 2).ok, 1000000);
    mh_timeline_free(&t);
}

static void the_far_future_stays_within_the_slots(void **state)
{
    (void)state;
    struct mh_timeline t = begin();
    at_second(&t, 0)->rows = 5;
    assert_non_null(mh_timeline_at(&t, INT64_MAX));
    assert_true(t.used <= MH_TIMELINE_SLOTS);
    assert_int_equal(slot_of(&t, 0).rows, 5);
    mh_timeline_free(&t);
}

/* All is there from early on, reset or not, and what the coarser intervals leave behind is empty. */
static void it_does_not_grow_with_time(void **state)
{
    (void)state;
    struct mh_timeline t = begin();
    for (int64_t second = 0; second < 5 * MH_TIMELINE_SLOTS; second++) {
        const struct mh_timeline_packed *first = t.slots;
        at_second(&t, second)->ok++;
        assert_true(second == 0 || t.slots == first);
        if (second % 1000 == 999) {
            mh_timeline_reset(&t, t.start_ns);
            assert_true(t.slots == first && t.used == 0 && t.interval_ns == MH_S);
        }
        for (int64_t i = t.used; i < MH_TIMELINE_SLOTS; i++)
            assert_int_equal(slot_of(&t, i).ok, 0);
    }
    mh_timeline_free(&t);
}

static void fill(struct mh_timeline_slot *slot, struct mh_random *random)
{
    slot->ok += mh_random_below(random, 1000);
    slot->failed += mh_random_below(random, 10);
    slot->unknown += mh_random_below(random, 10);
    slot->throttled += mh_random_below(random, 10);
    slot->rows += mh_random_below(random, 1000000);
    slot->bytes += mh_random_below(random, 1000000000);
    const int64_t latency_ns = (int64_t)mh_random_below(random, 40 * MH_MS);
    slot->latency[mh_timeline_bucket(latency_ns)]++;
    slot->max_ns = latency_ns > slot->max_ns ? latency_ns : slot->max_ns;
}

static void coarsening_keeps_every_sum(void **state)
{
    (void)state;
    for (int used = 0; used < 40; used++) {
        struct mh_timeline t = begin();
        struct mh_random random = {.seed = 3, .stream = (uint64_t)used};
        for (int second = 0; second < used; second++)
            fill(at_second(&t, second), &random);
        const struct mh_timeline_slot before = total_of(&t);
        struct mh_timeline_slot third = {.ok = 0}; /* seconds 8 to 11 become the third slot */
        for (int second = 8; second < 12 && second < used; second++)
            mh_timeline_add_slot(&t, second, &third);
        assert_int_equal(mh_timeline_coarsen(&t, 4 * MH_S), 0);
        const struct mh_timeline_slot after = total_of(&t);
        assert_memory_equal(&after, &before, sizeof before);
        assert_int_equal(t.used, (used + 3) / 4);
        assert_int_equal(t.interval_ns, 4 * MH_S);
        if (used > 8) {
            const struct mh_timeline_slot slot = slot_of(&t, 2);
            assert_memory_equal(&slot, &third, sizeof third);
        }
        assert_int_equal(mh_timeline_coarsen(&t, MH_S), 0); /* finer than it is: nothing happens */
        assert_int_equal(t.interval_ns, 4 * MH_S);
        mh_timeline_free(&t);
    }
}

static void slots_reused_after_coarsening_are_empty(void **state)
{
    (void)state;
    struct mh_timeline t = begin();
    for (int second = 0; second < 16; second++)
        at_second(&t, second)->ok = 1;
    assert_int_equal(mh_timeline_coarsen(&t, 2 * MH_S), 0);
    assert_int_equal(at_second(&t, 30)->ok, 0);
    assert_int_equal(total_of(&t).ok, 16);
    mh_timeline_free(&t);
}

/* Any slot may be opened again, be replaced, and lose what it had: nothing of another one shows. */
static void slots_come_back_as_they_were_left(void **state)
{
    (void)state;
    enum { SLOTS = 30 };
    static struct mh_timeline_slot expected[SLOTS];
    struct mh_timeline t = begin();
    struct mh_random random = {.seed = 8};
    memset(expected, 0, sizeof expected);
    at_second(&t, SLOTS - 1);
    for (int i = 0; i < 3000; i++) {
        const int second = (int)mh_random_below(&random, SLOTS);
        struct mh_timeline_slot more = {.ok = 0};
        fill(&more, &random);
        if (i % 10 == 9) {
            expected[second] = more;
            assert_int_equal(mh_timeline_put_slot(&t, second, &more), 0);
            continue;
        }
        mh_timeline_slot_add(&expected[second], &more);
        mh_timeline_slot_add(at_second(&t, second), &more);
    }
    for (int i = 0; i < SLOTS; i++) {
        const struct mh_timeline_slot slot = slot_of(&t, i);
        assert_memory_equal(&slot, &expected[i], sizeof slot);
    }
    mh_timeline_free(&t);
}

static void adding_takes_the_larger_maximum_and_never_wraps(void **state)
{
    (void)state;
    struct mh_timeline_slot a = {.max_ns = 5, .latency = {[3] = UINT32_MAX - 1, [4] = 1}};
    const struct mh_timeline_slot b = {.max_ns = 9, .latency = {[3] = 7, [4] = 2}};
    mh_timeline_slot_add(&a, &b);
    assert_int_equal(a.max_ns, 9);
    assert_true(a.latency[3] == UINT32_MAX);
    assert_int_equal(a.latency[4], 3);
    a.max_ns = 50;
    mh_timeline_slot_add(&a, &b);
    assert_int_equal(a.max_ns, 50);
}

static int64_t only_value_quantile(int64_t latency_ns)
{
    struct mh_timeline_slot slot = {.ok = 1};
    slot.latency[mh_timeline_bucket(latency_ns)] = 1;
    return mh_timeline_quantile(&slot, 0.5);
}

static void buckets_are_at_most_a_sixteenth_wide(void **state)
{
    (void)state;
    int last = 0;
    for (int64_t v = 1024; v < 3600 * MH_S; v += v / 100) {
        const int bucket = mh_timeline_bucket(v);
        assert_true(bucket >= last && bucket < MH_TIMELINE_BUCKETS);
        last = bucket;
        const int64_t upper = only_value_quantile(v);
        assert_true(upper > v && upper - v <= v / 16 + 1);
        assert_int_equal(mh_timeline_bucket(upper - 1), bucket);
        assert_int_equal(mh_timeline_bucket(upper), bucket + 1);
    }
    assert_int_equal(mh_timeline_bucket(INT64_MIN), 0);
    assert_int_equal(mh_timeline_bucket(0), 0);
    assert_int_equal(mh_timeline_bucket(1023), 0);
    assert_int_equal(mh_timeline_bucket(INT64_MAX), MH_TIMELINE_BUCKETS - 1);
}

static void quantiles_walk_the_buckets(void **state)
{
    (void)state;
    struct mh_timeline_slot slot = {.ok = 0};
    assert_int_equal(mh_timeline_quantile(&slot, 0.5), 0);
    slot.latency[mh_timeline_bucket(2 * MH_MS)] = 98;
    slot.latency[mh_timeline_bucket(100 * MH_MS)] = 1;
    slot.latency[mh_timeline_bucket(5 * MH_S)] = 1;
    assert_int_equal(mh_timeline_quantile(&slot, 0), only_value_quantile(2 * MH_MS));
    assert_int_equal(mh_timeline_quantile(&slot, 0.98), only_value_quantile(2 * MH_MS));
    assert_int_equal(mh_timeline_quantile(&slot, 0.981), only_value_quantile(100 * MH_MS));
    assert_int_equal(mh_timeline_quantile(&slot, 0.99), only_value_quantile(100 * MH_MS));
    assert_int_equal(mh_timeline_quantile(&slot, 1), only_value_quantile(5 * MH_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_fall_into_their_second),
        cmocka_unit_test(a_full_timeline_doubles_its_interval),
        cmocka_unit_test(the_far_future_stays_within_the_slots),
        cmocka_unit_test(it_does_not_grow_with_time),
        cmocka_unit_test(coarsening_keeps_every_sum),
        cmocka_unit_test(slots_reused_after_coarsening_are_empty),
        cmocka_unit_test(slots_come_back_as_they_were_left),
        cmocka_unit_test(adding_takes_the_larger_maximum_and_never_wraps),
        cmocka_unit_test(buckets_are_at_most_a_sixteenth_wide),
        cmocka_unit_test(quantiles_walk_the_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
