/* The same rows as the HDF5 file's, as one JSON object. */
#include "result/fields.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static json_t *clean_text(const char *text, size_t longest)
{
    const size_t length = strnlen(text, longest);
    char *copy = strndup(text, length), *clean = malloc(length + 1);
    json_t *value = NULL;
    if (copy && clean) {
        mh_result_clean(copy, false, clean, length + 1);
        value = json_string(clean);
    }
    free(copy);
    free(clean);
    return value;
}

/* Above 2^53 most readers of JSON round numbers: what may be so large is text. */
static json_t *unsigned_text(const char *member)
{
    uint64_t number;
    memcpy(&number, member, sizeof number);
    return json_sprintf("%" PRIu64, number);
}

static json_t *real(const char *member)
{
    double number;
    memcpy(&number, member, sizeof number);
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *integer(const char *member, size_t size)
{
    int32_t small;
    int64_t large;
    memcpy(size == sizeof small ? (void *)&small : (void *)&large, member, size);
    return json_integer(size == sizeof small ? small : large);
}

static json_t *named(const struct mh_result_field *field, const char *member)
{
    int32_t number;
    memcpy(&number, member, sizeof number);
    const char *name = field->named(number);
    return name ? json_string(name) : json_null();
}

static json_t *owned(const char *member)
{
    const char *text;
    memcpy(&text, member, sizeof text);
    return clean_text(text ? text : "", SIZE_MAX);
}

static json_t *cell(const struct mh_result_field *field, const void *item)
{
    const char *member = (const char *)item + field->offset;
    switch (field->cell) {
    case MH_CELL_TEXT:
        return clean_text(member, field->size);
    case MH_CELL_OWNED:
        return owned(member);
    case MH_CELL_NAMED:
        return named(field, member);
    case MH_CELL_BOOL:
        return json_boolean(*(const bool *)member);
    case MH_CELL_UINT64:
        return unsigned_text(member);
    case MH_CELL_DOUBLE:
        return real(member);
    default:
        return integer(member, field->size);
    }
}

static int put_fields(json_t *object, const struct mh_result_field *fields, const void *item)
{
    for (const struct mh_result_field *field = fields; field->name; field++)
        if (json_object_set_new(object, field->name, cell(field, item)))
            return -1;
    return 0;
}

static json_t *table_array(const struct mh_result_table *table, const char *rows, int64_t count)
{
    json_t *array = json_array();
    for (int64_t i = 0; array && i < count; i++) {
        json_t *row = json_object();
        if (!row || put_fields(row, table->fields, rows + (size_t)i * table->row_size) ||
            json_array_append(array, row)) {
            json_decref(array);
            array = NULL;
        }
        json_decref(row);
    }
    return array;
}

/* {"lost": 0, ...}: one figure is what most readers want. */
static json_t *figure_object(const struct mh_report *report)
{
    json_t *object = json_object();
    for (int64_t i = 0; object && i < report->figure_count; i++) {
        const int64_t value = report->figures[i].value;
        if (json_object_set_new(object, report->figures[i].name,
                                value < 0 ? json_null() : json_integer(value))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* "truth/violations" goes into the object "truth", made when it is not there. */
static int put_at(json_t *root, const char *path, json_t *value)
{
    const char *slash = strchr(path, '/');
    if (!slash)
        return json_object_set_new(root, path, value);
    char group[32];
    snprintf(group, sizeof group, "%.*s", (int)(slash - path), path);
    json_t *object = json_object_get(root, group);
    if (!object) {
        object = json_object();
        if (json_object_set_new(root, group, object)) {
            json_decref(value);
            return -1;
        }
    }
    return json_object_set_new(object, slash + 1, value);
}

static int put_tables(json_t *root, const struct mh_result_view *view)
{
    for (const struct mh_result_table *table = mh_result_tables; table->path; table++) {
        const char *rows;
        int64_t count;
        memcpy(&rows, (const char *)view + table->rows, sizeof rows);
        memcpy(&count, (const char *)view + table->count, sizeof count);
        if (table->audit && !view->report.audited && count == 0)
            continue;
        const bool figures = strcmp(table->path, "truth/summary") == 0;
        if (put_at(root, table->path,
                   figures ? figure_object(&view->report) : table_array(table, rows, count)))
            return -1;
    }
    return 0;
}

static json_t *whole(const struct mh_result_view *view, const char *result_path)
{
    json_t *root = json_object();
    const char *text = view->report.job_text ? view->report.job_text : "";
    if (root && put_fields(root, mh_result_root, view) == 0 && put_tables(root, view) == 0 &&
        put_at(root, "job/text", clean_text(text, SIZE_MAX)) == 0 &&
        json_object_set_new(root, "result_file",
                            result_path ? clean_text(result_path, PATH_MAX) : json_null()) == 0)
        return root;
    json_decref(root);
    return NULL;
}

static int dump(const json_t *root, FILE *out)
{
    return json_dumpf(root, out, JSON_INDENT(1)) || fputc('\n', out) == EOF || fflush(out) ? -1 : 0;
}

static FILE *create_temporary(const char *path, char temporary[PATH_MAX], struct mh_error *err)
{
    if (snprintf(temporary, PATH_MAX, "%s.tmp-%ld", path, (long)getpid()) >= PATH_MAX) {
        mh_fail(err, "the path of the JSON file is too long");
        return NULL;
    }
    FILE *out = fopen(temporary, "w");
    if (!out)
        mh_fail(err, "%s: cannot be created: %s", path, strerror(errno));
    return out;
}

int mh_report_check_json(const char *path, struct mh_error *err)
{
    char temporary[PATH_MAX];
    struct stat there;
    if (strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
        return mh_fail(err, "%s: is a directory; --json wants a file", path);
    FILE *out = create_temporary(path, temporary, err);
    if (!out)
        return -1;
    fclose(out);
    unlink(temporary);
    return 0;
}

/* A reader never sees half of it: it takes its name when it is whole. */
static int dump_to(const json_t *root, const char *path, struct mh_error *err)
{
    char temporary[PATH_MAX];
    FILE *out = create_temporary(path, temporary, err);
    if (!out)
        return -1;
    int rc = dump(root, out);
    rc = fclose(out) || rc ? -1 : rename(temporary, path);
    if (rc == 0)
        return 0;
    mh_fail(err, "%s: cannot be written: %s", path, strerror(errno));
    unlink(temporary);
    return -1;
}

int mh_report_json(const char *path, const struct mh_report *report, const char *result_path,
                   struct mh_error *err)
{
    struct mh_result_view view;
    if (mh_result_view_of(report, &view, err))
        return -1;
    json_t *root = whole(&view, result_path);
    mh_result_view_free(&view);
    if (!root)
        return mh_fail(err, "%s: no memory for the JSON text", path);
    int rc;
    if (strcmp(path, "-") != 0)
        rc = dump_to(root, path, err);
    else
        rc = dump(root, stdout) ? mh_fail(err, "stdout: %s", strerror(errno)) : 0;
    json_decref(root);
    return rc;
}
