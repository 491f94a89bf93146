#include "job/node.h"

#include "job/memory.h"
#include "job/names.h"

#include <errno.h>
#include <math.h>
#include <yaml.h>

/* Far above what a job needs, far below what recursion could not bear. */
#define DEEPEST 32
/* Keys of a map are compared with each other. */
#define WIDEST 1000

struct builder {
    yaml_parser_t parser;
    const struct mh_source *source;
    const char *text;
    bool value_only; /* no block collections, no block scalars */
    struct mh_error *err;
};

char *mh_place(const struct mh_source *source, int line, int column, char *place, size_t size)
{
    if (source->set)
        snprintf(place, size, "--set %s", source->set);
    else if (source->path)
        snprintf(place, size, "%s:%d:%d", source->path, line, column);
    else
        snprintf(place, size, "built-in default");
    return place;
}

__attribute__((format(printf, 3, 4))) static int fail_mark(struct builder *b, yaml_mark_t mark,
                                                           const char *format, ...)
{
    char place[512], what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    mh_place(b->source, (int)mark.line + 1, (int)mark.column + 1, place, sizeof place);
    return mh_fail(b->err, "%s: %s", place, what);
}

/* A reader's error has only an offset in bytes. */
static yaml_mark_t mark_of_offset(const char *text, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && text[i]; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if ((text[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static int fail_yaml(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_READER_ERROR)
        return fail_mark(b, mark_of_offset(b->text, p->problem_offset), "not YAML: %s", p->problem);
    return fail_mark(b, p->problem_mark, "not YAML: %s%s%s", p->context ? p->context : "",
                     p->context ? ", " : "", p->problem ? p->problem : "cannot be read");
}

static int next_event(struct builder *b, yaml_event_t *event)
{
    return yaml_parser_parse(&b->parser, event) ? 0 : fail_yaml(b);
}

struct mh_node *mh_node_new(const struct mh_source *source, enum mh_node_kind kind)
{
    struct mh_node *node = mh_zeroed(1, sizeof *node);
    node->kind = kind;
    node->source = source;
    return node;
}

void mh_node_free(struct mh_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++) {
        mh_node_free(node->items[i]);
        if (node->keys)
            mh_node_free(node->keys[i]);
    }
    free(node->items);
    free(node->keys);
    free(node->text);
    free(node);
}

/* Owns both. */
static void append(struct mh_node *node, struct mh_node *key, struct mh_node *item)
{
    if (key) {
        node->keys = mh_grown(node->keys, node->count, sizeof(struct mh_node *));
        node->keys[node->count] = key;
    }
    node->items = mh_grown(node->items, node->count, sizeof(struct mh_node *));
    node->items[node->count++] = item;
}

/* What the event's node carries that a job may not. */
static int check_extras(struct builder *b, const yaml_event_t *event, int depth)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    bool block = false;
    if (event->type == YAML_SCALAR_EVENT) {
        yaml_scalar_style_t style = event->data.scalar.style;
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        block = event->data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        block = event->data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE;
    } else {
        return fail_mark(b, event->start_mark, "aliases (*name) are not allowed; write the value out");
    }
    if (anchor)
        return fail_mark(b, event->start_mark, "anchors (&%s) are not allowed; write the value out", anchor);
    if (tag)
        return fail_mark(b, event->start_mark, "tags (!) are not allowed; every option knows its type");
    if (block && b->value_only)
        return fail_mark(b, event->start_mark, "the value must be a scalar, [a list] or {a: mapping}");
    if (depth > DEEPEST)
        return fail_mark(b, event->start_mark, "nested deeper than %d levels", DEEPEST);
    return 0;
}

static int build(struct builder *b, const yaml_event_t *event, int depth, struct mh_node **out);

static int build_scalar(struct builder *b, const yaml_event_t *event, struct mh_node *node)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return fail_mark(b, event->start_mark, "the text holds a NUL character");
    node->text = mh_copy(text);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

/* Reads the next event and builds its node. *ended: it was the end of the collection. */
static int build_next(struct builder *b, int depth, yaml_event_type_t end, struct mh_node **out, bool *ended)
{
    yaml_event_t event;
    if (next_event(b, &event))
        return -1;
    *ended = event.type == end;
    int rc = *ended ? 0 : build(b, &event, depth, out);
    yaml_event_delete(&event);
    return rc;
}

static int build_list(struct builder *b, int depth, struct mh_node *list)
{
    for (;;) {
        struct mh_node *item = NULL;
        bool ended;
        if (build_next(b, depth + 1, YAML_SEQUENCE_END_EVENT, &item, &ended))
            return -1;
        if (ended)
            return 0;
        append(list, NULL, item);
    }
}

static int check_key(struct builder *b, const struct mh_node *key)
{
    yaml_mark_t mark = {.line = (size_t)key->line - 1, .column = (size_t)key->column - 1};
    if (key->kind != MH_NODE_SCALAR)
        return fail_mark(b, mark, "%s as a key; a key must be a name", mh_node_is_a(key));
    if (key->plain && strcmp(key->text, "<<") == 0)
        return fail_mark(b, mark, "merge keys (<<) are not allowed; write the options out");
    return 0;
}

static int build_map(struct builder *b, int depth, struct mh_node *map)
{
    for (;;) {
        struct mh_node *key = NULL, *item = NULL;
        bool ended;
        if (build_next(b, depth + 1, YAML_MAPPING_END_EVENT, &key, &ended))
            return -1;
        if (ended)
            return 0;
        if (check_key(b, key) || build_next(b, depth + 1, YAML_NO_EVENT, &item, &ended)) {
            mh_node_free(key);
            return -1;
        }
        append(map, key, item);
        if (map->count > WIDEST) {
            yaml_mark_t mark = {.line = (size_t)map->line - 1, .column = (size_t)map->column - 1};
            return fail_mark(b, mark, "a mapping of more than %d keys", WIDEST);
        }
    }
}

static int build(struct builder *b, const yaml_event_t *event, int depth, struct mh_node **out)
{
    if (check_extras(b, event, depth))
        return -1;
    enum mh_node_kind kind = event->type == YAML_SCALAR_EVENT           ? MH_NODE_SCALAR
                             : event->type == YAML_SEQUENCE_START_EVENT ? MH_NODE_LIST
                                                                        : MH_NODE_MAP;
    struct mh_node *node = mh_node_new(b->source, kind);
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    int rc = kind == MH_NODE_SCALAR ? build_scalar(b, event, node)
             : kind == MH_NODE_LIST ? build_list(b, depth, node)
                                    : build_map(b, depth, node);
    if (rc) {
        mh_node_free(node);
        return -1;
    }
    *out = node;
    return 0;
}

static int build_document(struct builder *b, struct mh_node **out)
{
    yaml_event_t event;
    bool ended = false;
    while (!ended) {
        if (next_event(b, &event))
            return -1;
        int rc = 0;
        if (event.type == YAML_DOCUMENT_START_EVENT && *out)
            rc = fail_mark(b, event.start_mark, "a second document; exactly one is allowed");
        else if (event.type == YAML_STREAM_END_EVENT)
            ended = true;
        else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT &&
                 event.type != YAML_DOCUMENT_END_EVENT)
            rc = build(b, &event, 0, out);
        yaml_event_delete(&event);
        if (rc)
            return -1;
    }
    return 0;
}

