/* Replies: judged by what Milvus says and how it says it; read into columns; and never trusted to be whole.
 * Requests: who owns what is sent. (Their bytes are tests/proto's.) */
#include "milvus/replies.h"

#include "base/random.h"
#include "check.h"
#include "milvus/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mh_reply reply; /* reused from call to call, as an operation's is */

static int free_reply(void **state)
{
    (void)state;
    mh_reply_free(&reply);
    return 0;
}

static void decode(enum mh_op_kind kind, struct bytes bytes)
{
    mh_decode(kind, 0, "", false, bytes.data, bytes.length, &reply);
}

static void decode_and_free(enum mh_op_kind kind, struct bytes bytes, struct bytes *until_read)
{
    decode(kind, bytes);
    free(until_read->data);
    *until_read = bytes;
}

static enum mh_outcome doubt(enum mh_op_kind kind)
{
    return mh_op_infos[kind].write ? MH_OUTCOME_UNKNOWN : MH_OUTCOME_FAILED;
}

static void writes_are_those_that_change_rows(void **state)
{
    (void)state;
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        assert_int_equal(mh_op_infos[kind].write,
                         kind == MH_OP_INSERT || kind == MH_OP_UPSERT || kind == MH_OP_DELETE);
}

/* ---- what the status says ---- */

static bool is_in(const int *codes, size_t count, int code)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i] == code)
            return true;
    return false;
}

/* Limits that pass; refusals by quota, disk, missing things, wrong parameters, credentials: given before the
 * log. */
static const int limits[] = {4, 8}, refusals[] = {7, 9, 10, 100, 109, 200, 800, 1100, 1101, 1102, 1400, 1401};

static enum mh_outcome expected_of(enum mh_op_kind kind, int legacy, int code)
{
    if (code == 0 && legacy == 0)
        return MH_OUTCOME_OK;
    if (is_in(limits, COUNT(limits), code) || (code == 0 && legacy == 49))
        return MH_OUTCOME_THROTTLED;
    return is_in(refusals, COUNT(refusals), code) || (code == 0 && legacy == 48) ? MH_OUTCOME_FAILED
                                                                                 : doubt(kind);
}

/* Pairs that servers were seen to send, and each code alone and beside any older one. */
static void every_code_is_judged(void **state)
{
    (void)state;
    static const int pairs[][2] = {{49, 8},  {48, 9},    {4, 100}, {1, 100}, {1, 65535}, {15, 200}, {25, 700},
                                   {1, 101}, {0, 8},     {1, 0},   {49, 0},  {49, 5},    {62, 109}, {56, 1},
                                   {24, 3},  {0, 10001}, {48, 0},  {48, 5},  {4, 0},     {5, 0},    {56, 0}};
    for (int kind = 0; kind < MH_OP_KINDS; kind++) {
        for (size_t i = 0; i < COUNT(pairs) + 2101; i++) {
            int legacy = i < COUNT(pairs) ? pairs[i][0] : (int)i % 3,
                code = i < COUNT(pairs) ? pairs[i][1] : (int)(i - COUNT(pairs));
            struct bytes bytes = reply_to((enum mh_op_kind)kind, legacy, code, "why\nnot");
            decode((enum mh_op_kind)kind, bytes);
            assert_int_equal(reply.outcome, expected_of((enum mh_op_kind)kind, legacy, code));
            assert_int_equal(reply.code, code);
            assert_int_equal(reply.legacy_code, legacy);
            assert_string_equal(reply.reason, "why not");
            free(bytes.data);
        }
    }
}

static void what_is_missing_has_a_code(void **state)
{
    (void)state;
    for (int code = 0; code < 70000; code++) {
        const struct mh_reply said = {.code = code};
        assert_int_equal(mh_reply_is_missing_index(&said), code == 700);
        assert_int_equal(mh_reply_is_missing_collection(&said), code == 100);
        assert_int_equal(mh_reply_is_missing_partition(&said), code == 200);
    }
}

