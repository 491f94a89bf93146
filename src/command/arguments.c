#include "command/command.h"

#include "base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_GRACE_S = 120, DEFAULT_SILENCE_S = 120, MOST_SECONDS = 1000000 };

/* One row an option: parser and help read it. `commands` says where it may stand. */
struct flag {
    const char *name, *value, *commands, *help;
};

static const struct flag flags[] = {
    {"set", "KEY=VALUE", "run check verify",
     "override an option of the job: stages.crud.writer.rows=500 (may be repeated)"},
    {"server", "URI", "run check verify", "the server, in place of the job's: http://host:port"},
    {"output", "FILE.h5", "run verify", "the result; never overwritten (default: results/RUN-ID.h5)"},
    {"output", "FILE.h5", "merge", "the result, which must be named; never overwritten"},
    {"output-local", "DIR", "run",
     "journals into DIR, on each node its own; the result is gathered on rank 0: no shared file system is "
     "needed"},
    {"json", "FILE", "run verify report", "the summary as JSON too; - for standard output"},
    {"violations", NULL, "report", "the violations instead, as a text for a bug report"},
    {"json", NULL, "options", "as JSON Schema, for editors"},
    {"label", "TEXT", "run verify", "a note that the result carries"},
    {"seed", "N", "run",
     "of all random choices; the same seed makes the same choices (default: a fresh one)"},
    {"progress", "SECONDS", "run", "between progress lines; 0 for none (default: 1 on a terminal, else 10)"},
    {"grace", "SECONDS", "run verify",
     "from a signal to the end; an audit that would take longer is cut (default: 120)"},
    {"silence", "SECONDS", "run verify",
     "for which a rank may give no sign of life before the others end the run (default: 120)"},
    {"continue", "FILE.h5", "run",
     "in place of a JOB.yaml: the next part of a saved run (one with --keep): its job and seed, its "
     "collection, "
     "one ledger over all parts"},
    {"keep", NULL, "run", "leave the collection on the server (with --continue: always)"},
    {"drop", NULL, "verify", "drop the collection at the end, if every row is as it should be"},
    {"quiet", NULL, "run verify", "no progress and no notes, only the summary"},
    {"np", "N", "check", "plan for so many ranks (default: the ranks that check runs on)"},
    {"help", NULL, "", "help on the command"},
    {"version", NULL, "", "the version"},
};
enum { FLAGS = sizeof flags / sizeof flags[0] };

