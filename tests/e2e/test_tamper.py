"""The attacker of the verdict: rows are changed behind the program's back, through the server's own client, while a last stage that waits
for the attacker keeps the run from its audit. Each run must name exactly the rows that were changed, each with the right word, and no other.

The program knows nothing of the tampering: to it, this is a server that breaks its promises.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from support import (ABSENT, GOOD, MNIST, OF_NO_VERSION, VIOLATED, Content, Done, Result, Running, Server, assert_books_balance,
                     assert_ledger_agrees, running, write_job)

SEED, WRITERS, ROWS, SLOW_ROWS = 99, 4, 300, 6
LAST = WRITERS * ROWS  # ids from here on are the slow stage's, and then nobody's
NOBODY = LAST + SLOW_ROWS
NAME = "victim"
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]
JOB = {
    "server": {"uri": "", "timeout": "20s"},
    "dataset": {"path": str(MNIST)},
    "collection": {"name": NAME, "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2"}},
    "stages": [
        {"name": "main", "roles": [
            {"role": "writer", "count": WRITERS, "rows": ROWS, "batch": 50, "partition": "own"},
            {"role": "deleter", "count": 2, "batch": 20, "share": "25%"},
            {"role": "upserter", "count": 2, "batch": 20, "share": "25%"}]},
        {"name": "slow", "roles": [{"role": "writer", "rows": SLOW_ROWS, "batch": 1, "rate": "1.5/s", "inflight": 1}]},
    ],
    "verify": {"recheck": [], "vectors": "all", "grace": "1s"},
}


def home_of(key: int) -> str:
    return f"main_0_{key // ROWS:05d}" if key < LAST else "slow_0_00000"


class Attack:
    """One run under attack, and hands on its collection."""

    def __init__(self, run: Running, client: MilvusClient, content: Content, gate: Path):
        self.run, self.client, self.content, self.gate = run, client, content, gate

    def let_audit_begin(self) -> None:
        self.gate.touch()

    def delete(self, keys: list[int]) -> None:
        self.client.delete(NAME, ids=keys)

    def write(self, rows: list[dict], partition: str) -> None:
        reply = self.client.insert(NAME, rows, partition_name=partition)
        assert reply["insert_count"] == len(rows)

    def insert(self, keys: list[int], version: int = 0, partition: str | None = None) -> None:
        """Rows with the content that is right for id and version."""
        homes: dict[str, list[dict]] = {}
        for key in keys:
            homes.setdefault(partition or home_of(key), []).append(self.content.row(key, version))
        for home, rows in homes.items():
            self.write(rows, home)

    def replace(self, key: int, row: dict) -> None:
        self.delete([key])
        self.write([row], home_of(key))


@pytest.fixture
def attack(server: Server, output: Path, mnist: np.ndarray) -> Callable[..., Done]:
    """Runs the job; `tamper(attack)` is called when the main stage is over and row LAST is written. The audit begins when it returns, however
    long it takes: a row that is away while the audit looks is lost indeed. Not held: the audit begins by itself."""

    def go(tamper: Callable[[Attack], None], *, np_: int = 1, after: str = r"^slow \d+ s.*\| writer [1-9]", held: bool = True, sets: tuple[str, ...] = ()) -> Done:
        gate, job = output.with_name("gate"), deepcopy(JOB)
        if held:
            job["stages"][-1]["chaos"] = [{"at": "0s", "run": f"until [ -e {gate} ]; do sleep 0.05; done"}]
        job = write_job(output.with_name("job.yaml"), job)
        settings = [word for setting in sets for word in ("--set", setting)]
        words = ("run", job, "--server", server.uri, "--seed", SEED, "--progress", 1, "--output", output, *settings)
        with running(*words, np=np_, result=output) as run, server.client() as client:
            run.wait_for(after)
            hands = Attack(run, client, Content(SEED, mnist), gate)
            tamper(hands)
            hands.let_audit_begin()
            done = run.finish()
            assert (f"collection {NAME} is kept, as evidence" in done.err) == (done.code == VIOLATED), str(done)
            assert done.code == VIOLATED or not client.has_collection(NAME)
            client.drop_collection(NAME)
            return done

    return go


def assert_verdict(done: Done, expected: dict[str, set[int]]) -> Result:
    """Exit code 2, and the violations are these, id by id and kind by kind."""
    assert done.code == VIOLATED, str(done)
    result = done.result
    assert result.found == expected, str(done)
    assert {name: result.figures[name] for name in expected} == {name: len(ids) for name, ids in expected.items()}
    for name in ("lost", "stale", "duplicated", "resurrected", "unexpected", "misplaced", "corrupted", "miscounted"):
        assert result.figures[name] == len(expected.get(name, ())), name
    broken = sum(len(ids) for ids in expected.values())
    assert result.attributes["verdict"].startswith(f"VIOLATED: the server broke its promise about {broken} row")
    assert result.attributes["exit_code"] == VIOLATED and result.attributes["whole"] and done.errors == []
    assert_books_balance(result)
    assert_ledger_agrees(result)
    for row in result.violations:
        if row["id"] in result.ledger and row["kind"] != "miscounted":
            assert_provenance(result, row)
    return result


def assert_provenance(result: Result, row: dict) -> None:
    """The last write of the row: whose, in which batch, when."""
    fate = result.ledger[row["id"]]
    worker = result.worker(row["worker"])
    expected_write = "delete" if fate.deleted else "upsert" if fate.version else "insert"
    assert row["write"] == expected_write, row
    assert worker["role"] == {"delete": "deleter", "upsert": "upserter", "insert": "writer"}[expected_write]
    assert row["rank"] == worker["rank"]
    if expected_write == "insert":
        assert worker["worker"] == fate.worker
        assert row["batch_first_id"] <= row["id"] < row["batch_first_id"] + row["batch_rows"]
    assert row["partition"] == home_of(row["id"])
    assert 1 <= row["batch_rows"] <= 50
    assert 0 <= row["due_ns"] <= row["sent_ns"] < row["acknowledged_ns"] < row["first_seen_ns"] <= row["last_seen_ns"]
    assert row["last_seen_ns"] < result.attributes["duration_s"] * 1e9
    assert row["expected_version"] == (ABSENT if fate.deleted else fate.version)


def seen(result: Result, kind: str) -> set[tuple[str, int]]:
    return {(row["seen_partition"], row["seen_version"]) for row in result.violations if row["kind"] == kind}


def split(result: Result, keys: list[int]) -> tuple[set[int], set[int]]:
    """Which of the keys the run left live, and which it deleted."""
    live = {key for key in keys if result.ledger[key].certain}
    return live, set(keys) - live


def test_untouched_run_is_good(attack: Callable[..., Done]) -> None:
    """The control: the same job, looked at by the same client, is not suspected of anything."""
    done = attack(lambda hands: None)
    assert done.code == GOOD, str(done)
    result = done.result
    assert result.found == {} and result.figures["expected_live"] == result.figures["count_star"]
    assert {row.version for row in result.ledger.values()} == {0, 1} and any(row.deleted for row in result.ledger.values())


def test_same_content_again_is_no_violation(attack: Callable[..., Done]) -> None:
    """Deleted and written back as it was, the last of them after a while: the promise about the row's content is kept."""
    keys = [*range(0, LAST, 100), LAST]

    def tamper(hands: Attack) -> None:
        index = hands.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        hands.client.create_index(NAME, index)
        hands.client.load_collection(NAME)
        rows = hands.client.query(NAME, filter=f"id in {keys}", output_fields=["id", "vector", "varchar_field"],
                                  consistency_level="Strong")
        assert {LAST} < {row["id"] for row in rows} < set(keys)
        *others, last = rows
        for row in others:
            hands.replace(row["id"], dict(row))
        hands.delete([last["id"]])
        hands.run.wait_for(r"^slow .*, finishing")  # as long as a busy machine may take
        hands.write([dict(last)], home_of(last["id"]))

    done = attack(tamper)
    assert done.code == GOOD, str(done)
    assert done.result.found == {}


