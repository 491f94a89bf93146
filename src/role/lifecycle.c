/* Lifecycle: again and again a collection of its own, from its creation to its drop, and each time a look at
 * whether all of it was so. A step that fails ends its cycle; what the cycle has made is dropped, and the
 * next one begins under another name. */
#include "role/cycle.h"
#include "role/program.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITION "cycle"
enum {
    MOST_DROPS = 10,      /* tries to remove what a broken cycle left */
    DROP_PAUSE_MS = 1000, /* between two of them */
    WINDOW = 16384,       /* rows that one query may return */
};

struct lifecycle_options {
    struct mh_texts steps;
    char *params;
    int64_t cycles, queries, topk, poll_ns, patience_ns;
    double deleted, recheck;
};

static const struct mh_option options[] = {
    MH_ROLE_COUNT,
    {.name = "rows",
     .type = MH_OPTION_INT,
     .offset = offsetof(struct mh_role_options, rows),
     .fallback = "1000",
     .min = 1,
     .max = MH_CYCLE_MOST_ROWS,
     .unit = "rows",
     .help = "rows of a cycle's collection"},
    MH_ROLE_BATCH("1000"),
    MH_ROLE_FOR,
    {.name = "cycles",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, cycles),
     .min = 1,
     .max = 1e12,
     .unit = "cycles",
     .help = "that each worker begins; without it, no such limit"},
    {.name = "steps",
     .type = MH_OPTION_TEXTS,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, steps),
     .fallback = "[create_collection, create_partition, insert, create_index, load, search, query, release, "
                 "drop_index, delete, drop_partition, drop_collection]",
     .min = 1,
     .max = MH_MOST_WORDS,
     .help = "of a cycle, in their order; the collection is dropped in any case"},
    {.name = "deleted",
     .type = MH_OPTION_RATIO,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, deleted),
     .fallback = "50%",
     .min = 0,
     .max = 1,
     .help = "share of the rows that the step delete removes"},
    {.name = "recheck",
     .type = MH_OPTION_RATIO,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, recheck),
     .fallback = "10%",
     .min = 0,
     .max = 1,
     .help =
         "share of the cycles that index and load once more after a delete of what was released, and read "
         "every row: only so can they see what the delete did"},
    {.name = "queries",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, queries),
     .fallback = "10",
     .min = 1,
     .max = MH_MOST_QUERIES,
     .unit = "vectors",
     .help = "vectors of a search: those of rows of the cycle, which must find these rows"},
    {.name = "topk",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, topk),
     .fallback = "10",
     .min = 1,
     .max = 16384,
     .unit = "rows",
     .help = "hits wanted for each of them"},
    {.name = "params",
     .type = MH_OPTION_PARAMS,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, params),
     .help = "search parameters of the index, as {nprobe: 16} or {ef: 64}"},
    {.name = "poll",
     .type = MH_OPTION_DURATION,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, poll_ns),
     .fallback = "50ms",
     .min = 1e6,
     .max = 6e10,
     .help = "pause between two looks at whether a load or an index build is done"},
    {.name = "patience",
     .type = MH_OPTION_DURATION,
     .base = MH_IN_OWN,
     .offset = offsetof(struct lifecycle_options, patience_ns),
     .fallback = "300s",
     .min = 1e9,
     .max = 3.6e12,
     .help = "after which a load or an index build that is not done has failed"},
    {0},
};

/* A count(*) that contradicts what was written wants a closer look: at all rows, and, where these are fewer
 * than it says, for those that are there more than once. */
enum look { NO_LOOK, LOOK_AT_ROWS, LOOK_FOR_COPIES };

struct lifecycle {
    struct mh_program usual, rechecked;
    struct mh_cycle rows;
    bool exact;           /* the index finds what is nearest */
    const char **outputs; /* every field; the vector is the last */
    int64_t number;       /* of the cycle under way, from 0; then of those begun */
    char name[300];
    char expression[400];

