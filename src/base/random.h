/* Counter-based random numbers: a pure function of (seed, stream, counter), so that any rank can recompute
 * what another rank drew. */
#ifndef MH_BASE_RANDOM_H
#define MH_BASE_RANDOM_H

#include <stdint.h>

uint64_t mh_random(uint64_t seed, uint64_t stream, uint64_t counter);

/* A generator with a place of its own in such a stream. */
struct mh_random {
    uint64_t seed, stream, counter;
};

uint64_t mh_random_next(struct mh_random *r);
uint64_t mh_random_below(struct mh_random *r, uint64_t bound); /* 0 .. bound-1, unbiased; bound > 0 */
double mh_random_unit(struct mh_random *r);                    /* [0, 1), 53 bits */

#endif
