/* Expressions: by hand, against values worked out while random ones are written, and nonsense. */
#include "expr/expr.h"
#include "base/random.h"
#include "job/job.h"

#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    int64_t id, size;
    float ratio;
    double exact;
    const char *name;
    bool flag;
};

static const struct row rows[] = {
    {-3, 7, 0.1f, 0.1, "", false},
    {0, -1, 2.5f, 1e300, "prefix", true},
    {1, 100, -0.5f, -2, "prefix1_1_v0", true},
    {2, 0, 3, 3, "pre%_x", false},
    {99, 5, NAN, NAN, "it's \"so\"", true},
    {100, 5, 0, 0, "b", false},
    {INT64_MAX, 3, 1e30f, 9.2e18, "ba", true},
    {INT64_MIN, 4, 7, 7, "\xc3\xa9", false},
};
enum { ID, SIZE, RATIO, EXACT, NAME, FLAG, VECTOR };
static const struct mh_expr_field fields[] = {
    [ID] = {"id", MH_FIELD_INT64},
    [SIZE] = {"size", MH_FIELD_INT16},
    [RATIO] = {"ratio", MH_FIELD_FLOAT},
    [EXACT] = {"exact", MH_FIELD_DOUBLE},
    [NAME] = {"name", MH_FIELD_VARCHAR},
    [FLAG] = {"flag", MH_FIELD_BOOL},
    [VECTOR] = {"vector", MH_FIELD_FLOAT_VECTOR},
};

static struct mh_expr_value value_of(const void *context, size_t field, int64_t at)
{
    const struct row *row = (const struct row *)context + at;
    switch (field) {
    case ID:
    case SIZE: {
        int64_t whole = field == ID ? row->id : row->size;
        return (struct mh_expr_value){.type = MH_EXPR_WHOLE, .whole = whole, .real = (double)whole};
    }
    case RATIO:
    case EXACT:
        return (struct mh_expr_value){.type = MH_EXPR_REAL, .real = field == RATIO ? row->ratio : row->exact};
    case NAME:
        return (struct mh_expr_value){.type = MH_EXPR_TEXT, .text = row->name};
    default:
        return (struct mh_expr_value){.type = MH_EXPR_BOOL, .whole = row->flag};
    }
}

static const struct mh_expr_rows all_rows = {value_of, rows};

static struct mh_expr *parse(const char *text)
{
    struct mh_expr *expr = NULL;
    struct mh_error err = {""};
    if (mh_expr_parse(text, fields, COUNT(fields), &expr, &err) != 0)
        fail_msg("%s", err.text);
    return expr;
}

/* ---- by hand ---- */

/* Position i of the answer is row i: 1 where the expression holds. */
static const struct {
    const char *text, *answer;
} good[] = {
    {"", "11111111"},
    {" \t\n", "11111111"},
    {"id in [1, 2,100]", "00110100"},
    {"id in [ -3 ]", "10000000"},
    {"id in [1,]", "00100000"},
    {"id in []", "00000000"},
    {"id not in []", "11111111"},
    {"id not in [1, 2]", "11001111"},
    {"id in [9223372036854775807, -9223372036854775808]", "00000011"},
    {"id >= 0 and id < 100", "01111000"},
    {"id>=0&&id<100", "01111000"},
    {"id >= 0 or id < 0", "11111111"},
    {"id < 0 || id == 1", "10100001"},
    {"id == 1 or id == 2 and size == 100", "00100000"},
    {"(id == 1 or id == 2) and size == 100", "00100000"},
    {"id == 2 and size == 100 or id == 1", "00100000"},
    {"id == 0 or id == 2 and size == 100", "01000000"},
    {"0 <= id < 100", "01111000"},
    {"0<id<=99", "00111000"},
    {"100 > id >= 0", "01111000"},
    {"100 >= id > 0 and size == 5", "00001100"},
    {"5 == size", "00001100"},
    {"5 < size", "10100000"},
    {"-1 >= size", "01000000"},
    {"id != 1", "11011111"},
    {"not (id == 1)", "11011111"},
    {"!(id == 1)", "11011111"},
    {"not not (id == 1)", "00100000"},
    {"not(id in [1,2]) and not (size > 4)", "01000011"},
    {"not name like \"pre%\"", "10001111"},
    {"((((id == 1))))", "00100000"},
    {"size == id", "00000000"},
    {"id < size", "10100001"},
    {"name like \"prefix%\"", "01100000"},
    {"name like 'prefix'", "01000000"},
    {"name like \"prefix1%%\"", "00100000"},
    {"name LIKE \"pre\\%\\_x\"", "00010000"},
    {"name like \"pre\\%%\"", "00010000"},
    {"name like \"%\"", "11111111"},
    {"name like \"\"", "10000000"},
    {"name == \"\"", "10000000"},
    {"name == 'it\\'s \"so\"'", "00001000"},
    {"name == \"it's \\\"so\\\"\"", "00001000"},
    {"name in [\"b\", 'ba', \"nobody\"]", "00000110"},
    {"name not in [\"b\", 'ba']", "11111001"},
    {"name >= \"b\" and name < \"c\"", "00000110"},
    {"\"b\" <= name < \"ba\"", "00000100"},
    {"name == \"\xc3\xa9\"", "00000001"},
    {"ratio == 0.1", "10000000"},
    {"exact == 0.1", "10000000"},
    {"ratio in [0.1, 3]", "10010000"},
    {"ratio > 2", "01010011"},
    {"ratio != 2.5", "10111111"},
    {"ratio < 1e5 and ratio > -.5", "11010101"},
    {"exact >= 7", "01000011"},
    {"exact not in [7]", "11111110"},
    {"-2.5 < exact < 1", "10100100"},
    {"ratio == exact", "00010101"},
    {"flag == true", "01101010"},
    {"False == flag", "10010101"},
    {"flag != TRUE", "10010101"},
    {"flag in [true]", "01101010"},
};

