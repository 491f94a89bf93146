#include "comm/watch.h"

#include "base/alive.h"
#include "base/clock.h"
#include "comm/comm.h"

#include <pthread.h>
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
    LAST = -1,    /* in place of a sign's number: none will follow */
    IN_CALL = -2, /* none for a while */
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
    int64_t heard_ns, told, hearing; /* from it: when; numbers of signs */
    bool before_in_call;
    MPI_Request sending, receiving;
    mh_watch_end *end;
    void (*along)(void);
    bool in_call; /* set by the main thread alone, under the lock; meanwhile all above are the other's */
    int64_t call_ns;
    mh_watch_until *until;
    pthread_t stand_in; /* of the main thread while that is in a call */
    bool closing;
} watch;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t closed; /* on the clock that all times are of */

static void found(const struct person *who, int64_t silent_ns, bool speak)
{
    char text[256];
    snprintf(text, sizeof text, "rank %d (pid %d on %s) has given no sign of life for %.0f s", who->rank,
             who->pid, who->host, (double)silent_ns / (double)MH_S);
    watch.over = true; /* this rank still lives, and says so */
    watch.end(&(struct mh_watch_news){speak ? text : NULL, who->rank, watch.in_call});
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
    for (MPI_Test(&watch.receiving, &done, MPI_STATUS_IGNORE); done && watch.hearing != LAST;
         MPI_Test(&watch.receiving, &done, MPI_STATUS_IGNORE)) {
        watch.heard_ns = now_ns;
        watch.before_in_call = watch.hearing == IN_CALL;
        expect();
    }
    const int64_t limit_ns = watch.limit_ns + (watch.before_in_call ? MH_WATCH_CALL_S * MH_S : 0);
    if (watch.hearing != LAST && !watch.over && silent_for(watch.heard_ns, now_ns) > limit_ns)
        found(&watch.before, silent_for(watch.heard_ns, now_ns), true);
}

static int64_t look_every(void)
{
    const int64_t every = watch.limit_ns / LOOKS;
    return every < LONGEST_LOOK_S * MH_S ? every : LONGEST_LOOK_S * MH_S;
}

static void give_sign(int64_t now_ns)
{
    if (now_ns - watch.last_sign_ns > watch.limit_ns / 2)
        watch.awake_ns = now_ns;
    watch.last_sign_ns = now_ns;
    atomic_store(&watch.slots[watch.here].sign_ns, now_ns);
}

static void sign(void)
{
    const int64_t now = mh_now_ns();
    if (watch.along)
        watch.along();
    if (watch.in_call)
        return;
    give_sign(now);
    if (now < watch.next_look_ns)
        return;
    watch.next_look_ns = now + look_every();
    look_around(now);
    if (watch.leaders != MPI_COMM_NULL)
        look_abroad(now);
}

/* ---- while the main thread is in a call ---- */

static struct person this_one(int rank)
{
    struct person person;
    memset(&person, 0, sizeof person);
    person.rank = rank;
    person.pid = (int32_t)getpid();
    gethostname(person.host, sizeof person.host - 1);
    return person;
}

static void tell_overdue(int64_t now_ns)
{
    const struct person *me = &watch.slots[watch.here].person;
    char text[256];
    snprintf(text, sizeof text,
             "rank %d (pid %d on %s) has waited in one call for %.0f s: another rank, or the file system, "
             "does not answer",
             me->rank, me->pid, me->host, (double)(now_ns - watch.call_ns) / (double)MH_S);
    watch.over = true;
    watch.end(&(struct mh_watch_news){text, -1, true});
}

static int64_t call_until(void)
{
    return watch.until ? watch.until() : watch.call_ns + MH_WATCH_CALL_S * MH_S;
}

static void stand_in_once(void)
{
    const int64_t now = mh_now_ns();
    give_sign(now);
    look_around(now);
    if (!watch.over && now > call_until())
        tell_overdue(now);
}

/* A call that is overdue is not waited for any longer. */
static int64_t next_look(void)
{
    const int64_t now_ns = mh_now_ns(), next_ns = now_ns + look_every();
    const int64_t until_ns = watch.in_call && !watch.over ? call_until() : INT64_MAX;
    return until_ns >= now_ns && until_ns < next_ns ? until_ns + MH_MS : next_ns;
}

/* Of MPI it knows nothing: that is the main thread's alone. */
static void *stand_in(void *nothing)
{
    pthread_mutex_lock(&lock);
    while (!watch.closing) {
        const int64_t next_ns = next_look();
        const struct timespec next = {next_ns / MH_S, next_ns % MH_S};
        pthread_cond_timedwait(&closed, &lock, &next);
        if (watch.in_call)
            stand_in_once();
    }
    pthread_mutex_unlock(&lock);
    return nothing;
}

