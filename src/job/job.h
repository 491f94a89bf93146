/* The job file: what to run, against what, and what must hold. Pure text to struct; no MPI, no server. */
#ifndef MH_JOB_JOB_H
#define MH_JOB_JOB_H

#include "base/error.h"
#include "job/option.h"

#include <stdio.h>

struct mh_tls_options {
    char *ca, *cert, *key; /* paths of PEM files; empty: not used */
    char *server_name;     /* name that the certificate must carry; empty: the URI's host */
};

struct mh_server_options {
    struct mh_texts uris; /* http://host:port or https://host:port, one for each proxy; at least one */
    char *token;          /* user:password or an API key; empty: none */
    int64_t timeout_ns;   /* deadline of every call */
    int64_t patience_ns;  /* of what goes on behind a call, and nobody times: see client/steps.h */
    int64_t connections;  /* TCP connections a worker */
    struct mh_tls_options tls;
};

struct mh_synthetic_options {
    int64_t rows; /* 0: the data set is a file */
    int64_t dim;
    int64_t clusters;
};

struct mh_dataset_options {
    char *path;                     /* HDF5 in the ann-benchmarks layout; empty when synthetic */
    char *train, *test, *neighbors; /* names of the data sets in it */
    int64_t rows;                   /* use only the first rows of train; 0: all */
    struct mh_synthetic_options synthetic;
};

enum mh_field_type { /* order of mh_field_type_names */
                     MH_FIELD_BOOL,
                     MH_FIELD_INT8,
                     MH_FIELD_INT16,
                     MH_FIELD_INT32,
                     MH_FIELD_INT64,
                     MH_FIELD_FLOAT,
                     MH_FIELD_DOUBLE,
                     MH_FIELD_VARCHAR,
                     MH_FIELD_FLOAT_VECTOR,
};
extern const char *const mh_field_type_names[]; /* "bool", ..., "float_vector"; NULL-ended */

enum { MH_MOST_FIELDS = 64 }; /* Milvus allows no more in a collection */

struct mh_field {
    char *name;
    int type; /* enum mh_field_type */
    bool primary;
    int64_t dim;        /* float_vector; 0: the data set's */
    int64_t max_length; /* varchar, bytes */
};

enum mh_metric { MH_METRIC_AUTO, MH_METRIC_L2, MH_METRIC_IP, MH_METRIC_COSINE };
extern const char *const mh_metric_names[]; /* "auto" (from the data set), "L2", "IP", "COSINE" */

struct mh_index_options {
    char *field;  /* empty: the vector field */
    char *type;   /* IVF_FLAT, HNSW, FLAT, ... as the server knows them */
    int metric;   /* enum mh_metric */
    char *params; /* JSON object text */
};

enum mh_consistency { MH_STRONG, MH_SESSION, MH_BOUNDED, MH_EVENTUALLY }; /* Milvus' own numbers */
extern const char *const mh_consistency_names[];

struct mh_collection_options {
    char *name;
    int64_t shards;
    int consistency;       /* enum mh_consistency */
    bool replace;          /* drop a collection of that name that exists already */
    struct mh_list fields; /* of struct mh_field; exactly one primary int64 and one float_vector */
    struct mh_index_options index;
};

struct mh_retry_options {
    int64_t max;           /* further tries after the first */
    int64_t backoff_ns[2]; /* first wait, longest wait */
};

enum mh_arrival { MH_ARRIVAL_CONSTANT, MH_ARRIVAL_POISSON };
extern const char *const mh_arrival_names[];

/* What a kind of role tells the job room about itself; role/ has the rest. */
struct mh_role_kind {
    const char *name;
    const char *help; /* one line */
    const struct mh_option
        *options;    /* every option it takes, built from the MH_ROLE_* rows below and its own */
    size_t own_size; /* bytes of its own options struct; may be 0 */
};

struct mh_role_options {
    const struct mh_role_kind *kind;
    int64_t count;              /* workers; -1: one on every rank */
    double rate;                /* operations per second of the role as a whole; 0: closed loop */
    int arrival;                /* enum mh_arrival; only with a rate or steps */
    struct mh_rate_steps steps; /* instead of rate and for_ns */
    int64_t warmup_ns;          /* operations due in the first so long are not in latencies and rates */
    int64_t rows;               /* rows each worker writes; 0: no such limit */
    int64_t ops;                /* operations each worker sends; 0: no such limit */
    int64_t for_ns;             /* time the role lasts; 0: no such limit */
    int64_t batch;              /* rows an operation */
    int64_t inflight;           /* operations a worker keeps in flight */
    void *own;                  /* the role's own options, owned */
};

