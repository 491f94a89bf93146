/* Private to truth/. */
#ifndef MH_TRUTH_PARTITION_H
#define MH_TRUTH_PARTITION_H

#include "truth/scan.h"

/* Counts every partition, shared out over the ranks, and judges rows that stand where they do not belong.
 * After mh_pass_count. Collective; *partition_sum is the sum of all partitions' count(*), on every rank. */
int mh_pass_partitions(struct mh_pass *pass, int64_t *partition_sum, struct mh_error *err);

#endif
