/* The plan against its rules said again in another way: rows, ranks and partitions of every worker, due
 * times. */
#include "plan/plan.h"

#include "base/clock.h"
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a job whose roles say in `ops` what they need ---- */

enum { NOTHING, OWN, DEFAULT, SHARED, ROWS_ONLY };

static struct mh_plan_needs needs(const struct mh_role_options *role)
{
    static const char *const names[] = {
        [OWN] = "own", [DEFAULT] = "_default", [SHARED] = "shared", [ROWS_ONLY] = NULL};
    return (struct mh_plan_needs){.writes_rows = role->ops != NOTHING, .partition = names[role->ops]};
}

static struct mh_role_options first_roles[] = {
    {.count = 3, .ops = OWN, .rows = 7},      {.count = 2, .ops = NOTHING, .rows = 1000},
    {.count = -1, .ops = DEFAULT, .rows = 1}, {.count = 5, .ops = SHARED, .rows = 10},
    {.count = 0, .ops = SHARED, .rows = 10},  {.count = 2, .ops = OWN, .rows = 2},
};
static struct mh_role_options second_roles[] = {
    {.count = 1, .ops = NOTHING},
    {.count = 2, .ops = OWN, .rows = 4},
    {.count = 2, .ops = ROWS_ONLY, .rows = 2},
    {.count = 1, .ops = SHARED, .rows = 3},
    {.count = 3, .ops = NOTHING},
};
static char first_name[] = "first", second_name[] = "second", path[] = "job.yaml";
static struct mh_stage_options stages[] = {
    {.name = first_name, .roles = first_roles, .role_count = COUNT(first_roles)},
    {.name = second_name, .roles = second_roles, .role_count = COUNT(second_roles)},
};
static const struct mh_job job = {.path = path, .stages = stages, .stage_count = COUNT(stages)};

static struct mh_plan *plan_of(const struct mh_job *of, int np, const int *nodes)
{
    struct mh_plan *plan = NULL;
    struct mh_error err = {""};
    if (mh_plan_make(of, np, nodes, needs, &plan, &err) != 0)
        fail_msg("%s", err.text);
    return plan;
}

static int64_t count_of(const struct mh_role_options *role, int np)
{
    return role->count < 0 ? np : role->count;
}

/* ---- ranks ---- */

static void workers_follow_the_job(const struct mh_plan *plan)
{
    int64_t number = 0, next_id = 0;
    for (int s = 0; s < (int)job.stage_count; s++)
        for (int r = 0; r < (int)stages[s].role_count; r++)
            for (int64_t i = 0; i < count_of(&stages[s].roles[r], plan->np); i++, number++) {
                const struct mh_role_options *role = &stages[s].roles[r];
                const struct mh_worker *worker = &plan->workers[number];
                assert_true(number < plan->worker_count);
                assert_int_equal(worker->number, number);
                assert_int_equal(worker->stage, s);
                assert_int_equal(worker->role, r);
                assert_int_equal(worker->index, i);
                assert_int_equal(worker->peers, count_of(role, plan->np));
                assert_int_equal(worker->first_id, next_id);
                assert_int_equal(worker->rows, role->ops == NOTHING ? 0 : role->rows);
                next_id += worker->rows;
            }
    assert_int_equal(number, plan->worker_count);
    assert_int_equal(next_id, plan->id_end);
}

static int node_at(const int *nodes, int rank)
{
    return nodes ? nodes[rank] : 0;
}

/* How many of the ranks before `rank` share its node. */
static int seniority(const int *nodes, int rank)
{
    int before = 0;
    for (int r = 0; r < rank; r++)
        before += node_at(nodes, r) == node_at(nodes, rank);
    return before;
}

