/* Writer: inserts its own ids in order, batch by batch, and offers each acknowledged batch to deleters and
 * upserters. */
#include "role/role.h"

struct writer_options {
    char *partition;
};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    MH_ROLE_ROWS("10k"),
    MH_ROLE_BATCH("1000"),
    MH_ROLE_INFLIGHT("2"),
    MH_ROLE_RATE,
    MH_ROLE_ARRIVAL,
    MH_ROLE_STEPS,
    MH_ROLE_WARMUP,
    MH_ROLE_OPS,
    MH_ROLE_FOR,
    {.name = "partition",
     .type = MH_OPTION_TEXT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct writer_options, partition),
     .fallback = "own",
     .help = "own (one for each worker), _default, or the name of one that all share"},
    {0},
};

struct writer {
    int64_t next_row; /* of its own, from 0 */
};

static const char *partition(const struct mh_role_options *given)
{
    return ((const struct writer_options *)given->own)->partition;
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    struct writer *writer = role->state;
    int64_t left = role->worker->rows - writer->next_row;
    if (left == 0)
        return MH_NEXT_FINISHED;
    op->request.kind = MH_OP_INSERT;
    op->partition = role->worker->partition;
    op->rows.rows = left < role->options->batch ? left : role->options->batch;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        op->rows.ids[i] = role->worker->first_id + writer->next_row + i;
        op->versions[i] = 0;
    }
    writer->next_row += op->rows.rows;
    return MH_NEXT_SEND;
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    if (op->outcome != MH_OUTCOME_OK)
        return;
    struct mh_claim rows = {
        .first = op->rows.ids[0], .count = (int32_t)op->rows.rows, .partition = op->partition};
    mh_role_offer(role, &rows);
}

static int64_t left(const struct mh_role *role)
{
    const struct writer *writer = role->state;
    int64_t rows = role->worker->rows - writer->next_row, batch = role->options->batch;
    return (rows + batch - 1) / batch;
}

const struct mh_role_ops mh_role_writer = {
    .kind = {.name = "writer",
             .help = "inserts rows of its own, in order",
             .options = options,
             .own_size = sizeof(struct writer_options)},
    .writes_rows = true,
    .partition = partition,
    .state_size = sizeof(struct writer),
    .next = next,
    .done = done,
    .left = left,
};
