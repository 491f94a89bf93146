/* The journal: what is written comes back; cut off anywhere it is a prefix; damaged it is an error, or, where
 * nothing right follows, a prefix; and whatever passes for records does no harm. */
#include "truth/journal.h"

#include "check.h"
#include "journal/events.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const struct mh_journal_start started = {
    .rank = 7, .np = 9, .run = 2, .pid = 4711, .start_ns = 1000, .clock_offset_ns = -5, .host = "node-seven"};
static char folder[64], file[128];
static struct mh_journal journal;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mh-journal-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/rank-00007.journal", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(folder);
}

static void open_journal_of(const struct mh_journal_start *start)
{
    struct mh_error err = {""};
    if (mh_journal_open(&journal, folder, start, &err) != 0)
        fail_msg("%s", err.text);
}

static void open_journal(void)
{
    open_journal_of(&started);
}

/* ---- what is written ---- */

static void append(const struct event *event)
{
    int64_t keys[MOST_KEYS];
    uint16_t versions[MOST_KEYS];
    const bool with_keys = event->scattered && event->type == MH_RECORD_INTENT;
    for (uint32_t i = 0; with_keys && i < event->rows; i++) {
        keys[i] = key_of(event, i);
        versions[i] = version_of(event, i);
    }
    struct mh_record record = record_of(event);
    mh_journal_append(&journal, &record, with_keys ? keys : NULL, versions, event->text);
}

static void write_events_of(const struct mh_journal_start *start)
{
    open_journal_of(start);
    for (size_t i = 0; i < COUNT(events); i++)
        append(&events[i]);
    mh_journal_close(&journal, false);
}

static void write_events(void)
{
    write_events_of(&started);
}

/* ---- what is read ---- */

struct reading {
    int times[COUNT(events)]; /* each was seen */
    bool without_text[COUNT(events)];
    int others, order_of_last; /* events but intents come in order */
    bool intents_begun;
};

static size_t event_of(const struct mh_record *record)
{
    for (size_t i = 0; i < COUNT(events); i++)
        if (events[i].type == record->type && events[i].kind == record->kind &&
            events[i].worker == record->worker && events[i].sequence == record->sequence)
            return i;
    fail_msg("a record that nobody wrote");
    return 0;
}

static int check(void *context, const struct mh_record *record, const int64_t *keys, const uint16_t *versions,
                 const char *text, struct mh_error *err)
{
    struct reading *reading = context;
    const size_t at = event_of(record);
    const struct event *event = &events[at];
    const struct mh_record expected = record_of(event);
    (void)err;
    assert_memory_equal(record, &expected, sizeof expected);
    assert_int_equal(keys != NULL, event->scattered);
    for (uint32_t i = 0; keys && i < event->rows; i++) {
        assert_int_equal(keys[i], key_of(event, i));
        assert_int_equal(versions[i], version_of(event, i));
    }
    reading->times[at]++;
    reading->without_text[at] = strcmp(text, event->text) != 0;
    if (reading->without_text[at])
        assert_string_equal(text, "");
    reading->intents_begun |= event->type == MH_RECORD_INTENT;
    if (event->type != MH_RECORD_INTENT) {
        assert_false(reading->intents_begun);
        assert_true((int)at > reading->order_of_last);
        reading->order_of_last = (int)at;
    }
    return 0;
}

static int read_events(struct reading *reading, struct mh_journal_end *end, struct mh_error *err)
{
    struct mh_journal_start start;
    *reading = (struct reading){.order_of_last = -1};
    int rc = mh_journal_read(file, &start, check, reading, end, err);
    if (rc != 0)
        return rc;
    struct mh_journal_start expected = started;
    expected.format = MH_JOURNAL_FORMAT;
    expected.sign_ns = started.start_ns;
    expected.sign_sum = start.sign_sum; /* were it wrong, sign_ns would be -1 */
    assert_memory_equal(&start, &expected, sizeof expected);
    return 0;
}