static int parse_text(const struct mh_source *source, const char *text, bool value_only, struct mh_node **out,
                      struct mh_error *err)
{
    struct builder b = {.source = source, .text = text, .value_only = value_only, .err = err};
    struct mh_node *root = NULL;
    if (!yaml_parser_initialize(&b.parser))
        mh_have(NULL);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, strlen(text));
    int rc = build_document(&b, &root);
    yaml_parser_delete(&b.parser);
    if (rc)
        mh_node_free(root);
    else
        *out = root;
    return rc;
}

int mh_node_parse(const struct mh_source *source, const char *text, struct mh_node **out,
                  struct mh_error *err)
{
    return parse_text(source, text, false, out, err);
}

int mh_node_parse_value(const struct mh_source *source, const char *text, struct mh_node **out,
                        struct mh_error *err)
{
    if (parse_text(source, text, true, out, err))
        return -1;
    if (!*out) {
        *out = mh_node_new(source, MH_NODE_SCALAR);
        (*out)->text = mh_copy("");
    }
    return 0;
}

static size_t find(const struct mh_node *map, const char *key)
{
    size_t i = 0;
    while (i < map->count && strcmp(map->keys[i]->text, key) != 0)
        i++;
    return i;
}

struct mh_node *mh_node_get(const struct mh_node *map, const char *key)
{
    size_t i = map->kind == MH_NODE_MAP ? find(map, key) : map->count;
    return i < map->count ? map->items[i] : NULL;
}

void mh_node_put(struct mh_node *map, const char *key, struct mh_node *item)
{
    size_t i = find(map, key);
    struct mh_node *key_node = mh_node_new(item->source, MH_NODE_SCALAR);
    key_node->text = mh_copy(key);
    if (i == map->count) {
        append(map, key_node, item);
        return;
    }
    mh_node_free(map->keys[i]);
    mh_node_free(map->items[i]);
    map->keys[i] = key_node;
    map->items[i] = item;
}

