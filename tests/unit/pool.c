/* The pool: each row of a claim once a round, drawn fairly, in any order of beginnings and ends. */
#include "role/pool.h"

#include "check.h"
#include "role/core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct core core;
static struct mh_pool *pool;
static struct mh_random random_numbers;

static int set_up(void **state)
{
    (void)state;
    core_open(&core, "{role: deleter, batch: 10}", 1);
    pool = core.role.state;
    random_numbers = (struct mh_random){.seed = 2};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    core_close(&core); /* and whatever claims are open */
    return 0;
}

static struct mh_pool_claim *open_one(int64_t first, int32_t count)
{
    core_deliver(&core, (struct mh_claim){.first = first, .count = count, .partition = 3, .version = 4});
    assert_true(mh_pool_open(pool, &core.role));
    assert_int_equal(core.waiting_count, 0);
    return pool->open[pool->count - 1];
}

static void a_few_claims_are_open_at_a_time(void **state)
{
    (void)state;
    for (int i = 0; i < MH_POOL_CLAIMS + 5; i++)
        core_deliver(&core, (struct mh_claim){.first = i * 100, .count = 7});
    assert_true(mh_pool_open(pool, &core.role));
    assert_int_equal(pool->count, MH_POOL_CLAIMS);
    assert_int_equal(core.waiting_count, 5);
    assert_int_equal(core.waiting[0].first, MH_POOL_CLAIMS * 100); /* the oldest first */
    assert_int_equal(mh_pool_undrawn(pool), 7 * MH_POOL_CLAIMS);
    mh_pool_close_claim(pool, pool->open[3]);
    assert_true(mh_pool_open(pool, &core.role));
    assert_int_equal(pool->count, MH_POOL_CLAIMS);
    assert_null(mh_pool_find(pool, 300));
    for (int i = 0; i < MH_POOL_CLAIMS + 1; i++)
        assert_int_equal(mh_pool_find(pool, i * 100 + 6) != NULL, i != 3);
}

static void every_row_is_drawn_once_a_round(void **state)
{
    (void)state;
    enum { ROWS = 100, ROUNDS = 5 };
    struct mh_pool_claim *claim = open_one(1000, ROWS);
    for (int round = 0; round < ROUNDS; round++) {
        bool drawn[ROWS] = {false};
        bool in_order = true;
        int64_t before = 0;
        assert_int_equal(claim->round, round);
        assert_int_equal(claim->claim.version, 4 + round);
        for (int i = 0; i < ROWS; i++) {
            assert_int_equal(claim->undrawn, ROWS - i);
            assert_false(mh_pool_round_over(claim));
            int64_t id = mh_pool_draw(claim, &random_numbers);
            assert_in_range(id, 1000, 1000 + ROWS - 1);
            assert_false(drawn[id - 1000]);
            drawn[id - 1000] = true;
            assert_int_equal(claim->out, i + 1);
            in_order &= id > before;
            before = id;
        }
        assert_false(in_order);
        assert_false(mh_pool_round_over(claim)); /* all drawn, but none has ended */
        claim->out = 1;
        assert_false(mh_pool_round_over(claim));
        claim->out = 0;
        assert_true(mh_pool_round_over(claim));
        mh_pool_next_round(claim);
    }
}

static void rows_and_claims_are_drawn_fairly(void **state)
{
    (void)state;
    enum { ROWS = 10, DRAWS = 20000 };
    int rows[ROWS] = {0}, claims[3] = {0};
    for (int i = 0; i < 3; i++)
        open_one(i * 100, ROWS);
    for (int i = 0; i < DRAWS; i++) {
        struct mh_pool_claim *from = mh_pool_pick(pool, &random_numbers);
        claims[from->claim.first / 100]++;
        rows[mh_pool_draw(from, &random_numbers) % 100]++;
        mh_pool_next_round(from);
    }
    for (int i = 0; i < 3; i++)
        assert_true(fabs(claims[i] - DRAWS / 3.0) < 5 * sqrt(DRAWS));
    for (int i = 0; i < ROWS; i++)
        assert_true(fabs(rows[i] - DRAWS / (double)ROWS) < 5 * sqrt(DRAWS / (double)ROWS));
}

static void only_claims_with_rows_left_are_picked(void **state)
{
    (void)state;
    struct mh_pool_claim *claims[3];
    assert_null(mh_pool_pick(pool, &random_numbers));
    for (int i = 0; i < 3; i++)
        claims[i] = open_one(i * 100, 1);
    for (int left = 3; left > 0; left--) {
        assert_int_equal(mh_pool_undrawn(pool), left);
        struct mh_pool_claim *from = mh_pool_pick(pool, &random_numbers);
        assert_int_equal(from->undrawn, 1);
        mh_pool_draw(from, &random_numbers);
    }
    assert_null(mh_pool_pick(pool, &random_numbers));
    assert_int_equal(pool->count, 3);
    mh_pool_close_claim(pool, claims[0]);
    mh_pool_close_claim(pool, claims[2]);
    assert_int_equal(pool->count, 1);
    assert_ptr_equal(pool->open[0], claims[1]);
}

static void a_claim_is_found_by_its_ids(void **state)
{
    (void)state;
    struct mh_pool_claim *low = open_one(10, 5), *high = open_one(15, 1);
    assert_null(mh_pool_find(pool, 9));
    assert_ptr_equal(mh_pool_find(pool, 10), low);
    assert_ptr_equal(mh_pool_find(pool, 14), low);
    assert_ptr_equal(mh_pool_find(pool, 15), high);
    assert_null(mh_pool_find(pool, 16));
}

static void what_is_left_counts_in_operations(void **state)
{
    (void)state;
    assert_int_equal(core.role.ops->left(&core.role), 0);
    struct mh_pool_claim *claim = open_one(0, 21);
    for (int undrawn = 21; undrawn > 0; undrawn--) {
        assert_int_equal(core.role.ops->left(&core.role), (undrawn + 9) / 10);
        mh_pool_draw(claim, &random_numbers);
    }
    assert_int_equal(core.role.ops->left(&core.role), 0);
}

#define WITH_POOL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_POOL(a_few_claims_are_open_at_a_time),  WITH_POOL(every_row_is_drawn_once_a_round),
        WITH_POOL(rows_and_claims_are_drawn_fairly), WITH_POOL(only_claims_with_rows_left_are_picked),
        WITH_POOL(a_claim_is_found_by_its_ids),      WITH_POOL(what_is_left_counts_in_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
