#include "truth/journal.h"

#include "base/alive.h"
#include "base/log.h"
#include "truth/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { MOST_ROWS = 1000000, KEYS_A_RECORD = 13, TEXT_A_RECORD = 104, VERSION_SHIFT = 48 };

/* Continuations have the size of a record and share its first byte. */
struct keys_record {
    uint8_t type, count, padding[6];
    uint64_t keys[KEYS_A_RECORD]; /* id in the low 48 bits, version above */
};

struct text_record {
    uint8_t type, length, padding[6];
    char text[TEXT_A_RECORD];
};

union slot {
    uint8_t type;
    struct mh_record record;
    struct keys_record keys;
    struct text_record text;
    struct mh_journal_start start;
    struct mh_summary summary;
    struct mh_spectrum spectrum;
    struct mh_spectrum_part part;
};

_Static_assert(sizeof(union slot) == sizeof(struct mh_record), "every record has one size");
_Static_assert(sizeof(union slot) + sizeof(uint32_t) == MH_JOURNAL_ENTRY, "and its checksum behind it");

/* Of the record at that place of this journal: one that was moved or doubled has a wrong one, and one of
 * another journal, as the start's is in all that follow. */
static uint32_t checksum(const union slot *slot, uint32_t place, uint32_t *of_start)
{
    union slot counted = *slot;
    if (place > 0)
        return (uint32_t)crc32(*of_start ^ place, (const Bytef *)&counted, sizeof counted);
    counted.start.sign_ns = 0; /* which is written over */
    *of_start = (uint32_t)crc32(0, (const Bytef *)&counted, sizeof counted);
    return *of_start;
}

/* ---- writing ---- */

void mh_journal_flush(struct mh_journal *journal)
{
    size_t done = 0;
    while (journal->fd >= 0 && !journal->failed && done < journal->used) { /* nothing behind a gap */
        ssize_t n = write(journal->fd, journal->buffer + done, journal->used - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            mh_complain("journal %s: %s: what follows is not recorded there", journal->path, strerror(errno));
            journal->failed = true;
            break;
        }
    }
    journal->used = 0;
}

static void put(struct mh_journal *journal, const union slot *slot)
{
    if (journal->used + MH_JOURNAL_ENTRY > sizeof journal->buffer)
        mh_journal_flush(journal);
    const uint32_t sum = checksum(slot, journal->records++, &journal->of_start);
    memcpy(journal->buffer + journal->used, slot, sizeof *slot);
    memcpy(journal->buffer + journal->used + sizeof *slot, &sum, sizeof sum);
    journal->used += MH_JOURNAL_ENTRY;
}

void mh_journal_path(char *path, size_t size, const char *dir, int rank)
{
    snprintf(path, size, "%.4000s/rank-%05d.journal", dir, rank);
}

