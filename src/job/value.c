#include "job/value.h"

#include "base/clock.h"
#include "base/units.h"
#include "job/memory.h"
#include "job/names.h"

#include <inttypes.h>

/* From here on an upper bound is one that nobody will meet. */
#define BOUNDLESS 1e18

bool mh_option_is_ranged(const struct mh_option *row)
{
    return row->min != 0 || row->max != 0;
}

static bool in_range(const struct mh_option *row, double value)
{
    return !mh_option_is_ranged(row) || (value >= row->min && value <= row->max);
}

size_t mh_choice_count(const struct mh_option *row)
{
    size_t count = 0;
    while (row->choices[count])
        count++;
    return count;
}

static int fail_range(const struct mh_option *row, const char *what, struct mh_problem *p)
{
    char range[128];
    return mh_fail(&p->error, "%s is out of range; allowed: %s", what,
                   mh_value_range(row, range, sizeof range));
}

/* ---- whole numbers ---- */

static int store_whole(const struct mh_option *row, const char *text, int64_t value, void *target,
                       struct mh_problem *p)
{
    if (!in_range(row, (double)value))
        return fail_range(row, text, p);
    *(int64_t *)target = value;
    return 0;
}

static int fail_text(const struct mh_option *row, const char *text, struct mh_problem *p)
{
    return mh_fail(&p->error, "'%.80s' is not %s", text, mh_value_type(row->type)->expected);
}

static int parse_whole(const struct mh_option *row, const struct mh_node *node, void *target,
                       struct mh_problem *p)
{
    int (*parse)(const char *, int64_t *) = row->type == MH_OPTION_BYTES      ? mh_parse_bytes
                                            : row->type == MH_OPTION_DURATION ? mh_parse_duration_ns
                                                                              : mh_parse_count;
    int64_t value;
    if (parse(node->text, &value))
        return fail_text(row, node->text, p);
    return store_whole(row, node->text, value, target, p);
}

static int parse_count_or_all(const struct mh_option *row, const struct mh_node *node, void *target,
                              struct mh_problem *p)
{
    if (strcmp(node->text, "all") != 0)
        return parse_whole(row, node, target, p);
    *(int64_t *)target = -1;
    return 0;
}

static char *print_int(const struct mh_option *row, const void *target)
{
    int64_t value = *(const int64_t *)target;
    if (row->type == MH_OPTION_COUNT_OR_ALL && value == -1)
        return mh_copy("all");
    return mh_format("%" PRId64, value);
}

static char *print_bytes(const struct mh_option *row, const void *target)
{
    (void)row;
    static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
    int64_t value = *(const int64_t *)target;
    size_t unit = 0;
    while (value != 0 && value % 1024 == 0 && unit < 4) {
        value /= 1024;
        unit++;
    }
    return mh_format("%" PRId64 "%s", value, names[unit]);
}

/* ---- durations ---- */

char *mh_duration_text(int64_t ns)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = {{86400 * MH_S, "d"}, {3600 * MH_S, "h"}, {60 * MH_S, "m"}, {MH_S, "s"},
                 {MH_MS, "ms"},       {MH_US, "us"},      {1, "ns"}};
    size_t i = 0;
    while (ns % units[i].ns != 0)
        i++;
    return ns == 0 ? mh_copy("0s") : mh_format("%" PRId64 "%s", ns / units[i].ns, units[i].name);
}

static char *print_duration(const struct mh_option *row, const void *target)
{
    (void)row;
    return mh_duration_text(*(const int64_t *)target);
}

static int parse_duration_range(const struct mh_option *row, const struct mh_node *node, void *target,
                                struct mh_problem *p)
{
    char low_text[32];
    int64_t range[2];
    const char *dots = strstr(node->text, "..");
    size_t length = dots ? (size_t)(dots - node->text) : 0;
    if (!dots || length >= sizeof low_text)
        return fail_text(row, node->text, p);
    memcpy(low_text, node->text, length);
    low_text[length] = '\0';
    if (mh_parse_duration_ns(low_text, &range[0]) || mh_parse_duration_ns(dots + 2, &range[1]))
        return fail_text(row, node->text, p);
    if (!in_range(row, (double)range[0]) || !in_range(row, (double)range[1]))
        return fail_range(row, node->text, p);
    if (range[0] > range[1])
        return mh_fail(&p->error, "the lower bound %s is above the upper bound %s", low_text, dots + 2);
    memcpy(target, range, sizeof range);
    return 0;
}

