#include "files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hid_t must(hid_t id)
{
    if (id >= 0)
        return id;
    fprintf(stderr, "cannot make a test file\n");
    H5Eprint2(H5E_DEFAULT, stderr);
    abort();
}

float value_at(int64_t row, int64_t column)
{
    return (float)(row % 8192) + (float)(column % 1024) / 1024;
}

static hid_t open_file(const char *path)
{
    return must(H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT));
}

static int64_t index_at(int64_t row, int64_t column)
{
    return (row * 7 + column * 3) % TRAIN_ROWS;
}

static double generated_float(int64_t row, int64_t column)
{
    return value_at(row, column);
}

static double generated_index(int64_t row, int64_t column)
{
    return (double)index_at(row, column);
}

static void write_numbers(hid_t dataset, const struct layout *l, double (*value)(int64_t, int64_t))
{
    hsize_t rows = l->extent[0], columns = 1;
    for (int i = 1; i < l->rank; i++)
        columns *= l->extent[i];
    double *values = malloc(rows * columns * sizeof *values + 1);
    if (!values)
        abort();
    for (hsize_t i = 0; i < rows * columns; i++)
        values[i] = value((int64_t)(i / columns), (int64_t)(i % columns));
    must(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    free(values);
}

static hid_t creation_of(const struct layout *l)
{
    const hid_t creation = must(H5Pcreate(H5P_DATASET_CREATE));
    if (l->chunk[0])
        must(H5Pset_chunk(creation, l->rank, l->chunk));
    if (l->gzip)
        must(H5Pset_deflate(creation, 4));
    if (l->allocated) {
        must(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY));
        must(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER));
    }
    return creation;
}

static void add_dataset(hid_t file, const char *name, struct layout l, double (*value)(int64_t, int64_t))
{
    const hid_t space = must(l.rank ? H5Screate_simple(l.rank, l.extent, NULL) : H5Screate(H5S_SCALAR));
    const hid_t creation = creation_of(&l);
    const hid_t links = must(H5Pcreate(H5P_LINK_CREATE));
    must(H5Pset_create_intermediate_group(links, 1));
    const hid_t dataset = must(H5Dcreate2(file, name, l.type, space, links, creation, H5P_DEFAULT));
    const H5T_class_t class = H5Tget_class(l.type);
    if (!l.unwritten && l.rank && (class == H5T_FLOAT || class == H5T_INTEGER))
        write_numbers(dataset, &l, value);
    H5Dclose(dataset);
    H5Pclose(links);
    H5Pclose(creation);
    H5Sclose(space);
}

static void add_attribute(hid_t file, hid_t type, hid_t space, const void *value)
{
    if (H5Aexists(file, "distance") > 0)
        must(H5Adelete(file, "distance"));
    const hid_t attribute = must(H5Acreate2(file, "distance", type, space, H5P_DEFAULT, H5P_DEFAULT));
    must(H5Awrite(attribute, type, value));
    H5Aclose(attribute);
}

static void put_attribute(const char *path, hid_t type, hid_t space, const void *value)
{
    const hid_t file = open_file(path);
    add_attribute(file, type, space, value);
    H5Sclose(space);
    H5Fclose(file);
}

void set_text_attribute(const char *path, const char *text, bool variable_length)
{
    const hid_t type = must(H5Tcopy(H5T_C_S1));
    must(H5Tset_cset(type, H5T_CSET_UTF8));
    must(H5Tset_size(type, variable_length ? H5T_VARIABLE : strlen(text) + 1));
    put_attribute(path, type, must(H5Screate(H5S_SCALAR)), variable_length ? (const void *)&text : text);
    H5Tclose(type);
}

void set_unterminated_attribute(const char *path, const char *text)
{
    const hid_t type = must(H5Tcopy(H5T_C_S1));
    must(H5Tset_size(type, strlen(text)));
    must(H5Tset_strpad(type, H5T_STR_NULLPAD));
    put_attribute(path, type, must(H5Screate(H5S_SCALAR)), text);
    H5Tclose(type);
}