    /* the cycle under way */
    bool under_way, busy;
    const struct mh_program *program;
    int at;              /* its step */
    int64_t begun;       /* rows that the step has asked for */
    bool again;          /* the same once more: its answer was wrong */
    int64_t first, last; /* of the operation under way: rows from .. to-1 */
    int64_t delete_from, delete_to;
    int64_t inserted;
    int64_t begin_ns, end_ns;
    int64_t wrong_since_ns; /* an answer has been wrong since; 0: none is */
    bool condemned;         /* what could not be right in it has been told */
    enum look look;
    int64_t counted; /* by the count(*) that wants a closer look */
    int64_t found;   /* rows that it found */
    struct mh_cycle_range range;
    bool made;     /* the collection may be on the server */
    bool cleaning; /* nothing more but its drop */
    int drops;     /* tries of it */
    bool broken, cut;
    char why[64];
};

/* ---- opening ---- */

static const struct mh_stage_options *stage_of(const struct mh_role_options *given, const struct mh_job *job)
{
    const struct mh_stage_options *stage = job->stages;
    while (given < stage->roles || given >= stage->roles + stage->role_count)
        stage++;
    return stage;
}

/* "soak.yaml:17:60", "--set" or "default" */
static const char *where_steps_stand(const struct mh_role_options *given, const struct mh_job *job)
{
    const struct mh_stage_options *stage = stage_of(given, job);
    char path[400], number[24] = "";
    int before = 0;
    for (const struct mh_role_options *role = stage->roles; role < given; role++)
        before += role->kind == given->kind;
    if (before > 0)
        snprintf(number, sizeof number, "[%d]", before);
    snprintf(path, sizeof path, "stages.%s.%s%s.steps", stage->name, given->kind->name, number);
    for (size_t i = 0; i < job->value_count; i++)
        if (strcmp(job->values[i].path, path) == 0)
            return job->values[i].origin;
    return job->path;
}

static int check(const struct mh_role_options *given, const struct mh_job *job, const struct mh_plan *plan,
                 struct mh_error *err)
{
    const struct lifecycle_options *own = given->own;
    (void)plan;
    if (stage_of(given, job)->find_max.role)
        return mh_fail(err,
                       "a stage with find_max is gone through again and again, shorter than a cycle may be; "
                       "a lifecycle wants a stage without");
    if (mh_program_check(&own->steps, err) != 0)
        return mh_fail_in(err, "steps (%s)", where_steps_stand(given, job));
    return 0;
}

static int list_fields(struct lifecycle *life, const struct mh_content *content)
{
    size_t count = 0;
    life->outputs = calloc(content->field_count, sizeof *life->outputs);
    if (!life->outputs)
        return -1;
    for (size_t f = 0; f < content->field_count; f++)
        if ((int)f != content->vector_field)
            life->outputs[count++] = content->fields[f].name;
    life->outputs[count] = mh_content_vector_name(content);
    return 0;
}

static int init(struct mh_role *role, struct mh_error *err)
{
    const struct lifecycle_options *own = role->options->own;
    struct lifecycle *life = role->state;
    life->usual = mh_program_of(&own->steps, false);
    life->rechecked = mh_program_of(&own->steps, true);
    life->exact = strcmp(role->job->collection.index.type, "FLAT") == 0 &&
                  role->job->collection.index.metric != MH_METRIC_IP; /* there, longer vectors are nearer */
    if (list_fields(life, role->content) != 0 ||
        mh_cycle_init(&life->rows, role->content, role->options->rows) != 0)
        return mh_fail(err, "out of memory for cycles of %lld rows", (long long)role->options->rows);
    return 0;
}

static void fini(struct mh_role *role)
{
    struct lifecycle *life = role->state;
    mh_cycle_free(&life->rows);
    free(life->outputs);
}

/* ---- a cycle's begin and end ---- */

static void choose_deleted(struct mh_role *role, struct lifecycle *life)
{
    const struct lifecycle_options *own = role->options->own;
    const int64_t rows = role->options->rows, deleted = (int64_t)(own->deleted * (double)rows + 0.5);
    life->delete_from = (int64_t)mh_random_below(&role->random, (uint64_t)(rows - deleted + 1));
    life->delete_to = life->delete_from + deleted;
}

