/* milvus-hpc: chooses the command. The only place that ends the program. */
#include "base/log.h"
#include "comm/watch.h"
#include "command/command.h"
#include "run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const struct mh_arguments *arguments, const char *command)
{
    return strcmp(arguments->command, command) == 0;
}

static int choose(const struct mh_arguments *arguments, int rank)
{
    if (is(arguments, "run"))
        return mh_command_run(arguments, MPI_COMM_WORLD);
    if (is(arguments, "verify"))
        return mh_command_verify(arguments, MPI_COMM_WORLD);
    if (rank != 0)
        return MH_EXIT_GOOD;
    if (is(arguments, "help"))
        mh_print_help(arguments->operand);
    else if (is(arguments, "version"))
        printf("milvus-hpc %s\n", MH_VERSION);
    else if (is(arguments, "check"))
        return mh_command_check(arguments);
    else if (is(arguments, "options"))
        return mh_command_options(arguments);
    else if (is(arguments, "report"))
        return mh_command_report(arguments);
    else
        return mh_command_merge(arguments);
    return MH_EXIT_GOOD;
}

static int obey(struct mh_arguments *arguments, int rank, int np)
{
    mh_log_init(rank, arguments->quiet);
    arguments->np = arguments->np ? arguments->np : np;
    return choose(arguments, rank);
}

/* Large blocks go back to the system when they are freed, always: glibc would learn to keep them, and a
 * rank's memory would rise and fall by what was in flight at its busiest. */
static void give_memory_back(void)
{
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

/* A file opened later would take the number of a standard stream that is closed, and get its words. */
static void have_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            exit(MH_EXIT_UNUSABLE);
}

/* MPI_Init waits for the last rank, for ever. MPI's blocking calls are few, and none is under load: where a
 * core has several ranks, or a server beside them, they are to leave it to those. srun does not tell Open MPI
 * that it has. */
static void start_mpi(int *argc, char ***argv, int64_t silence_ns, int *rank, int *np)
{
    int provided;
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    mh_watch_alarm(silence_ns, "MPI_Init did not come back");
    MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    mh_watch_alarm(0, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, np);
    mh_log_init(*rank, false);
}

int main(int argc, char **argv)
{
    int rank, np, exit_code = MH_EXIT_UNUSABLE;
    struct mh_arguments arguments;
    struct mh_error err;
    have_standard_streams();
    give_memory_back();
    const int parsed = mh_arguments_parse(argc, argv, &arguments, &err);
    start_mpi(&argc, &argv, arguments.silence_ns, &rank, &np);
    if (parsed == 0)
        exit_code = obey(&arguments, rank, np);
    else if (rank == 0)
        mh_complain("%s", err.text);
    mh_arguments_free(&arguments);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        mh_complain("standard output: cannot be written: %s", strerror(errno));
        exit_code = MH_EXIT_UNUSABLE;
    }
    MPI_Finalize();
    return rank == 0 ? exit_code
                     : 0; /* a launcher kills the other ranks of one that fails: by now they are done */
}
