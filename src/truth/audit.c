/* The passes of an audit and what lies between them. Rank 0 speaks to the server about the collection as a
 * whole; the others wait, asleep. */
#include "truth/audit.h"

#include "base/clock.h"
#include "base/log.h"
#include "client/steps.h"
#include "comm/comm.h"
#include "truth/partition.h"
#include "truth/presence.h"
#include "truth/scan.h"

#include <stdlib.h>

enum { QUESTIONS_AT_ONCE = 16 /* over all ranks */ };

static const char *const count_field[] = {"count(*)"};

/* ---- rank 0's questions ---- */

static int ask(struct mh_asker *asker, struct mh_request request, const struct mh_reply **reply,
               struct mh_error *err)
{
    return mh_ask(asker, &request, reply, err);
}

static struct mh_request about(const struct mh_audit *audit, enum mh_op_kind kind)
{
    return mh_steps_request(audit->job, audit->content, kind);
}

static int count_all(struct mh_audit *audit, struct mh_asker *asker, int64_t *count, struct mh_error *err)
{
    const struct mh_reply *reply;
    struct mh_request request = about(audit, MH_OP_QUERY);
    request.expression = "";
    request.output_fields = count_field;
    request.output_count = 1;
    request.consistency = MH_STRONG;
    if (ask(asker, request, &reply, err) != 0)
        return -1;
    return mh_count_in(reply, count, err);
}

/* ---- one pass ---- */

static int settle_counts(struct mh_pass *pass, struct mh_asker *asker, int64_t partition_sum,
                         struct mh_error *err)
{
    struct mh_audit *audit = pass->audit;
    const struct mh_reply *reply;
    int64_t again = 0;
    int rc = count_all(audit, asker, &audit->figures.count_star, err);
    if (rc == 0)
        rc = ask(asker, about(audit, MH_OP_STATISTICS), &reply, err);
    if (rc != 0)
        return -1;
    audit->figures.statistics_row_count = reply->row_count;
    if (count_all(audit, asker, &again, err) != 0)
        return -1;
    /* so many rows may have landed in between */
    const int64_t moved = llabs(again - audit->figures.count_star),
                  apart = llabs(audit->figures.count_star - partition_sum);
    if (moved <= audit->in_doubt && apart <= audit->in_doubt)
        return 0;
    const struct mh_suspect all = {.id = MH_ID_ALL,
                                   .partition = -1,
                                   .expected_version = partition_sum,
                                   .seen_version =
                                       moved > audit->in_doubt ? again : audit->figures.count_star};
    mh_pass_condemn(pass, MH_MISCOUNTED, &all, -1);
    return 0;
}

typedef int pass_step(struct mh_pass *pass, struct mh_error *err);

static int every_step(struct mh_pass *pass, struct mh_error *err)
{
    static pass_step *const steps[] = {mh_pass_scan, mh_pass_settle, mh_pass_count, mh_pass_vectors};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (mh_comm_agree(pass->audit->comm, steps[i](pass, err), err) != 0)
            return -1;
    return 0;
}

static void take_figures(struct mh_audit *audit, const struct mh_pass *pass)
{
    struct mh_audit_figures *figures = &audit->figures;
    int64_t sums[] = {pass->expected_live,   pass->expected_maybe, pass->scanned,
                      pass->unknown_present, pass->unknown_absent, pass->deletes_hit_live,
                      pass->upserts_hit_live};
    mh_comm_sum_i64(audit->comm, sums, sizeof sums / sizeof sums[0]);
    figures->expected_live = sums[0];
    figures->expected_maybe = sums[1];
    figures->scanned = sums[2] + figures->outside;
    figures->unknown_present = sums[3];
    figures->unknown_absent = sums[4];
    figures->deletes_hit_live = sums[5];
    figures->upserts_hit_live = sums[6];
    figures->passes++;
}

