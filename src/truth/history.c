#include "truth/history.h"

#include "base/grow.h"
#include "comm/comm.h"
#include "truth/journal.h"
#include "truth/slice.h"

#include <stdlib.h>
#include <string.h>

/* ---- from the journals to whom it concerns ---- */

struct sorting {
    const struct mh_plan *plan;
    int64_t start_ns;
    struct mh_bytes *to; /* one a rank */
};

/* Pieces of a run of rows lie in slices of several ranks. */
static int send_run(struct sorting *sorting, struct mh_write write)
{
    const int64_t end = write.first + write.count;
    while (write.first < end) {
        const struct mh_worker *writer = mh_plan_writer_of(sorting->plan, write.first);
        if (!writer)
            return 0; /* nobody's id: no role writes those */
        const int64_t into = (write.first - writer->first_id) % MH_SLICE_ROWS, left = end - write.first;
        const int64_t here = MH_SLICE_ROWS - into < left ? MH_SLICE_ROWS - into : left;
        write.count = (int32_t)here;
        if (mh_bytes_append(&sorting->to[mh_slice_owner(sorting->plan, write.first)], &write, sizeof write) !=
            0)
            return -1;
        write.first += here;
    }
    return 0;
}

static struct mh_write write_of(const struct sorting *sorting, const struct mh_record *record)
{
    struct mh_write write;
    memset(&write, 0, sizeof write); /* it travels, padding and all */
    write.first = record->first_id;
    write.count = (int32_t)record->rows;
    write.worker = record->worker;
    write.sent_ns = record->sent_ns - sorting->start_ns;
    write.done_ns = record->done_ns - sorting->start_ns;
    write.version = (uint16_t)record->version;
    write.kind = record->kind;
    write.certain = record->outcome == MH_OUTCOME_OK;
    write.stamped = record->server_ts != 0;
    return write;
}

/* What is left of its writes. */
static int send_restored(struct sorting *sorting, const struct mh_record *record)
{
    const int version = record->version & MH_FATE_VERSION;
    const struct {
        bool had, certain;
        enum mh_op_kind kind;
        int version;
    } writes[] = {
        {record->outcome != MH_OUTCOME_FAILED, record->outcome == MH_OUTCOME_OK, MH_OP_INSERT, 0},
        {version > 0, true, MH_OP_UPSERT, version},
        {record->version & MH_FATE_UPSERT_UNKNOWN, false, MH_OP_UPSERT, version + 1},
        {record->version & (MH_FATE_DELETED | MH_FATE_DELETE_UNKNOWN), record->version & MH_FATE_DELETED,
         MH_OP_DELETE, version},
    };
    const int count = sizeof writes / sizeof writes[0];
    for (int i = 0; i < count; i++) {
        struct mh_write write = write_of(sorting, record);
        write.kind = (uint8_t)writes[i].kind;
        write.version = (uint16_t)writes[i].version;
        write.certain = writes[i].certain;
        write.sent_ns = write.done_ns = -1; /* before the run began */
        if (writes[i].had && send_run(sorting, write) != 0)
            return -1;
    }
    return 0;
}

static int visit(void *context, const struct mh_record *record, const int64_t *keys, const uint16_t *versions,
                 const char *text, struct mh_error *err)
{
    struct sorting *sorting = context;
    if (record->type == MH_RECORD_RESTORED)
        return send_restored(sorting, record) == 0 ? 0
                                                   : mh_fail(err, "out of memory for the history of writes");
    const bool effect = record->outcome == MH_OUTCOME_OK || record->outcome == MH_OUTCOME_UNKNOWN;
    (void)text;
    if (record->type != MH_RECORD_DONE || !mh_record_is_owed(record) || !effect)
        return 0;
    struct mh_write write = write_of(sorting, record);
    int rc = keys ? 0 : send_run(sorting, write);
    for (uint32_t i = 0; keys && i < record->rows && rc == 0; i++) {
        write.first = keys[i];
        write.count = 1;
        write.version = versions ? versions[i] : write.version;
        rc = send_run(sorting, write);
    }
    return rc == 0 ? 0 : mh_fail(err, "out of memory for the history of writes");
}

/* ---- in order ---- */

/* The order of effect, which no clock can be wrong about: a row has one mutator at a time, whose next write
 * of it leaves only when the one before was acknowledged; an upsert makes it one version newer, and after a
 * delete there is none. What certainly had no effect, and is done again, is not among the writes. */
static int by_row_and_effect(const void *a, const void *b)
{
    const struct mh_write *x = a, *y = b;
    const bool x_ends = x->kind == MH_OP_DELETE, y_ends = y->kind == MH_OP_DELETE;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x_ends != y_ends)
        return x_ends ? 1 : -1;
    return (x->version > y->version) - (x->version < y->version);
}

static int keep(struct mh_history *history, const struct mh_write *write)
{
    if (write->kind == MH_OP_INSERT) {
        if (!mh_grow(&history->inserts, &history->insert_room, history->insert_count, sizeof *write))
            return -1;
        history->inserts[history->insert_count++] = *write;
        return 0;
    }
    struct mh_write row = *write;
    row.count = 1;
    for (int32_t i = 0; i < write->count; i++, row.first++) {
        if (!mh_grow(&history->changes, &history->change_room, history->change_count, sizeof row))
            return -1;
        history->changes[history->change_count++] = row;
    }
    return 0;
}

