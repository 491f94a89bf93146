/* What a role cost this client, and whether its figures are the server's or the client's own limit. */
#ifndef MH_MEASURE_EFFORT_H
#define MH_MEASURE_EFFORT_H

#include "measure/timeline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one role in one stage, on one rank; or all ranks' sum. */
struct mh_effort {
    int64_t ranks, workers;           /* 1 and how many, where there are any here; else all is 0 */
    int64_t active_ns;                /* from the stage's begin until the last of them ended */
    int64_t cpu_ns;                   /* of the whole rank, meanwhile */
    int64_t starved_ns;               /* ready to run, without a core */
    int64_t paced_ns;                 /* worker time at a rate */
    int64_t blocked_ns;               /* of it: an operation was due and no slot was free */
    int64_t lag[MH_TIMELINE_BUCKETS]; /* operations at a rate, by the time from due to sent while a slot was
                                         free */
};
enum { MH_EFFORT_NUMBERS = sizeof(struct mh_effort) / sizeof(int64_t) }; /* all of it, as one array */

void mh_effort_lag(struct mh_effort *effort, int64_t lag_ns);
int64_t mh_effort_lag_p99(const struct mh_effort *effort); /* -1: no operation at a rate */

/* A role in a stage, over all ranks that have workers of it. */
struct mh_limit_facts {
    int busiest_rank;
    double busiest_cpu;     /* cores, by the busiest rank */
    double starved;         /* share of the time that it was ready to run and got no core */
    double blocked;         /* share of time at a rate with an operation due and no slot free; NaN: no rate */
    int64_t lag_p99_ns;     /* -1: no rate */
    int64_t latency_p99_ns; /* from due time; -1: nothing succeeded */
    double share;           /* of the calibrated ceiling; NaN: not calibrated */
};

/* True: the client was the limit, or close to it, and `reason` says by what; else `reason` is empty. */
bool mh_limit_judge(const struct mh_limit_facts *facts, char *reason, size_t size);

#endif
