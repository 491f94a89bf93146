/* The verdict: from the report to a sentence and an exit code. */
#include "command/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LEAST_HIT_RATIO                                                                                      \
    0.9 /* of deletes and upserts, on live rows: below, the run did not test what it says */

/* The books of every operation must balance, or the program has lost count and nothing it says can be
 * trusted. */
static const struct mh_report_operation *unbalanced(const struct mh_report *report)
{
    for (int64_t i = 0; i < report->operation_count; i++) {
        const struct mh_tally *t = report->operations[i].tally;
        if (t->planned != t->ok + t->failed + t->unknown + t->unsent + t->in_flight ||
            (int64_t)t->due.count + t->warm_up != t->ok)
            return &report->operations[i];
    }
    return NULL;
}

/* Every row that a worker issued has its place in the ledger: acknowledged, refused or unknown. */
static const char *rows_astray(const struct mh_session *session, const struct mh_ledger_totals *totals)
{
    for (int kind = MH_OP_INSERT; kind <= MH_OP_DELETE; kind++)
        if (mh_ledger_booked(totals, (enum mh_op_kind)kind) != session->run.rows_issued[kind])
            return mh_op_infos[kind].name;
    return NULL;
}

static bool has_role(const struct mh_job *job, enum mh_claim_use use)
{
    for (size_t s = 0; s < job->stage_count; s++)
        for (size_t r = 0; r < job->stages[s].role_count; r++) {
            const struct mh_role_ops *ops = mh_role_ops_of(&job->stages[s].roles[r]);
            if (ops->takes == use && ops->share(&job->stages[s].roles[r]) > 0)
                return true;
        }
    return false;
}

struct verdict {
    char *text;
    size_t size;
    int exit_code; /* the worst so far: 3 > 2 > 1 > 0 */
};

static void say(struct verdict *verdict, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct verdict *verdict, int exit_code, const char *format, ...)
{
    char part[400];
    const size_t used = strlen(verdict->text);
    va_list args;
    if (exit_code > verdict->exit_code)
        verdict->exit_code = exit_code;
    va_start(args, format);
    vsnprintf(part, sizeof part, format, args);
    va_end(args);
    if (!strstr(verdict->text, part)) /* several stages may have the same to say */
        snprintf(verdict->text + used, verdict->size - used, "%s%s", used ? "; " : "", part);
}

/* Of what the job plans, not all was done: of a run that verify looks at, by that run. */
static bool was_cut(const struct mh_session *session)
{
    return session->run.stopped || session->run.gave_up || (session->only_audits && !session->parent.whole);
}

/* Invariant I12: a mutator that hits nothing tests nothing. */
static void judge_hits(struct verdict *verdict, const struct mh_session *session, enum mh_claim_use use,
                       const char *what, int64_t acknowledged, int64_t hit)
{
    if ((!has_role(session->job, use) && acknowledged == 0) || !session->audited || was_cut(session))
        return;
    if (hit == 0)
        say(verdict, MH_EXIT_UNUSABLE, "no %s hit a live row, so the run did not test %ss", what, what);
    else if ((double)hit < LEAST_HIT_RATIO * (double)acknowledged)
        say(verdict, MH_EXIT_UNUSABLE, "only %lld of %lld %ss hit a live row", (long long)hit,
            (long long)acknowledged, what);
}

static bool is_cycle(const struct mh_report_operation *op)
{
    return strcmp(op->op, mh_tally_name(MH_TALLY_CYCLE)) == 0;
}

/* Work that the job asks for and that never once succeeded was not tested. Of cycles: judge_cycles. */
static void judge_successes(struct verdict *verdict, const struct mh_session *session)
{
    if (session->run.stopped || session->run.gave_up || session->broken)
        return;
    for (int64_t i = 0; i < session->report.operation_count; i++) {
        const struct mh_report_operation *op = &session->report.operations[i];
        if (op->tally->planned > 0 && op->tally->ok == 0 && !is_cycle(op))
            say(verdict, MH_EXIT_UNUSABLE, "no %s of the %s role succeeded (see the errors)", op->op,
                op->role);
    }
}

static bool did_nothing(const struct mh_tallies *tallies, size_t stage, size_t role)
{
    struct mh_tally *const *cells = &tallies->cells[(stage * (size_t)tallies->roles + role) * MH_TALLY_KINDS];
    for (int kind = 0; kind < MH_TALLY_KINDS; kind++)
        if (cells[kind] && cells[kind]->planned > 0)
            return false;
    return true;
}

struct mh_idle mh_session_find_idle(const struct mh_session *session)
{
    const struct mh_job *job = session->job;
    for (size_t s = 0; s < job->stage_count; s++)
        for (size_t r = 0; r < job->stages[s].role_count; r++) {
            const struct mh_role_options *role = &job->stages[s].roles[r];
            const struct mh_role_ops *ops = mh_role_ops_of(role);
            const bool wants_rows = ops->takes == MH_CLAIMS_NONE || ops->share(role) > 0;
            if (wants_rows && did_nothing(&session->run.tallies, s, r))
                return (struct mh_idle){job->stages[s].name, role->kind->name};
        }
    return (struct mh_idle){0};
}

