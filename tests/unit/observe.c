/* What is read of pages, answers and /proc, and how samples are kept. */
#include "observe/observe.h"
#include "observe/process.h"
#include "observe/prometheus.h"
#include "observe/samples.h"
#include "observe/system_info.h"

#include "base/clock.h"
#include "check.h"
#include "job/names.h"
#include "rpc/rpc.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Prometheus' text ---- */

static void note(void *context, const char *name, double value)
{
    char *text = context;
    sprintf(text + strlen(text), "%s=%g;", name, value);
}

/* In whatever pieces it comes. */
static void assert_read(const char *page, const char *wanted, const char *expected)
{
    static const size_t pieces[] = {1, 2, 7, 1 << 20};
    static struct mh_prometheus reader;
    const size_t length = strlen(page);
    for (size_t i = 0; i < COUNT(pieces); i++) {
        char text[1024] = "";
        mh_prometheus_begin(&reader, &wanted, 1, note, text);
        for (size_t at = 0; at < length; at += pieces[i])
            mh_prometheus_take(&reader, page + at, length - at < pieces[i] ? length - at : pieces[i]);
        mh_prometheus_end(&reader);
        assert_string_equal(text, expected);
    }
}

static void pages_are_read(void **state)
{
    (void)state;
    assert_read("up 1\n", "up", "up=1;");
    assert_read("up 1", "up", "up=1;");
    assert_read("up\t1.5e3 1700000000\r\n", "up", "up=1500;");
    assert_read("# TYPE up gauge\nup +Inf\nup NaN\nup -0x1p3\n", "up", "up=-8;");
    assert_read("up{a=\"b c\",d=\"}\"} 2\nup{a=\"\\\"}\"} 3\n", "up",
                "up{a=\"b c\",d=\"}\"}=2;up{a=\"\\\"}\"}=3;");
    assert_read("up{a=\"1\"} 2\nup{a=\"2\"} 3\n", "up{a=\"2\"}", "up{a=\"2\"}=3;");
    assert_read("up_a 1\nup{b=\"c\"} 2\nup 3\nu 4\n", "up*", "up_a=1;up{b=\"c\"}=2;up=3;");
    assert_read("a 1\nb{} 2\n", "*", "a=1;b{}=2;");
}

static void other_lines_are_passed_over(void **state)
{
    (void)state;
    assert_read("", "up", "");
    assert_read("\n\n\n", "*", "");
    assert_read("up\nup \nup x\n{a=\"b\"} 1\nup{a=\"b\" 1\nup{a=\"\\\nup 7\nupper 1\n#up 1", "up", "up=7;");
    assert_read("up{a=\"b\"}\n1\nup \n 2\n", "up", "");
    char page[20000];
    for (int length = 900; length <= 9000; length += 2025) { /* 4,950: no line may be as long */
        snprintf(page, sizeof page, "up{a=\"%0*d\"} 1\nup 2\n# %0*d up 5\nup 3\nup 4 %0*d", length, 0, length,
                 0, 9 * (MH_PROMETHEUS_LINE / 10), 0);
        assert_read(page, "up", "up=2;up=3;up=4;");
    }
    snprintf(page, sizeof page, "up 1\nup 2 %0*d\nup 3 %0*d", MH_PROMETHEUS_LINE, 0, MH_PROMETHEUS_LINE, 0);
    assert_read(page, "up", "up=1;");
}

/* ---- pages over HTTP ---- */

/* Answers one request after the other; `number` counts them from 1. */
struct web {
    int listener;
    char url[64];
    pthread_t thread;
    atomic_int asked, talks_to; /* talks_to: -1: nobody */
    atomic_bool over;
    void (*answer)(FILE *out, int number);
};

static void *serve(void *of)
{
    struct web *web = of;
    char request[4096];
    for (int fd; (fd = accept(web->listener, NULL, NULL)) >= 0;) {
        atomic_store(&web->talks_to, fd);
        if (!atomic_load(&web->over) && recv(fd, request, sizeof request, 0) > 0) {
            FILE *out = fdopen(fd, "w");
            web->answer(out, atomic_fetch_add(&web->asked, 1) + 1);
            atomic_store(&web->talks_to, -1);
            fclose(out);
        } else {
            atomic_store(&web->talks_to, -1);
            close(fd);
        }
    }
    return NULL;
}

