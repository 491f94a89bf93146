"""Results to analyse, made by the program against the mock; and what the tests share."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "analysis"))
PROGRAM = Path(os.environ.get("MILVUS_HPC", ROOT / "build" / "release" / "src" / "milvus-hpc"))
MOCK = Path(os.environ.get("MILVUS_MOCK", ROOT / "build" / "release" / "src" / "mock" / "milvus-mock"))

COLLECTION = """
dataset: {synthetic: {rows: 2000, dim: 16}}
collection:
  name: hpc_analysis
  replace: true
  consistency: strong
  fields:
    - {name: id, type: int64, primary: true}
    - {name: vector, type: float_vector}
    - {name: varchar_field, type: varchar, max_length: 64}
  index: {type: FLAT, params: {}}
calibrate: never
"""
CRUD = COLLECTION + """
stages:
  - name: crud
    roles:
      - {role: writer, count: 4, rows: 500, batch: 50, partition: own}
      - {role: deleter, count: 1, batch: 20, share: 20%}
      - {role: upserter, count: 1, batch: 20, share: 20%}
verify: {recheck: [], vectors: all, grace: 200ms}
thresholds: {errors: "<= 50%"}
"""
RICH = COLLECTION + """
stages:
  - name: fill
    roles: [{role: writer, count: 1, rows: 1000, batch: 100}]
  - name: load
    chaos: [{at: 1s, run: "sleep 0.3"}]
    roles:
      - {role: searcher, count: 2, rate: 40/s, for: 3s, topk: 5, params: {}}
      - {role: prober, count: 1, for: 3s, consistency: strong, read: query}
  - name: peak
    roles: [{role: searcher, count: 2, inflight: 4, topk: 5, params: {}}]
    find_max: {role: searcher, from: 50/s, to: 200/s, within: 10s, probe: 300ms, warmup: 100ms, p99: 500ms}
verify: {recheck: [], vectors: none, recall: 50}
observe: {period: 100ms}
thresholds: {load.server_rss.slope: "< 1GiB/h"}
"""
SEARCHED = COLLECTION + """
stages:
  - name: fill
    roles: [{role: writer, count: 2, rows: 500, batch: 100}]
  - name: load_up
    before: [flush]
    roles:
      - role: searcher
        count: 3
        for: 1s
        mix:
          - {weight: 3, topk: 10, filter: 'varchar_field like "prefix{prefix}%"', params: {}}
          - {weight: 1, topk: 20, radius: random, share: 5%, params: {}}
      - {role: querier, count: 2, for: 1s, expression: 'id > 100 and varchar_field like "prefix{prefix}%"'}
      - {role: writer, count: 1, rows: 400, batch: 20, rate: 20/s, for: 1s}
      - {role: deleter, count: 1, batch: 10}
verify: {recheck: [], vectors: sample 10%, recall: 100}
"""
LIVES = COLLECTION + """
stages:
  - name: soak
    roles: [{role: lifecycle, count: 2, rows: 400, batch: 100, cycles: 3, recheck: 100%, poll: 5ms}]
verify: {enabled: false, recheck: [], vectors: all, grace: 50ms}
"""
ENDLESS = COLLECTION + """
stages:
  - name: load
    roles: [{role: writer, count: 2, rows: 1M, batch: 10, for: 60s, rate: 200/s}]
