/* What `run` and `check` do alike with a job file and its data set. */
#include "command/session.h"

#include "base/units.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a bare `mpirun -np N milvus-hpc` runs: a small version of jobs/crud.yaml on made-up vectors. */
static const char built_in[] = "server: {uri: \"${MILVUS_URI:-http://127.0.0.1:19530}\"}\n"
                               "dataset: {synthetic: {rows: 20000, dim: 64, clusters: 50}}\n"
                               "collection:\n"
                               "  name: hpc_crud\n"
                               "  fields:\n"
                               "    - {name: id, type: int64, primary: true}\n"
                               "    - {name: vector, type: float_vector}\n"
                               "    - {name: varchar_field, type: varchar, max_length: 64}\n"
                               "  index: {type: IVF_FLAT, metric: L2, params: {nlist: 64}}\n"
                               "stages:\n"
                               "  - name: crud\n"
                               "    roles:\n"
                               "      - {role: writer, count: 8, rows: 2500, batch: 500, partition: own}\n"
                               "      - {role: deleter, count: 2, batch: 100}\n"
                               "      - {role: upserter, count: 2, batch: 100}\n"
                               "      - {role: indexer, start_after_rows: 5000, recreate: true}\n";

static int expand_built_in(char **text, struct mh_error *err)
{
    static const char variable[] = "${MILVUS_URI:-http://127.0.0.1:19530}";
    const char *uri = getenv("MILVUS_URI"), *at = strstr(built_in, variable);
    if (!uri || !uri[0])
        uri = "http://127.0.0.1:19530";
    size_t room = sizeof built_in + strlen(uri);
    *text = malloc(room);
    if (!*text)
        return mh_fail(err, "out of memory");
    snprintf(*text, room, "%.*s%s%s", (int)(at - built_in), built_in, uri, at + sizeof variable - 1);
    return 0;
}

int mh_session_read_job(const struct mh_arguments *arguments, char **path, char **text, struct mh_error *err)
{
    *path = strdup(arguments->operand ? arguments->operand : "(built-in)");
    if (!*path)
        return mh_fail(err, "out of memory");
    int rc = arguments->operand ? mh_job_read(arguments->operand, text, err) : expand_built_in(text, err);
    if (rc != 0) {
        free(*path);
        *path = NULL;
    }
    return rc;
}

int mh_session_parse_job(const struct mh_arguments *arguments, const char *path, const char *text,
                         struct mh_job **job, struct mh_error *err)
{
    char server[1200];
    const char **sets = calloc(arguments->set_count + 1, sizeof *sets);
    size_t count = 0;
    if (!sets)
        return mh_fail(err, "out of memory");
    memcpy(sets, arguments->sets, arguments->set_count * sizeof *sets);
    count = arguments->set_count;
    snprintf(server, sizeof server, "server.uri=\"%.1024s\"", arguments->server ? arguments->server : "");
    if (arguments->server)
        sets[count++] = server;
    int rc = mh_job_parse(path, text, sets, count, mh_role_kinds, job, err);
    free(sets);
    if (rc == 0 && (rc = mh_thresholds_check(*job, err)) != 0) {
        mh_job_free(*job);
        *job = NULL;
    }
    return rc;
}

static int append_set(const struct mh_session *session, json_t *sets, const char *set)
{
    static const char token[] = "server.token=";
    if (strncmp(set, token, sizeof token - 1) == 0)
        return 0;
    char *hidden = mh_session_hide_token(session->job, set);
    const int rc = hidden ? json_array_append_new(sets, json_string(hidden)) : -1;
    free(hidden);
    return rc;
}

int mh_session_keep_sets(struct mh_session *session, const struct mh_arguments *arguments)
{
    char server[1200];
    json_t *sets = json_array();
    int rc = sets ? 0 : -1;
    for (size_t i = 0; i < arguments->set_count && rc == 0; i++)
        rc = append_set(session, sets, arguments->sets[i]);
    if (arguments->server && rc == 0) {
        snprintf(server, sizeof server, "server.uri=\"%.1024s\"", arguments->server);
        rc = append_set(session, sets, server);
    }
    session->sets = rc == 0 ? json_dumps(sets, JSON_COMPACT) : NULL;
    json_decref(sets);
    return session->sets ? 0 : -1;
}

char *mh_session_hide_token(const struct mh_job *job, const char *text)
{
    static const char hidden[] = "hidden";
    const char *token = job->server.token, *from = strstr(text, "token");
    const size_t length = token ? strlen(token) : 0, room = strlen(text) * sizeof hidden + 1;
    char *copy = malloc(room), *end = copy;
    if (!copy || length == 0 || !from)
        return copy ? memcpy(copy, text, strlen(text) + 1) : NULL;
    from += strlen("token");
    end = mempcpy(end, text, (size_t)(from - text));
    for (const char *at; (at = strstr(from, token)); from = at + length) {
        end = mempcpy(end, from, (size_t)(at - from));
        end = mempcpy(end, hidden, sizeof hidden - 1);
    }
    memcpy(end, from, strlen(from) + 1);
    return copy;
}

static int fit_dimension(const struct mh_job *job, const struct mh_dataset_shape *shape, struct mh_error *err)
{
    const struct mh_field *fields = job->collection.fields.items;
    for (size_t i = 0; i < job->collection.fields.count; i++)
        if (fields[i].type == MH_FIELD_FLOAT_VECTOR && fields[i].dim != 0 && fields[i].dim != shape->dim)
            return mh_fail(err, "%s: collection.fields: %s has dim %lld, the data set's vectors have %lld",
                           job->path, fields[i].name, (long long)fields[i].dim, (long long)shape->dim);
    return 0;
}

int mh_session_fit_dataset(struct mh_job *job, const struct mh_dataset_shape *shape, struct mh_error *err)
{
    if (job->collection.index.metric == MH_METRIC_AUTO)
        job->collection.index.metric = shape->metric == MH_METRIC_AUTO ? MH_METRIC_L2 : (int)shape->metric;
    return fit_dimension(job, shape, err);
}

int64_t mh_session_largest_batch(const struct mh_job *job)
{
    int64_t largest = 1;
    for (size_t s = 0; s < job->stage_count; s++)
        for (size_t r = 0; r < job->stages[s].role_count; r++)
            if (job->stages[s].roles[r].batch > largest)
                largest = job->stages[s].roles[r].batch;
    return largest;
}

void mh_session_describe_dataset(const struct mh_job *job, const struct mh_dataset_shape *shape, char *text,
                                 size_t size)
{
    char rows[32];
    const char *path = job->dataset.path && job->dataset.path[0] ? job->dataset.path : "synthetic";
    snprintf(text, size, "%.400s: %s x %lld", path, mh_show_count(shape->train_rows, rows, sizeof rows),
             (long long)shape->dim);
}
