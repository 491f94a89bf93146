"""Many runs in one page."""

from __future__ import annotations

from pathlib import Path

import h5py
import pandas as pd
import pytest
from conftest import CRUD, run_job, tool

from hpc_analysis import scaling
from hpc_analysis.result import Result, load


def test_frontier_is_what_no_other_beats() -> None:
    frame = pd.DataFrame({"index": list("AAAAB"), "recall": [0.9, 0.95, 0.99, 0.94, 0.8], "per_second": [1000, 500, 100, 400, 10]})
    assert list(scaling.on_frontier(frame)) == [True, True, True, False, True]


@pytest.mark.parametrize(("workers", "kind"), [([8, 8, 8], "strong"), ([2, 4, 8], "weak"), ([2, 3, 8], "mixed")])
def test_kind_follows_the_workers(workers: list[int], kind: str) -> None:
    assert scaling.kind_of(pd.DataFrame({"ranks": [1, 2, 4], "workers": workers})) == kind


def test_efficiency() -> None:
    frame = scaling.with_efficiency(pd.DataFrame({"operation": "x", "ranks": [1, 1, 2, 4], "workers": 4, "per_second": [90.0, 110.0, 160.0, 200.0]}))
    assert list(frame["speed_up"]) == [0.9, 1.1, 1.6, 2.0] and list(frame["efficiency"]) == [0.9, 1.1, 0.8, 0.5]


@pytest.mark.parametrize(("runs", "series"), [
    ([("strong", 1), ("strong", 2), ("weak", 1), ("weak", 2)], [", strong", ", strong", ", weak", ", weak"]),
    ([("first", 1), ("second", 2)], ["", ""]),
    ([("strong", 1), ("strong", 2)], ["", ""]),
    ([("strong", 1), ("strong", 2), ("weak", 1)], ["", "", ""]),
])
def test_labels_of_several_ranks_make_series(runs: list[tuple[str, int]], series: list[str]) -> None:
    attributes = [{"label": label, "np": ranks} for label, ranks in runs]
    assert scaling.series_of([Result(Path(), one, {}, {}, "", 0) for one in attributes]) == series


def test_page(good: Path, rich: Path, folder: Path, tmp_path: Path) -> None:
    alone = run_job(folder, "alone", CRUD, 0)
    page = tmp_path / "scaling.html"
    done = tool("scaling", alone, good, rich, "-o", page, "--pictures", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    for title in ("SCALING", "LATENCY BY RATE", "SEARCHES A SECOND BY RECALL"):
        assert title in done.stdout
    assert {path.name for path in (tmp_path / "figures").glob("*.csv")} == {"ranks.csv", "rate.csv", "recall.csv"}
    ranks = pd.read_csv(tmp_path / "figures" / "ranks.csv")
    insert = ranks[ranks["operation"] == "crud writer insert"].set_index("run")
    with h5py.File(alone) as one, h5py.File(good) as two:
        rates = [next(row["per_second"] for row in file["operations"][()] if row["op"] == b"insert") for file in (one, two)]
    assert insert.loc["good.h5", "speed_up"] == pytest.approx(rates[1] / rates[0], rel=1e-6) and set(insert["kind"]) == {"strong"}
    assert insert.loc["good.h5", "efficiency"] == pytest.approx(rates[1] / rates[0] / 2, rel=1e-6)
    probes = load(rich).get("/find_max")
    assert sorted(pd.read_csv(tmp_path / "figures" / "rate.csv")["per_second"]) == pytest.approx(sorted(probes["achieved"]))
    assert "Efficiency" in page.read_text()


def test_nothing_to_compare(good: Path) -> None:
    done = tool("scaling", good)
    assert done.returncode == 3 and "nothing to compare" in done.stderr and len(done.stderr.splitlines()) == 1