int mh_journal_open(struct mh_journal *journal, const char *dir, const struct mh_journal_start *start,
                    struct mh_error *err)
{
    union slot slot;
    memset(&slot, 0, sizeof slot);
    slot.start = *start;
    slot.start.format = MH_JOURNAL_FORMAT;
    slot.start.sign_ns = start->start_ns;
    journal->used = journal->records = 0;
    journal->failed = false;
    mh_journal_path(journal->path, sizeof journal->path, dir, start->rank);
    journal->fd = open(journal->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (journal->fd < 0)
        return mh_fail(err, "journal %s: %s", journal->path, strerror(errno));
    put(journal, &slot);
    mh_journal_flush(journal);
    return 0;
}

static void put_keys(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys,
                     const uint16_t *versions)
{
    for (uint32_t at = 0; at < record->rows; at += KEYS_A_RECORD) {
        union slot slot;
        memset(&slot, 0, sizeof slot);
        slot.keys.type = MH_RECORD_KEYS;
        for (uint32_t i = at; i < record->rows && i < at + KEYS_A_RECORD; i++)
            slot.keys.keys[slot.keys.count++] =
                (uint64_t)keys[i] | (uint64_t)(versions ? versions[i] : (uint16_t)record->version)
                                        << VERSION_SHIFT;
        put(journal, &slot);
    }
}

static void put_text(struct mh_journal *journal, const char *text)
{
    union slot slot;
    memset(&slot, 0, sizeof slot);
    slot.text.type = MH_RECORD_TEXT;
    size_t length = strnlen(text, TEXT_A_RECORD);
    slot.text.length = (uint8_t)length;
    memcpy(slot.text.text, text, length);
    put(journal, &slot);
}

void mh_journal_append(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys,
                       const uint16_t *versions, const char *text)
{
    if (journal->fd < 0 || journal->failed) /* behind a gap a record would say something else */
        return;
    union slot slot = {.record = *record};
    put(journal, &slot);
    if (keys)
        put_keys(journal, record, keys, versions);
    if (text && text[0])
        put_text(journal, text);
    if (record->type == MH_RECORD_INTENT)
        mh_journal_flush(journal);
}

/* In its place, so that a sign costs no room. */
void mh_journal_sign(struct mh_journal *journal, int64_t now_ns)
{
    if (journal->fd >= 0 && !journal->failed &&
        pwrite(journal->fd, &now_ns, sizeof now_ns, offsetof(struct mh_journal_start, sign_ns)) < 0)
        mh_journal_flush(journal); /* which says so, if it cannot write either */
}

static void put_any(void *context, const void *record)
{
    union slot slot;
    memcpy(&slot, record, sizeof slot);
    put(context, &slot);
}

static void put_error(struct mh_journal *journal, const struct mh_error_count *error)
{
    const struct mh_record record = {.type = MH_RECORD_ERRORS,
                                     .kind = (uint8_t)error->kind,
                                     .outcome = (uint8_t)error->outcome,
                                     .worker = -1,
                                     .grpc_status = error->grpc_status,
                                     .code = error->code,
                                     .rows = (uint32_t)error->count,
                                     .due_ns = error->first_ns,
                                     .done_ns = error->last_ns};
    mh_journal_append(journal, &record, NULL, NULL, error->message);
}

void mh_journal_summarise(struct mh_journal *journal, struct mh_tallies *interval, int64_t now_ns)
{
    const int count = interval->stages * interval->roles * MH_TALLY_KINDS;
    for (int i = 0; i < count && journal->fd >= 0 && !journal->failed; i++) {
        const int cell = i / MH_TALLY_KINDS;
        if (interval->cells[i] && interval->cells[i]->planned > 0)
            mh_summary_make(interval->cells[i], cell / interval->roles, cell % interval->roles,
                            i % MH_TALLY_KINDS, interval->start_ns, put_any, journal);
    }
    for (int i = 0; i < interval->error_count; i++)
        put_error(journal, &interval->errors[i]);
    mh_tallies_reset(interval, now_ns);
}

void mh_journal_close(struct mh_journal *journal, bool remove_file)
{
    if (journal->fd < 0)
        return;
    mh_journal_flush(journal);
    close(journal->fd);
    journal->fd = -1;
    if (remove_file)
        unlink(journal->path);
}

/* ---- reading ---- */

/* A write whose end has not been read yet. */
struct pending {
    struct pending *next;
    struct mh_record record;
    bool scattered;
    uint16_t *versions; /* behind the keys */
    int64_t keys[];
};

struct reader {
    FILE *file;
    const char *path;
    union slot ahead; /* read, not yet used */
    bool has_ahead;
    uint32_t place;             /* of the next in the file */
    uint32_t of_start;          /* checksum of the first */
    long damaged;               /* byte behind a record with a wrong checksum that others follow; 0: none */
    struct pending *pending;    /* newest first */
    struct mh_tallies *tallies; /* for the summaries; NULL: nobody wants them */
    int64_t start_ns;           /* of the run */
    mh_journal_visitor *visit;
    void *context;
    struct mh_error *err;
};

/* False: the file has no more, or the checksum is wrong. */
static bool read_slot(struct reader *reader, union slot *slot, bool *right)
{
    uint32_t sum;
    const bool there =
        fread(slot, sizeof *slot, 1, reader->file) == 1 && fread(&sum, sizeof sum, 1, reader->file) == 1;
    *right = there && sum == checksum(slot, reader->place, &reader->of_start);
    reader->place += there;
    return there;
}

/* A wrong checksum: of what a node that went down had not on its disk yet, if only zeros follow; else damage.
 */
static void look_behind(struct reader *reader)
{
    const long behind = ftell(reader->file);
    int byte = 0;
    while (byte == 0)
        byte = getc(reader->file);
    reader->damaged = byte == EOF ? 0 : behind;
}

static bool next_slot(struct reader *reader)
{
    bool right = true;
    if (!reader->has_ahead && !reader->damaged)
        reader->has_ahead = read_slot(reader, &reader->ahead, &right) && right;
    if (!right)
        look_behind(reader);
    return reader->has_ahead;
}

static struct pending *new_pending(const struct mh_record *record)
{
    size_t rows = record->flags & MH_RECORD_SCATTERED ? record->rows : 0;
    struct pending *pending =
        malloc(sizeof *pending + rows * (sizeof *pending->keys + sizeof *pending->versions));
    if (!pending)
        return NULL;
    *pending = (struct pending){.record = *record, .scattered = rows > 0};
    pending->versions = (uint16_t *)(void *)(pending->keys + rows);
    return pending;
}

/* False when the file ends before the last key: the write was never sent. */
static bool read_keys(struct reader *reader, struct pending *pending)
{
    uint32_t count = 0;
    while (count < pending->record.rows && next_slot(reader) && reader->ahead.type == MH_RECORD_KEYS) {
        const struct keys_record *keys = &reader->ahead.keys;
        for (uint8_t i = 0; i < keys->count && i < KEYS_A_RECORD && count < pending->record.rows;
             i++, count++) {
            pending->keys[count] = (int64_t)(keys->keys[i] & ((1ULL << VERSION_SHIFT) - 1));
            pending->versions[count] = (uint16_t)(keys->keys[i] >> VERSION_SHIFT);
        }
        reader->has_ahead = false;
    }
    return count == pending->record.rows;
}

static void read_text(struct reader *reader, char text[TEXT_A_RECORD + 1])
{
    text[0] = '\0';
    if (!next_slot(reader) || reader->ahead.type != MH_RECORD_TEXT)
        return;
    int length = reader->ahead.text.length < TEXT_A_RECORD ? reader->ahead.text.length : TEXT_A_RECORD;
    snprintf(text, TEXT_A_RECORD + 1, "%.*s", length, reader->ahead.text.text);
    reader->has_ahead = false;
}

static bool counts_up(const struct mh_record *record)
{
    return record->type == MH_RECORD_SUMMARY || record->type == MH_RECORD_ERRORS;
}

static bool sound(const struct mh_record *record)
{
    return record->type >= MH_RECORD_INTENT && record->type <= MH_RECORD_ERRORS &&
           record->type != MH_RECORD_KEYS && record->type != MH_RECORD_TEXT &&
           record->type != MH_RECORD_SPECTRUM && record->type != MH_RECORD_COUNTS &&
           record->kind < MH_TALLY_KINDS && record->outcome < MH_OUTCOMES &&
           (record->rows <= MOST_ROWS || record->type == MH_RECORD_UNSENT || counts_up(record)) &&
           record->stage >= 0 && record->role >= 0;
}

static int fail_damaged(const struct reader *reader)
{
    return mh_fail(reader->err,
                   "%s: the record before byte %ld is damaged (without it the rank would count as missing)",
                   reader->path, reader->damaged ? reader->damaged : ftell(reader->file));
}

static int take_intent(struct reader *reader, const struct mh_record *record)
{
    struct pending *pending = new_pending(record);
    if (!pending)
        return mh_fail(reader->err, "out of memory");
    if (pending->scattered && !read_keys(reader, pending)) {
        free(pending);
        return reader->has_ahead ? fail_damaged(reader) : 0;
    }
    pending->next = reader->pending;
    reader->pending = pending;
    return 0;
}

static struct pending *take_pending(struct reader *reader, const struct mh_record *record)
{
    for (struct pending **at = &reader->pending; *at; at = &(*at)->next) {
        struct pending *pending = *at;
        if (pending->record.worker != record->worker || pending->record.sequence != record->sequence)
            continue;
        *at = pending->next;
        return pending;
    }
    return NULL;
}

static int visit_with_keys(struct reader *reader, const struct mh_record *record,
                           const struct pending *pending, const char *text)
{
    bool scattered = pending && pending->scattered && pending->record.rows == record->rows;
    return reader->visit(reader->context, record, scattered ? pending->keys : NULL,
                         scattered ? pending->versions : NULL, text, reader->err);
}

/* A write of the ledger's rows is on record before it is sent; without that, or with other rows, which ones
 * it means is not known. */
static bool ends(const struct mh_record *done, const struct pending *pending)
{
    return pending && pending->record.kind == done->kind && pending->record.rows == done->rows &&
           pending->record.first_id == done->first_id;
}

static int take_other(struct reader *reader, const struct mh_record *record, bool *whole)
{
    char text[TEXT_A_RECORD + 1];
    read_text(reader, text);
    *whole = record->type == MH_RECORD_END;
    const bool ends_write = record->type == MH_RECORD_DONE || record->type == MH_RECORD_UNSENT;
    struct pending *pending = ends_write ? take_pending(reader, record) : NULL;
    const bool agrees = record->type != MH_RECORD_DONE || !mh_record_is_owed(record) || ends(record, pending);
    int rc = agrees ? visit_with_keys(reader, record, pending, text) : fail_damaged(reader);
    free(pending);
    return rc;
}

static int book_summary(struct reader *reader, const struct mh_summary *summary,
                        const struct mh_record *following)
{
    struct mh_tallies *tallies = reader->tallies;
    if (summary->stage >= tallies->stages || summary->role >= tallies->roles)
        return fail_damaged(reader);
    struct mh_tally *cell = mh_tally_at(tallies, summary->stage, summary->role, summary->kind);
    if (!cell || mh_summary_take(cell, summary, following, summary->begin_ns - reader->start_ns) != 0)
        return mh_fail(reader->err, "%s: out of memory, or a summary that makes no sense, before byte %ld",
                       reader->path, ftell(reader->file));
    return 0;
}

/* One that is cut off at the end is left out: what its interval held is lost, the books balance. */
static int take_summary(struct reader *reader, const struct mh_record *record)
{
    struct mh_summary summary;
    int64_t got = 0;
    memcpy(&summary, record, sizeof summary);
    if (summary.records < 0 || summary.records > MH_SUMMARY_RECORDS)
        return fail_damaged(reader);
    struct mh_record *following = malloc(((size_t)summary.records + 1) * sizeof *following);
    if (!following)
        return mh_fail(reader->err, "out of memory");
    for (; got < summary.records && next_slot(reader); got++) {
        following[got] = reader->ahead.record;
        reader->has_ahead = false;
    }
    const int rc = got == summary.records && reader->tallies ? book_summary(reader, &summary, following) : 0;
    free(following);
    return rc;
}

static void take_errors(struct reader *reader, const struct mh_record *record)
{
    char text[TEXT_A_RECORD + 1];
    read_text(reader, text);
    struct mh_error_count error = {.kind = record->kind,
                                   .outcome = record->outcome,
                                   .grpc_status = record->grpc_status,
                                   .code = record->code,
                                   .count = record->rows,
                                   .first_ns = record->due_ns - reader->start_ns,
                                   .last_ns = record->done_ns - reader->start_ns};
    snprintf(error.message, sizeof error.message, "%s", text);
    if (reader->tallies)
        mh_tallies_add_error(reader->tallies, &error);
}

static int take_one(struct reader *reader, const struct mh_record *record, bool *whole)
{
    switch (record->type) {
    case MH_RECORD_INTENT:
        return take_intent(reader, record);
    case MH_RECORD_SUMMARY:
        return take_summary(reader, record);
    case MH_RECORD_ERRORS:
        take_errors(reader, record);
        return 0;
    default:
        return take_other(reader, record, whole);
    }
}

static int read_records(struct reader *reader, bool *whole)
{
    while (next_slot(reader)) {
        struct mh_record record = reader->ahead.record;
        mh_alive();
        reader->has_ahead = false;
        if (!sound(&record))
            return fail_damaged(reader);
        if (take_one(reader, &record, whole) != 0)
            return -1;
    }
    return reader->damaged ? fail_damaged(reader) : 0;
}

/* Those that never ended, or, when reading has failed, just their memory. */
static int take_rest(struct reader *reader, int rc)
{
    while (reader->pending) {
        struct pending *pending = reader->pending;
        reader->pending = pending->next;
        if (rc == 0)
            rc = visit_with_keys(reader, &pending->record, pending, "");
        free(pending);
    }
    return rc;
}

static int open_reader(struct reader *reader, const char *path, struct mh_journal_start *start,
                       struct mh_error *err)
{
    union slot first;
    bool right;
    *reader = (struct reader){.path = path, .err = err, .file = fopen(path, "rb")};
    if (!reader->file)
        return mh_fail(err, "%s: %s", path, strerror(errno));
    if (!read_slot(reader, &first, &right) || first.start.format != MH_JOURNAL_FORMAT)
        return mh_fail(err, "%s: no journal of this program (format %d expected)", path, MH_JOURNAL_FORMAT);
    if (!right)
        return fail_damaged(reader);
    *start = first.start;
    start->host[sizeof start->host - 1] = '\0';
    reader->start_ns = start->start_ns;
    return 0;
}

static void close_reader(struct reader *reader)
{
    if (reader->file)
        fclose(reader->file);
}

int mh_journal_read_start(const char *path, struct mh_journal_start *start, struct mh_error *err)
{
    struct reader reader;
    const int rc = open_reader(&reader, path, start, err);
    close_reader(&reader);
    return rc;
}

int mh_journal_read(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                    void *context, bool *whole, struct mh_error *err)
{
    return mh_journal_read_all(path, start, visit, context, NULL, whole, err);
}

int mh_journal_read_all(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                        void *context, struct mh_tallies *tallies, bool *whole, struct mh_error *err)
{
    struct reader reader;
    *whole = false;
    int rc = open_reader(&reader, path, start, err);
    reader.tallies = tallies;
    reader.visit = visit;
    reader.context = context;
    if (rc == 0)
        rc = read_records(&reader, whole);
    rc = take_rest(&reader, rc);
    close_reader(&reader);
    return rc;
}
