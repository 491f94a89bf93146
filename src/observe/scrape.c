#include "observe/scrape.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"
#include "job/names.h"
#include "observe/series.h"

#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_MS = 5000,
    MOST_METRICS = 2 * MH_MOST_SERIES /* of a page: more than can be known, and new */
};
static char process_began[] = "process_start_time_seconds", process_cpu_s[] = "process_cpu_seconds_total";

struct target {
    struct mh_scraper *scraper;
    CURL *easy;
    const char *url;
    char source[MH_PAGE_NAME];
    struct mh_prometheus reader;
    struct mh_page_process process;
    struct mh_metric_sample *metrics; /* of the page that comes in: once it is whole they count */
    int64_t count, room;
    int64_t found; /* lines with what is wanted */
    int64_t fresh; /* metrics, of those that came in, that no page had before */
    char cause[CURL_ERROR_SIZE];
    bool asked, warned, no_memory;
};

struct mh_scraper {
    CURLM *multi;
    struct target *targets;
    size_t count;
    struct mh_scrape_hooks hooks;
    const struct mh_texts *gauges;
    const char **read; /* of pages: the gauges, and what tells processes apart */
};

/* ---- one page ---- */

static void keep_metric(void *of, const char *name, double value)
{
    struct target *target = of;
    const struct mh_texts *gauges = target->scraper->gauges;
    const struct mh_scrape_hooks *hooks = &target->scraper->hooks;
    if (strcmp(name, process_began) == 0)
        target->process.began = value;
    else if (strcmp(name, process_cpu_s) == 0)
        target->process.cpu_s = value;
    if (!mh_metric_is_wanted(name, (const char *const *)gauges->items, gauges->count))
        return;
    const enum mh_metric_use use = hooks->use(hooks->context, target->source, name);
    target->found++;
    target->fresh += use == MH_METRIC_NEW;
    if (use == MH_METRIC_USELESS || (use == MH_METRIC_NEW && target->fresh > MH_MOST_SERIES) ||
        target->count == MOST_METRICS)
        return;
    target->no_memory |= !mh_grow(&target->metrics, &target->room, target->count, sizeof *target->metrics);
    if (target->no_memory)
        return;
    struct mh_metric_sample *metric = &target->metrics[target->count++];
    metric->value = value;
    snprintf(metric->name, sizeof metric->name, "%s", name);
}

static void begin_page(struct target *target)
{
    const struct mh_scraper *scraper = target->scraper;
    target->process = (struct mh_page_process){NAN, NAN};
    target->count = target->found = target->fresh = 0;
    target->cause[0] = '\0';
    target->no_memory = false;
    mh_prometheus_begin(&target->reader, scraper->read, scraper->gauges->count + 2, keep_metric, target);
}

static size_t take(char *bytes, size_t size, size_t count, void *of)
{
    struct target *target = of;
    mh_prometheus_take(&target->reader, bytes, size * count);
    return target->no_memory ? 0 : size * count;
}

static void forget_page(struct target *target)
{
    free(target->metrics);
    target->metrics = NULL;
    target->count = target->room = 0;
}

static void hand_on(struct target *target)
{
    const struct mh_scraper *scraper = target->scraper;
    mh_prometheus_end(&target->reader);
    scraper->hooks.page(scraper->hooks.context, (int)(target - scraper->targets), target->source,
                        &target->process, target->metrics, target->count);
}

static void complain(struct target *target, const char *cause)
{
    if (!target->warned)
        mh_warn("observe: %s: %s; its gauges are missing for as long", target->url, cause);
    target->warned = true;
}

static void finish(struct target *target, CURLcode code)
{
    char cause[CURL_ERROR_SIZE + 32];
    long status = 0;
    curl_easy_getinfo(target->easy, CURLINFO_RESPONSE_CODE, &status);
    target->asked = false;
    if (target->no_memory) {
        complain(target, "out of memory");
    } else if (code != CURLE_OK) {
        complain(target, target->cause[0] ? target->cause : curl_easy_strerror(code));
    } else if (status != 200) {
        snprintf(cause, sizeof cause, "HTTP status %ld", status);
        complain(target, cause);
    } else {
        hand_on(target);
        if (target->found == 0)
            complain(target, "the page has none of observe.gauges");
    }
    forget_page(target);
}

