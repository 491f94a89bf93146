"""`verify`: the rows of a saved run, audited again by another number of ranks, later, after whatever happened in between."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from support import ABSENT, GOOD, UNUSABLE, VIOLATED, Done, Result, Server, assert_ledger_agrees, hpc

NAME = "verified"
JOB = f"""dataset: {{synthetic: {{rows: 3000, dim: 8}}}}
collection:
  name: {NAME}
  replace: true
  fields:
    - {{name: id, type: int64, primary: true}}
    - {{name: vector, type: float_vector}}
    - {{name: varchar_field, type: varchar, max_length: 64}}
  index: {{type: FLAT, params: {{}}}}
stages:
  - name: load
    roles:
      - {{role: writer, count: 3, rows: 1500, batch: 70}}
      - {{role: deleter, count: 2, batch: 30}}
      - {{role: upserter, count: 2, batch: 30}}
verify: {{recheck: [], vectors: all, grace: 2s}}
thresholds: {{insert.p99: "< 60s"}}
"""


def load(server: Server, folder: Path, *words: object) -> Path:
    (folder / "job.yaml").write_text(JOB)
    done = hpc("run", "job.yaml", "--server", server.uri, "--output", "run.h5", *words, np=3, cwd=folder)
    assert done.code == GOOD, str(done)
    return folder / "run.h5"


@pytest.fixture(scope="module")
def saved(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good run whose collection is still there, with an override that the job file does not show."""
    return load(server, tmp_path_factory.mktemp("saved"), "--keep", "--set", "stages.load.writer.rows=1000")


