"""Load by the clock: what a stalled server does to latencies, schedules, warm-up, and the search for the highest rate. The expectations
are closed forms of the schedule and of the mock's faults; how fast this machine is enters none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from mockserver import Mock
from support import GOOD, MISSED, ROOT, UNUSABLE, Done, assert_books_balance, hpc, write_job

STALL_S = 4.0
SEARCHER = {"role": "searcher", "topk": 5}


def job_for(*stages: dict, **more: object) -> dict:
    return {
        "dataset": {"synthetic": {"rows": 2000, "dim": 16}},
        "collection": {"name": "pace", "index": {"type": "FLAT", "params": {}},
                       "fields": [{"name": "id", "type": "int64", "primary": True}, {"name": "v", "type": "float_vector"},
                                  {"name": "name", "type": "varchar", "max_length": 32}]},
        "calibrate": "never",
        "stages": [{"name": "fill", "roles": [{"role": "writer", "rows": 1000, "batch": 500}]}, *stages],
        "verify": {"recheck": [], "vectors": "none", "recall": 50},
    } | more


def run(folder: Path, job: dict | Path, *faults: str, np_: int = 1, code: int = GOOD, words: tuple[str, ...] = ()) -> Done:
    with Mock(folder, faults) as mock:
        path = job if isinstance(job, Path) else write_job(folder / "job.yaml", job)
        done = hpc("run", path, "--server", mock.uri, "--seed", 5, "--output", folder / "result.h5", *words, np=np_,
                   result=folder / "result.h5", timeout=150)
    assert done.code == code, str(done)
    assert_books_balance(done.result)
    return done


def operation(done: Done, stage: str, role: str = "searcher") -> dict:
    rows = [row for row in done.result.tables["operations"] if (row["stage"], row["role"]) == (stage, role)]
    assert len(rows) == 1
    return rows[0]


# --- a stalled server ---------------------------------------------------------------------------------------------


def is_about(value: float, expected: float) -> bool:
    """Not less, but for a little; more where the machine was busy with other things."""
    return 0.9 * expected <= value <= 1.6 * expected


@pytest.mark.parametrize("np_", [1, 2])
def test_a_stall_is_seen_from_the_due_times_and_not_from_the_sending(tmp_path, np_):
    """N operations due over T seconds, D of them while nothing is answered: the latency of those falls evenly from D to 0, so that the
    share 1 - q of all is above D - (1 - q) T."""
    rate, length = 200, 10
    done = run(tmp_path, job_for({"name": "open", "roles": [SEARCHER | {"count": 2, "inflight": 2, "rate": f"{rate}/s", "for": f"{length}s"}]}),
               f"stall,op=search,after=600,seconds={STALL_S:g}", np_=np_)
    row = operation(done, "open")
    assert row["ok"] == row["planned"] == rate * length
    for name, share in (("p95", 0.05), ("p99", 0.01), ("p999", 0.001)):
        assert is_about(row[f"due_{name}_ns"] / 1e9, STALL_S - share * length), name
    assert is_about(row["due_max_ns"] / 1e9, STALL_S)
    # only what was in flight was waited for: 4 of 2,000
    assert row["sent_p99_ns"] < 0.25 * row["due_p99_ns"]
    # nothing was left out: all that was due meanwhile, but for what was in flight, piled up and says so
    assert is_about(row["backlog"], rate * STALL_S)
    assert is_about(row["backlog_ns"] / 1e9, STALL_S)
    assert is_about(row["lag_ns"] / 1e9, STALL_S)
    assert max(moment["lag_ns"] for moment in done.result.tables["timeline"] if moment["stage"] == "open") == row["lag_ns"]
    assert "operations were due and had no free slot" in done.out


def test_a_closed_loop_does_not_show_a_stall(tmp_path):
    """What is sent only when the last has come back is not there to be late: one of thousands waits. That is the omission that due times
    repair."""
    done = run(tmp_path, job_for({"name": "closed", "roles": [SEARCHER | {"count": 2, "ops": 2000}]}),
               f"stall,op=search,after=600,seconds={STALL_S:g}")
    row = operation(done, "closed")
    assert is_about(row["due_max_ns"] / 1e9, STALL_S)
    assert row["due_p99_ns"] / 1e9 < 0.1 * STALL_S
    assert row["due_p999_ns"] / 1e9 < 0.25 * STALL_S
    assert row["backlog"] == row["backlog_ns"] == 0


# --- schedules and warm-up ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("np_", [1, 3])
def test_a_schedule_sends_exactly_what_it_says(tmp_path, np_):
    steps = ["100/s for 1s", "200/s for 1s", "100/s to 300/s for 2s"]
    done = run(tmp_path, job_for({"name": "steps", "roles": [SEARCHER | {"count": 3, "inflight": 8, "steps": steps}]}), np_=np_)
    row = operation(done, "steps")
    assert row["ok"] == row["planned"] == 100 + 200 + 400
    assert 4 <= row["seconds"] < 6


def test_poisson_arrivals_are_the_same_for_any_number_of_ranks(tmp_path):
    job = job_for({"name": "poisson", "roles": [SEARCHER | {"count": 3, "inflight": 8, "steps": ["300/s for 2s"], "arrival": "poisson"}]})
    counts = []
    for np_ in (1, 2):
        folder = tmp_path / str(np_)
        folder.mkdir()
        counts.append(operation(run(folder, job, np_=np_), "poisson")["ok"])
    assert counts[0] == counts[1]
    assert abs(counts[0] - 600) < 5 * math.sqrt(600)


def test_what_is_due_in_the_warm_up_is_sent_and_not_measured(tmp_path):
    """A server that is slow at first: with a warm-up as long, its latencies do not show."""
    role = SEARCHER | {"count": 2, "inflight": 64, "rate": "100/s", "for": "3s", "warmup": "1s"}
    done = run(tmp_path, job_for({"name": "warm", "roles": [role]}), "delay=80,op=search,ms=2000")
    row = operation(done, "warm")
    assert row["ok"] == 300 and row["warm_up"] == 100 and row["latency_count"] == 200
    assert row["due_max_ns"] < 2e9
    assert row["per_second"] == pytest.approx(200 / row["seconds"])
    assert 2 <= row["seconds"] < 3
    assert "100 operations due in it are not in rates and latencies" in done.out


# --- the highest rate ---------------------------------------------------------------------------------------------


def searched(**find: object) -> dict:
    base = {"role": "searcher", "from": "10/s", "to": "2000/s", "within": "90s", "probe": "1500ms", "warmup": "500ms", "errors": "1%"}
    return {"name": "peak", "roles": [SEARCHER | {"count": 4}], "find_max": base | find}


def finds_what_there_is(done: Done, workers: int, off: float, role: str = "searcher") -> bool:
    """So many workers with one operation in flight each do no more than that in the time that one takes."""
    peak, = done.result.tables["max_rate"]
    return peak["max_rate"] == pytest.approx(workers / (operation(done, "peak", role)["sent_p50_ns"] / 1e9), rel=off)


def undisturbed(folder: Path, search: Callable[[Path], Done], held: Callable[[Done], bool]) -> Done:
    """A probe that meets a pause of the machine does not hold, and the search ends too low: then it is made anew, twice at most."""
    for attempt in range(3):
        (folder / str(attempt)).mkdir()
        done = search(folder / str(attempt))
        if held(done):
            break
    return done


@pytest.mark.parametrize("np_", [1, 3])
def test_the_capacity_is_found(tmp_path, np_):
    """Four searchers with one search in flight each, of a server that takes a fixed time: 4 / time is all there can be. The time is the
    one measured on the wire, which is hardly more than the fault's."""
    job = job_for(searched(), thresholds={"peak.max_rate": ">= 20/s"})
    done = undisturbed(tmp_path, lambda folder: run(folder, job, "delay,op=search,ms=50", np_=np_), lambda done: finds_what_there_is(done, 4, 0.15))
    row = operation(done, "peak")
    peak, = done.result.tables["max_rate"]
    service_s = row["sent_p50_ns"] / 1e9
    assert 0.05 <= service_s < 0.06
    assert peak["outcome"] == "found"
    assert finds_what_there_is(done, 4, 0.15), str(done)
    probes = done.result.tables["find_max"]
    assert [probe["probe"] for probe in probes] == list(range(1, len(probes) + 1)) and len(probes) == peak["probes"]
    assert probes[-1]["confirms"] and probes[-1]["held"] and probes[-1]["wanted"] == peak["max_rate"]
    assert sum(probe["operations"] for probe in probes) == row["planned"]
    assert all(probe["recall"] == 1 and probe["violations"] == 0 for probe in probes)
    assert any("backlog" in probe["why"] for probe in probes if not probe["held"])
    held = [probe["wanted"] for probe in probes if probe["held"]]
    assert peak["max_rate"] <= max(held)
    assert "highest rate that holds: " in done.out and "search operations/s" in done.out


