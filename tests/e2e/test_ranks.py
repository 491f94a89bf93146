"""Ranks that die, hang or are told to end: what they did is kept, the others say who it was, and nothing waits for ever."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from journals import DONE, ENTRY, FIRST_ID, INTENT, operation, places, sealed
from mockserver import Mock
from support import (AT_ONCE, GOOD, STOP_AT, UNUSABLE, Done, Running, assert_books_balance, assert_ledger_agrees, command_line, hpc, named,
                     private_bytes, ranks_of, running, write_job)

FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]


def job_for(roles: list[dict] | None = None) -> dict:
    roles = roles or [{"role": "writer", "count": 2, "rows": 100_000, "batch": 10, "rate": "100/s"},
                      {"role": "deleter", "count": 1, "share": "10%"},
                      {"role": "searcher", "count": 4, "for": "60s", "rate": "200/s"}]
    return {"dataset": {"synthetic": {"rows": 2000, "dim": 8}},
            "collection": {"name": "ranks", "replace": True, "fields": FIELDS, "index": {"type": "FLAT", "params": {}}},
            "stages": [{"name": "load", "roles": roles}], "verify": {"recheck": [], "vectors": "none"}}


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[Mock]:
    with Mock(tmp_path) as mock:
        yield mock


def words(mock: Mock, output: Path, job: dict, *more: object) -> list[object]:
    return ["run", write_job(output.with_name("job.yaml"), job), "--server", mock.uri, "--output", output, "--seed", 5,
            "--progress", 1, *more]


def merge(output: Path, *folders: Path) -> Done:
    merged = output.with_name("merged.h5")
    done = hpc("merge", *(folders or [output.with_name(f"{output.name}.journals")]), "-o", merged, result=merged)
    assert done.code == UNUSABLE and done.errors == [], str(done)
    assert not done.result.attributes["whole"] and done.result.attributes["verdict"].startswith("INCOMPLETE")
    for name in ("core", "cores", "bytes_out", "bytes_in", "schedule_lag_ns"):  # nobody knows: no zeros
        assert {row[name] for row in done.result.tables["ranks"]} == {-1}, name
    assert all(row["cpu_s"] >= 0 and row["peak_rss_bytes"] > 1 << 20 for row in done.result.tables["ranks"])
    assert "as far as was observed" in done.out and "behind its due time" not in done.out
    assert_books_balance(done.result)
    assert_ledger_agrees(done.result)
    return done


def told(run: Running) -> dict[str, int]:
    """Operations of each role that the progress lines have shown so far, about."""
    sums: dict[str, int] = {}
    for line in re.findall(r"^load \d+ s.*", run.err, re.M):
        for role, rate in re.findall(r"\| (\w+) (\d+)/s", line):
            sums[role] = sums.get(role, 0) + int(rate)
    return sums


def assert_kept(done: Done, before: dict[str, int]) -> None:
    """Nearly all that was done: at most the last interval, a second so early in a run, and what was in flight are missing."""
    result = done.result
    for role, op in (("writer", "insert"), ("searcher", "search")):
        ok = result.operations("load", op)["ok"]
        assert ok >= 0.9 * before[role] - {"insert": 10, "search": 250}[op], (op, ok, before)
        [timeline] = [sum(row["ok"] for row in result.tables["timeline"] if (row["stage"], row["op"]) == ("load", op))]
        assert timeline == ok == sum(count for name, count in result.histograms.items() if re.fullmatch(rf"latency/load/(\w+\.\d\.)?{op}/due", name))
    # and what was observed, of each rank and of the server
    for rank in range(len(result.tables["ranks"])):
        seen = [row for row in result.tables["rank_samples"] if row["rank"] == rank and row["name"] == "rss_bytes"]
        assert len(seen) >= 2 and seen[-1]["second"] > 0.9 and all(row["value"] > 1 << 20 for row in seen), seen
    assert len([row for row in result.tables["server/metrics"] if row["name"] == "rss_bytes"]) >= 2


def kill_one(run: Running) -> None:
    os.kill(ranks_of(run)[1], signal.SIGKILL)


def kill_all(run: Running) -> None:
    for pid in ranks_of(run):
        os.kill(pid, signal.SIGKILL)


def kill_launcher(run: Running) -> None:
    run.process.kill()


def with_more_to_keep(job: dict) -> dict:
    """Reads that are judged before the load begins, a prober, a command that ends and one that does not."""
    job["stages"].insert(0, {"name": "early", "roles": [{"role": "writer", "rows": 100, "batch": 10},
                                                        {"role": "searcher", "count": 2, "for": "600ms", "rate": "100/s"}]})
    load = job["stages"][1]
    load["roles"].append({"role": "prober", "count": 1, "rate": "40/s", "for": "60s"})
    load["chaos"] = [{"at": "0s", "run": "exit 5"}, {"at": "100ms", "run": "exec sleep 8 2>&- >&-"}]
    return job


def assert_more_kept(done: Done) -> None:
    result, figures = done.result, done.result.figures
    early, load = (result.operations(stage, "search")["ok"] for stage in ("early", "load"))
    assert figures["reads"] == figures["reads_judged"] == early > 0 and figures["hits_judged"] > early
    assert {row["stage"] for row in result.tables["recall"]} == {"early"} and figures["true_neighbors_found"] > 0
    # what was not judged is not called right
    assert figures["reads_unjudged"] == load > 0
    verdict = result.attributes["verdict"]
    assert f"and not audited, {load} reads not judged" in verdict and verdict.count("audited") == 1, verdict
    assert f"NOT JUDGED  {load:,} searches and queries" in done.out and f"stage load: the run ended before {load} searches" in done.err, str(done)
    seen = {row["write"]: row for row in result.tables["visibility"]}
    assert seen["insert"]["count"] > 10 and 0 < seen["insert"]["p50_ns"] <= seen["insert"]["max_ns"], seen
    for write, row in seen.items():
        assert row["stage"] == "load" and row["count"] == result.histograms[f"latency/load/{row['latency']}/done"], write
    over, cut = sorted((row for row in result.tables["server/events"] if row["kind"] == "chaos"), key=lambda row: row["time_ns"])
    assert over["duration_ns"] > 0 and over["what"].startswith("ended with exit code 5 after") and over["what"].endswith(": exit 5")
    assert cut["duration_ns"] == -1 and cut["what"] == "under way when the run ended: exec sleep 8 2>&- >&-"
    assert "1 chaos command failed" in verdict


@pytest.mark.parametrize("kill", [kill_one, kill_all, kill_launcher])
def test_what_is_kept_of_a_killed_run(mock: Mock, output: Path, kill: Callable[[Running], None]) -> None:
    with running(*words(mock, output, with_more_to_keep(job_for())), np=3, result=output) as run:
        run.wait_for_second("load", 3)
        before, pids = told(run), ranks_of(run)
        kill(run)
        done = run.finish(60)
    assert done.code != GOOD and not output.exists(), str(done)
    merged = merge(output)
    assert_kept(merged, before)
    assert_more_kept(merged)
    verdict = merged.result.attributes["verdict"]
    assert named(verdict) == ({1} if kill is kill_one else set()), verdict
    if kill is kill_one:
        assert f"rank 1 (pid {pids[1]} on {socket.gethostname()}) died without a word, and the others were told to end" in verdict
    assert [row["pid"] for row in merged.result.tables["ranks"]] == pids
    assert "3 ended early, 0 left none" in verdict


def test_a_search_for_the_highest_rate_keeps_its_probes(mock: Mock, output: Path) -> None:
    job = job_for([{"role": "searcher", "count": 2}])
    job["stages"] = [{"name": "early", "roles": [{"role": "writer", "rows": 100, "batch": 10}]},
                     job["stages"][0] | {"find_max": {"role": "searcher", "from": "50/s", "to": "3200/s", "probe": "700ms", "warmup": "200ms",
                                                      "within": "60s", "errors": "1%"}}]
    with running(*words(mock, output, job), np=2, result=output) as run:
        run.wait_for("probe 2: ")
        run.read_until(lambda: False, 0.3)
        kill_all(run)
        run.finish(60)
    merged = hpc("merge", f"{output}.journals", "-o", output, result=output)
    assert merged.code == UNUSABLE and merged.errors == [], str(merged)
    result, figures = merged.result, merged.result.figures
    first, second = result.tables["find_max"]
    assert first["wanted"] == 50 and first["recall"] == 1 and second["wanted"] == (100 if first["held"] else 50)
    [peak] = result.tables["max_rate"]
    assert peak["outcome"] == "broken off" and peak["max_rate"] == 0 and peak["probes"] == 2 and peak["seconds"] > 0.7
    reads = result.operations("load", "search")["ok"]
    assert figures["reads_judged"] == figures["reads"] > 0 and figures["reads_unjudged"] == max(0, reads - figures["reads"])
    assert {row["stage"] for row in result.tables["recall"]} == {"load"}


def test_stopped_rank_is_named_and_does_not_hold_up_the_others(mock: Mock, output: Path) -> None:
    stopped = 0  # the one that the others usually wait for
    with running(*words(mock, output, job_for(), "--silence", 2), np=3, result=output) as run:
        run.wait_for_second("load", 2)
        before, pids = told(run), ranks_of(run)
        os.kill(pids[stopped], signal.SIGSTOP)
        began = time.monotonic()
        done = run.finish(60)
    assert time.monotonic() - began < 30
    assert done.code == UNUSABLE and not output.exists(), str(done)
    [error] = done.errors
    assert f"rank {stopped} (pid {pids[stopped]} on {socket.gethostname()}) has given no sign of life for 2 s" in error
    assert f"milvus-hpc merge {output}.journals" in error
    merged = merge(output)
    assert_kept(merged, before)
    verdict = merged.result.attributes["verdict"]
    assert named(verdict) == {stopped} and "gave no sign of life, and the others ended" in verdict, verdict


def stop_at(rank: int, function: str, number: int = 1, seconds: int = 0) -> dict[str, str]:
    """One rank stops in its NUMBERth call of that, or stays in it for so long."""
    assert STOP_AT.exists()
    return AT_ONCE | {"LD_PRELOAD": str(STOP_AT), "STOP_AT": f"{rank} {function} {number} {seconds}"}


@pytest.fixture
def short_job(tmp_path: Path) -> dict:
    """With a data set from a file, which all ranks read together."""
    with h5py.File(tmp_path / "vectors.h5", "w") as file:
        file["train"] = np.random.default_rng(5).random((300, 8), dtype=np.float32)
    return job_for([{"role": "writer", "count": 3, "rows": 200, "batch": 10}]) | {"dataset": {"path": str(tmp_path / "vectors.h5")}}


@pytest.mark.parametrize(("function", "number", "says", "result"), [
    ("PMIx_Fence_nb", 1, "MPI_Init did not come back within 3 s", False),
    ("MPI_Comm_split_type", 1, "the ranks did not come together at this run's start", False),  # before there is a watch
    ("MPI_Win_allocate_shared", 2, "rank 1", False),  # the first is the watch's own
    ("H5Dread", 1, "rank 1", False),
    ("H5Dwrite", 1, "rank 1", False),  # the ledger: the first thing that rank 1 writes
    ("MPI_Finalize", 1, "the ranks did not come together at this run's end", True),
])
def test_rank_stopped_where_mpi_waits(mock: Mock, output: Path, short_job: dict, function: str, number: int, says: str, result: bool) -> None:
    """Before the load, while the result is written, and at the very end."""
    silence = 3 if "3 s" in says else 5
    with running(*words(mock, output, short_job, "--silence", silence), np=3, env=stop_at(1, function, number)) as run:
        done = run.finish(60)
    assert done.code == UNUSABLE and output.exists() is result, str(done)
    assert any(says in error for error in done.errors), str(done)
    assert named(done.err) == ({1} if says == "rank 1" else set()), str(done)
    journals = output.with_name(f"{output.name}.journals")
    assert journals.exists() is (function == "H5Dwrite"), str(done)
    assert ("milvus-hpc merge" in done.err) is (function == "H5Dwrite"), str(done)


def test_rank_stopped_while_verify_starts(mock: Mock, output: Path, short_job: dict) -> None:
    done = hpc(*words(mock, output, short_job, "--keep"), np=3)
    assert done.code == GOOD, str(done)
    again = output.with_name("again.h5")
    with running("verify", output, "--server", mock.uri, "--output", again, "--silence", 5, np=3, env=stop_at(1, "H5Dread", 1)) as run:
        done = run.finish(60)
    assert done.code == UNUSABLE and not again.exists() and named(done.err) == {1}, str(done)


def test_rank_that_reads_for_long_is_waited_for(mock: Mock, output: Path, short_job: dict) -> None:
    """Longer than a rank may be silent: it lives, and so do those that wait for it in MPI."""
    done = hpc(*words(mock, output, short_job, "--silence", 5), np=3, result=output, env=stop_at(1, "H5Dread", 1, 7))
    assert done.code == GOOD and done.result.attributes["whole"], str(done)


def test_result_that_cannot_be_written_within_the_grace(mock: Mock, output: Path, short_job: dict) -> None:
    """All ranks live, one does not come back from its write, and a signal came before: the grace is the limit."""
    short_job["stages"][0]["roles"] = [{"role": "writer", "count": 3, "rows": 100_000, "batch": 10, "rate": "100/s"}]
    grace = 6
    with running(*words(mock, output, short_job, "--grace", grace), np=3, env=stop_at(1, "H5Dwrite", 1, 600)) as run:
        run.wait_for_second("load", 1)
        run.process.send_signal(signal.SIGUSR1)
        began = time.monotonic()
        done = run.finish(100)
    assert done.code == UNUSABLE and not output.exists() and time.monotonic() - began > grace - 1, str(done)
    seconds = [int(text) for text in re.findall(r"has waited in one call for (\d+) s: another rank, or the file system", done.err)]
    assert seconds and max(seconds) < 2 * grace, str(done)  # not the 900 s that a call may take
    assert f"milvus-hpc merge {output}.journals" in done.err, str(done)


def test_audit_that_takes_too_long_after_a_signal_is_cut_and_can_be_made_later(output: Path, tmp_path: Path) -> None:
    """As before a batch job's time limit: the result stands in time, and verify makes up for the audit."""
    faults, grace = ["delay,op=query,ms=1500"], 12
    with Mock(tmp_path, faults, ["--data", tmp_path / "rows"]) as mock:
        job = job_for([{"role": "writer", "count": 2, "rows": 1_000_000, "batch": 1000, "rate": "100/s"}])
        with running(*words(mock, output, job, "--grace", grace), np=2, result=output) as run:
            run.wait_for_second("load", 2)
            signalled = time.time()
            run.process.send_signal(signal.SIGUSR1)
            done = run.finish(60)
        assert done.code == UNUSABLE, str(done)
        result = done.result
        took = output.stat().st_mtime - signalled  # to the last byte of the result
        assert 0.75 * grace < took < grace, (took, str(done))  # the audit has had its part, the result the rest
        assert "the audit was cut short" in result.attributes["verdict"] and f"milvus-hpc verify {output}" in result.attributes["verdict"]
        assert not result.attributes["audited"] and not result.attributes["whole"]
        assert_books_balance(result)
        assert_ledger_agrees(result)
        assert result.figures["acknowledged_inserts"] > 0
    with Mock(tmp_path, (), ["--data", tmp_path / "rows"]) as heir:
        later = hpc("verify", output, "--server", heir.uri, "--output", tmp_path / "later.h5", np=2, result=tmp_path / "later.h5")
    assert later.code == GOOD, str(later)
    assert later.result.figures["count_star"] == result.figures["acknowledged_inserts"]


