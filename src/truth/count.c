/* count(*) of every slice beside what the scan found there: Query shows one row a key, count(*) every copy,
 * so that a difference is where duplicates are. They are run down by halving. */
#include "truth/scan.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const char *const count_field[] = {"count(*)"};

struct range { /* of ids of one slice */
    int64_t slice, first, count;
    int64_t present; /* keys that a scan just found in it */
    int64_t copies;  /* what count(*) says */
    int64_t whole;   /* what it said of this half and the other together */
};

struct counting { /* count(*) over some ranges, and the keys in them */
    struct mh_pass *pass;
    struct range *ranges;
    int64_t count, room;
    int64_t run_down; /* single ids condemned */
    uint64_t *bitmap; /* of keys present, MH_SLICE_ROWS bits for the slice being run down */
};

static enum mh_fan_answer ask_range(struct mh_pass *pass, const struct range *range, struct mh_fan_slot *slot,
                                    bool count)
{
    const struct mh_slice *slice = &pass->audit->slices.items[range->slice];
    if (mh_pass_absent(pass, slice->partition))
        return MH_FAN_SKIP;
    if (!mh_pass_write_range(pass, slot, range->first, range->first + range->count))
        return MH_FAN_NO_MEMORY;
    mh_pass_set_query(pass, slot, slice->partition);
    slot->op.request.output_count = 1; /* the key alone */
    if (count) {
        slot->op.request.output_fields = count_field;
        slot->op.request.limit = 0; /* count(*) takes none */
    }
    return MH_FAN_ASK;
}

int mh_count_in(const struct mh_reply *reply, int64_t *count, struct mh_error *err)
{
    return mh_reply_count(reply, count) ? 0 : mh_fail(err, "a count(*) reply holds no single integer");
}

/* ---- all slices ---- */

static enum mh_fan_answer ask_slice(void *context, int64_t at, struct mh_fan_slot *slot)
{
    struct mh_pass *pass = context;
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    struct range range = {.slice = at, .first = slice->first, .count = slice->count};
    return ask_range(pass, &range, slot, true);
}

static int take_slice(void *context, int64_t at, const struct mh_reply *reply, struct mh_error *err)
{
    struct mh_pass *pass = context;
    return mh_count_in(reply, &pass->slice_counts[at], err);
}

/* ---- a slice whose count and scan differ ---- */

static int64_t present_in(const struct counting *counting, int64_t first, int64_t count)
{
    int64_t base = counting->pass->audit->slices.items[counting->ranges[0].slice].first, sum = 0;
    for (int64_t i = first - base; i < first - base + count; i++)
        sum += counting->bitmap[i / 64] >> (i % 64) & 1;
    return sum;
}

static enum mh_fan_answer ask_keys(void *context, int64_t item, struct mh_fan_slot *slot)
{
    const struct counting *counting = context;
    return ask_range(counting->pass, &counting->ranges[item], slot, false);
}

static int take_keys(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    const struct counting *counting = context;
    const struct range *range = &counting->ranges[item];
    const int64_t base = counting->pass->audit->slices.items[range->slice].first;
    const int64_t *keys;
    int64_t rows;
    if (mh_pass_keys(counting->pass, reply, &keys, &rows, err) != 0)
        return -1;
    for (int64_t row = 0; row < rows; row++) {
        int64_t i = keys[row] - base;
        if (keys[row] >= range->first && keys[row] < range->first + range->count)
            counting->bitmap[i / 64] |= 1ULL << (i % 64);
    }
    return 0;
}

static enum mh_fan_answer ask_copies(void *context, int64_t item, struct mh_fan_slot *slot)
{
    const struct counting *counting = context;
    return ask_range(counting->pass, &counting->ranges[item], slot, true);
}

static int take_copies(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    const struct counting *counting = context;
    return mh_count_in(reply, &counting->ranges[item].copies, err);
}

/* The whole slice once more: true in *differs when count(*) and the scan still contradict each other. */
static int look_at_slice(struct counting *counting, int64_t at, bool *differs, struct mh_error *err)
{
    const struct mh_slice *slice = &counting->pass->audit->slices.items[at];
    struct mh_pass *pass = counting->pass;
    memset(counting->bitmap, 0, MH_SLICE_ROWS / 8);
    counting->ranges[0] = (struct range){.slice = at, .first = slice->first, .count = slice->count};
    counting->count = 1;
    if (mh_fan_run(pass->fan, 1, ask_keys, take_keys, counting, err) != 0 ||
        mh_fan_run(pass->fan, 1, ask_copies, take_copies, counting, err) != 0)
        return -1;
    counting->ranges[0].present = present_in(counting, slice->first, slice->count);
    pass->slice_counts[at] = counting->ranges[0].copies;
    *differs = counting->ranges[0].present != counting->ranges[0].copies;
    return 0;
}

/* The scan saw other rows than the last look did. What vanished or came since is judged by that look. */
static int rejudge(struct counting *counting, int64_t at, struct mh_error *err)
{
    struct mh_pass *pass = counting->pass;
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    if (mh_pass_load_fates(pass, at, err) != 0)
        return -1;
    pass->scanned += counting->ranges[0].present - pass->distinct[at];
    pass->distinct[at] = counting->ranges[0].present;
    for (int64_t i = 0; i < slice->count; i++) {
        struct mh_suspect row = {.id = slice->first + i,
                                 .partition = slice->partition,
                                 .insert = pass->fates.insert[i],
                                 .fate = pass->fates.fate[i]};
        const bool present = present_in(counting, row.id, 1) > 0;
        row.expected_version = mh_expected_version(row.insert, row.fate);
        row.seen_version = present ? MH_VERSION_UNKNOWN : MH_VERSION_NONE;
        if (present == (row.expected_version != MH_VERSION_NONE) || mh_audit_is_wrong(pass->audit, row.id))
            continue;
        row.kind = mh_judge_row(row.insert, row.fate, (int32_t)row.seen_version);
        if (row.kind >= 0 && !mh_pass_allows(pass, &row))
            mh_pass_condemn(pass, row.kind, &row, present ? row.partition : -1);
    }
    return 0;
}

