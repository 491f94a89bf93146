/* The ledger against a naive model that keeps every row's story: records, exchange, totals, memory. */
#include "truth/ledger.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { WORKERS = 5, ROWS = 3 * MH_LEDGER_BLOCK + 77, IDS = WORKERS * ROWS, LEDGERS = 3, BATCH = 60 };

/* ---- the model: one row's story, told by its only mutator ---- */

struct row {
    enum mh_insert_fate insert;
    int version;
    bool deleted, delete_unknown, upsert_unknown;
};

struct world {
    struct row rows[IDS];
    struct mh_ledger_totals totals;
    struct mh_ledger ledgers[LEDGERS]; /* of as many ranks */
    int home[WORKERS];                 /* whose ledger a worker's records go to */
    struct mh_random random;
};

static const enum mh_outcome outcomes[] = {MH_OUTCOME_OK,     MH_OUTCOME_OK,        MH_OUTCOME_OK,
                                           MH_OUTCOME_FAILED, MH_OUTCOME_THROTTLED, MH_OUTCOME_UNKNOWN};

static int64_t below(struct world *world, int64_t bound)
{
    return (int64_t)mh_random_below(&world->random, (uint64_t)bound);
}

static void count(int64_t rows, enum mh_outcome outcome, int64_t *ok, int64_t *refused, int64_t *unknown)
{
    *(outcome == MH_OUTCOME_OK ? ok : outcome == MH_OUTCOME_UNKNOWN ? unknown : refused) += rows;
}

static void tell_insert(struct world *world, int64_t id, enum mh_outcome outcome)
{
    world->rows[id].insert = outcome == MH_OUTCOME_OK        ? MH_INSERT_ACKED
                             : outcome == MH_OUTCOME_UNKNOWN ? MH_INSERT_UNKNOWN
                                                             : MH_INSERT_REFUSED;
}

static void tell_upsert(struct row *row, enum mh_outcome outcome)
{
    row->version += outcome == MH_OUTCOME_OK;
    row->upsert_unknown |= outcome == MH_OUTCOME_UNKNOWN;
}

static void tell_delete(struct row *row, enum mh_outcome outcome)
{
    row->deleted |= outcome == MH_OUTCOME_OK;
    row->delete_unknown |= outcome == MH_OUTCOME_UNKNOWN;
}

static bool may_change(const struct row *row)
{
    return row->insert == MH_INSERT_ACKED && !row->deleted && !row->delete_unknown && !row->upsert_unknown;
}

/* ---- records, as the core would book them ---- */

static void book(struct world *world, int ledger, struct mh_record *record, const int64_t *keys,
                 const uint16_t *versions)
{
    record->type = MH_RECORD_DONE;
    assert_int_equal(mh_ledger_book(&world->ledgers[ledger], record, keys, versions), 0);
}

/* Ids [from, to) of a worker in order; or, scattered, every other of them, each a key, in a random order. */
static void insert(struct world *world, int worker, int64_t from, int64_t to, bool scattered)
{
    int64_t keys[BATCH];
    enum mh_outcome outcome = outcomes[below(world, COUNT(outcomes))];
    struct mh_record record = {.kind = MH_OP_INSERT,
                               .outcome = (uint8_t)outcome,
                               .worker = worker,
                               .first_id = worker * ROWS + from};
    for (int64_t id = record.first_id; id < worker * ROWS + to; id += scattered ? 2 : 1) {
        int64_t at = below(world, ++record.rows);
        keys[record.rows - 1] = keys[at];
        keys[at] = id;
        tell_insert(world, id, outcome);
    }
    count(record.rows, outcome, &world->totals.acknowledged_inserts, &world->totals.refused_inserts,
          &world->totals.unknown_inserts);
    book(world, world->home[worker], &record, scattered ? keys : NULL, NULL);
}

static void insert_all(struct world *world)
{
    int64_t next[WORKERS] = {0};
    for (int open = WORKERS; open > 0;) {
        int worker = (int)below(world, WORKERS);
        int64_t left = ROWS - next[worker], rows = 1 + below(world, BATCH);
        rows = rows < left ? rows : left;
        if (rows == 0)
            continue;
        if (below(world, 8) > 0) /* else: never sent */
            insert(world, worker, next[worker], next[worker] + rows, below(world, 3) == 0);
        next[worker] += rows;
        open -= next[worker] == ROWS;
    }
}

