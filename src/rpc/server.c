/* gRPC C core's server: methods registered by path, a few requests asked for in advance for each, one batch
 * to answer a call, the request's address as the tag. */
#include "rpc/server.h"

#include "base/clock.h"
#include "rpc/rpc.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ASKED = 32,         /* requests asked for in advance, a method */
    PEER_LENGTH = 64,   /* "ipv4:127.0.0.1:54321" */
    MOST_DOOMED = 64,   /* connections at a time */
    FILE_NUMBERS = 4096 /* looked through for a connection */
};
static const int64_t doom_ns = 30 * MH_MS;

enum state { ASKED_FOR, GIVEN, ENDING };

struct mh_serving {
    struct mh_incoming incoming; /* first, so that one can be had from the other */
    struct mh_server *server;
    enum state state;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_call_details details; /* of a method that is not registered */
    grpc_byte_buffer *payload, *reply;
    grpc_slice request;
    bool has_request;
    grpc_status_code status;
    grpc_slice message;
    int cancelled;
    int64_t due_ns;
    struct mh_serving *next; /* idle, or waiting to be answered by due_ns */
};

struct doomed {
    char peer[PEER_LENGTH];
    enum mh_doom doom;
    int64_t due_ns;
};

struct mh_server {
    grpc_completion_queue *queue;
    const char *const *methods;
    size_t method_count;
    char host[256];
    int port;
    grpc_server *server;
    void **registered; /* handles, by method */
    bool stopped;
    struct mh_serving *idle, *waiting;
    struct doomed doomed[MOST_DOOMED];
    size_t doomed_count;
    int64_t open; /* calls given and not ended */
};

/* ---- asking for requests ---- */

static struct mh_serving *fresh(struct mh_server *server)
{
    struct mh_serving *serving = server->idle;
    if (serving)
        server->idle = serving->next;
    else
        serving = malloc(sizeof *serving);
    if (!serving)
        abort();
    *serving = (struct mh_serving){.server = server};
    return serving;
}

static void set_idle(struct mh_serving *serving)
{
    serving->next = serving->server->idle;
    serving->server->idle = serving;
}

static void ask(struct mh_server *server, int method)
{
    struct mh_serving *serving = fresh(server);
    serving->incoming = (struct mh_incoming){.method = method, .serving = serving};
    grpc_metadata_array_init(&serving->metadata);
    grpc_call_details_init(&serving->details);
    if (method >= 0)
        grpc_server_request_registered_call(server->server, server->registered[method], &serving->call,
                                            &serving->deadline, &serving->metadata, &serving->payload,
                                            server->queue, server->queue, serving);
    else
        grpc_server_request_call(server->server, &serving->call, &serving->details, &serving->metadata,
                                 server->queue, server->queue, serving);
}

/* ---- opening ---- */

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key, .value.integer = value};
}

static grpc_server *create(void)
{
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 64 << 20), /* as Milvus' proxy */
        int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0), /* a port that is taken is an error */
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
    };
    grpc_channel_args list = {.num_args = sizeof args / sizeof args[0], .args = args};
    return grpc_server_create(&list, NULL);
}

static int start(struct mh_server *server, struct mh_error *err)
{
    char address[300];
    snprintf(address, sizeof address, "%s:%d", server->host, server->port);
    grpc_server_register_completion_queue(server->server, server->queue, NULL);
    for (size_t i = 0; i < server->method_count; i++)
        server->registered[i] = grpc_server_register_method(server->server, server->methods[i], NULL,
                                                            GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    const int port = grpc_server_add_http2_port(server->server, address, credentials);
    grpc_server_credentials_release(credentials);
    grpc_server_start(server->server);
    if (port <= 0)
        return mh_fail(err, "cannot listen on %s: expected an address of this machine and a free port",
                       address);
    server->port = port;
    for (int method = -1; method < (int)server->method_count; method++)
        for (int i = 0; i < ASKED; i++)
            ask(server, method);
    return 0;
}

int mh_serve_open(const char *host, int port, const char *const *methods, size_t method_count,
                  struct mh_server **out, struct mh_error *err)
{
    struct mh_server *server = calloc(1, sizeof *server);
    void **registered = calloc(method_count, sizeof *registered);
    if (!server || !registered) {
        free(server);
        free(registered);
        return mh_fail(err, "out of memory");
    }
    grpc_init();
    server->queue = grpc_completion_queue_create_for_next(NULL);
    server->server = create();
    server->registered = registered;
    server->methods = methods;
    server->method_count = method_count;
    server->port = port;
    snprintf(server->host, sizeof server->host, "%s", host);
    if (start(server, err) != 0) {
        mh_serve_close(server);
        return -1;
    }
    *out = server;
    return 0;
}

int mh_serve_port(const struct mh_server *server)
{
    return server->port;
}

/* ---- a call ---- */

static void forget(struct mh_serving *serving)
{
    if (serving->has_request)
        grpc_slice_unref(serving->request);
    if (serving->payload)
        grpc_byte_buffer_destroy(serving->payload);
    if (serving->reply)
        grpc_byte_buffer_destroy(serving->reply);
    grpc_metadata_array_destroy(&serving->metadata);
    grpc_call_details_destroy(&serving->details);
    grpc_slice_unref(serving->message);
    if (serving->call)
        grpc_call_unref(serving->call);
    set_idle(serving);
}

static void start_batch(struct mh_serving *serving, const grpc_op *ops, size_t count)
{
    serving->state = ENDING;
    grpc_call_error error = grpc_call_start_batch(serving->call, ops, count, serving, NULL);
    if (error != GRPC_CALL_OK) {
        fprintf(stderr, "milvus-mock: internal error: gRPC refuses a batch (%d)\n", (int)error);
        abort(); /* a batch of ours is malformed: a defect, never a state of the world */
    }
}

static void answer(struct mh_serving *serving)
{
    grpc_op ops[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
         .data.send_status_from_server = {.status = serving->status, .status_details = &serving->message}},
        {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server = {.cancelled = &serving->cancelled}},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = serving->reply},
    };
    start_batch(serving, ops, serving->reply ? 4 : 3);
}

