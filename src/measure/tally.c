#include "measure/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mh_tallies_init(struct mh_tallies *tallies, const struct mh_job *job, int64_t start_ns)
{
    *tallies = (struct mh_tallies){.stages = (int)job->stage_count + 1, .roles = 1, .start_ns = start_ns};
    for (size_t s = 0; s < job->stage_count; s++)
        if ((int)job->stages[s].role_count > tallies->roles)
            tallies->roles = (int)job->stages[s].role_count;
    tallies->cells =
        calloc((size_t)tallies->stages * (size_t)tallies->roles * MH_TALLY_KINDS, sizeof *tallies->cells);
    return tallies->cells ? 0 : -1;
}

void mh_tallies_free(struct mh_tallies *tallies)
{
    size_t count = (size_t)tallies->stages * (size_t)tallies->roles * MH_TALLY_KINDS;
    for (size_t i = 0; tallies->cells && i < count; i++) {
        if (!tallies->cells[i])
            continue;
        mh_histogram_free(&tallies->cells[i]->due);
        mh_histogram_free(&tallies->cells[i]->sent);
        mh_timeline_free(&tallies->cells[i]->timeline);
        free(tallies->cells[i]);
    }
    free(tallies->cells);
    *tallies = (struct mh_tallies){0};
}

static void reset_tally(struct mh_tally *tally, int64_t start_ns)
{
    const struct mh_histogram due = tally->due, sent = tally->sent;
    const struct mh_timeline timeline = tally->timeline;
    *tally = (struct mh_tally){.due = due, .sent = sent, .timeline = timeline};
    mh_histogram_reset(&tally->due);
    mh_histogram_reset(&tally->sent);
    mh_timeline_reset(&tally->timeline, start_ns);
}

void mh_tallies_reset(struct mh_tallies *tallies, int64_t start_ns)
{
    const size_t count = (size_t)tallies->stages * (size_t)tallies->roles * MH_TALLY_KINDS;
    tallies->start_ns = start_ns;
    tallies->error_count = 0;
    for (size_t i = 0; i < count; i++)
        if (tallies->cells[i])
            reset_tally(tallies->cells[i], start_ns);
}

static struct mh_tally *new_tally(int64_t start_ns)
{
    struct mh_tally *tally = calloc(1, sizeof *tally);
    if (!tally)
        return NULL;
    if (mh_histogram_init(&tally->due) != 0 || mh_histogram_init(&tally->sent) != 0) {
        mh_histogram_free(&tally->due);
        free(tally);
        return NULL;
    }
    mh_timeline_init(&tally->timeline, start_ns);
    return tally;
}

struct mh_tally *mh_tally_at(struct mh_tallies *tallies, int stage, int role, int kind)
{
    struct mh_tally **cell =
        &tallies
             ->cells[((size_t)stage * (size_t)tallies->roles + (size_t)role) * MH_TALLY_KINDS + (size_t)kind];
    if (!*cell)
        *cell = new_tally(tallies->start_ns);
    return *cell;
}

static bool same_error(const struct mh_error_count *a, const struct mh_error_count *b)
{
    return a->kind == b->kind && a->outcome == b->outcome && a->grpc_status == b->grpc_status &&
           a->code == b->code && strcmp(a->message, b->message) == 0;
}

void mh_tallies_add_error(struct mh_tallies *tallies, const struct mh_error_count *error)
{
    int at = 0;
    while (at < tallies->error_count && !same_error(&tallies->errors[at], error))
        at++;
    if (at == MH_ERRORS_KEPT) {
        at = MH_ERRORS_KEPT - 1;
        snprintf(tallies->errors[at].message, sizeof tallies->errors[at].message, "(and other messages)");
    }
    if (at == tallies->error_count) {
        tallies->errors[tallies->error_count++] = *error;
        return;
    }
    struct mh_error_count *known = &tallies->errors[at];
    known->count += error->count;
    known->first_ns = error->first_ns < known->first_ns ? error->first_ns : known->first_ns;
    known->last_ns = error->last_ns > known->last_ns ? error->last_ns : known->last_ns;
}

/* Figures that differ from message to message (ids, ports, addresses) would make each its own kind of error.
 */
static void put_message(char *out, size_t size, const char *message)
{
    size_t n = 0;
    for (const char *c = message; *c && n + 1 < size; c++) {
        bool digit = *c >= '0' && *c <= '9';
        if (digit && n > 0 && out[n - 1] == '#')
            continue;
        out[n++] = digit ? '#' : *c;
    }
    out[n] = '\0';
}

static void book_error(struct mh_tallies *tallies, const struct mh_record *record, const char *message)
{
    struct mh_error_count error = {.kind = record->kind,
                                   .outcome = record->outcome,
                                   .grpc_status = record->grpc_status,
                                   .code = record->code,
                                   .count = 1,
                                   .first_ns = record->done_ns,
                                   .last_ns = record->done_ns};
    put_message(error.message, sizeof error.message, message);
    mh_tallies_add_error(tallies, &error);
}