static void ranks_of_a_stage(const struct mh_plan *plan, const int *nodes, int stage)
{
    int *load = calloc((size_t)plan->np, sizeof *load), last_seniority = 0, in_turn = 0;
    int64_t first = 0, count = 0;
    while (plan->workers[first].stage != stage)
        first++;
    for (; first + count < plan->worker_count && plan->workers[first + count].stage == stage; count++) {
        int rank = plan->workers[first + count].rank;
        assert_in_range(rank, 0, plan->np - 1);
        load[rank]++;
        if (count % plan->np == 0)
            last_seniority = 0;
        in_turn = seniority(nodes, rank);
        assert_true(in_turn >= last_seniority); /* every node's first rank before any node's second */
        last_seniority = in_turn;
    }
    for (int r = 0; r < plan->np; r++) /* nobody has two while another has none */
        assert_true(load[r] == count / plan->np || (load[r] == count / plan->np + 1 && count % plan->np > 0));
    free(load);
}

enum { MOST_RANKS = 64 };

struct layout {
    int np, per_node; /* 0: NULL; -1: ranks go round 3 nodes; -2: one large node and 2 small ones */
};

static const struct layout layouts[] = {
    {1, 0},   {4, 0},  {7, 0},  {32, 0}, {64, 0},  {1, 1},   {4, 2},  {7, 3},   {32, 8},
    {64, 16}, {64, 1}, {4, -1}, {7, -1}, {32, -1}, {64, -1}, {7, -2}, {32, -2}, {64, -2},
};

static int *nodes_of(const struct layout *layout, int nodes[MOST_RANKS])
{
    for (int r = 0; r < layout->np; r++)
        nodes[r] = layout->per_node > 0     ? r / layout->per_node
                   : layout->per_node == -1 ? r % 3
                   : r < layout->np - 2     ? 0
                                            : r - layout->np + 3;
    return layout->per_node ? nodes : NULL;
}

static void every_layout_gives_every_worker_a_rank(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(layouts); i++) {
        int room[MOST_RANKS], *nodes = nodes_of(&layouts[i], room);
        struct mh_plan *plan = plan_of(&job, layouts[i].np, nodes);
        assert_int_equal(plan->np, layouts[i].np);
        workers_follow_the_job(plan);
        for (int s = 0; s < (int)job.stage_count; s++)
            ranks_of_a_stage(plan, nodes, s);
        int highest = 0;
        for (int r = 0; r < plan->np; r++) {
            assert_int_equal(plan->node_of_rank[r], node_at(nodes, r));
            highest = node_at(nodes, r) > highest ? node_at(nodes, r) : highest;
        }
        assert_int_equal(plan->node_count, highest + 1);
        mh_plan_free(plan);
    }
}

/* 2 nodes of 3: nodes in turn, and the second role goes on where the first ended. */
static void ranks_of_a_small_case(void **state)
{
    (void)state;
    static const int nodes[] = {0, 0, 0, 1, 1, 1}, expected[] = {0, 3, 1, 4, 2, 5, 0, 3};
    struct mh_role_options roles[] = {{.count = 4, .ops = OWN, .rows = 1}, {.count = 4, .ops = NOTHING}};
    struct mh_stage_options stage = {.name = first_name, .roles = roles, .role_count = 2};
    struct mh_job small = {.path = path, .stages = &stage, .stage_count = 1};
    struct mh_plan *plan = plan_of(&small, 6, nodes);
    for (int w = 0; w < 8; w++)
        assert_int_equal(plan->workers[w].rank, expected[w]);
    mh_plan_free(plan);
}

/* ---- partitions ---- */