void mh_node_remove(struct mh_node *map, const char *key)
{
    size_t i = find(map, key);
    if (i == map->count)
        return;
    mh_node_free(map->keys[i]);
    mh_node_free(map->items[i]);
    map->count--;
    memmove(map->keys + i, map->keys + i + 1, (map->count - i) * sizeof *map->keys);
    memmove(map->items + i, map->items + i + 1, (map->count - i) * sizeof *map->items);
}

static const char *name_of(const struct mh_node *item)
{
    const struct mh_node *name = mh_node_get(item, "name");
    if (!name)
        name = mh_node_get(item, "role");
    return name && name->kind == MH_NODE_SCALAR && mh_is_name(name->text) ? name->text : NULL;
}

char *mh_node_label(const struct mh_node *list, size_t i, char *label, size_t size)
{
    const char *name = name_of(list->items[i]);
    if (!name) {
        snprintf(label, size, "[%zu]", i);
        return label;
    }
    size_t before = 0;
    for (size_t j = 0; j < i; j++) {
        const char *other = name_of(list->items[j]);
        before += other && strcmp(other, name) == 0;
    }
    if (before)
        snprintf(label, size, ".%s[%zu]", name, before);
    else
        snprintf(label, size, ".%s", name);
    return label;
}

bool mh_node_is_null(const struct mh_node *node)
{
    return node->kind == MH_NODE_SCALAR && node->plain &&
           (!*node->text || strcmp(node->text, "~") == 0 || strcasecmp(node->text, "null") == 0);
}

const char *mh_node_is_a(const struct mh_node *node)
{
    if (node->kind == MH_NODE_LIST)
        return "a list";
    if (node->kind == MH_NODE_MAP)
        return "a mapping";
    return mh_node_is_null(node) ? "no value" : "a text";
}

/* Whole when text is a decimal integer that fits, real when it is 1.5 or 1e-3; neither: a string. */
static json_t *number_json(const char *text)
{
    const char *digits = text + (*text == '-');
    size_t whole = strspn(digits, "0123456789");
    if (whole == 0 || (whole > 1 && *digits == '0'))
        return NULL;
    errno = 0;
    if (digits[whole] == '\0') {
        long long value = strtoll(text, NULL, 10);
        return errno ? NULL : json_integer(value);
    }
    char *end;
    double value = strtod(text, &end);
    return strchr(".eE", digits[whole]) && *end == '\0' && isfinite(value) ? json_real(value) : NULL;
}

static json_t *scalar_json(const struct mh_node *node)
{
    json_t *number = node->plain ? number_json(node->text) : NULL;
    if (number)
        return number;
    if (node->plain && strcmp(node->text, "true") == 0)
        return json_true();
    if (node->plain && strcmp(node->text, "false") == 0)
        return json_false();
    return mh_have(json_string(node->text));
}

static json_t *not_json(struct mh_problem *p, const struct mh_node *node, const char *why)
{
    p->node = node;
    mh_fail(&p->error, "'%.80s' %s", node->text, why);
    return NULL;
}

static json_t *map_json(const struct mh_node *map, struct mh_problem *p)
{
    json_t *object = mh_have(json_object());
    for (size_t i = 0; i < map->count; i++) {
        const char *key = map->keys[i]->text;
        json_t *item = NULL;
        if (json_object_get(object, key))
            not_json(p, map->keys[i], "stands twice in this mapping; once is allowed");
        else
            item = mh_node_json(map->items[i], p);
        if (!item || json_object_set_new(object, key, item)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *mh_node_json(const struct mh_node *node, struct mh_problem *p)
{
    if (mh_node_is_null(node))
        return not_json(p, node, "is no value; expected a number, a text, true or false");
    if (node->kind == MH_NODE_SCALAR)
        return scalar_json(node);
    if (node->kind == MH_NODE_MAP)
        return map_json(node, p);
    json_t *array = mh_have(json_array());
    for (size_t i = 0; i < node->count; i++) {
        json_t *item = mh_node_json(node->items[i], p);
        if (!item || json_array_append_new(array, item)) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* What needs no quotes in a mapping or a list, by a narrow rule. */
static bool is_plain_text(const char *text)
{
    if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@+~-") !=
        strlen(text))
        return false;
    if (!*text || strchr(":@~+-.", *text) || text[strlen(text) - 1] == ':')
        return false;
    struct mh_node node = {.kind = MH_NODE_SCALAR, .plain = true, .text = (char *)text};
    struct mh_problem ignored;
    json_t *json = mh_node_json(&node, &ignored);
    bool stays_text = json_is_string(json);
    json_decref(json);
    return stays_text;
}

char *mh_text_as_yaml(const char *text)
{
    if (is_plain_text(text))
        return mh_copy(text);
    json_t *string = mh_have(json_string(text));
    char *quoted = mh_have(json_dumps(string, JSON_ENCODE_ANY));
    json_decref(string);
    return quoted;
}
