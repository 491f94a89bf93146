/* Reports with fixed contents. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "result/report.h"

void sample_good(struct mh_report *report);     /* a run without blemish */
void sample_violated(struct mh_report *report); /* one with everything that can be said */
void sample_empty(struct mh_report *report);    /* the least: no tables at all */

#endif