static void by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct mh_expr *expr = parse(good[i].text);
        char answer[COUNT(rows) + 1] = "";
        for (size_t row = 0; row < COUNT(rows); row++)
            answer[row] = mh_expr_holds(expr, &all_rows, (int64_t)row) ? '1' : '0';
        if (strcmp(answer, good[i].answer) != 0)
            fail_msg("%s: %s, expected %s", good[i].text, answer, good[i].answer);
        assert_int_equal(mh_expr_is_empty(expr), i < 2);
        mh_expr_free(expr);
    }
}

static const struct {
    const char *text, *cause;
} bad[] = {
    {"id", "an operator"},
    {"id >", "it ends where a value should be"},
    {"id > 1 and", "it ends where a value should be"},
    {"id > 1 id < 2", "'id' where and, or, or the end"},
    {"nope > 1", "field nope not exist"},
    {"i > 1", "field i not exist"},
    {"idd > 1", "field idd not exist"},
    {"id = 1", "means nothing here: ="},
    {"id == 1.5", "different types"},
    {"id == \"1\"", "different types"},
    {"name == 1", "different types"},
    {"name < true", "different types"},
    {"ratio == \"x\"", "different types"},
    {"name == id", "different types"},
    {"flag < true", "no order"},
    {"1 == 1", "needs a field"},
    {"true", "an operator"},
    {"vector == 1", "is a vector"},
    {"id in", "a list"},
    {"id in 1", "a list"},
    {"id in [1", "a comma or ]"},
    {"id in [1 2]", "a comma or ]"},
    {"id in [,]", "a value"},
    {"id in [1,,2]", "a value"},
    {"id in [1.5]", "of another type than id"},
    {"id in [\"a\", \"b\"]", "of another type than id"},
    {"id in [size]", "a value"},
    {"1 in [1]", "only a field"},
    {"id not [1]", "in"},
    {"not id == 1", "parentheses"},
    {"not id in [1]", "parentheses"},
    {"name like prefix", "a pattern"},
    {"id like \"1%\"", "like operation"},
    {"\"a\" like \"a%\"", "like operation"},
    {"name like \"a%b\"", "unsupported pattern"},
    {"name like \"%b\"", "unsupported pattern"},
    {"name like \"a_b%\"", "unsupported pattern"},
    {"(id == 1", "it ends where )"},
    {"id == 1)", "')' where"},
    {"()", "a value"},
    {"1 < id > 0", "chain of comparisons"},
    {"1 == id == 1", "chain of comparisons"},
    {"id < 5 < 7", "chain of comparisons"},
    {"\"a\" < name < \"b\" < \"c\"", "end of a chain"},
    {"name > \"a\" > \"b\"", "chain of comparisons"},
    {"1 < id < \"b\"", "different types"},
    {"name == \"a", "text without an end"},
    {"name == \"a\\\"", "text without an end"},
    {"id == 9223372036854775808", "integer out of range"},
    {"id == -9223372036854775809", "integer out of range"},
    {"exact == 1e999", "number out of range"},
    {"id == 12x", "letters after a number"},
    {"id == 0x10", "letters after a number"},
    {"exact == 1e", "letters after a number"},
    {"id == 1 & size == 1", "means nothing here: &"},
    {"id == $", "means nothing here: $"},
    {"and", "'and' where"},
};