/* ---- all of them ---- */

static int open_target(struct mh_scraper *scraper, struct target *target, const char *url)
{
    *target = (struct target){.scraper = scraper, .easy = curl_easy_init(), .url = url};
    if (!target->easy)
        return -1;
    mh_page_name(url, target->source);
    curl_easy_setopt(target->easy, CURLOPT_URL, url);
    curl_easy_setopt(target->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(target->easy, CURLOPT_PROXY, ""); /* as the calls, whatever the environment says */
    curl_easy_setopt(target->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(target->easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(target->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(target->easy, CURLOPT_WRITEDATA, target);
    curl_easy_setopt(target->easy, CURLOPT_ERRORBUFFER, target->cause);
    curl_easy_setopt(target->easy, CURLOPT_PRIVATE, target);
    return 0;
}

static const char **list_what_is_read(const struct mh_texts *gauges)
{
    const char **read = calloc(gauges->count + 2, sizeof *read);
    for (size_t i = 0; read && i < gauges->count; i++)
        read[i] = gauges->items[i];
    if (read) {
        read[gauges->count] = process_began;
        read[gauges->count + 1] = process_cpu_s;
    }
    return read;
}

struct mh_scraper *mh_scraper_open(const struct mh_observe_options *options,
                                   const struct mh_scrape_hooks *hooks)
{
    struct mh_scraper *scraper = calloc(1, sizeof *scraper);
    if (!scraper)
        return NULL;
    scraper->gauges = &options->gauges;
    scraper->read = list_what_is_read(&options->gauges);
    scraper->hooks = *hooks;
    scraper->targets = calloc(options->metrics.count + 1, sizeof *scraper->targets);
    scraper->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    bool made = scraper->targets && scraper->multi && scraper->read;
    while (made && scraper->count < options->metrics.count) {
        made = open_target(scraper, &scraper->targets[scraper->count],
                           options->metrics.items[scraper->count]) == 0;
        scraper->count += made;
    }
    if (made)
        return scraper;
    mh_scraper_close(scraper);
    return NULL;
}

void mh_scraper_close(struct mh_scraper *scraper)
{
    if (!scraper)
        return;
    for (size_t i = 0; i < scraper->count; i++) {
        if (scraper->targets[i].asked)
            curl_multi_remove_handle(scraper->multi, scraper->targets[i].easy);
        curl_easy_cleanup(scraper->targets[i].easy);
        forget_page(&scraper->targets[i]);
    }
    curl_multi_cleanup(scraper->multi);
    curl_global_cleanup();
    free(scraper->read);
    free(scraper->targets);
    free(scraper);
}

void mh_scraper_ask(struct mh_scraper *scraper)
{
    for (size_t i = 0; i < scraper->count; i++) {
        struct target *target = &scraper->targets[i];
        if (target->asked)
            continue;
        begin_page(target);
        target->asked = curl_multi_add_handle(scraper->multi, target->easy) == CURLM_OK;
    }
}

static void take_finished(struct mh_scraper *scraper)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(scraper->multi, &left));) {
        struct target *target;
        const CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &target);
        curl_multi_remove_handle(scraper->multi, target->easy);
        finish(target, code);
    }
}

void mh_scraper_wait(struct mh_scraper *scraper, int64_t ns)
{
    int running;
    curl_multi_perform(scraper->multi, &running);
    take_finished(scraper);
    curl_multi_poll(scraper->multi, NULL, 0, (int)((ns > 0 ? ns : 0) / MH_MS), NULL);
}

void mh_scraper_wake(struct mh_scraper *scraper)
{
    curl_multi_wakeup(scraper->multi);
}
