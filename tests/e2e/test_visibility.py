"""When what was acknowledged can be read: probers against a mock whose answers lag or lie as the test says, and against the real server."""

from __future__ import annotations

from pathlib import Path

import pytest
from mockserver import Mock
from support import GOOD, VIOLATED, Done, Server, assert_books_balance, assert_ledger_agrees, hpc, write_job

LEVELS = ("strong", "session", "bounded", "eventually")
READS = ("query", "search")
WRITES = ("insert", "upsert", "delete")
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]
SECOND = 10**9


def prober(**options: object) -> dict:
    return {"role": "prober", "rows": 6} | options


def run(folder: Path, uri: str, roles: list[dict], np: int = 1, verify: dict | None = None, sets: dict | None = None) -> Done:
    job = {
        "server": {"uri": "", "timeout": "20s"},
        "dataset": {"synthetic": {"rows": 300, "dim": 8}},
        "collection": {"name": "visible", "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2", "params": {}}} | (sets or {}),
        "stages": [{"name": "probe", "roles": roles}],
        "verify": {"recheck": [], "vectors": "all", "grace": "10s"} | (verify or {}),
    }
    path = folder / "result.h5"
    done = hpc("run", write_job(folder / "job.yaml", job), "--server", uri, "--seed", 7, "--output", path, np=np, result=path)
    assert path.exists(), str(done)
    assert_books_balance(done.result)
    assert_ledger_agrees(done.result)
    return done


def visibility(done: Done) -> dict[tuple[str, str, str], dict]:
    """By level, read and write; the histograms hold as many values as the table says."""
    rows = done.result.tables["visibility"]
    for row in rows:
        for end in ("done", "sent"):
            name = f"latency/{row['stage']}/{row['latency']}/{end}"
            assert done.result.histograms.get(name, 0) == row["count"], name
        assert row["sent_p50_ns"] <= row["p50_ns"] <= row["p99_ns"] <= row["max_ns"] and row["sent_max_ns"] <= row["max_ns"], row
    table = {(row["consistency"], row["read"], row["write"]): row for row in rows}
    assert len(table) == len(rows)
    return table


EVERY_LEVEL = [prober(count=2, consistency=level, read=read) for level in LEVELS for read in READS]


def assert_all_seen(done: Done) -> None:
    assert done.code == GOOD and done.result.found == {}, str(done)
    table = visibility(done)
    assert set(table) == {(level, read, write) for level in LEVELS for read in READS for write in WRITES}
    for (_, _, write), row in table.items():
        assert row["never"] == 0 and row["count"] == (12 if write == "insert" else 6), row
    assert "VISIBILITY" in done.out


@pytest.mark.parametrize("np", [1, 3])
def test_clean(tmp_path: Path, np: int) -> None:
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock.uri, EVERY_LEVEL, np)
    assert_all_seen(done)
    assert done.result.figures["invisible"] == 0
    shown = hpc("report", tmp_path / "result.h5")
    assert "VISIBILITY" in shown.out and "eventually" in shown.out


def test_weaker_levels_lag(tmp_path: Path) -> None:
    """What is written can be seen at bounded and eventually half a second later; the stronger ones wait for nothing."""
    with Mock(tmp_path, (), ["--staleness", "500ms"]) as mock:
        done = run(tmp_path, mock.uri, EVERY_LEVEL, 2)
    assert_all_seen(done)
    for (level, _, _), row in visibility(done).items():
        if level in ("bounded", "eventually"):
            assert row["p50_ns"] > 0.4 * SECOND and row["sent_p50_ns"] > 0.35 * SECOND, row
        else:
            assert row["sent_p50_ns"] < 0.4 * SECOND, row


def test_a_collection_says_the_level(tmp_path: Path) -> None:
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock.uri, [prober()], sets={"consistency": "session"})
    assert {level for level, _, _ in visibility(done)} == {"session"}


# --- lies, named row by row -------------------------------------------------------------------------------------------


def struck(mock: Mock) -> set[int]:
    keys = {entry["key"] for entry in mock.log()}
    assert keys, "the fault never took effect"
    return keys


def assert_named(done: Done, kind: str, ids: set[int], write: str) -> None:
    assert done.code == VIOLATED and done.result.found == {kind: ids}, str(done)
    for row in done.result.violations:
        assert (row["write"], row["seen_by"], row["first_pass"]) == (write, done.result.tables["visibility"][0]["read"], -1), row
        assert row["reader"] == row["worker"] == done.result.ledger[row["id"]].worker, row
        assert row["sent_ns"] < row["acknowledged_ns"] < row["first_seen_ns"], row


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("level", ["strong", "session"])
def test_late_rows_are_unread(tmp_path: Path, level: str, read: str) -> None:
    with Mock(tmp_path, ["late=3,op=insert,seconds=0.5"]) as mock:
        done = run(tmp_path, mock.uri, [prober(count=3, consistency=level, read=read)], 2)
    assert_named(done, "unread", struck(mock), "insert")
    for row in done.result.violations:
        assert (row["expected_version"], row["seen_version"]) == (0, -1), row
    inserts = visibility(done)[level, read, "insert"]
    assert inserts["count"] == 18 and 0.4 * SECOND < inserts["max_ns"] < 8 * SECOND and inserts["p50_ns"] < inserts["max_ns"] / 2


