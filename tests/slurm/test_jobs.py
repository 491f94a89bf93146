"""Jobs of slurm/ in a real Slurm, against the mock: what they leave, how they end, and on whom one waits for another."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from conftest import ENDLESS, ROOT, SHORT, Lab, ranks_on
from mockserver import Mock
from support import GOOD, MISSED, PROGRAM, UNUSABLE, VIOLATED, Result

WriteJob = Callable[[str], Path]
TWO_NODES = ("--nodes=2", "--ntasks-per-node=2")
MANY_ROWS = 200_000
SEARCHERS = "      - {role: searcher, count: 4, topk: 5, for: 10m, rate: 40/s}\n"
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
    job = lab.submit(results, "single", write_job(ENDLESS + SEARCHERS), "--progress", 1, "--set", f"dataset.synthetic.rows={MANY_ROWS}", options=TWO_NODES, MILVUS_URI=server.uri)
    job.wait_for_words(r"load \d+ s")
    vectors = [set.union(*map(shared_vectors, ranks_on(lab, node, job))) for node in ("n1", "n2")]
    assert [len(ranks_on(lab, node, job)) for node in ("n1", "n2")] == [2, 2]
    assert [len(found) for found in vectors] == [1, 1] and not vectors[0] & vectors[1], vectors
    for node in ("n1", "n2"):
        memory = os.statvfs(f"/proc/{ranks_on(lab, node, job)[0]}/root/dev/shm")
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
    assert_one_time(result)
    for role in ("writer", "deleter", "searcher"):
        on = {ranks[worker["rank"]]["node"] for worker in result.tables["workers"] if worker["role"] == role}
        assert on == {0, 1}, result.tables["workers"]


def assert_one_time(result: Result) -> None:
    """Due times, timelines, samples and the times that reads are judged by are of one clock, wherever they were taken."""
    duration, figures = result.attributes["duration_s"], result.figures
    assert figures["reads_judged"] == figures["reads"] > 0 and figures["true_neighbors_found"] == figures["true_neighbors"] > 0
    for row in result.tables["operations"]:
        assert row["ok"] == 0 or 0 < row["sent_max_ns"] <= row["due_max_ns"] < 60e9, row
    for row in result.tables["timeline"]:
        assert 0 <= row["second"] <= duration and 0 <= row["lag_ns"] < 60e9, row
    assert all(0 <= row["second"] <= duration for row in result.tables["rank_samples"])
    assert {row["rank"] for row in result.tables["rank_samples"]} == {0, 1, 2, 3}


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
    fails = lab.submit(results, "single", write_job(SHORT), options=["--ntasks-per-node=1"], MILVUS_URI=server.uri, **container(tmp_path / "bad", "#!/none/such\n"))
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
    lab.run("analysis/scaling", *sorted((results / f"array-{job.number}").glob("*.h5")), "--pictures", results / "figures")
    with (results / "figures" / "ranks.csv").open() as file:
        lines = {(row["operation"], row["ranks"]) for row in csv.DictReader(file) if " insert" in row["operation"]}
    assert lines == {(f"load writer insert, writer.batch={batch}", ranks) for batch in ("50", "100") for ranks in "13"}
    beyond = lab.submit(results, "array", write_job(SHORT), options=["--array=4"], MILVUS_URI=server.uri, MATRIX=matrix)
    assert beyond.end() == UNUSABLE and "makes 4 points: sbatch --array=0-3%1" in beyond.words()


def alone(folder: Path, script: str, *arguments: object, **env: object) -> tuple[int, str]:
    """The script by itself, told that it is in a job of 4 ranks, element 3 of an array; for what ends before any rank begins."""
    told = {"SLURM_SUBMIT_DIR": ROOT, "SLURM_JOB_ID": 7, "SLURM_NTASKS": 4, "SLURM_JOB_NUM_NODES": 1, "SLURM_JOB_NODELIST": "n1",
            "SLURM_ARRAY_TASK_ID": 3, "SLURM_ARRAY_TASK_COUNT": 4, "MILVUS_URI": "http://127.0.0.1:1", "RESULTS": folder / "my results"} | env
    done = subprocess.run(["bash", ROOT / "slurm" / f"{script}.sbatch", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                          cwd=folder, env=os.environ | {name: str(value) for name, value in told.items()})
    return done.returncode, done.stderr


def test_every_point_of_the_shipped_matrix(tmp_path: Path) -> None:
    """What array.sbatch would have srun start, by a stand-in that writes it down: each a job of its own that can run."""
    (tmp_path / "srun").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$LINES"\n')
    (tmp_path / "srun").chmod(0o755)
    elements = int(re.search(r"--array=0-(\d+)", (ROOT / "slurm" / "array.sbatch").read_text())[1]) + 1
    points = []
    for point in range(elements):
        lines = tmp_path / f"point-{point}"
        alone(tmp_path, "array", PATH=f"{tmp_path}:{os.environ['PATH']}", LINES=lines, SLURM_NTASKS=8, SLURM_ARRAY_TASK_ID=point, SLURM_ARRAY_TASK_COUNT=elements)
        words = lines.read_text().splitlines()
        ranks = next(word.removeprefix("--ntasks=") for word in words if word.startswith("--ntasks="))
        run = words[words.index("run") + 1:]
        sets = [word for at, option in enumerate(run) if option == "--set" for word in run[at:at + 2]]
        done = subprocess.run([PROGRAM, "check", run[0], "--np", ranks, *sets], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
        assert done.returncode == GOOD and f"job {ROOT / 'jobs' / 'matrix.yaml'} is valid" in done.stdout, f"point {point}: {done.stderr}"
        points.append((ranks, *sets))
    assert len(set(points)) == elements == 16
    code, words = alone(tmp_path, "array", SLURM_ARRAY_TASK_ID=elements, SLURM_ARRAY_TASK_COUNT=elements + 1)
    assert code == UNUSABLE and f"makes {elements} points" in words, words


def test_what_cannot_run_says_why_and_ends_with_3(tmp_path: Path, write_job: WriteJob) -> None:
    """Never with 1, which bash ends with and which would say that a threshold was missed."""
    yaml, matrix = write_job(SHORT), tmp_path / "matrix"
    for script in ("single", "array", "scaling", "soak"):
        code, words = alone(tmp_path, script, "none.yaml")
        assert code == UNUSABLE and "none.yaml: no such job file" in words, words
    for script, variable in (("scaling", "RANKS"), ("scaling", "WORKERS"), ("scaling", "PER_RANK"), ("soak", "SOAK_PARTS")):
        code, words = alone(tmp_path, script, yaml, **{variable: "many"})
        assert code == UNUSABLE and f"{variable}: 'many': expected a number" in words, words
    matrix.write_text("ranks = many | 3")
    code, words = alone(tmp_path, "array", yaml, MATRIX=matrix, SLURM_ARRAY_TASK_ID=0)
    assert code == UNUSABLE and "ranks: 'many': expected a number" in words, words
    matrix.write_text("ranks = 1 | 3\nstages.load.writer.batch = 50 | 100")  # its last line has no end
    code, words = alone(tmp_path, "array", yaml, MATRIX=matrix, SLURM_ARRAY_TASK_ID=4)
    assert code == UNUSABLE and "makes 4 points" in words, words


def test_what_an_earlier_start_of_the_job_left_is_not_touched(tmp_path: Path, write_job: WriteJob) -> None:
    """Its result is not taken for this one's, and evidence of a violation is not replaced by the next part."""
    soak = tmp_path / "my results" / "soak-7"
    soak.mkdir(parents=True)
    (soak.parent / "single-7.h5").write_text("earlier")
    code, words = alone(tmp_path, "single", write_job(SHORT))
    assert code == UNUSABLE and "single-7.h5: exists already" in words, words
    for codes, worst in (("2 part-1\n", VIOLATED), ("2 part-1\n0 part-1 again\n3 part-2\n", UNUSABLE)):
        (soak / "codes").write_text(codes)
        code, words = alone(tmp_path, "soak", write_job(SHORT))
        assert code == worst and "a violation ended this soak: the collections stay as they are" in words, words
        assert [path.name for path in soak.iterdir()] == ["codes"] and (soak / "codes").read_text() == codes


