/* Private to result/: the two steps of writing a file, and what they share. Everything HDF5 says comes back
 * as a message. */
#ifndef MH_RESULT_STORE_H
#define MH_RESULT_STORE_H

#include "result/fields.h"

void mh_store_drop(hid_t id); /* closes whatever it is; a negative one is no id */
int mh_store_fail(struct mh_error *err, const char *what); /* "what: HDF5's innermost cause"; -1 */

/* The format of HDF5 1.8, whose object headers carry checksums: in the older one a damaged byte can make the
 * library read freed memory. */
void mh_store_use_checksums(hid_t access);

hid_t mh_store_gzip(hsize_t chunk); /* creation properties, chunk in rows */

/* One-dimensional, with the groups that lead to it. */
hid_t mh_store_create(hid_t file, const char *path, hid_t type, hsize_t count, hid_t layout);

int mh_store_attribute(hid_t object, const char *name, hid_t type, hid_t space, const void *value,
                       struct mh_error *err);
int mh_store_units(hid_t dataset, const struct mh_result_field *fields,
                   struct mh_error *err); /* the attribute `unit` */

/* Makes the file `path` with all but the ledger. Rank 0. Nothing is left of it after a failure. */
int mh_store_tables(const char *path, const struct mh_report *report, struct mh_error *err);

/* Adds the ledger. Collective. Fails before it touches the file when a rank cannot open it or when there is
 * not enough room. */
int mh_store_ledger(const char *path, const struct mh_report_fate *fates, int64_t fate_count, MPI_Comm comm,
                    struct mh_error *err);

#endif
