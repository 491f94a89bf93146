#include "expr/expr.h"

#include "expr/lex.h"
#include "job/job.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 100 }; /* parentheses and nots within each other */

enum kind { ALL, AND, OR, NOT, COMPARE, IN, PREFIX };

struct operand {
    bool is_field, is_single; /* single: a field of float32 */
    size_t field;
    struct mh_expr_value value; /* literal; of a field only its type */
};

struct mh_expr {
    enum kind kind;
    struct mh_expr *first; /* AND, OR, NOT: of their parts */
    struct mh_expr *next;  /* part of the same whole */
    enum mh_word sign;     /* COMPARE */
    struct operand left, right;
    struct mh_expr_value *values; /* IN: sorted */
    int64_t *keys;                /* IN, or COMPARE with ==, of int64: as values */
    size_t count, room;
};

void mh_expr_free(struct mh_expr *expr)
{
    while (expr) {
        struct mh_expr *next = expr->next;
        mh_expr_free(expr->first);
        for (size_t i = 0; i < expr->count; i++)
            free((char *)expr->values[i].text);
        free(expr->values);
        free(expr->keys);
        free((char *)expr->left.value.text);
        free((char *)expr->right.value.text);
        free(expr);
        expr = next;
    }
}

/* ---- reading ---- */

struct reader {
    struct mh_lex lex;
    const struct mh_expr_field *fields;
    size_t field_count;
    int depth;
    struct mh_error *err; /* the cause alone */
};

static struct mh_expr *new_expr(struct reader *reader, enum kind kind)
{
    struct mh_expr *expr = calloc(1, sizeof *expr);
    if (expr)
        expr->kind = kind;
    else
        mh_fail(reader->err, "out of memory");
    return expr;
}

static int unexpected(struct reader *reader, const char *wanted)
{
    const struct mh_lex *lex = &reader->lex;
    const int length = lex->at - lex->from > 40 ? 40 : (int)(lex->at - lex->from);
    if (lex->word == MH_WORD_BAD)
        mh_fail(reader->err, "%s: %.*s", lex->problem, length ? length : 1, lex->from);
    else if (lex->word == MH_WORD_END)
        mh_fail(reader->err, "it ends where %s should be", wanted);
    else
        mh_fail(reader->err, "'%.*s' where %s should be", length, lex->from, wanted);
    return -1;
}

static bool take(struct reader *reader, enum mh_word word)
{
    if (reader->lex.word != word)
        return false;
    mh_lex_next(&reader->lex);
    return true;
}

static int type_of_field(int type)
{
    switch (type) {
    case MH_FIELD_BOOL:
        return MH_EXPR_BOOL;
    case MH_FIELD_FLOAT:
    case MH_FIELD_DOUBLE:
        return MH_EXPR_REAL;
    case MH_FIELD_VARCHAR:
        return MH_EXPR_TEXT;
    case MH_FIELD_FLOAT_VECTOR:
        return -1;
    default:
        return MH_EXPR_WHOLE;
    }
}

static int read_field(struct reader *reader, struct operand *operand)
{
    const struct mh_lex *lex = &reader->lex;
    const size_t length = (size_t)(lex->at - lex->from);
    for (size_t i = 0; i < reader->field_count; i++) {
        const char *name = reader->fields[i].name;
        if (strlen(name) != length || memcmp(name, lex->from, length) != 0)
            continue;
        const int type = type_of_field(reader->fields[i].type);
        if (type < 0)
            return mh_fail(reader->err, "field %s is a vector and cannot be compared", name);
        *operand = (struct operand){.is_field = true,
                                    .is_single = reader->fields[i].type == MH_FIELD_FLOAT,
                                    .field = i,
                                    .value.type = (enum mh_expr_type)type};
        return 0;
    }
    return mh_fail(reader->err, "field %.*s not exist", length > 200 ? 200 : (int)length, lex->from);
}

