/* The rules by which one row is judged, and the book of those found wrong. */
#include "base/grow.h"
#include "base/random.h"
#include "truth/scan.h"

#include <stdlib.h>

int32_t mh_expected_version(enum mh_insert_fate insert, uint16_t fate)
{
    if (insert == MH_INSERT_NONE || insert == MH_INSERT_REFUSED || fate & MH_FATE_DELETED)
        return MH_VERSION_NONE;
    return fate & MH_FATE_VERSION;
}

static int judge_present(uint16_t fate, int32_t expected, int32_t seen)
{
    if (seen == expected || (seen == expected + 1 && fate & MH_FATE_UPSERT_UNKNOWN))
        return -1;
    if (seen == MH_VERSION_UNKNOWN)
        return MH_CORRUPTED;
    return seen < expected ? MH_STALE : MH_UNEXPECTED;
}

int mh_judge_row(enum mh_insert_fate insert, uint16_t fate, int32_t seen)
{
    const int32_t expected = mh_expected_version(insert, fate);
    const bool present = seen != MH_VERSION_NONE;
    if (expected == MH_VERSION_NONE) {
        if (!present)
            return -1;
        return fate & MH_FATE_DELETED ? MH_RESURRECTED : MH_UNEXPECTED;
    }
    if (present)
        return judge_present(fate, expected, seen);
    return insert == MH_INSERT_UNKNOWN || fate & MH_FATE_DELETE_UNKNOWN ? -1 : MH_LOST;
}

/* ---- the book: violations and a hash index over (kind, id) ---- */

static struct mh_audit_entry *place(const struct mh_audit *audit, int kind, int64_t id)
{
    size_t at = mh_random(0, (uint64_t)kind, (uint64_t)id) & (audit->index_room - 1);
    for (;; at = (at + 1) & (audit->index_room - 1)) {
        struct mh_audit_entry *entry = &audit->index[at];
        if (!entry->used || (entry->id == id && entry->kind == kind))
            return entry;
    }
}

/* At most half of the index is in use. */
static bool grow_index(struct mh_audit *audit)
{
    if (2 * (audit->index_used + 1) <= audit->index_room)
        return true;
    struct mh_audit before = *audit;
    audit->index_room = before.index_room ? 2 * before.index_room : 128;
    audit->index = calloc(audit->index_room, sizeof *audit->index);
    if (!audit->index) {
        audit->index = before.index;
        audit->index_room = before.index_room;
        return false;
    }
    for (size_t i = 0; i < before.index_room; i++)
        if (before.index[i].used)
            *place(audit, before.index[i].kind, before.index[i].id) = before.index[i];
    free(before.index);
    return true;
}

static int64_t most_kept(const struct mh_audit *audit)
{
    if (audit->most_kept > 0)
        return audit->most_kept;
    const int64_t share = MH_VIOLATIONS_KEPT_IN_ALL / (audit->plan ? audit->plan->np : 1);
    return share < MH_VIOLATIONS_KEPT ? share + 1 : MH_VIOLATIONS_KEPT;
}

static bool grow_violations(struct mh_audit *audit)
{
    return audit->violation_count < most_kept(audit) &&
           mh_grow(&audit->violations, &audit->violation_room, audit->violation_count,
                   sizeof *audit->violations);
}

static void see_again(struct mh_violation *before, const struct mh_violation *now)
{
    if (now->first_seen_ns < before->first_seen_ns)
        before->first_seen_ns = now->first_seen_ns;
    if (now->last_seen_ns < before->last_seen_ns)
        return;
    before->last_seen_ns = now->last_seen_ns;
    before->last_pass = now->last_pass;
    before->seen_version = now->seen_version;
}

/* What does not fit is counted; without memory for the index it is counted again in the next pass. */
void mh_audit_condemn(struct mh_audit *audit, const struct mh_violation *violation)
{
    const bool room = grow_index(audit);
    struct mh_audit_entry *entry = audit->index ? place(audit, violation->kind, violation->id) : NULL;
    if (entry && entry->used) {
        if (entry->number >= 0)
            see_again(&audit->violations[entry->number], violation);
        return;
    }
    audit->figures.wrong[violation->kind]++;
    const bool kept = room && grow_violations(audit);
    if (room && entry) {
        audit->index_used++;
        *entry = (struct mh_audit_entry){.id = violation->id,
                                         .kind = (int16_t)violation->kind,
                                         .used = true,
                                         .number = kept ? (int32_t)audit->violation_count : -1};
    }
    if (kept)
        audit->violations[audit->violation_count++] = *violation;
    else
        audit->violations_dropped++;
}

bool mh_audit_condemned(const struct mh_audit *audit, int kind, int64_t id)
{
    return audit->index && place(audit, kind, id)->used;
}

bool mh_audit_is_wrong(const struct mh_audit *audit, int64_t id)
{
    for (int kind = 0; kind < MH_WRONGS; kind++)
        if (mh_is_violation(kind) && mh_audit_condemned(audit, kind, id))
            return true;
    return false;
}

int64_t mh_audit_violations(const struct mh_audit_figures *figures)
{
    int64_t sum = 0;
    for (int kind = 0; kind < MH_WRONGS; kind++)
        sum += mh_is_violation(kind) ? figures->wrong[kind] : 0;
    return sum;
}
