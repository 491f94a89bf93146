/* Prober: how long until a write can be seen? Inserts a row, reads it until it is there, and once more;
 * upserts or deletes it, by turns, and reads until that can be seen; then the next row. */
#include "role/reader.h"
#include "role/watch.h"

#include <inttypes.h>
#include <stdio.h>

enum { TOPK = 10 };
enum probe_read { READ_QUERY, READ_SEARCH };
static const char *const read_names[] = {"query", "search", NULL};

struct prober_options {
    char *partition;
    char *params;
    int read;        /* enum probe_read */
    int consistency; /* 0: the collection's; else enum mh_consistency + 1 */
    int64_t poll_ns, bound_ns;
};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    MH_ROLE_ROWS("10k"),
    MH_ROLE_RATE,
    MH_ROLE_ARRIVAL,
    MH_ROLE_STEPS,
    MH_ROLE_OPS,
    MH_ROLE_FOR,
    {.name = "partition",
     .type = MH_OPTION_TEXT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct prober_options, partition),
     .fallback = "own",
     .help = "own (one for each worker), _default, or the name of one that all share"},
    {.name = "read",
     .type = MH_OPTION_CHOICE,
     .base = MH_IN_OWN,
     .offset = offsetof(struct prober_options, read),
     .fallback = "query",
     .choices = read_names,
     .help = "how it looks for its row: a query by key, or a search for its vector with the key as filter"},
    {.name = "consistency",
     .type = MH_OPTION_CHOICE,
     .base = MH_IN_OWN,
     .offset = offsetof(struct prober_options, consistency),
     .fallback = "collection",
     .choices = mh_read_consistency_names,
     .help = "of its reads; collection: the collection's own level"},
    {.name = "poll",
     .type = MH_OPTION_DURATION,
     .base = MH_IN_OWN,
     .offset = offsetof(struct prober_options, poll_ns),
     .fallback = "10ms",
     .min = 0,
     .max = 3.6e12,
     .help = "pause before a row is read again; at a rate, that is the pause"},
    MH_READ_BOUND(offsetof(struct prober_options, bound_ns)),
    {.name = "params",
     .type = MH_OPTION_PARAMS,
     .base = MH_IN_OWN,
     .offset = offsetof(struct prober_options, params),
     .help = "search parameters of the index, as {nprobe: 16} or {ef: 64}"},
    {0},
};

enum step { TO_INSERT, TO_CHANGE, TO_READ };

struct prober {
    struct mh_watch_rules rules;
    int64_t rows; /* begun */
    int64_t id;   /* of the row under way */
    int32_t version;
    int64_t changes; /* begun: upserts and deletes take turns */
    enum step step;
    bool read; /* since the last write: the next read waits */
    struct mh_watch watch;
    const char *outputs[1]; /* a field that tells versions apart */
    char expression[400];
};

static const char *partition(const struct mh_role_options *given)
{
    return ((const struct prober_options *)given->own)->partition;
}

/* ---- opening ---- */

/* A field that differs from version to version; NULL: none does. */
static const char *telling_field(const struct mh_content *content)
{
    for (size_t f = 0; f < content->field_count; f++)
        if ((int)f != content->key_field && mh_content_field_tells(content, f))
            return content->fields[f].name;
    return NULL;
}

static int init(struct mh_role *role, struct mh_error *err)
{
    const struct prober_options *own = role->options->own;
    struct prober *prober = role->state;
    prober->outputs[0] = telling_field(role->content);
    if (!prober->outputs[0])
        return mh_fail(
            err,
            "%s: stages.%s.prober: no field of collection %s tells a row's versions apart; it needs "
            "a varchar of 8 bytes or an integer of 32 bits",
            role->job->path, role->job->stages[role->worker->stage].name, role->job->collection.name);
    prober->rules = (struct mh_watch_rules){
        .consistency = own->consistency ? own->consistency - 1 : role->job->collection.consistency,
        .bound_ns = own->bound_ns,
        .grace_ns = role->job->verify.grace_ns};
    return 0;
}

/* ---- what it sends ---- */

static void fill_write(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind)
{
    struct prober *prober = role->state;
    op->request.kind = kind;
    op->partition = kind == MH_OP_DELETE ? -1 : role->worker->partition;
    op->rows.rows = 1;
    op->rows.ids[0] = prober->id;
    op->versions[0] = (uint16_t)(prober->version + (kind == MH_OP_UPSERT));
    prober->read = false;
}

static void fill_insert(struct mh_role *role, struct mh_op *op)
{
    struct prober *prober = role->state;
    prober->id = role->worker->first_id + prober->rows++;
    prober->version = 0;
    fill_write(role, op, MH_OP_INSERT);
}

/* A search is by the vector that the row must have, or had when it was deleted; by its key it stays the only
 * candidate, however many rows share its vector. */