/* Rows for the options that several roles share; a role lists those it takes. */
#define MH_ROLE_COUNT                                                                                        \
    {                                                                                                        \
        .name = "count", .type = MH_OPTION_COUNT_OR_ALL, .offset = offsetof(struct mh_role_options, count),  \
        .fallback = "1", .min = 1, .max = 1000000, .unit = "workers",                                        \
        .help = "workers of this role, or all for one on every rank"                                         \
    }
#define MH_ROLE_RATE                                                                                         \
    {                                                                                                        \
        .name = "rate", .type = MH_OPTION_RATE, .offset = offsetof(struct mh_role_options, rate), .min = 0,  \
        .max = 1e9, .unit = "operations/s",                                                                  \
        .help = "open loop: operations per second of the role as a whole; without it, closed loop"           \
    }
#define MH_ROLE_ARRIVAL                                                                                      \
    {                                                                                                        \
        .name = "arrival", .type = MH_OPTION_CHOICE, .offset = offsetof(struct mh_role_options, arrival),    \
        .fallback = "constant", .choices = mh_arrival_names, .help = "spacing of operations at a rate"       \
    }
#define MH_ROLE_STEPS                                                                                        \
    {                                                                                                        \
        .name = "steps", .type = MH_OPTION_STEPS, .offset = offsetof(struct mh_role_options, steps),         \
        .help =                                                                                              \
            "open loop: rates one after the other, instead of rate and for; a step is \"100/s for 30s\" "    \
            "or, in a straight line, \"100/s to 400/s for 60s\""                                             \
    }
#define MH_ROLE_WARMUP                                                                                       \
    {                                                                                                        \
        .name = "warmup", .type = MH_OPTION_DURATION, .offset = offsetof(struct mh_role_options, warmup_ns), \
        .fallback = "0s", .min = 0, .max = 1e18,                                                             \
        .help = "operations due in the first so long of the role are not in latencies and rates"             \
    }
#define MH_ROLE_ROWS(DEFAULT)                                                                                \
    {                                                                                                        \
        .name = "rows", .type = MH_OPTION_INT, .offset = offsetof(struct mh_role_options, rows),             \
        .fallback = DEFAULT, .min = 1, .max = 1e12, .unit = "rows", .help = "rows each worker writes"        \
    }
#define MH_ROLE_OPS                                                                                          \
    {                                                                                                        \
        .name = "ops", .type = MH_OPTION_INT, .offset = offsetof(struct mh_role_options, ops), .min = 1,     \
        .max = 1e12, .unit = "operations", .help = "operations each worker sends; without it, no such limit" \
    }
#define MH_ROLE_FOR                                                                                          \
    {                                                                                                        \
        .name = "for", .type = MH_OPTION_DURATION, .offset = offsetof(struct mh_role_options, for_ns),       \
        .min = 1e6, .max = 1e18, .help = "time the role lasts; without it, no such limit"                    \
    }
#define MH_ROLE_BATCH(DEFAULT)                                                                               \
    {                                                                                                        \
        .name = "batch", .type = MH_OPTION_INT, .offset = offsetof(struct mh_role_options, batch),           \
        .fallback = DEFAULT, .min = 1, .max = 100000, .unit = "rows", .help = "rows an operation"            \
    }
#define MH_ROLE_INFLIGHT(DEFAULT)                                                                            \
    {                                                                                                        \
        .name = "inflight", .type = MH_OPTION_INT, .offset = offsetof(struct mh_role_options, inflight),     \
        .fallback = DEFAULT, .min = 1, .max = 1024, .unit = "operations",                                    \
        .help = "operations a worker keeps in flight"                                                        \
    }

/* A command of the user's, started while the stage runs. */
struct mh_chaos_options {
    int64_t at_ns; /* after the stage began */
    char *run;     /* for /bin/sh */
    int64_t timeout_ns;
};

/* The highest rate of a role at which all that is wanted holds, by running the stage again and again. */
struct mh_find_max_options {
    char *role; /* NULL: the stage runs once */
    double from, to;
    int64_t within_ns, probe_ns, warmup_ns;
    int64_t p99_ns; /* wanted at most; 0: anything */
    double errors;  /* wanted at most, share of operations */
    double recall;  /* wanted at least */
};

enum mh_before { MH_BEFORE_FLUSH = 1, MH_BEFORE_LOAD = 2 }; /* bits, order of mh_before_names */
extern const char *const mh_before_names[];

struct mh_stage_options {
    char *name; /* letters, digits, underscore; unique in the job */
    struct mh_role_options *roles;
    size_t role_count;
    struct mh_chaos_options *chaos;
    size_t chaos_count;
    uint32_t before; /* enum mh_before bits */
    struct mh_find_max_options find_max;
};

