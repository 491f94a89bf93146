#include "observe/observe.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"
#include "client/op.h"
#include "observe/process.h"
#include "observe/scrape.h"
#include "observe/system_info.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SEARCH_EVERY_S = 5, ALONG_EVERY_S = 5, SYSTEM_INFO_TIMEOUT_S = 5 };

/* A process that serves: what tells it from the one before. */
struct life {
    int32_t number;
    double began, cpu_s;
};

struct local { /* the process behind one of the server's URIs, if it is on this machine */
    int port;  /* 0: it is not */
    char source[MH_PROCESS_NAME];
    pid_t pid; /* -1: not found */
    uint64_t began;
    int32_t life;
    int64_t search_ns; /* not before */
    bool found, warned;
};

struct system_info {    /* of one proxy */
    struct mh_rpc *rpc; /* that knows no other */
    struct mh_connection *connection;
    struct mh_op op;
    struct mh_retry_policy policy;
    struct mh_server_options server;
    int64_t next_ns;
    bool asked, failed, warned;
};

/* Each proxy tells of itself, and of the nodes that all share: who is listened to. */
struct teller {
    char node[64], created[64];
    int32_t life;
    const struct system_info *by;
};

struct mh_observer {
    struct mh_observer_options options;
    const struct mh_observe_options *wanted;
    pthread_t thread;
    bool runs;
    atomic_bool stop;
    struct mh_scraper *scraper;
    struct life *lives; /* one a page */
    size_t uri_count;   /* of the job's server; 0: this rank looks at none */
    struct local *locals;
    struct system_info *infos;
    const struct system_info *told_by; /* whose answer is being read */
    struct teller *tellers;
    int64_t teller_count, teller_room;
    struct mh_samples samples;
    struct mh_sample_log log;
    bool refused, too_long, restarts_refused; /* and that was said */
    int64_t along_ns;                         /* not before */
};

static double second_of(const struct mh_observer *observer)
{
    return (double)(mh_now_ns() - observer->options.start_ns) / (double)MH_S;
}

static void refuse(struct mh_observer *observer, const char *source, const char *name)
{
    if (!mh_series_fits(source, name)) {
        if (!observer->too_long)
            mh_warn("observe: %s of %s is left out, and so is what else has so long a name", name, source);
        observer->too_long = true;
        return;
    }
    if (!observer->refused)
        mh_warn("observe: %s of %s is left out, and what else comes: %d series are the most", name, source,
                MH_MOST_SERIES);
    observer->refused = true;
}

static void add(struct mh_observer *observer, struct mh_series_list *list, const char *source,
                const char *name, struct mh_sample sample)
{
    const struct mh_series *kept_in;
    const bool added = mh_series_add(list, source, name, sample, &kept_in);
    if (kept_in)
        mh_sample_log_put(&observer->log, list == &observer->samples.own, kept_in);
    if (!added)
        refuse(observer, source, name);
}

static void note_restart(struct mh_observer *observer, const char *source, const char *how)
{
    struct mh_restart restart = {.second = second_of(observer)};
    snprintf(restart.what, sizeof restart.what, "%s: %s", source, how);
    if (mh_samples_add_restart(&observer->samples, &restart)) {
        mh_sample_log_restart(&observer->log, &restart);
    } else {
        if (!observer->restarts_refused)
            mh_warn(
                "observe: %s: %s; that restart and what else comes are left out: %d are the most. Latencies "
                "count as unobserved from here on",
                source, how, MH_MOST_RESTARTS);
        observer->restarts_refused = true;
    }
}

/* ---- processes ---- */

static void add_process(struct mh_observer *observer, struct mh_series_list *list, const char *source,
                        int32_t life, const struct mh_process_state *state)
{
    const double second = second_of(observer);
    const struct {
        const char *name;
        double value;
    } figures[] = {{"rss_bytes", (double)state->rss_bytes},
                   {"private_bytes", (double)state->private_bytes},
                   {"cpu_s", state->cpu_s},
                   {"fds", (double)state->fds},
                   {"threads", (double)state->threads}};
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (figures[i].value >= 0)
            add(observer, list, source, figures[i].name, (struct mh_sample){second, figures[i].value, life});
}

static void add_own(struct mh_observer *observer, const char *name, int64_t bytes)
{
    add(observer, &observer->samples.own, "", name,
        (struct mh_sample){second_of(observer), (double)bytes, 1});
}

static void look_at_self(struct mh_observer *observer)
{
    struct mh_process_state state;
    if (mh_process_look(getpid(), &state) != 0)
        return;
    add_process(observer, &observer->samples.own, "", 1, &state);
    add_own(observer, "ledger_bytes", atomic_load(observer->options.ledger_bytes));
    add_own(observer, "rpc_bytes", mh_rpc_bytes(observer->options.rpc));
}

