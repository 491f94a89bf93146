#include "truth/journal.h"

#include "base/alive.h"
#include "truth/journal_record.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 1000000 };

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
    int cause; /* errno: it cannot be read */
    const char *path;
    union mh_journal_slot ahead; /* read, not yet used */
    bool has_ahead;
    uint32_t place;              /* of the next in the file: so many are sound before it */
    uint32_t of_start;           /* checksum of the first */
    long damaged;                /* byte behind a record with a wrong checksum that others follow; 0: none */
    struct pending *pending;     /* newest first */
    struct mh_journal_rest rest; /* all NULL: nobody wants it */
    int64_t start_ns;            /* of the run */
    mh_journal_visitor *visit;
    void *context;
    struct mh_error *err;
};

static size_t read_bytes(struct reader *reader, void *bytes, size_t size)
{
    const size_t count = fread(bytes, 1, size, reader->file);
    if (count < size && ferror(reader->file))
        reader->cause = errno;
    return count;
}

/* False: the file has no more, or cannot be read. */
static bool read_slot(struct reader *reader, union mh_journal_slot *slot, bool *right)
{
    uint32_t sum;
    const bool there = read_bytes(reader, slot, sizeof *slot) == sizeof *slot &&
                       read_bytes(reader, &sum, sizeof sum) == sizeof sum;
    *right = there && sum == mh_journal_checksum(slot, reader->place, &reader->of_start);
    reader->place += *right;
    return there;
}

static int64_t sound_bytes(const struct reader *reader)
{
    return (int64_t)reader->place * MH_JOURNAL_ENTRY;
}

static bool all_zero(const unsigned char *bytes, size_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

/* A wrong checksum: of what a node that went down had not on its disk yet, if only zeros follow; else damage.
 */
static void look_behind(struct reader *reader)
{
    static unsigned char bytes[64 << 10];
    const long behind = ftell(reader->file);
    size_t count = 1;
    bool zero = true;
    while (zero && count > 0) {
        mh_alive();
        count = read_bytes(reader, bytes, sizeof bytes);
        zero = all_zero(bytes, count);
    }
    reader->damaged = zero ? 0 : behind;
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
        const struct mh_keys_record *keys = &reader->ahead.keys;
        for (uint8_t i = 0; i < keys->count && i < MH_KEYS_A_RECORD && count < pending->record.rows;
             i++, count++) {
            pending->keys[count] = (int64_t)(keys->keys[i] & ((1ULL << MH_VERSION_SHIFT) - 1));
            pending->versions[count] = (uint16_t)(keys->keys[i] >> MH_VERSION_SHIFT);
        }
        reader->has_ahead = false;
    }
    return count == pending->record.rows;
}

static void read_text(struct reader *reader, char text[MH_TEXT_A_RECORD + 1])
{
    text[0] = '\0';
    if (!next_slot(reader) || reader->ahead.type != MH_RECORD_TEXT)
        return;
    int length = reader->ahead.text.length < MH_TEXT_A_RECORD ? reader->ahead.text.length : MH_TEXT_A_RECORD;
    snprintf(text, MH_TEXT_A_RECORD + 1, "%.*s", length, reader->ahead.text.text);
    reader->has_ahead = false;
}

/* `rows` is no number of rows. */
static bool counts_up(const struct mh_record *record)
{
    return record->type == MH_RECORD_SUMMARY || record->type == MH_RECORD_ERRORS ||
           record->type == MH_RECORD_UNSENT || record->type == MH_RECORD_VISIBLE;
}

static bool fields_are_sound(const struct mh_record *record)
{
    return record->kind < MH_TALLY_KINDS && record->outcome < MH_OUTCOMES &&
           (record->rows <= MOST_ROWS || counts_up(record)) && record->stage >= 0 && record->role >= 0;
}

