/* Reading faults, deciding whom they strike, and the log. */
#include "mock/fault.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/units.h"
#include "job/names.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_NAMES = 64 };

/* ---- numbers and words ---- */

static bool has_word(const char *words, const char *word, size_t length)
{
    for (const char *at = words; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && strncmp(at, word, length) == 0)
            return true;
    return false;
}

static int parse_whole(const char *text, int64_t *out)
{
    char *end;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end)
        return -1;
    *out = value;
    return 0;
}

static int parse_seconds(const char *text, double *out)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || (*end && strcmp(end, "s") != 0) || !(value >= 0 && value < 1e9))
        return -1;
    *out = value;
    return 0;
}

static int parse_share(const char *text, double *out)
{
    double value;
    if (mh_parse_ratio(text, &value) != 0 || !(value >= 0 && value <= 1))
        return -1;
    *out = value;
    return 0;
}

static int parse_ops(const char *text, struct mh_fault *fault)
{
    memset(fault->ops, 0, sizeof fault->ops);
    for (const char *at = text;; at++) {
        const size_t length = strcspn(at, "+");
        int found = 0;
        for (int kind = 0; kind < MH_SERVE_KINDS; kind++)
            if (strlen(mh_serve_name(kind)) == length && strncmp(mh_serve_name(kind), at, length) == 0)
                found = fault->ops[kind] = true;
        if (!found)
            return -1;
        at += length;
        if (!*at)
            return 0;
    }
}

static int parse_at(const char *text, struct mh_fault *fault)
{
    static const char *const names[] = {"now", "later", "flush", "compaction", "reload"};
    double seconds;
    if (strncmp(text, "later:", 6) == 0 && parse_seconds(text + 6, &seconds) == 0) {
        fault->at = MH_AT_LATER;
        fault->at_ns = (int64_t)(seconds * 1e9);
        return 0;
    }
    for (int i = 0; i < 5; i++)
        if (i != MH_AT_LATER && strcmp(text, names[i]) == 0) {
            fault->at = (enum mh_fault_at)i;
            return 0;
        }
    return -1;
}

static int parse_choice(const char *text, const char *no, const char *yes, bool *out)
{
    if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
        return -1;
    *out = strcmp(text, yes) == 0;
    return 0;
}

/* ---- parameters ---- */

enum form { WHOLE, COUNT, SECONDS, SHARE, OPS, AT, WHEN, DATA, NAME };

static const struct parameter {
    const char *key;
    enum form form;
    size_t offset;
    bool general; /* every fault takes it */
    const char *expected;
} parameters[] = {
    {"rate", SHARE, offsetof(struct mh_fault, rate), true, "a share such as 1% or 0.01"},
    {"count", COUNT, offsetof(struct mh_fault, count), true, "a number of 1 or more"},
    {"after", COUNT, offsetof(struct mh_fault, after), true, "a number of 0 or more"},
    {"op", OPS, 0, true, "operations such as insert or insert+upsert"},
    {"partition", NAME, offsetof(struct mh_fault, partition), true, "a name"},
    {"at", AT, 0, false, "now, later:SECONDS, flush, compaction or reload"},
    {"seconds", SECONDS, offsetof(struct mh_fault, seconds), false, "a number of seconds"},
    {"tail", SHARE, offsetof(struct mh_fault, tail), false, "a share such as 1% or 0.01"},
    {"code", WHOLE, offsetof(struct mh_fault, code), false, "a whole number"},
    {"legacy", WHOLE, offsetof(struct mh_fault, legacy), false, "a whole number"},
    {"status", COUNT, offsetof(struct mh_fault, status), false, "gRPC's number, 1 to 16"},
    {"ms", COUNT, offsetof(struct mh_fault, ms), false, "a number of milliseconds"},
    {"bytes", COUNT, offsetof(struct mh_fault, bytes), false, "a number of bytes"},
    {"by", WHOLE, offsetof(struct mh_fault, by), false, "a whole number"},
    {"key", WHOLE, offsetof(struct mh_fault, key), false, "a whole number"},
    {"step", WHOLE, offsetof(struct mh_fault, step), false, "a whole number"},
    {"when", WHEN, 0, false, "before or after"},
    {"data", DATA, 0, false, "keep or lose"},
};
enum { PARAMETERS = sizeof parameters / sizeof parameters[0] };

static int set_parameter(struct mh_fault *fault, const struct parameter *parameter, const char *text)
{
    void *out = (char *)fault + parameter->offset;
    switch (parameter->form) {
    case WHOLE:
        return parse_whole(text, out);
    case COUNT:
        return parse_whole(text, out) == 0 && *(int64_t *)out >= 0 ? 0 : -1;
    case SECONDS:
        return parse_seconds(text, out);
    case SHARE:
        return parse_share(text, out);
    case OPS:
        return parse_ops(text, fault);
    case AT:
        return parse_at(text, fault);
    case WHEN:
        return parse_choice(text, "before", "after", &fault->after_applying);
    case DATA:
        return parse_choice(text, "lose", "keep", &fault->keep_data);
    default:
        snprintf(out, sizeof fault->partition, "%s", text);
        return mh_is_name(text) ? 0 : -1;
    }
}

