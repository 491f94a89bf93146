/* gRPC C core: one completion queue a rank, one batch a call, the call's address as the tag. */
#include "rpc/rpc.h"

#include "base/clock.h"
#include "rpc/absences.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_METADATA = 2,
    FULL_BATCH = 6,
    WAIT_GRAIN_NS = 2000000,
    LOOK_EVERY_NS = 50000,
    KEEPALIVE_MS = 10000,
    MOST_DOUBLINGS = 6, /* of the second that a connection stays away for at least */
};

struct mh_call_private {
    struct mh_connection *connection;
    struct mh_rpc *rpc;
    int64_t held; /* among rpc->bytes */
    int target;   /* position of its URI */
    grpc_call *call;
    grpc_byte_buffer *request, *response;
    grpc_slice response_slice; /* the whole reply, contiguous */
    bool has_slice;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    struct mh_call *next_refused; /* in mh_rpc.refused */
};

struct mh_rpc {
    grpc_completion_queue *queue;
    grpc_channel_credentials *credentials;
    grpc_metadata metadata[MAX_METADATA];
    size_t metadata_count;
    struct mh_texts uris; /* borrowed from the job */
    int64_t connections;
    char *server_name;
    int64_t in_flight;       /* submitted and not yet handed back */
    atomic_llong bytes;      /* held by calls */
    struct mh_call *refused; /* ended without leaving */
    struct mh_absences absences;
};

/* Channels so far, of this process: each gets different arguments, so that none shares a socket. */
static atomic_int opened;

struct mh_connection {
    struct mh_rpc *rpc;
    int home, target;         /* positions in rpc->uris */
    grpc_channel ***channels; /* by URI; those it never went to are NULL */
    int64_t count, turn;      /* of each URI's */
    int64_t heard_ns;         /* when the target last answered */
    int64_t look_ns;          /* not back home before */
    int leaves;
};

const char *mh_grpc_status_name(int status)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    return status >= 0 && status < (int)(sizeof names / sizeof names[0]) ? names[status] : "no gRPC status";
}

/* ---- opening ---- */

static int read_file(const char *path, char **text, struct mh_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return mh_fail(err, "server.tls: %s: cannot be read: %m; expected a PEM file", path);
    size_t length = 0, room = 1 << 20;
    *text = malloc(room + 1);
    if (*text)
        length = fread(*text, 1, room, file);
    fclose(file);
    if (*text)
        (*text)[length] = '\0';
    if (*text && length < room && strstr(*text, "-----BEGIN "))
        return 0;
    free(*text);
    *text = NULL;
    return mh_fail(err, "server.tls: %s: expected a PEM file (\"-----BEGIN ...\") of at most 1 MiB", path);
}

static bool given(const char *text)
{
    return text && text[0];
}

static int make_tls(struct mh_rpc *rpc, const struct mh_tls_options *tls, struct mh_error *err)
{
    char *ca = NULL, *cert = NULL, *key = NULL;
    int rc = -1;
    if (given(tls->ca) && read_file(tls->ca, &ca, err) != 0)
        goto done;
    if (given(tls->cert) && read_file(tls->cert, &cert, err) != 0)
        goto done;
    if (given(tls->key) && read_file(tls->key, &key, err) != 0)
        goto done;
    if (!cert != !key) {
        mh_fail(err, "server.tls: cert and key go together; only one is given");
        goto done;
    }
    grpc_ssl_pem_key_cert_pair pair = {.private_key = key, .cert_chain = cert};
    rpc->credentials = grpc_ssl_credentials_create(ca, cert ? &pair : NULL, NULL, NULL);
    rc = rpc->credentials ? 0 : mh_fail(err, "server.tls: gRPC does not take these certificates");
    if (rc == 0 && given(tls->server_name))
        rpc->server_name = strdup(tls->server_name);
done:
    free(ca);
    free(cert);
    free(key);
    return rc;
}

