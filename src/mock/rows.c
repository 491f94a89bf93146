/* Rows as they should be written, and what faults do instead. */
#include "base/clock.h"
#include "mock/mock.h"

#include <stdlib.h>
#include <string.h>

/* ---- as they should ---- */

static int64_t add_to(struct mh_row_write *write, int partition)
{
    const int64_t row =
        mh_collection_add(write->collection, write->columns, write->from, write->now, partition);
    if (row < 0)
        abort();
    return row;
}

static int64_t add(struct mh_row_write *write)
{
    return add_to(write, write->partition);
}

/* Ends every live copy of the key that the write is about. */
static void end_old(struct mh_row_write *write)
{
    struct mh_collection *collection = write->collection;
    uint64_t place = 0;
    for (int64_t row; (row = mh_collection_next(collection, write->key, &place)) >= 0;)
        if (mh_row_live(collection, row) && (write->op == MH_OP_UPSERT || write->partition < 0 ||
                                             collection->partition[row] == write->partition))
            mh_collection_kill(collection, row, write->now);
}

void mh_row_apply(struct mh_row_write *write)
{
    if (write->op != MH_OP_INSERT)
        end_old(write);
    if (write->op != MH_OP_DELETE)
        add(write);
}

static bool concerns(const struct mh_fault *fault, const struct mh_row_write *write)
{
    if (fault->kind->place != MH_FAULT_ROW || !fault->ops[write->op])
        return false;
    const int partition = write->op == MH_OP_DELETE && write->old >= 0
                              ? write->collection->partition[write->old]
                              : write->partition;
    if (fault->partition[0] &&
        (partition < 0 || strcmp(fault->partition, write->collection->partitions[partition].name) != 0))
        return false;
    return !fault->kind->eligible || fault->kind->eligible(write);
}

void mh_row_write(struct mh_row_write *write)
{
    struct mh_faults *faults = &write->mock->faults;
    for (size_t i = 0; i < faults->count; i++) {
        struct mh_fault *fault = &faults->items[i];
        if (!concerns(fault, write) || !mh_fault_strikes(fault, write->key))
            continue;
        fault->kind->row(fault, write);
        return;
    }
    mh_row_apply(write);
}

/* ---- who can be struck ---- */

bool mh_has_old(const struct mh_row_write *write)
{
    return write->old >= 0;
}

static int other_partition(const struct mh_row_write *write)
{
    const size_t count = write->collection->partition_count;
    for (size_t step = 1; step < count; step++) {
        const size_t other = ((size_t)write->partition + step) % count;
        if (other != 0 && !write->collection->partitions[other].gone)
            return (int)other;
    }
    return write->partition != 0 ? 0 : -1;
}

bool mh_has_other_partition(const struct mh_row_write *write)
{
    return other_partition(write) >= 0;
}

bool mh_has_vector(const struct mh_row_write *write)
{
    return write->collection->fields[write->collection->vector].width > 0;
}

static int scalar_of(const struct mh_row_write *write)
{
    const struct mh_collection *collection = write->collection;
    for (size_t i = 0; i < collection->field_count; i++) {
        const struct mh_store_field *field = &collection->fields[i];
        if (!field->key && field->type >= MH_FIELD_INT8 && field->type <= MH_FIELD_INT64)
            return (int)i;
        if (field->type == MH_FIELD_VARCHAR &&
            ((const char *const *)write->columns[i]->values)[write->from][0])
            return (int)i;
    }
    return -1;
}

bool mh_has_scalar(const struct mh_row_write *write)
{
    return scalar_of(write) >= 0;
}

bool mh_is_concurrent(const struct mh_row_write *write)
{
    return write->concurrent && (write->op == MH_OP_INSERT || write->old >= 0);
}

/* ---- later ---- */

static void log_row(const struct mh_fault *fault, const struct mh_row_write *write)
{
    const int partition = write->partition >= 0 ? write->partition : write->collection->partition[write->old];
    mh_fault_log_row(fault, write->op, write->key, write->collection->partitions[partition].name);
}

