"""`run --continue`: parts of one collection and one ledger. What happens to rows between the parts, and during them, is found by the audit of
the last one; and what is no lie is not called one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from mockserver import Mock, expected
from proxy import Forward, behind
from pymilvus import MilvusClient
from pymilvus.grpc_gen import milvus_pb2
from support import (GOOD, UNUSABLE, VIOLATED, Content, Done, Result, assert_books_balance, assert_ledger_agrees, hpc, ranks_of, running, write_job)

NAME, SEED, ROWS, DIM = "parts", 11, 3000, 8
WRITERS = [{"role": "writer", "count": 3, "rows": 600, "batch": 40}, {"role": "deleter", "batch": 20, "share": "30%"},
           {"role": "upserter", "count": 2, "batch": 20, "share": "30%"}]
READERS = [{"role": "searcher", "count": 2, "ops": 60}, {"role": "querier", "count": 2, "ops": 60}]


def job_of(roles: list[dict], **more: object) -> dict:
    fields = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
              {"name": "varchar_field", "type": "varchar", "max_length": 64}]
    return {"dataset": {"synthetic": {"rows": ROWS, "dim": DIM}}, "collection": {"name": NAME, "fields": fields, "index": {"type": "FLAT", "params": {}}},
            "stages": [{"name": "load", "roles": roles}], "verify": {"recheck": ["reload"], "vectors": "all", "grace": "200ms"}, "calibrate": "never", **more}


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[Mock]:
    with Mock(tmp_path, options=["--data", tmp_path / "mock.data"]) as mock:
        yield mock


def begin(mock: Mock, roles: list[dict], *words: object, np: int = 1, **more: object) -> Done:
    return hpc("run", write_job(mock.folder / "job.yaml", job_of(roles, **more)), "--server", mock.uri, "-o", mock.folder / "1.h5", "--seed", SEED, "--keep",
               *words, np=np, result=mock.folder / "1.h5")


def go_on(mock: Mock, after: str, name: str, *words: object, np: int = 1) -> Done:
    return hpc("run", "--continue", mock.folder / after, "--server", mock.uri, "-o", mock.folder / name, *words, np=np, result=mock.folder / name)


def verify(mock: Mock, name: str) -> Done:
    return hpc("verify", mock.folder / name, "--server", mock.uri, "-o", mock.folder / f"again-{name}", result=mock.folder / f"again-{name}")


def assert_refused(done: Done, *said: str) -> None:
    assert done.code == UNUSABLE and len(done.errors) == 1 and not done.result_path.exists(), str(done)
    for word in said:
        assert word in done.errors[0], str(done)


def assert_holds(later: Result, earlier: Result) -> None:
    """All of the earlier part's ledger, row by row, and rows of its own behind it."""
    assert_books_balance(later)
    assert_ledger_agrees(later)
    assert all(vars(later.ledger[key]) == vars(row) for key, row in earlier.ledger.items())
    assert min(set(later.ledger) - set(earlier.ledger)) > max(earlier.ledger)
    figures, before = later.figures, earlier.figures
    assert [figures[f"earlier_{name}"] for name in ("inserts", "upserts", "deletes", "live")] == [
        before[name] for name in ("acknowledged_inserts", "acknowledged_upserts", "acknowledged_deletes", "expected_live")]
    assert (later.attributes["continues"], later.attributes["part"]) == (earlier.attributes["run_id"], earlier.attributes["part"] + 1)
    assert all(row["rank"] == -1 for row in later.tables["workers"] if row["part"] < later.attributes["part"])


