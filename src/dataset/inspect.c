#include "dataset/dataset.h"
#include "dataset/file.h"
#include "dataset/synthetic.h"

static int open_serially(const struct mh_dataset_options *options, struct mh_file *file, struct mh_error *err)
{
    int64_t bytes;
    if (mh_file_bytes(options, &bytes, err))
        return -1;
    return mh_file_open(options, H5P_DEFAULT, file, err);
}

int mh_dataset_inspect(const struct mh_dataset_options *options, struct mh_dataset_shape *shape,
                       struct mh_error *err)
{
    if (options->synthetic.rows)
        return mh_synthetic_shape(options, shape, err);
    struct mh_file file;
    if (open_serially(options, &file, err))
        return -1;
    *shape = file.shape;
    mh_file_close(&file);
    return 0;
}

static int scan_first(const struct mh_table *t, int64_t rows, struct mh_error *err)
{
    return mh_table_scan(t, (struct mh_rows){0, rows}, mh_table_reads(t, rows), H5P_DEFAULT, NULL, err);
}

static int scan_all(const struct mh_file *f, struct mh_error *err)
{
    if (scan_first(&f->train, f->shape.train_rows, err))
        return -1;
    if (f->shape.test_rows && scan_first(&f->test, f->test.rows, err))
        return -1;
    return f->shape.neighbors ? scan_first(&f->neighbors, f->neighbors.rows, err) : 0;
}

int mh_dataset_examine(const struct mh_dataset_options *options, struct mh_dataset_shape *shape,
                       struct mh_error *err)
{
    if (options->synthetic.rows)
        return mh_synthetic_shape(options, shape, err);
    struct mh_file file;
    if (open_serially(options, &file, err))
        return -1;
    const int rc = scan_all(&file, err);
    if (!rc)
        *shape = file.shape;
    mh_file_close(&file);
    return rc;
}
