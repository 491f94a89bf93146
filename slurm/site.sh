# What differs from site to site: this file, and nothing else in this folder. Sourced by common.sh inside the job.
# shellcheck shell=bash disable=SC2034 # common.sh uses what is set here

# module load gcc openmpi hdf5

# How ranks are launched. Debian's Open MPI speaks PMIx. -K: if one rank dies, the others get SIGTERM, not silence.
launcher=(srun --mpi=pmix --kill-on-bad-exit=1)

# What is launched: this checkout's build, or the image that slurm/milvus-hpc.def makes.
program=("$root/build/release/src/milvus-hpc")
if [[ -n ${MILVUS_HPC_IMAGE-} ]]; then
    program=(apptainer exec --bind "$PWD" --bind "$root" "$MILVUS_HPC_IMAGE" milvus-hpc)
fi

# The name by which the other nodes reach a server on this one; a cluster with a fast network may want that one's name.
server_host=$(hostname)