static int pass_over(struct mh_audit *audit, struct mh_asker *asker, struct mh_fan *fan,
                     struct mh_presence *presence, struct mh_error *err)
{
    struct mh_pass pass = {.audit = audit,
                           .fan = fan,
                           .number = (int32_t)audit->figures.passes,
                           .collection_gone = presence->collection_gone,
                           .partition_gone = presence->partition_gone,
                           .partitions = presence->partitions,
                           .partition_count = presence->count};
    int64_t partition_sum = 0;
    int rc = mh_comm_agree(audit->comm, mh_pass_open(&pass, err), err);
    if (rc == 0)
        rc = every_step(&pass, err);
    if (rc == 0)
        rc = mh_pass_partitions(&pass, &partition_sum, err);
    if (rc == 0 && audit->rank == 0 && !presence->collection_gone)
        rc = settle_counts(&pass, asker, partition_sum, err);
    rc = mh_comm_agree(audit->comm, rc, err);
    if (rc == 0) {
        audit->figures.partition_sum = partition_sum;
        if (presence->collection_gone)
            audit->figures.count_star = 0;
        take_figures(audit, &pass);
    }
    mh_pass_close(&pass);
    return rc;
}

/* ---- all passes ---- */

/* In verify, which found it gone before it could ask which one it is. */
static int stays_gone(const struct mh_audit *audit, bool gone, struct mh_error *err)
{
    if (gone || !audit->collection_gone || audit->figures.passes > 0)
        return 0;
    return mh_fail(err, "collection %s was gone, and is there again: which one it is was not asked",
                   audit->job->collection.name);
}

/* Nothing can be done to a collection that is gone, or that goes meanwhile: the pass will say what is lost.
 * Whether it is there is found out once for both, so that no pass is made without its step. */
static int step_if_there(struct mh_audit *audit, struct mh_asker *asker, mh_step *step, bool *gone,
                         struct mh_error *err)
{
    struct mh_error ignored;
    if (mh_find_collection(asker, audit->job, audit->content, audit->collection_gone, gone, err) != 0 ||
        stays_gone(audit, *gone, err) != 0)
        return -1;
    if (*gone || step(asker, audit->job, audit->content, err) == 0)
        return 0;
    return mh_find_collection(asker, audit->job, audit->content, false, gone, &ignored) == 0 && *gone ? 0
                                                                                                      : -1;
}

/* Rank 0 does something to the collection; then all ranks look at every row of what is there after it. */
static int step_and_pass(struct mh_audit *audit, struct mh_asker *asker, struct mh_fan *fan, const char *name,
                         mh_step *step, struct mh_error *err)
{
    struct mh_presence presence = {0};
    const int64_t before = mh_audit_violations(&audit->figures), begin = mh_now_ns();
    int rc = audit->rank == 0 ? step_if_there(audit, asker, step, &presence.collection_gone, err) : 0;
    rc = mh_comm_agree(audit->comm, rc, err);
    if (rc == 0)
        rc = mh_presence_learn(audit, asker, &presence, err);
    if (rc == 0)
        rc = pass_over(audit, asker, fan, &presence, err);
    mh_presence_end(audit, &presence);
    if (rc != 0)
        return mh_fail_in(err, "audit, %s", name);
    int64_t found = mh_audit_violations(&audit->figures) - before;
    mh_comm_sum_i64(audit->comm, &found, 1);
    if (audit->rank == 0)
        mh_note("audit, %s: %lld rows read by key in %.1f s, %lld new violation%s", name,
                (long long)audit->figures.scanned, (double)(mh_now_ns() - begin) / (double)MH_S,
                (long long)found, found == 1 ? "" : "s");
    return 0;
}

static int every_pass(struct mh_audit *audit, struct mh_asker *asker, struct mh_fan *fan,
                      struct mh_error *err)
{
    const uint32_t recheck = audit->job->verify.recheck;
    if (audit->rank == 0)
        mh_note("audit: reading every row back by key, on ranks that did not write it");
    int rc = step_and_pass(audit, asker, fan, "first pass", mh_step_load, err);
    if (rc == 0 && recheck & MH_RECHECK_FLUSH)
        rc = step_and_pass(audit, asker, fan, "after flush", mh_step_flush, err);
    if (rc == 0 && recheck & MH_RECHECK_RELOAD)
        rc = step_and_pass(audit, asker, fan, "after release and load", mh_step_reload, err);
    return rc;
}

