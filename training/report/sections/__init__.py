import tomllib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from jinja2 import TemplateError

from scoring.base.frozen import frozen
from training.report.environment import open_templates
from training.report.parts import Blocks, Missing, PartAbsent, Reading, Section
from training.report.sections import calibration, data, decision, features, people, ranking

Build = Callable[[Reading], Blocks]


@frozen
class SectionPlan:
    key: str
    title: str
    lead: str
    parts: Sequence[tuple[str, Build]]


ROOMS = {room.__name__.rpartition(".")[2]: room for room in (calibration, data, decision, features, people, ranking)}


def _find_part(place: str) -> Build:
    """Return the function at a place such as "data.windows"; "text.NAME" is a macro of `text.html.j2`."""
    room, name = place.split(".")
    if room != "text":
        return cast("Build", getattr(ROOMS[room], name))
    return lambda reading: [getattr(open_templates().get_template("text.html.j2").module, name)(reading)]


def _read_plans() -> tuple[SectionPlan, ...]:
    plans = []
    for row in tomllib.loads(Path(__file__).with_name("sections.toml").read_text(encoding="utf-8"))["sections"]:
        parts = [(name, _find_part(place)) for name, place in row["parts"].items()]
        plans.append(SectionPlan(row["key"], row["title"], row.get("lead", ""), parts))
    return tuple(plans)


PLANS = _read_plans()


class ReportFault(RuntimeWarning):
    """A program error prevented a part of a report."""


def build(reading: Reading) -> list[Section]:
    """Build every section of the report, in order; a sentence replaces a part that is absent or fails."""
    return [
        Section(
            plan.key,
            plan.title,
            plan.lead,
            [block for name, part in plan.parts for block in _build_blocks(name, part, reading)],
        )
        for plan in PLANS
    ]


def _build_blocks(name: str, part: Build, reading: Reading) -> Blocks:
    try:
        return part(reading)
    except PartAbsent as absent:
        return [Missing(name, str(absent))]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, TemplateError) as error:
        fault = f"this program failed on it ({type(error).__name__}: {error})"
        warnings.warn(f"the report lacks its part {name!r}: {fault}", ReportFault, stacklevel=2)
        return [Missing(name, f"{fault}; please report it: the figures are in evaluation.json")]
