#include "job/memory.h"
#include "job/node.h"
#include "job/print.h"
#include "job/rows.h"
#include "job/value.h"

#include <math.h>

#define NUMBER   "[0-9]+(\\.[0-9]+)?"
#define COUNT    "-?" NUMBER "[kMGT]?"
#define BYTES    NUMBER "(B|[KMGT]iB|[kMGT]B)?"
#define DURATION NUMBER "(ns|us|ms|s|m|h|d)"
#define RATE     NUMBER "[kMGT]?/[smh]"

static json_t *section_schema(const struct mh_option *rows, const char *role);

static json_t *must(json_t *json)
{
    return mh_have(json);
}

static void set_new(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, must(value)))
        mh_have(NULL);
}

static json_t *type_schema(const char *type)
{
    return must(json_pack("{s:s}", "type", type));
}

static json_t *pattern_schema(const char *pattern)
{
    return must(json_pack("{s:s, s:s}", "type", "string", "pattern", pattern));
}

static json_t *number(double value)
{
    return must(value == floor(value) ? json_integer((json_int_t)value) : json_real(value));
}

/* A bare number or a string of the pattern; the range holds for the number. */
static json_t *number_schema(const struct mh_option *row, const char *type, const char *pattern)
{
    json_t *schema = must(json_pack("{s:[s,s], s:s}", "type", type, "string", "pattern", pattern));
    if (mh_option_is_ranged(row)) {
        set_new(schema, "minimum", number(row->min));
        set_new(schema, "maximum", number(row->max));
    }
    return schema;
}

/* A bare 0 is the only duration without a unit. */
static json_t *duration_schema(const struct mh_option *row)
{
    if (row->min > 0)
        return pattern_schema("^" DURATION "$");
    return must(json_pack("{s:[s,s], s:s, s:i, s:i}", "type", "integer", "string", "pattern",
                          "^(0|" DURATION ")$", "minimum", 0, "maximum", 0));
}

static json_t *choice_schema(const struct mh_option *row)
{
    json_t *names = must(json_array());
    for (size_t i = 0; row->choices[i]; i++)
        json_array_append_new(names, must(json_string(row->choices[i])));
    return must(json_pack("{s:o}", "enum", names));
}

/* One of them alone stands for a list of it. Owns `item`. */
static json_t *one_or_list(json_t *item, bool unique)
{
    return must(json_pack("{s:[O, {s:s, s:o, s:b}]}", "anyOf", item, "type", "array", "items", item,
                          "uniqueItems", unique));
}

static json_t *texts_schema(const struct mh_option *row)
{
    if (row->max == 1)
        return type_schema("string");
    json_t *schema = one_or_list(type_schema("string"), false);
    if (mh_option_is_ranged(row)) {
        json_t *list = json_array_get(json_object_get(schema, "anyOf"), 1);
        set_new(list, "minItems", number(row->min));
        set_new(list, "maxItems", number(row->max));
    }
    return schema;
}