static void happen_later(struct mh_fault *fault, const struct mh_row_write *write, int64_t row, bool lose)
{
    struct mh_faults *faults = &write->mock->faults;
    if (faults->pending_count == faults->pending_room) {
        const size_t room = 2 * faults->pending_room + 64;
        struct mh_pending *grown = realloc(faults->pending, room * sizeof *grown);
        if (!grown)
            abort();
        faults->pending = grown;
        faults->pending_room = room;
    }
    const int64_t due = fault->at == MH_AT_LATER ? mh_now_ns() + fault->at_ns : INT64_MAX;
    faults->pending[faults->pending_count++] =
        (struct mh_pending){.fault = fault,
                            .collection = write->collection->id,
                            .row = row,
                            .key = write->key,
                            .op = write->op,
                            .partition = write->collection->partition[row],
                            .lose = lose,
                            .due_ns = due};
    write->mock->store.pinned++;
    if (faults->pending_count == 1 || due < faults->due_ns)
        faults->due_ns = due;
}

/* What was put right, or wronged, in the meantime is left alone. */
static void happen(struct mh_mock *mock, const struct mh_pending *pending)
{
    struct mh_collection *collection = mh_store_find_id(&mock->store, pending->collection);
    const uint64_t now = mh_store_now(&mock->store);
    if (pending->lose && !mh_row_live(collection, pending->row))
        return;
    if (!pending->lose && mh_collection_live(collection, pending->key, -1) >= 0)
        return;
    if (pending->lose)
        mh_collection_kill(collection, pending->row, now);
    else if (mh_collection_copy(collection, pending->row, pending->key, now, pending->partition) < 0)
        abort();
    mh_fault_log_row(pending->fault, pending->op, pending->key,
                     collection->partitions[pending->partition].name);
}

static void remove_pending(struct mh_mock *mock, size_t i)
{
    mock->faults.pending[i] = mock->faults.pending[--mock->faults.pending_count];
    mock->store.pinned--;
}

static int victim(const struct mh_fault *fault, const struct mh_collection *collection)
{
    if (fault->partition[0])
        return mh_collection_partition(collection, fault->partition);
    for (size_t i = collection->partition_count; i-- > 1;)
        if (!collection->partitions[i].gone)
            return (int)i;
    return -1;
}

static void let_partitions_vanish(struct mh_mock *mock, struct mh_collection *collection, enum mh_fault_at at)
{
    static const int ops[] = {
        [MH_AT_FLUSH] = MH_OP_FLUSH, [MH_AT_COMPACTION] = MH_SERVE_COMPACT, [MH_AT_RELOAD] = MH_OP_LOAD};
    for (size_t i = 0; i < mock->faults.count; i++) {
        struct mh_fault *fault = &mock->faults.items[i];
        if (fault->kind->place != MH_FAULT_EVENT || fault->at != at)
            continue;
        const int partition = victim(fault, collection);
        if (partition < 0 || !mh_fault_strikes(fault, mock->calls))
            continue;
        mh_collection_drop_partition(&mock->store, collection, partition);
        mh_fault_log_partition(fault, ops[at], mock->calls, collection->partitions[partition].name);
    }
}

void mh_faults_happen(struct mh_mock *mock, struct mh_collection *collection, enum mh_fault_at at)
{
    struct mh_faults *faults = &mock->faults;
    let_partitions_vanish(mock, collection, at);
    for (size_t i = faults->pending_count; i-- > 0;)
        if (faults->pending[i].collection == collection->id && faults->pending[i].fault->at == at) {
            happen(mock, &faults->pending[i]);
            remove_pending(mock, i);
        }
}

