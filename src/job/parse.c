#include "job/parse.h"

#include "job/memory.h"
#include "job/names.h"
#include "job/value.h"

/* One struct to fill from one map. */
struct frame {
    const struct mh_option *rows;
    const char *extra;          /* a key that is read elsewhere; NULL: none */
    const struct mh_node *node; /* NULL: the map was not given */
    const struct mh_node *near; /* the map, or the closest that was given around it */
    void *section, *own;
};

static const struct mh_source built_in;

static int read_frame(struct mh_reading *r, const struct frame *f);

/* ---- paths, marks and messages ---- */

/* Appends to the path that is being read and returns its former length, for leave(). */
static size_t enter(struct mh_reading *r, const char *dot, const char *name)
{
    size_t length = strlen(r->key);
    snprintf(r->key + length, sizeof r->key - length, "%s%s", length ? dot : "", name);
    return length;
}

static void leave(struct mh_reading *r, size_t length)
{
    r->key[length] = '\0';
}

static void mark(struct mh_reading *r, const struct mh_node *node)
{
    r->marks = mh_grown(r->marks, r->mark_count, sizeof *r->marks);
    r->marks[r->mark_count++] = (struct mh_mark){mh_copy(r->key), node};
}

const struct mh_node *mh_marked(const struct mh_reading *r, const char *key)
{
    for (size_t i = 0; i < r->mark_count; i++)
        if (strcmp(r->marks[i].key, key) == 0)
            return r->marks[i].node;
    return NULL;
}

/* A --set whose key is the path itself need not name it twice. */
static int fail_node(struct mh_reading *r, const struct mh_node *node, const char *key, const char *what)
{
    char place[512];
    const char *set = node->source->set;
    size_t length = strlen(key);
    bool named = length == 0 || (set && strncmp(set, key, length) == 0 && set[length] == '=');
    mh_place(node->source, node->line, node->column, place, sizeof place);
    return mh_fail(r->err, "%s: %s%s%s", place, named ? "" : key, named ? "" : ": ", what);
}

__attribute__((format(printf, 3, 4))) static int fail_here(struct mh_reading *r, const struct mh_node *node,
                                                           const char *format, ...)
{
    char what[800];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return fail_node(r, node, r->key, what);
}

int mh_fail_at(struct mh_reading *r, const char *key, const char *format, ...)
{
    char what[800], around[sizeof r->key];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(around, sizeof around, "%s", key);
    const struct mh_node *node = mh_marked(r, around);
    while (!node && *around) {
        size_t length = strlen(around);
        while (length > 0 && around[length] != '.' && around[length] != '[')
            length--;
        around[length] = '\0';
        node = mh_marked(r, around);
    }
    return fail_node(r, node ? node : r->root, key, what);
}

/* Owns `text`. */
static void add_value(struct mh_reading *r, char *text, const struct mh_node *node)
{
    char place[512] = "default";
    if (node && node->source->set)
        snprintf(place, sizeof place, "--set");
    else if (node)
        mh_place(node->source, node->line, node->column, place, sizeof place);
    r->values = mh_grown(r->values, r->value_count, sizeof *r->values);
    r->values[r->value_count++] = (struct mh_option_value){mh_copy(r->key), text, mh_copy(place)};
}

/* ---- keys of a map ---- */

