#include "measure/event.h"

#include "base/grow.h"

#include <stdlib.h>

const char *const mh_event_names[MH_EVENT_KINDS] = {[MH_EVENT_CHAOS] = "chaos",
                                                    [MH_EVENT_OUTAGE] = "outage",
                                                    [MH_EVENT_PROXY] = "proxy",
                                                    [MH_EVENT_RESTART] = "restart",
                                                    [MH_EVENT_CLOCKS] = "clocks"};

int mh_events_add(struct mh_events *events, const struct mh_event *event)
{
    if (!mh_grow(&events->items, &events->room, events->count, sizeof *events->items))
        return -1;
    events->items[events->count++] = *event;
    return 0;
}

static int by_time(const void *a, const void *b)
{
    const struct mh_event *x = a, *y = b;
    return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

void mh_events_sort(struct mh_events *events)
{
    if (events->count > 0)
        qsort(events->items, (size_t)events->count, sizeof *events->items, by_time);
}

void mh_events_free(struct mh_events *events)
{
    free(events->items);
    *events = (struct mh_events){0};
}
