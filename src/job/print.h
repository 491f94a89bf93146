/* The tables of options for readers. */
#ifndef MH_JOB_PRINT_H
#define MH_JOB_PRINT_H

#include "job/job.h"

#include <jansson.h>

json_t *mh_job_schema(const struct mh_role_kind *const *kinds); /* new */

#endif
