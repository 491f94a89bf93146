/* Indexer: creates the job's index while rows come in; with `recreate`, drops it once a delete has been
 * acknowledged and creates it again. Then waits until it is built. */
#include "role/role.h"

struct indexer_options {
    int64_t start_after_rows;
    bool recreate;
};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    {.name = "start_after_rows",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct indexer_options, start_after_rows),
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .unit = "rows",
     .help = "waits until so many rows are acknowledged over all ranks (or no more come)"},
    {.name = "recreate",
     .type = MH_OPTION_BOOL,
     .base = MH_IN_OWN,
     .offset = offsetof(struct indexer_options, recreate),
     .fallback = "false",
     .help = "drops the index once a delete has been acknowledged, and creates it again"},
    {0},
};

enum step { WAIT_FOR_ROWS, CREATE, WAIT_FOR_DELETE, DROP, CREATE_AGAIN, WAIT_UNTIL_BUILT, FINISHED };

enum { POLL_NS = 100000000 /* between two looks at the build */ };

struct indexer {
    enum step step;
    bool busy; /* one operation at a time */
    int64_t polls;
};

static enum mh_next send(struct indexer *indexer, struct mh_op *op, enum mh_op_kind kind)
{
    indexer->busy = true;
    op->request.kind = kind;
    return MH_NEXT_SEND;
}

static bool enough_rows(const struct mh_role *role)
{
    const struct indexer_options *own = role->options->own;
    return role->view->acknowledged_rows >= own->start_after_rows || role->view->dry;
}

/* When no delete can come any more the index is recreated all the same: the job asked for it. */
static bool delete_seen(const struct mh_role *role)
{
    return role->view->acknowledged_deletes > 0 || role->view->dry;
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    struct indexer *indexer = role->state;
    if (indexer->busy)
        return MH_NEXT_WAIT;
    if (indexer->step == WAIT_FOR_ROWS && enough_rows(role))
        indexer->step = CREATE;
    if (indexer->step == WAIT_FOR_DELETE && delete_seen(role))
        indexer->step = DROP;
    switch (indexer->step) {
    case CREATE:
    case CREATE_AGAIN:
        return send(indexer, op, MH_OP_CREATE_INDEX);
    case DROP:
        return send(indexer, op, MH_OP_DROP_INDEX);
    case WAIT_UNTIL_BUILT: /* the rows of writers that still run want indexing too: asked last */
        op->delay_ns = POLL_NS;
        return role->view->dry ? send(indexer, op, MH_OP_DESCRIBE_INDEX) : MH_NEXT_WAIT;
    case FINISHED:
        return MH_NEXT_FINISHED;
    default:
        return MH_NEXT_WAIT;
    }
}

/* Built, failed, gone, or too long under way. */
static bool has_ended(const struct mh_role *role, struct indexer *indexer, const struct mh_reply *reply)
{
    const bool built = reply->state == MH_INDEX_FINISHED && reply->pending_rows == 0;
    return built || reply->state == MH_INDEX_FAILED || reply->state == MH_INDEX_NONE ||
           ++indexer->polls >= role->job->server.patience_ns / POLL_NS;
}

static enum step after(const struct mh_role *role, struct indexer *indexer, const struct mh_op *op)
{
    const struct indexer_options *own = role->options->own;
    switch (indexer->step) {
    case CREATE:
        return own->recreate ? WAIT_FOR_DELETE : WAIT_UNTIL_BUILT;
    case DROP:
        return CREATE_AGAIN;
    case CREATE_AGAIN:
        return WAIT_UNTIL_BUILT;
    default: /* WAIT_UNTIL_BUILT */
        return has_ended(role, indexer, &op->reply) ? FINISHED : WAIT_UNTIL_BUILT;
    }
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    struct indexer *indexer = role->state;
    indexer->busy = false;
    indexer->step = op->outcome == MH_OUTCOME_OK ? after(role, indexer, op) : FINISHED;
}

const struct mh_role_ops mh_role_indexer = {
    .kind = {.name = "indexer",
             .help = "creates the index, drops and recreates it, while others write",
             .options = options,
             .own_size = sizeof(struct indexer_options)},
    .order = 3,
    .state_size = sizeof(struct indexer),
    .next = next,
    .done = done,
};
