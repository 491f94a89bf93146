#include "truth/reads.h"

#include "base/alive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { READS_STREAM = 0x72656164 };

void mh_reads_begin(struct mh_reads *reads)
{
    reads->log.length = 0;
    reads->operations = reads->asked = reads->kept = 0;
    reads->stride = 1;
    reads->no_memory = false;
}

void mh_reads_free(struct mh_reads *reads)
{
    free(reads->log.data);
    reads->log = (struct mh_bytes){0};
}

/* ---- which version a row's fields are of ---- */

static bool is_of(const struct mh_content *content, const struct mh_reply *reply, int64_t row, int64_t id,
                  int64_t version)
{
    for (size_t f = 0; f < content->field_count; f++) {
        const struct mh_column *column = mh_reply_column(reply, content->fields[f].name);
        if (column && !mh_content_matches(content, f, column, row, id, version))
            return false;
    }
    return true;
}

static bool tells_version(const struct mh_content *content, const struct mh_reply *reply)
{
    for (size_t f = 0; f < content->field_count; f++)
        if ((int)f != content->key_field && mh_content_field_tells(content, f) &&
            mh_reply_column(reply, content->fields[f].name))
            return true;
    return false;
}

static bool has_vectors(const struct mh_content *content, const struct mh_reply *reply)
{
    for (size_t f = 0; f < content->field_count; f++)
        if (content->fields[f].type == MH_FIELD_FLOAT_VECTOR &&
            mh_reply_column(reply, content->fields[f].name))
            return true;
    return false;
}

/* A field that was asked for and did not come. A search brings its keys beside the fields. */
static bool lacks_field(const struct mh_content *content, const struct mh_op *op)
{
    const bool search = op->request.kind == MH_OP_SEARCH;
    for (size_t i = 0; i < op->request.output_count; i++) {
        const char *name = op->request.output_fields[i];
        const bool all = strcmp(name, "*") == 0;
        for (size_t f = 0; f < content->field_count; f++) {
            const struct mh_field *field = &content->fields[f];
            const bool asked = all ? field->type != MH_FIELD_FLOAT_VECTOR : strcmp(name, field->name) == 0;
            if (asked && !(search && field->primary) && !mh_reply_column(&op->reply, field->name))
                return true;
        }
    }
    return false;
}

/* What the columns of a reply can say of its rows. */
struct telling {
    bool lacking, versions, vectors;
};

static int32_t claim_of(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                        int64_t id, const struct telling *telling)
{
    if (telling->lacking)
        return MH_CLAIM_FALSE;
    if (reply->column_count == 0)
        return MH_CLAIM_NONE;
    mh_alive(); /* for a row of no version all are tried */
    for (int32_t version = 0; version <= MH_LAST_VERSION; version++)
        if (is_of(content, reply, row, id, version))
            return telling->versions ? version : telling->vectors ? MH_CLAIM_VECTOR - version : MH_CLAIM_NONE;
    return MH_CLAIM_FALSE;
}

int32_t mh_seen_version(const struct mh_seen *seen)
{
    return seen->claim >= 0                 ? seen->claim
           : seen->claim <= MH_CLAIM_VECTOR ? MH_CLAIM_VECTOR - seen->claim
                                            : -1;
}

/* A vector that a search's score told did not come, and counts all the same. */
static bool is_shown(const struct mh_content *content, const struct mh_reading *reading,
                     const struct mh_seen *seen, size_t field)
{
    return reading->fields >> field & 1 ||
           ((int)field == content->vector_field && seen->claim <= MH_CLAIM_VECTOR);
}

bool mh_seen_fits(const struct mh_content *content, const struct mh_reading *reading,
                  const struct mh_seen *seen, int64_t version)
{
    const int32_t shown = mh_seen_version(seen);
    if (shown < 0 || shown == version)
        return seen->claim != MH_CLAIM_FALSE;
    for (size_t f = 0; f < content->field_count; f++)
        if (is_shown(content, reading, seen, f) && !mh_content_same(content, f, seen->id, shown, version))
            return false;
    return true;
}

/* ---- keeping ---- */