static char *print_duration_range(const struct mh_option *row, const void *target)
{
    (void)row;
    const int64_t *range = target;
    char *low = mh_duration_text(range[0]), *high = mh_duration_text(range[1]);
    char *text = mh_format("%s..%s", low, high);
    free(low);
    free(high);
    return text;
}

/* ---- real numbers ---- */

static int parse_real(const struct mh_option *row, const struct mh_node *node, void *target,
                      struct mh_problem *p)
{
    double value;
    int rc =
        row->type == MH_OPTION_RATE ? mh_parse_rate(node->text, &value) : mh_parse_ratio(node->text, &value);
    if (rc)
        return fail_text(row, node->text, p);
    if (!in_range(row, value))
        return fail_range(row, node->text, p);
    *(double *)target = value;
    return 0;
}

/* The shortest decimal number that, divided by `divisor`, is this value again. */
static char *real_text(double value, double divisor)
{
    char text[400];
    for (int decimals = 0; decimals <= 40; decimals++) {
        snprintf(text, sizeof text, "%.*f", decimals, value * divisor);
        if (strtod(text, NULL) / divisor == value)
            break;
    }
    return mh_copy(text);
}

static char *print_ratio(const struct mh_option *row, const void *target)
{
    (void)row;
    return real_text(*(const double *)target, 1);
}

char *mh_rate_text(double rate)
{
    char *number = real_text(rate, 1), *text = mh_format("%s/s", number);
    free(number);
    return text;
}

static char *print_rate(const struct mh_option *row, const void *target)
{
    (void)row;
    return mh_rate_text(*(const double *)target);
}

static int parse_sample(const struct mh_option *row, const struct mh_node *node, void *target,
                        struct mh_problem *p)
{
    double share;
    if (strcmp(node->text, "none") == 0)
        share = 0;
    else if (strcmp(node->text, "all") == 0)
        share = 1;
    else if (strncmp(node->text, "sample ", 7) != 0 || mh_parse_ratio(node->text + 7, &share))
        return fail_text(row, node->text, p);
    if (share > 1)
        return mh_fail(&p->error, "%s is out of range; allowed: none, all, sample 0%% .. 100%%", node->text);
    *(double *)target = share;
    return 0;
}

static char *print_sample(const struct mh_option *row, const void *target)
{
    (void)row;
    double share = *(const double *)target;
    if (share == 0 || share == 1)
        return mh_copy(share == 0 ? "none" : "all");
    char *number = real_text(share, 100), *text = mh_format("sample %s%%", number);
    free(number);
    return text;
}

/* ---- words ---- */

static int parse_bool(const struct mh_option *row, const struct mh_node *node, void *target,
                      struct mh_problem *p)
{
    bool yes = strcmp(node->text, "true") == 0;
    if (!node->plain || (!yes && strcmp(node->text, "false") != 0))
        return fail_text(row, node->text, p);
    *(bool *)target = yes;
    return 0;
}

static char *print_bool(const struct mh_option *row, const void *target)
{
    (void)row;
    return mh_copy(*(const bool *)target ? "true" : "false");
}

static int parse_text(const struct mh_option *row, const struct mh_node *node, void *target,
                      struct mh_problem *p)
{
    (void)row;
    (void)p;
    *(char **)target = mh_copy(node->text);
    return 0;
}

static char *print_text(const struct mh_option *row, const void *target)
{
    (void)row;
    return mh_text_as_yaml(*(char *const *)target);
}

static void release_text(void *target)
{
    free(*(char **)target);
}

static int find_choice(const struct mh_option *row, const char *text, int *out, struct mh_problem *p)
{
    size_t count = mh_choice_count(row);
    char what[128];
    for (size_t i = 0; i < count; i++)
        if (strcmp(row->choices[i], text) == 0) {
            *out = (int)i;
            return 0;
        }
    snprintf(what, sizeof what, "'%.80s' is not one of the choices", text);
    return mh_fail_unknown(&p->error, what, text, row->choices, count);
}

static int parse_choice(const struct mh_option *row, const struct mh_node *node, void *target,
                        struct mh_problem *p)
{
    return find_choice(row, node->text, target, p);
}

