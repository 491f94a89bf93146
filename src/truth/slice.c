#include "truth/slice.h"

#include "base/alive.h"
#include "base/grow.h"
#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>

struct mh_slice_part {
    const uint8_t *data;
    size_t length;
};

/* In front of each exported slice. */
struct envelope {
    int64_t first;  /* of the slice */
    int64_t length; /* bytes that follow */
};

/* A rank never audits what its own workers wrote, unless it is alone. Slices of a worker go round the others.
 */
static int owner_of(const struct mh_plan *plan, const struct mh_worker *worker, int64_t slice)
{
    if (plan->np == 1)
        return 0;
    return (int)((worker->rank + 1 + (worker->number + slice) % (plan->np - 1)) % plan->np);
}

int mh_slice_owner(const struct mh_plan *plan, int64_t id)
{
    const struct mh_worker *worker = mh_plan_writer_of(plan, id);
    return worker ? owner_of(plan, worker, (id - worker->first_id) / MH_SLICE_ROWS) : -1;
}

typedef int visit_slice(void *context, const struct mh_slice *slice, int owner);

static int every_slice(const struct mh_plan *plan, visit_slice *visit, void *context)
{
    for (int64_t w = 0; w < plan->worker_count; w++) {
        const struct mh_worker *worker = &plan->workers[w];
        for (int64_t at = 0; at < worker->rows; at += MH_SLICE_ROWS) {
            int64_t count = worker->rows - at < MH_SLICE_ROWS ? worker->rows - at : MH_SLICE_ROWS;
            struct mh_slice slice = {worker->first_id + at, count, (int32_t)w, worker->partition};
            if (visit(context, &slice, owner_of(plan, worker, at / MH_SLICE_ROWS)) != 0)
                return -1;
        }
    }
    return 0;
}

int mh_slices_plan(struct mh_plan *out, const struct mh_plan *plan, const struct mh_ledger *ledger,
                   MPI_Comm comm, struct mh_error *err)
{
    const size_t count = (size_t)plan->worker_count;
    int64_t *ends = calloc(count + 1, sizeof *ends);
    *out = *plan;
    out->workers = calloc(count + 1, sizeof *out->workers);
    int rc = ends && out->workers ? 0 : mh_fail(err, "out of memory for the plan");
    rc = mh_comm_agree(comm, rc, err);
    for (size_t w = 0; rc == 0 && w < count; w++)
        ends[w] = mh_ledger_end(ledger, (int64_t)w);
    if (rc == 0)
        mh_comm_max_i64(comm, ends, (int)count);
    for (size_t w = 0; rc == 0 && w < count; w++) {
        out->workers[w] = plan->workers[w];
        out->workers[w].rows = ends[w] < 0 ? 0 : ends[w] - plan->workers[w].first_id;
    }
    free(ends);
    if (rc != 0) {
        free(out->workers);
        out->workers = NULL;
    }
    return rc;
}

/* ---- what goes to whom ---- */

struct outgoing {
    const struct mh_ledger *ledger;
    struct mh_bytes *to; /* one a rank */
    struct mh_slices *mine;
    int rank;
    int64_t room;
};

static int export_slice(void *context, const struct mh_slice *slice, int owner)
{
    struct outgoing *out = context;
    struct mh_bytes *bytes = &out->to[owner];
    struct envelope envelope = {.first = slice->first};
    size_t at = bytes->length;
    if (mh_bytes_append(bytes, &envelope, sizeof envelope) != 0 ||
        mh_ledger_export(out->ledger, slice->worker, slice->first, slice->count, bytes) != 0)
        return -1;
    envelope.length = (int64_t)(bytes->length - at - sizeof envelope);
    if (envelope.length == 0)
        bytes->length = at; /* nothing known here */
    else
        memcpy(bytes->data + at, &envelope, sizeof envelope);
    return 0;
}

