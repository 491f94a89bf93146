/* A stage's chaos: commands of the user's that rank 0 starts while load runs, such as one that kills the
 * server and starts it again. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "run/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The command is no rank: what the launcher told this one is not for it. */
static bool is_launchers(const char *variable)
{
    static const char *const prefixes[] = {"OMPI_", "PMIX_", "PMI_", "PRTE_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static char **environment(void)
{
    size_t count = 0;
    for (char **at = environ; *at; at++)
        count++;
    char **kept = calloc(count + 1, sizeof *kept);
    count = 0;
    for (char **at = environ; kept && *at; at++)
        if (!is_launchers(*at))
            kept[count++] = *at;
    return kept;
}

/* In a process group of its own, so that it can be ended as a whole; what it says goes to stderr: stdout may
 * be the summary's. */
static int spawn(const char *command, pid_t *pid)
{
    char *words[] = {"/bin/sh", "-c", (char *)(uintptr_t)command, NULL}, **variables = environment();
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t signals;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    const int cause = variables ? posix_spawn(pid, words[0], &files, &attributes, words, variables) : ENOMEM;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    free(variables);
    return cause;
}

/* At once: it may be what kills this rank. */
static void keep(const struct mh_stage *stage, size_t at, const struct mh_event *event)
{
    const struct mh_kept_chaos kept = {.number = (int64_t)at, .event = *event};
    mh_journal_keep(&stage->run->journal, MH_KEPT_CHAOS, &kept, 1, sizeof kept);
    mh_keep_sums(stage->run);
    mh_journal_flush(&stage->run->journal);
}

static struct mh_event event_of(const struct mh_stage *stage, size_t at)
{
    return (struct mh_event){.kind = MH_EVENT_CHAOS,
                             .stage = stage->index,
                             .role = -1,
                             .time_ns = stage->chaos[at].begin_ns - stage->run->start_ns,
                             .duration_ns = -1};
}

static void note_begin(const struct mh_stage *stage, size_t at)
{
    struct mh_event event = event_of(stage, at);
    snprintf(event.what, sizeof event.what, "under way when the run ended: %.120s",
             stage->options->chaos[at].run);
    keep(stage, at, &event);
}

static void note_end(struct mh_stage *stage, size_t at, const char *how, bool failed)
{
    struct mh_event event = event_of(stage, at);
    char took[32];
    event.duration_ns = mh_now_ns() - stage->chaos[at].begin_ns;
    stage->run->sums.chaos_failed += failed;
    mh_show_duration(event.duration_ns, took, sizeof took);
    snprintf(event.what, sizeof event.what, "%s after %s: %.120s", how, took, stage->options->chaos[at].run);
    mh_note("chaos: %s", event.what);
    keep(stage, at, &event);
    if (mh_events_add(&stage->run->events, &event) != 0)
        mh_warn("out of memory for an event");
}

static void start(struct mh_stage *stage, size_t at, int64_t now_ns)
{
    struct mh_chaos_state *state = &stage->chaos[at];
    state->begin_ns = now_ns;
    mh_note("chaos: %s", stage->options->chaos[at].run);
    note_begin(stage, at);
    const int cause = spawn(stage->options->chaos[at].run, &state->pid);
    state->what = cause == 0 ? MH_CHAOS_RUNS : MH_CHAOS_OVER;
    if (cause != 0)
        note_end(stage, at, strerror(cause), true);
}

static void look_after(struct mh_stage *stage, size_t at, int64_t now_ns)
{
    struct mh_chaos_state *state = &stage->chaos[at];
    int status = 0;
    char how[64];
    if (!state->killed &&
        (now_ns - state->begin_ns > stage->options->chaos[at].timeout_ns || stage->cancelled)) {
        state->killed = true;
        kill(-state->pid, SIGKILL);
    }
    if (waitpid(state->pid, &status, WNOHANG) != state->pid)
        return;
    state->what = MH_CHAOS_OVER;
    if (state->killed)
        snprintf(how, sizeof how, "killed");
    else if (WIFEXITED(status))
        snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(status));
    else
        snprintf(how, sizeof how, "ended by signal %d", WTERMSIG(status));
    note_end(stage, at, how, !WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

int mh_chaos_open(struct mh_stage *stage)
{
    stage->chaos = calloc(stage->options->chaos_count + 1, sizeof *stage->chaos);
    return stage->chaos ? 0 : -1;
}

void mh_chaos_turn(struct mh_stage *stage, int64_t now_ns)
{
    stage->sums->chaos_running = 0;
    for (size_t i = 0; stage->run->rank == 0 && i < stage->options->chaos_count; i++) {
        struct mh_chaos_state *state = &stage->chaos[i];
        if (state->what == MH_CHAOS_WAITS && !stage->stopping &&
            now_ns >= stage->begin_ns + stage->options->chaos[i].at_ns)
            start(stage, i, now_ns);
        else if (state->what == MH_CHAOS_RUNS)
            look_after(stage, i, now_ns);
        stage->sums->chaos_running += state->what == MH_CHAOS_RUNS;
    }
}

void mh_chaos_close(struct mh_stage *stage)
{
    for (size_t i = 0; stage->chaos && stage->run->rank == 0 && i < stage->options->chaos_count; i++)
        stage->run->chaos_missed += stage->chaos[i].what == MH_CHAOS_WAITS;
    free(stage->chaos);
    stage->chaos = NULL;
}
