/* The rules by which one row is judged, and the book of those found wrong. */
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

static size_t place(const struct mh_audit *audit, int kind, int64_t id)
{
    size_t at = mh_random(0, (uint64_t)kind, (uint64_t)id) & (audit->index_room - 1);
    for (;; at = (at + 1) & (audit->index_room - 1)) {
        int64_t number = audit->index[at] - 1;
        if (number < 0 || (audit->violations[number].id == id && audit->violations[number].kind == kind))
            return at;
    }
}

static bool make_room(struct mh_audit *audit)
{
    if (audit->violation_count < audit->violation_room)
        return true;
    int64_t room = audit->violation_room ? 2 * audit->violation_room : 64;
    struct mh_violation *grown = realloc(audit->violations, (size_t)room * sizeof *grown);
    int64_t *index = calloc(2 * (size_t)room, sizeof *index);
    if (grown)
        audit->violations = grown;
    if (!grown || !index) {
        free(index);
        return false;
    }
    free(audit->index);
    audit->index = index;
    audit->violation_room = room;
    audit->index_room = 2 * (size_t)room;
    for (int64_t i = 0; i < audit->violation_count; i++)
        index[place(audit, grown[i].kind, grown[i].id)] = i + 1;
    return true;
}

static void see_again(struct mh_violation *before, const struct mh_violation *now)
{
    before->last_seen_ns = now->last_seen_ns;
    before->last_pass = now->last_pass;
    before->seen_version = now->seen_version;
}

void mh_audit_condemn(struct mh_audit *audit, const struct mh_violation *violation)
{
    bool room = make_room(audit);
    int64_t *entry = audit->index ? &audit->index[place(audit, violation->kind, violation->id)] : NULL;
    if (entry && *entry) {
        see_again(&audit->violations[*entry - 1], violation);
        return;
    }
    audit->figures.wrong[violation->kind]++;
    if (!room || audit->violation_count == MH_VIOLATIONS_KEPT) {
        audit->violations_dropped++;
        return;
    }
    audit->violations[audit->violation_count++] = *violation;
    *entry = audit->violation_count;
}

bool mh_audit_condemned(const struct mh_audit *audit, int kind, int64_t id)
{
    return audit->index && audit->index[place(audit, kind, id)] != 0;
}

bool mh_audit_accused(const struct mh_audit *audit, int64_t id)
{
    for (int kind = 0; kind < MH_WRONGS; kind++)
        if (kind != MH_LATE && mh_audit_condemned(audit, kind, id))
            return true;
    return false;
}

int64_t mh_audit_violations(const struct mh_audit_figures *figures)
{
    int64_t sum = 0;
    for (int kind = 0; kind < MH_WRONGS; kind++)
        sum += kind == MH_LATE ? 0 : figures->wrong[kind];
    return sum;
}