static void begin_cycle(struct mh_role *role)
{
    const struct lifecycle_options *own = role->options->own;
    struct lifecycle *life = role->state;
    life->under_way = true;
    life->program = mh_random_unit(&role->random) < own->recheck ? &life->rechecked : &life->usual;
    life->at = life->drops = 0;
    life->begun = life->inserted = life->begin_ns = life->wrong_since_ns = 0;
    life->look = NO_LOOK;
    life->made = life->cleaning = life->broken = life->cut = life->again = life->condemned = false;
    life->why[0] = '\0';
    mh_cycle_begin(&life->rows, mh_cycle_first_id(role, life->number));
    mh_cycle_name(role->job->collection.name, role->run_tag, role->worker->number, life->number, life->name);
    choose_deleted(role, life);
}

static void end_cycle(struct mh_role *role)
{
    struct lifecycle *life = role->state;
    const struct mh_cycle_end end = {.outcome = life->broken ? MH_OUTCOME_FAILED : MH_OUTCOME_OK,
                                     .cut = life->cut && !life->broken,
                                     .rows = life->inserted,
                                     .begin_ns = life->begin_ns,
                                     .end_ns = life->end_ns,
                                     .why = life->why};
    life->under_way = false;
    life->number++;
    mh_role_cycle_ended(role, &end);
}

/* ---- what it sends ---- */

static void fill(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind)
{
    const struct mh_index_options *index = &role->job->collection.index;
    const struct lifecycle *life = role->state;
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
    struct lifecycle *life = role->state;
    fill(role, op, MH_OP_CREATE_COLLECTION);
    op->request.schema = &role->job->collection;
    op->request.dim = role->content->dataset->shape.dim;
    life->made = true; /* whatever becomes of it */
}

/* Rows first .. last-1 of the cycle, at most a batch, of those up to `end`. */
static void choose_rows(const struct mh_role *role, struct lifecycle *life, int64_t begin, int64_t end)
{
    life->first = begin + life->begun;
    const int64_t most = role->options->batch < WINDOW ? role->options->batch : WINDOW;
    life->last = life->first + most < end ? life->first + most : end;
    life->begun += life->last - life->first;
}

static void fill_write(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind, int64_t begin,
                       int64_t end)
{
    struct lifecycle *life = role->state;
    choose_rows(role, life, begin, end);
    fill(role, op, kind);
    op->rows.rows = life->last - life->first;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        op->rows.ids[i] = life->rows.first + life->first + i;
        op->versions[i] = 0;
    }
    if (kind == MH_OP_INSERT && mh_program_has_partition(life->program, life->at))
        op->request.partition = PARTITION;
}

static void fill_lasting(struct mh_role *role, struct mh_op *op, enum mh_op_kind kind, enum mh_until until)
{
    const struct lifecycle_options *own = role->options->own;
    fill(role, op, kind);
    op->until = until;
    op->poll_ns = own->poll_ns;
    op->patience_ns = own->patience_ns;
}

/* At either end, all that is beyond: rows that nobody wrote have ids, too. */
static void write_range(struct mh_role *role, struct lifecycle *life)
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

static void fill_count(struct mh_role *role, struct mh_op *op)
{
    static const char *const count[] = {"count(*)"};
    struct lifecycle *life = role->state;
    fill(role, op, MH_OP_QUERY);
    op->booked_as = MH_TALLY_COUNT;
    op->request.output_fields = count;
    op->request.output_count = 1;
    if (life->look != LOOK_FOR_COPIES)
        return;
    life->first = life->range.from;
    life->last = life->range.to;
    write_range(role, life);
    op->request.expression = life->expression;
}

static void fill_query(struct mh_role *role, struct mh_op *op)
{
    struct lifecycle *life = role->state;
    const bool vectors = mh_random_unit(&role->random) < role->job->verify.vectors;
    if (!life->again)
        choose_rows(role, life, 0, life->rows.rows);
    write_range(role, life);
    fill(role, op, MH_OP_QUERY);
    op->request.expression = life->expression;
    op->request.output_fields = life->outputs;
    op->request.output_count = role->content->field_count - !vectors;
    op->request.limit = WINDOW; /* without one, 2.3 leaves out as many rows as there are second copies */
}

