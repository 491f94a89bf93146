/* The judgement of rows that reads returned: what their fields tell of their versions, and what they do not.
 */
#include "truth/hits.h"

#include "base/clock.h"
#include "base/grow.h"
#include "check.h"
#include "dataset/distance.h"

#include <math.h>
#include <string.h>

enum { TRAIN = 1000, DIM = 2, ID = 18 };
/* With seed 1 the row has the same price in both. */
enum { LOW = 229, HIGH = 456 };
enum { KEY, VECTOR, PRICE };

static float train[TRAIN * DIM];
static struct mh_field fields[] = {{.name = (char[]){"id"}, .type = MH_FIELD_INT64, .primary = true},
                                   {.name = (char[]){"vector"}, .type = MH_FIELD_FLOAT_VECTOR},
                                   {.name = (char[]){"price"}, .type = MH_FIELD_FLOAT}};
static const struct mh_collection_options collection = {.fields = {fields, COUNT(fields)}};
static const struct mh_dataset dataset = {
    .shape = {.train_rows = TRAIN, .dim = DIM}, .train = train, .queries = train, .query_rows = TRAIN};
static struct mh_content content;

static char *partitions[] = {(char[]){"_default"}};
static struct mh_worker workers[] = {{.first_id = 0, .rows = TRAIN}};
static const struct mh_plan plan = {
    .np = 1, .workers = workers, .worker_count = 1, .partitions = partitions, .partition_count = 1};

static struct mh_write inserts[1], changes[4];
static struct mh_history history;
static struct mh_reads reads;
static struct mh_hits hits;

static bool memory = true; /* for violations */
bool __real_mh_grow(void *items, int64_t *room, int64_t count, size_t size);
bool __wrap_mh_grow(void *items, int64_t *room, int64_t count, size_t size);
bool __wrap_mh_grow(void *items, int64_t *room, int64_t count, size_t size)
{
    return (memory || size != sizeof(struct mh_violation)) && __real_mh_grow(items, room, count, size);
}

static int begin(void **state)
{
    (void)state;
    for (int row = 0; row < TRAIN; row++)
        for (int i = 0; i < DIM; i++)
            train[row * DIM + i] = (float)row;
    mh_content_init(&content, &dataset, &collection, 1);
    inserts[0] = (struct mh_write){.count = TRAIN, .done_ns = MH_MS, .kind = MH_OP_INSERT, .certain = true};
    history = (struct mh_history){.inserts = inserts, .insert_count = 1, .changes = changes};
    reads = (struct mh_reads){.content = &content, .plan = &plan, .share = 1, .seed = 1};
    mh_reads_begin(&reads);
    hits = (struct mh_hits){.reads = &reads,
                            .history = &history,
                            .doubt = {.bound_ns = 5 * MH_S},
                            .plan = &plan,
                            .content = &content,
                            .metric = MH_METRIC_L2,
                            .comm = MPI_COMM_SELF};
    memory = true;
    return 0;
}

static int end(void **state)
{
    (void)state;
    mh_reads_free(&reads);
    mh_hits_free(&hits);
    return 0;
}

/* The row's next upsert, of 10 ms. */
static void upsert(int version, int64_t sent_ms, bool certain)
{
    changes[history.change_count++] = (struct mh_write){.first = ID,
                                                        .count = 1,
                                                        .sent_ns = sent_ms * MH_MS,
                                                        .done_ns = (sent_ms + 10) * MH_MS,
                                                        .version = (uint16_t)version,
                                                        .kind = MH_OP_UPSERT,
                                                        .certain = certain};
}

/* A read of 5 ms that shows the row as it is in `version`: a price for a query; for a search its distance as
 * well, which is that of `scored`. */
struct look {
    enum mh_op_kind kind;
    int consistency, version, scored;
    bool vector; /* shown in the price's place */
};

static void show(struct look look, int64_t sent_ms)
{
    const int64_t id = ID, one = 1;
    struct mh_scalar price = {0};
    mh_content_scalar(&content, PRICE, ID, look.version, &price);
    const float value = (float)price.real,
                score = mh_distance(MH_METRIC_L2, train, mh_content_vector(&content, ID, look.scored), DIM);
    const struct mh_column keys = {.name = "id", .type = MH_FIELD_INT64, .rows = 1, .values = &id},
                           prices = {.name = "price", .type = MH_FIELD_FLOAT, .rows = 1, .values = &value},
                           vectors = {.name = "vector",
                                      .type = MH_FIELD_FLOAT_VECTOR,
                                      .dim = DIM,
                                      .rows = 1,
                                      .values = mh_content_vector(&content, ID, look.version)};
    static const struct mh_worker reader = {.number = 7};
    struct mh_op op = {.request = {.kind = look.kind, .consistency = look.consistency, .query_count = 1},
                       .read = {.radius = NAN, .range_filter = NAN, .text = (char[]){""}},
                       .worker = &reader,
                       .sent_ns = sent_ms * MH_MS,
                       .done_ns = (sent_ms + 5) * MH_MS,
                       .reply = {.columns = {look.vector ? vectors : prices, keys}, .column_count = 2}};
    if (look.kind == MH_OP_SEARCH) {
        op.reply.column_count = 1;
        op.reply.ids = &id;
        op.reply.scores = &score;
        op.reply.hits_of = &one;
        op.reply.query_count = op.reply.hit_count = 1;
    }
    mh_reads_note(&reads, &op);
}

static void judge(void)
{
    struct mh_error err = {""};
    if (mh_hits_judge(&hits, &err) != 0)
        fail_msg("%s", err.text);
}

