/* What searchers and queriers share: kinds of read, mixed by weight, with random operands. */
#ifndef MH_ROLE_READER_H
#define MH_ROLE_READER_H

#include "role/role.h"

enum mh_operand { MH_OPERAND_NONE, MH_OPERAND_RANDOM };
extern const char *const mh_operand_names[];

enum mh_returns { MH_RETURNS_ROWS, MH_RETURNS_COUNT };
extern const char *const mh_returns_names[];

extern const char *const mh_read_consistency_names[]; /* "collection", then mh_consistency_names */

/* One kind of read, as the job asks for it. */
struct mh_read_options {
    int64_t weight;
    char *expression; /* see expr/template.h; empty: all rows */
    int64_t limit;    /* a search's topk */
    int64_t offset;
    char *params;             /* JSON object text */
    int radius, range_filter; /* enum mh_operand */
    double share;             /* of the rows, at most, within a random radius */
    struct mh_texts output, partitions;
    int consistency; /* 0: the collection's; else enum mh_consistency + 1 */
    bool exact;
    int returns; /* enum mh_returns */
    bool iterator;
};

/* The role's own options: what it reads when there is no mix, and the mix. */
struct mh_reader_options {
    struct mh_read_options alone;
    struct mh_list mix; /* of struct mh_read_options */
    int64_t queries;    /* vectors of one search */
    int64_t bound_ns;
};

/* The option `bound`; AT: where it goes in the role's own. Probers have it, too. */
#define MH_READ_BOUND(AT)                                                                                    \
    {                                                                                                        \
        .name = "bound", .type = MH_OPTION_DURATION, .base = MH_IN_OWN, .offset = (AT), .fallback = "5s",    \
        .min = 0, .max = 3.6e12,                                                                             \
        .help = "how far a read at bounded may lag behind, as the server is configured (Milvus: 5s)"         \
    }

/* Rows of struct mh_read_options that both roles take; BASE and AT say where the struct is. */
#define MH_READ_AT(BASE, AT, MEMBER) .base = (BASE), .offset = (AT) + offsetof(struct mh_read_options, MEMBER)
#define MH_READ_COMMON_ROWS(BASE, AT)                                                                        \
    {.name = "offset",                                                                                       \
     .type = MH_OPTION_INT,                                                                                  \
     MH_READ_AT(BASE, AT, offset),                                                                           \
     .fallback = "0",                                                                                        \
     .min = 0,                                                                                               \
     .max = 1e9,                                                                                             \
     .unit = "rows",                                                                                         \
     .help = "rows of the answer left out in front"},                                                        \
        {.name = "partitions",                                                                               \
         .type = MH_OPTION_TEXTS,                                                                            \
         MH_READ_AT(BASE, AT, partitions),                                                                   \
         .help = "partitions it looks in; without it, all"},                                                 \
        {.name = "consistency",                                                                              \
         .type = MH_OPTION_CHOICE,                                                                           \
         MH_READ_AT(BASE, AT, consistency),                                                                  \
         .fallback = "collection",                                                                           \
         .choices = mh_read_consistency_names,                                                               \
         .help = "what it must see; collection: the collection's own level"},                                \
        {.name = "exact",                                                                                    \
         .type = MH_OPTION_BOOL,                                                                             \
         MH_READ_AT(BASE, AT, exact),                                                                        \
         .fallback = "false",                                                                                \
         .help = "a row that qualifies and is not found is a violation, not a matter of recall"},            \
    {                                                                                                        \
        .name = "weight", .type = MH_OPTION_INT, MH_READ_AT(BASE, AT, weight), .fallback = "1", .min = 1,    \
        .max = 1e6, .help = "how often it is drawn, against the others of the mix"                           \
    }

struct mh_reader {
    const struct mh_read_options *items;
    size_t count;
    int64_t weights;      /* their sum */
    const char **outputs; /* of items without output fields of their own: all scalar fields */
    size_t output_count;
    float *spread; /* distances between queries and rows, the nearest first; NULL: no random radius */
};

/* Hooks of both roles; their state is a struct mh_reader. */
int mh_reader_check(const struct mh_role_options *options, const struct mh_job *job,
                    const struct mh_plan *plan, struct mh_error *err);
int mh_reader_init(struct mh_role *role, struct mh_error *err);
void mh_reader_fini(struct mh_role *role);
int64_t mh_reader_bound_ns(const struct mh_role_options *options);

/* Draws a kind of read and sets what searches and queries have in common. NULL: no memory. */
const struct mh_read_options *mh_reader_draw(struct mh_role *role, struct mh_op *op);

/* Sets op->request for the kind of read op->read.item, whose expression is op->read.text. */
void mh_reader_ask(struct mh_role *role, struct mh_op *op);

/* A distance (as the metric has it) that, at random, 0 .. share of the rows are nearer than. */
double mh_reader_radius(struct mh_role *role, double share);

#endif
