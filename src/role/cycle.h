/* The rows of one life of a collection: what was written to them, and whether an answer contradicts that.
 * Pure: it knows neither steps nor times. */
#ifndef MH_ROLE_CYCLE_H
#define MH_ROLE_CYCLE_H

#include "role/role.h"

/* Ids of cycles' rows lie above all others', and no two cycles of a run share any: an id tells whose it is.
 */
enum { MH_CYCLE_BITS = 21 };
#define MH_CYCLE_MOST_ROWS 2000000
int64_t mh_cycle_first_id(const struct mh_role *role, int64_t cycle);
/* What stands for index, partition and collection themselves, behind the ids of the rows. */
#define MH_CYCLE_ID_INDEX     ((1LL << MH_CYCLE_BITS) - 3)
#define MH_CYCLE_ID_PARTITION ((1LL << MH_CYCLE_BITS) - 2)
#define MH_CYCLE_ID_WHOLE     ((1LL << MH_CYCLE_BITS) - 1)

/* "soak_1a2b3c4d_w0003_c17": of the job's collection, the run, the worker and the cycle. */
void mh_cycle_name(const char *collection, uint32_t run_tag, int64_t worker, int64_t cycle, char name[300]);

struct mh_cycle_range {
    int64_t from, to; /* rows from .. to-1 */
};

enum { MH_CYCLE_RANGES = 64, MH_CYCLE_MOST_LOCATED = 100 };

struct mh_cycle {
    const struct mh_content *content;
    int metric;          /* enum mh_metric: what a search finds nearest */
    bool faithful;       /* scores are distances: the index keeps vectors as they are */
    bool brute;          /* it looks at every row */
    bool sound;          /* the last count(*) was right: no second copies take places among the hits */
    int64_t first, rows; /* ids first .. first + rows - 1 */
    uint8_t *fates;      /* of each; see cycle.c */
    int64_t live, maybe; /* rows that must be there; that may */
    struct mh_cycle_range ranges[MH_CYCLE_RANGES]; /* still to be counted */
    int range_count;
    struct mh_cycle_copies {
        int64_t row, copies;
    } located[MH_CYCLE_MOST_LOCATED]; /* more than one */
    int located_count;
};

int mh_cycle_init(struct mh_cycle *cycle, const struct mh_content *content,
                  const struct mh_index_options *index, int64_t rows); /* -1: no memory */
void mh_cycle_free(struct mh_cycle *cycle);

void mh_cycle_begin(struct mh_cycle *cycle, int64_t first);          /* nothing is written */
void mh_cycle_wrote(struct mh_cycle *cycle, const struct mh_op *op); /* an insert or a delete has ended */
void mh_cycle_dropped(struct mh_cycle *cycle); /* with what they were in: none is left */
void mh_cycle_perhaps_dropped(struct mh_cycle *cycle);

struct mh_cycle_wrong { /* as in struct mh_finding */
    enum mh_found what;
    int64_t id, expected, seen;
    double expected_value, seen_value;
};

/* Called for each thing wrong with an answer; NULL: they are only counted. */
typedef void mh_cycle_tell(void *context, const struct mh_cycle_wrong *wrong);

/* Each returns how many things are wrong. Of a query for rows from .. to-1 (and, at either end, for all
 * beyond), where they belong or wherever they are: *found: grows by the rows of these returned, each once. */
int64_t mh_cycle_judge_rows(const struct mh_cycle *cycle, const struct mh_op *op, int64_t from, int64_t to,
                            int64_t *found, mh_cycle_tell *tell, void *context);

/* Rows were absent where they belong. Of the same query for them wherever they are: those that it returns are
 * misplaced, and not lost, when they are absent at home once more. */
void mh_cycle_note_away(const struct mh_cycle *cycle, const struct mh_op *op);
void mh_cycle_forget_away(const struct mh_cycle *cycle); /* none is any more */

/* Of a query for rows where none of theirs belongs, after all were asked for at home: those that were there
 * are duplicated, others misplaced. */
void mh_cycle_judge_strays(const struct mh_cycle *cycle, const struct mh_op *op, int64_t *found,
                           mh_cycle_tell *tell, void *context);

/* Of a listing without their collection: every row that must be there is lost; where there is none, the
 * collection. */
int64_t mh_cycle_judge_absence(const struct mh_cycle *cycle, mh_cycle_tell *tell, void *context);

/* Which rows are there more than once? After all rows were judged: counts by range tell, as long as there is
 * a next one. In the end, MH_CYCLE_MOST_LOCATED at most are told; false: they do not explain `surplus`
 * rows. */
void mh_cycle_locate(struct mh_cycle *cycle);
bool mh_cycle_next_range(struct mh_cycle *cycle, struct mh_cycle_range *range);
void mh_cycle_counted(struct mh_cycle *cycle, const struct mh_cycle_range *range, int64_t count);
bool mh_cycle_explain(const struct mh_cycle *cycle, int64_t surplus, mh_cycle_tell *tell, void *context);

/* Of a search for the vectors of rows from .. from + query_count - 1: what hits there are, their scores and
 * their order. exact: it must find what is nearest, and nothing is nearer than a row's own vector, by L2 and
 * COSINE. */
int64_t mh_cycle_judge_hits(const struct mh_cycle *cycle, const struct mh_op *op, int64_t from, bool exact,
                            mh_cycle_tell *tell, void *context);

/* Of these rows, adds up those that must be there and had room among the hits, and those found. */
void mh_cycle_count_found(const struct mh_cycle *cycle, const struct mh_op *op, int64_t from,
                          int64_t *searched, int64_t *found);

#endif
