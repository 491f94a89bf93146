#include "observe/process.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MOST_SOCKETS = 16, LISTENING = 0x0a };

/* ---- one process ---- */

static int read_text(pid_t pid, const char *what, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    const size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    return length > 0 ? 0 : -1;
}

static int64_t count_fds(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (!folder)
        return -1;
    int64_t count = 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - (pid == getpid()); /* the folder itself */
}

int mh_process_look(pid_t pid, struct mh_process_state *out)
{
    char statm[256], stat[1024];
    long resident, shared;
    unsigned long user, system;
    if (read_text(pid, "statm", statm, sizeof statm) != 0 || read_text(pid, "stat", stat, sizeof stat) != 0 ||
        sscanf(statm, "%*d %ld %ld", &resident, &shared) != 2)
        return -1;
    const char *rest = strrchr(stat, ')'); /* its name may hold anything */
    if (!rest || sscanf(rest + 1,
                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %" SCNd64
                        " %*d %" SCNu64,
                        &user, &system, &out->threads, &out->began) != 4)
        return -1;
    const int64_t page = sysconf(_SC_PAGESIZE);
    out->rss_bytes = resident * page;
    out->private_bytes = (resident - shared) * page;
    out->cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    out->fds = count_fds(pid);
    return 0;
}

/* ---- who listens ---- */

struct sockets {
    uint64_t inodes[MOST_SOCKETS];
    int count;
};

static void find_sockets(const char *path, int port, struct sockets *found)
{
    char line[512];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        unsigned local, state;
        uint64_t inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %" SCNu64, &local,
                   &state, &inode) == 3 &&
            (int)local == port && state == LISTENING && found->count < MOST_SOCKETS)
            found->inodes[found->count++] = inode;
    }
    if (file)
        fclose(file);
}

static bool is_one_of(const char *link, const struct sockets *sockets)
{
    uint64_t inode;
    if (sscanf(link, "socket:[%" SCNu64 "]", &inode) != 1)
        return false;
    for (int i = 0; i < sockets->count; i++)
        if (sockets->inodes[i] == inode)
            return true;
    return false;
}

static bool holds_one(pid_t pid, const struct sockets *sockets)
{
    char path[64], link[64];
    bool held = false;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && !held && (entry = readdir(folder));) {
        const ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        if (length > 0) {
            link[length] = '\0';
            held = is_one_of(link, sockets);
        }
    }
    if (folder)
        closedir(folder);
    return held;
}

pid_t mh_process_listening(int port)
{
    struct sockets sockets = {.count = 0};
    find_sockets("/proc/net/tcp", port, &sockets);
    find_sockets("/proc/net/tcp6", port, &sockets);
    DIR *folder = sockets.count > 0 ? opendir("/proc") : NULL;
    pid_t found = -1;
    for (const struct dirent *entry; folder && found < 0 && (entry = readdir(folder));) {
        const pid_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid > 0 && holds_one(pid, &sockets))
            found = pid;
    }
    if (folder)
        closedir(folder);
    return found;
}

bool mh_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0 || strcasecmp(host, "localhost") == 0;
}

int mh_process_port(const char *uri, char name[MH_PROCESS_NAME])
{
    const char *from = strstr(uri, "://");
    if (!from)
        return 0;
    snprintf(name, MH_PROCESS_NAME, "%.*s", (int)strcspn(from + 3, "/"), from + 3);
    char host[MH_PROCESS_NAME];
    memcpy(host, name, sizeof host);
    char *colon = strrchr(host, ':');
    if (!colon)
        return 0;
    *colon = '\0';
    return mh_is_loopback(host) ? (int)strtol(colon + 1, NULL, 10) : 0;
}