static char *print_choice(const struct mh_option *row, const void *target)
{
    return mh_copy(row->choices[*(const int *)target]);
}

/* ---- several ---- */

/* A single scalar stands for a list of one. */
static size_t item_count(const struct mh_node *node)
{
    return node->kind == MH_NODE_LIST ? node->count : 1;
}

static int item_text(const struct mh_option *row, const struct mh_node *node, size_t i, const char **out,
                     struct mh_problem *p)
{
    const struct mh_node *item = node->kind == MH_NODE_LIST ? node->items[i] : node;
    char choices[400] = "a text";
    p->node = item;
    if (row->choices)
        mh_join(row->choices, mh_choice_count(row), ", ", choices, sizeof choices);
    if (item->kind != MH_NODE_SCALAR || mh_node_is_null(item))
        return mh_fail(&p->error, "%s in the list; expected %s", mh_node_is_a(item), choices);
    *out = item->text;
    return 0;
}

static int parse_choices(const struct mh_option *row, const struct mh_node *node, void *target,
                         struct mh_problem *p)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < item_count(node); i++) {
        const char *text = NULL;
        int choice = 0;
        if (item_text(row, node, i, &text, p) || find_choice(row, text, &choice, p))
            return -1;
        if (bits & 1u << choice)
            return mh_fail(&p->error, "'%s' stands twice", text);
        bits |= 1u << choice;
    }
    *(uint32_t *)target = bits;
    return 0;
}

static char *print_choices(const struct mh_option *row, const void *target)
{
    uint32_t bits = *(const uint32_t *)target;
    const char *names[32];
    char text[600];
    size_t count = 0;
    for (size_t i = 0; row->choices[i]; i++)
        if (bits & 1u << i)
            names[count++] = row->choices[i];
    return mh_format("[%s]", mh_join(names, count, ", ", text, sizeof text));
}

static void release_texts(void *target)
{
    struct mh_texts *texts = target;
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
}

static int parse_texts(const struct mh_option *row, const struct mh_node *node, void *target,
                       struct mh_problem *p)
{
    size_t count = item_count(node);
    if (!in_range(row, (double)count)) {
        char what[64], range[128];
        snprintf(what, sizeof what, "%zu texts", count);
        return mh_fail(&p->error, "%s given; allowed: %s", what, mh_value_range(row, range, sizeof range));
    }
    struct mh_texts texts = {.items = mh_zeroed(count, sizeof(char *))};
    for (; texts.count < count; texts.count++) {
        const char *text;
        if (item_text(row, node, texts.count, &text, p)) {
            release_texts(&texts);
            return -1;
        }
        texts.items[texts.count] = mh_copy(text);
    }
    *(struct mh_texts *)target = texts;
    return 0;
}

static char *print_texts(const struct mh_option *row, const void *target)
{
    const struct mh_texts *texts = target;
    if (row->max == 1 && texts->count == 1)
        return mh_text_as_yaml(texts->items[0]);
    char *list = mh_copy("[");
    for (size_t i = 0; i < texts->count; i++) {
        char *item = mh_text_as_yaml(texts->items[i]);
        char *longer = mh_format("%s%s%s", list, i ? ", " : "", item);
        free(item);
        free(list);
        list = longer;
    }
    char *whole = mh_format("%s]", list);
    free(list);
    return whole;
}

static int parse_params(const struct mh_option *row, const struct mh_node *node, void *target,
                        struct mh_problem *p)
{
    if (node->kind != MH_NODE_MAP)
        return mh_fail(&p->error, "%s stands here; expected %s", mh_node_is_a(node),
                       mh_value_type(row->type)->expected);
    json_t *object = mh_node_json(node, p);
    if (!object)
        return -1;
    *(char **)target = mh_have(json_dumps(object, 0));
    json_decref(object);
    return 0;
}

/* JSON is YAML in flow style. */
static char *print_params(const struct mh_option *row, const void *target)
{
    (void)row;
    return mh_copy(*(char *const *)target);
}

/* ---- all of them ---- */

