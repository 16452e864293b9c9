"""A model's report: one offline HTML file, without scripts, that says whether to promote it, and why."""

from training.report.environment import open_templates
from training.report.parts import Reading
from training.report.sections import build


def render(reading: Reading) -> str:
    """Return a model's report as a page of HTML; equal input gives equal bytes."""
    template = open_templates().get_template("page.html.j2")
    html = template.render(study=reading.study, digest=reading.digest, sections=build(reading))
    return html.replace(" %", "\u00a0%")
