/* Boolean expressions of Query, Search and Delete, as Milvus 2.3 understands them, as far as it goes here:
 *
 *   id in [1, 2]     name not in ["a", 'b']     name like "prefix%"     id >= 3     x != 1.5     flag == true
 *   0 <= id < 100    9 > id >= 3                and && or || not ! ( )
 *
 * `not` takes what is in parentheses, a `like` or another `not`: so does Milvus' grammar, where it binds more
 * tightly than comparisons do. `like` takes a prefix: an unescaped % or _ before the pattern's last
 * characters is refused, as there. */
#ifndef MH_EXPR_EXPR_H
#define MH_EXPR_EXPR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mh_expr_field {
    const char *name;
    int type; /* enum mh_field_type */
};

enum mh_expr_type { MH_EXPR_BOOL, MH_EXPR_WHOLE, MH_EXPR_REAL, MH_EXPR_TEXT };
struct mh_expr_value {
    enum mh_expr_type type;
    int64_t whole;    /* BOOL, WHOLE */
    double real;      /* WHOLE, REAL */
    const char *text; /* TEXT: NUL-ended */
};

/* Where a row's values are. */
struct mh_expr_rows {
    struct mh_expr_value (*value)(const void *rows, size_t field, int64_t row);
    const void *rows;
};

struct mh_expr;

/* Reads `text` for rows of these fields; the key is one of them. "" (or blanks) holds for every row. The
 * error is worded like Milvus' own: "cannot parse expression: TEXT, error: CAUSE". */
int mh_expr_parse(const char *text, const struct mh_expr_field *fields, size_t field_count,
                  struct mh_expr **out, struct mh_error *err);
void mh_expr_free(struct mh_expr *expr); /* NULL is allowed */

bool mh_expr_is_empty(const struct mh_expr *expr); /* its text was blank */
bool mh_expr_is_blank(const char *text);
bool mh_expr_holds(const struct mh_expr *expr, const struct mh_expr_rows *rows, int64_t row);

/* Keys outside this list cannot hold: so a reader need not look at every row. NULL where the expression names
 * no keys; else sorted, duplicates kept, in the expression's memory. *all says that the expression is nothing
 * but this list: `key in [...]` or `key == 1`. */
const int64_t *mh_expr_keys(const struct mh_expr *expr, size_t key_field, size_t *count, bool *all);

#endif