/* Records that an event fills, and which of them it is that must be there for the reader to show it. */
static size_t records_for(const struct event *event)
{
    size_t keys = event->scattered && event->type == MH_RECORD_INTENT ? (event->rows + 12) / 13 : 0;
    return 1 + keys + (event->text[0] != '\0');
}

static size_t needed(const struct event *event)
{
    return event->type == MH_RECORD_INTENT ? records_for(event) : 1;
}

static bool ended_within(size_t intent, size_t records)
{
    size_t at = 1;
    for (size_t i = 0; i < COUNT(events); at += records_for(&events[i++]))
        if ((events[i].type == MH_RECORD_DONE || events[i].type == MH_RECORD_UNSENT) &&
            events[i].worker == events[intent].worker && events[i].sequence == events[intent].sequence)
            return at + 1 <= records;
    return false;
}

/* Of a journal of `records` whole records: exactly these events are read. */
static void check_reading(const struct reading *reading, size_t records)
{
    size_t at = 1;
    for (size_t i = 0; i < COUNT(events); at += records_for(&events[i++])) {
        bool there = at + needed(&events[i]) <= records;
        bool shown = there && !(events[i].type == MH_RECORD_INTENT && ended_within(i, records));
        assert_int_equal(reading->times[i], shown);
        assert_int_equal(reading->without_text[i], shown && events[i].text[0] && at + 2 > records);
    }
}

static size_t records_in_all(void)
{
    size_t records = 1;
    for (size_t i = 0; i < COUNT(events); i++)
        records += records_for(&events[i]);
    return records;
}

static void what_is_written_comes_back(void **state)
{
    (void)state;
    struct reading reading;
    struct mh_error err;
    struct stat info;
    struct mh_journal_end end = {.whole = false};
    write_events();
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_size, records_in_all() * MH_JOURNAL_ENTRY);
    assert_int_equal(read_events(&reading, &end, &err), 0);
    assert_true(end.whole);
    check_reading(&reading, records_in_all());
}

static void cut_off_anywhere_it_is_a_prefix(void **state)
{
    (void)state;
    write_events();
    for (long length = (long)(records_in_all() * MH_JOURNAL_ENTRY) - 1; length >= 0; length--) {
        struct reading reading;
        struct mh_error err = {""};
        struct mh_journal_end end = {.whole = true};
        assert_int_equal(truncate(file, length), 0);
        int rc = read_events(&reading, &end, &err);
        assert_false(end.whole);
        if (length < MH_JOURNAL_ENTRY) { /* not even its start */
            assert_int_equal(rc, -1);
            assert_non_null(strstr(err.text, file));
            continue;
        }
        assert_int_equal(rc, 0);
        check_reading(&reading, (size_t)length / MH_JOURNAL_ENTRY);
    }
}

/* ---- damage ---- */

static volatile uint64_t read_something;

static int touch(void *context, const struct mh_record *record, const int64_t *keys, const uint16_t *versions,
                 const char *text, struct mh_error *err)
{
    int *seen = context;
    (void)err;
    for (uint32_t i = 0; keys && i < record->rows; i++)
        read_something += (uint64_t)keys[i] + versions[i];
    read_something += strlen(text) + (uint64_t)mh_op_infos[record->kind].name[0];
    assert_in_range(record->outcome, 0, MH_OUTCOMES - 1);
    (*seen)++;
    return 0;
}

static uint8_t *load(size_t *length)
{
    FILE *stream = fopen(file, "rb");
    uint8_t *bytes = malloc(1 << 20);
    assert_non_null(stream);
    *length = fread(bytes, 1, 1 << 20, stream);
    fclose(stream);
    return bytes;
}

static void store(const uint8_t *bytes, size_t length)
{
    FILE *stream = fopen(file, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, length, stream), length);
    fclose(stream);
}

/* Of life: its checksum and itself, written in place. */
enum { SIGN = offsetof(struct mh_journal_start, sign_sum), SIGN_BYTES = sizeof(uint32_t) + sizeof(int64_t) };

