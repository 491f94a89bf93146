/* Lies on purpose. A kind of fault is one row of the table in faults.c; --fault makes a struct mh_fault of
 * it; what it does to rows and calls is logged, so that whoever looks for it can be held to the list. */
#ifndef MH_MOCK_FAULT_H
#define MH_MOCK_FAULT_H

#include "base/error.h"
#include "milvus/serve.h"
#include "mock/store.h"

#include <stdbool.h>
#include <stdio.h>

struct mh_mock;
struct mh_fault;
struct mh_incoming;

enum mh_fault_at { MH_AT_NOW, MH_AT_LATER, MH_AT_FLUSH, MH_AT_COMPACTION, MH_AT_RELOAD };

/* A row on its way in or out. */
struct mh_row_write {
    struct mh_mock *mock;
    struct mh_collection *collection;
    int op; /* MH_OP_INSERT, MH_OP_UPSERT, MH_OP_DELETE */
    uint64_t now;
    int partition;                          /* where it goes; DELETE: -1 for all */
    const struct mh_column *const *columns; /* INSERT, UPSERT: in the order of the fields */
    int64_t from;                           /* row of the columns */
    int64_t key;
    int64_t old;     /* the live copy that an upsert or a delete ends; -1: none */
    bool concurrent; /* a write of another partition came in at about the same time */
};

enum mh_fault_place {
    MH_FAULT_ROW,     /* has the hook row */
    MH_FAULT_REQUEST, /* a write as a whole is dropped */
    MH_FAULT_EVENT,   /* a partition goes when `at` says */
    MH_FAULT_READ,    /* asked for by the reads */
    MH_FAULT_CALL,    /* has the hook call */
    MH_FAULT_MEMORY,  /* goes on by itself, whatever is asked: leak.c */
};

struct mh_fault_kind {
    const char *name;
    enum mh_fault_place place;
    const char *ops;   /* that it strikes unless told otherwise: "insert upsert"; NULL: all */
    const char *takes; /* further parameters that it takes */
    const char *help;
    int64_t count; /* without any value: the first so many; 0: all */
    bool (*eligible)(const struct mh_row_write *write);
    void (*row)(struct mh_fault *fault, struct mh_row_write *write); /* in place of mh_row_apply */
    void (*call)(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming); /* answers it */
    bool after; /* calls: unless `when` says otherwise, they strike after the request was applied */
};
extern const struct mh_fault_kind mh_fault_kinds[]; /* ends with a NULL name */

struct mh_fault {
    const struct mh_fault_kind *kind;
    struct mh_faults *owner;
    int number;           /* position on the command line */
    double rate;          /* share of what is eligible; negative: not given */
    int64_t count, after; /* count 0: no such limit */
    bool ops[MH_SERVE_KINDS];
    char partition[256]; /* "": any */
    enum mh_fault_at at;
    int64_t at_ns; /* MH_AT_LATER */
    double seconds, tail;
    int64_t code, legacy, status, ms, bytes, by, key, step;
    bool after_applying, keep_data;
    int64_t seen, done; /* eligible, struck */
    int64_t since_ns;   /* first strike, monotonic */
};

/* Something that happens to a row later. */
struct mh_pending {
    struct mh_fault *fault;
    int64_t collection;
    int64_t row, key;
    int op, partition;
    bool lose;      /* else it comes back */
    int64_t due_ns; /* MH_AT_LATER */
};

struct mh_leaked; /* a piece of memory that is kept for nothing */

struct mh_faults {
    struct mh_fault *items;
    size_t count;
    uint64_t seed;
    int log; /* file descriptor; -1: none */
    struct mh_pending *pending;
    size_t pending_count, pending_room;
    int64_t due_ns; /* no pending one is due before */
    struct mh_leaked *leaked;
};

/* "lose=1%,at=flush": appends one; the error names the fault, the parameter and what was expected. */
int mh_faults_add(struct mh_faults *faults, const char *text, struct mh_error *err);
int mh_faults_open_log(struct mh_faults *faults, const char *path, struct mh_error *err);
void mh_faults_free(struct mh_faults *faults);
void mh_faults_print(FILE *out); /* the table, for --help */

/* Counts one more eligible thing; does the fault strike it? */
bool mh_fault_strikes(struct mh_fault *fault, int64_t key);
/* The first fault named `name` that takes op and strikes, or NULL. */
struct mh_fault *mh_faults_strike(struct mh_faults *faults, const char *name, int op, int64_t key);
/* The first fault of this place that takes op and strikes, or NULL. */
struct mh_fault *mh_faults_strike_any(struct mh_faults *faults, enum mh_fault_place place, int op,
                                      int64_t key);

void mh_fault_log_row(const struct mh_fault *fault, int op, int64_t key, const char *partition);
void mh_fault_log_call(const struct mh_fault *fault, int op, int64_t call);
void mh_fault_log_partition(const struct mh_fault *fault, int op, int64_t call, const char *partition);

/* rows.c: rows as they should go, and as they go instead */
void mh_row_apply(struct mh_row_write *write);
void mh_row_write(struct mh_row_write *write); /* applies it, or a fault */
void mh_faults_happen(struct mh_mock *mock, struct mh_collection *collection, enum mh_fault_at at);
void mh_faults_happen_later(struct mh_mock *mock, int64_t now_ns);
void mh_faults_forget(struct mh_mock *mock, int64_t collection); /* it is dropped */

bool mh_has_old(const struct mh_row_write *write);
bool mh_has_other_partition(const struct mh_row_write *write);
bool mh_has_vector(const struct mh_row_write *write);
bool mh_has_scalar(const struct mh_row_write *write);
bool mh_is_concurrent(const struct mh_row_write *write);
void mh_row_lose(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_skip(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_duplicate(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_keep_both(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_half_delete(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_resurrect(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_misplace(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_flip_vector(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_flip_scalar(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_delay(struct mh_fault *fault, struct mh_row_write *write);
void mh_row_invent(struct mh_fault *fault, struct mh_row_write *write);

/* calls.c */
void mh_call_code(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_status(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_delay(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_stall(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_hang(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_reset(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_garbage(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_huge(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_truncate(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_goaway(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);
void mh_call_die(struct mh_fault *fault, struct mh_mock *mock, struct mh_incoming *incoming);

/* leak.c */
void mh_faults_leak(struct mh_faults *faults, int64_t now_ns); /* as much as is due; some times a second */
void mh_faults_free_leaked(struct mh_faults *faults);

/* No later one happens before; INT64_MAX: there is none. */
static inline int64_t mh_faults_due(const struct mh_faults *faults)
{
    return faults->pending_count ? faults->due_ns : INT64_MAX;
}

#endif