/* Servers before 2.3 know no other; one that has both means the newer. */
static void the_older_code_counts_where_it_is_alone(void **state)
{
    (void)state;
    static const int final[] = {0, 3, 4, 5, 25, 48};
    for (int legacy = 0; legacy < 1001; legacy++) {
        const struct mh_reply alone = {.legacy_code = legacy}, both = {.legacy_code = legacy, .code = 1100};
        assert_int_equal(mh_reply_is_missing_index(&alone), legacy == 25);
        assert_int_equal(mh_reply_is_missing_collection(&alone), legacy == 4);
        assert_int_equal(mh_reply_is_trouble(&alone), !is_in(final, COUNT(final), legacy));
        assert_false(mh_reply_is_missing_index(&both) || mh_reply_is_missing_collection(&both) ||
                     mh_reply_is_trouble(&both));
    }
    assert_false(mh_reply_is_trouble(&(struct mh_reply){.code = -1, .legacy_code = 1}));
}

static void a_long_reason_is_cut(void **state)
{
    (void)state;
    char reason[1000];
    memset(reason, 'r', sizeof reason);
    reason[sizeof reason - 1] = '\0';
    struct bytes bytes = reply_to(MH_OP_LOAD, 1, 5, reason);
    decode(MH_OP_LOAD, bytes);
    assert_int_equal(strlen(reply.reason), sizeof reply.reason - 1);
    free(bytes.data);
}

/* ---- what the transport says ---- */

static void every_transport_status_is_judged(void **state)
{
    (void)state;
    static const int before_the_handler[] = {3, 12,
                                             16}; /* INVALID_ARGUMENT, UNIMPLEMENTED, UNAUTHENTICATED */
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        for (int status = 1; status <= 16; status++)
            for (int never_sent = 0; never_sent <= 1; never_sent++) {
                struct bytes bytes = reply_to((enum mh_op_kind)kind, 0, 0, ""); /* must not count */
                mh_decode((enum mh_op_kind)kind, status, "words", never_sent, bytes.data, bytes.length,
                          &reply);
                bool certain = never_sent || is_in(before_the_handler, COUNT(before_the_handler), status);
                assert_int_equal(reply.outcome, certain ? MH_OUTCOME_FAILED : doubt((enum mh_op_kind)kind));
                assert_string_equal(reply.reason, "words");
                assert_int_equal(reply.column_count, 0);
                assert_int_equal(reply.affected, 0);
                free(bytes.data);
            }
}

/* ---- what good replies hold ---- */

static void good_replies_are_read(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    for (int again = 0; again < 2; again++) {
        for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++) {
            decode_and_free((enum mh_op_kind)kind, reply_to((enum mh_op_kind)kind, 0, 0, ""), &bytes);
            assert_int_equal(reply.affected, 3);
            assert_true(reply.timestamp == 0xfedcba9876543210);
        }
        decode_and_free(MH_OP_DESCRIBE_INDEX, reply_to(MH_OP_DESCRIBE_INDEX, 0, 0, ""), &bytes);
        assert_int_equal(reply.state, MH_INDEX_FAILED);
        assert_int_equal(reply.indexed_rows, 5);
        assert_int_equal(reply.pending_rows, 6);
        assert_string_equal(reply.text, "disk full");
        decode_and_free(MH_OP_FLUSH, reply_to(MH_OP_FLUSH, 0, 0, ""), &bytes);
        assert_int_equal(reply.segment_count, 3);
        for (int i = 0; i < 3; i++)
            assert_int_equal(reply.segments[i], 11 + i);
        assert_int_equal(reply.flush_ts, 77);
        decode_and_free(MH_OP_STATISTICS, reply_to(MH_OP_STATISTICS, 0, 0, ""), &bytes);
        assert_int_equal(reply.row_count, 1234);
        decode_and_free(MH_OP_SHOW_PARTITIONS, reply_to(MH_OP_SHOW_PARTITIONS, 0, 0, ""), &bytes);
        assert_int_equal(reply.name_count, 2);
        assert_string_equal(reply.names[0], "_default");
        assert_string_equal(reply.names[1], "part_1");
        decode_and_free(MH_OP_HAS_COLLECTION, reply_to(MH_OP_HAS_COLLECTION, 0, 0, ""), &bytes);
        assert_true(reply.yes);
        decode_and_free(MH_OP_DESCRIBE_COLLECTION, reply_to(MH_OP_DESCRIBE_COLLECTION, 0, 0, ""), &bytes);
        assert_int_equal(reply.collection_id, 4711);
        decode_and_free(MH_OP_FLUSH_STATE, reply_to(MH_OP_FLUSH_STATE, 0, 0, ""), &bytes);
        assert_true(reply.yes);
        decode_and_free(MH_OP_LOAD_STATE, reply_to(MH_OP_LOAD_STATE, 0, 0, ""), &bytes);
        assert_int_equal(reply.state, MH_LOAD_LOADING);
        assert_false(reply.yes); /* nothing is left from before */
        decode_and_free(MH_OP_VERSION, reply_to(MH_OP_VERSION, 0, 0, ""), &bytes);
        assert_string_equal(reply.text, "v2.3.5");
        assert_int_equal(reply.segment_count + reply.name_count + reply.column_count, 0);
    }
    free(bytes.data);
}

