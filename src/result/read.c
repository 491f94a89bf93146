/* Trusts nothing: the file may be cut, damaged, or somebody else's. */
#include "dataset/hdf5.h"
#include "result/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFLATE_RATIO  1100 /* zlib's best is 1032 to 1: more rows than that cannot be in the file */
#define MOST_ATTRIBUTE 8192 /* bytes of a text */

struct source {
    hid_t file;
    size_t most; /* bytes a table of it may take in memory */
};

/* ---- Attributes ---- */

static bool fits(const struct mh_result_field *field, hid_t type)
{
    const H5T_class_t class = H5Tget_class(type);
    switch (field->cell) {
    case MH_CELL_BOOL:
        return class == H5T_ENUM && H5Tget_size(type) == 1;
    case MH_CELL_INT32:
    case MH_CELL_INT64:
    case MH_CELL_UINT64:
        return class == H5T_INTEGER && H5Tget_size(type) == field->size;
    case MH_CELL_DOUBLE:
        return class == H5T_FLOAT && H5Tget_size(type) == field->size;
    default:
        return class == H5T_STRING;
    }
}

static int take_text(const struct mh_result_field *field, const char *text, char *member)
{
    if (field->cell == MH_CELL_TEXT) {
        snprintf(member, field->size, "%s", text);
        return 0;
    }
    char *copy = strdup(text);
    memcpy(member, &copy, sizeof copy);
    return copy ? 0 : -1;
}

static int get_text(hid_t attribute, hid_t type, const struct mh_result_field *field, char *member,
                    struct mh_error *err)
{
    char text[MOST_ATTRIBUTE + 1] = "";
    if (H5Tis_variable_str(type) > 0 || H5Tget_size(type) > MOST_ATTRIBUTE)
        return mh_fail(err, "is not a text of fixed length");
    if (H5Aread(attribute, type, text) < 0)
        return mh_store_fail(err, "cannot be read");
    return take_text(field, text, member) ? mh_fail(err, "no memory") : 0;
}

static int get_number(hid_t attribute, const struct mh_result_field *field, char *member,
                      struct mh_error *err)
{
    const hid_t type = mh_result_cell_type(field, field->size);
    int8_t flag = 0;
    const bool is_flag = field->cell == MH_CELL_BOOL;
    const int rc = H5Aread(attribute, type, is_flag ? (void *)&flag : member) < 0
                       ? mh_store_fail(err, "cannot be read")
                       : 0;
    mh_store_drop(type);
    if (rc == 0 && is_flag)
        *(bool *)member = flag != 0;
    return rc;
}

static int get_attribute(hid_t object, const struct mh_result_field *field, char *member,
                         struct mh_error *err)
{
    if (H5Aexists(object, field->name) <= 0)
        return mh_fail(err, "attribute %s is not there", field->name);
    const hid_t attribute = H5Aopen(object, field->name, H5P_DEFAULT);
    if (attribute < 0)
        return mh_store_fail(err, field->name);
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    int rc;
    if (!fits(field, type) || H5Sget_simple_extent_npoints(space) != 1)
        rc = mh_fail(err, "is of an unexpected type");
    else if (field->cell == MH_CELL_TEXT || field->cell == MH_CELL_OWNED)
        rc = get_text(attribute, type, field, member, err);
    else
        rc = get_number(attribute, field, member, err);
    mh_store_drop(space);
    mh_store_drop(type);
    mh_store_drop(attribute);
    return rc ? mh_fail_in(err, "attribute %s", field->name) : 0;
}

static int get_attributes(hid_t object, const struct mh_result_field *fields, void *item,
                          struct mh_error *err)
{
    for (const struct mh_result_field *field = fields; field->name; field++)
        if (get_attribute(object, field, (char *)item + field->offset, err))
            return -1;
    return 0;
}

/* ---- Tables ---- */