static const struct mh_option *find_row(const struct mh_option *rows, const char *name)
{
    for (; rows->name; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

static int fail_unknown_key(struct mh_reading *r, const struct frame *f, const struct mh_node *key)
{
    const char *known[128];
    size_t count = 0;
    struct mh_error what;
    if (f->extra)
        known[count++] = f->extra;
    for (const struct mh_option *row = f->rows; row->name && count < 128; row++)
        known[count++] = row->name;
    mh_fail_unknown(&what, "unknown key", key->text, known, count);
    size_t length = enter(r, ".", key->text);
    fail_here(r, key, "%s", what.text);
    leave(r, length);
    return -1;
}

static int check_keys(struct mh_reading *r, const struct frame *f)
{
    for (size_t i = 0; i < f->node->count; i++) {
        const struct mh_node *key = f->node->keys[i];
        if (!find_row(f->rows, key->text) && !(f->extra && strcmp(f->extra, key->text) == 0))
            return fail_unknown_key(r, f, key);
        if (mh_node_get(f->node, key->text) != f->node->items[i]) {
            enter(r, ".", key->text);
            return fail_here(r, key, "stands twice in this mapping; once is allowed");
        }
    }
    return 0;
}

/* Two rows for the same place are two spellings of one option. */
static const struct mh_option *other_spelling(const struct frame *f, const struct mh_option *row)
{
    for (const struct mh_option *other = f->rows; other->name; other++)
        if (other != row && other->offset == row->offset && other->base == row->base)
            return other;
    return NULL;
}

/* ---- values ---- */

static int parse_at(struct mh_reading *r, const struct mh_option *row, const struct mh_node *node,
                    void *target)
{
    struct mh_problem problem;
    if (mh_value_parse(row, node, target, &problem))
        return fail_here(r, problem.node, "%s", problem.error.text);
    return 0;
}

static int read_default(struct mh_reading *r, const struct mh_option *row, void *target)
{
    struct mh_node *node = NULL;
    if (mh_node_parse_value(&built_in, row->fallback, &node, r->err))
        return -1;
    int rc = parse_at(r, row, node, target);
    mh_node_free(node);
    return rc;
}

/* A text is never NULL once it was read. */
static void set_empty(const struct mh_option *row, void *target)
{
    if (row->type == MH_OPTION_TEXT)
        *(char **)target = mh_copy("");
    if (row->type == MH_OPTION_PARAMS)
        *(char **)target = mh_copy("{}");
}

static int read_value(struct mh_reading *r, const struct mh_option *row, const struct mh_node *node,
                      void *target)
{
    if (!node && !row->fallback) {
        set_empty(row, target);
        add_value(r, mh_copy(""), NULL);
        return 0;
    }
    int rc = node ? parse_at(r, row, node, target) : read_default(r, row, target);
    if (rc == 0)
        add_value(r, mh_value_type(row->type)->print(row, target), node);
    return rc;
}

/* ---- lists and thresholds ---- */

/* The caller's {pointer, count} need not be declared as struct mh_list, only be laid out like one. */
static void store_list(void *target, void *items, size_t count)
{
    struct mh_list list = {.items = items, .count = count};
    memcpy(target, &list, sizeof list);
}

static int find_kind(struct mh_reading *r, const struct mh_node *item, const struct mh_role_kind **out)
{
    const char *names[128];
    size_t count = 0;
    for (; r->kinds[count] && count < 128; count++)
        names[count] = r->kinds[count]->name;
    const struct mh_node *name = mh_node_get(item, "role");
    char list[600];
    if (!name)
        return fail_here(r, item, "'role' is missing; one of %s",
                         mh_join(names, count, ", ", list, sizeof list));
    if (name->kind != MH_NODE_SCALAR || mh_node_is_null(name))
        return fail_here(r, name, "%s stands here; expected one of %s", mh_node_is_a(name),
                         mh_join(names, count, ", ", list, sizeof list));
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name->text) == 0) {
            *out = r->kinds[i];
            return 0;
        }
    struct mh_error what;
    mh_fail_unknown(&what, "unknown role", name->text, names, count);
    return fail_here(r, name, "%s", what.text);
}

static int read_role(struct mh_reading *r, const struct mh_node *item, struct mh_role_options *role)
{
    static const struct mh_option none[] = {{.name = NULL}};
    if (find_kind(r, item, &role->kind))
        return -1;
    role->own = mh_zeroed(1, role->kind->own_size);
    struct frame f = {.rows = role->kind->options ? role->kind->options : none,
                      .extra = "role",
                      .node = item,
                      .near = item,
                      .section = role,
                      .own = role->own};
    return read_frame(r, &f);
}

