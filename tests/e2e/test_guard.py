"""What must not happen: data of others touched, results overwritten, half a result left, a riddle instead of a message."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mockserver import Mock
from support import ENVIRONMENT, GOOD, MNIST, PROGRAM, ROOT, UNUSABLE, Done, Server, count, hpc, running

JOB = """server: {uri: "http://127.0.0.1:1", timeout: 20s}
dataset: {synthetic: {rows: 1000, dim: 8}}
collection:
  name: guarded
  fields:
    - {name: id, type: int64, primary: true}
    - {name: vector, type: float_vector}
    - {name: varchar_field, type: varchar, max_length: 64}
stages:
  - name: load
    roles:
      - {role: writer, count: 2, rows: 50, batch: 10}
verify: {recheck: []}
"""
SOON = ("--set", "server.timeout=3s")  # where nobody answers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path


def run(folder: Path, *words: object, np_: int = 1, timeout: float = 60) -> Done:
    return hpc("run", "job.yaml", "--output", "out.h5", *words, np=np_, cwd=folder, timeout=timeout, result=folder / "out.h5")


def assert_refused(done: Done, folder: Path, *words: str, left: tuple[str, ...] = ("job.yaml",)) -> None:
    """One line that says why, exit code 3, and nothing left behind."""
    assert done.code == UNUSABLE, str(done)
    assert len(done.errors) == 1, str(done)
    for word in words:
        assert re.search(word, done.errors[0]), f"{word!r} is not in: {done.errors[0]}"
    assert done.out == "", str(done)
    for ugly in ("Traceback", "Assertion", "HDF5-DIAG", "Segmentation", "SIGABRT", "_E0", "grpc_"):
        assert ugly not in done.err, str(done)
    assert sorted(path.name for path in folder.iterdir()) == sorted(left)


@pytest.fixture(scope="module")
def taken(server: Server) -> str:
    """Somebody else's collection, under the job's name."""
    with server.client() as client:
        client.create_collection("guarded", dimension=4, auto_id=False)
        client.insert("guarded", [{"id": i, "vector": [i, 0, 0, 1]} for i in range(11)])
        assert count(client, "guarded") == 11
    return "guarded"


@pytest.mark.parametrize("np_", [1, 4])
def test_existing_collection_is_not_touched(server: Server, taken: str, folder: Path, np_: int) -> None:
    done = run(folder, "--server", server.uri, np_=np_)
    assert_refused(done, folder, taken, "exists already", "replace: true", server.uri)
    with server.client() as client:
        assert count(client, taken) == 11
        assert {field["name"] for field in client.describe_collection(taken)["fields"]} == {"id", "vector"}


def test_replace_drops_it(server: Server, folder: Path) -> None:
    with server.client() as client:
        client.create_collection("replaced", dimension=4, auto_id=False)
        client.insert("replaced", [{"id": i, "vector": [i, 0, 0, 1]} for i in range(5)])
    words = ("--server", server.uri, "--set", "collection.name=replaced", "--set", "collection.replace=true", "--keep")
    done = run(folder, *words)
    assert done.code == GOOD, str(done)
    assert "dropping collection replaced" in done.err
    with server.client() as client:
        assert count(client, "replaced") == done.result.figures["count_star"] == 100


def test_output_is_never_overwritten(server: Server, folder: Path) -> None:
    (folder / "out.h5").write_text("the only copy of something")
    done = run(folder, "--server", server.uri, np_=2)
    assert_refused(done, folder, "out.h5", "exists already", left=("job.yaml", "out.h5"))
    assert (folder / "out.h5").read_text() == "the only copy of something"


def test_journals_of_a_killed_run_are_not_overwritten(server: Server, folder: Path) -> None:
    (folder / "out.h5.journals").mkdir()
    (folder / "out.h5.journals" / "rank-00000.journal").write_text("what is left of a run")
    done = run(folder, "--server", server.uri)
    assert_refused(done, folder, "out.h5.journals", left=("job.yaml", "out.h5.journals"))
    assert (folder / "out.h5.journals" / "rank-00000.journal").read_text() == "what is left of a run"


def test_result_of_a_run_is_not_overwritten_by_merge(server: Server, folder: Path) -> None:
    (folder / "out.h5").write_text("the only copy of something")
    (folder / "journals").mkdir()
    done = hpc("merge", "journals", "-o", "out.h5", cwd=folder)
    assert done.code == UNUSABLE and len(done.errors) == 1, str(done)
    assert (folder / "out.h5").read_text() == "the only copy of something"


@pytest.fixture
def dead_end() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("np_", [1, 4])
def test_no_server(folder: Path, dead_end: str, np_: int) -> None:
    began = time.monotonic()
    done = run(folder, "--server", dead_end, *SOON, np_=np_)
    assert_refused(done, folder, re.escape(dead_end))
    assert time.monotonic() - began < 3 + 25, "the timeout of the job is 3 s"


def test_server_that_never_answers(folder: Path) -> None:
    """Takes the connection and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        began = time.monotonic()
        done = run(folder, "--server", address, *SOON)
        assert_refused(done, folder, re.escape(address))
        assert time.monotonic() - began < 3 + 25


