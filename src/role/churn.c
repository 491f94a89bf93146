/* Churn: inserts, deletes and upserts, mixed at random, rows of its own. A row is in one operation at a time;
 * one whose version is not certain any more is left alone. */
#include "role/live.h"
#include "role/role.h"

#include <stddef.h>

struct weights {
    int64_t insert, delete, upsert;
};

struct churn_options {
    char *partition;
    struct weights weights;
    int64_t versions;
};

static const struct mh_option weight_rows[] = {
    {.name = "insert",
     .type = MH_OPTION_INT,
     .offset = offsetof(struct weights, insert),
     .fallback = "2",
     .min = 1,
     .max = 1e6,
     .help = "of batches of new rows"},
    {.name = "delete",
     .type = MH_OPTION_INT,
     .offset = offsetof(struct weights, delete),
     .fallback = "1",
     .min = 0,
     .max = 1e6,
     .help = "of deletes; 0: none"},
    {.name = "upsert",
     .type = MH_OPTION_INT,
     .offset = offsetof(struct weights, upsert),
     .fallback = "1",
     .min = 0,
     .max = 1e6,
     .help = "of new versions; 0: none"},
    {0},
};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    MH_ROLE_ROWS("10k"),
    MH_ROLE_BATCH("100"),
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
     .offset = offsetof(struct churn_options, partition),
     .fallback = "own",
     .help = "own (one for each worker), _default, or the name of one that all share"},
    {.name = "weights",
     .type = MH_OPTION_SECTION,
     .base = MH_IN_OWN,
     .offset = offsetof(struct churn_options, weights),
     .rows = weight_rows,
     .help = "how often each kind of operation is drawn, of those that are possible"},
    {.name = "versions",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct churn_options, versions),
     .fallback = "4095",
     .min = 1,
     .max = MH_LAST_VERSION,
     .unit = "versions",
     .help = "how often it upserts a row at most"},
    {0},
};

struct churn {
    int64_t next_row;  /* of its own, from 0 */
    int64_t sent, out; /* operations; those under way */
    struct mh_live live;
};

static const char *partition(const struct mh_role_options *given)
{
    return ((const struct churn_options *)given->own)->partition;
}

static int init(struct mh_role *role, struct mh_error *err)
{
    const struct churn_options *own = role->options->own;
    struct churn *churn = role->state;
    (void)err;
    churn->live.last = (uint16_t)own->versions;
    return 0;
}

static int64_t new_rows(const struct mh_role *role)
{
    return role->worker->rows - ((const struct churn *)role->state)->next_row;
}

/* By rows alone it ends with the last new one; else it goes on with those that are there. */
static bool ends_with_rows(const struct mh_role *role)
{
    return role->options->ops == 0 && role->options->for_ns == 0;
}

/* MH_OP_INSERT, MH_OP_UPSERT or MH_OP_DELETE, by weight, of those that find rows now; -1: none does. */
static int draw_kind(struct mh_role *role)
{
    const struct churn_options *own = role->options->own;
    const struct churn *churn = role->state;
    int64_t weights[3] = {0}, sum = 0;
    weights[MH_OP_INSERT] = new_rows(role) > 0 ? own->weights.insert : 0;
    weights[MH_OP_UPSERT] = churn->live.young > 0 ? own->weights.upsert : 0;
    weights[MH_OP_DELETE] = churn->live.count > 0 ? own->weights.delete : 0;
    for (int kind = 0; kind < 3; kind++)
        sum += weights[kind];
    if (sum == 0)
        return -1;
    int64_t at = (int64_t)mh_random_below(&role->random, (uint64_t)sum);
    int kind = 0;
    while (at >= weights[kind])
        at -= weights[kind++];
    return kind;
}

static int64_t rows_of(const struct mh_role *role, int64_t there)
{
    return there < role->options->batch ? there : role->options->batch;
}

static bool fill_insert(struct mh_role *role, struct mh_op *op)
{
    struct churn *churn = role->state;
    op->partition = role->worker->partition;
    op->rows.rows = rows_of(role, new_rows(role));
    if (!mh_live_reserve(&churn->live, churn->next_row + op->rows.rows))
        return false;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        op->rows.ids[i] = role->worker->first_id + churn->next_row++;
        op->versions[i] = 0;
    }
    return true;
}

static void fill_change(struct mh_role *role, struct mh_op *op, bool upsert)
{
    struct churn *churn = role->state;
    op->partition = upsert ? role->worker->partition : -1;
    op->rows.rows = rows_of(role, upsert ? churn->live.young : churn->live.count);
    for (int64_t i = 0; i < op->rows.rows; i++) {
        const struct mh_live_row row = mh_live_draw(&churn->live, upsert, &role->random);
        op->rows.ids[i] = row.id;
        op->versions[i] = (uint16_t)(row.version + upsert);
    }
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    struct churn *churn = role->state;
    if (new_rows(role) == 0 && ends_with_rows(role))
        return MH_NEXT_FINISHED;
    const int kind = draw_kind(role);
    if (kind < 0)
        return churn->out > 0 ? MH_NEXT_WAIT : MH_NEXT_FINISHED;
    op->request.kind = (enum mh_op_kind)kind;
    if (kind != MH_OP_INSERT)
        fill_change(role, op, kind == MH_OP_UPSERT);
    else if (!fill_insert(role, op))
        return MH_NEXT_NO_MEMORY;
    churn->sent++;
    churn->out++;
    return MH_NEXT_SEND;
}

/* What had no effect leaves a change's rows as they were; a refused insert's ids are not tried again. */
static void done(struct mh_role *role, const struct mh_op *op)
{
    struct churn *churn = role->state;
    const bool ok = op->outcome == MH_OUTCOME_OK, upsert = op->request.kind == MH_OP_UPSERT;
    const bool there_after = ok ? op->request.kind != MH_OP_DELETE : op->request.kind != MH_OP_INSERT;
    churn->out--;
    if (op->outcome == MH_OUTCOME_UNKNOWN || !there_after)
        return;
    for (int64_t i = 0; i < op->rows.rows; i++)
        mh_live_put(&churn->live, op->rows.ids[i], (uint16_t)(op->versions[i] - (upsert && !ok)));
}

/* Inserts: how many changes would have come between them is not known. */
static int64_t left(const struct mh_role *role)
{
    const struct churn *churn = role->state;
    const int64_t batch = role->options->batch, inserts = (new_rows(role) + batch - 1) / batch;
    const int64_t allowed = role->options->ops - churn->sent;
    return role->options->ops > 0 && allowed < inserts ? allowed : inserts;
}

static void fini(struct mh_role *role)
{
    mh_live_free(&((struct churn *)role->state)->live);
}

const struct mh_role_ops mh_role_churn = {
    .kind = {.name = "churn",
             .help = "inserts rows of its own, upserts and deletes them again, in random order",
             .options = options,
             .own_size = sizeof(struct churn_options)},
    .order = 2, /* nobody lives on its rows; the indexer waits for them */
    .writes_rows = true,
    .partition = partition,
    .state_size = sizeof(struct churn),
    .init = init,
    .next = next,
    .done = done,
    .left = left,
    .fini = fini,
};
