/* Searchers and queriers, driven by a core of ours: what they ask for. */
#include "role/role.h"

#include "check.h"
#include "expr/template.h"
#include "role/core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- templates ---- */

static void operands_are_drawn(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 3};
    char *text = NULL;
    size_t room = 0;
    bool low = false, high = false;
    for (int i = 0; i < 2000; i++) {
        long long id, number;
        int prefix, used = 0;
        assert_int_equal(mh_template_fill("a {id} b {{x}} {-3..4} c {prefix}", 10, &random, &text, &room), 0);
        assert_int_equal(sscanf(text, "a %lld b {x} %lld c %2d%n", &id, &number, &prefix, &used), 3);
        assert_int_equal(text[used], '\0');
        assert_in_range(id, 0, 9);
        assert_true(number >= -3 && number <= 4);
        assert_in_range(prefix, 0, 99);
        low |= number == -3;
        high |= number == 4;
    }
    assert_true(low && high);
    assert_int_equal(mh_template_fill("", 1, &random, &text, &room), 0);
    assert_string_equal(text, "");
    assert_int_equal(
        mh_template_fill("{-9223372036854775808..9223372036854775807}", 1, &random, &text, &room), 0);
    free(text);
}

static void what_is_no_operand_is_named(void **state)
{
    (void)state;
    static const char *const wrong[] = {"id > {", "id > {ID}", "x }", "{5..4}",
                                        "{1..2",  "{1..2 }",   "{}",  "{id} and {x}"};
    static const char *const right[] = {"", "id > 3", "{id}", "{{}}", "{1..1}", "{{{id}}}"};
    struct mh_error err;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(mh_template_check(wrong[i], &err), -1);
        assert_non_null(strstr(err.text, "is no operand; expected {id}, {prefix} or {FROM..TO}"));
        assert_int_equal(err.text[0], '\'');
        assert_int_equal(err.text[1], *strpbrk(wrong[i], "{}"));
    }
    for (size_t i = 0; i < COUNT(right); i++)
        assert_int_equal(mh_template_check(right[i], &err), 0);
}

/* ---- searcher ---- */

static enum mh_next next(struct core *core, struct mh_op *op)
{
    return core->role.ops->next(&core->role, op);
}

static void a_search_asks_for_what_the_job_says(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(1);
    core_open(&core,
              "{role: searcher, topk: 7, nq: 3, filter: 'id > 5', params: {nprobe: 16}, offset: 2, "
              "consistency: bounded, partitions: [_default], output: [id]}",
              1);
    assert_int_equal(next(&core, op), MH_NEXT_SEND);
    assert_int_equal(op->request.kind, MH_OP_SEARCH);
    assert_int_equal(op->request.limit, 7);
    assert_int_equal(op->request.offset, 2);
    assert_int_equal(op->request.query_count, 3);
    assert_int_equal(op->request.dim, CORE_DIM);
    assert_string_equal(op->request.expression, "id > 5");
    assert_string_equal(op->request.search_params, "{\"nprobe\": 16}");
    assert_int_equal(op->request.consistency, MH_BOUNDED);
    assert_int_equal(op->request.partition_count, 1);
    assert_int_equal(op->request.output_count, 1);
    assert_true(isnan(op->read.radius) && isnan(op->read.range_filter));
    assert_in_range(op->read.first_query, 0, CORE_QUERIES - 3);
    assert_ptr_equal(op->request.queries, core.vectors + op->read.first_query * CORE_DIM);
    core_close(&core);
    core_free_op(op);
}