static size_t length_of(const struct mh_reading *reading)
{
    return sizeof *reading + mh_reading_tail(reading) + (size_t)reading->rows * sizeof(struct mh_seen);
}

struct mh_reading *mh_reads_next(const struct mh_reads *reads, size_t *at)
{
    if (*at >= reads->log.length)
        return NULL;
    mh_alive();
    struct mh_reading *reading = (void *)(reads->log.data + *at);
    *at += length_of(reading);
    return reading;
}

const char *mh_reading_text(const struct mh_reading *reading)
{
    return (const char *)(reading + 1);
}

const struct mh_seen *mh_reading_rows(const struct mh_reading *reading)
{
    return (const void *)((const char *)(reading + 1) + mh_reading_tail(reading));
}

void mh_reading_set_version(struct mh_reading *reading, int32_t row, int32_t version)
{
    struct mh_seen *rows = (void *)((char *)(reading + 1) + mh_reading_tail(reading));
    rows[row].claim = rows[row].claim >= 0 ? version : MH_CLAIM_VECTOR - version;
}

const int32_t *mh_reading_places(const struct mh_reading *reading)
{
    return (const void *)((const char *)(reading + 1) + reading->text_room);
}

size_t mh_reading_tail(const struct mh_reading *reading)
{
    return reading->text_room + ((size_t)reading->places + 1) / 2 * 8;
}

bool mh_reading_looks_in(const struct mh_reading *reading, int32_t partition)
{
    const int32_t *places = mh_reading_places(reading);
    for (int32_t i = 0; i < reading->places; i++)
        if (places[i] == partition)
            return true;
    return reading->places == 0;
}

/* Every second one goes, so that those that stay are spread over the whole stage. */
static void thin_out(struct mh_reads *reads)
{
    size_t at = 0, to = 0;
    const struct mh_reading *reading;
    for (int64_t i = 0; (reading = mh_reads_next(reads, &at)); i++) {
        const size_t length = length_of(reading);
        if (i % 2 == 0) {
            memmove(reads->log.data + to, reading, length);
            to += length;
        }
    }
    reads->log.length = to;
    reads->kept = (reads->kept + 1) / 2;
    reads->stride *= 2;
}

static uint64_t fields_in(const struct mh_content *content, const struct mh_reply *reply)
{
    uint64_t fields = 0;
    for (size_t f = 0; f < content->field_count; f++)
        fields |= (uint64_t)(mh_reply_column(reply, content->fields[f].name) != NULL) << f;
    return fields;
}

static struct mh_reading reading_of(const struct mh_reads *reads, const struct mh_op *op)
{
    struct mh_reading reading;
    memset(&reading, 0, sizeof reading); /* it travels, padding and all */
    reading.sent_ns = op->sent_ns - reads->start_ns;
    reading.done_ns = op->done_ns - reads->start_ns;
    reading.sequence = op->tag;
    reading.limit = op->request.limit;
    reading.offset = op->request.offset;
    reading.count = -1;
    reading.query = -1;
    reading.highest = INT64_MIN;
    reading.fields = fields_in(reads->content, &op->reply);
    reading.radius = op->read.radius;
    reading.range_filter = op->read.range_filter;
    reading.worker = (int32_t)op->worker->number;
    reading.stage = op->worker->stage;
    reading.role = op->worker->role;
    reading.item = op->read.item;
    reading.consistency = op->request.consistency;
    reading.places = (int32_t)op->request.partition_count;
    reading.kind = (uint8_t)op->request.kind;
    reading.exact = op->read.exact;
    reading.page = op->request.iterator;
    reading.text_room = (uint32_t)(strlen(op->read.text) / 8 + 1) * 8;
    return reading;
}

/* The role has checked that the plan has them all. */
static int32_t place_of(const struct mh_plan *plan, const char *name)
{
    for (int32_t p = 0; p < plan->partition_count; p++)
        if (strcmp(plan->partitions[p], name) == 0)
            return p;
    return -1;
}

static int put_places(struct mh_reads *reads, const struct mh_request *request)
{
    const int32_t none = -1;
    int rc = 0;
    for (size_t i = 0; i < request->partition_count && rc == 0; i++) {
        const int32_t place = place_of(reads->plan, request->partitions[i]);
        rc = mh_bytes_append(&reads->log, &place, sizeof place);
    }
    if (rc == 0 && request->partition_count % 2 == 1)
        rc = mh_bytes_append(&reads->log, &none, sizeof none);
    return rc;
}

