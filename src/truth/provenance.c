/* Who wrote the rows found wrong: from the journals, which hold every write with its keys. */
#include "truth/audit.h"

#include "comm/comm.h"

#include <stdlib.h>

struct search {
    struct mh_violation *violations; /* by id */
    int64_t count;
    int rank;
    int64_t start_ns; /* of the run, on this rank's clock */
};

static int by_id(const void *a, const void *b)
{
    const struct mh_violation *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->kind < y->kind ? -1 : x->kind > y->kind;
}

static int64_t first_at_or_after(const struct search *search, int64_t id)
{
    int64_t low = 0, high = search->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (search->violations[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void sign(struct mh_violation *violation, const struct search *search, const struct mh_record *record)
{
    int64_t done = record->done_ns - search->start_ns;
    const bool by_load = violation->first_pass < 0;
    if (by_load && record->sent_ns - search->start_ns > violation->last_seen_ns)
        return; /* the row had been seen wrong before */
    if (violation->kind_of_write >= 0 && violation->acked_ns > done)
        return; /* a later write is known */
    violation->kind_of_write = record->kind;
    violation->worker = record->worker;
    violation->rank = search->rank;
    violation->batch_first = record->first_id;
    violation->batch_rows = record->rows;
    violation->due_ns = record->due_ns - search->start_ns;
    violation->sent_ns = record->sent_ns - search->start_ns;
    violation->acked_ns = done;
    violation->server_ts = record->server_ts;
}

static void sign_range(struct search *search, const struct mh_record *record, int64_t first, int64_t count)
{
    for (int64_t i = first_at_or_after(search, first);
         i < search->count && search->violations[i].id < first + count; i++)
        sign(&search->violations[i], search, record);
}

static int visit(void *context, const struct mh_record *record, const int64_t *keys, const uint16_t *versions,
                 const char *text, struct mh_error *err)
{
    struct search *search = context;
    bool effect = record->outcome == MH_OUTCOME_OK || record->outcome == MH_OUTCOME_UNKNOWN;
    (void)versions;
    (void)text;
    (void)err;
    if (record->type != MH_RECORD_DONE || !mh_record_writes(record) || !effect)
        return 0;
    if (!keys)
        sign_range(search, record, record->first_id, record->rows);
    for (uint32_t i = 0; keys && i < record->rows; i++)
        sign_range(search, record, keys[i], 1);
    return 0;
}

void mh_sort_violations(struct mh_violation *violations, int64_t count)
{
    if (count > 1)
        qsort(violations, (size_t)count, sizeof *violations, by_id);
}

int mh_sign_violations(struct mh_violation *violations, int64_t count, int rank, const char *journal,
                       int64_t start_ns, struct mh_error *err)
{
    struct search search = {.violations = violations, .count = count, .rank = rank, .start_ns = start_ns};
    struct mh_journal_start start;
    struct mh_journal_end end;
    return count > 0 ? mh_journal_read(journal, &start, visit, &search, &end, err) : 0;
}

/* All ranks' violations, on every rank. */
static int gather(struct mh_audit *audit, struct search *search, struct mh_error *err)
{
    void *all;
    size_t bytes;
    if (mh_comm_gather_bytes(audit->comm, audit->violations,
                             (size_t)audit->violation_count * sizeof *audit->violations, &all, &bytes,
                             err) != 0)
        return -1;
    search->violations = all;
    search->count = (int64_t)(bytes / sizeof *search->violations);
    mh_sort_violations(search->violations, search->count);
    return 0;
}

static void keep_latest(void *from, void *into, int *count, MPI_Datatype *type)
{
    const struct mh_violation *theirs = from;
    struct mh_violation *ours = into;
    (void)type;
    for (int i = 0; i < *count; i++)
        if (theirs[i].kind_of_write >= 0 &&
            (ours[i].kind_of_write < 0 || ours[i].acked_ns < theirs[i].acked_ns))
            ours[i] = theirs[i];
}

/* Rank 0 takes, for each violation, the latest write that any rank knows of. */
static void collect(struct mh_audit *audit, struct search *search)
{
    MPI_Datatype violation;
    MPI_Op latest;
    MPI_Request request;
    const bool root = audit->rank == 0;
    if (search->count == 0)
        return;
    MPI_Type_contiguous(sizeof *search->violations, MPI_BYTE, &violation);
    MPI_Type_commit(&violation);
    MPI_Op_create(keep_latest, 1, &latest);
    MPI_Ireduce(root ? MPI_IN_PLACE : search->violations, root ? search->violations : NULL,
                (int)search->count, violation, latest, 0, audit->comm, &request);
    mh_comm_wait(&request);
    MPI_Op_free(&latest);
    MPI_Type_free(&violation);
}

/* Those before `end`, whose writes are in no journal of this run: who inserted it, by the plan. */
static void name_writers(struct search *search, const struct mh_plan *plan, int64_t end)
{
    for (int64_t i = 0; i < search->count; i++) {
        const struct mh_worker *writer = mh_plan_writer_of(plan, search->violations[i].id);
        if (writer && writer->number < end)
            search->violations[i].worker = (int32_t)writer->number;
    }
}

int mh_audit_provenance(struct mh_audit *audit, const char *journal_path, struct mh_error *err)
{
    struct search search = {0};
    mh_comm_sum_i64(audit->comm, &audit->violations_dropped, 1);
    mh_comm_sum_i64(audit->comm, &audit->sightings, 1);
    if (gather(audit, &search, err) != 0)
        return -1;
    int rc = 0;
    if (search.count > 0 && journal_path)
        rc = mh_comm_agree(audit->comm,
                           mh_sign_violations(search.violations, search.count, audit->rank, journal_path,
                                              audit->start_ns, err),
                           err);
    name_writers(&search, audit->plan, journal_path ? audit->plan->first_at_work : audit->plan->worker_count);
    if (rc == 0)
        collect(audit, &search);
    free(audit->violations);
    free(audit->index);
    audit->index = NULL;
    audit->index_room = audit->index_used = 0;
    audit->violations = audit->rank == 0 ? search.violations : NULL;
    audit->violation_count = audit->violation_room = audit->rank == 0 ? search.count : 0;
    if (audit->rank != 0)
        free(search.violations);
    return rc;
}
