"""scripts/silent-loss: the old question, asked once with rate limits and once without."""

from __future__ import annotations

import subprocess

from support import ENVIRONMENT, PROGRAM, ROOT


def table(lines: list[str]) -> dict[str, list[int]]:
    """Rows by their first cell: off, on."""
    rows = {}
    for line in lines:
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if first in ("off", "on"):
            rows[first] = [int(cell.replace(",", "")) for cell in cells]
    return rows


def test_silent_loss_is_the_harness_not_the_server() -> None:
    done = subprocess.run([ROOT / "scripts" / "silent-loss", "--runs", "1", "--program", PROGRAM], env=ENVIRONMENT, cwd=ROOT,
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    end = lines.index("")
    audited, naive = table(lines[:end]), table(lines[end:])
    for limits in ("off", "on"):
        runs, good, throttled, refused, doubt, inserts, deletes, live, count_star, scanned, _row_count, violations = audited[limits]
        assert (runs, good, violations) == (1, 1, 0)
        assert inserts + refused + doubt == 20_000 and live == inserts - deletes
        assert live <= count_star == scanned <= live + doubt
        assert (throttled > 0) == (limits == "on")
    _planned, deleted, expected, _row_count, _by_row_count, live, lost, errors = naive["off"]
    assert (deleted, expected, live, lost, errors) == (1_000, 19_000, 19_500, -500, 0)
    *_, lost, errors = naive["on"]
    assert errors > 0 and lost > 0
