/* Private to command/: a run from job file to result, as a list of named steps. */
#ifndef MH_COMMAND_SESSION_H
#define MH_COMMAND_SESSION_H

#include "client/ask.h"
#include "command/command.h"
#include "observe/observe.h"
#include "result/report.h"
#include "role/role.h"
#include "run/calibrate.h"
#include "run/run.h"
#include "truth/audit.h"

struct mh_session {
    const struct mh_arguments *arguments;
    MPI_Comm comm;
    int rank, np;
    int *node_of_rank; /* np, on every rank */
    int nodes;
    uint64_t seed;
    char run_id[40];
    char output[4096];   /* the result */
    char journals[4096]; /* the folder beside it; empty: none are kept */
    char samples[4200];  /* this rank's, among them; empty: none are kept */
    char dataset[512];   /* in words */
    char server_version[64];
    int64_t started_wall_ns;
    struct mh_job *job;
    struct mh_plan *plan;
    struct mh_plan issued; /* the plan as far as it was carried out: what is audited */
    struct mh_dataset *data;
    struct mh_content content;
    struct mh_rpc *rpc;
    struct mh_calibration calibration;
    struct mh_run run;
    int64_t
        *longest; /* of run.efforts: the longest active_ns, and the busiest rank as calibration.c packs it */
    struct mh_observer *observer; /* NULL: none */
    struct mh_audit audit;
    struct mh_report report; /* rank 0 */
    char *sets;              /* of --set and --server, the saved run's first: JSON, an array of texts */
    const char *saved;       /* verify, run --continue: the file it is in */
    struct mh_report parent; /* and the run: audited again, or continued; else empty */
    struct mh_earlier {      /* rows of parts before the plan's last; sums over all ranks, on every rank */
        int64_t rows;        /* that were issued */
        int64_t inserts, upserts, deletes; /* acknowledged */
        int64_t live;                      /* of the inserts, with no delete sent */
        int64_t upserts_hit_live, deletes_hit_live;
    } earlier;
    bool only_audits; /* verify */
    uint64_t dataset_digest;
    int64_t collection_id;          /* the server's; 0: it gives none */
    int64_t neighbors_missed;       /* that searches compared with live truth left out: distinct rows */
    int64_t neighbors_missed_wrong; /* of them, what the audit found wrong: the row is, not the index */
    int64_t reads_unjudged;         /* rebuilt: that came back to searchers and queriers */
    bool collection_made, collection_gone, audited;
    bool result_failed; /* could not be written */
    bool journals_begun, result_stands;
    bool rebuilt; /* by merge, from journals */
    bool broken;  /* infrastructure: exit code 3 */
    char broken_why[1024];
};

typedef int mh_session_prepare(struct mh_session *session, struct mh_error *err); /* collective */

/* session.c: what run and verify share. mh_session_go is all of one: prepare, load (NULL: none), audit,
 * verdict, result, summary; returns the exit code. */
int mh_session_go(const struct mh_arguments *arguments, MPI_Comm comm, mh_session_prepare *prepare,
                  void (*load)(struct mh_session *session));
void mh_session_name_run(struct mh_session *session);
/* The result's name is free, and its folder can be written: said before any load, not after. */
int mh_session_choose_output(struct mh_session *session, bool journals, struct mh_error *err);
int mh_session_open_dataset(struct mh_session *session, struct mh_error *err);
int mh_session_open_run(struct mh_session *session, struct mh_error *err); /* clock, tallies, ledger */
void mh_session_break(struct mh_session *session,
                      const struct mh_error *err); /* infrastructure failed: go on to the result */

/* When the grace is over that the first signal gives; INT64_MAX: none has come. From any thread. */
int64_t mh_session_grace_end(void);

void mh_session_condemn(struct mh_session *session);      /* of what reads saw, into the audit */
void mh_session_count_missed(struct mh_session *session); /* by searches; collective */

/* job.c: what all commands do with a job file. Overrides --server and --set; `text` is the expanded file. */
int mh_session_parse_job(const struct mh_arguments *arguments, const char *path, const char *text,
                         struct mh_job **job, struct mh_error *err);
/* Puts them into session->sets, once the job is parsed, but for the token. -1: no memory. */
int mh_session_keep_sets(struct mh_session *session, const struct mh_arguments *arguments);
int mh_session_read_job(const struct mh_arguments *arguments, char **path, char **text, struct mh_error *err);
/* A copy in which the word "hidden" stands for server.token, wherever it follows "token": what is saved must
 * not open the server to its readers. NULL: no memory. */