static int read_literal(struct reader *reader, struct mh_expr_value *value)
{
    const struct mh_lex *lex = &reader->lex;
    switch (lex->word) {
    case MH_WORD_WHOLE:
        *value = (struct mh_expr_value){.type = MH_EXPR_WHOLE, .whole = lex->whole, .real = lex->real};
        break;
    case MH_WORD_REAL:
        *value = (struct mh_expr_value){.type = MH_EXPR_REAL, .real = lex->real};
        break;
    case MH_WORD_TRUE:
    case MH_WORD_FALSE:
        *value = (struct mh_expr_value){.type = MH_EXPR_BOOL, .whole = lex->word == MH_WORD_TRUE};
        break;
    case MH_WORD_TEXT:
        *value = (struct mh_expr_value){.type = MH_EXPR_TEXT, .text = mh_lex_text(lex)};
        if (!value->text)
            return mh_fail(reader->err, "out of memory");
        break;
    default:
        return unexpected(reader, "a value");
    }
    mh_lex_next(&reader->lex);
    return 0;
}

static int read_operand(struct reader *reader, struct operand *operand)
{
    if (reader->lex.word != MH_WORD_NAME)
        return read_literal(reader, &operand->value);
    if (read_field(reader, operand) != 0)
        return -1;
    mh_lex_next(&reader->lex);
    return 0;
}

/* May a value of type `given` stand beside a field of type `wanted`? */
static bool fits(enum mh_expr_type wanted, enum mh_expr_type given)
{
    return wanted == given || (wanted == MH_EXPR_REAL && given == MH_EXPR_WHOLE);
}

/* Milvus compares with a float field in its precision: x == 0.1 holds for what 0.1 was stored as. */
static void round_beside(const struct operand *field, struct mh_expr_value *literal)
{
    if (field->is_single)
        literal->real = (float)literal->real;
}

static bool is_comparison(enum mh_word word)
{
    return word >= MH_WORD_LESS && word <= MH_WORD_UNEQUAL;
}

static int check_comparison(const struct reader *reader, const struct mh_expr *expr)
{
    const struct operand *left = &expr->left, *right = &expr->right;
    const enum mh_expr_type l = left->value.type, r = right->value.type;
    if (!left->is_field && !right->is_field)
        return mh_fail(reader->err, "a comparison needs a field");
    if (left->is_field && right->is_field ? !fits(l, r) && !fits(r, l)
                                          : !(left->is_field ? fits(l, r) : fits(r, l)))
        return mh_fail(reader->err, "comparison of values of different types");
    if (l == MH_EXPR_BOOL && expr->sign != MH_WORD_EQUAL && expr->sign != MH_WORD_UNEQUAL)
        return mh_fail(reader->err, "true and false have no order");
    return 0;
}

static int keep_key(struct reader *reader, struct mh_expr *expr)
{
    const struct operand *value = expr->left.is_field ? &expr->right : &expr->left;
    if (expr->sign != MH_WORD_EQUAL || value->is_field || value->value.type != MH_EXPR_WHOLE)
        return 0;
    expr->keys = malloc(sizeof *expr->keys);
    if (!expr->keys)
        return mh_fail(reader->err, "out of memory");
    *expr->keys = value->value.whole;
    return 0;
}

/* 0 <= id < 100: both ends point the same way, and the field is in the middle. */
static int check_chain(const struct reader *reader, const struct mh_expr *low, enum mh_word sign)
{
    const bool rising = low->sign == MH_WORD_LESS || low->sign == MH_WORD_AT_MOST;
    const bool falling = low->sign == MH_WORD_MORE || low->sign == MH_WORD_AT_LEAST;
    const bool same = rising ? sign == MH_WORD_LESS || sign == MH_WORD_AT_MOST
                             : falling && (sign == MH_WORD_MORE || sign == MH_WORD_AT_LEAST);
    if (!same || !low->right.is_field)
        return mh_fail(reader->err,
                       "a chain of comparisons is written LOW <= field < HIGH or HIGH > field >= LOW");
    return 0;
}

/* From the sign on. */
static int read_comparison(struct reader *reader, struct mh_expr *expr)
{
    expr->kind = COMPARE;
    expr->sign = reader->lex.word;
    mh_lex_next(&reader->lex);
    if (read_operand(reader, &expr->right) != 0 || check_comparison(reader, expr) != 0)
        return -1;
    round_beside(&expr->left, &expr->right.value);
    round_beside(&expr->right, &expr->left.value);
    return keep_key(reader, expr);
}

