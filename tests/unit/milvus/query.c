#include "milvus/query.h"

#include "check.h"

#include <string.h>

static protobuf_c_boolean bools[] = {1, 0, 1};
static int32_t ints[] = {-128, 32767, -7};
static int64_t longs[] = {INT64_MIN, 0, INT64_MAX};
static float floats[] = {0.5f, -1.25f, 3e38f, 4, 5, 6, 7};
static double doubles[] = {0.1, -1e300, 5e-324};
static char first[] = "one", second[] = "", third[] = "drei ü", *texts[] = {first, second, third};

enum { MOST = MH_MOST_FIELDS + 1 };

struct parts {
    SCHEMA(FieldData) field;
    SCHEMA(ScalarField) scalars;
    SCHEMA(VectorField) vectors;
    SCHEMA(BoolArray) bools;
    SCHEMA(IntArray) ints;
    SCHEMA(LongArray) longs;
    SCHEMA(FloatArray) floats;
    SCHEMA(DoubleArray) doubles;
    SCHEMA(StringArray) texts;
    char name[3];
};

#define HOLD(member, array, CASE)                                                                            \
    do {                                                                                                     \
        parts->member.data = member;                                                                         \
        parts->member.n_data = column->rows;                                                                 \
        parts->scalars.array = &parts->member;                                                               \
        parts->scalars.data_case = MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_##CASE;                         \
    } while (0)

static void hold_scalars(struct parts *parts, const struct odd_column *column)
{
    switch (column->data) {
    case BOOLS:
        HOLD(bools, bool_data, BOOL_DATA);
        break;
    case INTS:
        HOLD(ints, int_data, INT_DATA);
        break;
    case LONGS:
        HOLD(longs, long_data, LONG_DATA);
        break;
    case DOUBLES:
        HOLD(doubles, double_data, DOUBLE_DATA);
        break;
    case TEXTS:
        HOLD(texts, string_data, STRING_DATA);
        break;
    default:
        parts->floats.data =
            (ProtobufCBinaryData){column->rows * 4 - 2 * (column->data == TORN_FLOATS), (uint8_t *)floats};
        parts->scalars.float_data = &parts->floats;
        parts->scalars.data_case = MILVUS__PROTO__SCHEMA__SCALAR_FIELD__DATA_FLOAT_DATA;
    }
}

static void hold(struct parts *parts, const struct odd_column *column)
{
    *parts =
        (struct parts){MILVUS__PROTO__SCHEMA__FIELD_DATA__INIT,   MILVUS__PROTO__SCHEMA__SCALAR_FIELD__INIT,
                       MILVUS__PROTO__SCHEMA__VECTOR_FIELD__INIT, MILVUS__PROTO__SCHEMA__BOOL_ARRAY__INIT,
                       MILVUS__PROTO__SCHEMA__INT_ARRAY__INIT,    MILVUS__PROTO__SCHEMA__LONG_ARRAY__INIT,
                       MILVUS__PROTO__SCHEMA__FLOAT_ARRAY__INIT,  MILVUS__PROTO__SCHEMA__DOUBLE_ARRAY__INIT,
                       MILVUS__PROTO__SCHEMA__STRING_ARRAY__INIT, ""};
    parts->field.field_name = parts->name;
    parts->field.type = mh_wire_type(column->type);
    if (column->data == NOTHING)
        return;
    if (column->data != VECTORS && column->data != TORN_VECTORS) {
        hold_scalars(parts, column);
        parts->field.scalars = &parts->scalars;
        parts->field.field_case = MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_SCALARS;
        return;
    }
    parts->floats.data =
        (ProtobufCBinaryData){column->rows * 8 - 2 * (column->data == TORN_VECTORS), (uint8_t *)floats};
    parts->vectors.dim = column->dim;
    parts->vectors.float_vector = &parts->floats;
    parts->vectors.data_case = MILVUS__PROTO__SCHEMA__VECTOR_FIELD__DATA_FLOAT_VECTOR;
    parts->field.vectors = &parts->vectors;
    parts->field.field_case = MILVUS__PROTO__SCHEMA__FIELD_DATA__FIELD_VECTORS;
}

struct bytes query_of(const struct odd_column *columns, size_t count)
{
    static struct parts parts[MOST];
    SCHEMA(FieldData) * fields[MOST];
    COMMON(Status) status = MILVUS__PROTO__COMMON__STATUS__INIT;
    MILVUS(QueryResults) message = MILVUS__PROTO__MILVUS__QUERY_RESULTS__INIT;
    for (size_t i = 0; i < count; i++) {
        hold(&parts[i], &columns[i]);
        parts[i].name[0] = 'c';
        parts[i].name[1] = (char)('a' + i);
        fields[i] = &parts[i].field;
    }
    message.status = &status;
    message.fields_data = fields;
    message.n_fields_data = count;
    return bytes_of(&message.base);
}

void check_values(const struct mh_column *column, enum data data)
{
    for (int i = 0; data == TEXTS && i < 3; i++)
        assert_string_equal(((char *const *)column->values)[i], texts[i]);
    const void *values = data == BOOLS     ? (const void *)bools
                         : data == INTS    ? (const void *)ints
                         : data == LONGS   ? (const void *)longs
                         : data == DOUBLES ? (const void *)doubles
                                           : (const void *)floats;
    const size_t row = data == LONGS || data == DOUBLES || data == VECTORS ? 8 : 4;
    if (data != TEXTS)
        assert_memory_equal(column->values, values, 3 * row);
}

static volatile uint64_t sink;

void read_number(int64_t number)
{
    sink += (uint64_t)number;
}

void read_values(const struct mh_column *column)
{
    static const size_t sizes[] = {
        [MH_FIELD_BOOL] = 4,   [MH_FIELD_INT8] = 4,    [MH_FIELD_INT16] = 4,
        [MH_FIELD_INT32] = 4,  [MH_FIELD_INT64] = 8,   [MH_FIELD_FLOAT] = 4,
        [MH_FIELD_DOUBLE] = 8, [MH_FIELD_VARCHAR] = 8, [MH_FIELD_FLOAT_VECTOR] = 4};
    const int64_t each = column->type == MH_FIELD_FLOAT_VECTOR ? column->dim : 1;
    read_number((int64_t)strlen(column->name));
    for (int64_t i = 0; i < column->rows; i++) {
        const uint8_t *value = (const uint8_t *)column->values + (size_t)(i * each) * sizes[column->type];
        for (size_t b = 0; b < (size_t)each * sizes[column->type]; b++)
            sink += value[b];
        if (column->type == MH_FIELD_VARCHAR)
            sink += strlen(((char *const *)column->values)[i]);
    }
}