/* As the rows stand in the file, texts of unknown length as long as there. */
static int layout_of(hid_t type, const struct mh_result_field *fields, struct mh_result_layout *layout,
                     struct mh_error *err)
{
    if (H5Tget_class(type) != H5T_COMPOUND)
        return mh_fail(err, "is not a table");
    layout->row_size = 0;
    for (int i = 0; fields[i].name; i++) {
        const int member = H5Tget_member_index(type, fields[i].name);
        if (member < 0)
            return mh_fail(err, "has no field %s", fields[i].name);
        const hid_t cell = H5Tget_member_type(type, (unsigned)member);
        const bool good = fits(&fields[i], cell) && H5Tis_variable_str(cell) <= 0;
        layout->offset[i] = layout->row_size;
        layout->size[i] = H5Tget_size(cell);
        layout->row_size += layout->size[i];
        mh_store_drop(cell);
        if (!good)
            return mh_fail(err, "field %s is of an unexpected type", fields[i].name);
    }
    return 0;
}

static int count_of(hid_t dataset, size_t row_size, const struct source *source, int64_t *count,
                    struct mh_error *err)
{
    const hid_t space = H5Dget_space(dataset);
    hsize_t rows = 0;
    const bool line =
        H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &rows, NULL) == 1;
    mh_store_drop(space);
    if (!line)
        return mh_fail(err, "is not a list of rows");
    if (row_size == 0 || row_size > source->most || rows > source->most / row_size)
        return mh_fail(err, "claims %llu rows, more than the file can hold", (unsigned long long)rows);
    *count = (int64_t)rows;
    return 0;
}

struct rows {
    char *items; /* structs, zero where nothing was read; owned by the caller even after a failure */
    int64_t count;
};

static int decode_rows(const struct mh_result_field *fields, const struct mh_result_layout *layout,
                       const char *encoded, size_t row_size, struct rows *rows, struct mh_error *err)
{
    for (int64_t i = 0; i < rows->count; i++) {
        const struct mh_result_field *unknown = NULL;
        if (mh_result_decode(fields, layout, encoded + (size_t)i * layout->row_size,
                             rows->items + (size_t)i * row_size, &unknown))
            return unknown ? mh_fail(err, "row %lld has an unknown %s", (long long)i, unknown->name)
                           : mh_fail(err, "no memory");
    }
    return 0;
}

static int read_encoded(hid_t dataset, const struct mh_result_field *fields,
                        const struct mh_result_layout *layout, size_t row_size, struct rows *rows,
                        struct mh_error *err)
{
    rows->items = calloc((size_t)rows->count + 1, row_size);
    char *encoded = calloc((size_t)rows->count + 1, layout->row_size);
    const hid_t type = mh_result_row_type(fields, layout);
    int rc = 0;
    if (!rows->items || !encoded)
        rc = mh_fail(err, "no memory for %lld rows", (long long)rows->count);
    else if (rows->count && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, encoded) < 0)
        rc = mh_store_fail(err, "cannot be read");
    else
        rc = decode_rows(fields, layout, encoded, row_size, rows, err);
    mh_store_drop(type);
    free(encoded);
    return rc;
}

static int read_dataset(const struct source *source, hid_t dataset, const struct mh_result_field *fields,
                        size_t row_size, struct rows *rows, struct mh_error *err)
{
    struct mh_result_layout layout = {0};
    const hid_t type = H5Dget_type(dataset);
    int rc = type < 0 ? mh_store_fail(err, "cannot be read") : layout_of(type, fields, &layout, err);
    mh_store_drop(type);
    int64_t count = 0;
    if (rc == 0)
        rc = count_of(dataset, layout.row_size, source, &count, err);
    if (rc)
        return rc;
    rows->count = count;
    return read_encoded(dataset, fields, &layout, row_size, rows, err);
}

