/* Lifecycle: again and again a collection of its own, from its creation to its drop, and each time a look at
 * whether all of it was so. A step that fails ends its cycle: an inquest looks whether the rows that were
 * acknowledged by then are there, what the cycle has made is dropped, and the next one begins under another
 * name. */
#include "role/life.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_DROPS = 10,        /* tries to remove what a broken cycle left; and to see it gone */
    INQUEST_PAUSE_MS = 200, /* before the next one, when one fails */
    BROKEN_PAUSE_MS = 100,  /* before the cycle after a broken one; twice as long after each further one, */
    MOST_DOUBLINGS = 6,     /* so often at most */
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
     .offset = offsetof(struct mh_life_options, cycles),
     .min = 1,
     .max = 1e12,
     .unit = "cycles",
     .help = "that each worker begins; without it, no such limit"},
    {.name = "steps",
     .type = MH_OPTION_TEXTS,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, steps),
     .fallback = "[create_collection, create_partition, insert, create_index, load, search, query, release, "
                 "drop_index, delete, drop_partition, drop_collection]",
     .min = 1,
     .max = MH_MOST_WORDS,
     .help = "of a cycle, in their order; the collection is dropped in any case"},
    {.name = "deleted",
     .type = MH_OPTION_RATIO,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, deleted),
     .fallback = "50%",
     .min = 0,
     .max = 1,
     .help = "share of the rows that the step delete removes"},
    {.name = "recheck",
     .type = MH_OPTION_RATIO,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, recheck),
     .fallback = "10%",
     .min = 0,
     .max = 1,
     .help =
         "share of the cycles that index and load once more after a delete of what was released, and read "
         "every row: only so can they see what the delete did"},
    {.name = "queries",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, queries),
     .fallback = "10",
     .min = 1,
     .max = MH_MOST_QUERIES,
     .unit = "vectors",
     .help = "vectors of a search: those of rows of the cycle, which must find these rows"},
    {.name = "topk",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, topk),
     .fallback = "10",
     .min = 1,
     .max = 16384,
     .unit = "rows",
     .help = "hits wanted for each of them"},
    {.name = "params",
     .type = MH_OPTION_PARAMS,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, params),
     .help = "search parameters of the index, as {nprobe: 16} or {ef: 64}"},
    {.name = "poll",
     .type = MH_OPTION_DURATION,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, poll_ns),
     .fallback = "50ms",
     .min = 1e6,
     .max = 6e10,
     .help = "pause between two looks at whether a load or an index build is done"},
    {.name = "patience",
     .type = MH_OPTION_DURATION,
     .base = MH_IN_OWN,
     .offset = offsetof(struct mh_life_options, patience_ns),
     .fallback = "300s",
     .min = 1e9,
     .max = 3.6e12,
     .help = "after which a load or an index build that is not done has failed"},
    {0},
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
    const struct mh_life_options *own = given->own;
    (void)plan;
    if (stage_of(given, job)->find_max.role)
        return mh_fail(err,
                       "a stage with find_max is gone through again and again, shorter than a cycle may be; "
                       "a lifecycle wants a stage without");
    if (mh_program_check(&own->steps, err) != 0)
        return mh_fail_in(err, "steps (%s)", where_steps_stand(given, job));
    return 0;
}

static int list_fields(struct mh_life *life, const struct mh_content *content)
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

/* {"nprobe": 1} */
static bool looks_into_one(const char *params)
{
    long long cells = 0;
    const char *nprobe = params ? strstr(params, "\"nprobe\"") : NULL;
    return nprobe &&
           (sscanf(nprobe, "\"nprobe\" : %lld", &cells) == 1 ||
            sscanf(nprobe, "\"nprobe\" : \"%lld", &cells) == 1) &&
           cells == 1;
}

/* A row lies in the cell that is nearest to its own vector. Rounding may make the next one as near: one cell
 * alone is not certain to be the right one. By IP longer vectors are nearer. */
static bool finds_nearest(const struct mh_index_options *index, const char *params)
{
    return index->metric != MH_METRIC_IP &&
           (strcmp(index->type, "FLAT") == 0 ||
            (strcmp(index->type, "IVF_FLAT") == 0 && !looks_into_one(params)));
}

