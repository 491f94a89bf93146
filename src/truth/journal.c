#include "truth/journal.h"

#include "base/alive.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ROWS = 1000000, KEYS_A_RECORD = 13, TEXT_A_RECORD = 104, VERSION_SHIFT = 48, JOURNAL_FORMAT = 1 };

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
};

_Static_assert(sizeof(union slot) == sizeof(struct mh_record), "every record has one size");

/* ---- writing ---- */

void mh_journal_flush(struct mh_journal *journal)
{
    size_t done = 0;
    while (journal->fd >= 0 && done < journal->used) {
        ssize_t n = write(journal->fd, journal->buffer + done, journal->used - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            if (!journal->failed)
                mh_complain("journal %s: %s: what follows is not recorded there", journal->path,
                            strerror(errno));
            journal->failed = true;
            break;
        }
    }
    journal->used = 0;
}

static void put(struct mh_journal *journal, const union slot *slot)
{
    if (journal->used + sizeof *slot > sizeof journal->buffer)
        mh_journal_flush(journal);
    memcpy(journal->buffer + journal->used, slot, sizeof *slot);
    journal->used += sizeof *slot;
}

int mh_journal_open(struct mh_journal *journal, const char *dir, const struct mh_journal_start *start,
                    struct mh_error *err)
{
    union slot slot;
    memset(&slot, 0, sizeof slot);
    slot.start = *start;
    slot.start.format = JOURNAL_FORMAT;
    journal->used = 0;
    journal->failed = false;
    snprintf(journal->path, sizeof journal->path, "%s/rank-%05d.journal", dir, start->rank);
    journal->fd = open(journal->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
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
    struct pending *pending; /* newest first */
    mh_journal_visitor *visit;
    void *context;
    struct mh_error *err;
};

static bool next_slot(struct reader *reader)
{
    if (!reader->has_ahead)
        reader->has_ahead = fread(&reader->ahead, sizeof reader->ahead, 1, reader->file) == 1;
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

static bool sound(const struct mh_record *record)
{
    return record->type >= MH_RECORD_INTENT && record->type <= MH_RECORD_END &&
           record->type != MH_RECORD_KEYS && record->type != MH_RECORD_TEXT && record->kind < MH_OP_KINDS &&
           record->outcome < MH_OUTCOMES && (record->rows <= MOST_ROWS || record->type == MH_RECORD_UNSENT) &&
           record->stage >= 0 && record->role >= 0;
}

static int fail_damaged(const struct reader *reader)
{
    return mh_fail(reader->err, "%s: the record before byte %ld is damaged", reader->path,
                   ftell(reader->file));
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

static int take_other(struct reader *reader, const struct mh_record *record, bool *whole)
{
    char text[TEXT_A_RECORD + 1];
    read_text(reader, text);
    *whole = record->type == MH_RECORD_END;
    const bool ends_write = record->type == MH_RECORD_DONE || record->type == MH_RECORD_UNSENT;
    struct pending *pending = ends_write ? take_pending(reader, record) : NULL;
    int rc = visit_with_keys(reader, record, pending, text);
    free(pending);
    return rc;
}

static int read_records(struct reader *reader, bool *whole)
{
    while (next_slot(reader)) {
        struct mh_record record = reader->ahead.record;
        mh_alive();
        reader->has_ahead = false;
        if (!sound(&record))
            return fail_damaged(reader);
        int rc = record.type == MH_RECORD_INTENT ? take_intent(reader, &record)
                                                 : take_other(reader, &record, whole);
        if (rc != 0)
            return -1;
    }
    return 0;
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

int mh_journal_read(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                    void *context, bool *whole, struct mh_error *err)
{
    struct reader reader = {
        .file = fopen(path, "rb"), .path = path, .visit = visit, .context = context, .err = err};
    union slot first;
    int rc;
    *whole = false;
    if (!reader.file)
        return mh_fail(err, "%s: %s", path, strerror(errno));
    if (fread(&first, sizeof first, 1, reader.file) != 1 || first.start.format != JOURNAL_FORMAT)
        rc = mh_fail(err, "%s: no journal of this program (format %d expected)", path, JOURNAL_FORMAT);
    else {
        *start = first.start;
        start->host[sizeof start->host - 1] = '\0';
        rc = read_records(&reader, whole);
    }
    rc = take_rest(&reader, rc);
    fclose(reader.file);
    return rc;
}
