/* What the mock stores and shows, without a fault and with each fault of rows. */
#include "base/clock.h"
#include "check.h"
#include "mock/room.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct room room;

static int close_room(void **state)
{
    (void)state;
    room_close(&room);
    return 0;
}

static int open_room(void **state)
{
    (void)state;
    room_open(&room, NULL, 0);
    room_create(&room);
    return 0;
}

static void begin(const char *fault)
{
    room_close(&room);
    room_open(&room, &fault, 1);
    room_create(&room);
}

static void insert(const char *partition, int64_t first, int64_t rows)
{
    assert_int_equal(room_write(&room, MH_OP_INSERT, partition, first, rows, 0), MH_OUTCOME_OK);
    assert_int_equal(room.reply.affected, rows);
}

static void upsert(const char *partition, int64_t first, int64_t rows, int64_t version)
{
    assert_int_equal(room_write(&room, MH_OP_UPSERT, partition, first, rows, version), MH_OUTCOME_OK);
    assert_int_equal(room.reply.affected, rows);
}

static void delete (const char *partition, int64_t first, int64_t rows)
{
    assert_int_equal(room_delete(&room, partition, first, rows), MH_OUTCOME_OK);
    assert_int_equal(room.reply.affected, rows);
}

static int64_t number_of(const char *expression)
{
    int64_t rows;
    const int64_t *numbers = room_numbers(&room, expression, 10, &rows);
    assert_int_equal(rows, 1);
    return numbers[0];
}

/* ---- truth ---- */

static void test_rows_come_and_go(void **state)
{
    (void)state;
    insert("p", 0, 10);
    insert("q", 10, 10);
    assert_int_equal(room_count(&room, "", NULL), 20);
    assert_int_equal(room_count(&room, "", "p"), 10);
    assert_int_equal(room_count(&room, "5 <= id < 15", NULL), 10);
    assert_int_equal(room_count(&room, "name like \"od%\"", "q"), 5);
    upsert("p", 3, 2, 1);
    assert_int_equal(room_count(&room, "", NULL), 20);
    assert_int_equal(number_of("id == 3"), 1003);
    delete ("p", 8, 4); /* 10 and 11 are in q */
    assert_int_equal(room_count(&room, "", NULL), 18);
    delete (NULL, 8, 4);
    assert_int_equal(room_count(&room, "", NULL), 16);
    insert("q", 8, 1);
    assert_int_equal(room_count(&room, "id in [8]", "q"), 1);
}

static void test_copies_are_counted_and_shown_once(void **state)
{
    (void)state;
    int64_t rows;
    insert("p", 0, 10);
    insert("q", 2, 3);
    assert_int_equal(room_count(&room, "", NULL), 13);
    room_numbers(&room, "id >= 0", 100, &rows);
    assert_int_equal(rows, 10);
    room_numbers(&room, "id >= 0", 0, &rows); /* without a limit one row is missing for each second copy */
    assert_int_equal(rows, 7);
    delete (NULL, 2, 1);
    assert_int_equal(room_count(&room, "", NULL), 11);
    upsert("p", 3, 1, 1); /* ends both copies */
    assert_int_equal(room_count(&room, "id == 3", NULL), 1);
}

static void test_statistics_do_not_subtract(void **state)
{
    (void)state;
    insert("p", 0, 10);
    assert_int_equal(room_simple(&room, MH_OP_STATISTICS), MH_OUTCOME_OK);
    assert_int_equal(room.reply.row_count, 0);
    assert_int_equal(room_simple(&room, MH_OP_FLUSH), MH_OUTCOME_OK);
    assert_int_equal(room.reply.segment_count, 1);
    delete ("p", 0, 4);
    assert_int_equal(room_simple(&room, MH_OP_FLUSH), MH_OUTCOME_OK);
    assert_int_equal(room_simple(&room, MH_OP_STATISTICS), MH_OUTCOME_OK);
    assert_int_equal(room.reply.row_count, 10);
    struct mh_store *store = &room.mock.store;
    mh_collection_compact(store, store->collections[0], mh_store_now(store));
    assert_int_equal(room_simple(&room, MH_OP_STATISTICS), MH_OUTCOME_OK);
    assert_int_equal(room.reply.row_count, 6);
    assert_int_equal(store->collections[0]->rows, 6);
    assert_int_equal(number_of("id == 5"), 5);
    assert_int_equal(room_count(&room, "name == \"odd\"", NULL), 3);
}

