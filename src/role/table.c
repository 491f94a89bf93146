/* The one list of roles. */
#include "role/role.h"

/* A new role is one line here. */
#define EVERY_ROLE(ROLE)                                                                                     \
    ROLE(writer)                                                                                             \
    ROLE(upserter)                                                                                           \
    ROLE(deleter)                                                                                            \
    ROLE(churn)                                                                                              \
    ROLE(indexer)                                                                                            \
    ROLE(searcher)                                                                                           \
    ROLE(querier)                                                                                            \
    ROLE(prober)                                                                                             \
    ROLE(lifecycle)

#define DECLARE(name) extern const struct mh_role_ops mh_role_##name;
#define OPS(name)     &mh_role_##name,
#define KIND(name)    &mh_role_##name.kind,

EVERY_ROLE(DECLARE)

const struct mh_role_ops *const mh_roles[] = {EVERY_ROLE(OPS) NULL};
const struct mh_role_kind *const mh_role_kinds[] = {EVERY_ROLE(KIND) NULL};

const struct mh_role_ops *mh_role_ops_of(const struct mh_role_options *options)
{
    for (size_t i = 0; mh_roles[i]; i++)
        if (&mh_roles[i]->kind == options->kind)
            return mh_roles[i];
    return NULL;
}

int64_t mh_role_slots(const struct mh_role_options *options)
{
    return options->inflight > 0 ? options->inflight : 1;
}

struct mh_plan_needs mh_role_needs(const struct mh_role_options *options)
{
    const struct mh_role_ops *ops = mh_role_ops_of(options);
    return (struct mh_plan_needs){.writes_rows = ops->writes_rows,
                                  .partition = ops->partition ? ops->partition(options) : NULL};
}

int mh_roles_check(const struct mh_job *job, const struct mh_plan *plan, struct mh_error *err)
{
    for (size_t s = 0; s < job->stage_count; s++)
        for (size_t r = 0; r < job->stages[s].role_count; r++) {
            const struct mh_role_options *options = &job->stages[s].roles[r];
            const struct mh_role_ops *ops = mh_role_ops_of(options);
            if (ops->check && ops->check(options, job, plan, err) != 0)
                return mh_fail_in(err, "%s: stages.%s.%s", job->path, job->stages[s].name, ops->kind.name);
        }
    return 0;
}
