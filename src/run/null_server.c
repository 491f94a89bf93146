#include "run/null_server.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 2000, FOLDER = 3800 };

/* Installed side by side; in the build tree it has a folder of its own. */
static int find_binary(char path[4096], struct mh_error *err)
{
    char folder[FOLDER] = "";
    const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    char *slash = length > 0 ? strrchr(folder, '/') : NULL;
    if (!slash)
        return mh_fail(err, "where this program lies is not known");
    *slash = '\0';
    for (int i = 0; i < 2; i++) {
        snprintf(path, 4096, "%s%s/milvus-mock", folder, i ? "/mock" : "");
        if (access(path, X_OK) == 0)
            return 0;
    }
    return mh_fail(err, "%.200s: no milvus-mock there", folder);
}

static int spawn(char *path, int output, pid_t *pid)
{
    char *words[] = {path, "--null", "--port", "0", "--with-parent", NULL}, *variables[] = {NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &signals);
    const int cause = posix_spawn(pid, path, &files, &attributes, words, variables);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return cause;
}

/* The launcher may have bound this rank to a core, which the server must not share. */
static int spawn_unbound(char *path, int output, pid_t *pid)
{
    cpu_set_t mine, all;
    memset(&all, 0xff, sizeof all);
    const bool known = sched_getaffinity(0, sizeof mine, &mine) == 0;
    const bool freed = known && sched_setaffinity(0, sizeof all, &all) == 0;
    const int cause = spawn(path, output, pid);
    if (freed)
        sched_setaffinity(0, sizeof mine, &mine);
    return cause;
}

/* "listening on http://127.0.0.1:PORT", all in one write. */
static int read_uri(int input, char uri[64], struct mh_error *err)
{
    struct pollfd ready = {.fd = input, .events = POLLIN};
    char line[128];
    const ssize_t length = poll(&ready, 1, START_MS) == 1 ? read(input, line, sizeof line - 1) : 0;
    line[length > 0 ? length : 0] = '\0';
    if (sscanf(line, "listening on %63s", uri) == 1)
        return 0;
    return mh_fail(err, "milvus-mock --null did not start within %d ms", START_MS);
}

int mh_null_server_start(struct mh_null_server *server, struct mh_error *err)
{
    char path[4096];
    int ends[2];
    *server = (struct mh_null_server){0};
    if (find_binary(path, err) != 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return mh_fail(err, "no pipe: %s", strerror(errno));
    const int cause = spawn_unbound(path, ends[1], &server->pid);
    close(ends[1]);
    if (cause != 0)
        server->pid = 0;
    const int rc =
        cause != 0 ? mh_fail(err, "%.200s: %s", path, strerror(cause)) : read_uri(ends[0], server->uri, err);
    close(ends[0]);
    if (rc != 0)
        mh_null_server_stop(server);
    return rc;
}

void mh_null_server_stop(struct mh_null_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL); /* it has nothing to lose */
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}