static void test_much_is_found_again(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    for (int64_t i = 0; i < 20; i++)
        insert(i % 2 ? "p" : "q", i * MANY / 20, MANY / 20);
    for (int64_t i = 0; i < MANY; i += 50)
        delete (NULL, i, 25);
    assert_int_equal(room_count(&room, "", NULL), MANY / 2);
    for (int64_t i = 0; i < MANY; i++) {
        const int64_t row = mh_collection_live(room.mock.store.collections[0], i, -1);
        assert_int_equal(row >= 0, i % 50 >= 25);
    }
}

static void test_refusals_have_milvus_codes(void **state)
{
    (void)state;
    struct mh_request request = {.kind = MH_OP_QUERY, .collection = "none", .expression = "id > 0"};
    room_ask(&room, &request);
    assert_int_equal(room.reply.code, 100);
    request = (struct mh_request){.kind = MH_OP_QUERY, .collection = "c", .expression = "id >"};
    room_ask(&room, &request);
    assert_int_equal(room.reply.code, 1100);
    request.expression = "";
    room_ask(&room, &request);
    assert_int_equal(room.reply.code, 65535);
    room_write(&room, MH_OP_INSERT, "none", 0, 1, 0);
    assert_int_equal(room.reply.code, 200);
    assert_int_equal(room_simple(&room, MH_OP_RELEASE), MH_OUTCOME_OK);
    assert_int_equal(room_count(&room, "", NULL), -1);
    assert_int_equal(room.reply.code, 101);
    assert_int_equal(room_simple(&room, MH_OP_DROP_INDEX), MH_OUTCOME_OK);
    assert_int_equal(room_simple(&room, MH_OP_DESCRIBE_INDEX), MH_OUTCOME_FAILED);
    assert_int_equal(room.reply.code, 700);
    room_simple(&room, MH_OP_LOAD);
    assert_int_equal(room.reply.code, 700);
    assert_int_equal(room_simple(&room, MH_OP_DROP_COLLECTION), MH_OUTCOME_OK);
    assert_int_equal(room_simple(&room, MH_OP_DROP_COLLECTION), MH_OUTCOME_OK);
    assert_int_equal(room_simple(&room, MH_OP_HAS_COLLECTION), MH_OUTCOME_OK);
    assert_false(room.reply.yes);
}

static void test_bad_rows_are_refused(void **state)
{
    (void)state;
    int64_t key = 1, number = 1;
    float vector[ROOM_DIM] = {0};
    const char *name = "a name of more than twenty bytes", *fine = "fine";
    struct mh_column columns[] = {
        {.name = "id", .type = MH_FIELD_INT64, .rows = 1, .values = &key},
        {.name = "vector", .type = MH_FIELD_FLOAT_VECTOR, .dim = ROOM_DIM, .rows = 1, .values = vector},
        {.name = "number", .type = MH_FIELD_INT64, .rows = 1, .values = &number},
        {.name = "name", .type = MH_FIELD_VARCHAR, .rows = 1, .values = &name}};
    struct mh_request request = {
        .kind = MH_OP_INSERT, .collection = "c", .columns = columns, .column_count = 4, .rows = 1};
    assert_int_equal(room_ask(&room, &request), MH_OUTCOME_FAILED); /* too long */
    assert_int_equal(room.reply.code, 1100);
    columns[3].values = &fine;
    columns[1].dim = ROOM_DIM / 2;
    assert_int_equal(room_ask(&room, &request), MH_OUTCOME_FAILED); /* another dimension */
    columns[1].dim = ROOM_DIM;
    vector[2] = 1.0F / 0.0F;
    assert_int_equal(room_ask(&room, &request), MH_OUTCOME_FAILED); /* infinity */
    vector[2] = 0;
    request.column_count = 3;
    assert_int_equal(room_ask(&room, &request), MH_OUTCOME_FAILED); /* a field is missing */
    request.column_count = 4;
    columns[2].name = "other";
    assert_int_equal(room_ask(&room, &request), MH_OUTCOME_FAILED); /* an unknown one */
    columns[2].name = "number";
    assert_int_equal(room_ask(&room, &request), MH_OUTCOME_OK);
    assert_int_equal(room_count(&room, "", NULL), 1);
}