/* Only where nothing else says so: a role of which none succeeded is named already. */
static void judge_refused(struct verdict *verdict, const struct mh_run *run)
{
    if (run->workers_refused > 0 && verdict->exit_code != MH_EXIT_UNUSABLE)
        say(verdict, MH_EXIT_UNUSABLE,
            "%lld worker%s gave up, as the server refused all that they asked for "
            "(see the errors)",
            (long long)run->workers_refused, run->workers_refused == 1 ? "" : "s");
}

/* A role that never reports was not there, whatever the others did. Verify runs no roles. */
static void judge_idle(struct verdict *verdict, const struct mh_session *session, struct mh_idle idle)
{
    const bool ended_early = session->run.stopped || session->run.gave_up || session->broken;
    if (idle.role && !ended_early && !session->only_audits)
        say(verdict, MH_EXIT_UNUSABLE, "the %s role of stage %s did nothing", idle.role, idle.stage);
}

/* A run that was to survive something that never happened tested nothing. */
static void judge_chaos(struct verdict *verdict, const struct mh_run *run)
{
    if (run->stopped || run->gave_up)
        return;
    if (run->sums.chaos_failed > 0)
        say(verdict, MH_EXIT_UNUSABLE, "%lld chaos command%s failed (see the events)",
            (long long)run->sums.chaos_failed, run->sums.chaos_failed == 1 ? "" : "s");
    if (run->chaos_missed > 0)
        say(verdict, MH_EXIT_UNUSABLE, "%lld chaos command%s never began: the stage was over before",
            (long long)run->chaos_missed, run->chaos_missed == 1 ? "" : "s");
}

/* An upsert in doubt is a delete and an insert: a count may fall between them. */
static void judge_equation(struct verdict *verdict, const struct mh_audit_figures *f, int64_t torn)
{
    bool undecided = f->count_star != f->partition_sum || f->partition_sum != f->scanned;
    const struct {
        const char *name;
        int64_t rows;
    } sums[] = {
        {"count(*)", f->count_star}, {"the partitions' sum", f->partition_sum}, {"the scan", f->scanned}};
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        undecided |= sums[i].rows < f->expected_live;
        if (sums[i].rows < f->expected_live - torn || sums[i].rows > f->expected_live + f->expected_maybe)
            say(verdict, MH_EXIT_VIOLATION, "%s says %lld where %lld to %lld rows must be live", sums[i].name,
                (long long)sums[i].rows, (long long)f->expected_live,
                (long long)(f->expected_live + f->expected_maybe));
    }
    if (verdict->exit_code == MH_EXIT_GOOD && undecided)
        say(verdict, MH_EXIT_UNUSABLE,
            "UNDECIDED: count(*), the partitions' sum and the scan contradict one another while writes "
            "were in doubt; verify it again later");
}

/* As after life cycles alone: an equation of zeros says nothing of their rows. */
static bool was_never_written(const struct mh_session *session)
{
    return mh_report_figure(&session->report, "acknowledged_inserts") == 0 &&
           session->audit.figures.expected_maybe == 0;
}

static void say_broken(struct verdict *verdict, int64_t violations, int64_t sightings)
{
    if (sightings > 0)
        say(verdict, MH_EXIT_VIOLATION,
            "VIOLATED: the server broke its promise about at least %lld rows (and %lld sightings more, of "
            "these or of others)",
            (long long)violations, (long long)sightings);
    else
        say(verdict, MH_EXIT_VIOLATION, "VIOLATED: the server broke its promise about %lld row%s",
            (long long)violations, violations == 1 ? "" : "s");
}

static void judge_audit(struct verdict *verdict, const struct mh_session *session,
                        const struct mh_ledger_totals *totals)
{
    const struct mh_audit_figures *f = &session->audit.figures;
    const int64_t violations = mh_audit_violations(f);
    if (violations > 0)
        say_broken(verdict, violations, session->audit.sightings);
    else if (session->audited)
        judge_equation(verdict, f, totals->unknown_upserts);
    if (session->audited && verdict->exit_code == 0)
        say(verdict, 0,
            was_never_written(session)
                ? "GOOD: no row of the job's collection was acknowledged, and none is there"
                : "GOOD: every acknowledged row is there, and nothing else");
    if (session->earlier.inserts > 0)
        say(verdict, 0, "of %lld acknowledged rows, %lld are of earlier parts",
            (long long)mh_report_figure(&session->report, "acknowledged_inserts"),
            (long long)session->earlier.inserts);
    if (!session->audited && !session->job->verify.enabled && !session->rebuilt)
        say(verdict, 0, "not audited (verify.enabled is false)");
}

