/* Vectors from an HDF5 file in the ann-benchmarks layout (train, test, neighbors, distances, attribute
 * `distance`), or made up. One copy a node, in shared memory; each rank reads its share of the rows into it.
 */
#ifndef MH_DATASET_DATASET_H
#define MH_DATASET_DATASET_H

#include "base/error.h"
#include "job/job.h"

#include <mpi.h>

struct mh_dataset_shape {
    int64_t train_rows; /* after dataset.rows */
    int64_t test_rows;  /* 0: no test set */
    int64_t dim;
    int64_t neighbors; /* columns of `neighbors`; 0: none */
    bool cut;          /* train_rows is not all of the file's */
    enum mh_metric
        metric; /* from the attribute `distance`: euclidean L2, angular COSINE, dot or ip IP; else AUTO */
};

struct mh_dataset {
    struct mh_dataset_shape shape;
    /* train_rows x dim, row-major float32, followed by `overlap` rows that repeat the first ones, so that any
     * `overlap` + 1 rows from any start, counted modulo train_rows, lie side by side. Shared by the node's
     * ranks, read-only. */
    const float *train;
    int64_t overlap;
    /* What is searched for, query_rows x dim, at least 1 row: `test`; of a made-up set rows of the same kind
     * behind the last; of a file without test vectors `train` itself. Shared likewise. */
    const float *queries;
    int64_t query_rows;
    bool queries_are_train;
    /* query_rows x shape.neighbors, rows of `train`; NULL: the file has none, or `train` is cut. Shared
     * likewise. */
    const int64_t *neighbors;
    struct mh_dataset_storage *storage; /* private */
};

/* `test` and `neighbors` may be absent from the file under these usual names, not under others; an empty name
 * means unused.
 *
 * Checks file, data sets, shapes and types; reads no rows. Serial, no MPI. Messages name file and data set.
 */
int mh_dataset_inspect(const struct mh_dataset_options *options, struct mh_dataset_shape *shape,
                       struct mh_error *err);

/* Checks every value as well (NaN, infinity: the row is named; neighbours outside train). Serial; for
 * `check`. */
int mh_dataset_examine(const struct mh_dataset_options *options, struct mh_dataset_shape *shape,
                       struct mh_error *err);

/* Collective over `world`: all ranks read `train` and `test`, each its share of its node's rows by hyperslab,
 * and check what they read, neighbours included. All ranks return the same. `overlap` >= 0 rows are repeated
 * at the end. */
int mh_dataset_open(const struct mh_dataset_options *options, int64_t overlap, uint64_t seed, MPI_Comm world,
                    struct mh_dataset **out, struct mh_error *err);

/* XXH3 of the shape and of at most 65,536 rows, evenly spread: tells one data set from another. */
uint64_t mh_dataset_digest(const struct mh_dataset *dataset);

void mh_dataset_close(struct mh_dataset *dataset); /* collective; NULL is allowed */

#endif