static char *base64(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(text), out = 0;
    char *coded = malloc(4 * ((n + 2) / 3) + 1);
    for (size_t i = 0; i < n && coded; i += 3) {
        uint32_t word = 0;
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (i + k < n ? (uint8_t)text[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            coded[out++] = k > n - i ? '=' : digits[word >> (18 - 6 * k) & 63];
    }
    if (coded)
        coded[out] = '\0';
    return coded;
}

static void add_metadata(struct mh_rpc *rpc, const char *key, const char *value)
{
    grpc_metadata *entry = &rpc->metadata[rpc->metadata_count++];
    entry->key = grpc_slice_from_static_string(key);
    entry->value = grpc_slice_from_copied_string(value);
}

int mh_rpc_open(const struct mh_server_options *server, struct mh_rpc **out, struct mh_error *err)
{
    struct mh_rpc *rpc = calloc(1, sizeof *rpc);
    if (!rpc)
        return mh_fail(err, "out of memory");
    grpc_init();
    rpc->uris = server->uris;
    rpc->connections = server->connections > 0 ? server->connections : 1;
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    if (given(server->token)) {
        char *coded = base64(server->token);
        if (coded)
            add_metadata(rpc, "authorization", coded);
        free(coded);
    }
    bool tls = strncmp(server->uris.items[0], "https://", 8) == 0;
    if (!tls)
        rpc->credentials = grpc_insecure_credentials_create();
    else if (make_tls(rpc, &server->tls, err) != 0) {
        mh_rpc_close(rpc);
        return -1;
    }
    *out = rpc;
    return 0;
}

void mh_rpc_close(struct mh_rpc *rpc)
{
    if (!rpc)
        return;
    grpc_completion_queue_shutdown(rpc->queue);
    while (grpc_completion_queue_next(rpc->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(rpc->queue);
    for (size_t i = 0; i < rpc->metadata_count; i++)
        grpc_slice_unref(rpc->metadata[i].value);
    if (rpc->credentials)
        grpc_channel_credentials_release(rpc->credentials);
    free(rpc->server_name);
    free(rpc);
    grpc_shutdown_blocking();
}

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static grpc_channel *open_channel(struct mh_rpc *rpc, const char *uri)
{
    const char *target = strstr(uri, "://");
    target = target ? target + 3 : uri;
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1),
        int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        int_arg(GRPC_ARG_ENABLE_RETRIES, 0), /* what is sent again is our decision: a write may not be */
        int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100),
        int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000),
        int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_MS),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg("milvus-hpc.channel", atomic_fetch_add(&opened, 1)),
        {.type = GRPC_ARG_STRING, .key = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, .value.string = rpc->server_name},
    };
    size_t count = sizeof args / sizeof args[0] - (rpc->server_name ? 0 : 1);
    grpc_channel_args list = {.num_args = count, .args = args};
    return grpc_channel_create(target, rpc->credentials, &list);
}

static bool aim_at(struct mh_connection *connection, int target)
{
    struct mh_rpc *rpc = connection->rpc;
    grpc_channel ***channels = &connection->channels[target];
    if (!*channels) {
        *channels = calloc((size_t)connection->count, sizeof **channels);
        if (!*channels)
            return false;
        for (int64_t i = 0; i < connection->count; i++)
            (*channels)[i] = open_channel(rpc, rpc->uris.items[target]);
    }
    connection->target = target;
    connection->heard_ns = 0;
    return true;
}

struct mh_connection *mh_connection_open(struct mh_rpc *rpc, int64_t which)
{
    struct mh_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->rpc = rpc;
    connection->count = rpc->connections;
    connection->home = (int)((size_t)which % rpc->uris.count);
    connection->channels = calloc(rpc->uris.count, sizeof *connection->channels);
    if (connection->channels && aim_at(connection, connection->home))
        return connection;
    mh_connection_close(connection);
    return NULL;
}

void mh_connection_close(struct mh_connection *connection)
{
    if (!connection)
        return;
    for (size_t u = 0; connection->channels && u < connection->rpc->uris.count; u++) {
        for (int64_t i = 0; connection->channels[u] && i < connection->count; i++)
            grpc_channel_destroy(connection->channels[u][i]);
        free(connection->channels[u]);
    }
    free(connection->channels);
    free(connection);
}