static void refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct mh_expr *expr = NULL;
        struct mh_error err = {""};
        if (mh_expr_parse(bad[i].text, fields, COUNT(fields), &expr, &err) == 0)
            fail_msg("%s: taken", bad[i].text);
        assert_null(expr);
        char begin[128];
        snprintf(begin, sizeof begin, "cannot parse expression: %s, error: ", bad[i].text);
        if (strncmp(err.text, begin, strlen(begin)) != 0 || !strstr(err.text + strlen(begin), bad[i].cause))
            fail_msg("%s\n  should say: %s", err.text, bad[i].cause);
    }
}

/* Depth is bounded, length is not. */
static void deep_and_long(void **state)
{
    (void)state;
    enum { TERMS = 50000 };
    char *text = malloc(TERMS * 20), *end = text;
    struct mh_expr *expr = NULL;
    struct mh_error err;
    memset(text, '(', TERMS);
    text[TERMS] = 0;
    assert_int_equal(mh_expr_parse(text, fields, COUNT(fields), &expr, &err), -1);
    assert_non_null(strstr(err.text, "nested more than"));
    for (int i = 0; i < TERMS; i++)
        end += sprintf(end, "%sid == %d", i ? " or " : "", i);
    expr = parse(text);
    assert_true(mh_expr_holds(expr, &all_rows, 4));
    assert_false(mh_expr_holds(expr, &all_rows, 7));
    mh_expr_free(expr);
    free(text);
}

static const struct {
    const char *text, *keys; /* NULL: names none */
    bool all;
} keyed[] = {
    {"id in [3, 1, 3]", "1 3 3 ", true},
    {"id in []", "", true},
    {"id == 5", "5 ", true},
    {"5 == id", "5 ", true},
    {"id in [1,2] and size > 3", "1 2 ", false},
    {"size > 3 and id == 2", "2 ", false},
    {"id in [1] or size > 3", NULL, false},
    {"not (id in [1])", NULL, false},
    {"id not in [1]", NULL, false},
    {"id != 1", NULL, false},
    {"size == 1", NULL, false},
    {"exact == 1", NULL, false},
    {"id == size", NULL, false},
    {"id >= 1 and id < 5", NULL, false},
    {"", NULL, false},
};

static void keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(keyed); i++) {
        struct mh_expr *expr = parse(keyed[i].text);
        size_t count = 99;
        bool all = false;
        const int64_t *found = mh_expr_keys(expr, ID, &count, &all);
        if ((found == NULL) != (keyed[i].keys == NULL))
            fail_msg("%s: %s", keyed[i].text, found ? "names keys" : "names none");
        if (found) {
            char text[64] = "";
            for (size_t k = 0; k < count; k++)
                sprintf(text + strlen(text), "%lld ", (long long)found[k]);
            assert_string_equal(text, keyed[i].keys);
            assert_int_equal(all, keyed[i].all);
        }
        mh_expr_free(expr);
    }
}

/* ---- random expressions, whose value is worked out from the pieces as they are written ---- */

struct writer {
    struct mh_random random;
    const struct row *row;
    char text[1 << 16];
    size_t used;
};

static void put(struct writer *w, const char *piece)
{
    w->used += (size_t)snprintf(w->text + w->used, sizeof w->text - w->used, "%s%s", piece,
                                mh_random_below(&w->random, 3) ? " " : "  ");
}

static uint64_t draw(struct writer *w, uint64_t bound)
{
    return mh_random_below(&w->random, bound);
}

static bool write_size(struct writer *w)
{
    static const char *const signs[] = {"<", "<=", ">", ">=", "==", "!="};
    const int64_t limit = (int64_t)draw(w, 12) - 2, size = w->row->size;
    const bool holds[] = {size<limit, size <= limit, size> limit, size >= limit, size == limit,
                          size != limit};
    const size_t sign = draw(w, 6);
    char piece[64];
    sprintf(piece, "size %s %lld", signs[sign], (long long)limit);
    put(w, piece);
    return holds[sign];
}

static bool write_range(struct writer *w)
{
    const int64_t low = (int64_t)draw(w, 6) - 4, high = (int64_t)draw(w, 102);
    char piece[64];
    sprintf(piece, draw(w, 2) ? "%lld <= id < %lld" : "id >= %lld and id < %lld", (long long)low,
            (long long)high);
    const bool chain = strstr(piece, "and") == NULL;
    put(w, chain ? "" : "(");
    put(w, piece);
    put(w, chain ? "" : ")");
    return low <= w->row->id && w->row->id < high;
}

