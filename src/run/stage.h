/* Private to run/: a stage under way on one rank. */
#ifndef MH_RUN_STAGE_H
#define MH_RUN_STAGE_H

#include "comm/pulse.h"
#include "plan/pace.h"
#include "role/role.h"
#include "run/run.h"

#include <sys/types.h>

enum { MH_ORDERS = 4 }; /* values of mh_role_ops.order */

/* What ranks add up in every round of the heartbeat. */
struct mh_stage_sums {
    int64_t active[MH_ORDERS];             /* workers not finished */
    int64_t open_operations;               /* in flight or waiting to be sent again */
    int64_t claims_sent[3], claims_got[3]; /* by enum mh_claim_use */
    int64_t stop, give_up, broken;         /* votes */
    int64_t chaos_running;                 /* commands of the user's */
    int64_t away;                          /* workers that use another proxy than their own */
    int64_t acknowledged_rows, acknowledged_deletes;
    int64_t failed, unknown, throttled;
    int64_t violations;                   /* that probers saw */
    int64_t latency[MH_TIMELINE_BUCKETS]; /* of operations since the stage began */
};

struct mh_role_sums { /* follow the struct above, one a role of the stage */
    int64_t operations, rows;
};

/* Claims waiting for a worker, oldest first. */
struct mh_claim_queue {
    struct mh_claim *items;
    size_t head, count, room; /* a ring */
};

/* A worker at work. */
struct mh_hand {
    struct mh_role role;
    struct mh_stage *stage;
    struct mh_connection *connection;
    struct mh_retry_policy policy;
    struct mh_op *ops;         /* options->inflight slots */
    struct mh_op *idle;        /* those not in use, by op.next */
    int64_t busy;              /* slots in use */
    int64_t issued;            /* operations */
    uint64_t own_ts;           /* newest timestamp of its own writes: what a session must see */
    struct mh_rate_step whole; /* the schedule of a role with a rate and no steps */
    struct mh_pace pace;       /* open loop */
    struct mh_pace ahead;      /* the same, up to now: what is due, sent or not */
    int64_t next_due_ns, ahead_due_ns;
    int64_t due, taken;       /* operations by `ahead` and by `pace` */
    int64_t warm_until_ns;    /* what is due before is not measured */
    int64_t backlog_since_ns; /* since when operations have been due without a free slot; 0: none is */
    int64_t backlog, backlog_ns, lag_ns; /* see struct mh_tally; this worker's */
    int kind;                            /* of its last operation */
    int64_t measured;                    /* operations that were due between warm_until_ns and end_ns */
    int64_t in_time;                     /* operations that succeeded between warm_until_ns and end_ns */
    int64_t end_ns;                      /* by `for`; INT64_MAX: none */
    int64_t idle_since_ns;               /* since when a slot has been free */
    int64_t answered_ns;                 /* when an operation last succeeded; 0: none has */
    int64_t refused;                     /* operations in a row, since then */
    int64_t full_since_ns;               /* since when none has been */
    struct mh_effort *effort;            /* its role's, on this rank */
    bool counted;                        /* there, with its end */
    bool finished;                       /* because its role has nothing more */
    bool exhausted;                      /* asks for nothing more */
    struct mh_claim_queue claims;
};

struct mh_chaos_state {
    enum { MH_CHAOS_WAITS, MH_CHAOS_RUNS, MH_CHAOS_OVER } what;
    pid_t pid;
    int64_t begin_ns;
    bool killed;
};

enum { MH_LISTED_OUTAGES = 64 }; /* of a role, in a stage and on a rank; of more the newest alone */

/* A role cut off from the server. Times are since the run began. */
struct mh_outage {
    int32_t stage, role;
    int32_t ranks;         /* that it is made of */
    int32_t ended;         /* by a success */
    int32_t number, spare; /* of its role's, on its rank; MH_LISTED_OUTAGES: newest of the rest */
    int64_t unlisted;      /* so many of the rest came before it, and are nowhere else */
    int64_t from_ns, first_ns, last_ns; /* first call that broke; first success on any rank, on the last; both
                                           the stage's end where there was none. 0: none yet */
};

/* A proxy that was moved away from; times are since the run began; back_ns INT64_MAX: not yet, or never. */
struct mh_kept_absence {
    struct mh_absence absence;
    int64_t stage;
};

