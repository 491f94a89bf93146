#include "job/job.h"

#include "job/memory.h"
#include "job/parse.h"
#include "job/rows.h"
#include "job/set.h"

#include <ctype.h>

static int fail_empty(const char *path, struct mh_error *err)
{
    return mh_fail(err, "%s:1:1: the file is empty; expected a mapping with collection, dataset, stages, ...",
                   path);
}

static int parse_file(const struct mh_source *source, const char *text, struct mh_node **root,
                      struct mh_error *err)
{
    if (mh_node_parse(source, text, root, err))
        return -1;
    const struct mh_node *node = *root;
    if (!node || mh_node_is_null(node))
        return fail_empty(source->path, err);
    if (node->kind == MH_NODE_MAP)
        return 0;
    return mh_fail(err, "%s:%d:%d: %s stands here; expected a mapping with collection, dataset, stages, ...",
                   source->path, node->line, node->column, mh_node_is_a(node));
}

/* nlist belongs to the inverted files alone; an index of another type would be refused with it. */
static void settle_index_params(struct mh_reading *r, struct mh_job *job)
{
    struct mh_index_options *index = &job->collection.index;
    if (strstr(index->type, "IVF") || strcmp(index->type, "SCANN") == 0 ||
        mh_marked(r, "collection.index.params"))
        return;
    free(index->params);
    index->params = mh_copy("{}");
    for (size_t i = 0; i < r->value_count; i++)
        if (strcmp(r->values[i].path, "collection.index.params") == 0) {
            free(r->values[i].value);
            r->values[i].value = mh_copy("{}");
        }
}

static void take_values(struct mh_reading *r, struct mh_job *job)
{
    job->values = r->values;
    job->value_count = r->value_count;
    r->values = NULL;
    r->value_count = 0;
}

static int read_job(struct mh_reading *r, struct mh_job *job)
{
    if (mh_read_rows(r, mh_job_rows, job))
        return -1;
    settle_index_params(r, job);
    if (mh_job_check(r, job))
        return -1;
    take_values(r, job);
    return 0;
}

/* Keys and values may hold line breaks and terminal codes by way of "\n" and "\e". */
static void make_one_line(struct mh_error *err)
{
    for (char *c = err->text; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
}

static int apply_sets(struct mh_node *root, struct mh_source *sources, const char *const *sets, size_t count,
                      struct mh_error *err)
{
    for (size_t i = 0; i < count; i++) {
        sources[i].set = sets[i];
        if (mh_set_apply(root, &sources[i], err))
            return -1;
    }
    return 0;
}

int mh_job_parse(const char *path, const char *text, const char *const *sets, size_t set_count,
                 const struct mh_role_kind *const *kinds, struct mh_job **out, struct mh_error *err)
{
    const struct mh_source file = {.path = path};
    struct mh_source *sources = mh_zeroed(set_count, sizeof *sources);
    struct mh_job *job = mh_zeroed(1, sizeof *job);
    struct mh_node *root = NULL;
    struct mh_reading r = {.kinds = kinds, .err = err};
    job->path = mh_copy(path);
    job->text = mh_copy(text);
    int rc = parse_file(&file, text, &root, err);
    if (rc == 0)
        rc = apply_sets(root, sources, sets, set_count, err);
    if (rc == 0) {
        r.root = root;
        rc = read_job(&r, job);
    }
    mh_reading_end(&r);
    mh_node_free(root);
    free(sources);
    if (rc == 0) {
        *out = job;
        return 0;
    }
    mh_job_free(job);
    make_one_line(err);
    return -1;
}

void mh_job_free(struct mh_job *job)
{
    if (!job)
        return;
    mh_release_rows(mh_job_rows, job);
    for (size_t i = 0; i < job->value_count; i++) {
        free(job->values[i].path);
        free(job->values[i].value);
        free(job->values[i].origin);
    }
    free(job->values);
    free(job->path);
    free(job->text);
    free(job);
}
