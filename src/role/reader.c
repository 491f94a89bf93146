#include "role/reader.h"

#include "dataset/distance.h"
#include "expr/template.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SPREAD = 4096 /* distances that random radii are drawn from */ };

const char *const mh_operand_names[] = {"none", "random", NULL};
const char *const mh_returns_names[] = {"rows", "count", NULL};
const char *const mh_read_consistency_names[] = {"collection", "strong",     "session",
                                                 "bounded",    "eventually", NULL};

/* ---- what the job says must fit what there is ---- */

static int check_outputs(const struct mh_job *job, const struct mh_texts *output, struct mh_error *err)
{
    const struct mh_field *fields = job->collection.fields.items;
    for (size_t i = 0; i < output->count; i++) {
        bool known = strcmp(output->items[i], "*") == 0;
        for (size_t f = 0; f < job->collection.fields.count; f++)
            known |= strcmp(output->items[i], fields[f].name) == 0;
        if (!known)
            return mh_fail(err, "output: '%s' is no field of collection %s", output->items[i],
                           job->collection.name);
    }
    return 0;
}

static int check_partitions(const struct mh_plan *plan, const struct mh_texts *partitions,
                            struct mh_error *err)
{
    for (size_t i = 0; i < partitions->count; i++) {
        bool known = false;
        for (int p = 0; p < plan->partition_count; p++)
            known |= strcmp(partitions->items[i], plan->partitions[p]) == 0;
        if (!known)
            return mh_fail(err, "partitions: '%s' is no partition of the run (`check` lists them)",
                           partitions->items[i]);
    }
    return 0;
}

static int check_item(const struct mh_read_options *item, const struct mh_job *job,
                      const struct mh_plan *plan, struct mh_error *err)
{
    enum { LONGEST_PARAMS = sizeof((struct mh_read *)0)->params / 2 };
    if (mh_template_check(item->expression, err) != 0)
        return mh_fail_in(err, "expression");
    if (item->params && strlen(item->params) > LONGEST_PARAMS)
        return mh_fail(err, "params: longer than %d bytes", LONGEST_PARAMS);
    if (item->iterator && (item->limit < 1 || item->offset > 0 || item->returns == MH_RETURNS_COUNT))
        return mh_fail(err,
                       "iterator: goes through rows by pages: expected a limit (rows of a page), no offset, "
                       "and returns: rows");
    return check_outputs(job, &item->output, err) != 0 ? -1 : check_partitions(plan, &item->partitions, err);
}

static const struct mh_read_options *items_of(const struct mh_reader_options *own, size_t *count)
{
    *count = own->mix.count > 0 ? own->mix.count : 1;
    return own->mix.count > 0 ? own->mix.items : &own->alone;
}

int mh_reader_check(const struct mh_role_options *options, const struct mh_job *job,
                    const struct mh_plan *plan, struct mh_error *err)
{
    size_t count;
    const struct mh_read_options *items = items_of(options->own, &count);
    for (size_t i = 0; i < count; i++)
        if (check_item(&items[i], job, plan, err) != 0)
            return -1;
    return 0;
}

int64_t mh_reader_bound_ns(const struct mh_role_options *options)
{
    return ((const struct mh_reader_options *)options->own)->bound_ns;
}

/* ---- random radii ---- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static bool nearer_is_larger(const struct mh_role *role)
{
    return role->job->collection.index.metric != MH_METRIC_L2;
}

/* Pairs of a query and a row, drawn the same way by every worker. */
static int measure_spread(struct mh_role *role, struct mh_reader *reader, struct mh_error *err)
{
    const struct mh_dataset *data = role->content->dataset;
    const int metric = role->job->collection.index.metric;
    struct mh_random random = {.seed = role->random.seed, .stream = 0x73707264};
    reader->spread = malloc(SPREAD * sizeof *reader->spread);
    if (!reader->spread)
        return mh_fail(err, "out of memory");
    for (int i = 0; i < SPREAD; i++) {
        const int64_t query = (int64_t)mh_random_below(&random, (uint64_t)data->query_rows),
                      row = (int64_t)mh_random_below(&random, (uint64_t)data->shape.train_rows);
        const float distance = mh_distance(metric, data->queries + query * data->shape.dim,
                                           data->train + row * data->shape.dim, data->shape.dim);
        reader->spread[i] = nearer_is_larger(role) ? -distance : distance;
    }
    qsort(reader->spread, SPREAD, sizeof *reader->spread, by_value);
    return 0;
}