static void open_web(struct web *web, void (*answer)(FILE *out, int number))
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *web = (struct web){.listener = socket(AF_INET, SOCK_STREAM, 0), .talks_to = -1, .answer = answer};
    assert_int_equal(bind(web->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(web->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(web->listener, 8), 0);
    snprintf(web->url, sizeof web->url, "http://127.0.0.1:%d/metrics", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&web->thread, NULL, serve, web), 0);
}

static void close_web(struct web *web)
{
    atomic_store(&web->over, true);
    shutdown(web->listener, SHUT_RDWR);
    shutdown(atomic_load(&web->talks_to), SHUT_RD); /* with somebody who has stopped asking */
    pthread_join(web->thread, NULL);
    close(web->listener);
}

/* What an observer has of the first `pages` answers, at least: of /metrics, and of `others`, its neighbours
 * on the same port; with `gauges` of go_*, process_*. */
static struct mh_observer *observe_several(void (*answer)(FILE *out, int number), int pages, size_t others,
                                           size_t gauge_count)
{
    static struct web web;
    static char uri[] = "http://127.0.0.1:1", process[] = "process_*", go[] = "go_*", one[96], two[96];
    static char *uris[] = {uri}, *urls[] = {web.url, one, two}, *gauges[] = {go, process};
    static struct mh_job job;
    static atomic_llong ledger_bytes;
    struct mh_rpc *rpc;
    struct mh_error err;
    open_web(&web, answer);
    const int host = (int)strlen(web.url) - (int)strlen("metrics");
    snprintf(one, sizeof one, "%.*spods/1/metrics", host, web.url);
    snprintf(two, sizeof two, "%.*spods/2/metrics", host, web.url);
    job = (struct mh_job){.server.uris = {uris, 1},
                          .observe = {.enabled = true,
                                      .period_ns = MH_MS,
                                      .local = MH_LOCAL_NEVER,
                                      .metrics = {urls, 1 + others},
                                      .gauges = {gauges, gauge_count}}};
    assert_int_equal(mh_rpc_open(&job.server, &rpc, &err), 0);
    const struct mh_observer_options options = {.job = &job,
                                                .head = {0, 1, 3},
                                                .start_ns = mh_now_ns(),
                                                .ledger_bytes = &ledger_bytes,
                                                .rpc = rpc,
                                                .log_path = ""};
    struct mh_observer *observer = mh_observer_start(&options);
    assert_non_null(observer);
    for (int i = 0; i < 30000 && atomic_load(&web.asked) <= pages;
         i++) /* a page is asked for after another */
        mh_sleep_ns(MH_MS);
    assert_true(atomic_load(&web.asked) > pages);
    mh_observer_stop(observer);
    close_web(&web);
    mh_rpc_close(rpc);
    return observer;
}

static struct mh_observer *observe_pages(void (*answer)(FILE *out, int number), int pages)
{
    return observe_several(answer, pages, 0, 2);
}

static const struct mh_series *series_of(struct mh_observer *observer, const char *name)
{
    const struct mh_series_list *list = &mh_observer_samples(observer)->server;
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    fail_msg("no series of %s", name);
    return NULL;
}

/* Whole ones say 5: one above any bound, and one with more gauges in front than there are series. */
static void answer_badly(FILE *out, int number)
{
    enum { COMMENT = 1 << 16, COMMENTS = 40 << 4 };
    static const char end[] = "process_open_fds 5\n";
    if (number == 1) {
        fprintf(out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                (size_t)COMMENT * COMMENTS + sizeof end - 1);
        static char comment[COMMENT];
        memset(comment, '#', COMMENT - 1);
        comment[COMMENT - 1] = '\n';
        for (int i = 0; i < COMMENTS; i++)
            fwrite(comment, COMMENT, 1, out);
        fputs(end, out);
    } else if (number == 2) {
        fputs("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nprocess_open_fds 6\n", out);
    } else if (number == 3) {
        fputs("HTTP/1.1 503 Not now\r\nConnection: close\r\nContent-Length: 19\r\n\r\nprocess_open_fds 7\n",
              out);
    } else {
        fputs("HTTP/1.0 200 OK\r\n\r\n", out);
        for (int i = 0; i < 4 * MH_MOST_SERIES; i++)
            fprintf(out, "go_gauge{of=\"%d of %d\"} %d\n", i, number, i);
        fputs(end, out);
    }
}

