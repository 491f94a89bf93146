#include "plan/bisect.h"

#include <math.h>

#define NOTCH (1 + MH_BISECT_PRECISION)

void mh_bisect_begin(struct mh_bisect *bisect, double from, double to)
{
    *bisect = (struct mh_bisect){.from = from, .to = to, .rate = from};
}

bool mh_bisect_is_over(const struct mh_bisect *bisect)
{
    return bisect->phase == MH_BISECT_FOUND || bisect->phase == MH_BISECT_NONE;
}

static void grow(struct mh_bisect *bisect)
{
    const bool top = bisect->low >= bisect->to;
    bisect->phase = top ? MH_BISECT_CONFIRM : MH_BISECT_GROW;
    bisect->rate = fmin(2 * bisect->low, bisect->to);
}

static void narrow(struct mh_bisect *bisect)
{
    if (bisect->high > bisect->low * NOTCH) {
        bisect->phase = MH_BISECT_NARROW;
        bisect->rate = sqrt(bisect->low * bisect->high);
    } else {
        bisect->phase = bisect->high_is_sure ? MH_BISECT_CONFIRM : MH_BISECT_DOUBT;
        bisect->rate = bisect->high_is_sure ? bisect->low : bisect->high;
    }
}

static void fail(struct mh_bisect *bisect)
{
    const bool again = bisect->high > 0 && bisect->rate <= bisect->high;
    bisect->high_is_sure = again;
    bisect->high = bisect->rate;
    if (bisect->low > 0)
        narrow(bisect);
    else if (again)
        bisect->phase = MH_BISECT_NONE;
}

static void lower(struct mh_bisect *bisect)
{
    const double rate = bisect->rate / NOTCH;
    bisect->high = bisect->rate;
    if (bisect->rate <= bisect->from)
        bisect->phase = MH_BISECT_NONE;
    bisect->rate = fmax(rate, bisect->from);
}

void mh_bisect_take(struct mh_bisect *bisect, bool held)
{
    if (bisect->phase == MH_BISECT_CONFIRM) {
        if (held)
            bisect->phase = MH_BISECT_FOUND;
        else
            lower(bisect);
        return;
    }
    if (!held) {
        fail(bisect);
        return;
    }
    bisect->low = bisect->rate;
    if (bisect->phase == MH_BISECT_DOUBT)
        bisect->high = 0;
    if (bisect->high > 0 && bisect->high > bisect->low)
        narrow(bisect);
    else
        grow(bisect);
}

bool mh_bisect_hurry(struct mh_bisect *bisect)
{
    if (bisect->phase == MH_BISECT_CONFIRM)
        return true; /* of a rate that was lowered already */
    bisect->phase = MH_BISECT_CONFIRM;
    bisect->rate = bisect->low;
    return bisect->low > 0;
}
