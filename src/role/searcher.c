/* Searcher: nearest rows to vectors of the data set's queries, with filters and ranges. */
#include "role/reader.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SEARCH_ROWS(BASE, AT)                                                                                \
    {.name = "topk",                                                                                         \
     .type = MH_OPTION_INT,                                                                                  \
     MH_READ_AT(BASE, AT, limit),                                                                            \
     .fallback = "10",                                                                                       \
     .min = 1,                                                                                               \
     .max = 1e6,                                                                                             \
     .unit = "hits",                                                                                         \
     .help = "hits wanted for each query vector (Milvus gives at most 16,384)"},                             \
        {.name = "filter",                                                                                   \
         .type = MH_OPTION_TEXT,                                                                             \
         MH_READ_AT(BASE, AT, expression),                                                                   \
         .fallback = "",                                                                                     \
         .help = "expression that hits must satisfy; {id}, {prefix} and {FROM..TO} are drawn anew for "      \
                 "each search"},                                                                             \
        {.name = "params",                                                                                   \
         .type = MH_OPTION_PARAMS,                                                                           \
         MH_READ_AT(BASE, AT, params),                                                                       \
         .help = "search parameters of the index, as {nprobe: 16} or {ef: 64}"},                             \
        {.name = "radius",                                                                                   \
         .type = MH_OPTION_CHOICE,                                                                           \
         MH_READ_AT(BASE, AT, radius),                                                                       \
         .fallback = "none",                                                                                 \
         .choices = mh_operand_names,                                                                        \
         .help = "random: a range search, its radius drawn from the data's own distances"},                  \
        {.name = "range_filter",                                                                             \
         .type = MH_OPTION_CHOICE,                                                                           \
         MH_READ_AT(BASE, AT, range_filter),                                                                 \
         .fallback = "none",                                                                                 \
         .choices = mh_operand_names,                                                                        \
         .help = "random: leaves out rows that are nearer than a random distance below the radius"},         \
        {.name = "share",                                                                                    \
         .type = MH_OPTION_RATIO,                                                                            \
         MH_READ_AT(BASE, AT, share),                                                                        \
         .fallback = "1%",                                                                                   \
         .min = 0,                                                                                           \
         .max = 1,                                                                                           \
         .help = "of the rows, at most, lie within a random radius"},                                        \
        {.name = "output",                                                                                   \
         .type = MH_OPTION_TEXTS,                                                                            \
         MH_READ_AT(BASE, AT, output),                                                                       \
         .help = "fields that hits bring along; without it, key and distance alone"},                        \
        MH_READ_COMMON_ROWS(BASE, AT)

static const struct mh_option mix_rows[] = {SEARCH_ROWS(MH_IN_SECTION, 0), {0}};

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
    {.name = "nq",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_reader_options, queries),
     .fallback = "1",
     .min = 1,
     .max = MH_MOST_QUERIES,
     .unit = "vectors",
     .help = "query vectors of one search"},
    {.name = "mix",
     .type = MH_OPTION_LIST,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_reader_options, mix),
     .min = 1,
     .max = 100,
     .unit = "kinds",
     .rows = mix_rows,
     .item_size = sizeof(struct mh_read_options),
     .help = "kinds of search, drawn by weight; without it, the one that the options here say"},
    SEARCH_ROWS(MH_IN_OWN, offsetof(struct mh_reader_options, alone)),
    {0},
};

static int init(struct mh_role *role, struct mh_error *err)
{
    const struct mh_reader_options *own = role->options->own;
    const int64_t rows = role->content->dataset->query_rows;
    if (own->queries > rows)
        return mh_fail(err, "%s: stages.%s.searcher.nq: is %lld, but the data set has %lld query vectors",
                       role->job->path, role->job->stages[role->worker->stage].name, (long long)own->queries,
                       (long long)rows);
    return mh_reader_init(role, err);
}

/* ---- one search ---- */

/* A random distance between the nearest and the radius: what is nearer is left out. */
static double draw_range_filter(struct mh_role *role, const struct mh_read *read, double share)
{
    const bool larger_is_nearer = role->job->collection.index.metric != MH_METRIC_L2;
    double filter = mh_reader_radius(role, share);
    if (!isnan(read->radius) && (larger_is_nearer ? filter <= read->radius : filter >= read->radius))
        filter = NAN; /* no row could lie between */
    return filter;
}

/* A range that the user gave as a parameter counts as well. */
static void take_fixed_range(struct mh_read *read, const char *params)
{
    json_t *json = json_loads(params, 0, NULL);
    const json_t *radius = json_object_get(json, "radius"), *filter = json_object_get(json, "range_filter");
    if (json_is_number(radius))
        read->radius = json_number_value(radius);
    if (json_is_number(filter))
        read->range_filter = json_number_value(filter);
    json_decref(json);
}

/* The user's JSON object with the range put in. */
static void write_params(struct mh_read *read, const char *given)
{
    const size_t length = strlen(given) - 1; /* without the closing brace */
    char *end = read->params + sprintf(read->params, "%.*s", (int)length, given);
    const char *comma = length > 1 ? ", " : "";
    if (!isnan(read->radius)) {
        end += sprintf(end, "%s\"radius\": %.9g", comma, read->radius);
        comma = ", ";
    }
    if (!isnan(read->range_filter))
        end += sprintf(end, "%s\"range_filter\": %.9g", comma, read->range_filter);
    strcpy(end, "}");
}

static void set_range(struct mh_role *role, struct mh_read *read, const struct mh_read_options *item)
{
    const char *given = item->params && item->params[0] ? item->params : "{}";
    if (item->radius == MH_OPERAND_RANDOM)
        read->radius = mh_reader_radius(role, item->share);
    if (item->range_filter == MH_OPERAND_RANDOM)
        read->range_filter = draw_range_filter(role, read, item->share);
    write_params(read, given);
    if (strstr(given, "radius") || strstr(given, "range_filter"))
        take_fixed_range(read, read->params);
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    const struct mh_reader_options *own = role->options->own;
    const struct mh_dataset *data = role->content->dataset;
    const struct mh_read_options *item = mh_reader_draw(role, op);
    if (!item)
        return MH_NEXT_NO_MEMORY;
    op->read.first_query =
        (int64_t)mh_random_below(&role->random, (uint64_t)(data->query_rows - own->queries + 1));
    set_range(role, &op->read, item);
    op->request.kind = MH_OP_SEARCH;
    op->request.output_count = item->output.count; /* none unless asked for */
    op->request.queries = data->queries + op->read.first_query * data->shape.dim;
    op->request.query_count = own->queries;
    op->request.dim = data->shape.dim;
    op->request.search_params = op->read.params;
    return MH_NEXT_SEND;
}

const struct mh_role_ops mh_role_searcher = {
    .kind = {.name = "searcher",
             .help = "searches for the nearest rows, with filters and ranges",
             .options = options,
             .own_size = sizeof(struct mh_reader_options)},
    .order = 3,
    .reads = true,
    .bound_ns = mh_reader_bound_ns,
    .state_size = sizeof(struct mh_reader),
    .check = mh_reader_check,
    .init = init,
    .next = next,
    .fini = mh_reader_fini,
};
