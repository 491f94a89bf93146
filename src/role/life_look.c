/* Lifecycle: what its replies say of what was acknowledged. */
#include "role/life.h"

struct finder {
    struct mh_role *role;
    const struct mh_op *op;
};

static void tell_core(void *context, const struct mh_cycle_wrong *wrong)
{
    const struct finder *finder = context;
    struct mh_life *life = finder->role->state;
    const struct mh_op *op = finder->op;
    const struct mh_finding finding = {.what = wrong->what,
                                       .id = wrong->id,
                                       .expected = wrong->expected,
                                       .seen = wrong->seen,
                                       .expected_value = wrong->expected_value,
                                       .seen_value = wrong->seen_value,
                                       .cycle = life->number,
                                       .step = op->request.kind,
                                       .first_ns = life->wrong_since_ns ? life->wrong_since_ns : op->done_ns,
                                       .last_ns = op->done_ns};
    life->told = true;
    mh_role_found(finder->role, &finding);
}

void mh_life_tell_late(struct mh_role *role, const struct mh_op *op)
{
    const struct mh_life *life = role->state;
    tell_core(&(struct finder){role, op},
              &(struct mh_cycle_wrong){.what = MH_FOUND_LATE, .id = life->rows.first});
}

/* `thing` stands for what was not dropped. */
static void tell_of_thing(const struct mh_life *life, int64_t thing, mh_cycle_tell *tell, void *context)
{
    tell(context,
         &(struct mh_cycle_wrong){.what = MH_FOUND_NOT_DROPPED, .id = life->rows.first + thing, .seen = 1});
}

static void tell_lost(const struct mh_life *life, int64_t thing, mh_cycle_tell *tell, void *context)
{
    tell(context, &(struct mh_cycle_wrong){
                      .what = MH_FOUND_LOST, .id = life->rows.first + thing, .seen = MH_SIGHT_ABSENT});
}

static void judge_list(const struct mh_life *life, const struct mh_op *op, mh_cycle_tell *tell, void *context)
{
    const bool whole = op->request.kind == MH_OP_SHOW_COLLECTIONS;
    if (mh_reply_lists(&op->reply, whole ? life->name : MH_LIFE_PARTITION))
        tell_of_thing(life, whole ? MH_CYCLE_ID_WHOLE : MH_CYCLE_ID_PARTITION, tell, context);
}

static void judge_index(const struct mh_life *life, const struct mh_op *op, mh_cycle_tell *tell,
                        void *context)
{
    if (op->reply.described)
        tell_of_thing(life, MH_CYCLE_ID_INDEX, tell, context);
}

static bool is_wrong_count(const struct mh_life *life, const struct mh_op *op, enum mh_step step)
{
    int64_t count = -1;
    if (step != MH_STEP_COUNT && step != MH_STEP_COUNT_ELSEWHERE)
        return false;
    if (!mh_reply_count(&op->reply, &count))
        return true;
    if (step == MH_STEP_COUNT_ELSEWHERE)
        return count != 0;
    return count < life->rows.live || count > life->rows.live + life->rows.maybe;
}

/* Returns the rows that a query found. */
static int64_t judge(struct mh_life *life, const struct mh_op *op, enum mh_step step, mh_cycle_tell *tell,
                     void *context)
{
    int64_t found = 0;
    if (step == MH_STEP_QUERY)
        mh_cycle_judge_rows(&life->rows, op, life->first, life->last, &found, tell, context);
    else if (step == MH_STEP_SEARCH)
        mh_cycle_judge_hits(&life->rows, op, life->first, life->exact, tell, context);
    else if (step == MH_STEP_LIST_PARTITIONS || step == MH_STEP_LIST_COLLECTIONS)
        judge_list(life, op, tell, context);
    else if (step == MH_STEP_LIST_INDEX)
        judge_index(life, op, tell, context);
    else if (step == MH_STEP_FIND_COLLECTION && !mh_reply_lists(&op->reply, life->name))
        mh_cycle_judge_absence(&life->rows, tell, context);
    else if (step == MH_STEP_FIND_PARTITION && !mh_reply_lists(&op->reply, MH_LIFE_PARTITION))
        tell_lost(life, MH_CYCLE_ID_PARTITION, tell, context);
    else if (step == MH_STEP_FIND_INDEX && !op->reply.described)
        tell_lost(life, MH_CYCLE_ID_INDEX, tell, context);
    return found;
}