# --- no file system that all nodes share ----------------------------------------------------------------------------

HIDDEN = """
if [ "$OMPI_COMM_WORLD_RANK" = 0 ]; then exec "$@"; fi
exec unshare --map-root-user --mount sh -c 'mount -t tmpfs none "$0" && exec "$@"' "$HIDE" "$@"
"""


def test_ranks_that_share_no_folder(mock: Mock, output: Path) -> None:
    """All but rank 0 see an empty file system of their own where job and result are."""
    job = job_for([{"role": "writer", "count": 3, "rows": 500, "batch": 10}, {"role": "deleter", "count": 1, "share": "10%"},
                   {"role": "searcher", "count": 3, "ops": 50}])
    local = output.with_name("local")
    program = command_line(1, words(mock, output, job, "--output-local", local, "--keep"))
    command = ["mpirun", "-np", "3", "-x", f"HIDE={output.parent}", "sh", "-c", HIDDEN, "sh", *program]
    with running(result=output, command=command) as run:
        done = run.finish()
    assert done.code == GOOD, str(done)
    assert_books_balance(done.result)
    assert_ledger_agrees(done.result)
    assert done.result.figures["acknowledged_inserts"] == 1500 and done.result.figures["reads_judged"] == 150
    assert list(local.iterdir()) == [], "the journals are gone once the result stands"
    again = hpc("verify", output, "--server", mock.uri, "--output", output.with_name("again.h5"))
    assert again.code == GOOD, str(again)  # the ledger came to rank 0 whole


