"""Jobs of slurm/ in a real Slurm, against the mock: what they leave, how they end, and on whom one waits for another."""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from conftest import ENDLESS, ROOT, SHORT, Lab, ranks_on
from mockserver import Mock
from support import GOOD, MISSED, PROGRAM, UNUSABLE, VIOLATED

WriteJob = Callable[[str], Path]
TWO_NODES = ("--nodes=2", "--ntasks-per-node=2")
MANY_ROWS = 200_000
DATA_BYTES = MANY_ROWS * 32 * 4  # more than any segment of MPI's own


def shared_vectors(pid: int) -> set[tuple[str, str]]:
    """(device, inode) of what a rank has mapped that is as large as the data set."""
    found = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        begin, end = (int(word, 16) for word in line.split()[0].split("-"))
        if "/dev/shm/" in line and end - begin >= DATA_BYTES:
            found.add((line.split()[3], line.split()[4]))
    return found


def test_single_on_two_nodes(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """Roles on both nodes, vectors once a node, clocks 1000 s apart; USR1 to the script ends it in order."""
    job = lab.submit(results, "single", write_job(ENDLESS), "--progress", 1, "--set", f"dataset.synthetic.rows={MANY_ROWS}", options=TWO_NODES, MILVUS_URI=server.uri)
    job.wait_for_words(r"load 1 s")
    vectors = [set.union(*map(shared_vectors, ranks_on(lab, node))) for node in ("n1", "n2")]
    assert [len(ranks_on(lab, node)) for node in ("n1", "n2")] == [2, 2]
    assert [len(found) for found in vectors] == [1, 1] and not vectors[0] & vectors[1], vectors
    for node in ("n1", "n2"):
        memory = os.statvfs(f"/proc/{ranks_on(lab, node)[0]}/root/dev/shm")
        assert DATA_BYTES <= (memory.f_blocks - memory.f_bfree) * memory.f_bsize < 2 * DATA_BYTES
    lab.run("scancel", "--batch", "--signal=USR1", job.number)
    assert job.end() == GOOD, job.words()
    result = job.result("single-{job}.h5")
    assert (result.attributes["np"], result.attributes["nodes"], result.attributes["collection"]) == (4, 2, f"slurm_{job.number}")
    assert not result.attributes["whole"] and "stopped early by a signal" in result.attributes["verdict"]
    ranks = result.tables["ranks"]
    assert [(row["node"], row["host"]) for row in ranks] == [(0, "n1"), (0, "n1"), (1, "n2"), (1, "n2")]
    assert all(0 <= row["core"] < os.cpu_count() and 1 <= row["cores"] <= os.cpu_count() for row in ranks)
    for row in ranks:
        assert abs(row["clock_offset_ns"] - row["node"] * 1000e9) < 0.1e9, ranks
    for role in ("writer", "deleter"):
        on = {ranks[worker["rank"]]["node"] for worker in result.tables["workers"] if worker["role"] == role}
        assert on == {0, 1}, result.tables["workers"]


def test_exit_codes(lab: Lab, tmp_path: Path, results: Path, write_job: WriteJob) -> None:
    """Each of milvus-hpc's is the job's."""
    (tmp_path / "lying").mkdir()
    yaml = write_job(SHORT)
    with Mock(tmp_path) as honest, Mock(tmp_path / "lying", faults=["keep_deleted=3"]) as lying:
        jobs = {
            GOOD: lab.submit(results, "single", yaml, MILVUS_URI=honest.uri),
            MISSED: lab.submit(results, "single", yaml, "--set", "thresholds={insert.p99: '< 1us'}", MILVUS_URI=honest.uri),
            VIOLATED: lab.submit(results, "single", yaml, MILVUS_URI=lying.uri),
            UNUSABLE: lab.submit(results, "single", tmp_path / "none.yaml", MILVUS_URI=honest.uri),
        }
        assert {wanted: job.end() for wanted, job in jobs.items()} == {code: code for code in jobs}, "\n".join(job.words() for job in jobs.values())
    assert jobs[VIOLATED].result("single-{job}.h5").figures["resurrected"] == 3
    assert "none.yaml" in jobs[UNUSABLE].words()


def container(folder: Path, text: str) -> dict[str, str]:
    """An `apptainer` that runs what it is told without any image."""
    folder.mkdir()
    (folder / "apptainer").write_text(text)
    (folder / "apptainer").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "MILVUS_HPC_IMAGE": "milvus-hpc.sif"}


