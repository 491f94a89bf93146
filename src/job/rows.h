/* The tables of options, and what a whole job must satisfy beyond each option's own range. */
#ifndef MH_JOB_ROWS_H
#define MH_JOB_ROWS_H

#include "job/option.h"
#include "job/parse.h"

extern const struct mh_option mh_job_rows[]; /* of struct mh_job */

int mh_job_check(struct mh_reading *r, const struct mh_job *job);

#endif