/* A run of rows side by side in one version: booked without keys, as consecutive. */
static void change_run(struct world *world, int kind)
{
    const int64_t first = below(world, IDS), version = world->rows[first].version;
    enum mh_outcome outcome = outcomes[below(world, COUNT(outcomes))];
    struct mh_record record = {.kind = (uint8_t)kind,
                               .outcome = (uint8_t)outcome,
                               .first_id = first,
                               .version = (int32_t)version + (kind == MH_OP_UPSERT)};
    for (int64_t id = first; id < IDS && record.rows < BATCH; id++, record.rows++) {
        struct row *row = &world->rows[id];
        if (!may_change(row) || row->version != version)
            break;
        kind == MH_OP_UPSERT ? tell_upsert(row, outcome) : tell_delete(row, outcome);
    }
    if (record.rows == 0)
        return;
    struct mh_ledger_totals *totals = &world->totals;
    if (kind == MH_OP_UPSERT)
        count(record.rows, outcome, &totals->acknowledged_upserts, &totals->refused_upserts,
              &totals->unknown_upserts);
    else
        count(record.rows, outcome, &totals->acknowledged_deletes, &totals->refused_deletes,
              &totals->unknown_deletes);
    book(world, (int)below(world, LEDGERS), &record, NULL, NULL);
}

static void change_scattered(struct world *world, int kind)
{
    int64_t keys[BATCH];
    uint16_t versions[BATCH];
    enum mh_outcome outcome = outcomes[below(world, COUNT(outcomes))];
    struct mh_record record = {.kind = (uint8_t)kind, .outcome = (uint8_t)outcome, .version = 4000};
    for (int64_t tries = below(world, BATCH); tries >= 0; tries--) {
        int64_t id = below(world, IDS);
        struct row *row = &world->rows[id];
        bool twice = false;
        for (uint32_t i = 0; i < record.rows; i++)
            twice |= keys[i] == id;
        if (!may_change(row) || twice)
            continue;
        keys[record.rows] = id;
        versions[record.rows++] = (uint16_t)(row->version + (kind == MH_OP_UPSERT));
        kind == MH_OP_UPSERT ? tell_upsert(row, outcome) : tell_delete(row, outcome);
    }
    struct mh_ledger_totals *totals = &world->totals;
    if (kind == MH_OP_UPSERT)
        count(record.rows, outcome, &totals->acknowledged_upserts, &totals->refused_upserts,
              &totals->unknown_upserts);
    else
        count(record.rows, outcome, &totals->acknowledged_deletes, &totals->refused_deletes,
              &totals->unknown_deletes);
    book(world, (int)below(world, LEDGERS), &record, keys, versions);
}

static struct world *new_world(uint64_t seed)
{
    struct world *world = calloc(1, sizeof *world);
    world->random.seed = seed;
    for (int i = 0; i < LEDGERS; i++)
        assert_int_equal(mh_ledger_init(&world->ledgers[i], WORKERS), 0);
    for (int w = 0; w < WORKERS; w++)
        world->home[w] = (int)below(world, LEDGERS);
    insert_all(world);
    for (int i = 0; i < 400; i++) {
        int kind = below(world, 3) ? MH_OP_UPSERT : MH_OP_DELETE;
        below(world, 2) ? change_run(world, kind) : change_scattered(world, kind);
    }
    return world;
}

static void free_world(struct world *world)
{
    for (int i = 0; i < LEDGERS; i++)
        mh_ledger_free(&world->ledgers[i]);
    free(world);
}

/* ---- what the ledgers say, put together ---- */

static uint16_t fate_of(const struct row *row)
{
    return (uint16_t)(row->version | (row->deleted ? MH_FATE_DELETED : 0) |
                      (row->delete_unknown ? MH_FATE_DELETE_UNKNOWN : 0) |
                      (row->upsert_unknown ? MH_FATE_UPSERT_UNKNOWN : 0));
}