def test_container(lab: Lab, server: Mock, results: Path, tmp_path: Path, write_job: WriteJob) -> None:
    """The image's program is what srun starts. Where it cannot, srun ends with 2, which is no violation."""
    stand_in = container(tmp_path / "good", f'#!/bin/sh\nwhile [ "$1" != milvus-hpc ]; do echo "apptainer: $1"; shift; done; shift; exec {PROGRAM} "$@"\n')
    works = lab.submit(results, "single", write_job(SHORT), MILVUS_URI=server.uri, **stand_in)
    fails = lab.submit(results, "single", write_job(SHORT), MILVUS_URI=server.uri, **container(tmp_path / "bad", "#!/none/such\n"))
    assert works.end() == GOOD and "apptainer: milvus-hpc.sif" in works.words(), works.words()
    assert fails.end() == UNUSABLE and "the ranks ended with exit code 2 and left no result" in fails.words(), fails.words()


def test_image_definition(tmp_path: Path) -> None:
    """Without an Apptainer: what %files copies is there and enough to configure the build as %post does."""
    part: dict[str, list[str]] = {}
    for line in (ROOT / "slurm" / "milvus-hpc.def").read_text().splitlines():
        if line.startswith("%"):
            part[line] = lines = []
        elif part:
            lines.append(line.strip())
    inside = tmp_path / "milvus-hpc"
    inside.mkdir()
    for source, target in (line.split() for line in part["%files"] if line):
        assert target == "/opt/milvus-hpc/"
        subprocess.run(["cp", "-r", ROOT / source, inside], check=True)
    post = [line.replace("/opt", str(tmp_path)) for line in part["%post"] if line]
    assert post[3].startswith("cmake --build")
    subprocess.run(["sh", "-e", "-c", "\n".join(post[:3])], check=True, timeout=300, stdout=subprocess.DEVNULL)


def test_array(lab: Lab, server: Mock, results: Path, tmp_path: Path, write_job: WriteJob) -> None:
    matrix = tmp_path / "matrix"
    matrix.write_text("# two by two\nranks = 1 | 3\nstages.load.writer.batch = 50 | 100\n")
    job = lab.submit(results, "array", write_job(SHORT), options=[*TWO_NODES, "--array=0-3%4"], MILVUS_URI=server.uri, MATRIX=matrix)
    assert job.end() == GOOD, job.words()
    points = [job.result(f"array-{{job}}/point-{point:03d}.h5") for point in range(4)]
    assert [(point.attributes["np"], point.attributes["nodes"], point.operations("load", "insert")["ok"]) for point in points] == [
        (1, 1, 40), (1, 1, 20), (3, 2, 40), (3, 2, 20)]
    assert points[3].attributes["label"] == "ranks=3 batch=100"
    beyond = lab.submit(results, "array", write_job(SHORT), options=["--array=4"], MILVUS_URI=server.uri, MATRIX=matrix)
    assert beyond.end() == UNUSABLE and "makes 4 points: sbatch --array=0-3%1" in beyond.words()


def test_verify_later(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """After a run, whatever came of it; and never, where the condition cannot hold any more."""
    first = lab.submit(results, "single", write_job(SHORT), "--keep", MILVUS_URI=server.uri)
    saved = results / f"single-{first.number}.h5"
    later = lab.submit(results, "verify_later", saved, options=[f"--dependency=afterany:{first.number}", "--ntasks-per-node=3"], MILVUS_URI=server.uri)
    never = lab.submit(results, "verify_later", saved, options=[f"--dependency=afternotok:{first.number}"], MILVUS_URI=server.uri)
    assert (first.end(), later.end()) == (GOOD, GOOD), first.words() + later.words()
    again, before = later.result("verify-{job}.h5"), first.result("single-{job}.h5")
    assert (again.attributes["parent"], again.attributes["np"], again.figures["scanned"]) == (before.attributes["run_id"], 3, before.figures["scanned"])
    assert never.wait_for(("CANCELLED",), 20) and not never.words()


def test_scaling(lab: Lab, server: Mock, results: Path) -> None:
    """Strong and weak series of the shipped job, made smaller, and the picture of both."""
    small = [word for option in ("dataset.synthetic.rows=2000", "stages.load.writer.rows=500", "stages.look.searcher.for=1s", "stages.look.searcher.warmup=0s",
                                 "calibrate=never") for word in ("--set", option)]
    job = lab.submit(results, "scaling", "jobs/scaling.yaml", *small, options=["--nodes=2", "--ntasks-per-node=1", "--array=0-3%4"], MILVUS_URI=server.uri,
                     RANKS="1 2")
    assert job.end() == GOOD, job.words()
    files = sorted((results / f"scaling-{job.number}").glob("*.h5"))
    assert [file.name for file in files] == [f"{kind}-{ranks:05d}.h5" for kind in ("strong", "weak") for ranks in (1, 2)]
    lab.run("analysis/scaling", *files, "--pictures", results / "figures")
    with (results / "figures" / "ranks.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["operation"].startswith("load writer insert")]
    assert [(row["operation"], row["kind"], row["ranks"], row["nodes"], row["workers"]) for row in rows] == [
        (f"load writer insert, {kind}", kind, ranks, nodes, workers) for kind, counts in (("strong", "22"), ("weak", "12"))
        for ranks, nodes, workers in zip("12", "12", counts, strict=True)]