static void test_data_outlive_the_process(void **state)
{
    (void)state;
    char path[64];
    struct mh_error err;
    snprintf(path, sizeof path, "/tmp/milvus-mock-%d.data", (int)getpid());
    insert("p", 0, 10);
    delete ("p", 0, 1);
    assert_int_equal(mh_store_save(&room.mock.store, path, &err), 0);
    const int64_t id = room.mock.store.collections[0]->id;
    mh_store_free(&room.mock.store);
    assert_int_equal(mh_store_load(&room.mock.store, path, &err), 0);
    assert_int_equal(room.mock.store.collections[0]->id, id);
    assert_int_equal(room_count(&room, "", "p"), 9);
    insert("q", 20, 2000);
    assert_int_equal(room_count(&room, "", NULL), 2009);
    assert_int_equal(room_count(&room, "name == \"odd\"", "p"), 5);
    mh_store_free(&room.mock.store);
    FILE *file = fopen(path, "r+b");
    fseek(file, 100, SEEK_SET);
    const int byte = getc(file);
    fseek(file, 100, SEEK_SET);
    putc(byte ^ 1, file);
    fclose(file);
    assert_int_equal(mh_store_load(&room.mock.store, path, &err), -1);
    assert_non_null(strstr(err.text, "damaged"));
    unlink(path);
    assert_int_equal(mh_store_load(&room.mock.store, path, &err), 0);
}

/* ---- lies ---- */

static void test_lose(void **state)
{
    (void)state;
    begin("lose=3,after=2,partition=q");
    insert("p", 0, 10);
    insert("q", 10, 10);
    assert_int_equal(room_count(&room, "", NULL), 17);
    assert_int_equal(room_count(&room, "id in [12, 13, 14]", NULL), 0);
    assert_int_equal(room_lines(&room), 3);
}

static void test_lose_later(void **state)
{
    (void)state;
    begin("lose=3,at=flush");
    insert("p", 0, 10);
    upsert("p", 0, 1, 1); /* right again before the flush */
    assert_int_equal(room_count(&room, "", NULL), 10);
    room_simple(&room, MH_OP_FLUSH);
    assert_int_equal(room_count(&room, "", NULL), 8);
    assert_int_equal(room_lines(&room), 2);
    begin("lose=3,at=reload");
    insert("p", 0, 10);
    room_simple(&room, MH_OP_RELEASE);
    room_simple(&room, MH_OP_LOAD);
    assert_int_equal(room_count(&room, "", NULL), 7);
    begin("lose=3,at=later:1000");
    insert("p", 0, 10);
    mh_faults_happen_later(&room.mock, mh_faults_due(&room.mock.faults) + 60 * MH_S);
    assert_int_equal(room_count(&room, "", NULL), 7);
    assert_int_equal(room.mock.store.pinned, 0);
}

static void test_lose_rate(void **state)
{
    (void)state;
    begin("lose=10%");
    insert("p", 0, 1000);
    const int64_t left = room_count(&room, "", NULL);
    assert_in_range(left, 860, 940);
    assert_int_equal(room_lines(&room), 1000 - left);
    begin("lose=10%");
    insert("p", 0, 1000);
    assert_int_equal(room_count(&room, "", NULL), left); /* the same rows, for the same seed */
}