/* One of state 0, which a reader of the state alone would take for none. */
static void an_index_is_described_in_whatever_state(void **state)
{
    (void)state;
    static const uint8_t none[] = {0x0a, 0x00}, stateless[] = {0x0a, 0x00, 0x12, 0x00}; /* status, an index */
    mh_decode(MH_OP_DESCRIBE_INDEX, 0, "", false, stateless, sizeof stateless, &reply);
    assert_int_equal(reply.outcome, MH_OUTCOME_OK);
    assert_true(reply.described && reply.state == MH_INDEX_NONE);
    mh_decode(MH_OP_DESCRIBE_INDEX, 0, "", false, none, sizeof none, &reply);
    assert_int_equal(reply.outcome, MH_OUTCOME_OK);
    assert_false(reply.described);
}

static void counts_of_writes(void **state)
{
    (void)state;
    static const int64_t cases[][4] = {/* insert, delete, upsert: affected */
                                       {5, 0, 0, 5}, {0, 7, 0, 7}, {4, 4, 4, 4},
                                       {0, 0, 6, 6}, {0, 0, 0, 0}, {2, 9, 3, 3}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        COMMON(Status) fine = MILVUS__PROTO__COMMON__STATUS__INIT;
        MILVUS(MutationResult) m = MILVUS__PROTO__MILVUS__MUTATION_RESULT__INIT;
        m.status = &fine;
        m.insert_cnt = cases[i][0];
        m.delete_cnt = cases[i][1];
        m.upsert_cnt = cases[i][2];
        struct bytes bytes = bytes_of(&m.base);
        decode(MH_OP_UPSERT, bytes);
        assert_int_equal(reply.outcome, MH_OUTCOME_OK);
        assert_int_equal(reply.affected, cases[i][3]);
        free(bytes.data);
    }
}

static void a_success_that_names_failed_rows_is_in_doubt(void **state)
{
    (void)state;
    uint32_t rows[] = {2};
    COMMON(Status) status = MILVUS__PROTO__COMMON__STATUS__INIT;
    MILVUS(MutationResult) m = MILVUS__PROTO__MILVUS__MUTATION_RESULT__INIT;
    m.status = &status;
    m.err_index = rows;
    m.n_err_index = 1;
    struct bytes bytes = bytes_of(&m.base);
    decode(MH_OP_INSERT, bytes);
    assert_int_equal(reply.outcome, MH_OUTCOME_UNKNOWN);
    free(bytes.data);
    status.code = 1100; /* an error names them too, and is what it is */
    bytes = bytes_of(&m.base);
    decode(MH_OP_INSERT, bytes);
    assert_int_equal(reply.outcome, MH_OUTCOME_FAILED);
    assert_int_equal(reply.code, 1100);
    free(bytes.data);
}

static void a_statistic_that_is_no_number_was_not_said(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t count;
    } cases[] = {
        {"0", 0}, {"17", 17}, {"", -1}, {"many", -1}, {"12x", -1}, {"-5", -1}, {"99999999999999999999", -1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        COMMON(Status) status = MILVUS__PROTO__COMMON__STATUS__INIT;
        COMMON(KeyValuePair) pair = MILVUS__PROTO__COMMON__KEY_VALUE_PAIR__INIT, *pairs[] = {&pair};
        MILVUS(GetCollectionStatisticsResponse)
        m = MILVUS__PROTO__MILVUS__GET_COLLECTION_STATISTICS_RESPONSE__INIT;
        char key[] = "row_count";
        pair.key = key;
        pair.value = (char *)(uintptr_t)cases[i].text;
        m.status = &status;
        m.stats = pairs;
        m.n_stats = 1;
        struct bytes bytes = bytes_of(&m.base);
        decode(MH_OP_STATISTICS, bytes);
        assert_int_equal(reply.row_count, cases[i].count);
        free(bytes.data);
    }
}