static void a_page_counts_once_it_is_whole(void **state)
{
    (void)state;
    struct mh_observer *observer = observe_pages(answer_badly, 6);
    const struct mh_series *series = series_of(observer, "process_open_fds");
    assert_true(series->count >= 4); /* of 1, 4, 5 and 6 */
    for (int64_t i = 0; i < series->count; i++)
        assert_true(series->samples[i].value == 5 && series->samples[i].life == 1);
    assert_int_equal(mh_observer_samples(observer)->server.count, MH_MOST_SERIES);
    mh_observer_free(observer);
}

/* In the order of Go's: by name. */
static void answer_sorted(FILE *out, int number)
{
    const bool again = number > 3;
    fprintf(out,
            "HTTP/1.0 200 OK\r\n\r\ngo_goroutines %d\nprocess_cpu_seconds_total %d\nprocess_open_fds %d\n"
            "process_start_time_seconds %d\n",
            10 + again, number, 10 + again, 1000 + again);
}

static void what_stands_above_the_start_time_is_of_that_life_too(void **state)
{
    static const char *const names[] = {"go_goroutines", "process_open_fds"};
    (void)state;
    struct mh_observer *observer = observe_pages(answer_sorted, 6);
    for (size_t k = 0; k < COUNT(names); k++) {
        const struct mh_series *series = series_of(observer, names[k]);
        assert_true(series->count >= 6 && series->samples[0].life == 1);
        for (int64_t i = 0; i < series->count; i++)
            assert_true(series->samples[i].life == (int32_t)series->samples[i].value - 9);
    }
    assert_int_equal(mh_observer_samples(observer)->restart_count, 1);
    mh_observer_free(observer);
}

/* A leak that ends with the process, again and again, is else a sawtooth. */
static void restarts_are_seen_whatever_gauges_are_kept(void **state)
{
    (void)state;
    struct mh_observer *observer = observe_several(answer_sorted, 6, 0, 1);
    const struct mh_series *series = series_of(observer, "go_goroutines");
    assert_true(series->count >= 6 && series->samples[0].life == 1);
    for (int64_t i = 0; i < series->count; i++)
        assert_true(series->samples[i].life == (int32_t)series->samples[i].value - 9);
    assert_int_equal(mh_observer_samples(observer)->restart_count, 1);
    assert_int_equal(mh_observer_samples(observer)->server.count, 1); /* nothing else is kept */
    mh_observer_free(observer);
}

/* Each time another process: of more restarts than are kept, the rest is said once and known to be missing.
 */
static void answer_anew(FILE *out, int number)
{
    fprintf(out, "HTTP/1.0 200 OK\r\n\r\ngo_goroutines 1\nprocess_start_time_seconds %d\n", 1000 + number);
}

static void restarts_are_not_without_number(void **state)
{
    (void)state;
    struct mh_observer *observer = observe_several(answer_anew, MH_MOST_RESTARTS + 20, 2, 1);
    assert_int_equal(mh_observer_samples(observer)->restart_count, MH_MOST_RESTARTS);
    mh_observer_free(observer);
}

static void pages_of_one_host_are_several_sources(void **state)
{
    (void)state;
    struct mh_observer *observer = observe_several(answer_sorted, 6, 2, 1);
    const struct mh_series_list *list = &mh_observer_samples(observer)->server;
    assert_int_equal(list->count, 3);
    for (int64_t i = 0; i < list->count; i++) {
        const char *path = strchr(list->items[i].source, '/');
        assert_string_equal(list->items[i].name, "go_goroutines");
        assert_true(!path || strcmp(path, "/pods/1/metrics") == 0 || strcmp(path, "/pods/2/metrics") == 0);
        for (int64_t k = 0; k < i; k++)
            assert_string_not_equal(list->items[i].source, list->items[k].source);
    }
    mh_observer_free(observer);
}

