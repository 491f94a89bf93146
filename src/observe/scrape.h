/* Pages of Prometheus' text format, fetched without waiting: many at a time, each of any size, and each with
 * an end: it must be there 5 s after it was asked for. */
#ifndef MH_OBSERVE_SCRAPE_H
#define MH_OBSERVE_SCRAPE_H

#include "job/job.h"
#include "observe/prometheus.h"

#include <stdbool.h>
#include <stdint.h>

struct mh_scraper;

struct mh_metric_sample {
    char name[MH_METRIC_NAME];
    double value;
};

enum mh_metric_use { MH_METRIC_USELESS, MH_METRIC_NEW, MH_METRIC_KNOWN };

/* What tells a process from the one before: of each page, whatever observe.gauges want. NaN: not said. */
struct mh_page_process {
    double began; /* process_start_time_seconds */
    double cpu_s; /* process_cpu_seconds_total */
};

/* `source` is the page's name (job/names.h). */
struct mh_scrape_hooks {
    /* Of what use is what a page has, and observe.gauges want? */
    enum mh_metric_use (*use)(void *context, const char *source, const char *name);
    /* A page was read to its end: what it has of use, in its order. Of one that fails nothing is handed on.
     */
    void (*page)(void *context, int target, const char *source, const struct mh_page_process *process,
                 const struct mh_metric_sample *metrics, int64_t count);
    void *context;
};

/* NULL: no memory, or curl will not start. `options` must live as long. */
struct mh_scraper *mh_scraper_open(const struct mh_observe_options *options,
                                   const struct mh_scrape_hooks *hooks);
void mh_scraper_close(struct mh_scraper *scraper); /* NULL is allowed */

void mh_scraper_ask(struct mh_scraper *scraper); /* for all pages, but those that are still awaited */

/* Takes what comes in, until `ns` have passed or mh_scraper_wake says so. A page that cannot be had, or holds
 * nothing that is wanted, is complained of once. */
void mh_scraper_wait(struct mh_scraper *scraper, int64_t ns);
void mh_scraper_wake(struct mh_scraper *scraper); /* from another thread */

#endif