/* What is asked for again until verify.grace is over. */
static bool may_still_come(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    if (life->wrong_since_ns == 0)
        life->wrong_since_ns = op->done_ns;
    return !life->undropped && op->done_ns - life->wrong_since_ns < role->job->verify.grace_ns;
}

struct answer {
    struct finder finder;
    bool final;       /* what may still come is told, and nothing else */
    bool wanting;     /* of what may still come, something is not there */
    bool condemnable; /* something is wrong whatever the next answer says */
};

/* A row that is not there may be late, and so may a drop. Any other wrong answer to a strong read stays
 * wrong, whatever the next one says, as in the audit. */
static void weigh(void *context, const struct mh_cycle_wrong *wrong)
{
    const enum mh_found what = wrong->what;
    struct answer *answer = context;
    const struct mh_life *life = answer->finder.role->state;
    const bool late = what == MH_FOUND_LOST || what == MH_FOUND_MISPLACED || what == MH_FOUND_MISSED ||
                      what == MH_FOUND_NOT_DROPPED;
    answer->wanting |= late;
    answer->condemnable |= !late;
    if (late ? answer->final : !answer->final && !life->condemned)
        tell_core(&answer->finder, wrong);
}

static void begin_look(struct mh_life *life, const struct mh_op *op, enum mh_step step)
{
    life->look = step == MH_STEP_COUNT ? MH_LIFE_LOOK_AT_ROWS : MH_LIFE_LOOK_ELSEWHERE;
    life->begun = life->found = life->counted = life->total = life->torn_since_ns = life->torn_pairs = 0;
    life->recounting = false;
    mh_reply_count(&op->reply, &life->counted);
}

static void settle(struct mh_life *life, enum mh_step step)
{
    life->wrong_since_ns = 0;
    life->unseen_drop &= step != MH_STEP_LIST_COLLECTIONS;
    if (life->sought)
        mh_cycle_forget_away(&life->rows);
    life->condemned = life->sought = false;
}

/* Rows that are still absent where they belong are asked for wherever they are, and then once more at home.
 */
static bool must_seek(struct mh_life *life, enum mh_step step)
{
    life->seeking = step == MH_STEP_QUERY && life->at_home && !life->sought;
    return life->seeking;
}

static void note_sought(struct mh_life *life, const struct mh_op *op)
{
    mh_cycle_note_away(&life->rows, op);
    life->seeking = false;
    life->sought = true;
}

/* Longer vectors are nearer by IP: it need not find a row by its own. */
static void count_found(struct mh_life *life, const struct mh_op *op, enum mh_step step)
{
    if (step == MH_STEP_SEARCH && life->rows.metric != MH_METRIC_IP)
        mh_cycle_count_found(&life->rows, op, life->first, &life->searched, &life->own_found);
}

static void look_for_copies(struct mh_life *life)
{
    life->look = MH_LIFE_LOOK_FOR_COPIES;
    mh_cycle_locate(&life->rows);
    mh_cycle_next_range(&life->rows, &life->range); /* all rows: there is one */
}

/* All rows were asked for. A second copy shows in the count(*) before them alone, and there it may take the
 * place of a row in doubt. As may a delete in doubt that landed between the two: so both are asked for again,
 * until verify.grace is over, and so often at least. Where rows were lost, that was told. */
static void compare_with_count(struct mh_role *role, const struct mh_op *op)
{
    enum { LEAST_PAIRS = 3 };
    const struct mh_life_options *own = role->options->own;
    struct mh_life *life = role->state;
    if (life->total <= life->found || life->found < life->rows.live) {
        life->torn_since_ns = life->torn_pairs = 0;
        return;
    }
    if (life->torn_since_ns == 0)
        life->torn_since_ns = op->done_ns;
    if (++life->torn_pairs < LEAST_PAIRS || op->done_ns - life->torn_since_ns < role->job->verify.grace_ns) {
        life->recounting = true;
        life->pause_ns = own->poll_ns;
        return;
    }
    life->counted = life->total;
    life->wrong_since_ns = life->torn_since_ns;
    life->torn_since_ns = life->torn_pairs = 0;
    look_for_copies(life);
}

