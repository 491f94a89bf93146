/* The contract of a role. A role chooses what to send and learns from the reply; the core owns clock, pacing,
 * slots, counters, ledger and feed. A role that reads a clock or calls gRPC or MPI is a bug.
 *
 * A new role: its file (options, state, hooks, and last its const struct mh_role_ops), a line in table.c, a
 * line in CMakeLists.txt, a job in jobs/ that shows it. */
#ifndef MH_ROLE_ROLE_H
#define MH_ROLE_ROLE_H

#include "client/op.h"
#include "dataset/content.h"
#include "job/job.h"
#include "plan/plan.h"

enum mh_next { MH_NEXT_SEND, MH_NEXT_WAIT, MH_NEXT_FINISHED, MH_NEXT_NO_MEMORY };

/* Rows side by side that were acknowledged, in one version, and that have no other mutator: whoever takes
 * them may change them, and is the only one who does. */
struct mh_claim {
    int64_t first;
    int32_t count;
    int32_t partition; /* position in the plan */
    int32_t version;
    int32_t role;  /* position in the stage of the role that it is for */
    int64_t index; /* which of that role's workers */
};

enum mh_claim_use { MH_CLAIMS_NONE, MH_CLAIMS_TO_UPSERT, MH_CLAIMS_TO_DELETE };

/* What a role may know of the others: sums over all ranks, at most a fraction of a second old. */
struct mh_stage_view {
    int64_t acknowledged_rows;    /* inserted, this stage */
    int64_t acknowledged_deletes; /* rows */
    bool dry; /* every worker of a role with a lower `order` has finished, and no claim is on its way */
};

/* One worker of a role. The core fills it; `state` is the role's. */
struct mh_role {
    const struct mh_role_ops *ops;
    const struct mh_job *job;
    const struct mh_role_options *options;
    const struct mh_worker *worker;
    const struct mh_plan *plan;
    const struct mh_content *content;
    const struct mh_stage_view *view;
    uint32_t run_tag;        /* of this run alone, the same on every rank: for names on the server */
    bool ending;             /* it begins nothing new: `next` is asked for what it owes alone */
    struct mh_random random; /* of this worker alone */
    void *state;             /* state_size zeroed bytes */
    void *core;
};

/* Claims waiting for this worker: takes the oldest; false when there is none now. */
bool mh_role_take_claim(struct mh_role *role, struct mh_claim *claim);

/* Offers rows, acknowledged, that this worker is done with to the stage's other roles; the core picks who
 * gets them, or nobody. */
void mh_role_offer(struct mh_role *role, const struct mh_claim *rows);

/* What a read of a row showed of a write of it that had been acknowledged before. */
enum { MH_SIGHT_ABSENT = -1, MH_SIGHT_STRANGE = -2 }; /* beside versions; strange: of none ever written */
enum {                                                /* bits of struct mh_sighting.what */
       MH_SIGHT_FIRST = 1,                            /* it could be seen for the first time */
       MH_SIGHT_UNREAD = 2, /* it could not, and the level of consistency says that it must: said once */
       MH_SIGHT_BACK = 4,   /* it had been seen before, and was not now */
       MH_SIGHT_NEVER = 8,  /* given up: not seen for verify.grace */
};

struct mh_sighting {
    unsigned what;
    bool told; /* UNREAD was said of this write, now or before */
    enum mh_op_kind write, read;
    int consistency; /* of the read */
    int64_t id;
    int32_t expected, seen;             /* versions, or MH_SIGHT_* */
    int64_t acked_ns, sent_ns, done_ns; /* the write's end; the read's begin and end */
};

/* Tells the core, which counts, and condemns the row. */
void mh_role_saw(struct mh_role *role, const struct mh_sighting *sighting);

/* What a role found wrong with a collection of its own. */
enum mh_found {
    MH_FOUND_LATE, /* an answer was wrong at first, and right within verify.grace */
    MH_FOUND_LOST,
    MH_FOUND_MISPLACED,
    MH_FOUND_DUPLICATED,
    MH_FOUND_RESURRECTED,
    MH_FOUND_UNEXPECTED,
    MH_FOUND_CORRUPTED,
    MH_FOUND_MISCOUNTED,
    MH_FOUND_MISSED,
    MH_FOUND_SURPLUS,
    MH_FOUND_WRONG_DISTANCE,
    MH_FOUND_WRONG_ORDER,
    MH_FOUND_FILTER_IGNORED,
    MH_FOUND_NOT_DROPPED,
    MH_FOUNDS,
};

