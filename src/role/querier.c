/* Querier: rows, or their number, by expression. */
#include "role/reader.h"

#include "expr/expr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_ROWS(BASE, AT)                                                                                 \
    {.name = "expression",                                                                                   \
     .type = MH_OPTION_TEXT,                                                                                 \
     MH_READ_AT(BASE, AT, expression),                                                                       \
     .fallback = "",                                                                                         \
     .help = "rows that are asked for; {id}, {prefix} and {FROM..TO} are drawn anew for each query"},        \
        {.name = "limit",                                                                                    \
         .type = MH_OPTION_INT,                                                                              \
         MH_READ_AT(BASE, AT, limit),                                                                        \
         .fallback = "100",                                                                                  \
         .min = 0,                                                                                           \
         .max = 1e6,                                                                                         \
         .unit = "rows",                                                                                     \
         .help = "most rows of an answer (Milvus gives at most 16,384); 0: none is sent"},                   \
        {.name = "returns",                                                                                  \
         .type = MH_OPTION_CHOICE,                                                                           \
         MH_READ_AT(BASE, AT, returns),                                                                      \
         .fallback = "rows",                                                                                 \
         .choices = mh_returns_names,                                                                        \
         .help = "rows, or count: their number, by count(*)"},                                               \
        {.name = "output",                                                                                   \
         .type = MH_OPTION_TEXTS,                                                                            \
         MH_READ_AT(BASE, AT, output),                                                                       \
         .help = "fields of the answer; without it, every field but vectors"},                               \
        {.name = "iterator",                                                                                 \
         .type = MH_OPTION_BOOL,                                                                             \
         MH_READ_AT(BASE, AT, iterator),                                                                     \
         .fallback = "false",                                                                                \
         .help = "goes through all rows by pages of `limit`, in the order of keys; each page is an "         \
                 "operation"},                                                                               \
        MH_READ_COMMON_ROWS(BASE, AT)

static const struct mh_option mix_rows[] = {QUERY_ROWS(MH_IN_SECTION, 0), {0}};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    MH_ROLE_INFLIGHT("1"),
    MH_ROLE_RATE,
    MH_ROLE_ARRIVAL,
    MH_ROLE_STEPS,
    MH_ROLE_WARMUP,
    MH_ROLE_OPS,
    MH_ROLE_FOR,
    MH_READ_BOUND(offsetof(struct mh_reader_options, bound_ns)),
    {.name = "mix",
     .type = MH_OPTION_LIST,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_reader_options, mix),
     .min = 1,
     .max = 100,
     .unit = "kinds",
     .rows = mix_rows,
     .item_size = sizeof(struct mh_read_options),
     .help = "kinds of query, drawn by weight; without it, the one that the options here say"},
    QUERY_ROWS(MH_IN_OWN, offsetof(struct mh_reader_options, alone)),
    {0},
};

/* ---- iterators ---- */

/* One iterator: pages of the lowest keys behind the last one, until a page is not full. */
struct cursor {
    bool open;              /* has begun, and its last page was full */
    const struct mh_op *op; /* its page under way; NULL: none */
    int item;               /* its kind of read */
    int64_t last;           /* largest key so far; INT64_MIN: none */
    char *expression;       /* its own */
};

struct querier {
    struct mh_reader reader; /* first: the hooks that both roles share take it */
    struct cursor *cursors;  /* as many as operations at once */
    int64_t cursor_count;
};

static struct cursor *find_cursor(struct querier *querier, bool open, const struct mh_op *op)
{
    for (int64_t i = 0; i < querier->cursor_count; i++)
        if (querier->cursors[i].open == open && querier->cursors[i].op == op)
            return &querier->cursors[i];
    return NULL;
}

static enum mh_next begin_iterator(struct querier *querier, struct mh_op *op)
{
    struct cursor *cursor = find_cursor(querier, false, NULL); /* there are as many as operations */
    free(cursor->expression);
    *cursor = (struct cursor){true, op, op->read.item, INT64_MIN, strdup(op->read.text)};
    return cursor->expression ? MH_NEXT_SEND : MH_NEXT_NO_MEMORY;
}

static enum mh_next next_page(struct mh_role *role, struct cursor *cursor, struct mh_op *op)
{
    struct mh_read *read = &op->read;
    const bool alone = mh_expr_is_blank(cursor->expression);
    char *text;
    const int length =
        asprintf(&text, "%s%s%s%s > %lld", alone ? "" : "(", cursor->expression, alone ? "" : ") and ",
                 mh_content_key_name(role->content), (long long)cursor->last);
    if (length < 0)
        return MH_NEXT_NO_MEMORY;
    free(read->text);
    read->text = text;
    read->text_room = (size_t)length + 1;
    cursor->op = op;
    read->item = cursor->item;
    mh_reader_ask(role, op);
    op->request.kind = MH_OP_QUERY;
    return MH_NEXT_SEND;
}

static int64_t highest_key(const struct mh_role *role, const struct mh_op *op, int64_t *rows)
{
    const int64_t *ids;
    int64_t highest = INT64_MIN;
    *rows = mh_content_keys(role->content, &op->reply, &ids);
    for (int64_t i = 0; i < *rows; i++)
        if (ids[i] > highest)
            highest = ids[i];
    return highest;
}

/* An iterator ends with a page that is not full, or that failed, or that brings it no further. */
static void done(struct mh_role *role, const struct mh_op *op)
{
    struct querier *querier = role->state;
    struct cursor *cursor = find_cursor(querier, true, op);
    int64_t rows = 0;
    if (!cursor)
        return;
    const int64_t highest = op->outcome == MH_OUTCOME_OK ? highest_key(role, op, &rows) : INT64_MIN;
    cursor->open = rows > 0 && rows >= op->request.limit && highest > cursor->last;
    cursor->op = NULL;
    cursor->last = highest;
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    static const char *const count[] = {"count(*)"};
    struct querier *querier = role->state;
    struct cursor *waiting = find_cursor(querier, true, NULL);
    if (waiting)
        return next_page(role, waiting, op);
    const struct mh_read_options *item = mh_reader_draw(role, op);
    if (!item)
        return MH_NEXT_NO_MEMORY;
    op->request.kind = MH_OP_QUERY;
    if (item->returns == MH_RETURNS_COUNT) {
        op->request.output_fields = count;
        op->request.output_count = 1;
        op->request.limit = 0; /* Milvus counts all or none */
    }
    return item->iterator ? begin_iterator(querier, op) : MH_NEXT_SEND;
}

static int init(struct mh_role *role, struct mh_error *err)
{
    struct querier *querier = role->state;
    const int64_t slots = mh_role_slots(role->options);
    querier->cursors = calloc((size_t)slots, sizeof *querier->cursors);
    if (!querier->cursors)
        return mh_fail(err, "out of memory");
    querier->cursor_count = slots;
    return mh_reader_init(role, err);
}

static void fini(struct mh_role *role)
{
    struct querier *querier = role->state;
    for (int64_t i = 0; i < querier->cursor_count; i++)
        free(querier->cursors[i].expression);
    free(querier->cursors);
    mh_reader_fini(role);
}

const struct mh_role_ops mh_role_querier = {
    .kind = {.name = "querier",
             .help = "asks for rows, or their number, by expression",
             .options = options,
             .own_size = sizeof(struct mh_reader_options)},
    .order = 3,
    .reads = true,
    .bound_ns = mh_reader_bound_ns,
    .state_size = sizeof(struct querier),
    .check = mh_reader_check,
    .init = init,
    .next = next,
    .done = done,
    .fini = fini,
};
