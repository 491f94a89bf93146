/* What a read sees, and Query. */
#include "base/clock.h"
#include "mock/mock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { WINDOW = 16384, LITERAL_FROM = 3 };

/* ---- the view ---- */

/* As servers do: with level Strong in the request a timestamp of 1 means Eventually, one of 2 Bounded, and
 * others are taken literally. */
static int consistency_of(const struct mh_served *request, const struct mh_collection *collection)
{
    if (request->default_consistency)
        return collection->consistency;
    if (request->consistency != MH_STRONG)
        return request->consistency;
    switch (request->timestamp) {
    case 0:
        return MH_STRONG;
    case 1:
        return MH_EVENTUALLY;
    case 2:
        return MH_BOUNDED;
    default:
        return MH_SESSION;
    }
}

static uint64_t moment_of(struct mh_turn *turn, const struct mh_collection *collection)
{
    struct mh_mock *mock = turn->mock;
    const uint64_t now = mh_store_now(&mock->store);
    const struct mh_fault *stale =
        mh_faults_strike(&mock->faults, "stale_read", turn->request.kind, mock->calls);
    if (stale) {
        mh_fault_log_call(stale, turn->request.kind, mock->calls);
        return now - ((uint64_t)((stale->seconds >= 0 ? stale->seconds : 1) * 1000) << 18);
    }
    const int level = consistency_of(&turn->request, collection);
    if (level == MH_STRONG)
        return now;
    const uint64_t lagging = now - ((uint64_t)(mock->options.staleness_ns / MH_MS) << 18);
    const bool literal =
        level != MH_BOUNDED && level != MH_EVENTUALLY && turn->request.timestamp >= LITERAL_FROM;
    return literal && turn->request.timestamp > lagging ? now : lagging;
}

static const bool *partitions_of(struct mh_turn *turn, const struct mh_collection *collection)
{
    const struct mh_served *request = &turn->request;
    bool *wanted = mh_turn_get(turn, collection->partition_count * sizeof *wanted);
    for (size_t i = 0; i < collection->partition_count; i++)
        wanted[i] =
            request->name_count == 0 && collection->partitions[i].loaded && !collection->partitions[i].gone;
    for (size_t i = 0; i < request->name_count; i++) {
        const int partition = mh_collection_partition(collection, request->names[i]);
        if (partition < 0 || !collection->partitions[partition].loaded) {
            mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                      partition < 0 ? "partition name %s not found" : "partition not loaded[partition=%s]",
                      request->names[i]);
            return NULL;
        }
        wanted[partition] = true;
    }
    return wanted;
}

static void ignore_partitions(struct mh_turn *turn)
{
    struct mh_mock *mock = turn->mock;
    const struct mh_fault *fault =
        turn->request.name_count > 0
            ? mh_faults_strike(&mock->faults, "partitions_ignored", turn->request.kind, mock->calls)
            : NULL;
    if (!fault)
        return;
    mh_fault_log_call(fault, turn->request.kind, mock->calls);
    turn->request.name_count = 0;
}

int mh_view_open(struct mh_view *view, struct mh_turn *turn)
{
    struct mh_error err;
    *view = (struct mh_view){.turn = turn, .collection = mh_turn_collection(turn)};
    const struct mh_collection *collection = view->collection;
    if (!collection)
        return -1;
    if (!collection->loaded || mh_now_ns() < collection->loaded_ns) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_NOT_LOADED, "collection not loaded[collection=%s]",
                  collection->name);
        return -1;
    }
    ignore_partitions(turn);
    view->partitions = partitions_of(turn, collection);
    if (!view->partitions)
        return -1;
    if (mh_expr_parse(turn->request.expression, collection->names, collection->field_count, &view->expr,
                      &err) != 0) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_INVALID, "failed to create query plan: %s", err.text);
        return -1;
    }
    view->at = moment_of(turn, collection);
    return 0;
}

void mh_view_close(struct mh_view *view)
{
    mh_expr_free(view->expr);
}

bool mh_view_takes(const struct mh_view *view, int64_t row)
{
    const struct mh_expr_rows rows = {mh_collection_value, view->collection};
    return mh_row_seen(view->collection, row, view->at) &&
           view->partitions[view->collection->partition[row]] && mh_expr_holds(view->expr, &rows, row);
}

/* ---- rows out ---- */

