#include "run/run.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <string.h>

static volatile sig_atomic_t seen;
static _Atomic int64_t first_ns;
static volatile sig_atomic_t told;

/* mpirun passes one Ctrl-C on as SIGINT and may add SIGTERM: only the same signal twice means impatience. */
static void on_signal(int number)
{
    static volatile sig_atomic_t interrupts, terminations;
    volatile sig_atomic_t *count = number == SIGINT ? &interrupts : &terminations;
    if (atomic_load(&first_ns) == 0)
        atomic_store(&first_ns, mh_now_ns());
    seen = seen + 1;
    if (number == SIGUSR1)
        return;
    told = 1;
    *count = *count + 1;
    if (*count < 2)
        return;
    signal(number, SIG_DFL);
    raise(number);
}

void mh_signals_catch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

bool mh_signal_seen(void)
{
    return seen != 0;
}

bool mh_signal_told_to_end(void)
{
    return told != 0;
}

int64_t mh_signal_first_ns(void)
{
    return atomic_load(&first_ns);
}

int mh_signals_seen(void)
{
    return (int)seen;
}
