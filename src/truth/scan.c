/* A pass over this rank's slices: rows by key, then the vectors' sample, then those that looked wrong once
 * more. */
#include "truth/scan.h"

#include "base/clock.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS_A_QUESTION = 256,
    EXPRESSION_ROOM = 256,
    VECTOR_BYTES_A_REPLY = 4 << 20,
    LOOK_AGAIN_MS = 500,
    SAMPLE_STREAM = 0x73616d70,
};

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
    mh_fates_free(&pass->fates);
}

/* ---- what a row read back is ---- */

static bool scalars_match(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                          int64_t id, int64_t version)
{
    for (size_t f = 0; f < content->field_count; f++) {
        if ((int)f == content->key_field || (int)f == content->vector_field)
            continue;
        const struct mh_column *column = mh_reply_column(reply, content->fields[f].name);
        if (!column || !mh_content_matches(content, f, column, row, id, version))
            return false;
    }
    return true;
}

/* Which version the scalars are; the expected one is tried first, and the only one tried when all is well. */
static int32_t version_seen(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                            int64_t id, int32_t expected)
{
    int32_t likely = expected >= 0 ? expected : 0;
    if (scalars_match(content, reply, row, id, likely))
        return likely;
    for (int32_t version = likely + 2; version-- > 0;)
        if (version != likely && scalars_match(content, reply, row, id, version))
            return version;
    return MH_VERSION_UNKNOWN;
}

/* Some servers leave out every column of an empty reply. */
static int keys_of(const struct mh_pass *pass, const struct mh_reply *reply, const int64_t **ids,
                   int64_t *rows, struct mh_error *err)
{
    const char *name = mh_content_key_name(pass->audit->content);
    const struct mh_column *keys = mh_reply_column(reply, name);
    *ids = keys ? keys->values : NULL;
    *rows = keys ? keys->rows : 0;
    if (keys ? keys->type == MH_FIELD_INT64 || keys->rows == 0 : reply->column_count == 0)
        return 0;
    return mh_fail(err, "a query's reply lacks the key column %s", name);
}

static int load_fates(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    if (pass->loaded == at)
        return 0;
    pass->loaded = at;
    return mh_slices_fates(&pass->audit->slices, at, &pass->fates, err);
}

static int64_t since_start(const struct mh_pass *pass)
{
    return mh_now_ns() - pass->audit->start_ns;
}

static void condemn(struct mh_pass *pass, int kind, const struct mh_suspect *suspect, int32_t seen_partition)
{
    int64_t now = since_start(pass);
    struct mh_violation violation = {.kind = kind,
                                     .expected_version = suspect->expected_version,
                                     .seen_version = suspect->seen_version,
                                     .partition = suspect->partition,
                                     .seen_partition = seen_partition,
                                     .worker = -1,
                                     .rank = -1,
                                     .kind_of_write = -1,
                                     .id = suspect->id,
                                     .first_seen_ns = now,
                                     .last_seen_ns = now,
                                     .first_pass = pass->number,
                                     .last_pass = pass->number};
    mh_audit_condemn(pass->audit, &violation);
}

static int suspect(struct mh_pass *pass, const struct mh_suspect *suspect, struct mh_error *err)
{
    if (pass->suspect_count == pass->suspect_room) {
        int64_t room = pass->suspect_room ? 2 * pass->suspect_room : 64;
        struct mh_suspect *grown = realloc(pass->suspects, (size_t)room * sizeof *grown);
        if (!grown)
            return mh_fail(err, "out of memory for %" PRId64 " suspects", room);
        pass->suspects = grown;
        pass->suspect_room = room;
    }
    pass->suspects[pass->suspect_count++] = *suspect;
    return 0;
}

/* ---- rows ---- */

static bool absent_by_partition(const struct mh_pass *pass, int32_t partition)
{
    return pass->collection_gone || pass->partition_gone[partition];
}