/* The vectors of rows side by side, which lie side by side in the data set. */
static void fill_search(struct mh_role *role, struct mh_op *op)
{
    const struct lifecycle_options *own = role->options->own;
    struct lifecycle *life = role->state;
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
                                                    [MH_STEP_LIST_COLLECTIONS] = MH_OP_SHOW_COLLECTIONS};
    struct lifecycle *life = role->state;
    switch (step) {
    case MH_STEP_CREATE_COLLECTION:
        fill_definition(role, op);
        break;
    case MH_STEP_CREATE_PARTITION:
        fill_named(role, op, MH_OP_CREATE_PARTITION, PARTITION);
        break;
    case MH_STEP_DROP_PARTITION:
        fill_named(role, op, MH_OP_DROP_PARTITION, PARTITION);
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
        fill_count(role, op);
        break;
    case MH_STEP_SEARCH:
        fill_search(role, op);
        break;
    case MH_STEP_QUERY:
        fill_query(role, op);
        break;
    default:
        fill(role, op, plain[step]);
    }
}

/* A step that a cycle of these options has nothing to do in. */
static bool is_empty(const struct lifecycle *life, enum mh_step step)
{
    return step == MH_STEP_DELETE && life->delete_from == life->delete_to;
}

static enum mh_step step_of_now(const struct lifecycle *life)
{
    return life->look == LOOK_AT_ROWS      ? MH_STEP_QUERY
           : life->look == LOOK_FOR_COPIES ? MH_STEP_COUNT
                                           : life->program->steps[life->at];
}

static void skip_empty(struct lifecycle *life)
{
    while (life->at < life->program->count && is_empty(life, life->program->steps[life->at]))
        life->at++; /* the last step is never empty */
}

static void fill_drop(struct mh_role *role, struct mh_op *op)
{
    struct lifecycle *life = role->state;
    fill(role, op, MH_OP_DROP_COLLECTION);
    op->owed = true;
    op->delay_ns = life->drops++ > 0 ? DROP_PAUSE_MS * MH_MS : 0;
}

static void fill_next(struct mh_role *role, struct mh_op *op)
{
    const struct lifecycle_options *own = role->options->own;
    struct lifecycle *life = role->state;
    if (life->cleaning) {
        fill_drop(role, op);
        return;
    }
    skip_empty(life);
    fill_step(role, op, step_of_now(life));
    op->delay_ns = life->again ? own->poll_ns : 0;
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    const struct lifecycle_options *own = role->options->own;
    struct lifecycle *life = role->state;
    if (life->busy)
        return MH_NEXT_WAIT;
    if (!life->under_way && (role->ending || (own->cycles > 0 && life->number == own->cycles)))
        return MH_NEXT_FINISHED;
    if (!life->under_way)
        begin_cycle(role);
    if (role->ending && !life->cleaning)
        life->cleaning = life->cut = true;
    if (life->cleaning && !life->made) { /* stopped before its first operation */
        end_cycle(role);
        return MH_NEXT_FINISHED;
    }
    fill_next(role, op);
    life->busy = true;
    return MH_NEXT_SEND;
}

/* ---- what it learns ---- */

struct accusation {
    struct mh_role *role;
    const struct mh_op *op;
};

static void accuse(void *context, enum mh_found what, int64_t id, int64_t expected, int64_t seen)
{
    const struct accusation *accusation = context;
    const struct lifecycle *life = accusation->role->state;
    const struct mh_op *op = accusation->op;
    const struct mh_finding finding = {.what = what,
                                       .id = id,
                                       .expected = expected,
                                       .seen = seen,
                                       .cycle = life->number,
                                       .step = op->request.kind,
                                       .first_ns = life->wrong_since_ns ? life->wrong_since_ns : op->done_ns,
                                       .last_ns = op->done_ns};
    mh_role_found(accusation->role, &finding);
}

static bool lists(const struct mh_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->name_count; i++)
        if (strcmp(reply->names[i], name) == 0)
            return true;
    return false;
}

static void judge_list(const struct lifecycle *life, const struct mh_op *op, mh_cycle_accuse *tell,
                       void *context)
{
    const bool whole = op->request.kind == MH_OP_SHOW_COLLECTIONS;
    if (lists(&op->reply, whole ? life->name : PARTITION))
        tell(context, MH_FOUND_NOT_DROPPED,
             life->rows.first + (whole ? MH_CYCLE_ID_WHOLE : MH_CYCLE_ID_PARTITION), 0, 1);
}