/* The right checksums for whatever stands there. */
static void seal(uint8_t *bytes, size_t length)
{
    const size_t size = MH_JOURNAL_ENTRY - sizeof(uint32_t);
    uint8_t sign[SIGN_BYTES];
    memcpy(sign, bytes + SIGN, SIGN_BYTES);
    memset(bytes + SIGN, 0, SIGN_BYTES);
    const uint32_t of_start = (uint32_t)crc32(0, bytes, (uInt)size),
                   of_sign = (uint32_t)crc32(of_start, sign + sizeof of_start, sizeof(int64_t));
    memcpy(sign, &of_sign, sizeof of_sign);
    for (size_t at = 0; at + MH_JOURNAL_ENTRY <= length; at += MH_JOURNAL_ENTRY) {
        const uint32_t place = (uint32_t)(at / MH_JOURNAL_ENTRY), seed = place ? of_start ^ place : 0;
        const uint32_t sum = (uint32_t)crc32(seed, bytes + at, (uInt)size);
        memcpy(bytes + at + size, &sum, sizeof sum);
    }
    memcpy(bytes + SIGN, sign, SIGN_BYTES);
}

static void flip(uint8_t *bytes, size_t at, struct mh_random *random)
{
    bytes[at] ^= (uint8_t)(1 << mh_random_below(random, 8));
}

static void one_flipped_bit_is_damage(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 3};
    size_t length;
    write_events();
    uint8_t *bytes = load(&length), *copy = malloc(length);
    for (size_t at = 0; at < length; at++) {
        struct reading reading;
        struct mh_error err = {""};
        struct mh_journal_end end = {.whole = true};
        if (at >= SIGN && at < SIGN + SIGN_BYTES)
            continue;
        memcpy(copy, bytes, length);
        flip(copy, at, &random);
        store(copy, length);
        const size_t record = at / MH_JOURNAL_ENTRY;
        const bool last = record == records_in_all() - 1;
        assert_int_equal(read_events(&reading, &end, &err), last ? 0 : -1);
        if (last) { /* its END: as if it had been cut off */
            assert_false(end.whole);
            check_reading(&reading, record);
        } else {
            assert_non_null(strstr(err.text, file));
        }
    }
    free(bytes);
    free(copy);
}

/* The rest of the journal is not for it to refuse. */
static void a_flipped_bit_of_the_sign_of_life_makes_that_unknown(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 5};
    size_t length;
    write_events();
    uint8_t *bytes = load(&length), *copy = malloc(length);
    for (size_t at = SIGN; at < SIGN + SIGN_BYTES; at++) {
        struct mh_journal_start start;
        struct mh_error err = {""};
        memcpy(copy, bytes, length);
        flip(copy, at, &random);
        store(copy, length);
        assert_int_equal(mh_journal_read_start(file, &start, &err), 0);
        assert_int_equal(start.sign_ns, -1);
        assert_int_equal(start.pid, started.pid);
    }
    free(bytes);
    free(copy);
}

/* What a node had not on its disk yet when it went down reads as zeros. */
static void a_tail_of_zeros_is_cut_off(void **state)
{
    (void)state;
    size_t length;
    write_events();
    uint8_t *bytes = load(&length);
    for (size_t from = length - 1; from >= MH_JOURNAL_ENTRY; from -= 7) {
        struct reading reading;
        struct mh_error err = {""};
        struct mh_journal_end end = {.whole = true};
        memset(bytes + from, 0, length - from);
        store(bytes, length);
        assert_int_equal(read_events(&reading, &end, &err), 0);
        assert_false(end.whole);
        check_reading(&reading, from / MH_JOURNAL_ENTRY);
        const size_t sound = from / MH_JOURNAL_ENTRY * MH_JOURNAL_ENTRY;
        assert_int_equal(end.lost_bytes, length - sound);
        assert_int_equal(mh_journal_sound_bytes(file), sound);
    }
    free(bytes);
}

