/* Preloaded: each rank is a node of its own, and the clocks of every second one are DRIFT_PPM too fast. */
#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t ppm, start_ns;

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static __attribute__((constructor)) void begin(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *drift = getenv("DRIFT_PPM");
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    start_ns = ns_of(&now);
    ppm = rank && drift && atoi(rank) % 2 == 1 ? atoll(drift) : 0;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    const int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (rc != 0 || id != CLOCK_MONOTONIC || ppm == 0)
        return rc;
    const int64_t ns = ns_of(t), now = ns + (ns - start_ns) / 1000 * ppm / 1000;
    *t = (struct timespec){.tv_sec = (time_t)(now / 1000000000), .tv_nsec = (long)(now % 1000000000)};
    return 0;
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *node)
{
    int rank;
    (void)type, (void)info;
    PMPI_Comm_rank(comm, &rank);
    return PMPI_Comm_split(comm, rank, key, node);
}