/* Of one that may stand behind any other; those that belong to one before have been read with it. */
static bool sound(const struct mh_record *record)
{
    switch (record->type) {
    case MH_RECORD_VIOLATION:
    case MH_RECORD_KEPT:
        return true;
    case MH_RECORD_INTENT:
    case MH_RECORD_DONE:
    case MH_RECORD_STAGE:
    case MH_RECORD_UNSENT:
    case MH_RECORD_END:
    case MH_RECORD_SUMMARY:
    case MH_RECORD_ERRORS:
    case MH_RECORD_TOLD:
    case MH_RECORD_VISIBLE:
    case MH_RECORD_RESTORED:
        return fields_are_sound(record);
    default:
        return false;
    }
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
    char text[MH_TEXT_A_RECORD + 1];
    read_text(reader, text);
    *whole = record->type == MH_RECORD_END;
    const bool ends_write = record->type == MH_RECORD_DONE || record->type == MH_RECORD_UNSENT;
    struct pending *pending = ends_write ? take_pending(reader, record) : NULL;
    const bool agrees = record->type != MH_RECORD_DONE || !mh_record_is_owed(record) || ends(record, pending);
    int rc = agrees ? visit_with_keys(reader, record, pending, text) : fail_damaged(reader);
    free(pending);
    return rc;
}

static int fail_senseless(const struct reader *reader)
{
    return mh_fail(reader->err, "%s: out of memory, or a summary that makes no sense, before byte %ld",
                   reader->path, ftell(reader->file));
}

static int book_summary(struct reader *reader, const struct mh_summary *summary,
                        const struct mh_record *following)
{
    struct mh_tallies *tallies = reader->rest.tallies;
    if (!tallies)
        return 0;
    if (summary->stage >= tallies->stages || summary->role >= tallies->roles)
        return fail_damaged(reader);
    struct mh_tally *cell = mh_tally_at(tallies, summary->stage, summary->role, summary->kind);
    if (!cell || mh_summary_take(cell, summary, following, summary->begin_ns - reader->start_ns) != 0)
        return fail_senseless(reader);
    return 0;
}

static int book_visible(struct reader *reader, const struct mh_visible *visible,
                        const struct mh_record *following)
{
    struct mh_visibilities *all = reader->rest.visibilities;
    if (!all)
        return 0;
    if (visible->stage >= all->stages || visible->role >= all->roles || visible->write >= MH_VISIBLE_WRITES)
        return fail_damaged(reader);
    struct mh_visibility *cell = mh_visibility_at(all, visible->stage, visible->role, visible->write);
    if (!cell || mh_visible_take(cell, visible, following, visible->begin_ns - reader->start_ns) != 0)
        return fail_senseless(reader);
    return 0;
}

_Static_assert(offsetof(struct mh_summary, records) == offsetof(struct mh_visible, records),
               "both are read as one");

/* One that is cut off at the end is left out: what its interval held is lost, the books balance. */
static int take_summary(struct reader *reader, const struct mh_record *record)
{
    const union mh_journal_slot slot = {.record = *record};
    const int64_t records = slot.summary.records;
    int64_t got = 0;
    int rc = 0;
    if (records < 0 || records > MH_SUMMARY_RECORDS)
        return fail_damaged(reader);
    struct mh_record *following = malloc(((size_t)records + 1) * sizeof *following);
    if (!following)
        return mh_fail(reader->err, "out of memory");
    for (; got < records && next_slot(reader); got++) {
        following[got] = reader->ahead.record;
        reader->has_ahead = false;
    }
    if (got == records)
        rc = slot.type == MH_RECORD_VISIBLE ? book_visible(reader, &slot.visible, following)
                                            : book_summary(reader, &slot.summary, following);
    free(following);
    return rc;
}

/* False: the file ends before the last. */
static bool read_parts(struct reader *reader, uint8_t *bytes, uint32_t count)
{
    uint32_t got = 0;
    while (got < count && next_slot(reader) && reader->ahead.type == MH_RECORD_PART) {
        const uint32_t some = count - got < MH_BYTES_A_PART ? count - got : MH_BYTES_A_PART;
        memcpy(bytes + got, reader->ahead.part_of_kept.bytes, some);
        reader->has_ahead = false;
        got += some;
    }
    return got == count;
}