static void partitions_are_own_default_or_named(void **state)
{
    (void)state;
    struct mh_plan *plan = plan_of(&job, 4, NULL);
    int own = 0;
    assert_string_equal(plan->partitions[0], "_default");
    for (int64_t w = 0; w < plan->worker_count; w++) {
        const struct mh_worker *worker = &plan->workers[w];
        int64_t kind = stages[worker->stage].roles[worker->role].ops;
        if (kind == NOTHING || kind == ROWS_ONLY) {
            assert_int_equal(worker->partition, -1);
            continue;
        }
        assert_in_range(worker->partition, 0, plan->partition_count - 1);
        const char *name = plan->partitions[worker->partition];
        if (kind == DEFAULT)
            assert_int_equal(worker->partition, 0);
        if (kind == SHARED)
            assert_string_equal(name, "shared");
        for (int64_t other = 0; kind == OWN && other < plan->worker_count; other++)
            assert_true(other == w || plan->workers[other].partition != worker->partition);
        own += kind == OWN;
    }
    assert_int_equal(plan->partition_count,
                     1 + own + 1); /* _default, one each, "shared" once for both stages */
    for (int a = 0; a < plan->partition_count; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(plan->partitions[a], plan->partitions[b]);
    mh_plan_free(plan);
}

/* ---- whose id ---- */

static void every_id_has_its_writer(void **state)
{
    (void)state;
    for (int np = 1; np <= 7; np += 3) {
        struct mh_plan *plan = plan_of(&job, np, NULL);
        for (int64_t id = -2; id < plan->id_end + 3; id++) {
            const struct mh_worker *writer = NULL;
            for (int64_t w = 0; w < plan->worker_count; w++)
                if (id >= plan->workers[w].first_id &&
                    id < plan->workers[w].first_id + plan->workers[w].rows) {
                    assert_null(writer); /* ids of workers do not overlap */
                    writer = &plan->workers[w];
                }
            assert_ptr_equal(mh_plan_writer_of(plan, id), writer);
            assert_true((id >= 0 && id < plan->id_end) == (writer != NULL));
        }
        assert_null(mh_plan_writer_of(plan, INT64_MIN));
        assert_null(mh_plan_writer_of(plan, INT64_MAX));
        mh_plan_free(plan);
    }
}

static void a_job_without_writers_has_no_ids(void **state)
{
    (void)state;
    struct mh_role_options role = {.count = 2, .ops = NOTHING, .rows = 5};
    struct mh_stage_options stage = {.name = first_name, .roles = &role, .role_count = 1};
    struct mh_job idle = {.path = path, .stages = &stage, .stage_count = 1}, empty = {.path = path};
    struct mh_plan *plan = plan_of(&idle, 3, NULL), *none = plan_of(&empty, 1, NULL);
    assert_int_equal(plan->id_end, 0);
    assert_null(mh_plan_writer_of(plan, 0));
    assert_int_equal(none->worker_count, 0);
    assert_null(mh_plan_writer_of(none, 0));
    mh_plan_free(plan);
    mh_plan_free(none);
    mh_plan_free(NULL);
}

static void more_ids_than_the_journal_can_hold_are_refused(void **state)
{
    (void)state;
    struct mh_role_options role = {.count = 2, .ops = OWN, .rows = MH_PLAN_MOST_IDS / 2};
    struct mh_stage_options stage = {.name = first_name, .roles = &role, .role_count = 1};
    struct mh_job large = {.path = path, .stages = &stage, .stage_count = 1};
    struct mh_plan *plan = plan_of(&large, 1, NULL);
    assert_int_equal(plan->id_end, MH_PLAN_MOST_IDS);
    mh_plan_free(plan);
    struct mh_error err = {""};
    role.rows++;
    plan = NULL;
    assert_int_equal(mh_plan_make(&large, 1, NULL, needs, &plan, &err), -1);
    assert_null(plan);
    assert_non_null(strstr(err.text, "job.yaml"));
}

/* As a damaged file may ask for: it must not take a turn a rank. */
static void a_million_ranks_of_one_node_take_no_time(void **state)
{
    enum { RANKS = 1000000 };
    (void)state;
    struct mh_plan *plan = plan_of(&job, RANKS, NULL);
    assert_int_equal(plan->workers[2].rank, 2);
    assert_int_equal(plan->workers[RANKS - 1].rank, RANKS - 1);
    mh_plan_free(plan);
}

/* ---- a collection filled in parts ---- */

static void parts_lie_behind_each_other(void **state)
{
    (void)state;
    enum { PARTS = 3, NP = 4 };
    struct mh_error err = {""};
    struct mh_plan *plan = plan_of(&job, NP, NULL), *one = plan_of(&job, NP, NULL);
    assert_int_equal(mh_plan_continue(plan, PARTS, &err), 0);
    assert_int_equal(plan->parts, PARTS);
    assert_int_equal(plan->worker_count, PARTS * one->worker_count);
    assert_int_equal(plan->first_at_work, (PARTS - 1) * one->worker_count);
    assert_int_equal(plan->id_end, PARTS * one->id_end);
    assert_int_equal(plan->partition_count, one->partition_count);
    for (int64_t i = 0; i < plan->worker_count; i++) {
        const struct mh_worker *worker = &plan->workers[i], *as = &one->workers[i % one->worker_count];
        const int64_t part = i / one->worker_count;
        assert_int_equal(worker->number, i);
        assert_int_equal(mh_plan_part_of(plan, i), part + 1);
        assert_int_equal(worker->first_id, as->first_id + part * one->id_end);
        assert_int_equal(worker->rows, as->rows);
        assert_int_equal(worker->partition, as->partition);
        if (worker->rows > 0)
            assert_ptr_equal(mh_plan_writer_of(plan, worker->first_id + worker->rows - 1), worker);
    }
    mh_plan_free(plan);
    mh_plan_free(one);
}

/* As many workers as were planned for, on as many ranks as there are: each part as if it were alone. */
static void each_part_is_spread_over_all_ranks(void **state)
{
    (void)state;
    static const int nodes[] = {0, 1, 1, 0, 1};
    struct mh_role_options role = {.count = 7, .ops = OWN, .rows = 3};
    struct mh_stage_options stage = {.name = first_name, .roles = &role, .role_count = 1};
    struct mh_job small = {.path = path, .stages = &stage, .stage_count = 1};
    struct mh_error err = {""};
    struct mh_plan *plan = plan_of(&small, 2, NULL), *as = plan_of(&small, COUNT(nodes), nodes);
    assert_int_equal(mh_plan_continue(plan, 2, &err), 0);
    assert_int_equal(mh_plan_spread(plan, COUNT(nodes), nodes, &err), 0);
    assert_int_equal(plan->np, COUNT(nodes));
    assert_int_equal(plan->for_np, 2);
    for (int64_t i = 0; i < plan->worker_count; i++)
        assert_int_equal(plan->workers[i].rank, as->workers[i % as->worker_count].rank);
    mh_plan_free(plan);
    mh_plan_free(as);
}

static void a_part_beyond_the_ids_is_refused(void **state)
{
    (void)state;
    struct mh_role_options role = {.count = 1, .ops = OWN, .rows = MH_PLAN_MOST_IDS / 2};
    struct mh_stage_options stage = {.name = first_name, .roles = &role, .role_count = 1};
    struct mh_job large = {.path = path, .stages = &stage, .stage_count = 1};
    struct mh_error err = {""};
    struct mh_plan *plan = plan_of(&large, 1, NULL);
    assert_int_equal(mh_plan_continue(plan, 3, &err), -1);
    assert_non_null(strstr(err.text, "part 3"));
    assert_int_equal(mh_plan_continue(plan, 2, &err), 0);
    mh_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_gives_every_worker_a_rank),
        cmocka_unit_test(ranks_of_a_small_case),
        cmocka_unit_test(a_million_ranks_of_one_node_take_no_time),
        cmocka_unit_test(partitions_are_own_default_or_named),
        cmocka_unit_test(every_id_has_its_writer),
        cmocka_unit_test(a_job_without_writers_has_no_ids),
        cmocka_unit_test(more_ids_than_the_journal_can_hold_are_refused),
        cmocka_unit_test(parts_lie_behind_each_other),
        cmocka_unit_test(each_part_is_spread_over_all_ranks),
        cmocka_unit_test(a_part_beyond_the_ids_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
