/* Who wrote a row, from a rank's journal. */
#include "truth/audit.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mh_journal journal;

static void log_write(int kind, enum mh_outcome outcome, int64_t sequence, const int64_t *keys, int64_t first,
                      uint32_t rows)
{
    struct mh_record record = {.type = MH_RECORD_INTENT,
                               .kind = (uint8_t)kind,
                               .worker = 4,
                               .sequence = sequence,
                               .rows = rows,
                               .first_id = keys ? keys[0] : first,
                               .flags = keys ? MH_RECORD_SCATTERED : 0};
    mh_journal_append(&journal, &record, keys, NULL, NULL);
    record.type = MH_RECORD_DONE;
    record.flags = 0;
    record.outcome = (uint8_t)outcome;
    record.due_ns = 10000 + sequence * 100;
    record.sent_ns = record.due_ns + 1;
    record.done_ns = record.due_ns + 2;
    record.server_ts = 1000000 + (uint64_t)sequence;
    mh_journal_append(&journal, &record, NULL, NULL, NULL);
}

static void provenance_is_the_last_write_that_had_an_effect(void **state)
{
    (void)state;
    static const int64_t deleted[] = {900, 5, 17}, upserted[] = {17, 900}, refused[] = {5, 900, 17, 3};
    static const struct {
        int64_t id, sequence, batch_first, batch_rows;
        int kind;
    } expected[] = {
        {3, 0, 0, 1000, MH_OP_INSERT}, {5, 1, 900, 3, MH_OP_DELETE},    {17, 2, 17, 2, MH_OP_UPSERT},
        {900, 2, 17, 2, MH_OP_UPSERT}, {999, 0, 0, 1000, MH_OP_INSERT}, {1000, -1, 0, 0, -1},
        {1005, -1, 0, 0, -1}};
    char folder[] = "/tmp/mh-provenance-XXXXXX", file[64];
    struct mh_journal_start start = {.np = 1};
    struct mh_error err = {""};
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/rank-00000.journal", folder);
    assert_int_equal(mh_journal_open(&journal, folder, &start, &err), 0);
    log_write(MH_OP_INSERT, MH_OUTCOME_OK, 0, NULL, 0, 1000);
    log_write(MH_OP_DELETE, MH_OUTCOME_OK, 1, deleted, 0, COUNT(deleted));
    log_write(MH_OP_UPSERT, MH_OUTCOME_UNKNOWN, 2, upserted, 0, COUNT(upserted));
    log_write(MH_OP_DELETE, MH_OUTCOME_FAILED, 3, refused, 0, COUNT(refused));
    log_write(MH_OP_QUERY, MH_OUTCOME_OK, 4, NULL, 0, 5000);
    mh_journal_close(&journal, false);
    struct mh_worker workers[] = {{.first_id = 1000, .rows = 5}, {.number = 1, .first_id = 1005, .rows = 5}};
    struct mh_plan plan = {.np = 1, .workers = workers, .worker_count = 2, .first_at_work = 1, .parts = 2};
    struct mh_audit audit = {.plan = &plan, .comm = MPI_COMM_SELF, .start_ns = 7000};
    audit.violations = calloc(COUNT(expected), sizeof *audit.violations);
    for (size_t i = 0; i < COUNT(expected); i++) /* unsorted */
        audit.violations[audit.violation_count++] =
            (struct mh_violation){.kind = MH_LOST,
                                  .kind_of_write = -1,
                                  .id = expected[(i + 4) % COUNT(expected)].id,
                                  .worker = -1,
                                  .rank = -1};
    if (mh_audit_provenance(&audit, file, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(audit.violation_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        const struct mh_violation *v = &audit.violations[i];
        const bool known = expected[i].sequence >= 0;
        assert_int_equal(v->id, expected[i].id);
        assert_int_equal(v->kind_of_write, expected[i].kind);
        assert_int_equal(v->worker, known ? 4 : v->id == 1000 ? 0 : -1); /* of an earlier part: by the plan */
        assert_int_equal(v->rank, known ? 0 : -1);
        assert_int_equal(v->batch_first, expected[i].batch_first);
        assert_int_equal(v->batch_rows, expected[i].batch_rows);
        assert_int_equal(v->due_ns, known ? 3000 + 100 * expected[i].sequence : 0);
        assert_int_equal(v->sent_ns, known ? v->due_ns + 1 : 0);
        assert_int_equal(v->acked_ns, known ? v->due_ns + 2 : 0);
        assert_int_equal(v->server_ts, known ? 1000000 + expected[i].sequence : 0);
    }
    free(audit.violations);
    unlink(file);
    rmdir(folder);
}

/* Of two writes of a row, the one that was sent after a read had seen it wrong; audits come after all. */
static void a_write_after_the_read_is_not_its_cause(void **state)
{
    (void)state;
    enum { INSERT_SENT_NS = 3001, UPSERT_SENT_NS = 3101 };
    static const struct {
        int32_t pass;
        int64_t seen_ns;
        int kind;
    } cases[] = {
        {-1, INSERT_SENT_NS + 50, MH_OP_INSERT}, {-1, UPSERT_SENT_NS, MH_OP_UPSERT}, {0, 0, MH_OP_UPSERT}};
    char folder[] = "/tmp/mh-provenance-XXXXXX", file[64];
    struct mh_journal_start start = {.np = 1};
    struct mh_error err = {""};
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/rank-00000.journal", folder);
    assert_int_equal(mh_journal_open(&journal, folder, &start, &err), 0);
    log_write(MH_OP_INSERT, MH_OUTCOME_OK, 0, NULL, 0, 10);
    log_write(MH_OP_UPSERT, MH_OUTCOME_OK, 1, NULL, 0, 10);
    mh_journal_close(&journal, false);
    struct mh_plan plan = {.np = 1};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mh_audit audit = {.plan = &plan, .comm = MPI_COMM_SELF, .start_ns = 7000};
        audit.violations = calloc(1, sizeof *audit.violations);
        audit.violation_count = 1;
        *audit.violations = (struct mh_violation){.kind = MH_UNREAD,
                                                  .kind_of_write = -1,
                                                  .id = 4,
                                                  .first_pass = cases[i].pass,
                                                  .last_seen_ns = cases[i].seen_ns};
        assert_int_equal(mh_audit_provenance(&audit, file, &err), 0);
        assert_int_equal(audit.violations[0].kind_of_write, cases[i].kind);
        free(audit.violations);
    }
    unlink(file);
    rmdir(folder);
}

/* Each id is written by every rank, last by another one each; its violation is another rank's still. */
static void the_latest_write_of_all_ranks_counts(void **state)
{
    (void)state;
    enum { IDS = 10 };
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    char folder[] = "/tmp/mh-provenance-XXXXXX", file[64];
    struct mh_journal_start start = {.np = ranks, .rank = rank};
    struct mh_error err = {""};
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/rank-%05d.journal", folder, rank);
    assert_int_equal(mh_journal_open(&journal, folder, &start, &err), 0);
    for (int id = 0; id < IDS; id++)
        log_write(MH_OP_UPSERT, MH_OUTCOME_OK, (rank + id) % ranks, NULL, id, 1);
    mh_journal_close(&journal, false);
    struct mh_plan plan = {.np = ranks};
    struct mh_audit audit = {.plan = &plan, .comm = MPI_COMM_WORLD, .rank = rank, .start_ns = 7000};
    audit.violations = calloc(IDS, sizeof *audit.violations);
    for (int id = 0; id < IDS; id++)
        if ((id + 1) % ranks == rank)
            audit.violations[audit.violation_count++] =
                (struct mh_violation){.kind = MH_LOST, .kind_of_write = -1, .id = id, .rank = -1};
    assert_int_equal(mh_audit_provenance(&audit, file, &err), 0);
    assert_int_equal(audit.violation_count, rank == 0 ? IDS : 0);
    for (int64_t i = 0; i < audit.violation_count; i++) {
        assert_int_equal(audit.violations[i].id, i);
        assert_int_equal((audit.violations[i].rank + i) % ranks, ranks - 1);
        assert_int_equal(audit.violations[i].server_ts, 1000000 + ranks - 1);
    }
    free(audit.violations);
    unlink(file);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(provenance_is_the_last_write_that_had_an_effect),
                                       cmocka_unit_test(a_write_after_the_read_is_not_its_cause),
                                       cmocka_unit_test(the_latest_write_of_all_ranks_counts)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
