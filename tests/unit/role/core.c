#include "role/core.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mh_role_take_claim(struct mh_role *role, struct mh_claim *claim)
{
    struct core *core = role->core;
    if (core->waiting_count == 0)
        return false;
    *claim = core->waiting[0];
    memmove(core->waiting, core->waiting + 1, (size_t)--core->waiting_count * sizeof *core->waiting);
    return true;
}

void mh_role_offer(struct mh_role *role, const struct mh_claim *rows)
{
    struct core *core = role->core;
    assert_true(core->offer_count < CORE_CLAIMS);
    core->offers[core->offer_count++] = *rows;
}

void mh_role_saw(struct mh_role *role, const struct mh_sighting *sighting)
{
    struct core *core = role->core;
    assert_true(core->sighting_count < CORE_SIGHTINGS);
    core->sightings[core->sighting_count++] = *sighting;
}

void mh_role_found(struct mh_role *role, const struct mh_finding *finding)
{
    struct core *core = role->core;
    assert_true(core->finding_count < CORE_SIGHTINGS);
    core->findings[core->finding_count++] = *finding;
}

void mh_role_cycle_ended(struct mh_role *role, const struct mh_cycle_end *end)
{
    struct core *core = role->core;
    assert_true(core->cycle_count < CORE_SIGHTINGS);
    core->cycles[core->cycle_count] = *end;
    snprintf(core->whys[core->cycle_count++], sizeof core->whys[0], "%s", end->why);
}

void core_deliver(struct core *core, struct mh_claim claim)
{
    assert_true(core->waiting_count < CORE_CLAIMS);
    core->waiting[core->waiting_count++] = claim;
}

static void make_content(struct core *core)
{
    for (int i = 0; i < CORE_ROWS * CORE_DIM; i++)
        core->vectors[i] = (float)(i / CORE_DIM);
    core->data = (struct mh_dataset){.shape = {.train_rows = CORE_ROWS, .dim = CORE_DIM},
                                     .train = core->vectors,
                                     .queries = core->vectors,
                                     .query_rows = CORE_QUERIES};
    mh_content_init(&core->content, &core->data, &core->job->collection, 1);
}

void core_open(struct core *core, const char *role, uint64_t seed)
{
    static const char frame[] = "dataset: {synthetic: {rows: 100, dim: 4}}\n"
                                "collection:\n"
                                "  name: things\n"
                                "  fields:\n"
                                "    - {name: id, type: int64, primary: true}\n"
                                "    - {name: vector, type: float_vector}\n"
                                "    - {name: varchar_field, type: varchar, max_length: 64}\n"
                                "  index: {type: FLAT, metric: L2}\n"
                                "stages:\n"
                                "  - {name: test, roles: [%s]}\n";
    char text[1000];
    struct mh_error err = {""};
    snprintf(text, sizeof text, frame, role);
    memset(core, 0, sizeof *core);
    if (mh_job_parse("test.yaml", text, NULL, 0, mh_role_kinds, &core->job, &err) != 0)
        fail_msg("%s", err.text);
    static char *partitions[] = {"_default"};
    make_content(core);
    core->plan = (struct mh_plan){.partitions = partitions, .partition_count = 1, .id_end = 100};
    const struct mh_role_options *options = &core->job->stages[0].roles[0];
    core->worker =
        (struct mh_worker){.number = 3, .peers = 1, .first_id = 5000, .rows = options->rows, .partition = 2};
    core->role = (struct mh_role){.ops = mh_role_ops_of(options),
                                  .job = core->job,
                                  .options = options,
                                  .worker = &core->worker,
                                  .plan = &core->plan,
                                  .content = &core->content,
                                  .view = &core->view,
                                  .random = {.seed = seed, .stream = 1},
                                  .core = core};
    core->role.state = calloc(1, core->role.ops->state_size + 1);
    if (core->role.ops->init)
        assert_int_equal(core->role.ops->init(&core->role, &err), 0);
}

void core_close(struct core *core)
{
    if (core->role.ops->fini)
        core->role.ops->fini(&core->role);
    free(core->role.state);
    mh_job_free(core->job);
}

struct mh_op *core_op(int64_t rows)
{
    struct mh_op *op = calloc(1, sizeof *op);
    op->rows.ids = calloc((size_t)rows, sizeof *op->rows.ids); /* no row more */
    op->versions = calloc((size_t)rows, sizeof *op->versions);
    memset(op->versions, 0x5a, (size_t)rows * sizeof *op->versions); /* of an operation before */
    op->partition = -7;
    return op;
}

void core_free_op(struct mh_op *op)
{
    free(op->rows.ids);
    free(op->versions);
    free(op->read.text);
    free(op);
}