static void count_row(struct mh_pass *pass, enum mh_insert_fate insert, uint16_t fate, int32_t seen)
{
    const int32_t expected = mh_expected_version(insert, fate);
    const bool present = seen != MH_VERSION_NONE;
    const bool maybe = insert == MH_INSERT_UNKNOWN || fate & MH_FATE_DELETE_UNKNOWN;
    pass->scanned += present;
    pass->deletes_hit_live += insert == MH_INSERT_ACKED && fate & MH_FATE_DELETED;
    pass->upserts_hit_live += insert == MH_INSERT_ACKED && fate & MH_FATE_VERSION;
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
                                 .seen_version = pass->seen[i]};
        if (kind >= 0 && suspect(pass, &row, err) != 0)
            return -1;
    }
    return 0;
}

static int begin_slice(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    for (int64_t i = 0; i < MH_SLICE_ROWS; i++)
        pass->seen[i] = MH_VERSION_NONE;
    return load_fates(pass, at, err);
}

static void set_query(const struct mh_pass *pass, struct mh_fan_slot *slot, int32_t partition)
{
    slot->op.request = (struct mh_request){.kind = MH_OP_QUERY,
                                           .collection = pass->audit->job->collection.name,
                                           .partition = partition >= 0 ? pass->partitions[partition] : NULL,
                                           .expression = slot->text,
                                           .output_fields = pass->output_fields,
                                           .output_count = pass->output_count,
                                           .consistency = MH_STRONG};
}

static enum mh_fan_answer ask_rows(void *context, int64_t at, struct mh_fan_slot *slot)
{
    const struct mh_pass *pass = context;
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    const char *key = mh_content_key_name(pass->audit->content);
    size_t room = EXPRESSION_ROOM + 2 * strlen(key);
    if (absent_by_partition(pass, slice->partition))
        return MH_FAN_SKIP;
    if (!mh_fan_text(slot, room))
        return MH_FAN_NO_MEMORY;
    snprintf(slot->text, room, "%s >= %" PRId64 " and %s < %" PRId64, key, slice->first, key,
             slice->first + slice->count);
    set_query(pass, slot, slice->partition);
    return MH_FAN_ASK;
}

static void condemn_in_reply(struct mh_pass *pass, int kind, int64_t id, int32_t partition)
{
    struct mh_suspect row = {.id = id, .partition = partition, .expected_version = 1, .seen_version = 2};
    condemn(pass, kind, &row, partition);
}

static int take_rows(void *context, int64_t at, const struct mh_reply *reply, struct mh_error *err)
{
    struct mh_pass *pass = context;
    const struct mh_slice *slice = &pass->audit->slices.items[at];
    const int64_t *keys;
    int64_t rows;
    if (keys_of(pass, reply, &keys, &rows, err) != 0 || begin_slice(pass, at, err) != 0)
        return -1;
    for (int64_t row = 0; row < rows; row++) {
        int64_t i = keys[row] - slice->first;
        if (i < 0 || i >= slice->count) {
            condemn_in_reply(pass, MH_UNEXPECTED, keys[row], slice->partition); /* not what was asked for */
            continue;
        }
        if (pass->seen[i] != MH_VERSION_NONE)
            condemn_in_reply(pass, MH_DUPLICATED, keys[row], slice->partition);
        pass->seen[i] = version_seen(pass->audit->content, reply, row, keys[row],
                                     mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]));
        pass->audit->figures.rows_compared++;
    }
    return judge_slice(pass, at, err);
}

