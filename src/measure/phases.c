#include "measure/phases.h"

#include "base/clock.h"
#include "comm/comm.h"

#include <string.h>

const char *const mh_phase_names[] = {"open_watch",  "read_job",    "plan",      "open_dataset",
                                      "open_server", "calibrate",   "open_run",  "begin_stage",
                                      "load",        "judge_reads", "end_stage", "share_ledger",
                                      "audit",       "trace",       "reduce",    "heartbeat"};
_Static_assert(sizeof mh_phase_names / sizeof *mh_phase_names == MH_PHASE_ROWS, "a name for each phase");

static struct mh_phase_cost look(void)
{
    const struct mh_comm_waits waits = mh_comm_waits();
    return (struct mh_phase_cost){.wall_ns = mh_now_ns(),
                                  .cpu_ns = (int64_t)(mh_cpu_s() * (double)MH_S),
                                  .waits = waits.count,
                                  .waited_ns = waits.ns};
}

static void end_at(struct mh_phases *phases, const struct mh_phase_cost *now)
{
    if (phases->now == 0)
        return;
    struct mh_phase_cost *cost = &phases->costs[phases->now - 1];
    cost->count++;
    cost->ranks = 1;
    cost->wall_ns += now->wall_ns - phases->began.wall_ns;
    cost->cpu_ns += now->cpu_ns - phases->began.cpu_ns;
    cost->waits += now->waits - phases->began.waits;
    cost->waited_ns += now->waited_ns - phases->began.waited_ns;
    phases->now = 0;
}

void mh_phases_enter(struct mh_phases *phases, enum mh_phase phase)
{
    if (!phases || phases->now == 1 + (int)phase)
        return;
    const struct mh_phase_cost now = look();
    end_at(phases, &now);
    phases->began = now;
    phases->now = 1 + (int)phase;
}

void mh_phases_leave(struct mh_phases *phases)
{
    const struct mh_phase_cost now = look();
    end_at(phases, &now);
}

void mh_phases_beat(struct mh_phases *phases, int64_t rounds, int64_t wall_ns, int64_t cpu_ns)
{
    struct mh_phase_cost *cost = &phases->costs[MH_PHASE_HEARTBEAT];
    cost->count += rounds;
    cost->wall_ns += wall_ns;
    if (cpu_ns < 0)
        return;
    cost->cpu_ns += cpu_ns;
    cost->ranks = 1;
}

void mh_phases_reduce(const struct mh_phases *phases, MPI_Comm comm, struct mh_phase_cost sums[MH_PHASE_ROWS],
                      struct mh_phase_cost most[MH_PHASE_ROWS])
{
    memcpy(sums, phases->costs, sizeof phases->costs);
    memcpy(most, phases->costs, sizeof phases->costs);
    mh_comm_sum_i64(comm, (int64_t *)sums, MH_PHASE_ROWS * MH_PHASE_NUMBERS);
    mh_comm_max_i64(comm, (int64_t *)most, MH_PHASE_ROWS * MH_PHASE_NUMBERS);
}