static int init(struct mh_role *role, struct mh_error *err)
{
    const struct mh_life_options *own = role->options->own;
    struct mh_life *life = role->state;
    life->usual = mh_program_of(&own->steps, false);
    life->rechecked = mh_program_of(&own->steps, true);
    life->exact = finds_nearest(&role->job->collection.index, own->params);
    if (list_fields(life, role->content) != 0 ||
        mh_cycle_init(&life->rows, role->content, &role->job->collection.index, role->options->rows) != 0)
        return mh_fail(err, "out of memory for cycles of %lld rows", (long long)role->options->rows);
    return 0;
}

static void fini(struct mh_role *role)
{
    struct mh_life *life = role->state;
    mh_cycle_free(&life->rows);
    free(life->outputs);
}

/* ---- a cycle's begin and end ---- */

static void choose_deleted(struct mh_role *role, struct mh_life *life)
{
    const struct mh_life_options *own = role->options->own;
    const int64_t rows = role->options->rows, deleted = (int64_t)(own->deleted * (double)rows + 0.5);
    life->delete_from = (int64_t)mh_random_below(&role->random, (uint64_t)(rows - deleted + 1));
    life->delete_to = life->delete_from + deleted;
}

/* A server that refuses, or fails, all that it is asked for is not asked as fast as it can say so. */
static int64_t pause_after(int broken)
{
    const int doublings = broken - 1 < MOST_DOUBLINGS ? broken - 1 : MOST_DOUBLINGS;
    return broken > 0 ? (BROKEN_PAUSE_MS * MH_MS) << doublings : 0;
}

static void begin_cycle(struct mh_role *role)
{
    const struct mh_life_options *own = role->options->own;
    struct mh_life *life = role->state;
    life->under_way = true;
    life->program = mh_random_unit(&role->random) < own->recheck ? &life->rechecked : &life->usual;
    life->at = life->drops = 0;
    life->begun = life->inserted = life->begin_ns = life->wrong_since_ns = 0;
    life->found = life->total = life->torn_since_ns = life->torn_pairs = 0;
    life->look = MH_LIFE_NO_LOOK;
    life->at_home = life->seeking = life->sought = life->recounting = life->indexed = false;
    life->parting = life->unseen_drop = life->undropped = life->blind = life->missed = false;
    life->failed_looks = 0;
    life->made = life->cleaning = life->broken = life->cut = life->again = life->condemned = false;
    life->created = life->drop_sent = life->inquest = life->looked = life->told = life->gone = false;
    life->disputed_ns = life->searched = life->own_found = 0;
    life->pause_ns = pause_after(life->broken_before);
    life->why[0] = '\0';
    mh_cycle_begin(&life->rows, mh_cycle_first_id(role, life->number));
    mh_cycle_name(role->job->collection.name, role->run_tag, role->worker->number, life->number, life->name);
    choose_deleted(role, life);
}

/* Of the collection: it must be there. */
static bool is_owed(const struct mh_life *life)
{
    return life->created && !life->drop_sent;
}

/* A step that asks whether a thing that was acknowledged is still there. */
static bool finds(enum mh_step step)
{
    return step == MH_STEP_FIND_COLLECTION || step == MH_STEP_FIND_PARTITION || step == MH_STEP_FIND_INDEX;
}

/* An answer that an inquest gets again, of its own. */
static bool asks_again(enum mh_step step)
{
    return step == MH_STEP_COUNT || step == MH_STEP_COUNT_ELSEWHERE || step == MH_STEP_QUERY || finds(step);
}

/* An answer contradicted what was acknowledged, and is the last one: it might have been put right until
 * verify.grace was over, or not. One that no inquest gets again stays so. */
static void note_dispute(struct mh_life *life, enum mh_step step, int64_t since_ns)
{
    if (life->disputed_ns > 0 && !asks_again(life->disputed_step))
        return;
    life->disputed_ns = life->disputed_ns > 0 ? life->disputed_ns : since_ns;
    life->disputed_step = step;
}