def test_late_rows_at_weaker_levels_are_measured(tmp_path: Path) -> None:
    with Mock(tmp_path, ["late=100%,op=insert,seconds=0.5"]) as mock:
        done = run(tmp_path, mock.uri, [prober(count=3, consistency=level) for level in ("bounded", "eventually")], 2)
    assert done.code == GOOD, str(done)
    for level in ("bounded", "eventually"):
        row = visibility(done)[level, "query", "insert"]
        assert row["count"] == 18 and row["p50_ns"] > 0.4 * SECOND and row["sent_p50_ns"] > 0.35 * SECOND, row


def test_bounded_has_a_bound(tmp_path: Path) -> None:
    """Half a second is allowed beside it, for the server's clock."""
    with Mock(tmp_path, ["late=2,op=insert,seconds=2"]) as mock:
        done = run(tmp_path, mock.uri, [prober(count=2, consistency="bounded", bound="100ms")], 2)
    assert_named(done, "unread", struck(mock), "insert")


def test_upserts_and_deletes_that_were_not_done(tmp_path: Path) -> None:
    for fault, kind, expected, seen in (("upsert_lost=2", "stale", 1, 0), ("keep_deleted=2", "resurrected", -1, 0)):
        with Mock(tmp_path, [fault]) as mock:
            done = run(tmp_path, mock.uri, [prober()], verify={"grace": "200ms"})
        ids = struck(mock)
        assert done.code == VIOLATED and done.result.found == {kind: ids, "unread": ids}, str(done)
        unread = [row for row in done.result.violations if row["kind"] == "unread"]
        assert all((row["expected_version"], row["seen_version"]) == (expected, seen) for row in unread)
        assert visibility(done)["strong", "query", "upsert" if kind == "stale" else "delete"]["never"] == 2
        (tmp_path / "result.h5").unlink()
        mock.log_path.unlink()


@pytest.mark.parametrize("level", ["strong", "eventually"])
def test_rows_that_never_come(tmp_path: Path, level: str) -> None:
    """Where no time is promised, it is the audit that calls them lost."""
    with Mock(tmp_path, ["lose=2"]) as mock:
        done = run(tmp_path, mock.uri, [prober(consistency=level)], verify={"grace": "200ms"})
    ids, result = struck(mock), done.result
    assert done.code == VIOLATED and visibility(done)[level, "query", "insert"]["never"] == 2, str(done)
    assert result.found == {"lost": ids, "unread" if level == "strong" else "invisible": ids}


def test_invisible_alone_is_no_violation(tmp_path: Path) -> None:
    """Seen by the audit, whose reads are strong, and not by the prober's."""
    with Mock(tmp_path, (), ["--staleness", "1s"]) as mock:
        done = run(tmp_path, mock.uri, [prober(rows=1, consistency="eventually")], verify={"grace": "100ms"})
    assert done.code == GOOD and done.result.figures["invisible"] == 1 and done.result.found == {"invisible": {0}}, str(done)


def test_stale_reads(tmp_path: Path) -> None:
    """All of them: every write is unread at first."""
    with Mock(tmp_path, ["stale_read=100%,seconds=0.3"]) as mock:
        done = run(tmp_path, mock.uri, [prober(rows=3)], verify={"grace": "5s", "enabled": False})
    assert done.code == VIOLATED and done.result.found == {"unread": {0, 1, 2}}, str(done)


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_a_row_that_is_lost_from_sight_again(tmp_path: Path, level: str, allow: bool) -> None:
    """The second read of the first row is from before it was there."""
    with Mock(tmp_path, ["stale_read=1,op=query,after=1,seconds=60"]) as mock:
        done = run(tmp_path, mock.uri, [prober(consistency=level)], verify={"allow": ["non_monotonic"] if allow else []})
    if allow:
        assert done.code == GOOD and done.result.figures["allowed_anomalies"] == 1, str(done)
    else:
        assert_named(done, "non_monotonic", {0}, "insert")


# --- the real server --------------------------------------------------------------------------------------------------


def test_real_server(tmp_path: Path, server: Server) -> None:
    done = run(tmp_path, server.uri, EVERY_LEVEL, 2, verify={"grace": "30s"})
    assert_all_seen(done)
