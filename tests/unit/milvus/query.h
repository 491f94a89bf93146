/* Query replies with columns of any kind, right and wrong, and a look at all that was read from them. */
#ifndef MH_UNIT_MILVUS_QUERY_H
#define MH_UNIT_MILVUS_QUERY_H

#include "milvus/replies.h"

enum data { NOTHING, BOOLS, INTS, LONGS, FLOATS, DOUBLES, TEXTS, VECTORS, TORN_FLOATS, TORN_VECTORS };

struct odd_column {
    int type;       /* what it says it is: enum mh_field_type */
    enum data data; /* what it holds */
    size_t rows;    /* 0 to 3; of vectors 2 floats each, whatever `dim` says */
    int64_t dim;
};

/* Columns "ca", "cb", ... with a status of success. */
struct bytes query_of(const struct odd_column *columns, size_t count);

void check_values(const struct mh_column *column,
                  enum data data);                /* fails unless it holds the three rows of `data` */
void read_values(const struct mh_column *column); /* touches every value */
void read_number(int64_t number);

#endif
