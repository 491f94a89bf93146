/* Requests in, answers out. */
#include "mock/mock.h"

#include "base/clock.h"
#include "rpc/rpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_UP_MS = 50, GRPC_INTERNAL = 13 };

int mh_mock_open(struct mh_mock *mock, const struct mh_mock_options *options, struct mh_error *err)
{
    static const char *methods[MH_SERVE_KINDS];
    for (int kind = 0; kind < MH_SERVE_KINDS; kind++)
        methods[kind] = mh_serve_method(kind);
    mock->options = *options;
    mock->faults.seed = options->seed;
    mock->store.no_vectors = options->no_vectors;
    if (mh_faults_open_log(&mock->faults, options->fault_log, err) != 0)
        return -1;
    if (options->data && mh_store_load(&mock->store, options->data, err) != 0)
        return -1;
    return mh_serve_open(options->host, options->port, methods, MH_SERVE_KINDS, &mock->server, err);
}

void mh_mock_close(struct mh_mock *mock)
{
    mh_serve_close(mock->server);
    mh_store_free(&mock->store);
    mh_faults_free(&mock->faults);
    mh_arena_free(&mock->arena);
}

int mh_mock_handle(struct mh_mock *mock, int kind, const uint8_t *bytes, size_t length,
                   const uint8_t **answer, size_t *answer_length)
{
    struct mh_turn turn;
    mh_arena_reset(&mock->arena);
    turn.mock = mock;
    turn.arena = &mock->arena;
    turn.answer = (struct mh_answer){0};
    if (mh_served_decode(kind, bytes, length, &mock->arena, &turn.request) != 0)
        return -1;
    if (!mock->options.null || !mh_null_handle(&turn))
        mh_handle(&turn);
    if (mh_answer_encode(kind, &turn.answer, &mock->arena, answer, answer_length) != 0)
        abort();
    return 0;
}

void mh_mock_answer(struct mh_mock *mock, struct mh_incoming *incoming, int64_t due_ns)
{
    const uint8_t *bytes;
    size_t length;
    if (mh_mock_handle(mock, incoming->method, incoming->bytes, incoming->length, &bytes, &length) == 0)
        mh_serve_reply(incoming, bytes, length, due_ns);
    else
        mh_serve_refuse(incoming, GRPC_INTERNAL, "grpc: error unmarshalling request", due_ns);
}

/* For other load generators, that are to send the same bytes. */
static void save_request(struct mh_mock *mock, const struct mh_incoming *incoming)
{
    char path[4096];
    const char *method = strrchr(mh_serve_method(incoming->method), '/') + 1;
    mock->saved[incoming->method] = true;
    snprintf(path, sizeof path, "%s/%s", mock->options.save_requests, method);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(incoming->bytes, 1, incoming->length, file) != incoming->length)
        fprintf(stderr, "milvus-mock: %s: cannot be written: %m\n", path);
    if (file)
        fclose(file);
}

static void take(struct mh_mock *mock, struct mh_incoming *incoming)
{
    const uint8_t *bytes;
    size_t length;
    mock->calls++;
    if (mock->options.save_requests && !mock->saved[incoming->method])
        save_request(mock, incoming);
    if (incoming->doom != MH_DOOM_NONE) {
        if (incoming->doom == MH_DOOM_AFTER)
            mh_mock_handle(mock, incoming->method, incoming->bytes, incoming->length, &bytes, &length);
        mh_serve_ignore(incoming);
        return;
    }
    struct mh_fault *fault =
        mock->faults.count ? mh_faults_strike_any(&mock->faults, MH_FAULT_CALL, incoming->method, mock->calls)
                           : NULL;
    if (fault)
        fault->kind->call(fault, mock, incoming);
    else
        mh_mock_answer(mock, incoming, 0);
}

int mh_mock_serve(struct mh_mock *mock, bool (*stop)(void), struct mh_error *err)
{
    while (!stop()) {
        int64_t until = mh_now_ns() + LOOK_UP_MS * MH_MS;
        const int64_t due = mh_faults_due(&mock->faults);
        struct mh_incoming *incoming = mh_serve_next(mock->server, due < until ? due : until);
        mh_faults_leak(&mock->faults, mh_now_ns());
        if (due != INT64_MAX)
            mh_faults_happen_later(mock, mh_now_ns());
        if (incoming)
            take(mock, incoming);
    }
    return mock->options.data ? mh_store_save(&mock->store, mock->options.data, err) : 0;
}
