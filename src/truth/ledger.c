#include "truth/ledger.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

/* ---- inserts: runs of consecutive ids of one fate, sorted by id ---- */

struct run {
    int64_t first, count;
    int64_t fate; /* enum mh_insert_fate */
};

struct mh_ledger_runs {
    struct run *items;
    size_t count, room;
};

struct mh_ledger_block {
    int64_t number; /* of ids number * MH_LEDGER_BLOCK and on */
    uint16_t fate[MH_LEDGER_BLOCK];
};

int mh_ledger_init(struct mh_ledger *ledger, int64_t workers)
{
    *ledger = (struct mh_ledger){.workers = workers, .block_room = 64};
    ledger->runs = calloc((size_t)workers + 1, sizeof *ledger->runs);
    ledger->blocks = calloc(ledger->block_room, sizeof *ledger->blocks);
    if (ledger->runs && ledger->blocks)
        return 0;
    mh_ledger_free(ledger);
    return -1;
}

void mh_ledger_free(struct mh_ledger *ledger)
{
    for (int64_t i = 0; ledger->runs && i < ledger->workers; i++)
        free(ledger->runs[i].items);
    for (size_t i = 0; ledger->blocks && i < ledger->block_room; i++)
        free(ledger->blocks[i]);
    free(ledger->runs);
    free(ledger->blocks);
    *ledger = (struct mh_ledger){0};
}

