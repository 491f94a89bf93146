#include "measure/effort.h"

#include "base/clock.h"
#include "base/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Beyond these the client takes part in what is measured. */
#define MOST_CPU     0.90 /* of a core, used or waited for: work waits for the one thread that does it */
#define MOST_BLOCKED 0.05 /* of the time: the rate asked for was not offered */
#define MOST_LAG     0.10 /* of the latency's p99: the lag is a visible part of it */
#define LEAST_LAG    MH_MS
#define MOST_SHARE   0.80 /* of what these ranks can do when a server costs nothing */

void mh_effort_lag(struct mh_effort *effort, int64_t lag_ns)
{
    effort->lag[mh_timeline_bucket(lag_ns)]++;
}

int64_t mh_effort_lag_p99(const struct mh_effort *effort)
{
    struct mh_timeline_slot slot = {.max_ns = INT64_MAX};
    int64_t count = 0, seen = 0;
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        count += effort->lag[i];
    for (int i = 0; i < MH_TIMELINE_BUCKETS && count > 0; i++) {
        seen += effort->lag[i];
        if ((double)seen < 0.99 * (double)count)
            continue;
        slot.latency[i] = 1; /* its upper edge is the timeline's to know */
        return mh_timeline_quantile(&slot, 1);
    }
    return -1;
}

struct reasons {
    char *text;
    size_t size, used;
};

static void add_on(struct reasons *reasons, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_on(struct reasons *reasons, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (reasons->used < reasons->size)
        reasons->used +=
            (size_t)vsnprintf(reasons->text + reasons->used, reasons->size - reasons->used, format, args);
    va_end(args);
}

/* The next reason. */
#define add(REASONS, ...)                                                                                    \
    (add_on(REASONS, "%s", (REASONS)->used > 0 ? "; " : ""), add_on(REASONS, __VA_ARGS__))

static void add_cpu(struct reasons *reasons, const struct mh_limit_facts *facts)
{
    add(reasons, "rank %d used %.0f%% of a core", facts->busiest_rank, 100 * facts->busiest_cpu);
    if (facts->starved >= 0.01)
        add_on(reasons, " and waited for one %.0f%% of the time", 100 * facts->starved);
}

static void add_lag(struct reasons *reasons, const struct mh_limit_facts *facts)
{
    char lag[32], latency[32];
    if (facts->lag_p99_ns <= LEAST_LAG || facts->latency_p99_ns < 0 ||
        (double)facts->lag_p99_ns <= MOST_LAG * (double)facts->latency_p99_ns)
        return;
    mh_show_duration(facts->lag_p99_ns, lag, sizeof lag);
    mh_show_duration(facts->latency_p99_ns, latency, sizeof latency);
    add(reasons, "1 of 100 operations left %s or more after its time with a slot free, of a p99 of %s", lag,
        latency);
}

bool mh_limit_judge(const struct mh_limit_facts *facts, char *reason, size_t size)
{
    struct reasons reasons = {reason, size, 0};
    reason[0] = '\0';
    if (facts->busiest_cpu + facts->starved >= MOST_CPU)
        add_cpu(&reasons, facts);
    if (facts->blocked > MOST_BLOCKED)
        add(&reasons, "no slot was free for %.0f%% of the time with an operation due (see inflight)",
            100 * facts->blocked);
    add_lag(&reasons, facts);
    if (facts->share >= MOST_SHARE)
        add(&reasons, "%.0f%% of the calibrated ceiling", 100 * facts->share);
    return reasons.used > 0;
}
