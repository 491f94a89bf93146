/* Prometheus' text format, as far as single numbers go. */
#ifndef MH_OBSERVE_PROMETHEUS_H
#define MH_OBSERVE_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>

/* `name` with its labels as the page has them: "up" or "up{job=\"x\"}". */
typedef void mh_metric_visitor(void *context, const char *name, double value);

/* Is the metric one of those wanted? They are written as a name, whatever its labels; as a name and its
 * labels, letter for letter; or as the beginning of names and a '*'. */
bool mh_metric_is_wanted(const char *name, const char *const *wanted, size_t wanted_count);

/* Hands on the samples of the page that are wanted. `text` ends in a NUL; lines that are none of the format
 * are passed over, and so are NaN and infinities. */
void mh_prometheus_read(const char *text, const char *const *wanted, size_t wanted_count,
                        mh_metric_visitor *visit, void *context);

#endif
