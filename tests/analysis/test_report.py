"""The page in a real browser: its numbers are the file's, the filter works, nothing is cut, nothing is fetched."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import page_of, tool
from playwright.sync_api import Browser, Page, sync_playwright

from hpc_analysis import audit, pictures, report, scaling
from hpc_analysis.picture import Canvas, Palette, Picture
from hpc_analysis.result import Result, Table, load

SIZES = {"desktop": (1280, 900), "phone": (360, 780)}


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


EVERY = ["good", "violated", "rich", "killed", "lives", "searched", "again"]


@pytest.fixture(scope="session", params=EVERY)
def written(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    result: Path = request.getfixturevalue(request.param)
    return result, page_of(result)


def opened(browser: Browser, path: Path, size: str = "desktop", theme: str = "light") -> tuple[Page, list[str]]:
    width, height = SIZES[size]
    for context in browser.contexts:
        context.close()
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True).new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
    page.goto(path.as_uri())
    return page, said


def plain(value: object) -> str:
    raw = value.item() if hasattr(value, "item") else value
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def cells(page: Page, table: str) -> list[dict[str, str]]:
    return page.eval_on_selector_all(f"#{table} tbody tr", "rows => rows.map(r => Object.fromEntries([...r.cells].map(c => [c.dataset.label, c.dataset.value])))")


OPERATION_LABELS = {"op": "op", "planned": "planned", "ok": "ok", "failed": "failed", "unknown": "unknown", "unsent": "unsent", "ops/s": "per_second", "rows/s": "rows_per_second"}
LATENCY_LABELS = {"op": "op", "count": "latency_count", "p50": "due_p50_ns", "p99": "due_p99_ns", "p99.9": "due_p999_ns", "longest": "due_max_ns", "p99 sent": "sent_p99_ns"}


def test_numbers_are_those_of_the_file(browser: Browser, written: tuple[Path, Path]) -> None:
    result, path = written
    page, said = opened(browser, path)
    with h5py.File(result) as file:
        operations = file["operations"][()]
        for table, labels, rows in (("operations", OPERATION_LABELS, operations), ("latencies", LATENCY_LABELS, operations[operations["latency_count"] > 0])):
            shown = [[row[label] for label in labels] for row in cells(page, table)]
            assert shown == [[plain(row[field]) for field in labels.values()] for row in rows]
        figures = {plain(figure): int(value) for figure, value in file["truth/summary"][()]}
        kinds = page.eval_on_selector_all("#kinds li", "items => items.map(i => [i.dataset.kind, +i.dataset.value])")
        assert len(kinds) >= (9 if file.attrs["audited"] else 0) and all(figures[kind] == value for kind, value in kinds)
        equation = page.eval_on_selector_all("#equation > div", "lines => lines.map(l => [l.children[2].textContent, l.dataset.value])")
        for name, what in (("acknowledged_inserts", "acknowledged inserts"), ("count_star", "count(*) of the collection"), ("scanned", "scanned")) if equation else ():
            value = next(value for text, value in equation if text.startswith(what))
            assert value == (str(figures[name]) if figures[name] >= 0 else "")
        cycles = page.eval_on_selector_all("#cycles > div", "lines => lines.map(l => +l.dataset.value)")
        assert cycles == ([figures[f"cycles_{name}"] for name in ("begun", "broken", "cut", "whole")] if figures["cycles_begun"] > 0 else [])
        assert bool(equation) != bool(cycles), "these runs have either"
        verdict = page.inner_text("#verdict")
        assert f"exit code {file.attrs['exit_code']}" in verdict and plain(file.attrs["verdict"]).split(": ")[-1].casefold() in verdict.casefold()
        assert page.locator("#job").text_content().strip() == plain(file["job/text"][()]).strip()
    assert said == []


def test_shown_figures_match_their_values(browser: Browser, violated: Path) -> None:
    """What a reader sees, and not only what stands behind it."""
    page, _ = opened(browser, page_of(violated))
    shown = page.eval_on_selector_all("#operations td.n", "items => items.map(c => [c.innerText.trim(), +c.dataset.value])")
    assert len(shown) > 20
    for text, value in shown:
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.006)


# Of what can be seen: text out of the page or of its card, text over text, text that the background swallows.
FAULTS_OF_A_PAGE = (Path(__file__).parent / "faults.js").read_text()


@pytest.fixture(scope="session")
def compared(good: Path, violated: Path) -> Path:
    """With gates that fail, options that differ, and operations that cannot be told apart."""
    page = good.with_name("compared.html")
    done = tool("compare", good, violated, "--html", page, "--gate", "violations <= 0", "--gate", "insert.p99 <= 100x")
    assert done.returncode == 1, done.stderr
    return page


@pytest.mark.parametrize(("size", "theme"), [("desktop", "dark"), ("phone", "light")])  # what is cut hangs on the one, what is swallowed on the other
@pytest.mark.parametrize("name", [*EVERY, "compared"])
def test_nothing_is_cut_or_covered(request: pytest.FixtureRequest, browser: Browser, name: str, size: str, theme: str) -> None:
    path: Path = request.getfixturevalue(name)
    page, said = opened(browser, path if name == "compared" else page_of(path), size, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.evaluate(FAULTS_OF_A_PAGE) == [] and said == []
    narrow = page.locator(".plot.narrow").first
    assert narrow.is_visible() == (size == "phone") or not narrow.count()


@pytest.mark.parametrize(("spoilt", "found"), [
    ("#verdict { width: 2000px }", "out of the page"), ("#violations td > span { white-space: nowrap; max-width: none; flex: none }", "out of its"),
    ("h2 { margin-bottom: -1.2em }", "over"), ("p { color: var(--paper) }", "cannot be read"), (".plot svg text { font-size: 3px !important }", "too small"),
    (".plot svg g[id*=xtick] text { transform: translate(-40px, -30px) }", "over"), (".plot svg g[id*=ytick] text { transform: translate(-400px, 0) }", "out of its picture")])
def test_what_is_cut_or_covered_is_found(browser: Browser, lives: Path, spoilt: str, found: str) -> None:
    page, _ = opened(browser, page_of(lives), "phone")
    page.add_style_tag(content=spoilt)
    assert any(found in fault for fault in page.evaluate(FAULTS_OF_A_PAGE))


def test_no_word_is_broken_on_the_desktop(browser: Browser, lives: Path) -> None:
    """Names of a collection may be, in the column for them."""
    page, _ = opened(browser, page_of(lives))
    page.select_option("select[name=kind]", "not dropped")
    broken = page.evaluate("""() => [...document.querySelectorAll("#violations tbody td:not([data-label=partition]) > span")].flatMap((cell) => {
        const text = cell.firstChild, range = document.createRange();
        return [...text.data.matchAll(/[^ \u00a0]+/g)].filter((word) => {
            range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
            return range.getClientRects().length > 1 && !word[0].includes("-"); }).map((word) => word[0]); })""")
    assert page.locator("#violations tbody tr").count() == 2 and broken == []


def test_filter(browser: Browser, violated: Path) -> None:
    """All that the page holds are looked through, the first 100 of those that fit shown."""
    page, said = opened(browser, page_of(violated))
    with h5py.File(violated) as file:
        rows = [(plain(row["kind"]), str(row["id"])) for row in file["truth/violations"][()]]
    of_kind = {kind: [one for one in rows if one[0] == kind] for kind, _ in rows}
    assert len(rows) > 200 and {"lost", "corrupted"} <= set(of_kind)

    def listed() -> list[tuple[str, str]]:
        return page.eval_on_selector_all("#violations tbody tr", "rows => rows.map(r => [r.cells[0].innerText, r.cells[1].innerText])")

    def shown() -> list[tuple[str, str]]:
        return [(kind, row) for kind, row in listed()]

    first = shown()
    assert len(first) == 100 and first == [one for one in rows if one in first] and all(sum(one[0] == kind for one in first) >= min(len(those), 100 // len(of_kind)) for kind, those in of_kind.items())
    assert page.inner_text("form.filter output") == f"{len(rows)} of {len(rows)} match, 100 shown"
    page.focus("select[name=kind]")
    page.keyboard.type("corrupted")
    assert shown() == of_kind["corrupted"][:100]
    page.select_option("select[name=kind]", "")
    last = rows[-1]
    assert last not in first
    page.keyboard.press("Tab")
    page.keyboard.type(f"{last[0]} {last[1]}")
    assert last in shown() and page.inner_text("form.filter output") == f"{len(shown())} of {len(rows)} match"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Violations"
    page.fill("input[name=words]", "no such words")
    assert shown() == [] and page.inner_text("form.filter output") == f"0 of {len(rows)} match"
    page.fill("input[name=words]", "")
    assert shown() == first and said == []


def test_without_script_the_first_hundred_are_there(browser: Browser, violated: Path) -> None:
    for context in browser.contexts:
        context.close()
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(page_of(violated).as_uri())
    assert page.locator("#violations tbody tr").count() == 100 and not page.locator("form.filter").is_visible()
    assert "where this page may run its script" in page.locator("noscript").inner_text()


def test_of_very_many_violations_some_of_each_kind_stay() -> None:
    rows = pd.DataFrame({"kind": ["lost"] * 30_000 + ["stale"] * 40 + ["resurrected"] * 9_000})
    kept = report.some_of_each(rows, 10_000)
    assert list(kept.index) == sorted(kept.index) and kept["kind"].value_counts().to_dict() == {"lost": 6627, "resurrected": 3333, "stale": 40}
    assert report.some_of_each(rows.head(7), 7).equals(rows.head(7))


def test_pictures_can_be_saved(browser: Browser, rich: Path, tmp_path: Path) -> None:
    tool("report", rich, "--pictures", tmp_path / "figures")
    page, said = opened(browser, rich.with_suffix(".html"))
    figures = page.eval_on_selector_all("figure", "items => items.map(f => f.id)")
    assert figures == ["over-time", "server", "latency", "rate", "recall", "staleness", "rank-samples"]
    for key in figures:
        assert {path.suffix for path in (tmp_path / "figures").glob(f"{key}.*")} == {".svg", ".png", ".csv"}
    got = {}
    for kind in ("csv", "svg", "png"):
        with page.expect_download() as download:
            page.click(f"#recall button[data-save={kind}]")
        assert download.value.suggested_filename == f"recall.{kind}"
        got[kind] = Path(download.value.path()).read_bytes()
    assert got["csv"] == (tmp_path / "figures" / "recall.csv").read_bytes()
    assert got["png"].startswith(b"\x89PNG") and b"<svg" in got["svg"] and b"var(--" not in got["svg"]
    with h5py.File(rich) as file:
        recall = file["recall"]["recall"]
    rows = list(csv.DictReader(io.StringIO(got["csv"].decode())))
    assert [float(row["recall"]) for row in rows] == pytest.approx(list(recall))
    page.click("#recall details summary")
    page.wait_for_selector("#recall details table")
    assert page.locator("#recall details tbody tr").count() == min(len(rows), 500) and said == []


def test_events_and_find_max_are_there(browser: Browser, rich: Path) -> None:
    page, _ = opened(browser, page_of(rich))
    with h5py.File(rich) as file:
        assert [row["what"] for row in cells(page, "events")] == [plain(what) for what in file["server/events"]["what"]]
        assert [float(row["achieved/s"]) for row in cells(page, "probes")] == list(file["find_max"]["achieved"])
        assert [int(row["p99"]) for row in cells(page, "visibility")] == list(file["visibility"]["p99_ns"])


def test_gauges_and_drifts_are_there(browser: Browser, rich: Path, tmp_path: Path) -> None:
    """Pictures of servers and ranks from what the program writes; and what was told of their drift."""
    tool("report", rich, "--pictures", tmp_path)
    with h5py.File(rich) as file:
        for path, name in (("server/metrics", "server"), ("rank_samples", "rank-samples")):
            rows = file[path][()]
            drawn = list(csv.DictReader((tmp_path / f"{name}.csv").open()))
            assert len(drawn) == len(rows) > 50
            for gauge in ("rss_bytes", "fds", "cpu_s"):
                assert sorted(float(row["value"]) for row in drawn if row["name"] == gauge) == pytest.approx(sorted(rows["value"][rows["name"] == gauge.encode()]))
        trends, thresholds = file["trends"][()], file["thresholds"][()]
    certain = (trends["low_per_hour"] > 0) | (trends["high_per_hour"] < 0)
    page, said = opened(browser, page_of(rich))
    told = cells(page, "trends")
    assert len(told) == np.sum(certain | (trends["wanted"] != b"")) > 0
    assert told[0]["wanted"] == "< 1GiB/h" and told[0]["verdict"] == plain(trends["verdict"][trends["wanted"] != b""][0])
    assert [row["held"] for row in cells(page, "thresholds")] == ["undecided" if row["undecided"] else "yes" if row["held"] else "no" for row in thresholds]
    assert said == []


def test_a_killed_run_says_so(browser: Browser, killed: Path) -> None:
    page, _ = opened(browser, page_of(killed))
    assert "NOT USABLE" in page.inner_text("#verdict") and "is there" in page.locator(".notice").first.inner_text()
    assert sum(int(row["ok"]) for row in cells(page, "operations")) > 0


def test_print_is_light_and_wide(browser: Browser, good: Path) -> None:
    page, _ = opened(browser, page_of(good), "phone", "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".plot.wide").first.is_visible() and not page.locator(".plot.narrow").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".needs-js").first.is_visible()


@pytest.mark.parametrize(("code", "audited", "lost", "word"), [
    (0, True, 0, "GOOD"), (0, False, 0, "NOT AUDITED"), (1, True, 0, "THRESHOLD MISSED"), (2, True, 3, "VIOLATED"), (3, False, 0, "NOT USABLE"),
    (3, True, 3, "NOT USABLE, AND VIOLATED"), (9, True, 0, "NOT USABLE")])
def test_the_verdicts_word(code: int, audited: bool, lost: int, word: str) -> None:
    """Nothing that was not audited is called good, and no violation hides behind another trouble."""
    thresholds = pd.DataFrame({"figure": ["a", "b"], "wanted": "< 1", "got": "2", "held": False, "undecided": [False, True]})
    tables = {"/truth/summary": pd.DataFrame({"figure": ["lost"], "value": [lost]}), "/thresholds": thresholds}
    result = Result(Path("x.h5"), {"exit_code": code, "audited": audited, "verdict": "GOOD: every row; more"},
                    {path: Table(path, rows, {}) for path, rows in tables.items()}, {}, "", 0)
    found = report.verdict(result)
    assert found["word"] == word and (found["tone"] == "good") == (word == "GOOD") and found["missed"] == "Missed: a wanted < 1, got 2."
    assert found["said"] == ("Every row; more." if word == "GOOD" else "GOOD: every row; more.")


def result_of(truth: dict[str, int], **tables: pd.DataFrame) -> Result:
    every = {"/truth/summary": pd.DataFrame({"figure": list(truth), "value": list(truth.values())})} | {f"/{name}": rows for name, rows in tables.items()}
    return Result(Path("x.h5"), {}, {path: Table(path, rows, {}) for path, rows in every.items()}, {}, "", 0)


def attributes_of(result: Result, **attributes: object) -> Result:
    return Result(result.path, attributes, result.tables, {}, "", 0)


def test_the_command_to_repeat(good: Path, killed: Path, again: Path) -> None:
    """Whole, of a run, of what merge makes of one, and of verify, which must not write."""
    for path, said in ((good, "mpirun -np 2 milvus-hpc run {job} --seed 7 --server {server}"), (killed, "milvus-hpc run {job} --seed 7 --server {server}"),
                       (again, "milvus-hpc verify PARENT.h5 --server {server} --set verify.vectors=none")):
        result = load(path)
        assert report.repeat_command(result) == said.format(job=result.attribute("job_path"), server=result.options["server.uri"].strip("[]"))
    assert f"PARENT.h5: the result of run {load(again).attribute('parent')}" in page_of(again).read_text()
    second = load(again.with_name("second.h5"))
    assert report.repeat_command(second).startswith("milvus-hpc run --continue PARENT.h5 --server ")
    assert dict(report.notices(second))["Part 2"].startswith(f"It goes on where run {second.attribute('continues')} ended")
    assert scaling.workers_of(second, "crud", "writer") == scaling.workers_of(load(again), "crud", "writer") > 0
    options = pd.DataFrame({"option": ["server.token", "stages.a.writer.rows"], "value": ["secret", "5 k"], "origin": "--set"})
    built_in = attributes_of(result_of({}, **{"job/options": options}), job_path="(built-in)", seed=3)
    assert report.repeat_command(built_in) == "milvus-hpc run --seed 3 --set 'stages.a.writer.rows=5 k'"


@pytest.mark.parametrize(("truth", "heading", "said"), [
    ({"acknowledged_inserts": 5}, "Not audited", "these figures say nothing about lost or wrong rows."),
    ({"acknowledged_inserts": 5, "reads_judged": 1, "surplus": 0}, "Not audited", "of rows that nobody looked at, these figures say nothing. 1 read under load showed no violations."),
    ({"acknowledged_inserts": 5, "lost": 1}, "Not audited", "What was looked at showed 1 violation."),
    ({"acknowledged_inserts": 0, "cycles_begun": 6, "lost": 2}, "The job's collection was not audited", "No row of it was acknowledged. 6 lives of collections showed 2 violations."),
    ({"acknowledged_inserts": 5, "cycles_begun": 1, "reads_judged": 7}, "Not audited", "1 life of collections and 7 reads under load showed no violations.")])
def test_without_an_audit_it_is_said_what_was_looked_at(truth: dict[str, int], heading: str, said: str) -> None:
    [(found, sentence)] = report.notices(attributes_of(result_of(truth), audited=False))
    assert found == heading and sentence.endswith(said)


def test_a_page_of_cycles_does_not_contradict_itself(browser: Browser, lives: Path) -> None:
    page, said = opened(browser, page_of(lives))
    assert page.inner_text(".notice") == "The job's collection was not audited. No row of it was acknowledged. 6 lives of collections showed 152 violations."
    tiles = page.eval_on_selector_all(".tile", "tiles => tiles.map(t => [...t.children].map(c => c.innerText))")
    assert ["Cycles", "6", "whole, of 6 begun"] in tiles and ["Violations", "152", "in 6 lives of collections"] in tiles and "Live rows" not in [tile[0] for tile in tiles]
    assert page.locator("#equation").count() == 0 and page.locator("#cycles > div").last.inner_text().split("\n")[-1] == "whole, with 2,400 rows inserted"
    assert "not measured" not in page.inner_text("main") and "say nothing" not in page.inner_text("header") and said == []
    assert [line.relation for line in audit.cycles(result_of({"cycles_begun": 9, "cycles_whole": 6, "cycles_broken": 1, "cycles_cut": 1, "cycle_rows": 5}))][-1] == audit.UNEQUAL


def test_cycles_of_a_dead_rank_are_not_called_sound(killed_lives: Path) -> None:
    """What was found until then is told; that there was no more is not."""
    result = load(killed_lives)
    assert result.truth["cycles_whole"] > 0 and "as it had to be" not in result.attribute("verdict")
    assert report.not_audited(result)[1].endswith(f"What was looked at showed {audit.violations(result)} violations.") and audit.violations(result) == 20
    nothing = attributes_of(result_of({"cycles_begun": 5, "cycles_whole": 5}, ranks=pd.DataFrame({"rank": [0], "missing": [1]})), audited=False)
    assert report.not_audited(nothing) == ("Not audited", "The audit was not made to its end: these figures say nothing about lost or wrong rows.")
    tiles = pd.DataFrame({"stage": ["soak"], "ok": 1, "failed": 0, "unknown": 0, "throttled": 0, "latency": "cycle", "role": "lifecycle"})
    nothing.tables["/operations"] = Table("/operations", tiles, {})
    assert [label for label, _, _ in report.tiles(nothing)] == ["Operations", "Errors", "Cycles"]


def drawn(picture: Picture | None, narrow: bool = False) -> tuple[str, list[str]]:
    """The SVG, and its texts."""
    assert picture is not None
    svg = picture.inline(narrow)
    return svg, [html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)]


def timeline(**columns: object) -> pd.DataFrame:
    seconds = np.arange(20.0)
    stage = np.where(seconds < 10, "fill", "search")
    return pd.DataFrame({"second": seconds, "interval_s": 1.0, "stage": stage, "role": "writer", "op": "insert", "ok": 100, "failed": 0, "unknown": 0, "throttled": 0,
                         "rows": 100, "p50_ns": 1_000_000, "p99_ns": 5_000_000, "max_ns": 6_000_000} | columns)


RESTART = pd.DataFrame({"time_ns": [12_000_000_000, 5_000_000_000], "duration_ns": [3_000_000_000, 0], "kind": ["outage", "command"], "stage": "search", "role": "", "what": "restart"})


def test_over_time_marks_stages_errors_throttling_and_restarts() -> None:
    svg, texts = drawn(pictures.over_time(result_of({}, timeline=timeline(throttled=[0] * 19 + [7]), **{"server/events": RESTART})))
    assert {"fill", "search", "failed", "unknown", "throttled"} <= set(texts)
    assert texts.count("1") == texts.count("2") == 2, "each event in both pictures of the load, by its number in the table"
    assert svg.count("fill: var(--event); opacity: 0.12") == 3 and svg.count("fill: var(--band)") >= 6
    quiet, words = drawn(pictures.over_time(result_of({}, timeline=timeline())))
    assert "throttled" not in words and not {"var(--event)", "var(--bad)"} & set(re.findall(r"var\(--\w+\)", quiet))
    for name, count in (("failed", 3), ("unknown", 2), ("throttled", 7)):
        troubled = pictures.over_time(result_of({}, timeline=timeline(**{name: [0] * 19 + [count]})))
        bars = {bar.get_label(): [patch.get_height() for patch in bar] for bar in troubled.draw(Canvas(Palette(True), False)).axes[2].containers}
        assert bars == {other: [0] * 19 + [count * (other == name)] for other in ("failed", "unknown", "throttled")}


def test_gauges_share_the_loads_clock() -> None:
    gauges = pd.DataFrame({"second": np.tile(np.arange(5.0, 9.0), 2), "source": "10.0.0.1:19530", "name": ["rss_bytes"] * 4 + ["cpu_s"] * 4, "unit": ["bytes"] * 4 + ["s"] * 4,
                           "value": [2e6, 3e6, 2e6, 4e6, 1.0, 1.5, 2.5, 2.5], "life": 1})
    tables = {"timeline": timeline(), "server/events": RESTART, "server/metrics": gauges}
    axes = pictures.server(result_of({}, **tables)).draw(Canvas(Palette(True), False)).axes
    load_axes = pictures.over_time(result_of({}, **tables)).draw(Canvas(Palette(True), False)).axes
    assert {axis.get_title() for axis in axes} == {"memory (RSS)", "CPU (cores)"}
    assert {axis.get_xlim() for axis in (*axes, *load_axes)} == {(0.0, 20.0)} and {axis.get_xlabel() for axis in axes} == {"seconds since the run began"}
    assert [text.get_text() for axis in axes for text in axis.texts] == ["1", "2"] * 2, "the restart is marked there too"
    cores = next(axis for axis in axes if axis.get_title() == "CPU (cores)").lines[0].get_ydata()
    assert list(cores[1:]) == [0.5, 1.0, 0.0] and np.isnan(cores[0])


def ranks_of(**columns: object) -> Result:
    rows = {"rank": range(8), "host": ["a"] * 4 + ["b"] * 4, "cpu_s": 10.0, "peak_rss_bytes": 1 << 20, "private_bytes": 1 << 20, "bytes_out": 1000, "bytes_in": 500,
            "schedule_lag_ns": 1_000_000, "missing": 0}
    return result_of({}, ranks=pd.DataFrame(rows | columns))


def test_a_slow_rank_stands_out() -> None:
    slow = ranks_of(cpu_s=[10.0] * 5 + [41.0] + [10.0] * 2)
    shares = pictures.rank_shares(slow)
    assert list(shares["cpu_s"]) == [1.0] * 5 + [4.1] + [1.0] * 2 and set(shares["bytes_in"]) == {1.0}
    assert report.outstanding_ranks(slow) == "Rank 5 stands out: its CPU time is 4.10 times the median."
    assert report.outstanding_ranks(ranks_of()).startswith("No rank used or moved more than twice")
    idle = ranks_of(bytes_out=[1000] * 7 + [100], cpu_s=[10.0] * 7 + [25.0])
    assert report.outstanding_ranks(idle) == "Rank 7 stands out: what it sent is 0.1 times the median."
    late = [1_000_000] * 7
    assert "Rank 7 stands out: its longest lag is 80.0 times" in report.outstanding_ranks(ranks_of(schedule_lag_ns=[*late, 80_000_000]))
    assert report.outstanding_ranks(ranks_of(schedule_lag_ns=[*late, 8_000_000])).startswith("No rank"), "8 ms are the machine's ordinary unrest"
    gone = ranks_of(cpu_s=[10.0] * 7 + [-1.0], missing=[0] * 7 + [1])
    assert np.isnan(pictures.rank_shares(gone)["cpu_s"][7]) and report.outstanding_ranks(gone).startswith("No rank")
    for narrow in (False, True):
        svg, texts = drawn(pictures.ranks(slow), narrow)
        plain, _ = drawn(pictures.ranks(ranks_of()), narrow)
        assert svg.count("fill: var(--h6)") == 1 and "var(--h6)" not in plain and svg.count("fill: var(--h3)") == plain.count("fill: var(--h3)") - 1
        assert texts.count("41") == 1 and {str(rank) for rank in range(8)} <= set(texts)


def test_a_limited_client_is_named_and_its_figures_marked(browser: Browser, good: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame({"stage": "crud", "role": ["writer", "deleter"], "client_limited": [True, False], "reason": ["a rank used 97% of a core", ""]})
    [(heading, said)] = report.notices(result_of({}, calibration=rows))
    assert heading == "Client-limited" and "crud writer: a rank used 97% of a core" in said and "deleter" not in said
    assert report.notices(result_of({}, calibration=rows.tail(1))) == []
    path = tmp_path / "limited.h5"
    path.write_bytes(good.read_bytes())
    with h5py.File(path, "r+") as file:
        for table in ("operations", "calibration"):
            marked = file[table][()]
            marked["client_limited"] = marked["role"] == b"writer"
            file[table][...] = marked
    assert tool("report", path).returncode == 0
    page, faults = opened(browser, path.with_suffix(".html"))
    assert "Client-limited. Rates and latencies marked *" in page.inner_text(".notice")
    starred = page.eval_on_selector_all("#operations tr:has(.star), #latencies tr:has(.star)", "rows => rows.map(r => r.querySelector('[data-label=role]').innerText.trim())")
    assert len(starred) >= 2 and set(starred) == {"writer"} and faults == []


def test_facts_name_versions_and_hosts(browser: Browser, good: Path) -> None:
    page, _ = opened(browser, page_of(good))
    shown = dict(page.eval_on_selector_all("dl.facts dt", "names => names.map(n => [n.innerText, n.nextElementSibling.innerText])"))
    with h5py.File(good) as file:
        attributes, ranks = {name: plain(value) for name, value in file.attrs.items()}, file["ranks"][()]
    hosts = {plain(host): int(np.sum(ranks["host"] == host)) for host in ranks["host"]}
    assert shown["milvus-hpc"] == attributes["program_version"] and shown["Server"] == f"{attributes['server_uri']}, {attributes['server_version']}"
    assert shown["Hosts (ranks)"] == ", ".join(f"{host} ({count})" for host, count in hosts.items()) and shown["Seed"] == attributes["seed"] == "7"
    assert shown["Job"] == attributes["job_path"] and shown["Ranks"] == "2 on 1 node" and shown["Run"] == attributes["run_id"]
    many = ranks_of(host=[f"n{number}" for number in range(8)])
    assert dict(report.facts(attributes_of(many, np=8, nodes=8)))["Ranks"] == "8 on 8 nodes"
    wide = pd.DataFrame({"rank": range(40), "host": [f"n{number // 2}" for number in range(40)]})
    assert dict(report.facts(result_of({}, ranks=wide)))["Hosts (ranks)"].endswith("n15 (2) and 4 more")


def test_drifts_of_which_none_is_certain_make_no_table() -> None:
    numbers = dict.fromkeys(("median", "slope_per_hour", "low_per_hour", "high_per_hour", "slope_ratio"), [float("nan")] * 2)
    rows = pd.DataFrame({"stage": "soak", "figure": ["server_rss", "client_rss"], "source": "", "unit": "bytes", "wanted": "", "verdict": "", **numbers})
    assert report.trends(result_of({}, trends=rows)) is None
    asked = report.trends(result_of({}, trends=rows.assign(wanted=["", "< 1%/h"])))
    assert asked is not None and [row[1].shown for row in asked.rows] == ["client rss"]


def test_what_was_not_dropped_is_a_violation() -> None:
    truth = dict.fromkeys(audit.KINDS, 0)
    assert "not_dropped" not in audit.kinds_found(result_of(truth)) and "not_dropped" in audit.kinds_found(result_of(truth | {"cycles_begun": 3}))
    assert audit.violations(result_of(truth | {"not_dropped": 2})) == 2
    row = SimpleNamespace(kind="not_dropped", expected_version=0, seen_version=1)
    assert report.expected_and_seen(row) == ("gone", "still listed")
    assert report.expected_and_seen(SimpleNamespace(kind="filter_ignored", seen_version=0)) == ("no hit: filtered out", "a hit, as inserted")


def test_an_equation_of_zeros_says_that_nobody_wrote() -> None:
    truth = dict.fromkeys(("acknowledged_inserts", "acknowledged_deletes", "unknown_inserts", "refused_inserts", "expected_live", "expected_maybe", "count_star",
                           "partition_sum", "scanned"), 0)
    [line] = audit.equation(result_of(truth))
    assert "nobody wrote" in line.what
    assert [line.relation for line in audit.equation(result_of(truth | {"count_star": 1}))].count(audit.UNEQUAL) == 2


def test_text_of_the_file_is_no_markup(browser: Browser, good: Path, tmp_path: Path) -> None:
    """A label that looks like HTML stays text."""
    path = tmp_path / "evil.h5"
    path.write_bytes(good.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["label"] = b"<img src=x onerror=alert(1)></script>"
    assert tool("report", path).returncode == 0
    page, said = opened(browser, path.with_suffix(".html"))
    assert page.inner_text("h1") == "<img src=x onerror=alert(1)></script>" and page.locator("img").count() == 0 and said == []
