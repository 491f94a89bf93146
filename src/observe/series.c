#include "observe/series.h"

#include "base/grow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_STRIDE (INT64_C(1) << 40)

static size_t base_length(const char *name)
{
    return strcspn(name, "{");
}

static bool ends_in(const char *name, const char *end)
{
    const size_t length = base_length(name), tail = strlen(end);
    return length >= tail && strncmp(name + length - tail, end, tail) == 0;
}

const char *mh_unit_of_name(const char *name)
{
    static const struct {
        const char *end, *unit;
    } units[] = {{"_bytes", "bytes"},
                 {"_bytes_total", "bytes"},
                 {"_seconds", "s"},
                 {"_seconds_total", "s"},
                 {"_s", "s"},
                 {"_ms", "ms"},
                 {"_usage_percent", "%"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ends_in(name, units[i].end))
            return units[i].unit;
    return "";
}

bool mh_series_fits(const char *source, const char *name)
{
    static const struct mh_series *one;
    return strlen(source) < sizeof one->source && strlen(name) < sizeof one->name;
}

static struct mh_series *find(const struct mh_series_list *list, const char *source, const char *name)
{
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0 && strcmp(list->items[i].source, source) == 0)
            return &list->items[i];
    return NULL;
}

/* All of the pages, now: a rank must not grow with each sample. */
static struct mh_sample *make_samples(void)
{
    struct mh_sample *samples = malloc(MH_MOST_SAMPLES * sizeof *samples);
    if (samples)
        explicit_bzero(samples, MH_MOST_SAMPLES * sizeof *samples);
    return samples;
}

static struct mh_series *open_one(struct mh_series_list *list, const char *source, const char *name)
{
    if (list->count == MH_MOST_SERIES || !mh_series_fits(source, name) ||
        !mh_grow(&list->items, &list->room, list->count, sizeof *list->items))
        return NULL;
    struct mh_series *series = &list->items[list->count];
    *series = (struct mh_series){.stride = 1, .samples = make_samples()};
    if (!series->samples)
        return NULL;
    snprintf(series->source, sizeof series->source, "%s", source);
    snprintf(series->name, sizeof series->name, "%s", name);
    snprintf(series->unit, sizeof series->unit, "%s", mh_unit_of_name(name));
    list->count++;
    return series;
}

static void halve(struct mh_series *series)
{
    for (int64_t i = 0; 2 * i < series->count; i++)
        series->samples[i] = series->samples[2 * i];
    series->count = (series->count + 1) / 2;
    series->stride *= 2;
}

static struct mh_series *of_name(struct mh_series_list *list, const char *source, const char *name)
{
    struct mh_series *series = find(list, source, name);
    if (!series)
        series = open_one(list, source, name);
    list->refused += !series;
    return series;
}

bool mh_series_has(const struct mh_series_list *list, const char *source, const char *name)
{
    return find(list, source, name) != NULL;
}

bool mh_series_add(struct mh_series_list *list, const char *source, const char *name, struct mh_sample sample,
                   const struct mh_series **kept_in)
{
    struct mh_series *series = of_name(list, source, name);
    *kept_in = NULL;
    if (!series)
        return false;
    if (series->seen++ % series->stride != 0)
        return true;
    if (series->count == MH_MOST_SAMPLES) {
        halve(series);
        if ((series->seen - 1) % series->stride != 0)
            return true;
    }
    series->samples[series->count++] = sample;
    *kept_in = series;
    return true;
}

bool mh_series_restore(struct mh_series_list *list, const char *source, const char *name,
                       struct mh_sample sample, int64_t stride)
{
    const bool fits =
        stride > 0 && stride <= MOST_STRIDE && (stride & (stride - 1)) == 0; /* it only doubles */
    struct mh_series *series = fits ? of_name(list, source, name) : NULL;
    while (series && series->stride < stride && series->count > 0)
        halve(series);
    if (!series || stride < series->stride || series->count == MH_MOST_SAMPLES ||
        (series->count > 0 && sample.second < series->samples[series->count - 1].second))
        return false;
    series->stride = stride;
    series->samples[series->count++] = sample;
    return true;
}

void mh_series_coarsen(struct mh_series *series, int64_t most)
{
    while (series->count > most && series->count > 1)
        halve(series);
}

void mh_series_free(struct mh_series_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        free(list->items[i].samples);
    free(list->items);
    *list = (struct mh_series_list){0};
}
