import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


PLANS = (
    Plan("decision", "Decision", "", (("Decision", decision.verdict), ("Ten lines", decision.ten_lines))),
    Plan(
        "headline",
        "Headline figures",
        "The model on sellers and days that it never saw, beside every baseline.",
        (
            ("Judged pairs", ranking.judged),
            ("All pairs", ranking.all_pairs),
        ),
    ),
    Plan("gates", "Gates", "What a promotion needs.", (("Gates", decision.gates),)),
    Plan(
        "lineage",
        "Data lineage",
        "The model's origin. Equal study, data and libraries give an equal model.",
        (("Lineage", data.lineage),),
    ),
    Plan(
        "definitions",
        "Definitions",
        "The outcome that the model learned, and the days on which sellers were observed.",
        (("Definitions", data.definitions), ("Observation points", data.windows)),
    ),
    Plan(
        "exclusions",
        "Exclusions and labels",
        "Sellers outside the figures, and the reliability of the labels.",
        (
            ("Exclusions", data.exclusions),
            ("Delay of decisions", data.labels),
            ("Looks at the test window", data.looks),
        ),
    ),
    Plan(
        "checks",
        "Data and leakage checks",
        "A failure here can make every figure below worthless.",
        (("Data checks", data.data_checks), ("Leakage checks", data.leakage_checks)),
    ),
    Plan("ranking", "Ranking", "Whether bad sellers come below good ones.", (("Curves", ranking.curves),)),
    Plan(
        "calibration",
        "Calibration and grades",
        "Whether the probabilities are true, overall and tier by tier.",
        (
            ("Reliability", calibration.reliability),
            ("Calibration figures", calibration.models),
            ("Grade table", calibration.grades),
        ),
    ),
    Plan(
        "segments",
        "Segments and months",
        "Whether it is fair to size, to newcomers and to those who are watched, and whether it held over time.",
        (("Segments", people.segments), ("Figures by month", people.months)),
    ),
    Plan(
        "stability", "Stability", "Whether sellers changed between training and test.", (("PSI and CSI", features.psi),)
    ),
    Plan(
        "page",
        "The page",
        "The whole model: what each feature takes from the base, and that it moves points one way.",
        (
            ("The page", features.page),
            ("Importance", features.importance),
            ("Certificate", features.list_directions),
        ),
    ),
    Plan(
        "champion",
        "Champion against challenger",
        "The changes for sellers if this model takes over.",
        (("Migration matrix", people.migration),),
    ),
    Plan("reproduce", "How to reproduce", "", (("Reproduction", closing.reproduce),)),
)


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
