/* One two-dimensional data set of the file: opened, checked, read by rows. */
#ifndef MH_DATASET_TABLE_H
#define MH_DATASET_TABLE_H

#include "base/error.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

enum mh_table_kind {
    MH_TABLE_VECTORS, /* stored as 32-bit float, read as float */
    MH_TABLE_INDICES, /* stored as 32- or 64-bit signed integer, read as int64_t */
    MH_TABLE_UNREAD,  /* of any type: only its shape matters */
};

struct mh_table {
    hid_t id;         /* negative: not open */
    const char *path; /* of the file and, below, in the file; borrowed, for messages */
    const char *name;
    enum mh_table_kind kind;
    int64_t rows, columns; /* at least 1 each */
    int64_t bound;         /* indices lie in 0..bound-1; to be set before a scan */
};

struct mh_rows {
    int64_t first, count;
};

/* Part `part` (0-based) of `parts` nearly equal ones; the first parts take the remainder. */
struct mh_rows mh_rows_share(int64_t rows, int part, int parts);

int mh_table_open(hid_t file, const char *path, const char *name, enum mh_table_kind kind,
                  struct mh_table *table, struct mh_error *err);
void mh_table_close(struct mh_table *table); /* a table that is not open is allowed */

/* Reads (at most 64 MiB or one row each) that `count` rows take. */
int64_t mh_table_reads(const struct mh_table *table, int64_t count);

/* Reads `rows` and checks every value: finite, or an index below the bound. `into` takes them, or is NULL
 * when they are only to be checked. Makes exactly `reads` HDF5 reads, the last ones of no rows, and after a
 * failure too: with a collective `transfer` all ranks must make the same number. */
int mh_table_scan(const struct mh_table *table, struct mh_rows rows, int64_t reads, hid_t transfer,
                  void *into, struct mh_error *err);

#endif
