/* The audit: does the server hold exactly what it acknowledged? Every row of every partition is read back by
 * key, on a rank that did not write it, compared with the ledger, and counted; again after a flush and after
 * release and load. See docs/audit.md for what it can and cannot see. */
#ifndef MH_TRUTH_AUDIT_H
#define MH_TRUTH_AUDIT_H

#include "client/ask.h"
#include "dataset/content.h"
#include "measure/phases.h"
#include "measure/tally.h"
#include "truth/journal.h"
#include "truth/ledger.h"
#include "truth/slice.h"
#include "truth/violation.h"

#include <mpi.h>

/* With one question: a server that lags behind its log lets a read at Strong wait. */
enum { MH_AUDIT_PATIENCE_S = 120 };

enum {                                     /* more are counted only */
       MH_VIOLATIONS_KEPT = 100000,        /* a rank */
       MH_VIOLATIONS_KEPT_IN_ALL = 1000000 /* shared out over the ranks */
};

/* Sums over all ranks, on every rank, when the audit has ended. Rows unless said otherwise. */
struct mh_audit_figures {
    int64_t expected_live;    /* acknowledged, and no delete of it sent */
    int64_t expected_maybe;   /* 0 or 1 copies are right: the insert or a delete of it ended in doubt */
    int64_t scanned;          /* distinct keys found, last pass */
    int64_t outside;          /* found where no row belongs, last pass */
    int64_t wrong[MH_WRONGS]; /* distinct (kind, id) */
    int64_t
        unknown_present;    /* writes in doubt that took effect: insert or upsert visible, deleted row gone */
    int64_t unknown_absent; /* that did not */
    int64_t rows_compared, vectors_compared;    /* all passes */
    int64_t deletes_hit_live, upserts_hit_live; /* acknowledged ones whose row had an acknowledged insert */
    int64_t allowed;                            /* anomalies that the job allows */
    /* rank 0's alone, then shared */
    int64_t count_star, partition_sum, statistics_row_count; /* last pass; -1: not asked */
    int64_t passes;
};

struct mh_audit_entry {
    int64_t id;
    int16_t kind;
    bool used;
    int32_t number; /* in mh_audit.violations; -1: dropped */
};

struct mh_audit {
    /* in */
    const struct mh_job *job;
    const struct mh_plan *plan;
    const struct mh_content *content;
    const struct mh_ledger *ledger;
    struct mh_rpc *rpc;
    MPI_Comm comm;
    int rank;
    uint64_t seed;
    int64_t start_ns;           /* this rank's clock when the run began */
    bool collection_gone;       /* was confirmed before; then what the last pass found */
    struct mh_tallies *tallies; /* NULL: the audit's own operations are not counted */
    bool (*stop)(void);
    struct mh_phases *phases; /* NULL: nobody wants to know */
    /* out */
    int64_t in_doubt; /* rows of writes that ended in doubt, all ranks */
    struct mh_audit_figures figures;
    struct mh_violation *violations; /* this rank's, in order of discovery */
    int64_t violation_count, violation_room, violations_dropped;
    int64_t most_kept; /* violations; 0: this rank's share */
    int64_t sightings; /* of wrong rows, beyond those kept under load: how many rows they are is not known;
                          all ranks' after mh_audit_provenance */
    struct mh_audit_entry *index; /* hash table over (kind, id), of the dropped ones too */
    size_t index_room, index_used;
    char **partitions; /* what violations' partition numbers mean: the plan's, then those that only the server
                          knew */
    int partition_count;
    char *partition_text;
    bool *partition_gone;    /* of the plan's, in the last pass; NULL: there was none */
    struct mh_slices slices; /* with all fates: what /truth/ledger is written from */
};

/* Collective. 0: every pass was made (look at the figures for what was found); -1: the audit could not be
 * completed, and why; what was found until then stands. All ranks return the same. */
int mh_audit_run(struct mh_audit *audit, struct mh_error *err);
/* In its place where no row is to be read back: what was put on record before is added up. Collective. */
int mh_audit_skip(struct mh_audit *audit, struct mh_error *err);
void mh_audit_free(struct mh_audit *audit);

/* Adds who wrote each violating row, when, in which batch, from the journals at `journal_path` of every rank
 * (NULL: there are none; then it stays unknown). Collective; afterwards rank 0 holds all ranks' violations,
 * by id; the others none. */
int mh_audit_provenance(struct mh_audit *audit, const char *journal_path, struct mh_error *err);

void mh_sort_violations(struct mh_violation *violations, int64_t count); /* by id */

/* Of one rank's journal, whose times count from start_ns: who wrote the rows of `violations`, which are
 * sorted. A later write than is known already takes its place. */
int mh_sign_violations(struct mh_violation *violations, int64_t count, int rank, const char *journal,
                       int64_t start_ns, struct mh_error *err);

/* Puts it on record, once for each (kind, id). */
void mh_audit_condemn(struct mh_audit *audit, const struct mh_violation *violation);

bool mh_audit_is_wrong(const struct mh_audit *audit, int64_t id); /* of anything but being late */

int64_t mh_audit_violations(const struct mh_audit_figures *figures); /* late rows are none */

#endif