/* Exports [first, first+count) of a worker from every ledger, imports into fates of [window, ...). */
static void check_piece(struct world *world, int worker, int64_t first, int64_t rows, struct mh_fates *fates)
{
    struct mh_bytes bytes = {0};
    for (int i = 0; i < LEDGERS; i++)
        assert_int_equal(mh_ledger_export(&world->ledgers[i], worker, first, rows, &bytes), 0);
    mh_fates_reset(fates, first - 3, rows + 6); /* pieces that say more or less than their range would show */
    assert_int_equal(mh_fates_import(fates, bytes.data, bytes.length), 0);
    for (int64_t i = 0; i < rows + 6; i++) {
        const bool asked = i >= 3 && i < rows + 3;
        const struct row *row = &world->rows[first - 3 + i];
        assert_int_equal(fates->insert[i], asked ? row->insert : MH_INSERT_NONE);
        assert_int_equal(fates->fate[i], asked ? fate_of(row) : 0);
    }
    if (rows > 8) { /* a window inside the piece */
        mh_fates_reset(fates, first + 2, rows - 5);
        assert_int_equal(mh_fates_import(fates, bytes.data, bytes.length), 0);
        for (int64_t i = 0; i < rows - 5; i++) {
            assert_int_equal(fates->insert[i], world->rows[first + 2 + i].insert);
            assert_int_equal(fates->fate[i], fate_of(&world->rows[first + 2 + i]));
        }
    }
    free(bytes.data);
}

static void ledgers_agree_with_the_model(void **state)
{
    (void)state;
    struct mh_fates fates;
    assert_int_equal(mh_fates_init(&fates, ROWS + 6), 0);
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world *world = new_world(seed);
        for (int worker = 0; worker < WORKERS; worker++) {
            int64_t begin = worker * ROWS, from = worker == 0 ? 3 : 0,
                    to = worker == WORKERS - 1 ? ROWS - 3 : ROWS;
            check_piece(world, worker, begin + from, to - from, &fates);
            for (int i = 0; i < 20; i++) {
                int64_t first = from + below(world, to - from), rows = 1 + below(world, to - first);
                check_piece(world, worker, begin + first, rows, &fates);
            }
        }
        free_world(world);
    }
    mh_fates_free(&fates);
}

static void the_random_stories_have_everything(void **state)
{
    (void)state;
    int inserts[4] = {0}, bits[3] = {0}, versions = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world *world = new_world(seed);
        for (int64_t id = 0; id < IDS; id++) {
            const struct row *row = &world->rows[id];
            inserts[row->insert]++;
            bits[0] += row->deleted;
            bits[1] += row->delete_unknown;
            bits[2] += row->upsert_unknown;
            versions = row->version > versions ? row->version : versions;
        }
        free_world(world);
    }
    for (int i = 0; i < 4; i++)
        assert_true(inserts[i] > 100);
    for (int i = 0; i < 3; i++)
        assert_true(bits[i] > 100);
    assert_true(versions >= 4);
}

static void totals_add_up(void **state)
{
    (void)state;
    struct world *world = new_world(99);
    int64_t sums[sizeof(struct mh_ledger_totals) / sizeof(int64_t)] = {0};
    for (int i = 0; i < LEDGERS; i++)
        for (size_t k = 0; k < COUNT(sums); k++)
            sums[k] += ((const int64_t *)&world->ledgers[i].totals)[k];
    const int64_t *expected = (const int64_t *)&world->totals;
    for (size_t k = 0; k < COUNT(sums); k++) {
        assert_true(expected[k] > 0);
        assert_int_equal(sums[k], expected[k]);
    }
    free_world(world);
}

static void other_operations_leave_no_trace(void **state)
{
    (void)state;
    struct mh_ledger ledger;
    struct mh_bytes bytes = {0};
    assert_int_equal(mh_ledger_init(&ledger, 1), 0);
    for (int kind = MH_OP_QUERY; kind < MH_OP_KINDS; kind++) {
        struct mh_record record = {.kind = (uint8_t)kind, .rows = 10, .worker = -1};
        assert_int_equal(mh_ledger_book(&ledger, &record, NULL, NULL), 0);
    }
    struct mh_ledger_totals none = {0};
    assert_memory_equal(&ledger.totals, &none, sizeof none);
    assert_int_equal(mh_ledger_export(&ledger, 0, 0, 100, &bytes), 0);
    assert_int_equal(bytes.length, 0);
    mh_ledger_free(&ledger);
    free(bytes.data);
}

/* ---- bytes that are no pieces ---- */

/* Every byte changed in turn and every length: refused, or understood; never read beyond the end (the copy is
 * exact). */