struct mh_stage {
    struct mh_run *run;
    int index;
    const struct mh_stage_options *options;
    struct mh_hand *hands;
    size_t hand_count;
    struct mh_op *waiting;       /* due later or to be sent again, by op.next */
    struct mh_stage_view *views; /* one a role */
    struct mh_pulse pulse;
    struct mh_post post;
    struct mh_find_max *find; /* NULL: the stage runs once */
    int64_t drop_ns;          /* so long after its `for` a role gives up what is due and unsent; 0: never */
    bool recorded;            /* its begin is in the journal */
    bool talks;               /* pulse and post are open */
    int64_t *counters;        /* struct mh_stage_sums and the role sums, this rank's */
    struct mh_stage_sums *sums;
    struct mh_role_sums *role_sums;
    int64_t begin_ns;
    double cpu_begin_s;
    int64_t starved_begin_ns;
    bool stopping;  /* agreed: nothing new is sent */
    bool cancelled; /* what was in flight at the stop has been cancelled */
    int64_t away;   /* of all ranks, when it was last told */
    int64_t cancel_ns, leave_ns;
    bool left;                    /* and those who had something to remove had their time */
    int64_t save_ns;              /* when the journal is written next */
    struct mh_chaos_state *chaos; /* one a command of the stage; rank 0's */
    struct mh_error error;        /* why this rank votes `broken` */
};

/* hand.c */
int mh_hand_open(struct mh_hand *hand, struct mh_stage *stage, const struct mh_worker *worker,
                 struct mh_error *err);
void mh_hand_begin(struct mh_hand *hand); /* once the stage's begin is agreed on */
void mh_hand_drop(struct mh_hand *hand);  /* nothing more is sent; what was due ends as unsent */
void mh_hand_end(struct mh_hand *hand);   /* what held it up, into the tallies */
void mh_hand_close(struct mh_hand *hand);
int mh_hand_prepare(struct mh_hand *hand, struct mh_op *op,
                    struct mh_error *err); /* the protocol's request from what the role asked for */
void mh_hand_issue(struct mh_hand *hand, int64_t now_ns);
void mh_hand_finish(struct mh_hand *hand, struct mh_op *op);  /* its final reply is there */
void mh_hand_abandon(struct mh_hand *hand, struct mh_op *op); /* it waits and will not be sent (again) */
bool mh_hand_active(const struct mh_hand *hand);
void mh_hand_count_left(struct mh_hand *hand); /* what it would still have done, into the tallies as unsent */
void mh_stage_send_waiting(struct mh_stage *stage, int64_t now_ns);
void mh_stage_wait_until(struct mh_stage *stage, struct mh_op *op, int64_t when_ns);
void mh_stage_break(struct mh_stage *stage, const struct mh_error *err); /* this rank cannot go on */

/* Load, from an agreed begin until nothing is under way any more. Collective. */
int mh_stage_go(struct mh_stage *stage, struct mh_error *err);

struct mh_effort *mh_stage_effort(const struct mh_stage *stage, int role); /* on this rank */

/* find_max.c */
int mh_find_max_open(struct mh_stage *stage); /* -1: no memory; nothing where the stage has no find_max */
int mh_find_max_go(struct mh_stage *stage, struct mh_error *err); /* collective */
void mh_find_max_close(struct mh_stage *stage);

/* judge.c */
/* To what the judgements of the run have come to so far. */
void mh_judge_add(struct mh_run *run, const struct mh_hit_figures *figures,
                  const int64_t behind_ns[MH_LEVELS]);
int mh_judge_stage(struct mh_stage *stage, struct mh_error *err); /* collective, when nothing is under way */

/* clocks.c */
/* How far have those of the nodes moved? Collective, when nothing is under way. */
int mh_clocks_compare(struct mh_run *run, struct mh_error *err);
/* By how much a time of one rank may be wrong against one of another; 0: they read one clock. */
int64_t mh_clocks_doubt(const struct mh_run *run);

/* feed.c */
void mh_feed_receive(struct mh_stage *stage);
void mh_claim_queue_free(struct mh_claim_queue *queue);

/* chaos.c */
int mh_chaos_open(struct mh_stage *stage); /* -1: no memory */
void mh_chaos_turn(struct mh_stage *stage, int64_t now_ns);
void mh_chaos_close(struct mh_stage *stage);

/* outage.c */
int mh_outages_open(struct mh_stage *stage);                         /* -1: no memory */
void mh_outages_see(struct mh_stage *stage, const struct mh_op *op); /* a call of it has just come back */
void mh_outages_keep(struct mh_run *run); /* at intervals: what is not on record at once */
int mh_outages_report(struct mh_run *run, struct mh_error *err); /* collective: rank 0's events */
void mh_outages_close(struct mh_run *run);
/* Those of all ranks and of any stages, as events; sorts them, and joins what overlaps. -1: no memory. */
int mh_outages_tell(struct mh_run *run, struct mh_outage *items, size_t count);

/* absence.c: the same */
int mh_absences_tell(struct mh_run *run, struct mh_kept_absence *items, size_t count);

/* progress.c */
struct mh_progress {
    int64_t next_ns, last_ns;
    struct mh_stage_sums before;
    int64_t *roles_before;
    bool terminal;
};
void mh_progress_begin(struct mh_progress *progress, const struct mh_stage *stage);
void mh_progress_show(struct mh_progress *progress, const struct mh_stage *stage); /* after a round; rank 0 */
void mh_progress_end(struct mh_progress *progress);

#endif
