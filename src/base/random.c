#include "base/random.h"

#include <xxhash.h>

uint64_t mh_random(uint64_t seed, uint64_t stream, uint64_t counter)
{
    const uint64_t words[2] = {stream, counter};
    return XXH3_64bits_withSeed(words, sizeof words, seed);
}

uint64_t mh_random_next(struct mh_random *r)
{
    return mh_random(r->seed, r->stream, r->counter++);
}

uint64_t mh_random_below(struct mh_random *r, uint64_t bound)
{
    const uint64_t unbiased_end = UINT64_MAX - UINT64_MAX % bound;
    uint64_t draw = mh_random_next(r);
    while (draw >= unbiased_end)
        draw = mh_random_next(r);
    return draw % bound;
}

double mh_random_unit(struct mh_random *r)
{
    return (double)(mh_random_next(r) >> 11) * 0x1p-53;
}