/* Of ports of one process the first stands for it. */
static const struct local *first_of(const struct mh_observer *observer, const struct local *local, pid_t pid)
{
    const struct local *other = observer->locals;
    while (other < local && other->pid != pid)
        other++;
    return other;
}

/* Another number, or another process under the same one: the server was started again. */
static void find_server(struct mh_observer *observer, struct local *local, int64_t now_ns)
{
    struct mh_process_state state;
    char how[96];
    if (now_ns < local->search_ns)
        return;
    const pid_t pid = mh_process_listening(local->port);
    if (pid <= 0 || mh_process_look(pid, &state) != 0) {
        local->search_ns = now_ns + (local->found ? observer->wanted->period_ns : SEARCH_EVERY_S * MH_S);
        if (!local->warned && !local->found)
            mh_warn(
                "observe: no process that listens on port %d can be seen here; the server's memory is not "
                "in the result unless observe.metrics names a page of it",
                local->port);
        local->warned = true;
        return;
    }
    if (local->found && first_of(observer, local, pid) == local) {
        snprintf(how, sizeof how, "process %d listens there now", (int)pid);
        note_restart(observer, local->source, how);
    }
    local->found = true;
    local->pid = pid;
    local->began = state.began;
    local->life++;
}

static void look_at_process(struct mh_observer *observer, struct local *local, int64_t now_ns)
{
    struct mh_process_state state;
    if (local->port == 0)
        return;
    if (local->pid < 0)
        find_server(observer, local, now_ns);
    if (local->pid < 0)
        return;
    if (mh_process_look(local->pid, &state) != 0 || state.began != local->began) {
        local->pid = -1;
        return;
    }
    const struct local *first = first_of(observer, local, local->pid);
    if (first != local)
        add(observer, &observer->samples.server, local->source, MH_SHARED_PROCESS,
            (struct mh_sample){second_of(observer), first->port, local->life});
    else if (state.rss_bytes > 0) /* a process that is ending has none */
        add_process(observer, &observer->samples.server, local->source, local->life, &state);
}

/* ---- pages ---- */

static enum mh_metric_use use_of_metric(void *context, const char *source, const char *name)
{
    struct mh_observer *observer = context;
    const struct mh_series_list *list = &observer->samples.server;
    if (mh_series_has(list, source, name))
        return MH_METRIC_KNOWN;
    if (list->count < MH_MOST_SERIES && mh_series_fits(source, name))
        return MH_METRIC_NEW;
    refuse(observer, source, name);
    return MH_METRIC_USELESS;
}

/* When the process began says it outright; where a page does not say it, CPU time that became less. */
static bool is_anew(const struct life *life, const struct mh_page_process *process)
{
    return (!isnan(process->began) && life->began > 0 && process->began != life->began) ||
           (!isnan(process->cpu_s) && life->began == 0 && process->cpu_s < life->cpu_s);
}

/* Of the page as a whole: what stands on it above that time is of the same life. */
static void note_life(struct mh_observer *observer, struct life *life, const char *source,
                      const struct mh_page_process *process)
{
    if (life->number == 0 || is_anew(life, process)) {
        if (life->number++ > 0)
            note_restart(observer, source, "its metrics begin anew");
        life->cpu_s = life->began = 0;
    }
    if (!isnan(process->began))
        life->began = process->began;
    if (!isnan(process->cpu_s))
        life->cpu_s = process->cpu_s;
}

static void take_page(void *context, int target, const char *source, const struct mh_page_process *process,
                      const struct mh_metric_sample *metrics, int64_t count)
{
    struct mh_observer *observer = context;
    struct life *life = &observer->lives[target];
    const double second = second_of(observer);
    note_life(observer, life, source, process);
    for (int64_t i = 0; i < count; i++)
        add(observer, &observer->samples.server, source, metrics[i].name,
            (struct mh_sample){second, metrics[i].value, life->number});
}

/* ---- GetMetrics ---- */

/* The first that tells of a node, for as long as it answers; NULL: no memory. */
static struct teller *teller_of(struct mh_observer *observer, const char *node)
{
    struct teller *teller = observer->tellers;
    while (teller < observer->tellers + observer->teller_count && strcmp(teller->node, node) != 0)
        teller++;
    if (teller == observer->tellers + observer->teller_count) {
        if (!mh_grow(&observer->tellers, &observer->teller_room, observer->teller_count, sizeof *teller))
            return NULL;
        teller = &observer->tellers[observer->teller_count++];
        *teller = (struct teller){.by = observer->told_by};
        snprintf(teller->node, sizeof teller->node, "%s", node);
    }
    if (teller->by->failed)
        teller->by = observer->told_by;
    return teller;
}

