/* What HDF5 has to say, in words for our messages. */
#ifndef MH_DATASET_HDF5_H
#define MH_DATASET_HDF5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#define MH_HDF5_TEXT 512

void mh_hdf5_silence(void); /* no error stacks on stderr: failures come back as messages */

/* The innermost cause of the HDF5 call that just failed. Ask before the next HDF5 call, which forgets it. */
const char *mh_hdf5_cause(char text[MH_HDF5_TEXT]);

/* "64-bit float", "32-bit unsigned integer", "string", ... */
const char *mh_hdf5_type_text(hid_t type, char text[MH_HDF5_TEXT]);

bool mh_hdf5_is_float32(hid_t type); /* IEEE, of either byte order */
bool mh_hdf5_is_index(hid_t type);   /* signed, 32 or 64 bits, of either byte order */

/* True when `name` (a path of groups is allowed) leads to an object. */
bool mh_hdf5_exists(hid_t file, const char *name);

/* The names of the data sets of 32-bit floats in the file: "test, train"; empty when there are none. */
const char *mh_hdf5_list_floats(hid_t file, char text[MH_HDF5_TEXT]);

#endif