static void damaged_pieces_are_refused_or_understood(void **state)
{
    (void)state;
    struct mh_ledger ledger;
    struct mh_bytes bytes = {0};
    struct mh_fates fates;
    struct mh_record inserted = {.kind = MH_OP_INSERT, .rows = 9};
    struct mh_record deleted = {.kind = MH_OP_DELETE, .rows = 2, .first_id = 4};
    assert_int_equal(mh_ledger_init(&ledger, 1), 0);
    assert_int_equal(mh_fates_init(&fates, 9), 0);
    assert_int_equal(mh_ledger_book(&ledger, &inserted, NULL, NULL), 0);
    assert_int_equal(mh_ledger_book(&ledger, &deleted, NULL, NULL), 0);
    assert_int_equal(mh_ledger_export(&ledger, 0, 0, 9, &bytes), 0);
    int refused = 0;
    for (size_t length = 0; length <= bytes.length; length++)
        for (size_t at = 0; at < length; at++)
            for (int bit = 0; bit < 8; bit++) {
                uint8_t *copy = malloc(length);
                memcpy(copy, bytes.data, length);
                copy[at] ^= (uint8_t)(1 << bit);
                mh_fates_reset(&fates, 0, 9);
                refused += mh_fates_import(&fates, copy, length) != 0;
                for (int i = 0; i < 9; i++)
                    assert_in_range(fates.insert[i], MH_INSERT_NONE, MH_INSERT_ACKED);
                free(copy);
            }
    assert_true(refused > 1000);
    mh_fates_free(&fates);
    mh_ledger_free(&ledger);
    free(bytes.data);
}

/* Numbers no ledger has: each of a run's four words in turn. */
static void impossible_pieces_are_refused(void **state)
{
    (void)state;
    static const struct {
        int word;
        int64_t value;
    } cases[] = {{0, -1}, {0, INT64_MIN}, {0, INT64_MAX}, {1, -1}, {1, INT64_MIN}, {1, INT64_MAX},
                 {2, 2},  {2, -1},        {3, -1},        {3, 4},  {3, INT64_MAX}};
    struct mh_ledger ledger;
    struct mh_bytes bytes = {0};
    struct mh_fates fates;
    struct mh_record inserted = {.kind = MH_OP_INSERT, .rows = 9, .first_id = 2};
    assert_int_equal(mh_ledger_init(&ledger, 1), 0);
    assert_int_equal(mh_fates_init(&fates, 9), 0);
    assert_int_equal(mh_ledger_book(&ledger, &inserted, NULL, NULL), 0);
    assert_int_equal(mh_ledger_export(&ledger, 0, 0, 11, &bytes), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t words[4];
        assert_int_equal(bytes.length, sizeof words);
        memcpy(words, bytes.data, sizeof words);
        mh_fates_reset(&fates, 2, 9);
        assert_int_equal(mh_fates_import(&fates, (const uint8_t *)words, sizeof words), 0);
        words[cases[i].word] = cases[i].value;
        assert_int_equal(mh_fates_import(&fates, (const uint8_t *)words, sizeof words), -1);
    }
    mh_fates_free(&fates);
    mh_ledger_free(&ledger);
    free(bytes.data);
}

/* ---- memory ---- */

static void rows_in_order_cost_next_to_nothing(void **state)
{
    (void)state;
    struct mh_ledger ledger;
    assert_int_equal(mh_ledger_init(&ledger, 4), 0);
    for (int64_t at = 0; at < 10000000 / 4; at += 1000)
        for (int32_t worker = 0; worker < 4; worker++) {
            struct mh_record record = {
                .kind = MH_OP_INSERT, .rows = 1000, .worker = worker, .first_id = worker * 2500000 + at};
            assert_int_equal(mh_ledger_book(&ledger, &record, NULL, NULL), 0);
        }
    assert_int_equal(ledger.totals.acknowledged_inserts, 10000000);
    assert_true(mh_ledger_bytes(&ledger) < 1 << 20);
    mh_ledger_free(&ledger);
}

/* Replies of a writer with several batches in flight come in any order: the holes close. */
static void holes_close(void **state)
{
    (void)state;
    struct mh_ledger ledger;
    assert_int_equal(mh_ledger_init(&ledger, 1), 0);
    for (int64_t i = 0; i < 100000; i++) {
        struct mh_record record = {.kind = MH_OP_INSERT, .rows = 10, .first_id = 10 * (i ^ 7)};
        assert_int_equal(mh_ledger_book(&ledger, &record, NULL, NULL), 0);
    }
    struct mh_bytes bytes = {0};
    assert_int_equal(mh_ledger_export(&ledger, 0, 0, 1000000, &bytes), 0);
    assert_true(bytes.length <= 64);
    assert_true(mh_ledger_bytes(&ledger) < 4096);
    free(bytes.data);
    mh_ledger_free(&ledger);
}

