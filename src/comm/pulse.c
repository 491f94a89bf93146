#include "comm/pulse.h"

#include "base/clock.h"
#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>

int mh_pulse_open(struct mh_pulse *pulse, MPI_Comm comm, int count, int64_t period_ns)
{
    *pulse = (struct mh_pulse){.count = count, .period_ns = period_ns, .request = MPI_REQUEST_NULL};
    pulse->comm = mh_comm_dup(comm);
    pulse->mine = calloc(3 * (size_t)count, sizeof *pulse->mine);
    if (!pulse->mine)
        return -1;
    pulse->sums = pulse->mine + count;
    pulse->totals = pulse->sums + count;
    return 0;
}

void mh_pulse_close(struct mh_pulse *pulse)
{
    MPI_Comm_free(&pulse->comm);
    free(pulse->mine);
    *pulse = (struct mh_pulse){0};
}

static void begin_round(struct mh_pulse *pulse, const int64_t *counters, int64_t now_ns)
{
    memcpy(pulse->mine, counters, (size_t)pulse->count * sizeof *counters);
    MPI_Iallreduce(pulse->mine, pulse->sums, pulse->count, MPI_INT64_T, MPI_SUM, pulse->comm,
                   &pulse->request);
    pulse->begin_ns = now_ns;
    pulse->next_ns = now_ns + pulse->period_ns;
}

bool mh_pulse_beat(struct mh_pulse *pulse, const int64_t *counters)
{
    if (pulse->request == MPI_REQUEST_NULL) {
        int64_t now = mh_now_ns();
        if (now >= pulse->next_ns)
            begin_round(pulse, counters, now);
        return false;
    }
    int ended = 0;
    MPI_Test(&pulse->request, &ended, MPI_STATUS_IGNORE);
    if (!ended)
        return false;
    memcpy(pulse->totals, pulse->sums, (size_t)pulse->count * sizeof *pulse->totals);
    pulse->rounds++;
    pulse->busy_ns += mh_now_ns() - pulse->begin_ns;
    return true;
}

/* ---- post ---- */

struct mh_letter {
    struct mh_letter *next;
    MPI_Request request;
    unsigned char bytes[];
};

enum { LETTER_TAG = 1 };

void mh_post_open(struct mh_post *post, MPI_Comm comm, int bytes)
{
    *post = (struct mh_post){.bytes = bytes};
    post->comm = mh_comm_dup(comm);
}

static void forget_gone(struct mh_post *post)
{
    for (struct mh_letter **at = &post->sent; *at;) {
        struct mh_letter *letter = *at;
        int gone = 0;
        MPI_Test(&letter->request, &gone, MPI_STATUS_IGNORE);
        if (!gone) {
            at = &letter->next;
            continue;
        }
        *at = letter->next;
        free(letter);
    }
}

void mh_post_close(struct mh_post *post)
{
    while (post->sent) {
        forget_gone(post);
        if (post->sent)
            mh_sleep_ns(MH_MS);
    }
    MPI_Comm_free(&post->comm);
}

int mh_post_send(struct mh_post *post, int rank, const void *bytes)
{
    struct mh_letter *letter = malloc(sizeof *letter + (size_t)post->bytes);
    if (!letter)
        return -1;
    forget_gone(post);
    memcpy(letter->bytes, bytes, (size_t)post->bytes);
    letter->next = post->sent;
    post->sent = letter;
    MPI_Isend(letter->bytes, post->bytes, MPI_BYTE, rank, LETTER_TAG, post->comm, &letter->request);
    return 0;
}

bool mh_post_receive(struct mh_post *post, void *bytes)
{
    int there = 0;
    MPI_Message message;
    MPI_Improbe(MPI_ANY_SOURCE, LETTER_TAG, post->comm, &there, &message, MPI_STATUS_IGNORE);
    if (!there)
        return false;
    MPI_Mrecv(bytes, post->bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    return true;
}