/* ---- columns ---- */

static void columns_of_every_type_are_read(void **state)
{
    (void)state;
    static const struct odd_column good[] = {
        {.type = MH_FIELD_BOOL, .data = BOOLS, .rows = 3},
        {.type = MH_FIELD_INT8, .data = INTS, .rows = 3},
        {.type = MH_FIELD_INT16, .data = INTS, .rows = 3},
        {.type = MH_FIELD_INT32, .data = INTS, .rows = 3},
        {.type = MH_FIELD_INT64, .data = LONGS, .rows = 3},
        {.type = MH_FIELD_FLOAT, .data = FLOATS, .rows = 3},
        {.type = MH_FIELD_DOUBLE, .data = DOUBLES, .rows = 3},
        {.type = MH_FIELD_VARCHAR, .data = TEXTS, .rows = 3},
        {.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .rows = 3, .dim = 2},
    };
    struct bytes bytes = query_of(good, COUNT(good));
    decode(MH_OP_QUERY, bytes);
    free(bytes.data); /* columns do not point into it */
    assert_int_equal(reply.outcome, MH_OUTCOME_OK);
    assert_int_equal(reply.column_count, COUNT(good));
    for (int i = 0; i < (int)COUNT(good); i++) {
        char name[] = {'c', (char)('a' + i), '\0'};
        const struct mh_column *column = mh_reply_column(&reply, name);
        assert_ptr_equal(column, &reply.columns[i]);
        assert_int_equal(column->type, good[i].type);
        assert_int_equal(column->rows, 3);
        check_values(column, good[i].data);
    }
    assert_int_equal(reply.columns[8].dim, 2);
    assert_null(mh_reply_column(&reply, "c"));
    assert_null(mh_reply_column(&reply, ""));
}

static void hits_are_read_query_by_query(void **state)
{
    (void)state;
    struct bytes bytes = reply_to(MH_OP_SEARCH, 0, 0, "");
    decode(MH_OP_SEARCH, bytes);
    free(bytes.data);
    assert_int_equal(reply.outcome, MH_OUTCOME_OK);
    assert_int_equal(reply.query_count, 3);
    assert_int_equal(reply.hit_count, 3);
    assert_int_equal(reply.hits_of[0], 1);
    assert_int_equal(reply.hits_of[1], 0);
    assert_int_equal(reply.hits_of[2], 2);
    assert_int_equal(reply.ids[2], 9);
    assert_true(reply.scores[2] == 3);
}

/* Numbers of hits that do not add up to the hits that are there: nobody can say whose they are. */
static void hits_that_do_not_add_up_are_no_answer(void **state)
{
    (void)state;
    static const int64_t wrong[][3] = {
        {1, 0, 1}, {1, 0, 3}, {-1, 2, 2}, {4, 0, -1}, {INT64_MAX, 2, INT64_MAX}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct bytes bytes = search_with(wrong[i], 3, 3);
        decode(MH_OP_SEARCH, bytes);
        assert_int_equal(reply.outcome, MH_OUTCOME_FAILED);
        assert_int_equal(reply.code, -1);
        free(bytes.data);
    }
    static const int64_t right[] = {1, 0, 2};
    struct bytes bytes = search_with(right, 3, 2); /* a score is missing */
    decode(MH_OP_SEARCH, bytes);
    assert_int_equal(reply.code, -1);
    free(bytes.data);
}

