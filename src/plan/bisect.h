/* The highest rate that holds, by trying. Pure: says which rate to try next, learns whether it held.
 *
 * Doubles the rate until one fails, bisects in equal ratios down to the precision, then wants the rate
 * confirmed by a longer try. Tries are noisy, so a failure that the rest would hang on is tried a second
 * time: that of the lowest rate, and that of a bound below which everything held. A rate that is not
 * confirmed is lowered by one notch of the precision and tried again. */
#ifndef MH_PLAN_BISECT_H
#define MH_PLAN_BISECT_H

#include <stdbool.h>

#define MH_BISECT_PRECISION 0.05

enum mh_bisect_phase {
    MH_BISECT_GROW,
    MH_BISECT_NARROW,
    MH_BISECT_DOUBT,   /* everything below the bound held: is the bound one? */
    MH_BISECT_CONFIRM, /* the try is to be twice as long */
    MH_BISECT_FOUND,   /* `rate` is the highest that holds; at least that where it is `to` */
    MH_BISECT_NONE,    /* not even `from` holds */
};

struct mh_bisect {
    double from, to;
    enum mh_bisect_phase phase;
    double rate;       /* to try next */
    double low;        /* highest that held; 0: none has */
    double high;       /* lowest that failed; 0: none has */
    bool high_is_sure; /* it failed twice, or one below it failed as well */
};

void mh_bisect_begin(struct mh_bisect *bisect, double from, double to); /* 0 < from <= to */
bool mh_bisect_is_over(const struct mh_bisect *bisect);
void mh_bisect_take(struct mh_bisect *bisect, bool held); /* what became of `rate` */

/* There is time for no more than a confirmation: of the highest that held. False: none did. */
bool mh_bisect_hurry(struct mh_bisect *bisect);

#endif
