# Common to the sbatch scripts of this folder, which source it: the server, the ranks, signals, exit codes.
# shellcheck shell=bash disable=SC2034,SC2154 # the scripts set and use what is not here
#
# A script calls, in this order:  begin NAME;  use_server FOLDER;  ranks RESULT COMMAND...;  exit CODE
# The job's exit code is that of milvus-hpc: 0 good, 1 threshold, 2 violation, 3 not usable.
# Variables: MILVUS_URI, RESULTS (folder, default ./results), MILVUS_HPC_ROOT, MILVUS_HPC_IMAGE: docs/slurm.md.

set -uo pipefail

job=             # its name in what it leaves
server=          # URI
server_folder=   # of the server that this job started; empty: none
step=            # srun's pid while the ranks run
stopped=         # "limit": the time limit is near; "cancelled": SIGTERM came
guard=           # pid of what ends the server in time after that
srun_options=()  # of a script's own: fewer ranks than the allocation has
results=${RESULTS:-results}

say() { printf 'slurm: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 3
}

# --- the server ---------------------------------------------------------------------------------------------------

end_server() { # stop|kill
    [[ -n $server_folder ]] || return 0
    "$root/scripts/milvus-server" "$1" --dir "$server_folder"
}

# use_server FOLDER: MILVUS_URI, or a Milvus of this job's own on this node, with its data in FOLDER.
use_server() {
    local own
    server=${MILVUS_URI-}
    if [[ -n $server ]]; then
        say "server $server (MILVUS_URI)"
        return
    fi
    server_folder=$1
    own=$("$root/scripts/milvus-server" start --dir "$server_folder") || die "no server (see above); or give MILVUS_URI"
    server=http://$server_host:${own##*:}
    say "server $server, started by this job, data in $server_folder"
}

# Without rows that anybody may ask for again, a server's data goes with it.
forget_server() {
    [[ -n $server_folder ]] || return 0
    end_server stop
    rm -rf "$server_folder"
    say "the server is stopped, and its data in $server_folder removed"
    server_folder=
}

# --- signals ------------------------------------------------------------------------------------------------------

# --signal=B:USR1@N comes to this script alone; srun hands it on to every rank.
near_limit() {
    stopped=${stopped:-limit}
    say "the time limit is near: the run ends in order"
    [[ -z $step ]] || kill -USR1 "$step"
}

kill_wait_s() { scontrol show config 2>/dev/null | sed -n 's/^KillWait *= *\([0-9]*\).*/\1/p'; }

# scancel, preemption, limit: Slurm sends SIGTERM to the ranks as well, and KillWait later SIGKILL to all that is left.
# A server of ours must be gone by then, whatever the ranks do.
cancelled() {
    local wait_s
    [[ $stopped != cancelled ]] || return 0
    stopped=cancelled
    wait_s=$(kill_wait_s)
    wait_s=${wait_s:-30}
    say "cancelled: the ranks have ${wait_s} s to end in order"
    [[ -n $server_folder ]] || return 0
    { sleep $((wait_s > 8 ? wait_s - 5 : 3)) && end_server kill; } &
    guard=$!
}

at_exit() {
    [[ -z $guard ]] || kill "$guard" 2>/dev/null
    if [[ $stopped == cancelled ]]; then end_server kill; else end_server stop; fi
}

# --- the ranks ----------------------------------------------------------------------------------------------------

outside_slurm() { # COMMAND...: a process of its own, no step of this job
    local name unset=()
    for name in "${!SLURM_@}" "${!PMIX_@}"; do unset+=(-u "$name"); done
    env "${unset[@]}" "$@"
}

# Ends only when PID has: each signal that we get ends bash's wait, with a status of its own.
wait_for() { # PID
    while kill -0 "$1" 2>/dev/null; do
        wait "$1"
    done
    wait "$1" # bash remembers it
}