static void pages_have_names(void **state)
{
    static const struct {
        const char *url, *name;
    } cases[] = {{"http://10.0.0.1:9091/metrics", "10.0.0.1:9091"},
                 {"https://host/metrics", "host"},
                 {"http://host:1", "host:1"},
                 {"http://host:1/", "host:1/"},
                 {"http://gw/pods/qn1/metrics", "gw/pods/qn1/metrics"},
                 {"http://gw/metrics/", "gw/metrics/"},
                 {"http://gw/metrics?token=secret#top", "gw"},
                 {"http://gw/all?token=secret", "gw/all"},
                 {"http://me:secret@gw:1/metrics", "gw:1"},
                 {"http://gw/@/metrics", "gw/@/metrics"},
                 {"gw:1/metrics", "gw:1"}};
    char name[MH_PAGE_NAME], url[200];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        mh_page_name(cases[i].url, name);
        assert_string_equal(name, cases[i].name);
    }
    snprintf(url, sizeof url, "http://%0100d/metrics", 0);
    mh_page_name(url, name);
    assert_int_equal(strlen(name), MH_PAGE_NAME - 1);
}

/* ---- GetMetrics ---- */

static void note_node(void *context, const struct mh_node_info *node, const char *name, double value)
{
    char *text = context;
    sprintf(text + strlen(text), "%s%s%s%s%s %s=%g;", node->name, node->address[0] ? " at " : "",
            node->address, node->created[0] ? " since " : "", node->created, name, value);
}

static void answers_are_read(void **state)
{
    (void)state;
    char text[1024] = "";
    assert_int_equal(
        mh_system_info_read(
            "{\"nodes_info\": [{\"infos\": {\"type\": \"querynode\", \"id\": 7, \"created_time\": \"noon\", "
            "\"hardware_infos\": "
            "{\"memory_usage\": 1000, \"cpu_core_usage\": 1.5}, \"quota_metrics\": {\"ts\": "
            "18446744073709551615}}},"
            "{\"infos\": {\"type\": \"proxy\", \"id\": 1, \"hardware_infos\": null}}, {\"infos\": null}, 5,"
            "{\"infos\": {\"type\": \"proxy\", \"id\": 2, \"hardware_infos\": {\"ip\": \"10.0.0.3:9\", "
            "\"memory_usage\": 7}}}]}",
            note_node, text),
        0);
    assert_string_equal(text, "querynode 7 since noon memory_usage_bytes=1000;"
                              "querynode 7 since noon cpu_usage_percent=1.5;"
                              "proxy 2 at 10.0.0.3:9 memory_usage_bytes=7;");
    static const char *const others[] = {"",    "{}", "[]", "5", "{\"nodes_info\": 5}", "{\"nodes_info\": [",
                                         "null"};
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(mh_system_info_read(others[i], note_node, text), -1);
}

/* ---- processes ---- */

static void this_process_is_as_it_is(void **state)
{
    enum { BYTES = 64 << 20 };
    struct mh_process_state before, after;
    (void)state;
    assert_int_equal(mh_process_look(getpid(), &before), 0);
    char *memory = malloc(BYTES);
    const int fd = open("/dev/null", O_RDONLY);
    memset(memory, 1, BYTES);
    assert_int_equal(mh_process_look(getpid(), &after), 0);
    assert_true(after.rss_bytes - before.rss_bytes > BYTES - (4 << 20));
    assert_true(after.private_bytes - before.private_bytes > BYTES - (4 << 20));
    assert_true(after.private_bytes <= after.rss_bytes);
    assert_int_equal(after.fds, before.fds + 1);
    assert_true(before.threads >= 1 && after.cpu_s >= before.cpu_s && after.began == before.began);
    assert_int_equal(memory[BYTES - 1], 1);
    close(fd);
    free(memory);
    assert_int_equal(mh_process_look(0x7fffffff, &after), -1);
}

static void who_listens_is_found(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    const int port = ntohs(address.sin_port);
    assert_int_equal(mh_process_listening(port), -1); /* not yet */
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(mh_process_listening(port), getpid());
    close(fd);
    assert_int_equal(mh_process_listening(port), -1);
}

static void loopback_is_known(void **state)
{
    (void)state;
    assert_true(mh_is_loopback("127.0.0.1") && mh_is_loopback("127.1.2.3") && mh_is_loopback("localhost") &&
                mh_is_loopback("[::1]"));
    assert_false(mh_is_loopback("10.0.0.1") || mh_is_loopback("milvus") || mh_is_loopback("[::]") ||
                 mh_is_loopback(""));
}

