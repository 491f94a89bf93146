/* A rank's journal: fixed-size records appended with write(2), so that what was measured survives a kill -9
 * (the page cache keeps it; a crash of the node may take what is not on the disk yet). Each has a checksum,
 * of its place in the file and of the first record, too. A write is on record before it is sent. What changes
 * no rows has no record of its own: of it a summary is written at intervals, so that the file's length goes
 * by time and by writes, not by reads.
 */
#ifndef MH_TRUTH_JOURNAL_H
#define MH_TRUTH_JOURNAL_H

#include "base/error.h"
#include "measure/record.h"
#include "measure/tally.h"
#include "measure/visibility.h"
#include "truth/violation.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MH_JOURNAL_BUFFER = 64 << 10,
    MH_JOURNAL_FORMAT = 9,
    MH_JOURNAL_ENTRY = 112 + 4,     /* a record's bytes in the file: CRC-32 behind it */
    MH_JOURNAL_MOST_KEPT = 64 << 10 /* bytes that lie behind one head: more are several */
};

struct mh_journal {
    int fd; /* -1: closed */
    size_t used;
    uint32_t records;  /* put so far */
    uint32_t of_start; /* checksum of the first */
    uint8_t buffer[MH_JOURNAL_BUFFER];
    bool failed; /* said so once */
    char path[4096];
};

/* The first record of a journal. */
struct mh_journal_start {
    int32_t format; /* MH_JOURNAL_FORMAT */
    int32_t rank, np;
    uint32_t run; /* drawn for each run: journals of several do not mix */
    int64_t pid;
    int64_t start_ns;        /* this rank's monotonic clock when the run began on rank 0 */
    int64_t clock_offset_ns; /* this rank's clock minus rank 0's */
    char host[60];
    uint32_t sign_sum; /* checksum of sign_ns: both are written in place, and not in the record's checksum */
    int64_t sign_ns; /* the rank's last sign of life, on its clock; as read: -1 where its checksum is wrong */
};

/* How a journal ends. */
struct mh_journal_end {
    bool whole;         /* with the END record */
    int64_t lost_bytes; /* behind the last sound record: half of one, or zeros */
};

void mh_journal_path(char *path, size_t size, const char *dir, int rank); /* DIR/rank-00007.journal */

/* Creates the rank's; it must not exist. */
int mh_journal_open(struct mh_journal *journal, const char *dir, const struct mh_journal_start *start,
                    struct mh_error *err);

/* `record` with the keys it names (record->flags & MH_RECORD_SCATTERED: from op->rows), or the server's words
 * after a DONE that is not ok. An INTENT reaches the file before this returns. A full disk is complained
 * about once; the run goes on and its result says so. */
void mh_journal_append(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys,
                       const uint16_t *versions, const char *text);
/* What reads of this rank saw wrong. */
struct mh_journal_violation {
    struct mh_violation violation; /* without the row's write, nor passes of the audit */
    int64_t more;                  /* 0; or so many of the violation's kind, of which nothing else is known */
};
/* It reaches the file before this returns. */
void mh_journal_condemn(struct mh_journal *journal, const struct mh_journal_violation *violation);
/* What else is worth keeping, `count` items of `size` bytes each, of a sort that the caller numbers from 0:
 * run/keep.h. */
void mh_journal_keep(struct mh_journal *journal, int sort, const void *items, int64_t count, size_t size);
/* Of what the two hold; then empties them: their next interval begins at now_ns. */
void mh_journal_summarise(struct mh_journal *journal, struct mh_tallies *interval,
                          struct mh_visibilities *visible, int64_t now_ns);
void mh_journal_sign(struct mh_journal *journal, int64_t now_ns); /* this rank lives */
void mh_journal_flush(struct mh_journal *journal);
/* Asks the kernel to begin writing to disk what the file has, and does not wait for it. The one function that
 * may be called by another thread, between open and close. */
void mh_journal_write_back(const struct mh_journal *journal);
void mh_journal_close(struct mh_journal *journal, bool remove_file);

/* Reads a journal. Called with each record but summaries, KEYS, TEXT and what is kept beside operations,
 * whose contents come with the record that they belong to: a DONE of a write has the keys of its INTENT
 * (NULL: consecutive from first_id). INTENTs are held back; those that no DONE or UNSENT followed come at the
 * end: writes in flight when the rank died. Of a FOUND only the type stands where others have it:
 * mh_journal_violation_of. */
typedef int mh_journal_visitor(void *context, const struct mh_record *record, const int64_t *keys,
                               const uint16_t *versions, const char *text, struct mh_error *err);

void mh_journal_violation_of(const struct mh_record *found, struct mh_journal_violation *violation);

/* 0; 1: there is nothing in it, its rank or its node went down at once; -1: error, as of all that follow. */
int mh_journal_read_start(const char *path, struct mh_journal_start *start, struct mh_error *err);

/* Bytes of sound records, from the first on: of several copies of a journal the one with the most has all
 * that the others have. */
int64_t mh_journal_sound_bytes(const char *path);

/* A record cut off at the end (the rank was killed in mid-write), or with a wrong checksum and nothing but
 * zeros behind it (its node went down), ends the reading quietly; any other wrong checksum is an error, and
 * so is a journal with nothing in it. */
int mh_journal_read(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                    void *context, struct mh_journal_end *end, struct mh_error *err);

/* Called with what mh_journal_keep was given; `items` are aligned for any type. */
typedef int mh_journal_keeper(void *context, int sort, const void *items, int64_t count, size_t size,
                              struct mh_error *err);

/* What is not about single operations. Times of tallies and visibilities are since the run began. */
struct mh_journal_rest {
    struct mh_tallies *tallies; /* the summaries are added to them */
    struct mh_visibilities *visibilities;
    mh_journal_keeper *keep;
};

/* The same as mh_journal_read, and the rest. */
int mh_journal_read_all(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                        void *context, const struct mh_journal_rest *rest, struct mh_journal_end *end,
                        struct mh_error *err);

#endif