static int32_t small_number(const struct mh_store_field *field, const uint8_t *cell)
{
    int16_t two;
    int32_t four;
    switch (field->type) {
    case MH_FIELD_INT16:
        memcpy(&two, cell, sizeof two);
        return two;
    case MH_FIELD_INT32:
        memcpy(&four, cell, sizeof four);
        return four;
    default:
        return (int8_t)*cell;
    }
}

static const void *gather(struct mh_turn *turn, const struct mh_collection *collection,
                          const struct mh_store_field *field, const int64_t *rows, int64_t count)
{
    const bool small = field->type <= MH_FIELD_INT32;
    const size_t width = small ? sizeof(int32_t) : field->width;
    uint8_t *values = mh_turn_get(turn, ((size_t)count + 1) * width);
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *cell = field->cells + (size_t)rows[i] * field->width;
        if (small)
            ((int32_t *)(void *)values)[i] = small_number(field, cell);
        else if (field->type == MH_FIELD_VARCHAR)
            ((const char **)(void *)values)[i] = collection->texts + *(const uint64_t *)(const void *)cell;
        else
            memcpy(values + (size_t)i * width, cell, width);
    }
    return values;
}

static bool is_wanted(const struct mh_served *request, const struct mh_store_field *field, bool with_key)
{
    if (field->key && with_key)
        return true;
    for (size_t i = 0; i < request->output_count; i++)
        if (strcmp(request->output_fields[i], "*") == 0 ||
            strcmp(request->output_fields[i], field->name) == 0)
            return true;
    return false;
}

static bool all_exist(struct mh_turn *turn, const struct mh_collection *collection)
{
    const struct mh_served *request = &turn->request;
    for (size_t i = 0; i < request->output_count; i++) {
        bool found = strcmp(request->output_fields[i], "*") == 0;
        for (size_t f = 0; f < collection->field_count; f++)
            found |= strcmp(request->output_fields[i], collection->fields[f].name) == 0;
        if (!found) {
            mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "field %s not exist",
                      request->output_fields[i]);
            return false;
        }
    }
    return true;
}

int mh_answer_rows(struct mh_turn *turn, const struct mh_collection *collection, const int64_t *rows,
                   int64_t count, bool with_key)
{
    struct mh_answer *answer = &turn->answer;
    const char **names = mh_turn_get(turn, collection->field_count * sizeof *names);
    if (!all_exist(turn, collection))
        return -1;
    for (size_t i = 0; i < collection->field_count; i++) {
        const struct mh_store_field *field = &collection->fields[i];
        if (!is_wanted(&turn->request, field, with_key))
            continue;
        if (field->width == 0) {
            mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "field %s: vectors are not kept (--no-vectors)",
                      field->name);
            return -1;
        }
        names[answer->column_count] = field->name;
        answer->columns[answer->column_count++] =
            (struct mh_column){.name = field->name,
                               .type = field->type,
                               .dim = field->dim,
                               .rows = count,
                               .values = gather(turn, collection, field, rows, count)};
    }
    answer->names = names;
    answer->name_count = answer->column_count;
    return 0;
}

/* ---- query ---- */

struct found {
    int64_t *rows;
    int64_t count;
};

static void offer(const struct mh_view *view, struct found *found, int64_t row)
{
    if (mh_view_takes(view, row))
        found->rows[found->count++] = row;
}

/* The arena has room for every row there is: an upper bound, and it is reused. */
static struct found find(const struct mh_view *view)
{
    const struct mh_collection *collection = view->collection;
    struct found found = {.rows =
                              mh_turn_get(view->turn, (size_t)(collection->rows + 1) * sizeof *found.rows)};
    size_t count;
    bool all;
    const int64_t *keys = mh_expr_keys(view->expr, collection->key, &count, &all);
    for (int64_t row = 0; !keys && row < collection->rows; row++)
        offer(view, &found, row);
    for (size_t i = 0; keys && i < count; i++) {
        uint64_t place = 0;
        if (i > 0 && keys[i] == keys[i - 1])
            continue;
        for (int64_t row; (row = mh_collection_next(collection, keys[i], &place)) >= 0;)
            offer(view, &found, row);
    }
    return found;
}

static int by_key(const void *a, const void *b, void *collection)
{
    const int64_t *keys = mh_collection_keys(collection);
    const int64_t row_a = *(const int64_t *)a, row_b = *(const int64_t *)b;
    if (keys[row_a] != keys[row_b])
        return keys[row_a] < keys[row_b] ? -1 : 1;
    return row_a < row_b ? 1 : -1; /* the newest copy first: the one that is shown */
}

