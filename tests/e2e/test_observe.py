"""What is observed of servers and ranks, and what is said of its drift: on mocks whose memory is known, on pages of metrics that
are made here, and on the real server against what /proc, its page and GetMetrics say to somebody else."""

from __future__ import annotations

import json
import os
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from mockserver import Mock
from proxy import Counter, behind
from support import GOOD, MISSED, UNUSABLE, Done, Result, Server, hpc, running

MIB = 1 << 20
CHURN = "{role: churn, rows: 100k, batch: 5, rate: 20/s, for: SECONDS, weights: {insert: 1, delete: 1, upsert: 1}}"
JOB = f"""dataset: {{synthetic: {{rows: 500, dim: 8}}}}
collection:
  name: observed
  fields:
    - {{name: id, type: int64, primary: true}}
    - {{name: vector, type: float_vector}}
    - {{name: varchar_field, type: varchar, max_length: 64}}
  index: {{type: FLAT, params: {{}}}}
calibrate: never
stages:
  - name: soak
    roles: [{CHURN}]
verify: {{recheck: []}}
"""


def run(uri: str, folder: Path, seconds: float, options: str = "", *words: object, np: int = 1, role: str = CHURN) -> Done:
    (folder / "job.yaml").write_text(JOB.replace(CHURN, role).replace("SECONDS", f"{seconds}s") + options)
    return hpc("run", "job.yaml", "--server", uri, "--output", "out.h5", *words, np=np, cwd=folder, result=folder / "out.h5")


def series(result: Result, name: str, source: str | None = None) -> list[dict]:
    return [row for row in result.tables["server/metrics"] if row["name"] == name and source in (None, row["source"])]


def trend(result: Result, figure: str, source: str | None = None) -> dict:
    [row] = [row for row in result.tables["trends"] if row["figure"] == figure and source in (None, row["source"])]
    return row


# --- pages of metrics ---------------------------------------------------------------------------------------------


class Page:
    """A page of metrics on a port of its own; what it says is a function of the seconds since it began, and of how often it was asked."""

    def __init__(self, text: Callable[[float, int], str | None]):
        began, page = time.monotonic(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.asked += 1
                body = text(time.monotonic() - began, page.asked)
                self.send_response(503 if body is None else 200)
                self.end_headers()
                self.wfile.write((body or "process_open_fds 503\n").encode())

            def log_message(self, *_: object) -> None:
                pass

        self.asked = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.source = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.source}/metrics"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@contextmanager
def page(text: Callable[[float, int], str | None]) -> Iterator[Page]:
    made = Page(text)
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    with Mock(tmp_path_factory.mktemp("mock")) as made:
        yield made


def test_pages_are_read_as_they_are(mock: Mock, tmp_path: Path) -> None:
    """Several targets: each its own source. Labels, comments, counters, what is not wanted, and lines that are none."""
    text = ("# HELP depth of the queue\n# TYPE depth gauge\n"
            'depth{queue="a b"} 3\ndepth{queue="}"} 4.5e1 1700000000\ndepths 9\nother 1\n'
            "process_open_fds 12\nbroken{ 7\nprocess_resident_memory_bytes nonsense\nup\n")
    with page(lambda s, n: text) as one, page(lambda s, n: f"depth {s}\n") as two:
        done = run(mock.uri, tmp_path, 2, f"observe: {{period: 200ms, gauges: [depth, process_open_fds], metrics: [{one.url}, {two.url}]}}\n")
    assert done.code == GOOD and "warning: observe" not in done.err, str(done)
    rows = [row for row in done.result.tables["server/metrics"] if row["source"] != mock.uri.removeprefix("http://")]
    assert {(row["source"], row["name"]) for row in rows} == {
        (one.source, 'depth{queue="a b"}'), (one.source, 'depth{queue="}"}'), (one.source, "process_open_fds"), (two.source, "depth")}
    assert {row["value"] for row in series(done.result, 'depth{queue="a b"}')} == {3} and {row["value"] for row in series(done.result, 'depth{queue="}"}')} == {45}
    values = [row["value"] for row in series(done.result, "depth", two.source)]
    assert len(values) >= 5 and values == sorted(values) and values[-1] > values[0] + 1
    assert all(row["life"] == 1 for row in rows)


