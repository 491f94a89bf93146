#include "measure/histogram.h"

#include <string.h>
#include <sys/mman.h>

/* The first 2 * HALF values have a bucket each; every further power of two has HALF buckets of twice the
 * width. A bucket is so at most 1/1024 of its values wide. */
#define HALF_BITS 10
#define HALF      (INT64_C(1) << HALF_BITS)

/* Latencies whose pages are there from the start: a rank must not grow with each new one. */
#define USUAL_FROM_NS (INT64_C(1) << 17) /* 0.13 ms */
#define USUAL_TO_NS   (INT64_C(1) << 35) /* 34 s */

static int64_t bucket_of(int64_t value_ns)
{
    /* The OR makes the first two halves share shift 0, without a branch. */
    const int top_bit = 63 - __builtin_clzll((uint64_t)value_ns | (2 * HALF - 1));
    const int shift = top_bit - HALF_BITS;
    return ((int64_t)shift << HALF_BITS) + (value_ns >> shift);
}

int64_t mh_histogram_length(void)
{
    return bucket_of(MH_HISTOGRAM_MAX_NS) + 1;
}

int64_t mh_histogram_low_edge(int64_t bucket)
{
    if (bucket < 2 * HALF)
        return bucket;
    const int shift = (int)(bucket >> HALF_BITS) - 1;
    return ((bucket & (HALF - 1)) + HALF) << shift;
}

static size_t bytes_of_counts(void)
{
    return (size_t)mh_histogram_length() * sizeof(uint64_t);
}

static void clear(struct mh_histogram *h)
{
    *h = (struct mh_histogram){.min_ns = INT64_MAX};
}

int mh_histogram_init(struct mh_histogram *h)
{
    clear(h);
    void *counts = mmap(NULL, bytes_of_counts(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return -1;
    h->counts = counts;
    explicit_bzero(h->counts + bucket_of(USUAL_FROM_NS),
                   (size_t)(bucket_of(USUAL_TO_NS) - bucket_of(USUAL_FROM_NS)) * sizeof *h->counts);
    return 0;
}

void mh_histogram_free(struct mh_histogram *h)
{
    if (h->counts)
        munmap(h->counts, bytes_of_counts());
    clear(h);
}

void mh_histogram_reset(struct mh_histogram *h)
{
    uint64_t *counts = h->counts;
    clear(h);
    h->counts = counts;
    if (madvise(counts, bytes_of_counts(), MADV_DONTNEED) != 0)
        memset(counts, 0, bytes_of_counts());
}

void mh_histogram_record(struct mh_histogram *h, int64_t value_ns)
{
    h->clamped += value_ns > MH_HISTOGRAM_MAX_NS;
    value_ns = value_ns < 0 ? 0 : value_ns;
    value_ns = value_ns > MH_HISTOGRAM_MAX_NS ? MH_HISTOGRAM_MAX_NS : value_ns;
    h->counts[bucket_of(value_ns)]++;
    h->count++;
    h->sum_ns += (double)value_ns;
    h->min_ns = value_ns < h->min_ns ? value_ns : h->min_ns;
    h->max_ns = value_ns > h->max_ns ? value_ns : h->max_ns;
}

void mh_histogram_add(struct mh_histogram *into, const struct mh_histogram *from)
{
    const int64_t length = mh_histogram_length();
    for (int64_t i = 0; i < length; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    into->clamped += from->clamped;
    into->sum_ns += from->sum_ns;
    into->min_ns = from->min_ns < into->min_ns ? from->min_ns : into->min_ns;
    into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
}

/* The smallest n in 1..count with n / count >= quantile. */
static uint64_t rank_of(double quantile, uint64_t count)
{
    if (!(quantile > 0))
        return 1;
    if (quantile >= 1)
        return count;
    uint64_t n = (uint64_t)(quantile * (double)count);
    /* The division decides, not the product: 0.29 * 100 comes out below 29. */
    while (n < 1 || (n < count && (double)n / (double)count < quantile))
        n++;
    return n;
}

int64_t mh_histogram_quantile(const struct mh_histogram *h, double quantile)
{
    if (!h->count)
        return 0;
    const uint64_t rank = rank_of(quantile, h->count);
    const int64_t last = mh_histogram_length() - 1;
    int64_t bucket = 0;
    for (uint64_t seen = h->counts[0]; seen < rank && bucket < last; seen += h->counts[bucket])
        bucket++;
    const int64_t highest = mh_histogram_low_edge(bucket + 1) - 1;
    return highest < h->max_ns ? highest : h->max_ns;
}