/* A node that was started again has another number, as a rule, and is another source; or says when. */
static void note_created(struct mh_observer *observer, struct teller *teller, const char *created)
{
    char now[sizeof teller->created];
    snprintf(now, sizeof now, "%s", created);
    if (teller->life > 0 && (!now[0] || strcmp(now, teller->created) == 0)) /* a proxy may not say it */
        return;
    if (teller->created[0])
        note_restart(observer, teller->node, "it was created anew");
    teller->life += teller->life == 0 || teller->created[0];
    memcpy(teller->created, now, sizeof now);
}

/* Where proxies may be of different servers, numbers alone do not tell nodes apart. Of what has no series, no
 * teller is kept either. */
static void take_node(void *context, const struct mh_node_info *node, const char *name, double value)
{
    struct mh_observer *observer = context;
    char source[64];
    const bool with_address = observer->uri_count > 1 && node->address[0];
    snprintf(source, sizeof source, "%.22s%s%.37s", node->name, with_address ? " at " : "",
             with_address ? node->address : "");
    if (use_of_metric(observer, source, name) == MH_METRIC_USELESS)
        return;
    struct teller *teller = teller_of(observer, source);
    if (!teller || teller->by != observer->told_by)
        return;
    note_created(observer, teller, node->created);
    add(observer, &observer->samples.server, source, name,
        (struct mh_sample){second_of(observer), value, teller->life});
}

static void ask_system_info(struct mh_observer *observer, struct system_info *info, int64_t now_ns)
{
    struct mh_error err;
    if (!info->rpc || info->asked || now_ns < info->next_ns)
        return;
    info->next_ns = now_ns + observer->wanted->system_info_ns;
    mh_op_release(&info->op);
    info->op.request = (struct mh_request){.kind = MH_OP_METRICS, .text = MH_SYSTEM_INFO_REQUEST};
    info->asked = mh_op_send(&info->op, info->connection, &info->policy, &err) == 0;
}

static void complain_of_info(struct system_info *info, const char *cause)
{
    info->failed = true;
    if (!info->warned)
        mh_warn("observe: %s: %s; GetMetrics' figures are missing for as long",
                mh_connection_uri(info->connection), cause);
    info->warned = true;
}

static void take_system_info(struct mh_observer *observer, struct system_info *info)
{
    char cause[400];
    if (!info->asked || !mh_rpc_wait(info->rpc, 0))
        return;
    info->asked = info->failed = false;
    observer->told_by = info;
    mh_op_take(&info->op, &info->policy);
    if (info->op.outcome != MH_OUTCOME_OK) {
        mh_op_describe(&info->op, cause, sizeof cause);
        complain_of_info(info, cause);
    } else if (!info->op.reply.text || mh_system_info_read(info->op.reply.text, take_node, observer) != 0) {
        complain_of_info(info, "GetMetrics: the answer has no nodes_info");
    }
}

static int open_proxy(struct system_info *info, const struct mh_server_options *server, size_t uri)
{
    static const struct mh_retry_options no_retry;
    struct mh_error err;
    info->server = *server;
    info->server.uris = (struct mh_texts){.items = &server->uris.items[uri], .count = 1};
    info->server.connections = 1;
    info->policy = (struct mh_retry_policy){.retry = &no_retry, .timeout_ns = SYSTEM_INFO_TIMEOUT_S * MH_S};
    if (mh_rpc_open(&info->server, &info->rpc, &err) != 0)
        return -1;
    info->connection = mh_connection_open(info->rpc, 0);
    return info->connection ? 0 : -1;
}

static int open_system_info(struct mh_observer *observer)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && observer->wanted->system_info_ns > 0 && i < observer->uri_count; i++)
        rc = open_proxy(&observer->infos[i], &observer->options.job->server, i);
    return rc;
}

static void close_system_info(struct system_info *info)
{
    if (info->asked) {
        mh_call_cancel(&info->op.call);
        while (!mh_rpc_wait(info->rpc, mh_now_ns() + MH_S))
            ;
    }
    mh_op_free(&info->op);
    if (info->connection)
        mh_connection_close(info->connection);
    if (info->rpc)
        mh_rpc_close(info->rpc);
}

/* ---- the thread ---- */

static void look(struct mh_observer *observer)
{
    const int64_t now = mh_now_ns();
    look_at_self(observer);
    for (size_t i = 0; i < observer->uri_count; i++)
        look_at_process(observer, &observer->locals[i], now);
    mh_scraper_ask(observer->scraper);
    for (size_t i = 0; i < observer->uri_count; i++)
        ask_system_info(observer, &observer->infos[i], now);
}