struct mh_finding {
    enum mh_found what;
    int64_t id;                        /* a row's, or one that stands for the whole (see cycle.h) */
    int64_t expected, seen;            /* versions or MH_SIGHT_*, or numbers of rows */
    double expected_value, seen_value; /* scores */
    int64_t cycle;                     /* its number, from 0 */
    enum mh_op_kind step;              /* that showed it */
    int64_t first_ns, last_ns;         /* seen wrong: ends of reads */
};

/* Tells the core: it is a violation from then on. */
void mh_role_found(struct mh_role *role, const struct mh_finding *finding);

/* Many operations that the role counts and times as one: `cycle` in the tallies. */
struct mh_cycle_end {
    enum mh_outcome outcome;  /* OK: whole. FAILED: broken, `why` says where. UNKNOWN: so, and nobody looked
                                 at the rows that it must have had by then */
    bool cut;                 /* instead: the stage was ended in its midst */
    bool contradicted;        /* by an answer that proves nothing, or might have been put right */
    bool left;                /* its collection may be on the server: not dropped, or not seen to be gone */
    int64_t rows;             /* acknowledged inserts */
    int64_t searched, found;  /* rows searched for by their own vectors; that were hits */
    int64_t begin_ns, end_ns; /* its first operation was due; the last reply */
    const char *why;
};
void mh_role_cycle_ended(struct mh_role *role, const struct mh_cycle_end *end);

struct mh_role_ops {
    struct mh_role_kind kind;
    int order;               /* roles end in this order: writers 0, those who live on their rows after them */
    enum mh_claim_use takes; /* what it does with rows that others wrote */
    bool reads;              /* the collection must be loaded */
    bool probes;             /* it judges its reads itself (mh_role_saw, mh_role_found): nobody else does */
    bool writes_rows;        /* the plan gives each worker options->rows ids of its own */
    const char *(*partition)(
        const struct mh_role_options *options); /* see struct mh_plan_needs; NULL: none */
    double (*share)(
        const struct mh_role_options *options); /* of offered rows that go to this role, 0..1; with `takes` */
    int64_t (*bound_ns)(
        const struct mh_role_options *options); /* how far its reads at bounded may lag; those that others
                                                   judge for it. NULL: it has none */
    size_t state_size;
    /* Do the options fit the rest of the job? Before anything is sent, and in `check`. NULL: always. */
    int (*check)(const struct mh_role_options *options, const struct mh_job *job, const struct mh_plan *plan,
                 struct mh_error *err);
    int (*init)(struct mh_role *role, struct mh_error *err); /* NULL: nothing to do */
    enum mh_next (*next)(struct mh_role *role,
                         struct mh_op *op); /* fills op->request.kind, for writes rows.ids, rows.rows,
                                               versions, partition, for reads the request's other fields and
                                               read, collection and guarantee_ts apart */
    void (*done)(struct mh_role *role, const struct mh_op *op); /* final; NULL: nothing to learn */
    int64_t (*left)(
        const struct mh_role *role); /* operations it would still have sent, when stopped early; NULL: 0 */
    /* What it has made on the server and must remove before it ends, by name; NULL: nothing now. While there
     * is something, `for` does not end it; a stop sets role->ending, and asks `next` on. NULL: never. */
    const char *(*owes)(const struct mh_role *role);
    void (*leave)(struct mh_role *role); /* the stage is over, and it still owes: books what it left undone */
    void (*fini)(struct mh_role *role);  /* NULL: nothing to do */
};

/* NULL-ended, in the order of `milvus-hpc options`. */
extern const struct mh_role_ops *const mh_roles[];
extern const struct mh_role_kind *const mh_role_kinds[];

const struct mh_role_ops *mh_role_ops_of(const struct mh_role_options *options);
int64_t mh_role_slots(const struct mh_role_options *options); /* operations of a worker at once, at least 1 */
mh_plan_needs_of mh_role_needs;                               /* for mh_plan_make */

/* Every role of the job, by its own `check`; the error names file, stage and role. */
int mh_roles_check(const struct mh_job *job, const struct mh_plan *plan, struct mh_error *err);

#endif