/* What was wrong with the step under way is not asked for again by it. */
static void leave_open(struct mh_life *life)
{
    if (life->wrong_since_ns > 0)
        note_dispute(life, mh_life_step(life), life->wrong_since_ns);
    life->missed |= life->wrong_since_ns > 0;
    if (life->torn_since_ns > 0)
        note_dispute(life, MH_STEP_QUERY, life->torn_since_ns);
    life->wrong_since_ns = life->torn_since_ns = 0;
}

static bool is_left_open(struct mh_life *life)
{
    leave_open(life);
    if (life->disputed_ns == 0)
        return life->blind;
    if (!life->broken)
        snprintf(life->why, sizeof life->why, "stopped while the step %s was contradicted",
                 mh_step_names[life->disputed_step]);
    life->broken = true;
    return true;
}

static void end_cycle(struct mh_role *role)
{
    struct mh_life *life = role->state;
    const bool open = is_left_open(life);
    const bool unlooked = open || (is_owed(life) && life->rows.live > 0 && !life->looked);
    const struct mh_cycle_end end = {.outcome = !life->broken ? MH_OUTCOME_OK
                                                : unlooked    ? MH_OUTCOME_UNKNOWN
                                                              : MH_OUTCOME_FAILED,
                                     .cut = life->cut && !life->broken,
                                     .contradicted = open,
                                     .left = life->made || life->unseen_drop,
                                     .rows = life->inserted,
                                     .searched = life->searched,
                                     .found = life->own_found,
                                     .begin_ns = life->begin_ns,
                                     .end_ns = life->end_ns,
                                     .why = life->why};
    if (unlooked)
        life->unlooked_before++;
    else if (life->looked || end.outcome == MH_OUTCOME_OK)
        life->unlooked_before = 0;
    life->broken_before = life->broken ? life->broken_before + 1 : 0;
    life->under_way = false;
    life->number++;
    mh_role_cycle_ended(role, &end);
}

static void begin_parting(struct mh_life *life)
{
    life->parting = true;
    life->program = &mh_parting;
    life->at = 0;
    life->begun = 0;
    life->look = MH_LIFE_NO_LOOK;
    life->condemned = life->seeking = life->sought = life->recounting = false;
    life->again = life->wrong_since_ns > 0; /* it has looked already */
}

/* All that is left of the cycle: its collection goes, and it is seen to be gone. What cannot be dropped
 * stays: the next cycle has another name. */
static void wind_up(struct mh_role *role)
{
    struct mh_life *life = role->state;
    life->cleaning = life->made && (role->ending || life->drops < MOST_DROPS);
    life->parting = false;
    if (life->cleaning)
        return;
    if (life->made)
        mh_warn("collection %s could not be dropped, and is left on the server", life->name);
    if (!life->made && life->unseen_drop)
        begin_parting(life);
    else
        end_cycle(role);
}

/* A stop. The look at whether its drop was done goes on. */
static void cut_short(struct mh_role *role)
{
    struct mh_life *life = role->state;
    life->cut = true;
    if (!life->unseen_drop)
        leave_open(life);
    wind_up(role);
}

/* A step that a cycle of these options has nothing to do in. */
static bool is_empty(const struct mh_life *life, enum mh_step step)
{
    return (step == MH_STEP_DELETE && life->delete_from == life->delete_to) ||
           ((step == MH_STEP_COUNT_ELSEWHERE || step == MH_STEP_FIND_PARTITION) && !life->at_home) ||
           (step == MH_STEP_FIND_INDEX && !life->indexed);
}

static void skip_empty(struct mh_life *life)
{
    while (life->at < life->program->count && is_empty(life, life->program->steps[life->at]))
        life->at++; /* the first step is never empty */
}

static enum mh_next next(struct mh_role *role, struct mh_op *op)
{
    const struct mh_life_options *own = role->options->own;
    struct mh_life *life = role->state;
    if (life->busy)
        return MH_NEXT_WAIT;
    if (!life->under_way && (role->ending || (own->cycles > 0 && life->number == own->cycles)))
        return MH_NEXT_FINISHED;
    if (!life->under_way)
        begin_cycle(role);
    if (role->ending && !life->cleaning && !life->parting)
        cut_short(role);
    if (!life->under_way) /* stopped before its first operation */
        return MH_NEXT_FINISHED;
    if (life->cleaning)
        mh_life_ask_drop(role, op);
    else
        mh_life_ask(role, op);
    life->busy = true;
    return MH_NEXT_SEND;
}

