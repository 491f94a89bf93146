/* Small HDF5 files for the tests, good and bad. Every function ends the program when HDF5 refuses. */
#ifndef MH_TEST_DATASET_FILES_H
#define MH_TEST_DATASET_FILES_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

enum { TRAIN_ROWS = 20, DIM = 5, TEST_ROWS = 6, NEIGHBORS = 4 };

struct layout {
    hid_t type;
    int rank;
    hsize_t extent[3];
    hsize_t chunk[3]; /* 0: contiguous */
    bool gzip;
    bool unwritten; /* no values: they read as 0 and take no room in the file */
    bool allocated; /* with `unwritten`, contiguous: has its place in the file, a hole */
};

/* Element (row, column) of every generated data set. */
float value_at(int64_t row, int64_t column);

/* train TRAIN_ROWS x DIM, test TEST_ROWS x DIM (float32), neighbors (int32) and distances TEST_ROWS x
 * NEIGHBORS, distance = "euclidean". */
void make_usual_file(const char *path);

/* A file of train alone, with that layout. */
void make_train_file(const char *path, struct layout layout);

void remove_dataset(const char *path, const char *name);
void replace_dataset(const char *path, const char *name,
                     struct layout layout); /* numbers get value_at's values */
void replace_indices(const char *path, const char *name,
                     struct layout layout); /* row * 7 + column * 3, mod TRAIN_ROWS */
void set_element(const char *path, const char *name, int64_t row, int64_t column, double value);

void set_text_attribute(const char *path, const char *text, bool variable_length);
void set_unterminated_attribute(const char *path, const char *text);
void set_number_attribute(const char *path);
void set_two_texts_attribute(const char *path);
void remove_attribute(const char *path);

/* Puts bytes that no gzip wrote where the chunk that begins at `row` is stored. */
void spoil_chunk(const char *path, const char *name, int64_t row);

hid_t half_float_type(void); /* to be closed */

#endif
