/* Who owns what is sent: vectors by reference until they are released, once; memory that is used again. */
#include "milvus/wire.h"

#include "check.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIM = 8,
    BY_REFERENCE = 4096 / DIM / (int)sizeof(float) /* rows from which on */,
    MANY = 3 * BY_REFERENCE
};

static int released;

static void release(void *held)
{
    released++;
    free(held);
}

struct write {
    struct mh_column columns[2];
    int64_t ids[MANY];
    struct mh_request request;
};

/* A write whose vectors are a copy that the transport frees. */
static void make_write(struct write *write, int64_t rows)
{
    float *vectors = malloc((size_t)rows * DIM * sizeof *vectors);
    for (int64_t i = 0; i < rows * DIM; i++)
        vectors[i] = (float)i;
    for (int64_t i = 0; i < rows; i++)
        write->ids[i] = i;
    write->columns[0] = (struct mh_column){.name = "id", .type = MH_FIELD_INT64, .values = write->ids};
    write->columns[1] = (struct mh_column){.name = "vector",
                                           .type = MH_FIELD_FLOAT_VECTOR,
                                           .dim = DIM,
                                           .values = vectors,
                                           .release = release,
                                           .held = vectors};
    write->request = (struct mh_request){.kind = MH_OP_INSERT,
                                         .collection = "things",
                                         .columns = write->columns,
                                         .column_count = 2,
                                         .rows = rows};
    released = 0;
}

static size_t pieces_of(const struct mh_payload *payload, const void *bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < payload->piece_count; i++)
        count += payload->pieces[i].bytes == bytes;
    return count;
}

static size_t length_of(const struct mh_payload *payload)
{
    size_t length = 0;
    for (size_t i = 0; i < payload->piece_count; i++)
        length += payload->pieces[i].length;
    return length;
}

static void large_vectors_go_by_reference(void **state)
{
    (void)state;
    struct write write;
    struct mh_payload payload = {0};
    struct mh_error err;
    make_write(&write, BY_REFERENCE);
    const void *vectors = write.columns[1].values;
    assert_int_equal(mh_encode(&write.request, &payload, &err), 0);
    assert_int_equal(pieces_of(&payload, vectors), 1);
    assert_int_equal(payload.total, length_of(&payload));
    assert_true(payload.copied_length < 4096);
    assert_int_equal(released, 0);
    mh_payload_reset(&payload);
    assert_int_equal(released, 1);
    mh_payload_reset(&payload);
    assert_int_equal(released, 1);
    assert_int_equal(payload.piece_count + payload.total + payload.copied_length, 0);
    make_write(&write, MANY);
    assert_int_equal(mh_encode(&write.request, &payload, &err), 0);
    assert_int_equal(released, 0);
    mh_payload_free(&payload);
    assert_int_equal(released, 1);
}

static void the_next_message_releases_the_last(void **state)
{
    (void)state;
    struct write write;
    struct mh_payload payload = {0};
    struct mh_error err;
    make_write(&write, MANY);
    assert_int_equal(mh_encode(&write.request, &payload, &err), 0);
    struct mh_request version = {.kind = MH_OP_VERSION};
    assert_int_equal(mh_encode(&version, &payload, &err), 0);
    assert_int_equal(released, 1);
    assert_int_equal(payload.total, 0);
    mh_payload_free(&payload);
}

static void small_vectors_are_copied_and_released_at_once(void **state)
{
    (void)state;
    struct write write;
    struct mh_payload payload = {0};
    struct mh_error err;
    make_write(&write, BY_REFERENCE - 1);
    const void *vectors = write.columns[1].values;
    assert_int_equal(mh_encode(&write.request, &payload, &err), 0);
    assert_int_equal(pieces_of(&payload, vectors), 0);
    assert_int_equal(payload.piece_count, 1);
    assert_int_equal(payload.total, length_of(&payload));
    assert_int_equal(released, 1);
    mh_payload_free(&payload);
    assert_int_equal(released, 1);
}

static void vectors_of_the_data_set_are_left_alone(void **state)
{
    (void)state;
    struct write write;
    struct mh_payload payload = {0};
    struct mh_error err;
    for (int64_t rows = 1; rows <= MANY; rows += MANY - 1) {
        make_write(&write, rows);
        write.columns[1].release = NULL;
        assert_int_equal(mh_encode(&write.request, &payload, &err), 0);
        mh_payload_reset(&payload);
        assert_int_equal(released, 0);
        free(write.columns[1].held);
    }
    mh_payload_free(&payload);
}

