/* Filters of searches and queries, evaluated on what we wrote. */
#include "expr/expr.h"
#include "truth/hits.h"

#include <stdlib.h>
#include <string.h>

int mh_filter_open(struct mh_filter *filter, const struct mh_content *content)
{
    *filter = (struct mh_filter){.content = content};
    filter->fields = calloc(content->field_count, sizeof *filter->fields);
    filter->scratch = calloc(content->field_count, sizeof *filter->scratch);
    if (!filter->fields || !filter->scratch) {
        mh_filter_close(filter);
        return -1;
    }
    for (size_t f = 0; f < content->field_count; f++)
        filter->fields[f] = (struct mh_expr_field){content->fields[f].name, content->fields[f].type};
    return 0;
}

void mh_filter_close(struct mh_filter *filter)
{
    mh_expr_free(filter->expr);
    free(filter->text);
    free(filter->fields);
    free(filter->scratch);
    *filter = (struct mh_filter){0};
}

bool mh_filter_read(struct mh_filter *filter, const char *text)
{
    struct mh_error ignored;
    if (filter->text && strcmp(filter->text, text) == 0)
        return filter->expr != NULL;
    mh_expr_free(filter->expr);
    free(filter->text);
    filter->expr = NULL;
    filter->text = strdup(text);
    if (!filter->text || mh_expr_parse(filter->text, filter->fields, filter->content->field_count,
                                       &filter->expr, &ignored) != 0)
        filter->expr = NULL;
    return filter->expr != NULL;
}

struct one_row {
    const struct mh_filter *filter;
    int64_t id, version;
};

static struct mh_expr_value value_of(const void *rows, size_t field, int64_t row)
{
    const struct one_row *one = rows;
    const struct mh_content *content = one->filter->content;
    struct mh_scalar *scalar = &one->filter->scratch[field];
    (void)row;
    mh_content_scalar(content, field, one->id, one->version, scalar);
    switch (content->fields[field].type) {
    case MH_FIELD_VARCHAR:
        return (struct mh_expr_value){.type = MH_EXPR_TEXT, .text = scalar->text};
    case MH_FIELD_BOOL:
        return (struct mh_expr_value){.type = MH_EXPR_BOOL, .whole = scalar->whole};
    case MH_FIELD_FLOAT:
    case MH_FIELD_DOUBLE:
        return (struct mh_expr_value){.type = MH_EXPR_REAL, .real = scalar->real};
    default:
        return (struct mh_expr_value){
            .type = MH_EXPR_WHOLE, .whole = scalar->whole, .real = (double)scalar->whole};
    }
}

bool mh_filter_holds(const struct mh_filter *filter, int64_t id, int64_t version)
{
    const struct one_row one = {filter, id, version};
    const struct mh_expr_rows rows = {value_of, &one};
    return mh_expr_is_empty(filter->expr) || mh_expr_holds(filter->expr, &rows, 0);
}
