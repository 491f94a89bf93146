/* Everything a run has to say, as rank 0 holds it: what the terminal, the JSON and the HDF5 file are made
 * from, and what is read back from such a file. */
#ifndef MH_RESULT_REPORT_H
#define MH_RESULT_REPORT_H

#include "base/error.h"
#include "measure/probe.h"
#include "measure/tally.h"
#include "measure/visibility.h"
#include "truth/violation.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct mh_report_option {
    char *path, *value, *origin;
};

struct mh_report_rank { /* -1: not known */
    int32_t rank, node;
    char host[64];
    int64_t pid;
    int32_t core, cores; /* where it was when it ended, and how many it may use */
    double cpu_s;
    int64_t peak_rss_bytes;
    int64_t private_bytes;   /* most at the end of a stage: without libraries and the shared vectors */
    int64_t clock_offset_ns; /* this rank's clock minus rank 0's */
    int64_t bytes_out, bytes_in;
    int64_t
        schedule_lag_ns; /* longest time between due and send of an operation that no slot or retry held up */
    int32_t missing;     /* 1: it died; what it did is known up to its journal's end */
};

struct mh_report_worker {
    int32_t worker, part, stage;
    int32_t rank; /* -1: of an earlier part */
    char role[32];
    int64_t first_id, rows; /* ids it owns */
    char partition[256];    /* empty: none */
};

/* One (stage, role, operation). */
struct mh_report_operation {
    char stage[256], role[32], op[32];
    char latency_name[64];  /* its group's name in /latency/STAGE: op, or role.op where two roles of the stage
                               share the op */
    double seconds;         /* how long the stage lasted */
    bool client_limited;    /* its rates and latencies may be the client's own */
    struct mh_tally *tally; /* owned; merged over all ranks */
};

/* A role of a stage: how near it came to what this client can do. */
struct mh_report_calibration {
    char stage[256], role[32];
    int32_t stage_at, role_at; /* its positions in the job; not in the file */
    int32_t ranks;             /* that had workers of it */
    double seconds;            /* that it lasted */
    double per_second;         /* calls that came back, whatever they said */
    double ceiling_per_second; /* that these ranks could make; NaN: not calibrated, see source */
    double share;              /* of the ceiling; NaN likewise */
    int32_t busiest_rank;
    double busiest_cpu; /* of a core, by that rank, other roles of it included */
    double starved;     /* share of that rank's time that it was ready to run and got no core */
    double cpu_s;       /* of all its ranks, likewise */
    double blocked;     /* share of its workers' time with an operation due and no slot free; NaN: no rate */
    int64_t lag_p99_ns; /* from due to sent while a slot was free; -1: no rate */
    bool client_limited;
    char reason[256]; /* why; empty: not limited */
    char source[300]; /* of the ceiling */
};

struct mh_report_error {
    char op[32], grpc_status[32], outcome[16];
    int32_t code;
    char message[128];
    int64_t count;
    int64_t first_ns, last_ns; /* since the run began */
};

struct mh_report_figure {
    char name[48];
    int64_t value;
};

struct mh_report_event {
    char kind[16];             /* enum mh_event_kind, in words */
    char stage[256], role[32]; /* empty: none */
    int64_t time_ns;           /* since the run began */
    int64_t duration_ns;       /* -1: it had no end */
    char what[192];
};

/* How long until acknowledged writes could be seen: see struct mh_visibility. */
struct mh_report_visibility {
    char stage[256], role[32], write[16], read[16], consistency[16];
    char latency[64];           /* its group's name in /latency/STAGE */
    int64_t count, never;       /* writes seen; given up */
    int64_t done_ns[3];         /* p50, p99, max, to the end of the first read that saw it */
    int64_t sent_ns[3];         /* to its begin */
    struct mh_visibility *cell; /* owned; NULL when it was read from a file */
};

/* One search compared with every row that was certainly live: see struct mh_recall_point. */
struct mh_report_recall {
    char stage[256], role[32];
    int32_t item; /* which of the role's kinds of search, from 0 */
    int32_t topk, wanted, found;
    int64_t query;      /* row of the data set's test vectors */
    double second;      /* when it was sent, since the run began */
    double recall;      /* found / wanted */
    double selectivity; /* share of rows that satisfy the filter */
};

