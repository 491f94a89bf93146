/* Prometheus' text format, as far as single numbers go; a page of any size, as it comes in. */
#ifndef MH_OBSERVE_PROMETHEUS_H
#define MH_OBSERVE_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>

/* `name` with its labels as the page has them: "up" or "up{job=\"x\"}". */
typedef void mh_metric_visitor(void *context, const char *name, double value);

/* Is the metric one of those wanted? They are written as a name, whatever its labels; as a name and its
 * labels, letter for letter; or as the beginning of names and a '*'. */
bool mh_metric_is_wanted(const char *name, const char *const *wanted, size_t wanted_count);

enum { MH_METRIC_NAME = 512, MH_PROMETHEUS_LINE = 4096 }; /* what is longer is passed over */

struct mh_prometheus {
    const char *const *wanted;
    size_t wanted_count;
    mh_metric_visitor *visit;
    void *context;
    size_t length;                 /* of the line that is not complete yet */
    char line[MH_PROMETHEUS_LINE]; /* its beginning */
};

/* Begins a page. `wanted` must live as long. */
void mh_prometheus_begin(struct mh_prometheus *reader, const char *const *wanted, size_t wanted_count,
                         mh_metric_visitor *visit, void *context);

/* Hands on the samples that are wanted, each with the end of its line. Lines that are none of the format are
 * passed over, and so are NaN and infinities. */
void mh_prometheus_take(struct mh_prometheus *reader, const char *bytes, size_t count);
void mh_prometheus_end(struct mh_prometheus *reader); /* the last line may have no end of its own */

#endif