double mh_reader_radius(struct mh_role *role, double share)
{
    const struct mh_reader *reader = role->state;
    const double at = mh_random_unit(&role->random) * share * (SPREAD - 1);
    const double radius = (double)reader->spread[(int)at];
    return nearer_is_larger(role) ? -radius : radius;
}

/* ---- opening ---- */

static int list_scalars(struct mh_reader *reader, const struct mh_content *content, struct mh_error *err)
{
    reader->outputs = calloc(content->field_count + 1, sizeof *reader->outputs);
    if (!reader->outputs)
        return mh_fail(err, "out of memory");
    for (size_t f = 0; f < content->field_count; f++)
        if (content->fields[f].type != MH_FIELD_FLOAT_VECTOR)
            reader->outputs[reader->output_count++] = content->fields[f].name;
    return 0;
}

int mh_reader_init(struct mh_role *role, struct mh_error *err)
{
    const struct mh_reader_options *own = role->options->own;
    struct mh_reader *reader = role->state;
    bool random_radius = false;
    reader->items = items_of(own, &reader->count);
    for (size_t i = 0; i < reader->count; i++) {
        const struct mh_read_options *item = &reader->items[i];
        reader->weights += item->weight;
        random_radius |= item->radius == MH_OPERAND_RANDOM || item->range_filter == MH_OPERAND_RANDOM;
    }
    if (list_scalars(reader, role->content, err) != 0)
        return -1;
    return random_radius ? measure_spread(role, reader, err) : 0;
}

void mh_reader_fini(struct mh_role *role)
{
    struct mh_reader *reader = role->state;
    free(reader->outputs);
    free(reader->spread);
}

/* ---- one read ---- */

static const struct mh_read_options *draw_item(struct mh_role *role, int *number)
{
    const struct mh_reader *reader = role->state;
    int64_t at = reader->count > 1 ? (int64_t)mh_random_below(&role->random, (uint64_t)reader->weights) : 0;
    size_t i = 0;
    while (at >= reader->items[i].weight)
        at -= reader->items[i++].weight;
    *number = (int)i;
    return &reader->items[i];
}

void mh_reader_ask(struct mh_role *role, struct mh_op *op)
{
    const struct mh_reader *reader = role->state;
    struct mh_read *read = &op->read;
    const struct mh_read_options *item = &reader->items[read->item];
    read->radius = read->range_filter = NAN;
    read->exact = item->exact;
    read->count = item->returns == MH_RETURNS_COUNT;
    op->partition = -1;
    op->rows.rows = 0;
    op->request = (struct mh_request){
        .expression = read->text,
        .output_fields = (const char *const *)item->output.items,
        .output_count = item->output.count,
        .partitions = (const char *const *)item->partitions.items,
        .partition_count = item->partitions.count,
        .limit = item->limit,
        .offset = item->offset,
        .iterator = item->iterator,
        .consistency = item->consistency ? item->consistency - 1 : role->job->collection.consistency,
    };
    if (item->output.count == 0) {
        op->request.output_fields = reader->outputs;
        op->request.output_count = reader->output_count;
    }
}

const struct mh_read_options *mh_reader_draw(struct mh_role *role, struct mh_op *op)
{
    struct mh_read *read = &op->read;
    const struct mh_read_options *item = draw_item(role, &read->item);
    const int64_t ids = role->plan->id_end > 0 ? role->plan->id_end : 1;
    if (mh_template_fill(item->expression, ids, &role->random, &read->text, &read->text_room) != 0)
        return NULL;
    mh_reader_ask(role, op);
    return item;
}
