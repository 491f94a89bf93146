/* milvus-mock: the command line. */
#include "base/units.h"
#include "job/names.h"
#include "mock/mock.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static bool is_stopped(void)
{
    return stopped != 0;
}

/* One row an option: parser and help read it. */
enum {
    HOST = 256,
    PORT,
    SEED,
    FAULT,
    FAULT_LOG,
    DATA,
    NO_VECTORS,
    NULL_MODE,
    SAVE_REQUESTS,
    WITH_PARENT,
    BUILD,
    LOAD,
    STALENESS,
    HELP,
    VERSION
};
static const struct {
    const char *name, *value, *help;
    int id;
} rows[] = {
    {"host", "ADDRESS", "to listen on (127.0.0.1)", HOST},
    {"port", "N", "to listen on; 0 picks one (19530)", PORT},
    {"seed", "N", "of all that is drawn (1)", SEED},
    {"fault", "NAME[=VALUE][,KEY=VALUE...]", "a lie; may be repeated", FAULT},
    {"fault-log", "FILE", "every lie as it takes effect, one JSON object a line", FAULT_LOG},
    {"data", "FILE", "holds what is stored between an orderly end and the next start", DATA},
    {"no-vectors", NULL, "keep no vectors: they can be neither read nor searched", NO_VECTORS},
    {"null", NULL, "acknowledge writes and keep no rows; find fixed hits", NULL_MODE},
    {"save-requests", "FOLDER", "keep the first request of each method there, as it came in", SAVE_REQUESTS},
    {"with-parent", NULL, "end when the process that started it does", WITH_PARENT},
    {"build-time", "DURATION", "from CreateIndex to a finished index (0)", BUILD},
    {"load-time", "DURATION", "from LoadCollection to loaded (0)", LOAD},
    {"staleness", "DURATION", "how far reads at Bounded and Eventually lag (0)", STALENESS},
    {"help", NULL, "this text", HELP},
    {"version", NULL, "the version", VERSION},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void print_help(void)
{
    puts("milvus-mock: a server of Milvus' protocol, in memory, that lies on request\n\nOptions:");
    for (size_t i = 0; i < ROWS; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-38s %s\n", left, rows[i].help);
    }
    puts("\nFaults: VALUE is how many of what is eligible are struck (3: the first three) or a share of it "
         "(1%).\n"
         "Parameters of all: rate, count, after (so many are left alone first), op (insert+upsert); of those "
         "of\n"
         "rows: partition. at=now|later:SECONDS|flush|compaction|reload; when=before|after (the request is\n"
         "applied); further parameters in brackets, their defaults in parentheses:");
    mh_faults_print(stdout);
}

static int parse_number(const char *name, const char *text, int64_t most, int64_t *out, struct mh_error *err)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < 0 || value > most)
        return mh_fail(err, "--%s %s: expected a number from 0 to %lld", name, text, (long long)most);
    *out = value;
    return 0;
}

static int parse_duration(const char *name, const char *text, int64_t *out, struct mh_error *err)
{
    return mh_parse_duration_ns(text, out) == 0
               ? 0
               : mh_fail(err, "--%s %s: expected a duration such as 50ms or 2s", name, text);
}

static int set_option(struct mh_mock *mock, struct mh_mock_options *options, int id, const char *text,
                      struct mh_error *err)
{
    int64_t number = 0;
    int rc = 0;
    switch (id) {
    case HOST:
        options->host = text;
        break;
    case PORT:
        rc = parse_number("port", text, 65535, &number, err);
        options->port = (int)number;
        break;
    case SEED:
        rc = parse_number("seed", text, INT64_MAX, &number, err);
        options->seed = (uint64_t)number;
        break;
    case FAULT:
        return mh_faults_add(&mock->faults, text, err);
    case FAULT_LOG:
        options->fault_log = text;
        break;
    case DATA:
        options->data = text;
        break;
    case NO_VECTORS:
        options->no_vectors = true;
        break;
    case NULL_MODE:
        options->null = true;
        break;
    case SAVE_REQUESTS:
        options->save_requests = text;
        break;
    case WITH_PARENT:
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        break;
    case BUILD:
        return parse_duration("build-time", text, &options->build_ns, err);
    case LOAD:
        return parse_duration("load-time", text, &options->load_ns, err);
    default:
        return parse_duration("staleness", text, &options->staleness_ns, err);
    }
    return rc;
}

static int fail_option(char **argv, struct mh_error *err)
{
    const char *names[ROWS], *word = argv[optind - 1];
    char what[128];
    for (size_t i = 0; i < ROWS; i++)
        names[i] = rows[i].name;
    if (optopt >= HOST)
        return mh_fail(err, "%.100s: %s", word,
                       strchr(word, '=') ? "takes no value" : "a value is missing; see milvus-mock --help");
    snprintf(what, sizeof what, "unknown option %.80s", word);
    return mh_fail_unknown(err, what, word + strspn(word, "-"), names, ROWS);
}

/* 1: help or version was asked for and is printed. */
static int parse(struct mh_mock *mock, struct mh_mock_options *options, int argc, char **argv,
                 struct mh_error *err)
{
    struct option longs[ROWS + 1] = {0};
    for (size_t i = 0; i < ROWS; i++)
        longs[i] =
            (struct option){rows[i].name, rows[i].value ? required_argument : no_argument, NULL, rows[i].id};
    opterr = 0;
    for (int id; (id = getopt_long(argc, argv, ":", longs, NULL)) != -1;) {
        if (id == '?' || id == ':')
            return fail_option(argv, err);
        if (id == HELP)
            print_help();
        if (id == VERSION)
            puts("milvus-mock " MH_VERSION);
        if (id == HELP || id == VERSION)
            return 1;
        if (set_option(mock, options, id, optarg, err) != 0)
            return -1;
    }
    return optind < argc ? mh_fail(err, "'%.100s': expected options only", argv[optind]) : 0;
}

static int serve(struct mh_mock *mock, const struct mh_mock_options *options, struct mh_error *err)
{
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (mh_mock_open(mock, options, err) != 0)
        return -1;
    printf("listening on http://%s:%d\n", options->host, mh_serve_port(mock->server));
    fflush(stdout);
    return mh_mock_serve(mock, is_stopped, err);
}

int main(int argc, char **argv)
{
    struct mh_mock mock = {.faults = {.log = -1}};
    struct mh_mock_options options = {.host = "127.0.0.1", .port = 19530, .seed = 1};
    struct mh_error err;
    int rc = parse(&mock, &options, argc, argv, &err);
    if (rc == 0)
        rc = serve(&mock, &options, &err);
    if (rc < 0)
        fprintf(stderr, "milvus-mock: %s\n", err.text);
    mh_mock_close(&mock);
    return rc < 0 ? MH_EXIT_UNUSABLE : MH_EXIT_GOOD;
}
