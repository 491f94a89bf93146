"""Commands of the user's while load runs: the server killed and started again, and commands that go wrong."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from mockserver import Mock
from support import GOOD, ROOT, UNUSABLE, VIOLATED, Done, Result, Server, assert_books_balance, assert_ledger_agrees, hpc

JOB = """dataset: {synthetic: {rows: 1000, dim: 8}}
collection:
  name: chaotic
  replace: true
  fields:
    - {name: id, type: int64, primary: true}
    - {name: vector, type: float_vector}
  index: {type: FLAT, params: {}}
stages:
  - name: load
    chaos: [CHAOS]
    roles: [{role: writer, rows: 1000, batch: 10, rate: 50/s}]
verify: {recheck: []}
"""


def run(server: Server, folder: Path, chaos: str, *words: object, np: int = 1) -> Done:
    (folder / "job.yaml").write_text(JOB.replace("CHAOS", chaos))
    return hpc("run", "job.yaml", "--server", server.uri, "--output", "out.h5", *words, np=np, cwd=folder, result=folder / "out.h5")


def events(result: Result, kind: str) -> list[dict]:
    return [row for row in result.tables["server/events"] if row["kind"] == kind]


def test_killed_and_started_again_under_load(server: Server, output: Path) -> None:
    """jobs/restart.yaml, shorter: the writers go on, every write in doubt is resolved, and the outage is measured."""
    done = hpc("run", ROOT / "jobs" / "restart.yaml", "--output", output, "--seed", 3, "--set", "stages.load.writer.for=20s",
               np=3, timeout=400, result=output, env={"MILVUS_URI": server.uri, "MILVUS_DIR": str(server.home)})
    assert done.code == GOOD, str(done)
    result = done.result
    assert_books_balance(result)
    assert_ledger_agrees(result)
    figures = result.figures
    inserts = result.operations("load", "insert")
    assert inserts["planned"] == 800 and inserts["ok"] + inserts["unknown"] == 800 and inserts["failed"] == 0
    assert figures["unknown_present"] + figures["unknown_absent"] == sum(
        figures[f"unknown_{what}s"] for what in ("insert", "upsert", "delete"))
    assert figures["passes"] == 3 and figures["expected_live"] <= figures["count_star"] <= figures["expected_live"] + figures["expected_maybe"]

    [command] = events(result, "chaos")
    assert command["stage"] == "load" and command["role"] == "" and "ended with exit code 0" in command["what"]
    [restart] = events(result, "restart")  # what observes the server tells that it is another process, and goes on
    assert f"process {server.pid()} " in restart["what"] and command["time_ns"] < restart["time_ns"]
    memory = [row for row in result.tables["server/metrics"] if row["name"] == "rss_bytes"]
    assert {row["life"] for row in memory} == {1, 2} and memory[-1]["life"] == 2
    outages = {row["role"]: row for row in events(result, "outage")}
    writers = outages["writer"]
    assert command["time_ns"] <= writers["time_ns"] < command["time_ns"] + command["duration_ns"]
    assert 0 < writers["duration_ns"] < 60e9
    assert writers["time_ns"] + writers["duration_ns"] > command["time_ns"] + 1e9, "it was down for longer than a second"
    # as the timeline has it: nothing was acknowledged within the outage, but for what had come before and was taken up late
    first, last = writers["time_ns"] / 1e9, (writers["time_ns"] + writers["duration_ns"]) / 1e9
    inside = [row for row in result.tables["timeline"]
              if row["role"] == "writer" and row["second"] > first + row["interval_s"] and row["second"] + row["interval_s"] < last]
    assert sum(row["ok"] for row in inside) == 0


def test_two_commands_of_which_one_sees_the_server(server: Server, tmp_path: Path) -> None:
    done = run(server, tmp_path, '{at: 0s, run: "env > seen.txt; echo to nobody"}, {at: 500ms, run: "sleep 0.3"}', "--json", "-", np=2)
    assert done.code == GOOD, str(done)
    json.loads(done.out)  # the command's words are not among them
    seen = (tmp_path / "seen.txt").read_text()
    assert "PMIX_" not in seen and "OMPI_" not in seen
    first, second = events(done.result, "chaos")
    assert first["time_ns"] < second["time_ns"] and second["duration_ns"] >= 0.3e9
    assert events(done.result, "outage") == []


def test_what_a_command_breaks_is_found_and_told(server: Server, tmp_path: Path) -> None:
    """Rows deleted behind the run's back, in mid-load; the text for a bug report names them, their write, and the command."""
    (tmp_path / "delete.py").write_text(
        "from pymilvus import MilvusClient\n"
        f"MilvusClient(uri='{server.uri}').delete('chaotic', [0, 11, 12, 13, 17])\n")
    done = run(server, tmp_path, f'{{at: 700ms, run: "{sys.executable} delete.py"}}', "--seed", 77, "--set", "stages.load.writer.inflight=1")
    assert done.code == VIOLATED and done.result.found == {"lost": {0, 11, 12, 13, 17}}, str(done)
    told = hpc("report", "out.h5", "--violations", cwd=tmp_path)
    assert told.code == GOOD
    for words in ("VIOLATED", "lost: 1 row", "lost: 4 rows", "ids 11-13, 17", "insert of 10 rows, the first 10; 4 of them",
                  "chaos: ended with exit code 0", "delete.py", "--seed 77", "--set 'stages.load.writer.inflight=1'", "    collection:",
                  done.result.attributes["server_version"], "the server's timestamp"):
        assert words in told.out, (words, told.out)


