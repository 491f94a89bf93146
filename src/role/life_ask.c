/* Lifecycle: the requests of its steps. */
#include "role/life.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    WINDOW = 16384,     /* rows that one query may return */
    MOST_HALVINGS = 20, /* of an inquest's time */
};

#define OTHER_PARTITION                                                                                      \
    "_default" /* which every collection has; rows of a cycle with a partition have none there */

static void fill(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind)
{
    const struct mh_index_options *index = &role->job->collection.index;
    const struct mh_life *life = role->state;
    op->partition = -1;
    op->rows.rows = 0;
    op->apart = true;
    op->request = (struct mh_request){.kind = kind,
                                      .collection = life->name,
                                      .partition = "",
                                      .index_field = mh_content_vector_name(role->content),
                                      .index_type = index->type,
                                      .index_metric = mh_metric_names[index->metric],
                                      .index_params = index->params,
                                      .consistency = MH_STRONG};
}

static void fill_definition(struct mh_role *role, struct mh_op *op)
{
    struct mh_life *life = role->state;
    fill(role, op, MH_OP_CREATE_COLLECTION);
    op->request.schema = &role->job->collection;
    op->request.dim = role->content->dataset->shape.dim;
    life->made = true; /* whatever becomes of it */
}

/* Rows first .. last-1 of the cycle, at most a batch, of those up to `end`. */
static void choose_rows(const struct mh_role *role, struct mh_life *life, int64_t begin, int64_t end)
{
    life->first = begin + life->begun;
    const int64_t most = role->options->batch < WINDOW ? role->options->batch : WINDOW;
    life->last = life->first + most < end ? life->first + most : end;
    life->begun += life->last - life->first;
}

static void fill_write(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind, int64_t begin,
                       int64_t end)
{
    struct mh_life *life = role->state;
    choose_rows(role, life, begin, end);
    fill(role, op, kind);
    op->rows.rows = life->last - life->first;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        op->rows.ids[i] = life->rows.first + life->first + i;
        op->versions[i] = 0;
    }
    if (kind == MH_OP_INSERT && life->at_home)
        op->request.partition = MH_LIFE_PARTITION;
}

int64_t mh_life_inquest_ns(const struct mh_life *life, int64_t whole_ns)
{
    return whole_ns >> (life->unlooked_before < MOST_HALVINGS ? life->unlooked_before : MOST_HALVINGS);
}

static void fill_lasting(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind, enum mh_until until)
{
    const struct mh_life_options *own = role->options->own;
    const struct mh_life *life = role->state;
    fill(role, op, kind);
    op->until = until;
    op->poll_ns = own->poll_ns;
    op->patience_ns = life->inquest ? mh_life_inquest_ns(life, own->patience_ns) : own->patience_ns;
}

/* At either end, all that is beyond: rows that nobody wrote have ids, too. */
static void write_range(struct mh_role *role, struct mh_life *life)
{
    const char *key = mh_content_key_name(role->content);
    const int64_t from = life->rows.first + life->first, to = life->rows.first + life->last;
    const bool lowest = life->first == 0, highest = life->last == life->rows.rows;
    char *text = life->expression;
    const size_t room = sizeof life->expression;
    if (lowest && highest)
        snprintf(text, room, "%.150s >= 0", key);
    else if (lowest)
        snprintf(text, room, "%.150s < %" PRId64, key, to);
    else if (highest)
        snprintf(text, room, "%.150s >= %" PRId64, key, from);
    else
        snprintf(text, room, "%.150s >= %" PRId64 " and %.150s < %" PRId64, key, from, key, to);
}

static void fill_count(struct mh_role *role, struct mh_op *op, enum mh_step step)
{
    static const char *const count[] = {"count(*)"};
    struct mh_life *life = role->state;
    fill(role, op, MH_OP_QUERY);
    op->booked_as = MH_TALLY_COUNT;
    op->request.output_fields = count;
    op->request.output_count = 1;
    if (step == MH_STEP_COUNT_ELSEWHERE)
        op->request.partition = OTHER_PARTITION;
    if (life->look != MH_LIFE_LOOK_FOR_COPIES)
        return;
    life->first = life->range.from;
    life->last = life->range.to;
    write_range(role, life);
    op->request.expression = life->expression;
}

/* "": wherever they are. */
static const char *where_to_look(const struct mh_life *life)
{
    if (life->look == MH_LIFE_LOOK_ELSEWHERE)
        return OTHER_PARTITION;
    return life->look == MH_LIFE_NO_LOOK && life->at_home && !life->seeking ? MH_LIFE_PARTITION : "";
}

static void fill_query(struct mh_role *role, struct mh_op *op)
{
    struct mh_life *life = role->state;
    const bool vectors = mh_random_unit(&role->random) < role->job->verify.vectors;
    if (!life->again)
        choose_rows(role, life, 0, life->rows.rows);
    write_range(role, life);
    fill(role, op, MH_OP_QUERY);
    op->request.partition = where_to_look(life);
    op->request.expression = life->expression;
    op->request.output_fields = life->outputs;
    op->request.output_count = role->content->field_count - !vectors;
    op->request.limit = WINDOW; /* without one, 2.3 leaves out as many rows as there are second copies */
}