/* Signals are the main thread's. */
static int start_stand_in(struct mh_error *err)
{
    sigset_t all, before;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&closed, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int cause = pthread_create(&watch.stand_in, NULL, stand_in, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return cause ? mh_fail(err, "no thread for the signs of life: %s", strerror(cause)) : 0;
}

static void stop_stand_in(void)
{
    pthread_mutex_lock(&lock);
    watch.closing = true;
    pthread_cond_signal(&closed);
    pthread_mutex_unlock(&lock);
    pthread_join(watch.stand_in, NULL);
    pthread_cond_destroy(&closed);
}

static void set_in_call(bool in_call)
{
    pthread_mutex_lock(&lock);
    watch.in_call = in_call;
    give_sign(mh_now_ns());
    pthread_mutex_unlock(&lock);
}

/* The wait for the last sign to leave gives none itself. */
static void tell_abroad(int64_t number)
{
    if (watch.leaders == MPI_COMM_NULL)
        return;
    mh_alive_tell(NULL);
    mh_comm_wait(&watch.sending);
    tell(number);
    mh_alive_tell(sign);
}

void mh_watch_call_begin(mh_watch_until *until)
{
    if (!watch.open)
        return;
    tell_abroad(IN_CALL);
    watch.call_ns = mh_now_ns();
    watch.until = until;
    set_in_call(true);
}

void mh_watch_call_end(void)
{
    if (!watch.open)
        return;
    set_in_call(false);
    watch.heard_ns = mh_now_ns(); /* nobody has listened meanwhile */
    tell_abroad(1);
}

/* ---- opening and closing ---- */

static void open_ring(int rank)
{
    const struct person me = this_one(rank);
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

/* What all ranks do together here takes each of them a turn on its core: with more ranks than cores that is
 * what a start lasts. So there is no more of it than must be. */
int mh_watch_open(MPI_Comm comm, MPI_Comm node, int nodes, int64_t silence_ns, mh_watch_end *end,
                  void (*along)(void), struct mh_error *err)
{
    int rank;
    memset(&watch, 0, sizeof watch);
    watch.node = node;
    watch.leaders = MPI_COMM_NULL;
    watch.sending = watch.receiving = MPI_REQUEST_NULL;
    watch.silence_ns = watch.limit_ns = silence_ns;
    watch.end = end;
    watch.along = along;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_rank(watch.node, &watch.here);
    MPI_Comm_size(watch.node, &watch.count);
    if (mh_comm_agree(comm, share_slots(err), err) != 0)
        return -1;
    watch.slots[watch.here].person = this_one(rank);
    atomic_store(&watch.slots[watch.here].sign_ns, mh_now_ns());
    if (nodes > 1)
        MPI_Comm_split(comm, watch.here == 0 ? 0 : MPI_UNDEFINED, rank, &watch.leaders);
    if (watch.leaders != MPI_COMM_NULL)
        open_ring(rank);
    if (mh_comm_agree(comm, start_stand_in(err), err) != 0) /* now every slot is filled */
        return -1;
    watch.awake_ns = watch.last_sign_ns = mh_now_ns();
    watch.open = true;
    mh_alive_tell(sign);
    return 0;
}

void mh_watch_hurry(int64_t silence_ns)
{
    pthread_mutex_lock(&lock); /* the stand-in goes by it, in a call or not */
    watch.limit_ns = silence_ns < watch.silence_ns ? silence_ns : watch.silence_ns;
    pthread_mutex_unlock(&lock);
}

static void close_ring(void)
{
    mh_comm_wait(&watch.sending);
    tell(LAST);
    mh_comm_wait(&watch.sending);
    while (watch.hearing != LAST) {
        mh_comm_wait(&watch.receiving);
        if (watch.hearing != LAST)
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
    stop_stand_in();
    if (watch.leaders != MPI_COMM_NULL)
        close_ring();
    MPI_Win_free(&watch.window);
    MPI_Comm_free(&watch.node);
}

/* ---- the alarm ---- */

static char overdue[256];

static void on_alarm(int number)
{
    (void)number;
    (void)!write(STDERR_FILENO, overdue, strlen(overdue));
    _exit(EXIT_CODE);
}

void mh_watch_alarm(int64_t ns, const char *what)
{
    const unsigned seconds = (unsigned)((ns + MH_S - 1) / MH_S);
    alarm(0);
    if (seconds == 0)
        return;
    snprintf(overdue, sizeof overdue,
             "milvus-hpc: error: %s within %u s (--silence): a rank is stopped, gone, or slow\n", what,
             seconds);
    signal(SIGALRM, on_alarm);
    alarm(seconds);
}