def test_three_parts_are_one(mock: Mock) -> None:
    """On 3, 2 and 4 ranks: a role of one worker a rank has as many as in the first; what the command line took out of the job stays out.
    Reads see rows of all parts, and are judged by all."""
    first = begin(mock, WRITERS + READERS, "--set", "thresholds={}", np=3, thresholds={"insert.p99": "< 1ns"})
    done = [first, go_on(mock, "1.h5", "2.h5", "--label", "more", np=2), verify(mock, "2.h5"), go_on(mock, "again-2.h5", "3.h5", np=4)]
    assert [one.code for one in done] == [GOOD] * 4, "\n".join(map(str, done))
    again = done.pop(2).result
    parts = [one.result for one in done]
    for part, earlier, later in ((2, parts[0], parts[1]), (3, again, parts[2])):
        assert_holds(later, earlier)
        assert len(later.tables["workers"]) == part * len(parts[0].tables["workers"])
        assert later.figures["acknowledged_inserts"] == part * 1800 == part * later.figures["earlier_inserts"] / (part - 1)
        assert later.figures["scanned"] == later.figures["expected_live"] == len(later.live())
        assert later.figures["vectors_compared"] == 2 * later.figures["scanned"]
        assert later.operations("load", "insert")["rows"] == 1800 and later.figures["reads_judged"] == 240
        assert later.attributes["seed"] == SEED and later.attributes["plan_np"] == 3
        assert f"of {part * 1800} acknowledged rows, {part * 1800 - 1800} are of earlier parts" in later.attributes["verdict"]
        shown = done[part - 1].out
        assert f"continues   run {earlier.attributes['run_id']}, as part {part}" in shown and f"{part * 1800 - 1800:,} of them of earlier parts" in shown
        assert later.figures["true_neighbors_found"] == later.figures["true_neighbors"] > 0
    assert parts[1].attributes["label"] == "more"
    assert (again.attributes["part"], again.attributes["parent"], again.attributes["continues"]) == (2, parts[1].attributes["run_id"], "")
    assert {key: vars(row) for key, row in again.ledger.items()} == {key: vars(row) for key, row in parts[1].ledger.items()}
    # rows of the third would be strangers to the second, or be written twice
    assert_refused(verify(mock, "1.h5"), "1.h5", "was continued since", "verify the last part's result")
    assert_refused(go_on(mock, "2.h5", "other.h5"), "2.h5", "was continued before", "the last part's result")


def test_later_rows_are_known_by_their_scalars(mock: Mock) -> None:
    """A server that keeps vectors in a precision of its own, as verify.vectors=none is for: rows of a later part are still no strangers."""
    def rounded(method: str, _request: bytes, forward: Forward, _context: object) -> bytes:
        reply = forward()
        if method != "Query":
            return reply
        changed = milvus_pb2.QueryResults.FromString(reply)
        for field in changed.fields_data:
            if field.WhichOneof("field") == "vectors":
                field.vectors.float_vector.data[:] = [round(x, 3) for x in field.vectors.float_vector.data]
        return changed.SerializeToString()

    assert [done.code for done in (begin(mock, WRITERS), go_on(mock, "1.h5", "2.h5"))] == [GOOD] * 2
    with behind(mock.uri, rounded) as between:
        done = hpc("verify", mock.folder / "1.h5", "--server", between, "--set", "verify.vectors=none", "-o", mock.folder / "again.h5",
                   result=mock.folder / "again.h5")
    assert_refused(done, "was continued since")


def client_of(mock: Mock) -> MilvusClient:
    return MilvusClient(uri=mock.uri)


def test_what_happens_between_parts_is_found(mock: Mock) -> None:
    """Lost, resurrected, duplicated, stale, and a row in ids of the first part that it never wrote: each by its name, and whose it was."""
    first = begin(mock, WRITERS, "--set", "stages.load.writer.ops=5").result
    rows = iter(sorted(first.ledger))
    content = Content(SEED, np.zeros((1, DIM), dtype=np.float32))
    lost = [next(key for key in rows if first.ledger[key].certain) for _ in range(3)]
    doubled, stale = (next(key for key in rows if first.ledger[key].certain and (first.ledger[key].version > 0) == old) for old in (False, True))
    back = next(key for key in rows if first.ledger[key].deleted)
    stranger = first.tables["workers"][0]["first_id"] + 599  # of its ids, far behind its last
    assert stranger not in first.ledger
    client = client_of(mock)
    client.load_collection(NAME)

    def put(key: int, like: int, version: int, home: str) -> None:
        [vector] = client.query(NAME, filter=f"id == {like}", output_fields=["vector"]) or [{"vector": [0.5] * DIM}]
        client.insert(NAME, [{"id": key, "vector": vector["vector"], "varchar_field": content.varchar(key, version)}], partition_name=home)

    homes = {key: first.worker(first.ledger[key].worker)["partition"] for key in (doubled, stale, back)}
    put(doubled, doubled, 0, homes[doubled])
    client.delete(NAME, [*lost, stale])
    put(stale, lost[0], 0, homes[stale])
    put(back, lost[0], 0, homes[back])
    put(stranger, lost[0], 0, first.tables["workers"][0]["partition"])
    client.close()
    done = go_on(mock, "1.h5", "2.h5", "--set", "verify.vectors=none", np=2)
    assert done.code == VIOLATED, str(done)
    assert done.result.found == {"lost": set(lost), "duplicated": {doubled}, "stale": {stale}, "resurrected": {back}, "unexpected": {stranger}}
    for row in done.result.violations:
        owner = first.ledger[row["id"]].worker if row["id"] in first.ledger else -1
        assert (row["worker"], row["rank"], row["write"]) == (owner, -1, ""), row
    assert_holds(done.result, first)
    report = hpc("report", mock.folder / "2.h5", "--violations").out
    assert f"inserted by worker {first.ledger[back].worker}; the run that wrote it has the rest" in report, report
    assert f"part 2 of the runs that filled this collection one after the other; it went on from run {first.attributes['run_id']}" in report, report
    assert "mpirun -np 1 milvus-hpc run job.yaml" in report and "mpirun -np 2 milvus-hpc run --continue RESULT.h5" in report, report