static void answer_at(struct mh_serving *serving, int64_t due_ns)
{
    if (due_ns <= 0 || due_ns <= mh_now_ns()) {
        answer(serving);
        return;
    }
    serving->due_ns = due_ns;
    struct mh_serving **at = &serving->server->waiting;
    while (*at && (*at)->due_ns <= due_ns)
        at = &(*at)->next;
    serving->next = *at;
    *at = serving;
}

void mh_serve_reply(struct mh_incoming *incoming, const uint8_t *bytes, size_t length, int64_t due_ns)
{
    struct mh_serving *serving = incoming->serving;
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, length);
    serving->reply = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    serving->status = GRPC_STATUS_OK;
    serving->message = grpc_empty_slice();
    answer_at(serving, due_ns);
}

void mh_serve_refuse(struct mh_incoming *incoming, int grpc_status, const char *message, int64_t due_ns)
{
    struct mh_serving *serving = incoming->serving;
    serving->status = (grpc_status_code)grpc_status;
    serving->message = grpc_slice_from_copied_string(message);
    answer_at(serving, due_ns);
}

void mh_serve_ignore(struct mh_incoming *incoming)
{
    struct mh_serving *serving = incoming->serving;
    const grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                        .data.recv_close_on_server = {.cancelled = &serving->cancelled}};
    start_batch(serving, &op, 1);
}

/* ---- connections ---- */

static void peer_of(const struct mh_serving *serving, char peer[PEER_LENGTH])
{
    char *text = grpc_call_get_peer(serving->call);
    snprintf(peer, PEER_LENGTH, "%s", text);
    gpr_free(text);
}

static const struct doomed *doomed_peer(const struct mh_server *server, const char *peer)
{
    for (size_t i = 0; i < server->doomed_count; i++)
        if (strcmp(server->doomed[i].peer, peer) == 0)
            return &server->doomed[i];
    return NULL;
}

void mh_serve_doom(struct mh_incoming *incoming, enum mh_doom doom)
{
    struct mh_server *server = incoming->serving->server;
    struct doomed fresh_doom = {.doom = doom, .due_ns = mh_now_ns() + doom_ns};
    peer_of(incoming->serving, fresh_doom.peer);
    if (!doomed_peer(server, fresh_doom.peer) && server->doomed_count < MOST_DOOMED)
        server->doomed[server->doomed_count++] = fresh_doom;
}

static int port_in(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    return -1;
}

/* The peer's port, where fd is a connection that was made to the server; else -1. */
static int peer_port(const struct mh_server *server, int fd)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_length = sizeof own, peer_length = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &own_length) != 0 || port_in(&own) != server->port)
        return -1;
    return port_in(&peer);
}

/* gRPC closes a connection only gracefully; so its socket is looked for, and shut under it. */
static void cut(const struct mh_server *server, const char *peer)
{
    const char *colon = strrchr(peer, ':');
    const int port = colon ? atoi(colon + 1) : -1;
    for (int fd = 3; fd < FILE_NUMBERS && port > 0; fd++)
        if (peer_port(server, fd) == port)
            shutdown(fd, SHUT_RDWR);
}