static void expect(int kind, int64_t expected, int64_t seen)
{
    judge();
    assert_int_equal(hits.violation_count, 1);
    assert_int_equal(hits.figures.violations, 1);
    assert_int_equal(hits.violations[0].kind, kind);
    assert_int_equal(hits.violations[0].id, ID);
    assert_int_equal(hits.violations[0].expected_version, expected);
    assert_int_equal(hits.violations[0].seen_version, seen);
}

static void two_versions_share_a_price(void **state)
{
    (void)state;
    for (int version = 0; version < HIGH; version++)
        assert_int_equal(mh_content_same(&content, PRICE, ID, version, HIGH), version == LOW);
    assert_false(mh_content_same(&content, VECTOR, ID, LOW, HIGH));
    assert_true(mh_content_same(&content, VECTOR, ID, LOW, LOW + TRAIN));
    assert_true(mh_content_same(&content, KEY, ID, LOW, HIGH));
}

static void what_two_versions_share_is_of_the_one_that_may_be(void **state)
{
    (void)state;
    static const int levels[] = {MH_STRONG, MH_BOUNDED, MH_EVENTUALLY};
    upsert(HIGH, 100, true);
    for (size_t i = 0; i < COUNT(levels); i++) {
        show((struct look){.kind = MH_OP_QUERY, .consistency = levels[i], .version = HIGH}, 120);
        show((struct look){.kind = MH_OP_SEARCH, .consistency = levels[i], .version = HIGH, .scored = HIGH},
             130);
    }
    judge();
    assert_int_equal(hits.figures.violations, 0);
    assert_int_equal(hits.figures.rows, COUNT(levels));
    assert_int_equal(hits.figures.hits, COUNT(levels));
    for (int level = 0; level < MH_LEVELS; level++) /* nor is any of them behind */
        assert_int_equal(hits.figures.behind[level], 0);
}

static void what_no_version_that_may_be_shares_is_stale(void **state)
{
    (void)state;
    upsert(HIGH + 1, 100, true);
    show((struct look){.kind = MH_OP_QUERY, .version = HIGH}, 120);
    expect(MH_STALE, HIGH + 1, LOW);
}

static void a_price_of_one_version_is_that_ones(void **state)
{
    (void)state;
    upsert(HIGH, 100, true);
    show((struct look){.kind = MH_OP_QUERY, .version = LOW - 1}, 120);
    expect(MH_STALE, HIGH, LOW - 1);
}

static void a_version_that_is_not_written_yet_is_unexpected(void **state)
{
    (void)state;
    upsert(HIGH, 100, true);
    show((struct look){.kind = MH_OP_QUERY, .version = HIGH + 1}, 120);
    expect(MH_UNEXPECTED, HIGH, HIGH + 1);
}

static void a_distance_is_that_of_the_version_that_may_be(void **state)
{
    (void)state;
    upsert(HIGH, 100, true);
    show((struct look){.kind = MH_OP_SEARCH, .version = HIGH, .scored = HIGH + 1}, 120);
    expect(MH_WRONG_DISTANCE, 0, 0);
    assert_true(hits.violations[0].expected_value ==
                (double)mh_distance(MH_METRIC_L2, train, mh_content_vector(&content, ID, HIGH), DIM));
}

/* Versions that lie as far apart as the data set has rows have the same vector. */
static void a_vector_is_of_any_version_that_has_it(void **state)
{
    (void)state;
    upsert(LOW + TRAIN, 100, true);
    show((struct look){.kind = MH_OP_QUERY, .version = LOW, .vector = true}, 120);
    judge();
    assert_int_equal(hits.figures.violations, 0);
    show((struct look){.kind = MH_OP_QUERY, .version = LOW + 1, .vector = true}, 120);
    mh_hits_free(&hits);
    expect(MH_STALE, LOW + TRAIN, LOW + 1);
}

/* Nobody knows which of the upserts took effect. */
static void what_may_be_newer_does_not_go_back(void **state)
{
    (void)state;
    upsert(LOW, 100, false);
    upsert(LOW + 10, 120, false);
    upsert(HIGH, 140, false);
    show((struct look){.kind = MH_OP_QUERY, .version = LOW + 10}, 160);
    show((struct look){.kind = MH_OP_QUERY, .version = HIGH}, 180);
    judge();
    assert_int_equal(hits.figures.violations, 0);
    show((struct look){.kind = MH_OP_QUERY, .version = LOW + 9}, 200);
    mh_hits_free(&hits);
    expect(MH_NON_MONOTONIC, LOW + 10, LOW + 9);
}

static void a_violation_that_cannot_be_kept_is_no_verdict(void **state)
{
    (void)state;
    struct mh_error err = {""};
    show((struct look){.kind = MH_OP_QUERY, .version = HIGH}, 120); /* never written */
    memory = false;
    assert_int_equal(mh_hits_judge(&hits, &err), -1);
    assert_string_equal(err.text, "out of memory for violations");
}

#define JUDGED(TEST) cmocka_unit_test_setup_teardown(TEST, begin, end)

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    const struct CMUnitTest tests[] = {
        JUDGED(two_versions_share_a_price),
        JUDGED(what_two_versions_share_is_of_the_one_that_may_be),
        JUDGED(what_no_version_that_may_be_shares_is_stale),
        JUDGED(a_price_of_one_version_is_that_ones),
        JUDGED(a_version_that_is_not_written_yet_is_unexpected),
        JUDGED(a_distance_is_that_of_the_version_that_may_be),
        JUDGED(a_vector_is_of_any_version_that_has_it),
        JUDGED(what_may_be_newer_does_not_go_back),
        JUDGED(a_violation_that_cannot_be_kept_is_no_verdict),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