def test_a_latency_is_a_limit_as_well(tmp_path):
    """Far below its capacity the server is too slow for the threshold."""
    done = run(tmp_path, job_for(searched(p99="20ms"), thresholds={"peak.max_rate": "> 0/s"}), "delay,op=search,ms=50", code=MISSED)
    peak, = done.result.tables["max_rate"]
    assert (peak["outcome"], peak["max_rate"], peak["probes"]) == ("none", 0, 2)
    assert all(probe["why"].startswith("p99 ") and probe["p99_ns"] >= 50e6 for probe in done.result.tables["find_max"])
    assert "not even the lowest holds" in done.out


def test_what_the_range_ends_below_is_said(tmp_path):
    job = job_for(searched(to="40/s"))
    done = undisturbed(tmp_path, lambda folder: run(folder, job), lambda done: done.result.tables["max_rate"][0]["max_rate"] == 40)
    peak, = done.result.tables["max_rate"]
    assert (peak["outcome"], peak["max_rate"]) == ("at least", 40)
    assert "at least 40 search operations/s" in done.out


def test_a_search_without_time_says_so(tmp_path):
    """The time is enough for one probe and its confirmation."""
    done = run(tmp_path, job_for(searched(within="7s", probe="1500ms", warmup="500ms")))
    peak, = done.result.tables["max_rate"]
    assert peak["outcome"] in ("found", "no time") and peak["seconds"] < 10
    assert peak["max_rate"] <= 20