/* Of a count(*). */
static bool is_wrong_count(const struct lifecycle *life, const struct mh_op *op)
{
    int64_t count = -1;
    return !mh_reply_count(&op->reply, &count) || count < life->rows.live ||
           count > life->rows.live + life->rows.maybe;
}

static void judge(struct lifecycle *life, const struct mh_op *op, enum mh_step step, mh_cycle_accuse *tell,
                  void *context)
{
    int64_t found = 0;
    if (step == MH_STEP_QUERY)
        mh_cycle_judge_rows(&life->rows, op, life->first, life->last, &found, tell, context);
    else if (step == MH_STEP_SEARCH)
        mh_cycle_judge_hits(&life->rows, op, life->first, life->exact, tell, context);
    else if (step == MH_STEP_LIST_PARTITIONS || step == MH_STEP_LIST_COLLECTIONS)
        judge_list(life, op, tell, context);
}

/* What is asked for again until verify.grace is over. */
static bool may_still_come(struct mh_role *role, const struct mh_op *op)
{
    struct lifecycle *life = role->state;
    if (life->wrong_since_ns == 0)
        life->wrong_since_ns = op->done_ns;
    return op->done_ns - life->wrong_since_ns < role->job->verify.grace_ns;
}

struct answer {
    struct accusation accusation;
    bool final;       /* what may still come is told, and nothing else */
    bool wanting;     /* of what may still come, something is not there */
    bool condemnable; /* something is wrong whatever the next answer says */
};

/* A row that is not there may be late, and so may a drop. Any other wrong answer to a strong read stays
 * wrong, whatever the next one says, as in the audit. */
static void weigh(void *context, enum mh_found what, int64_t id, int64_t expected, int64_t seen)
{
    struct answer *answer = context;
    const struct lifecycle *life = answer->accusation.role->state;
    const bool late = what == MH_FOUND_LOST || what == MH_FOUND_MISSED || what == MH_FOUND_NOT_DROPPED;
    answer->wanting |= late;
    answer->condemnable |= !late;
    if (late ? answer->final : !answer->final && !life->condemned)
        accuse(&answer->accusation, what, id, expected, seen);
}

static void begin_look(struct lifecycle *life, const struct mh_op *op)
{
    life->look = LOOK_AT_ROWS;
    life->begun = life->found = life->counted = 0;
    mh_reply_count(&op->reply, &life->counted);
}

static void settle(struct lifecycle *life)
{
    life->wrong_since_ns = 0;
    life->condemned = false;
}

/* The reply was good: is what it says right? False: it is to be asked for again. */
static bool learn(struct mh_role *role, const struct mh_op *op, enum mh_step step)
{
    struct lifecycle *life = role->state;
    struct answer answer = {.accusation = {role, op}};
    judge(life, op, step, weigh, &answer);
    life->condemned |= answer.condemnable;
    if (!answer.wanting && !(step == MH_STEP_COUNT && is_wrong_count(life, op))) {
        if (life->wrong_since_ns)
            accuse(&answer.accusation, MH_FOUND_LATE, life->rows.first, 0, 0);
        settle(life);
        return true;
    }
    if (may_still_come(role, op))
        return false;
    if (step == MH_STEP_COUNT) {
        begin_look(life, op);
        return true;
    }
    answer.final = true;
    judge(life, op, step, weigh, &answer);
    life->made |= step == MH_STEP_LIST_COLLECTIONS; /* still */
    settle(life);
    return true;
}

/* ---- a closer look ---- */

static void end_look(struct mh_role *role, const struct mh_op *op)
{
    struct lifecycle *life = role->state;
    struct accusation accusation = {role, op};
    const bool copies = life->look == LOOK_FOR_COPIES;
    if (life->counted != life->found &&
        !(copies && mh_cycle_explain(&life->rows, life->counted - life->found, accuse, &accusation)))
        accuse(&accusation, MH_FOUND_MISCOUNTED, life->rows.first, life->found, life->counted);
    life->look = NO_LOOK;
    life->wrong_since_ns = 0;
}

