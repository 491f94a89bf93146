/* Vectors made up around cluster centres: a pure function of (seed, row), in integer steps, so that every
 * machine makes the same bits. */
#ifndef MH_DATASET_SYNTHETIC_H
#define MH_DATASET_SYNTHETIC_H

#include "base/error.h"
#include "dataset/dataset.h"
#include "job/job.h"

#include <stdint.h>

int mh_synthetic_shape(const struct mh_dataset_options *options, struct mh_dataset_shape *shape,
                       struct mh_error *err);

/* Centres are uniform in [-1, 1) a dimension; rows scatter about them with standard deviation 0.25, nearly
 * normal. */
void mh_synthetic_row(const struct mh_synthetic_options *options, uint64_t seed, int64_t row, float *into);

#endif