static void odd_columns_are_no_answer(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct odd_column columns[2];
        size_t count;
    } cases[] = {
        {"lengths differ",
         {{.type = MH_FIELD_INT64, .data = LONGS, .rows = 3},
          {.type = MH_FIELD_FLOAT, .data = FLOATS, .rows = 2}},
         2},
        {"one is empty",
         {{.type = MH_FIELD_INT64, .data = LONGS, .rows = 3}, {.type = MH_FIELD_INT32, .data = NOTHING}},
         2},
        {"a text for a number", {{.type = MH_FIELD_INT64, .data = TEXTS, .rows = 3}}, 1},
        {"a number for a text", {{.type = MH_FIELD_VARCHAR, .data = LONGS, .rows = 3}}, 1},
        {"a long for an int", {{.type = MH_FIELD_INT32, .data = LONGS, .rows = 3}}, 1},
        {"an int for a long", {{.type = MH_FIELD_INT64, .data = INTS, .rows = 3}}, 1},
        {"an int for a bool", {{.type = MH_FIELD_BOOL, .data = INTS, .rows = 3}}, 1},
        {"a bool for an int", {{.type = MH_FIELD_INT8, .data = BOOLS, .rows = 3}}, 1},
        {"a double for a float", {{.type = MH_FIELD_FLOAT, .data = DOUBLES, .rows = 3}}, 1},
        {"a float for a double", {{.type = MH_FIELD_DOUBLE, .data = FLOATS, .rows = 3}}, 1},
        {"a scalar for a vector", {{.type = MH_FIELD_FLOAT_VECTOR, .data = FLOATS, .rows = 3}}, 1},
        {"a vector for a scalar", {{.type = MH_FIELD_FLOAT, .data = VECTORS, .rows = 3, .dim = 2}}, 1},
        {"dimension 0", {{.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .rows = 3}}, 1},
        {"dimension -1", {{.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .rows = 3, .dim = -1}}, 1},
        {"dimension 4 of 6", {{.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .rows = 3, .dim = 4}}, 1},
        {"dimension 2^62",
         {{.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .rows = 3, .dim = 1LL << 62}},
         1},
        {"dimension 2^62 + 2",
         {{.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .rows = 3, .dim = (1LL << 62) + 2}},
         1},
        {"half a float", {{.type = MH_FIELD_FLOAT, .data = TORN_FLOATS, .rows = 3}}, 1},
        {"half a vector", {{.type = MH_FIELD_FLOAT_VECTOR, .data = TORN_VECTORS, .rows = 3, .dim = 1}}, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bytes bytes = query_of(cases[i].columns, cases[i].count);
        decode(MH_OP_QUERY, bytes);
        if (reply.outcome != MH_OUTCOME_FAILED || reply.code != -1 || reply.column_count != 0)
            fail_msg("%s: outcome %d, code %d", cases[i].what, reply.outcome, reply.code);
        free(bytes.data);
    }
}

static void columns_without_rows_are_an_answer(void **state)
{
    (void)state;
    static const struct odd_column empty[] = {{.type = MH_FIELD_INT64, .data = LONGS},
                                              {.type = MH_FIELD_FLOAT_VECTOR, .data = VECTORS, .dim = 2},
                                              {.type = MH_FIELD_VARCHAR, .data = NOTHING}};
    struct bytes bytes = query_of(empty, COUNT(empty));
    decode(MH_OP_QUERY, bytes);
    assert_int_equal(reply.outcome, MH_OUTCOME_OK);
    assert_int_equal(reply.column_count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(reply.columns[i].rows, 0);
    free(bytes.data);
}

static void too_many_columns_are_no_answer(void **state)
{
    (void)state;
    struct odd_column many[COUNT(reply.columns) + 1];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct odd_column){.type = MH_FIELD_INT64, .data = LONGS, .rows = 3};
    for (size_t count = COUNT(many) - 1; count <= COUNT(many); count++) {
        struct bytes bytes = query_of(many, count);
        decode(MH_OP_QUERY, bytes);
        assert_int_equal(reply.outcome, count < COUNT(many) ? MH_OUTCOME_OK : MH_OUTCOME_FAILED);
        free(bytes.data);
    }
}

/* ---- what is no reply ---- */

static bool replies_with_a_status_only(int kind)
{
    static const int kinds[] = {MH_OP_CREATE_INDEX,    MH_OP_DROP_INDEX,       MH_OP_CREATE_COLLECTION,
                                MH_OP_DROP_COLLECTION, MH_OP_CREATE_PARTITION, MH_OP_LOAD,
                                MH_OP_RELEASE,         MH_OP_DROP_PARTITION};
    return is_in(kinds, COUNT(kinds), kind);
}