static void fill_read(struct mh_role *role, struct mh_op *op)
{
    const struct prober_options *own = role->options->own;
    struct prober *prober = role->state;
    const bool search = own->read == READ_SEARCH;
    snprintf(prober->expression, sizeof prober->expression, "%s == %" PRId64,
             mh_content_key_name(role->content), prober->id);
    op->partition = -1;
    op->rows.rows = 0;
    op->delay_ns = prober->read ? own->poll_ns : 0;
    op->request = (struct mh_request){.kind = search ? MH_OP_SEARCH : MH_OP_QUERY,
                                      .expression = prober->expression,
                                      .output_fields = prober->outputs,
                                      .output_count = 1,
                                      .limit = TOPK,
                                      .consistency = prober->rules.consistency};
    if (search) {
        op->request.queries = mh_content_vector(role->content, prober->id, prober->version);
        op->request.query_count = 1;
        op->request.dim = role->content->dataset->shape.dim;
        op->request.search_params = own->params;
    }
    prober->read = true;
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    struct prober *prober = role->state;
    switch (prober->step) {
    case TO_INSERT:
        if (prober->rows == role->worker->rows)
            return MH_NEXT_FINISHED;
        fill_insert(role, op);
        break;
    case TO_CHANGE:
        fill_write(role, op, prober->changes++ % 2 == 0 ? MH_OP_UPSERT : MH_OP_DELETE);
        break;
    case TO_READ:
        fill_read(role, op);
    }
    return MH_NEXT_SEND;
}

/* ---- what it learns ---- */

/* What could not be written for certain is left to the audit. */
static void learn_write(struct prober *prober, const struct mh_op *op)
{
    const bool delete = op->request.kind == MH_OP_DELETE;
    prober->step = op->outcome == MH_OUTCOME_OK ? TO_READ : TO_INSERT;
    if (op->outcome != MH_OUTCOME_OK)
        return;
    prober->version = op->versions[0];
    mh_watch_begin(&prober->watch, &prober->rules, op, prober->id,
                   delete ? MH_SIGHT_ABSENT : prober->version);
}

enum { NOWHERE = -1, KEYLESS = -2 /* rows without their keys: it may be any of them */ };

/* At which position the answer has the row. */
static int64_t find_row(const struct mh_role *role, const struct mh_op *op, int64_t id)
{
    const bool search = op->request.kind == MH_OP_SEARCH;
    const int64_t *ids = op->reply.ids,
                  rows = search ? op->reply.hit_count : mh_content_keys(role->content, &op->reply, &ids);
    if (rows < 0)
        return KEYLESS;
    for (int64_t row = 0; row < rows; row++)
        if (ids[row] == id)
            return row;
    return NOWHERE;
}

static int32_t version_in(const struct mh_role *role, const struct mh_op *op)
{
    const struct prober *prober = role->state;
    const struct mh_column *column = mh_reply_column(&op->reply, prober->outputs[0]);
    const int64_t row = find_row(role, op, prober->id);
    size_t field = 0;
    if (row < 0)
        return row == KEYLESS ? MH_SIGHT_STRANGE : MH_SIGHT_ABSENT;
    while (role->content->fields[field].name != prober->outputs[0])
        field++;
    for (int32_t version = prober->version; column && version >= 0; version--)
        if (mh_content_matches(role->content, field, column, row, prober->id, version))
            return version;
    return MH_SIGHT_STRANGE;
}

static void learn_read(struct mh_role *role, const struct mh_op *op)
{
    struct prober *prober = role->state;
    struct mh_watch *watch = &prober->watch;
    if (op->outcome == MH_OUTCOME_OK) {
        mh_watch_look(watch, op, version_in(role, op));
        if (watch->sighting.what)
            mh_role_saw(role, &watch->sighting);
    } else
        mh_watch_miss(watch, op);
    if (watch->over)
        prober->step = watch->seen && watch->sighting.write == MH_OP_INSERT ? TO_CHANGE : TO_INSERT;
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    if (mh_op_infos[op->request.kind].write)
        learn_write(role->state, op);
    else
        learn_read(role, op);
}

static int64_t left(const struct mh_role *role)
{
    return role->worker->rows - ((const struct prober *)role->state)->rows;
}

const struct mh_role_ops mh_role_prober = {
    .kind = {.name = "prober",
             .help = "measures how long it takes until a row of its own, just written, can be read",
             .options = options,
             .own_size = sizeof(struct prober_options)},
    .order = 2, /* nobody lives on its rows */
    .reads = true,
    .probes = true,
    .writes_rows = true,
    .partition = partition,
    .state_size = sizeof(struct prober),
    .init = init,
    .next = next,
    .done = done,
    .left = left,
};