def test_journals_gathered_from_nodes_are_merged(mock: Mock, output: Path) -> None:
    folders = [output.with_name(f"node{rank}") for rank in range(3)]
    command = ["mpirun"]
    for folder in folders:
        command += [*(":" if len(command) > 1 else ""), "-np", "1", *command_line(1, words(mock, output, job_for(), "--output-local", folder))]
    with running(result=output, command=command) as run:
        run.wait_for_second("load", 2)
        before = told(run)
        kill_one(run)
        done = run.finish(60)
    assert done.code != GOOD and not output.exists(), str(done)
    assert_kept(merge(output, *(folder / f"{output.name}.journals" for folder in folders)), before)
    partial = hpc("merge", *(folder / f"{output.name}.journals" for folder in folders[:2]), "-o", output.with_name("partial.h5"),
                  result=output.with_name("partial.h5"))
    assert "1 left none" in partial.result.attributes["verdict"] and "rank-00002.journal" in partial.err, str(partial)
    (folders[1] / f"{output.name}.journals" / "run.json").write_text('{"np": 3}')
    mixed = hpc("merge", *(folder / f"{output.name}.journals" for folder in folders), "-o", output.with_name("mixed.h5"))
    assert mixed.code == UNUSABLE and len(mixed.errors) == 1 and "of another run" in mixed.errors[0], str(mixed)
    refused = hpc(*words(mock, output, job_for(), "--output-local", folders[0]))
    assert refused.code == UNUSABLE and "holds the journals of a run that was killed" in refused.errors[0], str(refused)