static int read_rows(const struct source *source, const char *path, const struct mh_result_field *fields,
                     size_t row_size, struct rows *rows, const struct mh_result_field *attributes, void *item,
                     struct mh_error *err)
{
    const hid_t dataset = H5Dopen2(source->file, path, H5P_DEFAULT);
    int rc = dataset < 0 ? mh_store_fail(err, "cannot be opened") : 0;
    if (rc == 0)
        rc = read_dataset(source, dataset, fields, row_size, rows, err);
    if (rc == 0 && attributes)
        rc = get_attributes(dataset, attributes, item, err);
    mh_store_drop(dataset);
    return rc ? mh_fail_in(err, "/%s", path) : 0;
}

static int read_table(const struct source *source, const struct mh_result_table *table,
                      struct mh_result_view *view, struct mh_error *err)
{
    if (table->audit && !view->report.audited && !mh_hdf5_exists(source->file, table->path))
        return 0;
    struct rows rows = {0};
    const int rc = read_rows(source, table->path, table->fields, table->row_size, &rows, NULL, NULL, err);
    memcpy((char *)view + table->rows, &rows.items, sizeof rows.items);
    if (rows.items)
        memcpy((char *)view + table->count, &rows.count, sizeof rows.count);
    return rc;
}

static bool single(hid_t dataset)
{
    const hid_t space = H5Dget_space(dataset);
    const bool yes = H5Sget_simple_extent_npoints(space) == 1;
    mh_store_drop(space);
    return yes;
}

static int read_job_text(const struct source *source, char **text, struct mh_error *err)
{
    const hid_t dataset = H5Dopen2(source->file, "job/text", H5P_DEFAULT);
    if (dataset < 0)
        return mh_store_fail(err, "/job/text");
    const hid_t type = H5Dget_type(dataset);
    const size_t size = H5Tget_size(type);
    const bool good = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) <= 0 &&
                      size <= source->most && single(dataset);
    int rc = 0;
    if (!good)
        rc = mh_fail(err, "/job/text: is not a single text");
    else if (!(*text = calloc(1, size + 1)))
        rc = mh_fail(err, "/job/text: no memory");
    else if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0)
        rc = mh_store_fail(err, "/job/text");
    mh_store_drop(type);
    mh_store_drop(dataset);
    return rc;
}

/* ---- Histograms ---- */

static int64_t bucket_with(int64_t low_edge_ns)
{
    int64_t low = 0, high = mh_histogram_length() - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (mh_histogram_low_edge(middle) <= low_edge_ns)
            low = middle;
        else
            high = middle - 1;
    }
    return mh_histogram_low_edge(low) == low_edge_ns ? low : -1;
}

static int fill_histogram(struct mh_histogram *h, const struct rows *rows, struct mh_error *err)
{
    const struct mh_result_bucket *buckets = (const void *)rows->items;
    uint64_t sum = 0;
    for (int64_t i = 0; i < rows->count; i++) {
        const int64_t bucket = bucket_with(buckets[i].low_edge_ns);
        if (bucket < 0)
            return mh_fail(err, "no bucket begins at %lld ns", (long long)buckets[i].low_edge_ns);
        h->counts[bucket] += buckets[i].count;
        sum += buckets[i].count;
    }
    if (sum != h->count)
        return mh_fail(err, "the counts add up to %llu, not to %llu", (unsigned long long)sum,
                       (unsigned long long)h->count);
    return 0;
}

static int read_histogram(const struct source *source, const struct mh_report_operation *operation,
                          const char *from, struct mh_histogram *h, struct mh_error *err)
{
    char path[512];
    snprintf(path, sizeof path, "latency/%s/%s/%s", operation->stage, operation->latency_name, from);
    struct rows rows = {0};
    int rc = read_rows(source, path, mh_result_bucket_fields, sizeof(struct mh_result_bucket), &rows,
                       mh_result_histogram_attributes, h, err);
    if (rc == 0 && fill_histogram(h, &rows, err))
        rc = mh_fail_in(err, "/%s", path);
    free(rows.items);
    return rc;
}

