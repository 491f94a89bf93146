"""scripts/milvus-server on the real server; its data is written and read through the server's own HTTP interface."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "milvus-server"
ROWS = 200
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[Command]:
    def run(command: str, name: str = "one", *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, command, "--dir", tmp_path / name, *options], capture_output=True, text=True,
                              timeout=180, check=False)

    yield run
    for home in tmp_path.iterdir():
        run("kill", home.name)


def started(run: Command, name: str = "one", *options: str) -> str:
    done = run("start", name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def post(uri: str, path: str, **body: object) -> dict:
    request = urllib.request.Request(f"{uri}/v1/vector/{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        return json.load(reply)


def write_rows(uri: str) -> set[int]:
    assert post(uri, "collections/create", collectionName="kept", dimension=4)["code"] == 200
    rows = [{"vector": [i, 1, 2, 3]} for i in range(ROWS)]
    reply = post(uri, "insert", collectionName="kept", data=rows)
    assert reply["code"] == 200
    return {int(key) for key in reply["data"]["insertIds"]}


def read_rows(uri: str, deadline_s: float = 90) -> set[int]:
    """All keys; asked again while the server waits for its dead predecessor's session to end and loads again."""
    end, keys = time.monotonic() + deadline_s, set()
    while len(keys) < ROWS and time.monotonic() < end:
        try:
            reply = post(uri, "query", collectionName="kept", filter="id > 0", outputFields=["id"], limit=1000)
        except TimeoutError:
            continue
        keys = {int(row["id"]) for row in reply.get("data", [])}
    return keys


def pid_of(run: Command, name: str = "one") -> int:
    match = re.search(r" pid (\d+) ", run("status", name).stdout)
    assert match
    return int(match[1])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_two_instances_side_by_side(milvus: Command) -> None:
    first, second = started(milvus, "one"), started(milvus, "two")
    assert first != second
    write_rows(first)
    assert post(second, "query", collectionName="kept", filter="id > 0")["code"] != 200
    assert milvus("stop", "one").returncode == 0
    assert milvus("status", "one").returncode == 1
    assert milvus("status", "two").returncode == 0


