#include "dataset/table.h"

#include "comm/watch.h"
#include "dataset/hdf5.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define READ_BYTES (INT64_C(64) << 20) /* keeps every count of the MPI-IO below far from 2^31 */

struct mh_rows mh_rows_share(int64_t rows, int part, int parts)
{
    const int64_t each = rows / parts, rest = rows % parts;
    return (struct mh_rows){.first = part * each + (part < rest ? part : rest),
                            .count = each + (part < rest)};
}

static int fail(const struct mh_table *t, struct mh_error *err, const char *what)
{
    char cause[MH_HDF5_TEXT];
    mh_hdf5_cause(cause);
    return mh_fail(err, "%s: %s: %s: %s", t->path, t->name, what, cause);
}

static int fail_missing(hid_t file, const struct mh_table *t, struct mh_error *err)
{
    char names[MH_HDF5_TEXT];
    mh_hdf5_list_floats(file, names);
    if (!*names)
        return mh_fail(err, "%s: %s: no such data set; the file has none of 32-bit floats", t->path, t->name);
    return mh_fail(err, "%s: %s: no such data set; those of 32-bit floats are: %s", t->path, t->name, names);
}

static int check_type(const struct mh_table *t, struct mh_error *err)
{
    const bool vectors = t->kind == MH_TABLE_VECTORS;
    if (t->kind == MH_TABLE_UNREAD)
        return 0;
    const hid_t type = H5Dget_type(t->id);
    if (type < 0)
        return fail(t, err, "HDF5 cannot read its type");
    int rc = 0;
    char text[MH_HDF5_TEXT];
    if (!(vectors ? mh_hdf5_is_float32(type) : mh_hdf5_is_index(type)))
        rc =
            mh_fail(err, "%s: %s: holds %s values; expected %s", t->path, t->name,
                    mh_hdf5_type_text(type, text), vectors ? "32-bit float" : "32- or 64-bit signed integer");
    H5Tclose(type);
    return rc;
}

static int read_shape(struct mh_table *t, struct mh_error *err)
{
    const hid_t space = H5Dget_space(t->id);
    if (space < 0)
        return fail(t, err, "HDF5 cannot read its shape");
    hsize_t extent[H5S_MAX_RANK] = {0};
    const int rank = H5Sget_simple_extent_dims(space, extent, NULL);
    H5Sclose(space);
    if (rank != 2)
        return mh_fail(err, "%s: %s: has %d dimension%s; expected 2, rows and columns", t->path, t->name,
                       rank, rank == 1 ? "" : "s");
    if (!extent[0] || !extent[1])
        return mh_fail(err,
                       "%s: %s: has %" PRIuMAX " rows of %" PRIuMAX " columns; expected at least one of each",
                       t->path, t->name, (uintmax_t)extent[0], (uintmax_t)extent[1]);
    if (extent[0] > INT64_MAX || extent[1] > INT64_MAX / sizeof(int64_t) / extent[0])
        return mh_fail(err, "%s: %s: %" PRIuMAX " rows of %" PRIuMAX " columns are too many", t->path,
                       t->name, (uintmax_t)extent[0], (uintmax_t)extent[1]);
    t->rows = (int64_t)extent[0];
    t->columns = (int64_t)extent[1];
    return 0;
}

int mh_table_open(hid_t file, const char *path, const char *name, enum mh_table_kind kind,
                  struct mh_table *table, struct mh_error *err)
{
    struct mh_table t = {.id = H5I_INVALID_HID, .path = path, .name = name, .kind = kind};
    if (!mh_hdf5_exists(file, name))
        return fail_missing(file, &t, err);
    t.id = H5Dopen2(file, name, H5P_DEFAULT);
    if (t.id < 0)
        return fail(&t, err, "HDF5 cannot open it");
    if (read_shape(&t, err) || check_type(&t, err)) {
        mh_table_close(&t);
        return -1;
    }
    *table = t;
    return 0;
}

void mh_table_close(struct mh_table *table)
{
    if (table->id >= 0)
        H5Dclose(table->id);
    table->id = H5I_INVALID_HID;
}

static int64_t row_bytes(const struct mh_table *t)
{
    return t->columns * (int64_t)(t->kind == MH_TABLE_VECTORS ? sizeof(float) : sizeof(int64_t));
}

static int64_t rows_a_read(const struct mh_table *t)
{
    const int64_t rows = READ_BYTES / row_bytes(t);
    return rows ? rows : 1;
}

int64_t mh_table_reads(const struct mh_table *table, int64_t count)
{
    const int64_t each = rows_a_read(table);
    return count / each + (count % each != 0);
}

