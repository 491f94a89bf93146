#include "truth/journal.h"

#include "base/log.h"
#include "truth/journal_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

uint32_t mh_journal_checksum(const union mh_journal_slot *slot, uint32_t place, uint32_t *of_start)
{
    union mh_journal_slot counted = *slot;
    if (place > 0)
        return (uint32_t)crc32(*of_start ^ place, (const Bytef *)&counted, sizeof counted);
    counted.start.sign_sum = 0; /* which are written over */
    counted.start.sign_ns = 0;
    *of_start = (uint32_t)crc32(0, (const Bytef *)&counted, sizeof counted);
    return *of_start;
}

uint32_t mh_journal_sign_sum(int64_t sign_ns, uint32_t of_start)
{
    return (uint32_t)crc32(of_start, (const Bytef *)&sign_ns, sizeof sign_ns);
}

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

static void put(struct mh_journal *journal, const union mh_journal_slot *slot)
{
    if (journal->used + MH_JOURNAL_ENTRY > sizeof journal->buffer)
        mh_journal_flush(journal);
    const uint32_t sum = mh_journal_checksum(slot, journal->records++, &journal->of_start);
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
    union mh_journal_slot slot;
    memset(&slot, 0, sizeof slot);
    slot.start = *start;
    slot.start.format = MH_JOURNAL_FORMAT;
    journal->used = journal->records = 0;
    journal->failed = false;
    mh_journal_path(journal->path, sizeof journal->path, dir, start->rank);
    journal->fd = open(journal->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (journal->fd < 0)
        return mh_fail(err, "journal %s: %s", journal->path, strerror(errno));
    put(journal, &slot);
    mh_journal_flush(journal);
    mh_journal_sign(journal, start->start_ns);
    return 0;
}

static void put_keys(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys,
                     const uint16_t *versions)
{
    for (uint32_t at = 0; at < record->rows; at += MH_KEYS_A_RECORD) {
        union mh_journal_slot slot;
        memset(&slot, 0, sizeof slot);
        slot.keys.type = MH_RECORD_KEYS;
        for (uint32_t i = at; i < record->rows && i < at + MH_KEYS_A_RECORD; i++)
            slot.keys.keys[slot.keys.count++] =
                (uint64_t)keys[i] | (uint64_t)(versions ? versions[i] : (uint16_t)record->version)
                                        << MH_VERSION_SHIFT;
        put(journal, &slot);
    }
}

static void put_text(struct mh_journal *journal, const char *text)
{
    union mh_journal_slot slot;
    memset(&slot, 0, sizeof slot);
    slot.text.type = MH_RECORD_TEXT;
    size_t length = strnlen(text, MH_TEXT_A_RECORD);
    slot.text.length = (uint8_t)length;
    memcpy(slot.text.text, text, length);
    put(journal, &slot);
}

void mh_journal_append(struct mh_journal *journal, const struct mh_record *record, const int64_t *keys,
                       const uint16_t *versions, const char *text)
{
    if (journal->fd < 0 || journal->failed) /* behind a gap a record would say something else */
        return;
    union mh_journal_slot slot = {.record = *record};
    put(journal, &slot);
    if (keys)
        put_keys(journal, record, keys, versions);
    if (text && text[0])
        put_text(journal, text);
    if (record->type == MH_RECORD_INTENT)
        mh_journal_flush(journal);
}

void mh_journal_condemn(struct mh_journal *journal, const struct mh_journal_violation *violation)
{
    const struct mh_violation *v = &violation->violation;
    union mh_journal_slot slot;
    if (journal->fd < 0 || journal->failed)
        return;
    memset(&slot, 0, sizeof slot);
    slot.found = (struct mh_violation_record){.type = MH_RECORD_VIOLATION,
                                              .more = violation->more,
                                              .id = v->id,
                                              .cycle = v->cycle,
                                              .expected_version = v->expected_version,
                                              .seen_version = v->seen_version,
                                              .first_seen_ns = v->first_seen_ns,
                                              .last_seen_ns = v->last_seen_ns,
                                              .kind = v->kind,
                                              .partition = v->partition,
                                              .seen_partition = v->seen_partition,
                                              .seen_by = v->seen_by,
                                              .reader = v->reader,
                                              .expected_value = v->expected_value,
                                              .seen_value = v->seen_value};
    put(journal, &slot);
    mh_journal_flush(journal);
}

static void put_part(struct mh_journal *journal, const uint8_t *bytes, uint32_t count)
{
    union mh_journal_slot slot;
    memset(&slot, 0, sizeof slot);
    slot.part_of_kept.type = MH_RECORD_PART;
    memcpy(slot.part_of_kept.bytes, bytes, count);
    put(journal, &slot);
}

static void put_kept(struct mh_journal *journal, int sort, const uint8_t *bytes, uint32_t count, size_t size)
{
    const union mh_journal_slot slot = {
        .kept = {.type = MH_RECORD_KEPT, .sort = (uint8_t)sort, .size = (uint32_t)size, .bytes = count}};
    put(journal, &slot);
    for (uint32_t at = 0; at < count; at += MH_BYTES_A_PART)
        put_part(journal, bytes + at, count - at < MH_BYTES_A_PART ? count - at : MH_BYTES_A_PART);
}

void mh_journal_keep(struct mh_journal *journal, int sort, const void *items, int64_t count, size_t size)
{
    const int64_t at_once = MH_JOURNAL_MOST_KEPT / (int64_t)size;
    for (int64_t at = 0; at < count && journal->fd >= 0 && !journal->failed; at += at_once) {
        const int64_t some = count - at < at_once ? count - at : at_once;
        put_kept(journal, sort, (const uint8_t *)items + (size_t)at * size, (uint32_t)((size_t)some * size),
                 size);
    }
}

/* In its place, so that a sign costs no room. */
void mh_journal_sign(struct mh_journal *journal, int64_t now_ns)
{
    struct {
        uint32_t sum;
        int64_t sign_ns;
    } __attribute__((packed)) sign = {mh_journal_sign_sum(now_ns, journal->of_start), now_ns};
    if (journal->fd >= 0 &&
        pwrite(journal->fd, &sign, sizeof sign, offsetof(struct mh_journal_start, sign_sum)) < 0)
        mh_journal_flush(journal); /* which says so, if it cannot write either */
}

static void put_any(void *context, const void *record)
{
    union mh_journal_slot slot;
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

static void put_visible(struct mh_journal *journal, const struct mh_visibilities *all, int64_t begin_ns)
{
    const int count = all->stages * all->roles * MH_VISIBLE_WRITES;
    for (int i = 0; i < count && journal->fd >= 0 && !journal->failed; i++) {
        const struct mh_visibility *cell = all->cells[i];
        const int place = i / MH_VISIBLE_WRITES;
        if (cell && (cell->done.count > 0 || cell->never > 0))
            mh_visible_make(cell, place / all->roles, place % all->roles, i % MH_VISIBLE_WRITES, begin_ns,
                            put_any, journal);
    }
}

void mh_journal_summarise(struct mh_journal *journal, struct mh_tallies *interval,
                          struct mh_visibilities *visible, int64_t now_ns)
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
    put_visible(journal, visible, interval->start_ns);
    mh_tallies_reset(interval, now_ns);
    mh_visibilities_reset(visible, now_ns);
}

void mh_journal_write_back(const struct mh_journal *journal)
{
    if (journal->fd >= 0)
        (void)sync_file_range(journal->fd, 0, 0,
                              SYNC_FILE_RANGE_WRITE); /* where it cannot, the kernel's time */
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
