#include "result/fields.h"

#include "base/clock.h"
#include "milvus/milvus.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(NAME, CELL, STRUCT, MEMBER, UNIT)                                                              \
    {                                                                                                        \
        .name = (NAME), .cell = MH_CELL_##CELL, .offset = offsetof(STRUCT, MEMBER),                          \
        .size = sizeof(((STRUCT *)0)->MEMBER), .unit = (UNIT)                                                \
    }
#define NAMED(NAME, STRUCT, MEMBER, FUNCTION)                                                                \
    {                                                                                                        \
        .name = (NAME), .cell = MH_CELL_NAMED, .offset = offsetof(STRUCT, MEMBER),                           \
        .size = sizeof(((STRUCT *)0)->MEMBER), .unit = "", .named = (FUNCTION)                               \
    }

_Static_assert(sizeof(int) == sizeof(int32_t), "exit_code, np and nodes are written as INT32");

#define ROOT(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_result_view, MEMBER, UNIT)
const struct mh_result_field mh_result_root[] = {
    ROOT("format", TEXT, format, ""),
    ROOT("format_version", INT32, format_version, ""),
    ROOT("program_version", TEXT, report.program_version, ""),
    ROOT("run_id", TEXT, report.run_id, ""),
    ROOT("label", TEXT, report.label, ""),
    ROOT("started_utc", TEXT, report.started_utc, ""),
    ROOT("started_wall_ns", INT64, report.started_wall_ns, "ns"),
    ROOT("duration_s", DOUBLE, report.duration_s, "s"),
    ROOT("exit_code", INT32, report.exit_code, ""),
    ROOT("verdict", TEXT, report.verdict, ""),
    ROOT("audited", BOOL, report.audited, ""),
    ROOT("whole", BOOL, report.whole, ""),
    ROOT("server_version", TEXT, report.server_version, ""),
    ROOT("server_uri", TEXT, report.server_uri, ""),
    ROOT("collection", TEXT, report.collection, ""),
    ROOT("collection_id", INT64, report.collection_id, ""),
    ROOT("collection_kept", BOOL, report.collection_kept, ""),
    ROOT("parent", TEXT, report.parent, ""),
    ROOT("continues", TEXT, report.continues, ""),
    ROOT("part", INT32, report.part, ""),
    ROOT("plan_np", INT32, report.plan_np, "ranks"),
    ROOT("dataset", TEXT, report.dataset, ""),
    ROOT("dataset_digest", UINT64, report.dataset_digest, ""),
    ROOT("job_path", OWNED, report.job_path, ""),
    ROOT("job_sets", OWNED, report.job_sets, ""),
    ROOT("seed", UINT64, report.seed, ""),
    ROOT("np", INT32, report.np, "ranks"),
    ROOT("nodes", INT32, report.nodes, "nodes"),
    ROOT("violations_dropped", INT64, report.violations_dropped, "rows"),
    {0},
};

#define OPTION(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_option, MEMBER, UNIT)
static const struct mh_result_field option_fields[] = {
    OPTION("option", OWNED, path, ""),
    OPTION("value", OWNED, value, ""),
    OPTION("origin", OWNED, origin, ""),
    {0},
};

#define RANK(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_rank, MEMBER, UNIT)
static const struct mh_result_field rank_fields[] = {
    RANK("rank", INT32, rank, ""),
    RANK("node", INT32, node, ""),
    RANK("host", TEXT, host, ""),
    RANK("pid", INT64, pid, ""),
    RANK("core", INT32, core, ""),
    RANK("cores", INT32, cores, "cores"),
    RANK("cpu_s", DOUBLE, cpu_s, "s"),
    RANK("peak_rss_bytes", INT64, peak_rss_bytes, "bytes"),
    RANK("private_bytes", INT64, private_bytes, "bytes"),
    RANK("clock_offset_ns", INT64, clock_offset_ns, "ns"),
    RANK("bytes_out", INT64, bytes_out, "bytes"),
    RANK("bytes_in", INT64, bytes_in, "bytes"),
    RANK("schedule_lag_ns", INT64, schedule_lag_ns, "ns"),
    RANK("missing", INT32, missing, ""),
    {0},
};

#define WORKER(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_worker, MEMBER, UNIT)
static const struct mh_result_field worker_fields[] = {
    WORKER("worker", INT32, worker, ""),
    WORKER("part", INT32, part, ""),
    WORKER("stage", INT32, stage, ""),
    WORKER("role", TEXT, role, ""),
    WORKER("rank", INT32, rank, ""),
    WORKER("first_id", INT64, first_id, ""),
    WORKER("rows", INT64, rows, "rows"),
    WORKER("partition", TEXT, partition, ""),
    {0},
};

