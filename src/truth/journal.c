#include "truth/journal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS_A_RECORD = 13, TEXT_A_RECORD = 104, VERSION_SHIFT = 48, JOURNAL_FORMAT = 1 };

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
                mh_complain("journal %s: %s: what follows is not recorded there", journal->path, strerror(errno));
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

int mh_journal_open(struct mh_journal *journal, const char *dir, const struct mh_journal_start *start, struct mh_error *err)
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

static void put_keys(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys, const uint16_t *versions)
{
    for (uint32_t at = 0; at < record->rows; at += KEYS_A_RECORD) {
        union slot slot;
        memset(&slot, 0, sizeof slot);
        slot.keys.type = MH_RECORD_KEYS;
        for (uint32_t i = at; i < record->rows && i < at + KEYS_A_RECORD; i++)
            slot.keys.keys[slot.keys.count++] =
                (uint64_t)keys[i] | (uint64_t)(versions ? versions[i] : (uint16_t)record->version) << VERSION_SHIFT;
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

void mh_journal_append(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys, const uint16_t *versions,
                       const char *text)
{
    if (journal->fd < 0)
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

struct reader {
    FILE *file;
    const char *path;
    union slot ahead; /* read, not yet used */
    bool has_ahead;
    int64_t *keys;
    uint16_t *versions;
    size_t room;
};

static bool next_slot(struct reader *reader)
{
    if (!reader->has_ahead)
        reader->has_ahead = fread(&reader->ahead, sizeof reader->ahead, 1, reader->file) == 1;
    return reader->has_ahead;
}

static int grow_keys(struct reader *reader, size_t count)
{
    if (count <= reader->room)
        return 0;
    int64_t *keys = realloc(reader->keys, count * sizeof *keys);
    if (keys)
        reader->keys = keys;
    uint16_t *versions = realloc(reader->versions, count * sizeof *versions);
    if (versions)
        reader->versions = versions;
    if (!keys || !versions)
        return -1;
    reader->room = count;
    return 0;
}

/* Keys of the record just read; fewer than record->rows when the file ends here. */
static uint32_t read_keys(struct reader *reader, uint32_t rows)
{
    uint32_t count = 0;
    while (next_slot(reader) && reader->ahead.type == MH_RECORD_KEYS) {
        const struct keys_record *keys = &reader->ahead.keys;
        for (uint8_t i = 0; i < keys->count && i < KEYS_A_RECORD && count < rows; i++, count++) {
            reader->keys[count] = (int64_t)(keys->keys[i] & ((1ULL << VERSION_SHIFT) - 1));
            reader->versions[count] = (uint16_t)(keys->keys[i] >> VERSION_SHIFT);
        }
        reader->has_ahead = false;
    }
    return count;
}

static void read_text(struct reader *reader, char text[TEXT_A_RECORD + 1])
{
    text[0] = '\0';
    if (!next_slot(reader) || reader->ahead.type != MH_RECORD_TEXT)
        return;
    snprintf(text, TEXT_A_RECORD + 1, "%.*s", (int)reader->ahead.text.length, reader->ahead.text.text);
    reader->has_ahead = false;
}

static bool sound(const struct mh_record *record)
{
    return record->type >= MH_RECORD_INTENT && record->type <= MH_RECORD_END && record->kind < MH_OP_KINDS &&
           record->outcome < MH_OUTCOMES && record->rows <= 1000000 && record->stage >= 0 && record->role >= 0;
}

static int visit_records(struct reader *reader, mh_journal_visitor *visit, void *context, bool *whole, struct mh_error *err)
{
    while (next_slot(reader)) {
        struct mh_record record = reader->ahead.record;
        char text[TEXT_A_RECORD + 1];
        reader->has_ahead = false;
        if (!sound(&record))
            return mh_fail(err, "%s: a record at byte %ld is damaged", reader->path, ftell(reader->file));
        bool scattered = (record.flags & MH_RECORD_SCATTERED) != 0;
        if (scattered && grow_keys(reader, record.rows) != 0)
            return mh_fail(err, "out of memory");
        if (scattered && read_keys(reader, record.rows) < record.rows)
            return 0; /* killed between a record and its keys: it was never sent */
        read_text(reader, text);
        *whole = record.type == MH_RECORD_END;
        if (visit(context, &record, scattered ? reader->keys : NULL, scattered ? reader->versions : NULL, text, err) != 0)
            return -1;
    }
    return 0;
}

int mh_journal_read(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit, void *context, bool *whole,
                    struct mh_error *err)
{
    struct reader reader = {.file = fopen(path, "rb"), .path = path};
    union slot first;
    *whole = false;
    if (!reader.file)
        return mh_fail(err, "%s: %s", path, strerror(errno));
    int rc = -1;
    if (fread(&first, sizeof first, 1, reader.file) != 1 || first.start.format != JOURNAL_FORMAT)
        mh_fail(err, "%s: no journal of this program (format %d expected)", path, JOURNAL_FORMAT);
    else {
        *start = first.start;
        start->host[sizeof start->host - 1] = '\0';
        rc = visit_records(&reader, visit, context, whole, err);
    }
    fclose(reader.file);
    free(reader.keys);
    free(reader.versions);
    return rc;
}
