#include "result/store.h"

#include "dataset/hdf5.h"

#include <stdio.h>

#define GZIP_LEVEL 4
#define UNIT_SIZE  16

void mh_store_drop(hid_t id)
{
    if (id >= 0)
        H5Idec_ref(id);
}

int mh_store_fail(struct mh_error *err, const char *what)
{
    char cause[MH_HDF5_TEXT];
    return mh_fail(err, "%s: %s", what, mh_hdf5_cause(cause));
}

void mh_store_use_checksums(hid_t access)
{
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
}

hid_t mh_store_gzip(hsize_t chunk)
{
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(layout, 1, &chunk);
    H5Pset_shuffle(layout);
    H5Pset_deflate(layout, GZIP_LEVEL);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    return layout;
}

hid_t mh_store_create(hid_t file, const char *path, hid_t type, hsize_t count, hid_t layout)
{
    const hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    const hid_t space = H5Screate_simple(1, &count, NULL);
    const hid_t dataset = H5Dcreate2(file, path, type, space, links, layout, H5P_DEFAULT);
    mh_store_drop(space);
    mh_store_drop(links);
    return dataset;
}

int mh_store_attribute(hid_t object, const char *name, hid_t type, hid_t space, const void *value,
                       struct mh_error *err)
{
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int rc = 0;
    if (attribute < 0 || H5Awrite(attribute, type, value) < 0)
        rc = mh_store_fail(err, name);
    mh_store_drop(attribute);
    return rc;
}

int mh_store_units(hid_t dataset, const struct mh_result_field *fields, struct mh_error *err)
{
    char units[MH_RESULT_FIELDS][UNIT_SIZE] = {{0}};
    hsize_t count = 0;
    for (; fields[count].name; count++)
        snprintf(units[count], UNIT_SIZE, "%s", fields[count].unit);
    const hid_t type = mh_result_text_type(UNIT_SIZE);
    const hid_t space = H5Screate_simple(1, &count, NULL);
    const int rc = mh_store_attribute(dataset, "unit", type, space, units, err);
    mh_store_drop(space);
    mh_store_drop(type);
    return rc;
}