static bool write_list(struct writer *w)
{
    const bool inverse = draw(w, 2);
    const uint64_t count = draw(w, 5);
    bool found = false;
    put(w, inverse ? "id not in [" : "id in [");
    for (uint64_t i = 0; i < count; i++) {
        const int64_t key = (int64_t)draw(w, 5) - 2;
        char piece[32];
        sprintf(piece, "%s%lld", i ? "," : "", (long long)key);
        put(w, piece);
        found |= key == w->row->id;
    }
    put(w, "]");
    return found != inverse;
}

static bool write_name(struct writer *w)
{
    static const char *const prefixes[] = {"pre", "b", "prefix", "ba", ""};
    const char *prefix = prefixes[draw(w, COUNT(prefixes))];
    const bool whole = draw(w, 2);
    char piece[64];
    sprintf(piece, "name like \"%s%s\"", prefix, whole ? "" : "%");
    put(w, piece);
    return whole ? strcmp(w->row->name, prefix) == 0 : strstr(w->row->name, prefix) == w->row->name;
}

static bool write_any(struct writer *w, int depth);

static bool write_joined(struct writer *w, int depth, bool is_and)
{
    bool value = is_and;
    const uint64_t parts = 2 + draw(w, 2);
    for (uint64_t i = 0; i < parts; i++) {
        if (i)
            put(w, is_and ? "and" : "||");
        put(w, "(");
        const bool part = write_any(w, depth - 1);
        put(w, ")");
        value = is_and ? value && part : value || part;
    }
    return value;
}

static bool write_any(struct writer *w, int depth)
{
    static bool (*const leaves[])(struct writer *) = {write_size, write_range, write_list, write_name};
    if (depth == 0 || draw(w, 4) == 0)
        return leaves[draw(w, COUNT(leaves))](w);
    if (draw(w, 3))
        return write_joined(w, depth, draw(w, 2));
    put(w, draw(w, 2) ? "not (" : "!(");
    const bool value = !write_any(w, depth - 1);
    put(w, ")");
    return value;
}

static void random_ones(void **state)
{
    (void)state;
    static struct writer w;
    int held = 0;
    for (uint64_t round = 0; round < 20000; round++) {
        const size_t row = round % COUNT(rows);
        w = (struct writer){.random = {.seed = 7, .stream = round}, .row = &rows[row]};
        const bool wanted = write_any(&w, 4);
        struct mh_expr *expr = parse(w.text);
        if (mh_expr_holds(expr, &all_rows, (int64_t)row) != wanted)
            fail_msg("row %zu: %s", row, w.text);
        held += wanted;
        mh_expr_free(expr);
    }
    assert_in_range(held, 5000, 15000);
}

static const char *const pieces[] = {
    "id",
    "size",
    "ratio",
    "exact",
    "name",
    "flag",
    "vector",
    "in",
    "not",
    "like",
    "and",
    "or",
    "&&",
    "||",
    "!",
    "(",
    ")",
    "[",
    "]",
    ",",
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
    "=",
    "1",
    "-5",
    "1.5",
    "9223372036854775808",
    "\"a%\"",
    "'b'",
    "\"",
    "\\",
    "true",
    "id == 1",
    "id in [1,2]",
    "name like \"a%\"",
    "0 <= id < 5",
    "name in [\"x\"]",
};

/* Pieces of the language in any order, with letters of it changed now and then: it parses or it does not, and
 * what parses can be asked. */
static void nonsense(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 11};
    int taken = 0;
    for (int round = 0; round < 200000; round++) {
        char text[512] = "";
        const uint64_t count = 1 + mh_random_below(&random, 9);
        for (uint64_t i = 0; i < count; i++) {
            strcat(text, pieces[mh_random_below(&random, COUNT(pieces))]);
            strcat(text, mh_random_below(&random, 5) ? " " : "");
        }
        if (mh_random_below(&random, 4) == 0)
            text[mh_random_below(&random, strlen(text))] = (char)(1 + mh_random_below(&random, 255));
        struct mh_expr *expr = NULL;
        struct mh_error err = {""};
        const int rc = mh_expr_parse(text, fields, COUNT(fields), &expr, &err);
        assert_true(rc == 0 ? expr != NULL : err.text[0] != 0);
        for (size_t row = 0; rc == 0 && row < COUNT(rows); row++)
            mh_expr_holds(expr, &all_rows, (int64_t)row);
        taken += rc == 0;
        mh_expr_free(expr);
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand), cmocka_unit_test(refused),     cmocka_unit_test(deep_and_long),
        cmocka_unit_test(keys),    cmocka_unit_test(random_ones), cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
