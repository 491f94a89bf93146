"""Searches and queries under load: a mock that lies in their answers must be caught, each lie under its own name; an honest one and a
merely poor one must not be accused. The real server: test_reads_real.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from mockserver import Mock
from readjobs import CHURN, COUNTER, FILTERED, QUERIER, RANGE, SEARCHER, SEED, TELLING, job_for, kinds_of
from support import DRIFTING_CLOCKS, GOOD, UNUSABLE, VIOLATED, Done, assert_books_balance, assert_ledger_agrees, hpc, write_job


def run(folder: Path, job: dict, faults: str = "", np: int = 2, *words: object, env: dict[str, str] | None = None) -> Done:
    job["verify"].setdefault("grace", "1s")
    with Mock(folder, faults.split()) as mock:
        path = write_job(folder / "job.yaml", job)
        return hpc("run", path, "--server", mock.uri, "--seed", SEED, "--output", folder / "result.h5", *words, np=np,
                   result=folder / "result.h5", timeout=120, env=env)


LIES = [
    ("search_dead=4", [SEARCHER], {"resurrected"}),
    ("search_dead=4", [TELLING], {"resurrected"}),
    ("search_repeat=4", [SEARCHER], {"duplicated"}),
    ("search_distance=4", [SEARCHER], {"wrong_distance"}),
    ("search_distance=4", [RANGE], {"wrong_distance"}),
    ("search_order=4", [SEARCHER], {"wrong_order"}),
    ("search_unfiltered=4", [FILTERED], {"filter_ignored"}),
    ("search_radius_ignored=4", [RANGE], {"range_ignored"}),
    ("search_short=4", [SEARCHER | {"exact": True}], {"missed"}),
    ("count_off=3,seconds=2", [COUNTER], {"miscounted"}),
    ("keep_deleted=1%", [SEARCHER, QUERIER], {"resurrected"}),
    ("upsert_lost=2%", [SEARCHER | {"topk": 500}, QUERIER], {"stale"}),
    ("lose=1%", [SEARCHER | {"topk": 500, "exact": True}], {"missed", "lost"}),
]


ALSO = {"upsert_lost=2%": {"missed"}}  # the version that is not there would have satisfied some query


@pytest.mark.parametrize(("fault", "roles", "kinds"), LIES, ids=[f"{fault}-{roles[0]['role']}" for fault, roles, _ in LIES])
def test_a_lie_is_called_by_its_name(tmp_path, fault, roles, kinds):
    done = run(tmp_path, job_for(roles), fault, 1 + len(fault) % 3)
    assert done.code == VIOLATED, str(done)
    # count(*) is asked by the audit as well; a row not found by a search may be told by the audit as what it is
    assert kinds <= kinds_of(done) <= kinds | ALSO.get(fault, set()), str(done)
    by_reads = [row for row in done.result.violations if row["seen_by"] in ("search", "query")]
    assert by_reads, str(done)
    for row in by_reads:
        assert row["first_pass"] == -1 and row["reader"] >= 0
    assert_books_balance(done.result)


@pytest.mark.parametrize(("level", "metric"), [("strong", "L2"), ("strong", "IP"), ("strong", "COSINE"), ("session", "L2"),
                                               ("bounded", "IP"), ("eventually", "COSINE")])
def test_an_honest_server_is_not_accused_under_churn(tmp_path, metric, level):
    roles = [*CHURN, FILTERED | {"ops": 2000}, RANGE | {"ops": 1000}, TELLING | {"ops": 1000}, QUERIER | {"ops": 500}, COUNTER | {"ops": 200}]
    done = run(tmp_path, job_for(roles, metric=metric, level=level, recall=300), "", 3)
    assert done.code == GOOD, str(done)
    figures = done.result.figures
    assert figures["reads_judged"] == figures["reads"] > 20000
    assert figures["hits_judged"] > 100000 and figures["searches_compared"] >= 300
    assert figures["true_neighbors_found"] == figures["true_neighbors"]  # the mock's search is exact: live truth must say so too
    assert all(row["clock_offset_ns"] == 0 for row in done.result.tables["ranks"])  # of one node: one clock
    if level == "strong":  # recall by how much the filter leaves, and by topk
        assert len(re.findall(r"^ +look0 +searcher +0 +10 .* [0-9.]+%$", done.out, re.M)) == 3, str(done)
        assert len(re.findall(r"^ +look0 +searcher +0 +200 .* 100%$", done.out, re.M)) == 1, str(done)
    assert figures["true_neighbors"] > 0 or level != "strong"  # elsewhere only rows of five seconds ago are certain
    assert_books_balance(done.result)
    assert_ledger_agrees(done.result)


def test_clocks_that_drift_accuse_nobody(tmp_path):
    """Two nodes, one's clock 2 % too fast: after 3 s their times of one moment are 60 ms apart, and a reply takes some 1 ms."""
    assert DRIFTING_CLOCKS.exists()
    changing = [CHURN[0] | {"rows": 2250}, *CHURN[1:]]
    reading = [role | {"ops": 10**6, "for": "3s", "rate": "60/s"} for role in (TELLING, COUNTER, QUERIER | {"expression": "id >= 4000", "limit": 16384})]
    done = run(tmp_path, job_for([*changing, *reading], recall=1000), env={"LD_PRELOAD": str(DRIFTING_CLOCKS), "DRIFT_PPM": "20000"})
    assert done.code == GOOD, str(done)
    assert done.result.attributes["nodes"] == 2 and done.result.figures["queries_compared"] >= 100, str(done)
    clocks = [row["what"] for row in done.result.tables["server/events"] if row["kind"] == "clocks"]
    assert clocks and "have moved apart by" in clocks[-1] and all(line in done.err for line in clocks), str(done)