/* First run that ends after `id`. */
static size_t run_at(const struct mh_ledger_runs *runs, int64_t id)
{
    size_t low = 0, high = runs->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (runs->items[middle].first + runs->items[middle].count <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool joins(const struct run *a, const struct run *b)
{
    return a->fate == b->fate && a->first + a->count == b->first;
}

static int make_room(struct mh_ledger_runs *runs)
{
    if (runs->count < runs->room)
        return 0;
    size_t room = runs->room ? 2 * runs->room : 8;
    struct run *grown = realloc(runs->items, room * sizeof *grown);
    if (!grown)
        return -1;
    runs->items = grown;
    runs->room = room;
    return 0;
}

static void remove_run(struct mh_ledger_runs *runs, size_t at)
{
    memmove(&runs->items[at], &runs->items[at + 1], (--runs->count - at) * sizeof *runs->items);
}

static int add_run(struct mh_ledger_runs *runs, struct run run)
{
    size_t at = run_at(runs, run.first);
    if (make_room(runs) != 0)
        return -1;
    memmove(&runs->items[at + 1], &runs->items[at], (runs->count++ - at) * sizeof *runs->items);
    runs->items[at] = run;
    if (at + 1 < runs->count && joins(&runs->items[at], &runs->items[at + 1])) {
        runs->items[at].count += runs->items[at + 1].count;
        remove_run(runs, at + 1);
    }
    if (at > 0 && joins(&runs->items[at - 1], &runs->items[at])) {
        runs->items[at - 1].count += runs->items[at].count;
        remove_run(runs, at);
    }
    return 0;
}

/* ---- changes: blocks in a hash table ---- */

static size_t place(const struct mh_ledger *ledger, int64_t number)
{
    size_t at = mh_random(0, 0, (uint64_t)number) & (ledger->block_room - 1);
    while (ledger->blocks[at] && ledger->blocks[at]->number != number)
        at = (at + 1) & (ledger->block_room - 1);
    return at;
}

static int grow(struct mh_ledger *ledger)
{
    struct mh_ledger old = *ledger;
    ledger->block_room *= 2;
    ledger->blocks = calloc(ledger->block_room, sizeof *ledger->blocks);
    if (!ledger->blocks) {
        *ledger = old;
        return -1;
    }
    for (size_t i = 0; i < old.block_room; i++)
        if (old.blocks[i])
            ledger->blocks[place(ledger, old.blocks[i]->number)] = old.blocks[i];
    free(old.blocks);
    return 0;
}

static uint16_t *fate_of(struct mh_ledger *ledger, int64_t id)
{
    if (4 * (ledger->block_count + 1) > 3 * ledger->block_room && grow(ledger) != 0)
        return NULL;
    size_t at = place(ledger, id / MH_LEDGER_BLOCK);
    if (!ledger->blocks[at]) {
        ledger->blocks[at] = calloc(1, sizeof *ledger->blocks[at]);
        if (!ledger->blocks[at])
            return NULL;
        ledger->blocks[at]->number = id / MH_LEDGER_BLOCK;
        ledger->block_count++;
    }
    return &ledger->blocks[at]->fate[id % MH_LEDGER_BLOCK];
}

/* Two ranks may know parts of a row's story (upserted here, deleted there): the newer version and all bits
 * hold. */
static uint16_t merge_fates(uint16_t a, uint16_t b)
{
    uint16_t va = a & MH_FATE_VERSION, vb = b & MH_FATE_VERSION;
    return (uint16_t)((va > vb ? va : vb) | ((a | b) & ~MH_FATE_VERSION));
}

static uint16_t change_of(const struct mh_record *record, uint16_t version)
{
    const bool ok = record->outcome == MH_OUTCOME_OK;
    if (record->kind == MH_OP_DELETE)
        return (uint16_t)(version | (ok ? MH_FATE_DELETED : MH_FATE_DELETE_UNKNOWN));
    if (ok)
        return version;
    return (uint16_t)((version - 1) | MH_FATE_UPSERT_UNKNOWN);
}

static int book_change(struct mh_ledger *ledger, const struct mh_record *record, const int64_t *keys,
                       const uint16_t *versions)
{
    if (record->outcome != MH_OUTCOME_OK && record->outcome != MH_OUTCOME_UNKNOWN)
        return 0;
    for (uint32_t i = 0; i < record->rows; i++) {
        uint16_t *fate = fate_of(ledger, keys ? keys[i] : record->first_id + i);
        if (!fate)
            return -1;
        *fate = merge_fates(*fate, change_of(record, versions ? versions[i] : (uint16_t)record->version));
    }
    return 0;
}

/* ---- booking ---- */

static enum mh_insert_fate insert_fate(int outcome)
{
    if (outcome == MH_OUTCOME_OK)
        return MH_INSERT_ACKED;
    return outcome == MH_OUTCOME_UNKNOWN ? MH_INSERT_UNKNOWN : MH_INSERT_REFUSED;
}

static int book_insert(struct mh_ledger *ledger, const struct mh_record *record, const int64_t *keys)
{
    struct mh_ledger_runs *runs = &ledger->runs[record->worker];
    int64_t fate = (int64_t)insert_fate(record->outcome);
    if (!keys)
        return add_run(runs, (struct run){record->first_id, record->rows, fate});
    for (uint32_t i = 0; i < record->rows; i++)
        if (add_run(runs, (struct run){keys[i], 1, fate}) != 0)
            return -1;
    return 0;
}

static void count_rows(int64_t *acknowledged,
                       const struct mh_record *record) /* acknowledged, refused, unknown lie side by side */
{
    int which = record->outcome == MH_OUTCOME_OK ? 0 : record->outcome == MH_OUTCOME_UNKNOWN ? 2 : 1;
    acknowledged[which] += record->rows;
}

int mh_ledger_book(struct mh_ledger *ledger, const struct mh_record *record, const int64_t *keys,
                   const uint16_t *versions)
{
    int64_t *totals = (int64_t *)&ledger->totals;
    if (!mh_record_is_owed(record))
        return 0;
    switch (record->kind) {
    case MH_OP_INSERT:
        count_rows(totals, record);
        return book_insert(ledger, record, keys);
    case MH_OP_UPSERT:
        count_rows(totals + 3, record);
        return book_change(ledger, record, keys, versions);
    case MH_OP_DELETE:
        count_rows(totals + 6, record);
        return book_change(ledger, record, keys, versions);
    default:
        return 0;
    }
}

/* ---- rows of an earlier run ---- */

struct mh_record mh_ledger_record(int64_t worker, int32_t partition, int64_t first, int64_t count,
                                  enum mh_insert_fate insert, uint16_t fate)
{
    static const uint8_t outcomes[] = {[MH_INSERT_REFUSED] = MH_OUTCOME_FAILED,
                                       [MH_INSERT_UNKNOWN] = MH_OUTCOME_UNKNOWN,
                                       [MH_INSERT_ACKED] = MH_OUTCOME_OK};
    return (struct mh_record){.type = MH_RECORD_RESTORED,
                              .kind = MH_OP_INSERT,
                              .outcome = outcomes[insert],
                              .worker = (int32_t)worker,
                              .partition = partition,
                              .version = fate,
                              .rows = (uint32_t)count,
                              .first_id = first};
}

bool mh_ledger_is_sound(const struct mh_record *restored)
{
    const int bits = MH_FATE_VERSION | MH_FATE_DELETED | MH_FATE_DELETE_UNKNOWN | MH_FATE_UPSERT_UNKNOWN;
    return restored->kind == MH_OP_INSERT && restored->version >= 0 && !(restored->version & ~bits);
}

void mh_ledger_count(struct mh_ledger_totals *totals, const struct mh_record *restored)
{
    const int64_t rows = restored->rows;
    count_rows(&totals->acknowledged_inserts, restored);
    totals->acknowledged_upserts += (restored->version & MH_FATE_VERSION) * rows;
    totals->unknown_upserts += restored->version & MH_FATE_UPSERT_UNKNOWN ? rows : 0;
    totals->acknowledged_deletes += restored->version & MH_FATE_DELETED ? rows : 0;
    totals->unknown_deletes += restored->version & MH_FATE_DELETE_UNKNOWN ? rows : 0;
}

int mh_ledger_restore(struct mh_ledger *ledger, const struct mh_record *restored)
{
    const int64_t first = restored->first_id, end = first + restored->rows;
    mh_ledger_count(&ledger->totals, restored);
    if (book_insert(ledger, restored, NULL) != 0)
        return -1;
    for (int64_t id = first; restored->version && id < end; id++) {
        uint16_t *at = fate_of(ledger, id);
        if (!at)
            return -1;
        *at = (uint16_t)restored->version;
    }
    return 0;
}

int64_t mh_ledger_booked(const struct mh_ledger_totals *totals, enum mh_op_kind kind)
{
    switch (kind) {
    case MH_OP_INSERT:
        return totals->acknowledged_inserts + totals->refused_inserts + totals->unknown_inserts;
    case MH_OP_UPSERT:
        return totals->acknowledged_upserts + totals->refused_upserts + totals->unknown_upserts;
    case MH_OP_DELETE:
        return totals->acknowledged_deletes + totals->refused_deletes + totals->unknown_deletes;
    default:
        return 0;
    }
}

int64_t mh_ledger_end(const struct mh_ledger *ledger, int64_t worker)
{
    const struct mh_ledger_runs *runs = &ledger->runs[worker];
    return runs->count ? runs->items[runs->count - 1].first + runs->items[runs->count - 1].count : -1;
}

int64_t mh_ledger_bytes(const struct mh_ledger *ledger)
{
    size_t bytes = ledger->block_room * sizeof *ledger->blocks +
                   ledger->block_count * sizeof **ledger->blocks +
                   (size_t)ledger->workers * sizeof *ledger->runs;
    for (int64_t i = 0; i < ledger->workers; i++)
        bytes += ledger->runs[i].room * sizeof(struct run);
    return (int64_t)bytes;
}

/* ---- exchange ---- */

enum { PIECE_RUN, PIECE_CHANGES };

struct piece {
    int64_t first, count;
    int64_t what; /* PIECE_RUN */
    int64_t fate; /* of a run; else 0, and count fates of 2 bytes follow */
};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int export_runs(const struct mh_ledger_runs *runs, int64_t first, int64_t end, struct mh_bytes *out)
{
    for (size_t i = run_at(runs, first); i < runs->count && runs->items[i].first < end; i++) {
        const struct run *run = &runs->items[i];
        int64_t from = larger(run->first, first), to = smaller(run->first + run->count, end);
        struct piece piece = {from, to - from, PIECE_RUN, run->fate};
        if (mh_bytes_append(out, &piece, sizeof piece) != 0)
            return -1;
    }
    return 0;
}

static int export_changes(const struct mh_ledger *ledger, int64_t first, int64_t end, struct mh_bytes *out)
{
    for (int64_t number = first / MH_LEDGER_BLOCK; number * MH_LEDGER_BLOCK < end; number++) {
        const struct mh_ledger_block *block = ledger->blocks[place(ledger, number)];
        if (!block)
            continue;
        int64_t base = number * MH_LEDGER_BLOCK;
        int64_t from = larger(base, first), to = smaller(base + MH_LEDGER_BLOCK, end);
        struct piece piece = {from, to - from, PIECE_CHANGES, 0};
        if (mh_bytes_append(out, &piece, sizeof piece) != 0 ||
            mh_bytes_append(out, &block->fate[from - base], (size_t)(to - from) * sizeof(uint16_t)) != 0)
            return -1;
    }
    return 0;
}

int mh_ledger_export(const struct mh_ledger *ledger, int64_t worker, int64_t first, int64_t count,
                     struct mh_bytes *out)
{
    if (export_runs(&ledger->runs[worker], first, first + count, out) != 0)
        return -1;
    return export_changes(ledger, first, first + count, out);
}

static void import_piece(struct mh_fates *fates, const struct piece *piece, const uint8_t *changes)
{
    int64_t from = larger(piece->first, fates->first),
            to = smaller(piece->first + piece->count, fates->first + fates->count);
    for (int64_t id = from; id < to; id++) {
        int64_t at = id - fates->first;
        if (piece->what == PIECE_RUN) {
            fates->insert[at] = (uint8_t)larger(fates->insert[at], piece->fate);
        } else {
            uint16_t change;
            memcpy(&change, changes + (size_t)(id - piece->first) * sizeof change, sizeof change);
            fates->fate[at] = merge_fates(fates->fate[at], change);
        }
    }
}

static bool sound(const struct piece *piece)
{
    int64_t end;
    if (piece->first < 0 || piece->count < 0 || __builtin_add_overflow(piece->first, piece->count, &end))
        return false;
    return piece->what == PIECE_CHANGES ||
           (piece->what == PIECE_RUN && piece->fate >= MH_INSERT_NONE && piece->fate <= MH_INSERT_ACKED);
}

int mh_fates_import(struct mh_fates *fates, const uint8_t *data, size_t length)
{
    size_t at = 0;
    while (at < length) {
        struct piece piece;
        if (length - at < sizeof piece)
            return -1;
        memcpy(&piece, data + at, sizeof piece);
        at += sizeof piece;
        size_t changes = piece.what == PIECE_CHANGES ? (size_t)piece.count * sizeof(uint16_t) : 0;
        if (!sound(&piece) || changes > length - at)
            return -1;
        import_piece(fates, &piece, data + at);
        at += changes;
    }
    return 0;
}

int mh_fates_init(struct mh_fates *fates, int64_t room)
{
    *fates = (struct mh_fates){.count = room};
    fates->insert = malloc((size_t)room * sizeof *fates->insert);
    fates->fate = malloc((size_t)room * sizeof *fates->fate);
    if (fates->insert && fates->fate)
        return 0;
    mh_fates_free(fates);
    return -1;
}

void mh_fates_reset(struct mh_fates *fates, int64_t first, int64_t count)
{
    fates->first = first;
    fates->count = count;
    memset(fates->insert, MH_INSERT_NONE, (size_t)count * sizeof *fates->insert);
    memset(fates->fate, 0, (size_t)count * sizeof *fates->fate);
}

void mh_fates_free(struct mh_fates *fates)
{
    free(fates->insert);
    free(fates->fate);
    *fates = (struct mh_fates){0};
}
