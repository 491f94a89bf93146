/* Private to run/: calibrations of this host that earlier runs left in
 * ${XDG_CACHE_HOME:-~/.cache}/milvus-hpc/calibration.json. Rank 0. */
#ifndef MH_RUN_CALIBRATION_FILE_H
#define MH_RUN_CALIBRATION_FILE_H

#include "run/calibrate.h"

/* Fills the shapes' figures; false when any of them is not there, or older than a week. */
bool mh_calibration_load(struct mh_calibration *calibration, int ranks_of_node, int ranks);
void mh_calibration_save(const struct mh_calibration *calibration, int ranks_of_node, int ranks);

bool mh_shapes_alike(const struct mh_shape *a, const struct mh_shape *b); /* calibrate.c */

#endif
