/* One worker of the lifecycle, as its three sources share it: lifecycle.c takes a cycle from step to step,
 * life_ask.c words what it asks, life_look.c judges what it is told. */
#ifndef MH_ROLE_LIFE_H
#define MH_ROLE_LIFE_H

#include "role/cycle.h"
#include "role/program.h"

#define MH_LIFE_PARTITION "cycle"

struct mh_life_options {
    struct mh_texts steps;
    char *params;
    int64_t cycles, queries, topk, poll_ns, patience_ns;
    double deleted, recheck;
};

/* A count(*) that contradicts what was written wants a closer look: at all rows, and, where these are fewer
 * than it says, for those that are there more than once; or at the rows where none of the cycle's belongs. */
enum mh_life_look { MH_LIFE_NO_LOOK, MH_LIFE_LOOK_AT_ROWS, MH_LIFE_LOOK_FOR_COPIES, MH_LIFE_LOOK_ELSEWHERE };

struct mh_life {
    struct mh_program usual, rechecked;
    struct mh_cycle rows;
    bool exact;           /* the index finds what is nearest */
    const char **outputs; /* every field; the vector is the last */
    int64_t number;       /* of the cycle under way, from 0; then of those begun */
    char name[300];
    char expression[400];

    /* the cycle under way */
    bool under_way, busy;
    const struct mh_program *program;
    int at;              /* its step */
    int64_t begun;       /* rows that the step has asked for */
    bool again;          /* the same once more: its answer was wrong */
    int64_t first, last; /* of the operation under way: rows from .. to-1 */
    int64_t delete_from, delete_to;
    int64_t inserted;
    int64_t searched, own_found; /* rows by their own vectors; found among the hits */
    int64_t begin_ns, end_ns;
    int64_t wrong_since_ns; /* an answer has been wrong since; 0: none is */
    int64_t disputed_ns;    /* the same, and it could not be asked again */
    enum mh_step disputed_step;
    bool missed;    /* something was absent then, or was listed: it is late if the inquest finds it right */
    bool condemned; /* what could not be right in it has been told */
    enum mh_life_look look;
    int64_t counted;       /* by the count(*) that wants a closer look */
    int64_t found;         /* rows that it, or the query under way, found */
    int64_t total;         /* by the last count(*) of all; 0: it was wrong */
    int64_t torn_since_ns; /* a count(*) has said more since than the query after it found; 0: no */
    int torn_pairs;        /* of count and query, that did */
    bool recounting;       /* before the query once more: the count(*) again */
    struct mh_cycle_range range;
    bool at_home;         /* rows belong in MH_LIFE_PARTITION: it was made, and not dropped by any chance */
    bool seeking, sought; /* those absent there are asked for everywhere; were, for this query */
    bool made;            /* the collection may be on the server */
    bool created, drop_sent;  /* acknowledged; by its step, whatever came of it */
    bool indexed;             /* acknowledged, and no drop of the index sent */
    bool inquest;             /* it broke: are its rows there? */
    bool looked;              /* the inquest has told */
    bool told;                /* what is wrong, that is */
    bool gone;                /* the listing was without it until verify.grace was over */
    int64_t inquest_until_ns; /* no new one after that */
    int unlooked_before;      /* cycles in a row, before this one, whose inquests came to nothing */
    int broken_before;        /* that were broken */
    int64_t pause_ns;         /* before its next operation */
    bool cleaning;            /* nothing more but its drop */
    int drops;                /* tries of it */
    bool parting;             /* nothing more but a look at whether its drop was done */
    int failed_looks;         /* of those */
    bool unseen_drop;         /* one was acknowledged, and nobody has seen since whether it was done */
    bool undropped;           /* it was not, and that was told */
    bool broken, cut;
    bool blind; /* an answer lacked what was asked for: nobody knows whether it would have been right */
    char why[64];
};

enum { MH_LIFE_DROP_PAUSE_MS = 1000 }; /* between two tries to remove what a cycle left, or to see it gone */

/* The operation that the step, or the closer look of now, asks for. */
void mh_life_ask(struct mh_role *role, struct mh_op *op);
void mh_life_ask_drop(struct mh_role *role, struct mh_op *op); /* of the collection, owed */
enum mh_step mh_life_step(const struct mh_life *life);         /* whose operation that is */

/* Of a time that inquests have, what is left of it for this cycle's: on a server on which none succeeds each
 * cycle would cost as much as the one before; half as much, then. */
int64_t mh_life_inquest_ns(const struct mh_life *life, int64_t whole_ns);

/* A good reply to the step: is what it says right? False: it is to be asked for again. */
bool mh_life_learn(struct mh_role *role, const struct mh_op *op, enum mh_step step);
/* What was wrong is right by now: `op` is the last that was asked. */
void mh_life_tell_late(struct mh_role *role, const struct mh_op *op);
/* A good reply to a closer look, which ends when it has seen enough. */
void mh_life_look_on(struct mh_role *role, const struct mh_op *op);

#endif
