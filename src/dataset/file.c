#include "dataset/file.h"

#include "dataset/hdf5.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define USUAL_TEST      "test"
#define USUAL_NEIGHBORS "neighbors"
#define DISTANCES       "distances"
#define METRIC          "distance"

int mh_file_bytes(const struct mh_dataset_options *options, int64_t *bytes, struct mh_error *err)
{
    const char *path = options->path;
    struct stat status;
    if (!path || !*path)
        return mh_fail(err, "dataset.path: not given; expected an HDF5 file, or dataset.synthetic");
    if (stat(path, &status) || access(path, R_OK))
        return mh_fail(err, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return mh_fail(err, "%s: is a directory; expected an HDF5 file", path);
    if (!S_ISREG(status.st_mode)) /* opening a pipe would wait for a writer */
        return mh_fail(err, "%s: is not a regular file; expected an HDF5 file", path);
    *bytes = status.st_size;
    return 0;
}

/* Absent test vectors and neighbours are no mistake, unless the user named them. */
static bool wanted(const struct mh_file *f, const char *name, const char *usual)
{
    return name && *name && (strcmp(name, usual) != 0 || mh_hdf5_exists(f->id, name));
}

static int open_train(struct mh_file *f, const struct mh_dataset_options *options, struct mh_error *err)
{
    if (mh_table_open(f->id, f->path, options->train, MH_TABLE_VECTORS, &f->train, err))
        return -1;
    if (options->rows > f->train.rows)
        return mh_fail(err, "%s: %s: has %" PRId64 " rows, but dataset.rows asks for %" PRId64, f->path,
                       options->train, f->train.rows, options->rows);
    f->shape.train_rows = options->rows ? options->rows : f->train.rows;
    f->shape.dim = f->train.columns;
    return 0;
}

static int open_test(struct mh_file *f, const struct mh_dataset_options *options, struct mh_error *err)
{
    if (!wanted(f, options->test, USUAL_TEST))
        return 0;
    if (mh_table_open(f->id, f->path, options->test, MH_TABLE_VECTORS, &f->test, err))
        return -1;
    if (f->test.columns != f->train.columns)
        return mh_fail(err, "%s: %s: has %" PRId64 " columns; expected %" PRId64 ", as %s", f->path,
                       f->test.name, f->test.columns, f->train.columns, f->train.name);
    f->shape.test_rows = f->test.rows;
    return 0;
}

static int check_distances(const struct mh_file *f, struct mh_error *err)
{
    if (strcmp(f->neighbors.name, USUAL_NEIGHBORS) != 0 || !mh_hdf5_exists(f->id, DISTANCES))
        return 0;
    struct mh_table distances;
    if (mh_table_open(f->id, f->path, DISTANCES, MH_TABLE_UNREAD, &distances, err))
        return -1;
    mh_table_close(&distances);
    if (distances.rows == f->neighbors.rows && distances.columns == f->neighbors.columns)
        return 0;
    return mh_fail(err, "%s: %s: is %" PRId64 " x %" PRId64 "; expected %" PRId64 " x %" PRId64 ", as %s",
                   f->path, DISTANCES, distances.rows, distances.columns, f->neighbors.rows,
                   f->neighbors.columns, f->neighbors.name);
}

static int open_neighbors(struct mh_file *f, const struct mh_dataset_options *options, struct mh_error *err)
{
    const bool tested = options->test && *options->test;
    if (!tested || !wanted(f, options->neighbors, USUAL_NEIGHBORS))
        return 0;
    if (mh_table_open(f->id, f->path, options->neighbors, MH_TABLE_INDICES, &f->neighbors, err))
        return -1;
    if (!f->shape.test_rows)
        return mh_fail(err, "%s: %s: has %" PRId64 " rows, but there is no data set '%s'", f->path,
                       f->neighbors.name, f->neighbors.rows, options->test);
    if (f->neighbors.rows != f->shape.test_rows)
        return mh_fail(err, "%s: %s: has %" PRId64 " rows; expected %" PRId64 ", one for each row of test",
                       f->path, f->neighbors.name, f->neighbors.rows, f->shape.test_rows);
    f->neighbors.bound = f->train.rows; /* of the file: true neighbours may lie beyond dataset.rows */
    f->shape.neighbors = f->neighbors.columns;
    f->shape.cut = f->shape.train_rows < f->train.rows;
    return check_distances(f, err);
}

static enum mh_metric metric_named(const char *name)
{
    static const struct {
        const char *name;
        enum mh_metric metric;
    } known[] = {{"euclidean", MH_METRIC_L2},
                 {"angular", MH_METRIC_COSINE},
                 {"dot", MH_METRIC_IP},
                 {"ip", MH_METRIC_IP}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(name, known[i].name))
            return known[i].metric;
    return MH_METRIC_AUTO;
}

static int fail_metric(const struct mh_file *f, struct mh_error *err)
{
    char cause[MH_HDF5_TEXT];
    mh_hdf5_cause(cause);
    return mh_fail(err, "%s: attribute '%s' cannot be read: %s", f->path, METRIC, cause);
}

static int read_variable_text(struct mh_file *f, hid_t attribute, hid_t type, struct mh_error *err)
{
    char *text = NULL;
    if (H5Aread(attribute, type, &text) < 0)
        return fail_metric(f, err);
    f->shape.metric = metric_named(text ? text : "");
    H5free_memory(text);
    return 0;
}

static int read_fixed_text(struct mh_file *f, hid_t attribute, hid_t type, struct mh_error *err)
{
    const size_t size = H5Tget_size(type) + 1; /* room for the terminator, which the file may lack */
    char *text = calloc(1, size);
    if (!text)
        return mh_fail(err, "%s: no memory for attribute '%s'", f->path, METRIC);
    const hid_t terminated = H5Tcopy(type);
    H5Tset_size(terminated, size);
    H5Tset_strpad(terminated, H5T_STR_NULLTERM);
    const int rc = H5Aread(attribute, terminated, text) < 0 ? fail_metric(f, err) : 0;
    if (!rc)
        f->shape.metric = metric_named(text);
    H5Tclose(terminated);
    free(text);
    return rc;
}

static int read_text(struct mh_file *f, hid_t attribute, hid_t type, struct mh_error *err)
{
    char text[MH_HDF5_TEXT];
    if (H5Tget_class(type) != H5T_STRING)
        return mh_fail(err, "%s: attribute '%s' holds a %s; expected a string", f->path, METRIC,
                       mh_hdf5_type_text(type, text));
    const hid_t space = H5Aget_space(attribute);
    const int64_t strings = H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    if (strings != 1)
        return mh_fail(err, "%s: attribute '%s' holds %" PRId64 " strings; expected one", f->path, METRIC,
                       strings);
    return H5Tis_variable_str(type) > 0 ? read_variable_text(f, attribute, type, err)
                                        : read_fixed_text(f, attribute, type, err);
}

static int read_metric(struct mh_file *f, struct mh_error *err)
{
    f->shape.metric = MH_METRIC_AUTO;
    if (H5Aexists(f->id, METRIC) <= 0)
        return 0;
    const hid_t attribute = H5Aopen(f->id, METRIC, H5P_DEFAULT);
    if (attribute < 0)
        return fail_metric(f, err);
    const hid_t type = H5Aget_type(attribute);
    const int rc = type < 0 ? fail_metric(f, err) : read_text(f, attribute, type, err);
    H5Tclose(type);
    H5Aclose(attribute);
    return rc;
}

static int fail_open(const char *path, struct mh_error *err)
{
    char cause[MH_HDF5_TEXT];
    mh_hdf5_cause(cause);
    if (H5Fis_hdf5(path) == 0)
        return mh_fail(err, "%s: is not an HDF5 file", path);
    return mh_fail(err, "%s: HDF5 cannot open it: %s", path, cause);
}

int mh_file_open(const struct mh_dataset_options *options, hid_t access, struct mh_file *file,
                 struct mh_error *err)
{
    const struct mh_table closed = {.id = H5I_INVALID_HID};
    mh_hdf5_silence();
    *file = (struct mh_file){.path = options->path, .train = closed, .test = closed, .neighbors = closed};
    file->id = H5Fopen(options->path, H5F_ACC_RDONLY, access);
    if (file->id < 0)
        return fail_open(options->path, err);
    if (!open_train(file, options, err) && !open_test(file, options, err) &&
        !open_neighbors(file, options, err) && !read_metric(file, err))
        return 0;
    mh_file_close(file);
    return -1;
}

void mh_file_close(struct mh_file *file)
{
    mh_table_close(&file->neighbors);
    mh_table_close(&file->test);
    mh_table_close(&file->train);
    H5Fclose(file->id);
}
