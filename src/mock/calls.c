/* Calls that do not end as they should. */
#include "base/clock.h"
#include "base/random.h"
#include "mock/mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GARBAGE_BYTES = 64,
    DEFAULT_DELAY_MS = 100,
    DEFAULT_STALL_S = 1,
    TAIL_TIMES = 10,
    DEAD = 137,
    NO_FIELD = 7
};

static void log_call(const struct mh_fault *fault, const struct mh_mock *mock,
                     const struct mh_incoming *incoming)
{
    mh_fault_log_call(fault, incoming->method, mock->calls);
}

/* Lets the request take effect where the fault comes after that; NULL: it did not, or was none. */
static const uint8_t *apply(const struct mh_fault *fault, struct mh_mock *mock,
                            const struct mh_incoming *incoming, size_t *length)
{
    const uint8_t *answer;
    *length = 0;
    if (!fault->after_applying ||
        mh_mock_handle(mock, incoming->method, incoming->bytes, incoming->length, &answer, length) != 0)
        return NULL;
    return answer;
}

void mh_call_code(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    struct mh_answer answer = {.code = (int)fault->code, .legacy_code = (int)fault->legacy};
    struct mh_arena arena = {0};
    const uint8_t *bytes;
    size_t length;
    apply(fault, mock, incoming, &length);
    strcpy(answer.reason, "the mock says so (--fault reply_code)");
    log_call(fault, mock, incoming);
    if (mh_answer_encode(incoming->method, &answer, &arena, &bytes, &length) != 0)
        abort();
    mh_serve_reply(incoming, bytes, length, 0);
    mh_arena_free(&arena);
}

void mh_call_status(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    size_t length;
    apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    mh_serve_refuse(incoming, (int)fault->status, "the mock says so (--fault grpc_status)", 0);
}

void mh_call_delay(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    struct mh_random draw = {mock->options.seed, (uint64_t)fault->number + 1000, (uint64_t)mock->calls};
    int64_t ms = fault->ms >= 0 ? fault->ms : DEFAULT_DELAY_MS;
    if (mh_random_unit(&draw) < fault->tail)
        ms *= TAIL_TIMES;
    log_call(fault, mock, incoming);
    mh_mock_answer(mock, incoming, mh_now_ns() + ms * MH_MS);
}

void mh_call_stall(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    const double seconds = fault->seconds >= 0 ? fault->seconds : DEFAULT_STALL_S;
    const int64_t until = fault->since_ns + (int64_t)(seconds * (double)MH_S);
    if (mh_now_ns() < until)
        log_call(fault, mock, incoming);
    mh_mock_answer(mock, incoming, until);
}

void mh_call_hang(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    size_t length;
    apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    mh_serve_ignore(incoming);
}

void mh_call_reset(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    size_t length;
    apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    mh_serve_doom(incoming, fault->after_applying ? MH_DOOM_AFTER : MH_DOOM_BEFORE);
    mh_serve_ignore(incoming);
}

static void reply_with_garbage(const struct mh_mock *mock, struct mh_incoming *incoming, size_t length)
{
    struct mh_random draw = {.seed = mock->options.seed, .stream = (uint64_t)mock->calls};
    uint8_t *bytes = malloc(length + 1);
    if (!bytes)
        abort();
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)mh_random_next(&draw);
    if (length)
        bytes[0] |= NO_FIELD; /* of a wire type that there is not: no message begins so */
    mh_serve_reply(incoming, bytes, length, 0);
    free(bytes);
}

void mh_call_garbage(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    size_t length;
    apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    reply_with_garbage(mock, incoming, GARBAGE_BYTES);
}

void mh_call_huge(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    size_t length;
    apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    reply_with_garbage(mock, incoming, (size_t)fault->bytes);
}

void mh_call_truncate(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    static const uint8_t beginning[] = {0x0a}; /* of a field, where the whole reply would be empty */
    size_t length;
    const uint8_t *answer = apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    mh_serve_reply(incoming, length > 1 ? answer : beginning, length > 1 ? length / 2 : 1, 0);
}

void mh_call_goaway(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    log_call(fault, mock, incoming);
    mh_serve_send_away(mock->server);
    mh_mock_answer(mock, incoming, 0);
}

void mh_call_die(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming)
{
    struct mh_error err;
    size_t length;
    apply(fault, mock, incoming, &length);
    log_call(fault, mock, incoming);
    if (fault->keep_data && mock->options.data && mh_store_save(&mock->store, mock->options.data, &err) != 0)
        fprintf(stderr, "milvus-mock: %s\n", err.text);
    _exit(DEAD);
}