static int read_item(struct mh_reading *r, const struct mh_option *row, const struct mh_node *item,
                     void *target)
{
    mark(r, item);
    if (item->kind != MH_NODE_MAP)
        return fail_here(r, item, "%s stands here; expected a mapping", mh_node_is_a(item));
    if (!row->rows)
        return read_role(r, item, target);
    struct frame f = {.rows = row->rows, .node = item, .near = item, .section = target};
    return read_frame(r, &f);
}

static int check_list(struct mh_reading *r, const struct mh_option *row, const struct mh_node *node)
{
    char range[128];
    if (node->kind != MH_NODE_LIST)
        return fail_here(r, node, "%s stands here; expected a list", mh_node_is_a(node));
    if (mh_option_is_ranged(row) && ((double)node->count < row->min || (double)node->count > row->max))
        return fail_here(r, node, "a list of %zu; allowed: %s", node->count,
                         mh_value_range(row, range, sizeof range));
    return 0;
}

static int read_list(struct mh_reading *r, const struct mh_option *row, const struct mh_node *node,
                     void *target)
{
    if (!node)
        return 0;
    mark(r, node);
    if (check_list(r, row, node))
        return -1;
    char *items = mh_zeroed(node->count, row->item_size);
    store_list(target, items, node->count);
    for (size_t i = 0; i < node->count; i++) {
        char label[300];
        size_t length = enter(r, "", mh_node_label(node, i, label, sizeof label));
        if (read_item(r, row, node->items[i], items + i * row->item_size))
            return -1;
        leave(r, length);
    }
    return 0;
}

static int read_threshold(struct mh_reading *r, const struct mh_node *map, size_t i, struct mh_threshold *out)
{
    const struct mh_node *key = map->keys[i], *item = map->items[i];
    struct mh_error what;
    if (mh_node_get(map, key->text) != item)
        return fail_here(r, key, "stands twice in this mapping; once is allowed");
    if (item->kind != MH_NODE_SCALAR || mh_node_is_null(item))
        return fail_here(r, item, "%s stands here; expected a threshold such as \"< 50ms\"",
                         mh_node_is_a(item));
    if (mh_threshold_parse(item->text, out, &what))
        return fail_here(r, item, "%s", what.text);
    out->figure = mh_copy(key->text);
    out->line = item->line;
    out->column = item->column;
    add_value(r, mh_text_as_yaml(out->text), item);
    return 0;
}

static int read_thresholds(struct mh_reading *r, const struct mh_node *node, void *target)
{
    if (!node)
        return 0;
    if (node->kind != MH_NODE_MAP)
        return fail_here(r, node, "%s stands here; expected a mapping such as {search.p99: \"< 50ms\"}",
                         mh_node_is_a(node));
    struct mh_threshold *thresholds = mh_zeroed(node->count, sizeof *thresholds);
    store_list(target, thresholds, node->count);
    for (size_t i = 0; i < node->count; i++) {
        size_t length = enter(r, ".", node->keys[i]->text);
        if (read_threshold(r, node, i, &thresholds[i]))
            return -1;
        leave(r, length);
    }
    return 0;
}

/* ---- rows ---- */

static void *target_of(const struct mh_option *row, void *section, void *own)
{
    return (char *)(row->base == MH_IN_OWN ? own : section) + row->offset;
}

static int read_section(struct mh_reading *r, const struct mh_option *row, const struct mh_node *node,
                        const struct mh_node *near, void *target)
{
    if (!node && row->optional)
        return 0;
    if (node)
        mark(r, node);
    if (node && node->kind != MH_NODE_MAP)
        return fail_here(r, node, "%s stands here; expected a mapping", mh_node_is_a(node));
    struct frame f = {.rows = row->rows, .node = node, .near = node ? node : near, .section = target};
    return read_frame(r, &f);
}

static int read_row(struct mh_reading *r, const struct frame *f, const struct mh_option *row,
                    const struct mh_node *node)
{
    void *target = target_of(row, f->section, f->own);
    switch (row->type) {
    case MH_OPTION_SECTION:
        return read_section(r, row, node, f->near, target);
    case MH_OPTION_LIST:
        return read_list(r, row, node, target);
    case MH_OPTION_THRESHOLDS:
        return read_thresholds(r, node, target);
    default:
        if (node)
            mark(r, node);
        return read_value(r, row, node, target);
    }
}

