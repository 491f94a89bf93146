#include "dataset/synthetic.h"

#include "base/random.h"

#include <inttypes.h>

/* Keep these draws apart from each other and from other users of the seed. */
#define CHOICE_SEED  UINT64_C(0x73796e7468000001)
#define CENTRE_SEED  UINT64_C(0x73796e7468000002)
#define SCATTER_SEED UINT64_C(0x73796e7468000003)
#define SCATTER      0.25f

static int check_positive(const char *key, int64_t value, struct mh_error *err)
{
    return value >= 1 ? 0
                      : mh_fail(err, "dataset.synthetic.%s: is %" PRId64 "; expected at least 1", key, value);
}

int mh_synthetic_shape(const struct mh_dataset_options *options, struct mh_dataset_shape *shape,
                       struct mh_error *err)
{
    const struct mh_synthetic_options *made = &options->synthetic;
    if (check_positive("rows", made->rows, err) || check_positive("dim", made->dim, err) ||
        check_positive("clusters", made->clusters, err))
        return -1;
    if (options->rows > made->rows)
        return mh_fail(err, "dataset.rows: asks for %" PRId64 ", but dataset.synthetic.rows is %" PRId64,
                       options->rows, made->rows);
    *shape =
        (struct mh_dataset_shape){.train_rows = options->rows ? options->rows : made->rows, .dim = made->dim};
    return 0;
}

/* Mean 0, deviation 1: the sum of four 16-bit draws, which no machine's libm can round differently. */
static float scatter(uint64_t draw)
{
    const int32_t sum =
        (int32_t)((draw & 0xffff) + (draw >> 16 & 0xffff) + (draw >> 32 & 0xffff) + (draw >> 48));
    const float deviation = 37837.2f; /* sqrt(4 * (65536^2 - 1) / 12) */
    return (float)(sum - 2 * 65535) / deviation;
}

static float centre(uint64_t draw)
{
    return (float)(draw >> 40) * 0x1p-23f - 1;
}

void mh_synthetic_row(const struct mh_synthetic_options *options, uint64_t seed, int64_t row, float *into)
{
    struct mh_random choice = {.seed = seed ^ CHOICE_SEED, .stream = (uint64_t)row};
    const uint64_t cluster = mh_random_below(&choice, (uint64_t)options->clusters);
    for (uint64_t i = 0; i < (uint64_t)options->dim; i++)
        into[i] = centre(mh_random(seed ^ CENTRE_SEED, cluster, i)) +
                  SCATTER * scatter(mh_random(seed ^ SCATTER_SEED, (uint64_t)row, i));
}
