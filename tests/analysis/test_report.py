"""The page in a real browser: its numbers are the file's, the filter works, nothing is cut, nothing is fetched."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import page_of, tool
from playwright.sync_api import Browser, Page, sync_playwright

from hpc_analysis import audit, report
from hpc_analysis.result import Result, Table

SIZES = {"desktop": (1280, 900), "phone": (360, 780)}


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["good", "violated", "rich", "killed"])
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
        for name, what in (("acknowledged_inserts", "acknowledged inserts"), ("count_star", "count(*) of the collection"), ("scanned", "scanned")):
            value = next(value for text, value in equation if text.startswith(what))
            assert value == (str(figures[name]) if figures[name] >= 0 else "")
        verdict = page.inner_text("#verdict")
        assert f"exit code {file.attrs['exit_code']}" in verdict and plain(file.attrs["verdict"]).split(": ")[-1].casefold() in verdict.casefold()
        assert f"--seed {file.attrs['seed']}" in page.inner_text("#repeat")
        assert page.locator("#job").text_content().strip() == plain(file["job/text"][()]).strip()
    assert said == []


def test_shown_figures_match_their_values(browser: Browser, violated: Path) -> None:
    """What a reader sees, and not only what stands behind it."""
    page, _ = opened(browser, page_of(violated))
    shown = page.eval_on_selector_all("#operations td.n", "items => items.map(c => [c.innerText.trim(), +c.dataset.value])")
    assert len(shown) > 20
    for text, value in shown:
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(("size", "theme"), [("desktop", "dark"), ("phone", "light")])
def test_nothing_is_cut(browser: Browser, written: tuple[Path, Path], size: str, theme: str) -> None:
    page, said = opened(browser, written[1], size, theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    wrong = page.evaluate("""() => {
        const wide = document.documentElement.clientWidth, found = [];
        for (const item of document.querySelectorAll("main *, header *")) {
            const box = item.getBoundingClientRect();
            if (box.width && !item.closest("details") && (box.left < -1 || box.right > wide + 1)) found.push(item.tagName + " " + item.textContent.slice(0, 40));
        }
        for (const svg of document.querySelectorAll(".plot svg")) {
            const frame = svg.getBoundingClientRect();
            if (!frame.width) continue;
            for (const text of svg.querySelectorAll("text")) {
                const box = text.getBoundingClientRect();
                if (box.left < frame.left - 3 || box.right > frame.right + 3 || box.top < frame.top - 3 || box.bottom > frame.bottom + 3)
                    found.push("text out of its picture: " + text.textContent);
                if (parseFloat(getComputedStyle(text).fontSize) * frame.width / svg.viewBox.baseVal.width < 6.5) found.push("too small: " + text.textContent);
            }
        }
        return found; }""")
    assert wrong == [] and said == []
    narrow = page.locator(".plot.narrow").first
    assert narrow.is_visible() == (size == "phone") or not narrow.count()


def test_filter(browser: Browser, violated: Path) -> None:
    page, said = opened(browser, page_of(violated))
    with h5py.File(violated) as file:
        rows = file["truth/violations"][()]
    assert len(rows) > 100
    listed = page.eval_on_selector_all("#violations tbody tr", "rows => rows.map(r => [r.dataset.kind, +r.dataset.id])")
    assert listed == [[plain(row["kind"]), int(row["id"])] for row in rows[:100]]
    assert f"The first 100 of {len(rows):,}" in page.inner_text("main")
    visible = page.locator("#violations tbody tr:visible")
    page.select_option("select[name=kind]", "corrupted")
    corrupted = sum(kind == "corrupted" for kind, _ in listed)
    assert 0 < corrupted < 100 and visible.count() == corrupted
    page.select_option("select[name=kind]", "")
    one = str(listed[3][1])
    page.fill("input[name=words]", f"{listed[3][0]} {one}")
    texts = visible.all_inner_texts()
    assert 0 < len(texts) < 100 and all(one in text for text in texts)
    assert page.inner_text("form.filter output") == f"{len(texts)} of 100 shown"
    page.fill("input[name=words]", "")
    assert visible.count() == 100 and said == []


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
