/* The judgement of what searches and queries returned: every row against the history of writes and against our
 * own arithmetic. After a stage, when nothing is under way. */
#ifndef MH_TRUTH_HITS_H
#define MH_TRUTH_HITS_H

#include "expr/expr.h"
#include "truth/history.h"
#include "truth/reads.h"

enum { MH_HITS_KEPT = 100000 /* violations a rank; more are counted only */ };

/* Sums over all ranks, on every rank. */
struct mh_hit_figures {
    int64_t asked, judged;        /* query vectors and queries; judged: those that were kept */
    int64_t hits, rows;           /* judged: of searches, of queries */
    int64_t distances;            /* recomputed */
    int64_t filters_unread;       /* readings whose expression we do not understand: not judged by it */
    int64_t places_unread;        /* that named several partitions: not judged by them */
    int64_t violations;           /* found, repeats included */
    int64_t judging_ns;           /* CPU time of all ranks */
};

struct mh_hits {
    /* in */
    const struct mh_reads *reads;
    const struct mh_history *history;
    struct mh_doubt doubt;
    const struct mh_plan *plan;
    const struct mh_content *content;
    int metric;
    bool quantised; /* the index keeps vectors with an error of its own: scores are not compared */
    MPI_Comm comm;
    int rank;
    /* out */
    struct mh_hit_figures figures;
    struct mh_violation *violations; /* of the rows that this rank audits, as often as they were seen */
    int64_t violation_count, violation_room;
};

/* Does an index of this type keep vectors as they are (FLAT, IVF_FLAT, HNSW), so that scores are distances? */
bool mh_index_is_quantised(const char *type);

/* Collective: fills figures and violations. All ranks return the same. */
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

/* By how much a score may differ from our distance: single precision, and the expanded form |q|^2 - 2qx + |x|^2
 * that servers use for batches, err by a few units in the last place of the lengths involved. */
double mh_score_error(int metric, const float *query, const float *row, int64_t dim);

bool mh_is_nearer(int metric, double a, double b); /* a than b */
void mh_hits_condemn(struct mh_hits *hits, const struct mh_reading *reading,
                     const struct mh_violation *violation); /* sets what all of a reading's share */

#endif