const char *mh_connection_uri(const struct mh_connection *connection)
{
    return connection->rpc->uris.items[connection->target];
}

bool mh_connection_away(const struct mh_connection *connection)
{
    return connection->target != connection->home;
}

int mh_connection_choices(const struct mh_connection *connection)
{
    return mh_rpc_uris(connection->rpc);
}

int mh_rpc_uris(const struct mh_rpc *rpc)
{
    return (int)rpc->uris.count;
}

/* ---- from proxy to proxy ---- */

/* Each time it leaves home it stays away for longer; from a proxy that was silent at least until the old TCP
 * connection has been found dead. */
static void stay_away(struct mh_connection *connection, bool silent)
{
    const int doublings = connection->leaves < MOST_DOUBLINGS ? connection->leaves : MOST_DOUBLINGS;
    int64_t rest_ns = MH_S << doublings;
    connection->leaves++;
    const int64_t found_dead_ns = 2 * MH_MS * KEEPALIVE_MS;
    if (silent && rest_ns < found_dead_ns)
        rest_ns = found_dead_ns;
    connection->look_ns = mh_now_ns() + rest_ns;
}

bool mh_connection_leave(struct mh_connection *connection, const struct mh_call *call)
{
    struct mh_rpc *rpc = connection->rpc;
    const int left = call->private_state ? call->private_state->target : -1;
    const bool silent = call->status == MH_GRPC_DEADLINE_EXCEEDED && connection->heard_ns < call->sent_ns;
    if (rpc->uris.count < 2 || left < 0 || (!call->never_sent && !silent))
        return false;
    if (left != connection->target) /* another call has said so before */
        return true;
    if (!aim_at(connection, (left + 1) % (int)rpc->uris.count))
        return false;
    mh_absences_leave(&rpc->absences, rpc->uris.count, left, silent, mh_now_ns());
    if (left == connection->home)
        stay_away(connection, silent);
    return true;
}

void mh_connection_go_home(struct mh_connection *connection)
{
    const int home = connection->home;
    if (connection->target == home || mh_now_ns() < connection->look_ns)
        return;
    connection->look_ns = mh_now_ns() + MH_S;
    if (grpc_channel_check_connectivity_state(connection->channels[home][0], 1) != GRPC_CHANNEL_READY)
        return;
    mh_absences_return(&connection->rpc->absences, home, mh_now_ns());
    (void)aim_at(connection, home); /* its channels are there */
}

size_t mh_rpc_absences(const struct mh_rpc *rpc, const struct mh_absence **absences)
{
    *absences = rpc->absences.items;
    return rpc->absences.count;
}

void mh_rpc_forget_absences(struct mh_rpc *rpc)
{
    rpc->absences.count = 0;
}

/* ---- one call ---- */

static grpc_slice slice_of(const struct mh_payload *payload, const struct mh_piece *piece)
{
    if (!piece->bytes)
        return grpc_slice_from_copied_buffer((const char *)payload->copied + piece->offset, piece->length);
    if (piece->release)
        return grpc_slice_new_with_user_data((void *)(uintptr_t)piece->bytes, piece->length, piece->release,
                                             piece->held);
    return grpc_slice_from_static_buffer(piece->bytes, piece->length);
}

static grpc_byte_buffer *take_over(struct mh_payload *payload)
{
    grpc_slice slices[MH_PAYLOAD_PIECES];
    for (size_t i = 0; i < payload->piece_count; i++)
        slices[i] = slice_of(payload, &payload->pieces[i]);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, payload->piece_count);
    for (size_t i = 0; i < payload->piece_count; i++)
        grpc_slice_unref(slices[i]);
    payload->piece_count = 0; /* the slices hold the references now */
    mh_payload_reset(payload);
    return buffer;
}

static void set_message(struct mh_call *call, const char *text, size_t length)
{
    size_t n = length < sizeof call->message - 1 ? length : sizeof call->message - 1;
    for (size_t i = 0; i < n; i++)
        call->message[i] = text[i] == '\n' || text[i] == '\r' || text[i] == '\0' ? ' ' : text[i];
    call->message[n] = '\0';
}