# The folder of --output-local; nothing: none is given.
local_folder() { # OPTION...
    local folder=
    while (($#)); do
        case $1 in
        --output-local=*) folder=${1#*=} ;;
        --output-local) folder=${2-} ;;
        esac
        shift
    done
    printf '%s' "$folder"
}

# A node's folder of journals as a stream of this step; what comes broken is not taken.
gather_from() { # NODE FOLDER NAME TO
    mkdir -p "$4" || return
    if timeout 60 srun --overlap --nodes=1 --ntasks=1 --nodelist="$1" tar -C "$2" -cz "$3" | tar -C "$4" -xz --strip-components=1 2>/dev/null; then
        return
    fi
    say "node $1: no journals could be had from there; if it comes back: $2/$3"
    rm -rf "$4"
}

# gather_journals RESULT FOLDER NODES: from FOLDER on each node that answers, into RESULT.journals/NODE.
gather_journals() {
    local node name running=()
    name=$(basename "$1").journals
    say "their journals: $2/$name on each node; gathered into $1.journals"
    for node in $(scontrol show hostnames "$3"); do
        gather_from "$node" "$2" "$name" "$1.journals/$node" &
        running+=($!)
        ((${#running[@]} < 16)) && continue
        wait_for "${running[0]}"
        running=("${running[@]:1}")
    done
    for node in "${running[@]}"; do wait_for "$node"; done
    rmdir --ignore-fail-on-non-empty "$1.journals"
}

# The ranks died: what their journals say becomes a result that tells what is missing.
merge_journals() { # RESULT [FOLDER NODES]: of --output-local
    local run folders=()
    [[ -z ${2-} ]] || gather_journals "$@"
    for run in "$1.journals/run.json" "$1.journals"/*/run.json; do
        [[ ! -f $run ]] || folders+=("${run%/run.json}")
    done
    ((${#folders[@]})) || return 0
    [[ -n ${2-} ]] || say "their journals: $1.journals"
    outside_slurm "${program[@]}" merge "${folders[@]}" --output "$1" || true
}

# Before a server is started for it.
need_job() { [[ -r $1 ]] || die "$1: no such job file"; }

# number NAME VALUE: bash would take a word in a sum for a variable's name, and end with 1, as if a threshold were missed.
number() { [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || die "$1: '$2': expected a number from 1 to 999999"; }

# use_ranks N: only so many of the allocation's; they fill node after node.
use_ranks() {
    local each=$((SLURM_NTASKS / SLURM_JOB_NUM_NODES))
    number ranks "$1"
    (($1 <= SLURM_NTASKS)) || die "$1 ranks: the allocation has $SLURM_NTASKS"
    unset SLURM_NTASKS_PER_NODE # srun would take it for an order
    srun_options=(--nodes=$((($1 + each - 1) / each)) --ntasks="$1")
}

# check_array POINTS WHAT: has each point an element of the array, and this element a point?
check_array() {
    ((SLURM_ARRAY_TASK_ID < $1)) || die "$2 makes $1 points: sbatch --array=0-$(($1 - 1))%1"
    ((SLURM_ARRAY_TASK_ID > 0 || SLURM_ARRAY_TASK_COUNT >= $1)) ||
        say "WARNING: $2 makes $1 points, this array has $SLURM_ARRAY_TASK_COUNT elements: sbatch --array=0-$(($1 - 1))%1"
}

# ranks RESULT COMMAND...: milvus-hpc on the ranks of this allocation. Returns its exit code, and 3 whenever there is
# no result: srun has exit codes 1 and 2 of its own.
ranks() {
    local result=$1 status
    shift
    [[ -z $stopped ]] || die "stopped before the ranks began"
    [[ ! -e $result ]] || die "$result: exists already, of this job before it was put back into the queue; it is not touched"
    mkdir -p "$(dirname "$result")" || die "$(dirname "$result"): cannot be made"
    "${launcher[@]}" "${srun_options[@]}" "${program[@]}" "$@" --output "$result" &
    step=$!
    [[ $stopped != limit ]] || kill -USR1 "$step" # it came while they were begun
    wait_for "$step"
    status=$?
    step=
    if [[ ! -f $result ]]; then
        say "the ranks ended with exit code $status and left no result"
        merge_journals "$result" "$(local_folder "$@")" "$SLURM_JOB_NODELIST"
        return 3
    fi
    ((status <= 3)) || status=3
    return "$status"
}

# --- begin and end ------------------------------------------------------------------------------------------------

begin() { # NAME
    job=$1-${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}
    trap near_limit USR1
    trap cancelled TERM INT
    trap at_exit EXIT
    # shellcheck source=slurm/site.sh
    source "$root/slurm/site.sh"
    command -v "${program[0]}" >/dev/null || die "${program[0]}: not there: build it first, or see slurm/site.sh"
    say "job $SLURM_JOB_ID: $SLURM_NTASKS ranks on $SLURM_JOB_NUM_NODES nodes ($SLURM_JOB_NODELIST)"
}

# finish STATUS RESULT OPTION...: a server of ours is forgotten, unless its rows are wanted (--keep) or evidence.
finish() {
    local word kept='' lost=''
    for word in "${@:3}"; do [[ $word != --keep ]] || kept=1; done
    [[ -e $2 || -e $2.journals || -n $(local_folder "${@:3}") ]] || lost=1 # it never began: there are no rows
    if [[ -n $server_folder ]] && ((${lost:-0} || (!${kept:-0} && $1 < 2))); then
        forget_server
    elif [[ -n $server_folder ]]; then
        say "the rows are kept in $server_folder; audit them again: sbatch slurm/verify_later.sbatch $2"
    fi
    exit "$1"
}
