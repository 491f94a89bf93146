/* What the server acknowledged, row by row, in ranges: a writer that wrote its ids in order holds a few
 * entries, whatever their number; rows changed afterwards cost 2 bytes each, in blocks of MH_LEDGER_BLOCK.
 *
 * Each rank books what its own workers did. For the audit the fates of a slice of ids are put together on one
 * rank. */
#ifndef MH_TRUTH_LEDGER_H
#define MH_TRUTH_LEDGER_H

#include "base/bytes.h"
#include "measure/record.h"

#include <stdbool.h>
#include <stdint.h>

#define MH_LEDGER_BLOCK 512

/* What became of the insert of a row. */
enum mh_insert_fate {
    MH_INSERT_NONE,    /* never sent */
    MH_INSERT_REFUSED, /* failed, certain to have had no effect */
    MH_INSERT_UNKNOWN, /* 0 or 1 copies are right */
    MH_INSERT_ACKED,
};

/* What happened to it since: the acknowledged version (0: as inserted) and these bits. An unknown upsert
 * would have made it the next version. */
enum {
    MH_FATE_VERSION = MH_LAST_VERSION,
    MH_FATE_DELETED = 0x1000,
    MH_FATE_DELETE_UNKNOWN = 0x2000,
    MH_FATE_UPSERT_UNKNOWN = 0x4000,
};

struct mh_ledger_totals { /* rows, as the replies acknowledged them; ranks add them as one array */
    int64_t acknowledged_inserts, refused_inserts, unknown_inserts;
    int64_t acknowledged_upserts, refused_upserts, unknown_upserts;
    int64_t acknowledged_deletes, refused_deletes, unknown_deletes;
};

/* Rows of all three ends of that kind of write. */
int64_t mh_ledger_booked(const struct mh_ledger_totals *totals, enum mh_op_kind kind);

struct mh_ledger {
    struct mh_ledger_totals totals;
    struct mh_ledger_runs *runs; /* one list a worker number */
    int64_t workers;
    struct mh_ledger_block **blocks; /* hash table, room a power of two */
    size_t block_count, block_room;
};

int mh_ledger_init(struct mh_ledger *ledger, int64_t workers); /* -1: no memory */
void mh_ledger_free(struct mh_ledger *ledger);

/* Books a DONE record of a write. `keys` and `versions` (may be NULL: all record->version) name its rows when
 * they are not consecutive; else NULL. Returns -1 when there is no memory: the run cannot go on, its verdict
 * would be a guess. */
int mh_ledger_book(struct mh_ledger *ledger, const struct mh_record *record, const int64_t *keys,
                   const uint16_t *versions);

/* Puts back what a saved ledger says of rows side by side, as a RESTORED record has it. What was refused
 * since their insert is in no ledger. -1: no memory. */
int mh_ledger_restore(struct mh_ledger *ledger, const struct mh_record *restored);
void mh_ledger_count(struct mh_ledger_totals *totals, const struct mh_record *restored); /* part of that */
/* Such a record of rows of `worker`: their insert's fate, and version and bits of what came after. */
struct mh_record mh_ledger_record(int64_t worker, int32_t partition, int64_t first, int64_t count,
                                  enum mh_insert_fate insert, uint16_t fate);
bool mh_ledger_is_sound(const struct mh_record *restored); /* as far as its fates go */

/* One beyond the last id that `worker` tried to insert; -1: it tried none. */
int64_t mh_ledger_end(const struct mh_ledger *ledger, int64_t worker);

int64_t mh_ledger_bytes(const struct mh_ledger *ledger); /* memory it holds */

/* The fates of ids first .. first+count-1, put together from several ranks' pieces. */
struct mh_fates {
    int64_t first, count;
    uint8_t *insert; /* enum mh_insert_fate, count of them */
    uint16_t *fate;  /* version and bits, count of them */
};

/* Appends what this ledger knows of [first, first+count), ids of `worker`, to `out`. -1: no memory. */
int mh_ledger_export(const struct mh_ledger *ledger, int64_t worker, int64_t first, int64_t count,
                     struct mh_bytes *out);

/* Merges exported bytes into fates; pieces outside its range are skipped. -1: not such bytes. */
int mh_fates_import(struct mh_fates *fates, const uint8_t *data, size_t length);

int mh_fates_init(struct mh_fates *fates, int64_t room);                   /* -1: no memory */
void mh_fates_reset(struct mh_fates *fates, int64_t first, int64_t count); /* count <= room */
void mh_fates_free(struct mh_fates *fates);

#endif
