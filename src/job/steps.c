/* A schedule of rates: "100/s for 30s" and "100/s to 400/s for 60s", one after the other. */
#include "base/clock.h"
#include "base/units.h"
#include "job/memory.h"
#include "job/value.h"

#define BLANKS      " \t"
#define MOST_RATE   1e9
#define LONGEST_NS  (30LL * 86400 * MH_S)
#define SHORTEST_NS MH_MS

enum { MOST_WORDS = 6, MOST_STEPS = 1000 };

/* Cuts `text` at its blanks. More words than that are as wrong as one more. */
static size_t split(char *text, const char *words[MOST_WORDS])
{
    size_t count = 0;
    char *rest;
    for (char *word = strtok_r(text, BLANKS, &rest); word && count < MOST_WORDS;
         word = strtok_r(NULL, BLANKS, &rest))
        words[count++] = word;
    return count;
}

static int parse_rate(const char *text, double *rate, struct mh_error *err)
{
    if (mh_parse_rate(text, rate) != 0)
        return mh_fail(err, "'%.40s' is not a rate such as 500/s, 10k/s or 30/m", text);
    return *rate <= MOST_RATE ? 0 : mh_fail(err, "%.40s is out of range; allowed: 0/s .. 1G/s", text);
}

static bool is_step(const char *const *words, size_t count)
{
    const bool ramp = count == 5 && strcmp(words[1], "to") == 0;
    return (ramp || count == 3) && strcmp(words[count - 2], "for") == 0;
}

static int parse_words(const char *const *words, size_t count, struct mh_rate_step *step,
                       struct mh_error *err)
{
    const bool ramp = count == 5;
    if (parse_rate(words[0], &step->from, err) != 0 || parse_rate(words[ramp ? 2 : 0], &step->to, err) != 0)
        return -1;
    if (mh_parse_duration_ns(words[count - 1], &step->duration_ns) != 0)
        return mh_fail(err, "'%.40s' is not a duration such as 50ms, 30s or 1.5h", words[count - 1]);
    if (step->duration_ns < SHORTEST_NS || step->duration_ns > LONGEST_NS)
        return mh_fail(err, "%.40s is out of range; allowed: 1ms .. 30d", words[count - 1]);
    return 0;
}

static int parse_step(const char *text, struct mh_rate_step *step, struct mh_error *err)
{
    const char *words[MOST_WORDS];
    char *copy = mh_copy(text);
    const size_t count = split(copy, words);
    const int rc =
        is_step(words, count)
            ? parse_words(words, count, step, err)
            : mh_fail(err, "'%.80s' is not a step such as \"100/s for 30s\" or \"100/s to 400/s for 60s\"",
                      text);
    free(copy);
    return rc;
}

static int parse_items(const struct mh_node *node, struct mh_rate_steps *steps, struct mh_problem *p)
{
    double most = 0;
    for (size_t i = 0; i < steps->count; i++) {
        const struct mh_node *item = node->kind == MH_NODE_LIST ? node->items[i] : node;
        struct mh_rate_step *step = &steps->items[i];
        p->node = item;
        if (item->kind != MH_NODE_SCALAR || mh_node_is_null(item))
            return mh_fail(&p->error, "%s in the list; expected a step such as \"100/s for 30s\"",
                           mh_node_is_a(item));
        if (parse_step(item->text, step, &p->error) != 0)
            return -1;
        most = step->from > most ? step->from : step->to > most ? step->to : most;
    }
    p->node = node;
    return most > 0 ? 0 : mh_fail(&p->error, "no step has a rate above 0; at least one must");
}

int mh_steps_parse(const struct mh_option *row, const struct mh_node *node, void *target,
                   struct mh_problem *p)
{
    (void)row;
    if (node->kind == MH_NODE_MAP)
        return mh_fail(&p->error, "a mapping stands here; expected %s",
                       mh_value_type(MH_OPTION_STEPS)->expected);
    struct mh_rate_steps steps = {.count = node->kind == MH_NODE_LIST ? node->count : 1};
    if (steps.count == 0 || steps.count > MOST_STEPS)
        return mh_fail(&p->error, "a list of %zu; allowed: 1 .. %d steps", steps.count, MOST_STEPS);
    steps.items = mh_zeroed(steps.count, sizeof *steps.items);
    if (parse_items(node, &steps, p) != 0) {
        free(steps.items);
        return -1;
    }
    memcpy(target, &steps, sizeof steps);
    return 0;
}

static char *step_text(const struct mh_rate_step *step)
{
    char *from = mh_rate_text(step->from), *to = mh_rate_text(step->to),
         *length = mh_duration_text(step->duration_ns);
    char *text = step->from == step->to ? mh_format("%s for %s", from, length)
                                        : mh_format("%s to %s for %s", from, to, length);
    free(from);
    free(to);
    free(length);
    return text;
}

char *mh_steps_print(const struct mh_option *row, const void *target)
{
    (void)row;
    const struct mh_rate_steps *steps = target;
    char *list = mh_copy("[");
    for (size_t i = 0; i < steps->count; i++) {
        char *step = step_text(&steps->items[i]);
        char *longer = mh_format("%s%s%s", list, i ? ", " : "", step);
        free(step);
        free(list);
        list = longer;
    }
    char *whole = mh_format("%s]", list);
    free(list);
    return whole;
}

void mh_steps_release(void *target)
{
    struct mh_rate_steps *steps = target;
    free(steps->items);
}
