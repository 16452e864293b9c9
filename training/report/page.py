"""A model's report: one offline HTML file, without scripts, that says whether to promote it, and why."""

from collections.abc import Mapping
from typing import Any

from training.report.environment import open_templates
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

    The artifact's parts, `digest` and `gates` are parsed JSON. `is_champion`: nothing is left to promote. A part that
    fails by an error of this program is named, with a `ReportFault` warning.
    """
    reading = Reading(manifest, evaluation, lineage, certificate, gates, digest, is_champion)
    template = open_templates().get_template("page.html.j2")
    html = template.render(study=reading.study, digest=digest, sections=build(reading))
    return html.replace(" %", "\u00a0%")
