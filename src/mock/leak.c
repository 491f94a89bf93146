/* Memory that is taken, written to, so that it is really there, and never used. */
#include "base/clock.h"
#include "mock/fault.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 << 10 };

struct mh_leaked {
    struct mh_leaked *next;
    char bytes[PIECE - sizeof(struct mh_leaked *)];
};

/* What the fault should hold by now; `seen` counts pieces. */
static int64_t due_bytes(const struct mh_fault *fault, int64_t now_ns)
{
    const double begin_s = fault->at == MH_AT_LATER ? (double)fault->at_ns / (double)MH_S : 0;
    double lasted_s = (double)(now_ns - fault->since_ns) / (double)MH_S - begin_s;
    if (fault->seconds >= 0 && lasted_s > fault->seconds)
        lasted_s = fault->seconds;
    return lasted_s > 0 ? (int64_t)(lasted_s * (double)fault->bytes) : 0;
}

static void take_piece(struct mh_faults *faults)
{
    struct mh_leaked *piece = malloc(sizeof *piece);
    if (!piece)
        abort();
    memset(piece->bytes, 0xa5, sizeof piece->bytes);
    piece->next = faults->leaked;
    faults->leaked = piece;
}

void mh_faults_leak(struct mh_faults *faults, int64_t now_ns)
{
    for (size_t i = 0; i < faults->count; i++) {
        struct mh_fault *fault = &faults->items[i];
        if (fault->kind->place != MH_FAULT_MEMORY)
            continue;
        if (fault->since_ns == 0)
            fault->since_ns = now_ns;
        for (; (fault->seen + 1) * PIECE <= due_bytes(fault, now_ns); fault->seen++)
            take_piece(faults);
    }
}

void mh_faults_free_leaked(struct mh_faults *faults)
{
    while (faults->leaked) {
        struct mh_leaked *piece = faults->leaked;
        faults->leaked = piece->next;
        free(piece);
    }
}