static int take_kept(struct reader *reader, const struct mh_record *record)
{
    const union mh_journal_slot slot = {.record = *record};
    const struct mh_kept_record *kept = &slot.kept;
    if (kept->size == 0 || kept->bytes > MH_JOURNAL_MOST_KEPT || kept->bytes % kept->size != 0)
        return fail_damaged(reader);
    uint8_t *bytes = malloc((size_t)kept->bytes + 1);
    if (!bytes)
        return mh_fail(reader->err, "out of memory");
    const bool whole = read_parts(reader, bytes, kept->bytes);
    int rc = !whole && reader->has_ahead ? fail_damaged(reader) : 0;
    if (whole && reader->rest.keep)
        rc = reader->rest.keep(reader->context, kept->sort, bytes, kept->bytes / kept->size, kept->size,
                               reader->err);
    free(bytes);
    return rc;
}

static void take_errors(struct reader *reader, const struct mh_record *record)
{
    char text[MH_TEXT_A_RECORD + 1];
    read_text(reader, text);
    struct mh_error_count error = {.kind = record->kind,
                                   .outcome = record->outcome,
                                   .grpc_status = record->grpc_status,
                                   .code = record->code,
                                   .count = record->rows,
                                   .first_ns = record->due_ns - reader->start_ns,
                                   .last_ns = record->done_ns - reader->start_ns};
    snprintf(error.message, sizeof error.message, "%s", text);
    if (reader->rest.tallies)
        mh_tallies_add_error(reader->rest.tallies, &error);
}

void mh_journal_violation_of(const struct mh_record *found, struct mh_journal_violation *violation)
{
    union mh_journal_slot slot = {.record = *found};
    const struct mh_violation_record *f = &slot.found;
    *violation = (struct mh_journal_violation){.more = f->more,
                                               .violation = {.id = f->id,
                                                             .cycle = f->cycle,
                                                             .expected_version = f->expected_version,
                                                             .seen_version = f->seen_version,
                                                             .first_seen_ns = f->first_seen_ns,
                                                             .last_seen_ns = f->last_seen_ns,
                                                             .kind = f->kind,
                                                             .partition = f->partition,
                                                             .seen_partition = f->seen_partition,
                                                             .worker = -1,
                                                             .rank = -1,
                                                             .kind_of_write = -1,
                                                             .first_pass = -1,
                                                             .last_pass = -1,
                                                             .seen_by = f->seen_by,
                                                             .reader = f->reader,
                                                             .expected_value = f->expected_value,
                                                             .seen_value = f->seen_value}};
}

static int take_found(struct reader *reader, const struct mh_record *record)
{
    struct mh_journal_violation kept;
    mh_journal_violation_of(record, &kept);
    if (kept.violation.kind < 0 || kept.violation.kind >= MH_WRONGS || kept.more < 0 ||
        kept.violation.seen_by < 0 || kept.violation.seen_by >= MH_TALLY_KINDS)
        return fail_damaged(reader);
    return reader->visit(reader->context, record, NULL, NULL, "", reader->err);
}

static int take_one(struct reader *reader, const struct mh_record *record, bool *whole)
{
    switch (record->type) {
    case MH_RECORD_INTENT:
        return take_intent(reader, record);
    case MH_RECORD_SUMMARY:
    case MH_RECORD_VISIBLE:
        return take_summary(reader, record);
    case MH_RECORD_KEPT:
        return take_kept(reader, record);
    case MH_RECORD_VIOLATION:
        return take_found(reader, record);
    case MH_RECORD_ERRORS:
        take_errors(reader, record);
        return 0;
    default:
        return take_other(reader, record, whole);
    }
}

/* Where the file ended for the reader: at its end, unless it is damaged or cannot be read. */
static int finish(struct reader *reader, struct mh_journal_end *end)
{
    if (reader->cause)
        return mh_fail(reader->err, "%s: %s", reader->path, strerror(reader->cause));
    if (reader->damaged)
        return fail_damaged(reader);
    fseek(reader->file, 0, SEEK_END);
    end->lost_bytes = ftell(reader->file) - sound_bytes(reader);
    return 0;
}

