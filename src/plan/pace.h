/* When operations are due: a schedule of rates, integrated. Pure: no clock, no MPI. */
#ifndef MH_PLAN_PACE_H
#define MH_PLAN_PACE_H

#include "base/random.h"
#include "job/job.h"

#define MH_PACE_NEVER INT64_MAX

/* One worker's place in its role's schedule. A copy goes on alone, to the same due times. */
struct mh_pace {
    const struct mh_rate_step *steps; /* the role's, not owned */
    size_t count;
    int arrival;             /* enum mh_arrival */
    int64_t index, peers;    /* which of the role's workers */
    int64_t begin_ns;        /* of the schedule */
    struct mh_random random; /* of this pace alone */
    int64_t taken;           /* operations */
    double mass;             /* Poisson: operations that the role was to have had by the last due time */
    size_t step;             /* where the search for the next due time goes on: this step, ... */
    double before;           /* ... the integral of those before it ... */
    int64_t since_ns;        /* ... and their time */
};

/* The steps of a role with a rate: its `steps`, or else `whole`, made from `rate` and `for`. */
const struct mh_rate_step *mh_pace_steps(const struct mh_role_options *role, struct mh_rate_step *whole,
                                         size_t *count);
bool mh_pace_is_open(const struct mh_role_options *role); /* open loop: a rate, or steps */

double mh_pace_integral(const struct mh_rate_step *steps, size_t count,
                        int64_t elapsed_ns); /* operations that the role is to have had by then */
int64_t mh_pace_length(const struct mh_rate_step *steps, size_t count); /* ns; MH_PACE_NEVER: no end */

/* The due time of the worker's next operation, none earlier than the one before; MH_PACE_NEVER when the
 * schedule has no more. Constant: operation n of the role is due when the integral reaches n, and goes to
 * worker n mod peers. Poisson: each worker draws an independent stream of rate / peers. */
int64_t mh_pace_take(struct mh_pace *pace);

#endif