#define OPERATION(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_result_operation, MEMBER, UNIT)
static const struct mh_result_field operation_fields[] = {
    OPERATION("stage", TEXT, stage, ""),
    OPERATION("role", TEXT, role, ""),
    OPERATION("op", TEXT, op, ""),
    OPERATION("latency", TEXT, latency, ""),
    OPERATION("planned", INT64, counters[0], "operations"),
    OPERATION("ok", INT64, counters[1], "operations"),
    OPERATION("failed", INT64, counters[2], "operations"),
    OPERATION("unknown", INT64, counters[3], "operations"),
    OPERATION("timed_out", INT64, counters[4], "operations"),
    OPERATION("throttled", INT64, counters[5], "replies"),
    OPERATION("unsent", INT64, counters[6], "operations"),
    OPERATION("in_flight", INT64, counters[7], "operations"),
    OPERATION("rows", INT64, counters[8], "rows"),
    OPERATION("bytes_out", INT64, counters[9], "bytes"),
    OPERATION("bytes_in", INT64, counters[10], "bytes"),
    OPERATION("warm_up", INT64, counters[11], "operations"),
    OPERATION("warm_up_rows", INT64, counters[12], "rows"),
    OPERATION("backlog", INT64, counters[13], "operations"),
    OPERATION("backlog_ns", INT64, longest[0], "ns"),
    OPERATION("lag_ns", INT64, longest[1], "ns"),
    OPERATION("seconds", DOUBLE, seconds, "s"),
    OPERATION("per_second", DOUBLE, per_second, "1/s"),
    OPERATION("rows_per_second", DOUBLE, rows_per_second, "rows/s"),
    OPERATION("client_limited", BOOL, client_limited, ""),
    OPERATION("latency_count", INT64, latency_count, "operations"),
    OPERATION("due_p50_ns", INT64, due_ns[0], "ns"),
    OPERATION("due_p95_ns", INT64, due_ns[1], "ns"),
    OPERATION("due_p99_ns", INT64, due_ns[2], "ns"),
    OPERATION("due_p999_ns", INT64, due_ns[3], "ns"),
    OPERATION("due_max_ns", INT64, due_ns[4], "ns"),
    OPERATION("sent_p50_ns", INT64, sent_ns[0], "ns"),
    OPERATION("sent_p95_ns", INT64, sent_ns[1], "ns"),
    OPERATION("sent_p99_ns", INT64, sent_ns[2], "ns"),
    OPERATION("sent_p999_ns", INT64, sent_ns[3], "ns"),
    OPERATION("sent_max_ns", INT64, sent_ns[4], "ns"),
    {0},
};

/* `counters` is the head of struct mh_tally, and its names above are in that order. */
_Static_assert(offsetof(struct mh_tally, planned) == 0 &&
                   offsetof(struct mh_tally, throttled) == 5 * sizeof(int64_t) &&
                   offsetof(struct mh_tally, backlog) == 13 * sizeof(int64_t) &&
                   offsetof(struct mh_tally, lag_ns) == 15 * sizeof(int64_t) && MH_TALLY_COUNTERS == 14 &&
                   MH_TALLY_LONGEST == 2,
               "the counters' names follow struct mh_tally");

#define CALIBRATION(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_calibration, MEMBER, UNIT)
static const struct mh_result_field calibration_fields[] = {
    CALIBRATION("stage", TEXT, stage, ""),
    CALIBRATION("role", TEXT, role, ""),
    CALIBRATION("ranks", INT32, ranks, "ranks"),
    CALIBRATION("seconds", DOUBLE, seconds, "s"),
    CALIBRATION("per_second", DOUBLE, per_second, "1/s"),
    CALIBRATION("ceiling_per_second", DOUBLE, ceiling_per_second, "1/s"),
    CALIBRATION("share", DOUBLE, share, ""),
    CALIBRATION("busiest_rank", INT32, busiest_rank, ""),
    CALIBRATION("busiest_cpu", DOUBLE, busiest_cpu, "cores"),
    CALIBRATION("starved", DOUBLE, starved, ""),
    CALIBRATION("cpu_s", DOUBLE, cpu_s, "s"),
    CALIBRATION("blocked", DOUBLE, blocked, ""),
    CALIBRATION("lag_p99_ns", INT64, lag_p99_ns, "ns"),
    CALIBRATION("client_limited", BOOL, client_limited, ""),
    CALIBRATION("reason", TEXT, reason, ""),
    CALIBRATION("source", TEXT, source, ""),
    {0},
};