static int read_records(struct reader *reader, struct mh_journal_end *end)
{
    while (next_slot(reader)) {
        struct mh_record record = reader->ahead.record;
        mh_alive();
        reader->has_ahead = false;
        if (!sound(&record))
            return fail_damaged(reader);
        if (take_one(reader, &record, &end->whole) != 0)
            return -1;
    }
    return finish(reader, end);
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

/* Of another program, or of another version of this one. */
static int fail_foreign(const struct reader *reader, int32_t format)
{
    const int32_t most_formats = 1000;
    if (format > 0 && format < most_formats)
        return mh_fail(reader->err,
                       "%s: of another version of this program: it has format %d, %d is expected; that "
                       "version's merge reads it",
                       reader->path, format, MH_JOURNAL_FORMAT);
    return mh_fail(reader->err, "%s: no journal of this program (format %d expected)", reader->path,
                   MH_JOURNAL_FORMAT);
}

/* 1: there is nothing in it. */
static int read_first(struct reader *reader, struct mh_journal_start *start)
{
    union mh_journal_slot first = {.start.format = MH_JOURNAL_FORMAT};
    bool right;
    const bool there = read_slot(reader, &first, &right);
    if (reader->cause)
        return mh_fail(reader->err, "%s: %s", reader->path, strerror(reader->cause));
    if (first.start.format != MH_JOURNAL_FORMAT && first.start.format != 0)
        return fail_foreign(reader, first.start.format);
    if (!right)
        look_behind(reader);
    if (reader->damaged)
        return fail_damaged(reader);
    *start = first.start;
    start->host[sizeof start->host - 1] = '\0';
    if (start->sign_sum != mh_journal_sign_sum(start->sign_ns, reader->of_start))
        start->sign_ns = -1;
    reader->start_ns = start->start_ns;
    return there && right ? 0 : 1;
}

static int open_reader(struct reader *reader, const char *path, struct mh_error *err)
{
    *reader = (struct reader){.path = path, .err = err, .file = fopen(path, "rb")};
    return reader->file ? 0 : mh_fail(err, "%s: %s", path, strerror(errno));
}

static void close_reader(struct reader *reader)
{
    if (reader->file)
        fclose(reader->file);
}

int mh_journal_read_start(const char *path, struct mh_journal_start *start, struct mh_error *err)
{
    struct reader reader;
    const int rc = open_reader(&reader, path, err) == 0 ? read_first(&reader, start) : -1;
    close_reader(&reader);
    return rc;
}

int64_t mh_journal_sound_bytes(const char *path)
{
    struct reader reader;
    struct mh_error err;
    union mh_journal_slot slot;
    bool right = open_reader(&reader, path, &err) == 0;
    while (right && read_slot(&reader, &slot, &right))
        mh_alive();
    close_reader(&reader);
    return sound_bytes(&reader);
}

int mh_journal_read(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                    void *context, struct mh_journal_end *end, struct mh_error *err)
{
    static const struct mh_journal_rest nothing;
    return mh_journal_read_all(path, start, visit, context, &nothing, end, err);
}

int mh_journal_read_all(const char *path, struct mh_journal_start *start, mh_journal_visitor *visit,
                        void *context, const struct mh_journal_rest *rest, struct mh_journal_end *end,
                        struct mh_error *err)
{
    struct reader reader;
    *end = (struct mh_journal_end){0};
    int rc = open_reader(&reader, path, err) == 0 ? read_first(&reader, start) : -1;
    reader.rest = *rest;
    reader.visit = visit;
    reader.context = context;
    if (rc == 1)
        rc = mh_fail(err, "%s: there is nothing in it", path);
    if (rc == 0)
        rc = read_records(&reader, end);
    rc = take_rest(&reader, rc);
    close_reader(&reader);
    return rc;
}
