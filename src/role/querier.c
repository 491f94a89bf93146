/* Querier: rows, or their number, by expression. */
#include "role/reader.h"

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

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    static const char *const count[] = {"count(*)"};
    const struct mh_read_options *item = mh_reader_draw(role, op);
    if (!item)
        return MH_NEXT_NO_MEMORY;
    op->request.kind = MH_OP_QUERY;
    if (item->returns == MH_RETURNS_COUNT) {
        op->request.output_fields = count;
        op->request.output_count = 1;
        op->request.limit = 0; /* Milvus counts all or none */
    }
    return MH_NEXT_SEND;
}

const struct mh_role_ops mh_role_querier = {
    .kind = {.name = "querier",
             .help = "asks for rows, or their number, by expression",
             .options = options,
             .own_size = sizeof(struct mh_reader_options)},
    .order = 3,
    .reads = true,
    .state_size = sizeof(struct mh_reader),
    .check = mh_reader_check,
    .init = mh_reader_init,
    .next = next,
    .fini = mh_reader_fini,
};
