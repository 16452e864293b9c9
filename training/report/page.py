"""The report of a model: one offline HTML file that states whether to promote it, and shows why.

Nothing in it is loaded or run: styles are inline, figures are SVG, and there is no script. Figures are drawn in per cent
of the space they get, so lines stretch and text keeps its size from a phone to paper. Equal input gives equal bytes.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from training.report.parts import Table
from training.report.reading import JsonTable, Reading
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
    """Return the report of a model as a whole page of HTML.

    `manifest`, `evaluation`, `lineage`, `certificate`: an artifact's parts (parsed JSON); `gates`: those beside it, None
    if not recorded; `digest`: of the artifact.

    What the parts do not hold (models of earlier releases hold less) is left out with a sentence that states why. Where
    an error of this program keeps something out, its place states that, and `ReportFault` warns of it. All texts are
    taken as hostile and escaped.
    """
    reading = Reading(
        JsonTable.of(manifest),
        JsonTable.of(evaluation),
        JsonTable.of(lineage),
        JsonTable.of(certificate),
        JsonTable.of(gates),
        digest,
    )
    return render_template("page.html.j2", study=reading.study, digest=digest, sections=build(reading))


def render_template(name: str, **values: Json) -> str:
    """Return the HTML of a template in this folder's `templates`, with every text in `values` escaped."""
    html = _templates().get_template(name).render(**values)
    return html.replace(" %", "\u00a0%")  # no line begins with the sign of a number that ended the last one


@cache
def _templates() -> Environment:
    """Return the templates of the page, which escape every text and fail on what is undefined."""
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
    """Return the name of the template that draws a block, a cell or a mark: that of its type."""
    return type(thing).__name__.lower()


def _per_cent(value: float) -> str:
    """Write a position for a style: 12.5 is "12.5%"."""
    return f"{value:.4g}%"


def _breakable(text: str) -> Markup:
    """Return a long name as HTML that may break after each underscore.

    Everything else of it is escaped.
    """
    return Markup("_<wbr>").join(text.split("_"))


def _prose(table: Table) -> bool:
    """Return whether a table holds sentences beside its first column.

    On a phone such rows are stacked.
    """
    return any(type(cell) is str and len(cell) > 34 for row in table.rows for cell in row[1:])