def test_deleted_behind_its_back_is_lost(attack: Callable[..., Done]) -> None:
    keys = [*range(40, 60), *range(350, 700, 7), LAST]
    done = attack(lambda hands: hands.delete(keys), np_=3)
    live, gone = split(Result(done.result_path), keys)
    assert live and gone, "the choice of keys should meet both"
    result = assert_verdict(done, {"lost": live})
    assert seen(result, "lost") == {("", ABSENT)}


def test_all_rows_of_a_writer_lost(attack: Callable[..., Done]) -> None:
    keys = list(range(ROWS, 2 * ROWS))
    done = attack(lambda hands: hands.delete(keys))
    assert_verdict(done, {"lost": split(done.result, keys)[0]})


def test_second_copy_is_duplicated_and_deleted_row_is_resurrected(attack: Callable[..., Done]) -> None:
    """Some batches once more, as first inserted: beside those that live it is a second copy, those deleted come back."""
    keys = [*range(2 * ROWS, 2 * ROWS + 100), *range(2 * ROWS + 200, 2 * ROWS + 250)]
    done = attack(lambda hands: hands.insert(keys, partition=home_of(keys[0])), np_=2)
    live, deleted = split(done.result, keys)
    assert {done.result.ledger[key].version for key in live} == {0, 1} and deleted
    assert_verdict(done, {"duplicated": live, "resurrected": deleted})


