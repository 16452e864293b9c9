import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from training.report.numbers import plural
from training.report.parts import Block, Faulty, Missing, Plots, Section, Text
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
    Plan("decision", "Decision", "", (("Decision", decision.verdict), ("Gates", decision.gates))),
    Plan(
        "headline",
        "Headline figures",
        "How good the model is on sellers and days it never saw, beside every baseline.",
        (
            ("Headline figures", decision.headline),
            ("Sizes", decision.sizes),
            ("Baselines", decision.baselines),
            ("Paired differences", decision.differences),
            ("At equal volume", decision.equal_volume),
        ),
    ),
    Plan(
        "lineage",
        "Data lineage",
        "What the model was made from. The same of everything gives the same model.",
        (("Lineage", data.lineage), ("Library versions", data.versions)),
    ),
    Plan("definitions", "Definitions", "What the model was taught to foresee.", (("Definitions", data.definitions),)),
    Plan(
        "windows",
        "Windows",
        "When sellers were observed, and when the truth about them was read.",
        (("The drawing of the windows", data.windows),),
    ),
    Plan(
        "exclusions",
        "Exclusions and labels",
        "Who is not in the figures, and how far the labels can be trusted.",
        (
            ("Exclusions", data.exclusions),
            ("Indeterminates", data.indeterminates),
            ("Delay of decisions", data.labels),
            ("Looks at the test window", data.looks),
        ),
    ),
    Plan(
        "checks",
        "Data and leakage checks",
        "What would have made every figure below worthless.",
        (("Data checks", data.data_checks), ("Leakage checks", data.leakage_checks)),
    ),
    Plan(
        "ranking",
        "Ranking",
        "Whether bad sellers come below good ones.",
        (
            ("ROC", ranking.roc),
            ("KS", ranking.ks),
            ("Lift", ranking.lift),
        ),
    ),
    Plan(
        "calibration",
        "Calibration and grades",
        "Whether the probabilities are true, overall and tier by tier.",
        (
            ("Reliability", calibration.reliability),
            ("Score distribution", ranking.distribution),
            ("Calibration figures", calibration.calibration_table),
            ("Grade table", calibration.grades),
            ("Tiers at the reference exposure", calibration.bands),
        ),
    ),
    Plan("months", "Month by month", "Whether it held over time.", (("Figures by month", ranking.months),)),
    Plan(
        "price",
        "The price of a page",
        "What a model that adds up costs against trees of any features, and by volume of the seller.",
        (("The price of a page", calibration.price),),
    ),
    Plan(
        "stability", "Stability", "Whether sellers changed between training and test.", (("PSI and CSI", features.psi),)
    ),
    Plan(
        "page",
        "The page",
        "The whole model: what each feature takes from the base, and that it moves points one way.",
        (("The page", features.page), ("Certificate", features.certificate)),
    ),
    Plan("reasons", "Reasons", "What sellers are told when they ask why.", (("Reason frequencies", features.reasons),)),
    Plan(
        "segments",
        "Segments",
        "Whether it is fair to size, to newcomers and to those who are watched.",
        (("Segments", people.segments),),
    ),
    Plan(
        "champion",
        "Champion against challenger",
        "What changes, and for whom, if this model takes over.",
        (
            ("Comparison in figures", people.paired),
            ("Migration matrix", people.migration),
            ("Swap set", people.swap),
        ),
    ),
    Plan(
        "misses",
        "The worst misses",
        "Where it was most wrong, with the ledger entries.",
        (("Worst misses", people.worst),),
    ),
    Plan("limits", "Limits and intended use", "", (("Limits", closing.limits),)),
    Plan("reproduce", "How to reproduce", "", (("Reproduction", closing.reproduce),)),
    Plan("glossary", "Glossary", "", (("Glossary", closing.glossary),)),
)


def build(reading: Reading) -> list[Section]:
    """Build every section of the report, in order.

    A sentence replaces a part without figures. A part that a program error keeps out is listed separately, with a
    warning: tests treat warnings as errors.
    """
    sections = [Section(p.key, p.title, p.lead, _side_by_side(_blocks(p, reading))) for p in PLANS]
    left_out = sum(len(block.parts) for section in sections for block in section.blocks if isinstance(block, Missing))
    if left_out:
        text = (
            f"Left out of this report: {plural(left_out, 'part')}, each with a sentence that says why: some need a champion"
            " to compare with, or more data, and a model of an earlier release holds fewer figures."
        )
        sections[0] = replace(sections[0], blocks=[*sections[0].blocks, Text(text, quiet=True)])
    return sections


class ReportFault(RuntimeWarning):
    """A program error prevented a part of a report."""


def _blocks(plan: Plan, reading: Reading) -> list[Block]:
    blocks: list[Block] = []
    missing: list[tuple[str, str]] = []
    faults: list[tuple[str, str]] = []
    for name, part in plan.parts:
        try:
            blocks += part(reading)
        except Absent as absent:
            missing.append((name, str(absent)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = type(error).__name__
            faults.append((name, kind))
            warnings.warn(f"the report lacks its part {name!r} by an error of this program ({kind}: {error})",
                          ReportFault, stacklevel=2)  # fmt: skip
    return [*blocks, *([Missing(missing)] if missing else []), *([Faulty(faults)] if faults else [])]


def _side_by_side(blocks: list[Block]) -> list[Block]:
    found: list[Block] = []
    for block in blocks:
        last = found[-1] if found else None
        if isinstance(block, Plots) and isinstance(last, Plots) and not (block.wide or last.wide):
            found[-1] = Plots([*last.plots, *block.plots])
        else:
            found.append(block)
    return found
