/* --set KEY=VALUE: edits the tree of the job file before it is read. */
#ifndef MH_JOB_SET_H
#define MH_JOB_SET_H

#include "job/node.h"

/* source->set is "stages.crud.writer.rows=500": a stage by name, a role by its kind ("writer[1]": only the
 * second of the stage), everything behind "thresholds." is one figure. Keys that are wrong are found when the
 * tree is read. The tree keeps `source`. */
int mh_set_apply(struct mh_node *root, const struct mh_source *source, struct mh_error *err);

#endif
