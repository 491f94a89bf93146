#include "mock/room.h"

#include "../check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void room_open(struct room *room, const char *const *faults, size_t fault_count)
{
    struct mh_error err = {{0}};
    *room = (struct room){.mock = {.faults = {.log = -1, .seed = 7}}};
    snprintf(room->log, sizeof room->log, "/tmp/milvus-mock-%d.jsonl", (int)getpid());
    unlink(room->log);
    for (size_t i = 0; i < fault_count; i++)
        if (mh_faults_add(&room->mock.faults, faults[i], &err) != 0)
            fail_msg("%s", err.text);
    assert_int_equal(mh_faults_open_log(&room->mock.faults, room->log, &err), 0);
}

void room_close(struct room *room)
{
    mh_mock_close(&room->mock);
    mh_reply_free(&room->reply);
    mh_payload_free(&room->payload);
    unlink(room->log);
}

uint8_t *room_encode(struct room *room, const struct mh_request *request, size_t *length)
{
    struct mh_error err;
    struct mh_payload *payload = &room->payload;
    if (mh_encode(request, payload, &err) != 0)
        fail_msg("%s", err.text);
    uint8_t *bytes = malloc(payload->total + 1), *end = bytes;
    assert_non_null(bytes);
    for (size_t i = 0; i < payload->piece_count; i++) {
        const struct mh_piece *piece = &payload->pieces[i];
        memcpy(end, piece->bytes ? piece->bytes : payload->copied + piece->offset, piece->length);
        end += piece->length;
    }
    *length = payload->total;
    return bytes;
}

enum mh_outcome room_ask(struct room *room, const struct mh_request *request)
{
    size_t length, answer_length;
    const uint8_t *answer;
    uint8_t *bytes = room_encode(room, request, &length);
    room->mock.calls++;
    assert_int_equal(mh_mock_handle(&room->mock, request->kind, bytes, length, &answer, &answer_length), 0);
    free(bytes);
    mh_decode(request->kind, 0, "", false, answer, answer_length, &room->reply);
    return room->reply.outcome;
}

enum mh_outcome room_simple(struct room *room, enum mh_op_kind kind)
{
    const struct mh_request request = {.kind = kind, .collection = "c", .index_field = "vector"};
    return room_ask(room, &request);
}

void room_create(struct room *room)
{
    struct mh_field fields[] = {{.name = (char[]){"id"}, .type = MH_FIELD_INT64, .primary = true},
                                {.name = (char[]){"vector"}, .type = MH_FIELD_FLOAT_VECTOR},
                                {.name = (char[]){"number"}, .type = MH_FIELD_INT64},
                                {.name = (char[]){"name"}, .type = MH_FIELD_VARCHAR, .max_length = 20}};
    const struct mh_collection_options options = {.fields = {.items = fields, .count = 4}};
    struct mh_request request = {
        .kind = MH_OP_CREATE_COLLECTION, .collection = "c", .schema = &options, .dim = ROOM_DIM};
    assert_int_equal(room_ask(room, &request), MH_OUTCOME_OK);
    request = (struct mh_request){.kind = MH_OP_CREATE_PARTITION, .collection = "c", .partition = "p"};
    assert_int_equal(room_ask(room, &request), MH_OUTCOME_OK);
    request.partition = "q";
    assert_int_equal(room_ask(room, &request), MH_OUTCOME_OK);
    request = (struct mh_request){.kind = MH_OP_CREATE_INDEX,
                                  .collection = "c",
                                  .index_field = "vector",
                                  .index_type = "FLAT",
                                  .index_metric = "L2"};
    assert_int_equal(room_ask(room, &request), MH_OUTCOME_OK);
    assert_int_equal(room_simple(room, MH_OP_LOAD), MH_OUTCOME_OK);
}

enum mh_outcome room_write(struct room *room, enum mh_op_kind kind, const char *partition, int64_t first,
                           int64_t rows, int64_t version)
{
    int64_t *keys = calloc((size_t)rows, sizeof *keys), *numbers = calloc((size_t)rows, sizeof *numbers);
    float *vectors = calloc((size_t)rows * ROOM_DIM, sizeof *vectors);
    const char **names = calloc((size_t)rows, sizeof *names);
    for (int64_t i = 0; i < rows; i++) {
        keys[i] = first + i;
        numbers[i] = 1000 * version + keys[i];
        vectors[i * ROOM_DIM] = (float)keys[i];
        names[i] = keys[i] % 2 ? "odd" : "even";
    }
    const struct mh_column columns[] = {
        {.name = "name", .type = MH_FIELD_VARCHAR, .rows = rows, .values = names},
        {.name = "vector", .type = MH_FIELD_FLOAT_VECTOR, .dim = ROOM_DIM, .rows = rows, .values = vectors},
        {.name = "number", .type = MH_FIELD_INT64, .rows = rows, .values = numbers},
        {.name = "id", .type = MH_FIELD_INT64, .rows = rows, .values = keys},
    };
    const struct mh_request request = {.kind = kind,
                                       .collection = "c",
                                       .partition = partition,
                                       .columns = columns,
                                       .column_count = COUNT(columns),
                                       .rows = rows};
    const enum mh_outcome outcome = room_ask(room, &request);
    free(keys);
    free(numbers);
    free(vectors);
    free(names);
    return outcome;
}

enum mh_outcome room_delete(struct room *room, const char *partition, int64_t first, int64_t rows)
{
    int64_t keys[64];
    for (int64_t i = 0; i < rows; i++)
        keys[i] = first + i;
    const struct mh_request request = {.kind = MH_OP_DELETE,
                                       .collection = "c",
                                       .partition = partition,
                                       .key_field = "id",
                                       .keys = keys,
                                       .key_count = rows};
    return room_ask(room, &request);
}

int64_t room_count(struct room *room, const char *expression, const char *partition)
{
    const char *const fields[] = {"count(*)"};
    const struct mh_request request = {.kind = MH_OP_QUERY,
                                       .collection = "c",
                                       .partition = partition,
                                       .expression = expression,
                                       .output_fields = fields,
                                       .output_count = 1};
    if (room_ask(room, &request) != MH_OUTCOME_OK)
        return -1;
    return *(const int64_t *)mh_reply_column(&room->reply, "count(*)")->values;
}

const int64_t *room_numbers(struct room *room, const char *expression, int64_t limit, int64_t *rows)
{
    const char *const fields[] = {"number"};
    const struct mh_request request = {.kind = MH_OP_QUERY,
                                       .collection = "c",
                                       .expression = expression,
                                       .output_fields = fields,
                                       .output_count = 1,
                                       .limit = limit};
    *rows = -1;
    if (room_ask(room, &request) != MH_OUTCOME_OK)
        return NULL;
    const struct mh_column *column = mh_reply_column(&room->reply, "number");
    *rows = column->rows;
    return column->values;
}

int room_lines(const struct room *room)
{
    FILE *file = fopen(room->log, "r");
    int lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}
