/* Search: its parameters, the exact search, and the faults of its replies. */
#include "mock/mock.h"
#include "mock/search.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct reply {
    struct mh_hit *hits; /* of all queries, one after another */
    int64_t *counts, most, total;
};

/* ---- parameters ---- */

static int bad(struct mh_turn *turn, const char *what, const char *value)
{
    mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "%s [%.200s] is invalid", what, value ? value : "");
    return -1;
}

static int whole(struct mh_turn *turn, const char *key, int64_t *out)
{
    const char *text = mh_served_pair(&turn->request, key);
    char *end;
    if (!text)
        return 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end)
        return bad(turn, key, text);
    *out = value;
    return 0;
}

static int set_metric(struct mh_turn *turn, const struct mh_collection *collection, struct mh_search *search)
{
    const struct mh_store_index *index =
        mh_collection_index(collection, collection->fields[collection->vector].name, "");
    const char *metric = mh_served_pair(&turn->request, "metric_type");
    const char *field = mh_served_pair(&turn->request, "anns_field");
    if (field && field[0] && strcmp(field, collection->fields[collection->vector].name) != 0)
        return bad(turn, "anns_field", field);
    if (!index) {
        mh_refuse(turn, MH_OLD_INDEX, MH_CODE_INDEX, "index not found[collection=%s]", collection->name);
        return -1;
    }
    if (metric && metric[0] && strcmp(metric, index->metric) != 0)
        return bad(turn, "metric type not match", metric);
    for (int i = MH_METRIC_L2; i <= MH_METRIC_COSINE; i++)
        if (strcmp(mh_metric_names[i], index->metric) == 0)
            search->metric = i;
    return 0;
}

static bool real(const json_t *params, const char *key, double *out)
{
    const json_t *value = json_object_get(params, key);
    if (!json_is_number(value))
        return false;
    *out = json_number_value(value);
    return true;
}

static int set_range(struct mh_turn *turn, struct mh_search *search)
{
    const char *text = mh_served_pair(&turn->request, "params");
    json_t *params = json_loads(text ? text : "", 0, NULL);
    if (!json_is_object(params)) {
        json_decref(params);
        return bad(turn, "search params", text);
    }
    search->has_radius = real(params, "radius", &search->radius);
    search->has_range_filter = real(params, "range_filter", &search->range_filter);
    json_decref(params);
    return 0;
}

static int check_queries(struct mh_turn *turn, const struct mh_search *search)
{
    const struct mh_served *request = &turn->request;
    if (request->dsl_type != 1)
        return bad(turn, "dsl_type", "not BoolExprV1: a 2.3.5 server dies of it");
    if (!request->queries || request->query_count == 0 || request->query_count > MH_SEARCH_WINDOW)
        return bad(turn, "nq", "no placeholder \"$0\" with 1 to 16384 vectors");
    if (request->nq != 0 && request->nq != (int64_t)request->query_count)
        return bad(turn, "nq", "not the number of vectors");
    for (size_t i = 0; i < request->query_count; i++)
        if (request->query_lengths[i] != (size_t)search->dim * sizeof(float))
            return bad(turn, "vector dimension mismatch", "not the schema's");
    return 0;
}

static int set_search(struct mh_turn *turn, const struct mh_collection *collection, struct mh_search *search)
{
    struct mh_error err;
    *search = (struct mh_search){.dim = collection->fields[collection->vector].dim};
    if (set_metric(turn, collection, search) != 0 || whole(turn, "topk", &search->topk) != 0 ||
        whole(turn, "offset", &search->offset) != 0 || set_range(turn, search) != 0 ||
        check_queries(turn, search) != 0)
        return -1;
    if (mh_search_check(search, &err) != 0) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "%s", err.text);
        return -1;
    }
    return 0;
}

/* ---- faults of a reply ---- */

static bool strikes(struct mh_turn *turn, const char *name)
{
    struct mh_mock *mock = turn->mock;
    const struct mh_fault *fault = mh_faults_strike(&mock->faults, name, MH_OP_SEARCH, mock->calls);
    if (fault)
        mh_fault_log_call(fault, MH_OP_SEARCH, mock->calls);
    return fault != NULL;
}

static int64_t find_dead(const struct mh_view *view)
{
    const struct mh_collection *collection = view->collection;
    for (int64_t row = 0; row < collection->rows; row++)
        if (collection->end[row] <= view->at &&
            mh_collection_live(collection, mh_collection_keys(collection)[row], -1) < 0)
            return row;
    return -1;
}