void set_number_attribute(const char *path)
{
    const int64_t two = 2;
    put_attribute(path, H5T_STD_I64LE, must(H5Screate(H5S_SCALAR)), &two);
}

void set_two_texts_attribute(const char *path)
{
    const hsize_t two = 2;
    const hid_t type = must(H5Tcopy(H5T_C_S1));
    must(H5Tset_size(type, 3));
    put_attribute(path, type, must(H5Screate_simple(1, &two, NULL)), "ip\0dot");
    H5Tclose(type);
}

void remove_attribute(const char *path)
{
    const hid_t file = open_file(path);
    must(H5Adelete(file, "distance"));
    H5Fclose(file);
}

void make_usual_file(const char *path)
{
    const hid_t file = must(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    const struct layout train = {.type = H5T_IEEE_F32LE, .rank = 2, .extent = {TRAIN_ROWS, DIM}};
    const struct layout test = {.type = H5T_IEEE_F32LE, .rank = 2, .extent = {TEST_ROWS, DIM}};
    const struct layout neighbors = {.type = H5T_STD_I32LE, .rank = 2, .extent = {TEST_ROWS, NEIGHBORS}};
    const struct layout distances = {.type = H5T_IEEE_F32LE, .rank = 2, .extent = {TEST_ROWS, NEIGHBORS}};
    add_dataset(file, "train", train, generated_float);
    add_dataset(file, "test", test, generated_float);
    add_dataset(file, "neighbors", neighbors, generated_index);
    add_dataset(file, "distances", distances, generated_float);
    H5Fclose(file);
    set_text_attribute(path, "euclidean", false);
}

void make_train_file(const char *path, struct layout layout)
{
    const hid_t file = must(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    add_dataset(file, "train", layout, generated_float);
    H5Fclose(file);
}

static void replace(const char *path, const char *name, struct layout l, double (*value)(int64_t, int64_t))
{
    const hid_t file = open_file(path);
    if (H5Lexists(file, name, H5P_DEFAULT) > 0)
        must(H5Ldelete(file, name, H5P_DEFAULT));
    add_dataset(file, name, l, value);
    H5Fclose(file);
}

void remove_dataset(const char *path, const char *name)
{
    const hid_t file = open_file(path);
    must(H5Ldelete(file, name, H5P_DEFAULT));
    H5Fclose(file);
}

void replace_dataset(const char *path, const char *name, struct layout l)
{
    replace(path, name, l, generated_float);
}

void replace_indices(const char *path, const char *name, struct layout layout)
{
    replace(path, name, layout, generated_index);
}

void set_element(const char *path, const char *name, int64_t row, int64_t column, double value)
{
    const hsize_t at[2] = {(hsize_t)row, (hsize_t)column}, one[2] = {1, 1};
    const hid_t file = open_file(path);
    const hid_t dataset = must(H5Dopen2(file, name, H5P_DEFAULT));
    const hid_t space = must(H5Dget_space(dataset)), single = must(H5Screate_simple(2, one, NULL));
    must(H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, one, NULL));
    must(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, single, space, H5P_DEFAULT, &value));
    H5Sclose(single);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
}

void spoil_chunk(const char *path, const char *name, int64_t row)
{
    const char nonsense[] = "no gzip stream begins like this one";
    const hsize_t at[2] = {(hsize_t)row, 0};
    const hid_t file = open_file(path);
    const hid_t dataset = must(H5Dopen2(file, name, H5P_DEFAULT));
    must(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, at, sizeof nonsense, nonsense));
    H5Dclose(dataset);
    H5Fclose(file);
}

hid_t half_float_type(void)
{
    const hid_t type = must(H5Tcopy(H5T_IEEE_F32LE));
    must(H5Tset_fields(type, 15, 10, 5, 0, 10));
    must(H5Tset_size(type, 2));
    must(H5Tset_ebias(type, 15));
    return type;
}