static void select_rows(hid_t file_space, hid_t memory_space, struct mh_rows rows, int64_t columns)
{
    if (rows.count) {
        const hsize_t start[2] = {(hsize_t)rows.first, 0};
        const hsize_t extent[2] = {(hsize_t)rows.count, (hsize_t)columns};
        H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, extent, NULL);
    } else {
        H5Sselect_none(file_space);
        H5Sselect_none(memory_space);
    }
}

static int read_rows(const struct mh_table *t, struct mh_rows rows, hid_t transfer, void *into,
                     struct mh_error *err)
{
    const hsize_t extent[2] = {rows.count ? (hsize_t)rows.count : 1, (hsize_t)t->columns};
    const hid_t file_space = H5Dget_space(t->id), memory_space = H5Screate_simple(2, extent, NULL);
    select_rows(file_space, memory_space, rows, t->columns);
    int rc = 0;
    char cause[MH_HDF5_TEXT];
    const hid_t type = t->kind == MH_TABLE_VECTORS ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT64;
    mh_watch_call_begin(NULL);
    const herr_t read = H5Dread(t->id, type, memory_space, file_space, transfer, into);
    mh_watch_call_end();
    if (read < 0)
        rc = mh_fail(err, "%s: %s: rows %" PRId64 " to %" PRId64 " cannot be read: %s", t->path, t->name,
                     rows.first, rows.first + rows.count - 1, mh_hdf5_cause(cause));
    H5Sclose(memory_space);
    H5Sclose(file_space);
    return rc;
}

static bool all_finite(const float *values, int64_t count)
{
    int odd = 0; /* no branch inside the loop: every row of every run passes here */
    for (int64_t i = 0; i < count; i++)
        odd |= !isfinite(values[i]);
    return !odd;
}

static int check_vectors(const struct mh_table *t, struct mh_rows rows, const float *values,
                         struct mh_error *err)
{
    const int64_t count = rows.count * t->columns;
    if (all_finite(values, count))
        return 0;
    int64_t i = 0;
    while (isfinite(values[i]))
        i++;
    return mh_fail(err, "%s: %s: row %" PRId64 " holds %s at column %" PRId64, t->path, t->name,
                   rows.first + i / t->columns, isnan(values[i]) ? "NaN" : "infinity", i % t->columns);
}

static int check_indices(const struct mh_table *t, struct mh_rows rows, const int64_t *values,
                         struct mh_error *err)
{
    const int64_t count = rows.count * t->columns;
    for (int64_t i = 0; i < count; i++)
        if (values[i] < 0 || values[i] >= t->bound)
            return mh_fail(err,
                           "%s: %s: row %" PRId64 " holds index %" PRId64 " at column %" PRId64
                           "; expected 0 to %" PRId64 ", the rows of train",
                           t->path, t->name, rows.first + i / t->columns, values[i], i % t->columns,
                           t->bound - 1);
    return 0;
}

static int read_and_check(const struct mh_table *t, struct mh_rows rows, hid_t transfer, void *into,
                          struct mh_error *err)
{
    if (read_rows(t, rows, transfer, into, err))
        return -1;
    return t->kind == MH_TABLE_VECTORS ? check_vectors(t, rows, into, err)
                                       : check_indices(t, rows, into, err);
}

/* The piece that read number `read` of them takes; empty once `rows` are used up. */
static struct mh_rows piece_of(const struct mh_table *t, struct mh_rows rows, int64_t read)
{
    const int64_t each = rows_a_read(t), done = read * each < rows.count ? read * each : rows.count;
    const int64_t left = rows.count - done;
    return (struct mh_rows){.first = rows.first + done, .count = left < each ? left : each};
}

static int scan(const struct mh_table *t, struct mh_rows rows, int64_t reads, hid_t transfer, char *buffer,
                bool in_place, struct mh_error *err)
{
    int rc = buffer ? 0 : mh_fail(err, "%s: %s: no memory to read it", t->path, t->name);
    float nothing = 0;
    struct mh_error repeated; /* the first failure is the one to tell */
    for (int64_t i = 0; i < reads; i++) {
        const struct mh_rows piece = rc ? (struct mh_rows){rows.first, 0} : piece_of(t, rows, i);
        char *to = in_place ? buffer + (piece.first - rows.first) * row_bytes(t) : buffer;
        if (read_and_check(t, piece, transfer, piece.count ? (void *)to : &nothing, rc ? &repeated : err))
            rc = -1;
    }
    return rc;
}

int mh_table_scan(const struct mh_table *table, struct mh_rows rows, int64_t reads, hid_t transfer,
                  void *into, struct mh_error *err)
{
    if (into)
        return scan(table, rows, reads, transfer, into, true, err);
    const int64_t most = rows.count < rows_a_read(table) ? rows.count : rows_a_read(table);
    char *buffer = malloc((size_t)((most ? most : 1) * row_bytes(table)));
    const int rc = scan(table, rows, reads, transfer, buffer, false, err);
    free(buffer);
    return rc;
}
