/* The other end of unary gRPC calls: requests come in, one at a time, and are answered now, later or never.
 * One thread, one completion queue. Beside rpc.h the only room that sees gRPC. */
#ifndef MH_RPC_SERVER_H
#define MH_RPC_SERVER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mh_server;

enum mh_doom { MH_DOOM_NONE, MH_DOOM_BEFORE, MH_DOOM_AFTER };

/* One request, the server's until it is answered by exactly one of mh_serve_reply, _refuse and _ignore. */
struct mh_incoming {
    int method;           /* position in the list given to mh_serve_open */
    const uint8_t *bytes; /* contiguous; never NULL */
    size_t length;        /* of them */
    enum mh_doom doom;    /* its connection is about to be closed: before or after requests take effect */
    struct mh_serving *serving; /* the server's own */
};

/* Listens on "host:port"; port 0 picks one. `methods` (gRPC paths) stay the caller's and must live on; calls
 * of any other method are answered UNIMPLEMENTED. */
int mh_serve_open(const char *host, int port, const char *const *methods, size_t method_count,
                  struct mh_server **out, struct mh_error *err);
void mh_serve_close(struct mh_server *server); /* breaks off what is open; NULL is allowed */
int mh_serve_port(const struct mh_server *server);

/* The next request, or NULL when none comes before `until_ns` (monotonic). */
struct mh_incoming *mh_serve_next(struct mh_server *server, int64_t until_ns);

/* Each ends the request. Bytes are copied. A reply due in the past leaves at once. */
void mh_serve_reply(struct mh_incoming *incoming, const uint8_t *bytes, size_t length, int64_t due_ns);
void mh_serve_refuse(struct mh_incoming *incoming, int grpc_status, const char *message, int64_t due_ns);
void mh_serve_ignore(struct mh_incoming *incoming); /* no answer until the client gives up */

/* Closes the TCP connection of this request a moment later. Requests that come in on it until then have
 * `doom` set, and none of them is to be answered; what was answered earlier has arrived. */
void mh_serve_doom(struct mh_incoming *incoming, enum mh_doom doom);

/* Tells all clients to go away (HTTP/2 GOAWAY): they end what they have begun and connect again. */
void mh_serve_send_away(const struct mh_server *server);

#endif