/* True when it is over. */
static bool look_on(struct mh_role *role, const struct mh_op *op)
{
    struct lifecycle *life = role->state;
    struct accusation accusation = {role, op};
    int64_t count = 0;
    if (life->look == LOOK_AT_ROWS) {
        mh_cycle_judge_rows(&life->rows, op, life->first, life->last, &life->found, accuse, &accusation);
        if (life->begun < life->rows.rows)
            return false;
        if (life->counted <= life->found)
            return true;
        life->look = LOOK_FOR_COPIES;
        mh_cycle_locate(&life->rows);
    } else if (mh_reply_count(&op->reply, &count)) {
        mh_cycle_counted(&life->rows, &life->range, count);
    }
    return !mh_cycle_next_range(&life->rows, &life->range);
}

/* ---- the next step ---- */

static int64_t rows_of(const struct lifecycle *life, enum mh_step step)
{
    if (step == MH_STEP_DELETE)
        return life->delete_to - life->delete_from;
    return step == MH_STEP_INSERT || step == MH_STEP_QUERY ? life->rows.rows : 0;
}

static void advance(struct mh_role *role, enum mh_step step)
{
    struct lifecycle *life = role->state;
    if (life->look != NO_LOOK || life->begun < rows_of(life, step))
        return;
    life->begun = 0;
    life->at++;
    if (life->at < life->program->count)
        return;
    if (life->made)
        life->cleaning = true;
    else
        end_cycle(role);
}

static void note_broken(struct mh_role *role, enum mh_step step)
{
    struct lifecycle *life = role->state;
    if (role->ending)
        life->cut = true;
    else if (!life->broken) {
        life->broken = true;
        snprintf(life->why, sizeof life->why, "ended by the step %s", mh_step_names[step]);
    }
}

static void learn_step(struct mh_role *role, const struct mh_op *op)
{
    struct lifecycle *life = role->state;
    const enum mh_step step = step_of_now(life);
    const bool write = step == MH_STEP_INSERT || step == MH_STEP_DELETE;
    if (write)
        mh_cycle_wrote(&life->rows, op);
    if (op->outcome != MH_OUTCOME_OK)
        note_broken(role, step);
    if (op->outcome != MH_OUTCOME_OK && op->outcome != MH_OUTCOME_UNKNOWN) {
        life->cleaning = true;
        if (!life->made)
            end_cycle(role);
        return;
    }
    if (step == MH_STEP_INSERT && op->outcome == MH_OUTCOME_OK)
        life->inserted += op->rows.rows;
    if (step == MH_STEP_DROP_COLLECTION)
        life->made = false;
    if (step == MH_STEP_DROP_PARTITION)
        mh_cycle_dropped(&life->rows); /* if there are any, they are in it */
    if (life->look == NO_LOOK)
        life->again = !learn(role, op, step);
    else if (look_on(role, op))
        end_look(role, op);
    if (!life->again)
        advance(role, step);
}

/* What cannot be dropped stays: the next cycle has another name. */
static void learn_drop(struct mh_role *role, const struct mh_op *op)
{
    struct lifecycle *life = role->state;
    life->made = op->outcome != MH_OUTCOME_OK;
    if (life->made && (role->ending || life->drops < MOST_DROPS))
        return;
    if (life->made)
        mh_warn("collection %s could not be dropped, and is left on the server", life->name);
    end_cycle(role);
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    struct lifecycle *life = role->state;
    life->busy = false;
    if (life->begin_ns == 0)
        life->begin_ns = op->due_ns;
    life->end_ns = op->done_ns;
    if (life->cleaning)
        learn_drop(role, op);
    else
        learn_step(role, op);
}

static const char *owes(const struct mh_role *role)
{
    const struct lifecycle *life = role->state;
    return life->under_way ? life->name : NULL;
}

const struct mh_role_ops mh_role_lifecycle = {
    .kind = {.name = "lifecycle",
             .help = "makes, fills, reads and drops collections of its own, again and again",
             .options = options,
             .own_size = sizeof(struct lifecycle_options)},
    .order = 3, /* nobody lives on its rows, and nobody waits for them */
    .probes = true,
    .state_size = sizeof(struct lifecycle),
    .check = check,
    .init = init,
    .next = next,
    .done = done,
    .owes = owes,
    .fini = fini,
};
