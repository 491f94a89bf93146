#include "comm/watch.h"

#include "base/alive.h"
#include "base/clock.h"
#include "comm/comm.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    EXIT_CODE = 3,
    LOOKS = 8, /* while a silent rank is waited for */
    LONGEST_LOOK_S = 1,
    SIGN_TAG = 3,
};

struct person {
    int32_t rank;
    int32_t pid;
    char host[64];
};

struct slot { /* one a rank of the node, in shared memory */
    _Atomic int64_t sign_ns;
    struct person person;
};

static struct {
    bool open;
    bool over; /* one has been found silent */
    MPI_Win window;
    MPI_Comm node, leaders; /* of the node; one rank of each node, or MPI_COMM_NULL */
    struct slot *slots;
    int here, count; /* which is this rank's, of how many */
    int64_t silence_ns, limit_ns;
    int64_t next_look_ns, last_sign_ns;
    int64_t awake_ns; /* since when this rank has been awake without a gap: what it slept through it has not
                         seen */
    struct person before;            /* leader of the node before this one, in the ring of nodes */
    int64_t heard_ns, told, hearing; /* from it: when; numbers of signs, below 0: the last */
    MPI_Request sending, receiving;
    mh_watch_end *end;
} watch;

static void found(const struct person *who, int64_t silent_ns, bool speak)
{
    char text[256];
    snprintf(text, sizeof text, "rank %d (pid %d on %s) has given no sign of life for %.0f s", who->rank,
             who->pid, who->host, (double)silent_ns / (double)MH_S);
    watch.over = true; /* this rank still lives, and says so */
    watch.end(speak ? text : NULL);
}

/* ---- looking ---- */

static int64_t silent_for(int64_t sign_ns, int64_t now_ns)
{
    return now_ns - (sign_ns > watch.awake_ns ? sign_ns : watch.awake_ns);
}

static bool is_silent(int at, int64_t now_ns)
{
    return at != watch.here && silent_for(atomic_load(&watch.slots[at].sign_ns), now_ns) > watch.limit_ns;
}

/* Of those that notice, the first one speaks. */
static bool am_first(int64_t now_ns)
{
    for (int at = 0; at < watch.here; at++)
        if (!is_silent(at, now_ns))
            return false;
    return true;
}

static void look_around(int64_t now_ns)
{
    for (int at = 0; at < watch.count && !watch.over; at++) {
        if (!is_silent(at, now_ns))
            continue;
        found(&watch.slots[at].person, silent_for(atomic_load(&watch.slots[at].sign_ns), now_ns),
              am_first(now_ns));
    }
}

/* ---- from node to node ---- */

static int ring(int step)
{
    int rank, np;
    MPI_Comm_rank(watch.leaders, &rank);
    MPI_Comm_size(watch.leaders, &np);
    return (rank + step + np) % np;
}

static void expect(void)
{
    MPI_Irecv(&watch.hearing, 1, MPI_INT64_T, ring(-1), SIGN_TAG, watch.leaders, &watch.receiving);
}

static void tell(int64_t number)
{
    watch.told = number;
    MPI_Isend(&watch.told, 1, MPI_INT64_T, ring(1), SIGN_TAG, watch.leaders, &watch.sending);
}

static void look_abroad(int64_t now_ns)
{
    int done;
    MPI_Test(&watch.sending, &done, MPI_STATUS_IGNORE);
    if (done)
        tell(watch.told + 1);
    for (MPI_Test(&watch.receiving, &done, MPI_STATUS_IGNORE); done && watch.hearing >= 0;
         MPI_Test(&watch.receiving, &done, MPI_STATUS_IGNORE)) {
        watch.heard_ns = now_ns;
        expect();
    }
    if (watch.hearing >= 0 && !watch.over && silent_for(watch.heard_ns, now_ns) > watch.limit_ns)
        found(&watch.before, silent_for(watch.heard_ns, now_ns), true);
}

static int64_t look_every(void)
{
    const int64_t every = watch.limit_ns / LOOKS;
    return every < LONGEST_LOOK_S * MH_S ? every : LONGEST_LOOK_S * MH_S;
}