static int read_operation(const struct source *source, const struct mh_result_operation *row,
                          struct mh_report_operation *operation, struct mh_error *err)
{
    struct mh_tally *tally = operation->tally = calloc(1, sizeof *tally);
    if (!tally || mh_histogram_init(&tally->due) || mh_histogram_init(&tally->sent))
        return mh_fail(err, "no memory for an operation's histograms");
    mh_timeline_init(&tally->timeline, 0);
    memcpy(operation->stage, row->stage, sizeof row->stage);
    memcpy(operation->role, row->role, sizeof row->role);
    memcpy(operation->op, row->op, sizeof row->op);
    memcpy(operation->latency_name, row->latency, sizeof row->latency);
    memcpy(&tally->planned, row->counters, sizeof row->counters);
    memcpy(&tally->backlog_ns, row->longest, sizeof row->longest);
    operation->seconds = row->seconds;
    operation->client_limited = row->client_limited;
    if (row->latency_count == 0)
        return 0;
    if (read_histogram(source, operation, "due", &tally->due, err))
        return -1;
    return read_histogram(source, operation, "sent", &tally->sent, err);
}

static int read_operations(const struct source *source, struct mh_result_view *view, struct mh_error *err)
{
    struct mh_report *report = &view->report;
    report->operations = calloc((size_t)report->operation_count + 1, sizeof *report->operations);
    if (!report->operations)
        return mh_fail(err, "no memory for %lld operations", (long long)report->operation_count);
    for (int64_t i = 0; i < report->operation_count; i++)
        if (read_operation(source, &view->operations[i], &report->operations[i], err))
            return -1;
    return 0;
}

/* ---- The file ---- */

static int check_format(hid_t file, struct mh_result_view *view, struct mh_error *err)
{
    const struct mh_result_field *format = &mh_result_root[0], *version = &mh_result_root[1];
    struct mh_error ignored;
    if (get_attribute(file, format, (char *)view + format->offset, &ignored) ||
        strcmp(view->format, MH_RESULT_FORMAT) != 0)
        return mh_fail(err,
                       "is HDF5 but not a milvus-hpc result (attribute format of / is not \"" MH_RESULT_FORMAT
                       "\")");
    if (get_attribute(file, version, (char *)view + version->offset, err))
        return -1;
    if (view->format_version != MH_RESULT_VERSION)
        return mh_fail(
            err, "has format version %d; this program reads version %d (use the milvus-hpc that wrote it)",
            view->format_version, MH_RESULT_VERSION);
    return 0;
}

static int read_all(const struct source *source, struct mh_result_view *view, struct mh_error *err)
{
    if (check_format(source->file, view, err) || get_attributes(source->file, mh_result_root, view, err))
        return -1;
    for (const struct mh_result_table *table = mh_result_tables; table->path; table++)
        if (read_table(source, table, view, err))
            return -1;
    return read_job_text(source, &view->report.job_text, err) || read_operations(source, view, err) ? -1 : 0;
}

/* The operating system's word for what is wrong is better than HDF5's. */
static int look_at(const char *path, size_t *most, struct mh_error *err)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const int failed = fd < 0 || fstat(fd, &info);
    const int cause = errno;
    if (fd >= 0)
        close(fd);
    if (failed)
        return mh_fail(err, "%s: %s", path, strerror(cause));
    if (!S_ISREG(info.st_mode))
        return mh_fail(err, "%s: is not a file", path);
    *most = (size_t)info.st_size * DEFLATE_RATIO;
    return 0;
}

static int open_file(const char *path, struct source *source, struct mh_error *err)
{
    if (look_at(path, &source->most, err))
        return -1;
    mh_hdf5_silence();
    source->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (source->file >= 0)
        return 0;
    char cause[MH_HDF5_TEXT];
    return mh_fail(err, "%s: is not a readable HDF5 file: %s", path, mh_hdf5_cause(cause));
}