char *mh_session_hide_token(const struct mh_job *job, const char *text);
int mh_session_fit_dataset(struct mh_job *job, const struct mh_dataset_shape *shape, struct mh_error *err);
int64_t mh_session_largest_batch(const struct mh_job *job);
void mh_session_describe_dataset(const struct mh_job *job, const struct mh_dataset_shape *shape, char *text,
                                 size_t size);

/* saved.c: what verify and run --continue begin with, all collective. Job, options and seed; the plan, of
 * `more` parts more; the data set, which must be the same; the ledger, into this rank's journal as well,
 * where it has one. */
int mh_session_load_saved(struct mh_session *session, const char *path, struct mh_error *err);
int mh_session_plan_saved(struct mh_session *session, int more, struct mh_error *err);
int mh_session_open_saved_dataset(struct mh_session *session, struct mh_error *err);
int mh_session_load_ledger(struct mh_session *session, struct mh_error *err);
void mh_earlier_add(struct mh_earlier *earlier, const struct mh_record *restored);

/* collection.c. Connections on all ranks, then `first` on rank 0; collective. */
typedef int mh_session_step(struct mh_session *session, struct mh_error *err);
int mh_session_open_server(struct mh_session *session, mh_session_step *first, struct mh_error *err);
/* The rest is rank 0's. */
int mh_session_make_collection(struct mh_session *session, struct mh_error *err);
/* The saved run's: verify; it may be gone. */
int mh_session_find_collection(struct mh_session *session, struct mh_error *err);
/* run --continue: it is there, and nobody has used this part's ids. */
int mh_session_enter_collection(struct mh_session *session, struct mh_error *err);
/* Flushed, indexed and loaded, as far as the stage wants it. Rank 0. */
int mh_session_ready_collection(struct mh_session *session, int stage, struct mh_error *err);
void mh_session_drop_collection(struct mh_session *session); /* rank 0 */
bool mh_session_keeps_collection(const struct mh_session *session);

/* conclude.c: the report */
int mh_session_conclude(struct mh_session *session,
                        struct mh_error *err); /* collective; fills session->report on rank 0 */
int mh_session_fill_report(
    struct mh_session *session,
    const struct mh_ledger_totals *totals); /* from what session holds; -1: no memory */
int64_t mh_session_fates(const struct mh_session *session, struct mh_report_fate **fates,
                         struct mh_error *err); /* -1: failed */

/* figures.c */
int mh_session_put_figures(struct mh_session *session,
                           const struct mh_ledger_totals *totals); /* of /truth/summary; -1: no memory */

/* calibration.c */
int mh_session_gather_efforts(struct mh_session *session, struct mh_error *err); /* collective */
int mh_session_put_calibration(
    struct mh_session *session); /* before the report takes the tallies; -1: no memory */
bool mh_session_is_limited(const struct mh_report *report, int stage, int role); /* by the client */

/* observe.c */
void mh_session_observe(struct mh_session *session); /* from now on */
/* What was observed, into the report; rank 0 gets the samples of all ranks. Collective, after the observer's
 * stop. */
int mh_session_put_samples(struct mh_session *session, struct mh_error *err);
/* Of a run that was killed: a rank's, from its log; the server's too from rank 0's. */
int mh_session_restore_samples(struct mh_session *session, int rank, const char *path, struct mh_error *err);

/* trends.c: after samples and operations are in the report */
int mh_session_put_trends(struct mh_session *session); /* -1: no memory */
/* Can a run of the job have such a figure? Of latencies, see threshold.c. */
bool mh_trend_is_known(const struct mh_job *job, const char *figure);

/* threshold.c */
enum { MH_DRIFT_NAME = 176 };
/* "soak.server_rss.slope" -> the stage's number, and the figure; -1: is something else. */
int mh_threshold_drift(const struct mh_job *job, const char *name, char figure[MH_DRIFT_NAME]);
int mh_thresholds_check(const struct mh_job *job, struct mh_error *err); /* are all figures known? */
struct mh_thresholds_outcome {
    int missed, undecided;
};
int mh_thresholds_judge(const struct mh_job *job, struct mh_report *report,
                        struct mh_thresholds_outcome *out); /* -1: no memory */

/* verdict.c */
struct mh_idle { /* a role of which no worker ever asked for anything; NULL: none */
    const char *stage, *role;
};
struct mh_idle mh_session_find_idle(const struct mh_session *session); /* while the tallies are the run's */
/* The report's verdict and exit code, from all that it holds by then. */
void mh_session_judge(struct mh_session *session, const struct mh_ledger_totals *totals, struct mh_idle idle,
                      struct mh_thresholds_outcome thresholds);

#endif
