#include "base/units.h"
#include "job/memory.h"
#include "job/value.h"

#include <math.h>

static int parse_comparison(const char **text, enum mh_comparison *out)
{
    bool less = **text == '<', equal = (*text)[0] && (*text)[1] == '=';
    if (!less && **text != '>')
        return -1;
    *out = less ? (equal ? MH_AT_MOST : MH_LESS) : (equal ? MH_AT_LEAST : MH_MORE);
    *text += 1 + equal;
    *text += strspn(*text, " ");
    return 0;
}

/* The texts of two of these never overlap but in a bare number, which is the same in both: 2m is minutes and
 * 2M is millions. */
static int parse_value(const char *text, double *out)
{
    int64_t whole;
    if (mh_parse_ratio(text, out) == 0 || mh_parse_rate(text, out) == 0)
        return 0;
    if (mh_parse_count(text, &whole) && mh_parse_duration_ns(text, &whole) && mh_parse_bytes(text, &whole))
        return -1;
    *out = (double)whole;
    return 0;
}

/* "1%/h", "10MiB/h", "5ms/h", "3/h" */
static int parse_drift(const char *text, bool *is_ratio, double *out)
{
    char amount[64];
    int64_t whole;
    const size_t length = strlen(text), tail = strlen("/h");
    if (length <= tail || length - tail >= sizeof amount || strcmp(text + length - tail, "/h") != 0)
        return -1;
    snprintf(amount, sizeof amount, "%.*s", (int)(length - tail), text);
    *is_ratio = amount[length - tail - 1] == '%';
    if (mh_parse_ratio(amount, out) == 0)
        return 0;
    if (mh_parse_count(amount, &whole) && mh_parse_duration_ns(amount, &whole) &&
        mh_parse_bytes(amount, &whole))
        return -1;
    *out = (double)whole;
    return 0;
}

int mh_threshold_parse(const char *text, struct mh_threshold *out, struct mh_error *err)
{
    const char *rest = text;
    enum mh_comparison comparison;
    double value = NAN, drift = NAN;
    bool is_ratio = false;
    if (parse_comparison(&rest, &comparison) ||
        (parse_value(rest, &value) != 0) + (parse_drift(rest, &is_ratio, &drift) != 0) == 2)
        return mh_fail(
            err,
            "'%.80s' is not a threshold; expected <, <=, > or >= and a number, duration, rate, size "
            "or percentage, such as \"< 50ms\", \">= 0.95\" or \"<= 0.1%%\", or so much an hour, such as \"< "
            "1%%/h\"",
            text);
    out->comparison = comparison;
    out->drift_per_hour = drift;
    out->drift_is_ratio = is_ratio;
    out->value = value;
    out->text = mh_copy(text);
    return 0;
}