#define MOMENT(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_moment, MEMBER, UNIT)
static const struct mh_result_field moment_fields[] = {
    MOMENT("second", DOUBLE, second, "s"),
    MOMENT("interval_s", DOUBLE, interval_s, "s"),
    MOMENT("stage", TEXT, stage, ""),
    MOMENT("role", TEXT, role, ""),
    MOMENT("op", TEXT, op, ""),
    MOMENT("ok", INT64, ok, "operations"),
    MOMENT("failed", INT64, failed, "operations"),
    MOMENT("unknown", INT64, unknown, "operations"),
    MOMENT("throttled", INT64, throttled, "replies"),
    MOMENT("rows", INT64, rows, "rows"),
    MOMENT("bytes", INT64, bytes, "bytes"),
    MOMENT("p50_ns", INT64, p50_ns, "ns"),
    MOMENT("p99_ns", INT64, p99_ns, "ns"),
    MOMENT("max_ns", INT64, max_ns, "ns"),
    MOMENT("client_limited", BOOL, client_limited, ""),
    MOMENT("lag_ns", INT64, lag_ns, "ns"),
    {0},
};

#define ERROR(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_error, MEMBER, UNIT)
static const struct mh_result_field error_fields[] = {
    ERROR("op", TEXT, op, ""),
    ERROR("outcome", TEXT, outcome, ""),
    ERROR("grpc_status", TEXT, grpc_status, ""),
    ERROR("code", INT32, code, ""),
    ERROR("message", TEXT, message, ""),
    ERROR("count", INT64, count, "operations"),
    ERROR("first_ns", INT64, first_ns, "ns"),
    ERROR("last_ns", INT64, last_ns, "ns"),
    {0},
};

#define THRESHOLD(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_threshold, MEMBER, UNIT)
static const struct mh_result_field threshold_fields[] = {
    THRESHOLD("figure", TEXT, figure, ""),
    THRESHOLD("wanted", TEXT, wanted, ""),
    THRESHOLD("got", TEXT, got, ""),
    THRESHOLD("held", BOOL, held, ""),
    THRESHOLD("undecided", BOOL, undecided, ""),
    THRESHOLD("client_limited", BOOL, client_limited, ""),
    {0},
};

static const struct mh_result_field figure_fields[] = {
    FIELD("figure", TEXT, struct mh_report_figure, name, ""),
    FIELD("value", INT64, struct mh_report_figure, value, ""),
    {0},
};

#define VIOLATION(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_violation, MEMBER, UNIT)
static const struct mh_result_field violation_fields[] = {
    NAMED("kind", struct mh_report_violation, row.kind, mh_result_wrong_name),
    VIOLATION("id", INT64, row.id, ""),
    VIOLATION("expected_version", INT64, row.expected_version, ""),
    VIOLATION("seen_version", INT64, row.seen_version, ""),
    VIOLATION("partition", TEXT, partition, ""),
    VIOLATION("partition_number", INT32, row.partition, ""),
    VIOLATION("seen_partition", TEXT, seen_partition, ""),
    VIOLATION("seen_partition_number", INT32, row.seen_partition, ""),
    VIOLATION("worker", INT32, row.worker, ""),
    VIOLATION("rank", INT32, row.rank, ""),
    NAMED("write", struct mh_report_violation, row.kind_of_write, mh_result_write_name),
    VIOLATION("batch_first_id", INT64, row.batch_first, ""),
    VIOLATION("batch_rows", INT64, row.batch_rows, "rows"),
    VIOLATION("due_ns", INT64, row.due_ns, "ns"),
    VIOLATION("sent_ns", INT64, row.sent_ns, "ns"),
    VIOLATION("acknowledged_ns", INT64, row.acked_ns, "ns"),
    VIOLATION("server_timestamp", UINT64, row.server_ts, ""),
    VIOLATION("first_seen_ns", INT64, row.first_seen_ns, "ns"),
    VIOLATION("last_seen_ns", INT64, row.last_seen_ns, "ns"),
    VIOLATION("first_pass", INT32, row.first_pass, ""),
    VIOLATION("last_pass", INT32, row.last_pass, ""),
    NAMED("seen_by", struct mh_report_violation, row.seen_by, mh_result_reader_name),
    VIOLATION("reader", INT32, row.reader, ""),
    VIOLATION("collection", TEXT, collection, ""),
    VIOLATION("cycle", INT64, row.cycle, ""),
    VIOLATION("expected_value", DOUBLE, row.expected_value, ""),
    VIOLATION("seen_value", DOUBLE, row.seen_value, ""),
    {0},
};

