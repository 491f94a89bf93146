/* Insert, Upsert and Delete: what 2.3.5 refuses, and what becomes of the rows. */
#include "base/clock.h"
#include "mock/mock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMPACT_FROM = 1 << 17 }; /* dead rows */

/* ---- checks ---- */

static const struct mh_column *find_column(const struct mh_served *request, const char *name)
{
    for (size_t i = 0; i < request->column_count; i++)
        if (strcmp(request->columns[i].name, name) == 0)
            return &request->columns[i];
    return NULL;
}

static const char *range_problem(const struct mh_store_field *field, const struct mh_column *column)
{
    const int bits = field->type == MH_FIELD_INT8 ? 7 : 15;
    const int32_t *values = column->values;
    for (int64_t i = 0; i < column->rows; i++)
        if (values[i] < -(1 << bits) || values[i] >= 1 << bits)
            return "a number is out of range";
    return NULL;
}

static const char *text_problem(const struct mh_store_field *field, const struct mh_column *column)
{
    const char *const *values = column->values;
    for (int64_t i = 0; i < column->rows; i++)
        if ((int64_t)strlen(values[i]) > field->max_length)
            return "a text is longer than max_length";
    return NULL;
}

static const char *vector_problem(const struct mh_store_field *field, const struct mh_column *column)
{
    if (column->dim != field->dim)
        return "the dimension is not the schema's";
    const float *values = column->values;
    for (int64_t i = 0; i < column->rows * column->dim; i++)
        if (!isfinite(values[i]))
            return "a vector holds NaN or infinity";
    return NULL;
}

static const char *column_problem(const struct mh_store_field *field, const struct mh_column *column,
                                  int64_t rows)
{
    if (column->type != field->type)
        return "the type is not the schema's";
    if (field->type == MH_FIELD_FLOAT_VECTOR && column->dim != field->dim)
        return "the dimension is not the schema's";
    if (column->rows != rows)
        return "the number of rows is not num_rows";
    switch (field->type) {
    case MH_FIELD_INT8:
    case MH_FIELD_INT16:
        return range_problem(field, column);
    case MH_FIELD_VARCHAR:
        return text_problem(field, column);
    case MH_FIELD_FLOAT_VECTOR:
        return vector_problem(field, column);
    default:
        return NULL;
    }
}

/* The request's columns in the order of the fields; NULL: refused. */
static const struct mh_column **columns_of(struct mh_turn *turn, const struct mh_collection *collection)
{
    const struct mh_served *request = &turn->request;
    const struct mh_column **columns = mh_turn_get(turn, collection->field_count * sizeof *columns);
    if (request->rows == 0)
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "num_rows should be greater than 0");
    else if (request->bad_column)
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "field %s: invalid data", request->bad_column);
    else if (request->too_many_fields || request->column_count != collection->field_count)
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID,
                  "fieldSchemas length %zu differs from %zu fields sent", collection->field_count,
                  request->column_count);
    for (size_t i = 0; i < collection->field_count && turn->answer.code == 0; i++) {
        const struct mh_store_field *field = &collection->fields[i];
        columns[i] = find_column(request, field->name);
        const char *problem = columns[i] ? column_problem(field, columns[i], request->rows) : "it is missing";
        if (problem)
            mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "field %s: %s", field->name, problem);
    }
    return turn->answer.code == 0 ? columns : NULL;
}

/* ---- concurrency ---- */

/* Do writes of two partitions come in at about the same time? Replies may still be under way then. */
static bool note_overlap(struct mh_mock *mock, const struct mh_collection *collection, int partition)
{
    int64_t window = 50;
    for (size_t i = 0; i < mock->faults.count; i++)
        if (strcmp(mock->faults.items[i].kind->name, "lose_concurrent") == 0 && mock->faults.items[i].ms >= 0)
            window = mock->faults.items[i].ms;
    const int64_t now = mh_now_ns(), window_ns = window * MH_MS;
    if (mock->last_write_collection == collection->id && mock->last_write_partition != partition &&
        now - mock->last_write_ns < window_ns)
        mock->overlap_ns = now + window_ns;
    mock->last_write_ns = now;
    mock->last_write_collection = collection->id;
    mock->last_write_partition = partition;
    return now < mock->overlap_ns;
}

/* ---- rows ---- */

static struct mh_row_write begin(struct mh_turn *turn, struct mh_collection *collection, int partition)
{
    struct mh_mock *mock = turn->mock;
    return (struct mh_row_write){.mock = mock,
                                 .collection = collection,
                                 .op = turn->request.kind,
                                 .now = mh_store_now(&mock->store),
                                 .partition = partition,
                                 .old = -1,
                                 .concurrent =
                                     mock->faults.count > 0 && note_overlap(mock, collection, partition)};
}