def test_a_good_run_has_nothing_to_tell(server: Server, tmp_path: Path) -> None:
    assert run(server, tmp_path, "").code == GOOD
    told = hpc("report", "out.h5", "--violations", cwd=tmp_path)
    assert told.code == GOOD and "There are no violations." in told.out


@pytest.mark.parametrize("chaos, said, event", [
    ('{at: 100ms, run: "exit 7"}', "1 chaos command failed", "ended with exit code 7"),
    ('{at: 100ms, run: "kill -9 $$$$"}', "1 chaos command failed", "ended by signal 9"),
    ('{at: 100ms, run: "sleep 1000 & sleep 1000", timeout: 300ms}', "1 chaos command failed", "killed"),
    ('{at: 100ms, run: "no-such-command-at-all"}', "1 chaos command failed", "ended with exit code 127"),
    ('{at: 1h, run: "true"}', "1 chaos command never began", None),
])
def test_chaos_that_did_not_happen_tests_nothing(server: Server, tmp_path: Path, chaos: str, said: str, event: str | None) -> None:
    done = run(server, tmp_path, chaos)
    assert done.code == UNUSABLE, str(done)
    assert said in done.result.attributes["verdict"]
    assert [row["what"][:len(event)] for row in events(done.result, "chaos")] == [event] if event else not events(done.result, "chaos")
    assert done.result.attributes["audited"] and done.result.figures["count_star"] == 1000


@pytest.mark.parametrize("chaos, said", [
    ("{at: 1s}", "run"), ('{run: "true"}', "at"), ('{at: soon, run: "true"}', "at"), ('{at: 1s, run: "true", when: 3}', "when"),
])
def test_bad_chaos(server: Server, tmp_path: Path, chaos: str, said: str) -> None:
    done = run(server, tmp_path, chaos)
    assert done.code == UNUSABLE and len(done.errors) == 1, str(done)
    assert "job.yaml:11:" in done.errors[0] and said in done.errors[0]


FLAPPING = JOB.replace("    chaos: [CHAOS]\n", "").replace("[{role: writer, rows: 1000, batch: 10, rate: 50/s}]", """
      - {role: writer, rows: 100, batch: 10}
      - {role: searcher, ops: 1000, inflight: 1}
      - {role: querier, ops: 12, rate: 6/s, inflight: 1}""")


def test_outages_beyond_those_listed_are_counted(tmp_path: Path) -> None:
    """A role that is cut off again and again takes no other's place; its first outages and its last are told, and their number."""
    (tmp_path / "job.yaml").write_text(FLAPPING)
    with Mock(tmp_path, ["grpc_status=40%,op=search,status=13", "grpc_status=1,op=query,after=9,status=13"]) as mock:
        done = hpc("run", "job.yaml", "--server", mock.uri, "--output", "out.h5", "--seed", 3, cwd=tmp_path, result=tmp_path / "out.h5")
        broken = [entry["call"] for entry in mock.log() if entry["op"] == "search"]
    most = sum(call - 1 not in broken for call in broken)  # calls that break one after the other are one outage
    others = 10 + 12 + 20  # calls that may come between them
    outages = {role: [row for row in events(done.result, "outage") if row["role"] == role] for role in ("searcher", "querier")}
    assert len(outages["searcher"]) == 65 and len(outages["querier"]) == 1, str(done)
    more = int(re.search(r"; (\d+) more before it are not listed$", outages["searcher"][-1]["what"])[1])
    assert 0 < most - others <= 65 + more <= most, (most, more)
    assert not any("not listed" in row["what"] for row in outages["searcher"][:-1] + outages["querier"])
