#include "job/rows.h"

#include "base/clock.h"

#include <assert.h>

const char *const mh_field_type_names[] = {"bool",  "int8",   "int16",   "int32",        "int64",
                                           "float", "double", "varchar", "float_vector", NULL};
const char *const mh_metric_names[] = {"auto", "L2", "IP", "COSINE", NULL};
const char *const mh_consistency_names[] = {"strong", "session", "bounded", "eventually", NULL};
const char *const mh_arrival_names[] = {"constant", "poisson", NULL};
const char *const mh_recheck_names[] = {"flush", "reload", NULL};
const char *const mh_before_names[] = {"flush", "load", NULL};
const char *const mh_calibrate_names[] = {"auto", "always", "never", NULL};
const char *const mh_local_names[] = {"auto", "never", NULL};
const char *const mh_allow_names[] = {"upsert_not_atomic", "non_monotonic", NULL};

/* {pointer, count} side by side is what a LIST row fills. */
#define LIKE_LIST(STRUCT, ITEMS, COUNT)                                                                      \
    static_assert(offsetof(struct STRUCT, COUNT) - offsetof(struct STRUCT, ITEMS) ==                         \
                      offsetof(struct mh_list, count),                                                       \
                  #ITEMS " and " #COUNT " are laid out like struct mh_list")
LIKE_LIST(mh_job, stages, stage_count);
LIKE_LIST(mh_job, thresholds, threshold_count);
LIKE_LIST(mh_stage_options, roles, role_count);

#define AT(FIELD)       .offset = offsetof(struct OF, FIELD)
#define SECTION(FIELD)  .type = MH_OPTION_SECTION, AT(FIELD)
#define TEXT(FIELD)     .type = MH_OPTION_TEXT, AT(FIELD)
#define INT(FIELD)      .type = MH_OPTION_INT, AT(FIELD)
#define DURATION(FIELD) .type = MH_OPTION_DURATION, AT(FIELD)
#define BOOL(FIELD)     .type = MH_OPTION_BOOL, AT(FIELD)
#define END                                                                                                  \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }

#define OF mh_tls_options
static const struct mh_option tls_rows[] = {
    {.name = "ca", TEXT(ca), .help = "PEM file of the authorities to trust; empty: the system's"},
    {.name = "cert", TEXT(cert), .help = "PEM file of this client's certificate"},
    {.name = "key", TEXT(key), .help = "PEM file of this client's private key"},
    {.name = "server_name", TEXT(server_name), .help = "name the certificate must carry; empty: the host"},
    END,
};
#undef OF

#define OF mh_server_options
static const struct mh_option server_rows[] = {
    {.name = "uri",
     .type = MH_OPTION_TEXTS,
     AT(uris),
     .fallback = "http://127.0.0.1:19530",
     .min = 1,
     .max = 1,
     .help = "http://host:port or https://host:port of the server"},
    {.name = "uris",
     .type = MH_OPTION_TEXTS,
     AT(uris),
     .min = 1,
     .max = 1000,
     .unit = "URIs",
     .help = "instead of uri: one for each proxy of a cluster; workers are spread over them"},
    {.name = "token", TEXT(token), .help = "user:password or an API key; empty: none"},
    {.name = "timeout",
     DURATION(timeout_ns),
     .fallback = "30s",
     .min = MH_MS,
     .max = 3600.0 * MH_S,
     .help = "deadline of every call"},
    {.name = "patience",
     DURATION(patience_ns),
     .fallback = "15m",
     .min = MH_MS,
     .max = 24 * 3600.0 * MH_S,
     .help = "for a flush, an index build or a load, but for those of life cycles"},
    {.name = "connections",
     INT(connections),
     .fallback = "1",
     .min = 1,
     .max = 64,
     .unit = "connections",
     .help = "TCP connections a worker"},
    {.name = "tls", SECTION(tls), .rows = tls_rows, .help = "files for https"},
    END,
};
#undef OF

#define OF mh_synthetic_options
static const struct mh_option synthetic_rows[] = {
    {.name = "rows",
     INT(rows),
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .unit = "rows",
     .help = "vectors to make up; 0: the data set is a file"},
    {.name = "dim",
     INT(dim),
     .fallback = "128",
     .min = 1,
     .max = 32768,
     .unit = "dimensions",
     .help = "dimension of the vectors"},
    {.name = "clusters",
     INT(clusters),
     .fallback = "100",
     .min = 1,
     .max = 1e6,
     .unit = "clusters",
     .help = "centres that the vectors lie around"},
    END,
};
#undef OF

#define OF mh_dataset_options
static const struct mh_option dataset_rows[] = {
    {.name = "path", TEXT(path), .help = "HDF5 file in the ann-benchmarks layout"},
    {.name = "train", TEXT(train), .fallback = "train", .help = "data set in it with the vectors to write"},
    {.name = "test", TEXT(test), .fallback = "test", .help = "data set in it with the vectors to ask for"},
    {.name = "neighbors",
     TEXT(neighbors),
     .fallback = "neighbors",
     .help = "data set in it with the true neighbours of test"},
    {.name = "rows",
     INT(rows),
     .fallback = "0",
     .min = 0,
     .max = 1e12,
     .unit = "rows",
     .help = "use only the first rows of train; 0: all"},
    {.name = "synthetic",
     SECTION(synthetic),
     .rows = synthetic_rows,
     .help = "instead of path: made-up vectors"},
    END,
};
#undef OF

#define OF mh_field
static const struct mh_option field_rows[] = {
    {.name = "name", TEXT(name), .required = true, .help = "letters, digits, underscore; unique"},
    {.name = "type",
     .type = MH_OPTION_CHOICE,
     AT(type),
     .required = true,
     .choices = mh_field_type_names,
     .help = "type of the field"},
    {.name = "primary", BOOL(primary), .fallback = "false", .help = "the key; exactly one field, an int64"},
    {.name = "dim",
     INT(dim),
     .min = 1,
     .max = 32768,
     .unit = "dimensions",
     .help = "of a float_vector; without it, the data set's"},
    {.name = "max_length",
     INT(max_length),
     .min = 1,
     .max = 65535,
     .unit = "bytes",
     .help = "of a varchar, which needs it"},
    END,
};
#undef OF

#define OF mh_index_options
static const struct mh_option index_rows[] = {
    {.name = "field", TEXT(field), .help = "the vector field, which is also the default"},
    {.name = "type",
     TEXT(type),
     .fallback = "IVF_FLAT",
     .help = "IVF_FLAT, HNSW, FLAT, ... as the server knows it"},
    {.name = "metric",
     .type = MH_OPTION_CHOICE,
     AT(metric),
     .fallback = "auto",
     .choices = mh_metric_names,
     .help = "distance of two vectors; auto: the data set's"},
    {.name = "params",
     .type = MH_OPTION_PARAMS,
     AT(params),
     .fallback = "{nlist: 128}",
     .help = "as the index type takes them; {} by default for types without nlist"},
    END,
};
#undef OF

#define OF mh_collection_options
static const struct mh_option collection_rows[] = {
    {.name = "name", TEXT(name), .required = true, .help = "name of the collection"},
    {.name = "shards",
     INT(shards),
     .fallback = "1",
     .min = 1,
     .max = 64,
     .unit = "shards",
     .help = "channels that writes are spread over"},
    {.name = "consistency",
     .type = MH_OPTION_CHOICE,
     AT(consistency),
     .fallback = "strong",
     .choices = mh_consistency_names,
     .help = "level of reads"},
    {.name = "replace",
     BOOL(replace),
     .fallback = "false",
     .help = "drop a collection of that name that exists already"},
    {.name = "fields",
     .type = MH_OPTION_LIST,
     AT(fields),
     .required = true,
     .min = 1,
     .max = 64,
     .unit = "fields",
     .rows = field_rows,
     .item_size = sizeof(struct mh_field),
     .help = "fields of a row, one of them primary, one a float_vector"},
    {.name = "index", SECTION(index), .rows = index_rows, .help = "index of the vector field"},
    END,
};
#undef OF

#define OF mh_retry_options
static const struct mh_option retry_rows[] = {
    {.name = "max",
     INT(max),
     .fallback = "8",
     .min = 0,
     .max = 1000,
     .unit = "tries",
     .help = "further tries of what certainly had no effect"},
    {.name = "backoff",
     .type = MH_OPTION_DURATION_RANGE,
     AT(backoff_ns),
     .fallback = "50ms..5s",
     .min = MH_MS,
     .max = 3600.0 * MH_S,
     .help = "first wait and longest wait"},
    END,
};
#undef OF

#define OF mh_chaos_options
static const struct mh_option chaos_rows[] = {
    {.name = "at",
     DURATION(at_ns),
     .required = true,
     .min = 0,
     .max = 1e18,
     .help = "when, after the stage began"},
    {.name = "run", TEXT(run), .required = true, .help = "what: a command for /bin/sh, started by rank 0"},
    {.name = "timeout",
     DURATION(timeout_ns),
     .fallback = "5m",
     .min = MH_MS,
     .max = 1e18,
     .help = "it is killed when it takes longer"},
    END,
};
#undef OF

#define OF   mh_find_max_options
#define RATE .type = MH_OPTION_RATE, .min = 0, .max = 1e6, .unit = "operations/s"
static const struct mh_option find_max_rows[] = {
    {.name = "role", TEXT(role), .required = true, .help = "of this stage, whose highest rate is wanted"},
    {.name = "from", RATE, AT(from), .required = true, .help = "lowest rate to try"},
    {.name = "to", RATE, AT(to), .required = true, .help = "highest rate to try"},
    {.name = "within",
     DURATION(within_ns),
     .fallback = "5m",
     .min = MH_MS,
     .max = 1e18,
     .help = "the search takes no longer"},
    {.name = "probe",
     DURATION(probe_ns),
     .fallback = "10s",
     .min = 100 * MH_MS,
     .max = 3600.0 * MH_S,
     .help = "a rate is measured so long; to confirm the last one, twice as long"},
    {.name = "warmup",
     DURATION(warmup_ns),
     .fallback = "2s",
     .min = 0,
     .max = 3600.0 * MH_S,
     .help = "and runs so long before that"},
    {.name = "p99",
     DURATION(p99_ns),
     .min = MH_US,
     .max = 3600.0 * MH_S,
     .help = "wanted at most: latency from due time"},
    {.name = "errors",
     .type = MH_OPTION_RATIO,
     AT(errors),
     .fallback = "100%",
     .min = 0,
     .max = 1,
     .help = "wanted at most, of operations"},
    {.name = "recall",
     .type = MH_OPTION_RATIO,
     AT(recall),
     .fallback = "0",
     .min = 0,
     .max = 1,
     .help = "wanted at least"},
    END,
};
#undef OF

#define OF mh_stage_options
static const struct mh_option stage_rows[] = {
    {.name = "name", TEXT(name), .required = true, .help = "letters, digits, underscore; unique"},
    {.name = "roles",
     .type = MH_OPTION_LIST,
     AT(roles),
     .required = true,
     .min = 1,
     .max = 1000,
     .unit = "roles",
     .item_size = sizeof(struct mh_role_options),
     .help = "what runs side by side, each {role: NAME, ...}"},
    {.name = "before",
     .type = MH_OPTION_CHOICES,
     AT(before),
     .fallback = "[]",
     .choices = mh_before_names,
     .help = "done and waited for before the stage begins; a stage whose roles read is always loaded"},
    {.name = "find_max",
     SECTION(find_max),
     .optional = true,
     .rows = find_max_rows,
     .help = "search for a role's highest rate at which what is wanted here holds, no answer is wrong and no "
             "work piles up: the stage runs again and again, all its roles for as long as a probe"},
    {.name = "chaos",
     .type = MH_OPTION_LIST,
     AT(chaos),
     .min = 0,
     .max = 1000,
     .unit = "commands",
     .rows = chaos_rows,
     .item_size = sizeof(struct mh_chaos_options),
     .help = "commands of yours to run meanwhile, such as one that kills the server and starts it again"},
    END,
};
#undef OF

#define OF mh_verify_options
static const struct mh_option verify_rows[] = {
    {.name = "enabled", BOOL(enabled), .fallback = "true", .help = "false: load only, no audit"},
    {.name = "recheck",
     .type = MH_OPTION_CHOICES,
     AT(recheck),
     .fallback = "[flush, reload]",
     .choices = mh_recheck_names,
     .help = "audit again after each of these"},
    {.name = "vectors",
     .type = MH_OPTION_SAMPLE,
     AT(vectors),
     .fallback = "sample 1%",
     .help = "rows whose vector is compared"},
    {.name = "reads",
     .type = MH_OPTION_SAMPLE,
     AT(reads),
     .fallback = "all",
     .help = "searches and queries under load whose answers are judged"},
    {.name = "recall",
     .type = MH_OPTION_INT,
     AT(recall),
     .fallback = "200",
     .min = 0,
     .max = 100000,
     .unit = "searches",
     .help = "of a stage, compared with every row that was live then; a tenth as many queries"},
    {.name = "grace",
     DURATION(grace_ns),
     .fallback = "30s",
     .min = 0,
     .max = 3600.0 * MH_S,
     .help = "how long an absent row may stay absent before it is lost"},
    {.name = "allow",
     .type = MH_OPTION_CHOICES,
     AT(allow),
     .fallback = "[]",
     .choices = mh_allow_names,
     .help = "violations to take as anomalies"},
    END,
};
#undef OF

#define OF mh_observe_options
static const struct mh_option observe_rows[] = {
    {.name = "enabled", BOOL(enabled), .fallback = "true", .help = "false: nothing is looked at"},
    {.name = "period",
     DURATION(period_ns),
     .fallback = "1s",
     .min = 100 * MH_MS,
     .max = 3600.0 * MH_S,
     .help = "between two looks at the ranks, the server's process and the pages of metrics"},
    {.name = "metrics",
     .type = MH_OPTION_TEXTS,
     AT(metrics),
     .min = 0,
     .max = 1000,
     .unit = "URLs",
     .help = "pages in Prometheus' text format, one for each proxy and node: http://host:9091/metrics"},
    {.name = "gauges",
     .type = MH_OPTION_TEXTS,
     AT(gauges),
     .fallback = "[process_*, go_goroutines, go_memstats_heap_inuse_bytes]",
     .min = 1,
     .max = 200,
     .unit = "names",
     .help = "what is kept of them: a name whatever its labels, name{labels} letter for letter, or begin*"},
    {.name = "local",
     .type = MH_OPTION_CHOICE,
     AT(local),
     .fallback = "auto",
     .choices = mh_local_names,
     .help = "look at the server's process in /proc; auto: if it is on this machine's loopback"},
    {.name = "system_info",
     DURATION(system_info_ns),
     .fallback = "0s",
     .min = 0,
     .max = 3600.0 * MH_S,
     .help = "between two calls of GetMetrics, for which the server asks its nodes; 0s: none"},
    END,
};
#undef OF

#define OF mh_job
const struct mh_option mh_job_rows[] = {
    {.name = "server", SECTION(server), .rows = server_rows, .help = "what to run against"},
    {.name = "dataset", SECTION(dataset), .rows = dataset_rows, .help = "vectors, from a file or made up"},
    {.name = "collection", SECTION(collection), .rows = collection_rows, .help = "what is created"},
    {.name = "retry",
     SECTION(retry),
     .rows = retry_rows,
     .help = "rate-limit replies and refusals that certainly had no effect"},
    {.name = "calibrate",
     .type = MH_OPTION_CHOICE,
     AT(calibrate),
     .fallback = "auto",
     .choices = mh_calibrate_names,
     .help = "this client's own ceiling, by calls to a server that does nothing: always measured before the "
             "load; auto: unless a run of the last week has, on this host"},
    {.name = "stages",
     .type = MH_OPTION_LIST,
     AT(stages),
     .required = true,
     .min = 1,
     .max = 1000,
     .unit = "stages",
     .rows = stage_rows,
     .item_size = sizeof(struct mh_stage_options),
     .help = "what runs, one after the other"},
    {.name = "verify", SECTION(verify), .rows = verify_rows, .help = "the audit after the stages"},
    {.name = "observe",
     SECTION(observe),
     .rows = observe_rows,
     .help = "memory and other gauges of server and ranks over time"},
    {.name = "thresholds",
     .type = MH_OPTION_THRESHOLDS,
     AT(thresholds),
     .help = "figure: \"< 50ms\", or of a drift \"< 1%/h\"; a miss ends with exit code 1"},
    END,
};
#undef OF