/* Slices that are not asked for because their partition is gone: every row of theirs is absent. */
static int judge_gone(struct mh_pass *pass, struct mh_error *err)
{
    for (int64_t at = 0; at < pass->audit->slices.count; at++) {
        if (!absent_by_partition(pass, pass->audit->slices.items[at].partition))
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

/* ---- by key ---- */

struct look { /* at some rows again */
    struct mh_pass *pass;
    int32_t partition;  /* to look in; -1: everywhere */
    const int64_t *ids; /* sorted */
    int64_t count;
    int32_t *seen; /* out: version, by position in ids */
    const int32_t *expected;
};

static int64_t position_of(const int64_t *ids, int64_t count, int64_t id)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ids[low] == id ? low : -1;
}

static void group_of(const struct look *look, int64_t item, int64_t *from, int64_t *to)
{
    *from = item * KEYS_A_QUESTION;
    *to = *from + KEYS_A_QUESTION < look->count ? *from + KEYS_A_QUESTION : look->count;
}

static char *put_keys(char *end, const int64_t *ids, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        end += sprintf(end, i > from ? ",%" PRId64 : "%" PRId64, ids[i]);
    return end;
}

static bool write_key_list(const struct mh_pass *pass, struct mh_fan_slot *slot, const int64_t *ids,
                           int64_t from, int64_t to)
{
    const char *key = mh_content_key_name(pass->audit->content);
    size_t room = EXPRESSION_ROOM + strlen(key) + 21 * (size_t)(to - from);
    if (!mh_fan_text(slot, room))
        return false;
    char *end = slot->text + sprintf(slot->text, "%s in [", key);
    end = put_keys(end, ids, from, to);
    memcpy(end, "]", 2);
    return true;
}

static enum mh_fan_answer ask_again(void *context, int64_t item, struct mh_fan_slot *slot)
{
    const struct look *look = context;
    int64_t from, to;
    group_of(look, item, &from, &to);
    if (look->partition >= 0 && look->pass->partition_gone[look->partition])
        return MH_FAN_SKIP;
    if (!write_key_list(look->pass, slot, look->ids, from, to))
        return MH_FAN_NO_MEMORY;
    set_query(look->pass, slot, look->partition);
    return MH_FAN_ASK;
}

static int take_again(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    const struct look *look = context;
    const int64_t *keys;
    int64_t rows;
    (void)item;
    if (keys_of(look->pass, reply, &keys, &rows, err) != 0)
        return -1;
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = position_of(look->ids, look->count, keys[row]);
        if (at >= 0)
            look->seen[at] =
                version_seen(look->pass->audit->content, reply, row, keys[row], look->expected[at]);
    }
    return 0;
}

/* Sets look->seen for every id. */
static int look_again(struct look *look, struct mh_error *err)
{
    for (int64_t i = 0; i < look->count; i++)
        look->seen[i] = MH_VERSION_NONE;
    if (look->pass->collection_gone)
        return 0;
    return mh_fan_run(look->pass->fan, (look->count + KEYS_A_QUESTION - 1) / KEYS_A_QUESTION, ask_again,
                      take_again, look, err);
}

/* ---- settling ---- */