/* A status that says success has no bytes of its own, but the field that holds it has two. */
static void a_reply_without_its_status_is_none(void **state)
{
    (void)state;
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        for (int empty = 0; empty <= 1; empty++) {
            struct bytes bytes = reply_without_status((enum mh_op_kind)kind);
            mh_decode((enum mh_op_kind)kind, 0, "", false, bytes.data, empty ? 0 : bytes.length, &reply);
            assert_int_equal(reply.outcome,
                             replies_with_a_status_only(kind) ? MH_OUTCOME_OK : doubt((enum mh_op_kind)kind));
            assert_int_equal(reply.code, replies_with_a_status_only(kind) ? 0 : -1);
            free(bytes.data);
        }
}

static void no_bytes_are_no_reply(void **state)
{
    (void)state;
    for (int kind = 0; kind < MH_OP_KINDS; kind++) {
        mh_decode((enum mh_op_kind)kind, 0, "", false, NULL, 0, &reply);
        assert_int_equal(reply.outcome, doubt((enum mh_op_kind)kind));
        assert_int_equal(reply.code, -1);
        assert_true(reply.reason[0] != '\0');
    }
}

static void check_whatever_came(enum mh_op_kind kind)
{
    assert_int_equal(reply.outcome == MH_OUTCOME_OK, reply.code == 0 && reply.legacy_code == 0);
    if (reply.code == -1)
        assert_int_equal(reply.outcome, doubt(kind));
    assert_true(strnlen(reply.reason, sizeof reply.reason) < sizeof reply.reason);
    for (size_t i = 0; i < reply.column_count; i++)
        read_values(&reply.columns[i]);
    for (size_t i = 0; i < reply.name_count; i++)
        assert_non_null(reply.names[i]);
    for (size_t i = 0; i < reply.segment_count; i++)
        read_number(reply.segments[i]);
}

static void damaged_replies_never_crash(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 6};
    int refused = 0;
    for (int kind = 0; kind < MH_OP_KINDS; kind++) {
        struct bytes whole = reply_to((enum mh_op_kind)kind, 1, 65535, "words of the server");
        for (int i = 0; i < 3000; i++) {
            struct bytes bytes = {
                .length = i < (int)whole.length ? (size_t)i : mh_random_below(&random, whole.length + 1)};
            bytes.data = malloc(bytes.length + (bytes.length == 0));
            memcpy(bytes.data, whole.data, bytes.length);
            for (uint64_t n = bytes.length && i >= (int)whole.length ? 1 + mh_random_below(&random, 3) : 0;
                 n > 0; n--)
                bytes.data[mh_random_below(&random, bytes.length)] ^=
                    (uint8_t)(1 << mh_random_below(&random, 8));
            for (size_t at = 0; i % 4 == 3 && at < bytes.length; at++) /* garbage altogether */
                bytes.data[at] = (uint8_t)mh_random_next(&random);
            decode((enum mh_op_kind)kind, bytes);
            check_whatever_came((enum mh_op_kind)kind);
            refused += reply.code == -1;
            free(bytes.data);
        }
        free(whole.data);
    }
    assert_true(refused > 3000);
}

#define DECODES(test) cmocka_unit_test_teardown(test, free_reply)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_are_those_that_change_rows),
        DECODES(every_code_is_judged),
        DECODES(what_is_missing_has_a_code),
        DECODES(the_older_code_counts_where_it_is_alone),
        DECODES(a_long_reason_is_cut),
        DECODES(every_transport_status_is_judged),
        DECODES(good_replies_are_read),
        DECODES(an_index_is_described_in_whatever_state),
        DECODES(counts_of_writes),
        DECODES(a_success_that_names_failed_rows_is_in_doubt),
        DECODES(a_statistic_that_is_no_number_was_not_said),
        DECODES(columns_of_every_type_are_read),
        DECODES(hits_are_read_query_by_query),
        DECODES(hits_that_do_not_add_up_are_no_answer),
        DECODES(odd_columns_are_no_answer),
        DECODES(columns_without_rows_are_an_answer),
        DECODES(too_many_columns_are_no_answer),
        DECODES(a_reply_without_its_status_is_none),
        DECODES(no_bytes_are_no_reply),
        DECODES(damaged_replies_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
