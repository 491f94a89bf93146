/* What row `id` holds in its version `version`: a pure function, the same on every rank, so that any rank can
 * say what another must have written.
 *
 * The vector is row (id + version * stride) modulo train_rows of the data set; version 0 of consecutive ids
 * is consecutive rows. Scalars are drawn from a hash of (seed, field, id, version); a varchar reads
 * "prefix42_ID_vVERSION", 42 being 00..99 by the hash; one shorter than 40 holds the hash in 16 hex digits,
 * cut to max_length. */
#ifndef MH_DATASET_CONTENT_H
#define MH_DATASET_CONTENT_H

#include "dataset/dataset.h"
#include "job/job.h"
#include "milvus/milvus.h"

struct mh_content {
    const struct mh_dataset *dataset;
    const struct mh_field *fields;
    size_t field_count;
    int key_field, vector_field; /* positions in fields */
    int64_t stride; /* between the vectors of a row's versions; no two of train_rows versions have the same */
    uint64_t seed;
};

void mh_content_init(struct mh_content *content, const struct mh_dataset *dataset,
                     const struct mh_collection_options *collection, uint64_t seed);

const char *mh_content_key_name(const struct mh_content *content);
const char *mh_content_vector_name(const struct mh_content *content);

/* Can a reader tell versions apart without the vector? False when no scalar field is wide enough (32 bits or
 * a varchar of 8 bytes). */
bool mh_content_tells_version(const struct mh_content *content);
bool mh_content_field_tells(const struct mh_content *content, size_t at); /* this one alone */

const float *mh_content_vector(const struct mh_content *content, int64_t id, int64_t version);

/* Rows being built for one write, memory reused from write to write. Columns are in the order of the fields.
 */
struct mh_rowset {
    int64_t rows, room;
    int64_t *ids;
    struct mh_column *columns;
    size_t column_count;
    void **buffers; /* one a column */
    char *text;     /* bytes of all varchar values */
    size_t text_used, text_room;
};

int mh_rowset_init(struct mh_rowset *set, const struct mh_content *content,
                   int64_t room); /* 0, or -1: no memory */
void mh_rowset_free(struct mh_rowset *set);

/* Fills the columns for set->ids[0 .. set->rows-1], all in version `versions[i]` (NULL: all 0). The vector
 * column refers to the data set where the rows lie side by side there; else it is a copy that the column's
 * `release` frees. Returns 0, or -1: no memory. */
int mh_rowset_fill(struct mh_rowset *set, const struct mh_content *content, const uint16_t *versions);

/* One scalar of (id, version), by the field's type: whole (bool and integers), real (float and double) or
 * text.
 */
struct mh_scalar {
    int64_t whole;
    double real;
    char text[64];
};
void mh_content_scalar(const struct mh_content *content, size_t field, int64_t id, int64_t version,
                       struct mh_scalar *out);

/* Do two versions of a row hold the same in this field? Narrow ones often do; of a float's 24 bits, a pair of
 * some hundred versions may. */
bool mh_content_same(const struct mh_content *content, size_t field, int64_t id, int64_t version,
                     int64_t other);

/* Does row `row` of a received column hold what (id, version) must? */
bool mh_content_matches(const struct mh_content *content, size_t field, const struct mh_column *column,
                        int64_t row, int64_t id, int64_t version);

/* How many rows a query's reply has, and their keys; -1: rows, but no keys that could name them. */
int64_t mh_content_keys(const struct mh_content *content, const struct mh_reply *reply, const int64_t **ids);

#endif
