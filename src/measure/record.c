#include "measure/record.h"

#include <string.h>

const char *mh_tally_name(int kind)
{
    if (kind < MH_OP_KINDS)
        return mh_op_infos[kind].name;
    return kind == MH_TALLY_COUNT ? "count" : "cycle";
}

bool mh_record_writes(const struct mh_record *record)
{
    return record->kind < MH_OP_KINDS && mh_op_infos[record->kind].write;
}

bool mh_record_is_owed(const struct mh_record *record)
{
    return mh_record_writes(record) && !(record->flags & MH_RECORD_APART);
}

static bool scattered(const struct mh_op *op)
{
    for (int64_t i = 1; i < op->rows.rows; i++)
        if (op->rows.ids[i] != op->rows.ids[0] + i || op->versions[i] != op->versions[0])
            return true;
    return false;
}

static uint32_t rows_of(const struct mh_op *op, bool write)
{
    if (write)
        return (uint32_t)op->rows.rows;
    if (op->request.kind == MH_OP_SEARCH)
        return (uint32_t)op->reply.hit_count;
    return op->reply.column_count ? (uint32_t)op->reply.columns[0].rows : 0;
}

void mh_record_of(struct mh_record *record, const struct mh_op *op, int stage, int role, int64_t sequence)
{
    const bool write = mh_op_infos[op->request.kind].write;
    memset(record, 0, sizeof *record); /* no bytes of chance in the journal */
    record->type = MH_RECORD_DONE;
    record->kind = (uint8_t)(op->booked_as ? op->booked_as : (int)op->request.kind);
    record->outcome = (uint8_t)op->outcome;
    record->flags =
        (uint8_t)((op->timed_out ? MH_RECORD_TIMED_OUT : 0) | (op->unreachable ? MH_RECORD_UNREACHABLE : 0) |
                  (write && scattered(op) ? MH_RECORD_SCATTERED : 0) | (op->apart ? MH_RECORD_APART : 0));
    record->stage = (int16_t)stage;
    record->role = (int16_t)role;
    record->worker = op->worker ? (int32_t)op->worker->number : -1;
    record->attempts = op->attempts;
    record->throttled = op->throttled;
    record->grpc_status = op->call.status;
    record->code = op->reply.code ? op->reply.code : op->reply.legacy_code;
    record->partition = op->partition;
    record->version = write ? op->versions[0] : 0;
    record->rows = rows_of(op, write);
    record->sequence = sequence;
    record->first_id = write ? op->rows.ids[0] : 0;
    record->due_ns = op->due_ns;
    record->sent_ns = op->sent_ns;
    record->done_ns = op->done_ns;
    record->bytes_out = op->bytes_out;
    record->bytes_in = (int64_t)op->call.reply_length;
    record->server_ts = op->reply.timestamp;
}