/* Any scalar but null will do: a token may look like a number. */
static json_t *text_schema(void)
{
    return must(json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean"));
}

static json_t *list_schema(const struct mh_option *row)
{
    json_t *items =
        row->rows ? section_schema(row->rows, NULL) : must(json_pack("{s:s}", "$ref", "#/$defs/role"));
    json_t *schema = must(json_pack("{s:s, s:o}", "type", "array", "items", items));
    if (mh_option_is_ranged(row)) {
        set_new(schema, "minItems", number(row->min));
        set_new(schema, "maxItems", number(row->max));
    }
    return schema;
}

static json_t *thresholds_schema(void)
{
    return must(json_pack(
        "{s:s, s:o}", "type", "object", "additionalProperties",
        pattern_schema("^[<>]=? *((" COUNT "|" NUMBER "%?|" DURATION "|" BYTES ")(/h)?|" RATE ")$")));
}

static json_t *value_schema(const struct mh_option *row)
{
    switch (row->type) {
    case MH_OPTION_BOOL:
        return type_schema("boolean");
    case MH_OPTION_INT:
        return number_schema(row, "integer", "^" COUNT "$");
    case MH_OPTION_COUNT_OR_ALL:
        return number_schema(row, "integer", "^(all|" COUNT ")$");
    case MH_OPTION_BYTES:
        return number_schema(row, "integer", "^" BYTES "$");
    case MH_OPTION_DURATION:
        return duration_schema(row);
    case MH_OPTION_DURATION_RANGE:
        return pattern_schema("^(0|" DURATION ")\\.\\.(0|" DURATION ")$");
    case MH_OPTION_RATE:
        return pattern_schema("^" RATE "$");
    case MH_OPTION_RATIO:
        return number_schema(row, "number", "^" NUMBER "%?$");
    case MH_OPTION_SAMPLE:
        return pattern_schema("^(none|all|sample " NUMBER "%?)$");
    case MH_OPTION_TEXT:
        return text_schema();
    case MH_OPTION_CHOICE:
        return choice_schema(row);
    case MH_OPTION_CHOICES:
        return one_or_list(choice_schema(row), true);
    case MH_OPTION_TEXTS:
        return texts_schema(row);
    case MH_OPTION_STEPS:
        return one_or_list(pattern_schema("^" RATE " +(to +" RATE " +)?for +" DURATION "$"), false);
    case MH_OPTION_PARAMS:
        return type_schema("object");
    case MH_OPTION_SECTION:
        return section_schema(row->rows, NULL);
    case MH_OPTION_LIST:
        return list_schema(row);
    case MH_OPTION_THRESHOLDS:
        return thresholds_schema();
    }
    return must(json_object());
}

static json_t *default_json(const struct mh_option *row)
{
    static const struct mh_source source;
    struct mh_node *node = NULL;
    struct mh_problem ignored;
    if (mh_node_parse_value(&source, row->fallback, &node, &ignored.error))
        return NULL;
    json_t *json = mh_node_json(node, &ignored);
    mh_node_free(node);
    return json;
}

static json_t *row_schema(const struct mh_option *row)
{
    char range[128] = "";
    json_t *schema = value_schema(row);
    const char *help = row->help ? row->help : "";
    bool shown = row->min != row->max && *mh_value_range(row, range, sizeof range);
    char *text = mh_format("%s%s%s%s", help, shown ? " (" : "", range, shown ? ")" : "");
    set_new(schema, "description", json_string(text));
    free(text);
    json_t *fallback = row->fallback ? default_json(row) : NULL;
    if (fallback)
        set_new(schema, "default", fallback);
    return schema;
}

/* Two rows for one place are two spellings: both at once are refused. */
static void refuse_both(json_t *schema, const struct mh_option *rows)
{
    for (const struct mh_option *a = rows; a->name; a++)
        for (const struct mh_option *b = rows; b < a; b++)
            if (a->offset == b->offset && a->base == b->base)
                set_new(schema, "not", json_pack("{s:[s,s]}", "required", b->name, a->name));
}

static json_t *section_schema(const struct mh_option *rows, const char *role)
{
    json_t *properties = must(json_object()), *required = must(json_array());
    if (role) {
        set_new(properties, "role", json_pack("{s:s}", "const", role));
        json_array_append_new(required, must(json_string("role")));
    }
    for (const struct mh_option *row = rows; row && row->name; row++) {
        set_new(properties, row->name, row_schema(row));
        if (row->required)
            json_array_append_new(required, must(json_string(row->name)));
    }
    json_t *schema = must(json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
                                    "required", required, "additionalProperties", 0));
    if (rows)
        refuse_both(schema, rows);
    return schema;
}

static json_t *role_schemas(const struct mh_role_kind *const *kinds)
{
    json_t *choices = must(json_array());
    for (; *kinds; kinds++) {
        json_t *schema = section_schema((*kinds)->options, (*kinds)->name);
        if ((*kinds)->help)
            set_new(schema, "description", json_string((*kinds)->help));
        json_array_append_new(choices, schema);
    }
    return must(json_pack("{s:o}", "oneOf", choices));
}

/* A section that must hold something must be there itself. */
static void require_sections(json_t *required)
{
    for (const struct mh_option *row = mh_job_rows; row->name; row++)
        for (const struct mh_option *inner = row->rows; row->type == MH_OPTION_SECTION && inner->name;
             inner++)
            if (inner->required) {
                json_array_append_new(required, must(json_string(row->name)));
                break;
            }
}

json_t *mh_job_schema(const struct mh_role_kind *const *kinds)
{
    json_t *schema = must(json_object()), *job = section_schema(mh_job_rows, NULL);
    set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set_new(schema, "title", json_string("milvus-hpc job file"));
    require_sections(json_object_get(job, "required"));
    json_object_update(schema, job);
    json_decref(job);
    set_new(schema, "$defs", json_pack("{s:o}", "role", role_schemas(kinds)));
    return schema;
}
