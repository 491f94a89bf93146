/* Private to rpc/: what is noted of proxies that connections moved away from. */
#ifndef MH_RPC_ABSENCES_H
#define MH_RPC_ABSENCES_H

#include "rpc/rpc.h"

struct mh_absences {
    struct mh_absence items[MH_MOST_ABSENCES];
    size_t count;
};

/* A connection moved away from one of `uris` URIs; back to it. */
void mh_absences_leave(struct mh_absences *absences, size_t uris, int uri, bool silent, int64_t now_ns);
void mh_absences_return(struct mh_absences *absences, int uri, int64_t now_ns);

#endif
