/* The retry policy: which ends are final, how long it waits, how often it asks. Calls are made by hand. */
#include "client/op.h"

#include "base/clock.h"
#include "check.h"
#include "milvus/replies.h"

#include <stdlib.h>
#include <string.h>

enum { MAX = 5 };

static const struct mh_retry_options options = {.max = MAX, .backoff_ns = {50 * MH_MS, 700 * MH_MS}};
static const int64_t timeout_ns = 30 * MH_S, patience_ns = 45 * MH_S;
static struct mh_retry_policy policy;
static struct mh_op op;
static struct bytes bytes;

static int set_up(void **state)
{
    (void)state;
    policy = (struct mh_retry_policy){
        .retry = &options, .timeout_ns = timeout_ns, .patience_ns = patience_ns, .random = {.seed = 9}};
    op = (struct mh_op){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mh_op_free(&op);
    free(bytes.data);
    bytes.data = NULL;
    return 0;
}

/* The operation as mh_op_send leaves it when it sends. */
static void send(enum mh_op_kind kind, int64_t now_ns)
{
    op.request = (struct mh_request){.kind = kind, .rows = 3, .key_count = 3};
    op.call.sent_ns = now_ns;
    if (op.attempts++ == 0)
        op.sent_ns = now_ns;
    if (op.asked++ == 0)
        op.asked_ns = now_ns;
}

static enum mh_op_next take(int64_t now_ns)
{
    op.call.done_ns = now_ns;
    op.retry_ns = -1;
    enum mh_op_next next = mh_op_take(&op, &policy);
    assert_int_equal(op.done_ns, now_ns);
    return next;
}

static void answer_both(enum mh_op_kind kind, int legacy, int code)
{
    free(bytes.data);
    bytes = reply_to(kind, legacy, code, "words");
    op.call.status = MH_GRPC_OK;
    op.call.never_sent = false;
    op.call.reply = bytes.data;
    op.call.reply_length = bytes.length;
}

static void answer(enum mh_op_kind kind, int code)
{
    answer_both(kind, 0, code);
}

static void break_off(int status, bool never_sent)
{
    op.call.status = status;
    op.call.never_sent = never_sent;
    op.call.reply = NULL;
    op.call.reply_length = 0;
    strcpy(op.call.message, "broken");
}

static bool is_write(int kind)
{
    return kind == MH_OP_INSERT || kind == MH_OP_UPSERT || kind == MH_OP_DELETE;
}

/* ---- throttled ---- */

static void a_throttled_call_is_sent_again_so_often(void **state)
{
    (void)state;
    static const int codes[] = {8, 4};
    for (int kind = 0; kind < MH_OP_KINDS; kind++) {
        mh_op_release(&op);
        for (int try = 1; try <= MAX + 1; try++) {
            send((enum mh_op_kind)kind, 1000 * try * MH_S); /* the budget is a number, not a time */
            answer((enum mh_op_kind)kind, codes[try % 2]);
            assert_int_equal(take(1000 * try * MH_S + 5), try <= MAX ? MH_OP_AGAIN : MH_OP_FINAL);
            assert_int_equal(op.outcome, MH_OUTCOME_THROTTLED);
            assert_int_equal(op.throttled, try);
            assert_int_equal(op.attempts, try);
            assert_int_equal(op.sent_ns, 1000 * MH_S);
        }
    }
}

static void tries_that_never_left_do_not_count_against_it(void **state)
{
    (void)state;
    for (int try = 0; try < 2 * MAX; try++) {
        send(MH_OP_INSERT, 0);
        break_off(MH_GRPC_UNAVAILABLE, true);
        assert_int_equal(take(1), MH_OP_AGAIN);
    }
    send(MH_OP_INSERT, 2);
    answer(MH_OP_INSERT, 8);
    assert_int_equal(take(3), MH_OP_AGAIN);
}

static void success_after_throttling_is_success(void **state)
{
    (void)state;
    send(MH_OP_INSERT, 0);
    answer(MH_OP_INSERT, 8);
    assert_int_equal(take(1), MH_OP_AGAIN);
    send(MH_OP_INSERT, MH_S);
    answer(MH_OP_INSERT, 0);
    assert_int_equal(take(MH_S + 1), MH_OP_FINAL);
    assert_int_equal(op.outcome, MH_OUTCOME_OK);
    assert_int_equal(op.throttled, 1);
    mh_op_release(&op);
    assert_int_equal(op.throttled + op.attempts, 0);
}

static void no_retries_are_none(void **state)
{
    (void)state;
    static const struct mh_retry_options never = {.max = 0, .backoff_ns = {1, 1}};
    policy.retry = &never;
    send(MH_OP_INSERT, 0);
    answer(MH_OP_INSERT, 8);
    assert_int_equal(take(1), MH_OP_FINAL);
}

/* ---- how long it waits ---- */

static void backoff_doubles_within_its_jitter(void **state)
{
    (void)state;
    static const int64_t whole_ms[] = {50, 100, 200, 400, 700, 700, 700};
    enum { DRAWS = 4000 };
    static struct mh_retry_options often;
    often = options;
    often.max = 1000000;
    policy.retry = &often;
    for (int try = 1; try <= (int)COUNT(whole_ms); try++) {
        int64_t least = INT64_MAX, most = 0, sum = 0;
        const int64_t whole = whole_ms[try - 1] * MH_MS;
        for (int i = 0; i < DRAWS; i++) {
            op.asked = try - 1;
            send(MH_OP_DELETE, 0);
            answer(MH_OP_DELETE, 8);
            assert_int_equal(take(12345), MH_OP_AGAIN);
            int64_t wait = op.retry_ns - 12345;
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
            sum += wait;
        }
        assert_in_range(least, whole / 2, whole / 2 + whole / 100);
        assert_in_range(most, whole - whole / 100, whole);
        assert_in_range(sum / DRAWS, whole * 74 / 100, whole * 76 / 100); /* uniform */
    }
}

static void backoff_has_an_end(void **state)
{
    (void)state;
    static const struct mh_retry_options long_waits = {.max = 1000000, .backoff_ns = {MH_S, 3600 * MH_S}};
    policy.retry = &long_waits;
    for (int attempts = 12; attempts < 5000; attempts += 7) {
        op.asked = attempts;
        send(MH_OP_QUERY, 0);
        answer(MH_OP_QUERY, 8);
        assert_int_equal(take(0), MH_OP_AGAIN);
        assert_in_range(op.retry_ns, 1800 * MH_S, 3600 * MH_S);
    }
}

/* ---- broken off ---- */

/* Whatever the transport says, and whenever: a write that may have arrived is final at once, and in doubt. */
static void an_uncertain_write_is_never_sent_again(void **state)
{
    (void)state;
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        for (int status = 1; status <= 16; status++) {
            mh_op_release(&op);
            send((enum mh_op_kind)kind, 0);
            break_off(status, false);
            assert_int_equal(take(1), MH_OP_FINAL);
            assert_true(op.outcome == MH_OUTCOME_UNKNOWN || op.outcome == MH_OUTCOME_FAILED);
            assert_int_equal(op.outcome == MH_OUTCOME_FAILED, status == MH_GRPC_INVALID_ARGUMENT ||
                                                                  status == MH_GRPC_UNIMPLEMENTED ||
                                                                  status == MH_GRPC_UNAUTHENTICATED);
            assert_int_equal(op.timed_out, status == MH_GRPC_DEADLINE_EXCEEDED);
            assert_false(op.unreachable);
        }
}

static void a_write_in_doubt_by_its_reply_is_final(void **state)
{
    (void)state;
    static const int codes[] = {1, 2, 3, 5, 11, 12, 65535};
    for (size_t i = 0; i < COUNT(codes); i++) {
        mh_op_release(&op);
        send(MH_OP_UPSERT, 0);
        answer(MH_OP_UPSERT, codes[i]);
        assert_int_equal(take(1), MH_OP_FINAL);
        assert_int_equal(op.outcome, MH_OUTCOME_UNKNOWN);
    }
    send(MH_OP_INSERT, 0);
    break_off(MH_GRPC_OK, false); /* success without a body */
    assert_int_equal(take(1), MH_OP_FINAL);
    assert_int_equal(op.outcome, MH_OUTCOME_UNKNOWN);
}

static void a_success_for_other_than_all_rows_is_in_doubt(void **state)
{
    (void)state;
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        for (int64_t rows = 2; rows <= 4; rows++) { /* replies.c acknowledges 3 */
            mh_op_release(&op);
            send((enum mh_op_kind)kind, 0);
            op.request.rows = rows;
            answer((enum mh_op_kind)kind, 0);
            assert_int_equal(take(1), MH_OP_FINAL);
            bool fine = rows == 3 || (kind == MH_OP_DELETE && rows < 3); /* copies may be counted */
            assert_int_equal(op.outcome, fine ? MH_OUTCOME_OK : MH_OUTCOME_UNKNOWN);
        }
}

/* What certainly never left goes again, write or not, until the timeout has passed since the first sending.
 */
static void an_unreachable_server_is_tried_for_a_while(void **state)
{
    (void)state;
    static const struct {
        int64_t since_first_ns;
        enum mh_op_next next;
    } times[] = {
        {1, MH_OP_AGAIN}, {30 * MH_S - 1, MH_OP_AGAIN}, {30 * MH_S, MH_OP_FINAL}, {60 * MH_S, MH_OP_FINAL}};
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        for (size_t i = 0; i < COUNT(times); i++) {
            mh_op_release(&op);
            send((enum mh_op_kind)kind, 77);
            op.asked += 100; /* the number does not count */
            break_off(MH_GRPC_UNAVAILABLE, true);
            assert_int_equal(take(77 + times[i].since_first_ns), times[i].next);
            assert_int_equal(op.outcome, MH_OUTCOME_FAILED);
            assert_true(op.unreachable);
            if (times[i].next == MH_OP_AGAIN)
                assert_in_range(op.retry_ns - op.done_ns, options.backoff_ns[0] / 2, options.backoff_ns[1]);
        }
    assert_int_equal(op.bytes_out, 0);
}

static void a_read_that_broke_off_is_sent_again(void **state)
{
    (void)state;
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        for (int status = 1; status <= 16; status++)
            for (int late = 0; late <= 1; late++) {
                const int64_t limit = status == MH_GRPC_DEADLINE_EXCEEDED ? patience_ns : timeout_ns;
                const bool again = !is_write(kind) && !late &&
                                   (status == MH_GRPC_UNAVAILABLE || status == MH_GRPC_DEADLINE_EXCEEDED);
                mh_op_release(&op);
                send((enum mh_op_kind)kind, 10);
                break_off(status, false);
                assert_int_equal(take(10 + limit - !late), again ? MH_OP_AGAIN : MH_OP_FINAL);
            }
}

/* "failed to get delegator ... can not find client of node" (65535) of 2.3 after a load; "not ready" (1). */
static void a_read_that_the_server_fails_is_asked_again_by_the_patient(void **state)
{
    (void)state;
    static const struct {
        int legacy, code; /* servers before 2.3 know the first alone */
        bool trouble;
    } codes[] = {{0, 1, true},    {0, 503, true},  {0, 65535, true}, {0, 100, false},
                 {0, 101, false}, {0, 201, false}, {0, 700, false},  {0, 1100, false},
                 {1, 0, true},    {56, 0, true},   {4, 0, false},    {25, 0, false}};
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        for (size_t i = 0; i < COUNT(codes); i++)
            for (int how = 0; how < 4; how++) { /* bit 0: too late; bit 1: no patience */
                policy.patience_ns = how & 2 ? 0 : patience_ns;
                mh_op_release(&op);
                send((enum mh_op_kind)kind, 10);
                op.asked_ns -= how & 1 ? timeout_ns : 0;
                answer_both((enum mh_op_kind)kind, codes[i].legacy, codes[i].code);
                const bool again = how == 0 && codes[i].trouble && !is_write(kind);
                assert_int_equal(take(20), again ? MH_OP_AGAIN : MH_OP_FINAL);
            }
}

static void without_patience_a_timed_out_read_is_final(void **state)
{
    (void)state;
    policy.patience_ns = 0;
    send(MH_OP_QUERY, 0);
    break_off(MH_GRPC_DEADLINE_EXCEEDED, false);
    assert_int_equal(take(1), MH_OP_FINAL);
    assert_int_equal(op.outcome, MH_OUTCOME_FAILED);
}

/* "proxy TaskCondition context Done", code 65535, as 2.3 says when it sees our deadline first. */
static void a_read_that_fails_at_its_deadline_timed_out(void **state)
{
    (void)state;
    for (int kind = 0; kind < MH_OP_KINDS; kind++)
        for (int late = 0; late <= 1; late++) {
            mh_op_release(&op);
            send((enum mh_op_kind)kind, 0);
            answer((enum mh_op_kind)kind, 65535);
            assert_int_equal(take(late ? timeout_ns - MH_MS : timeout_ns / 2),
                             is_write(kind) ? MH_OP_FINAL : MH_OP_AGAIN);
            assert_int_equal(op.timed_out, late && !is_write(kind));
        }
}

static void a_read_that_was_answered_is_final(void **state)
{
    (void)state;
    static const int codes[] = {0, 1, 2, 100, 101, 700, 65535};
    policy.patience_ns = 0;
    for (int kind = MH_OP_QUERY; kind < MH_OP_KINDS; kind++)
        for (size_t i = 0; i < COUNT(codes); i++) {
            mh_op_release(&op);
            send((enum mh_op_kind)kind, 0);
            answer((enum mh_op_kind)kind, codes[i]);
            assert_int_equal(take(1), MH_OP_FINAL);
            assert_int_equal(op.outcome, codes[i] ? MH_OUTCOME_FAILED : MH_OUTCOME_OK);
        }
}

/* ---- accounts and words ---- */

static void bytes_count_only_when_they_left(void **state)
{
    (void)state;
    op.call.request_length = 1000;
    send(MH_OP_DELETE, 0);
    break_off(MH_GRPC_UNAVAILABLE, true);
    assert_int_equal(take(1), MH_OP_AGAIN);
    for (int try = 1; try <= 2; try++) {
        send(MH_OP_DELETE, try);
        answer(MH_OP_DELETE, try == 1 ? 8 : 0);
        take(try + 1);
        assert_int_equal(op.bytes_out, 1000 * try);
    }
    mh_op_release(&op);
    assert_int_equal(op.bytes_out, 0);
}

static void the_end_is_put_in_words(void **state)
{
    (void)state;
    char text[100], few[12];
    send(MH_OP_INSERT, 0);
    break_off(MH_GRPC_DEADLINE_EXCEEDED, false);
    take(1);
    mh_op_describe(&op, text, sizeof text);
    assert_string_equal(text, "insert: gRPC DEADLINE_EXCEEDED: broken");
    mh_op_release(&op);
    send(MH_OP_QUERY, 0);
    answer(MH_OP_QUERY, 101);
    take(1);
    mh_op_describe(&op, text, sizeof text);
    assert_string_equal(text, "query: Milvus code 101: words");
    mh_op_describe(&op, few, sizeof few);
    assert_string_equal(few, "query: Milv");
}

static void a_call_knows_its_operation(void **state)
{
    (void)state;
    assert_ptr_equal(mh_op_of(&op.call), &op);
}

#define BY_HAND(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* ---- what lasts longer than its reply ---- */

static void look_says(int64_t now_ns, enum mh_op_kind kind, int code, enum mh_op_next next,
                      enum mh_outcome outcome)
{
    if (op.attempts++ == 0)
        op.sent_ns = now_ns;
    if (op.asked++ == 0)
        op.asked_ns = now_ns;
    answer(kind, code);
    assert_int_equal(take(now_ns + MH_MS), next);
    assert_int_equal(op.outcome, outcome);
}

static void begin_lasting(enum mh_op_kind kind, enum mh_until until)
{
    mh_op_release(&op);
    op.request = (struct mh_request){.kind = kind};
    op.until = until;
    op.poll_ns = 20 * MH_MS;
    op.patience_ns = 10 * MH_S;
}

/* The replies of milvus/replies.c say "loading" and "unissued", for ever. */
static void it_looks_until_its_patience_is_over(void **state)
{
    (void)state;
    static const struct {
        enum mh_op_kind kind, look;
        enum mh_until until;
    } cases[] = {{MH_OP_LOAD, MH_OP_LOAD_STATE, MH_UNTIL_LOADED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin_lasting(cases[i].kind, cases[i].until);
        look_says(0, cases[i].kind, 0, MH_OP_AGAIN, MH_OUTCOME_FAILED); /* until it is done */
        assert_int_equal(op.retry_ns, op.done_ns);
        for (int at_s = 1; at_s < 10; at_s++) {
            look_says(at_s * MH_S, cases[i].look, 0, MH_OP_AGAIN, MH_OUTCOME_FAILED);
            assert_int_equal(op.retry_ns - op.done_ns, 20 * MH_MS);
            assert_int_equal(op.sent_ns, 0);
        }
        look_says(11 * MH_S, cases[i].look, 0, MH_OP_FINAL, MH_OUTCOME_FAILED);
        assert_non_null(strstr(op.reply.reason, "not done in time"));
    }
}

/* Each look has the retries of a call of its own: a long load survives many of them. */
static void a_look_that_goes_wrong_is_retried_like_any_call(void **state)
{
    (void)state;
    begin_lasting(MH_OP_LOAD, MH_UNTIL_LOADED);
    look_says(0, MH_OP_LOAD, 0, MH_OP_AGAIN, MH_OUTCOME_FAILED);
    for (int look = 1; look < 5; look++) {
        for (int try = 0; try < MAX; try++)
            look_says(look * MH_S, MH_OP_LOAD_STATE, 8, MH_OP_AGAIN, MH_OUTCOME_THROTTLED);
        look_says(look * MH_S, MH_OP_LOAD_STATE, 0, MH_OP_AGAIN, MH_OUTCOME_FAILED);
    }
    for (int try = 0; try < MAX; try++)
        look_says(6 * MH_S, MH_OP_LOAD_STATE, 8, MH_OP_AGAIN, MH_OUTCOME_THROTTLED);
    look_says(6 * MH_S, MH_OP_LOAD_STATE, 8, MH_OP_FINAL, MH_OUTCOME_THROTTLED);
}

static void what_fails_at_once_is_not_looked_at(void **state)
{
    (void)state;
    begin_lasting(MH_OP_LOAD, MH_UNTIL_LOADED);
    look_says(0, MH_OP_LOAD, 700, MH_OP_FINAL, MH_OUTCOME_FAILED);
    assert_int_equal(op.reply.code, 700);
    begin_lasting(MH_OP_CREATE_INDEX, MH_UNTIL_BUILT);
    look_says(0, MH_OP_CREATE_INDEX, 0, MH_OP_AGAIN, MH_OUTCOME_FAILED);
    look_says(MH_S, MH_OP_DESCRIBE_INDEX, 700, MH_OP_FINAL, MH_OUTCOME_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BY_HAND(a_throttled_call_is_sent_again_so_often),
        BY_HAND(tries_that_never_left_do_not_count_against_it),
        BY_HAND(success_after_throttling_is_success),
        BY_HAND(no_retries_are_none),
        BY_HAND(backoff_doubles_within_its_jitter),
        BY_HAND(backoff_has_an_end),
        BY_HAND(an_uncertain_write_is_never_sent_again),
        BY_HAND(a_write_in_doubt_by_its_reply_is_final),
        BY_HAND(a_success_for_other_than_all_rows_is_in_doubt),
        BY_HAND(an_unreachable_server_is_tried_for_a_while),
        BY_HAND(a_read_that_broke_off_is_sent_again),
        BY_HAND(a_read_that_the_server_fails_is_asked_again_by_the_patient),
        BY_HAND(without_patience_a_timed_out_read_is_final),
        BY_HAND(a_read_that_fails_at_its_deadline_timed_out),
        BY_HAND(a_read_that_was_answered_is_final),
        BY_HAND(bytes_count_only_when_they_left),
        BY_HAND(the_end_is_put_in_words),
        BY_HAND(a_call_knows_its_operation),
        BY_HAND(it_looks_until_its_patience_is_over),
        BY_HAND(a_look_that_goes_wrong_is_retried_like_any_call),
        BY_HAND(what_fails_at_once_is_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
