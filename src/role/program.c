#include "role/program.h"

#include <string.h>

const char *const mh_step_names[MH_STEPS] = {
    "create_collection",
    "create_partition",
    "insert",
    "create_index",
    "load",
    "search",
    "query",
    "release",
    "drop_index",
    "delete",
    "drop_partition",
    "drop_collection",
    "count",
    "count",
    "show_partitions",
    "show_collections",
    "describe_index",
    "show_collections",
    "show_partitions",
    "describe_index",
};

/* An index that is there already may be created, and what is loaded may be loaded. */
const struct mh_program mh_inquest = {
    .steps = {MH_STEP_FIND_COLLECTION, MH_STEP_FIND_PARTITION, MH_STEP_FIND_INDEX, MH_STEP_CREATE_INDEX,
              MH_STEP_LOAD, MH_STEP_COUNT, MH_STEP_QUERY, MH_STEP_COUNT_ELSEWHERE},
    .count = 8,
};

const struct mh_program mh_parting = {.steps = {MH_STEP_LIST_COLLECTIONS}, .count = 1};

static void append(struct mh_program *program, enum mh_step step)
{
    program->steps[program->count++] = step; /* there is room: MH_MOST_STEPS */
}

static enum mh_step step_of(const char *word)
{
    int step = 0;
    while (step < MH_STEP_COUNT && strcmp(mh_step_names[step], word) != 0)
        step++;
    return (enum mh_step)step; /* MH_STEP_COUNT: no such word */
}

/* What the cycle has when the next step begins. */
struct standing {
    bool collection, partition, rows, indexed, loaded, deleted, over;
};

static void take(struct standing *standing, enum mh_step step)
{
    standing->collection |= step == MH_STEP_CREATE_COLLECTION;
    standing->partition =
        step == MH_STEP_CREATE_PARTITION || (standing->partition && step != MH_STEP_DROP_PARTITION);
    standing->rows |= step == MH_STEP_INSERT;
    standing->indexed = step == MH_STEP_CREATE_INDEX || (standing->indexed && step != MH_STEP_DROP_INDEX);
    standing->loaded = step == MH_STEP_LOAD || (standing->loaded && step != MH_STEP_RELEASE);
    standing->deleted |= step == MH_STEP_DELETE;
    standing->over |= step == MH_STEP_DROP_COLLECTION;
}

/* What was deleted can be seen only in a loaded collection. */
static void append_recheck(struct mh_program *program, const struct standing *standing)
{
    if (!standing->indexed)
        append(program, MH_STEP_CREATE_INDEX);
    append(program, MH_STEP_LOAD);
    append(program, MH_STEP_COUNT);
    append(program, MH_STEP_QUERY);
    append(program, MH_STEP_RELEASE);
    if (!standing->indexed)
        append(program, MH_STEP_DROP_INDEX);
}

static void append_looks(struct mh_program *program, enum mh_step step, const struct standing *standing,
                         bool recheck)
{
    if ((step == MH_STEP_LOAD && standing->rows) ||
        (standing->loaded && (step == MH_STEP_INSERT || step == MH_STEP_DELETE)))
        append(program, MH_STEP_COUNT);
    else if (step == MH_STEP_QUERY && standing->partition)
        append(program, MH_STEP_COUNT_ELSEWHERE);
    else if (step == MH_STEP_DELETE && recheck)
        append_recheck(program, standing);
    else if (step == MH_STEP_DROP_PARTITION)
        append(program, MH_STEP_LIST_PARTITIONS);
    else if (step == MH_STEP_DROP_INDEX)
        append(program, MH_STEP_LIST_INDEX);
    else if (step == MH_STEP_DROP_COLLECTION)
        append(program, MH_STEP_LIST_COLLECTIONS);
}

struct mh_program mh_program_of(const struct mh_texts *words, bool recheck)
{
    struct mh_program program = {.count = 0};
    struct standing standing = {0};
    for (size_t i = 0; i < words->count; i++) {
        const enum mh_step step = step_of(words->items[i]);
        take(&standing, step);
        append(&program, step);
        append_looks(&program, step, &standing, recheck);
    }
    if (!standing.over) {
        append(&program, MH_STEP_DROP_COLLECTION);
        append(&program, MH_STEP_LIST_COLLECTIONS);
    }
    return program;
}

/* NULL: it may stand there; else why not. */
static const char *misplaced(enum mh_step step, const struct standing *standing)
{
    if (standing->over)
        return "the collection is dropped by then";
    if (step == MH_STEP_CREATE_COLLECTION)
        return standing->collection ? "there is one already" : NULL;
    if (!standing->collection)
        return "there is no collection yet: create_collection comes first";
    switch (step) {
    case MH_STEP_CREATE_PARTITION:
        return standing->partition ? "there is one already"
               : standing->rows    ? "the rows are in no partition"
                                   : NULL;
    case MH_STEP_INSERT:
        return standing->rows ? "the rows are there already" : NULL;
    case MH_STEP_CREATE_INDEX:
        return standing->indexed ? "there is one already" : NULL;
    case MH_STEP_LOAD:
        return standing->loaded    ? "it is loaded already"
               : standing->indexed ? NULL
                                   : "it needs create_index before it";
    case MH_STEP_SEARCH:
    case MH_STEP_QUERY:
        return !standing->rows    ? "it needs insert before it"
               : standing->loaded ? NULL
                                  : "it needs load before it";
    case MH_STEP_RELEASE:
        return standing->loaded ? NULL : "nothing is loaded by then";
    case MH_STEP_DROP_INDEX:
        return !standing->indexed ? "there is no index by then"
               : standing->loaded ? "it needs release before it"
                                  : NULL;
    case MH_STEP_DELETE:
        return !standing->rows     ? "it needs insert before it"
               : standing->deleted ? "the rows are deleted already"
                                   : NULL;
    case MH_STEP_DROP_PARTITION:
        return !standing->partition ? "there is no partition by then"
               : standing->loaded   ? "it needs release before it"
                                    : NULL;
    default:
        return NULL;
    }
}

int mh_program_check(const struct mh_texts *steps, struct mh_error *err)
{
    struct standing standing = {0};
    for (size_t i = 0; i < steps->count; i++) {
        const char *word = steps->items[i];
        const enum mh_step step = step_of(word);
        if (step == MH_STEP_COUNT)
            return mh_fail(err,
                           "'%.60s' is no step; known: create_collection, create_partition, insert, "
                           "create_index, load, search, query, release, drop_index, delete, drop_partition, "
                           "drop_collection",
                           word);
        const char *why = misplaced(step, &standing);
        if (why)
            return mh_fail(err, "%s stands as number %zu, but %s", word, i + 1, why);
        take(&standing, step);
    }
    return 0;
}
