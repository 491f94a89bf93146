/* Private to truth/recall*: a sample of searches and queries on its way through all rows, to its judgement.
 */
#ifndef MH_TRUTH_RECALL_H
#define MH_TRUTH_RECALL_H

#include "truth/hits.h"

struct mh_sampled {
    int32_t rank, number; /* who asked; which of all samples */
    struct mh_seen first; /* its first row, if it has any */
    struct mh_reading reading;
    char text[]; /* then its partitions: mh_reading_tail bytes */
};

/* A row that qualified, of those nearest to a sample's query. */
struct mh_near {
    int32_t sample;
    float distance;
    int64_t id;
};

/* What a rank found in its share of the rows. */
struct mh_finds {
    int32_t sample, spare;
    int64_t certain, possible; /* queries: rows that must, that may be in the answer */
    int64_t before;            /* searches with an offset: rows that may have been left out in front */
    int64_t tried, held;       /* rows that the filter was tried on */
};

struct mh_target { /* a sample at work */
    const struct mh_sampled *sample;
    const float *query;
    double length;           /* squared, of the query */
    double error;            /* of its scores, for rows as long as it is */
    struct mh_near *nearest; /* a heap, the farthest on top; topk at most */
    int64_t count;
    struct mh_finds tally;
};

struct mh_compare {
    struct mh_hits *hits;
    struct mh_filter filter;
    struct mh_target *targets;
    int64_t target_count, target_room;
    float *queries;    /* of the searches among the targets, side by side */
    int64_t *searches; /* which targets they are */
    int64_t search_count;
    int64_t
        whole_ns; /* from then on the collection was the data set's train rows, each once; INT64_MAX: never */
};

/* How many of the nearest rows must be known to say what belongs in the answer. */
static inline int64_t mh_target_depth(const struct mh_target *target)
{
    return target->sample->reading.limit + target->sample->reading.offset;
}

static inline int64_t mh_hits_dim(const struct mh_hits *hits)
{
    return hits->content->dataset->shape.dim;
}

/* recall_rows.c: every row that this rank audits against every target: what is nearest, how many rows must
 * and may be there. -1: out of memory. */
int mh_recall_look(struct mh_compare *compare);
/* One more; those that are too far fall out. */
void mh_recall_take_near(struct mh_target *target, int metric, struct mh_near near);
bool mh_reading_is_full(const struct mh_reading *reading);  /* as many rows as it asked for */
bool mh_reading_promises(const struct mh_reading *reading); /* its level promises rows of others */

/* recall_judge.c: of this rank's own targets, all ranks' finds put together: what should have been returned
 * and was not. -1: out of memory. */
int mh_recall_judge(struct mh_compare *compare, struct mh_bytes *points, struct mh_bytes *missed);
/* When row i was train row i, all were there and none had changed. Collective. */
void mh_recall_find_whole(struct mh_compare *compare);

#endif