def test_right_count_hides_nothing(attack: Callable[..., Done]) -> None:
    """As many live rows deleted as deleted rows brought back, in the same range of ids: every count is right."""
    keys = list(range(0, ROWS))

    def tamper(hands: Attack) -> None:
        hands.delete(keys)
        hands.insert(keys)

    done = attack(tamper)
    result = done.result
    live, deleted = split(result, keys)
    stale = {key for key in live if result.ledger[key].version == 1}
    expected = {"resurrected": deleted, "stale": stale}
    assert_verdict(done, {kind: ids for kind, ids in expected.items() if ids})


def test_rows_of_nobody_are_unexpected(attack: Callable[..., Done]) -> None:
    places = {home_of(0): [NOBODY, NOBODY + 1], "_default": [-7, 10**15], home_of(LAST): [NOBODY + 500]}

    def tamper(hands: Attack) -> None:
        for partition, keys in places.items():
            hands.write([{"id": key, "vector": [0.5] * 784, "varchar_field": "stranger"} for key in keys], partition)

    done = attack(tamper, np_=2)
    result = assert_verdict(done, {"unexpected": {key for keys in places.values() for key in keys}})
    assert {(row["id"], row["seen_partition"]) for row in result.violations} == {(k, p) for p, keys in places.items() for k in keys}
    assert {row["worker"] for row in result.violations} == {-1}


def test_partition_of_nobody(attack: Callable[..., Done]) -> None:
    def tamper(hands: Attack) -> None:
        hands.client.create_partition(NAME, "smuggled")
        hands.write([hands.content.row(NOBODY + i, 0) for i in range(3)], "smuggled")

    done = attack(tamper)
    assert_verdict(done, {"unexpected": {NOBODY, NOBODY + 1, NOBODY + 2}})
    assert seen(done.result, "unexpected") == {("smuggled", OF_NO_VERSION)}


def test_moved_row_is_misplaced(attack: Callable[..., Done]) -> None:
    keys = list(range(ROWS, ROWS + 20))

    def tamper(hands: Attack) -> None:
        hands.delete(keys)
        hands.insert(keys, 0, home_of(3 * ROWS))

    done = attack(tamper)
    live, deleted = split(done.result, keys)
    result = assert_verdict(done, {kind: ids for kind, ids in {"misplaced": live, "resurrected": deleted}.items() if ids})
    assert {row["seen_partition"] for row in result.violations} == {home_of(3 * ROWS)}


def test_copy_in_another_partition_is_duplicated(attack: Callable[..., Done]) -> None:
    keys = [5, LAST]
    done = attack(lambda hands: hands.insert(keys, 0, "_default"))
    live, deleted = split(done.result, keys)
    expected = {kind: ids for kind, ids in {"duplicated": live, "resurrected": deleted}.items() if ids}
    assert_verdict(done, expected)
    assert {row["seen_partition"] for row in done.result.violations} == {"_default"}


def test_moved_both_ways_hides_nothing(attack: Callable[..., Done]) -> None:
    """One row each way between two partitions: every count of every partition is right."""
    done = attack(swap_homes)
    swapped = {1, ROWS + 1}
    live, deleted = split(done.result, sorted(swapped))
    assert_verdict(done, {kind: ids for kind, ids in {"misplaced": live, "resurrected": deleted}.items() if ids})


def swap_homes(hands: Attack) -> None:
    a, b = 1, ROWS + 1
    hands.delete([a, b])
    hands.insert([a], 0, home_of(b))
    hands.insert([b], 0, home_of(a))


def test_overwritten_text_and_vector_are_corrupted(attack: Callable[..., Done]) -> None:
    text, vector, neighbour, whole = LAST - 1, LAST - 2, LAST - 3, LAST

    def tamper(hands: Attack) -> None:
        row = hands.content.row
        hands.replace(text, row(text, 0) | {"varchar_field": "prefix00_overwritten"})
        hands.replace(vector, row(vector, 0) | {"vector": np.nextafter(hands.content.vector(vector, 0), np.float32(1)).tolist()})
        hands.replace(neighbour, row(neighbour - 1, 0) | {"id": neighbour})
        hands.replace(whole, {"id": whole, "vector": [1.0] * 784, "varchar_field": ""})

    done = attack(tamper)
    live, deleted = split(done.result, [text, vector, neighbour, whole])
    assert whole in live
    assert_verdict(done, {kind: ids for kind, ids in {"corrupted": live, "resurrected": deleted}.items() if ids})