/* A try of a rate, and what came of a stage's search: see measure/probe.h. */
struct mh_report_probe {
    char stage[256], role[32];
    struct mh_probe probe;
};

struct mh_report_peak {
    char stage[256], role[32];
    char outcome[16]; /* enum mh_peak_outcome, in words */
    double rate;      /* the highest confirmed; 0: none */
    int32_t probes;
    double seconds;
    int64_t p99_ns; /* of the confirmation; 0: there was none */
    double recall;  /* likewise; -1: not measured */
    bool client_limited;
};

struct mh_report_violation {
    struct mh_violation row;
    char partition[256], seen_partition[256];
    char collection[300]; /* of a lifecycle's own, that it is in; empty: the job's */
};

struct mh_report_threshold {
    char figure[224];
    char wanted[48]; /* "< 50 ms" */
    char got[96];    /* "12.3 ms"; "not measured" */
    bool held;
    bool undecided;      /* a drift that may be on either side: neither held nor missed */
    bool client_limited; /* what it got is of such an operation */
};

/* What a part of the run cost beside the load: see measure/phases.h. Means and the most of all ranks. */
struct mh_report_phase {
    char phase[16];
    int64_t count; /* times that it was entered; rounds of the heartbeat */
    double wall_s, wall_max_s;
    double cpu_s, cpu_max_s; /* NaN: not known */
    int64_t waits;           /* in MPI, of the rank with the most */
    double waited_s;
};

/* A gauge of a server at one time: see observe/series.h. */
struct mh_report_gauge {
    double second;
    char source[64], name[160], unit[16];
    double value;
    int32_t life;
};

/* A gauge of a rank at one time. */
struct mh_report_rank_sample {
    double second;
    int32_t rank;
    char name[32], unit[16];
    double value;
};

/* How a figure moved over a stage: see measure/trend.h. */
struct mh_report_trend {
    char stage[256], figure[176];
    char source[64]; /* which server, or rank; empty: of the stage as a whole */
    char unit[16];
    int64_t samples;
    double span_s, median;
    double observed_s, stage_s;                /* warm-ups included; how long the stage was. Not written */
    double slope, low, high;                   /* an hour; NaN: not known */
    double slope_ratio, low_ratio, high_ratio; /* of the median, an hour; likewise */
    double step, step_s;                       /* 0: none */
    int32_t lives;
    bool unobserved;  /* the source was not seen in the stage, though others were. Not written */
    char wanted[48];  /* of a threshold; empty: there is none of it */
    char verdict[24]; /* PASS, FAIL, cannot tell, not enough data; empty likewise */
};

/* A piece of the ledger: consecutive rows that share a fate. See truth/ledger.h for the numbers. */
struct mh_report_fate {
    int64_t first, count;
    int32_t worker; /* that inserted them; -1: none (ids nobody tried to write are not listed) */
    int32_t partition;
    int32_t insert;  /* enum mh_insert_fate */
    int32_t version; /* acknowledged */
    int32_t flags;   /* MH_FATE_* bits: deleted, delete unknown, upsert unknown */
    int32_t spare;
};

/* An interval of the timeline. */
struct mh_report_moment {
    double second, interval_s; /* its begin since the run began; its length */
    char stage[256], role[32], op[32];
    int64_t ok, failed, unknown, throttled, rows, bytes;
    int64_t p50_ns, p99_ns, max_ns; /* from due time */
    bool client_limited;
    int64_t lag_ns; /* longest, from due time to first sending */
};

