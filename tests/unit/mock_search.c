/* Exact search against a reference that sorts everything, written another way; and each rule by hand. */
#include "base/random.h"
#include "job/job.h"
#include "mock/search.h"

#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 3, ROWS = 400, MOST = 512 };

struct table {
    float vectors[ROWS * DIM];
    int64_t keys[ROWS];
    bool hidden[ROWS];
};

static bool takes(const void *context, int64_t row)
{
    return !((const struct table *)context)->hidden[row];
}

static struct mh_search_rows rows_of(const struct table *table, int64_t count)
{
    return (struct mh_search_rows){
        .count = count, .vectors = table->vectors, .keys = table->keys, .takes = takes, .context = table};
}

/* ---- the reference: long double, all rows, qsort ---- */

struct candidate {
    float score, rank; /* rank: smaller is nearer, whatever the metric */
    int64_t key, row;
};

static int by_rank(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static float reference_score(int metric, const float *a, const float *b)
{
    long double dot = 0, aa = 0, bb = 0;
    for (int i = 0; i < DIM; i++) {
        dot += (long double)a[i] * b[i];
        aa += (long double)a[i] * a[i];
        bb += (long double)b[i] * b[i];
    }
    if (metric == MH_METRIC_L2)
        return (float)(aa + bb - 2 * dot);
    return metric == MH_METRIC_IP ? (float)dot : aa == 0 || bb == 0 ? 0 : (float)(dot / sqrtl(aa * bb));
}

static bool reference_takes(const struct mh_search *search, float score)
{
    const double near_end = search->has_range_filter ? search->range_filter : -INFINITY;
    if (!search->has_radius)
        return true;
    if (search->metric == MH_METRIC_L2)
        return near_end <= score && score < search->radius;
    return search->radius < score && (!search->has_range_filter || score <= search->range_filter);
}

static int64_t reference(const struct mh_search *search, const struct table *table, int64_t count,
                         const float *query, struct candidate *out)
{
    struct candidate all[ROWS];
    int64_t found = 0, distinct = 0, taken = 0;
    for (int64_t row = 0; row < count; row++) {
        float score = reference_score(search->metric, query, table->vectors + row * DIM);
        if (!table->hidden[row] && reference_takes(search, score))
            all[found++] = (struct candidate){score, search->metric == MH_METRIC_L2 ? score : -score,
                                              table->keys[row], row};
    }
    qsort(all, (size_t)found, sizeof *all, by_rank);
    if (found > search->topk + search->offset)
        found = search->topk + search->offset;
    for (int64_t i = 0; i < found; i++) {
        bool repeated = false;
        for (int64_t j = 0; j < i; j++)
            repeated |= all[j].key == all[i].key;
        if (!repeated && distinct++ >= search->offset)
            out[taken++] = all[i];
    }
    return taken;
}

/* Small whole numbers: sums of their products are exact, so both ways must agree to the last bit in L2 and
 * IP; and there are many equal scores. */
static void fill(struct mh_random *random, struct table *table)
{
    for (int64_t row = 0; row < ROWS; row++) {
        for (int i = 0; i < DIM; i++)
            table->vectors[row * DIM + i] = (float)mh_random_below(random, 9) - 4;
        table->keys[row] = (int64_t)mh_random_below(random, 300) - 50;
        table->hidden[row] = mh_random_below(random, 4) == 0;
    }
}

static struct mh_search draw_search(struct mh_random *random)
{
    struct mh_search search = {.metric = MH_METRIC_L2 + (int)mh_random_below(random, 3),
                               .dim = DIM,
                               .topk = 1 + (int64_t)mh_random_below(random, MOST - 100),
                               .offset = (int64_t)mh_random_below(random, 100),
                               .has_radius = mh_random_below(random, 2),
                               .has_range_filter = mh_random_below(random, 2)};
    if (mh_random_below(random, 2))
        search.topk = 1 + search.topk % 10;
    const double from = (double)mh_random_below(random, 40) - 10,
                 width = 1 + (double)mh_random_below(random, 30);
    const double scale = search.metric == MH_METRIC_COSINE ? 0.03 : 1;
    search.radius = scale * (search.metric == MH_METRIC_L2 ? from + width : from);
    search.range_filter = scale * (search.metric == MH_METRIC_L2 ? from : from + width);
    return search;
}

static void agrees_with_reference(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 20};
    static struct table table;
    int64_t hits_seen = 0, short_ones = 0;
    for (int round = 0; round < 400; round++) {
        fill(&random, &table);
        const struct mh_search search = draw_search(&random);
        struct mh_error err;
        assert_int_equal(mh_search_check(&search, &err), 0);
        const int64_t count = (int64_t)mh_random_below(&random, ROWS + 1);
        const float query[DIM] = {(float)mh_random_below(&random, 5), (float)mh_random_below(&random, 5), 1};
        const struct mh_search_rows rows = rows_of(&table, count);
        struct mh_hit hits[MOST];
        struct candidate wanted[MOST];
        const int64_t got = mh_search(&search, &rows, query, hits);
        assert_int_equal(got, reference(&search, &table, count, query, wanted));
        for (int64_t i = 0; i < got; i++) {
            if (search.metric == MH_METRIC_COSINE) { /* rounding may exchange what is nearly equal */
                assert_true(fabsf(hits[i].score - wanted[i].score) < 1e-6f);
                continue;
            }
            assert_int_equal(hits[i].row, wanted[i].row);
            assert_true(hits[i].score == wanted[i].score);
        }
        hits_seen += got;
        short_ones += got < search.topk;
    }
    assert_true(hits_seen > 1000 && short_ones > 10);
}