def with_first_id(journal: bytes, types: tuple[int, ...], first_id: int) -> bytes:
    """The same in these records of the write that ended first, which need not be the one that began first."""
    changed = bytearray(journal)
    write = next(operation(journal, at) for at in places(journal) if journal[at] == DONE)
    for at in places(journal):
        if journal[at] in types and operation(journal, at) == write:
            struct.pack_into("<q", changed, at + FIRST_ID, first_id)
    return sealed(changed)


def journals_of_a_killed_run(mock: Mock, output: Path) -> Path:
    with running(*words(mock, output, job_for(), "--set", "calibrate=never"), np=3, result=output) as run:
        run.wait_for_second("load", 1)
        kill_all(run)
        run.finish(60)
    return output.with_name(f"{output.name}.journals")


def test_journals_that_are_not_this_runs_or_damaged_make_no_result(mock: Mock, output: Path) -> None:
    """Each would be booked as something that never was: one message names the file, and there is no result."""
    journals = journals_of_a_killed_run(mock, output)
    merged, shorter = output.with_name("merged.h5"), output.with_name("shorter")  # the copy of one who was interrupted
    shorter.mkdir()
    for file in journals.iterdir():
        (shorter / file.name).write_bytes(file.read_bytes()[:ENTRY] if file.suffix == ".journal" else file.read_bytes())
    writes = []
    for folders in ((journals,), (journals, journals), (shorter, journals)):  # the same twice counts once
        merged.unlink(missing_ok=True)
        writes.append(merge(output, *folders).result.figures["acknowledged_inserts"])
    assert len(set(writes)) == 1 and writes[0] > 0
    twice = (journals / "rank-00001.journal").read_bytes()
    foreign = bytearray(twice)
    foreign[12] ^= 1  # the run's number

    def refused(*said: str) -> None:
        merged.unlink(missing_ok=True)
        done = hpc("merge", journals, "-o", merged)
        assert done.code == UNUSABLE and len(done.errors) == 1 and not merged.exists(), str(done)
        for word in ("rank-00001.journal", *said):
            assert word in done.errors[0], str(done)

    path = journals / "rank-00001.journal"
    path.write_bytes((journals / "rank-00000.journal").read_bytes())
    refused("is that of rank 0 of 3", "expected rank 1 of 3")
    path.write_bytes(foreign)
    refused("the record before byte 116 is damaged")
    path.write_bytes(sealed(foreign))
    refused("expected rank 1 of 3 of run")
    for first_id in (-1, 1 << 62):
        path.write_bytes(with_first_id(twice, (INTENT, DONE), first_id))
        refused("does not fit the job", f"from id {first_id}")
    for kind in (INTENT, DONE):
        path.write_bytes(with_first_id(twice, (kind,), 10))
        refused("is damaged")
    wrong = bytearray(twice)
    wrong[5 * ENTRY + 60] ^= 4  # one bit
    path.write_bytes(wrong)
    refused(f"the record before byte {6 * ENTRY} is damaged", "without it")
    struct.pack_into("<i", wrong, 0, 3)
    path.write_bytes(wrong)
    refused("of another version of this program", "format 3")
    for make, said in ((os.mkfifo, "is a named pipe"), (os.mkdir, "is a folder")):
        path.unlink()
        make(path)
        refused(f"{said}; expected a file, or nothing")