static void a_journal_may_have_nothing_in_it(void **state)
{
    (void)state;
    size_t length;
    write_events();
    uint8_t *bytes = load(&length);
    for (size_t kept = 0; kept < MH_JOURNAL_ENTRY; kept++)
        for (int zeros = 0; zeros < 2; zeros++) {
            struct mh_journal_start start;
            struct mh_journal_end end;
            struct mh_error err = {""};
            int seen = 0;
            memset(bytes + kept, 0, length - kept);
            store(bytes, zeros ? length : kept);
            assert_int_equal(mh_journal_read_start(file, &start, &err), 1);
            assert_int_equal(mh_journal_sound_bytes(file), 0);
            assert_int_equal(mh_journal_read(file, &start, touch, &seen, &end, &err), -1);
            assert_non_null(strstr(err.text, "nothing in it"));
            free(bytes);
            unlink(file);
            write_events();
            bytes = load(&length);
        }
    free(bytes);
}

/* As EIO would: not as if it had ended there. */
static void one_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    struct mh_journal_start start;
    struct mh_error err = {""};
    assert_int_equal(mh_journal_read_start("/tmp", &start, &err), -1);
    assert_string_equal(err.text, "/tmp: Is a directory");
    assert_int_equal(mh_journal_sound_bytes("/tmp"), 0);
    assert_int_equal(mh_journal_sound_bytes("/tmp/no/such/journal"), 0);
}

static void records_that_are_gone_from_the_midst_are_damage(void **state)
{
    (void)state;
    struct reading reading;
    size_t length;
    write_events();
    uint8_t *bytes = load(&length), *copy = malloc(length);
    for (size_t at = MH_JOURNAL_ENTRY; at + 2 * MH_JOURNAL_ENTRY < length; at += MH_JOURNAL_ENTRY) {
        struct mh_error err = {""};
        struct mh_journal_end end;
        memcpy(copy, bytes, at);
        memcpy(copy + at, bytes + at + MH_JOURNAL_ENTRY, length - at - MH_JOURNAL_ENTRY);
        store(copy, length - MH_JOURNAL_ENTRY);
        assert_int_equal(read_events(&reading, &end, &err), -1);
    }
    free(bytes);
    free(copy);
}

/* What an interrupted copy over another run's file leaves: each record is one that was written at its place.
 */
static void the_tail_of_another_journal_is_damage(void **state)
{
    (void)state;
    struct reading reading;
    size_t length;
    write_events();
    uint8_t *bytes = load(&length);
    for (int field = 0; field < 3; field++) {
        struct mh_journal_start other = started;
        other.run += field == 0;
        other.pid += field == 1;
        other.start_ns += field == 2;
        unlink(file);
        write_events_of(&other);
        uint8_t *mixed = load(&length);
        for (size_t at = MH_JOURNAL_ENTRY; at + MH_JOURNAL_ENTRY < length; at += MH_JOURNAL_ENTRY) {
            struct mh_error err = {""};
            struct mh_journal_end end;
            memcpy(mixed, bytes, at); /* more and more of it */
            store(mixed, length);
            assert_int_equal(read_events(&reading, &end, &err), -1);
            assert_non_null(strstr(err.text, "is damaged"));
        }
        free(mixed);
    }
    free(bytes);
}

static void records_that_changed_places_are_damage(void **state)
{
    (void)state;
    uint8_t kept[MH_JOURNAL_ENTRY];
    struct reading reading;
    size_t length;
    write_events();
    uint8_t *bytes = load(&length);
    for (size_t at = MH_JOURNAL_ENTRY; at + 3 * MH_JOURNAL_ENTRY <= length; at += MH_JOURNAL_ENTRY) {
        struct mh_error err = {""};
        struct mh_journal_end end;
        memcpy(kept, bytes + at, sizeof kept);
        memcpy(bytes + at, bytes + at + sizeof kept, sizeof kept);
        store(bytes, length); /* one twice, one never */
        assert_int_equal(read_events(&reading, &end, &err), -1);
        memcpy(bytes + at, kept, sizeof kept);
    }
    free(bytes);
}

