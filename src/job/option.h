/* One row an option: the parser, `options`, `--help`, `check` and /job/options in the result all read it. */
#ifndef MH_JOB_OPTION_H
#define MH_JOB_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mh_option_type {                           /*      stored as                   written as */
                      MH_OPTION_BOOL,           /* bool                     true | false */
                      MH_OPTION_INT,            /* int64_t                  1000, 10k, 2M */
                      MH_OPTION_COUNT_OR_ALL,   /* int64_t, -1 for all      20 | all */
                      MH_OPTION_BYTES,          /* int64_t                  64KiB */
                      MH_OPTION_DURATION,       /* int64_t, nanoseconds     30s */
                      MH_OPTION_DURATION_RANGE, /* int64_t[2], nanoseconds  50ms..5s */
                      MH_OPTION_RATE,           /* double, per second       500/s */
                      MH_OPTION_RATIO,          /* double                   0.95 | 1% */
                      MH_OPTION_SAMPLE,         /* double, 0..1             none | all | sample 1% */
                      MH_OPTION_TEXT,           /* char *, owned            any text */
                      MH_OPTION_CHOICE,         /* int, index into choices  one of the choices */
                      MH_OPTION_CHOICES,        /* uint32_t, a bit each     [a, b] | a */
                      MH_OPTION_TEXTS,          /* struct mh_texts, owned   [a, b] | a */
                      MH_OPTION_STEPS,          /* struct mh_rate_steps, owned  ["100/s for 30s"] */
                      MH_OPTION_PARAMS,         /* char *, owned JSON text  {nlist: 128} */
                      MH_OPTION_SECTION,        /* the struct of `rows`     a mapping */
                      MH_OPTION_LIST,           /* struct mh_list, owned    a list of mappings */
                      MH_OPTION_THRESHOLDS,     /* struct mh_list, owned    {search.p99: "< 50ms"}, of struct
                                                   mh_threshold */
};

struct mh_texts {
    char **items;
    size_t count;
};

/* The rate goes from one to the other in a straight line. */
struct mh_rate_step {
    double from, to; /* operations per second */
    int64_t duration_ns;
};

struct mh_rate_steps {
    struct mh_rate_step *items;
    size_t count;
};

struct mh_list {
    void *items; /* `count` structs of the row's item_size bytes each */
    size_t count;
};

/* Which struct `offset` counts from. Only role options use MH_IN_OWN. */
enum mh_option_base {
    MH_IN_SECTION, /* the struct of the section that the row belongs to (for a role: struct mh_role_options)
                    */
    MH_IN_OWN,     /* the role's own options struct (struct mh_role_options.own) */
};

struct mh_option {
    const char *name; /* NULL ends a table */
    enum mh_option_type type;
    enum mh_option_base base;
    size_t offset;
    const char *fallback; /* the default as the job file would write it; NULL: none (zero, NULL, empty) */
    bool required;        /* must stand in the job file */
    bool optional;        /* a SECTION that, when it is left out, is all zero and has no values */
    double min, max;      /* of the stored number; for TEXTS and LIST of how many; both 0: any */
    const char *unit;     /* for people: "rows", "workers"; NULL: none */
    const char *const *choices; /* NULL-ended, for CHOICE and CHOICES */
    const struct mh_option
        *rows;        /* for SECTION and LIST; NULL in a LIST: each item's kind of role has them */
    size_t item_size; /* for LIST */
    const char *help; /* one line, no trailing stop */
};

#endif