static bool takes(const struct mh_fault_kind *kind, const struct parameter *parameter)
{
    const bool of_rows = strcmp(parameter->key, "partition") == 0;
    const bool strikes = kind->place != MH_FAULT_MEMORY;
    return (parameter->general && strikes && (!of_rows || kind->place == MH_FAULT_ROW)) ||
           has_word(kind->takes, parameter->key, strlen(parameter->key));
}

static int fail_parameter(const struct mh_fault_kind *kind, const char *key, struct mh_error *err)
{
    const char *names[PARAMETERS];
    char what[128];
    size_t count = 0;
    for (size_t i = 0; i < PARAMETERS; i++)
        if (takes(kind, &parameters[i]))
            names[count++] = parameters[i].key;
    snprintf(what, sizeof what, "--fault %s: unknown parameter '%.40s'", kind->name, key);
    return mh_fail_unknown(err, what, key, names, count);
}

static int set_named(struct mh_fault *fault, char *word, struct mh_error *err)
{
    char *value = strchr(word, '=');
    if (!value)
        return mh_fail(err, "--fault %s: '%s': expected KEY=VALUE", fault->kind->name, word);
    *value++ = '\0';
    for (size_t i = 0; i < PARAMETERS; i++)
        if (strcmp(parameters[i].key, word) == 0 && takes(fault->kind, &parameters[i]))
            return set_parameter(fault, &parameters[i], value) == 0
                       ? 0
                       : mh_fail(err, "--fault %s: %s=%s: expected %s", fault->kind->name, word, value,
                                 parameters[i].expected);
    return fail_parameter(fault->kind, word, err);
}

/* ---- a fault ---- */

static const struct mh_fault_kind *find_kind(const char *name, struct mh_error *err)
{
    const char *names[MOST_NAMES];
    char what[128];
    size_t count = 0;
    for (const struct mh_fault_kind *kind = mh_fault_kinds; kind->name; kind++) {
        if (strcmp(kind->name, name) == 0)
            return kind;
        names[count++] = kind->name;
    }
    snprintf(what, sizeof what, "--fault: unknown fault '%.40s'", name);
    mh_fail_unknown(err, what, name, names, count);
    return NULL;
}

/* "1MiB/s" */
static int set_speed(struct mh_fault *fault, const char *value, struct mh_error *err)
{
    char amount[32];
    const char *slash = strchr(value, '/');
    snprintf(amount, sizeof amount, "%.*s", slash ? (int)(slash - value) : 0, value);
    if (slash && strcmp(slash, "/s") == 0 && mh_parse_bytes(amount, &fault->bytes) == 0 && fault->bytes > 0)
        return 0;
    return mh_fail(err, "--fault %s=%s: expected so much a second, such as 1MiB/s", fault->kind->name, value);
}

/* "3" is a count; "1%" and "0.01" are rates. */
static int set_value(struct mh_fault *fault, const char *value, struct mh_error *err)
{
    if (fault->kind->place == MH_FAULT_MEMORY)
        return set_speed(fault, value, err);
    const bool rate = strpbrk(value, "%.") != NULL;
    if (rate ? parse_share(value, &fault->rate) == 0
             : parse_whole(value, &fault->count) == 0 && fault->count > 0)
        return 0;
    return mh_fail(err, "--fault %s=%s: expected a number of 1 or more, or a share such as 1%%",
                   fault->kind->name, value);
}

static void set_defaults(struct mh_fault *fault)
{
    for (int kind = 0; kind < MH_SERVE_KINDS; kind++)
        fault->ops[kind] =
            !fault->kind->ops || has_word(fault->kind->ops, mh_serve_name(kind), strlen(mh_serve_name(kind)));
    fault->rate = -1;
    fault->seconds = -1;
    fault->code = 65535;
    fault->legacy = 1;
    fault->status = 14;
    fault->ms = -1;
    fault->bytes = fault->kind->place == MH_FAULT_MEMORY ? 1 << 20 : 16 << 20;
    fault->by = 1;
    fault->key = 1LL << 40;
    fault->step = 1;
    fault->after_applying = fault->kind->after;
}

