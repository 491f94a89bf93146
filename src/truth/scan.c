/* A pass over this rank's slices: every row by key. */
#include "truth/scan.h"
#include "base/grow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

int mh_pass_open(struct mh_pass *pass, struct mh_error *err)
{
    const struct mh_content *content = pass->audit->content;
    size_t slices = (size_t)pass->audit->slices.count + 1;
    pass->counted = calloc((size_t)pass->partition_count + 1, sizeof *pass->counted);
    pass->distinct = calloc(slices, sizeof *pass->distinct);
    pass->slice_counts = calloc(slices, sizeof *pass->slice_counts);
    pass->seen = calloc(MH_SLICE_ROWS, sizeof *pass->seen);
    pass->output_fields = calloc(content->field_count, sizeof *pass->output_fields);
    if (!pass->counted || !pass->distinct || !pass->slice_counts || !pass->seen || !pass->output_fields ||
        mh_fates_init(&pass->fates, MH_SLICE_ROWS) != 0)
        return mh_fail(err, "out of memory for an audit pass");
    pass->loaded = -1;
    pass->audit->figures.allowed = 0; /* of the last pass */
    pass->output_fields[pass->output_count++] = mh_content_key_name(content);
    for (size_t i = 0; i < content->field_count; i++)
        if ((int)i != content->vector_field && (int)i != content->key_field)
            pass->output_fields[pass->output_count++] = content->fields[i].name;
    return 0;
}

void mh_pass_close(struct mh_pass *pass)
{
    free(pass->counted);
    free(pass->distinct);
    free(pass->slice_counts);
    free(pass->seen);
    free(pass->output_fields);
    free(pass->suspects);
    free(pass->ids);
    free(pass->questions);
    mh_fates_free(&pass->fates);
}

static int suspect(struct mh_pass *pass, const struct mh_suspect *suspect, struct mh_error *err)
{
    if (!mh_grow(&pass->suspects, &pass->suspect_room, pass->suspect_count, sizeof *pass->suspects))
        return mh_fail(err, "out of memory for %" PRId64 " suspects", pass->suspect_count + 1);
    pass->suspects[pass->suspect_count++] = *suspect;
    return 0;
}

/* ---- rows ---- */

static void count_row(struct mh_pass *pass, enum mh_insert_fate insert, uint16_t fate, int32_t seen)
{
    const int32_t expected = mh_expected_version(insert, fate);
    const bool present = seen != MH_VERSION_NONE;
    const bool half_upsert =
        pass->audit->job->verify.allow & MH_ALLOW_UPSERT_NOT_ATOMIC && fate & MH_FATE_UPSERT_UNKNOWN;
    const bool maybe = insert == MH_INSERT_UNKNOWN || fate & MH_FATE_DELETE_UNKNOWN || half_upsert;
    pass->scanned += present;
    pass->deletes_hit_live += insert == MH_INSERT_ACKED && fate & MH_FATE_DELETED;
    pass->upserts_hit_live += insert == MH_INSERT_ACKED ? fate & MH_FATE_VERSION : 0;
    if (expected == MH_VERSION_NONE)
        return;
    pass->expected_live += !maybe;
    pass->expected_maybe += maybe;
    bool took_effect = fate & MH_FATE_DELETE_UNKNOWN   ? !present
                       : fate & MH_FATE_UPSERT_UNKNOWN ? seen == expected + 1
                                                       : present;
    if (maybe || fate & MH_FATE_UPSERT_UNKNOWN)
        *(took_effect ? &pass->unknown_present : &pass->unknown_absent) += 1;
}

static int judge_slice(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    for (int64_t i = 0; i < slice->count; i++) {
        enum mh_insert_fate insert = pass->fates.insert[i];
        uint16_t fate = pass->fates.fate[i];
        count_row(pass, insert, fate, pass->seen[i]);
        pass->distinct[at] += pass->seen[i] != MH_VERSION_NONE;
        int kind = mh_judge_row(insert, fate, pass->seen[i]);
        struct mh_suspect row = {.id = slice->first + i,
                                 .kind = kind,
                                 .partition = slice->partition,
                                 .fate = fate,
                                 .insert = insert,
                                 .expected_version = mh_expected_version(insert, fate),
                                 .seen_version = pass->seen[i],
                                 .scanned = pass->seen[i] != MH_VERSION_NONE};
        if (kind >= 0 && suspect(pass, &row, err) != 0)
            return -1;
    }
    return 0;
}

static int begin_slice(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    for (int64_t i = 0; i < MH_SLICE_ROWS; i++)
        pass->seen[i] = MH_VERSION_NONE;
    return mh_pass_load_fates(pass, at, err);
}

static enum mh_fan_answer ask_rows(void *context, int64_t at, struct mh_fan_slot *slot)
{
    const struct mh_pass *pass = context;
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    if (mh_pass_absent(pass, slice->partition))
        return MH_FAN_SKIP;
    if (!mh_pass_write_range(pass, slot, slice->first, slice->first + slice->count))
        return MH_FAN_NO_MEMORY;
    mh_pass_set_query(pass, slot, slice->partition);
    return MH_FAN_ASK;
}

static void condemn_in_reply(struct mh_pass *pass, int kind, int64_t id, int32_t partition)
{
    int64_t i = id - pass->fates.first;
    struct mh_suspect row = {
        .id = id, .partition = partition, .expected_version = MH_VERSION_NONE, .seen_version = 2};
    if (kind == MH_DUPLICATED)
        row.expected_version = mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]);
    else
        row.seen_version = MH_VERSION_UNKNOWN;
    mh_pass_condemn(pass, kind, &row, partition);
}

static int take_rows(void *context, int64_t at, const struct mh_reply *reply, struct mh_error *err)
{
    struct mh_pass *pass = context;
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    const int64_t *keys;
    int64_t rows;
    if (mh_pass_keys(pass, reply, &keys, &rows, err) != 0 || begin_slice(pass, at, err) != 0)
        return -1;
    for (int64_t row = 0; row < rows; row++) {
        int64_t i = keys[row] - slice->first;
        if (i < 0 || i >= slice->count) {
            condemn_in_reply(pass, MH_UNEXPECTED, keys[row], slice->partition); /* not what was asked for */
            continue;
        }
        if (pass->seen[i] != MH_VERSION_NONE)
            condemn_in_reply(pass, MH_DUPLICATED, keys[row], slice->partition);
        pass->seen[i] = mh_pass_version_seen(pass->audit->content, reply, row, keys[row],
                                             mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]));
        pass->audit->figures.rows_compared++;
    }
    return judge_slice(pass, at, err);
}

/* Slices that are not asked for because their partition is gone: every row of theirs is absent. */
static int judge_gone(struct mh_pass *pass, struct mh_error *err)
{
    for (int64_t at = 0; at < pass->audit->slices.count; at++) {
        if (!mh_pass_absent(pass, pass->audit->slices.items[at].partition))
            continue;
        if (begin_slice(pass, at, err) != 0 || judge_slice(pass, at, err) != 0)
            return -1;
    }
    return 0;
}

int mh_pass_scan(struct mh_pass *pass, struct mh_error *err)
{
    if (mh_fan_run(pass->fan, pass->audit->slices.count, ask_rows, take_rows, pass, err) != 0)
        return -1;
    return judge_gone(pass, err);
}
