"""milvus-mock as a test uses it: started with faults, and what its log of them means for the audit."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Iterable
from pathlib import Path

from support import ROOT, Result, Row

MOCK = Path(os.environ.get("MILVUS_MOCK", ROOT / "build" / "release" / "src" / "mock" / "milvus-mock"))
Found = dict[str, set[int]]  # kind of violation -> ids


class Mock:
    """One mock on a port of its own; ended by its pid."""

    def __init__(self, folder: Path, faults: Iterable[str] = (), options: Iterable[object] = ()):
        self.folder, self.log_path, self.options = folder, folder / "faults.jsonl", list(options)
        words = [word for fault in faults for word in ("--fault", fault)]
        self.command = [str(MOCK), "--fault-log", str(self.log_path), "--port", "0", *words, *map(str, options)]
        self.process: subprocess.Popen[str] | None = None
        self.uri = ""

    def start(self) -> Mock:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        ready = select.select([self.process.stdout], [], [], 10)[0]
        line = self.process.stdout.readline() if ready else ""
        self.uri = line.rpartition(" ")[2].strip()
        if not self.uri.startswith("http://"):
            self.stop()
            raise AssertionError(f"{' '.join(self.command)} said {line!r}")
        return self

    @property
    def port(self) -> int:
        return int(self.uri.rpartition(":")[2])

    def heir(self) -> Mock:
        """Another one for its place, with its data file, and without faults."""
        return Mock(self.folder, (), [*self.options, "--port", self.port])

    def ended(self, seconds: float) -> int:
        """Its exit code, for one that ends by itself."""
        assert self.process is not None
        code = self.process.wait(timeout=seconds)
        self.process.stdout.close()
        return code

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.ended(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.ended(10)
            raise

    def log(self) -> list[dict]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()] if self.log_path.exists() else []

    def __enter__(self) -> Mock:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


# --- what the log means for the audit --------------------------------------------------------------------------------

BY_WRITE = {"insert": "lost", "upsert": "stale", "delete": "resurrected"}  # acknowledged, and nothing was done
KINDS: dict[str, str | dict[str, str]] = {
    "lose": "lost", "lose_batch": BY_WRITE, "lose_concurrent": BY_WRITE, "upsert_half_deleted": "lost",
    "late": "lost",  # too late, that is
    "duplicate": "duplicated", "upsert_both": "duplicated", "upsert_lost": "stale", "keep_deleted": "resurrected",
    "resurrect": "resurrected", "misplace": "misplaced", "flip_vector": "corrupted", "flip_scalar": "corrupted",
    "unexpected": "unexpected",
}
WRITES = ("insert", "upsert", "delete")


def last_write(row: Row) -> str:
    return "delete" if row.deleted else "upsert" if row.version else "insert"


def healed(entry: dict, row: Row | None) -> bool:
    """Has a later acknowledged write of the row put right what the fault did to an earlier one?"""
    if row is None or row.insert != "acknowledged" or entry["op"] not in WRITES:
        return False
    return WRITES.index(entry["op"]) < WRITES.index(last_write(row))


def kind_of(entry: dict) -> str:
    kind = KINDS[entry["fault"]]
    return kind[entry["op"]] if isinstance(kind, dict) else kind


def expected(result: Result, log: Iterable[dict]) -> Found:
    """The violations that the audit must report of the rows in the log, and no others."""
    found: Found = {}
    for entry in log:
        if not healed(entry, result.ledger.get(entry["key"])):
            found.setdefault(kind_of(entry), set()).add(entry["key"])
    return found