def test_server_of_another_kind(folder: Path) -> None:
    """Speaks HTTP/1.1, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        def answer() -> None:
            while True:
                try:
                    connection, _ = sock.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        try:
            done = run(folder, "--server", address, *SOON)
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert_refused(done, folder, re.escape(address))


@pytest.mark.parametrize("uri", ["nonsense", "ftp://127.0.0.1:19530", "http://", "http://127.0.0.1:99999", "http://127.0.0.1:port"])
def test_wrong_uri(folder: Path, uri: str) -> None:
    assert_refused(run(folder, "--server", uri), folder, "uri")


@pytest.mark.parametrize("content, said", [(None, "No such file"), ("", "PEM"), ("no certificate", "PEM")])
def test_bad_certificate(folder: Path, content: str | None, said: str) -> None:
    if content is not None:
        (folder / "ca.pem").write_text(content)
    done = run(folder, "--server", "https://127.0.0.1:1", "--set", "server.tls.ca=ca.pem", *SOON)
    assert_refused(done, folder, "ca.pem", said,
                   left=("job.yaml",) if content is None else ("ca.pem", "job.yaml"))


def test_unknown_host(folder: Path) -> None:
    assert_refused(run(folder, "--server", "http://no-such-host.invalid:19530", *SOON), folder, "no-such-host.invalid")


def test_missing_folder_of_the_output(folder: Path) -> None:
    done = hpc("run", "job.yaml", "--output", "nowhere/out.h5", cwd=folder, np=2)
    assert_refused(done, folder, "nowhere", "No such file or directory")


def test_empty_path_of_the_output(folder: Path) -> None:
    assert_refused(hpc("run", "job.yaml", "--output", "", cwd=folder), folder, "--output", "empty")


def test_partitions_beyond_reason(folder: Path) -> None:
    done = hpc("check", "job.yaml", "--set", "stages.load.writer.count=1M", cwd=folder, timeout=60)
    assert_refused(done, folder, "partitions", "partition: NAME")


@pytest.mark.parametrize("words", [["options"], ["check", "job.yaml"], ["--help"]])
def test_words_that_cannot_be_written(folder: Path, words: list[str]) -> None:
    """What nobody could read was not said."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, *words], cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == UNUSABLE and "standard output: cannot be written: No space left on device" in done.stderr


def test_output_in_a_file(folder: Path) -> None:
    assert_refused(hpc("run", "job.yaml", "--output", "job.yaml/out.h5", cwd=folder), folder, "job.yaml/out.h5", "Not a directory")


def test_unwritable_output(folder: Path) -> None:
    """/proc takes no files, not even from root."""
    assert_refused(hpc("run", "job.yaml", "--output", "/proc/out.h5", cwd=folder), folder, "/proc/out.h5")


def test_unwritable_json_is_said_before_the_load(server: Server, folder: Path) -> None:
    done = run(folder, "--server", server.uri, "--json", "nowhere/summary.json", "--set", "collection.name=nojson")
    assert_refused(done, folder, "nowhere/summary.json")