def test_pages_that_are_not_there_are_told_once(mock: Mock, tmp_path: Path) -> None:
    """A closed port, an error page and one that knows nothing: a warning each, whatever the number of tries, and no other harm."""
    with (page(lambda s, n: None) as failing, page(lambda s, n: "other 1\n") as strange,
          page(lambda s, n: None if n < 3 else "process_open_fds 5\n") as late):
        done = run(mock.uri, tmp_path, 2, f"observe: {{period: 200ms, metrics: [http://127.0.0.1:1/metrics, {failing.url}, {strange.url}, {late.url}]}}\n")
        assert failing.asked > 3
    assert done.code == GOOD, str(done)
    for what, said in (("http://127.0.0.1:1/metrics", "connect"), (failing.url, "503"), (strange.url, "none of observe.gauges"), (late.url, "503")):
        lines = [line for line in done.err.splitlines() if what in line]
        assert len(lines) == 1 and "warning: observe: " in lines[0] and said in lines[0], str(done)
    values = [row["value"] for row in series(done.result, "process_open_fds")]
    assert len(values) > 1 and set(values) == {5}  # it came back, and what came with an error is none of it


def test_a_server_without_get_metrics_is_told_once(tmp_path: Path) -> None:
    with Mock(tmp_path, ["reply_code=100%,code=65535,op=metrics"]) as dumb:
        done = run(dumb.uri, tmp_path, 2, "observe: {period: 200ms, system_info: 200ms}\n", np=2)
        assert len(dumb.log()) > 3
    assert done.code == GOOD, str(done)
    [line] = [line for line in done.err.splitlines() if "GetMetrics" in line]
    assert "warning: observe: " in line and dumb.uri in line and "code 65535" in line, line


def rss_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def use_of(pid: int) -> dict[str, float]:
    """What /proc says of a process, under our names."""
    status, stat = Path(f"/proc/{pid}/status").read_text(), Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    kb = {name: int(value) for name, value in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", status, re.M)}
    return {"rss_bytes": 1024 * kb["VmRSS"], "private_bytes": 1024 * kb["RssAnon"], "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(stat[17]), "cpu_s": (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")}