def test_older_content_is_stale(attack: Callable[..., Done]) -> None:
    """Version 0 of every row of two writers over whatever is there: upserted rows are set back."""
    keys = list(range(2 * ROWS, 4 * ROWS))

    def tamper(hands: Attack) -> None:
        for first in range(keys[0], keys[-1], ROWS):
            rows = [hands.content.row(key, 0) for key in range(first, first + ROWS)]
            hands.client.upsert(NAME, rows, partition_name=home_of(first))

    done = attack(tamper, np_=2)
    result = done.result
    upserted = {key for key in keys if result.ledger[key].certain and result.ledger[key].version == 1}
    deleted = {key for key in keys if result.ledger[key].deleted}
    assert upserted and deleted
    assert_verdict(done, {"stale": upserted, "resurrected": deleted})
    assert {row["seen_version"] for row in result.violations if row["kind"] == "stale"} == {0}


def test_version_that_was_never_written_is_unexpected(attack: Callable[..., Done]) -> None:
    def tamper(hands: Attack) -> None:
        hands.replace(LAST, hands.content.row(LAST, 1))

    done = attack(tamper)
    assert_verdict(done, {"unexpected": {LAST}})
    assert done.result.violations[0]["seen_version"] == 1


def test_dropped_partition(attack: Callable[..., Done]) -> None:
    def tamper(hands: Attack) -> None:
        hands.client.drop_partition(NAME, home_of(0))

    done = attack(tamper, np_=2)
    assert_verdict(done, {"lost": split(done.result, list(range(ROWS)))[0]})
    assert seen(done.result, "lost") == {("", ABSENT)}


def test_emptied_partition(attack: Callable[..., Done]) -> None:
    """Dropped and made again under its name."""
    def tamper(hands: Attack) -> None:
        hands.client.drop_partition(NAME, home_of(0))
        hands.client.create_partition(NAME, home_of(0))

    done = attack(tamper)
    assert_verdict(done, {"lost": split(done.result, list(range(ROWS)))[0]})


def test_dropped_collection(attack: Callable[..., Done]) -> None:
    """In mid load: what is written afterwards is refused, and nobody's promise."""
    done = attack(lambda hands: hands.client.drop_collection(NAME), np_=2)
    result = done.result
    assert done.code == VIOLATED, str(done)
    assert result.found == {"lost": set(result.live())}
    assert result.figures["count_star"] == 0 and result.figures["lost"] == result.figures["expected_live"]


def test_collection_made_again_empty(attack: Callable[..., Done]) -> None:
    def tamper(hands: Attack) -> None:
        hands.client.drop_collection(NAME)
        schema = hands.client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=784)
        schema.add_field("varchar_field", DataType.VARCHAR, max_length=64)
        hands.client.create_collection(NAME, schema=schema)

    done = attack(tamper)
    assert done.code == VIOLATED, str(done)
    assert done.result.found == {"lost": set(done.result.live())}
    assert done.result.figures["count_star"] == 0


def test_loss_between_the_passes(attack: Callable[..., Done]) -> None:
    """Right at first, gone after the flush: what the second look is for."""
    keys = [*range(3 * ROWS, 3 * ROWS + 30), LAST + 1]
    done = attack(lambda hands: hands.delete(keys), after="audit, first pass", held=False, sets=("verify.recheck=[flush, reload]",))
    result = assert_verdict(done, {"lost": split(done.result, keys)[0]})
    assert {row["first_pass"] for row in result.violations} <= {1, 2}
    assert {row["last_pass"] for row in result.violations} == {2}


def test_row_that_comes_back_within_grace_is_late(attack: Callable[..., Done], server: Server) -> None:
    """Away at the first look, back at a later one: counted and shown, but no broken promise."""
    questions = 2 * (WRITERS + 1)  # the first look: keys and count of each worker's ids

    def tamper(hands: Attack) -> None:
        before = server.queries()
        hands.delete([LAST])
        hands.let_audit_begin()
        assert hands.run.read_until(lambda: server.queries() > before + questions, 60)
        hands.insert([LAST])

    done = attack(tamper, sets=("verify.grace=30s",))
    assert done.code == GOOD, str(done)
    assert [(row["kind"], row["id"]) for row in done.result.violations] == [("late", LAST)]
    assert done.result.figures["late"] == 1 and done.result.figures["lost"] == 0