def test_a_stale_read_at_strong_is_a_violation(tmp_path):
    """The audit's own questions may be answered so, too, while the last writes are younger than the fault's second: its words are its own."""
    done = run(tmp_path, job_for([*CHURN, QUERIER | {"ops": 1000, "expression": "id >= 4000", "limit": 16384}]), "stale_read=20%,seconds=1", 3)
    assert done.code == VIOLATED, str(done)
    seen = {row["kind"] for row in done.result.violations if row["seen_by"] != "audit"}
    assert set() < seen <= {"stale", "resurrected", "missed", "non_monotonic"}, str(done)


def test_at_eventually_the_same_is_no_lie(tmp_path):
    done = run(tmp_path, job_for([*CHURN, QUERIER | {"ops": 2000, "consistency": "eventually"}]), "stale_read=20%,seconds=1,op=query", 3)
    assert "stale" not in kinds_of(done) or all(row["seen_by"] == "audit" for row in done.result.violations), str(done)


@pytest.mark.parametrize(("bound", "faults", "code"), [("100ms", [], VIOLATED), ("2s", [], GOOD), ("100ms", ["reset=1,op=query"], GOOD)])
def test_bounded_reads_may_lag_as_far_as_the_job_says(tmp_path: Path, bound: str, faults: list[str], code: int) -> None:
    """And half a second more; and 3 s where calls broke, as the server may have begun anew."""
    roles = [role | {"ops": 150, "rate": "50/s", "consistency": "bounded", "bound": bound} for role in (TELLING, QUERIER | {"expression": "id >= 4000"})]
    with Mock(tmp_path, faults, ["--staleness", "1500ms"]) as mock:
        done = hpc("run", write_job(tmp_path / "job.yaml", job_for([*CHURN, *roles])), "--server", mock.uri, "--seed", SEED,
                   "--output", tmp_path / "result.h5", np=2, result=tmp_path / "result.h5", timeout=120)
    assert done.code == code and kinds_of(done) <= {"stale", "resurrected", "missed"}, str(done)
    assert all(row["seen_by"] in ("search", "query") for row in done.result.violations), str(done)


PLACES = {"name": "fill", "roles": [{"role": "writer", "count": 4, "rows": 1000, "batch": 100, "partition": "own"}]}
SOME = {"partitions": ["fill_0_00000", "fill_0_00002"]}


def test_reads_of_several_partitions_are_judged_by_all_of_them(tmp_path):
    roles = [SEARCHER | SOME | {"exact": True}, QUERIER | SOME | {"limit": 16384}, COUNTER | SOME]
    job = job_for(roles)
    job["stages"][0] = PLACES
    done = run(tmp_path, job, "", 2)
    figures = done.result.figures
    assert done.code == GOOD, str(done)
    assert figures["searches_compared"] == 1200 and figures["queries_compared"] == 400
    assert figures["true_neighbors"] == figures["true_neighbors_found"] == 12000
    (tmp_path / "lie").mkdir()
    done = run(tmp_path / "lie", job, "misplace=2%", 3)
    assert done.code == VIOLATED and {"misplaced", "missed"} <= kinds_of(done), str(done)
    assert any(row["kind"] == "misplaced" and row["seen_by"] in ("search", "query") for row in done.result.violations), str(done)


