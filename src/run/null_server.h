/* Private to run/: a milvus-mock --null of our own. */
#ifndef MH_RUN_NULL_SERVER_H
#define MH_RUN_NULL_SERVER_H

#include "base/error.h"

#include <sys/types.h>

struct mh_null_server {
    pid_t pid; /* 0: none */
    char uri[64];
};

/* The binary beside this program's, on a free port of the loopback; it ends with this process at the latest.
 */
int mh_null_server_start(struct mh_null_server *server, struct mh_error *err);
void mh_null_server_stop(struct mh_null_server *server);

#endif