@pytest.fixture
def again(saved: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with a copy of the saved run, for damage."""
    shutil.copy(saved, tmp_path / "run.h5")
    yield tmp_path


def verify(folder: Path, *words: object, np: int = 1, file: str = "run.h5") -> Done:
    return hpc("verify", file, "--output", "again.h5", *words, np=np, cwd=folder, result=folder / "again.h5")


def assert_refused(done: Done, *said: str) -> None:
    assert done.code == UNUSABLE and len(done.errors) == 1, str(done)
    for word in said:
        assert word in done.errors[0], str(done)
    assert done.out == "" and not done.result_path.exists(), str(done)


@pytest.mark.parametrize("np", [1, 2, 5])
def test_the_same_rows_on_other_ranks(again: Path, saved: Path, np: int) -> None:
    before = Result(saved)
    done = verify(again, np=np)
    assert done.code == GOOD, str(done)
    assert before.attributes["run_id"] in done.out
    after = done.result
    assert after.attributes["parent"] == before.attributes["run_id"] != after.attributes["run_id"]
    assert after.attributes["seed"] == before.attributes["seed"] and after.attributes["np"] == np
    for figure in ("acknowledged_inserts", "acknowledged_deletes", "acknowledged_upserts", "expected_live", "scanned", "count_star"):
        assert after.figures[figure] == before.figures[figure], figure
    assert before.figures["acknowledged_inserts"] == 3000, "the override is the saved run's"
    assert after.figures["vectors_compared"] == after.figures["expected_live"]
    assert {key: vars(row) for key, row in after.ledger.items()} == {key: vars(row) for key, row in before.ledger.items()}
    assert {row["stage"] for row in after.tables["operations"]} == {"verify"}
    assert_ledger_agrees(after)


def test_verify_of_a_verify(again: Path) -> None:
    assert verify(again).code == GOOD
    (again / "again.h5").rename(again / "first.h5")
    assert verify(again, np=2, file="first.h5").result.attributes["parent"] == Result(again / "first.h5").attributes["run_id"]


def test_after_a_kill_and_a_restart(server: Server, tmp_path: Path) -> None:
    """Also of the run's next part, which begins then: its rows and those of before are all there."""
    load(server, tmp_path, "--keep", "--set", "collection.name=parts")
    server.kill()
    server.start()
    done = verify(tmp_path, "--set", "verify.recheck=[flush, reload]", np=2)
    assert done.code == GOOD, str(done)
    assert done.result.figures["passes"] == 3
    more = hpc("run", "--continue", "run.h5", "--output", "more.h5", np=2, cwd=tmp_path, result=tmp_path / "more.h5")
    assert more.code == GOOD, str(more)
    first, second = Result(tmp_path / "run.h5"), more.result
    assert (second.attributes["continues"], second.attributes["part"]) == (first.attributes["run_id"], 2)
    assert (second.figures["earlier_inserts"], second.figures["acknowledged_inserts"]) == (4500, 9000)
    assert second.figures["scanned"] == second.figures["vectors_compared"] == len(second.live()) > len(first.live())
    assert all(vars(second.ledger[key]) == vars(row) for key, row in first.ledger.items())


@pytest.mark.parametrize("word, value, said", [
    ("--set", "collection.name=other", "collection.name"),
    ("--set", "stages.load.writer.rows=5", "stages.load"),
    ("--set", "dataset.synthetic.rows=2999", "dataset.synthetic"),
])
def test_what_was_written_cannot_be_changed(again: Path, word: str, value: str, said: str) -> None:
    assert_refused(verify(again, word, value), said)


def test_other_vectors(again: Path) -> None:
    """The same shape, other content: every vector would look corrupted."""
    with h5py.File(again / "run.h5", "r+") as file:
        file.attrs["seed"] = file.attrs["seed"] + 1
    assert_refused(verify(again), "data set", "differs")


@pytest.mark.parametrize("field, value", [("count", 1), ("version", 1), ("insert", 2), ("flags", 0x2000), ("worker", 9), ("first_id", 10**9)])
def test_damaged_ledger(again: Path, field: str, value: int) -> None:
    with h5py.File(again / "run.h5", "r+") as file:
        rows = file["truth/ledger"][()]
        row = next(i for i, row in enumerate(rows) if row["count"] > 1 and row["version"] == 0 and row["flags"] == 0)
        rows[field][row] = value
        file["truth/ledger"][...] = rows
    assert_refused(verify(again, np=2), "run.h5", "damaged")


def test_other_plan(again: Path) -> None:
    with h5py.File(again / "run.h5", "r+") as file:
        rows = file["workers"][()]
        rows["rows"][0] += 1
        file["workers"][...] = rows
    assert_refused(verify(again), "run.h5", "worker 0")


def test_ledger_of_a_killed_run(again: Path) -> None:
    with h5py.File(again / "run.h5", "r+") as file:
        rows = file["ranks"][()]
        rows["missing"][1] = 1
        file["ranks"][...] = rows
    assert_refused(verify(again), "rank 1", "run.h5")


def test_no_result(again: Path) -> None:
    assert_refused(verify(again, file="absent.h5"), "absent.h5")
    (again / "text.h5").write_text("no HDF5")
    assert_refused(verify(again, file="text.h5"), "text.h5")


def test_collection_that_the_run_dropped(server: Server, tmp_path: Path) -> None:
    """Nothing to verify, and no reason to cry loss."""
    run = load(server, tmp_path, "--set", "collection.name=dropped")
    done = hpc("verify", run, "--output", tmp_path / "again.h5", cwd=tmp_path, result=tmp_path / "again.h5")
    assert_refused(done, "dropped its collection", "--keep")


def test_drop_at_the_end(server: Server, tmp_path: Path) -> None:
    """Once all is found right, and said in the result, that nothing can be asked of again."""
    load(server, tmp_path, "--keep", "--set", "collection.name=once")
    done = verify(tmp_path, "--drop", np=2)
    assert done.code == GOOD and not done.result.attributes["collection_kept"], str(done)
    with server.client() as client:
        assert not client.has_collection("once")
    again = hpc("verify", "again.h5", "--output", "more.h5", cwd=tmp_path, result=tmp_path / "more.h5")
    assert_refused(again, "dropped its collection")


def test_rows_lost_since(again: Path, saved: Path, server: Server) -> None:
    """Last but two: from here on the collection is not what it was."""
    live = sorted(Result(saved).live())
    gone, back = live[::97], sorted(key for key, row in Result(saved).ledger.items() if row.deleted)[:3]
    with server.client() as client:
        client.delete(NAME, gone)
        homes = {row["worker"]: row["partition"] for row in Result(saved).tables["workers"]}
        for key in back:
            home = homes[Result(saved).ledger[key].worker]
            client.insert(NAME, [{"id": key, "vector": [0.0] * 8, "varchar_field": "back"}], partition_name=home)
    done = verify(again, "--drop", np=3)
    assert done.code == VIOLATED and done.result.attributes["collection_kept"] and "is kept, as evidence" in done.err, str(done)
    with server.client() as client:
        assert client.has_collection(NAME)
    assert done.result.found == {"lost": set(gone), "resurrected": set(back)}
    for row in done.result.violations:
        assert row["worker"] == Result(saved).ledger[row["id"]].worker
        assert row["kind"] == "resurrected" or (row["expected_version"], row["seen_version"]) == (
            Result(saved).ledger[row["id"]].version, ABSENT)


def test_another_collection_of_that_name(again: Path, server: Server) -> None:
    with server.client() as client:
        client.drop_collection(NAME)
        client.create_collection(NAME, dimension=8, auto_id=False)
    assert_refused(verify(again, "--drop"), NAME, "is not the one")
    with server.client() as client:
        assert client.has_collection(NAME)


def test_collection_gone(again: Path, saved: Path, server: Server) -> None:
    with server.client() as client:
        client.drop_collection(NAME)
    done = verify(again, np=2)
    assert done.code == VIOLATED, str(done)
    assert done.result.found == {"lost": set(Result(saved).live())}