def test_a_reader_of_a_later_part_sees_what_came_back(mock: Mock) -> None:
    """And misses what is gone: by the history of writes, of which the first part's are the beginning."""
    querier = {"role": "querier", "count": 2, "ops": 60, "expression": "id < 1800", "limit": 5000, "consistency": "strong"}
    first = begin(mock, [*WRITERS, querier], np=2).result
    back, gone = min(key for key, row in first.ledger.items() if row.deleted), set(list(first.live())[::20])
    client = client_of(mock)
    home = first.worker(first.ledger[back].worker)["partition"]
    client.insert(NAME, [{"id": back, "vector": [0.5] * DIM, "varchar_field": "back"}], partition_name=home)
    client.delete(NAME, sorted(gone))
    client.close()
    done = go_on(mock, "1.h5", "2.h5", np=2)
    assert done.code == VIOLATED, str(done)
    found = done.result.found
    assert found["resurrected"] == {back} and found["lost"] == gone
    assert found["missed"] == {-1} and set(found) == {"resurrected", "lost", "missed"}  # fewer than there must be
    assert {row["seen_by"] for row in done.result.violations if row["kind"] in ("resurrected", "missed")} == {"query"}


def test_lies_during_a_later_part(tmp_path: Path) -> None:
    """The same server lies from the second part on: the rows of its log, no others, and none of the first part's."""
    with Mock(tmp_path, options=["--data", tmp_path / "mock.data"]) as honest:
        first = begin(honest, WRITERS, np=2)
        assert first.code == GOOD, str(first)
    heir = honest.heir()
    heir.command += [word for fault in ("lose=3,at=reload", "duplicate=2", "keep_deleted=2", "upsert_lost=2", "flip_scalar=2") for word in ("--fault", fault)]
    with heir as lying:
        done = go_on(lying, "1.h5", "2.h5", np=3)
        log = lying.log()
    assert done.code == VIOLATED and log, str(done)
    assert done.result.found == expected(done.result, log)
    assert min(entry["key"] for entry in log) > max(first.result.ledger)
    assert all(row["worker"] >= 0 and row["rank"] >= 0 for row in done.result.violations)
    assert_holds(done.result, first.result)


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    with Mock(tmp_path, ["hang,op=insert,count=2,when=after", "hang,op=delete,count=1", "hang,op=upsert,count=1"],
              ["--data", tmp_path / "unknown.data"]) as mock:
        first = begin(mock, WRITERS, "--set", "server.timeout=1s", np=2)
        assert first.code == GOOD, str(first)
        second = go_on(mock, "1.h5", "2.h5", np=3)
    assert second.code == GOOD, str(second)
    assert_holds(second.result, first.result)
    for figure in ("unknown_inserts", "unknown_upserts", "unknown_deletes", "expected_maybe"):
        assert second.result.figures[figure] == first.result.figures[figure] > 0, figure


ENDLESS = [{"role": "writer", "count": 2, "rows": 100_000, "batch": 10, "rate": "50/s"}, {"role": "deleter", "count": 1, "batch": 10, "share": "20%"}]