/* A channel that just failed to connect says so for a while: a write sent now would only raise doubt. */
static bool refuse_unsent(struct mh_connection *connection, grpc_channel *channel, struct mh_call *call)
{
    if (grpc_channel_check_connectivity_state(channel, 1) != GRPC_CHANNEL_TRANSIENT_FAILURE)
        return false;
    char text[sizeof call->message];
    int length = snprintf(text, sizeof text, "no connection to %s", mh_connection_uri(connection));
    set_message(call, text, (size_t)length);
    call->status = MH_GRPC_UNAVAILABLE;
    call->never_sent = true;
    mh_payload_reset(call->payload);
    call->private_state->next_refused = connection->rpc->refused;
    connection->rpc->refused = call;
    return true;
}

static void start_batch(struct mh_rpc *rpc, struct mh_call_private *state, void *tag)
{
    grpc_op ops[FULL_BATCH] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA,
         .data.send_initial_metadata = {.count = rpc->metadata_count, .metadata = rpc->metadata}},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = state->request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &state->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &state->response},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &state->trailing,
                                        .status = &state->status,
                                        .status_details = &state->details}},
    };
    grpc_call_error error = grpc_call_start_batch(state->call, ops, FULL_BATCH, tag, NULL);
    if (error != GRPC_CALL_OK) {
        fprintf(stderr, "milvus-hpc: internal error: gRPC refuses a batch (%d)\n", (int)error);
        abort(); /* a batch of ours is malformed: a defect, never a state of the world */
    }
}

static struct mh_call_private *fresh_state(struct mh_call *call)
{
    if (!call->private_state)
        call->private_state = malloc(sizeof *call->private_state);
    if (!call->private_state)
        abort();
    *call->private_state = (struct mh_call_private){.status = GRPC_STATUS_UNKNOWN};
    return call->private_state;
}

static void hold(struct mh_call_private *state, int64_t bytes)
{
    if (bytes == state->held)
        return;
    atomic_fetch_add(&state->rpc->bytes, bytes - state->held);
    state->held = bytes;
}

void mh_call_submit(struct mh_connection *connection, struct mh_call *call)
{
    struct mh_rpc *rpc = connection->rpc;
    struct mh_call_private *state = fresh_state(call);
    grpc_channel *channel = connection->channels[connection->target][connection->turn++ % connection->count];
    state->connection = connection;
    state->rpc = rpc;
    state->target = connection->target;
    call->status = MH_GRPC_OK;
    call->message[0] = '\0';
    call->never_sent = false;
    call->reply = NULL;
    call->reply_length = 0;
    call->request_length = call->payload->total;
    call->sent_ns = mh_now_ns();
    rpc->in_flight++;
    if (refuse_unsent(connection, channel, call))
        return;
    state->request = take_over(call->payload);
    hold(state, (int64_t)call->request_length);
    state->details = grpc_empty_slice();
    grpc_metadata_array_init(&state->initial);
    grpc_metadata_array_init(&state->trailing);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(call->timeout_ns, GPR_TIMESPAN));
    state->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, rpc->queue,
                                           grpc_slice_from_static_string(call->method), NULL, deadline, NULL);
    start_batch(rpc, state, call);
}

void mh_call_cancel(struct mh_call *call)
{
    if (call->private_state && call->private_state->call)
        grpc_call_cancel(call->private_state->call, NULL);
}

/* The reply as one run of bytes: without a copy when gRPC holds it in one slice. */
static void gather_reply(struct mh_call *call, struct mh_call_private *state)
{
    if (!state->response)
        return;
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, state->response))
        return;
    state->response_slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    state->has_slice = true;
    call->reply = GRPC_SLICE_START_PTR(state->response_slice);
    call->reply_length = GRPC_SLICE_LENGTH(state->response_slice);
}

/* gRPC fails a call this way only while it still waits for a connection, before anything was written. A
 * middlebox may send the same words after it has passed the call on: then there is a peer, by its address. */