static const struct mh_result_field event_fields[] = {
    FIELD("time_ns", INT64, struct mh_report_event, time_ns, "ns"),
    FIELD("duration_ns", INT64, struct mh_report_event, duration_ns, "ns"),
    FIELD("kind", TEXT, struct mh_report_event, kind, ""),
    FIELD("stage", TEXT, struct mh_report_event, stage, ""),
    FIELD("role", TEXT, struct mh_report_event, role, ""),
    FIELD("what", TEXT, struct mh_report_event, what, ""),
    {0},
};

#define RECALL(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_recall, MEMBER, UNIT)
static const struct mh_result_field recall_fields[] = {
    RECALL("second", DOUBLE, second, "s"),
    RECALL("stage", TEXT, stage, ""),
    RECALL("role", TEXT, role, ""),
    RECALL("item", INT32, item, ""),
    RECALL("query", INT64, query, ""),
    RECALL("topk", INT32, topk, "rows"),
    RECALL("wanted", INT32, wanted, "rows"),
    RECALL("found", INT32, found, "rows"),
    RECALL("recall", DOUBLE, recall, ""),
    RECALL("selectivity", DOUBLE, selectivity, ""),
    {0},
};

#define VISIBILITY(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_visibility, MEMBER, UNIT)
static const struct mh_result_field visibility_fields[] = {
    VISIBILITY("stage", TEXT, stage, ""),
    VISIBILITY("role", TEXT, role, ""),
    VISIBILITY("write", TEXT, write, ""),
    VISIBILITY("read", TEXT, read, ""),
    VISIBILITY("consistency", TEXT, consistency, ""),
    VISIBILITY("latency", TEXT, latency, ""),
    VISIBILITY("count", INT64, count, "writes"),
    VISIBILITY("never", INT64, never, "writes"),
    VISIBILITY("p50_ns", INT64, done_ns[0], "ns"),
    VISIBILITY("p99_ns", INT64, done_ns[1], "ns"),
    VISIBILITY("max_ns", INT64, done_ns[2], "ns"),
    VISIBILITY("sent_p50_ns", INT64, sent_ns[0], "ns"),
    VISIBILITY("sent_p99_ns", INT64, sent_ns[1], "ns"),
    VISIBILITY("sent_max_ns", INT64, sent_ns[2], "ns"),
    {0},
};

#define PROBE(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_probe, MEMBER, UNIT)
static const struct mh_result_field probe_fields[] = {
    PROBE("stage", TEXT, stage, ""),
    PROBE("role", TEXT, role, ""),
    PROBE("probe", INT32, probe.number, ""),
    PROBE("begin_ns", INT64, probe.begin_ns, "ns"),
    PROBE("seconds", DOUBLE, probe.seconds, "s"),
    PROBE("wanted", DOUBLE, probe.wanted, "1/s"),
    PROBE("achieved", DOUBLE, probe.achieved, "1/s"),
    PROBE("operations", INT64, probe.operations, "operations"),
    PROBE("p50_ns", INT64, probe.p50_ns, "ns"),
    PROBE("p99_ns", INT64, probe.p99_ns, "ns"),
    PROBE("errors", DOUBLE, probe.errors, ""),
    PROBE("recall", DOUBLE, probe.recall, ""),
    PROBE("violations", INT64, probe.violations, ""),
    PROBE("confirms", BOOL, probe.confirms, ""),
    PROBE("held", BOOL, probe.held, ""),
    PROBE("why", TEXT, probe.why, ""),
    {0},
};

#define PEAK(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_peak, MEMBER, UNIT)
static const struct mh_result_field peak_fields[] = {
    PEAK("stage", TEXT, stage, ""),
    PEAK("role", TEXT, role, ""),
    PEAK("outcome", TEXT, outcome, ""),
    PEAK("max_rate", DOUBLE, rate, "1/s"),
    PEAK("probes", INT32, probes, ""),
    PEAK("seconds", DOUBLE, seconds, "s"),
    PEAK("p99_ns", INT64, p99_ns, "ns"),
    PEAK("recall", DOUBLE, recall, ""),
    PEAK("client_limited", BOOL, client_limited, ""),
    {0},
};

#define GAUGE(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_gauge, MEMBER, UNIT)
static const struct mh_result_field gauge_fields[] = {
    GAUGE("second", DOUBLE, second, "s"),
    GAUGE("source", TEXT, source, ""),
    GAUGE("name", TEXT, name, ""),
    GAUGE("unit", TEXT, unit, ""),
    GAUGE("value", DOUBLE, value, ""),
    GAUGE("life", INT32, life, ""),
    {0},
};