ITERATOR = QUERIER | {"iterator": True, "limit": 70, "expression": 'varchar_field like "prefix1%"'}


def test_an_iterator_goes_through_all_rows_once(tmp_path):
    job = job_for([ITERATOR | {"count": 1, "ops": 58, "inflight": 1, "expression": ""}])
    job["stages"][0] = PLACES  # 4000 rows: 57 full pages and one of 10
    done = run(tmp_path, job, "", 2)
    assert done.code == GOOD, str(done)
    assert done.result.figures["query_rows_judged"] == 4000 and done.result.figures["queries_compared"] == 58


def test_an_iterator_under_churn_is_not_accused(tmp_path):
    done = run(tmp_path, job_for([*CHURN, ITERATOR | {"ops": 3000, "inflight": 3}, SEARCHER]), "", 3)
    assert done.code == GOOD and done.result.figures["queries_compared"] > 5000, str(done)


def test_a_page_that_leaves_a_row_out_is_told(tmp_path):
    done = run(tmp_path, job_for([ITERATOR | {"expression": ""}]), "lose=1%")
    assert done.code == VIOLATED and kinds_of(done) == {"lost", "missed"}, str(done)


def test_rows_in_doubt_do_not_stand_in_for_rows_left_out(tmp_path):
    job = job_for([QUERIER | {"ops": 5, "expression": "id >= 0", "limit": 16384}], enabled=False)
    job["stages"][0] = PLACES
    done = run(tmp_path, job, "lose=20 grpc_status=1,op=insert,when=after,after=9")  # 100 rows of unknown outcome are there, 20 others are not
    assert done.code == VIOLATED, str(done)
    assert done.result.figures["unknown_inserts"] == 100 and kinds_of(done) == {"missed"}, str(done)


def goes_back(folder: Path, level: str, **verify: object) -> Done:
    """Upserts by others, and a server whose reads go back and forth in time."""
    job = job_for([*CHURN, QUERIER | {"ops": 300, "rate": "120/s", "consistency": level, "expression": "id >= 4000", "limit": 16384}],
                  recall=10, **verify)
    return run(folder, job, "stale_read=20%,seconds=1,op=query,count=100", 3)


def test_reads_that_go_back_in_time(tmp_path):
    for name, options in (("plain", {}), ("allowed", {"allow": ["non_monotonic"]})):
        (tmp_path / name).mkdir()
        done = goes_back(tmp_path / name, "strong", **options)
        by_reads = {row["kind"] for row in done.result.violations if row["seen_by"] == "query"}
        assert "stale" in by_reads and ("non_monotonic" in by_reads) == (not options), str(done)
        assert (done.result.figures["allowed_anomalies"] > 0) == bool(options)


@pytest.mark.parametrize("level", ["session", "eventually"])
def test_where_nothing_is_promised_going_back_is_counted(tmp_path, level):
    done = goes_back(tmp_path, level)
    assert done.result.figures["non_monotonic_reads"] > 0 and "in an older version than before" in done.out, str(done)
    assert not [row for row in done.result.violations if row["seen_by"] == "query"], str(done)


@pytest.mark.parametrize("fault", ["", "search_short=20%"])
def test_the_data_sets_own_neighbors_are_a_second_opinion(tmp_path, fault):
    random = np.random.default_rng(5)
    train, test = random.random((900, 8), np.float32), random.random((70, 8), np.float32)
    order = ((test[:, None, :] - train[None, :, :]) ** 2).sum(2).argsort(1)[:, :20]
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file.attrs["distance"] = "euclidean"
        file["train"], file["test"], file["neighbors"] = train, test, order.astype(np.int32)
    job = job_for([SEARCHER | {"consistency": "strong"}, SEARCHER | {"topk": 30}, FILTERED])
    job["dataset"] = {"path": str(tmp_path / "set.hdf5")}
    job["stages"][0] = {"name": "fill", "roles": [{"role": "writer", "count": 3, "rows": 300, "batch": 100}]}
    done = run(tmp_path, job, fault)
    figures = done.result.figures
    assert figures["listed_searches"] == 1200 and figures["listed_neighbors"] == 12000, str(done)
    assert (figures["listed_neighbors_found"] == 12000) == (not fault) and figures["listed_neighbors_found"] > 11000
    assert "of the neighbours that the data set itself names, by 1,200 searches" in done.out
    (tmp_path / "more").mkdir()
    job["stages"][0]["roles"][0]["rows"] = 301  # not the data set any more
    done = run(tmp_path / "more", job)
    assert done.result.figures["listed_searches"] == 0, str(done)


