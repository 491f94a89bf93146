#include "job/set.h"

#include "job/memory.h"
#include "job/names.h"

struct setter {
    const struct mh_source *source;
    const char *value;
    bool is_threshold;
    struct mh_error *err;
};

static int set_in_map(const struct setter *s, struct mh_node *map, const char *key);
static int set_in_list(const struct setter *s, struct mh_node *list, const char *key);

/* A threshold's "> 5" would be the head of a folded text. */
static int new_value(const struct setter *s, struct mh_node **out)
{
    if (!s->is_threshold || (*s->value != '<' && *s->value != '>'))
        return mh_node_parse_value(s->source, s->value, out, s->err);
    *out = mh_node_new(s->source, MH_NODE_SCALAR);
    (*out)->text = mh_copy(s->value);
    return 0;
}

static int put_value(const struct setter *s, struct mh_node *map, const char *key)
{
    struct mh_node *value = NULL;
    if (new_value(s, &value))
        return -1;
    mh_node_put(map, key, value);
    return 0;
}

/* The child that the rest of the key leads into; made when the file does not have it. */
static struct mh_node *child_of(const struct setter *s, struct mh_node *map, const char *name)
{
    struct mh_node *child = mh_node_get(map, name);
    if (child && !mh_node_is_null(child))
        return child;
    child = mh_node_new(s->source, MH_NODE_MAP);
    mh_node_put(map, name, child);
    return child;
}

static int set_in_child(const struct setter *s, struct mh_node *map, const char *name, const char *rest)
{
    struct mh_node *child = child_of(s, map, name);
    if (child->kind == MH_NODE_LIST)
        return set_in_list(s, child, rest);
    if (child->kind == MH_NODE_MAP)
        return set_in_map(s, child, rest);
    return mh_fail(s->err, "--set %s: '%s' has no options below it", s->source->set, name);
}

static int set_in_map(const struct setter *s, struct mh_node *map, const char *key)
{
    const char *dot = strchr(key, '.');
    if (!dot || (s->is_threshold && strncmp(key, "thresholds.", 11) != 0))
        return put_value(s, map, key);
    char *name = mh_have(strndup(key, (size_t)(dot - key)));
    int rc = set_in_child(s, map, name, dot + 1);
    free(name);
    return rc;
}

/* "writer" is every writer of the list, "writer[0]" the first alone. */
static bool matches(const char *label, const char *want, size_t length)
{
    label += *label == '.';
    if (length > 3 && strncmp(want + length - 3, "[0]", 3) == 0)
        return strlen(label) == length - 3 && strncmp(label, want, length - 3) == 0;
    if (strncmp(label, want, length) != 0)
        return false;
    return label[length] == '\0' || (label[length] == '[' && !memchr(want, '[', length));
}

static int fail_no_item(const struct setter *s, const struct mh_node *list, const char *want)
{
    char labels[64][300], what[400];
    const char *known[64];
    size_t count = list->count < 64 ? list->count : 64;
    for (size_t i = 0; i < count; i++) {
        mh_node_label(list, i, labels[i], sizeof labels[i]);
        known[i] = labels[i] + (labels[i][0] == '.');
    }
    snprintf(what, sizeof what, "--set %.200s: the job has no '%.100s' there", s->source->set, want);
    return mh_fail_unknown(s->err, what, want, known, count);
}

static bool is_of_stage(const char *key)
{
    static const char *const own[] = {"name", "roles", "before", "find_max", "chaos"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcspn(key, ".") == strlen(own[i]) && strncmp(key, own[i], strlen(own[i])) == 0)
            return true;
    return false;
}

/* A stage's roles are reached without naming the list. */
static int set_in_item(const struct setter *s, struct mh_node *item, const char *key)
{
    struct mh_node *roles = mh_node_get(item, "roles");
    if (item->kind != MH_NODE_MAP)
        return mh_fail(s->err, "--set %s: %s stands there; expected a mapping", s->source->set,
                       mh_node_is_a(item));
    if (roles && roles->kind == MH_NODE_LIST && !is_of_stage(key))
        return set_in_list(s, roles, key);
    return set_in_map(s, item, key);
}

static int set_in_matches(const struct setter *s, struct mh_node *list, const char *want, const char *rest)
{
    bool found = false;
    for (size_t i = 0; i < list->count; i++) {
        char label[300];
        if (!matches(mh_node_label(list, i, label, sizeof label), want, strlen(want)))
            continue;
        found = true;
        if (set_in_item(s, list->items[i], rest))
            return -1;
    }
    return found ? 0 : fail_no_item(s, list, want);
}

static int set_in_list(const struct setter *s, struct mh_node *list, const char *key)
{
    const char *dot = strchr(key, '.');
    if (!dot)
        return mh_fail(s->err, "--set %s: '%s' is a part of a list; name one of its options", s->source->set,
                       key);
    char *want = mh_have(strndup(key, (size_t)(dot - key)));
    int rc = set_in_matches(s, list, want, dot + 1);
    free(want);
    return rc;
}

/* Of two options that exclude each other the file's gives way, so that one --set is enough. */
static void drop_excluded(struct mh_node *root, const char *key)
{
    static const struct {
        const char *key, *section, *excluded;
    } pairs[] = {{"server.uri", "server", "uris"},
                 {"server.uris", "server", "uri"},
                 {"dataset.path", "dataset", "synthetic"},
                 {"dataset.synthetic.rows", "dataset", "path"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct mh_node *section = mh_node_get(root, pairs[i].section);
        if (strcmp(key, pairs[i].key) == 0 && section && section->kind == MH_NODE_MAP)
            mh_node_remove(section, pairs[i].excluded);
    }
}

int mh_set_apply(struct mh_node *root, const struct mh_source *source, struct mh_error *err)
{
    const char *equals = strchr(source->set, '=');
    if (!equals || equals == source->set)
        return mh_fail(err, "--set %s: expected KEY=VALUE, such as stages.crud.writer.rows=500", source->set);
    char *key = mh_have(strndup(source->set, (size_t)(equals - source->set)));
    struct setter s = {.source = source,
                       .value = equals + 1,
                       .is_threshold = strncmp(key, "thresholds.", 11) == 0,
                       .err = err};
    drop_excluded(root, key);
    int rc = set_in_map(&s, root, key);
    free(key);
    return rc;
}