/* With checksums that are right. */
static void whatever_passes_for_records_does_no_harm(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 2};
    size_t length;
    int errors = 0, seen = 0;
    write_events();
    uint8_t *bytes = load(&length);
    for (int i = 0; i < 4000; i++) {
        uint8_t *copy = malloc(length);
        struct mh_journal_start start;
        struct mh_error err = {""};
        struct mh_journal_end end;
        memcpy(copy, bytes, length);
        for (uint64_t flips = 1 + mh_random_below(&random, 4); flips > 0; flips--)
            flip(copy, mh_random_below(&random, length), &random);
        if (i % 8 == 0) /* the types, which decide how the rest is read */
            copy[MH_JOURNAL_ENTRY * mh_random_below(&random, length / MH_JOURNAL_ENTRY)] =
                (uint8_t)mh_random_below(&random, MH_RECORD_PART + 2);
        seal(copy, length);
        store(copy, length);
        if (mh_journal_read(file, &start, touch, &seen, &end, &err) != 0) {
            errors++;
            assert_true(err.text[0] != '\0');
        }
        free(copy);
    }
    free(bytes);
    assert_true(errors > 100);
    assert_true(seen > 4000);
}

/* Keys that are gone from the middle must not turn into consecutive ones. */
static void missing_keys_are_damage_unless_the_file_ends(void **state)
{
    (void)state;
    size_t length, at = 1;
    struct reading reading;
    struct mh_journal_end end;
    write_events();
    uint8_t *bytes = load(&length);
    for (size_t i = 0; i < COUNT(events); at += records_for(&events[i++])) {
        if (!events[i].scattered || events[i].type != MH_RECORD_INTENT)
            continue;
        struct mh_error err = {""};
        const size_t to = (at + 1) * MH_JOURNAL_ENTRY;
        uint8_t *copy = malloc(length); /* without the first record of keys */
        memcpy(copy, bytes, to);
        memcpy(copy + to, bytes + to + MH_JOURNAL_ENTRY, length - to - MH_JOURNAL_ENTRY);
        seal(copy, length - MH_JOURNAL_ENTRY);
        store(copy, length - MH_JOURNAL_ENTRY);
        free(copy);
        assert_int_equal(read_events(&reading, &end, &err), -1);
        assert_non_null(strstr(err.text, file));
    }
    free(bytes);
}

static int take_found(void *context, const struct mh_record *record, const int64_t *keys,
                      const uint16_t *versions, const char *text, struct mh_error *err)
{
    (void)keys;
    (void)versions;
    (void)text;
    (void)err;
    if (record->type == MH_RECORD_VIOLATION)
        mh_journal_violation_of(record, context);
    return 0;
}

static void a_violation_comes_back_but_for_its_write(void **state)
{
    (void)state;
    struct mh_journal_violation found, put = {.more = 4,
                                              .violation = {.id = -1 - (1LL << 50),
                                                            .cycle = 7,
                                                            .expected_version = 3,
                                                            .seen_version = -2,
                                                            .first_seen_ns = 5,
                                                            .last_seen_ns = 6,
                                                            .kind = MH_WRONG_ORDER,
                                                            .partition = -1,
                                                            .seen_partition = 2,
                                                            .worker = -1,
                                                            .rank = -1,
                                                            .kind_of_write = -1,
                                                            .first_pass = -1,
                                                            .last_pass = -1,
                                                            .seen_by = MH_OP_QUERY,
                                                            .reader = 9,
                                                            .expected_value = 0.5,
                                                            .seen_value = -0.25}};
    struct mh_journal_start start;
    struct mh_journal_end end;
    struct mh_error err = {""};
    open_journal();
    mh_journal_condemn(&journal, &put);
    size_t length;
    uint8_t *bytes = load(&length);
    assert_int_equal(length, 2 * MH_JOURNAL_ENTRY); /* at once */
    mh_journal_close(&journal, false);
    memset(&found, 0, sizeof found);
    assert_int_equal(mh_journal_read(file, &start, take_found, &found, &end, &err), 0);
    assert_memory_equal(&found, &put, sizeof put);
    bytes[MH_JOURNAL_ENTRY + 64] = MH_WRONGS; /* a kind that there is not */
    seal(bytes, length);
    store(bytes, length);
    free(bytes);
    assert_int_equal(mh_journal_read(file, &start, take_found, &found, &end, &err), -1);
    assert_non_null(strstr(err.text, "is damaged"));
}

