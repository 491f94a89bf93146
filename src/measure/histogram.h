/* Latency histograms, log-linear as HdrHistogram's (http://hdrhistogram.org): values in nanoseconds, 3
 * significant digits from 1 us to 1 h. Two histograms have the same buckets, so ranks merge by adding counts,
 * without error. */
#ifndef MH_MEASURE_HISTOGRAM_H
#define MH_MEASURE_HISTOGRAM_H

#include <stdint.h>

#define MH_HISTOGRAM_MAX_NS 3600000000000LL /* larger values are clamped to it and counted in `clamped` */

struct mh_histogram {
    uint64_t count;   /* sum of counts */
    uint64_t clamped; /* values above MH_HISTOGRAM_MAX_NS, among `count` */
    int64_t min_ns;   /* exact; INT64_MAX when empty: min and max are reduced apart from the counts */
    int64_t max_ns;   /* exact; 0 when empty */
    double sum_ns;
    uint64_t *counts; /* mh_histogram_length() buckets */
};

int64_t mh_histogram_length(void);
int64_t mh_histogram_low_edge(int64_t bucket); /* smallest value that falls into it, ns */

int mh_histogram_init(struct mh_histogram *h); /* 0, or -1 when there is no memory */
void mh_histogram_free(struct mh_histogram *h);
void mh_histogram_reset(struct mh_histogram *h); /* empty again; its pages come back with their next use */
void mh_histogram_record(struct mh_histogram *h, int64_t value_ns); /* below 0 counts as 0 */
void mh_histogram_add(struct mh_histogram *into, const struct mh_histogram *from);

/* Smallest recorded value v (to bucket precision: the bucket's highest equivalent value, at most max_ns) such
 * that at least `quantile` (0..1) of the values are <= v; 0 when empty. */
int64_t mh_histogram_quantile(const struct mh_histogram *h, double quantile);

#endif
