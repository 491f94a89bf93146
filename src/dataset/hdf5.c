#include "dataset/hdf5.h"

#include <stdio.h>
#include <string.h>

void mh_hdf5_silence(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static herr_t take_first(unsigned depth, const H5E_error2_t *error, void *text)
{
    (void)depth;
    if (!error->desc || !*error->desc)
        return 0;
    snprintf(text, MH_HDF5_TEXT, "%s", error->desc);
    return 1;
}

const char *mh_hdf5_cause(char text[MH_HDF5_TEXT])
{
    snprintf(text, MH_HDF5_TEXT, "unknown cause");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, text);
    return text;
}

static const char *class_name(H5T_class_t class)
{
    static const char *const names[] = {
        [H5T_TIME] = "time",        [H5T_STRING] = "string",        [H5T_BITFIELD] = "bit field",
        [H5T_OPAQUE] = "opaque",    [H5T_COMPOUND] = "compound",    [H5T_REFERENCE] = "reference",
        [H5T_ENUM] = "enumeration", [H5T_VLEN] = "variable-length", [H5T_ARRAY] = "array",
    };
    const bool known = class >= 0 && (size_t) class < sizeof names / sizeof *names && names[class];
    return known ? names[class] : "unknown";
}

const char *mh_hdf5_type_text(hid_t type, char text[MH_HDF5_TEXT])
{
    const H5T_class_t class = H5Tget_class(type);
    const size_t bits = 8 * H5Tget_size(type);
    if (class == H5T_INTEGER)
        snprintf(text, MH_HDF5_TEXT, "%zu-bit %s integer", bits,
                 H5Tget_sign(type) == H5T_SGN_NONE ? "unsigned" : "signed");
    else if (class == H5T_FLOAT)
        snprintf(text, MH_HDF5_TEXT, "%s%zu-bit float",
                 bits == 32 && !mh_hdf5_is_float32(type) ? "non-IEEE " : "", bits);
    else
        snprintf(text, MH_HDF5_TEXT, "%s", class_name(class));
    return text;
}

bool mh_hdf5_is_float32(hid_t type)
{
    return H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0;
}

bool mh_hdf5_is_index(hid_t type)
{
    return H5Tequal(type, H5T_STD_I32LE) > 0 || H5Tequal(type, H5T_STD_I64LE) > 0 ||
           H5Tequal(type, H5T_STD_I32BE) > 0 || H5Tequal(type, H5T_STD_I64BE) > 0;
}

bool mh_hdf5_exists(hid_t file, const char *name)
{
    return H5Lexists(file, name, H5P_DEFAULT) > 0 && H5Oexists_by_name(file, name, H5P_DEFAULT) > 0;
}

static bool is_float_dataset(hid_t object)
{
    if (H5Iget_type(object) != H5I_DATASET)
        return false;
    const hid_t type = H5Dget_type(object);
    const bool yes = type >= 0 && mh_hdf5_is_float32(type);
    H5Tclose(type);
    return yes;
}

static herr_t append_float_dataset(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)info;
    char *text = context;
    const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0)
        return 0;
    const size_t used = strlen(text);
    if (is_float_dataset(object) && used + strlen(name) + sizeof ", ..." < MH_HDF5_TEXT)
        snprintf(text + used, MH_HDF5_TEXT - used, "%s%s", used ? ", " : "", name);
    H5Oclose(object);
    return 0;
}

const char *mh_hdf5_list_floats(hid_t file, char text[MH_HDF5_TEXT])
{
    *text = '\0';
    H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, append_float_dataset, text);
    return text;
}
