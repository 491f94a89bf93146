"""What the end-to-end tests share: the server, the program, its result file, and the rows' content worked out a second time.

The expectations here are made from the documented layout and content rules alone, in another language than the program's.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import select
import signal
import struct
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from pymilvus import MilvusClient

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MILVUS_HPC", ROOT / "build" / "release" / "src" / "milvus-hpc"))
MNIST = ROOT / "data" / "mnist-784-euclidean.hdf5"
SERVER = ROOT / "scripts" / "milvus-server"
STOP_AT = Path(os.environ.get("STOP_AT_LIBRARY", ROOT / "build" / "release" / "tests" / "e2e" / "libstop_at.so"))
DRIFTING_CLOCKS = Path(os.environ.get("DRIFTING_CLOCKS_LIBRARY", ROOT / "build" / "release" / "tests" / "e2e" / "libdrifting_clocks.so"))
_CACHE = tempfile.TemporaryDirectory(prefix="milvus-hpc-cache-")  # calibrations of the tests' own; goes with the interpreter
ENVIRONMENT = os.environ | {
    "XDG_CACHE_HOME": _CACHE.name,
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl_tcp_if_include": "lo",
    "OMPI_MCA_oob_tcp_if_include": "lo", "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
}
# After an exit code that is not 0, mpirun gives ranks that have ended already 2 s to end.
AT_ONCE = {"OMPI_MCA_odls_base_sigkill_timeout": "0"}
GOOD, MISSED, VIOLATED, UNUSABLE = 0, 1, 2, 3
ABSENT, OF_NO_VERSION = -1, -2


# --- the server ---------------------------------------------------------------------------------------------------


class Server:
    """One instance of the real server, in a folder of its own; all its processes are ended by pid."""

    def __init__(self, home: Path):
        self.home = home
        self.uri = ""

    def _call(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SERVER, command, "--dir", self.home, *options], capture_output=True, text=True,
                              timeout=240, check=False)

    def start(self, *settings: str) -> None:
        options = [word for setting in settings for word in ("--set", setting)]
        done = self._call("start", *options)
        assert done.returncode == 0, done.stderr
        self.uri = done.stdout.strip()

    def kill(self) -> None:
        done = self._call("kill")
        assert done.returncode == 0, done.stderr

    def pid(self) -> int:
        status = re.search(r" pid (\d+) ", self._call("status").stdout)
        assert status
        return int(status[1])

    def queries(self) -> int:
        """Queries that the server has got since it started, as its metrics say."""
        address = re.search(r"http://\S+/metrics", self._call("status").stdout)
        assert address
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address[0], timeout=10) as reply:
            page = reply.read().decode()
        counts = re.findall(r'^milvus_proxy_req_count\{function_name="Query",.*status="total"\} (\S+)$', page, re.M)
        return sum(int(float(number)) for number in counts)

    @contextmanager
    def client(self) -> Iterator[MilvusClient]:
        client = MilvusClient(uri=self.uri, timeout=30)
        try:
            yield client
        finally:
            client.close()


# --- the program --------------------------------------------------------------------------------------------------


def command_line(np_: int, words: Iterable[object]) -> list[str]:
    launcher = [] if np_ == 1 else ["mpirun", "-np", str(np_)]
    return [*launcher, str(PROGRAM), *(str(word) for word in words)]


class Done:
    def __init__(self, code: int, out: str, err: str, result: Path | None = None):
        self.code, self.out, self.err, self.result_path = code, out, err, result

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    @cached_property
    def result(self) -> Result:
        assert self.result_path is not None and self.result_path.exists(), str(self)
        return Result(self.result_path)

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if re.match(r"milvus-hpc( \[rank \d+\])?: error: ", line)]


def hpc(*words: object, np: int = 1, timeout: float = 180, cwd: Path | None = None, result: Path | None = None,
        env: dict[str, str] | None = None) -> Done:
    done = subprocess.run(command_line(np, words), capture_output=True, text=True, timeout=timeout, check=False,
                          cwd=cwd or ROOT, env=ENVIRONMENT | AT_ONCE | (env or {}))
    return Done(done.returncode, done.stdout, done.stderr, result)


class Running:
    """A run in the background, whose words on stderr can be waited for."""

    def __init__(self, words: Iterable[object], np: int = 1, result: Path | None = None, command: list[str] | None = None,
                 env: dict[str, str] | None = None):
        self.process = subprocess.Popen(command or command_line(np, words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
                                        env=ENVIRONMENT | (env or {}), start_new_session=True)
        self.result_path = result
        self.text = {self.process.stdout: b"", self.process.stderr: b""}
        self.open = list(self.text)

    @property
    def err(self) -> str:
        return self.text[self.process.stderr].decode(errors="replace")

    def read_until(self, reached: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.open and not reached():
            if time.monotonic() > deadline:
                return False
            ready = select.select(self.open, [], [], 0.1)[0]
            for stream in ready:
                chunk = os.read(stream.fileno(), 1 << 16)
                self.text[stream] += chunk
                if not chunk:
                    self.open.remove(stream)
        return reached()

    def wait_for(self, pattern: str, seconds: float = 90) -> None:
        """Until a line of stderr matches."""
        assert self.read_until(lambda: re.search(pattern, self.err, re.M) is not None, seconds), f"no {pattern!r} in:\n{self.err}"

    def seconds_shown(self, stage: str) -> list[int]:
        """By its progress lines: one comes a second after the last, so that after a pause of the machine a number is left out."""
        return [int(second) for second in re.findall(rf"^{stage} (\d+) s.*\n", self.err, re.M)]

    def wait_for_second(self, stage: str, second: int) -> None:
        """Or a later one of the stage."""
        assert self.read_until(lambda: max(self.seconds_shown(stage), default=-1) >= second, 90), f"no second {second} of {stage} in:\n{self.err}"

    def wait_for_lines(self, stage: str, lines: int = 2) -> None:
        """More progress lines of the stage: of two, the second comes an interval from now at least."""
        self.read_until(lambda: False, 0.1)  # what has been said already
        wanted = len(self.seconds_shown(stage)) + lines
        assert self.read_until(lambda: len(self.seconds_shown(stage)) >= wanted, 90), f"not {wanted} lines of {stage} in:\n{self.err}"

    def finish(self, seconds: float = 180) -> Done:
        ended = self.read_until(lambda: not self.open, seconds)
        assert ended, f"still running after {seconds} s:\n{self.err}"
        code = self.process.wait(timeout=30)
        return Done(code, self.text[self.process.stdout].decode(errors="replace"), self.err, self.result_path)

    def end(self) -> None:
        """Whatever is left of it: the session that it leads."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for stream in self.text:
            stream.close()


