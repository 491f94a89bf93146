"""Faster, slower or cannot tell; gates; and how often the verdict is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import COLLECTION, run_job, tool

from hpc_analysis import compare, gates, statistic
from hpc_analysis.cli import Refused
from hpc_analysis.histogram import Histogram, merge

WORK = COLLECTION + """
stages:
  - name: load
    roles: [{role: writer, count: 2, rows: 1M, batch: 5, for: 8s}]
verify: {enabled: false}
"""


def operation(random: np.random.Generator, factor: float, runs: int = 1, seconds: int = 30) -> compare.Operation:
    """As of a run of 100 operations a second: each second has a level of its own, as noisy machines do, and so has each run."""
    parts, lines, figures = [], [], []
    for _ in range(runs):
        level = 20e6 * factor * random.lognormal(0, 0.004) * random.lognormal(0, 0.03, seconds)
        values = (level[:, None] * random.lognormal(0, 0.1, (seconds, 100))).astype(np.int64)
        lows = values - values % 16_384  # as the program's buckets at 16.8 to 33.6 ms
        low, counts = np.unique(lows, return_counts=True)
        parts.append(Histogram(low, counts, int(values.min()), int(values.max()), int(values.sum())))
        coarse = 2 ** (np.ceil(np.log2(np.quantile(values, [0.5, 0.99], axis=1)) * 16) / 16)
        lines.append(pd.DataFrame({"per_second": 100.0, "ok": 100, "p50": coarse[0], "p99": coarse[1]}))
        figures.append({name: float(parts[-1].quantile(share)) for name, share in compare.QUANTILES.items()} | {"per_second": 100.0, "rows_per_second": 100.0})
    return compare.Operation(merge(parts), figures, pd.concat(lines), False)


def verdicts(factor: float, runs: int, pairs: int = 40) -> list[str]:
    random = np.random.default_rng(5)
    found = []
    for _ in range(pairs):
        a, b = operation(random, 1.0, runs), operation(random, factor, runs)
        found.append(compare.judge({name: compare.ratio(a, b, name, 1 - 0.05 / (3 if runs > 1 else 1)) for name in compare.SHOWN}, 0.03))
    return found


@pytest.mark.parametrize("runs", [1, 4])
def test_the_same_job_cannot_be_told_apart(runs: int) -> None:
    assert verdicts(1.0, runs).count(compare.CANNOT_TELL) >= 36  # of 40: 18 of 20


@pytest.mark.parametrize("runs", [1, 4])
def test_ten_percent_is_found(runs: int) -> None:
    assert verdicts(1.1, runs).count(compare.SLOWER) >= 36
    assert verdicts(1 / 1.1, runs).count(compare.FASTER) >= 36


def drifting(random: np.random.Generator, alike: float, noise: float, seconds: int) -> compare.Operation:
    """Seconds that resemble their neighbours, as with a server that compacts for some seconds now and then."""
    level, levels = random.normal(), []
    for _ in range(seconds):
        level = alike * level + np.sqrt(1 - alike**2) * random.normal()
        levels.append(20e6 * np.exp(noise * level))
    values = np.array(levels)
    middle = int(values.mean())
    histogram = Histogram(np.array([middle]), np.array([100 * seconds]), middle, middle, middle * 100 * seconds)
    lines = pd.DataFrame({"per_second": 100.0, "ok": 100, "p50": values, "p99": values})
    return compare.Operation(histogram, [{"p50": float(middle), "p99": float(middle), "per_second": 100.0}], lines, False)


def test_neighbours_that_resemble_each_other_are_no_evidence() -> None:
    """Resampled as if each second stood for itself, a quarter of these pairs and more would be called faster or slower."""
    random = np.random.default_rng(9)
    found = []
    for _ in range(100):
        a, b = (drifting(random, 0.9, 0.1, 60) for _ in range(2))
        found.append(compare.judge({"p50": compare.ratio(a, b, "p50", 0.95)}, 0.03))
    assert found.count(compare.CANNOT_TELL) >= 85


def test_sides_can_change_places() -> None:
    random = np.random.default_rng(2)
    a, b = operation(random, 1.0), operation(random, 1.07)
    there, back = compare.ratio(a, b, "p50", 0.95), compare.ratio(b, a, "p50", 0.95)
    assert (back.value, back.low, back.high) == pytest.approx((1 / there.value, 1 / there.high, 1 / there.low), rel=1e-9)


def test_too_short_says_why() -> None:
    random = np.random.default_rng(1)
    short = compare.ratio(operation(random, 1, seconds=3), operation(random, 2, seconds=3), "p50", 0.95)
    assert not short.known and short.how == "only 3 intervals" and short.value == pytest.approx(2, rel=0.2)


def test_welch_is_as_in_the_book() -> None:
    """Known: log means 0 and 0.1, equal spread 0.01 of three each: t(4) at 97.5% is 2.776."""
    a, b = np.exp([-0.01, 0, 0.01]), np.exp([0.09, 0.1, 0.11])
    found = statistic.of_runs(list(a), list(b), 0.95)
    half = 2.776 * 0.01 * np.sqrt(2 / 3)
    assert np.log([found.low, found.value, found.high]) == pytest.approx([0.1 - half, 0.1, 0.1 + half], abs=1e-4)


@pytest.mark.parametrize(("text", "said"), [
    ("search.p99 ~ 1x", "is not FIGURE"), ("search.p98 <= 1x", "no figure 'search.p98'"), ("p99 <= 1x", "no figure 'p99'"),
    ("search.p99 <= 5%", "p99 wants a number"), ("errors <= 5ms", "errors wants a number"), ("errors <= 1.2.3%", "is not a number"),
])
def test_gates_that_are_none(text: str, said: str) -> None:
    with pytest.raises(Refused) as error:
        gates.parse(text)
    assert said in str(error.value)


def test_gates_name_operations() -> None:
    key = ("load", "prober.1", "search")
    for name in ("search", "load.search", "prober.search", "prober.1.search", "load.prober.search", "load.prober.1.search"):
        assert gates.fits(tuple(name.split(".")), key), name
    for name in ("insert", "fill.search", "searcher.search", "1.search"):
        assert not gates.fits(tuple(name.split(".")), key), name


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[Path, Path]:
    return (run_job(folder, "a", WORK, 0, ("delay,ms=20,op=insert",)), run_job(folder, "b", WORK, 0, ("delay,ms=40,op=insert",)))


def test_a_slower_server_is_found(pair: tuple[Path, Path], tmp_path: Path) -> None:
    html, text = tmp_path / "compare.html", tmp_path / "compare.json"
    done = tool("compare", *pair, "--html", html, "--json", text, "--gate", "insert.p50 <= 1.05x", "--gate", "errors <= 0%",
                "--gate", "insert.p50 >= 20ms")
    assert done.returncode == 1, done.stderr
    assert "load writer insert: SLOWER" in done.stdout and "GATE FAILED  insert.p50 <= 1.05x" in done.stdout and "GATE held    errors <= 0%" in done.stdout
    whole = json.loads(text.read_text())
    (line,) = whole["operations"]
    assert line["verdict"] == "slower" and line["ratios"]["p50"]["low"] > 1.5 and not whole["notes"]
    assert [gate["held"] for gate in whole["gates"]] == [False, True, True]
    assert 'data-verdict="slower"' in html.read_text() and "GATE FAILED" in html.read_text()
    back = tool("compare", pair[1], pair[0], "--gate", "insert.p50 <= 1.05x")
    assert back.returncode == 0 and "load writer insert: FASTER" in back.stdout


def test_a_file_and_itself(pair: tuple[Path, Path]) -> None:
    done = tool("compare", pair[0], pair[0], "--gate", "insert.p99 <= 1x", "--gate", "insert.per_second >= 1x")
    assert done.returncode == 0 and "CANNOT TELL" in done.stdout and "+0.0%" in done.stdout


def copies(path: Path, folder: Path) -> list[Path]:
    """As if the run had been repeated, with the same outcome."""
    made = []
    for number in range(3):
        made.append(folder / f"{path.stem}-{number}.h5")
        shutil.copy(path, made[-1])
        with h5py.File(made[-1], "r+") as file:
            file.attrs["run_id"] = np.bytes_(f"{path.stem}-{number}")
    return made


def test_repeated_runs_and_refusals(pair: tuple[Path, Path], good: Path, tmp_path: Path) -> None:
    repeated = tool("compare", *copies(pair[0], tmp_path), "--against", *copies(pair[1], tmp_path))
    assert repeated.returncode == 0 and "SLOWER" in repeated.stdout and "from 3 and 3 runs" in repeated.stdout
    for words, said in (((pair[0],), "give two results"), ((pair[0], pair[0], "--against", pair[1]), "is the same run as"), ((pair[0], good), "no operation of the load in common"),
                        ((*pair, "--gate", "search.p99 <= 1x"), "no operation 'search' was compared; there are insert"),
                        ((*pair, "--gate", "recall >= 1x"), "recall was not measured"), ((*pair, "--margin", "2"), "--margin")):
        with pytest.raises(Refused) as error:
            compare.run([str(word) for word in words])
        assert said in str(error.value) and "\n" not in str(error.value)
