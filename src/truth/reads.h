/* What searches and queries returned, kept by the rank that asked, and judged when the stage has ended: with
 * the history of writes at hand one can say of every hit whether it was right to be there. */
#ifndef MH_TRUTH_READS_H
#define MH_TRUTH_READS_H

#include "base/bytes.h"
#include "client/op.h"
#include "dataset/content.h"
#include "plan/plan.h"
#include "truth/violation.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#define MH_READS_MOST_BYTES (64LL << 20) /* kept a rank and stage; beyond, every second one is dropped */

enum {
    MH_CLAIM_NONE = -1 /* no field that tells versions */,
    MH_CLAIM_FALSE = -2 /* of no version, or a field that was asked for is missing */,
    MH_CLAIM_VECTOR = -3 /* less v: all that is known is that it has the vector of version v */
};

struct mh_seen { /* a hit, or a row of a query */
    int64_t id;
    float score;
    int32_t claim; /* the lowest version that has its fields, or MH_CLAIM_* */
};

/* A version that the row shows, be it by its vector alone; -1: none is known. Others may have the same. */
int32_t mh_seen_version(const struct mh_seen *seen);

/* One query, or one query vector of a search. Its text, the partitions it looked in, then `rows` struct
 * mh_seen follow it. */
struct mh_reading {
    int64_t sent_ns, done_ns; /* since the run began */
    int64_t sequence;         /* of the worker's operations */
    int64_t limit;            /* rows asked for; 0: no limit */
    int64_t offset;
    int64_t count;               /* count(*)'s answer; -1: rows were asked for */
    int64_t query;               /* SEARCH: row of the data set's queries */
    int64_t highest;             /* key of its rows; INT64_MIN: it has none */
    uint64_t fields;             /* that came with its rows: a bit for each of the collection's */
    double radius, range_filter; /* NaN: none */
    int32_t worker, stage, role, item;
    int32_t consistency; /* enum mh_consistency */
    int32_t rows;
    int32_t sure;       /* of them, rows that surely stood: set by the judgement */
    int32_t places;     /* partitions it looked in; 0: all */
    uint32_t text_room; /* bytes of the expression, its NUL and what fills up to 8 */
    uint8_t kind;       /* MH_OP_SEARCH or MH_OP_QUERY */
    bool exact;
    bool page;    /* of an iterator: the rows with the lowest keys of those that satisfy the expression */
    bool keyless; /* rows came without their keys: nobody can say which, and none is kept */
};

struct mh_reads {
    const struct mh_content *content;
    const struct mh_plan *plan;
    int64_t start_ns; /* when the run began, on this rank's clock */
    double share;     /* of all that is kept, drawn by worker and sequence */
    uint64_t seed;
    struct mh_bytes log;
    int64_t operations; /* of this stage: searches and queries */
    int64_t asked;      /* readings that they make */
    int64_t kept;       /* of them, in the log */
    int64_t stride;     /* one of so many is kept: a power of two, 1 at first */
    bool no_memory;     /* something was lost: nothing can be said */
};

void mh_reads_begin(struct mh_reads *reads); /* a stage: nothing seen yet; keeps the memory */
void mh_reads_free(struct mh_reads *reads);

/* Notes the reply of a search or query that is OK. */
void mh_reads_note(struct mh_reads *reads, const struct mh_op *op);

/* Goes through the log: the reading at *at, which moves on to the next; NULL at the end. */
struct mh_reading *mh_reads_next(const struct mh_reads *reads, size_t *at);
const char *mh_reading_text(const struct mh_reading *reading);
const int32_t *mh_reading_places(const struct mh_reading *reading); /* positions in the plan */
size_t mh_reading_tail(const struct mh_reading *reading);           /* bytes of text and places */
bool mh_reading_looks_in(const struct mh_reading *reading, int32_t partition);
const struct mh_seen *mh_reading_rows(const struct mh_reading *reading);
/* Of those that the row may be it is this one: by its score, or because no other is allowed. */
void mh_reading_set_version(struct mh_reading *reading, int32_t row, int32_t version);

/* Can `version` of the row be the one that the reading shows? By the fields that came, which hold the same in
 * all such versions. */
bool mh_seen_fits(const struct mh_content *content, const struct mh_reading *reading,
                  const struct mh_seen *seen, int64_t version);

#endif
