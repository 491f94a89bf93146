/* What stands in a partition beyond the ids that belong there: found by its count(*), listed by key, and
 * judged by the ranks that hold those ids. */
#include "truth/partition.h"

#include "base/grow.h"
#include "comm/comm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const count_field[] = {"count(*)"};

struct stray {
    int64_t id, seen_in;
};

struct strays {
    struct stray *items;
    int64_t count, room;
};

struct counting {
    struct mh_pass *pass;
    int64_t *counts; /* by partition; -1: not this rank's */
    int32_t listing; /* partition being listed */
    struct strays strays;
};

/* ---- counts ---- */

static enum mh_fan_answer ask_partition(void *context, int64_t p, struct mh_fan_slot *slot)
{
    const struct counting *counting = context;
    const struct mh_audit *audit = counting->pass->audit;
    if (p % audit->plan->np != audit->rank || mh_pass_absent(counting->pass, (int32_t)p))
        return MH_FAN_SKIP;
    mh_pass_set_query(counting->pass, slot, (int32_t)p);
    slot->op.request.expression = "";
    slot->op.request.output_fields = count_field;
    slot->op.request.output_count = 1;
    slot->op.request.limit = 0; /* count(*) takes none */
    return MH_FAN_ASK;
}

static int take_partition(void *context, int64_t p, const struct mh_reply *reply, struct mh_error *err)
{
    const struct counting *counting = context;
    return mh_count_in(reply, &counting->counts[p], err);
}

/* ---- listing ---- */

/* A query for all ids but those of the partition's workers: the gaps between them, one question each. */
struct gap {
    int64_t from, to; /* [from, to); INT64_MIN and INT64_MAX: open */
};

struct gaps {
    struct counting *counting;
    struct gap *items;
    int64_t count;
};

static int find_gaps(struct gaps *gaps, const struct mh_plan *plan, int32_t partition)
{
    int64_t from = INT64_MIN;
    gaps->items = calloc((size_t)plan->worker_count + 1, sizeof *gaps->items);
    if (!gaps->items)
        return -1;
    for (int64_t w = 0; w < plan->worker_count; w++) {
        const struct mh_worker *worker = &plan->workers[w];
        if (worker->partition != partition || worker->rows == 0)
            continue;
        if (worker->first_id > from)
            gaps->items[gaps->count++] = (struct gap){from, worker->first_id};
        from = worker->first_id + worker->rows;
    }
    gaps->items[gaps->count++] = (struct gap){from, INT64_MAX};
    return 0;
}

static bool write_gap(const struct mh_pass *pass, struct mh_fan_slot *slot, const struct gap *gap)
{
    const char *key = mh_content_key_name(pass->audit->content);
    const bool below = gap->from == INT64_MIN, above = gap->to == INT64_MAX;
    if (!mh_pass_write_range(pass, slot, gap->from, gap->to))
        return false;
    if (below && above) /* no row of anybody's belongs here; an empty expression would want no limit */
        snprintf(slot->text, slot->room, "%s >= 0 or %s < 0", key, key);
    else if (below)
        snprintf(slot->text, slot->room, "%s < %" PRId64, key, gap->to);
    else if (above)
        snprintf(slot->text, slot->room, "%s >= %" PRId64, key, gap->from);
    return true;
}

static enum mh_fan_answer ask_gap(void *context, int64_t item, struct mh_fan_slot *slot)
{
    const struct gaps *gaps = context;
    if (!write_gap(gaps->counting->pass, slot, &gaps->items[item]))
        return MH_FAN_NO_MEMORY;
    mh_pass_set_query(gaps->counting->pass, slot, gaps->counting->listing);
    slot->op.request.output_count = 1; /* the key alone */
    return MH_FAN_ASK;
}

static int add_stray(struct strays *strays, int64_t id, int64_t seen_in)
{
    if (!mh_grow(&strays->items, &strays->room, strays->count, sizeof *strays->items))
        return -1;
    strays->items[strays->count++] = (struct stray){id, seen_in};
    return 0;
}

static int take_gap(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    const struct gaps *gaps = context;
    struct counting *counting = gaps->counting;
    const int64_t *keys;
    int64_t rows;
    (void)item;
    if (mh_pass_keys(counting->pass, reply, &keys, &rows, err) != 0)
        return -1;
    for (int64_t row = 0; row < rows; row++)
        if (add_stray(&counting->strays, keys[row], counting->listing) != 0)
            return mh_fail(err, "out of memory for rows outside their partition");
    return 0;
}

