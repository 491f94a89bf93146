/* Rows that looked wrong get until the end of verify.grace to look right; then they are condemned. */
#include "base/alive.h"
#include "base/clock.h"
#include "truth/scan.h"

#include <inttypes.h>
#include <stdlib.h>

enum { KEYS_A_QUESTION = 256, LOOK_AGAIN_MS = 500 };

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

static enum mh_fan_answer ask_again(void *context, int64_t item, struct mh_fan_slot *slot)
{
    const struct look *look = context;
    int64_t from, to;
    group_of(look, item, &from, &to);
    if (look->partition >= 0 && look->pass->partition_gone[look->partition])
        return MH_FAN_SKIP;
    if (!mh_pass_write_keys(look->pass, slot, look->ids, from, to))
        return MH_FAN_NO_MEMORY;
    mh_pass_set_query(look->pass, slot, look->partition);
    return MH_FAN_ASK;
}

static int take_again(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    const struct look *look = context;
    const int64_t *keys;
    int64_t rows;
    (void)item;
    if (mh_pass_keys(look->pass, reply, &keys, &rows, err) != 0)
        return -1;
    for (int64_t row = 0; row < rows; row++) {
        int64_t at = position_of(look->ids, look->count, keys[row]);
        if (at >= 0)
            look->seen[at] =
                mh_pass_version_seen(look->pass->audit->content, reply, row, keys[row], look->expected[at]);
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

/* It looks right now. An absent row that appears was late. */
static void settle_right(struct mh_pass *pass, const struct mh_suspect *row)
{
    if (row->kind != MH_LOST)
        return;
    if (!row->scanned) {
        pass->distinct[mh_slices_find(&pass->audit->slices, row->id)]++;
        pass->scanned++;
    }
    mh_pass_condemn(pass, MH_LATE, row, row->partition);
}

/* Only absence can be put right. Any other wrong answer to a read at Strong was wrong, whatever the next one
 * says; nor does a write in doubt that lands meanwhile explain it: the row is right with it and without. */
static void condemn_shown(struct mh_pass *pass, const struct mh_suspect *row)
{
    if (row->kind != MH_LOST)
        mh_pass_condemn(pass, row->kind, row, row->partition);
}

/* One more look at every suspect: those that are right now leave the list. */
static int look_at_suspects(struct mh_pass *pass, struct table *table, struct mh_error *err)
{
    int64_t kept = 0;
    for (int64_t from = 0, to; from < pass->suspect_count; from = to) {
        to = end_of_home(pass, from);
        if (look_at(pass, from, to, pass->suspects[from].partition, table, err) != 0)
            return -1;
        for (int64_t i = from; i < to; i++) {
            struct mh_suspect row = pass->suspects[i];
            condemn_shown(pass, &row);
            row.seen_version = table->seen[i - from];
            int kind = mh_judge_row(row.insert, row.fate, row.seen_version);
            if (kind < 0) {
                settle_right(pass, &pass->suspects[i]);
                continue;
            }
            row.kind = kind;
            pass->suspects[kept++] = row;
        }
    }
    pass->suspect_count = kept;
    return 0;
}

/* A row whose partition is gone has had its grace with that. */
static bool all_condemned_or_gone(const struct mh_pass *pass)
{
    for (int64_t i = 0; i < pass->suspect_count; i++) {
        const struct mh_suspect *row = &pass->suspects[i];
        if (!mh_pass_absent(pass, row->partition) && !mh_audit_condemned(pass->audit, row->kind, row->id) &&
            !(row->kind == MH_LOST && mh_audit_condemned(pass->audit, MH_MISPLACED, row->id)))
            return false;
    }
    return true;
}

/* ---- absent at home, and perhaps elsewhere ---- */

static int64_t list_sought(const struct mh_pass *pass, int64_t from, int64_t to, struct table *table)
{
    int64_t count = 0;
    for (int64_t i = from; i < to; i++)
        if (pass->suspects[i].elsewhere != MH_VERSION_NONE) {
            table->ids[count] = pass->suspects[i].id;
            table->expected[count++] = pass->suspects[i].expected_version;
        }
    return count;
}

static void condemn_misplaced(struct mh_pass *pass, struct mh_suspect *row, int32_t partition, int32_t seen)
{
    row->seen_version = seen;
    row->elsewhere = MH_VERSION_NONE;
    mh_pass_condemn(pass, MH_MISPLACED, row, partition);
}

/* At home by now, it came after its grace: lost it stays. */
static void learn_place(struct mh_pass *pass, struct mh_suspect *row, int32_t partition, int32_t seen)
{
    if (partition < 0)
        row->elsewhere = seen;
    else if (seen != MH_VERSION_NONE && partition == row->partition)
        row->elsewhere = MH_VERSION_NONE;
    else if (seen != MH_VERSION_NONE)
        condemn_misplaced(pass, row, partition, seen);
}

/* Suspects [from, to), all of one home, as far as they are sought: in `partition` (-1: everywhere). *left:
 * those of which nobody knows yet where they are. */
static int look_for(struct mh_pass *pass, int64_t from, int64_t to, int32_t partition, struct table *table,
                    int64_t *left, struct mh_error *err)
{
    struct look look = {.pass = pass,
                        .partition = partition,
                        .ids = table->ids,
                        .count = list_sought(pass, from, to, table),
                        .seen = table->seen,
                        .expected = table->expected};
    if (look_again(&look, err) != 0)
        return -1;
    *left = 0;
    for (int64_t i = from, at = 0; i < to; i++) {
        struct mh_suspect *row = &pass->suspects[i];
        if (row->elsewhere == MH_VERSION_NONE)
            continue;
        learn_place(pass, row, partition, table->seen[at++]);
        *left += row->elsewhere != MH_VERSION_NONE;
    }
    return 0;
}

/* What is shown when all partitions are asked together, and by none that was asked alone, is in a place that
 * has no name; it is not lost. */
static void settle_sought(struct mh_pass *pass, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        struct mh_suspect *row = &pass->suspects[i];
        if (row->elsewhere != MH_VERSION_NONE)
            condemn_misplaced(pass, row, -1, row->elsewhere);
        row->settled = mh_audit_condemned(pass->audit, MH_MISPLACED, row->id);
    }
}

/* Absent rows of one home may stand in another partition: those that are found everywhere are looked for in
 * each, until it is found or `until_ns`. */
static int find_misplaced(struct mh_pass *pass, int64_t from, int64_t to, int64_t until_ns,
                          struct table *table, struct mh_error *err)
{
    const int32_t home = pass->suspects[from].partition;
    int64_t left = 0;
    for (int64_t i = from; i < to; i++)
        pass->suspects[i].elsewhere =
            pass->suspects[i].kind == MH_LOST ? MH_VERSION_UNKNOWN : MH_VERSION_NONE;
    int rc = look_for(pass, from, to, -1, table, &left, err);
    if (rc == 0 && left > 0)
        rc = look_for(pass, from, to, home, table, &left, err);
    for (int32_t p = 0; rc == 0 && p < pass->partition_count && left > 0 && mh_now_ns() < until_ns; p++)
        if (p != home)
            rc = look_for(pass, from, to, p, table, &left, err);
    if (rc == 0)
        settle_sought(pass, from, to);
    return rc;
}

bool mh_pass_allows(const struct mh_pass *pass, const struct mh_suspect *row)
{
    return pass->audit->job->verify.allow & MH_ALLOW_UPSERT_NOT_ATOMIC && row->kind == MH_LOST &&
           row->fate & MH_FATE_UPSERT_UNKNOWN;
}

static int condemn_rest(struct mh_pass *pass, struct table *table, struct mh_error *err)
{
    const int64_t until = mh_now_ns() + MH_AUDIT_PATIENCE_S * MH_S;
    for (int64_t from = 0, to; from < pass->suspect_count; from = to) {
        to = end_of_home(pass, from);
        if (!pass->collection_gone && find_misplaced(pass, from, to, until, table, err) != 0)
            return -1;
    }
    for (int64_t i = 0; i < pass->suspect_count; i++) {
        const struct mh_suspect *row = &pass->suspects[i];
        if (mh_pass_allows(pass, row))
            pass->audit->figures.allowed++;
        else if (!row->settled)
            mh_pass_condemn(pass, row->kind, row, row->kind == MH_LOST ? -1 : row->partition);
    }
    return 0;
}

static bool pause_for(struct mh_pass *pass, int64_t ns)
{
    for (int64_t until = mh_now_ns() + ns; mh_now_ns() < until; mh_sleep_ns(20 * MH_MS)) {
        mh_alive();
        if (pass->audit->stop && pass->audit->stop())
            return false;
    }
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
    while (rc == 0 && pass->suspect_count > 0 && mh_now_ns() < deadline && !all_condemned_or_gone(pass)) {
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
    else if (seen_at_home != MH_VERSION_NONE) {
        kind = MH_DUPLICATED;
        row.seen_version = 2; /* copies */
    }
    mh_pass_condemn(pass, kind, &row, seen_in);
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
            mh_pass_condemn(pass, MH_UNEXPECTED, &row, seen_in);
            continue;
        }
        int32_t home = pass->audit->slices.items[at].partition, seen, expected = 0;
        struct look look = {.pass = pass,
                            .partition = home,
                            .ids = &ids[n],
                            .count = 1,
                            .seen = &seen,
                            .expected = &expected};
        if (mh_pass_load_fates(pass, at, err) != 0 || look_again(&look, err) != 0)
            return -1;
        judge_stray(pass, ids[n], seen, home, seen_in);
    }
    return 0;
}
