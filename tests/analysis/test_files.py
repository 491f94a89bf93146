"""Damaged, cut, foreign and older files: one clear line, exit code 3, by every tool."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, tool

from hpc_analysis.result import BadResult, load


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path, edit: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as file:
        edit(file)


def without_field(file: h5py.File) -> None:
    rows = file["operations"][()]
    del file["operations"]
    file["operations"] = rows[[name for name in rows.dtype.names if name != "due_p99_ns"]]


def wrong_count(file: h5py.File) -> None:
    stage = file["latency/crud"]
    stage[next(iter(stage))]["due"].attrs["count"] = 1


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (cut, "cut off or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "is an empty file"),
    "text": (lambda path: path.write_text("operations,ok\n"), "not a readable HDF5 file"),
    "absent": (Path.unlink, "cannot be read: No such file"),
    "foreign": (lambda path: change(path, lambda file: file.attrs.modify("format", np.bytes_(b"weather"))), "not a milvus-hpc result"),
    "older": (lambda path: change(path, lambda file: file.attrs.modify("format_version", 0)), "is of format 0, of an older milvus-hpc"),
    "newer": (lambda path: change(path, lambda file: file.attrs.modify("format_version", 9)), "is of format 9, of a newer milvus-hpc"),
    "unfinished": (lambda path: change(path, lambda file: file.__delitem__("operations")), "has no table /operations"),
    "in the making": (lambda path: change(path, without_field), "/operations has no field due_p99_ns"),
    "contradiction": (lambda path: change(path, wrong_count), "is damaged: its buckets hold"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_clear_line(name: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    shutil.copy(good, path)
    spoil, said = WRONG[name]
    spoil(path)
    with pytest.raises(BadResult) as error:
        load(path)
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("words", [("report",), ("export",), ("scaling",), ("compare", "GOOD")])
def test_every_tool_refuses(words: tuple[str, ...], good: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    shutil.copy(good, path)
    cut(path)
    done = tool(words[0], *(good if word == "GOOD" else word for word in words[1:]), path)
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(f"{words[0]}: error: {path}: ")
    assert [other.name for other in tmp_path.iterdir()] == ["run.h5"]


def test_flipped_bytes_are_found_or_harmless(good: Path, tmp_path: Path) -> None:
    """A flipped bit anywhere: the file is refused in one line, or everything read from it is as it was."""
    whole, sound = good.read_bytes(), load(good)
    path = tmp_path / "run.h5"
    refused = 0
    for place in range(60, len(whole), len(whole) // 30):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            result = load(path)
            result.get("/truth/ledger")
        except BadResult as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        for table in sound.tables:
            assert result.get(table).equals(sound.get(table)), f"byte {place}: {table} differs"
    assert refused > 10


def test_a_killed_run_can_be_exported_and_compared(killed: Path, good: Path, tmp_path: Path) -> None:
    """What is there is there, and compare says that it is no sound run."""
    assert tool("export", killed, "-o", tmp_path).returncode == 0
    with h5py.File(killed) as file:
        written = int(file["operations"]["ok"].sum())
        quantile = float(file["operations"][0]["due_p99_ns"]) / 1e9
    assert written > 0 and pd.read_csv(tmp_path / "operations.csv")["ok"].sum() == written
    metrics = (tmp_path / "metrics.txt").read_text()
    assert f'quantile="0.99"}} {quantile!r}' in metrics and "milvus_hpc_exit_code 3\n" in metrics
    other = tmp_path / "other.h5"
    shutil.copy(killed, other)
    change(other, lambda file: file.attrs.modify("run_id", np.bytes_(b"another")))
    done = tool("compare", killed, other, "--html", tmp_path / "compare.html", "--gate", "insert.p50 <= 1.01x")
    assert done.returncode == 0 and "load writer insert: CANNOT TELL" in done.stdout, done.stderr
    for said in (done.stdout, (tmp_path / "compare.html").read_text()):
        assert f"A {killed.name} is no sound run: " in said and "B other.h5 is no sound run: " in said


def test_a_folder_of_journals_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match="milvus-hpc merge"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["report", "compare", "scaling", "export"])
def test_help_and_usage(name: str, tmp_path: Path) -> None:
    shown = tool(name, "--help")
    assert shown.returncode == 0 and "exit codes:" in shown.stdout and max(map(len, shown.stdout.splitlines())) <= 160
    assert tool(name, "--nonsense").returncode == 3


def test_an_output_that_cannot_be_written(good: Path) -> None:
    done = tool("report", good, "-o", "/proc/none/report.html")
    assert done.returncode == 3 and len(done.stderr.splitlines()) == 1 and "cannot be written" in done.stderr


def test_requirements_are_those_of_the_tests() -> None:
    """One environment holds both: the same releases."""
    pins = [dict(line.split("==") for line in (ROOT / place / "requirements.txt").read_text().splitlines() if "==" in line) for place in ("analysis", "tests", "data")]
    for one in pins:
        for other in pins:
            assert all(one[name] == other[name] for name in one.keys() & other.keys())
