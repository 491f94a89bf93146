/* The search for the highest rate that holds: each try, and what came of them. */
#ifndef MH_MEASURE_PROBE_H
#define MH_MEASURE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

struct mh_probe {
    int32_t stage, role;     /* positions in the job */
    int32_t number;          /* of the stage's, from 1 */
    int64_t begin_ns;        /* since the run began */
    double seconds;          /* measured: after the warm-up */
    double wanted, achieved; /* operations per second: due; succeeded within those seconds */
    int64_t operations;      /* asked for, the warm-up's too */
    int64_t p50_ns, p99_ns;  /* from due time; 0: nothing succeeded */
    double errors;           /* share of operations */
    double recall;           /* -1: not measured */
    int64_t violations;
    bool confirms; /* a long one, of a rate that has held */
    bool held;
    char why[96]; /* it did not hold */
};

enum mh_peak_outcome {
    MH_PEAK_FOUND,
    MH_PEAK_AT_LEAST, /* the highest that was to be tried held */
    MH_PEAK_NONE,     /* not even the lowest held */
    MH_PEAK_NO_TIME,  /* `within` ended before a rate was confirmed */
    MH_PEAK_NO_WORK,  /* the role had nothing left to send */
    MH_PEAK_BROKEN_OFF,
    MH_PEAK_OUTCOMES
};
extern const char *const mh_peak_outcome_names[MH_PEAK_OUTCOMES];

struct mh_peak {
    int32_t stage, role;
    enum mh_peak_outcome outcome;
    double rate; /* the highest confirmed; 0: none */
    int32_t probes;
    double seconds; /* that the search took */
};

struct mh_probes { /* zero-initialised is empty */
    struct mh_probe *items;
    int64_t count, room;
    struct mh_peak *peaks; /* one a stage that searched */
    int64_t peak_count, peak_room;
};

int mh_probes_add(struct mh_probes *probes, const struct mh_probe *probe);    /* -1: no memory */
int mh_probes_add_peak(struct mh_probes *probes, const struct mh_peak *peak); /* -1: no memory */
void mh_probes_free(struct mh_probes *probes);

/* The last of the stage; NULL: there was none. */
const struct mh_probe *mh_probes_last(const struct mh_probes *probes, int stage);

#endif