/* ---- the next step ---- */

static int64_t rows_of(const struct mh_life *life, enum mh_step step)
{
    if (step == MH_STEP_DELETE)
        return life->delete_to - life->delete_from;
    return step == MH_STEP_INSERT || step == MH_STEP_QUERY ? life->rows.rows : 0;
}

/* The inquest is through: what was absent was late, unless it has told what is wrong. A count(*) that said
 * more than the query behind it, by rows in doubt, was neither. */
static void settle_dispute(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    if (life->disputed_ns == 0 || !asks_again(life->disputed_step))
        return;
    life->wrong_since_ns = life->disputed_ns;
    if (!life->told && life->missed)
        mh_life_tell_late(role, op);
    life->wrong_since_ns = life->disputed_ns = 0;
    life->missed = false;
}

/* Its collection has vanished; or it broke with no row that must be there, and what else must has been looked
 * for. */
static bool has_looked_enough(const struct mh_life *life)
{
    return life->gone || (life->inquest && life->rows.live == 0 && !finds(life->program->steps[life->at]));
}

/* Has what was disputed been asked for again? */
static bool has_asked_again(const struct mh_life *life)
{
    return life->gone || life->at == life->program->count || finds(life->disputed_step);
}

static void advance(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    if (life->look != MH_LIFE_NO_LOOK || life->recounting || life->begun < rows_of(life, mh_life_step(life)))
        return;
    life->begun = life->found = 0;
    life->at++;
    skip_empty(life);
    if (life->at < life->program->count && !has_looked_enough(life))
        return;
    life->looked |= life->inquest;
    if (life->inquest && has_asked_again(life))
        settle_dispute(role, op);
    wind_up(role);
}

static void note_broken(struct mh_role *role, enum mh_step step)
{
    struct mh_life *life = role->state;
    if (role->ending)
        life->cut = true;
    else if (!life->broken) {
        life->broken = true;
        snprintf(life->why, sizeof life->why, "ended by the step %s", mh_step_names[step]);
    }
}

static void begin_inquest(struct mh_life *life)
{
    life->inquest = true;
    life->program = &mh_inquest;
    life->at = 0;
    life->begun = life->found = life->total = life->torn_pairs = 0;
    life->look = MH_LIFE_NO_LOOK;
    life->again = life->condemned = life->seeking = life->sought = life->told = life->recounting = false;
}

/* The step failed for good. A server that comes back may answer an inquest. */
static void break_off(struct mh_role *role, const struct mh_op *op, enum mh_step step)
{
    struct mh_life *life = role->state;
    note_broken(role, step);
    if (!life->unseen_drop)
        leave_open(life);
    if (!life->inquest)
        life->inquest_until_ns = op->done_ns + mh_life_inquest_ns(life, role->job->server.timeout_ns);
    if (is_owed(life) && !role->ending && op->done_ns < life->inquest_until_ns) {
        life->pause_ns = life->inquest ? INQUEST_PAUSE_MS * MH_MS : 0;
        begin_inquest(life);
        return;
    }
    wind_up(role);
}

/* Without the vectors that were asked for an answer says nothing of them. Some servers leave out every column
 * of an empty reply. */
static bool lacks_vectors(const struct mh_role *role, const struct mh_op *op)
{
    const char *name = mh_content_vector_name(role->content);
    const bool asked = op->request.kind == MH_OP_QUERY && op->booked_as != MH_TALLY_COUNT &&
                       op->request.output_count == role->content->field_count;
    return asked && op->reply.column_count > 0 && op->reply.columns[0].rows > 0 &&
           !mh_reply_column(&op->reply, name);
}

static void note_blind(struct mh_life *life, enum mh_step step)
{
    if (!life->broken)
        snprintf(life->why, sizeof life->why, "the vectors asked for are not in the answer to the step %s",
                 mh_step_names[step]);
    life->broken = life->blind = true;
}

/* A drop that failed may have been done, unless the server said that there is no such collection. A partition
 * that is missing was dropped by a copy of this request, made on the way, or the server has lost it: nobody
 * can tell. */
