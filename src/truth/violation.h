/* What can be wrong with a row, in the words of Jepsen's set checker and a few of our own. */
#ifndef MH_TRUTH_VIOLATION_H
#define MH_TRUTH_VIOLATION_H

#include <stdbool.h>
#include <stdint.h>

enum mh_wrong {
    MH_LOST,        /* acknowledged, absent for good */
    MH_LATE,        /* wrong at first, right within verify.grace: counted, not a violation */
    MH_STALE,       /* an older version than acknowledged */
    MH_DUPLICATED,  /* its key is there more than once */
    MH_RESURRECTED, /* delete acknowledged, row there */
    MH_UNEXPECTED,  /* never written (or the write was refused), row there; or a version never acknowledged */
    MH_MISPLACED,   /* in another partition than written */
    MH_CORRUPTED,   /* content differs from what was written */
    MH_MISCOUNTED,  /* count(*) contradicts what a scan of the same rows at the same consistency finds; id:
                       first of the range, -1: all */
    /* of a search or query under load alone; the first two, surplus and missed also in life cycles */
    MH_WRONG_DISTANCE, /* the hit's score is not the distance of its vector */
    MH_WRONG_ORDER,    /* a hit that is nearer than the one before it */
    MH_FILTER_IGNORED, /* the row does not satisfy the expression */
    MH_RANGE_IGNORED,  /* the hit lies outside radius and range_filter */
    MH_SURPLUS,        /* more rows than were asked for; id: of the first too many */
    MH_MISSED,         /* a row that certainly qualified was left out by a read that must find all */
    /* of a prober's reads alone */
    MH_UNREAD, /* a write acknowledged before the read was sent, and that it had to show, was not seen */
    MH_NON_MONOTONIC, /* a write was seen, and by the next read of the same worker not */
    MH_INVISIBLE,     /* not seen for verify.grace where no level promises a time: counted, not a violation */
    /* of a lifecycle's own collections alone */
    MH_NOT_DROPPED, /* its drop was acknowledged, and it is still listed; id: see role/cycle.h */
    MH_WRONGS,
};
extern const char *const mh_wrong_names[MH_WRONGS];

bool mh_is_violation(int kind); /* LATE and INVISIBLE are none */

/* `id` of a MISCOUNTED that is about no single row: of the whole collection; of partition p it is MH_ID_ALL -
 * 1 - p. */
#define MH_ID_ALL (-1LL)

/* What expected_version and seen_version say beside a version number. */
enum {
    MH_VERSION_NONE = -1 /* absent */,
    MH_VERSION_UNKNOWN = -2 /* present, of no version that was ever written */
};

struct mh_violation { /* no padding: ranks send it, tests compare it byte by byte */
    int64_t id;
    int64_t cycle;            /* of a lifecycle's worker `reader`, in whose collection it is; -1: the job's */
    int64_t expected_version; /* or MH_VERSION_NONE; for MISCOUNTED: rows that a scan found */
    int64_t seen_version;     /* or MH_VERSION_*; for MISCOUNTED and DUPLICATED: what count(*) says */
    int64_t batch_first;      /* first id of the last write */
    int64_t batch_rows;
    int64_t due_ns, sent_ns, acked_ns;   /* of that write, since the run began; 0: not known */
    uint64_t server_ts;                  /* hybrid timestamp of its reply; 0: none */
    int64_t first_seen_ns, last_seen_ns; /* wrong, since the run began */
    int32_t kind;                        /* enum mh_wrong */
    int32_t partition;                   /* where it belongs, position in the plan; -1: not known */
    int32_t seen_partition;              /* where it was seen; -1: nowhere or not known */
    int32_t worker;                      /* that wrote it last, number in the plan; -1: none */
    int32_t rank;                        /* of that worker; -1: none */
    int32_t kind_of_write;               /* enum mh_op_kind of the last write; -1: none */
    int32_t first_pass, last_pass;       /* of the audit, from 0; -1: it was a read under load that saw it */
    int32_t seen_by;                     /* enum mh_op_kind of that read; 0: the audit */
    int32_t reader;                      /* its worker, number in the plan */
    double expected_value,
        seen_value; /* distances, of WRONG_DISTANCE, WRONG_ORDER and RANGE_IGNORED; else 0 */
};

#endif