def test_a_later_part_that_is_killed(mock: Mock) -> None:
    """Its journals have the rows of the first part as well. Without a rank's, the result says how many are missing. Nothing is called lost."""
    with running("run", write_job(mock.folder / "job.yaml", job_of(ENDLESS)), "--server", mock.uri, "-o", mock.folder / "1.h5", "--keep", "--progress", 1, np=2,
                 result=mock.folder / "1.h5") as run:
        run.wait_for_second("load", 1)
        run.process.send_signal(signal.SIGUSR1)
        first = run.finish()
    assert first.code == GOOD, str(first)
    with running("run", "--continue", mock.folder / "1.h5", "--server", mock.uri, "-o", mock.folder / "2.h5", "--progress", 1, np=3) as run:
        run.wait_for_second("load", 1)
        for pid in ranks_of(run):
            os.kill(pid, signal.SIGKILL)
        run.finish(60)
    journals, merged, partial = (mock.folder / name for name in ("2.h5.journals", "merged.h5", "partial.h5"))
    done = hpc("merge", journals, "-o", merged, result=merged)
    assert done.code == UNUSABLE and "truth/violations" not in done.result.tables and "are not in them" not in done.result.attributes["verdict"], str(done)
    assert done.result.attributes["collection_kept"] and done.result.operations("load", "insert")["ok"] > 0
    assert_holds(done.result, first.result)
    (journals / "rank-00001.journal").rename(mock.folder / "aside")
    done = hpc("merge", journals, "-o", partial, result=partial)
    known = sum(row["count"] for row in done.result.tables["truth/ledger"] if done.result.worker(row["worker"])["part"] == 1)
    assert 0 < known < len(first.result.ledger) and "truth/violations" not in done.result.tables
    assert f"of {len(first.result.ledger)} rows of earlier parts, {len(first.result.ledger) - known} are not in them" in done.result.attributes["verdict"], str(done)
    assert_refused(go_on(mock, "merged.h5", "3.h5"), "merged.h5", "did not come to its end")
    assert_refused(go_on(mock, "1.h5", "3.h5"), "was continued before", "after a part that was killed, begin anew")
    assert_refused(verify(mock, "1.h5"), "was continued since")


def test_what_cannot_be_continued(mock: Mock) -> None:
    assert begin(mock, WRITERS).code == GOOD
    out = mock.folder / "2.h5"
    assert_refused(go_on(mock, "1.h5", "2.h5", mock.folder / "job.yaml"), "--continue", "job.yaml")
    assert_refused(go_on(mock, "1.h5", "2.h5", "--seed", 3), "--seed does not go with --continue")
    assert_refused(go_on(mock, "1.h5", "2.h5", "--set", "stages.load.writer.rows=5"), "run --continue takes server.*", "stages.load.writer.rows=5")
    assert_refused(go_on(mock, "absent.h5", "2.h5"), "absent.h5: No such file")
    for name, value, said in (("part", 7, "workers"), ("plan_np", -1, "planned for -1 ranks"), ("ledger", 1, "is damaged"), ("summary", -1, "refused_upserts")):
        damaged = mock.folder / "damaged.h5"
        damaged.write_bytes((mock.folder / "1.h5").read_bytes())
        with h5py.File(damaged, "r+") as file:
            if name == "ledger":
                file["truth/ledger"][0, "version"] = value
            elif name == "summary":
                figures = file["truth/summary"][...]
                figures["value"][figures["figure"] == b"refused_upserts"] = value
                file["truth/summary"][...] = figures
            else:
                file.attrs.modify(name, value)
        assert_refused(go_on(mock, "damaged.h5", "2.h5"), "damaged.h5", said)
    client = client_of(mock)
    client.insert(NAME, [{"id": 5000, "vector": [0.5] * DIM, "varchar_field": "nobody's"}])
    assert_refused(go_on(mock, "1.h5", "2.h5"), "holds row 5000, of the ids that part 2 would write", "milvus-hpc verify says what it is")
    found = verify(mock, "1.h5")
    assert found.code == VIOLATED and found.result.found == {"unexpected": {5000}}, str(found)
    client.drop_collection(NAME)
    client.close()
    assert_refused(go_on(mock, "1.h5", "2.h5"), NAME, "is no longer on", "verify says what is lost")
    assert not out.exists() and not out.with_name("2.h5.journals").exists()


def test_a_job_without_rows_goes_on(mock: Mock) -> None:
    """Of life cycles: there is nothing to restore, and nothing is refused."""
    roles = [{"role": "lifecycle", "count": 1, "cycles": 2, "rows": 50}]
    first, second = begin(mock, roles), go_on(mock, "1.h5", "2.h5", "--json", mock.folder / "2.json")
    assert (first.code, second.code) == (GOOD, GOOD), f"{first}\n{second}"
    said = json.loads((mock.folder / "2.json").read_text())
    assert (said["part"], said["continues"]) == (2, first.result.attributes["run_id"]) and second.result.figures["cycles_whole"] == 2
