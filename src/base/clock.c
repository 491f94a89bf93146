#include "base/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * MH_S + t.tv_nsec;
}

int64_t mh_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t mh_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

double mh_cpu_s(void)
{
    return (double)read_clock(CLOCK_PROCESS_CPUTIME_ID) / (double)MH_S;
}

int64_t mh_starved_ns(void)
{
    long long waited = 0;
    FILE *file = fopen("/proc/self/schedstat", "r");
    if (!file || fscanf(file, "%*u %lld", &waited) != 1)
        waited = 0;
    if (file)
        fclose(file);
    return waited;
}

int64_t mh_private_bytes(void)
{
    long resident = 0, shared = 0; /* pages */
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld %ld", &resident, &shared) != 2)
        resident = shared = 0;
    if (file)
        fclose(file);
    return (int64_t)(resident - shared) * sysconf(_SC_PAGESIZE);
}

void mh_sleep_ns(int64_t ns)
{
    if (ns <= 0)
        return;
    struct timespec t = {.tv_sec = (time_t)(ns / MH_S), .tv_nsec = (long)(ns % MH_S)};
    nanosleep(&t, NULL);
}

void mh_utc_text(int64_t wall_ns, char text[24])
{
    time_t seconds = (time_t)(wall_ns / MH_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, 24, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
