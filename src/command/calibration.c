/* The verdict on ourselves: of each role of each stage, was the client the limit? */
#include "command/session.h"

#include "base/clock.h"
#include "comm/comm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a rank used of a core and what it waited for one, in thousandths, and its number: the largest names
 * the busiest rank. */
enum { RANK_BITS = 24, STARVED_BITS = 16 };

static int64_t pack(const struct mh_effort *effort, int rank)
{
    if (effort->active_ns <= 0)
        return 0;
    const int64_t cpu = 1000 * effort->cpu_ns / effort->active_ns,
                  starved = 1000 * effort->starved_ns / effort->active_ns;
    return (cpu + starved) << (RANK_BITS + STARVED_BITS) | starved << RANK_BITS | rank;
}

static void unpack(int64_t packed, struct mh_report_calibration *out)
{
    const int64_t starved = packed >> RANK_BITS & ((1 << STARVED_BITS) - 1);
    out->busiest_rank = (int32_t)(packed & ((1 << RANK_BITS) - 1));
    out->busiest_cpu = (double)((packed >> (RANK_BITS + STARVED_BITS)) - starved) / 1000;
    out->starved = (double)starved / 1000;
}

static size_t places_of(const struct mh_session *session)
{
    return session->job->stage_count * (size_t)session->run.tallies.roles;
}

/* All ranks then have the sums, and what sums do not tell. */
int mh_session_gather_efforts(struct mh_session *session, struct mh_error *err)
{
    const size_t places = places_of(session);
    struct mh_effort *efforts = session->run.efforts;
    session->longest = calloc(2 * places + 1, sizeof *session->longest);
    if (mh_comm_agree(session->comm, session->longest ? 0 : mh_fail(err, "out of memory"), err) != 0)
        return -1;
    for (size_t i = 0; i < places; i++) {
        session->longest[2 * i] = efforts[i].active_ns;
        session->longest[2 * i + 1] = pack(&efforts[i], session->rank);
    }
    mh_comm_max_i64(session->comm, session->longest, (int)(2 * places));
    for (size_t i = 0; i < places; i++)
        mh_comm_sum_i64(session->comm, (int64_t *)&efforts[i], MH_EFFORT_NUMBERS);
    return 0;
}

/* ---- facts ---- */

struct load {
    int64_t calls, p99_ns;
};

static struct load load_of(const struct mh_tallies *tallies, size_t place)
{
    struct load load = {.p99_ns = -1};
    for (size_t kind = 0; kind < MH_TALLY_KINDS; kind++) {
        const struct mh_tally *tally = tallies->cells[place * MH_TALLY_KINDS + kind];
        if (!tally)
            continue;
        load.calls += tally->ok + tally->failed + tally->unknown + tally->throttled;
        const int64_t p99 = tally->due.count > 0 ? mh_histogram_quantile(&tally->due, 0.99) : -1;
        load.p99_ns = p99 > load.p99_ns ? p99 : load.p99_ns;
    }
    return load;
}

static void measure(struct mh_report_calibration *out, const struct mh_session *session, size_t place,
                    const struct load *load)
{
    const struct mh_effort *effort = &session->run.efforts[place];
    const int64_t active_ns = session->longest[2 * place];
    out->ranks = (int32_t)effort->ranks;
    out->seconds = (double)active_ns / (double)MH_S;
    out->per_second = active_ns > 0 ? (double)load->calls / out->seconds : 0;
    out->ceiling_per_second =
        mh_calibration_ceiling(&session->calibration, out->stage_at, out->role_at, effort->ranks);
    out->share = out->per_second / out->ceiling_per_second;
    unpack(session->longest[2 * place + 1], out);
    out->cpu_s = (double)effort->cpu_ns / (double)MH_S;
    out->blocked = effort->paced_ns > 0 ? (double)effort->blocked_ns / (double)effort->paced_ns : NAN;
    out->lag_p99_ns = mh_effort_lag_p99(effort);
    snprintf(out->source, sizeof out->source, "%s",
             isnan(out->ceiling_per_second) && session->calibration.count > 0
                 ? "none: what this role sends is not calibrated"
                 : session->calibration.source);
}

static void judge(struct mh_report_calibration *out, const struct load *load)
{
    const struct mh_limit_facts facts = {.busiest_rank = out->busiest_rank,
                                         .busiest_cpu = out->busiest_cpu,
                                         .starved = out->starved,
                                         .blocked = out->blocked,
                                         .lag_p99_ns = out->lag_p99_ns,
                                         .latency_p99_ns = load->p99_ns,
                                         .share = out->share};
    out->client_limited = mh_limit_judge(&facts, out->reason, sizeof out->reason);
}

int mh_session_put_calibration(struct mh_session *session)
{
    struct mh_report *report = &session->report;
    const int roles = session->run.tallies.roles;
    report->calibrations = calloc(places_of(session) + 1, sizeof *report->calibrations);
    if (!report->calibrations)
        return -1;
    for (size_t place = 0; session->longest && place < places_of(session); place++) {
        if (session->run.efforts[place].ranks == 0)
            continue;
        struct mh_report_calibration *out = &report->calibrations[report->calibration_count++];
        out->stage_at = (int32_t)(place / (size_t)roles);
        out->role_at = (int32_t)(place % (size_t)roles);
        struct load load = load_of(&session->run.tallies, place);
        const struct mh_probe *last = mh_probes_last(&session->run.probes, out->stage_at);
        if (last) /* its efforts are of that probe as well */
            load = (struct load){last->operations, last->p99_ns > 0 ? last->p99_ns : -1};
        const struct mh_stage_options *stage = &session->job->stages[out->stage_at];
        snprintf(out->stage, sizeof out->stage, "%s", stage->name);
        snprintf(out->role, sizeof out->role, "%s", stage->roles[out->role_at].kind->name);
        measure(out, session, place, &load);
        judge(out, &load);
    }
    return 0;
}

bool mh_session_is_limited(const struct mh_report *report, int stage, int role)
{
    for (int64_t i = 0; i < report->calibration_count; i++)
        if (report->calibrations[i].stage_at == stage && report->calibrations[i].role_at == role)
            return report->calibrations[i].client_limited;
    return false;
}
