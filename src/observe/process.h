/* Processes of this machine as /proc shows them. */
#ifndef MH_OBSERVE_PROCESS_H
#define MH_OBSERVE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mh_process_state {
    int64_t rss_bytes;
    int64_t private_bytes; /* of them, those backed by no file and shared with nobody */
    double cpu_s;          /* user and system, since it began */
    int64_t fds;           /* open; -1: may not be seen */
    int64_t threads;
    uint64_t began; /* when, in the kernel's ticks since boot: tells it from a later one of its number */
};

/* -1: there is none of that number, or it may not be seen. */
int mh_process_look(pid_t pid, struct mh_process_state *out);

/* Which process listens on that TCP port here; -1: none, or it may not be seen. */
pid_t mh_process_listening(int port);

/* Is the host of an address this machine's loopback? Names are not looked up. */
bool mh_is_loopback(const char *host);

enum { MH_PROCESS_NAME = 64 };

/* The port of a server's URI on loopback, and what its process is called: its host:port. 0: it is elsewhere.
 */
int mh_process_port(const char *uri, char name[MH_PROCESS_NAME]);

#endif