static int list_partition(struct counting *counting, int32_t partition, struct mh_error *err)
{
    struct gaps gaps = {.counting = counting};
    counting->listing = partition;
    int rc =
        find_gaps(&gaps, counting->pass->audit->plan, partition) != 0 ? mh_fail(err, "out of memory") : 0;
    if (rc == 0)
        rc = mh_fan_run(counting->pass->fan, gaps.count, ask_gap, take_gap, &gaps, err);
    free(gaps.items);
    return rc;
}

static void condemn_count(struct mh_pass *pass, int32_t partition, int64_t found, int64_t counted)
{
    const struct mh_suspect whole = {.id = MH_ID_ALL - 1 - partition,
                                     .partition = partition,
                                     .expected_version = found,
                                     .seen_version = counted};
    mh_pass_condemn(pass, MH_MISCOUNTED, &whole, partition);
}

/* With writes in doubt a row may appear between the slices' counts and the partition's: then a difference
 * proves nothing. */
static int list_those_that_differ(struct counting *counting, const int64_t *expected, struct mh_error *err)
{
    for (int32_t p = 0; p < counting->pass->partition_count; p++) {
        if (counting->counts[p] < 0 || counting->counts[p] == expected[p])
            continue;
        const int64_t before = counting->strays.count;
        if (list_partition(counting, p, err) != 0)
            return -1;
        const int64_t listed = counting->strays.count - before;
        if (counting->counts[p] != expected[p] + listed && listed < MH_QUERY_WINDOW &&
            llabs(counting->counts[p] - expected[p] - listed) > counting->pass->audit->in_doubt)
            condemn_count(counting->pass, p, expected[p] + listed, counting->counts[p]);
    }
    return 0;
}

/* ---- judging: every rank hears of all strays, each judges those whose ids it holds ---- */

static int gather(const struct strays *strays, MPI_Comm comm, struct strays *all, struct mh_error *err)
{
    void *items;
    size_t bytes;
    if (mh_comm_gather_bytes(comm, strays->items, (size_t)strays->count * sizeof *strays->items, &items,
                             &bytes, err) != 0)
        return -1;
    *all = (struct strays){.items = items, .count = (int64_t)(bytes / sizeof *all->items)};
    return 0;
}

static int judge(struct mh_pass *pass, const struct strays *all, struct mh_error *err)
{
    for (int64_t i = 0; i < all->count; i++) {
        int owner = mh_slice_owner(pass->audit->plan, all->items[i].id);
        if ((owner < 0 ? 0 : owner) == pass->audit->rank &&
            mh_pass_strays(pass, &all->items[i].id, 1, (int32_t)all->items[i].seen_in, err) != 0)
            return -1;
    }
    return 0;
}

int mh_pass_partitions(struct mh_pass *pass, int64_t *partition_sum, struct mh_error *err)
{
    struct mh_audit *audit = pass->audit;
    struct strays all = {0};
    struct counting counting = {.pass = pass,
                                .counts = calloc((size_t)pass->partition_count + 1, sizeof(int64_t))};
    int rc = mh_comm_agree(audit->comm, counting.counts ? 0 : mh_fail(err, "out of memory"), err);
    if (rc != 0)
        goto done;
    for (int p = 0; p < pass->partition_count; p++)
        counting.counts[p] = -1;
    mh_comm_sum_i64(audit->comm, pass->counted, pass->partition_count);
    rc = mh_fan_run(pass->fan, pass->partition_count, ask_partition, take_partition, &counting, err);
    if (rc == 0)
        rc = list_those_that_differ(&counting, pass->counted, err);
    rc = mh_comm_agree(audit->comm, rc, err);
    if (rc == 0)
        rc = gather(&counting.strays, audit->comm, &all, err);
    if (rc == 0)
        rc = mh_comm_agree(audit->comm, judge(pass, &all, err), err);
    audit->figures.outside = all.count;
    *partition_sum = 0;
    for (int p = 0; p < pass->partition_count; p++)
        *partition_sum += counting.counts[p] >= 0 ? counting.counts[p] : 0;
    mh_comm_sum_i64(audit->comm, partition_sum, 1);
done:
    free(all.items);
    free(counting.strays.items);
    free(counting.counts);
    return rc;
}
