#include "measure/probe.h"

#include "base/grow.h"

#include <stddef.h>
#include <stdlib.h>

const char *const mh_peak_outcome_names[MH_PEAK_OUTCOMES] = {"found",   "at least", "none",
                                                             "no time", "no work",  "broken off"};

int mh_probes_add(struct mh_probes *probes, const struct mh_probe *probe)
{
    if (!mh_grow(&probes->items, &probes->room, probes->count, sizeof *probes->items))
        return -1;
    probes->items[probes->count++] = *probe;
    return 0;
}

int mh_probes_add_peak(struct mh_probes *probes, const struct mh_peak *peak)
{
    if (!mh_grow(&probes->peaks, &probes->peak_room, probes->peak_count, sizeof *probes->peaks))
        return -1;
    probes->peaks[probes->peak_count++] = *peak;
    return 0;
}

void mh_probes_free(struct mh_probes *probes)
{
    free(probes->items);
    free(probes->peaks);
    *probes = (struct mh_probes){0};
}

const struct mh_probe *mh_probes_last(const struct mh_probes *probes, int stage)
{
    const struct mh_probe *last = NULL;
    for (int64_t i = 0; i < probes->count; i++)
        if (probes->items[i].stage == stage)
            last = &probes->items[i];
    return last;
}
