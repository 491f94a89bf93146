/* The commands of the program, one function each: what main.c chooses from. Each returns the exit code. */
#ifndef MH_COMMAND_COMMAND_H
#define MH_COMMAND_COMMAND_H

#include "base/error.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

struct mh_arguments {
    const char *command;
    const char *operand; /* JOB.yaml, FILE.h5 or DIR; NULL: none */
    char **folders;      /* merge: every DIR; of argv */
    int folder_count;
    const char **sets; /* of --set; the array is owned */
    size_t set_count;
    const char *server, *output, *output_local, *json, *label;
    const char *continues; /* run: the result whose run is to go on; NULL: a new one */
    uint64_t seed;
    bool seed_given, keep, drop, quiet, json_flag, violations;
    int64_t progress_ns; /* -1: not given */
    int64_t grace_ns;    /* from a signal to the end */
    int64_t silence_ns;  /* that a rank may give no sign of life */
    int np;              /* check: plan for so many ranks */
};

/* Reads argv. 0, or -1 with a usage message. --help and --version are commands: "help", "version". */
int mh_arguments_parse(int argc, char **argv, struct mh_arguments *arguments, struct mh_error *err);
void mh_arguments_free(struct mh_arguments *arguments);
void mh_print_help(const char *command); /* NULL: the overview */

/* MPI is initialised; all ranks call these and return the same. */
int mh_command_run(const struct mh_arguments *arguments, MPI_Comm comm);
int mh_command_verify(const struct mh_arguments *arguments, MPI_Comm comm);

/* Rank 0 alone. */
int mh_command_check(const struct mh_arguments *arguments);
int mh_command_options(const struct mh_arguments *arguments);
int mh_command_report(const struct mh_arguments *arguments);
int mh_command_merge(const struct mh_arguments *arguments);

#endif