/* One of two spellings is read: the one that is given, or else the first. */
static int is_other_read(struct mh_reading *r, const struct frame *f, const struct mh_option *row, bool *skip)
{
    const struct mh_option *other = other_spelling(f, row);
    *skip = false;
    if (!other)
        return 0;
    const struct mh_node *node = f->node ? mh_node_get(f->node, row->name) : NULL;
    bool other_given = f->node && mh_node_get(f->node, other->name);
    if (node && other_given)
        return fail_here(r, node, "stands beside '%s'; one of the two is allowed", other->name);
    *skip = !node && (other_given || other < row);
    return 0;
}

/* The list of a stage's roles has no name in paths: "stages.crud.writer.rows". */
static size_t enter_row(struct mh_reading *r, const struct mh_option *row)
{
    bool nameless = row->type == MH_OPTION_LIST && !row->rows;
    return nameless ? strlen(r->key) : enter(r, ".", row->name);
}

static int read_frame(struct mh_reading *r, const struct frame *f)
{
    if (f->node && check_keys(r, f))
        return -1;
    for (const struct mh_option *row = f->rows; row->name; row++) {
        const struct mh_node *node = f->node ? mh_node_get(f->node, row->name) : NULL;
        if (!node && row->required)
            return fail_here(r, f->near, "'%s' is missing (%s)", row->name, row->help);
        size_t length = enter_row(r, row);
        bool skip;
        if (is_other_read(r, f, row, &skip))
            return -1;
        if (!skip && read_row(r, f, row, node))
            return -1;
        leave(r, length);
    }
    return 0;
}

int mh_read_rows(struct mh_reading *r, const struct mh_option *rows, void *base)
{
    struct frame f = {.rows = rows, .node = r->root, .near = r->root, .section = base};
    return read_frame(r, &f);
}

void mh_reading_end(struct mh_reading *r)
{
    for (size_t i = 0; i < r->mark_count; i++)
        free(r->marks[i].key);
    free(r->marks);
    for (size_t i = 0; i < r->value_count; i++) {
        free(r->values[i].path);
        free(r->values[i].value);
        free(r->values[i].origin);
    }
    free(r->values);
}

/* ---- release ---- */

static void release_frame(const struct mh_option *rows, void *section, void *own);

static void release_item(const struct mh_option *row, void *item)
{
    if (row->rows) {
        release_frame(row->rows, item, NULL);
        return;
    }
    struct mh_role_options *role = item;
    if (role->kind && role->kind->options)
        release_frame(role->kind->options, role, role->own);
    free(role->own);
}

static void release_list(const struct mh_option *row, void *target)
{
    struct mh_list list;
    memcpy(&list, target, sizeof list);
    for (size_t i = 0; i < list.count; i++)
        release_item(row, (char *)list.items + i * row->item_size);
    free(list.items);
}

static void release_thresholds(void *target)
{
    struct mh_list list;
    memcpy(&list, target, sizeof list);
    struct mh_threshold *thresholds = list.items;
    for (size_t i = 0; i < list.count; i++) {
        free(thresholds[i].figure);
        free(thresholds[i].text);
    }
    free(thresholds);
}

static void release_row(const struct mh_option *row, void *target)
{
    if (row->type == MH_OPTION_SECTION)
        release_frame(row->rows, target, NULL);
    else if (row->type == MH_OPTION_LIST)
        release_list(row, target);
    else if (row->type == MH_OPTION_THRESHOLDS)
        release_thresholds(target);
    else if (mh_value_type(row->type)->release)
        mh_value_type(row->type)->release(target);
}

static void release_frame(const struct mh_option *rows, void *section, void *own)
{
    struct frame f = {.rows = rows};
    for (const struct mh_option *row = rows; row->name; row++) {
        const struct mh_option *other = other_spelling(&f, row);
        if (!other || row < other)
            release_row(row, target_of(row, section, own));
    }
}

void mh_release_rows(const struct mh_option *rows, void *base)
{
    release_frame(rows, base, NULL);
}