static int parse(struct mh_fault *fault, char *text, struct mh_error *err)
{
    char *rest, *word = strtok_r(text, ",", &rest);
    char *value = word ? strchr(word, '=') : NULL;
    if (value)
        *value++ = '\0';
    fault->kind = find_kind(word ? word : "", err);
    if (!fault->kind)
        return -1;
    set_defaults(fault);
    if (value && set_value(fault, value, err) != 0)
        return -1;
    while ((word = strtok_r(NULL, ",", &rest)))
        if (set_named(fault, word, err) != 0)
            return -1;
    if (fault->rate < 0 && fault->count == 0)
        fault->count = fault->kind->count;
    if (fault->kind->place == MH_FAULT_EVENT && fault->at == MH_AT_NOW)
        fault->at = MH_AT_FLUSH;
    if (fault->kind->place == MH_FAULT_EVENT && fault->at == MH_AT_LATER)
        return mh_fail(err, "--fault %s: at=later: expected flush, compaction or reload", fault->kind->name);
    if (fault->kind->place == MH_FAULT_MEMORY && fault->at > MH_AT_LATER)
        return mh_fail(err, "--fault %s: at=: expected now or later:SECONDS", fault->kind->name);
    return 0;
}

int mh_faults_add(struct mh_faults *faults, const char *text, struct mh_error *err)
{
    struct mh_fault fault = {.number = (int)faults->count};
    char *copy = strdup(text);
    struct mh_fault *grown = realloc(faults->items, (faults->count + 1) * sizeof *grown);
    if (grown)
        faults->items = grown;
    const int rc = copy && grown ? parse(&fault, copy, err) : mh_fail(err, "out of memory");
    free(copy);
    if (rc == 0)
        faults->items[faults->count++] = fault;
    return rc;
}

void mh_faults_print(FILE *out)
{
    for (const struct mh_fault_kind *kind = mh_fault_kinds; kind->name; kind++)
        fprintf(out, "  %-22s %s%s%s%s\n", kind->name, kind->help, kind->takes[0] ? " [" : "", kind->takes,
                kind->takes[0] ? "]" : "");
}

/* ---- whom it strikes ---- */

bool mh_fault_strikes(struct mh_fault *fault, int64_t key)
{
    if (fault->seen++ < fault->after || (fault->count > 0 && fault->done >= fault->count))
        return false;
    if (fault->rate >= 0) {
        struct mh_random draw = {fault->owner->seed, (uint64_t)fault->number, (uint64_t)key};
        if (mh_random_unit(&draw) >= fault->rate)
            return false;
    }
    if (fault->done++ == 0)
        fault->since_ns = mh_now_ns();
    return true;
}

struct mh_fault *mh_faults_strike(struct mh_faults *faults, const char *name, int op, int64_t key)
{
    for (size_t i = 0; i < faults->count; i++)
        if (faults->items[i].ops[op] && strcmp(faults->items[i].kind->name, name) == 0 &&
            mh_fault_strikes(&faults->items[i], key))
            return &faults->items[i];
    return NULL;
}

struct mh_fault *mh_faults_strike_any(struct mh_faults *faults, enum mh_fault_place place, int op,
                                      int64_t key)
{
    for (size_t i = 0; i < faults->count; i++)
        if (faults->items[i].kind->place == place && faults->items[i].ops[op] &&
            mh_fault_strikes(&faults->items[i], key))
            return &faults->items[i];
    return NULL;
}

/* ---- the log ---- */

int mh_faults_open_log(struct mh_faults *faults, const char *path, struct mh_error *err)
{
    for (size_t i = 0; i < faults->count; i++)
        faults->items[i].owner = faults;
    faults->log = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    return path && faults->log < 0 ? mh_fail(err, "--fault-log %s: cannot be written: %m", path) : 0;
}

void mh_faults_free(struct mh_faults *faults)
{
    if (faults->log >= 0)
        close(faults->log);
    mh_faults_free_leaked(faults);
    free(faults->items);
    free(faults->pending);
    *faults = (struct mh_faults){.log = -1};
}

static void write_line(const struct mh_fault *fault, int op, const char *what, int64_t number,
                       const char *partition)
{
    char line[512];
    if (fault->owner->log < 0)
        return;
    const int length = snprintf(line, sizeof line,
                                "{\"fault\": \"%s\", \"op\": \"%s\", \"%s\": %" PRId64
                                ", \"partition\": \"%s\", \"time_ns\": %" PRId64 "}\n",
                                fault->kind->name, mh_serve_name(op), what, number, partition, mh_wall_ns());
    if (write(fault->owner->log, line, (size_t)length) != length)
        abort(); /* a log that leaves out a lie is worse than none */
}

void mh_fault_log_row(const struct mh_fault *fault, int op, int64_t key, const char *partition)
{
    write_line(fault, op, "key", key, partition);
}

void mh_fault_log_partition(const struct mh_fault *fault, int op, int64_t call, const char *partition)
{
    write_line(fault, op, "call", call, partition);
}

void mh_fault_log_call(const struct mh_fault *fault, int op, int64_t call)
{
    write_line(fault, op, "call", call, "");
}
