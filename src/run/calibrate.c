/* Calibration: the job's own requests, sent to a server that does nothing. */
#include "run/calibrate.h"

#include "base/alive.h"
#include "base/clock.h"
#include "base/log.h"
#include "comm/comm.h"
#include "run/calibration_file.h"
#include "run/null_server.h"
#include "run/stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ALL_MS = 400, /* for all shapes together */
    WIDTH = 32,   /* calls in flight */
    START_S = 1,  /* until the first reply, at most */
    DRAIN_S = 5,
    BYTES_IN_FLIGHT = 256 << 20, /* of all ranks of a node */
};

/* A worker of one role, outside of any stage. */
struct trial {
    struct mh_run run;
    struct mh_stage stage;
    struct mh_stage_options options;
    struct mh_role_options role;
    struct mh_stage_view view;
    struct mh_worker worker;
    struct mh_hand hand;
    int64_t ready; /* operations that are prepared */
};

/* ---- what the roles send ---- */

static const struct mh_worker *first_worker(const struct mh_plan *plan, int stage, int role)
{
    for (int64_t i = plan->first_at_work; i < plan->worker_count; i++)
        if (plan->workers[i].stage == stage && plan->workers[i].role == role)
            return &plan->workers[i];
    return NULL;
}

/* Those who live on others' rows have none yet: any keys cost the same. */
static enum mh_next make_up(const struct trial *trial, struct mh_op *op)
{
    op->request.kind = trial->hand.role.ops->takes == MH_CLAIMS_TO_DELETE ? MH_OP_DELETE : MH_OP_UPSERT;
    op->partition = op->request.kind == MH_OP_DELETE ? -1 : 0;
    op->rows.rows = trial->role.batch;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        op->rows.ids[i] = i;
        op->versions[i] = 1;
    }
    return MH_NEXT_SEND;
}

static void choose(struct trial *trial)
{
    struct mh_role *role = &trial->hand.role;
    const bool alone = role->ops->takes == MH_CLAIMS_NONE;
    for (struct mh_op *op = trial->hand.idle; op; op = op->next, trial->ready++)
        if ((alone ? role->ops->next(role, op) : make_up(trial, op)) != MH_NEXT_SEND)
            return;
}

/* With `width` operations chosen, or as many as the role has to send. */
static int open_trial(struct trial *trial, const struct mh_run *run, struct mh_rpc *rpc, int stage, int role,
                      int64_t width, struct mh_error *err)
{
    const struct mh_worker *worker = first_worker(run->plan, stage, role);
    *trial = (struct trial){.run = *run, .options = run->job->stages[stage]};
    if (!worker)
        return 0;
    trial->run.rpc = rpc;
    trial->role = trial->options.roles[role];
    trial->role.inflight = width;
    trial->options.roles = &trial->role;
    trial->options.role_count = 1;
    trial->worker = *worker;
    trial->worker.role = 0;
    trial->stage = (struct mh_stage){
        .run = &trial->run, .index = stage, .options = &trial->options, .views = &trial->view};
    if (mh_hand_open(&trial->hand, &trial->stage, &trial->worker, err) != 0)
        return -1;
    choose(trial);
    return 0;
}

static void close_trial(struct trial *trial)
{
    if (trial->hand.role.ops)
        mh_hand_close(&trial->hand);
}

static int64_t rows_of(const struct mh_op *op)
{
    const int64_t queries = op->request.query_count > 0 ? op->request.query_count : 1;
    return op->request.kind == MH_OP_QUERY || op->request.kind == MH_OP_SEARCH ? op->request.limit * queries
                                                                               : op->rows.rows;
}

static int describe(struct trial *trial, struct mh_shape *shape, struct mh_error *err)
{
    int64_t at = 0, bytes = 0;
    *shape = (struct mh_shape){0};
    for (struct mh_op *op = trial->hand.idle; op && at < trial->ready; op = op->next, at++) {
        if (mh_hand_prepare(&trial->hand, op, err) != 0 || mh_encode(&op->request, &op->payload, err) != 0)
            return -1;
        bytes += (int64_t)op->payload.total;
        mh_payload_reset(&op->payload);
        shape->kinds |= INT64_C(1) << op->request.kind;
        shape->rows = rows_of(op) > shape->rows ? rows_of(op) : shape->rows;
    }
    shape->request_bytes = at > 0 ? bytes / at : 0;
    return 0;
}