def test_a_writer_goes_on_where_the_probe_before_it_ended(tmp_path):
    """Each row is written once, whatever the number of probes; the audit finds them all."""
    stage = {"name": "peak", "roles": [{"role": "writer", "count": 2, "rows": 100000, "batch": 1, "inflight": 1}],
             "find_max": {"role": "writer", "from": "20/s", "to": "500/s", "within": "60s", "probe": "800ms", "warmup": "200ms", "errors": "0%"}}
    job = job_for(stage, dataset={"synthetic": {"rows": 300000, "dim": 4}})
    done = undisturbed(tmp_path, lambda folder: run(folder, job, "delay,op=insert,ms=25", np_=2), lambda done: finds_what_there_is(done, 2, 0.2, "writer"))
    row = operation(done, "peak", "writer")
    assert finds_what_there_is(done, 2, 0.2, "writer"), str(done)
    assert done.result.figures["acknowledged_inserts"] == 1000 + row["ok"] == done.result.figures["count_star"]


def test_the_other_roles_take_part_in_every_probe(tmp_path):
    """A deleter that ran dry at the end of a probe lives on the writer's rows of the next one."""
    stage = searched(to="40/s", probe="1s", warmup="0s")
    stage["roles"] += [{"role": "writer", "rows": 100000, "batch": 1, "rate": "40/s"}, {"role": "deleter", "batch": 1, "share": "50%"}]
    done = run(tmp_path, job_for(stage, dataset={"synthetic": {"rows": 300000, "dim": 4}}), np_=2)
    probes = done.result.tables["find_max"]
    assert len(probes) >= 4 and probes[0]["wanted"] == 10 and probes[-1]["confirms"]  # 10, 20, 40 and 40 again, if all of them hold
    written, deleted = (operation(done, "peak", role)["ok"] for role in ("writer", "deleter"))
    assert written == 40 * sum(probe["seconds"] for probe in probes)
    assert 0.25 * written <= deleted <= 0.75 * written  # a half of them, drawn


def test_a_role_without_work_ends_the_search(tmp_path):
    stage = {"name": "peak", "roles": [{"role": "writer", "rows": 50, "batch": 1}],
             "find_max": {"role": "writer", "from": "100/s", "to": "500/s", "within": "60s", "probe": "1s", "warmup": "0s", "errors": "0%"}}
    done = run(tmp_path, job_for(stage))
    peak, = done.result.tables["max_rate"]
    assert (peak["outcome"], peak["probes"]) == ("no work", 1)
    assert "the role had nothing left to send" in done.out


def test_the_example_job_runs(tmp_path):
    words = ("--set", "stages.peak.find_max.probe=1s", "--set", "stages.peak.find_max.p99=1s", "--set", "stages.peak.searcher.inflight=1",
             "--set", "stages.peak.searcher.arrival=constant")
    done = undisturbed(tmp_path, lambda folder: run(folder, ROOT / "jobs" / "find_max.yaml", "delay,op=search,ms=100", words=words, np_=2),
                       lambda done: finds_what_there_is(done, 8, 0.15))
    assert finds_what_there_is(done, 8, 0.15), str(done)


def test_a_threshold_of_no_search_is_unknown(tmp_path):
    path = write_job(tmp_path / "job.yaml", job_for(thresholds={"fill.max_rate": "> 1/s"}))
    done = hpc("check", path)
    assert done.code == UNUSABLE and "thresholds.fill.max_rate: no such figure" in done.err
