#include "job/print.h"

#include "job/memory.h"
#include "job/names.h"
#include "job/rows.h"
#include "job/value.h"

/* Where the columns start; a page is 100 wide. The help stands below its option. */
#define TYPE_AT    20
#define DEFAULT_AT 34
#define ALLOWED_AT 60
#define HELP_DEPTH 6
#define PAGE       100

static const char *type_name(const struct mh_option *row)
{
    switch (row->type) {
    case MH_OPTION_SECTION:
        return "section";
    case MH_OPTION_LIST:
        return "list";
    case MH_OPTION_THRESHOLDS:
        return "mapping";
    case MH_OPTION_TEXTS:
        return row->max == 1 ? "text" : "texts";
    default:
        return mh_value_type(row->type)->name;
    }
}

/* Moves on to column `at`, on a line of its own if that lies behind. Returns at. */
static size_t go_to(FILE *out, size_t column, size_t at)
{
    if (column >= at && column > 0) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", (int)(at - column), "");
    return at;
}

/* Words from column `at` on, broken before the page's edge. Returns the column behind them. */
static size_t put_words(FILE *out, const char *text, size_t column, size_t at)
{
    if (!*text)
        return column;
    column = go_to(out, column, at);
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column > at && column + 1 + length > PAGE)
            column = go_to(out, PAGE, at);
        column += (size_t)fprintf(out, "%s%.*s", column > at ? " " : "", (int)length, text);
        text += length + strspn(text + length, " ");
    }
    return column;
}

static const char *default_text(const struct mh_option *row)
{
    if (row->required)
        return "required";
    return row->fallback ? row->fallback : "-";
}

static const char *allowed_text(const struct mh_option *row, char *text, size_t size)
{
    if (row->choices)
        return mh_join(row->choices, mh_choice_count(row), ", ", text, size);
    return row->min == row->max ? "" : mh_value_range(row, text, size);
}

static void put_row(FILE *out, const struct mh_option *row, size_t indent)
{
    char allowed[600];
    size_t column = put_words(out, row->name, 0, indent);
    column = put_words(out, type_name(row), column, TYPE_AT);
    if (row->type != MH_OPTION_SECTION)
        column = put_words(out, default_text(row), column, DEFAULT_AT);
    put_words(out, allowed_text(row, allowed, sizeof allowed), column, ALLOWED_AT);
    fputc('\n', out);
    put_words(out, row->help ? row->help : "", 0, indent + HELP_DEPTH);
    fputc('\n', out);
}

static void put_rows(FILE *out, const struct mh_option *rows, size_t indent)
{
    for (const struct mh_option *row = rows; row && row->name; row++) {
        put_row(out, row, indent);
        if (row->rows)
            put_rows(out, row->rows, indent + 2);
    }
}

static void put_kinds(FILE *out, const struct mh_role_kind *const *kinds)
{
    for (; *kinds; kinds++) {
        fprintf(out, "\nrole: %s\n", (*kinds)->name);
        put_words(out, (*kinds)->help, 0, HELP_DEPTH);
        fputc('\n', out);
        put_rows(out, (*kinds)->options, 2);
    }
}

static void print_table(FILE *out, const struct mh_role_kind *const *kinds)
{
    fprintf(out, "%-*s%-*s%-*s%s\n", TYPE_AT, "OPTION", DEFAULT_AT - TYPE_AT, "TYPE", ALLOWED_AT - DEFAULT_AT,
            "DEFAULT", "ALLOWED");
    for (const struct mh_option *row = mh_job_rows; row->name; row++) {
        fputc('\n', out);
        put_row(out, row, 0);
        put_rows(out, row->rows, 2);
    }
    put_kinds(out, kinds);
}

static void print_json(FILE *out, const struct mh_role_kind *const *kinds)
{
    json_t *schema = mh_job_schema(kinds);
    json_dumpf(schema, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(schema);
}

void mh_job_print_options(FILE *out, const struct mh_role_kind *const *kinds, bool json)
{
    if (json)
        print_json(out, kinds);
    else
        print_table(out, kinds);
}
