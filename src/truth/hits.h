/* The judgement of what searches and queries returned: every row against the history of writes and against
 * our own arithmetic. After a stage, when nothing is under way. */
#ifndef MH_TRUTH_HITS_H
#define MH_TRUTH_HITS_H

#include "expr/expr.h"
#include "truth/history.h"
#include "truth/reads.h"

enum {
    MH_HITS_KEPT = 100000, /* violations a rank; more are counted only */
    MH_LEVELS = 4          /* of consistency: enum mh_consistency */
};

/* Sums over all ranks, on every rank. */
struct mh_hit_figures {
    int64_t asked, judged;     /* query vectors and queries; judged: those that were kept */
    int64_t hits, rows;        /* judged: of searches, of queries */
    int64_t distances;         /* recomputed */
    int64_t filters_unread;    /* readings whose expression we do not understand: not judged by it */
    int64_t violations;        /* found, repeats included */
    int64_t searches_compared; /* with the rows that were live then, all of them: for recall */
    int64_t queries_compared;  /* likewise, for completeness */
    int64_t short_results;     /* of the searches compared: fewer hits than rows certainly qualified */
    int64_t neighbors, found;  /* certain true neighbours of the searches compared; those that were found */
    int64_t listed;            /* searches compared with the data set's own neighbours, too */
    int64_t listed_neighbors, listed_found; /* of those */
    int64_t non_monotonic;                  /* rows seen in an older version than before, below strong */
    int64_t allowed;                        /* the same at strong, and the job allows it */
    int64_t behind[MH_LEVELS];              /* rows shown as they no longer were when the read was sent */
    int64_t judging_ns;                     /* CPU time of all ranks */
};

/* One search compared with all rows that were certainly live and satisfied its filter and range. */
struct mh_recall_point {
    int64_t sent_ns; /* since the run began */
    int32_t stage, role, item;
    int32_t topk;
    int32_t wanted;     /* the nearest of those rows, topk of them at most */
    int32_t found;      /* hits that are as near; at most `wanted` */
    int64_t query;      /* row of the data set's queries */
    double selectivity; /* share of rows that satisfy the filter, sampled; 1 without one */
};

struct mh_hits {
    /* in */
    struct mh_reads *reads; /* the judgement sets `sure` of each, and of rows the version that they are of */
    const struct mh_history *history;
    struct mh_doubt doubt;
    const struct mh_plan *plan;
    const struct mh_content *content;
    int metric;
    bool quantised; /* the index keeps vectors with an error of its own: scores are not compared */
    MPI_Comm comm;
    int rank;
    int64_t samples; /* searches to compare, over all ranks; a tenth as many queries */
    bool allow_non_monotonic;
    /* out */
    struct mh_hit_figures figures;
    int64_t behind_ns[MH_LEVELS];    /* how long they had not been so: the longest of all ranks */
    struct mh_violation *violations; /* of the rows that this rank audits, as often as they were seen */
    int64_t violation_count, violation_room;
    bool no_memory;                 /* one was not kept: nothing can be said */
    struct mh_recall_point *recall; /* every rank's, on every rank */
    int64_t recall_count;
    int64_t *missed; /* ids, of the rows that this rank audits, that approximate searches left out */
    int64_t missed_count;
};

/* recall.c, for hits.c: compares a sample with all rows that were live. Collective. */
int mh_hits_compare(struct mh_hits *hits, struct mh_error *err);

/* monotonic.c, likewise: no reader sees a row's older version after a newer one. Of this rank's reads; -1: no
 * memory. */
int mh_hits_judge_monotonic(struct mh_hits *hits);

/* staleness.c, likewise: notes which rows of a reading may have been behind, for each rank what it has to
 * measure (-1: no memory); then measures them, collectively, and empties the notes. */
int mh_staleness_note(const struct mh_hits *hits, const struct mh_reading *reading,
                      const struct mh_standing *standings, struct mh_bytes *to);
int mh_staleness_measure(struct mh_hits *hits, struct mh_bytes *to, struct mh_error *err);

/* Of the versions that the row may show, the newest with the fields that came; else one that they are of. */
int32_t mh_hits_newest(const struct mh_hits *hits, const struct mh_reading *reading,
                       const struct mh_seen *seen, const struct mh_standing *standing);

/* Collective: fills all of `out`. All ranks return the same. */
int mh_hits_judge(struct mh_hits *hits, struct mh_error *err);
void mh_hits_free(struct mh_hits *hits);

/* ---- what recall shares ---- */

/* An expression over the rows that we wrote; the last one read is kept. */
struct mh_filter {
    const struct mh_content *content;
    struct mh_expr *expr; /* NULL: none was read, or it is not understood */
    char *text;
    struct mh_expr_field *fields;
    struct mh_scalar *scratch;
};
int mh_filter_open(struct mh_filter *filter, const struct mh_content *content); /* -1: no memory */
void mh_filter_close(struct mh_filter *filter);
bool mh_filter_read(struct mh_filter *filter, const char *text); /* false: not understood */
bool mh_filter_holds(const struct mh_filter *filter, int64_t id, int64_t version);

void mh_hits_condemn(struct mh_hits *hits, const struct mh_reading *reading,
                     const struct mh_violation *violation); /* sets what all of a reading's share */

#endif