/* ---- The ledger ---- */

#define FATES_AT_ONCE 65536

static int read_piece(hid_t dataset, hid_t type, hsize_t first, hsize_t count, char *encoded,
                      struct mh_error *err)
{
    const hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(1, &count, NULL);
    int rc = H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &count, NULL) < 0 ||
                     H5Dread(dataset, type, memory, space, H5P_DEFAULT, encoded) < 0
                 ? mh_store_fail(err, "cannot be read")
                 : 0;
    mh_store_drop(memory);
    mh_store_drop(space);
    return rc;
}

struct range {
    int64_t first, end;
};

static int visit_fates(hid_t dataset, const struct mh_result_layout *layout, struct range range,
                       mh_fate_visitor *visit, void *context, struct mh_error *err)
{
    struct mh_report_fate fate;
    char *encoded = calloc(FATES_AT_ONCE, layout->row_size);
    const hid_t type = mh_result_row_type(mh_result_fate_fields, layout);
    int rc = encoded ? 0 : mh_fail(err, "no memory");
    for (int64_t at = range.first; rc == 0 && at < range.end; at += FATES_AT_ONCE) {
        const int64_t left = range.end - at, count = left < FATES_AT_ONCE ? left : FATES_AT_ONCE;
        rc = read_piece(dataset, type, (hsize_t)at, (hsize_t)count, encoded, err);
        for (int64_t i = 0; rc == 0 && i < count; i++) {
            struct rows one = {.items = (char *)&fate, .count = 1};
            rc = decode_rows(mh_result_fate_fields, layout, encoded + (size_t)i * layout->row_size,
                             sizeof fate, &one, err);
            if (rc == 0)
                rc = visit(context, &fate, err);
        }
    }
    mh_store_drop(type);
    free(encoded);
    return rc;
}

static int read_share(const struct source *source, int share, int shares, mh_fate_visitor *visit,
                      void *context, struct mh_error *err)
{
    struct mh_result_layout layout = {0};
    int64_t count = 0;
    const hid_t dataset = H5Dopen2(source->file, "truth/ledger", H5P_DEFAULT);
    const hid_t type = dataset < 0 ? -1 : H5Dget_type(dataset);
    int rc = type < 0 ? mh_store_fail(err, "cannot be opened")
                      : layout_of(type, mh_result_fate_fields, &layout, err);
    if (rc == 0)
        rc = count_of(dataset, layout.row_size, source, &count, err);
    const struct range range = {count / shares * share + (share < count % shares ? share : count % shares),
                                count / shares * (share + 1) +
                                    (share + 1 < count % shares ? share + 1 : count % shares)};
    if (rc == 0)
        rc = visit_fates(dataset, &layout, range, visit, context, err);
    mh_store_drop(type);
    mh_store_drop(dataset);
    return rc ? mh_fail_in(err, "/truth/ledger") : 0;
}

int mh_report_read_fates(const char *path, int share, int shares, mh_fate_visitor *visit, void *context,
                         struct mh_error *err)
{
    struct source source = {0};
    if (open_file(path, &source, err))
        return -1;
    const int rc = read_share(&source, share, shares, visit, context, err);
    H5Fclose(source.file);
    return rc ? mh_fail_in(err, "%s", path) : 0;
}

/* ---- All ---- */

int mh_report_read(const char *path, struct mh_report *report, struct mh_error *err)
{
    struct source source = {0};
    if (open_file(path, &source, err))
        return -1;
    struct mh_result_view view = {0};
    const int rc = read_all(&source, &view, err);
    H5Fclose(source.file);
    free(view.operations);
    view.report.moments = view.moments;
    view.report.moment_count = view.moment_count;
    if (rc) {
        mh_report_free(&view.report);
        return mh_fail_in(err, "%s", path);
    }
    *report = view.report;
    return 0;
}