@pytest.mark.parametrize("words, said", [
    (["run", "job.yaml", "--wrong"], "--wrong"),
    (["run", "job.yaml", "--seed", "many"], "--seed"),
    (["run", "job.yaml", "--seed"], "--seed"),
    (["run", "job.yaml", "--progress", "-3"], "--progress"),
    (["run", "job.yaml", "another.yaml"], "another.yaml"),
    (["run", "job.yaml", "--set", "stages.load.writer.rows"], "--set"),
    (["run", "job.yaml", "--set", "stages.load.writer.rwos=5"], "rwos"),
    (["run", "job.yaml", "--set", "stages.load.deleter.batch=5"], "deleter"),
    (["explode"], "explode"),
    (["check", "job.yaml", "--keep"], "--keep"),
    (["report"], "report"),
    (["report", "job.yaml"], "job.yaml"),
    (["report", "absent.h5"], "absent.h5"),
    (["merge", "absent", "-o", "x.h5"], "absent"),
    (["merge", "."], "output"),
    (["run", "absent.yaml"], "absent.yaml"),
    (["run", "."], "is a directory|not a (regular )?file"),
])
def test_bad_command_line(folder: Path, words: list[str], said: str) -> None:
    assert_refused(hpc(*words, cwd=folder), folder, said)


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda job: job.stem)
def test_shipped_jobs(job: Path) -> None:
    """Each can be run as it is, with the data set that ./quickstart makes."""
    done = hpc("check", job, np=1)
    assert done.code == GOOD and f"job {job} is valid" in done.out, str(done)


@pytest.mark.parametrize("change, said", [
    (("rows: 1000, dim: 8", "rows: 1000, dim: eight"), ["job.yaml:2:", "dim"]),
    (("role: writer", "role: wirter"), ["job.yaml:12:", "wirter", "writer"]),
    (("timeout: 20s", "timeout: 3 parsecs"), ["job.yaml:1:", "timeout"]),
    (("verify: {recheck: []}", "verify: {recheck: [flush]"), ["job.yaml:14:"]),
    (("primary: true", "primary: false"), ["primary"]),
    (("type: varchar, max_length: 64", "type: varchar"), ["max_length"]),
    (("{name: vector, type: float_vector}", "{name: vector, type: float_vector, dim: 9}"), ["dim 9", "8"]),
    (("server:", "server: {uri: x}\nserver:"), ["job.yaml:2:", "server"]),
    ((JOB, ""), ["job.yaml"]),
    ((JOB, "\0\1\2"), ["job.yaml:1"]),
])
def test_bad_job(folder: Path, change: tuple[str, str], said: list[str]) -> None:
    assert change[0] in JOB
    (folder / "job.yaml").write_text(JOB.replace(*change))
    assert_refused(run(folder), folder, *said)
    checked = hpc("check", "job.yaml", cwd=folder)
    assert checked.code == UNUSABLE and len(checked.errors) == 1


@pytest.mark.parametrize("words, said", [
    ("dataset.path=absent.hdf5", ["absent.hdf5"]),
    ("dataset.path=job.yaml", ["job.yaml"]),
    ("dataset.train=tram", ["tram"]),
    ("dataset.rows=60001", ["60,?001", "60,?000"]),
])
def test_bad_dataset(folder: Path, words: str, said: list[str]) -> None:
    (folder / "job.yaml").write_text(JOB.replace("{synthetic: {rows: 1000, dim: 8}}", f"{{path: {MNIST}}}"))
    assert_refused(run(folder, "--set", words, np_=2), folder, *said)


def test_more_partitions_than_the_server_allows(server: Server, folder: Path) -> None:
    """Refused by the server in mid preparation: what was made so far is taken away again."""
    done = run(folder, "--server", server.uri, "--set", "stages.load.writer.partition=bad-name", "--set", "collection.name=halfway")
    assert_refused(done, folder, "bad-name")
    with server.client() as client:
        assert "halfway" not in client.list_collections()