static void what_no_server_should_see_is_refused_and_released(void **state)
{
    (void)state;
    enum { DIMENSION_0, NO_ROWS, TOO_MANY_FIELDS, CASES };
    struct mh_payload payload = {0};
    for (int i = 0; i < CASES; i++) {
        struct write write;
        struct mh_column many[65];
        struct mh_error err = {""};
        make_write(&write, MANY);
        for (size_t c = 0; c < COUNT(many); c++)
            many[c] = write.columns[c == 64];
        if (i == DIMENSION_0)
            write.columns[1].dim = 0;
        if (i == NO_ROWS)
            write.request.rows = 0;
        if (i == TOO_MANY_FIELDS) {
            write.request.columns = many;
            write.request.column_count = COUNT(many);
        }
        assert_int_equal(mh_encode(&write.request, &payload, &err), -1);
        assert_non_null(strstr(err.text, i == DIMENSION_0 ? "vector" : "1 row or more and at most 64"));
        assert_int_equal(released, 1);
        mh_payload_reset(&payload);
        assert_int_equal(released, 1);
    }
    mh_payload_free(&payload);
}

/* ---- the arena ---- */

static const size_t sizes[] = {1, 16, 17, 3, 20000, 5, 1 << 20, 100000, 1, 40000, 15};

static void arena_pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    struct mh_arena arena = {0};
    uint8_t *pieces[COUNT(sizes)];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            pieces[i] = mh_arena_get(&arena, sizes[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)i + round, sizes[i]);
        }
        for (size_t i = 0; i < COUNT(sizes); i++)
            for (size_t at = 0; at < sizes[i]; at++)
                assert_int_equal(pieces[i][at], i + (size_t)round);
        mh_arena_reset(&arena);
    }
    mh_arena_free(&arena);
    mh_arena_free(&arena); /* empty */
}

/* The same memory, round after round: nothing grows while a run lasts. */
static void arena_memory_is_used_again(void **state)
{
    (void)state;
    struct mh_arena arena = {0};
    void *before[COUNT(sizes)];
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *piece = mh_arena_get(&arena, sizes[i]);
            if (round > 0)
                assert_ptr_equal(piece, before[i]);
            before[i] = piece;
        }
        mh_arena_reset(&arena);
    }
    mh_arena_free(&arena);
}

#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void); /* its header is not in every package */
#endif

static size_t allocated(void)
{
#ifdef __SANITIZE_ADDRESS__
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks + mallinfo2().hblkhd;
#endif
}

/* One that was large does not keep the memory for those that are not. */
static void arena_memory_that_is_not_needed_goes_back(void **state)
{
    (void)state;
    struct mh_arena arena = {0};
    mh_arena_get(&arena, 100);
    const size_t before = allocated();
    assert_non_null(mh_arena_get(&arena, 1 << 20));
    mh_arena_reset(&arena);
    assert_true(allocated() > before + (1 << 20));
    mh_arena_get(&arena, 100);
    mh_arena_reset(&arena);
    assert_int_equal(allocated(), before);
    mh_arena_free(&arena);
}

static void a_reply_uses_its_memory_again(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x0a, 0,   0x12, 3,
                                    'o',  'n', 'e'}; /* GetVersionResponse{status {}, version "one"} */
    struct mh_reply reply = {0};
    const char *before = NULL;
    for (int round = 0; round < 5; round++) {
        mh_decode(MH_OP_VERSION, 0, "", false, bytes, sizeof bytes, &reply);
        assert_string_equal(reply.text, "one");
        if (before)
            assert_ptr_equal(reply.text, before);
        before = reply.text;
    }
    mh_reply_free(&reply);
    mh_reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_vectors_go_by_reference),
        cmocka_unit_test(the_next_message_releases_the_last),
        cmocka_unit_test(small_vectors_are_copied_and_released_at_once),
        cmocka_unit_test(vectors_of_the_data_set_are_left_alone),
        cmocka_unit_test(what_no_server_should_see_is_refused_and_released),
        cmocka_unit_test(arena_pieces_are_aligned_and_apart),
        cmocka_unit_test(arena_memory_is_used_again),
        cmocka_unit_test(arena_memory_that_is_not_needed_goes_back),
        cmocka_unit_test(a_reply_uses_its_memory_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
