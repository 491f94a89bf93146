/* The file with all that rank 0 alone holds, made by rank 0 alone: no other rank has to repeat its metadata
 * calls with arguments that only it knows. */
#include "result/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_STEP    65536u /* the file is as long as a multiple of it */
#define MOST_IN_HEADER 60000u /* bytes; HDF5 takes up to 65,535 with what else is there */

/* Of a fixed length: those of variable length lie in a heap without a checksum. */
static int put_text(hid_t object, const char *name, const char *text, struct mh_error *err)
{
    const hid_t type = mh_result_text_type(strlen(text) + 1);
    const hid_t space = H5Screate(H5S_SCALAR);
    const int rc = mh_store_attribute(object, name, type, space, text, err);
    mh_store_drop(space);
    mh_store_drop(type);
    return rc;
}

static int put_number(hid_t object, const struct mh_result_field *field, const void *value,
                      struct mh_error *err)
{
    const hid_t type = mh_result_cell_type(field, field->size);
    const hid_t space = H5Screate(H5S_SCALAR);
    const int rc = mh_store_attribute(object, field->name, type, space, value, err);
    mh_store_drop(space);
    mh_store_drop(type);
    return rc;
}

static int put_attributes(hid_t object, const struct mh_result_field *fields, const void *item,
                          struct mh_error *err)
{
    for (const struct mh_result_field *field = fields; field->name; field++) {
        const char *member = (const char *)item + field->offset;
        const char *text = member;
        if (field->cell == MH_CELL_OWNED)
            memcpy(&text, member, sizeof text);
        text = text ? text : "";
        const bool is_text = field->cell == MH_CELL_TEXT || field->cell == MH_CELL_OWNED;
        if (is_text ? put_text(object, field->name, text, err) : put_number(object, field, member, err))
            return -1;
    }
    return 0;
}

/* Every byte under a checksum: small tables lie in their header, which has one, and gzip has its own. */
static hid_t table_layout(hsize_t count, size_t row_size)
{
    if (count * row_size > MOST_IN_HEADER)
        return mh_store_gzip(MOST_IN_HEADER / row_size + 1);
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(layout, H5D_COMPACT);
    return layout;
}

static int put_encoded(hid_t dataset, hid_t type, const struct mh_result_field *fields,
                       const struct mh_result_layout *layout, const char *rows, int64_t count,
                       size_t row_size, struct mh_error *err)
{
    char *encoded = malloc((size_t)count * layout->row_size + 1);
    if (!encoded)
        return mh_fail(err, "no memory for %lld rows", (long long)count);
    for (int64_t i = 0; i < count; i++)
        mh_result_encode(fields, layout, rows + (size_t)i * row_size, encoded + (size_t)i * layout->row_size);
    int rc = 0;
    if (count > 0 && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, encoded) < 0)
        rc = mh_store_fail(err, "rows");
    free(encoded);
    return rc;
}

/* `attributes`, when not NULL, are put on it, from `item`. */
static int put_rows(hid_t file, const char *path, const struct mh_result_field *fields, const void *rows,
                    int64_t count, size_t row_size, const struct mh_result_field *attributes,
                    const void *item, struct mh_error *err)
{
    struct mh_result_layout layout;
    mh_result_pack(fields, rows, count, row_size, &layout);
    const hid_t type = mh_result_row_type(fields, &layout);
    const hid_t properties = table_layout((hsize_t)count, layout.row_size);
    const hid_t dataset = mh_store_create(file, path, type, (hsize_t)count, properties);
    int rc = dataset < 0 ? mh_store_fail(err, "cannot be created") : 0;
    if (rc == 0)
        rc = put_encoded(dataset, type, fields, &layout, rows, count, row_size, err);
    if (rc == 0)
        rc = mh_store_units(dataset, fields, err);
    if (rc == 0 && attributes)
        rc = put_attributes(dataset, attributes, item, err);
    mh_store_drop(dataset);
    mh_store_drop(properties);
    mh_store_drop(type);
    return rc ? mh_fail_in(err, "/%s", path) : 0;
}

static int put_table(hid_t file, const struct mh_result_view *view, const struct mh_result_table *table,
                     struct mh_error *err)
{
    const void *rows;
    int64_t count;
    memcpy(&rows, (const char *)view + table->rows, sizeof rows);
    memcpy(&count, (const char *)view + table->count, sizeof count);
    if (table->audit && !view->report.audited && count == 0)
        return 0;
    return put_rows(file, table->path, table->fields, rows, count, table->row_size, NULL, NULL, err);
}

