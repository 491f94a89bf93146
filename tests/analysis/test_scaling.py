"""Many runs in one page."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import CRUD, run_job, tool

from hpc_analysis import scaling, series
from hpc_analysis.result import Result, Table, load


def test_frontier_is_what_no_other_beats() -> None:
    frame = pd.DataFrame({"line": list("AAAAB"), "recall": [0.9, 0.95, 0.99, 0.94, 0.8], "per_second": [1000, 500, 100, 400, 10]})
    assert list(scaling.on_frontier(frame)) == [True, True, True, False, True]


@pytest.mark.parametrize(("workers", "kind"), [([8, 8, 8], "strong"), ([2, 4, 8], "weak"), ([2, 3, 8], "mixed")])
def test_kind_follows_the_workers(workers: list[int], kind: str) -> None:
    assert scaling.kind_of(pd.DataFrame({"ranks": [1, 2, 4], "workers": workers})) == kind


def test_efficiency() -> None:
    frame = scaling.with_efficiency(pd.DataFrame({"operation": "x", "ranks": [1, 1, 2, 4], "workers": 4, "per_second": [90.0, 110.0, 160.0, 200.0]}))
    assert list(frame["speed_up"]) == [0.9, 1.1, 1.6, 2.0] and list(frame["efficiency"]) == [0.9, 1.1, 0.8, 0.5]


def run_of(name: str, ranks: int, label: str = "", **options: str) -> Result:
    """A run of two stages with these options; `fill_count` is stages.fill.writer.count."""
    named = {"stages.fill.name": "fill", **{f"stages.fill.writer.{key[5:]}": value for key, value in options.items() if key.startswith("fill_")},
             "stages.look.name": "look", **{f"stages.look.searcher.{key[5:]}": value for key, value in options.items() if key.startswith("look_")},
             "collection.name": name, "server.uri": f"http://{name}:1", "verify.vectors": name}
    table = Table("/job/options", pd.DataFrame({"option": list(named), "value": list(named.values()), "origin": "--set"}), {})
    return Result(Path(name), {"label": label, "np": ranks}, {"/job/options": table}, {}, "", 0)


def series_of(runs: list[Result], stage: str = "fill") -> list[series.Series]:
    return series.series_of([series.Point(run, stage, run.attributes["np"]) for run in runs], (".count", "ranks"))


@pytest.mark.parametrize(("labels", "names"), [
    ([("strong", 1), ("strong", 2), ("weak", 1), ("weak", 2)], ["strong", "strong", "weak", "weak"]),
    ([("first", 1), ("second", 2)], ["", ""]),
    ([("strong", 1), ("strong", 2)], ["", ""]),
    ([("strong", 1), ("strong", 2), ("weak", 1)], ["", "", ""]),
])
def test_labels_of_several_ranks_make_series(labels: list[tuple[str, int]], names: list[str]) -> None:
    found = series_of([run_of(f"{at}.h5", ranks, label) for at, (label, ranks) in enumerate(labels)])
    assert [one.name for one in found] == names and not any(one.following for one in found)


def test_options_with_several_values_on_the_same_ranks_make_series() -> None:
    """Runs of a matrix are not averaged over what they were to tell apart; what comes after a stage, or only names things, divides nothing."""
    runs = [run_of(f"{ranks}-{inflight}-{nprobe}", ranks, f"point {ranks} {inflight} {nprobe}", fill_inflight=inflight, look_params=nprobe)
            for ranks in (1, 2) for inflight in "14" for nprobe in "8"]
    assert [one.name for one in series_of(runs)] == ["writer.inflight=1", "writer.inflight=4"] * 2
    assert [one.name for one in series_of(runs, "look")] == ["writer.inflight=1", "writer.inflight=4"] * 2
    more = [run_of(f"{ranks}-{nprobe}", ranks, fill_inflight="1", look_params=nprobe) for ranks in (1, 2) for nprobe in ("8", "64")]
    assert {one.name for one in series_of(more)} == {""}
    assert [one.name for one in series_of(more, "look")] == ["searcher.params=8", "searcher.params=64"] * 2
    alone = [*more, run_of("other", 4, fill_inflight="9", fill_batch="7")]  # of which there is no second: it gives no line its name
    assert {one.name for one in series_of(alone[:4])} == {""}


def test_no_two_series_have_one_name() -> None:
    runs = [run_of("same.h5", ranks, fill_filter="x" * 60 + end) for ranks in (1, 2) for end in "ab"]
    assert len({one.name for one in series_of(runs)}) == 2


def test_what_differs_with_the_ranks_is_said() -> None:
    weak = [run_of(f"{ranks}", ranks, fill_count=str(ranks), fill_rows=str(1000 // ranks)) for ranks in (1, 2, 4)]
    assert {(one.name, one.following) for one in series_of(weak)} == {("", ("stages.fill.writer.rows",))}
    both = weak + [run_of(f"many-{ranks}", ranks, fill_count="8", fill_rows="1000") for ranks in (1, 2, 4)]
    names = [one.name for one in series_of(both)]  # only one of the two makes a line: nothing to tell it from
    assert names[3:] == [""] * 3 and "" not in names[:3]


def test_steps_make_points() -> None:
    assert scaling.step_spans("[50/s for 2s, 100/s for 1.5m]") == [(0, 2), (2, 92)]
    assert scaling.step_spans("[50/s for 2s, 100/s to 200/s for 5s]") == []
    rows = pd.DataFrame({"second": 7.0 + np.arange(10), "interval_s": 1.0, "per_second": [10.0] * 5 + [40.0] * 5})
    assert list(scaling.level_of(rows, "[10/s for 5s, 40/s for 5s]").fillna(-1)) == [0] * 5 + [-1] + [1] * 4  # the schedule began at some time within the first second
    assert scaling.level_of(rows, "[10/s to 40/s for 10s]").nunique() == 2


def test_searches_a_second_count_query_vectors_of_searchers_at_full_speed() -> None:
    run = run_of("x", 1, look_nq="10", look_rate="")
    operations = pd.DataFrame({"stage": "look", "role": "searcher", "op": "search", "latency": "search", "ok": 5, "per_second": [20.0], "client_limited": True})
    run.tables["/operations"] = Table("/operations", operations, {})
    assert scaling.of_searchers(run) == {("look", "searcher"): (200.0, True)}
    paced = run_of("x", 1, look_nq="10", look_rate="5/s")
    paced.tables["/operations"] = Table("/operations", operations, {})
    assert scaling.of_searchers(paced)["look", "searcher"][0] == 0
    assert [scaling.is_paced(one, row) for one in (run, paced) for row in one.operations.itertuples()] == [False, True]


def test_page(good: Path, rich: Path, violated: Path, folder: Path, tmp_path: Path) -> None:
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
    assert "Efficiency" in page.read_text() and "NOTE" not in done.stdout.partition("SCALING")[0].replace("NOTE  Client-limited", "")
    told = tool("scaling", alone, good, violated)
    assert "NOTE  Not a good run: violated.h5" in told.stdout and told.returncode == 0


def test_runs_are_told_apart_by_name(good: Path, violated: Path, tmp_path: Path) -> None:
    for run, folder in ((good, "one"), (violated, "two")):
        (tmp_path / folder).mkdir()
        shutil.copy(run, tmp_path / folder / "point-000.h5")
    runs = scaling.loaded([tmp_path / folder / "point-000.h5" for folder in ("one", "two")])
    assert [run.file for run in runs] == ["one/point-000.h5", "two/point-000.h5"] == scaling.titles(runs)
    runs[0].attributes["label"], runs[1].attributes["label"] = "a", "b"
    assert scaling.titles(runs) == ["a", "b"]
    runs[1].attributes["label"] = "a"
    assert scaling.titles(runs) == ["one/point-000.h5", "two/point-000.h5"]


def test_nothing_to_compare(good: Path) -> None:
    done = tool("scaling", good)
    assert done.returncode == 3 and "nothing to compare" in done.stderr and len(done.stderr.splitlines()) == 1
    done = tool("scaling", good, good)
    assert done.returncode == 3 and "is the same run as" in done.stderr
