"""The client's own speed: the table beside h2load."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from mockserver import MOCK
from support import PROGRAM, ROOT

LEAST_RATIO = 0.4  # far below the goals: a machine that is busy with other things passes, a client that lost its speed does not


def test_the_table_beside_h2load(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "scripts" / "calibrate", "--binary", PROGRAM, "--mock", MOCK, "--rounds", "2", "--seconds", "1", "--json",
                           tmp_path / "table.json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "table.json").read_text())
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == len(rows) >= 2
    for line, row in zip(lines, rows):
        assert line.startswith(row["case"]) and ("NOT MET" in line) == (row["ratio"] < row["goal"])
        assert row["ratio"] >= LEAST_RATIO, line
        assert row["ours_cpu_us"] > 0 and row["h2load_cpu_us"] > 0
    by_bytes = [row for row in rows if row["by_bytes"]]
    assert by_bytes and all(row["request_bytes"] > 500_000 for row in by_bytes)
