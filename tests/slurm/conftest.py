"""A Slurm of two nodes on this machine, and jobs in it: the real scripts of slurm/, submitted as users do."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from mockserver import Mock  # noqa: E402
from support import ENVIRONMENT, PROGRAM, Result  # noqa: E402

LAB = Path(__file__).parent / "lab"
RUNNING, ENDED = ("RUNNING",), ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


class Job:
    def __init__(self, lab: Lab, number: str, results: Path):
        self.lab, self.number, self.results = lab, number, results

    def records(self) -> list[dict[str, str]]:
        """One of an ordinary job, one an element of an array."""
        lines = self.lab.run("scontrol", "show", "job", "--oneliner", self.number).splitlines()
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.strip()]

    def wait_for(self, states: Iterable[str], seconds: float) -> list[dict[str, str]]:
        deadline = time.monotonic() + seconds
        while True:
            records = self.records()
            if all(record["JobState"] in states for record in records):
                return records
            assert time.monotonic() < deadline, f"not {states} after {seconds} s: {records}\n{self.words()}"
            time.sleep(0.1)

    def end(self, seconds: float = 120) -> int:
        """Its exit code, once it has ended."""
        records = self.wait_for(ENDED, seconds)
        return max(int(record["ExitCode"].partition(":")[0]) for record in records)

    def owns(self, pid: int) -> bool:
        return f"SLURM_JOB_ID={self.number}\0".encode() in environment(pid)

    def words(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.results.glob(f"job-{self.number}*.out")))

    def wait_for_words(self, pattern: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.words()):
            assert time.monotonic() < deadline, f"no {pattern!r} after {seconds} s in:\n{self.words()}"
            assert not all(record["JobState"] in ENDED for record in self.records()), f"it ended without {pattern!r}:\n{self.words()}"
            time.sleep(0.1)

    def result(self, name: str) -> Result:
        path = self.results / name.format(job=self.number)
        assert path.exists(), f"no {path.name}; there are {sorted(p.name for p in self.results.iterdir())}\n{self.words()}"
        return Result(path)


class Lab:
    def __init__(self, folder: Path, nodes: int = 2, kill_wait_s: int = 12):
        self.folder = folder
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.environment = ENVIRONMENT | {"SLURM_CONF": str(folder / "slurm.conf")}
        self.process = subprocess.Popen([LAB, "--nodes", str(nodes), "--cpus", "8", "--dir", folder, "sh", "-c", "echo ready; exec cat"],
                                        env=ENVIRONMENT | {"LAB_KILL_WAIT_S": str(kill_wait_s)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        assert line == "ready", self.process.stderr.read()

    def close(self) -> None:
        out, err = self.process.communicate("", timeout=60)
        assert self.process.returncode == 0, out + err

    def run(self, *words: object, env: dict[str, str] | None = None) -> str:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
                              env=self.environment | (env or {}))
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, results: Path, script: str, *arguments: object, options: Iterable[str] = (), **env: object) -> Job:
        """`sbatch OPTIONS slurm/SCRIPT ARGUMENTS` in the top folder, with the environment given."""
        environment = {name: str(value) for name, value in env.items()} | {"RESULTS": str(results)}
        number = self.run("sbatch", "--parsable", f"--output={results}/job-%A_%a.out" if script in ("array", "scaling") else f"--output={results}/job-%j.out",
                          *options, f"slurm/{script}.sbatch", *arguments, env=environment).strip()
        return Job(self, number, results)

    def processes(self, node: str) -> list[int]:
        """All that run on a node: what shares its host name's namespace. Never this machine's."""
        home = os.readlink(f"/proc/{(self.folder / f'node.{node}').read_text().strip()}/ns/uts")
        if home == os.readlink("/proc/self/ns/uts"):
            pytest.skip("the nodes are not told apart from this machine: that takes root or sudo")
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _namespace(pid) == home]

    def processes_of(self, job: Job) -> list[list[str]]:
        """Command lines of what a job has left on the nodes."""
        return [words_of(pid) for node in self.nodes for pid in self.processes(node) if job.owns(pid)]

    def lose(self, node: str) -> None:
        """As if its power had gone."""
        for pid in self.processes(node):
            with contextlib.suppress(ProcessLookupError):  # ended with the one before
                os.kill(pid, signal.SIGKILL)


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/uts")
    except OSError:
        return ""


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def words_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def ranks_on(lab: Lab, node: str, job: Job) -> list[int]:
    return sorted(pid for pid in lab.processes(node) if words_of(pid)[0] == str(PROGRAM) and job.owns(pid))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mock]:
    with Mock(tmp_path) as started:
        yield started


def job_file(folder: Path, stages: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(COLLECTION + stages)
    return path


@pytest.fixture
def write_job(tmp_path: Path) -> Callable[[str], Path]:
    return lambda stages: job_file(tmp_path, stages)


COLLECTION = """
dataset: {synthetic: {rows: 20000, dim: 32}}
collection:
  name: hpc_lab
  fields:
    - {name: id, type: int64, primary: true}
    - {name: vector, type: float_vector}
    - {name: varchar_field, type: varchar, max_length: 64}
  index: {type: FLAT, params: {}}
calibrate: never
verify: {recheck: [], vectors: all, grace: 500ms}
"""
SHORT = """
stages:
  - name: load
    roles:
      - {role: writer, count: 4, rows: 500, batch: 50}
      - {role: deleter, count: 2, batch: 20, share: 20%}
"""
ENDLESS = """
stages:
  - name: load
    roles:
      - {role: writer, count: 4, rows: 1M, batch: 10, for: 10m, rate: 40/s}
      - {role: deleter, count: 2, batch: 10, share: 10%}
"""