static void book_ok(struct mh_tally *tally, const struct mh_record *record, struct mh_timeline_slot *slot)
{
    int64_t latency = record->done_ns - record->due_ns;
    tally->ok++;
    tally->rows += record->rows;
    if (record->flags & MH_RECORD_WARM_UP) {
        tally->warm_up++;
        tally->warm_up_rows += record->rows;
    } else {
        mh_histogram_record(&tally->due, latency);
        mh_histogram_record(&tally->sent, record->done_ns - record->sent_ns);
    }
    if (!slot)
        return;
    slot->ok++;
    slot->rows += record->rows;
    slot->latency[mh_timeline_bucket(latency)]++;
    if (latency > slot->max_ns)
        slot->max_ns = latency;
}

void mh_tallies_plan(struct mh_tallies *tallies, int stage, int role, int kind, int64_t operations)
{
    struct mh_tally *tally = mh_tally_at(tallies, stage, role, kind);
    if (tally)
        tally->planned += operations;
}

void mh_tallies_book(struct mh_tallies *tallies, const struct mh_record *record, const char *message)
{
    struct mh_tally *tally = mh_tally_at(tallies, record->stage, record->role, record->kind);
    if (!tally)
        return;
    struct mh_timeline_slot *slot = mh_timeline_at(&tally->timeline, record->done_ns);
    tally->timed_out += (record->flags & MH_RECORD_TIMED_OUT) != 0;
    tally->throttled += record->throttled;
    tally->bytes_out += record->bytes_out;
    tally->bytes_in += record->bytes_in;
    if (slot) {
        slot->throttled += (uint64_t)record->throttled;
        slot->bytes += (uint64_t)(record->bytes_out + record->bytes_in);
        slot->failed += record->outcome == MH_OUTCOME_FAILED || record->outcome == MH_OUTCOME_THROTTLED;
        slot->unknown += record->outcome == MH_OUTCOME_UNKNOWN;
        if (record->sent_ns - record->due_ns > slot->lag_ns)
            slot->lag_ns = record->sent_ns - record->due_ns;
    }
    if (record->outcome == MH_OUTCOME_OK) {
        book_ok(tally, record, slot);
        return;
    }
    tally->failed += record->outcome != MH_OUTCOME_UNKNOWN;
    tally->unknown += record->outcome == MH_OUTCOME_UNKNOWN;
    book_error(tallies, record, message);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void mh_tallies_hold_up(struct mh_tallies *tallies, int stage, int role, int64_t backlog, int64_t backlog_ns,
                        int64_t lag_ns)
{
    struct mh_tally **cells =
        &tallies->cells[((size_t)stage * (size_t)tallies->roles + (size_t)role) * MH_TALLY_KINDS];
    for (int kind = 0; kind < MH_TALLY_KINDS; kind++) {
        if (!cells[kind])
            continue;
        cells[kind]->backlog += backlog;
        cells[kind]->backlog_ns = larger(cells[kind]->backlog_ns, backlog_ns);
        cells[kind]->lag_ns = larger(cells[kind]->lag_ns, lag_ns);
    }
}

static int add_timeline(struct mh_timeline *into, const struct mh_timeline *from)
{
    if (mh_timeline_coarsen(into, from->interval_ns) != 0)
        return -1;
    for (int64_t i = 0; i < from->used; i++) {
        struct mh_timeline_slot *slot = mh_timeline_at(into, into->start_ns + i * from->interval_ns);
        if (!slot)
            return -1;
        mh_timeline_add_slot(from, i, slot);
    }
    return 0;
}

static int add_tally(struct mh_tally *into, const struct mh_tally *from)
{
    const int64_t backlog = larger(into->backlog, from->backlog);
    int64_t *sums = &into->planned;
    const int64_t *more = &from->planned;
    for (int i = 0; i < MH_TALLY_COUNTERS; i++)
        sums[i] += more[i];
    into->backlog = backlog;
    into->backlog_ns = larger(into->backlog_ns, from->backlog_ns);
    into->lag_ns = larger(into->lag_ns, from->lag_ns);
    mh_histogram_add(&into->due, &from->due);
    mh_histogram_add(&into->sent, &from->sent);
    return add_timeline(&into->timeline, &from->timeline);
}

int mh_tallies_add(struct mh_tallies *into, const struct mh_tallies *from)
{
    const int roles = from->roles;
    for (int at = 0; at < from->stages * roles * MH_TALLY_KINDS; at++) {
        if (!from->cells[at])
            continue;
        struct mh_tally *cell =
            mh_tally_at(into, at / MH_TALLY_KINDS / roles, at / MH_TALLY_KINDS % roles, at % MH_TALLY_KINDS);
        if (!cell || add_tally(cell, from->cells[at]) != 0)
            return -1;
    }
    for (int i = 0; i < from->error_count; i++)
        mh_tallies_add_error(into, &from->errors[i]);
    return 0;
}
