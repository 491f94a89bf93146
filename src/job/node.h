/* YAML text as a tree whose every node knows its place. The strict part of YAML that a job needs: one
 * document, no anchors, aliases, merge keys or tags. */
#ifndef MH_JOB_NODE_H
#define MH_JOB_NODE_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum mh_node_kind { MH_NODE_SCALAR, MH_NODE_LIST, MH_NODE_MAP };

/* Where a text comes from, for messages. */
struct mh_source {
    const char *path; /* the job file; NULL for others */
    const char *set;  /* KEY=VALUE of a --set; NULL for others */
};

struct mh_node {
    enum mh_node_kind kind;
    const struct mh_source *source;
    int line, column;      /* from 1; in a --set they mean nothing */
    bool plain;            /* a scalar without quotes */
    char *text;            /* of a scalar */
    struct mh_node **keys; /* of a map: scalars, as many as items */
    struct mh_node **items;
    size_t count;
};

/* What is wrong with a value, and at which node: itself or one inside it. The message has no place in it. */
struct mh_problem {
    struct mh_error error;
    const struct mh_node *node;
};

/* "crud.yaml:14:32", "--set KEY=VALUE" or "built-in default" into place; returns place. */
char *mh_place(const struct mh_source *source, int line, int column, char *place, size_t size);

/* The tree of `text`, to be freed by the caller; *out is NULL when the text holds no document at all. */
int mh_node_parse(const struct mh_source *source, const char *text, struct mh_node **out,
                  struct mh_error *err);

/* The tree of one value: a scalar or a flow collection. Nothing at all is an empty text. */
int mh_node_parse_value(const struct mh_source *source, const char *text, struct mh_node **out,
                        struct mh_error *err);

struct mh_node *mh_node_new(const struct mh_source *source, enum mh_node_kind kind);
void mh_node_free(struct mh_node *node); /* NULL is allowed */

struct mh_node *mh_node_get(const struct mh_node *map, const char *key); /* the first of that key, or NULL */

/* Puts `item` (owned from now on) in the place of the key's item, or at the end. */
void mh_node_put(struct mh_node *map, const char *key, struct mh_node *item);
void mh_node_remove(struct mh_node *map, const char *key);

/* The place of list[i] in a path: ".name" by its `name` or `role`, with "[1]" for the second of a name, or
 * "[i]" when it has no usable one. */
char *mh_node_label(const struct mh_node *list, size_t i, char *label, size_t size);

bool mh_node_is_null(const struct mh_node *node);     /* nothing, ~ or null */
const char *mh_node_is_a(const struct mh_node *node); /* "a list", "a mapping", "no value", "a text" */

/* New JSON value: plain numbers and true and false are that, everything else is a string. NULL with *p set:
 * a null or a key that stands twice. */
json_t *mh_node_json(const struct mh_node *node, struct mh_problem *p);

/* The text as YAML: plain if it can be, else in double quotes. Owned by the caller. */
char *mh_text_as_yaml(const char *text);

#endif