static int keep_mine(void *context, const struct mh_slice *slice, int owner)
{
    struct outgoing *out = context;
    if (owner != out->rank)
        return 0;
    if (!mh_grow(&out->mine->items, &out->room, out->mine->count, sizeof *out->mine->items))
        return -1;
    out->mine->items[out->mine->count++] = *slice;
    return 0;
}

/* ---- whose part is what ---- */

static int walk_parts(struct mh_slices *slices, size_t length, bool place)
{
    for (size_t at = 0; at < length;) {
        struct envelope envelope;
        if (length - at < sizeof envelope)
            return -1;
        memcpy(&envelope, slices->received + at, sizeof envelope);
        at += sizeof envelope;
        int64_t slice = mh_slices_find(slices, envelope.first);
        if (slice < 0 || envelope.length < 0 || (size_t)envelope.length > length - at)
            return -1;
        if (place)
            slices->parts[slices->first_part[slice]++] =
                (struct mh_slice_part){slices->received + at, (size_t)envelope.length};
        else
            slices->first_part[slice + 1]++;
        at += (size_t)envelope.length;
    }
    return 0;
}

static int index_parts(struct mh_slices *slices, size_t length)
{
    slices->first_part = calloc((size_t)slices->count + 2, sizeof *slices->first_part);
    if (!slices->first_part || walk_parts(slices, length, false) != 0)
        return -1;
    for (int64_t i = 0; i < slices->count; i++)
        slices->first_part[i + 1] += slices->first_part[i];
    slices->parts = calloc((size_t)slices->first_part[slices->count] + 1, sizeof *slices->parts);
    if (!slices->parts || walk_parts(slices, length, true) != 0)
        return -1;
    for (int64_t i = slices->count; i > 0; i--) /* placing moved each start to its end */
        slices->first_part[i] = slices->first_part[i - 1];
    slices->first_part[0] = 0;
    return 0;
}

int mh_slices_make(struct mh_slices *slices, const struct mh_plan *plan, const struct mh_ledger *ledger,
                   MPI_Comm comm, struct mh_error *err)
{
    *slices = (struct mh_slices){0};
    struct outgoing out = {.ledger = ledger, .mine = slices};
    struct mh_bytes received = {0};
    MPI_Comm_rank(comm, &out.rank);
    out.to = calloc((size_t)plan->np, sizeof *out.to);
    int rc = out.to && every_slice(plan, export_slice, &out) == 0 && every_slice(plan, keep_mine, &out) == 0
                 ? 0
                 : mh_fail(err, "out of memory for the ledger's slices");
    rc = mh_comm_agree(comm, rc, err);
    if (rc == 0)
        rc = mh_comm_exchange(comm, out.to, &received, NULL, err);
    slices->received = received.data;
    if (rc == 0)
        rc = mh_comm_agree(comm,
                           index_parts(slices, received.length) == 0
                               ? 0
                               : mh_fail(err, "ledger pieces from another rank make no sense"),
                           err);
    mh_bytes_free_all(out.to, plan->np);
    if (rc != 0)
        mh_slices_free(slices);
    return rc;
}

void mh_slices_free(struct mh_slices *slices)
{
    free(slices->items);
    free(slices->received);
    free(slices->parts);
    free(slices->first_part);
    *slices = (struct mh_slices){0};
}

int64_t mh_slices_find(const struct mh_slices *slices, int64_t id)
{
    int64_t low = 0, high = slices->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        const struct mh_slice *slice = &slices->items[middle];
        if (id >= slice->first && id < slice->first + slice->count)
            return middle;
        if (slice->first > id)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

int mh_slices_fates(const struct mh_slices *slices, int64_t at, struct mh_fates *fates, struct mh_error *err)
{
    mh_alive();
    mh_fates_reset(fates, slices->items[at].first, slices->items[at].count);
    for (int64_t i = slices->first_part[at]; i < slices->first_part[at + 1]; i++)
        if (mh_fates_import(fates, slices->parts[i].data, slices->parts[i].length) != 0)
            return mh_fail(err, "ledger pieces of ids %lld and on make no sense", (long long)fates->first);
    return 0;
}
