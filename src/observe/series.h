/* Figures over time, in bounded memory: a series that is full forgets every other sample, and takes every
 * other one from then on. */
#ifndef MH_OBSERVE_SERIES_H
#define MH_OBSERVE_SERIES_H

#include <stdbool.h>
#include <stdint.h>

/* Of a port whose process another port stands for: the number of that. */
#define MH_SHARED_PROCESS "process_of_port"

enum { MH_MOST_SAMPLES = 1024 /* a series */, MH_MOST_SERIES = 256 };

struct mh_sample {
    double second; /* since the run began */
    double value;
    int32_t life; /* of its source, from 1: the next one after each restart */
};

struct mh_series {
    char source[64]; /* "127.0.0.1:9091" */
    char name[160];  /* "process_open_fds", "milvus_proxy_req_count{...}" */
    char unit[16];
    struct mh_sample *samples;
    int64_t count;
    int64_t seen, stride; /* offered so far; one of how many is kept */
};

struct mh_series_list { /* zero-initialised is empty */
    struct mh_series *items;
    int64_t count, room;
    int64_t refused; /* samples of series beyond MH_MOST_SERIES, with names too long, or without memory */
};

/* What the end of a name says of its unit, as Prometheus' conventions have it; "": nothing. */
const char *mh_unit_of_name(const char *name);

/* Has it room for these names, whole? What is longer is refused: cut off, two would be one. */
bool mh_series_fits(const char *source, const char *name);

bool mh_series_has(const struct mh_series_list *list, const char *source, const char *name);

/* False: refused. *kept_in: its series, or NULL where this sample is passed over. */
bool mh_series_add(struct mh_series_list *list, const char *source, const char *name, struct mh_sample sample,
                   const struct mh_series **kept_in);

/* One that was kept, with its series' stride at that time: given all of them in order, the series is again
 * what it was. False: refused. */
bool mh_series_restore(struct mh_series_list *list, const char *source, const char *name,
                       struct mh_sample sample, int64_t stride);

void mh_series_coarsen(struct mh_series *series, int64_t most); /* until it has no more samples */
void mh_series_free(struct mh_series_list *list);

#endif