static void note_count(struct mh_life *life, const struct mh_op *op)
{
    mh_reply_count(&op->reply, &life->total);
    if (life->recounting)
        life->begun = life->found = 0; /* the query once more */
    life->recounting = false;
}

/* The answer to the step is the last one. */
static void conclude(struct mh_role *role, const struct mh_op *op, enum mh_step step, int64_t found)
{
    struct mh_life *life = role->state;
    settle(life, step);
    count_found(life, op, step);
    if (step == MH_STEP_COUNT)
        note_count(life, op);
    life->found += found;
    if (step == MH_STEP_QUERY && life->begun == life->rows.rows)
        compare_with_count(role, op);
}

/* The reply was good: is what it says right? False: it is to be asked for again. */
bool mh_life_learn(struct mh_role *role, const struct mh_op *op, enum mh_step step)
{
    struct mh_life *life = role->state;
    struct answer answer = {.finder = {role, op}};
    if (life->seeking) {
        note_sought(life, op);
        return false;
    }
    int64_t found = judge(life, op, step, weigh, &answer);
    life->condemned |= answer.condemnable;
    const bool miscounted = is_wrong_count(life, op, step);
    life->rows.sound = step == MH_STEP_COUNT ? !miscounted : life->rows.sound;
    if (!answer.wanting && !miscounted) {
        if (life->wrong_since_ns)
            mh_life_tell_late(role, op);
        conclude(role, op, step, found);
        return true;
    }
    if (may_still_come(role, op) || must_seek(life, step))
        return false;
    if (miscounted) {
        begin_look(life, op, step);
        return true;
    }
    answer.final = true;
    found = judge(life, op, step, weigh, &answer);
    life->undropped |= step == MH_STEP_LIST_COLLECTIONS;
    life->made |= step == MH_STEP_LIST_COLLECTIONS; /* still */
    life->gone |= step == MH_STEP_FIND_COLLECTION;
    life->at_home &= step != MH_STEP_FIND_PARTITION; /* its rows may be anywhere else */
    conclude(role, op, step, found);
    return true;
}

/* ---- a closer look ---- */

static void end_look(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    struct finder finder = {role, op};
    const bool copies = life->look == MH_LIFE_LOOK_FOR_COPIES;
    if (life->counted != life->found &&
        !(copies && mh_cycle_explain(&life->rows, life->counted - life->found, tell_core, &finder)))
        tell_core(&finder, &(struct mh_cycle_wrong){.what = MH_FOUND_MISCOUNTED,
                                                    .id = life->rows.first,
                                                    .expected = life->found,
                                                    .seen = life->counted});
    life->look = MH_LIFE_NO_LOOK;
    life->wrong_since_ns = 0;
}

static bool has_seen_enough(struct mh_role *role, const struct mh_op *op)
{
    struct mh_life *life = role->state;
    struct finder finder = {role, op};
    int64_t count = 0;
    if (life->look == MH_LIFE_LOOK_ELSEWHERE) {
        mh_cycle_judge_strays(&life->rows, op, &life->found, tell_core, &finder);
        return life->begun == life->rows.rows;
    }
    if (life->look == MH_LIFE_LOOK_AT_ROWS) {
        mh_cycle_judge_rows(&life->rows, op, life->first, life->last, &life->found, tell_core, &finder);
        if (life->begun < life->rows.rows)
            return false;
        if (life->counted <= life->found)
            return true;
        look_for_copies(life);
        return false;
    }
    if (mh_reply_count(&op->reply, &count))
        mh_cycle_counted(&life->rows, &life->range, count);
    return !mh_cycle_next_range(&life->rows, &life->range);
}

void mh_life_look_on(struct mh_role *role, const struct mh_op *op)
{
    if (has_seen_enough(role, op))
        end_look(role, op);
}