static void servers_on_loopback_have_ports(void **state)
{
    char name[MH_PROCESS_NAME];
    (void)state;
    assert_int_equal(mh_process_port("http://127.0.0.1:19530", name), 19530);
    assert_string_equal(name, "127.0.0.1:19530");
    assert_int_equal(mh_process_port("https://[::1]:1", name), 1);
    assert_string_equal(name, "[::1]:1");
    assert_int_equal(mh_process_port("http://10.0.0.1:19530", name), 0);
    assert_int_equal(mh_process_port("127.0.0.1", name), 0);
}

/* ---- series ---- */

static const struct mh_series *kept_in;

static void series_stay_small_and_even(void **state)
{
    struct mh_series_list list = {0};
    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(mh_series_add(&list, "s", "rss_bytes", (struct mh_sample){i, 2 * i, 1}, &kept_in));
    assert_int_equal(list.count, 1);
    struct mh_series *series = &list.items[0];
    assert_string_equal(series->unit, "bytes");
    assert_true(series->count > MH_MOST_SAMPLES / 2 - 1 && series->count <= MH_MOST_SAMPLES);
    for (int64_t i = 0; i < series->count; i++)
        assert_true(series->samples[i].second == (double)(i * series->stride) &&
                    series->samples[i].value == 2 * series->samples[i].second);
    mh_series_coarsen(series, 64);
    assert_true(series->count <= 64 && series->count >= 32 &&
                series->samples[1].second == (double)series->stride);
    mh_series_free(&list);
}

static void series_are_not_without_number(void **state)
{
    struct mh_series_list list = {0};
    char name[32];
    (void)state;
    for (int i = 0; i < MH_MOST_SERIES + 10; i++) {
        snprintf(name, sizeof name, "gauge_%d", i);
        assert_int_equal(mh_series_add(&list, "s", name, (struct mh_sample){0, 1, 1}, &kept_in),
                         i < MH_MOST_SERIES);
    }
    assert_true(mh_series_add(&list, "s", "gauge_3", (struct mh_sample){1, 1, 1}, &kept_in));
    assert_int_equal(list.refused, 10);
    assert_int_equal(list.items[3].count, 2);
    mh_series_free(&list);
}

/* Cut off they would be one series, and each other's noise. */
static void names_that_are_too_long_are_refused(void **state)
{
    struct mh_series_list list = {0};
    char name[256];
    (void)state;
    for (int length = 158; length < 162; length++)
        for (int last = 0; last < 2; last++) {
            snprintf(name, sizeof name, "g%0*d", length - 1, last);
            assert_int_equal(mh_series_add(&list, "s", name, (struct mh_sample){0, 1, 1}, &kept_in),
                             length < 160);
        }
    for (int length = 62; length < 66; length++)
        for (int last = 0; last < 2; last++) {
            snprintf(name, sizeof name, "%0*d", length, last);
            assert_int_equal(mh_series_add(&list, name, "g", (struct mh_sample){0, 1, 1}, &kept_in),
                             length < 64);
        }
    assert_int_equal(list.count, 8);
    assert_int_equal(list.refused, 8);
    mh_series_free(&list);
}

/* ---- samples on disk ---- */

static char log_path[] = "/tmp/mh-samples-XXXXXX";
static const struct mh_sample_head head = {.rank = 2, .np = 4, .run = 0xfedcba98};

static int make_log(void **state)
{
    (void)state;
    strcpy(log_path + strlen(log_path) - 6, "XXXXXX");
    const int fd = mkstemp(log_path);
    assert_true(fd >= 0);
    close(fd);
    return unlink(log_path);
}

static int remove_log(void **state)
{
    (void)state;
    return unlink(log_path);
}

static void write_log(struct mh_samples *samples, int count)
{
    struct mh_sample_log log;
    mh_sample_log_open(&log, log_path, &head);
    for (int i = 0; i < 2 * count; i++) {
        const struct mh_sample sample = {i / 2, i * 1.0e9 + 0.125, 1 + i / 1000};
        const bool own = i % 2;
        assert_true(mh_series_add(own ? &samples->own : &samples->server, own ? "" : "127.0.0.1:1",
                                  own ? "rss_bytes" : "x{a=\"b\"}", sample, &kept_in));
        if (kept_in)
            mh_sample_log_put(&log, own, kept_in);
    }
    const struct mh_restart restart = {.second = 3.5, .what = "127.0.0.1:1: \"anew\""};
    assert_true(mh_samples_add_restart(samples, &restart));
    mh_sample_log_restart(&log, &restart);
    mh_sample_log_close(&log);
}

