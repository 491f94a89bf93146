/* The types of options: for each one parser, one printer and one release. */
#ifndef MH_JOB_VALUE_H
#define MH_JOB_VALUE_H

#include "base/error.h"
#include "job/job.h"
#include "job/node.h"

struct mh_value_type {
    const char *name;     /* "duration" */
    const char *expected; /* "a duration such as 50ms, 30s or 1.5h" */
    /* Target is where the row's offset points; it changes only on success. */
    int (*parse)(const struct mh_option *row, const struct mh_node *node, void *target, struct mh_problem *p);
    char *(*print)(const struct mh_option *row,
                   const void *target); /* as the job file would write it; owned */
    void (*release)(void *target);      /* NULL: nothing to free */
    bool takes_collections;             /* not only scalars */
};

/* Of every type but SECTION, LIST and THRESHOLDS. */
const struct mh_value_type *mh_value_type(enum mh_option_type type);

int mh_value_parse(const struct mh_option *row, const struct mh_node *node, void *target,
                   struct mh_problem *p);

/* "1 .. 1M workers", "50ms or more"; empty when everything is allowed. Returns text. */
char *mh_value_range(const struct mh_option *row, char *text, size_t size);

bool mh_option_is_ranged(const struct mh_option *row);
size_t mh_choice_count(const struct mh_option *row);

char *mh_duration_text(int64_t ns); /* "90s", owned */
char *mh_rate_text(double rate);    /* "500/s", owned */

/* steps.c */
int mh_steps_parse(const struct mh_option *row, const struct mh_node *node, void *target,
                   struct mh_problem *p);
char *mh_steps_print(const struct mh_option *row, const void *target);
void mh_steps_release(void *target);

/* "< 50ms" into the threshold's comparison, value and text (owned by the caller). */
int mh_threshold_parse(const char *text, struct mh_threshold *out, struct mh_error *err);

#endif