static int put_in_order(struct mh_history *history, const struct mh_bytes *received)
{
    struct mh_write write;
    for (size_t at = 0; at + sizeof write <= received->length; at += sizeof write) {
        memcpy(&write, received->data + at, sizeof write);
        if (keep(history, &write) != 0)
            return -1;
    }
    if (history->insert_count > 1)
        qsort(history->inserts, (size_t)history->insert_count, sizeof write, by_row_and_effect);
    if (history->change_count > 1)
        qsort(history->changes, (size_t)history->change_count, sizeof write, by_row_and_effect);
    return 0;
}

int mh_history_make(struct mh_history *history, const struct mh_plan *plan, const char *journal,
                    int64_t start_ns, MPI_Comm comm, struct mh_error *err)
{
    struct mh_journal_start start;
    struct mh_bytes received = {0};
    struct sorting sorting = {.plan = plan, .start_ns = start_ns};
    struct mh_journal_end end;
    *history = (struct mh_history){0};
    sorting.to = calloc((size_t)plan->np, sizeof *sorting.to);
    int rc = sorting.to ? mh_journal_read(journal, &start, visit, &sorting, &end, err)
                        : mh_fail(err, "out of memory for the history of writes");
    rc = mh_comm_agree(comm, rc, err);
    if (rc == 0)
        rc = mh_comm_exchange(comm, sorting.to, &received, NULL, err);
    mh_bytes_free_all(sorting.to, plan->np);
    if (rc == 0) {
        rc = put_in_order(history, &received) == 0 ? 0
                                                   : mh_fail(err, "out of memory for the history of writes");
        rc = mh_comm_agree(comm, rc, err);
    }
    free(received.data);
    if (rc != 0)
        mh_history_free(history);
    return rc;
}

void mh_history_free(struct mh_history *history)
{
    free(history->inserts);
    free(history->changes);
    *history = (struct mh_history){0};
}

/* ---- how a row stands ---- */

static bool surely_sees(const struct mh_doubt *doubt, const struct mh_look *look,
                        const struct mh_write *write)
{
    if (!write->certain)
        return false;
    switch (look->consistency) {
    case MH_STRONG:
        return write->done_ns + doubt->clock_ns < look->sent_ns;
    case MH_BOUNDED:
        return write->done_ns + doubt->clock_ns + doubt->bound_ns < look->sent_ns;
    case MH_SESSION:
        return write->worker == look->worker && write->stamped && write->done_ns < look->sent_ns;
    default:
        return false;
    }
}

static bool may_see(const struct mh_doubt *doubt, const struct mh_look *look, const struct mh_write *write)
{
    return write->sent_ns - doubt->clock_ns <= look->done_ns;
}

const struct mh_write *mh_history_insert_of(const struct mh_history *history, int64_t id)
{
    int64_t low = 0, high = history->insert_count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        const struct mh_write *insert = &history->inserts[middle];
        if (id >= insert->first && id < insert->first + insert->count)
            return insert;
        if (insert->first > id)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int64_t first_change_of(const struct mh_history *history, int64_t id)
{
    int64_t low = 0, high = history->change_count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (history->changes[middle].first < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* In the order of effect. */
static void take_change(struct mh_standing *standing, const struct mh_write *change, bool sure)
{
    if (change->kind == MH_OP_DELETE) {
        standing->kind = sure ? MH_STANDS_GONE : MH_STANDS_PERHAPS;
        return;
    }
    standing->highest = (int16_t)change->version;
    if (sure)
        standing->lowest = standing->highest;
    /* under way it may show the row before, after, or (an upsert is no atomic thing) not at all */
    standing->kind = sure ? MH_STANDS_SURELY : MH_STANDS_PERHAPS;
}

struct mh_standing mh_history_standing(const struct mh_history *history, const struct mh_doubt *doubt,
                                       const struct mh_look *look, int64_t id)
{
    struct mh_standing standing = {.kind = MH_STANDS_NOWHERE};
    const struct mh_write *insert = mh_history_insert_of(history, id);
    if (!insert || !may_see(doubt, look, insert))
        return standing;
    standing.kind = surely_sees(doubt, look, insert) ? MH_STANDS_SURELY : MH_STANDS_PERHAPS;
    for (int64_t i = first_change_of(history, id);
         i < history->change_count && history->changes[i].first == id; i++)
        if (may_see(doubt, look, &history->changes[i]))
            take_change(&standing, &history->changes[i], surely_sees(doubt, look, &history->changes[i]));
    return standing;
}

int64_t mh_history_replaced(const struct mh_history *history, int64_t id, int64_t version, int64_t at_ns)
{
    for (int64_t i = first_change_of(history, id);
         i < history->change_count && history->changes[i].first == id; i++) {
        const struct mh_write *change = &history->changes[i];
        if (change->certain && change->done_ns < at_ns &&
            (change->kind == MH_OP_DELETE || change->version > version))
            return at_ns - change->done_ns;
    }
    return 0;
}