/* ---- by hand ---- */

static const struct table line = {.vectors = {0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 2, 0, 0},
                                  .keys = {10, 11, 12, 13, 12}};

static void expect(const struct mh_search *search, const float *query, const char *wanted)
{
    const struct mh_search_rows rows = rows_of(&line, 5);
    struct mh_hit hits[16];
    char text[256] = "";
    const int64_t got = mh_search(search, &rows, query, hits);
    for (int64_t i = 0; i < got; i++)
        sprintf(text + strlen(text), "%s%lld:%g", i ? " " : "", (long long)rows.keys[hits[i].row],
                hits[i].score);
    assert_string_equal(text, wanted);
}

static void metrics(void **state)
{
    (void)state;
    const float query[DIM] = {2, 0, 0};
    expect(&(struct mh_search){.metric = MH_METRIC_L2, .dim = DIM, .topk = 16}, query, "12:0 11:1 13:1 10:4");
    expect(&(struct mh_search){.metric = MH_METRIC_IP, .dim = DIM, .topk = 16}, query, "13:6 12:4 11:2 10:0");
    expect(&(struct mh_search){.metric = MH_METRIC_COSINE, .dim = DIM, .topk = 16}, query,
           "11:1 12:1 13:1 10:0");
}

static void second_copies_shorten_the_result(void **state)
{
    (void)state;
    const float query[DIM] = {2, 0, 0};
    expect(&(struct mh_search){.metric = MH_METRIC_L2, .dim = DIM, .topk = 2}, query, "12:0");
    expect(&(struct mh_search){.metric = MH_METRIC_L2, .dim = DIM, .topk = 2, .offset = 1}, query, "11:1");
    expect(&(struct mh_search){.metric = MH_METRIC_L2, .dim = DIM, .topk = 3, .offset = 4}, query, "");
}

static void ranges(void **state)
{
    (void)state;
    const float query[DIM] = {2, 0, 0};
    struct mh_search search = {
        .metric = MH_METRIC_L2, .dim = DIM, .topk = 16, .has_radius = true, .radius = 4};
    expect(&search, query, "12:0 11:1 13:1");
    search.has_range_filter = true;
    search.range_filter = 1;
    expect(&search, query, "11:1 13:1");
    search.has_radius = false;
    expect(&search, query, "12:0 11:1 13:1 10:4");
    search =
        (struct mh_search){.metric = MH_METRIC_IP, .dim = DIM, .topk = 16, .has_radius = true, .radius = 2};
    expect(&search, query, "13:6 12:4");
    search.has_range_filter = true;
    search.range_filter = 4;
    expect(&search, query, "12:4");
}

static void what_is_refused(void **state)
{
    (void)state;
    const struct mh_search good = {.metric = MH_METRIC_L2, .dim = DIM, .topk = MH_SEARCH_WINDOW};
    struct mh_search bad[] = {good, good, good, good, good, good};
    bad[0].topk = 0;
    bad[1].topk++;
    bad[2].offset = 1;
    bad[3].offset = -1;
    bad[4] = (struct mh_search){.metric = MH_METRIC_L2,
                                .topk = 1,
                                .has_radius = true,
                                .has_range_filter = true,
                                .radius = 1,
                                .range_filter = 1};
    bad[5] = (struct mh_search){.metric = MH_METRIC_IP,
                                .topk = 1,
                                .has_radius = true,
                                .has_range_filter = true,
                                .radius = 2,
                                .range_filter = 1};
    struct mh_error err;
    assert_int_equal(mh_search_check(&good, &err), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        err.text[0] = 0;
        assert_int_equal(mh_search_check(&bad[i], &err), -1);
        assert_true(strlen(err.text) > 10);
    }
}

static void not_a_number_is_near_nothing(void **state)
{
    (void)state;
    expect(&(struct mh_search){.metric = MH_METRIC_L2, .dim = DIM, .topk = 16}, (float[DIM]){NAN, 0, 0}, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(metrics),
        cmocka_unit_test(second_copies_shorten_the_result),
        cmocka_unit_test(ranges),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(not_a_number_is_near_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
