/* Private to result/: every field of a result, one row each. The writer, the reader and the JSON all go by
 * these rows; docs/results.md lists them and a test compares. A new result field is a member of its struct, a
 * row here, and a line there. */
#ifndef MH_RESULT_FIELDS_H
#define MH_RESULT_FIELDS_H

#include "result/report.h"

#include <hdf5.h>

#define MH_RESULT_FORMAT "milvus-hpc result"
enum { MH_RESULT_VERSION = 2, MH_RESULT_FIELDS = 48 /* at most, of one table */ };

enum mh_cell {                /*   in memory                  in the file */
               MH_CELL_TEXT,  /*   char[size]                 text of that size */
               MH_CELL_OWNED, /*   char *, owned              text as long as the longest of the table */
               MH_CELL_NAMED, /*   int32_t, -1: none          its name, "": none */
               MH_CELL_BOOL,  /*   bool                       enumeration of FALSE and TRUE, a byte (h5py:
                                 bool) */
               MH_CELL_INT32,
               MH_CELL_INT64,
               MH_CELL_UINT64,
               MH_CELL_DOUBLE,
};

struct mh_result_field {
    const char *name; /* NULL ends a table */
    enum mh_cell cell;
    size_t offset, size;       /* in the row's struct */
    const char *unit;          /* "" : none, or a name, number or flag */
    const char *(*named)(int); /* NAMED: the name of a number, NULL for others */
};

struct mh_result_table {
    const char *path; /* NULL ends the list */
    const struct mh_result_field *fields;
    size_t row_size;    /* of the struct */
    size_t rows, count; /* where struct mh_result_view has the pointer to them and their number */
    bool audit;         /* only in the result of an audited run */
};

/* /operations: what a struct mh_report_operation comes to. */
struct mh_result_operation {
    char stage[256], role[32], op[32], latency[64];
    int64_t counters[MH_TALLY_COUNTERS];
    int64_t longest[MH_TALLY_LONGEST];
    double seconds, per_second, rows_per_second;
    bool client_limited;
    int64_t latency_count;
    int64_t due_ns[5], sent_ns[5]; /* p50, p95, p99, p99.9, max */
};

struct mh_result_bucket {
    int64_t low_edge_ns;
    uint64_t count;
};

/* A report as the tables see it. */
struct mh_result_view {
    struct mh_report report; /* a shallow copy */
    char format[32];
    int32_t format_version;
    struct mh_result_operation *operations; /* report.operation_count of them */
    struct mh_report_moment *moments;
    int64_t moment_count;
};

extern const struct mh_result_field
    mh_result_root[]; /* attributes of "/", offsets in struct mh_result_view */
extern const struct mh_result_table mh_result_tables[];
extern const struct mh_result_field mh_result_bucket_fields[], mh_result_histogram_attributes[];
extern const struct mh_result_field mh_result_fate_fields[];

int mh_result_view_of(const struct mh_report *report, struct mh_result_view *view, struct mh_error *err);
void mh_result_view_free(struct mh_result_view *view); /* what the view added to the report */

const char *mh_result_wrong_name(int kind);  /* NULL: no such kind */
const char *mh_result_write_name(int kind);  /* of an operation kind; NULL: no such kind */
const char *mh_result_reader_name(int kind); /* of seen_by */

/* A server's words, or a damaged file's: each byte that is not valid UTF-8 becomes '?'; with one_line,
 * control characters become blanks. What does not fit into `out` is cut between characters; `out` may be
 * `text`. */
void mh_result_clean(const char *text, bool one_line, char *out, size_t size);

/* Where each field stands in a row of the file. */
struct mh_result_layout {
    size_t row_size;
    size_t offset[MH_RESULT_FIELDS], size[MH_RESULT_FIELDS];
};

/* Without gaps; widths of OWNED fields from the `count` rows (structs of row_size bytes). */
void mh_result_pack(const struct mh_result_field *fields, const void *rows, int64_t count, size_t row_size,
                    struct mh_result_layout *layout);
void mh_result_in_place(const struct mh_result_field *fields, size_t row_size,
                        struct mh_result_layout *layout); /* as the struct */

hid_t mh_result_text_type(size_t size);
hid_t mh_result_cell_type(const struct mh_result_field *field, size_t size);
hid_t mh_result_row_type(const struct mh_result_field *fields, const struct mh_result_layout *layout);

void mh_result_encode(const struct mh_result_field *fields, const struct mh_result_layout *layout,
                      const void *item, void *row);

/* The item's OWNED fields are made new: it must have been zero. -1: a name that nobody knows, or no memory
 * (then *unknown is NULL). */
int mh_result_decode(const struct mh_result_field *fields, const struct mh_result_layout *layout,
                     const void *row, void *item, const struct mh_result_field **unknown);

#endif