static const struct command {
    const char *name, *operand, *help;
} commands[] = {
    {"run", "JOB.yaml",
     "run the job and audit what the server acknowledged (a bare JOB.yaml means run; no job at all: a small "
     "built-in one; --continue FILE.h5 in its place: the next part of a saved run)"},
    {"check", "JOB.yaml",
     "validate the job and its data set and print the plan; needs no server and no mpirun"},
    {"verify", "FILE.h5",
     "audit the rows of a saved run (one with --keep) again: later, after a restart, on any number of ranks"},
    {"report", "FILE.h5", "print the summary of a result again"},
    {"merge", "DIR...",
     "make the result of a run that was killed, from its ranks' journals (of --output-local: each node's "
     "folder)"},
    {"options", NULL, "list every option of the job file"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool applies(const struct flag *flag, const char *command)
{
    return flag->commands[0] == '\0' || strstr(flag->commands, command) != NULL;
}

static void print_flags(const char *command)
{
    printf("\nOptions:\n");
    for (int i = 0; i < FLAGS; i++) {
        char left[40];
        if (!applies(&flags[i], command))
            continue;
        snprintf(left, sizeof left, "--%s %s", flags[i].name, flags[i].value ? flags[i].value : "");
        printf("  %-20s %s\n", left, flags[i].help);
    }
}

void mh_print_help(const char *name)
{
    const struct command *command = name ? find_command(name) : NULL;
    if (command) {
        printf("Usage: milvus-hpc %s %s [OPTION]...\n\n%s.\n", command->name,
               command->operand ? command->operand : "", command->help);
        print_flags(command->name);
        return;
    }
    printf("milvus-hpc " MH_VERSION
           ": MPI load on a Milvus vector database, and an exact audit of every row it acknowledged.\n\n"
           "  mpirun -np N milvus-hpc run JOB.yaml\n\nCommands:\n");
    for (int i = 0; i < COMMANDS; i++) {
        char left[40];
        snprintf(left, sizeof left, "%s %s", commands[i].name,
                 commands[i].operand ? commands[i].operand : "");
        printf("  %-16s %s\n", left, commands[i].help);
    }
    printf("\n`milvus-hpc COMMAND --help` lists a command's options.\n\n"
           "Exit codes: 0 good, 1 a threshold was missed, 2 the server broke a promise about a row,\n"
           "3 usage, job file, data set or infrastructure, or a run that did not test, or could not judge,\n"
           "what it says.\n");
}

static int take_number(const char *name, const char *text, int64_t low, int64_t *out, struct mh_error *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low)
        return mh_fail(err, "--%s %s: expected a whole number of at least %lld", name, text, (long long)low);
    *out = value;
    return 0;
}

static int take_seconds(const char *name, const char *text, int64_t *ns, struct mh_error *err)
{
    int64_t seconds;
    if (take_number(name, text, 1, &seconds, err) != 0)
        return -1;
    if (seconds > MOST_SECONDS)
        return mh_fail(err, "--%s %s: expected at most %d seconds", name, text, MOST_SECONDS);
    *ns = seconds * MH_S;
    return 0;
}

static int take_flag(struct mh_arguments *a, const char *name, const char *value, struct mh_error *err)
{
    int64_t number = 0;
    if (strcmp(name, "set") == 0) {
        if (!strchr(value, '='))
            return mh_fail(err, "--set %s: expected KEY=VALUE", value);
        a->sets[a->set_count++] = value;
    } else if (strcmp(name, "server") == 0)
        a->server = value;
    else if (strcmp(name, "output") == 0)
        a->output = value;
    else if (strcmp(name, "output-local") == 0)
        a->output_local = value;
    else if (strcmp(name, "json") == 0) {
        a->json = value;
        a->json_flag = !value;
    } else if (strcmp(name, "label") == 0)
        a->label = value;
    else if (strcmp(name, "continue") == 0)
        a->continues = value;
    else if (strcmp(name, "violations") == 0)
        a->violations = true;
    else if (strcmp(name, "keep") == 0)
        a->keep = true;
    else if (strcmp(name, "drop") == 0)
        a->drop = true;
    else if (strcmp(name, "quiet") == 0)
        a->quiet = true;
    else if (strcmp(name, "seed") == 0) {
        if (take_number(name, value, 0, &number, err) != 0)
            return -1;
        a->seed = (uint64_t)number;
        a->seed_given = true;
    } else if (strcmp(name, "np") == 0) {
        if (take_number(name, value, 1, &number, err) != 0)
            return -1;
        a->np = (int)(number < 1000000 ? number : 1000000);
    } else if (strcmp(name, "progress") == 0) {
        if (take_number(name, value, 0, &number, err) != 0)
            return -1;
        a->progress_ns = number * 1000000000LL;
    } else if (strcmp(name, "grace") == 0)
        return take_seconds(name, value, &a->grace_ns, err);
    else if (strcmp(name, "silence") == 0)
        return take_seconds(name, value, &a->silence_ns, err);
    return 0;
}

static int check_operand(const struct mh_arguments *a, struct mh_error *err)
{
    const struct command *command = find_command(a->command);
    if (a->operand && !command->operand)
        return mh_fail(err, "%s takes no file; got '%s'", a->command, a->operand);
    if (!a->operand && command->operand && strcmp(a->command, "run") != 0)
        return mh_fail(err, "%s needs a %s (milvus-hpc %s --help)", a->command, command->operand, a->command);
    if (a->continues && a->operand)
        return mh_fail(err, "run --continue goes on with the job that %s has; got '%s' beside it",
                       a->continues, a->operand);
    if (a->continues && a->seed_given)
        return mh_fail(err, "--seed does not go with --continue: the seed is the saved run's");
    if (strcmp(a->command, "merge") == 0 && !a->output)
        return mh_fail(err, "merge needs --output FILE.h5 (or -o)");
    return 0;
}

static int take_operand(struct mh_arguments *a, char **words, int count, struct mh_error *err)
{
    if (count > 0 && find_command(words[0])) {
        a->command = words[0];
        words++;
        count--;
    } else if (count > 0 && !strchr(words[0], '.') && !strchr(words[0], '/'))
        return mh_fail(
            err, "unknown command '%s'; expected run, check, verify, report, merge or options, or a JOB.yaml",
            words[0]);
    a->folders = words;
    a->folder_count = count;
    if (count > 1 && strcmp(a->command, "merge") != 0)
        return mh_fail(err, "one file expected, got '%s' and '%s'", words[0], words[1]);
    a->operand = count > 0 ? words[0] : NULL;
    return 0;
}

/* Is this the row to read the flag by? One name may mean different things to different commands. */
static bool is_meant(int row, const char *command)
{
    for (int i = 0; i < FLAGS; i++)
        if (i != row && strcmp(flags[i].name, flags[row].name) == 0)
            return applies(&flags[row], command) || (i > row && !applies(&flags[i], command));
    return true;
}

static void list_flags(struct option options[FLAGS + 1], const char *command)
{
    int count = 0;
    for (int i = 0; i < FLAGS; i++)
        if (is_meant(i, command))
            options[count++] = (struct option){
                flags[i].name, flags[i].value ? required_argument : no_argument, NULL, 256 + i};
}

int mh_arguments_parse(int argc, char **argv, struct mh_arguments *a, struct mh_error *err)
{
    struct option options[FLAGS + 1] = {0};
    bool given[FLAGS] = {false}, help = false, version = false;
    list_flags(options, argc > 1 && find_command(argv[1]) ? argv[1] : "run");
    *a = (struct mh_arguments){.command = "run",
                               .progress_ns = -1,
                               .grace_ns = DEFAULT_GRACE_S * MH_S,
                               .silence_ns = DEFAULT_SILENCE_S * MH_S,
                               .sets = calloc((size_t)argc + 1, sizeof *a->sets)};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":o:hV", options, NULL)) != -1;) {
        if (c == ':' || c == '?')
            return mh_fail(err, c == ':' ? "%s needs a value" : "unknown option %s (milvus-hpc --help)",
                           argv[optind - 1]);
        int which = c - 256;
        if (c == 'o')
            a->output = optarg;
        help |= c == 'h' || (which >= 0 && strcmp(flags[which].name, "help") == 0);
        version |= c == 'V' || (which >= 0 && strcmp(flags[which].name, "version") == 0);
        if (which >= 0) {
            given[which] = true;
            if (take_flag(a, flags[which].name, optarg, err) != 0)
                return -1;
        }
    }
    if (take_operand(a, argv + optind, argc - optind, err) != 0)
        return -1;
    for (int i = 0; i < FLAGS; i++)
        if (given[i] && !applies(&flags[i], a->command))
            return mh_fail(err, "--%s does not go with %s (milvus-hpc %s --help)", flags[i].name, a->command,
                           a->command);
    if (help || version) {
        a->operand = help && optind < argc ? a->command : NULL;
        a->command = help ? "help" : "version";
        return 0;
    }
    return check_operand(a, err);
}

void mh_arguments_free(struct mh_arguments *a)
{
    free(a->sets);
}
