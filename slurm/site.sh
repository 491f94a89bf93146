# What differs from site to site: this file, and nothing else in this folder. Sourced by common.sh inside the job.
# shellcheck shell=bash disable=SC2034 # common.sh uses what is set here

# module load gcc openmpi hdf5

# How ranks are launched. Debian's Open MPI speaks PMIx. -K: if one rank dies, the others get SIGTERM, not silence.
launcher=(srun --mpi=pmix --kill-on-bad-exit=1)

# How ranks wait for each other in MPI_Init. By Slurm's own choice, "mixed", which has "tree" for its second barrier, some go on before
# all are there, and what they send lands in one that is not ready: a segmentation fault in MPI_Init in 7 of 275 starts on two busy nodes,
# in 10 of 63 with "tree", in none of 259 with "ring" (Slurm 22.05, Open MPI 4.1.4; tests/slurm/starts, three at once).
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}

# What is launched: this checkout's build, or the image that slurm/milvus-hpc.def makes.
program=("$root/build/release/src/milvus-hpc")
if [[ -n ${MILVUS_HPC_IMAGE-} ]]; then
    program=(apptainer exec --bind "$PWD" --bind "$root" "$MILVUS_HPC_IMAGE" milvus-hpc)
fi

# The name by which the other nodes reach a server on this one; a cluster with a fast network may want that one's name.
server_host=$(hostname)
