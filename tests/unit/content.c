/* Content as a pure function of (id, version): made, recognised, told from every other, and sent without a
 * copy. */
#include "dataset/content.h"

#include "base/random.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 3, OVERLAP = 9, TRAIN = 100, BATCH = 40, VERSIONS = 1001 };

/* ---- a collection with every type, and varchars of every kind of length ---- */

#define FIELD(NAME, TYPE)                                                                                    \
    {                                                                                                        \
        .name = (char[]){NAME}, .type = TYPE                                                                 \
    }
#define TEXT(LENGTH)                                                                                         \
    {                                                                                                        \
        .name = (char[]){"text" #LENGTH}, .type = MH_FIELD_VARCHAR, .max_length = LENGTH                     \
    }

static struct mh_field fields[] = {
    FIELD("bool", MH_FIELD_BOOL),
    FIELD("vector", MH_FIELD_FLOAT_VECTOR),
    FIELD("int8", MH_FIELD_INT8),
    FIELD("int16", MH_FIELD_INT16),
    {.name = (char[]){"id"}, .type = MH_FIELD_INT64, .primary = true},
    FIELD("int32", MH_FIELD_INT32),
    FIELD("int64", MH_FIELD_INT64),
    FIELD("float", MH_FIELD_FLOAT),
    FIELD("double", MH_FIELD_DOUBLE),
    TEXT(1),
    TEXT(7),
    TEXT(8),
    TEXT(15),
    TEXT(16),
    TEXT(17),
    TEXT(39),
    TEXT(40),
    TEXT(41),
    TEXT(64),
    TEXT(65535),
};
enum { KEY = 4, VECTOR = 1 };
static const struct mh_collection_options collection = {.fields = {fields, COUNT(fields)}};

static struct mh_dataset dataset;
static struct mh_content content;

static void make_dataset(int64_t rows, int64_t overlap)
{
    float *train = malloc((size_t)(rows + overlap) * DIM * sizeof *train); /* not a float more */
    for (int64_t i = 0; i < (rows + overlap) * DIM; i++)
        train[i] = (float)(i % (rows * DIM)) + 0.5f;
    dataset =
        (struct mh_dataset){.shape = {.train_rows = rows, .dim = DIM}, .train = train, .overlap = overlap};
    mh_content_init(&content, &dataset, &collection, 42);
}

static int set_up(void **state)
{
    (void)state;
    make_dataset(TRAIN, OVERLAP);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free((void *)(uintptr_t)dataset.train);
    return 0;
}

static void fill(struct mh_rowset *set, const int64_t *ids, const uint16_t *versions, int64_t rows)
{
    memcpy(set->ids, ids, (size_t)rows * sizeof *ids);
    set->rows = rows;
    assert_int_equal(mh_rowset_fill(set, &content, versions), 0);
}

/* As the transport does: calls it, and leaves the column as it is. */
static void release(const struct mh_rowset *set)
{
    const struct mh_column *column = &set->columns[VECTOR];
    if (column->release)
        column->release(column->held);
}

/* ---- batches ---- */

struct batch {
    int64_t ids[BATCH], rows;
    uint16_t versions[BATCH];
};

static const int64_t odd_ids[] = {
    0, 1, 99, 100, 12345, 1LL << 32, (1LL << 47) - 1, (1LL << 47) - 2, 98765432109876};

static void make_batch(struct batch *batch, int kind, struct mh_random *random)
{
    batch->rows = 1 + (int64_t)mh_random_below(random, BATCH);
    const int64_t first = (int64_t)mh_random_below(random, 5000);
    const uint16_t version = (uint16_t)mh_random_below(random, 5);
    for (int64_t i = 0; i < batch->rows; i++) {
        batch->ids[i] = kind < 2 ? first + i : odd_ids[mh_random_below(random, COUNT(odd_ids))];
        batch->versions[i] = kind == 0 ? version : (uint16_t)mh_random_below(random, 4096);
    }
}

typedef void visit_batch(const struct batch *batch, struct mh_rowset *set);

static void every_batch(visit_batch *visit)
{
    struct mh_random random = {.seed = 4};
    struct mh_rowset set;
    assert_int_equal(mh_rowset_init(&set, &content, BATCH), 0);
    for (int i = 0; i < 300; i++) {
        struct batch batch;
        make_batch(&batch, i % 3, &random);
        fill(&set, batch.ids, batch.versions, batch.rows);
        visit(&batch, &set);
        release(&set);
    }
    mh_rowset_free(&set);
}

/* ---- recognised ---- */

static void recognise(const struct batch *batch, struct mh_rowset *set)
{
    assert_int_equal(set->column_count, COUNT(fields));
    for (size_t f = 0; f < COUNT(fields); f++) {
        assert_string_equal(set->columns[f].name, fields[f].name);
        assert_int_equal(set->columns[f].type, fields[f].type);
        assert_int_equal(set->columns[f].rows, batch->rows);
        for (int64_t row = 0; row < batch->rows; row++)
            assert_true(mh_content_matches(&content, f, &set->columns[f], row, batch->ids[row],
                                           batch->versions[row]));
    }
}

static void what_is_made_is_recognised(void **state)
{
    (void)state;
    every_batch(recognise);
}

static size_t size_of(size_t field)
{
    return fields[field].type == MH_FIELD_INT64 || fields[field].type == MH_FIELD_DOUBLE ? 8 : 4;
}

/* A copy of the column with one bit of one row flipped. */
static bool recognised_with_flip(const struct mh_column *column, size_t field, int64_t row, size_t bit,
                                 int64_t id, int64_t version)
{
    struct mh_column flipped = *column;
    const bool vector = fields[field].type == MH_FIELD_FLOAT_VECTOR;
    size_t bytes = vector ? DIM * sizeof(float) : size_of(field);
    uint8_t *copy = malloc((size_t)column->rows * bytes);
    memcpy(copy, column->values, (size_t)column->rows * bytes);
    copy[(size_t)row * bytes + bit / 8] ^= (uint8_t)(1 << bit % 8);
    flipped.values = copy;
    bool is = mh_content_matches(&content, field, &flipped, row, id, version);
    free(copy);
    return is;
}

static bool recognised_with_other_text(const struct mh_column *column, size_t field, int64_t row, size_t bit,
                                       int64_t id, int64_t version)
{
    char *const *texts = column->values;
    char *copy = strdup(texts[row]), *pointers[BATCH];
    struct mh_column changed = *column;
    copy[bit / 8] ^= (char)(1 << bit % 8);
    memcpy(pointers, texts, (size_t)column->rows * sizeof *pointers);
    pointers[row] = copy;
    changed.values = pointers;
    bool is = mh_content_matches(&content, field, &changed, row, id, version);
    free(copy);
    return is;
}

static void reject_flips(const struct batch *batch, struct mh_rowset *set)
{
    int64_t row = batch->rows / 2;
    for (size_t f = 0; f < COUNT(fields); f++) {
        const struct mh_column *column = &set->columns[f];
        const bool text = fields[f].type == MH_FIELD_VARCHAR,
                   vector = fields[f].type == MH_FIELD_FLOAT_VECTOR;
        size_t bits = text     ? 8 * strlen(((char *const *)column->values)[row])
                      : vector ? 32 * DIM
                               : 8 * size_of(f);
        for (size_t bit = 0; bit < bits; bit++)
            assert_false((text ? recognised_with_other_text : recognised_with_flip)(
                column, f, row, bit, batch->ids[row], batch->versions[row]));
    }
}

static void one_flipped_bit_is_noticed(void **state)
{
    (void)state;
    every_batch(reject_flips);
}

static bool is_wide(const struct mh_field *field)
{
    return field->type == MH_FIELD_INT32 || field->type == MH_FIELD_INT64 || field->type == MH_FIELD_FLOAT ||
           field->type == MH_FIELD_DOUBLE || (field->type == MH_FIELD_VARCHAR && field->max_length >= 8);
}

static void reject_others(const struct batch *batch, struct mh_rowset *set)
{
    static const int64_t steps[] = {1, -1, 2, 256, -256, 65536, 1LL << 32};
    for (size_t f = 0; f < COUNT(fields); f++)
        for (int64_t row = 0; row < batch->rows; row++)
            for (size_t s = 0; s < COUNT(steps); s++) {
                const struct mh_column *column = &set->columns[f];
                int64_t id = batch->ids[row], version = batch->versions[row], other_id = id ^ steps[s];
                if (fields[f].primary || is_wide(&fields[f]))
                    assert_false(mh_content_matches(&content, f, column, row, other_id, version));
                if (is_wide(&fields[f]) && !fields[f].primary && version + steps[s] >= 0 &&
                    version + steps[s] < 65536)
                    assert_false(mh_content_matches(&content, f, column, row, id, version + steps[s]));
            }
}

static void another_row_or_version_is_noticed(void **state)
{
    (void)state;
    every_batch(reject_others);
}

static void narrow_fields_vary_as_far_as_they_can(void **state)
{
    (void)state;
    enum { ROWS = 4000, BOOL_FIELD = 0, INT8_FIELD = 2 };
    struct mh_rowset set;
    int bools = 0, bytes = 0;
    assert_int_equal(mh_rowset_init(&set, &content, 1), 0);
    for (int64_t id = 0; id < ROWS; id++) {
        fill(&set, &id, NULL, 1);
        assert_in_range(*(const int32_t *)set.columns[BOOL_FIELD].values, 0, 1);
        assert_true(*(const int32_t *)set.columns[INT8_FIELD].values ==
                    (int8_t) * (const int32_t *)set.columns[INT8_FIELD].values);
        bools += mh_content_matches(&content, BOOL_FIELD, &set.columns[BOOL_FIELD], 0, id, 1);
        bytes += mh_content_matches(&content, INT8_FIELD, &set.columns[INT8_FIELD], 0, id, 1);
    }
    assert_in_range(bools, ROWS / 2 - 200, ROWS / 2 + 200);
    assert_in_range(bytes, 1, 40);
    mh_rowset_free(&set);
}

static void a_column_of_another_kind_is_no_match(void **state)
{
    (void)state;
    struct mh_rowset set;
    const int64_t ids[] = {5, 6};
    assert_int_equal(mh_rowset_init(&set, &content, 2), 0);
    fill(&set, ids, NULL, 2);
    for (size_t f = 0; f < COUNT(fields); f++) {
        struct mh_column column = set.columns[f];
        column.rows = 1;
        assert_false(mh_content_matches(&content, f, &column, 1, 6, 0));
        assert_true(mh_content_matches(&content, f, &column, 0, 5, 0));
        column.type = fields[f].type == MH_FIELD_INT64 ? MH_FIELD_DOUBLE : MH_FIELD_INT64;
        assert_false(mh_content_matches(&content, f, &column, 0, 5, 0));
        column = set.columns[f];
        column.dim++;
        assert_int_equal(mh_content_matches(&content, f, &column, 0, 5, 0), f != VECTOR);
    }
    mh_rowset_free(&set);
}

/* ---- pure ---- */

/* Whatever stood in the set before, and wherever in the batch the row stands. */
static void make_again_alone(const struct batch *batch, struct mh_rowset *set)
{
    struct mh_rowset alone;
    assert_int_equal(mh_rowset_init(&alone, &content, 1), 0);
    for (int64_t row = 0; row < batch->rows; row++) {
        fill(&alone, &batch->ids[row], &batch->versions[row], 1);
        for (size_t f = 0; f < COUNT(fields); f++) {
            const char *values = set->columns[f].values, *again = alone.columns[f].values;
            size_t bytes = f == VECTOR ? DIM * sizeof(float) : size_of(f);
            if (fields[f].type == MH_FIELD_VARCHAR)
                assert_string_equal(((char *const *)(const void *)values)[row],
                                    *(char *const *)(const void *)again);
            else
                assert_memory_equal(values + (size_t)row * bytes, again, bytes);
        }
        release(&alone);
    }
    mh_rowset_free(&alone);
}

static void content_depends_on_nothing_else(void **state)
{
    (void)state;
    every_batch(make_again_alone);
}

static void another_seed_is_another_content(void **state)
{
    (void)state;
    struct mh_content other;
    struct mh_rowset set;
    const int64_t id = 3;
    mh_content_init(&other, &dataset, &collection, 43);
    assert_int_equal(mh_rowset_init(&set, &content, 1), 0);
    fill(&set, &id, NULL, 1);
    for (size_t f = 0; f < COUNT(fields); f++)
        if (is_wide(&fields[f]) && !fields[f].primary && fields[f].max_length < 40)
            assert_false(mh_content_matches(&other, f, &set.columns[f], 0, 3, 0));
    mh_rowset_free(&set);
}

static void texts_have_the_form_that_filters_rely_on(void **state)
{
    (void)state;
    struct mh_rowset set;
    bool numbers[100] = {false};
    assert_int_equal(mh_rowset_init(&set, &content, 1), 0);
    for (int64_t n = 0; n < 3000; n++) {
        int64_t id = n < 2991 ? n : odd_ids[n - 2991];
        uint16_t version = (uint16_t)(n % 4096);
        fill(&set, &id, &version, 1);
        for (size_t f = 0; f < COUNT(fields); f++) {
            if (fields[f].type != MH_FIELD_VARCHAR)
                continue;
            const char *text = *(char *const *)set.columns[f].values;
            char expected[64];
            int number = -1;
            if (fields[f].max_length < 40) {
                assert_int_equal(strlen(text), fields[f].max_length < 16 ? fields[f].max_length : 16);
                assert_int_equal(strspn(text, "0123456789abcdef"), strlen(text));
                continue;
            }
            assert_int_equal(sscanf(text, "prefix%2d_", &number), 1);
            snprintf(expected, sizeof expected, "prefix%02d_%lld_v%d", number, (long long)id, version);
            assert_string_equal(text, expected);
            numbers[number] = true;
        }
        release(&set);
    }
    for (int i = 0; i < 100; i++)
        assert_true(numbers[i]);
    mh_rowset_free(&set);
}

/* ---- vectors ---- */

static bool inside(const void *pointer, int64_t rows)
{
    const float *first = pointer;
    return first >= dataset.train && first + rows * DIM <= dataset.train + (TRAIN + OVERLAP) * DIM;
}

static void rows_side_by_side_are_not_copied(void **state)
{
    (void)state;
    static const struct {
        int64_t first, rows;
        bool by_reference;
    } cases[] = {{0, 1, true},     {0, 10, true},     {95, 5, true},
                 {95, 6, true},    {99, 10, true},    {99, 1, true},
                 {1099, 10, true}, {100000, 7, true}, {(1LL << 47) - 5, 3, true},
                 {99, 11, false}};
    struct mh_rowset set;
    assert_int_equal(mh_rowset_init(&set, &content, BATCH), 0);
    for (size_t i = 0; i < COUNT(cases); i++)
        for (uint16_t version = 0; version < 40; version++) {
            int64_t ids[BATCH];
            uint16_t versions[BATCH];
            for (int64_t row = 0; row < cases[i].rows; row++) {
                ids[row] = cases[i].first + row;
                versions[row] = version;
            }
            fill(&set, ids, version ? versions : NULL, cases[i].rows);
            const struct mh_column *column = &set.columns[VECTOR];
            assert_int_equal(column->dim, DIM);
            assert_int_equal(inside(column->values, cases[i].rows), cases[i].by_reference);
            assert_int_equal(column->release == NULL, cases[i].by_reference);
            if (version == 0)
                for (int64_t row = 0; row < cases[i].rows; row++)
                    assert_memory_equal((const float *)column->values + row * DIM,
                                        dataset.train + ids[row] % TRAIN * DIM, DIM * sizeof(float));
            release(&set);
        }
    mh_rowset_free(&set);
}

static void scattered_rows_are_a_copy_to_be_released(void **state)
{
    (void)state;
    static const int64_t scattered[][3] = {{5, 4, 3}, {5, 7, 8}, {5, 5, 5}, {5, 6, 8}};
    static const uint16_t mixed[] = {0, 0, 1};
    static const int64_t in_order[] = {5, 6, 7};
    struct mh_rowset set;
    assert_int_equal(mh_rowset_init(&set, &content, 3), 0);
    for (size_t i = 0; i <= COUNT(scattered); i++) {
        bool versions = i == COUNT(scattered);
        fill(&set, versions ? in_order : scattered[i], versions ? mixed : NULL, 3);
        assert_false(inside(set.columns[VECTOR].values, 3));
        assert_non_null(set.columns[VECTOR].release);
        release(&set); /* the leak check sees to the rest */
    }
    mh_rowset_free(&set);
}

static void versions_of_a_row_are_different_vectors(void **state)
{
    (void)state;
    free((void *)(uintptr_t)dataset.train);
    for (int64_t rows = 1; rows < 70000; rows += rows < 3000 ? 1 : 9973) {
        bool *used = calloc((size_t)rows, sizeof *used);
        make_dataset(rows, 0);
        for (int64_t version = 0; version < VERSIONS && version < rows; version++) {
            int64_t at = (mh_content_vector(&content, 12345, version) - dataset.train) / DIM;
            assert_in_range(at, 0, rows - 1);
            assert_false(used[at]);
            used[at] = true;
        }
        free(used);
        free((void *)(uintptr_t)dataset.train);
    }
    make_dataset(TRAIN, OVERLAP);
}

/* ---- what a reader can tell ---- */

static void versions_show_in_wide_fields_only(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(fields); f++) {
        struct mh_field three[] = {fields[KEY], fields[VECTOR], fields[f]};
        struct mh_collection_options small = {.fields = {three, 3}};
        struct mh_content of_small;
        mh_content_init(&of_small, &dataset, &small, 1);
        assert_int_equal(mh_content_tells_version(&of_small), is_wide(&fields[f]) && !fields[f].primary);
    }
}

static void key_and_vector_are_found(void **state)
{
    (void)state;
    assert_string_equal(mh_content_key_name(&content), "id");
    assert_string_equal(mh_content_vector_name(&content), "vector");
}

#define WITH_DATA(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DATA(what_is_made_is_recognised),
        WITH_DATA(one_flipped_bit_is_noticed),
        WITH_DATA(another_row_or_version_is_noticed),
        WITH_DATA(narrow_fields_vary_as_far_as_they_can),
        WITH_DATA(a_column_of_another_kind_is_no_match),
        WITH_DATA(content_depends_on_nothing_else),
        WITH_DATA(another_seed_is_another_content),
        WITH_DATA(texts_have_the_form_that_filters_rely_on),
        WITH_DATA(rows_side_by_side_are_not_copied),
        WITH_DATA(scattered_rows_are_a_copy_to_be_released),
        WITH_DATA(versions_of_a_row_are_different_vectors),
        WITH_DATA(versions_show_in_wide_fields_only),
        WITH_DATA(key_and_vector_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