static int read_high_end(struct reader *reader, const struct mh_expr *low, struct mh_expr *high)
{
    if (check_chain(reader, low, reader->lex.word) != 0)
        return -1;
    high->left = low->right;
    if (read_comparison(reader, high) != 0)
        return -1;
    return is_comparison(reader->lex.word) ? unexpected(reader, "the end of a chain of comparisons") : 0;
}

static struct mh_expr *read_chain(struct reader *reader, struct mh_expr *low)
{
    struct mh_expr *both = new_expr(reader, AND);
    if (!both) {
        mh_expr_free(low);
        return NULL;
    }
    both->first = low;
    low->next = new_expr(reader, COMPARE);
    if (low->next && read_high_end(reader, low, low->next) == 0)
        return both;
    mh_expr_free(both);
    return NULL;
}

static int compare(const struct mh_expr_value *a, const struct mh_expr_value *b)
{
    if (a->type == MH_EXPR_TEXT)
        return strcmp(a->text, b->text);
    if (a->type == MH_EXPR_REAL || b->type == MH_EXPR_REAL)
        return (a->real > b->real) - (a->real < b->real);
    return (a->whole > b->whole) - (a->whole < b->whole);
}

static int by_value(const void *a, const void *b)
{
    return compare(a, b);
}

static int add_value(struct reader *reader, struct mh_expr *expr)
{
    if (expr->count == expr->room) {
        const size_t room = expr->room ? 2 * expr->room : 16;
        struct mh_expr_value *grown = realloc(expr->values, room * sizeof *grown);
        if (!grown)
            return mh_fail(reader->err, "out of memory");
        expr->values = grown;
        expr->room = room;
    }
    struct mh_expr_value value = {0};
    if (read_literal(reader, &value) != 0)
        return -1;
    round_beside(&expr->left, &value);
    expr->values[expr->count++] = value;
    if (!fits(expr->left.value.type, value.type))
        return mh_fail(reader->err, "a value of another type than %s in a list",
                       reader->fields[expr->left.field].name);
    return 0;
}

/* A list may end in a comma, and may be empty. */
static int read_list(struct reader *reader, struct mh_expr *expr)
{
    if (!take(reader, MH_WORD_OPEN_LIST))
        return unexpected(reader, "a list");
    while (reader->lex.word != MH_WORD_CLOSE_LIST) {
        if (add_value(reader, expr) != 0)
            return -1;
        if (!take(reader, MH_WORD_COMMA) && reader->lex.word != MH_WORD_CLOSE_LIST)
            return unexpected(reader, "a comma or ]");
    }
    mh_lex_next(&reader->lex);
    return 0;
}

static int read_in(struct reader *reader, struct mh_expr *expr)
{
    expr->kind = IN;
    if (!expr->left.is_field)
        return mh_fail(reader->err, "only a field can be in a list");
    if (read_list(reader, expr) != 0)
        return -1;
    if (expr->count > 1)
        qsort(expr->values, expr->count, sizeof *expr->values, by_value);
    if (expr->left.value.type != MH_EXPR_WHOLE)
        return 0;
    expr->keys = malloc((expr->count + 1) * sizeof *expr->keys);
    if (!expr->keys)
        return mh_fail(reader->err, "out of memory");
    for (size_t i = 0; i < expr->count; i++)
        expr->keys[i] = expr->values[i].whole;
    return 0;
}

static bool is_wildcard(char c)
{
    return c == '%' || c == '_';
}

/* Cuts the wildcards at the end of a pattern and the backslashes before others. -1: one is elsewhere. */
static int cut_pattern(char *pattern, bool *prefix)
{
    size_t length = strlen(pattern);
    *prefix = false;
    while (length > 0 && is_wildcard(pattern[length - 1]) && (length < 2 || pattern[length - 2] != '\\')) {
        length--;
        *prefix = true;
    }
    char *end = pattern;
    for (const char *c = pattern; c < pattern + length; c++) {
        if (is_wildcard(*c))
            return -1;
        if (*c == '\\' && c + 1 < pattern + length && is_wildcard(c[1]))
            c++;
        *end++ = *c;
    }
    *end = 0;
    return 0;
}

