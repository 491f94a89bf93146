#include "dataset/content.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORTEST_TELLING_TEXT = 8, FIELD_STREAM = 0x636f6e74 };

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b == 0 ? a : common_divisor(b, a % b);
}

/* Far from 1, so that versions are no neighbours; without a common divisor with `rows`, so that none comes
 * back before all rows were used. */
static int64_t stride_for(int64_t rows)
{
    int64_t stride = (int64_t)((double)rows * 0.6180339887498949) | 1;
    while (common_divisor(rows, stride) != 1)
        stride += 2;
    return stride;
}

void mh_content_init(struct mh_content *content, const struct mh_dataset *dataset,
                     const struct mh_collection_options *collection, uint64_t seed)
{
    *content = (struct mh_content){.dataset = dataset,
                                   .fields = collection->fields.items,
                                   .field_count = collection->fields.count,
                                   .stride = stride_for(dataset->shape.train_rows),
                                   .seed = seed};
    for (size_t i = 0; i < content->field_count; i++) {
        if (content->fields[i].primary)
            content->key_field = (int)i;
        if (content->fields[i].type == MH_FIELD_FLOAT_VECTOR)
            content->vector_field = (int)i;
    }
}

const char *mh_content_key_name(const struct mh_content *content)
{
    return content->fields[content->key_field].name;
}

const char *mh_content_vector_name(const struct mh_content *content)
{
    return content->fields[content->vector_field].name;
}

bool mh_content_field_tells(const struct mh_content *content, size_t at)
{
    const struct mh_field *field = &content->fields[at];
    const bool wide = field->type == MH_FIELD_INT32 || field->type == MH_FIELD_INT64 ||
                      field->type == MH_FIELD_FLOAT || field->type == MH_FIELD_DOUBLE;
    return (wide && !field->primary) ||
           (field->type == MH_FIELD_VARCHAR && field->max_length >= SHORTEST_TELLING_TEXT);
}

bool mh_content_tells_version(const struct mh_content *content)
{
    for (size_t i = 0; i < content->field_count; i++)
        if (mh_content_field_tells(content, i))
            return true;
    return false;
}

/* ---- one value ---- */

static int64_t vector_row(const struct mh_content *content, int64_t id, int64_t version)
{
    int64_t rows = content->dataset->shape.train_rows;
    return (id % rows + version % rows * content->stride) % rows;
}

const float *mh_content_vector(const struct mh_content *content, int64_t id, int64_t version)
{
    return content->dataset->train + vector_row(content, id, version) * content->dataset->shape.dim;
}

static uint64_t draw(const struct mh_content *content, size_t field, int64_t id, int64_t version)
{
    return mh_random(content->seed ^ FIELD_STREAM, (uint64_t)id, (uint64_t)version << 8 | field);
}

static int64_t integer_value(int type, uint64_t bits)
{
    switch (type) {
    case MH_FIELD_BOOL:
        return (int64_t)(bits & 1);
    case MH_FIELD_INT8:
        return (int8_t)bits;
    case MH_FIELD_INT16:
        return (int16_t)bits;
    case MH_FIELD_INT32:
        return (int32_t)bits;
    default:
        return (int64_t)bits;
    }
}

static float float_value(uint64_t bits)
{
    return (float)(bits >> 40) * 0x1p-24f;
}

