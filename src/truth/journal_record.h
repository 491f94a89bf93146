/* Private to truth/journal: its records as they lie in the file, and their checksums. */
#ifndef MH_TRUTH_JOURNAL_RECORD_H
#define MH_TRUTH_JOURNAL_RECORD_H

#include "truth/journal.h"
#include "truth/summary.h"

enum { MH_KEYS_A_RECORD = 13, MH_TEXT_A_RECORD = 104, MH_BYTES_A_PART = 104, MH_VERSION_SHIFT = 48 };

/* Continuations have the size of a record and share its first byte. */
struct mh_keys_record {
    uint8_t type, count, padding[6];
    uint64_t keys[MH_KEYS_A_RECORD]; /* id in the low 48 bits, version above */
};

struct mh_text_record {
    uint8_t type, length, padding[6];
    char text[MH_TEXT_A_RECORD];
};

/* A violation but for who wrote the row, which the records of writes say. */
struct mh_violation_record {
    uint8_t type, spare[7];
    int64_t more; /* as in struct mh_journal_violation */
    int64_t id, cycle, expected_version, seen_version, first_seen_ns, last_seen_ns;
    int32_t kind, partition, seen_partition, seen_by, reader, reserve;
    double expected_value, seen_value;
};

/* What else a rank keeps: `bytes` in the MH_RECORD_PART behind it. */
struct mh_kept_record {
    uint8_t type, sort, spare[2];
    uint32_t size, bytes; /* of one; of all */
    uint32_t reserve[25];
};

struct mh_part_record {
    uint8_t type, spare[7];
    uint8_t bytes[MH_BYTES_A_PART];
};

union mh_journal_slot {
    uint8_t type;
    struct mh_record record;
    struct mh_keys_record keys;
    struct mh_text_record text;
    struct mh_journal_start start;
    struct mh_summary summary;
    struct mh_spectrum spectrum;
    struct mh_spectrum_part part;
    struct mh_violation_record found;
    struct mh_visible visible;
    struct mh_kept_record kept;
    struct mh_part_record part_of_kept;
};

_Static_assert(sizeof(union mh_journal_slot) == sizeof(struct mh_record), "every record has one size");
_Static_assert(sizeof(union mh_journal_slot) + sizeof(uint32_t) == MH_JOURNAL_ENTRY,
               "and its checksum behind it");

/* Of the record at that place of this journal: one that was moved or doubled has a wrong one, and one of
 * another journal, as the start's (`of_start`, set with place 0) is in all that follow. */
uint32_t mh_journal_checksum(const union mh_journal_slot *slot, uint32_t place, uint32_t *of_start);

uint32_t mh_journal_sign_sum(int64_t sign_ns, uint32_t of_start);

#endif