static int read_like(struct reader *reader, struct mh_expr *expr)
{
    if (!expr->left.is_field || expr->left.value.type != MH_EXPR_TEXT)
        return mh_fail(reader->err, "like operation on a field that is no varchar is unsupported");
    if (reader->lex.word != MH_WORD_TEXT)
        return unexpected(reader, "a pattern");
    if (read_literal(reader, &expr->right.value) != 0)
        return -1;
    bool prefix;
    if (cut_pattern((char *)expr->right.value.text, &prefix) != 0)
        return mh_fail(reader->err, "unsupported pattern: only its end may be a wildcard");
    expr->kind = prefix ? PREFIX : COMPARE;
    expr->sign = MH_WORD_EQUAL;
    return 0;
}

static struct mh_expr *negate(struct reader *reader, struct mh_expr *part)
{
    struct mh_expr *whole = part ? new_expr(reader, NOT) : NULL;
    if (whole)
        whole->first = part;
    else
        mh_expr_free(part);
    return whole;
}

/* What begins with a field or a value. */
static struct mh_expr *read_term(struct reader *reader, bool like_only)
{
    struct mh_expr *expr = new_expr(reader, COMPARE);
    if (!expr || read_operand(reader, &expr->left) != 0)
        goto fail;
    const enum mh_word word = reader->lex.word;
    if (take(reader, MH_WORD_LIKE)) {
        if (read_like(reader, expr) != 0)
            goto fail;
        return expr;
    }
    if (like_only) {
        mh_fail(reader->err, "not takes what is in parentheses");
        goto fail;
    }
    if (is_comparison(word)) {
        if (read_comparison(reader, expr) != 0)
            goto fail;
        return is_comparison(reader->lex.word) ? read_chain(reader, expr) : expr;
    }
    const bool inverse = take(reader, MH_WORD_NOT);
    if (take(reader, MH_WORD_IN)) {
        if (read_in(reader, expr) != 0)
            goto fail;
        return inverse ? negate(reader, expr) : expr;
    }
    unexpected(reader, inverse ? "in" : "an operator");
fail:
    mh_expr_free(expr);
    return NULL;
}

static struct mh_expr *read_any(struct reader *reader);

static struct mh_expr *read_parentheses(struct reader *reader)
{
    struct mh_expr *expr = read_any(reader);
    if (expr && !take(reader, MH_WORD_CLOSE)) {
        unexpected(reader, ")");
        mh_expr_free(expr);
        return NULL;
    }
    return expr;
}

static struct mh_expr *read_part(struct reader *reader, bool after_not)
{
    if (++reader->depth > DEEPEST) {
        mh_fail(reader->err, "nested more than %d deep", DEEPEST);
        return NULL;
    }
    struct mh_expr *expr;
    if (take(reader, MH_WORD_NOT))
        expr = negate(reader, read_part(reader, true));
    else if (take(reader, MH_WORD_OPEN))
        expr = read_parentheses(reader);
    else
        expr = read_term(reader, after_not);
    reader->depth--;
    return expr;
}

static struct mh_expr *read_each(struct reader *reader)
{
    return read_part(reader, false);
}

/* One or more parts with `word` between them: a flat list, so that long ones are not deep. */
static struct mh_expr *read_parts(struct reader *reader, enum mh_word word, enum kind kind,
                                  struct mh_expr *(*read)(struct reader *))
{
    struct mh_expr *first = read(reader);
    if (!first || reader->lex.word != word)
        return first;
    struct mh_expr *whole = new_expr(reader, kind);
    if (!whole) {
        mh_expr_free(first);
        return NULL;
    }
    whole->first = first;
    for (struct mh_expr *last = first; take(reader, word); last = last->next) {
        last->next = read(reader);
        if (!last->next) {
            mh_expr_free(whole);
            return NULL;
        }
    }
    return whole;
}

static struct mh_expr *read_ands(struct reader *reader)
{
    return read_parts(reader, MH_WORD_AND, AND, read_each);
}

static struct mh_expr *read_any(struct reader *reader)
{
    return read_parts(reader, MH_WORD_OR, OR, read_ands);
}

