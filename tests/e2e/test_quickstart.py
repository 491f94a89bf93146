"""./quickstart against a server that is there: it ends with the result, the report and the run's own exit code. What only sets the
machine up (packages, build, data set) is left out: `./test` has done it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import h5py
import pytest
from mockserver import Mock
from support import GOOD, PROGRAM, ROOT, UNUSABLE, VIOLATED

JOB = """
dataset: {synthetic: {rows: 2000, dim: 16}}
collection:
  name: quick
  fields:
    - {name: id, type: int64, primary: true}
    - {name: vector, type: float_vector}
  index: {type: FLAT, params: {}}
calibrate: never
stages:
  - name: crud
    roles: [{role: writer, count: 4, rows: 500, batch: 50}]
verify: {recheck: [], vectors: all, grace: 100ms}
"""
STEPS = ("setup", "cmake --preset release", "cmake --build --preset release", "make_mnist")


def put(path: Path, text: str, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """quickstart, the program and analysis as they are; what sets up only notes that it was called."""
    folder = tmp_path / "checkout"
    note = f'#!/bin/sh\necho "%s" >>{tmp_path}/steps\n'
    put(folder / "scripts" / "setup", note % "setup")
    put(folder / "data" / "make_mnist.py", note % "make_mnist")
    put(tmp_path / "bin" / "cmake", note % "cmake $*")
    put(folder / "jobs" / "crud.yaml", JOB, 0o644)
    (folder / "build" / "release" / "src").mkdir(parents=True)
    (folder / "build" / "release" / "src" / "milvus-hpc").symlink_to(PROGRAM)
    (folder / "analysis").symlink_to(ROOT / "analysis")
    shutil.copy(ROOT / "quickstart", folder)
    return folder


def quickstart(checkout: Path, folder: Path, faults: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    mock = Mock(folder, faults).start()
    try:
        variables = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run([checkout / "quickstart", "--server", mock.uri], capture_output=True, text=True, timeout=120, check=False, env=variables)
    finally:
        mock.stop()


def test_it_ends_with_the_report(checkout: Path, tmp_path: Path) -> None:
    done = quickstart(checkout, tmp_path)
    assert done.returncode == GOOD, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "steps").read_text().splitlines() == list(STEPS)
    [named] = re.findall(r"^Results: (\S+)", done.stdout, re.M)
    [report] = re.findall(r"^Report:  (\S+)", done.stdout, re.M)
    with h5py.File(checkout / named) as file:
        run = file.attrs["run_id"].decode()
        assert file.attrs["exit_code"] == GOOD and file.attrs["np"] == 4
    page = (checkout / report).read_text()
    assert run in page and "<title>GOOD: " in page


@pytest.mark.parametrize(("faults", "code"), [((), UNUSABLE), (("lose=2",), VIOLATED)])
def test_a_report_that_fails_is_told_and_hides_nothing(checkout: Path, tmp_path: Path, faults: tuple[str, ...], code: int) -> None:
    (checkout / "analysis").unlink()
    put(checkout / "analysis" / "report", "#!/bin/sh\necho 'report: error: no such Python' >&2\nexit 3\n")
    done = quickstart(checkout, tmp_path, faults)
    assert done.returncode == code and "Report:" not in done.stdout and "Results: " in done.stdout
    assert "report: error: no such Python" in done.stderr and re.search(r"quickstart: no report was written; again: analysis/report results/crud-\S+\.h5", done.stderr)