static void test_lose_batch(void **state)
{
    (void)state;
    begin("lose_batch=1,after=1");
    insert("p", 0, 10);
    insert("p", 10, 10);
    assert_int_equal(room_count(&room, "", NULL), 10);
    assert_int_equal(room_lines(&room), 10);
}

static void test_lose_concurrent(void **state)
{
    (void)state;
    begin("lose_concurrent=2,ms=60000");
    insert("p", 0, 5);
    insert("p", 5, 5);
    assert_int_equal(room_count(&room, "", NULL), 10);
    insert("q", 10, 5);
    assert_int_equal(room_count(&room, "", NULL), 13);
    assert_int_equal(room_lines(&room), 2);
}

static void test_duplicate(void **state)
{
    (void)state;
    begin("duplicate=2");
    insert("p", 0, 10);
    assert_int_equal(room_count(&room, "", NULL), 12);
    assert_int_equal(room_lines(&room), 2);
}

static void test_upserts(void **state)
{
    (void)state;
    begin("upsert_both=1");
    insert("p", 0, 10);
    upsert("p", 0, 2, 1);
    assert_int_equal(room_count(&room, "", NULL), 11);
    assert_int_equal(number_of("id == 0"), 1000);
    begin("upsert_lost=1");
    insert("p", 0, 10);
    upsert("p", 0, 2, 1);
    assert_int_equal(number_of("id == 0"), 0);
    assert_int_equal(number_of("id == 1"), 1001);
    begin("upsert_half_deleted=1");
    insert("p", 0, 10);
    upsert("p", 0, 2, 1);
    assert_int_equal(room_count(&room, "", NULL), 9);
    assert_int_equal(room_lines(&room), 1);
}

static void test_deletes(void **state)
{
    (void)state;
    begin("keep_deleted=1");
    insert("p", 0, 10);
    delete (NULL, 90, 1); /* nobody's: not eligible */
    delete (NULL, 0, 2);
    assert_int_equal(room_count(&room, "", NULL), 9);
    assert_int_equal(room_lines(&room), 1);
    begin("resurrect=1,at=flush");
    insert("p", 0, 10);
    delete (NULL, 0, 2);
    assert_int_equal(room_count(&room, "", NULL), 8);
    assert_int_equal(room_lines(&room), 0);
    room_simple(&room, MH_OP_FLUSH);
    assert_int_equal(room_count(&room, "id == 0", "p"), 1);
    assert_int_equal(room_lines(&room), 1);
    begin("resurrect");
    insert("p", 0, 10);
    delete (NULL, 0, 2);
    assert_int_equal(room_count(&room, "", NULL), 9);
}

static void test_places_and_bits(void **state)
{
    (void)state;
    begin("misplace=2");
    insert("p", 0, 10);
    assert_int_equal(room_count(&room, "", "p"), 8);
    assert_int_equal(room_count(&room, "id in [0, 1]", "q"), 2);
    begin("flip_scalar=1");
    insert("p", 4, 2);
    assert_int_equal(number_of("id == 4"), 5);
    assert_int_equal(number_of("id == 5"), 5);
    begin("flip_vector=1");
    insert("p", 0, 2);
    const struct mh_collection *collection = room.mock.store.collections[0];
    const float *vectors = (const float *)(const void *)collection->fields[collection->vector].cells;
    assert_true(vectors[0] != 0);
    assert_true(vectors[ROOM_DIM] == 1);
    assert_int_equal(room_lines(&room), 1);
}

static void test_late(void **state)
{
    (void)state;
    begin("late=2,seconds=3600");
    insert("p", 0, 10);
    assert_int_equal(room_count(&room, "", NULL), 8);
    delete (NULL, 0, 1); /* ends it before it was ever seen */
    assert_int_equal(mh_collection_live(room.mock.store.collections[0], 0, -1), -1);
    assert_true(mh_collection_live(room.mock.store.collections[0], 1, -1) >= 0);
}

