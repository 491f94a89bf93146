#include "expr/template.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum operand { OPERAND_NONE, OPERAND_ID, OPERAND_PREFIX, OPERAND_RANGE };

enum { LONGEST_OPERAND = 24 };

/* What stands between the brace at `open` and its end; *end is behind it. */
static enum operand operand_at(const char *open, const char **end, int64_t range[2])
{
    const char *close = strchr(open, '}');
    const size_t length = close ? (size_t)(close - open) + 1 : 0;
    int read = 0;
    if (length == 0)
        return OPERAND_NONE;
    *end = close + 1;
    if (length == 4 && memcmp(open, "{id}", 4) == 0)
        return OPERAND_ID;
    if (length == 8 && memcmp(open, "{prefix}", 8) == 0)
        return OPERAND_PREFIX;
    if (sscanf(open, "{%" SCNd64 "..%" SCNd64 "}%n", &range[0], &range[1], &read) == 2 &&
        (size_t)read == length && range[0] <= range[1])
        return OPERAND_RANGE;
    return OPERAND_NONE;
}

int mh_template_check(const char *text, struct mh_error *err)
{
    for (const char *at = text; (at = strpbrk(at, "{}"));) {
        int64_t range[2];
        const char *from = at;
        if (at[0] == at[1])
            at += 2;
        else if (*at == '}' || operand_at(at, &at, range) == OPERAND_NONE)
            return mh_fail(
                err,
                "'%.40s' at character %td is no operand; expected {id}, {prefix} or {FROM..TO} (and "
                "{{ or }} for a brace)",
                from, from - text + 1);
    }
    return 0;
}

static int64_t draw_between(const int64_t range[2], struct mh_random *random)
{
    const uint64_t width = (uint64_t)range[1] - (uint64_t)range[0] + 1;
    const uint64_t draw = width ? mh_random_below(random, width) : mh_random_next(random);
    return (int64_t)((uint64_t)range[0] + draw);
}

static int write_operand(const char *open, const char **end, int64_t ids, struct mh_random *random, char *out)
{
    int64_t range[2] = {0, ids - 1};
    switch (operand_at(open, end, range)) {
    case OPERAND_PREFIX:
        return sprintf(out, "%02" PRIu64, mh_random_below(random, 100));
    case OPERAND_ID:
    case OPERAND_RANGE:
        return sprintf(out, "%" PRId64, draw_between(range, random));
    default:
        return 0; /* not after mh_template_check */
    }
}

int mh_template_fill(const char *text, int64_t ids, struct mh_random *random, char **out, size_t *room)
{
    /* An operand takes three characters or more. */
    const size_t needed = strlen(text) * (LONGEST_OPERAND / 3) + LONGEST_OPERAND;
    if (*room < needed) {
        char *grown = realloc(*out, needed);
        if (!grown)
            return -1;
        *out = grown;
        *room = needed;
    }
    char *to = *out;
    for (const char *at = text; *at;) {
        if ((*at == '{' || *at == '}') && at[0] == at[1]) {
            *to++ = *at;
            at += 2;
        } else if (*at == '{') {
            to += write_operand(at, &at, ids, random, to);
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return 0;
}