def test_no_part_beyond_the_last(tmp_path: Path) -> None:
    """Also when the last one was cut off: the soak ends, with its worst code."""
    soak = tmp_path / "my results" / "soak-7"
    soak.mkdir(parents=True)
    (soak / "begun").write_text("1 n1\n2 n1\n")
    (soak / "codes").write_text("0 part-1\n3 part-2 cut off\n")
    code, words = alone(tmp_path, "soak", ROOT / "jobs" / "soak.yaml", SOAK_PARTS=2)
    assert code == UNUSABLE and "2 steps, the worst exit code 3" in words, words
    assert sorted(path.name for path in soak.iterdir()) == ["begun", "codes", "last"]


def test_what_codes_does_not_take_is_not_forgotten(tmp_path: Path) -> None:
    """As on a full disk: no earlier 0 stands in for it, and no 2 of bash's own."""
    soak = tmp_path / "my results" / "soak-7"
    (soak / "codes").mkdir(parents=True)  # cannot be written, by root either
    (soak / "begun").write_text("1 n1\n")
    (soak / "part-1.h5").touch()
    code, words = alone(tmp_path, "soak", ROOT / "jobs" / "soak.yaml", SOAK_PARTS=1)
    assert code == UNUSABLE and "codes: cannot be written" in words and "the worst exit code 3" in words, words


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


def test_soak_of_life_cycles(lab: Lab, server: Mock, results: Path) -> None:
    """jobs/soak.yaml, an hour in 3 s: nothing of them is left to be audited again, which the audit says."""
    job = lab.submit(results, "soak", "jobs/soak.yaml", "--set", "stages.soak.lifecycle.for=3s", "--set=thresholds={}", "--set", "calibrate=never",
                     options=["--ntasks-per-node=2"], MILVUS_URI=server.uri)
    assert job.end() == GOOD, job.words()
    assert (results / f"soak-{job.number}" / "codes").read_text() == "0 part-1\n0 part-1 end\n"
    part, end = job.result("soak-{job}/part-1.h5"), job.result("soak-{job}/part-1.end-0.h5")
    assert part.operations("soak", "cycle")["ok"] > 0 and not end.attributes["collection_kept"]
    assert end.attributes["verdict"] == "GOOD: no row of the job's collection was acknowledged, and none is there"


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