static const struct mh_value_type types[] = {
    [MH_OPTION_BOOL] = {"true | false", "true or false", parse_bool, print_bool, NULL, false},
    [MH_OPTION_INT] = {"number", "a whole number such as 1000, 10k or 2M", parse_whole, print_int, NULL,
                       false},
    [MH_OPTION_COUNT_OR_ALL] = {"number | all", "a whole number such as 20 or 1k, or all", parse_count_or_all,
                                print_int, NULL, false},
    [MH_OPTION_BYTES] = {"bytes", "a size such as 512, 64KiB or 2GiB", parse_whole, print_bytes, NULL, false},
    [MH_OPTION_DURATION] = {"duration", "a duration such as 50ms, 30s or 1.5h", parse_whole, print_duration,
                            NULL, false},
    [MH_OPTION_DURATION_RANGE] = {"durations", "a range of durations such as 50ms..5s", parse_duration_range,
                                  print_duration_range, NULL, false},
    [MH_OPTION_RATE] = {"rate", "a rate such as 500/s, 10k/s or 30/m", parse_real, print_rate, NULL, false},
    [MH_OPTION_RATIO] = {"ratio", "a ratio such as 0.95 or 1%", parse_real, print_ratio, NULL, false},
    [MH_OPTION_SAMPLE] = {"sample", "none, all or a share such as sample 1%", parse_sample, print_sample,
                          NULL, false},
    [MH_OPTION_TEXT] = {"text", "a text", parse_text, print_text, release_text, false},
    [MH_OPTION_CHOICE] = {"choice", "one", parse_choice, print_choice, NULL, false},
    [MH_OPTION_CHOICES] = {"choices", "a list", parse_choices, print_choices, NULL, true},
    [MH_OPTION_TEXTS] = {"texts", "a text or a list of texts", parse_texts, print_texts, release_texts, true},
    [MH_OPTION_STEPS] = {"steps",
                         "a step or a list of steps such as [\"100/s for 30s\", \"100/s to 400/s for 60s\"]",
                         mh_steps_parse, mh_steps_print, mh_steps_release, true},
    [MH_OPTION_PARAMS] = {"mapping", "a mapping such as {nlist: 128}", parse_params, print_params,
                          release_text, true},
};

const struct mh_value_type *mh_value_type(enum mh_option_type type)
{
    return &types[type];
}

int mh_value_parse(const struct mh_option *row, const struct mh_node *node, void *target,
                   struct mh_problem *p)
{
    const struct mh_value_type *type = mh_value_type(row->type);
    p->node = node;
    bool scalar = node->kind == MH_NODE_SCALAR;
    if (mh_node_is_null(node) || (!scalar && !type->takes_collections) ||
        (node->kind == MH_NODE_MAP && row->type != MH_OPTION_PARAMS)) {
        char choices[400] = "";
        if (row->choices)
            mh_join(row->choices, mh_choice_count(row), ", ", choices, sizeof choices);
        return mh_fail(&p->error, "%s stands here; expected %s%s%s", mh_node_is_a(node), type->expected,
                       row->choices ? " of " : "", choices);
    }
    return type->parse(row, node, target, p);
}

static char *bound_text(const struct mh_option *row, double bound)
{
    static const char *const suffixes[] = {"", "k", "M", "G", "T"};
    if (row->type == MH_OPTION_DURATION || row->type == MH_OPTION_DURATION_RANGE)
        return mh_duration_text((int64_t)bound);
    int64_t whole = (int64_t)bound;
    if (row->type == MH_OPTION_BYTES)
        return print_bytes(row, &whole);
    if ((double)whole != bound)
        return real_text(bound, 1);
    size_t unit = 0;
    while ((unit > 0 || whole >= 10000) && whole % 1000 == 0 && unit < 4) {
        whole /= 1000;
        unit++;
    }
    return mh_format("%" PRId64 "%s", whole, suffixes[unit]);
}

char *mh_value_range(const struct mh_option *row, char *text, size_t size)
{
    text[0] = '\0';
    if (!mh_option_is_ranged(row))
        return text;
    char *low = bound_text(row, row->min), *high = row->max < BOUNDLESS ? bound_text(row, row->max) : NULL;
    const char *gap = row->unit ? " " : "", *unit = row->unit ? row->unit : "";
    if (!high)
        snprintf(text, size, "%s%s%s or more", low, gap, unit);
    else if (row->min == row->max)
        snprintf(text, size, "%s%s%s", low, gap, unit);
    else
        snprintf(text, size, "%s .. %s%s%s", low, high, gap, unit);
    free(low);
    free(high);
    return text;
}