static double double_value(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

static char *put_decimal(char *end, uint64_t value)
{
    char digits[20];
    int n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *end++ = digits[--n];
    return end;
}

enum { TEXT_ROOM = 64 };

/* The short form keeps what tells rows and versions apart in front, should max_length cut it. */
static size_t text_value(const struct mh_field *field, uint64_t bits, int64_t id, int64_t version,
                         char text[TEXT_ROOM])
{
    char *end = text;
    if (field->max_length < 40) {
        for (int i = 0; i < 16; i++)
            *end++ = "0123456789abcdef"[bits >> (4 * i) & 15];
    } else {
        memcpy(end, "prefix", 6);
        end += 6;
        *end++ = (char)('0' + bits / 10 % 10);
        *end++ = (char)('0' + bits % 10);
        *end++ = '_';
        end = put_decimal(end, (uint64_t)id);
        *end++ = '_';
        *end++ = 'v';
        end = put_decimal(end, (uint64_t)version);
    }
    size_t length = (size_t)(end - text);
    if (length > (size_t)field->max_length)
        length = (size_t)field->max_length;
    text[length] = '\0';
    return length;
}

/* ---- rows to send ---- */

static size_t element_size(int type)
{
    switch (type) {
    case MH_FIELD_INT64:
        return sizeof(int64_t);
    case MH_FIELD_DOUBLE:
        return sizeof(double);
    case MH_FIELD_VARCHAR:
        return sizeof(char *);
    default:
        return 4; /* bool, int8 to int32, float */
    }
}

static size_t text_bytes(const struct mh_content *content)
{
    size_t bytes = 0;
    for (size_t i = 0; i < content->field_count; i++)
        if (content->fields[i].type == MH_FIELD_VARCHAR)
            bytes += TEXT_ROOM;
    return bytes;
}

int mh_rowset_init(struct mh_rowset *set, const struct mh_content *content, int64_t room)
{
    *set = (struct mh_rowset){.room = room, .column_count = content->field_count};
    set->ids = calloc((size_t)room, sizeof *set->ids);
    set->columns = calloc(content->field_count, sizeof *set->columns);
    set->buffers = calloc(content->field_count, sizeof *set->buffers);
    set->text_room = text_bytes(content) * (size_t)room;
    set->text = malloc(set->text_room + 1);
    if (!set->ids || !set->columns || !set->buffers || !set->text)
        goto no_memory;
    for (size_t i = 0; i < content->field_count; i++) {
        const struct mh_field *field = &content->fields[i];
        set->columns[i] =
            (struct mh_column){.name = field->name, .type = field->type, .dim = content->dataset->shape.dim};
        if (field->primary || field->type == MH_FIELD_FLOAT_VECTOR)
            continue;
        set->buffers[i] = malloc(element_size(field->type) * (size_t)room);
        if (!set->buffers[i])
            goto no_memory;
    }
    return 0;
no_memory:
    mh_rowset_free(set);
    return -1;
}

void mh_rowset_free(struct mh_rowset *set)
{
    for (size_t i = 0; set->buffers && i < set->column_count; i++)
        free(set->buffers[i]);
    free(set->buffers);
    free(set->columns);
    free(set->ids);
    free(set->text);
    *set = (struct mh_rowset){0};
}

static void put_value(struct mh_rowset *set, const struct mh_field *field, void *buffer, int64_t row,
                      uint64_t bits, int64_t version)
{
    switch (field->type) {
    case MH_FIELD_INT64:
        ((int64_t *)buffer)[row] = integer_value(field->type, bits);
        break;
    case MH_FIELD_FLOAT:
        ((float *)buffer)[row] = float_value(bits);
        break;
    case MH_FIELD_DOUBLE:
        ((double *)buffer)[row] = double_value(bits);
        break;
    case MH_FIELD_VARCHAR:
        ((char **)buffer)[row] = set->text + set->text_used;
        set->text_used += text_value(field, bits, set->ids[row], version, set->text + set->text_used) + 1;
        break;
    default:
        ((int32_t *)buffer)[row] = (int32_t)integer_value(field->type, bits);
    }
}

static void fill_scalars(struct mh_rowset *set, const struct mh_content *content, size_t field,
                         const uint16_t *versions)
{
    void *buffer = set->buffers[field];
    for (int64_t row = 0; row < set->rows; row++) {
        int64_t version = versions ? versions[row] : 0;
        put_value(set, &content->fields[field], buffer, row, draw(content, field, set->ids[row], version),
                  version);
    }
    set->columns[field].values = buffer;
}

static bool side_by_side(const struct mh_rowset *set, const struct mh_content *content,
                         const uint16_t *versions)
{
    for (int64_t i = 1; i < set->rows; i++)
        if (set->ids[i] != set->ids[0] + i || (versions && versions[i] != versions[0]))
            return false;
    return set->rows <= content->dataset->overlap + 1;
}

static int fill_vectors(struct mh_rowset *set, const struct mh_content *content, const uint16_t *versions)
{
    struct mh_column *column = &set->columns[content->vector_field];
    column->release = NULL;
    column->values = mh_content_vector(content, set->ids[0], versions ? versions[0] : 0);
    if (side_by_side(set, content, versions))
        return 0;
    size_t dim = (size_t)content->dataset->shape.dim;
    float *copy = malloc((size_t)set->rows * dim * sizeof *copy);
    if (!copy)
        return -1;
    for (int64_t i = 0; i < set->rows; i++)
        memcpy(copy + (size_t)i * dim, mh_content_vector(content, set->ids[i], versions ? versions[i] : 0),
               dim * sizeof *copy);
    column->values = column->held = copy;
    column->release = free;
    return 0;
}

int mh_rowset_fill(struct mh_rowset *set, const struct mh_content *content, const uint16_t *versions)
{
    set->text_used = 0;
    set->columns[content->key_field].values = set->ids;
    for (size_t i = 0; i < content->field_count; i++) {
        set->columns[i].rows = set->rows;
        if (set->buffers[i])
            fill_scalars(set, content, i, versions);
    }
    return fill_vectors(set, content, versions);
}

void mh_content_scalar(const struct mh_content *content, size_t field, int64_t id, int64_t version,
                       struct mh_scalar *out)
{
    const struct mh_field *kind = &content->fields[field];
    const uint64_t bits = draw(content, field, id, version);
    if (kind->primary)
        out->whole = id;
    else if (kind->type == MH_FIELD_VARCHAR)
        text_value(kind, bits, id, version, out->text);
    else if (kind->type == MH_FIELD_FLOAT)
        out->real = (double)float_value(bits);
    else if (kind->type == MH_FIELD_DOUBLE)
        out->real = double_value(bits);
    else
        out->whole = integer_value(kind->type, bits);
}

bool mh_content_same(const struct mh_content *content, size_t field, int64_t id, int64_t version,
                     int64_t other)
{
    struct mh_scalar a = {0}, b = {0};
    if (content->fields[field].type == MH_FIELD_FLOAT_VECTOR)
        return memcmp(mh_content_vector(content, id, version), mh_content_vector(content, id, other),
                      (size_t)content->dataset->shape.dim * sizeof(float)) == 0;
    mh_content_scalar(content, field, id, version, &a);
    mh_content_scalar(content, field, id, other, &b);
    return a.whole == b.whole && a.real == b.real && strcmp(a.text, b.text) == 0;
}

/* ---- rows received ---- */

bool mh_content_matches(const struct mh_content *content, size_t field, const struct mh_column *column,
                        int64_t row, int64_t id, int64_t version)
{
    const struct mh_field *kind = &content->fields[field];
    if (column->type != kind->type || row >= column->rows)
        return false;
    if (kind->primary)
        return ((const int64_t *)column->values)[row] == id;
    if (kind->type == MH_FIELD_FLOAT_VECTOR) {
        size_t dim = (size_t)content->dataset->shape.dim;
        return column->dim == (int64_t)dim &&
               memcmp((const float *)column->values + (size_t)row * dim,
                      mh_content_vector(content, id, version), dim * sizeof(float)) == 0;
    }
    uint64_t bits = draw(content, field, id, version);
    char text[TEXT_ROOM];
    switch (kind->type) {
    case MH_FIELD_INT64:
        return ((const int64_t *)column->values)[row] == integer_value(kind->type, bits);
    case MH_FIELD_FLOAT:
        return ((const float *)column->values)[row] == float_value(bits);
    case MH_FIELD_DOUBLE:
        return ((const double *)column->values)[row] == double_value(bits);
    case MH_FIELD_VARCHAR:
        text_value(kind, bits, id, version, text);
        return strcmp(((char *const *)column->values)[row], text) == 0;
    default:
        return ((const int32_t *)column->values)[row] == (int32_t)integer_value(kind->type, bits);
    }
}

int64_t mh_content_keys(const struct mh_content *content, const struct mh_reply *reply, const int64_t **ids)
{
    const struct mh_column *keys = mh_reply_column(reply, mh_content_key_name(content));
    const bool known = keys && keys->type == MH_FIELD_INT64 && keys->rows > 0;
    *ids = known ? keys->values : NULL;
    if (known)
        return keys->rows;
    for (size_t c = 0; c < reply->column_count; c++)
        if (reply->columns[c].rows > 0)
            return -1;
    return 0; /* some servers leave out every column of an empty reply */
}
