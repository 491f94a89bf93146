/* Samples on disk while a run lasts: a line of JSON for each that its series keeps, so that of a run that is
 * killed they remain; and as series do, the file grows with the logarithm of time. */
#ifndef MH_OBSERVE_SAMPLES_H
#define MH_OBSERVE_SAMPLES_H

#include "base/error.h"
#include "observe/series.h"

#include <stdio.h>

/* A source began a new life. */
struct mh_restart {
    double second; /* since the run began */
    char what[160];
};

enum { MH_MOST_RESTARTS = 1000 };

/* What an observer sees. */
struct mh_samples {
    struct mh_series_list server, own; /* own: the rank's; its source is "" */
    struct mh_restart *restarts;
    int64_t restart_count, restart_room;
};

void mh_samples_free(struct mh_samples *samples);

/* False: no memory, or they are too many. */
bool mh_samples_add_restart(struct mh_samples *samples, const struct mh_restart *restart);

/* The first line of a log: whose it is. */
struct mh_sample_head {
    int rank, np;
    uint32_t run; /* as in the rank's journal */
};

struct mh_sample_log {
    FILE *file; /* NULL: none is kept */
    const char *path;
};

void mh_sample_log_path(char *path, size_t size, const char *dir, int rank); /* DIR/rank-00007.samples */

/* path: valid until the close; "": none. A log that cannot be made or written warns once; the run goes on. */
void mh_sample_log_open(struct mh_sample_log *log, const char *path, const struct mh_sample_head *head);
/* The newest of the series; own: of the rank's, not the server's. */
void mh_sample_log_put(struct mh_sample_log *log, bool own, const struct mh_series *series);
void mh_sample_log_restart(struct mh_sample_log *log, const struct mh_restart *restart);
void mh_sample_log_flush(struct mh_sample_log *log);
void mh_sample_log_close(struct mh_sample_log *log);

/* Of a log, up to the last line that can be read; -1: it is not there, or is another rank's or run's, or
 * does not say whose it is, and a warning says so. */
int64_t mh_sample_log_bytes(const char *path, const struct mh_sample_head *head);

/* Adds what a log holds. A line that makes no sense ends it, with a warning unless it is the last: the rank
 * was killed in mid-write. */
void mh_samples_read(struct mh_samples *samples, const char *path);

#endif