static void test_unexpected(void **state)
{
    (void)state;
    begin("unexpected=2,key=-5,step=-1");
    insert("p", 0, 10);
    assert_int_equal(room_count(&room, "", NULL), 12);
    assert_int_equal(room_count(&room, "id in [-5, -6]", "p"), 2);
}

/* As the audit asks whether a partition is gone: of the load of that one alone. */
static void load_state_tells_missing(const char *partition, bool missing)
{
    const struct mh_request request = {.kind = MH_OP_LOAD_STATE, .collection = "c", .partition = partition};
    assert_int_equal(room_ask(&room, &request), missing ? MH_OUTCOME_FAILED : MH_OUTCOME_OK);
    assert_int_equal(mh_reply_is_missing_partition(&room.reply), missing);
}

static void test_counts(void **state)
{
    (void)state;
    begin("count_off=1,after=1,by=3");
    insert("p", 0, 10);
    assert_int_equal(room_count(&room, "", NULL), 10);
    assert_int_equal(room_count(&room, "", NULL), 13);
    assert_int_equal(room_count(&room, "", NULL), 10);
    begin("stale_read=1,seconds=10");
    insert("p", 0, 10);
    assert_int_equal(room_count(&room, "", NULL), 0);
    assert_int_equal(room_count(&room, "", NULL), 10);
    begin("statistics_off,by=-2");
    insert("p", 0, 10);
    room_simple(&room, MH_OP_FLUSH);
    room_simple(&room, MH_OP_STATISTICS);
    assert_int_equal(room.reply.row_count, 8);
    begin("drop_partition,partition=q");
    insert("p", 0, 10);
    insert("q", 10, 10);
    room_simple(&room, MH_OP_FLUSH);
    assert_int_equal(room_count(&room, "", NULL), 10);
    assert_int_equal(room_count(&room, "", "q"), -1);
    assert_int_equal(room_lines(&room), 1);
    load_state_tells_missing("p", false);
    load_state_tells_missing("q", true);
}

static void test_faults_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } wrong[] = {
        {"loose=3", "did you mean 'lose'"},
        {"lose=-1", "expected a number of 1 or more"},
        {"lose=0", "expected a number of 1 or more"},
        {"lose=200%", "a share"},
        {"lose=3,at=noon", "expected now, later:SECONDS"},
        {"lose=3,when=before", "unknown parameter 'when'"},
        {"lose=3,op=inserts", "expected operations"},
        {"lose=3,after", "expected KEY=VALUE"},
        {"hang,partition=p", "unknown parameter 'partition'"},
        {"die,data=burn", "expected keep or lose"},
        {"drop_partition,at=later:1", "expected flush"},
        {"", "unknown fault"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct mh_faults faults = {.log = -1};
        struct mh_error err = {{0}};
        assert_int_equal(mh_faults_add(&faults, wrong[i].text, &err), -1);
        if (!strstr(err.text, wrong[i].expected))
            fail_msg("'%s' says '%s', not '%s'", wrong[i].text, err.text, wrong[i].expected);
        mh_faults_free(&faults);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_room, close_room)
    const struct CMUnitTest tests[] = {
        TEST(test_rows_come_and_go),
        TEST(test_copies_are_counted_and_shown_once),
        TEST(test_statistics_do_not_subtract),
        TEST(test_much_is_found_again),
        TEST(test_refusals_have_milvus_codes),
        TEST(test_bad_rows_are_refused),
        TEST(test_data_outlive_the_process),
        TEST(test_lose),
        TEST(test_lose_later),
        TEST(test_lose_rate),
        TEST(test_lose_batch),
        TEST(test_lose_concurrent),
        TEST(test_duplicate),
        TEST(test_upserts),
        TEST(test_deletes),
        TEST(test_places_and_bits),
        TEST(test_late),
        TEST(test_unexpected),
        TEST(test_counts),
        TEST(test_faults_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
