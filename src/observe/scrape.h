/* Pages of Prometheus' text format, fetched without waiting: many at a time, each with an end. */
#ifndef MH_OBSERVE_SCRAPE_H
#define MH_OBSERVE_SCRAPE_H

#include "job/job.h"
#include "observe/prometheus.h"

#include <stdbool.h>

struct mh_scraper;

/* A page was read: `visit` has had its samples, `source` is "host:port". */
struct mh_scrape_hooks {
    void (*begin)(void *context, int target, const char *source);
    mh_metric_visitor *sample;
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
