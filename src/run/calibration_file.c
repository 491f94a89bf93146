#include "run/calibration_file.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_AGE_NS (7LL * 24 * 3600 * MH_S)
enum { MOST_ENTRIES = 256 };

/* Whose figures these are: a program, a host, a number of ranks. */
struct subject {
    char host[64];
    int ranks_of_node, ranks;
};

static void who(struct subject *subject, int ranks_of_node, int ranks)
{
    *subject = (struct subject){.ranks_of_node = ranks_of_node, .ranks = ranks};
    gethostname(subject->host, sizeof subject->host - 1);
}

static int file_path(char path[PATH_MAX])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool own = cache && cache[0] == '/';
    if (!own && (!home || !home[0]))
        return -1;
    snprintf(path, PATH_MAX, "%.3800s%s/milvus-hpc/calibration.json", own ? cache : home,
             own ? "" : "/.cache");
    return 0;
}

static json_t *read_entries(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);
    json_t *entries = json_is_array(root) ? json_incref(root) : json_array(); /* damaged: begin anew */
    json_decref(root);
    return entries;
}

static bool is_fresh(const json_t *entry, int64_t now_ns)
{
    const int64_t age = now_ns - json_integer_value(json_object_get(entry, "measured_wall_ns"));
    return age >= 0 && age < MOST_AGE_NS;
}

static bool is_text(const json_t *entry, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(entry, key));
    return text && strcmp(text, value) == 0;
}

static int64_t number(const json_t *entry, const char *key)
{
    return json_integer_value(json_object_get(entry, key));
}

static bool is_of(const json_t *entry, const struct subject *subject, const struct mh_shape *shape)
{
    const struct mh_shape there = {.kinds = number(entry, "kinds"),
                                   .rows = number(entry, "rows"),
                                   .request_bytes = number(entry, "request_bytes")};
    return is_text(entry, "program_version", MH_VERSION) && is_text(entry, "host", subject->host) &&
           number(entry, "ranks_of_node") == subject->ranks_of_node &&
           number(entry, "ranks") == subject->ranks && mh_shapes_alike(shape, &there);
}

static const json_t *find(const json_t *entries, const struct subject *subject, const struct mh_shape *shape)
{
    const int64_t now = mh_wall_ns();
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        if (is_fresh(entry, now) && is_of(entry, subject, shape) &&
            json_real_value(json_object_get(entry, "calls_per_s")) > 0)
            return entry;
    }
    return NULL;
}

static bool take_all(struct mh_calibration *calibration, const json_t *entries, const struct subject *subject)
{
    int64_t oldest = INT64_MAX;
    char utc[24];
    for (int i = 0; i < calibration->count; i++) {
        struct mh_shape *shape = &calibration->shapes[i];
        const json_t *entry = find(entries, subject, shape);
        if (!entry)
            return false;
        shape->calls_per_s = json_real_value(json_object_get(entry, "calls_per_s"));
        shape->cpu_ns = json_real_value(json_object_get(entry, "cpu_ns"));
        const int64_t measured = number(entry, "measured_wall_ns");
        oldest = measured < oldest ? measured : oldest;
    }
    mh_utc_text(oldest, utc);
    snprintf(calibration->source, sizeof calibration->source, "reused: measured %s", utc);
    return true;
}

bool mh_calibration_load(struct mh_calibration *calibration, int ranks_of_node, int ranks)
{
    char path[PATH_MAX];
    struct subject subject;
    if (file_path(path) != 0)
        return false;
    who(&subject, ranks_of_node, ranks);
    json_t *entries = read_entries(path);
    const bool all = take_all(calibration, entries, &subject);
    json_decref(entries);
    return all;
}

/* ---- saving ---- */

static bool is_replaced(const json_t *entry, const struct subject *subject,
                        const struct mh_calibration *calibration)
{
    for (int i = 0; i < calibration->count; i++)
        if (is_of(entry, subject, &calibration->shapes[i]))
            return true;
    return !is_fresh(entry, mh_wall_ns());
}

static void put_shapes(json_t *entries, const struct subject *subject,
                       const struct mh_calibration *calibration)
{
    const json_int_t now = mh_wall_ns();
    for (int i = 0; i < calibration->count; i++) {
        const struct mh_shape *shape = &calibration->shapes[i];
        if (shape->calls_per_s <= 0)
            continue;
        json_array_append_new(
            entries,
            json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:f, s:f, s:I}", "program_version", MH_VERSION,
                      "host", subject->host, "ranks_of_node", subject->ranks_of_node, "ranks", subject->ranks,
                      "kinds", (json_int_t)shape->kinds, "rows", (json_int_t)shape->rows, "request_bytes",
                      (json_int_t)shape->request_bytes, "calls_per_s", shape->calls_per_s, "cpu_ns",
                      shape->cpu_ns, "measured_wall_ns", now));
    }
}

static int make_folders(const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

/* A reader never sees half of it. */
static int write_entries(const json_t *entries, const char *path)
{
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%.3900s.tmp-%ld", path, (long)getpid());
    if (make_folders(path) == 0 && json_dump_file(entries, temporary, JSON_INDENT(1)) == 0 &&
        rename(temporary, path) == 0)
        return 0;
    const int cause = errno;
    unlink(temporary);
    errno = cause;
    return -1;
}

void mh_calibration_save(const struct mh_calibration *calibration, int ranks_of_node, int ranks)
{
    char path[PATH_MAX];
    struct subject subject;
    if (file_path(path) != 0)
        return;
    who(&subject, ranks_of_node, ranks);
    json_t *entries = read_entries(path);
    for (size_t i = json_array_size(entries); i-- > 0;)
        if (is_replaced(json_array_get(entries, i), &subject, calibration))
            json_array_remove(entries, i);
    while (json_array_size(entries) > MOST_ENTRIES)
        json_array_remove(entries, 0);
    put_shapes(entries, &subject, calibration);
    if (write_entries(entries, path) != 0)
        mh_note("%s: cannot be written (%s): the next run measures again", path, strerror(errno));
    json_decref(entries);
}
