#include "observe/samples.h"

#include "base/grow.h"
#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RESTARTS = 1000, MOST_LINE = 4096 };

void mh_samples_free(struct mh_samples *samples)
{
    mh_series_free(&samples->server);
    mh_series_free(&samples->own);
    free(samples->restarts);
    *samples = (struct mh_samples){0};
}

bool mh_samples_add_restart(struct mh_samples *samples, const struct mh_restart *restart)
{
    if (samples->restart_count == MOST_RESTARTS ||
        !mh_grow(&samples->restarts, &samples->restart_room, samples->restart_count, sizeof *restart))
        return false;
    samples->restarts[samples->restart_count++] = *restart;
    return true;
}

/* ---- writing ---- */

static void give_up(struct mh_sample_log *log)
{
    mh_warn("observe: %s: %s; should the run be killed, what follows is not in what merge makes of it",
            log->path, strerror(errno));
    if (log->file)
        fclose(log->file);
    log->file = NULL;
}

void mh_sample_log_path(char *path, size_t size, const char *dir, int rank)
{
    snprintf(path, size, "%.4000s/rank-%05d.samples", dir, rank);
}

void mh_sample_log_open(struct mh_sample_log *log, const char *path)
{
    *log = (struct mh_sample_log){.path = path};
    if (!path[0])
        return;
    log->file = fopen(path, "wxe");
    if (!log->file)
        give_up(log);
}

static void put_line(struct mh_sample_log *log, json_t *line)
{
    if (log->file && line &&
        (json_dumpf(line, log->file, JSON_COMPACT) != 0 || fputc('\n', log->file) == EOF))
        give_up(log);
    json_decref(line);
}

void mh_sample_log_put(struct mh_sample_log *log, bool own, const struct mh_series *series)
{
    const struct mh_sample *sample = &series->samples[series->count - 1];
    if (log->file)
        put_line(log,
                 json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:I}", "of", own ? "rank" : "server", "source",
                           series->source, "name", series->name, "second", sample->second, "value",
                           sample->value, "life", (int)sample->life, "stride", (json_int_t)series->stride));
}

void mh_sample_log_restart(struct mh_sample_log *log, const struct mh_restart *restart)
{
    if (log->file)
        put_line(log, json_pack("{s:s, s:f, s:s}", "of", "restart", "second", restart->second, "what",
                                restart->what));
}

void mh_sample_log_flush(struct mh_sample_log *log)
{
    if (log->file && fflush(log->file) != 0)
        give_up(log);
}

void mh_sample_log_close(struct mh_sample_log *log)
{
    mh_sample_log_flush(log);
    if (log->file)
        fclose(log->file);
    log->file = NULL;
}

/* ---- reading ---- */

static bool take_restart(struct mh_samples *samples, json_t *line)
{
    struct mh_restart restart = {0};
    const char *what;
    if (json_unpack(line, "{s:F, s:s}", "second", &restart.second, "what", &what) != 0)
        return false;
    snprintf(restart.what, sizeof restart.what, "%s", what);
    return mh_samples_add_restart(samples, &restart);
}

static bool take_sample(struct mh_series_list *list, json_t *line)
{
    const char *source, *name;
    struct mh_sample sample;
    json_int_t stride;
    int life;
    if (json_unpack(line, "{s:s, s:s, s:F, s:F, s:i, s:I}", "source", &source, "name", &name, "second",
                    &sample.second, "value", &sample.value, "life", &life, "stride", &stride) != 0)
        return false;
    sample.life = life;
    return mh_series_restore(list, source, name, sample, stride);
}

static bool take_line(struct mh_samples *samples, const char *text)
{
    json_t *line = json_loads(text, 0, NULL);
    const char *of = json_string_value(json_object_get(line, "of"));
    bool taken = false;
    if (of && strcmp(of, "restart") == 0)
        taken = take_restart(samples, line);
    else if (of && (strcmp(of, "rank") == 0 || strcmp(of, "server") == 0))
        taken = take_sample(of[0] == 'r' ? &samples->own : &samples->server, line);
    json_decref(line);
    return taken;
}

int mh_samples_read(struct mh_samples *samples, const char *path)
{
    char text[MOST_LINE];
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    bool taken = true;
    for (long number = 1; taken && fgets(text, sizeof text, file); number++) {
        taken = take_line(samples, text);
        if (!taken && fgetc(file) != EOF)
            mh_warn("%s: line %ld is no sample; it and what follows is left out", path, number);
    }
    fclose(file);
    return 0;
}