static int condemn_range(struct mh_pass *pass, const struct range *range, struct mh_error *err)
{
    const int32_t partition = pass->audit->slices.items[range->slice].partition;
    struct mh_suspect row = {.id = range->first,
                             .partition = partition,
                             .expected_version = range->present,
                             .seen_version = range->copies};
    if (range->count != 1 || range->present != 1 || range->copies < 2) {
        mh_pass_condemn(pass, MH_MISCOUNTED, &row, partition);
        return 0;
    }
    if (mh_pass_load_fates(pass, range->slice, err) != 0)
        return -1;
    int64_t i = range->first - pass->fates.first;
    row.expected_version = mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]);
    mh_pass_condemn(pass, MH_DUPLICATED, &row, partition);
    return 0;
}

/* Halves of the ranges that differ; single ids are condemned. Returns how many ranges there are now, -1: no
 * memory. */
static int64_t halve(struct counting *counting, struct mh_error *err)
{
    int64_t differing = 0, count = 0;
    for (int64_t i = 0; i < counting->count; i++)
        if (counting->ranges[i].present != counting->ranges[i].copies)
            counting->ranges[differing++] = counting->ranges[i];
    struct range *halves = malloc((2 * (size_t)differing + 1) * sizeof *halves);
    if (!halves)
        return mh_fail(err, "out of memory");
    for (int64_t i = 0; i < differing; i++) {
        struct range range = counting->ranges[i];
        if (range.count == 1) {
            if (condemn_range(counting->pass, &range, err) != 0) {
                free(halves);
                return -1;
            }
            counting->run_down++;
            continue;
        }
        int64_t left = range.count / 2;
        halves[count++] = (struct range){.slice = range.slice,
                                         .first = range.first,
                                         .count = left,
                                         .whole = range.copies,
                                         .present = present_in(counting, range.first, left)};
        halves[count++] =
            (struct range){.slice = range.slice,
                           .first = range.first + left,
                           .count = range.count - left,
                           .present = present_in(counting, range.first + left, range.count - left)};
    }
    free(counting->ranges);
    counting->ranges = halves;
    return count;
}

/* Halves that do not add up to their whole are counted wrong: no reason to look for copies in them. With
 * writes in doubt one may have landed in between. */
static int condemn_contradictions(struct counting *counting, struct mh_error *err)
{
    for (int64_t i = 0; i + 1 < counting->count && counting->pass->audit->in_doubt == 0; i += 2) {
        struct range *left = &counting->ranges[i], *right = left + 1, both = *left;
        if (left->copies + right->copies == left->whole)
            continue;
        both.count += right->count;
        both.present += right->present;
        both.copies = left->whole;
        left->copies = left->present;
        right->copies = right->present;
        counting->run_down++;
        if (condemn_range(counting->pass, &both, err) != 0)
            return -1;
    }
    return 0;
}

static int run_down(struct counting *counting, struct mh_error *err)
{
    const struct range whole = counting->ranges[0];
    while ((counting->count = halve(counting, err)) > 0)
        if (mh_fan_run(counting->pass->fan, counting->count, ask_copies, take_copies, counting, err) != 0 ||
            condemn_contradictions(counting, err) != 0)
            return -1;
    if (counting->count < 0)
        return -1;
    /* the halves add up, the whole does not: count(*) is wrong */
    return counting->run_down == 0 ? condemn_range(counting->pass, &whole, err) : 0;
}

/* A write in doubt may still have landed between scan and count: the slice gets until the end of verify.grace
 * to agree with itself. */
static int settle_slice(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    struct counting counting = {
        .pass = pass, .ranges = calloc(1, sizeof *counting.ranges), .bitmap = calloc(1, MH_SLICE_ROWS / 8)};
    const int64_t deadline = mh_now_ns() + pass->audit->job->verify.grace_ns;
    bool differs = true;
    int rc = counting.ranges && counting.bitmap ? 0 : mh_fail(err, "out of memory");
    for (bool first = true; rc == 0 && differs && (first || mh_now_ns() < deadline); first = false) {
        rc = look_at_slice(&counting, at, &differs, err);
        if (rc == 0 && differs && pass->audit->figures.wrong[MH_DUPLICATED] > 0)
            break; /* duplicates do not go away: no need to wait for each slice's */
        if (rc == 0 && differs)
            mh_sleep_ns(500 * MH_MS);
        if (pass->audit->stop && pass->audit->stop())
            rc = mh_fail(err, "stopped by a signal");
    }
    if (rc == 0)
        rc = rejudge(&counting, at, err);
    if (rc == 0 && differs)
        rc = run_down(&counting, err);
    free(counting.ranges);
    free(counting.bitmap);
    return rc;
}

int mh_pass_count(struct mh_pass *pass, struct mh_error *err)
{
    if (mh_fan_run(pass->fan, pass->audit->slices.count, ask_slice, take_slice, pass, err) != 0)
        return -1;
    for (int64_t at = 0; at < pass->audit->slices.count; at++) {
        if (pass->slice_counts[at] != pass->distinct[at] && settle_slice(pass, at, err) != 0)
            return -1;
        pass->counted[pass->audit->slices.items[at].partition] += pass->slice_counts[at];
    }
    return 0;
}