#define RANK_SAMPLE(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_rank_sample, MEMBER, UNIT)
static const struct mh_result_field rank_sample_fields[] = {
    RANK_SAMPLE("second", DOUBLE, second, "s"), RANK_SAMPLE("rank", INT32, rank, ""),
    RANK_SAMPLE("name", TEXT, name, ""),        RANK_SAMPLE("unit", TEXT, unit, ""),
    RANK_SAMPLE("value", DOUBLE, value, ""),    {0},
};

#define TREND(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_trend, MEMBER, UNIT)
static const struct mh_result_field trend_fields[] = {
    TREND("stage", TEXT, stage, ""),
    TREND("figure", TEXT, figure, ""),
    TREND("source", TEXT, source, ""),
    TREND("unit", TEXT, unit, ""),
    TREND("samples", INT64, samples, "samples"),
    TREND("span_s", DOUBLE, span_s, "s"),
    TREND("lives", INT32, lives, ""),
    TREND("median", DOUBLE, median, ""),
    TREND("slope_per_hour", DOUBLE, slope, ""),
    TREND("low_per_hour", DOUBLE, low, ""),
    TREND("high_per_hour", DOUBLE, high, ""),
    TREND("slope_ratio", DOUBLE, slope_ratio, "1/h"),
    TREND("low_ratio", DOUBLE, low_ratio, "1/h"),
    TREND("high_ratio", DOUBLE, high_ratio, "1/h"),
    TREND("step", DOUBLE, step, ""),
    TREND("step_s", DOUBLE, step_s, "s"),
    TREND("wanted", TEXT, wanted, ""),
    TREND("verdict", TEXT, verdict, ""),
    {0},
};

#define PHASE(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_phase, MEMBER, UNIT)
static const struct mh_result_field phase_fields[] = {
    PHASE("phase", TEXT, phase, ""),
    PHASE("count", INT64, count, ""),
    PHASE("wall_s", DOUBLE, wall_s, "s"),
    PHASE("wall_max_s", DOUBLE, wall_max_s, "s"),
    PHASE("cpu_s", DOUBLE, cpu_s, "s"),
    PHASE("cpu_max_s", DOUBLE, cpu_max_s, "s"),
    PHASE("waits", INT64, waits, "waits"),
    PHASE("waited_s", DOUBLE, waited_s, "s"),
    {0},
};

#define TABLE(PATH, FIELDS, STRUCT, ROWS, COUNT)                                                             \
    .path = (PATH), .fields = (FIELDS), .row_size = sizeof(STRUCT),                                          \
    .rows = offsetof(struct mh_result_view, ROWS), .count = offsetof(struct mh_result_view, COUNT)
const struct mh_result_table mh_result_tables[] = {
    {TABLE("job/options", option_fields, struct mh_report_option, report.options, report.option_count)},
    {TABLE("ranks", rank_fields, struct mh_report_rank, report.ranks, report.rank_count)},
    {TABLE("workers", worker_fields, struct mh_report_worker, report.workers, report.worker_count)},
    {TABLE("operations", operation_fields, struct mh_result_operation, operations, report.operation_count)},
    {TABLE("calibration", calibration_fields, struct mh_report_calibration, report.calibrations,
           report.calibration_count)},
    {TABLE("timeline", moment_fields, struct mh_report_moment, moments, moment_count)},
    {TABLE("errors", error_fields, struct mh_report_error, report.errors, report.error_count)},
    {TABLE("thresholds", threshold_fields, struct mh_report_threshold, report.thresholds,
           report.threshold_count)},
    {TABLE("truth/summary", figure_fields, struct mh_report_figure, report.figures, report.figure_count)},
    {TABLE("truth/violations", violation_fields, struct mh_report_violation, report.violations,
           report.violation_count),
     .audit = true},
    {TABLE("find_max", probe_fields, struct mh_report_probe, report.probes, report.probe_count)},
    {TABLE("max_rate", peak_fields, struct mh_report_peak, report.peaks, report.peak_count)},
    {TABLE("recall", recall_fields, struct mh_report_recall, report.recall, report.recall_count)},
    {TABLE("visibility", visibility_fields, struct mh_report_visibility, report.visibilities,
           report.visibility_count)},
    {TABLE("server/metrics", gauge_fields, struct mh_report_gauge, report.gauges, report.gauge_count)},
    {TABLE("rank_samples", rank_sample_fields, struct mh_report_rank_sample, report.rank_samples,
           report.rank_sample_count)},
    {TABLE("trends", trend_fields, struct mh_report_trend, report.trends, report.trend_count)},
    {TABLE("phases", phase_fields, struct mh_report_phase, report.phases, report.phase_count)},
    {TABLE("server/events", event_fields, struct mh_report_event, report.events, report.event_count)},
    {0},
};

