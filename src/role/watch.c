#include "role/watch.h"

#include "base/clock.h"

void mh_watch_begin(struct mh_watch *watch, const struct mh_watch_rules *rules, const struct mh_op *op,
                    int64_t id, int32_t expected)
{
    *watch = (struct mh_watch){.rules = *rules,
                               .stamped = op->reply.timestamp != 0,
                               .sighting = {.write = op->request.kind,
                                            .consistency = rules->consistency,
                                            .id = id,
                                            .expected = expected,
                                            .acked_ns = op->done_ns}};
}

static int64_t bound(const struct mh_watch *watch)
{
    return watch->rules.bound_ns + MH_BOUND_SLACK_MS * MH_MS;
}

/* Had a read that was sent then to show the write? */
static bool is_due(const struct mh_watch *watch, int64_t sent_ns)
{
    switch (watch->rules.consistency) {
    case MH_STRONG:
        return true;
    case MH_SESSION:
        return watch->stamped;
    case MH_BOUNDED:
        return sent_ns - watch->sighting.acked_ns > bound(watch);
    default:
        return false;
    }
}

static bool is_given_up(const struct mh_watch *watch, int64_t now_ns)
{
    int64_t longest = watch->rules.grace_ns;
    if (watch->rules.consistency == MH_BOUNDED && longest < bound(watch))
        longest = bound(watch);
    return now_ns - watch->sighting.acked_ns > longest;
}

void mh_watch_look(struct mh_watch *watch, const struct mh_op *op, int32_t seen)
{
    struct mh_sighting *sighting = &watch->sighting;
    const bool right = seen == sighting->expected;
    sighting->read = op->request.kind;
    sighting->seen = seen;
    sighting->sent_ns = op->sent_ns;
    sighting->done_ns = op->done_ns;
    sighting->what = 0;
    if (watch->seen) {
        sighting->what |= right ? 0 : MH_SIGHT_BACK;
        watch->over = true;
    } else if (right) {
        sighting->what |= MH_SIGHT_FIRST;
        watch->seen = true;
    } else {
        if (!sighting->told && is_due(watch, op->sent_ns)) {
            sighting->what |= MH_SIGHT_UNREAD;
            sighting->told = true;
        }
        if (is_given_up(watch, op->sent_ns)) {
            sighting->what |= MH_SIGHT_NEVER;
            watch->over = true;
        }
    }
}

void mh_watch_miss(struct mh_watch *watch, const struct mh_op *op)
{
    watch->over = is_given_up(watch, op->sent_ns);
}