/* The vectors of rows side by side, which lie side by side in the data set. */
static void fill_search(struct mh_role *role, struct mh_op *op)
{
    const struct mh_life_options *own = role->options->own;
    struct mh_life *life = role->state;
    const int64_t train = role->content->dataset->shape.train_rows;
    int64_t queries = own->queries < life->rows.rows ? own->queries : life->rows.rows;
    if (!life->again)
        life->first = (int64_t)mh_random_below(&role->random, (uint64_t)(life->rows.rows - queries + 1));
    const int64_t together = train - (life->rows.first + life->first) % train;
    queries = queries < together ? queries : together;
    fill(role, op, MH_OP_SEARCH);
    op->request.queries = mh_content_vector(role->content, life->rows.first + life->first, 0);
    op->request.query_count = queries;
    op->request.dim = role->content->dataset->shape.dim;
    op->request.limit = own->topk;
    op->request.search_params = own->params;
}

static void fill_named(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind, const char *partition)
{
    fill(role, op, kind);
    op->request.partition = partition;
}

static void fill_step(struct mh_role *role, struct mh_op *op, enum mh_step step)
{
    static const enum mh_op_kind plain[MH_STEPS] = {[MH_STEP_RELEASE] = MH_OP_RELEASE,
                                                    [MH_STEP_DROP_INDEX] = MH_OP_DROP_INDEX,
                                                    [MH_STEP_DROP_COLLECTION] = MH_OP_DROP_COLLECTION,
                                                    [MH_STEP_LIST_PARTITIONS] = MH_OP_SHOW_PARTITIONS,
                                                    [MH_STEP_LIST_COLLECTIONS] = MH_OP_SHOW_COLLECTIONS,
                                                    [MH_STEP_FIND_COLLECTION] = MH_OP_SHOW_COLLECTIONS,
                                                    [MH_STEP_FIND_PARTITION] = MH_OP_SHOW_PARTITIONS,
                                                    [MH_STEP_FIND_INDEX] = MH_OP_DESCRIBE_INDEX,
                                                    [MH_STEP_LIST_INDEX] = MH_OP_DESCRIBE_INDEX};
    struct mh_life *life = role->state;
    switch (step) {
    case MH_STEP_CREATE_COLLECTION:
        fill_definition(role, op);
        break;
    case MH_STEP_CREATE_PARTITION:
        fill_named(role, op, MH_OP_CREATE_PARTITION, MH_LIFE_PARTITION);
        break;
    case MH_STEP_DROP_PARTITION:
        fill_named(role, op, MH_OP_DROP_PARTITION, MH_LIFE_PARTITION);
        break;
    case MH_STEP_INSERT:
        fill_write(role, op, MH_OP_INSERT, 0, life->rows.rows);
        break;
    case MH_STEP_DELETE:
        fill_write(role, op, MH_OP_DELETE, life->delete_from, life->delete_to);
        break;
    case MH_STEP_CREATE_INDEX:
        fill_lasting(role, op, MH_OP_CREATE_INDEX, MH_UNTIL_BUILT);
        break;
    case MH_STEP_LOAD:
        fill_lasting(role, op, MH_OP_LOAD, MH_UNTIL_LOADED);
        break;
    case MH_STEP_COUNT:
    case MH_STEP_COUNT_ELSEWHERE:
        fill_count(role, op, step);
        break;
    case MH_STEP_SEARCH:
        fill_search(role, op);
        break;
    case MH_STEP_QUERY:
        fill_query(role, op);
        break;
    default:
        fill(role, op, plain[step]);
        op->none_is_fine = step == MH_STEP_LIST_INDEX || step == MH_STEP_FIND_INDEX;
    }
}

enum mh_step mh_life_step(const struct mh_life *life)
{
    static const enum mh_step steps[] = {[MH_LIFE_LOOK_AT_ROWS] = MH_STEP_QUERY,
                                         [MH_LIFE_LOOK_FOR_COPIES] = MH_STEP_COUNT,
                                         [MH_LIFE_LOOK_ELSEWHERE] = MH_STEP_QUERY};
    if (life->look != MH_LIFE_NO_LOOK)
        return steps[life->look];
    return life->recounting ? MH_STEP_COUNT : life->program->steps[life->at];
}

void mh_life_ask(struct mh_role *role, struct mh_op *op)
{
    const struct mh_life_options *own = role->options->own;
    struct mh_life *life = role->state;
    fill_step(role, op, mh_life_step(life));
    op->owed = life->parting;
    op->delay_ns = life->again ? own->poll_ns : life->pause_ns;
    life->pause_ns = 0;
}

void mh_life_ask_drop(struct mh_role *role, struct mh_op *op)
{
    struct mh_life *life = role->state;
    fill(role, op, MH_OP_DROP_COLLECTION);
    op->owed = true;
    op->delay_ns = life->drops++ > 0 ? MH_LIFE_DROP_PAUSE_MS * MH_MS : 0;
}
