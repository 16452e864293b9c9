"""A model's report: one offline HTML file, without scripts, that says whether to promote it, and why."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.report.parts import Table
from training.report.reading import Reading
from training.report.sections import build

Json = Any


def render(
    *,
    manifest: Mapping[str, Json],
    evaluation: Mapping[str, Json],
    lineage: Mapping[str, Json],
    certificate: Mapping[str, Json],
    gates: Mapping[str, Json],
    digest: str,
    is_champion: bool = False,
) -> str:
    """Return a model's report as a page of HTML; equal input gives equal bytes.

    `manifest`, `evaluation`, `lineage` and `certificate` are the artifact's parts (parsed JSON), `gates` those beside
    it, `digest` the artifact's. `is_champion`: nothing is left to promote. A part that fails by an error of this program
    is named, with a `ReportFault` warning.
    """
    reading = Reading(manifest, evaluation, lineage, certificate, gates, digest, is_champion)
    template = _templates().get_template("page.html.j2")
    html = template.render(study=reading.study, digest=digest, sections=build(reading))
    return html.replace(" %", "\u00a0%")


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(kind=_kind, pos=_per_cent)
    templates.filters.update(breakable=_breakable, prose=_prose)
    return templates


def _kind(thing: object) -> str:
    return type(thing).__name__.lower()


def _per_cent(value: float) -> str:
    return f"{value:.4g}%"


def _breakable(text: str) -> Markup:
    return Markup("_<wbr>").join(text.split("_"))


def _prose(table: Table) -> bool:
    """Return whether a table has sentences beside its first column; phones then stack its rows."""
    return any(type(cell) is str and len(cell) > 34 for row in table.rows for cell in row[1:])
