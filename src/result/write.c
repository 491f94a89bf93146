/* A result comes to its name: made under a temporary one in two steps, flushed, linked. */
#include "comm/comm.h"
#include "dataset/hdf5.h"
#include "result/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LEAST_ROOM (16LL << 20) /* bytes; many times what a small run takes */

static void directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(directory, PATH_MAX, ".");
    else
        snprintf(directory, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Asks by trying: access(2) says yes to root even where a mount is read-only. */
static int can_create_in(const char *directory, struct mh_error *err)
{
    char probe[PATH_MAX + 32];
    snprintf(probe, sizeof probe, "%s/.milvus-hpc-XXXXXX", directory);
    const int fd = mkstemp(probe);
    if (fd < 0)
        return mh_fail(err, "cannot create files in %s: %s", directory, strerror(errno));
    close(fd);
    unlink(probe);
    return 0;
}

int mh_report_check_output(const char *path, struct mh_error *err)
{
    char directory[PATH_MAX];
    directory_of(path, directory);
    struct statvfs room;
    if (strlen(path) + 64 > PATH_MAX)
        return mh_fail(err, "the result's path is longer than %d bytes", PATH_MAX - 64);
    if (access(path, F_OK) == 0)
        return mh_fail(err, "%s exists already; results are never overwritten", path);
    if (can_create_in(directory, err))
        return mh_fail_in(err, "%s", path);
    if (statvfs(directory, &room) == 0 && (double)room.f_bavail * (double)room.f_frsize < (double)LEAST_ROOM)
        return mh_fail(err, "%s: only %.1f MiB are free in %s; a result needs at least %lld MiB", path,
                       (double)room.f_bavail * (double)room.f_frsize / (1 << 20), directory,
                       LEAST_ROOM >> 20);
    return 0;
}

static int name_temporary(const char *path, const struct mh_report *report, char temporary[PATH_MAX],
                          struct mh_error *err)
{
    if (strlen(path) + sizeof report->run_id + 8 > PATH_MAX)
        return mh_fail(err, "the result's path is longer than %d bytes", PATH_MAX);
    snprintf(temporary, PATH_MAX, "%s.tmp-%s", path, report->run_id);
    char directory[PATH_MAX];
    directory_of(path, directory);
    return can_create_in(directory, err) ? mh_fail_in(err, "%s: the result is not written", path) : 0;
}

/* The cut gives back what was reserved behind the end. link(2) never replaces a file, rename(2) would. */
static int publish(const char *temporary, const char *path, struct mh_error *err)
{
    const int fd = open(temporary, O_RDWR | O_CLOEXEC);
    struct stat now;
    const int synced = fd < 0 || fstat(fd, &now) || ftruncate(fd, now.st_size) ? -1 : fsync(fd);
    const int sync_error = errno;
    if (fd >= 0)
        close(fd);
    if (synced)
        return mh_fail(err, "%s cannot be brought to disk (%s); the result is in %s", path,
                       strerror(sync_error), temporary);
    if (link(temporary, path) == 0)
        return unlink(temporary) ? mh_fail(err, "%s: %s", temporary, strerror(errno)) : 0;
    if (errno == EEXIST)
        return mh_fail(err, "%s exists already and is not overwritten; this run's result is in %s", path,
                       temporary);
    return mh_fail(err, "%s cannot be made (%s); this run's result is in %s", path, strerror(errno),
                   temporary);
}

int mh_report_write(const char *path, const struct mh_report *report, const struct mh_report_fate *fates,
                    int64_t fate_count, MPI_Comm comm, struct mh_error *err)
{
    char temporary[PATH_MAX] = "";
    int rank, rc = 0;
    MPI_Comm_rank(comm, &rank);
    mh_hdf5_silence();
    if (rank == 0)
        rc = name_temporary(path, report, temporary, err) || mh_store_tables(temporary, report, err) ? -1 : 0;
    if (mh_comm_agree(comm, rc, err))
        return -1;
    mh_comm_bcast(comm, temporary, sizeof temporary, 0);
    if (mh_store_ledger(temporary, fates, fate_count, comm, err))
        return mh_fail_in(err, "%s is not made; all but the ledger is in %s", path, temporary);
    rc = rank == 0 ? publish(temporary, path, err) : 0;
    return mh_comm_agree(comm, rc, err);
}