def test_what_a_node_that_died_left_is_merged_and_its_gaps_are_told(mock: Mock, output: Path) -> None:
    journals = journals_of_a_killed_run(mock, output)
    kept = {path.name: path.read_bytes() for path in journals.iterdir()}
    whole = merge(output).result
    merged, copies = output.with_name("merged.h5"), output.with_name("copies")
    copies.mkdir()

    def left(changes: dict[str, bytes | None], *folders: Path) -> Done:
        for name, content in (kept | changes).items():
            (journals / name).unlink(missing_ok=True)
            if content is not None:
                (journals / name).write_bytes(content)
        merged.unlink(missing_ok=True)
        done = hpc("merge", *folders, journals, "-o", merged, result=merged)
        assert done.code == UNUSABLE and done.errors == [], str(done)
        assert_books_balance(done.result)
        return done

    def observed(done: Done) -> set[int]:
        return {int(row["rank"]) for row in done.result.tables["rank_samples"]}

    journal = kept["rank-00001.journal"]
    for content in (b"", journal[:ENTRY - 1], bytes(len(journal)), journal[:50] + bytes(len(journal) - 50)):
        done = left({"rank-00001.journal": content})
        assert "rank-00001.journal: there is nothing in it: what rank 1 did is not known" in done.err, str(done)
        assert "1 left none" in done.result.attributes["verdict"]

    done = left({"rank-00001.journal": journal + bytes(4096)})
    assert "rank-00001.journal: its last 4096 bytes hold no sound record" in done.err, str(done)
    assert done.result.figures["acknowledged_inserts"] == whole.figures["acknowledged_inserts"]

    sign = bytearray(journal)  # it would be days later than the others', and they be blamed
    sign[109] ^= 1
    done = left({"rank-00001.journal": bytes(sign)})
    assert "its sign of life is damaged: when rank 1 fell silent is not known" in done.err and "fell silent" not in done.result.attributes["verdict"]
    assert done.result.figures == whole.figures

    half = len(journal) // ENTRY // 2 * ENTRY  # of two copies the one that has more, not the longer one
    (copies / "run.json").write_bytes(kept["run.json"])
    (copies / "rank-00001.journal").write_bytes(journal[:half] + bytes(len(journal)))
    (copies / "rank-00001.samples").write_bytes(2 * kept["rank-00000.samples"])
    done = left({}, copies)
    assert done.result.figures == whole.figures and observed(done) == {0, 1, 2}
    assert "rank-00001.samples: does not begin as the samples of rank 1 of 3" in done.err, str(done)

    (copies / "rank-00001.journal").write_bytes(bytes(sign))  # its sign of life is damaged, that of the other copy is not
    done = left({}, copies)
    assert done.result.figures == whole.figures and "sign of life is damaged" not in done.err, str(done)

    (copies / "rank-00001.samples").write_bytes(kept["rank-00001.samples"][:200] + bytes(1 << 20))
    done = left({}, copies)
    assert observed(done) == {0, 1, 2} and sum(row["rank"] == 1 for row in done.result.tables["rank_samples"]) > 5

    done = left({"rank-00000.samples": None, "rank-00001.samples": kept["rank-00002.samples"]})
    assert "rank-00000.samples: none of this run is there: what was observed of rank 0 and of the server is not in the result" in done.err, str(done)
    assert "rank-00001.samples: does not begin as" in done.err and observed(done) == {2}

    damaged = bytearray(journal)
    damaged[20] ^= 1
    (copies / "rank-00001.journal").write_bytes(damaged)
    (journals / "rank-00001.journal").write_bytes(b"")  # nothing in it: the other one is not passed over for that
    for folders in ((copies, journals), (journals, copies)):
        merged.unlink()
        done = hpc("merge", *folders, "-o", merged)
        assert done.code == UNUSABLE and "the record before byte 116 is damaged" in done.errors[0] and not merged.exists(), str(done)
        merged.touch()


# --- what grows -----------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_reads(tmp_path: Path, output: Path) -> None:
    """The log of readings is full, at 64 MiB, before the first look: then twice as many reads add next to nothing."""
    job = job_for([{"role": "searcher", "count": 4, "for": "300s", "topk": 5000, "inflight": 4}])
    with Mock(tmp_path, (), ["--null"]) as mock, running(*words(mock, output, job), result=output) as run:

        def memory_after(reads: int) -> int:
            assert run.read_until(lambda: told(run).get("searcher", 0) >= reads, 90), run.err
            return private_bytes(run.process.pid)

        first, second = memory_after(1200), memory_after(2400)
        reads = told(run)["searcher"]
        run.wait_for_lines("load")
        run.process.kill()
        run.finish()
    assert 64 << 20 < first < 200 << 20 and second < first + (8 << 20), (first, second)
    assert merge(output).result.operations("load", "search")["ok"] > 0.8 * reads