static int by_home_and_id(const void *a, const void *b)
{
    const struct mh_suspect *x = a, *y = b;
    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

struct table { /* of suspects, as struct look wants them */
    int64_t *ids;
    int32_t *seen, *expected;
};

static int make_table(struct table *table, int64_t count, struct mh_error *err)
{
    table->ids = calloc((size_t)count + 1, sizeof *table->ids);
    table->seen = calloc(2 * (size_t)count + 2, sizeof *table->seen);
    if (!table->ids || !table->seen) {
        free(table->ids);
        free(table->seen);
        return mh_fail(err, "out of memory for %" PRId64 " suspects", count);
    }
    table->expected = table->seen + count + 1;
    return 0;
}

static void free_table(struct table *table)
{
    free(table->ids);
    free(table->seen);
}

/* Suspects [from, to), all of one home and unsettled: what the server says of them in `partition` (-1:
 * everywhere). */
static int look_at(struct mh_pass *pass, int64_t from, int64_t to, int32_t partition, struct table *table,
                   struct mh_error *err)
{
    for (int64_t i = from; i < to; i++) {
        table->ids[i - from] = pass->suspects[i].id;
        table->expected[i - from] = pass->suspects[i].expected_version;
    }
    struct look look = {.pass = pass,
                        .partition = partition,
                        .ids = table->ids,
                        .count = to - from,
                        .seen = table->seen,
                        .expected = table->expected};
    return look_again(&look, err);
}

static int64_t end_of_home(const struct mh_pass *pass, int64_t from)
{
    int64_t to = from;
    while (to < pass->suspect_count && pass->suspects[to].partition == pass->suspects[from].partition)
        to++;
    return to;
}

/* One more look at every suspect: those that are right now leave the list, as late ones. */
static int look_at_suspects(struct mh_pass *pass, struct table *table, struct mh_error *err)
{
    int64_t kept = 0;
    for (int64_t from = 0, to; from < pass->suspect_count; from = to) {
        to = end_of_home(pass, from);
        if (look_at(pass, from, to, pass->suspects[from].partition, table, err) != 0)
            return -1;
        for (int64_t i = from; i < to; i++) {
            struct mh_suspect row = pass->suspects[i];
            row.seen_version = table->seen[i - from];
            int kind = mh_judge_row(row.insert, row.fate, row.seen_version);
            if (kind < 0) {
                condemn(pass, MH_LATE, &pass->suspects[i], row.partition);
                continue;
            }
            row.kind = kind;
            pass->suspects[kept++] = row;
        }
    }
    pass->suspect_count = kept;
    return 0;
}

static bool all_condemned(const struct mh_pass *pass)
{
    for (int64_t i = 0; i < pass->suspect_count; i++) {
        const struct mh_suspect *row = &pass->suspects[i];
        if (!mh_audit_condemned(pass->audit, row->kind, row->id) &&
            !(row->kind == MH_LOST && mh_audit_condemned(pass->audit, MH_MISPLACED, row->id)))
            return false;
    }
    return true;
}

/* Absent rows of one home may stand in another partition: found everywhere, then looked for in each. */
static int find_misplaced(struct mh_pass *pass, int64_t from, int64_t to, struct table *table,
                          struct mh_error *err)
{
    if (look_at(pass, from, to, -1, table, err) != 0)
        return -1;
    int64_t found = 0;
    for (int64_t i = from; i < to; i++) {
        pass->suspects[i].settled =
            pass->suspects[i].kind == MH_LOST && table->seen[i - from] != MH_VERSION_NONE;
        found += pass->suspects[i].settled;
    }
    for (int32_t p = 0; p < pass->partition_count && found > 0; p++) {
        if (p == pass->suspects[from].partition)
            continue;
        if (look_at(pass, from, to, p, table, err) != 0)
            return -1;
        for (int64_t i = from; i < to; i++)
            if (pass->suspects[i].settled && table->seen[i - from] != MH_VERSION_NONE) {
                pass->suspects[i].seen_version = table->seen[i - from];
                condemn(pass, MH_MISPLACED, &pass->suspects[i], p);
            }
    }
    return 0;
}

static bool allowed(const struct mh_pass *pass, const struct mh_suspect *row)
{
    return pass->audit->job->verify.allow & MH_ALLOW_UPSERT_NOT_ATOMIC && row->kind == MH_LOST &&
           row->fate & MH_FATE_UPSERT_UNKNOWN;
}

static int condemn_rest(struct mh_pass *pass, struct table *table, struct mh_error *err)
{
    for (int64_t from = 0, to; from < pass->suspect_count; from = to) {
        to = end_of_home(pass, from);
        if (!pass->collection_gone && find_misplaced(pass, from, to, table, err) != 0)
            return -1;
    }
    for (int64_t i = 0; i < pass->suspect_count; i++) {
        const struct mh_suspect *row = &pass->suspects[i];
        if (allowed(pass, row))
            pass->audit->figures.allowed++;
        else if (!row->settled)
            condemn(pass, row->kind, row, row->kind == MH_LOST ? -1 : row->partition);
    }
    return 0;
}

static bool pause_for(struct mh_pass *pass, int64_t ns)
{
    for (int64_t until = mh_now_ns() + ns; mh_now_ns() < until; mh_sleep_ns(20 * MH_MS))
        if (pass->audit->stop && pass->audit->stop())
            return false;
    return true;
}

int mh_pass_settle(struct mh_pass *pass, struct mh_error *err)
{
    struct table table;
    const int64_t deadline = mh_now_ns() + pass->audit->job->verify.grace_ns;
    if (pass->suspect_count == 0)
        return 0;
    if (make_table(&table, pass->suspect_count, err) != 0)
        return -1;
    qsort(pass->suspects, (size_t)pass->suspect_count, sizeof *pass->suspects, by_home_and_id);
    int rc = look_at_suspects(pass, &table, err);
    while (rc == 0 && pass->suspect_count > 0 && mh_now_ns() < deadline && !all_condemned(pass) &&
           !pass->collection_gone) {
        rc = pause_for(pass, LOOK_AGAIN_MS * MH_MS) ? 0 : mh_fail(err, "stopped by a signal");
        if (rc == 0)
            rc = look_at_suspects(pass, &table, err);
    }
    if (rc == 0)
        rc = condemn_rest(pass, &table, err);
    free_table(&table);
    return rc;
}

/* ---- strays: rows found where none of theirs belong ---- */

static void judge_stray(struct mh_pass *pass, int64_t id, int32_t seen_at_home, int32_t home, int32_t seen_in)
{
    int64_t i = id - pass->fates.first;
    struct mh_suspect row = {.id = id,
                             .partition = home,
                             .insert = pass->fates.insert[i],
                             .fate = pass->fates.fate[i],
                             .seen_version = MH_VERSION_UNKNOWN};
    row.expected_version = mh_expected_version(row.insert, row.fate);
    int kind = MH_MISPLACED;
    if (row.expected_version == MH_VERSION_NONE)
        kind = row.fate & MH_FATE_DELETED ? MH_RESURRECTED : MH_UNEXPECTED;
    else if (seen_at_home != MH_VERSION_NONE)
        kind = MH_DUPLICATED;
    condemn(pass, kind, &row, seen_in);
}

int mh_pass_strays(struct mh_pass *pass, const int64_t *ids, int64_t count, int32_t seen_in,
                   struct mh_error *err)
{
    for (int64_t n = 0; n < count; n++) {
        int64_t at = mh_slices_find(&pass->audit->slices, ids[n]);
        if (at < 0) { /* no worker's id */
            struct mh_suspect row = {.id = ids[n],
                                     .partition = -1,
                                     .expected_version = MH_VERSION_NONE,
                                     .seen_version = MH_VERSION_UNKNOWN};
            condemn(pass, MH_UNEXPECTED, &row, seen_in);
            continue;
        }
        int32_t home = pass->audit->slices.items[at].partition, seen, expected = 0;
        struct look look = {.pass = pass,
                            .partition = home,
                            .ids = &ids[n],
                            .count = 1,
                            .seen = &seen,
                            .expected = &expected};
        if (load_fates(pass, at, err) != 0 || look_again(&look, err) != 0)
            return -1;
        judge_stray(pass, ids[n], seen, home, seen_in);
    }
    return 0;
}

/* ---- vectors ---- */

static int sample_slice(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    const struct mh_audit *audit = pass->audit;
    const struct mh_slice *slice = &audit->slices.items[at];
    const double share = audit->job->verify.vectors;
    if (absent_by_partition(pass, slice->partition))
        return 0;
    if (load_fates(pass, at, err) != 0)
        return -1;
    for (int64_t i = 0; i < slice->count; i++) {
        struct mh_random draw = {
            .seed = audit->seed, .stream = SAMPLE_STREAM, .counter = (uint64_t)(slice->first + i)};
        uint16_t fate = pass->fates.fate[i];
        if (mh_expected_version(pass->fates.insert[i], fate) == MH_VERSION_NONE ||
            fate & MH_FATE_UPSERT_UNKNOWN || mh_random_unit(&draw) >= share)
            continue;
        if (pass->id_count == pass->id_room) {
            int64_t room = pass->id_room ? 2 * pass->id_room : 1024;
            int64_t *grown = realloc(pass->ids, (size_t)room * sizeof *grown);
            if (!grown)
                return mh_fail(err, "out of memory for the sample of vectors");
            pass->ids = grown;
            pass->id_room = room;
        }
        pass->ids[pass->id_count++] = slice->first + i;
    }
    return 0;
}

static int64_t vectors_a_question(const struct mh_pass *pass)
{
    int64_t row_bytes = pass->audit->content->dataset->shape.dim * (int64_t)sizeof(float);
    int64_t rows = VECTOR_BYTES_A_REPLY / row_bytes;
    return rows < 1 ? 1 : rows > KEYS_A_QUESTION * 4 ? KEYS_A_QUESTION * 4 : rows;
}

static enum mh_fan_answer ask_vectors(void *context, int64_t item, struct mh_fan_slot *slot)
{
    static const char *vector_field[1];
    const struct mh_pass *pass = context;
    int64_t group = vectors_a_question(pass), from = item * group;
    int64_t to = from + group < pass->id_count ? from + group : pass->id_count;
    if (!write_key_list(pass, slot, pass->ids, from, to))
        return MH_FAN_NO_MEMORY;
    vector_field[0] = mh_content_vector_name(pass->audit->content);
    set_query(pass, slot, -1);
    slot->op.request.output_fields = vector_field;
    slot->op.request.output_count = 1;
    return MH_FAN_ASK;
}

static int judge_vector(struct mh_pass *pass, const struct mh_column *vectors, int64_t row, int64_t id,
                        struct mh_error *err)
{
    const struct mh_content *content = pass->audit->content;
    int64_t at = mh_slices_find(&pass->audit->slices, id);
    if (at < 0 || load_fates(pass, at, err) != 0)
        return at < 0 ? 0 : -1;
    int64_t i = id - pass->fates.first;
    int32_t expected = mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]),
            seen = MH_VERSION_UNKNOWN;
    for (int32_t version = expected; version >= 0 && seen == MH_VERSION_UNKNOWN; version--)
        if (mh_content_matches(content, (size_t)content->vector_field, vectors, row, id, version))
            seen = version;
    struct mh_suspect found = {.id = id,
                               .partition = pass->audit->slices.items[at].partition,
                               .expected_version = expected,
                               .seen_version = seen};
    pass->audit->figures.vectors_compared++;
    if (seen != expected)
        condemn(pass, seen == MH_VERSION_UNKNOWN ? MH_CORRUPTED : MH_STALE, &found, found.partition);
    return 0;
}

static int take_vectors(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    struct mh_pass *pass = context;
    const struct mh_column *vectors = mh_reply_column(reply, mh_content_vector_name(pass->audit->content));
    const int64_t *keys;
    int64_t rows;
    (void)item;
    if (keys_of(pass, reply, &keys, &rows, err) != 0)
        return -1;
    if (rows > 0 && !vectors)
        return mh_fail(err, "a query's reply lacks the vector column");
    for (int64_t row = 0; row < rows; row++)
        if (judge_vector(pass, vectors, row, keys[row], err) != 0)
            return -1;
    return 0;
}

int mh_pass_vectors(struct mh_pass *pass, struct mh_error *err)
{
    if (pass->audit->job->verify.vectors <= 0 || pass->collection_gone)
        return 0;
    pass->id_count = 0;
    for (int64_t at = 0; at < pass->audit->slices.count; at++)
        if (sample_slice(pass, at, err) != 0)
            return -1;
    int64_t group = vectors_a_question(pass);
    return mh_fan_run(pass->fan, (pass->id_count + group - 1) / group, ask_vectors, take_vectors, pass, err);
}
