#include "observe/samples.h"

#include "base/grow.h"
#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LINE = 4096 };

void mh_samples_free(struct mh_samples *samples)
{
    mh_series_free(&samples->server);
    mh_series_free(&samples->own);
    free(samples->restarts);
    *samples = (struct mh_samples){0};
}

bool mh_samples_add_restart(struct mh_samples *samples, const struct mh_restart *restart)
{
    if (samples->restart_count == MH_MOST_RESTARTS ||
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

static void put_line(struct mh_sample_log *log, json_t *line)
{
    if (log->file && line &&
        (json_dumpf(line, log->file, JSON_COMPACT) != 0 || fputc('\n', log->file) == EOF))
        give_up(log);
    json_decref(line);
}

void mh_sample_log_open(struct mh_sample_log *log, const char *path, const struct mh_sample_head *head)
{
    *log = (struct mh_sample_log){.path = path};
    if (!path[0])
        return;
    log->file = fopen(path, "wxe");
    if (log->file)
        put_line(log, json_pack("{s:s, s:i, s:i, s:I}", "of", "run", "rank", head->rank, "np", head->np,
                                "run", (json_int_t)head->run));
    else
        give_up(log);
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

/* 0: there is one; 1: there is no more; -1: it cannot be read, and a warning says so. */
static int read_line(FILE *file, const char *path, char text[MOST_LINE])
{
    if (fgets(text, MOST_LINE, file))
        return 0;
    if (ferror(file))
        mh_warn("%s: %s; it, or the rest of it, is left out", path, strerror(errno));
    return ferror(file) ? -1 : 1;
}

static bool is_of(const char *text, const struct mh_sample_head *wanted)
{
    struct mh_sample_head head = {0};
    json_int_t run = -1;
    const char *of = "";
    json_t *line = json_loads(text, 0, NULL);
    const bool taken = json_unpack(line, "{s:s, s:i, s:i, s:I}", "of", &of, "rank", &head.rank, "np",
                                   &head.np, "run", &run) == 0 &&
                       strcmp(of, "run") == 0 && head.rank == wanted->rank && head.np == wanted->np &&
                       run == (json_int_t)wanted->run;
    json_decref(line);
    return taken;
}

static bool is_line(const char *text)
{
    json_t *line = json_loads(text, 0, NULL);
    json_decref(line);
    return line != NULL;
}

int64_t mh_sample_log_bytes(const char *path, const struct mh_sample_head *head)
{
    char text[MOST_LINE];
    int64_t bytes = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    if (read_line(file, path, text) != 0 || !is_of(text, head)) {
        mh_warn("%s: does not begin as the samples of rank %d of %d of run %08x do; it is left out", path,
                head->rank, head->np, head->run);
        bytes = -1;
    }
    while (bytes >= 0 && read_line(file, path, text) == 0 && is_line(text))
        bytes = ftell(file);
    fclose(file);
    return bytes;
}

static bool take_restart(struct mh_samples *samples, json_t *line)
{
    struct mh_restart restart = {0};
    const char *what;
    if (json_unpack(line, "{s:F, s:s}", "second", &restart.second, "what", &what) != 0 || restart.second < 0)
        return false;
    snprintf(restart.what, sizeof restart.what, "%s", what);
    return mh_samples_add_restart(samples, &restart);
}

static bool take_sample(struct mh_series_list *list, json_t *line)
{
    const char *source, *name;
    struct mh_sample sample;
    json_int_t stride, life;
    if (json_unpack(line, "{s:s, s:s, s:F, s:F, s:I, s:I}", "source", &source, "name", &name, "second",
                    &sample.second, "value", &sample.value, "life", &life, "stride", &stride) != 0 ||
        sample.second < 0 || life < 1 || life > INT32_MAX)
        return false;
    sample.life = (int32_t)life;
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

void mh_samples_read(struct mh_samples *samples, const char *path)
{
    char text[MOST_LINE];
    FILE *file = fopen(path, "re");
    if (!file) {
        mh_warn("%s: %s", path, strerror(errno));
        return;
    }
    bool taken = true;
    for (long number = 1; taken && read_line(file, path, text) == 0; number++) {
        taken = number == 1 || take_line(samples, text); /* the first says whose it is */
        if (!taken && fgetc(file) != EOF)
            mh_warn("%s: line %ld is no sample; it and what follows is left out", path, number);
    }
    fclose(file);
}
