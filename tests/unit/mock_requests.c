/* Bytes that are no request, or nearly one, neither crash the mock nor get an answer that cannot be read. */
#include "base/random.h"
#include "check.h"
#include "mock/room.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 300, MOST_BYTES = 200 };

static struct room room;

static void ask(int kind, const uint8_t *bytes, size_t length)
{
    const uint8_t *answer;
    size_t answer_length;
    if (mh_mock_handle(&room.mock, kind, bytes, length, &answer, &answer_length) != 0 || kind >= MH_OP_KINDS)
        return;
    assert_int_equal(mh_op_infos[kind].decode(answer, answer_length, &room.reply), 0);
    mh_reply_clear(&room.reply);
}

static void test_random_bytes(void **state)
{
    (void)state;
    uint8_t bytes[MOST_BYTES];
    struct mh_random draw = {.seed = 1};
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < MH_SERVE_KINDS; kind++) {
            const size_t length = mh_random_below(&draw, MOST_BYTES);
            for (size_t i = 0; i < length; i++)
                bytes[i] = (uint8_t)mh_random_next(&draw);
            ask(kind, bytes, length);
        }
}

static void damage(struct mh_random *draw, uint8_t *bytes, size_t *length)
{
    for (uint64_t i = mh_random_below(draw, 4); i-- > 0 && *length > 0;)
        bytes[mh_random_below(draw, *length)] ^= (uint8_t)(1 << mh_random_below(draw, 8));
    if (mh_random_below(draw, 3) == 0)
        *length = mh_random_below(draw, *length + 1);
}

static size_t make(struct mh_request *requests)
{
    static const int64_t keys[] = {1, 2, 3};
    static const float vectors[2 * ROOM_DIM];
    static const char *const names[] = {"a", "b"}, *const outputs[] = {"*"};
    static const struct mh_column columns[] = {
        {.name = "id", .type = MH_FIELD_INT64, .rows = 2, .values = keys},
        {.name = "vector", .type = MH_FIELD_FLOAT_VECTOR, .dim = ROOM_DIM, .rows = 2, .values = vectors},
        {.name = "number", .type = MH_FIELD_INT64, .rows = 2, .values = keys},
        {.name = "name", .type = MH_FIELD_VARCHAR, .rows = 2, .values = names}};
    size_t count = 0;
    requests[count++] =
        (struct mh_request){.kind = MH_OP_INSERT, .columns = columns, .column_count = 4, .rows = 2};
    requests[count++] =
        (struct mh_request){.kind = MH_OP_UPSERT, .columns = columns, .column_count = 4, .rows = 2};
    requests[count++] =
        (struct mh_request){.kind = MH_OP_DELETE, .key_field = "id", .keys = keys, .key_count = 3};
    requests[count++] = (struct mh_request){.kind = MH_OP_QUERY,
                                            .expression = "id > 0 and name != \"x\"",
                                            .output_fields = outputs,
                                            .output_count = 1,
                                            .limit = 5};
    requests[count++] = (struct mh_request){
        .kind = MH_OP_CREATE_INDEX, .index_field = "vector", .index_type = "FLAT", .index_metric = "L2"};
    requests[count++] = (struct mh_request){.kind = MH_OP_CREATE_PARTITION, .partition = "p"};
    requests[count++] = (struct mh_request){.kind = MH_OP_FLUSH};
    requests[count++] = (struct mh_request){.kind = MH_OP_DESCRIBE_COLLECTION};
    return count;
}

static void test_damaged_requests(void **state)
{
    (void)state;
    enum { DAMAGES = 2000 };
    struct mh_request requests[16];
    struct mh_random draw = {.seed = 2};
    const size_t count = make(requests);
    for (size_t i = 0; i < count; i++) {
        requests[i].collection = "c";
        for (int round = 0; round < DAMAGES; round++) {
            size_t length;
            uint8_t *bytes = room_encode(&room, &requests[i], &length);
            damage(&draw, bytes, &length);
            ask(requests[i].kind, bytes, length);
            free(bytes);
        }
    }
}

static int open_room(void **state)
{
    (void)state;
    room_open(&room, NULL, 0);
    room_create(&room);
    return 0;
}

static int close_room(void **state)
{
    (void)state;
    room_close(&room);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_bytes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_damaged_requests, open_room, close_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
