/* The commands that one process does alone: check, options, report. */
#include "command/session.h"

#include "base/log.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int unusable(const struct mh_error *err)
{
    mh_complain("%s", err->text);
    return MH_EXIT_UNUSABLE;
}

/* ---- check ---- */

static void print_worker(const struct mh_job *job, const struct mh_plan *plan, const struct mh_worker *w)
{
    char rows[32];
    const char *role = job->stages[w->stage].roles[w->role].kind->name;
    printf("  %-6lld %-14s %-10s %4d %4d", (long long)w->number, job->stages[w->stage].name, role, w->rank,
           plan->node_of_rank[w->rank]);
    if (w->rows > 0)
        printf("  %12s  ids %lld..%lld", mh_show_count(w->rows, rows, sizeof rows), (long long)w->first_id,
               (long long)(w->first_id + w->rows - 1));
    if (w->partition >= 0)
        printf("  partition %s", plan->partitions[w->partition]);
    printf("\n");
}

static void print_role(const struct mh_job *job, const struct mh_plan *plan,
                       const struct mh_role_options *role, int64_t dim)
{
    char rows[32], bytes[32];
    const int64_t count = role->count < 0 ? plan->np : role->count, batch = role->batch > 0 ? role->batch : 1;
    printf("  %lld x %s", (long long)count, role->kind->name);
    if (mh_role_ops_of(role)->writes_rows)
        printf(": %s rows in all, batches of %lld rows or %s of vectors",
               mh_show_count(count * role->rows, rows, sizeof rows), (long long)batch,
               mh_show_bytes(batch * dim * (int64_t)sizeof(float), bytes, sizeof bytes));
    else if (role->batch > 0)
        printf(": batches of %lld rows", (long long)role->batch);
    if (role->rate > 0)
        printf(", %g operations/s in all, %s", role->rate, mh_arrival_names[role->arrival]);
    for (size_t i = 0; i < role->steps.count; i++) {
        const struct mh_rate_step *step = &role->steps.items[i];
        printf(", %s%g to %g operations/s for %s", i ? "then " : "", step->from, step->to,
               mh_show_duration(step->duration_ns, rows, sizeof rows));
    }
    if (role->inflight > 0)
        printf(", %lld in flight each", (long long)role->inflight);
    printf("\n");
    (void)job;
}

static void print_plan(const struct mh_job *job, const struct mh_plan *plan,
                       const struct mh_dataset_shape *shape)
{
    char text[600], bytes[32], rows[32];
    mh_session_describe_dataset(job, shape, text, sizeof text);
    printf("job %s is valid\nserver %s (not asked)\ndata set %s, %s a node\ncollection %s: %d partitions, %s "
           "rows, %s of vectors to send\n",
           job->path, job->server.uris.items[0], text,
           mh_show_bytes(shape->train_rows * shape->dim * (int64_t)sizeof(float), bytes, sizeof bytes),
           job->collection.name, plan->partition_count, mh_show_count(plan->id_end, rows, sizeof rows),
           mh_show_bytes(plan->id_end * shape->dim * (int64_t)sizeof(float), text, sizeof text));
    for (size_t s = 0; s < job->stage_count; s++) {
        printf("\nstage %s\n", job->stages[s].name);
        for (size_t r = 0; r < job->stages[s].role_count; r++)
            print_role(job, plan, &job->stages[s].roles[r], shape->dim);
        for (size_t i = 0; i < job->stages[s].chaos_count; i++)
            printf("  after %s: %s\n", mh_show_duration(job->stages[s].chaos[i].at_ns, text, sizeof text),
                   job->stages[s].chaos[i].run);
    }
    printf("\n  worker stage          role       rank node          rows\n");
    for (int64_t i = 0; i < plan->worker_count; i++)
        print_worker(job, plan, &plan->workers[i]);
}

int mh_command_check(const struct mh_arguments *arguments)
{
    struct mh_error err;
    char *path = NULL, *text = NULL;
    struct mh_job *job = NULL;
    struct mh_plan *plan = NULL;
    struct mh_dataset_shape shape;
    int rc = mh_session_read_job(arguments, &path, &text, &err);
    if (rc == 0)
        rc = mh_session_parse_job(arguments, path, text, &job, &err);
    if (rc == 0)
        rc = mh_dataset_examine(&job->dataset, &shape, &err);
    if (rc == 0)
        rc = mh_session_fit_dataset(job, &shape, &err);
    if (rc == 0)
        rc = mh_plan_make(job, arguments->np, NULL, mh_role_needs, &plan, &err);
    if (rc == 0)
        rc = mh_roles_check(job, plan, &err);
    if (rc == 0)
        print_plan(job, plan, &shape);
    mh_plan_free(plan);
    mh_job_free(job);
    if (text)
        free(path);
    free(text);
    return rc == 0 ? MH_EXIT_GOOD : unusable(&err);
}

int mh_command_options(const struct mh_arguments *arguments)
{
    mh_job_print_options(stdout, mh_role_kinds, arguments->json_flag);
    return MH_EXIT_GOOD;
}

int mh_command_report(const struct mh_arguments *arguments)
{
    struct mh_error err;
    struct mh_report report = {0};
    if (mh_report_read(arguments->operand, &report, &err) != 0)
        return unusable(&err);
    int rc = 0;
    if (arguments->json)
        rc = mh_report_json(arguments->json, &report, arguments->operand, &err);
    if (rc == 0 && arguments->violations)
        rc = mh_report_print_evidence(stdout, &report, arguments->operand, &err);
    else if (!arguments->json || strcmp(arguments->json, "-") != 0)
        mh_report_print(stdout, &report, arguments->operand);
    mh_report_free(&report);
    return rc == 0 ? MH_EXIT_GOOD : unusable(&err);
}