static bool says_never_connected(const struct mh_call *call)
{
    if (call->status != MH_GRPC_UNAVAILABLE || strncmp(call->message, "failed to connect to all", 24) != 0)
        return false;
    char *peer = grpc_call_get_peer(call->private_state->call);
    const bool connected =
        strncmp(peer, "ipv4:", 5) == 0 || strncmp(peer, "ipv6:", 5) == 0 || strncmp(peer, "unix:", 5) == 0;
    gpr_free(peer);
    return !connected;
}

static void finish(struct mh_call *call)
{
    struct mh_call_private *state = call->private_state;
    call->status = (int)state->status;
    if (call->status != MH_GRPC_OK)
        set_message(call, (const char *)GRPC_SLICE_START_PTR(state->details),
                    GRPC_SLICE_LENGTH(state->details));
    call->never_sent = says_never_connected(call);
    if (call->status == MH_GRPC_OK && state->target == state->connection->target)
        state->connection->heard_ns = mh_now_ns();
    gather_reply(call, state);
    hold(state, (int64_t)call->reply_length);
    grpc_slice_unref(state->details);
    grpc_metadata_array_destroy(&state->initial);
    grpc_metadata_array_destroy(&state->trailing);
    grpc_byte_buffer_destroy(state->request);
    grpc_call_unref(state->call);
    state->call = NULL;
}

static struct mh_call *next_within(struct mh_rpc *rpc, int64_t ns)
{
    gpr_timespec deadline =
        ns <= 0 ? gpr_inf_past(GPR_CLOCK_MONOTONIC)
                : gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(ns, GPR_TIMESPAN));
    grpc_event event = grpc_completion_queue_next(rpc->queue, deadline, NULL);
    return event.type == GRPC_OP_COMPLETE ? event.tag : NULL;
}

/* gRPC's waits end up to two milliseconds after the deadline, which made every operation with a due time
 * late: these are waited for in short sleeps, with a look between them; in one where no reply can come. */
static struct mh_call *next_until(struct mh_rpc *rpc, int64_t until_ns)
{
    int64_t left = until_ns - mh_now_ns();
    struct mh_call *call = next_within(rpc, left > WAIT_GRAIN_NS ? left - WAIT_GRAIN_NS : 0);
    while (!call && (left = until_ns - mh_now_ns()) > 0) {
        mh_sleep_ns(left < LOOK_EVERY_NS || rpc->in_flight == 0 ? left : LOOK_EVERY_NS);
        call = next_within(rpc, 0);
    }
    return call;
}

static struct mh_call *wait_for(struct mh_rpc *rpc, int64_t until_ns, bool sharp)
{
    struct mh_call *call = rpc->refused;
    if (call) {
        rpc->refused = call->private_state->next_refused;
    } else {
        call = sharp ? next_until(rpc, until_ns) : next_within(rpc, until_ns - mh_now_ns());
        if (!call)
            return NULL;
        finish(call);
    }
    call->done_ns = mh_now_ns();
    rpc->in_flight--;
    return call;
}

struct mh_call *mh_rpc_wait(struct mh_rpc *rpc, int64_t until_ns)
{
    return wait_for(rpc, until_ns, false);
}

struct mh_call *mh_rpc_wait_sharp(struct mh_rpc *rpc, int64_t until_ns)
{
    return wait_for(rpc, until_ns, true);
}

void mh_call_release(struct mh_call *call)
{
    struct mh_call_private *state = call->private_state;
    if (!state)
        return;
    hold(state, 0);
    if (state->has_slice)
        grpc_slice_unref(state->response_slice);
    if (state->response)
        grpc_byte_buffer_destroy(state->response);
    state->has_slice = false;
    state->response = NULL;
    call->reply = NULL;
    call->reply_length = 0;
}

void mh_call_free(struct mh_call *call)
{
    mh_call_release(call);
    free(call->private_state);
    call->private_state = NULL;
}

int64_t mh_rpc_bytes(const struct mh_rpc *rpc)
{
    return atomic_load(&rpc->bytes);
}

int64_t mh_rpc_in_flight(const struct mh_rpc *rpc)
{
    return rpc->in_flight;
}