static struct mh_expr *read_whole(struct reader *reader)
{
    mh_lex_next(&reader->lex);
    if (reader->lex.word == MH_WORD_END)
        return new_expr(reader, ALL);
    struct mh_expr *expr = read_any(reader);
    if (expr && reader->lex.word != MH_WORD_END) {
        unexpected(reader, "and, or, or the end");
        mh_expr_free(expr);
        return NULL;
    }
    return expr;
}

int mh_expr_parse(const char *text, const struct mh_expr_field *fields, size_t field_count,
                  struct mh_expr **out, struct mh_error *err)
{
    struct mh_error cause;
    struct reader reader = {.lex.at = text, .fields = fields, .field_count = field_count, .err = &cause};
    struct mh_expr *expr = read_whole(&reader);
    if (!expr)
        return mh_fail(err, "cannot parse expression: %.400s, error: %s", text, cause.text);
    *out = expr;
    return 0;
}

/* ---- asking ---- */

bool mh_expr_is_blank(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return *text == '\0';
}

bool mh_expr_is_empty(const struct mh_expr *expr)
{
    return expr->kind == ALL;
}

static struct mh_expr_value value_of(const struct operand *operand, const struct mh_expr_rows *rows,
                                     int64_t row)
{
    return operand->is_field ? rows->value(rows->rows, operand->field, row) : operand->value;
}

/* NaN is unequal to everything and in no order. */
static bool comparison_holds(const struct mh_expr *expr, const struct mh_expr_rows *rows, int64_t row)
{
    const struct mh_expr_value left = value_of(&expr->left, rows, row),
                               right = value_of(&expr->right, rows, row);
    if (left.type == MH_EXPR_REAL || right.type == MH_EXPR_REAL)
        if (left.real != left.real || right.real != right.real)
            return expr->sign == MH_WORD_UNEQUAL;
    const int order = compare(&left, &right);
    switch (expr->sign) {
    case MH_WORD_LESS:
        return order < 0;
    case MH_WORD_AT_MOST:
        return order <= 0;
    case MH_WORD_MORE:
        return order > 0;
    case MH_WORD_AT_LEAST:
        return order >= 0;
    case MH_WORD_EQUAL:
        return order == 0;
    default:
        return order != 0;
    }
}

static bool is_in(const struct mh_expr *expr, const struct mh_expr_value *value)
{
    if (value->type == MH_EXPR_REAL && value->real != value->real)
        return false;
    return expr->count > 0 &&
           bsearch(value, expr->values, expr->count, sizeof *expr->values, by_value) != NULL;
}

static bool is_prefix(const struct mh_expr *expr, const struct mh_expr_value *value)
{
    const char *prefix = expr->right.value.text;
    return strncmp(value->text, prefix, strlen(prefix)) == 0;
}

/* Does every part (AND), or one of them (OR)? */
static bool parts_hold(const struct mh_expr *expr, const struct mh_expr_rows *rows, int64_t row)
{
    for (const struct mh_expr *part = expr->first; part; part = part->next)
        if (mh_expr_holds(part, rows, row) != (expr->kind == AND))
            return expr->kind == OR;
    return expr->kind == AND;
}

bool mh_expr_holds(const struct mh_expr *expr, const struct mh_expr_rows *rows, int64_t row)
{
    struct mh_expr_value left;
    switch (expr->kind) {
    case ALL:
        return true;
    case AND:
    case OR:
        return parts_hold(expr, rows, row);
    case NOT:
        return !mh_expr_holds(expr->first, rows, row);
    case COMPARE:
        return comparison_holds(expr, rows, row);
    default:
        left = value_of(&expr->left, rows, row);
        return expr->kind == IN ? is_in(expr, &left) : is_prefix(expr, &left);
    }
}

const int64_t *mh_expr_keys(const struct mh_expr *expr, size_t key_field, size_t *count, bool *all)
{
    const struct mh_expr *part = expr->kind == AND ? expr->first : expr;
    for (; part; part = part->next) {
        const struct operand *field = part->left.is_field ? &part->left : &part->right;
        if (!part->keys || field->field != key_field)
            continue;
        *count = part->kind == IN ? part->count : 1;
        *all = part == expr;
        return part->keys;
    }
    return NULL;
}
