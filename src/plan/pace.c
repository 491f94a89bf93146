#include "plan/pace.h"

#include "base/clock.h"

#include <math.h>

#define ENDLESS_NS (INT64_MAX / 2)
#define A_HAIR     1e-6 /* of an operation: what rounding may do to a step's integral */

bool mh_pace_is_open(const struct mh_role_options *role)
{
    return role->rate > 0 || role->steps.count > 0;
}

const struct mh_rate_step *mh_pace_steps(const struct mh_role_options *role, struct mh_rate_step *whole,
                                         size_t *count)
{
    *count = role->steps.count;
    if (*count > 0)
        return role->steps.items;
    *whole = (struct mh_rate_step){role->rate, role->rate, role->for_ns > 0 ? role->for_ns : ENDLESS_NS};
    *count = 1;
    return whole;
}

static double seconds(int64_t ns)
{
    return (double)ns / (double)MH_S;
}

static double slope(const struct mh_rate_step *step)
{
    return (step->to - step->from) / seconds(step->duration_ns);
}

static double integral_within(const struct mh_rate_step *step, double s)
{
    return step->from * s + slope(step) * s * s / 2;
}

static double integral_of(const struct mh_rate_step *step)
{
    return (step->from + step->to) / 2 * seconds(step->duration_ns);
}

/* When the step's integral reaches `mass`: the root of from s + slope s^2 / 2 = mass that loses no digits. */
static double reach(const struct mh_rate_step *step, double mass)
{
    if (mass <= 0)
        return 0;
    const double square = step->from * step->from + 2 * slope(step) * mass;
    return 2 * mass / (step->from + sqrt(square > 0 ? square : 0));
}

double mh_pace_integral(const struct mh_rate_step *steps, size_t count, int64_t elapsed_ns)
{
    double sum = 0;
    for (size_t i = 0; i < count && elapsed_ns > 0; i++) {
        const struct mh_rate_step *step = &steps[i];
        const bool whole = elapsed_ns >= step->duration_ns;
        sum += whole ? integral_of(step) : integral_within(step, seconds(elapsed_ns));
        elapsed_ns -= whole ? step->duration_ns : elapsed_ns;
    }
    return sum;
}

int64_t mh_pace_length(const struct mh_rate_step *steps, size_t count)
{
    int64_t length = 0;
    for (size_t i = 0; i < count; i++) {
        if (steps[i].duration_ns >= ENDLESS_NS - length)
            return MH_PACE_NEVER;
        length += steps[i].duration_ns;
    }
    return length;
}

/* Of the role's integral, where this worker's next operation stands. */
static double next_mass(struct mh_pace *pace)
{
    const int64_t n = pace->taken++;
    if (pace->arrival == MH_ARRIVAL_CONSTANT)
        return (double)(n * pace->peers + pace->index);
    pace->mass -= log1p(-mh_random_unit(&pace->random)) * (double)pace->peers;
    return pace->mass;
}

int64_t mh_pace_take(struct mh_pace *pace)
{
    const double mass = next_mass(pace);
    while (pace->step < pace->count) {
        const struct mh_rate_step *step = &pace->steps[pace->step];
        const double whole = integral_of(step);
        if (mass < pace->before + whole - A_HAIR)
            return pace->begin_ns + pace->since_ns + llrint(reach(step, mass - pace->before) * (double)MH_S);
        pace->before += whole;
        pace->since_ns += step->duration_ns;
        pace->step++;
    }
    return MH_PACE_NEVER;
}