bool mh_shapes_alike(const struct mh_shape *a, const struct mh_shape *b)
{
    const double more = (double)a->request_bytes, less = (double)b->request_bytes;
    return a->kinds == b->kinds && a->rows == b->rows && fabs(more - less) <= 0.1 * fmax(more, less);
}

static int add_shape(struct mh_calibration *calibration, const struct mh_shape *shape)
{
    int at = 0;
    while (at < calibration->count && !mh_shapes_alike(&calibration->shapes[at], shape))
        at++;
    if (at == MH_MOST_SHAPES)
        return -1;
    calibration->shapes[at] = *shape;
    calibration->count += at == calibration->count;
    return at;
}

/* Index builds and the like are not calls to be counted in a second. */
static bool is_load(const struct mh_shape *shape)
{
    const int64_t load =
        1 << MH_OP_INSERT | 1 << MH_OP_UPSERT | 1 << MH_OP_DELETE | 1 << MH_OP_QUERY | 1 << MH_OP_SEARCH;
    return shape->kinds != 0 && (shape->kinds & ~load) == 0;
}

static int find_shapes(struct mh_calibration *calibration, const struct mh_run *run, struct mh_rpc *rpc,
                       struct mh_error *err)
{
    int rc = 0;
    for (size_t s = 0; s < run->job->stage_count && rc == 0; s++)
        for (size_t r = 0; r < run->job->stages[s].role_count && rc == 0; r++) {
            struct trial trial;
            struct mh_shape shape;
            rc = open_trial(&trial, run, rpc, (int)s, (int)r, WIDTH / 4, err);
            if (rc == 0)
                rc = describe(&trial, &shape, err);
            if (rc == 0 && is_load(&shape))
                calibration->shape_of[s * (size_t)calibration->roles + r] = add_shape(calibration, &shape);
            close_trial(&trial);
        }
    return rc;
}

/* ---- how fast they go ---- */

struct window {
    int64_t begin_ns,
        end_ns; /* calls are counted between; it begins with a reply, once connections are made */
    int64_t length_ns, cpu_ns, calls;
    double cpu_begin_s;
};

static int send(struct trial *trial, struct mh_op *op, struct mh_error *err)
{
    if (mh_hand_prepare(&trial->hand, op, err) != 0)
        return -1;
    return mh_op_send(op, trial->hand.connection, &trial->hand.policy, err);
}

static int take(struct trial *trial, struct mh_op *op, struct window *window, struct mh_error *err)
{
    char text[400];
    mh_op_take(op, &trial->hand.policy);
    if (op->outcome != MH_OUTCOME_OK) {
        mh_op_describe(op, text, sizeof text);
        return mh_fail(err, "the null server: %s", text);
    }
    mh_op_release(op);
    if (op->done_ns >= window->begin_ns && window->cpu_begin_s == 0) {
        window->begin_ns = op->done_ns;
        window->end_ns = op->done_ns + window->length_ns;
        window->cpu_begin_s = mh_cpu_s();
    } else if (op->done_ns >= window->begin_ns && op->done_ns < window->end_ns) {
        window->calls++;
    }
    return 0;
}

static void drain(struct trial *trial)
{
    const int64_t patience = mh_now_ns() + DRAIN_S * MH_S;
    bool cancelled = false;
    while (mh_rpc_in_flight(trial->run.rpc) > 0) {
        mh_alive();
        struct mh_call *call = mh_rpc_wait(trial->run.rpc, mh_now_ns() + 10 * MH_MS);
        if (call)
            mh_call_release(call);
        for (int64_t i = 0; !cancelled && mh_now_ns() > patience && i < trial->ready; i++)
            mh_call_cancel(&trial->hand.ops[i].call);
        cancelled = mh_now_ns() > patience;
    }
}

static int go(struct trial *trial, struct window *window, struct mh_error *err)
{
    int rc = 0;
    int64_t sent = 0;
    for (struct mh_op *op = trial->hand.idle; op && sent < trial->ready && rc == 0; op = op->next, sent++)
        rc = send(trial, op, err);
    while (rc == 0 && mh_now_ns() < window->end_ns) {
        mh_alive();
        struct mh_call *call = mh_rpc_wait(trial->run.rpc, window->end_ns);
        if (!call)
            continue;
        struct mh_op *op = mh_op_of(call);
        rc = take(trial, op, window, err);
        if (rc == 0 && mh_now_ns() < window->end_ns)
            rc = send(trial, op, err);
    }
    window->end_ns = mh_now_ns();
    window->cpu_ns = (int64_t)((mh_cpu_s() - window->cpu_begin_s) * (double)MH_S);
    drain(trial);
    return rc;
}