static void sign(void)
{
    const int64_t now = mh_now_ns();
    if (now - watch.last_sign_ns > watch.limit_ns / 2)
        watch.awake_ns = now;
    watch.last_sign_ns = now;
    atomic_store(&watch.slots[watch.here].sign_ns, now);
    if (now < watch.next_look_ns)
        return;
    watch.next_look_ns = now + look_every();
    look_around(now);
    if (watch.leaders != MPI_COMM_NULL)
        look_abroad(now);
}

/* ---- opening and closing ---- */

static struct person this_one(int rank)
{
    struct person person;
    memset(&person, 0, sizeof person);
    person.rank = rank;
    person.pid = (int32_t)getpid();
    gethostname(person.host, sizeof person.host - 1);
    return person;
}

static void open_ring(int rank)
{
    const struct person me = this_one(rank);
    int np;
    MPI_Comm_size(watch.leaders, &np);
    if (np < 2) {
        MPI_Comm_free(&watch.leaders);
        return;
    }
    MPI_Sendrecv(&me, sizeof me, MPI_BYTE, ring(1), SIGN_TAG, &watch.before, sizeof watch.before, MPI_BYTE,
                 ring(-1), SIGN_TAG, watch.leaders, MPI_STATUS_IGNORE);
    watch.heard_ns = mh_now_ns();
    watch.told = watch.hearing = 0;
    expect();
    tell(1);
}

static int share_slots(struct mh_error *err)
{
    int unit;
    MPI_Aint bytes = watch.here == 0 ? (MPI_Aint)((size_t)watch.count * sizeof *watch.slots) : 0;
    void *own;
    if (MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, watch.node, &own, &watch.window) != MPI_SUCCESS)
        return mh_fail(err, "no shared memory for the ranks' signs of life");
    MPI_Win_shared_query(watch.window, 0, &bytes, &unit, &watch.slots);
    return 0;
}

int mh_watch_open(MPI_Comm comm, int node, int64_t silence_ns, mh_watch_end *end, struct mh_error *err)
{
    int rank;
    memset(&watch, 0, sizeof watch);
    watch.sending = watch.receiving = MPI_REQUEST_NULL;
    watch.silence_ns = watch.limit_ns = silence_ns;
    watch.end = end;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_split(comm, node, rank, &watch.node);
    MPI_Comm_rank(watch.node, &watch.here);
    MPI_Comm_size(watch.node, &watch.count);
    if (mh_comm_agree(comm, share_slots(err), err) != 0)
        return -1;
    watch.slots[watch.here].person = this_one(rank);
    atomic_store(&watch.slots[watch.here].sign_ns, mh_now_ns());
    MPI_Comm_split(comm, watch.here == 0 ? 0 : MPI_UNDEFINED, rank, &watch.leaders);
    if (watch.here == 0)
        open_ring(rank);
    MPI_Barrier(watch.node); /* every slot is filled */
    watch.awake_ns = watch.last_sign_ns = mh_now_ns();
    watch.open = true;
    mh_alive_tell(sign);
    return 0;
}

void mh_watch_hurry(int64_t silence_ns)
{
    watch.limit_ns = silence_ns < watch.silence_ns ? silence_ns : watch.silence_ns;
}

static void close_ring(void)
{
    mh_comm_wait(&watch.sending);
    tell(-1);
    mh_comm_wait(&watch.sending);
    while (watch.hearing >= 0) {
        mh_comm_wait(&watch.receiving);
        if (watch.hearing >= 0)
            expect();
    }
    MPI_Comm_free(&watch.leaders);
}

void mh_watch_close(void)
{
    if (!watch.open)
        return;
    watch.open = false;
    mh_alive_tell(NULL);
    if (watch.leaders != MPI_COMM_NULL)
        close_ring();
    MPI_Win_free(&watch.window);
    MPI_Comm_free(&watch.node);
}

/* ---- the alarm ---- */

static void on_alarm(int number)
{
    static const char text[] =
        "milvus-hpc: error: the result could not be written in time: another rank, or the file "
        "system, does not answer; the journals are kept\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(EXIT_CODE);
}

void mh_watch_alarm(int seconds)
{
    signal(SIGALRM, on_alarm);
    alarm((unsigned)seconds);
}