/* gRPC's server says it only when it ends, and then cancels calls that cross it on their way. */
void mh_serve_send_away(const struct mh_server *server)
{
    static const uint8_t goaway[] = {0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0};
    for (int fd = 3; fd < FILE_NUMBERS; fd++)
        if (peer_port(server, fd) > 0)
            send(fd, goaway, sizeof goaway, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void cut_doomed(struct mh_server *server, int64_t now_ns)
{
    for (size_t i = 0; i < server->doomed_count;) {
        if (server->doomed[i].due_ns > now_ns) {
            i++;
            continue;
        }
        cut(server, server->doomed[i].peer);
        server->doomed[i] = server->doomed[--server->doomed_count];
    }
}

/* ---- the loop ---- */

static void gather_request(struct mh_serving *serving)
{
    static const uint8_t nothing[1];
    grpc_byte_buffer_reader reader;
    serving->incoming.bytes = nothing;
    if (!serving->payload || !grpc_byte_buffer_reader_init(&reader, serving->payload))
        return;
    serving->request = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    serving->has_request = true;
    serving->incoming.bytes = GRPC_SLICE_START_PTR(serving->request);
    serving->incoming.length = GRPC_SLICE_LENGTH(serving->request);
}

static void mark_doomed(struct mh_serving *serving)
{
    char peer[PEER_LENGTH];
    peer_of(serving, peer);
    const struct doomed *doomed = doomed_peer(serving->server, peer);
    if (doomed)
        serving->incoming.doom = doomed->doom;
}

/* A request that has come in, or NULL where there is none to hand out. */
static struct mh_incoming *take(struct mh_serving *serving, bool success)
{
    struct mh_server *server = serving->server;
    if (serving->state == ENDING || !success) {
        server->open -= serving->state == ENDING;
        forget(serving);
        return NULL;
    }
    serving->state = GIVEN;
    server->open++;
    if (!server->stopped)
        ask(server, serving->incoming.method);
    if (serving->incoming.method < 0) {
        mh_serve_refuse(&serving->incoming, MH_GRPC_UNIMPLEMENTED, "unknown method", 0);
        return NULL;
    }
    gather_request(serving);
    if (server->doomed_count)
        mark_doomed(serving);
    return &serving->incoming;
}

static void do_what_is_due(struct mh_server *server)
{
    if (!server->waiting && !server->doomed_count)
        return;
    const int64_t now = mh_now_ns();
    while (server->waiting && server->waiting->due_ns <= now) {
        struct mh_serving *serving = server->waiting;
        server->waiting = serving->next;
        answer(serving);
    }
    cut_doomed(server, now);
}

static int64_t next_due(const struct mh_server *server, int64_t until_ns)
{
    int64_t due = until_ns;
    if (server->waiting && server->waiting->due_ns < due)
        due = server->waiting->due_ns;
    for (size_t i = 0; i < server->doomed_count; i++)
        if (server->doomed[i].due_ns < due)
            due = server->doomed[i].due_ns;
    return due;
}

static grpc_event next_event(struct mh_server *server, int64_t until_ns)
{
    const int64_t left = until_ns - mh_now_ns();
    gpr_timespec deadline =
        left <= 0 ? gpr_inf_past(GPR_CLOCK_MONOTONIC)
                  : gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left, GPR_TIMESPAN));
    return grpc_completion_queue_next(server->queue, deadline, NULL);
}

struct mh_incoming *mh_serve_next(struct mh_server *server, int64_t until_ns)
{
    for (;;) {
        do_what_is_due(server);
        const int64_t due = next_due(server, until_ns);
        grpc_event event = next_event(server, due);
        if (event.type == GRPC_QUEUE_TIMEOUT) {
            if (due == until_ns)
                return NULL;
            continue;
        }
        struct mh_incoming *incoming = take(event.tag, event.success);
        if (incoming)
            return incoming;
    }
}

/* ---- ends ---- */

static void answer_all_waiting(struct mh_server *server)
{
    while (server->waiting) {
        struct mh_serving *serving = server->waiting;
        server->waiting = serving->next;
        mh_serve_ignore(&serving->incoming);
    }
}

static void shut_down(struct mh_server *server)
{
    bool down = false;
    server->stopped = true;
    grpc_server_shutdown_and_notify(server->server, server->queue, server);
    grpc_server_cancel_all_calls(server->server);
    while (!down || server->open > 0) {
        grpc_event event = next_event(server, mh_now_ns() + 100 * MH_MS);
        if (event.type == GRPC_QUEUE_TIMEOUT)
            continue;
        down |= event.tag == server;
        struct mh_incoming *incoming = event.tag == server ? NULL : take(event.tag, event.success);
        if (incoming)
            mh_serve_ignore(incoming);
    }
    grpc_server_destroy(server->server);
}

static void drain(struct mh_server *server)
{
    grpc_completion_queue_shutdown(server->queue);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            break;
        take(event.tag, 0); /* requests that were asked for and never came */
    }
    grpc_completion_queue_destroy(server->queue);
}

void mh_serve_close(struct mh_server *server)
{
    if (!server)
        return;
    answer_all_waiting(server);
    shut_down(server);
    drain(server);
    while (server->idle) {
        struct mh_serving *serving = server->idle;
        server->idle = serving->next;
        free(serving);
    }
    free(server->registered);
    free(server);
    grpc_shutdown_blocking();
}