static void compare_lists(const struct mh_series_list *a, const struct mh_series_list *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++) {
        const struct mh_series *x = &a->items[i], *y = &b->items[i];
        assert_string_equal(x->source, y->source);
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->unit, y->unit);
        assert_int_equal(x->count, y->count);
        assert_int_equal(x->stride, y->stride);
        for (int64_t k = 0; k < x->count; k++)
            assert_true(x->samples[k].second == y->samples[k].second &&
                        x->samples[k].value == y->samples[k].value &&
                        x->samples[k].life == y->samples[k].life);
    }
}

/* However long it was: exactly what the series held, from a file that grows with the logarithm of time. */
static void samples_on_disk_come_back(void **state)
{
    (void)state;
    int64_t bytes = 0;
    for (int count = 1; count <= 100000; count *= 10) {
        struct mh_samples written = {0}, read = {0};
        struct stat info;
        write_log(&written, count);
        mh_samples_read(&read, log_path);
        compare_lists(&written.server, &read.server);
        compare_lists(&written.own, &read.own);
        assert_int_equal(read.restart_count, 1);
        assert_true(read.restarts[0].second == 3.5);
        assert_string_equal(read.restarts[0].what, written.restarts[0].what);
        assert_int_equal(stat(log_path, &info), 0);
        assert_true(count < 100000 || info.st_size < 4 * bytes);
        assert_int_equal(mh_sample_log_bytes(log_path, &head), info.st_size);
        bytes = info.st_size;
        mh_samples_free(&written);
        mh_samples_free(&read);
        unlink(log_path);
    }
    struct mh_samples none = {0};
    assert_int_equal(mh_sample_log_bytes(log_path, &head), -1);
    fclose(fopen(log_path, "w"));
    assert_int_equal(mh_sample_log_bytes(log_path, &head), -1); /* killed at once */
    mh_samples_read(&none, log_path);
    assert_int_equal(none.own.count, 0);
}

static void a_log_says_whose_it_is(void **state)
{
    (void)state;
    static const struct mh_sample_head others[] = {
        {1, 4, 0xfedcba98}, {2, 5, 0xfedcba98}, {2, 4, 0xfedcba99}};
    struct mh_samples written = {0};
    write_log(&written, 3);
    assert_true(mh_sample_log_bytes(log_path, &head) > 0);
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(mh_sample_log_bytes(log_path, &others[i]), -1);
    mh_samples_free(&written);
    FILE *file = fopen(log_path, "w"); /* as those of a version that did not say it */
    fputs("{\"of\":\"restart\",\"second\":1,\"what\":\"later\"}\n", file);
    fclose(file);
    assert_int_equal(mh_sample_log_bytes(log_path, &head), -1);
    assert_int_equal(mh_sample_log_bytes("/tmp", &head), -1);
}

static void what_is_no_sample_ends_the_log(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "{",
        "[]",
        "{\"of\":\"rank\"}",
        "\xff",
        "{\"of\":\"restart\",\"second\":1}",
        "{\"of\":\"rank\",\"source\":\"\",\"name\":\"a\",\"second\":\"1\",\"value\":1,\"life\":1,\"stride\":"
        "1}",
        "{\"of\":\"rank\",\"source\":\"\",\"name\":\"a\",\"second\":1,\"value\":1,\"life\":1,\"stride\":0}",
        "{\"of\":\"rank\",\"source\":\"\",\"name\":\"rss_bytes\",\"second\":1,\"value\":1,\"life\":1,"
        "\"stride\":3}",
        "{\"of\":\"rank\",\"source\":\"\",\"name\":\"rss_bytes\",\"second\":1,\"value\":1,\"life\":1,"
        "\"stride\":"
        "9223372036854775807}",
#define SAMPLE(second, value, life)                                                                          \
    "{\"of\":\"rank\",\"source\":\"\",\"name\":\"rss_bytes\",\"second\":" second ",\"value\":" value         \
    ",\"life\":" life ",\"stride\":1}"
        SAMPLE("8.9", "1", "1") /* time does not go back */,
        SAMPLE("-1", "1", "1"),
        SAMPLE("10", "1e999", "1"),
        SAMPLE("10", "NaN", "1"),
        SAMPLE("10", "1", "0"),
        SAMPLE("10", "1", "4294967297"),
        "{\"of\":\"restart\",\"second\":-1,\"what\":\"\"}"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct mh_samples written = {0}, read = {0};
        write_log(&written, 10);
        FILE *file = fopen(log_path, "a");
        fprintf(file, "%s\n{\"of\":\"restart\",\"second\":1,\"what\":\"later\"}\n", lines[i]);
        fclose(file);
        mh_samples_read(&read, log_path);
        compare_lists(&written.own, &read.own);
        assert_int_equal(read.restart_count, 1);
        mh_samples_free(&written);
        mh_samples_free(&read);
        unlink(log_path);
    }
    fclose(fopen(log_path, "w"));
}

