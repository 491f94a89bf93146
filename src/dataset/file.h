/* An HDF5 file in the ann-benchmarks layout: its data sets opened and checked against each other, no rows
 * read. */
#ifndef MH_DATASET_FILE_H
#define MH_DATASET_FILE_H

#include "base/error.h"
#include "dataset/dataset.h"
#include "dataset/table.h"
#include "job/job.h"

#include <hdf5.h>
#include <stdint.h>

struct mh_file {
    const char *path; /* borrowed */
    hid_t id;
    struct mh_table train, test, neighbors; /* test and neighbors are open only if the file has them */
    struct mh_dataset_shape shape;          /* train_rows after dataset.rows */
};

/* The size of the regular, readable file at options->path. To be asked before mh_file_open. */
int mh_file_bytes(const struct mh_dataset_options *options, int64_t *bytes, struct mh_error *err);

/* `access`: H5P_DEFAULT, or a list that names the MPI-IO driver, and then collective over its communicator.
 */
int mh_file_open(const struct mh_dataset_options *options, hid_t access, struct mh_file *file,
                 struct mh_error *err);
void mh_file_close(struct mh_file *file);

#endif
