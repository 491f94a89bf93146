"""Templates to pages that stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from hpc_analysis import units
from hpc_analysis.picture import LIGHT

TEMPLATES = Path(__file__).parent / "templates"
DARK = {
    "ink": "#e6eaf0", "muted": "#9fabb9", "grid": "#323b47", "band": "#1d242d", "paper": "#151a21", "bad": "#ff7b72", "event": "#d3a4f2",
    "s0": "#5eb3e8", "s1": "#ff8f5a", "s2": "#3fcf9f", "s3": "#e79ccb", "s4": "#e6b84a", "s5": "#9ccdf0", "s6": "#b5b5b5", "s7": "#b9a3e3",
    "h0": "#1f5d8c", "h1": "#264a66", "h2": "#263644", "h3": "#272d35", "h4": "#4a3526", "h5": "#754720", "h6": "#a3561a",
}


def colours(theme: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in theme.items())


def render(template: str, values: dict[str, Any]) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"integer": units.integer, "digits": units.digits, "duration": units.duration}
    style = (TEMPLATES / "page.css").read_text()
    script = (TEMPLATES / "page.js").read_text()
    return environment.get_template(template).render(**values, style=style, script=script, light=colours(LIGHT), dark=colours(DARK))