static int put(struct mh_reads *reads, const struct mh_op *op, const struct mh_reading *reading)
{
    static const char zeros[8];
    const size_t length = strlen(op->read.text);
    if (mh_bytes_append(&reads->log, reading, sizeof *reading) != 0 ||
        mh_bytes_append(&reads->log, op->read.text, length) != 0 ||
        mh_bytes_append(&reads->log, zeros, reading->text_room - length) != 0)
        return -1;
    return put_places(reads, &op->request);
}

static int put_rows(struct mh_reads *reads, const struct mh_op *op, const int64_t *ids, int64_t from,
                    int64_t count)
{
    const struct telling telling = {.lacking = lacks_field(reads->content, op),
                                    .versions = tells_version(reads->content, &op->reply),
                                    .vectors = has_vectors(reads->content, &op->reply)};
    for (int64_t i = from; i < from + count; i++) {
        const struct mh_seen seen = {.id = ids[i],
                                     .score = op->reply.scores ? op->reply.scores[i] : 0,
                                     .claim = claim_of(reads->content, &op->reply, i, ids[i], &telling)};
        if (mh_bytes_append(&reads->log, &seen, sizeof seen) != 0)
            return -1;
    }
    return 0;
}

/* One reading of those the operation makes; false when its turn is not to be kept. */
static bool wanted(struct mh_reads *reads, const struct mh_op *op)
{
    struct mh_random draw = {.seed = reads->seed ^ READS_STREAM,
                             .stream = (uint64_t)op->worker->number,
                             .counter = (uint64_t)op->tag};
    return reads->asked++ % reads->stride == 0 && mh_random_unit(&draw) < reads->share;
}

static void keep(struct mh_reads *reads, const struct mh_op *op, struct mh_reading *reading,
                 const int64_t *ids, int64_t from, int64_t count)
{
    const size_t before = reads->log.length;
    if (!wanted(reads, op))
        return;
    reading->rows = (int32_t)count;
    for (int64_t i = 0; i < count; i++)
        if (ids[from + i] > reading->highest)
            reading->highest = ids[from + i];
    if (put(reads, op, reading) != 0 || put_rows(reads, op, ids, from, count) != 0) {
        reads->log.length = before;
        reads->no_memory = true;
        return;
    }
    reads->kept++;
    if ((int64_t)reads->log.length > MH_READS_MOST_BYTES && reads->kept > 1)
        thin_out(reads);
}

static void note_search(struct mh_reads *reads, const struct mh_op *op)
{
    struct mh_reading reading = reading_of(reads, op);
    int64_t from = 0;
    for (int64_t q = 0; q < op->request.query_count; q++) {
        const bool last = q == op->request.query_count - 1; /* it gets what was not asked for, too */
        const int64_t count = last                        ? op->reply.hit_count - from
                              : q < op->reply.query_count ? op->reply.hits_of[q]
                                                          : 0;
        reading.query = op->read.first_query + q;
        keep(reads, op, &reading, op->reply.ids, from, count);
        from += count;
    }
}

static void note_query(struct mh_reads *reads, const struct mh_op *op)
{
    struct mh_reading reading = reading_of(reads, op);
    if (op->read.count) {
        const struct mh_column *column = mh_reply_column(&op->reply, "count(*)");
        reading.count = column && column->type == MH_FIELD_INT64 && column->rows == 1
                            ? *(const int64_t *)column->values
                            : -2;
        keep(reads, op, &reading, NULL, 0, 0);
        return;
    }
    const int64_t *ids, rows = mh_content_keys(reads->content, &op->reply, &ids);
    reading.keyless = rows < 0;
    keep(reads, op, &reading, ids, 0, rows < 0 ? 0 : rows);
}

void mh_reads_note(struct mh_reads *reads, const struct mh_op *op)
{
    reads->operations++;
    if (op->request.kind == MH_OP_SEARCH)
        note_search(reads, op);
    else
        note_query(reads, op);
}
