#include "base/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* The parent of a rank is mpirun itself on mpirun's node, else a daemon that reads from and writes to nowhere. */
static bool launcher_has_terminal(int fd)
{
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getppid(), fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return false;
    target[length] = '\0';
    return starts_with(target, "/dev/pts/") || starts_with(target, "/dev/tty") || starts_with(target, "/dev/console");
}

bool mh_is_terminal(int fd)
{
    return getenv("PMIX_RANK") ? launcher_has_terminal(fd) : isatty(fd) != 0;
}