static void take_answers(struct mh_observer *observer)
{
    for (size_t i = 0; i < observer->uri_count; i++)
        take_system_info(observer, &observer->infos[i]);
}

static bool awaits_answers(const struct mh_observer *observer)
{
    bool asked = false;
    for (size_t i = 0; i < observer->uri_count; i++)
        asked |= observer->infos[i].asked;
    return asked;
}

/* What may wait for a disk, and must not in the main thread. */
static void go_along(struct mh_observer *observer)
{
    const int64_t now = mh_now_ns();
    if (!observer->options.along || now < observer->along_ns)
        return;
    observer->along_ns = now + ALONG_EVERY_S * MH_S;
    observer->options.along(observer->options.context);
}

static void *observe(void *of)
{
    struct mh_observer *observer = of;
    const int64_t period = observer->wanted->period_ns;
    int64_t next = mh_now_ns();
    while (!atomic_load(&observer->stop)) {
        int64_t left = next - mh_now_ns();
        if (left <= 0) {
            look(observer);
            next += period * (1 - left / period); /* a late look takes the next one's place */
            continue;
        }
        if (awaits_answers(observer) && left > 20 * MH_MS)
            left = 20 * MH_MS;
        mh_sample_log_flush(&observer->log);
        go_along(observer);
        mh_scraper_wait(observer->scraper, left + MH_MS);
        take_answers(observer);
    }
    return NULL;
}

/* ---- opening and closing ---- */

/* -1: no memory. */
static int find_servers(struct mh_observer *observer)
{
    const struct mh_texts *uris = &observer->options.job->server.uris;
    observer->locals = calloc(uris->count + 1, sizeof *observer->locals);
    observer->infos = calloc(uris->count + 1, sizeof *observer->infos);
    if (!observer->locals || !observer->infos)
        return -1;
    observer->uri_count = observer->options.head.rank == 0 ? uris->count : 0;
    for (size_t i = 0; i < observer->uri_count; i++) {
        observer->locals[i].pid = -1;
        if (observer->wanted->local == MH_LOCAL_AUTO)
            observer->locals[i].port = mh_process_port(uris->items[i], observer->locals[i].source);
    }
    return 0;
}

/* Signals are for the thread that runs the stages. */
static int start_thread(struct mh_observer *observer)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int cause = pthread_create(&observer->thread, NULL, observe, observer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    observer->runs = cause == 0;
    return cause == 0 ? 0 : -1;
}

static const struct mh_observe_options *pages_of(const struct mh_observer_options *options)
{
    static const struct mh_observe_options none;
    return options->head.rank == 0 ? &options->job->observe : &none;
}

struct mh_observer *mh_observer_start(const struct mh_observer_options *options)
{
    if (!options->job->observe.enabled)
        return NULL;
    struct mh_observer *observer = calloc(1, sizeof *observer);
    if (observer) {
        const struct mh_scrape_hooks hooks = {use_of_metric, take_page, observer};
        observer->options = *options;
        observer->wanted = &options->job->observe;
        observer->lives = calloc(observer->wanted->metrics.count + 1, sizeof *observer->lives);
        mh_sample_log_open(&observer->log, options->log_path, &options->head);
        observer->scraper = mh_scraper_open(pages_of(options), &hooks);
    }
    if (observer && observer->lives && observer->scraper && find_servers(observer) == 0 &&
        open_system_info(observer) == 0 && start_thread(observer) == 0)
        return observer;
    mh_warn("observe: cannot be begun; memory and other gauges will not be in the result");
    mh_observer_free(observer);
    return NULL;
}

void mh_observer_stop(struct mh_observer *observer)
{
    if (!observer)
        return;
    if (observer->runs) {
        atomic_store(&observer->stop, true);
        mh_scraper_wake(observer->scraper);
        pthread_join(observer->thread, NULL);
        observer->runs = false;
    }
    mh_sample_log_close(&observer->log); /* before the folder that it lies in goes */
}

struct mh_samples *mh_observer_samples(struct mh_observer *observer)
{
    return observer ? &observer->samples : NULL;
}

void mh_observer_free(struct mh_observer *observer)
{
    if (!observer)
        return;
    mh_observer_stop(observer);
    for (size_t i = 0; i < observer->uri_count; i++)
        close_system_info(&observer->infos[i]);
    mh_scraper_close(observer->scraper);
    mh_samples_free(&observer->samples);
    free(observer->tellers);
    free(observer->infos);
    free(observer->locals);
    free(observer->lives);
    free(observer);
}
