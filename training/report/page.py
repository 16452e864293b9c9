"""The report of a model: one offline HTML file that says whether to promote it, and shows why.

Nothing in it is loaded or run: styles are inline, figures are SVG, and there is no script. Figures are drawn in per cent
of the room they get, so lines stretch and text keeps its size from a phone to paper. Equal input gives equal bytes.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.report.parts import Table
from training.report.reading import Held, Reading
from training.report.sections import build

Json = Any


def render(
    *,
    manifest: Mapping[str, Json],
    evaluation: Mapping[str, Json],
    lineage: Mapping[str, Json],
    certificate: Mapping[str, Json],
    gates: Mapping[str, Json] | None,
    digest: str,
) -> str:
    """The report, as HTML, of an artifact's parts (parsed JSON), the gates beside it (None: not recorded) and its digest.

    What the parts do not hold (models of earlier releases hold less) is left out with a sentence that says why. What an
    error of this program keeps out is said so in its place, and warned of as `ReportFault`. All texts are taken as hostile
    and escaped.
    """
    reading = Reading(
        Held.of(manifest), Held.of(evaluation), Held.of(lineage), Held.of(certificate), Held.of(gates), digest
    )
    page = _templates().get_template("page.html.j2")
    html = page.render(study=reading.study, digest=digest, sections=build(reading))
    return html.replace(" %", "\u00a0%")  # no line begins with the sign of a number that ended the last one


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("training.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(kind=_kind, pos=_per_cent)
    templates.filters.update(breakable=_breakable, prose=_prose)
    return templates


def _kind(thing: object) -> str:
    """By what a block, a cell or a mark is drawn: the name of its type."""
    return type(thing).__name__.lower()


def _per_cent(value: float) -> str:
    return f"{value:.4g}%"


def _breakable(text: str) -> Markup:
    """A long name that may break after each underscore; everything else of it is escaped."""
    return Markup("_<wbr>").join(text.split("_"))


def _prose(table: Table) -> bool:
    """Whether a table holds sentences beside its first column; on a phone such rows are stacked."""
    return any(type(cell) is str and len(cell) > 34 for row in table.rows for cell in row[1:])