void mh_faults_happen_later(struct mh_mock *mock, int64_t now_ns)
{
    struct mh_faults *faults = &mock->faults;
    if (now_ns < mh_faults_due(faults))
        return;
    faults->due_ns = INT64_MAX;
    for (size_t i = faults->pending_count; i-- > 0;) {
        if (faults->pending[i].due_ns <= now_ns) {
            happen(mock, &faults->pending[i]);
            remove_pending(mock, i);
        } else if (faults->pending[i].due_ns < faults->due_ns) {
            faults->due_ns = faults->pending[i].due_ns;
        }
    }
}

void mh_faults_forget(struct mh_mock *mock, int64_t collection)
{
    for (size_t i = mock->faults.pending_count; i-- > 0;)
        if (mock->faults.pending[i].collection == collection)
            remove_pending(mock, i);
}

/* ---- hooks ---- */

void mh_row_lose(struct mh_fault *fault, struct mh_row_write *write)
{
    if (write->op == MH_OP_UPSERT)
        end_old(write);
    if (fault->at != MH_AT_NOW) {
        happen_later(fault, write, add(write), true);
        return;
    }
    log_row(fault, write);
}

void mh_row_skip(struct mh_fault *fault, struct mh_row_write *write)
{
    log_row(fault, write);
}

void mh_row_duplicate(struct mh_fault *fault, struct mh_row_write *write)
{
    mh_row_apply(write);
    add(write);
    log_row(fault, write);
}

void mh_row_keep_both(struct mh_fault *fault, struct mh_row_write *write)
{
    add(write);
    log_row(fault, write);
}

void mh_row_half_delete(struct mh_fault *fault, struct mh_row_write *write)
{
    end_old(write);
    log_row(fault, write);
}

void mh_row_resurrect(struct mh_fault *fault, struct mh_row_write *write)
{
    struct mh_collection *collection = write->collection;
    const int partition = collection->partition[write->old];
    end_old(write);
    if (fault->at != MH_AT_NOW) {
        happen_later(fault, write, write->old, false);
        return;
    }
    if (mh_collection_copy(collection, write->old, write->key, mh_store_now(&write->mock->store), partition) <
        0)
        abort();
    log_row(fault, write);
}

void mh_row_misplace(struct mh_fault *fault, struct mh_row_write *write)
{
    if (write->op == MH_OP_UPSERT)
        end_old(write);
    add_to(write, other_partition(write));
    log_row(fault, write);
}

void mh_row_flip_vector(struct mh_fault *fault, struct mh_row_write *write)
{
    mh_row_apply(write);
    const struct mh_store_field *field = &write->collection->fields[write->collection->vector];
    field->cells[(size_t)(write->collection->rows - 1) * field->width] ^= 1;
    log_row(fault, write);
}

void mh_row_flip_scalar(struct mh_fault *fault, struct mh_row_write *write)
{
    const struct mh_store_field *field = &write->collection->fields[scalar_of(write)];
    mh_row_apply(write);
    uint8_t *cell = field->cells + (size_t)(write->collection->rows - 1) * field->width;
    if (field->type == MH_FIELD_VARCHAR) {
        char *text = write->collection->texts + *(const uint64_t *)(const void *)cell;
        text[0] = text[0] == 'x' ? 'y' : 'x';
    } else {
        cell[0] ^= 1;
    }
    log_row(fault, write);
}

void mh_row_delay(struct mh_fault *fault, struct mh_row_write *write)
{
    mh_row_apply(write);
    write->collection->born[write->collection->rows - 1] +=
        (uint64_t)((fault->seconds >= 0 ? fault->seconds : 1) * 1000) << 18;
    log_row(fault, write);
}

void mh_row_invent(struct mh_fault *fault, struct mh_row_write *write)
{
    mh_row_apply(write);
    struct mh_row_write invented = *write;
    invented.key = fault->key + (fault->done - 1) * fault->step;
    if (mh_collection_copy(write->collection, write->collection->rows - 1, invented.key, write->now,
                           write->partition) < 0)
        abort();
    log_row(fault, &invented);
}
