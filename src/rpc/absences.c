#include "rpc/absences.h"

/* The newest of that URI, of so many; NULL: it has none. */
static struct mh_absence *newest_of(struct mh_absences *absences, int uri, size_t *count)
{
    struct mh_absence *newest = NULL;
    *count = 0;
    for (size_t i = 0; i < absences->count; i++) {
        if (absences->items[i].uri != uri)
            continue;
        newest = &absences->items[i];
        ++*count;
    }
    return newest;
}

/* The one that lasts, or a new one; where there is no room for that, the newest lasts on. NULL: it has none.
 */
static struct mh_absence *absence_at(struct mh_absences *absences, size_t uris, int uri, bool silent,
                                     int64_t now_ns)
{
    size_t count;
    struct mh_absence *newest = newest_of(absences, uri, &count);
    if (newest && newest->back_ns == 0)
        return newest;
    if (newest && count >= MH_MOST_ABSENCES / uris) {
        newest->unlisted++;
        newest->silent &= silent;
        newest->back_ns = 0;
        return newest;
    }
    if (absences->count == MH_MOST_ABSENCES)
        return NULL;
    newest = &absences->items[absences->count++];
    *newest = (struct mh_absence){.from_ns = now_ns, .uri = uri, .silent = silent};
    return newest;
}

void mh_absences_leave(struct mh_absences *absences, size_t uris, int uri, bool silent, int64_t now_ns)
{
    struct mh_absence *absence = absence_at(absences, uris, uri, silent, now_ns);
    if (absence)
        absence->moved++;
}

void mh_absences_return(struct mh_absences *absences, int uri, int64_t now_ns)
{
    size_t count;
    struct mh_absence *newest = newest_of(absences, uri, &count);
    if (newest && newest->back_ns == 0)
        newest->back_ns = now_ns;
}