static void only_this_format_is_read(void **state)
{
    (void)state;
    size_t length;
    int seen = 0;
    struct mh_journal_end end;
    struct mh_journal_start start;
    struct mh_error err = {""};
    write_events();
    uint8_t *bytes = load(&length);
    memset(bytes + offsetof(struct mh_journal_start, host), 'h', sizeof start.host);
    seal(bytes, length);
    store(bytes, length);
    assert_int_equal(mh_journal_read(file, &start, touch, &seen, &end, &err), 0);
    assert_int_equal(strnlen(start.host, sizeof start.host), sizeof start.host - 1);
    static const int32_t formats[] = {MH_JOURNAL_FORMAT - 1, MH_JOURNAL_FORMAT + 1, 0x7f454c46};
    for (size_t i = 0; i < COUNT(formats); i++) {
        memcpy(bytes + offsetof(struct mh_journal_start, format), &formats[i], sizeof formats[i]);
        store(bytes, length);
        assert_int_equal(mh_journal_read(file, &start, touch, &seen, &end, &err), -1);
        assert_non_null(strstr(err.text, file));
        assert_non_null(strstr(err.text, i < 2 ? "another version" : "no journal of this program"));
    }
    free(bytes);
    unlink(file);
    assert_int_equal(mh_journal_read(file, &start, touch, &seen, &end, &err), -1);
    assert_non_null(strstr(err.text, file));
}

static int refuse(void *context, const struct mh_record *record, const int64_t *keys,
                  const uint16_t *versions, const char *text, struct mh_error *err)
{
    int *left = context;
    (void)record, (void)keys, (void)versions, (void)text;
    return (*left)-- > 0 ? 0 : mh_fail(err, "enough");
}

static void a_visitor_can_stop_the_reading(void **state)
{
    (void)state;
    write_events();
    for (int after = 0; after < 6; after++) {
        struct mh_journal_start start;
        struct mh_error err = {""};
        int left = after;
        struct mh_journal_end end;
        assert_int_equal(mh_journal_read(file, &start, refuse, &left, &end, &err), -1);
        assert_string_equal(err.text, "enough");
        assert_int_equal(left, -1);
    }
}

/* ---- when it reaches the file ---- */

static off_t size_now(void)
{
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    return info.st_size / MH_JOURNAL_ENTRY;
}

enum { MANY = 10000, TEXT_KEPT = 104 };

static int check_large(void *context, const struct mh_record *record, const int64_t *keys,
                       const uint16_t *versions, const char *text, struct mh_error *err)
{
    int *seen = context;
    (void)err;
    if (record->rows != MANY)
        return 0;
    assert_int_equal(strlen(text), TEXT_KEPT);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(keys[i], 5 * i);
        assert_int_equal(versions[i], 9);
    }
    (*seen)++;
    return 0;
}