/* Is the whole request to be dropped? The keys that this wrongs are logged. */
static bool drop_all(const struct mh_row_write *write, const int64_t *keys, int64_t count)
{
    struct mh_faults *faults = &write->mock->faults;
    if (faults->count == 0)
        return false;
    struct mh_fault *fault = mh_faults_strike_any(faults, MH_FAULT_REQUEST, write->op, write->mock->calls);
    for (int64_t i = 0; fault && i < count; i++) {
        const int64_t old = mh_collection_live(write->collection, keys[i], -1);
        const int partition =
            write->op == MH_OP_DELETE && old >= 0 ? write->collection->partition[old] : write->partition;
        if (write->op != MH_OP_DELETE || old >= 0)
            mh_fault_log_row(fault, write->op, keys[i], write->collection->partitions[partition].name);
    }
    return fault != NULL;
}

static void compact_if_worth_it(struct mh_turn *turn, struct mh_collection *collection)
{
    enum { KEPT_SECONDS = 60 }; /* what ended since can still be asked for by stale reads */
    if (collection->dead > COMPACT_FROM && 2 * collection->dead > collection->rows)
        mh_collection_compact(&turn->mock->store, collection,
                              mh_store_now(&turn->mock->store) - KEPT_SECONDS * MH_TS_SECOND);
}

static void store_rows(struct mh_turn *turn, struct mh_collection *collection, int partition,
                       const struct mh_column *const *columns)
{
    const int64_t *keys = columns[collection->key]->values;
    const int64_t rows = turn->request.rows;
    struct mh_row_write write = begin(turn, collection, partition);
    write.columns = columns;
    if (!drop_all(&write, keys, rows))
        for (write.from = 0; write.from < rows; write.from++) {
            write.key = keys[write.from];
            if (write.op == MH_OP_UPSERT)
                write.old = mh_collection_live(collection, write.key, -1);
            mh_row_write(&write);
        }
    turn->answer.rows = rows;
    turn->answer.ids = keys;
    turn->answer.id_count = (size_t)rows;
    turn->answer.timestamp = write.now;
    compact_if_worth_it(turn, collection);
}

void mh_handle_insert(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    const int partition = collection ? mh_turn_partition(turn, collection) : -1;
    const struct mh_column **columns = partition >= 0 ? columns_of(turn, collection) : NULL;
    if (columns)
        store_rows(turn, collection, partition, columns);
}

void mh_handle_upsert(struct mh_turn *turn)
{
    mh_handle_insert(turn);
}

/* ---- delete ---- */

static int64_t *filtered_keys(struct mh_turn *turn, const struct mh_collection *collection, int partition,
                              const struct mh_expr *expr, int64_t *count)
{
    const struct mh_expr_rows rows = {mh_collection_value, collection};
    int64_t *keys = mh_turn_get(turn, (size_t)(collection->rows + 1) * sizeof *keys);
    *count = 0;
    for (int64_t row = 0; row < collection->rows; row++)
        if (mh_row_live(collection, row) && (partition < 0 || collection->partition[row] == partition) &&
            mh_expr_holds(expr, &rows, row))
            keys[(*count)++] = mh_collection_keys(collection)[row];
    return keys;
}

static void delete_keys(struct mh_turn *turn, struct mh_collection *collection, int partition,
                        const int64_t *keys, int64_t count)
{
    struct mh_row_write write = begin(turn, collection, partition);
    turn->answer.rows = count;
    if (drop_all(&write, keys, count))
        return;
    for (int64_t i = 0; i < count; i++) {
        write.key = keys[i];
        write.old = mh_collection_live(collection, write.key, partition);
        if (write.old >= 0)
            mh_row_write(&write);
    }
    compact_if_worth_it(turn, collection);
}

static void delete_where(struct mh_turn *turn, struct mh_collection *collection, int partition,
                         const struct mh_expr *expr)
{
    size_t named;
    bool all = false;
    const int64_t *keys = mh_expr_keys(expr, collection->key, &named, &all);
    int64_t count = (int64_t)named;
    if (mh_expr_is_empty(expr)) {
        mh_refuse(turn, MH_OLD_ILLEGAL, MH_CODE_INVALID, "expr should not be empty");
        return;
    }
    if (!keys || !all) {
        if (!collection->loaded) {
            mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_NOT_LOADED, "collection not loaded[collection=%s]",
                      collection->name);
            return;
        }
        keys = filtered_keys(turn, collection, partition, expr, &count);
    }
    delete_keys(turn, collection, partition, keys, count);
}

void mh_handle_delete(struct mh_turn *turn)
{
    struct mh_collection *collection = mh_turn_collection(turn);
    if (!collection)
        return;
    const int partition = turn->request.partition[0] ? mh_turn_partition(turn, collection) : -1;
    if (turn->answer.code != 0)
        return;
    struct mh_expr *expr = NULL;
    struct mh_error err;
    if (mh_expr_parse(turn->request.expression, collection->names, collection->field_count, &expr, &err) !=
        0) {
        mh_refuse(turn, MH_OLD_UNEXPECTED, MH_CODE_INVALID, "failed to create delete plan: %s", err.text);
        return;
    }
    delete_where(turn, collection, partition, expr);
    mh_expr_free(expr);
}