@contextmanager
def running(*words: object, np: int = 1, result: Path | None = None, command: list[str] | None = None,
            env: dict[str, str] | None = None) -> Iterator[Running]:
    run = Running(words, np, result, command, env)
    try:
        yield run
    finally:
        run.end()


def private_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(kb) for kb in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M))


def ranks_of(run: Running) -> list[int]:
    """Pids of the program's ranks below mpirun."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == run.process.pid and words[0] == str(PROGRAM).encode():
            pids.append(int(folder.name))
    return sorted(pids)


def named(text: str) -> set[int]:
    """Ranks that a message or a verdict names as the ones that ended the run."""
    return {int(rank) for rank in re.findall(r"\brank (\d+) \(pid \d+ on [^)]+\)", text)}


# --- the result file ----------------------------------------------------------------------------------------------


def text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Row:
    """What the ledger says about one id."""

    INSERTS = ("none", "refused", "unknown", "acknowledged")

    def __init__(self, insert: int, version: int, flags: int, worker: int, partition: int):
        self.insert, self.version, self.worker, self.partition = self.INSERTS[insert], version, worker, partition
        self.deleted, self.delete_unknown, self.upsert_unknown = (bool(flags & bit) for bit in (0x1000, 0x2000, 0x4000))

    @property
    def certain(self) -> bool:
        """Must be there."""
        return self.insert == "acknowledged" and not self.deleted and not self.delete_unknown

    @property
    def possible(self) -> bool:
        """May be there."""
        return self.insert in ("acknowledged", "unknown") and not self.deleted


class Result:
    def __init__(self, path: Path):
        self.path = path
        with h5py.File(path, "r") as file:
            self.attributes = {name: text(value) if isinstance(value, bytes) else value for name, value in file.attrs.items()}
            self.tables: dict[str, list[dict]] = {}
            self.units: dict[str, list[str]] = {}
            self.histograms: dict[str, int] = {}
            file.visititems(self._take)
            self.job_text = text(file["job/text"][()])

    def _take(self, name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.names is None:
            return
        if name.startswith("latency/"):
            self.histograms[name] = int(item["count"].sum())
            return
        rows = item[()]
        self.tables[name] = [{field: text(row[field]) if isinstance(row[field], bytes) else row[field].item()
                              for field in item.dtype.names} for row in rows]
        self.units[name] = [text(unit) for unit in item.attrs["unit"]]

    @cached_property
    def figures(self) -> dict[str, int]:
        return {row["figure"]: row["value"] for row in self.tables["truth/summary"]}

    @property
    def violations(self) -> list[dict]:
        return self.tables["truth/violations"]

    @property
    def found(self) -> dict[str, set[int]]:
        """kind -> ids, without the late ones, which are no violation."""
        kinds: dict[str, set[int]] = {}
        for row in self.violations:
            if row["kind"] != "late":
                kinds.setdefault(row["kind"], set()).add(row["id"])
        return kinds

    @cached_property
    def ledger(self) -> dict[int, Row]:
        rows = {}
        for fate in self.tables["truth/ledger"]:
            for i in range(fate["first_id"], fate["first_id"] + fate["count"]):
                assert i not in rows, f"id {i} is in two ranges of the ledger"
                rows[i] = Row(fate["insert"], fate["version"], fate["flags"], fate["worker"], fate["partition_number"])
        return rows

    @cached_property
    def partition_names(self) -> dict[int, str]:
        return {row.partition: self.worker(row.worker)["partition"] for row in self.ledger.values()}

    def worker(self, number: int) -> dict:
        return next(row for row in self.tables["workers"] if row["worker"] == number)

    def live(self) -> dict[int, Row]:
        return {key: row for key, row in self.ledger.items() if row.certain}

    def operations(self, stage: str, op: str) -> dict[str, int]:
        """Sums over the roles of a stage."""
        rows = [row for row in self.tables["operations"] if row["stage"] == stage and row["op"] == op]
        return {name: sum(row[name] for row in rows) for name in COUNTERS}


COUNTERS = ("planned", "ok", "failed", "unknown", "timed_out", "throttled", "unsent", "in_flight", "rows")


def assert_books_balance(result: Result) -> None:
    for row in result.tables["operations"]:
        assert row["planned"] == row["ok"] + row["failed"] + row["unknown"] + row["unsent"] + row["in_flight"], row
        assert row["latency_count"] + row["warm_up"] == row["ok"], row
        assert row["timed_out"] <= row["unknown"] + row["failed"], row
    for op in ("insert", "upsert", "delete"):
        own = [row for row in result.tables["operations"] if row["op"] == op and row["role"] != "lifecycle"]
        assert sum(row["rows"] for row in own) == result.figures[f"acknowledged_{op}s"] - result.figures[f"earlier_{op}s"]


def assert_ledger_agrees(result: Result) -> None:
    """The saved ledger, row by row, against the sums that the run added up batch by batch."""
    rows, figures = result.ledger.values(), result.figures
    inserts = Counter(row.insert for row in rows)
    assert inserts["acknowledged"] == figures["acknowledged_inserts"]
    assert inserts["unknown"] == figures["unknown_inserts"]
    assert inserts["refused"] == figures["refused_inserts"]
    assert sum(row.deleted for row in rows) == figures["acknowledged_deletes"]
    assert sum(row.version for row in rows) == figures["acknowledged_upserts"]
    for worker in result.tables["workers"]:
        own = [key for key, row in result.ledger.items() if row.worker == worker["worker"]]
        assert not own or worker["first_id"] <= min(own) <= max(own) < worker["first_id"] + worker["rows"]


# --- content of a row, a second time ------------------------------------------------------------------------------

_XXH3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits_withSeed
_XXH3.restype = ctypes.c_uint64
_XXH3.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)


class Content:
    """Of id and version, for fields (id, vector, varchar_field) in that order."""

    VARCHAR_FIELD, STREAM = 2, 0x636F6E74

    def __init__(self, seed: int, vectors: np.ndarray):
        self.seed, self.vectors = seed, vectors
        rows = len(vectors)
        self.stride = int(rows * 0.6180339887498949) | 1
        while math.gcd(rows, self.stride) != 1:
            self.stride += 2

    def vector(self, key: int, version: int) -> np.ndarray:
        return self.vectors[(key + version * self.stride) % len(self.vectors)]

    def varchar(self, key: int, version: int) -> str:
        words = struct.pack("<QQ", key, version << 8 | self.VARCHAR_FIELD)
        bits = _XXH3(words, len(words), self.seed ^ self.STREAM)
        return f"prefix{bits // 10 % 10}{bits % 10}_{key}_v{version}"

    def row(self, key: int, version: int) -> dict:
        return {"id": key, "vector": self.vector(key, version).tolist(), "varchar_field": self.varchar(key, version)}


# --- what the server holds, through its own client ----------------------------------------------------------------


def count(client: MilvusClient, collection: str, partition: str | None = None) -> int:
    rows = client.query(collection, filter="", output_fields=["count(*)"], consistency_level="Strong",
                        partition_names=[partition] if partition else None)
    return rows[0]["count(*)"]


def read_all(client: MilvusClient, collection: str, partition: str) -> dict[int, str]:
    """varchar_field by key. Small collections only: a query returns 16,384 rows at most."""
    rows = client.query(collection, filter="id >= 0 or id < 0", output_fields=["id", "varchar_field"],
                        consistency_level="Strong", partition_names=[partition])
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["varchar_field"] for row in rows}


def read_vectors(client: MilvusClient, collection: str, keys: Iterable[int]) -> dict[int, np.ndarray]:
    rows = client.query(collection, filter=f"id in {sorted(keys)}", output_fields=["id", "vector"], consistency_level="Strong")
    return {row["id"]: np.asarray(row["vector"], dtype=np.float32) for row in rows}


def load(client: MilvusClient, collection: str) -> None:
    client.load_collection(collection)


def write_job(path: Path, job: dict) -> Path:
    path.write_text(json.dumps(job, indent=1))  # JSON is YAML
    return path