class Watch(threading.Thread):
    """A process as somebody else sees it, meanwhile."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.seen, self.over = pid, [], False
        self.start()

    def run(self) -> None:
        while not self.over:
            try:
                self.seen.append(use_of(self.pid))
            except (OSError, KeyError):  # it has ended
                return
            time.sleep(0.02)

    def of(self, name: str) -> list[float]:
        return [use[name] for use in self.seen]


def of_several(uris: list[str], folder: Path, seconds: float, options: str) -> Done:
    """By one worker, at home on the first of them."""
    job = f"server: {{uris: [{', '.join(uris)}], timeout: 5s}}\n" + JOB.replace("SECONDS", f"{seconds}s").replace("recheck: []", "enabled: false")
    (folder / "job.yaml").write_text(job + options)
    return hpc("run", "job.yaml", "--output", "out.h5", np=2, cwd=folder, result=folder / "out.h5")


def test_every_proxy_is_looked_at(mock: Mock, tmp_path: Path) -> None:
    """The process behind each, and what each says of its nodes, under names of their own; one that is not there is told once by each way."""
    with Mock(tmp_path) as second:
        mocks = {made.uri.removeprefix("http://"): made.process.pid for made in (mock, second)}
        done = of_several([mock.uri, second.uri, "http://127.0.0.1:1"], tmp_path, 3, "observe: {period: 200ms, system_info: 200ms}\n")
        seen = {source: {"rss_bytes": rss_of(pid), "threads": len(os.listdir(f"/proc/{pid}/task")), "fds": len(os.listdir(f"/proc/{pid}/fd"))}
                for source, pid in mocks.items()}
    assert done.code == GOOD, str(done)
    for source, figures in seen.items():
        for name, off in (("rss_bytes", 8 * MIB), ("threads", 4), ("fds", 8)):
            assert series(done.result, name, source)[-1]["value"] == pytest.approx(figures[name], abs=off), (source, name)
        told = series(done.result, "memory_usage_bytes", f"proxy 1 at {source}")
        assert len(told) > 5 and told[-1]["value"] == pytest.approx(series(done.result, "private_bytes", source)[-1]["value"], abs=8 * MIB)
    assert {row["source"] for row in done.result.tables["server/metrics"]} == {*mocks, *(f"proxy 1 at {source}" for source in mocks)}
    assert {row["source"] for row in done.result.tables["trends"] if row["figure"] == "server_rss"} == set(mocks)
    warnings = [line for line in done.err.splitlines() if "warning: observe" in line]
    assert len(warnings) == 2 and any("port 1 " in line for line in warnings) and any("http://127.0.0.1:1: " in line for line in warnings), str(done)


def test_a_node_that_several_proxies_tell_of_is_one(mock: Mock, tmp_path: Path) -> None:
    """By the first of them, and when that one says nothing any more by the next."""
    calls = Counter(), Counter()

    def front(number: int, most: int):
        def forward(method: str, _request: bytes, honest: Callable[[], bytes], context: grpc.ServicerContext) -> bytes:
            if method == "GetMetrics" and calls[number].next() > most:
                context.abort(grpc.StatusCode.INTERNAL, "no more")
            return honest()
        return forward

    with behind(mock.uri, front(0, 4)) as one, behind(mock.uri, front(1, 10**6)) as two:
        done = of_several([one, two], tmp_path, 3, "observe: {period: 200ms, system_info: 200ms, local: never}\n")
    assert done.code == GOOD and min(call.count for call in calls) > 5, str(done)
    told = series(done.result, "memory_usage_bytes")
    assert {row["source"] for row in told} == {f"proxy 1 at {mock.uri.removeprefix('http://')}"}
    assert max(call.count for call in calls) - 3 <= len(told) <= max(call.count for call in calls), (calls[0].count, calls[1].count, told)
    [line] = [line for line in done.err.splitlines() if "warning: observe" in line]
    assert one in line and "no more" in line


def test_nodes_have_lives_and_are_not_without_number(mock: Mock, tmp_path: Path) -> None:
    """A node says when it was created; of those beyond the 256 series that are kept, nothing is remembered."""
    answers = Counter()

    def forward(method: str, _request: bytes, honest: Callable[[], bytes], _context: grpc.ServicerContext) -> bytes:
        if method != "GetMetrics":
            return honest()
        number = answers.next()
        created = "noon" if number < 5 else "midnight" if number % 2 else ""  # nothing is said of one that is not new
        nodes = [{"infos": {"type": "querynode", "id": i, "created_time": created, "hardware_infos": {"memory_usage": 1000}}} for i in range(300)]
        text = json.dumps({"nodes_info": nodes}).encode()
        assert 1 << 14 < len(text) < 1 << 21
        return bytes([0x0a, 0, 0x12, len(text) & 127 | 128, len(text) >> 7 & 127 | 128, len(text) >> 14]) + text

    with behind(mock.uri, forward) as proxied:
        done = run(proxied, tmp_path, 2, "observe: {period: 100ms, system_info: 100ms, local: never}\n")
    assert done.code == GOOD and answers.count > 8, str(done)
    rows = series(done.result, "memory_usage_bytes")
    assert len({row["source"] for row in rows}) == 256 and {row["life"] for row in rows} == {1, 2}
    restarts = [row["what"] for row in done.result.tables["server/events"] if row["kind"] == "restart"]
    assert len(restarts) == 256 and all("created anew" in what for what in restarts)


def test_a_rank_is_as_proc_shows_it(tmp_path: Path) -> None:
    """Each figure as somebody else reads it meanwhile; and each insert of 5 rows of 8 dimensions is held while it is in flight, no longer."""
    (tmp_path / "job.yaml").write_text(JOB.replace("SECONDS", "3s") + "observe: {period: 100ms}\n")
    with Mock(tmp_path, ["delay=100%,ms=300,op=insert"]) as slow:
        with running("run", tmp_path / "job.yaml", "--server", slow.uri, "--output", tmp_path / "out.h5", result=tmp_path / "out.h5") as going:
            watch = Watch(going.process.pid)
            done = going.finish()
        watch.over = True
    assert done.code == GOOD, str(done)
    own: dict[str, list[float]] = {}
    for row in done.result.tables["rank_samples"]:
        own.setdefault(row["name"], []).append(row["value"])
    for name, off in (("rss_bytes", MIB), ("private_bytes", MIB), ("fds", 2), ("threads", 1), ("cpu_s", 0.1)):
        seen = watch.of(name)
        assert len(own[name]) > 10 and min(seen) - off <= min(own[name]) and max(own[name]) <= max(seen) + off, (name, own[name], seen)
        assert sorted(own[name])[len(own[name]) // 2] > 0
    assert own["cpu_s"] == sorted(own["cpu_s"]) and max(own["rss_bytes"]) > 0.7 * max(watch.of("rss_bytes"))
    held = own["rpc_bytes"]
    assert len(held) > 10 and min(held) == 0 and max(held) >= 5 * 8 * 4 and held[-1] < 64 << 10, held
    assert trend(done.result, "client_rpc")["unit"] == "bytes"


def test_a_page_that_begins_anew(mock: Mock, tmp_path: Path) -> None:
    """Another process behind the same address: its memory is that of another life, and its counters begin at 0."""
    def text(second: float, asked: int) -> str:
        life = int(asked > 80)
        return (f"process_cpu_seconds_total {second * (1 - life)}\nprocess_resident_memory_bytes {(500 - 400 * life) * MIB + 2 * MIB * second}\n"
                f"process_start_time_seconds {1000 + life}\n")  # by name, as Go's pages are

    with page(text) as restarted:
        done = run(mock.uri, tmp_path, 16, f"observe: {{period: 100ms, local: never, metrics: [{restarted.url}]}}\n"
                   "thresholds: {soak.server_rss.slope: '< 1000MiB/h'}\n")
    assert done.code == MISSED, str(done)
    rows = series(done.result, "process_resident_memory_bytes")
    assert {row["life"] for row in rows} == {1, 2} and all((row["value"] > 400 * MIB) == (row["life"] == 1) for row in rows)
    [event] = [row for row in done.result.tables["server/events"] if row["kind"] == "restart"]
    assert restarted.source in event["what"] and event["stage"] == "soak"
    found = trend(done.result, "server_rss")
    assert found["lives"] == 2 and found["verdict"] == "FAIL" and found["low_per_hour"] > 0.8 * 7200 * MIB
    assert found["low_per_hour"] < 7200 * MIB < found["high_per_hour"]


# --- the process, and leaks -----------------------------------------------------------------------------------------


def test_a_leak_is_found(tmp_path: Path) -> None:
    """Below what a soak runs, life cycles, whose collections come and go."""
    cycles = "{role: lifecycle, count: 2, rows: 50, batch: 50, for: SECONDS}"
    with Mock(tmp_path, ["leak=1MiB/s"]) as leaky:
        done = run(leaky.uri, tmp_path, 16, "observe: {period: 200ms}\nthresholds: {soak.server_rss.slope: '< 1%/h'}\n", np=2, role=cycles)
    assert done.code == MISSED, str(done)
    found = trend(done.result, "server_rss")
    assert found["verdict"] == "FAIL" and found["wanted"] == "< 1%/h" and found["source"] == leaky.uri.removeprefix("http://")
    assert found["low_per_hour"] < 3600 * MIB < found["high_per_hour"] and found["low_per_hour"] > 1800 * MIB
    assert found["slope_ratio"] == pytest.approx(found["slope_per_hour"] / found["median"])
    [threshold] = done.result.tables["thresholds"]
    assert threshold["figure"] == "soak.server_rss.slope" and not threshold["held"] and not threshold["undecided"] and "%" in threshold["got"]
    assert "1 threshold missed" in done.result.attributes["verdict"] and "DRIFT" in done.out and "FAIL" in done.out


def test_no_leak_is_not_accused(mock: Mock, tmp_path: Path) -> None:
    """What can be told holds; of what cannot, that is said, and it is no miss."""
    probers = "    roles: [{role: prober, for: 18s, consistency: strong, read: query}, "
    (tmp_path / "job.yaml").write_text(JOB.replace("    roles: [", probers).replace("SECONDS", "18s") + """observe: {period: 200ms}