/* Of a run that broke off nobody knows what was on its way to be found. Without a whole cycle none was looked
 * at to its end, stopped or not, and whatever other roles did. */
static void judge_cycles(struct verdict *verdict, const struct mh_report *report, bool broken)
{
    const int64_t whole = mh_report_figure(report, "cycles_whole"),
                  broken_off = mh_report_figure(report, "cycles_broken"),
                  cut = mh_report_figure(report, "cycles_cut");
    if (whole > 0 && verdict->exit_code == 0)
        say(verdict, 0, "%lld of %lld cycles whole%s", (long long)whole,
            (long long)mh_report_figure(report, "cycles_begun"),
            broken ? "" : ", and what they looked at was as it had to be");
    if (whole == 0 && mh_report_figure(report, "cycles_begun") > 0)
        say(verdict, MH_EXIT_UNUSABLE, "no cycle of the lifecycle role succeeded: %lld broken, %lld cut",
            (long long)broken_off, (long long)cut);
    else if (cut > 0)
        say(verdict, 0, "cycles cut before they were whole: %lld", (long long)cut);
    const int64_t unlooked = mh_report_figure(report, "cycles_unlooked");
    if (unlooked > 0)
        say(verdict, 0, "cycles broken, rows not looked at: %lld", (long long)unlooked);
    const int64_t left = mh_report_figure(report, "collections_left");
    if (left > 0)
        say(verdict, 0, "collections of cycles that may be left on the server: %lld", (long long)left);
    const int64_t contradicted = mh_report_figure(report, "cycles_contradicted");
    if (contradicted > 0)
        say(verdict, MH_EXIT_UNUSABLE,
            "UNDECIDED: %lld cycle%s ended with an answer that contradicted what was acknowledged, and that "
            "could not be asked again",
            (long long)contradicted, contradicted == 1 ? "" : "s");
}

/* In the job's collection, or in one of a role's own. */
static bool inserted(const struct mh_report *report)
{
    for (int64_t i = 0; i < report->operation_count; i++)
        if (strcmp(report->operations[i].op, mh_op_infos[MH_OP_INSERT].name) == 0 &&
            report->operations[i].tally->rows > 0)
            return true;
    return false;
}

static void judge_stop(struct verdict *verdict, const struct mh_session *session)
{
    const bool any = inserted(&session->report);
    if (session->run.stopped)
        say(verdict, any ? 0 : MH_EXIT_UNUSABLE, "stopped early by a signal%s",
            any ? "" : ", before anything was acknowledged");
}

void mh_session_judge(struct mh_session *session, const struct mh_ledger_totals *totals, struct mh_idle idle,
                      struct mh_thresholds_outcome thresholds)
{
    struct mh_report *report = &session->report;
    struct verdict verdict = {report->verdict, sizeof report->verdict, MH_EXIT_GOOD};
    const struct mh_report_operation *odd = unbalanced(report);
    const char *astray = rows_astray(session, totals);
    report->verdict[0] = '\0';
    judge_audit(&verdict, session, totals);
    judge_cycles(&verdict, report, session->broken);
    if (session->broken)
        say(&verdict, MH_EXIT_UNUSABLE, "INCOMPLETE: %.300s", session->broken_why);
    else if (session->run.gave_up)
        say(&verdict, MH_EXIT_UNUSABLE, "INCOMPLETE: the server could not be reached any more");
    judge_stop(&verdict, session);
    judge_successes(&verdict, session);
    judge_idle(&verdict, session, idle);
    judge_chaos(&verdict, &session->run);
    judge_refused(&verdict, &session->run);
    judge_hits(&verdict, session, MH_CLAIMS_TO_DELETE, "delete",
               totals->acknowledged_deletes - session->earlier.deletes,
               session->audit.figures.deletes_hit_live - session->earlier.deletes_hit_live);
    judge_hits(&verdict, session, MH_CLAIMS_TO_UPSERT, "upsert",
               totals->acknowledged_upserts - session->earlier.upserts,
               session->audit.figures.upserts_hit_live - session->earlier.upserts_hit_live);
    if (odd || astray)
        say(&verdict, MH_EXIT_UNUSABLE, "this program lost count of %s %s: do not trust this run",
            odd ? odd->op : astray, odd ? "operations" : "rows");
    if (thresholds.missed > 0)
        say(&verdict, MH_EXIT_THRESHOLD, "%d threshold%s missed", thresholds.missed,
            thresholds.missed == 1 ? "" : "s");
    if (thresholds.undecided > 0)
        say(&verdict, 0, "%d threshold%s UNDECIDED: this run cannot tell (see the drifts)",
            thresholds.undecided, thresholds.undecided == 1 ? "" : "s");
    report->exit_code = verdict.exit_code;
    report->audited = session->audited;
    report->whole = !session->broken && !was_cut(session);
}
