#include "base/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool launched(void)
{
    return getenv("PMIX_RANK") != NULL;
}

static void launchers_descriptor(int fd, char path[64])
{
    snprintf(path, 64, "/proc/%d/fd/%d", (int)getppid(), fd);
}

/* The parent of a rank is mpirun itself on mpirun's node, else a daemon that reads from and writes to
 * nowhere. */
static bool launcher_has_terminal(int fd)
{
    char path[64], target[256];
    launchers_descriptor(fd, path);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return false;
    target[length] = '\0';
    return starts_with(target, "/dev/pts/") || starts_with(target, "/dev/tty") ||
           starts_with(target, "/dev/console");
}

bool mh_is_terminal(int fd)
{
    return launched() ? launcher_has_terminal(fd) : isatty(fd) != 0;
}

int mh_terminal_width(int fd)
{
    struct winsize size = {0};
    char path[64];
    launchers_descriptor(fd, path);
    int terminal = launched() ? open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC) : fd;
    if (terminal >= 0)
        ioctl(terminal, TIOCGWINSZ, &size);
    if (terminal >= 0 && terminal != fd)
        close(terminal);
    return size.ws_col > 0 ? size.ws_col : 80;
}