"""


def pytest_sessionstart() -> None:
    for needed in (PROGRAM, MOCK):
        if not needed.exists():
            pytest.exit(f"{needed} is needed: ./test builds it", returncode=3)


@contextmanager
def mock(*faults: str) -> Iterator[str]:
    words = [word for fault in faults for word in ("--fault", fault)]
    process = subprocess.Popen([MOCK, "--port", "0", "--with-parent", *words], stdout=subprocess.PIPE, text=True)
    try:
        assert select.select([process.stdout], [], [], 20)[0], "the mock says nothing"
        yield process.stdout.readline().rpartition(" ")[2].strip()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def command(folder: Path, name: str, job: str, server: str, ranks: int) -> tuple[list[str], Path]:
    (folder / f"{name}.yaml").write_text(job)
    result = folder / f"{name}.h5"
    launcher = ["mpirun", "--oversubscribe", "-np", str(ranks)] if ranks > 1 else []
    return [*launcher, str(PROGRAM), "run", str(folder / f"{name}.yaml"), "--server", server, "--output", str(result), "--quiet", "--seed", "7"], result


def environment() -> dict[str, str]:
    local = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo"}
    return os.environ | local


def run_job(folder: Path, name: str, job: str, code: int, faults: tuple[str, ...] = (), ranks: int = 1) -> Path:
    with mock(*faults) as server:
        words, result = command(folder, name, job, server, ranks)
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment())
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return result


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="session")
def good(folder: Path) -> Path:
    return run_job(folder, "good", CRUD, 0, ranks=2)


@pytest.fixture(scope="session")
def violated(folder: Path) -> Path:
    return run_job(folder, "violated", CRUD, 2, ("flip_scalar=25%", "lose=25%", "reply_code=3,code=8,op=insert"), ranks=2)


@pytest.fixture(scope="session")
def rich(folder: Path) -> Path:
    """With events, recall, visibility and find_max."""
    return run_job(folder, "rich", RICH, 0)


def kill_and_merge(folder: Path, name: str, job: str, faults: tuple[str, ...] = (), seconds: float = 0.0) -> Path:
    """What merge makes of the journals of a run that was killed with SIGKILL."""
    with mock(*faults) as server:
        words, result = command(folder, name, job, server, 1)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        journals = folder / f"{name}.h5.journals"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and sum(path.stat().st_size for path in journals.glob("*")) < 4096:
            time.sleep(0.05)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    done = subprocess.run([PROGRAM, "merge", journals, "-o", result], capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert done.returncode == 3, done.stderr
    return result


@pytest.fixture(scope="session")
def killed(folder: Path) -> Path:
    return kill_and_merge(folder, "killed", ENDLESS)


@pytest.fixture(scope="session")
def killed_lives(folder: Path) -> Path:
    """Long enough for an interval of cycles to be in the journal."""
    return kill_and_merge(folder, "killed_lives", LIVES.replace("cycles: 3", "cycles: 1M"), ("lose=20",), 3.5)


@pytest.fixture(scope="session")
def searched(folder: Path) -> Path:
    """As jobs/search_churn.yaml, of a server whose answers are wrong."""
    return run_job(folder, "searched", SEARCHED, 2, ("search_distance=3", "search_unfiltered=5", "search_order=2"), ranks=2)


@pytest.fixture(scope="session")
def lives(folder: Path) -> Path:
    """As jobs/soak_quick.yaml, of cycles alone, of a server that loses rows and does not drop."""
    return run_job(folder, "lives", LIVES, 2, ("lose=150", "keep_dropped=1,op=drop_collection", "keep_dropped=1,op=drop_partition"), ranks=2)


@pytest.fixture(scope="session")
def again(folder: Path) -> Path:
    """What verify makes of a run whose job had options on the command line; beside it, in second.h5, that run's next part."""
    with mock() as server:
        words, run = command(folder, "kept", CRUD, server, 1)
        result = folder / "again.h5"
        more = ["--server", server, "--quiet", "--set", "verify.vectors=none", "--output"]
        for line in ([*words, "--keep", "--set", "stages.crud.writer.batch=100"], [str(PROGRAM), "verify", str(run), *more, str(result)],
                     [str(PROGRAM), "run", "--continue", str(run), *more, str(folder / "second.h5")]):
            done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=environment())
            assert done.returncode == 0, done.stderr
    return result


def tool(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"MILVUS_HPC_PYTHON": sys.executable}
    return subprocess.run([ROOT / "analysis" / name, *map(str, words)], capture_output=True, text=True, timeout=120, check=False, env=variables)


@cache
def page_of(result: Path) -> Path:
    page = result.with_suffix(".html")
    done = tool("report", result)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(page), "")
    return page


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium")
    assert path, "chromium is needed: scripts/setup --tests installs it"
    return path
