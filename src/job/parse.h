/* From a tree of nodes to a struct, by the rows of its options. */
#ifndef MH_JOB_PARSE_H
#define MH_JOB_PARSE_H

#include "job/job.h"
#include "job/node.h"

/* Where a key stood: every section, item and option that the text gave. */
struct mh_mark {
    char *key;
    const struct mh_node *node;
};

struct mh_reading {
    const struct mh_role_kind *const *kinds;
    struct mh_option_value *values; /* of every option read so far, with its default or not */
    size_t value_count;
    struct mh_mark *marks;
    size_t mark_count;
    const struct mh_node *root;
    char key[1024]; /* path of what is being read: "stages.crud.writer.rows" */
    struct mh_error *err;
};

/* Reads all rows of `base` (a zeroed struct) from r->root, a map. What was read before a failure is in it. */
int mh_read_rows(struct mh_reading *r, const struct mh_option *rows, void *base);

void mh_release_rows(const struct mh_option *rows, void *base); /* frees what mh_read_rows put there */
void mh_reading_end(struct mh_reading *r);                      /* frees the marks; the values too */

const struct mh_node *mh_marked(const struct mh_reading *r, const char *key); /* NULL: not given */

/* "crud.yaml:14:32: KEY: message", at the place of the key or of the closest section around it that was
 * given. Returns -1. */
int mh_fail_at(struct mh_reading *r, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