static int64_t width_of(const struct mh_shape *shape, int ranks_of_node)
{
    const int64_t fit = BYTES_IN_FLIGHT / ((shape->request_bytes + 1) * ranks_of_node);
    return fit < 2 ? 2 : fit < WIDTH ? fit : WIDTH;
}

static int find_role(const struct mh_calibration *calibration, int shape)
{
    int at = 0;
    while (calibration->shape_of[at] != shape)
        at++;
    return at;
}

static int fail_without_reply(const struct mh_run *run, const struct mh_shape *shape, int stage, int role,
                              struct mh_error *err)
{
    const struct mh_stage_options *options = &run->job->stages[stage];
    return mh_fail(err,
                   "no call of %s %s of %lld bytes came back from the null server in time: their ceiling is "
                   "not known",
                   options->name, options->roles[role].kind->name, (long long)shape->request_bytes);
}

/* One shape, on all ranks at a time. */
static int measure(struct mh_calibration *calibration, int at, const struct mh_run *run, struct mh_rpc *rpc,
                   int ranks_of_node, struct mh_error *err)
{
    struct mh_shape *shape = &calibration->shapes[at];
    const int place = find_role(calibration, at);
    const int stage = place / calibration->roles, role = place % calibration->roles;
    struct trial trial;
    int rc = open_trial(&trial, run, rpc, stage, role, width_of(shape, ranks_of_node), err);
    rc = mh_comm_agree(run->comm, rc, err);
    const int64_t now = mh_now_ns(), all_ns = ALL_MS * MH_MS / calibration->count;
    struct window window = {
        .begin_ns = now + all_ns / 5, .end_ns = now + START_S * MH_S, .length_ns = all_ns - all_ns / 5};
    if (rc == 0)
        rc = go(&trial, &window, err);
    close_trial(&trial);
    if (rc == 0 && window.calls == 0)
        rc = fail_without_reply(run, shape, stage, role, err);
    if (mh_comm_agree(run->comm, rc, err) != 0)
        return -1;
    int64_t sums[3] = {window.calls, window.end_ns - window.begin_ns, window.cpu_ns};
    mh_comm_sum_i64(run->comm, sums, 3);
    shape->calls_per_s = (double)sums[0] / ((double)sums[1] / (double)MH_S);
    shape->cpu_ns = (double)sums[2] / (double)sums[0];
    return 0;
}

/* ---- null servers ---- */

static int start_servers(struct mh_null_server *server, const struct mh_run *run, MPI_Comm node,
                         struct mh_error *err)
{
    int rank, rc = 0;
    MPI_Comm_rank(node, &rank);
    if (rank == 0)
        rc = mh_null_server_start(server, err);
    rc = mh_comm_agree(run->comm, rc, err);
    mh_comm_bcast(node, server->uri, sizeof server->uri, 0);
    return rc;
}

static int open_null(const char *uri, struct mh_rpc **rpc, struct mh_error *err)
{
    static char *texts[1];
    texts[0] = (char *)(uintptr_t)uri;
    const struct mh_server_options options = {.uris = {.items = texts, .count = 1}, .connections = 1};
    return mh_rpc_open(&options, rpc, err);
}

static int measure_all(struct mh_calibration *calibration, const struct mh_run *run, struct mh_rpc *rpc,
                       int ranks_of_node, struct mh_error *err)
{
    struct mh_error why;
    int measured = 0;
    for (int at = 0; at < calibration->count; at++) {
        if (measure(calibration, at, run, rpc, ranks_of_node, &why) == 0)
            measured++;
        else if (run->rank == 0)
            mh_note("calibration: %s", why.text);
    }
    return measured > 0 ? 0 : mh_fail(err, "%s", why.text);
}

static int with_servers(struct mh_calibration *calibration, const struct mh_run *run, MPI_Comm node,
                        int ranks_of_node, struct mh_error *err)
{
    struct mh_null_server server = {0};
    struct mh_rpc *rpc = NULL;
    int rc = start_servers(&server, run, node, err);
    if (rc == 0)
        rc = mh_comm_agree(run->comm, open_null(server.uri, &rpc, err), err);
    if (rc == 0)
        rc = measure_all(calibration, run, rpc, ranks_of_node, err);
    mh_rpc_close(rpc);
    mh_null_server_stop(&server);
    return rc;
}

/* ---- all of it ---- */