static void spoil_one(const struct mh_view *view, const struct mh_search *search, struct mh_hit *hits,
                      int64_t *count)
{
    struct mh_turn *turn = view->turn;
    const int64_t dead = turn->mock->faults.count ? find_dead(view) : -1;
    if (*count > 0 && dead >= 0 && strikes(turn, "search_dead"))
        hits[*count / 2].row = dead;
    if (*count > 1 && strikes(turn, "search_repeat"))
        hits[*count - 1] = hits[*count - 2];
    if (*count > 0 && strikes(turn, "search_distance"))
        hits[*count / 2].score += search->metric == MH_METRIC_L2 ? 1 : -0.25F;
    if (*count > 1 && hits[0].score != hits[*count - 1].score && strikes(turn, "search_order")) {
        const struct mh_hit first = hits[0];
        hits[0] = hits[*count - 1];
        hits[*count - 1] = first;
    }
    if (*count > 0 && strikes(turn, "search_short"))
        --*count;
}

/* ---- the search ---- */

static bool takes(const void *view, int64_t row)
{
    return mh_view_takes(view, row);
}

static int search_all(const struct mh_view *view, const struct mh_search *search, struct reply *reply)
{
    const struct mh_collection *collection = view->collection;
    const struct mh_served *request = &view->turn->request;
    const struct mh_search_rows rows = {
        .count = collection->rows,
        .vectors = (const float *)(const void *)collection->fields[collection->vector].cells,
        .keys = mh_collection_keys(collection),
        .takes = takes,
        .context = view};
    reply->hits = mh_turn_get(view->turn, request->query_count * (size_t)search->topk * sizeof *reply->hits);
    reply->counts = mh_turn_get(view->turn, request->query_count * sizeof *reply->counts);
    for (size_t i = 0; i < request->query_count; i++) {
        struct mh_hit *hits = reply->hits + reply->total;
        reply->counts[i] = mh_search(search, &rows, request->queries[i], hits);
        if (reply->counts[i] < 0)
            abort();
        spoil_one(view, search, hits, &reply->counts[i]);
        reply->total += reply->counts[i];
        reply->most = reply->counts[i] > reply->most ? reply->counts[i] : reply->most;
    }
    return 0;
}

static void answer_hits(const struct mh_view *view, const struct reply *reply)
{
    struct mh_answer *answer = &view->turn->answer;
    const int64_t *keys = mh_collection_keys(view->collection);
    int64_t *rows = mh_turn_get(view->turn, ((size_t)reply->total + 1) * sizeof *rows);
    int64_t *ids = mh_turn_get(view->turn, ((size_t)reply->total + 1) * sizeof *ids);
    float *scores = mh_turn_get(view->turn, ((size_t)reply->total + 1) * sizeof *scores);
    for (int64_t i = 0; i < reply->total; i++) {
        rows[i] = reply->hits[i].row;
        ids[i] = keys[rows[i]];
        scores[i] = reply->hits[i].score;
    }
    answer->ids = ids;
    answer->id_count = (size_t)reply->total;
    answer->scores = scores;
    answer->topks = reply->counts;
    answer->topk = reply->most;
    answer->query_count = (int64_t)view->turn->request.query_count;
    answer->collection = view->collection->name;
    mh_answer_rows(view->turn, view->collection, rows, reply->total, false);
}

static void search(struct mh_view *view)
{
    struct mh_turn *turn = view->turn;
    struct mh_search search;
    struct reply reply = {0};
    if (set_search(turn, view->collection, &search) != 0)
        return;
    if (view->collection->fields[view->collection->vector].width == 0) {
        bad(turn, "search", "vectors are not kept (--no-vectors)");
        return;
    }
    if (search.has_radius && strikes(turn, "search_radius_ignored"))
        search.has_radius = search.has_range_filter = false;
    if (search_all(view, &search, &reply) == 0)
        answer_hits(view, &reply);
}

void mh_handle_search(struct mh_turn *turn)
{
    struct mh_view view;
    const bool filtered = turn->request.expression[0] != '\0';
    if (filtered && strikes(turn, "search_unfiltered"))
        turn->request.expression = "";
    if (mh_view_open(&view, turn) == 0)
        search(&view);
    mh_view_close(&view);
}