def test_scores_that_are_one_to_milvus_may_come_in_any_order(tmp_path):
    random = np.random.default_rng(7)
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file["train"], file["test"] = (1e-6 * random.random((rows, 8), np.float32) for rows in (900, 70))
    job = job_for([SEARCHER | {"exact": True}])
    job["dataset"] = {"path": str(tmp_path / "set.hdf5")}
    done = run(tmp_path, job, "search_order=20%")
    assert done.code == GOOD and done.result.figures["searches_compared"] == 1200, str(done)


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_odd_vectors_are_no_reason_to_accuse(tmp_path, metric):
    """Rows that are equal, zero, -0.0, too short to have a direction, very long."""
    random = np.random.default_rng(1)
    train, test = (random.standard_normal((rows, 8)).astype(np.float32) for rows in (900, 60))
    train[:300] = train[300:600]
    for rows in (train[5:9], test[5:9]):
        rows[:] = np.array([[0], [-0.0], [1e-42], [1e16]], np.float32)
    test[9] = train[10]
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file["train"], file["test"] = train, test
    exact = SEARCHER | {"exact": True, "ops": 60, "nq": 5}
    job = job_for([exact, exact | {"topk": 100, "offset": 20}, exact | RANGE | {"share": "30%"}], metric=metric, enabled=False)
    job |= {"dataset": {"path": str(tmp_path / "set.hdf5")}, "calibrate": "never"}
    done = run(tmp_path, job, "", 1)
    figures = done.result.figures
    assert done.code == GOOD and figures["true_neighbors_found"] == figures["true_neighbors"] > 20000, str(done)


def test_a_poor_index_costs_recall_and_is_no_violation(tmp_path):
    job = job_for([SEARCHER])
    job["thresholds"] = {"recall": ">= 0.999"}
    done = run(tmp_path, job, "search_short=20%")
    figures = done.result.figures
    assert done.code == 1, str(done)
    assert 0.95 < figures["true_neighbors_found"] / figures["true_neighbors"] < 0.999
    assert figures["short_results"] > 0 and figures["neighbors_missed"] > 0 and figures["neighbors_missed_wrong"] == 0
    assert "the index is poor" in done.out


def test_a_gone_row_is_told_from_a_poor_index(tmp_path):
    done = run(tmp_path, job_for([SEARCHER | {"topk": 500}]), "lose=1%")
    figures = done.result.figures
    assert done.code == VIOLATED and kinds_of(done) == {"lost"}, str(done)
    assert figures["neighbors_missed"] == figures["neighbors_missed_wrong"] > 0


@pytest.mark.parametrize(("option", "message"), [
    ("filter='nofield > 3'", "field nofield not exist"),
    ("filter='id >'", "cannot parse"),
    ("topk=20000", "topk"),
])
def test_what_the_server_always_refuses_ends_early_with_its_words_once(tmp_path, option, message):
    done = run(tmp_path, job_for([SEARCHER | {"count": 4, "ops": 100000}]), "", 2, "--set", f"stages.look0.searcher.{option}")
    assert done.code == UNUSABLE, str(done)
    searches = next(row for row in done.result.tables["operations"] if row["op"] == "search")
    assert searches["ok"] == 0 and 100 <= searches["failed"] <= 500
    assert sum(message in row["message"] for row in done.result.tables["errors"]) == 1
    assert "no search of the searcher role succeeded" in done.out


@pytest.mark.parametrize(("option", "message"), [
    ("filter='id > {x}'", "'{x}' at character 6 is no operand; expected {id}, {prefix} or {FROM..TO}"),
    ("output=[nofield]", "output: 'nofield' is no field of collection reads"),
    ("partitions=[nowhere]", "partitions: 'nowhere' is no partition of the run"),
    ("nq=1001", "searcher.nq: is 1001, but the data set has 1000 query vectors"),
    ("radius=wide", "radius"),
])
def test_bad_options_are_named(tmp_path, option, message):
    done = run(tmp_path, job_for([SEARCHER]), "", 2, "--set", f"stages.look0.searcher.{option}")
    assert done.code == UNUSABLE and message in done.err, str(done)


def test_a_sample_of_reads_is_judged_and_said(tmp_path):
    done = run(tmp_path, job_for([SEARCHER], reads="sample 10%"))
    figures = done.result.figures
    assert done.code == GOOD, str(done)
    assert figures["reads"] == 1200 and 60 < figures["reads_judged"] < 180
    assert f"{figures['reads_judged']} of 1,200 judged" in done.out