const struct mh_result_field mh_result_bucket_fields[] = {
    FIELD("low_edge_ns", INT64, struct mh_result_bucket, low_edge_ns, "ns"),
    FIELD("count", UINT64, struct mh_result_bucket, count, "operations"),
    {0},
};

#define HISTOGRAM(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_histogram, MEMBER, UNIT)
const struct mh_result_field mh_result_histogram_attributes[] = {
    HISTOGRAM("count", UINT64, count, "operations"),
    HISTOGRAM("min_ns", INT64, min_ns, "ns"),
    HISTOGRAM("max_ns", INT64, max_ns, "ns"),
    HISTOGRAM("sum_ns", DOUBLE, sum_ns, "ns"),
    HISTOGRAM("clamped", UINT64, clamped, "operations"),
    {0},
};

#define FATE(NAME, CELL, MEMBER, UNIT) FIELD(NAME, CELL, struct mh_report_fate, MEMBER, UNIT)
const struct mh_result_field mh_result_fate_fields[] = {
    FATE("first_id", INT64, first, ""), FATE("count", INT64, count, "rows"),
    FATE("worker", INT32, worker, ""),  FATE("partition_number", INT32, partition, ""),
    FATE("insert", INT32, insert, ""),  FATE("version", INT32, version, ""),
    FATE("flags", INT32, flags, ""),    {0},
};

const char *mh_result_wrong_name(int kind)
{
    return kind >= 0 && kind < MH_WRONGS ? mh_wrong_names[kind] : NULL;
}

const char *mh_result_write_name(int kind)
{
    return kind >= 0 && kind < MH_OP_KINDS ? mh_op_infos[kind].name : NULL;
}

const char *mh_result_reader_name(int kind)
{
    return kind == 0 ? "audit" : mh_result_write_name(kind);
}

/* ---- What is derived from a report ---- */

static void quantiles(const struct mh_histogram *h, int64_t figures[5])
{
    static const double wanted[] = {0.5, 0.95, 0.99, 0.999};
    for (int i = 0; i < 4; i++)
        figures[i] = mh_histogram_quantile(h, wanted[i]);
    figures[4] = h->max_ns;
}

static void derive_operation(const struct mh_report_operation *from, struct mh_result_operation *row)
{
    const struct mh_tally *tally = from->tally;
    memcpy(row->stage, from->stage, sizeof row->stage);
    memcpy(row->role, from->role, sizeof row->role);
    memcpy(row->op, from->op, sizeof row->op);
    memcpy(row->latency, from->latency_name, sizeof row->latency);
    memcpy(row->counters, &tally->planned, sizeof row->counters);
    memcpy(row->longest, &tally->backlog_ns, sizeof row->longest);
    row->seconds = from->seconds;
    row->client_limited = from->client_limited;
    row->per_second = from->seconds > 0 ? (double)(tally->ok - tally->warm_up) / from->seconds : 0;
    row->rows_per_second =
        from->seconds > 0 ? (double)(tally->rows - tally->warm_up_rows) / from->seconds : 0;
    row->latency_count = (int64_t)tally->due.count;
    quantiles(&tally->due, row->due_ns);
    quantiles(&tally->sent, row->sent_ns);
}

static bool idle(const struct mh_timeline_slot *slot)
{
    return !(slot->ok | slot->failed | slot->unknown | slot->throttled | slot->rows | slot->bytes);
}

static void derive_moment(const struct mh_report_operation *from, int64_t at,
                          const struct mh_timeline_slot *slot, struct mh_report_moment *row)
{
    const struct mh_timeline *timeline = &from->tally->timeline;
    memcpy(row->stage, from->stage, sizeof row->stage);
    memcpy(row->role, from->role, sizeof row->role);
    memcpy(row->op, from->op, sizeof row->op);
    row->interval_s = (double)timeline->interval_ns / MH_S;
    row->second = (double)at * row->interval_s;
    row->ok = (int64_t)slot->ok;
    row->failed = (int64_t)slot->failed;
    row->unknown = (int64_t)slot->unknown;
    row->throttled = (int64_t)slot->throttled;
    row->rows = (int64_t)slot->rows;
    row->bytes = (int64_t)slot->bytes;
    row->p50_ns = mh_timeline_quantile(slot, 0.5);
    row->p99_ns = mh_timeline_quantile(slot, 0.99);
    row->max_ns = slot->max_ns;
    row->client_limited = from->client_limited;
    row->lag_ns = slot->lag_ns;
}