thresholds: {soak.server_rss.slope: "< 100GiB/h", soak.client_rss.slope: "< 100GiB/h", soak.client_fds.slope: "< 1000/h", soak.server_fds.slope: "< 1/h",
             soak.insert.p99.slope: "< 1000000%/h", soak.visibility.p99.slope: "< 1d/h"}
""")
    done = hpc("run", "job.yaml", "--server", mock.uri, "--output", "out.h5", np=2, cwd=tmp_path, result=tmp_path / "out.h5")
    assert done.code == GOOD, str(done)
    rows = {row["figure"]: row for row in done.result.tables["thresholds"]}
    assert all(row["held"] != row["undecided"] for row in rows.values())
    assert rows["soak.server_rss.slope"]["held"] and rows["soak.visibility.p99.slope"]["held"] and rows["soak.server_fds.slope"]["undecided"]
    assert {row["source"] for row in done.result.tables["trends"] if row["figure"] == "visibility.p99"} >= {"insert, query at strong"}
    assert "UNDECIDED" in done.result.attributes["verdict"] and "UNDECIDED" in done.out


def test_a_page_that_never_answers_is_a_row(mock: Mock, tmp_path: Path) -> None:
    """Called as its series would be; what comes of it: tests/unit/conclude.c."""
    with page(lambda s, n: f"process_resident_memory_bytes {64 * MIB}\n") as one:
        pages = f"metrics: [{one.url}, {one.url.replace('metrics', 'pods/1')}, http://127.0.0.1:1/pods/1/metrics]"
        done = run(mock.uri, tmp_path, 2, f"observe: {{period: 100ms, {pages}}}\nthresholds: {{soak.server_rss.slope: '< 1GiB/h'}}\n")
    assert done.code == GOOD and "UNDECIDED" in done.out, str(done)
    samples = {row["source"]: row["samples"] for row in done.result.tables["trends"] if row["figure"] == "server_rss"}
    assert samples.pop("127.0.0.1:1/pods/1/metrics") == 0
    assert set(samples) == {mock.uri.removeprefix("http://"), one.source, f"{one.source}/pods/1"} and min(samples.values()) > 5, samples


def test_too_short_to_tell(mock: Mock, tmp_path: Path) -> None:
    done = run(mock.uri, tmp_path, 1, "thresholds: {soak.server_rss.slope: '< 1%/h'}\n")
    [row] = done.result.tables["thresholds"]
    assert done.code == GOOD and row["undecided"] and row["got"].startswith("not enough data"), str(done)
    assert trend(done.result, "server_rss")["verdict"] == "not enough data"


def test_what_was_not_observed_is_a_miss(mock: Mock, tmp_path: Path) -> None:
    done = run(mock.uri, tmp_path, 1, "observe: {enabled: false}\nthresholds: {soak.server_rss.slope: '< 1%/h'}\n")
    [row] = done.result.tables["thresholds"]
    assert done.code == MISSED and row["got"] == "not measured" and not row["undecided"], str(done)
    assert done.result.tables["server/metrics"] == done.result.tables["rank_samples"] == []


@pytest.mark.parametrize("threshold, said", [
    ("soak.server_rss.slope: '< 5'", "so much an hour"),
    ("soak.server_rss.slope: '< 5MiB'", "so much an hour"),
    ("insert.p99: '< 5%/h'", "only drifts"),
    ("soak.depth.slope: '< 5%/h'", "no such figure"),
    ("other.server_rss.slope: '< 5%/h'", "no such figure"),
    ("soak.rows.p99.slope: '< 5%/h'", "no such figure"),
    ("soak.server_rss.slope: '< 5%/d'", "is not a threshold"),
])
def test_bad_drifts_are_refused(mock: Mock, tmp_path: Path, threshold: str, said: str) -> None:
    done = run(mock.uri, tmp_path, 1, f"thresholds: {{{threshold}}}\n")
    assert done.code == UNUSABLE and len(done.errors) == 1 and "job.yaml:14:" in done.errors[0] and said in done.errors[0], str(done)


# --- the real server --------------------------------------------------------------------------------------------------


def metrics_page(server: Server) -> str:
    return next(word for word in server._call("status").stdout.split() if word.endswith("/metrics"))


def test_the_real_server(server: Server, tmp_path: Path) -> None:
    """Process, page and GetMetrics, each as it is, from the first stage through the audit."""
    url, pid = metrics_page(server), server.pid()
    watch = Watch(pid)
    done = run(server.uri, tmp_path, 8, f"observe: {{period: 200ms, system_info: 1s, metrics: [{url}]}}\n", np=2)
    watch.over = True
    assert done.code == GOOD and "warning: observe" not in done.err, str(done)
    result, process, source = done.result, server.uri.removeprefix("http://"), url.split("/")[2]

    rss = [row["value"] for row in series(result, "rss_bytes", process)]
    seen = sorted(watch.of("rss_bytes"))
    assert len(rss) > 20 and seen[0] - MIB <= min(rss) and max(rss) <= seen[-1] + MIB
    middle = seen[len(seen) // 2]
    assert abs(sorted(rss)[len(rss) // 2] - middle) < 0.1 * middle
    assert {row["unit"] for row in series(result, "rss_bytes")} == {"bytes"}
    for mine, its, off in (("rss_bytes", "process_resident_memory_bytes", 16 * MIB), ("fds", "process_open_fds", 12), ("cpu_s", "process_cpu_seconds_total", 2)):
        shown = series(result, its, source)[-1]
        nearest = min(series(result, mine, process), key=lambda row: abs(row["second"] - shown["second"]))
        assert nearest["value"] == pytest.approx(shown["value"], abs=off), (mine, nearest, shown)
    assert all(row["value"] > 50 for row in series(result, "go_goroutines", source))
    duration = result.attributes["duration_s"]
    seconds = [row["second"] for row in series(result, "rss_bytes", process)]
    assert 0 <= seconds[0] < 2 and duration - 3 < seconds[-1] <= duration and seconds == sorted(seconds)

    nodes = {row["source"].split()[0] for row in result.tables["server/metrics"] if row["name"] == "memory_usage_bytes"}
    assert nodes >= {"querynode", "datanode", "indexnode", "proxy", "rootcoord"}
    assert all(10 * MIB < row["value"] < 64 << 30 for row in series(result, "memory_usage_bytes"))
    with grpc.insecure_channel(process) as channel:
        ask = channel.unary_unary("/milvus.proto.milvus.MilvusService/GetMetrics", bytes, bytes)
        reply = ask(b'\x12\x1d{"metric_type":"system_info"}', timeout=10)
    assert b'"memory_usage"' in reply and all(node.encode() in reply for node in nodes)

    ranks = result.tables["rank_samples"]
    assert {row["rank"] for row in ranks} == {0, 1}
    assert {row["name"] for row in ranks} == {"rss_bytes", "private_bytes", "cpu_s", "fds", "threads", "ledger_bytes", "rpc_bytes"}
    for rank in result.tables["ranks"]:
        own = [row["value"] for row in ranks if row["rank"] == rank["rank"] and row["name"] == "rss_bytes"]
        assert len(own) > 20 and max(own) <= rank["peak_rss_bytes"] + MIB and max(own) > 0.7 * rank["peak_rss_bytes"]
    assert max(row["value"] for row in ranks if row["name"] == "ledger_bytes") > 0