static int list_shapes(struct mh_calibration *calibration, const struct mh_run *run, struct mh_error *err)
{
    struct mh_rpc *rpc = NULL;
    const size_t stages = run->job->stage_count;
    for (size_t s = 0; s < stages; s++)
        if ((int)run->job->stages[s].role_count > calibration->roles)
            calibration->roles = (int)run->job->stages[s].role_count;
    const size_t places = stages * (size_t)calibration->roles;
    calibration->shape_of = malloc((places + 1) * sizeof *calibration->shape_of);
    for (size_t i = 0; calibration->shape_of && i < places; i++)
        calibration->shape_of[i] = -1;
    int rc = calibration->shape_of ? open_null("http://127.0.0.1:1", &rpc, err)
                                   : mh_fail(err, "out of memory"); /* nothing is sent there */
    if (rc == 0)
        rc = find_shapes(calibration, run, rpc, err);
    mh_rpc_close(rpc);
    return mh_comm_agree(run->comm, rc, err);
}

static int most_on_a_node(const struct mh_run *run, const int *node_of_rank)
{
    int most = 1;
    for (int r = 0; r < run->np; r++) {
        int count = 0;
        for (int other = 0; other < run->np; other++)
            count += node_of_rank[other] == node_of_rank[r];
        most = count > most ? count : most;
    }
    return most;
}

static int calibrate(struct mh_calibration *calibration, const struct mh_run *run, int ranks_of_node,
                     struct mh_error *err)
{
    MPI_Comm node;
    if (list_shapes(calibration, run, err) != 0)
        return -1;
    if (calibration->count == 0)
        return mh_fail(err, "no role sends calls that could be counted in a second");
    bool reused = run->rank == 0 && run->job->calibrate == MH_CALIBRATE_AUTO &&
                  mh_calibration_load(calibration, ranks_of_node, run->np);
    mh_comm_bcast(run->comm, &reused, sizeof reused, 0);
    if (reused) {
        mh_comm_bcast(run->comm, calibration->shapes, sizeof calibration->shapes, 0);
        mh_comm_bcast(run->comm, calibration->source, sizeof calibration->source, 0);
        return 0;
    }
    node = mh_comm_node(run->comm);
    const int rc = with_servers(calibration, run, node, ranks_of_node, err);
    MPI_Comm_free(&node);
    if (rc == 0) {
        snprintf(calibration->source, sizeof calibration->source, "measured");
        if (run->rank == 0)
            mh_calibration_save(calibration, ranks_of_node, run->np);
    }
    return rc;
}

static void say(const struct mh_calibration *calibration)
{
    if (calibration->count == 0) {
        mh_note("calibration: %s", calibration->source);
        return;
    }
    for (int i = 0; i < calibration->count; i++)
        if (calibration->shapes[i].calls_per_s > 0)
            mh_note("calibration (%s): %.0f calls/s a rank of %lld bytes each, %.1f us of CPU a call",
                    calibration->source, calibration->shapes[i].calls_per_s,
                    (long long)calibration->shapes[i].request_bytes, calibration->shapes[i].cpu_ns / 1e3);
}

void mh_calibrate(struct mh_calibration *calibration, const struct mh_run *run, const int *node_of_rank)
{
    struct mh_error err;
    const int ranks_of_node = most_on_a_node(run, node_of_rank);
    const double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    int rc = -1;
    *calibration = (struct mh_calibration){.core = fmin(1, cores / ranks_of_node)};
    if (run->job->calibrate == MH_CALIBRATE_NEVER)
        mh_fail(&err, "the job says calibrate: never");
    else
        rc = calibrate(calibration, run, ranks_of_node, &err);
    if (rc != 0) {
        calibration->count = 0;
        snprintf(calibration->source, sizeof calibration->source, "none: %.280s", err.text);
    }
    if (run->rank == 0 && (rc != 0 || strcmp(calibration->source, "measured") == 0))
        say(calibration);
}

void mh_calibration_free(struct mh_calibration *calibration)
{
    free(calibration->shape_of);
    *calibration = (struct mh_calibration){0};
}

double mh_calibration_ceiling(const struct mh_calibration *calibration, int stage, int role, int64_t ranks)
{
    const int at = calibration->shape_of && calibration->count > 0
                       ? calibration->shape_of[(size_t)stage * (size_t)calibration->roles + (size_t)role]
                       : -1;
    if (at < 0 || calibration->shapes[at].calls_per_s <= 0)
        return NAN;
    const struct mh_shape *shape = &calibration->shapes[at];
    const double by_cpu = shape->cpu_ns > 0 ? calibration->core * (double)MH_S / shape->cpu_ns : 0;
    return (double)ranks * fmax(shape->calls_per_s, by_cpu);
}