struct mh_report {
    char run_id[40]; /* "20261123T210507Z-1a2b3c4d" */
    char label[128];
    char started_utc[24];
    int64_t started_wall_ns; /* since 1970, rank 0 */
    double duration_s;
    int exit_code;
    char verdict[512]; /* one sentence */
    char server_version[64], server_uri[256];
    char collection[256];
    char program_version[16];
    uint64_t seed;
    int np, nodes;
    char *job_path, *job_text; /* owned */
    char *job_sets;            /* owned: overrides of the command line, as a JSON array of "KEY=VALUE" */
    char parent[40];           /* verify: run_id of the run whose rows were audited again; else "" */
    char continues[40];        /* run --continue: run_id of the part before this; else "" */
    int32_t part;              /* of those that share the collection and its ledger, from 1 */
    int32_t plan_np;           /* ranks by which workers were counted: the first part's */
    int64_t collection_id;     /* the server's number of it; 0: not known */
    bool collection_kept;      /* it was left on the server */
    uint64_t dataset_digest;   /* see mh_dataset_digest */
    char dataset[512];         /* "data/mnist-784-euclidean.hdf5: 60,000 x 784" */
    bool audited;
    bool whole; /* no rank missing, all planned work ended */

    struct mh_report_option *options;
    struct mh_report_rank *ranks;
    struct mh_report_worker *workers;
    struct mh_report_operation *operations;
    struct mh_report_calibration *calibrations;
    struct mh_report_error *errors;
    struct mh_report_figure *figures;       /* /truth/summary */
    struct mh_report_violation *violations; /* by id; late ones too */
    struct mh_report_event *events;
    struct mh_report_recall *recall;
    struct mh_report_visibility *visibilities;
    struct mh_report_threshold *thresholds;
    struct mh_report_probe *probes;
    struct mh_report_peak *peaks;
    struct mh_report_gauge *gauges; /* by source and name, then by time */
    struct mh_report_rank_sample *rank_samples;
    struct mh_report_trend *trends;
    struct mh_report_phase *phases;
    int64_t probe_count, peak_count, gauge_count, rank_sample_count, trend_count, phase_count;
    int64_t option_count, rank_count, worker_count, operation_count, calibration_count, error_count,
        figure_count, violation_count, event_count, threshold_count, recall_count, visibility_count;

    struct mh_report_moment
        *moments; /* read from a file, where tallies' timelines are no more; a run has them in its tallies */
    int64_t moment_count;

    int64_t violations_dropped; /* found beyond those that are kept */
};

void mh_report_free(struct mh_report *report); /* what it owns, not the struct */

int64_t mh_report_figure(const struct mh_report *report, const char *name); /* -1: not there */

/* Before a run: says why a result could not be written to `path` at its end (a file of that name, no such
 * directory, not writable, less than 16 MiB free). Rank 0. */
int mh_report_check_output(const char *path, struct mh_error *err);
int mh_report_check_json(
    const char *path,
    struct mh_error *err); /* the same of mh_report_json's path; an older file is no reason */

/* Writes the HDF5 result. Collective over `comm`; `report` counts on rank 0 alone; each rank passes its own
 * part of the ledger (`fates`, in order of id), written in parallel, rank after rank. Writes PATH.tmp-RUNID,
 * flushes, and links it to `path` atomically; a file that exists already under `path` is never overwritten:
 * an error (nothing is lost: the message names the file that was written instead). All ranks return the same.
 */
int mh_report_write(const char *path, const struct mh_report *report, const struct mh_report_fate *fates,
                    int64_t fate_count, MPI_Comm comm, struct mh_error *err);

/* Reads all of it but the ledger back. Serial. */
int mh_report_read(const char *path, struct mh_report *report, struct mh_error *err);

/* Reads part `share` of `shares` of the ledger, in order, and hands it on piece by piece. Serial. Fails with
 * the visitor. */
typedef int mh_fate_visitor(void *context, const struct mh_report_fate *fate, struct mh_error *err);
int mh_report_read_fates(const char *path, int share, int shares, mh_fate_visitor *visit, void *context,
                         struct mh_error *err);

/* The terminal summary, 100 columns wide. result_path NULL: there is no file. */
void mh_report_print(FILE *out, const struct mh_report *report, const char *result_path);

/* The violations for a bug report, in Markdown: grouped by the write behind them, with what else happened
 * then and how to run it again. */
int mh_report_print_evidence(FILE *out, const struct mh_report *report, const char *path,
                             struct mh_error *err);

/* The same content as the HDF5 file (but the ledger) as JSON. "-": stdout. A file of that name is replaced,
 * when the new one is whole. */
int mh_report_json(const char *path, const struct mh_report *report, const char *result_path,
                   struct mh_error *err);

#endif