static void random_radii_hold_at_most_the_share(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(1);
    int within = 0, filtered = 0;
    core_open(&core, "{role: searcher, radius: random, range_filter: random, share: 20%}", 1);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(next(&core, op), MH_NEXT_SEND);
        assert_false(isnan(op->read.radius));
        char radius[40];
        snprintf(radius, sizeof radius, "\"radius\": %.9g", op->read.radius);
        assert_non_null(strstr(op->request.search_params, radius));
        if (!isnan(op->read.range_filter)) {
            assert_true(op->read.range_filter < op->read.radius);
            filtered++;
        }
        const float *query = op->request.queries;
        for (int row = 0; row < CORE_ROWS; row++) {
            double distance = CORE_DIM * pow((double)query[0] - row, 2);
            within += distance < op->read.radius;
        }
    }
    /* uniform in 0 .. 20 %, of the rows of an average query */
    assert_true(within > 500 * CORE_ROWS * 0.06 && within < 500 * CORE_ROWS * 0.14);
    assert_true(filtered > 100);
    core_close(&core);
    core_free_op(op);
}

static void a_fixed_range_counts_as_one(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(1);
    core_open(&core, "{role: searcher, params: {radius: 12.5, range_filter: 3}}", 1);
    assert_int_equal(next(&core, op), MH_NEXT_SEND);
    assert_true(op->read.radius == 12.5 && op->read.range_filter == 3);
    core_close(&core);
    core_free_op(op);
}

static void a_mix_is_drawn_by_weight(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(1);
    int count[2] = {0, 0};
    core_open(&core, "{role: searcher, mix: [{topk: 1, weight: 3}, {topk: 2}]}", 1);
    for (int i = 0; i < 4000; i++) {
        assert_int_equal(next(&core, op), MH_NEXT_SEND);
        assert_int_equal(op->request.limit, op->read.item + 1);
        count[op->read.item]++;
    }
    assert_true(count[0] > 2850 && count[0] < 3150);
    core_close(&core);
    core_free_op(op);
}

/* ---- querier ---- */

static void a_query_asks_for_all_scalars(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(1);
    core_open(&core, "{role: querier, expression: 'id > 3', limit: 9}", 1);
    assert_int_equal(next(&core, op), MH_NEXT_SEND);
    assert_int_equal(op->request.kind, MH_OP_QUERY);
    assert_string_equal(op->request.expression, "id > 3");
    assert_int_equal(op->request.limit, 9);
    assert_int_equal(op->request.output_count, 2); /* the vector is none */
    assert_string_equal(op->request.output_fields[0], "id");
    assert_string_equal(op->request.output_fields[1], "varchar_field");
    assert_int_equal(op->request.consistency, MH_STRONG);
    core_close(&core);
    core_open(&core, "{role: querier, returns: count}", 1);
    free(op->read.text);
    op->read.text = NULL;
    op->read.text_room = 0;
    assert_int_equal(next(&core, op), MH_NEXT_SEND);
    assert_string_equal(op->request.output_fields[0], "count(*)");
    assert_int_equal(op->request.limit, 0);
    assert_true(op->read.count);
    core_close(&core);
    core_free_op(op);
}

static void how_far_reads_may_lag_is_asked_of_the_role(void **state)
{
    (void)state;
    static const struct {
        const char *role;
        int64_t seconds;
    } cases[] = {{"{role: searcher}", 5},
                 {"{role: querier}", 5},
                 {"{role: searcher, bound: 8s}", 8},
                 {"{role: querier, bound: 30s, mix: [{limit: 1}, {limit: 2}]}", 30}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct core core;
        core_open(&core, cases[i].role, 1);
        assert_int_equal(core.role.ops->bound_ns(core.role.options), cases[i].seconds * 1000000000);
        core_close(&core);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_are_drawn),
        cmocka_unit_test(what_is_no_operand_is_named),
        cmocka_unit_test(a_search_asks_for_what_the_job_says),
        cmocka_unit_test(random_radii_hold_at_most_the_share),
        cmocka_unit_test(a_fixed_range_counts_as_one),
        cmocka_unit_test(a_mix_is_drawn_by_weight),
        cmocka_unit_test(a_query_asks_for_all_scalars),
        cmocka_unit_test(how_far_reads_may_lag_is_asked_of_the_role),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
