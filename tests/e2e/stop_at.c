/* Preloaded: one rank stops in a chosen call, or stays in it for a while. RANK FUNCTION NUMBER SECONDS in
 * STOP_AT: in its NUMBERth call of that; SECONDS 0: by SIGSTOP, for ever. */
#include <dlfcn.h>
#include <hdf5.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void come_by(const char *function)
{
    static int calls;
    char name[64];
    int rank, number, seconds;
    const char *plan = getenv("STOP_AT"), *mine = getenv("OMPI_COMM_WORLD_RANK");
    if (!plan || !mine || sscanf(plan, "%d %63s %d %d", &rank, name, &number, &seconds) != 4 ||
        rank != atoi(mine) || strcmp(name, function) != 0 || ++calls != number)
        return;
    if (seconds == 0)
        raise(SIGSTOP);
    sleep((unsigned)seconds);
}

/* Of MPI_Init, which waits there for the other ranks. */
int PMIx_Fence_nb(const void *procs, size_t proc_count, const void *info, size_t info_count, void *then,
                  void *data)
{
    int (*next)(const void *, size_t, const void *, size_t, void *, void *);
    *(void **)&next = dlsym(dlopen("libpmix.so.2", RTLD_LAZY | RTLD_NOLOAD), "PMIx_Fence_nb");
    come_by("PMIx_Fence_nb");
    return next(procs, proc_count, info, info_count, then, data);
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out)
{
    come_by("MPI_Comm_split_type");
    return PMPI_Comm_split_type(comm, type, key, info, out);
}

int MPI_Win_allocate_shared(MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void *base,
                            MPI_Win *window)
{
    come_by("MPI_Win_allocate_shared");
    return PMPI_Win_allocate_shared(bytes, unit, info, comm, base, window);
}

int MPI_Finalize(void)
{
    come_by("MPI_Finalize");
    return PMPI_Finalize();
}

herr_t H5Dread(hid_t dataset, hid_t type, hid_t memory, hid_t file, hid_t transfer, void *values)
{
    herr_t (*next)(hid_t, hid_t, hid_t, hid_t, hid_t, void *);
    *(void **)&next = dlsym(RTLD_NEXT, "H5Dread");
    come_by("H5Dread");
    return next(dataset, type, memory, file, transfer, values);
}

herr_t H5Dwrite(hid_t dataset, hid_t type, hid_t memory, hid_t file, hid_t transfer, const void *values)
{
    herr_t (*next)(hid_t, hid_t, hid_t, hid_t, hid_t, const void *);
    *(void **)&next = dlsym(RTLD_NEXT, "H5Dwrite");
    come_by("H5Dwrite");
    return next(dataset, type, memory, file, transfer, values);
}