static void learn_failed_drop(struct mh_life *life, const struct mh_op *op)
{
    const int64_t length = (int64_t)op->call.request_length,
                  others = (length > 0 ? op->bytes_out / length : 0) - op->throttled;
    if (others == 0 || (others == 1 && mh_reply_is_missing_collection(&op->reply)))
        return;
    mh_cycle_perhaps_dropped(&life->rows);
    life->at_home = false;
    if (others == 1 && mh_reply_is_missing_partition(&op->reply))
        note_dispute(life, MH_STEP_DROP_PARTITION, op->done_ns);
}

static void learn_step(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    const enum mh_step step = mh_life_step(life);
    const bool write = step == MH_STEP_INSERT || step == MH_STEP_DELETE;
    if (write)
        mh_cycle_wrote(&life->rows, op);
    life->drop_sent |= step == MH_STEP_DROP_COLLECTION;
    life->indexed &= step != MH_STEP_DROP_INDEX;
    if (op->outcome == MH_OUTCOME_UNKNOWN)
        note_broken(role, step);
    else if (op->outcome != MH_OUTCOME_OK) {
        if (step == MH_STEP_DROP_PARTITION)
            learn_failed_drop(life, op);
        break_off(role, op, step);
        return;
    } else if (lacks_vectors(role, op)) {
        note_blind(life, step);
        break_off(role, op, step);
        return;
    }
    life->created |= step == MH_STEP_CREATE_COLLECTION;
    life->at_home |= step == MH_STEP_CREATE_PARTITION;
    /* An inquest's own may be none: a drop in doubt may still be on its way. */
    life->indexed |= step == MH_STEP_CREATE_INDEX && !life->inquest;
    if (step == MH_STEP_INSERT && op->outcome == MH_OUTCOME_OK)
        life->inserted += op->rows.rows;
    if (step == MH_STEP_DROP_COLLECTION) {
        life->made = false;
        life->unseen_drop = true;
    }
    if (step == MH_STEP_DROP_PARTITION) {
        mh_cycle_dropped(&life->rows); /* if there are any, they are in it */
        life->at_home = false;
    }
    if (life->look == MH_LIFE_NO_LOOK)
        life->again = !mh_life_learn(role, op, step);
    else
        mh_life_look_on(role, op);
    if (!life->again)
        advance(role, op);
}

static void learn_drop(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    life->made = op->outcome != MH_OUTCOME_OK && !mh_reply_is_missing_collection(&op->reply);
    /* One whose creation was in doubt may yet come, behind its drop. */
    life->unseen_drop = op->outcome == MH_OUTCOME_OK && life->created;
    wind_up(role);
}

static void learn_failed_parting(struct mh_role *role)
{
    struct mh_life *life = role->state;
    life->again = false;
    life->pause_ns = MH_LIFE_DROP_PAUSE_MS * MH_MS;
    if (role->ending || ++life->failed_looks < MOST_DROPS)
        return;
    mh_warn("collection %s was dropped, and may be left on the server: no listing says", life->name);
    end_cycle(role);
}

static void learn_parting(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    if (op->outcome != MH_OUTCOME_OK) {
        learn_failed_parting(role);
        return;
    }
    life->again = !mh_life_learn(role, op, mh_life_step(life));
    if (!life->again)
        wind_up(role);
}

static void done(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    life->busy = false;
    if (life->begin_ns == 0)
        life->begin_ns = op->due_ns;
    life->end_ns = op->done_ns;
    if (life->cleaning)
        learn_drop(role, op);
    else if (life->parting)
        learn_parting(role, op);
    else
        learn_step(role, op);
}

static const char *owes(const struct mh_role *role)
{
    const struct mh_life *life = role->state;
    return life->under_way ? life->name : NULL;
}

const struct mh_role_ops mh_role_lifecycle = {
    .kind = {.name = "lifecycle",
             .help = "makes, fills, reads and drops collections of its own, again and again",
             .options = options,
             .own_size = sizeof(struct mh_life_options)},
    .order = 3, /* nobody lives on its rows, and nobody waits for them */
    .probes = true,
    .state_size = sizeof(struct mh_life),
    .check = check,
    .init = init,
    .next = next,
    .done = done,
    .owes = owes,
    .leave = end_cycle,
    .fini = fini,
};