static void random_deletes_cost_at_most_4_bytes_a_row(void **state)
{
    (void)state;
    enum { MANY = 10000000 };
    struct mh_ledger ledger;
    struct mh_random random = {.seed = 8};
    assert_int_equal(mh_ledger_init(&ledger, 1), 0);
    struct mh_record inserted = {.kind = MH_OP_INSERT, .rows = MANY};
    assert_int_equal(mh_ledger_book(&ledger, &inserted, NULL, NULL), 0);
    for (int batch = 0; batch < MANY / 10 / 100; batch++) {
        int64_t keys[100];
        for (int i = 0; i < 100; i++)
            keys[i] = (int64_t)mh_random_below(&random, MANY);
        struct mh_record record = {.kind = MH_OP_DELETE, .rows = 100};
        assert_int_equal(mh_ledger_book(&ledger, &record, keys, NULL), 0);
        assert_true(mh_ledger_bytes(&ledger) <= 4LL * MANY);
    }
    assert_true(mh_ledger_bytes(&ledger) >= 2LL * MANY * 9 / 10); /* it does count them */
    mh_ledger_free(&ledger);
}

/* Of an earlier run: as its ledger had them, and counted as if this one had written them. */
static void rows_are_restored_as_they_were(void **state)
{
    (void)state;
    enum { FIRST = 1000, EACH = 7 };
    static const struct {
        enum mh_insert_fate insert;
        uint16_t fate;
    } cases[] = {{MH_INSERT_ACKED, 0},
                 {MH_INSERT_ACKED, 2},
                 {MH_INSERT_ACKED, 3 | MH_FATE_DELETED},
                 {MH_INSERT_ACKED, 1 | MH_FATE_DELETE_UNKNOWN},
                 {MH_INSERT_ACKED, MH_FATE_UPSERT_UNKNOWN},
                 {MH_INSERT_UNKNOWN, 0},
                 {MH_INSERT_REFUSED, 0}};
    struct mh_ledger ledger;
    struct mh_fates fates;
    struct mh_bytes bytes = {0};
    assert_int_equal(mh_ledger_init(&ledger, 3), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct mh_record record =
            mh_ledger_record(2, 1, FIRST + EACH * (int64_t)i, EACH, cases[i].insert, cases[i].fate);
        assert_true(mh_ledger_is_sound(&record));
        assert_int_equal(mh_ledger_restore(&ledger, &record), 0);
    }
    assert_int_equal(mh_ledger_export(&ledger, 2, FIRST, EACH * COUNT(cases), &bytes), 0);
    assert_int_equal(mh_fates_init(&fates, EACH * COUNT(cases)), 0);
    mh_fates_reset(&fates, FIRST, EACH * COUNT(cases));
    assert_int_equal(mh_fates_import(&fates, bytes.data, bytes.length), 0);
    for (size_t i = 0; i < EACH * COUNT(cases); i++) {
        assert_int_equal(fates.insert[i], cases[i / EACH].insert);
        assert_int_equal(fates.fate[i], cases[i / EACH].fate);
    }
    const struct mh_ledger_totals expected = {5 * EACH, EACH, EACH, 6 * EACH, 0, EACH, EACH, 0, EACH};
    assert_memory_equal(&ledger.totals, &expected, sizeof expected);
    struct mh_record odd = mh_ledger_record(2, 1, FIRST, EACH, MH_INSERT_ACKED, 0);
    odd.version = 0x8000;
    assert_false(mh_ledger_is_sound(&odd));
    mh_fates_free(&fates);
    mh_ledger_free(&ledger);
    free(bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ledgers_agree_with_the_model),
        cmocka_unit_test(the_random_stories_have_everything),
        cmocka_unit_test(totals_add_up),
        cmocka_unit_test(other_operations_leave_no_trace),
        cmocka_unit_test(damaged_pieces_are_refused_or_understood),
        cmocka_unit_test(impossible_pieces_are_refused),
        cmocka_unit_test(rows_in_order_cost_next_to_nothing),
        cmocka_unit_test(holes_close),
        cmocka_unit_test(random_deletes_cost_at_most_4_bytes_a_row),
        cmocka_unit_test(rows_are_restored_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
