/* How fast these ranks can go when the server costs nothing: before the load they all send what the job's
 * roles send to a milvus-mock --null on each node, for a moment. */
#ifndef MH_RUN_CALIBRATE_H
#define MH_RUN_CALIBRATE_H

#include "run/run.h"

enum { MH_MOST_SHAPES = 8 }; /* further ones stay without a ceiling */

/* Calls that cost alike. */
struct mh_shape {
    int64_t kinds;         /* bits 1 << enum mh_op_kind */
    int64_t rows;          /* of a request, or hits or rows asked for */
    int64_t request_bytes; /* on average */
    double calls_per_s;    /* of one rank, while all were at it */
    double cpu_ns;         /* a call */
};

struct mh_calibration {
    struct mh_shape shapes[MH_MOST_SHAPES];
    int count;
    int *shape_of;    /* of role r of stage s: [s * roles + r]; -1: none */
    int roles;        /* most that a stage has */
    double core;      /* of a core that each rank has to itself, at most 1 */
    char source[300]; /* "measured", "reused: measured 2026-11-24T07:25:11Z", "none: why" */
};

/* Measures, or takes what an earlier run on this host measured (job->calibrate). `run` has job, plan,
 * content, seed and ranks. What goes wrong leaves the run uncalibrated and is said in `source`; it is no
 * error. Collective. */
void mh_calibrate(struct mh_calibration *calibration, const struct mh_run *run, const int *node_of_rank);
void mh_calibration_free(struct mh_calibration *calibration);

/* Calls/s that `ranks` of them could make in that role; NaN: not calibrated. Counts what one core a rank
 * would do where that is more than was reached: the null server may have been what held them up. */
double mh_calibration_ceiling(const struct mh_calibration *calibration, int stage, int role, int64_t ranks);

#endif