/* From the operation's first on. */
static void derive_moments_of(const struct mh_report_operation *from, struct mh_result_view *view)
{
    const struct mh_timeline *timeline = &from->tally->timeline;
    bool begun = false;
    for (int64_t at = 0; at < timeline->used; at++) {
        struct mh_timeline_slot slot = {0};
        mh_timeline_add_slot(timeline, at, &slot);
        begun = begun || !idle(&slot);
        if (begun)
            derive_moment(from, at, &slot, &view->moments[view->moment_count++]);
    }
}

static int derive_moments(struct mh_result_view *view)
{
    const struct mh_report *report = &view->report;
    int64_t room = report->moment_count;
    for (int64_t i = 0; i < report->operation_count; i++)
        room += report->operations[i].tally->timeline.used;
    view->moments = calloc((size_t)room + 1, sizeof *view->moments);
    if (!view->moments)
        return -1;
    if (report->moment_count)
        memcpy(view->moments, report->moments, (size_t)report->moment_count * sizeof *view->moments);
    view->moment_count = report->moment_count;
    for (int64_t i = 0; i < report->operation_count; i++)
        derive_moments_of(&report->operations[i], view);
    return 0;
}

int mh_result_view_of(const struct mh_report *report, struct mh_result_view *view, struct mh_error *err)
{
    *view = (struct mh_result_view){
        .report = *report, .format = MH_RESULT_FORMAT, .format_version = MH_RESULT_VERSION};
    view->operations = calloc((size_t)report->operation_count + 1, sizeof *view->operations);
    if (!view->operations || derive_moments(view)) {
        mh_result_view_free(view);
        return mh_fail(err, "no memory for the tables of the result");
    }
    for (int64_t i = 0; i < report->operation_count; i++)
        derive_operation(&report->operations[i], &view->operations[i]);
    return 0;
}

void mh_result_view_free(struct mh_result_view *view)
{
    free(view->operations);
    free(view->moments);
    view->operations = NULL;
    view->moments = NULL;
}

/* ---- Text ---- */

/* Length of the valid UTF-8 character at `s`, 0 when there is none. */
static size_t character(const unsigned char *s)
{
    const size_t length = *s < 0x80                 ? 1
                          : *s >= 0xc2 && *s < 0xe0 ? 2
                          : *s >= 0xe0 && *s < 0xf0 ? 3
                          : *s >= 0xf0 && *s < 0xf5 ? 4
                                                    : 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    const bool overlong = (*s == 0xe0 && s[1] < 0xa0) || (*s == 0xf0 && s[1] < 0x90);
    const bool surrogate = (*s == 0xed && s[1] > 0x9f) || (*s == 0xf4 && s[1] > 0x8f);
    return overlong || surrogate ? 0 : length;
}

void mh_result_clean(const char *text, bool one_line, char *out, size_t size)
{
    const unsigned char *from = (const unsigned char *)text;
    size_t used = 0;
    while (*from) {
        const size_t length = character(from);
        const size_t step = length ? length : 1;
        if (used + step >= size)
            break;
        const bool control = *from < 0x20 || *from == 0x7f || (*from == 0xc2 && from[1] < 0xa0);
        memmove(out + used, from, step);
        if (length == 0)
            out[used] = '?';
        else if (one_line && control)
            memset(out + used, ' ', step);
        used += step;
        from += step;
    }
    out[used] = '\0';
}

/* ---- Rows in the file ---- */

static const char *owned_text(const struct mh_result_field *field, const void *item)
{
    const char *text = *(char *const *)((const char *)item + field->offset);
    return text ? text : "";
}

static size_t longest_owned(const struct mh_result_field *field, const char *rows, int64_t count,
                            size_t row_size)
{
    size_t longest = 0;
    for (int64_t i = 0; i < count; i++) {
        const size_t length = strlen(owned_text(field, rows + (size_t)i * row_size));
        longest = length > longest ? length : longest;
    }
    return longest + 1;
}

enum { NAME_SIZE = 24 };

static size_t file_size(const struct mh_result_field *field, const void *rows, int64_t count, size_t row_size)
{
    if (field->cell == MH_CELL_OWNED)
        return longest_owned(field, rows, count, row_size);
    return field->cell == MH_CELL_NAMED ? NAME_SIZE : field->cell == MH_CELL_BOOL ? 1 : field->size;
}