static int64_t leave_one_a_key(const struct mh_collection *collection, struct found *found)
{
    const int64_t *keys = mh_collection_keys(collection);
    int64_t kept = 0;
    for (int64_t i = 0; i < found->count; i++)
        if (kept == 0 || keys[found->rows[i]] != keys[found->rows[kept - 1]])
            found->rows[kept++] = found->rows[i];
    const int64_t repeated = found->count - kept;
    found->count = kept;
    return repeated;
}

static bool is_count(const struct mh_served *request)
{
    for (size_t i = 0; i < request->output_count; i++)
        if (strcasecmp(request->output_fields[i], "count(*)") == 0)
            return true;
    return false;
}

static int64_t wrong_count(struct mh_turn *turn, int64_t count)
{
    struct mh_faults *faults = &turn->mock->faults;
    for (size_t i = 0; i < faults->count; i++) {
        struct mh_fault *fault = &faults->items[i];
        const bool over = fault->seconds >= 0 && fault->done > 0 &&
                          mh_now_ns() > fault->since_ns + (int64_t)(fault->seconds * 1e9);
        if (strcmp(fault->kind->name, "count_off") != 0 || over ||
            !mh_fault_strikes(fault, turn->mock->calls))
            continue;
        mh_fault_log_call(fault, MH_OP_QUERY, turn->mock->calls);
        return count + fault->by > 0 ? count + fault->by : 0;
    }
    return count;
}

static void answer_count(struct mh_turn *turn, int64_t rows)
{
    struct mh_answer *answer = &turn->answer;
    int64_t *count = mh_turn_get(turn, sizeof *count);
    const char **names = mh_turn_get(turn, sizeof *names);
    *count = wrong_count(turn, rows);
    names[0] = "count(*)";
    answer->names = names;
    answer->name_count = 1;
    answer->columns[0] =
        (struct mh_column){.name = names[0], .type = MH_FIELD_INT64, .rows = 1, .values = count};
    answer->column_count = 1;
}

/* -1: not there; -2: refused. */
static int64_t number(struct mh_turn *turn, const char *key, int64_t least)
{
    const char *text = mh_served_pair(&turn->request, key);
    char *end;
    if (!text)
        return -1;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end != text && !*end && !errno && value >= least && value <= WINDOW)
        return value;
    mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
              "%s [%s] is invalid, should be in range [%" PRId64 ", %d]", key, text, least, WINDOW);
    return -2;
}

static void answer_found(struct mh_view *view, int64_t limit, int64_t offset)
{
    struct found found = find(view);
    qsort_r(found.rows, (size_t)found.count, sizeof *found.rows, by_key, (void *)(uintptr_t)view->collection);
    const int64_t repeated = leave_one_a_key(view->collection, &found);
    if (limit < 0) { /* 2.3.5: as many rows are missing as there are second copies */
        offset = 0;
        limit = found.count > repeated ? found.count - repeated : 0;
    }
    offset = offset < 0 ? 0 : offset < found.count ? offset : found.count;
    const int64_t count = found.count - offset < limit ? found.count - offset : limit;
    mh_answer_rows(view->turn, view->collection, found.rows + offset, count, true);
}

static void query(struct mh_view *view)
{
    struct mh_turn *turn = view->turn;
    const int64_t limit = number(turn, "limit", 1), offset = limit == -2 ? -2 : number(turn, "offset", 0);
    if (limit == -2 || offset == -2)
        return;
    turn->answer.collection = view->collection->name;
    if (is_count(&turn->request)) {
        if (limit >= 0 || turn->request.output_count > 1)
            mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER,
                      "count entities with pagination or fields is not allowed");
        else
            answer_count(turn, find(view).count);
    } else if (mh_expr_is_empty(view->expr) && limit < 0) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "empty expression should be used with limit");
    } else if (limit >= 0 && offset > WINDOW - limit) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_OTHER, "(offset+limit) should be in range [1, %d]",
                  WINDOW);
    } else {
        answer_found(view, limit, offset);
    }
}

void mh_handle_query(struct mh_turn *turn)
{
    struct mh_view view;
    if (mh_view_open(&view, turn) == 0)
        query(&view);
    mh_view_close(&view);
}