def test_collection_goes_and_others_stay(server: Server, taken: str, folder: Path) -> None:
    with server.client() as client:
        before = sorted(client.list_collections())
        done = run(folder, "--server", server.uri, "--set", "collection.name=passing")
        assert done.code == GOOD, str(done)
        assert sorted(client.list_collections()) == before
        assert count(client, taken) == 11


@pytest.mark.parametrize("given", ["file", "environment", "command line"])
def test_token_is_not_saved(server: Server, folder: Path, given: str) -> None:
    """Neither in the result, nor in the summary, nor in the journals of a run that is killed."""
    secret, path = "root:Xq7-secret", folder / "job.yaml"
    place = {"file": f'token: "{secret}"', "environment": 'token: "${SECRET}"', "command line": 'token: ""'}[given]
    path.write_text(JOB.replace("timeout: 20s", f"timeout: 20s, {place}"))
    sets = ["--set", f"server.token={secret}"] if given == "command line" else []
    words = ["run", path, "--server", server.uri, "--output", folder / "out.h5", "--json", folder / "out.json", *sets, "--set",
             "collection.name=secretive", "--set", "stages.load.writer.rate=2/s", "--progress", 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENVIRONMENT, "SECRET", secret)
        with running(*words) as run:
            run.wait_for_second("load", 1)
            saved = {file.name: file.read_bytes() for file in (folder / "out.h5.journals").iterdir()}
            run.process.send_signal(signal.SIGUSR1)
            done = run.finish(60)
    assert done.code == GOOD, str(done)
    saved |= {"out.h5": (folder / "out.h5").read_bytes(), "out.json": (folder / "out.json").read_bytes()}
    assert set(saved) == {"rank-00000.journal", "rank-00000.samples", "run.json", "out.h5", "out.json"}
    for name, data in saved.items():
        assert b"Xq7" not in data, name
    assert b"hidden" in saved["out.json"] and "Xq7" not in done.out + done.err


def test_stdout_closed_is_no_reason_to_lose_the_result(server: Server, folder: Path) -> None:
    """The reader of a pipe goes away: the result stands all the same."""
    words = f"'{PROGRAM}' run job.yaml --output out.h5 --server {server.uri} --set collection.name=piped"
    code = os.system(f"cd '{folder}' && {words} 2>/dev/null | true")
    assert code == 0 and (folder / "out.h5").exists()


def signalled_at_hang(mock: Mock, folder: Path, *words: object) -> Done:
    before = len(mock.log())
    with running(*words, "--server", mock.uri, "--output", folder / "out.h5", result=folder / "out.h5") as run:
        assert run.read_until(lambda: len(mock.log()) > before, 30), run.err
        run.process.send_signal(signal.SIGUSR1)
        return run.finish(60)


def test_signal_before_the_load(folder: Path) -> None:
    """Said in our words, not in those of the call that it cut short; of a part, too."""
    with Mock(folder, ["hang=1,op=create_partition", "hang=1,op=version,after=2"]) as mock:
        done = signalled_at_hang(mock, folder, "run", folder / "job.yaml")
        assert_refused(done, folder, "a signal came before the load began$", left=("faults.jsonl", "job.yaml"))
        kept = hpc("run", "job.yaml", "--server", mock.uri, "--keep", "--output", "kept.h5", cwd=folder)
        assert kept.code == GOOD, str(kept)
        done = signalled_at_hang(mock, folder, "run", "--continue", folder / "kept.h5")
        assert_refused(done, folder, "a signal came before the load began$", left=("faults.jsonl", "job.yaml", "kept.h5"))


def test_signal_before_a_stage(folder: Path) -> None:
    job = (folder / "job.yaml").read_text().replace("verify:", "  - {name: look, roles: [{role: querier, ops: 10}]}\nverify:")
    (folder / "job.yaml").write_text(job)
    with Mock(folder, ["hang=1,op=create_index"]) as mock:
        done = signalled_at_hang(mock, folder, "run", folder / "job.yaml")
    assert done.code == UNUSABLE and "stage look: a signal came before it began" in done.errors[0], str(done)
    assert "CANCELLED" not in done.err and done.result.attributes["audited"], str(done)