static int put_histogram(hid_t file, const char *stage, const char *name, const char *from,
                         const struct mh_histogram *h, struct mh_error *err)
{
    if (h->count == 0)
        return 0;
    const int64_t length = mh_histogram_length();
    struct mh_result_bucket *buckets = calloc((size_t)length, sizeof *buckets);
    if (!buckets)
        return mh_fail(err, "no memory for a histogram");
    int64_t used = 0;
    for (int64_t i = 0; i < length; i++)
        if (h->counts[i])
            buckets[used++] = (struct mh_result_bucket){mh_histogram_low_edge(i), h->counts[i]};
    char path[512];
    snprintf(path, sizeof path, "latency/%s/%s/%s", stage, name, from);
    const int rc = put_rows(file, path, mh_result_bucket_fields, buckets, used, sizeof *buckets,
                            mh_result_histogram_attributes, h, err);
    free(buckets);
    return rc;
}

static int put_histograms(hid_t file, const struct mh_report *report, struct mh_error *err)
{
    for (int64_t i = 0; i < report->operation_count; i++) {
        const struct mh_report_operation *operation = &report->operations[i];
        const char *stage = operation->stage, *name = operation->latency_name;
        if (put_histogram(file, stage, name, "due", &operation->tally->due, err) ||
            put_histogram(file, stage, name, "sent", &operation->tally->sent, err))
            return -1;
    }
    for (int64_t i = 0; i < report->visibility_count; i++) {
        const struct mh_report_visibility *row = &report->visibilities[i];
        if (row->cell && (put_histogram(file, row->stage, row->latency, "done", &row->cell->done, err) ||
                          put_histogram(file, row->stage, row->latency, "sent", &row->cell->sent, err)))
            return -1;
    }
    return 0;
}

static int put_job_text(hid_t file, const struct mh_report *report, struct mh_error *err)
{
    const char *text = report->job_text ? report->job_text : "";
    const hid_t type = mh_result_text_type(strlen(text) + 1);
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(layout, strlen(text) < MOST_IN_HEADER ? H5D_COMPACT : H5D_CONTIGUOUS);
    const hid_t dataset = H5Dcreate2(file, "job/text", type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    int rc = 0;
    if (dataset < 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) < 0)
        rc = mh_store_fail(err, "/job/text");
    mh_store_drop(dataset);
    mh_store_drop(layout);
    mh_store_drop(space);
    mh_store_drop(type);
    return rc;
}

static int put_all(hid_t file, const struct mh_result_view *view, struct mh_error *err)
{
    if (put_attributes(file, mh_result_root, view, err))
        return mh_fail_in(err, "attributes of /");
    for (const struct mh_result_table *table = mh_result_tables; table->path; table++)
        if (put_table(file, view, table, err))
            return -1;
    return put_job_text(file, &view->report, err) || put_histograms(file, &view->report, err) ? -1 : 0;
}

/* Where they grow in memory: HDF5 neither closes nor forgives a file whose disk is full, and crashes in
 * MPI_Finalize over it. */
static hid_t create_in_memory(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, MEMORY_STEP, false);
    mh_store_use_checksums(access);
    const hid_t file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, access);
    mh_store_drop(access);
    return file;
}

static int write_bytes(int fd, const char *bytes, size_t length)
{
    while (length) {
        const ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

static int write_image(const char *path, const char *bytes, size_t length, struct mh_error *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return mh_fail(err, "cannot be created: %s", strerror(errno));
    const int failed = write_bytes(fd, bytes, length);
    const int cause = errno;
    if (close(fd) == 0 && !failed)
        return 0;
    unlink(path);
    return mh_fail(err, "cannot be written: %s", strerror(failed ? cause : errno));
}

/* H5Fget_file_image would write over a byte of the superblock that its checksum covers. */
static int save(hid_t file, const char *path, struct mh_error *err)
{
    hsize_t length = 0;
    void **bytes = NULL;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_filesize(file, &length) < 0 ||
        H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&bytes) < 0)
        return mh_store_fail(err, "cannot be made");
    return write_image(path, *bytes, (size_t)length, err);
}

int mh_store_tables(const char *path, const struct mh_report *report, struct mh_error *err)
{
    struct mh_result_view view;
    if (mh_result_view_of(report, &view, err))
        return -1;
    const hid_t file = create_in_memory(path);
    int rc = file < 0 ? mh_store_fail(err, "cannot be made") : 0;
    if (rc == 0)
        rc = put_all(file, &view, err) || save(file, path, err) ? -1 : 0;
    mh_store_drop(file);
    mh_result_view_free(&view);
    return rc ? mh_fail_in(err, "%s", path) : 0;
}