struct along {
    atomic_int times;
    pthread_t thread;
};

static void slow(void *context)
{
    struct along *along = context;
    along->thread = pthread_self();
    atomic_fetch_add(&along->times, 1);
    mh_sleep_ns(50 * MH_MS);
}

/* By the observer's own thread, and not with each look. */
static void what_may_wait_goes_along_elsewhere(void **state)
{
    (void)state;
    char *uris[] = {(char[]){"http://127.0.0.1:1"}};
    struct mh_job job = {.server.uris = {uris, 1}, .observe = {.enabled = true, .period_ns = MH_MS}};
    struct along along = {0};
    atomic_llong ledger_bytes = 0;
    struct mh_rpc *rpc;
    struct mh_error err;
    assert_int_equal(mh_rpc_open(&job.server, &rpc, &err), 0);
    const struct mh_observer_options options = {.job = &job,
                                                .head = {1, 2, 3},
                                                .start_ns = mh_now_ns(),
                                                .ledger_bytes = &ledger_bytes,
                                                .rpc = rpc,
                                                .log_path = "",
                                                .along = slow,
                                                .context = &along};
    struct mh_observer *observer = mh_observer_start(&options);
    assert_non_null(observer);
    for (int i = 0; i < 5000 && atomic_load(&along.times) == 0; i++)
        mh_sleep_ns(MH_MS);
    mh_sleep_ns(100 * MH_MS);
    mh_observer_stop(observer);
    const int64_t most = 1 + (mh_now_ns() - options.start_ns) / (5 * MH_S);
    assert_true(atomic_load(&along.times) >= 1 && atomic_load(&along.times) <= most);
    assert_false(pthread_equal(along.thread, pthread_self()));
    assert_true(mh_observer_samples(observer)->own.count > 0);
    mh_observer_free(observer);
    mh_rpc_close(rpc);
}

static void units_are_in_names(void **state)
{
    (void)state;
    assert_string_equal(mh_unit_of_name("process_resident_memory_bytes"), "bytes");
    assert_string_equal(mh_unit_of_name("process_cpu_seconds_total"), "s");
    assert_string_equal(mh_unit_of_name("lag_ms{a=\"_bytes\"}"), "ms");
    assert_string_equal(mh_unit_of_name("fds"), "");
    assert_string_equal(mh_unit_of_name("s"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_read),
        cmocka_unit_test(other_lines_are_passed_over),
        cmocka_unit_test(a_page_counts_once_it_is_whole),
        cmocka_unit_test(what_stands_above_the_start_time_is_of_that_life_too),
        cmocka_unit_test(restarts_are_seen_whatever_gauges_are_kept),
        cmocka_unit_test(restarts_are_not_without_number),
        cmocka_unit_test(pages_of_one_host_are_several_sources),
        cmocka_unit_test(pages_have_names),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(this_process_is_as_it_is),
        cmocka_unit_test(who_listens_is_found),
        cmocka_unit_test(loopback_is_known),
        cmocka_unit_test(servers_on_loopback_have_ports),
        cmocka_unit_test(series_stay_small_and_even),
        cmocka_unit_test(series_are_not_without_number),
        cmocka_unit_test(names_that_are_too_long_are_refused),
        cmocka_unit_test_setup_teardown(samples_on_disk_come_back, make_log, remove_log),
        cmocka_unit_test_setup_teardown(a_log_says_whose_it_is, make_log, remove_log),
        cmocka_unit_test_setup_teardown(what_is_no_sample_ends_the_log, make_log, remove_log),
        cmocka_unit_test(what_may_wait_goes_along_elsewhere),
        cmocka_unit_test(units_are_in_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