static void an_intent_is_on_file_before_it_is_sent(void **state)
{
    (void)state;
    static int64_t keys[MANY];
    struct mh_record record = {.type = MH_RECORD_INTENT,
                               .kind = MH_OP_DELETE,
                               .rows = MANY,
                               .flags = MH_RECORD_SCATTERED,
                               .version = 9};
    char text[TEXT_KEPT + 50];
    struct mh_journal_start start;
    struct mh_error err;
    int seen = 0;
    struct mh_journal_end end;
    open_journal();
    assert_int_equal(size_now(), 1);
    append(&events[0]);
    assert_int_equal(size_now(), 1); /* nothing hurries it */
    append(&events[2]);
    assert_int_equal(size_now(), 1 + 1 + 1 + 3);
    for (int i = 0; i < MANY; i++)
        keys[i] = 5 * i;
    mh_journal_append(&journal, &record, keys, NULL, NULL); /* larger than the buffer */
    assert_int_equal(size_now(), 6 + 1 + (MANY + 12) / 13);
    record.type = MH_RECORD_DONE;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    mh_journal_append(&journal, &record, NULL, NULL, text);
    mh_journal_flush(&journal);
    assert_int_equal(size_now(), 6 + 1 + (MANY + 12) / 13 + 2);
    assert_string_equal(journal.path, file);
    mh_journal_close(&journal, false);
    assert_int_equal(mh_journal_read(file, &start, check_large, &seen, &end, &err), 0);
    assert_int_equal(seen, 1);
}

static void a_journal_is_never_written_over(void **state)
{
    (void)state;
    struct mh_journal second;
    struct mh_error err = {""};
    write_events();
    assert_int_equal(mh_journal_open(&second, folder, &started, &err), -1);
    assert_non_null(strstr(err.text, file));
    unlink(file);
    open_journal();
    mh_journal_close(&journal, true);
    assert_int_equal(access(file, F_OK), -1);
    append(&events[0]); /* closed: goes nowhere */
}

/* The file may not grow further: the run goes on, and what is there still reads. */
static void a_full_disk_leaves_a_prefix(void **state)
{
    (void)state;
    struct rlimit limit, before;
    struct reading reading;
    struct mh_error err;
    struct mh_journal_end end;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 7 * MH_JOURNAL_ENTRY + 5;
    open_journal();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (size_t i = 0; i < COUNT(events); i++)
        append(&events[i]);
    bool failed = journal.failed;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    append(&events[0]); /* there is room again, but behind a gap */
    mh_journal_close(&journal, false);
    assert_true(failed);
    assert_int_equal(read_events(&reading, &end, &err), 0);
    assert_false(end.whole);
    check_reading(&reading, 7);
}

static int write_backs, written_fd;

/* In place of libc's. */
int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags)
{
    write_backs++;
    written_fd = fd;
    assert_true(offset == 0 && bytes == 0);         /* all of it */
    assert_int_equal(flags, SYNC_FILE_RANGE_WRITE); /* no flag that waits */
    return 0;
}

static void it_is_written_back_without_a_wait(void **state)
{
    (void)state;
    write_backs = 0;
    open_journal();
    mh_journal_write_back(&journal);
    assert_int_equal(write_backs, 1);
    assert_int_equal(written_fd, journal.fd);
    mh_journal_close(&journal, false);
    mh_journal_write_back(&journal);
    assert_int_equal(write_backs, 1);
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(what_is_written_comes_back),
        ON_DISK(cut_off_anywhere_it_is_a_prefix),
        ON_DISK(one_flipped_bit_is_damage),
        ON_DISK(a_flipped_bit_of_the_sign_of_life_makes_that_unknown),
        ON_DISK(a_tail_of_zeros_is_cut_off),
        ON_DISK(a_journal_may_have_nothing_in_it),
        ON_DISK(one_that_cannot_be_read_is_an_error),
        ON_DISK(records_that_are_gone_from_the_midst_are_damage),
        ON_DISK(the_tail_of_another_journal_is_damage),
        ON_DISK(records_that_changed_places_are_damage),
        ON_DISK(whatever_passes_for_records_does_no_harm),
        ON_DISK(missing_keys_are_damage_unless_the_file_ends),
        ON_DISK(a_violation_comes_back_but_for_its_write),
        ON_DISK(only_this_format_is_read),
        ON_DISK(a_visitor_can_stop_the_reading),
        ON_DISK(an_intent_is_on_file_before_it_is_sent),
        ON_DISK(a_journal_is_never_written_over),
        ON_DISK(a_full_disk_leaves_a_prefix),
        ON_DISK(it_is_written_back_without_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
