/* The indexer's sequence of operations: each line of a story is what it sees, what it does, how that ends. */
#include "check.h"
#include "role/core.h"

#include <stdlib.h>
#include <string.h>

enum does { WAITS, CREATES, DROPS, LOOKS, FINISHES };

struct line {
    int64_t rows, deletes;
    bool dry;
    enum does does;
    enum mh_outcome outcome;
    int state; /* of the index, when it LOOKS */
    int64_t pending;
};

static const enum mh_op_kind kinds[] = {
    [CREATES] = MH_OP_CREATE_INDEX, [DROPS] = MH_OP_DROP_INDEX, [LOOKS] = MH_OP_DESCRIBE_INDEX};

static void see(struct core *core, const struct line *line)
{
    core->view = (struct mh_stage_view){
        .acknowledged_rows = line->rows, .acknowledged_deletes = line->deletes, .dry = line->dry};
}

static void play(const char *role, const struct line *story, size_t count)
{
    struct core core;
    struct mh_op *op = core_op(1);
    core_open(&core, role, 1);
    for (size_t i = 0; i < count; i++) {
        const struct line *line = &story[i];
        see(&core, line);
        enum mh_next next = core.role.ops->next(&core.role, op);
        enum does does = next == MH_NEXT_WAIT ? WAITS : next == MH_NEXT_FINISHED ? FINISHES : line->does;
        if (does != line->does || (next == MH_NEXT_SEND && op->request.kind != kinds[does]))
            fail_msg("%s, line %zu: next %d, kind %d", role, i, next, op->request.kind);
        if (next != MH_NEXT_SEND)
            continue;
        assert_int_equal(op->delay_ns, does == LOOKS ? 100000000 : 0);
        assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_WAIT); /* one at a time */
        op->outcome = line->outcome;
        op->reply.state = line->state;
        op->reply.pending_rows = line->pending;
        core.role.ops->done(&core.role, op);
        op->delay_ns = 0; /* as the core's release does */
    }
    core_close(&core);
    core_free_op(op);
}

#define PLAY(role, ...)                                                                                      \
    do {                                                                                                     \
        static const struct line story[] = __VA_ARGS__;                                                      \
        play(role, story, COUNT(story));                                                                     \
    } while (0)

/* rows and deletes acknowledged so far, and whether more may come */
#define SEES(ROWS, DELETES, DRY) .rows = ROWS, .deletes = DELETES, .dry = DRY
#define WAIT(...)                                                                                            \
    {                                                                                                        \
        SEES(__VA_ARGS__), .does = WAITS                                                                     \
    }
#define FINISH(...)                                                                                          \
    {                                                                                                        \
        SEES(__VA_ARGS__), .does = FINISHES                                                                  \
    }
#define DO(ROWS, DELETES, DRY, WHAT, END)                                                                    \
    {                                                                                                        \
        SEES(ROWS, DELETES, DRY), .does = WHAT, .outcome = END                                               \
    }
#define LOOK(ROWS, DELETES, DRY, STATE, P)                                                                   \
    {                                                                                                        \
        SEES(ROWS, DELETES, DRY), .does = LOOKS, .state = STATE, .pending = P                                \
    }

static void it_creates_once_there_are_rows_and_waits_until_built(void **state)
{
    (void)state;
    PLAY("{role: indexer, start_after_rows: 100}",
         {WAIT(0, 0, false), WAIT(99, 0, false), DO(100, 0, false, CREATES, MH_OUTCOME_OK),
          WAIT(500, 10, false), /* writers still write */
          LOOK(900, 10, true, MH_INDEX_UNISSUED, 0), LOOK(900, 10, true, MH_INDEX_IN_PROGRESS, 0),
          LOOK(900, 10, true, MH_INDEX_RETRY, 0), LOOK(900, 10, true, MH_INDEX_FINISHED, 3),
          LOOK(900, 10, true, MH_INDEX_FINISHED, 0), FINISH(900, 10, true), FINISH(900, 10, true)});
}

static void it_recreates_after_the_first_acknowledged_delete(void **state)
{
    (void)state;
    PLAY("{role: indexer, recreate: true}",
         {DO(0, 0, false, CREATES, MH_OUTCOME_OK), WAIT(500, 0, false),
          DO(500, 1, false, DROPS, MH_OUTCOME_OK), DO(600, 1, false, CREATES, MH_OUTCOME_OK),
          WAIT(700, 1, false), LOOK(700, 1, true, MH_INDEX_FINISHED, 0), FINISH(700, 1, true)});
}

static void it_does_not_wait_for_what_cannot_come(void **state)
{
    (void)state;
    PLAY("{role: indexer, start_after_rows: 1000000, recreate: true}",
         {WAIT(7, 0, false), DO(7, 0, true, CREATES, MH_OUTCOME_OK), DO(7, 0, true, DROPS, MH_OUTCOME_OK),
          DO(7, 0, true, CREATES, MH_OUTCOME_OK), LOOK(7, 0, true, MH_INDEX_FAILED, 9), FINISH(7, 0, true)});
    PLAY("{role: indexer}",
         {DO(0, 0, true, CREATES, MH_OUTCOME_OK), LOOK(0, 0, true, MH_INDEX_NONE, 0), FINISH(0, 0, true)});
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    PLAY("{role: indexer, recreate: true}", {DO(0, 1, true, CREATES, MH_OUTCOME_FAILED), FINISH(0, 1, true)});
    PLAY("{role: indexer, recreate: true}",
         {DO(0, 1, true, CREATES, MH_OUTCOME_THROTTLED), FINISH(0, 1, true)});
    PLAY("{role: indexer, recreate: true}", {DO(0, 1, true, CREATES, MH_OUTCOME_OK),
                                             DO(0, 1, true, DROPS, MH_OUTCOME_FAILED), FINISH(0, 1, true)});
    PLAY("{role: indexer, recreate: true}",
         {DO(0, 1, true, CREATES, MH_OUTCOME_OK), DO(0, 1, true, DROPS, MH_OUTCOME_OK),
          DO(0, 1, true, CREATES, MH_OUTCOME_FAILED), FINISH(0, 1, true)});
    PLAY("{role: indexer}", {DO(0, 1, true, CREATES, MH_OUTCOME_OK), DO(0, 1, true, LOOKS, MH_OUTCOME_FAILED),
                             FINISH(0, 1, true)});
}

static void a_build_that_never_ends_is_given_up(void **state)
{
    (void)state;
    struct core core;
    struct mh_op *op = core_op(1);
    int64_t looked = 0;
    core_open(&core, "{role: indexer}", 1);
    core.view.dry = true;
    while (core.role.ops->next(&core.role, op) == MH_NEXT_SEND && looked < 1000000) {
        looked += op->request.kind == MH_OP_DESCRIBE_INDEX;
        op->outcome = MH_OUTCOME_OK;
        op->reply.state = MH_INDEX_IN_PROGRESS;
        core.role.ops->done(&core.role, op);
    }
    assert_int_equal(looked, 9000); /* 15 minutes */
    core_close(&core);
    core_free_op(op);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_creates_once_there_are_rows_and_waits_until_built),
        cmocka_unit_test(it_recreates_after_the_first_acknowledged_delete),
        cmocka_unit_test(it_does_not_wait_for_what_cannot_come),
        cmocka_unit_test(a_failure_ends_it),
        cmocka_unit_test(a_build_that_never_ends_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