static void watch(void *context, const struct mh_op *op)
{
    struct mh_audit *audit = context;
    struct mh_record record;
    if (!audit->tallies)
        return;
    mh_record_of(&record, op, audit->tallies->stages - 1, 0, 0);
    mh_tallies_plan(audit->tallies, record.stage, record.role, record.kind, 1);
    mh_tallies_book(audit->tallies, &record, op->outcome == MH_OUTCOME_OK ? "" : op->reply.reason);
}

/* What each rank counted of its own becomes everybody's sum; what all know already is left alone. */
static void share_figures(struct mh_audit *audit)
{
    struct mh_audit_figures *figures = &audit->figures;
    int64_t own[] = {figures->rows_compared, figures->vectors_compared, figures->allowed};
    mh_comm_sum_i64(audit->comm, own, 3);
    figures->rows_compared = own[0];
    figures->vectors_compared = own[1];
    figures->allowed = own[2];
    mh_comm_sum_i64(audit->comm, figures->wrong, MH_WRONGS);
    int64_t counts[] = {figures->count_star, figures->statistics_row_count};
    mh_comm_bcast(audit->comm, counts, sizeof counts, 0);
    figures->count_star = counts[0];
    figures->statistics_row_count = counts[1];
}

int mh_audit_skip(struct mh_audit *audit, struct mh_error *err)
{
    const int rc = mh_slices_make(&audit->slices, audit->plan, audit->ledger, audit->comm, err);
    audit->figures.count_star = audit->figures.statistics_row_count = audit->figures.partition_sum = -1;
    mh_comm_sum_i64(audit->comm, audit->figures.wrong, MH_WRONGS);
    return rc;
}

int mh_audit_run(struct mh_audit *audit, struct mh_error *err)
{
    const struct mh_ledger_totals *totals = &audit->ledger->totals;
    const int np = audit->plan->np;
    struct mh_asker asker = {0};
    struct mh_fan fan = {0};
    audit->figures.count_star = audit->figures.statistics_row_count = audit->figures.partition_sum = -1;
    audit->in_doubt = totals->unknown_inserts + totals->unknown_upserts + totals->unknown_deletes;
    mh_comm_sum_i64(audit->comm, &audit->in_doubt, 1);
    int rc = mh_slices_make(&audit->slices, audit->plan, audit->ledger, audit->comm, err);
    if (rc != 0)
        return -1;
    mh_phases_enter(audit->phases, MH_PHASE_AUDIT);
    int width = QUESTIONS_AT_ONCE / np > 0 ? QUESTIONS_AT_ONCE / np : 1;
    rc = mh_fan_open(&fan, audit->rpc, audit->job, audit->rank + 1, width, audit->seed, err);
    if (rc == 0)
        rc = mh_asker_open(&asker, audit->rpc, audit->job, audit->rank + 1, audit->seed, err);
    rc = mh_comm_agree(audit->comm, rc, err);
    if (rc == 0) {
        asker.stop = fan.stop = audit->stop;
        asker.policy.patience_ns = fan.policy.patience_ns = MH_AUDIT_PATIENCE_S * MH_S;
        fan.watch = watch;
        fan.watch_context = audit;
        rc = every_pass(audit, &asker, &fan, err);
    }
    share_figures(audit);
    if (asker.connection)
        mh_asker_close(&asker);
    if (fan.connections)
        mh_fan_close(&fan);
    return rc;
}

void mh_audit_free(struct mh_audit *audit)
{
    mh_slices_free(&audit->slices);
    free(audit->partitions);
    free(audit->partition_text);
    free(audit->partition_gone);
    free(audit->violations);
    free(audit->index);
}