void mh_result_pack(const struct mh_result_field *fields, const void *rows, int64_t count, size_t row_size,
                    struct mh_result_layout *layout)
{
    layout->row_size = 0;
    for (int i = 0; fields[i].name; i++) {
        layout->offset[i] = layout->row_size;
        layout->size[i] = file_size(&fields[i], rows, count, row_size);
        layout->row_size += layout->size[i];
    }
}

void mh_result_in_place(const struct mh_result_field *fields, size_t row_size,
                        struct mh_result_layout *layout)
{
    layout->row_size = row_size;
    for (int i = 0; fields[i].name; i++) {
        layout->offset[i] = fields[i].offset;
        layout->size[i] = fields[i].size;
    }
}

hid_t mh_result_text_type(size_t size)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static hid_t bool_type(void)
{
    const hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    return type;
}

hid_t mh_result_cell_type(const struct mh_result_field *field, size_t size)
{
    switch (field->cell) {
    case MH_CELL_BOOL:
        return bool_type();
    case MH_CELL_INT32:
        return H5Tcopy(H5T_NATIVE_INT32);
    case MH_CELL_INT64:
        return H5Tcopy(H5T_NATIVE_INT64);
    case MH_CELL_UINT64:
        return H5Tcopy(H5T_NATIVE_UINT64);
    case MH_CELL_DOUBLE:
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    default:
        return mh_result_text_type(size);
    }
}

hid_t mh_result_row_type(const struct mh_result_field *fields, const struct mh_result_layout *layout)
{
    const hid_t row = H5Tcreate(H5T_COMPOUND, layout->row_size);
    for (int i = 0; fields[i].name; i++) {
        const hid_t cell = mh_result_cell_type(&fields[i], layout->size[i]);
        H5Tinsert(row, fields[i].name, layout->offset[i], cell);
        H5Tclose(cell);
    }
    return row;
}

/* What stands behind a text's end is zero in the file: equal results are equal bytes. */
static void put_text(const char *text, size_t longest, char *cell, size_t size)
{
    const size_t length = strnlen(text, longest < size - 1 ? longest : size - 1);
    memset(cell, 0, size);
    memcpy(cell, text, length);
}

static const char *named_text(const struct mh_result_field *field, const void *member)
{
    int32_t number;
    memcpy(&number, member, sizeof number);
    const char *name = field->named(number);
    return name ? name : "";
}

static void encode_cell(const struct mh_result_field *field, const void *item, char *cell, size_t size)
{
    const char *member = (const char *)item + field->offset;
    switch (field->cell) {
    case MH_CELL_TEXT:
        put_text(member, field->size, cell, size);
        break;
    case MH_CELL_OWNED:
        put_text(owned_text(field, item), size, cell, size);
        break;
    case MH_CELL_NAMED:
        put_text(named_text(field, member), NAME_SIZE, cell, size);
        break;
    default:
        memcpy(cell, member, field->size);
    }
}

void mh_result_encode(const struct mh_result_field *fields, const struct mh_result_layout *layout,
                      const void *item, void *row)
{
    for (int i = 0; fields[i].name; i++)
        encode_cell(&fields[i], item, (char *)row + layout->offset[i], layout->size[i]);
}

static int decode_name(const struct mh_result_field *field, const char *text, size_t size, char *member)
{
    int32_t number = -1;
    if (*text) {
        const char *name;
        for (number = 0; (name = field->named(number)) != NULL && strncmp(name, text, size) != 0; number++)
            ;
        if (!name)
            return -1;
    }
    memcpy(member, &number, sizeof number);
    return 0;
}

static int decode_cell(const struct mh_result_field *field, const char *cell, size_t size, char *member)
{
    switch (field->cell) {
    case MH_CELL_TEXT:
        put_text(cell, size, member, field->size);
        return 0;
    case MH_CELL_OWNED:
        *(char **)member = strndup(cell, size);
        return *(char **)member ? 0 : -1;
    case MH_CELL_NAMED:
        return decode_name(field, cell, size, member);
    case MH_CELL_BOOL:
        *(bool *)member = *cell != 0;
        return 0;
    default:
        memcpy(member, cell, field->size);
        return 0;
    }
}

int mh_result_decode(const struct mh_result_field *fields, const struct mh_result_layout *layout,
                     const void *row, void *item, const struct mh_result_field **unknown)
{
    for (int i = 0; fields[i].name; i++) {
        if (decode_cell(&fields[i], (const char *)row + layout->offset[i], layout->size[i],
                        (char *)item + fields[i].offset) == 0)
            continue;
        *unknown = fields[i].cell == MH_CELL_NAMED ? &fields[i] : NULL;
        return -1;
    }
    return 0;
}