enum mh_recheck { MH_RECHECK_FLUSH = 1, MH_RECHECK_RELOAD = 2 }; /* bits, order of mh_recheck_names */
extern const char *const mh_recheck_names[];

enum mh_allow {
    MH_ALLOW_UPSERT_NOT_ATOMIC = 1,
    MH_ALLOW_NON_MONOTONIC = 2
}; /* bits, order of mh_allow_names */
extern const char *const mh_allow_names[];

struct mh_verify_options {
    bool enabled;     /* false: load only, no audit, and the verdict says so */
    uint32_t recheck; /* enum mh_recheck bits */
    double vectors;   /* share of rows whose vector is compared, 0..1 */
    double reads;     /* share of searches and queries whose answers are judged, 0..1 */
    int64_t recall;   /* searches of a stage that are compared with all live rows */
    int64_t grace_ns; /* how long an absent row may stay absent before it is lost */
    uint32_t allow;   /* enum mh_allow bits: violations that the user takes as anomalies */
};

enum mh_comparison { MH_LESS, MH_AT_MOST, MH_MORE, MH_AT_LEAST };

/* "search.p99: < 50ms" -> {"search.p99", MH_LESS, 5e7, NaN, false, "< 50ms"}: a duration counts in
 * nanoseconds, a rate per second, a percentage as a ratio. "< 10MiB/h" can only be meant of a drift, "< 10/h"
 * is either. */
struct mh_threshold {
    char *figure;
    enum mh_comparison comparison;
    double value;          /* NaN: the text is a drift and nothing else */
    double drift_per_hour; /* NaN: it is none. Bytes, nanoseconds, a number or a ratio */
    bool drift_is_ratio;   /* of the figure's median */
    char *text;
    int line, column;
};

/* What became of one option, for `check` and /job/options. */
struct mh_option_value {
    char *path;   /* "stages.crud.writer.rows" (a second writer of the stage: "stages.crud.writer[1].rows") */
    char *value;  /* as the job file would write it; empty when not given and without a default */
    char *origin; /* "default", "crud.yaml:14:32" or "--set" */
};

/* Is the server's process looked at? auto: where the server is on this machine's loopback. */
enum mh_local { MH_LOCAL_AUTO, MH_LOCAL_NEVER };
extern const char *const mh_local_names[];

struct mh_observe_options {
    bool enabled;
    int64_t period_ns;
    struct mh_texts metrics; /* URLs of pages in Prometheus' text format */
    struct mh_texts gauges;  /* that are kept of them: by name, or name{labels} */
    int local;               /* enum mh_local */
    int64_t system_info_ns;  /* between two calls of GetMetrics; 0: none */
};

/* Is this client's own ceiling measured before the load? auto: unless an earlier run on this host has. */
enum mh_calibrate { MH_CALIBRATE_AUTO, MH_CALIBRATE_ALWAYS, MH_CALIBRATE_NEVER };
extern const char *const mh_calibrate_names[];

struct mh_job {
    char *path; /* as given; "(built-in)" for the default job */
    char *text; /* the file's text after ${VAR:-default} */
    struct mh_server_options server;
    struct mh_dataset_options dataset;
    struct mh_collection_options collection;
    struct mh_retry_options retry;
    int calibrate; /* enum mh_calibrate */
    struct mh_stage_options *stages;
    size_t stage_count;
    struct mh_verify_options verify;
    struct mh_observe_options observe;
    struct mh_threshold *thresholds;
    size_t threshold_count;
    struct mh_option_value *values;
    size_t value_count;
};

/* Reads the whole file into *text (owned by the caller, NUL-ended) and replaces ${NAME} and ${NAME:-default}
 * from the environment ("$$" is a dollar), but not in lines that are comments. Errors name file, line and
 * column: not readable, larger than 1 MiB, not UTF-8, a NUL byte, an unset variable without a default, an
 * unclosed brace. */
int mh_job_read(const char *path, char **text, struct mh_error *err);

/* Parses `text` strictly. `sets` are "KEY=VALUE" from --set, applied in order; their values are YAML scalars
 * or flow collections. `kinds` is NULL-ended. Errors read "crud.yaml:14:32: stages.crud.writer.bacth: unknown
 * key; did you mean 'batch'? (known: count, rows, ...)". The job does not own `kinds`. */
int mh_job_parse(const char *path, const char *text, const char *const *sets, size_t set_count,
                 const struct mh_role_kind *const *kinds, struct mh_job **out, struct mh_error *err);

void mh_job_free(struct mh_job *job); /* NULL is allowed */

/* Every option there is: as a table for people, or as JSON Schema (draft 2020-12) for editors. */
void mh_job_print_options(FILE *out, const struct mh_role_kind *const *kinds, bool json);

#endif