def test_no_port_is_drawn_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an instance that does not listen: not yet, or not now. One that is gone has none."""
    script = ModuleType("milvus_server")
    script.__file__ = str(SCRIPT)
    exec(SCRIPT.read_text(), vars(script))
    monkeypatch.setattr(script, "CACHE", tmp_path)
    monkeypatch.setattr(script, "is_free", lambda port: True)
    monkeypatch.setattr(script, "PORT_RANGE", range(3 * len(script.PORT_NAMES)))

    def drawn(name: str) -> set[int]:
        (tmp_path / name).mkdir()
        script.draw_ports(tmp_path / name, {"settings": {}, "process": None})
        return set(script.ports_of(tmp_path / name))

    one, two, three = map(drawn, ("one", "two", "three"))
    assert one | two | three == set(script.PORT_RANGE) and drawn("none") == set()
    (tmp_path / "two" / "instance.json").unlink()
    assert drawn("four") == two


def test_kill_keeps_data_port_and_settings(milvus: Command) -> None:
    settings = ["--set", "quotaAndLimits.dml.enabled=true", "--set", "common.session.ttl=5"]
    uri = started(milvus, "one", *settings)
    keys = write_rows(uri)
    pid = pid_of(milvus)
    assert milvus("kill").returncode == 0
    assert not is_alive(pid)
    assert started(milvus) == uri
    assert "quotaAndLimits.dml.enabled = true" in milvus("status").stdout
    assert read_rows(uri) == keys


def test_fresh_start_forgets(milvus: Command) -> None:
    uri = started(milvus, "one", "--set", "quotaAndLimits.dml.enabled=true")
    write_rows(uri)
    assert started(milvus, "one", "--fresh") == uri
    assert "quota" not in milvus("status").stdout
    assert post(uri, "query", collectionName="kept", filter="id > 0")["code"] != 200


def test_stop_leaves_no_process(milvus: Command, tmp_path: Path) -> None:
    started(milvus)
    pid = pid_of(milvus)
    assert is_alive(pid)
    began = time.monotonic()
    assert milvus("stop").returncode == 0
    assert time.monotonic() - began < 20
    assert not is_alive(pid)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            assert str(tmp_path) not in os.readlink(folder / "cwd")
        except OSError:
            continue


def test_second_start_says_running(milvus: Command) -> None:
    uri = started(milvus)
    again = milvus("start")
    assert (again.returncode, again.stdout.strip(), again.stderr.strip()) == (0, uri, "already running")
    other = milvus("start", "one", "--set", "quotaAndLimits.enabled=false")
    assert other.returncode == 1 and "stop it first" in other.stderr


def test_setting_reaches_the_configuration(milvus: Command, tmp_path: Path) -> None:
    options = ["--set", "quotaAndLimits.dml.insertRate.max=0.5", "--set", "proxy.brandNew.key=7"]
    warned = milvus("start", "one", *options)
    assert warned.returncode == 0 and "proxy.brandNew.key is not in" in warned.stderr
    text = (tmp_path / "one" / "configs" / "milvus.yaml").read_text()
    assert re.search(r"^    insertRate:\n      collection:\n        max: -1.*\n      max: 0.5$", text, re.M)
    assert re.search(r"^proxy:\n  brandNew:\n    key: 7$", text, re.M)


@pytest.mark.parametrize("setting", ["nonsense", "a.b", "proxy=1", "proxy.maxTaskNum.deeper=1"])
def test_bad_setting_is_refused(milvus: Command, setting: str) -> None:
    done = milvus("start", "one", "--set", setting)
    assert done.returncode == 1 and f"--set {setting.split('=')[0]}" in done.stderr
    assert milvus("status").returncode == 1


def test_recycled_pid_is_never_killed(milvus: Command, tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        record = {"ports": {"proxy": 1, "metrics": 1}, "settings": {},
                  "process": {"pid": bystander.pid, "start_ticks": 1}}
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "instance.json").write_text(json.dumps(record))
        assert milvus("status").returncode == 1
        assert milvus("kill").returncode == 0 and milvus("stop").returncode == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


HALF_DEAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_zombie_with_living_threads_is_not_dead(milvus: Command, tmp_path: Path) -> None:
    """So is a server for milliseconds after KILL, with all its ports still taken."""
    process = subprocess.Popen([sys.executable, "-c", HALF_DEAD])
    stat, tasks = Path(f"/proc/{process.pid}/stat"), Path(f"/proc/{process.pid}/task")
    try:
        deadline = time.monotonic() + 30
        while (fields := stat.read_text().rpartition(")")[2].split())[0] != "Z":
            assert time.monotonic() < deadline
        assert len(list(tasks.iterdir())) == 2
        record = {"ports": {"proxy": 1, "metrics": 1}, "settings": {},
                  "process": {"pid": process.pid, "start_ticks": int(fields[19])}}
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "instance.json").write_text(json.dumps(record))
        assert milvus("kill").returncode == 0
        assert len(list(tasks.iterdir())) == 1
    finally:
        process.kill()
        process.wait()


def test_failed_start_shows_the_log_and_leaves_nothing(milvus: Command) -> None:
    for seconds in ("0.3", "0.6", "1.2", "2.4"):  # long enough for its first words, too short to be ready: how long depends on the machine
        done = milvus("start", "one", "--timeout", seconds)
        assert done.returncode == 1 and done.stdout == "" and f"not ready within {seconds} s" in done.stderr
        assert milvus("status").returncode == 1
        if "last lines of" in done.stderr:
            return
    pytest.fail(f"no word of its log: {done.stderr}")


def test_taken_port_is_named(milvus: Command, tmp_path: Path) -> None:
    started(milvus)
    milvus("kill")
    record = json.loads((tmp_path / "one" / "instance.json").read_text())
    started(milvus)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "instance.json").write_text(json.dumps(record | {"process": None}))
    done = milvus("start", "two")
    assert done.returncode == 1 and re.search(r"port \d+ of .* is taken", done.stderr)
