import tomllib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.report.parts import Block, Missing, Section
from training.report.reading import Absent, Reading
from training.report.sections import calibration, closing, data, decision, features, people, ranking

Build = Callable[[Reading], list[Block]]


@dataclass(frozen=True, slots=True)
class Plan:
    key: str
    title: str
    lead: str
    parts: Sequence[tuple[str, Build]]


def _read_plans() -> tuple[Plan, ...]:
    rooms = {
        room.__name__.rpartition(".")[2]: room
        for room in (calibration, closing, data, decision, features, people, ranking)
    }
    found = []
    for row in tomllib.loads(Path(__file__).with_name("sections.toml").read_text(encoding="utf-8"))["sections"]:
        places = {name: place.split(".") for name, place in row["parts"].items()}
        parts = [(name, getattr(rooms[room], function)) for name, (room, function) in places.items()]
        found.append(Plan(row["key"], row["title"], row.get("lead", ""), parts))
    return tuple(found)


PLANS = _read_plans()


class ReportFault(RuntimeWarning):
    """A program error prevented a part of a report."""


def build(reading: Reading) -> list[Section]:
    """Build every section of the report, in order; a sentence replaces a part that is left out.

    A program error leaves out one part, with a `ReportFault` warning.
    """
    return [
        Section(p.key, p.title, p.lead, [block for name, part in p.parts for block in _blocks(name, part, reading)])
        for p in PLANS
    ]


def _blocks(name: str, part: Build, reading: Reading) -> list[Block]:
    try:
        return part(reading)
    except Absent as absent:
        return [Missing(name, str(absent))]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        fault = f"this program failed on it ({type(error).__name__}: {error})"
        warnings.warn(f"the report lacks its part {name!r}: {fault}", ReportFault, stacklevel=2)
        return [Missing(name, f"{fault}; please report it: the figures are in evaluation.json")]
