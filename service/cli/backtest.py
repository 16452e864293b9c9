from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.enums import Tier
from scoring.base.errors import EntryNotFound, invalid
from scoring.base.progress import Progress
from scoring.base.time import format_day, parse_day
from service.bootstrap import open_ledger, open_registry
from service.cli.options import AgainstModel, Export, Marketplace, Model, Study
from service.cli.output import Format, Output, emit, emit_one, say, write
from service.cli.progress import StepProgress
from service.settings import Settings, load

if TYPE_CHECKING:
    from scoring.base.arrays import Ints
    from scoring.model.artifact import Artifact
    from service.registry.registry import Registry
    from training.monitoring.backtest import Backtest, BacktestDay
    from training.observation.export import LedgerTable
    from training.study.definition import Study as ReadStudy

app = typer.Typer()


class KnowledgeOption(StrEnum):
    THEN = "then"
    TODAY = "today"


NOBODY = "none"

Knowing = Annotated[
    KnowledgeOption,
    typer.Option(
        "--knowledge", help="Answer with the knowledge of each day, or with the decisions known today about it."
    ),
]


@app.command("backtest")
def backtest(
    model: Model,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, as 2026-03-01.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day.")],
    step: Annotated[int, typer.Option("--step", metavar="DAYS", min=1, help="Days between two looks.")] = 28,
    against: AgainstModel = None,
    study: Annotated[Path | None, Study] = None,
    knowledge: Knowing = KnowledgeOption.THEN,
    export: Export = None,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Answer every seller as a model would have on past days, and compare the answers.

    Shows the tiers, the sellers who would have moved, and the accuracy. Points and tiers are those that a server would
    have answered. Promoted and demoted are changes between rated tiers since the previous day; up and down are sellers
    in a better or worse tier than with the other model. AUC as served, and bad over expected, are shown if the study's
    window is over. in_sample marks days whose outcomes the model was trained on.

    The other model is the champion, unless --against names one, or none. With --study it shows how right the answers
    were.
    """
    from service.policy.policy_file import load_policy
    from training.monitoring import backtest as run
    from training.monitoring.outcomes import adapt_study_to_model

    settings = load()
    policy = load_policy(settings)
    registry = open_registry(settings)
    artifact = registry.load(registry.resolve(model))
    other = _load_other(registry, artifact, against)
    days = run.days_between(_day(first, "--from"), _day(last, "--to"), step)
    stated = None if study is None else adapt_study_to_model(study_of(study), artifact)
    where = marketplace or (stated or settings).marketplace
    with StepProgress() as progress:
        table = table_of(settings, where, export, progress)
        found = run.backtest(
            table,
            artifact,
            policy,
            days,
            against=other,
            study=stated,
            knowledge=run.Knowledge(knowledge.value),
            progress=progress,
        )
    total = {
        "model": artifact.digest,
        "against": None if other is None else other.digest,
        "policy": policy.digest,
        "marketplace": where,
        "knowledge": knowledge.value,
        **_totals(found),
    }
    _show_backtest(total, found.steps, output)


def _load_other(registry: "Registry", artifact: "Artifact", against: str | None) -> "Artifact | None":
    """Return the named model, or the champion; None if that is the model itself or missing."""
    if against == NOBODY:
        return None
    if against is None:
        champion = registry.champion()
        if champion is None:
            say("there is no champion to compare with; another model: --against MODEL")
            return None
        against = champion
    other = registry.load(registry.resolve(against))
    return None if other.digest == artifact.digest else other


def study_of(path: Path) -> "ReadStudy":
    """Load the study in a file, or the shipped study of that name. Raises ConfigurationWrong."""
    from training.study.loading import load_study

    shipped = Path(__file__).parents[2] / "training" / "studies" / path.name
    return load_study(path if path.exists() or not shipped.exists() else shipped)


def table_of(settings: Settings, marketplace: str, export: Path | None, progress: Progress) -> "LedgerTable":
    """Return a marketplace's export, from `export` or made of the ledger in the data folder.

    Raises EntryNotFound if the ledger has no entries of the marketplace.
    """
    from training.observation.export import read_export, write_export

    if export is None:
        export = settings.data_dir / "exports" / f"{marketplace}.parquet"
        progress("export", 0, 1)
        with open_ledger(settings) as ledger:
            count = write_export(ledger.entries.export(marketplace, ledger.cut()), export)
        progress("export", 1, 1)
        if not count:
            raise EntryNotFound(
                f"the ledger holds no entries of marketplace {marketplace!r}; import them first: sellertrust ledger import,"
                " or name the one you mean by --marketplace or in the study"
            )
    progress("read", 0, 1)
    table = read_export(export)
    progress("read", 1, 1)
    return table


def _show_backtest(total: dict[str, Any], steps: Sequence[Any], output: Format) -> None:
    if output is Format.JSON:
        emit_one({**total, "steps": [_step_as_json(step) for step in steps]}, output)
        return
    rows = [_step_row(step) for step in steps]
    columns = max(rows, key=len)
    emit([{name: row.get(name) for name in columns} for row in rows], output)
    write("\n")
    emit_one({name: value for name, value in total.items() if not isinstance(value, list)}, output)
    for rows in (total["moves"], total["by_tier"]):
        if rows:
            write("\n")
            emit(rows, output)


def _day(text: str, option: str) -> int:
    try:
        return parse_day(text)
    except ValueError as error:
        raise invalid(option, str(error)) from None


_NAMES = ("absent", *(tier.name.lower() for tier in Tier))


def _step_row(step: "BacktestDay") -> dict[str, Any]:
    counts = dict(zip(_NAMES[1:], step.sellers[1:].tolist(), strict=True))
    row: dict[str, Any] = {"day": format_day(step.day), "sellers": sum(counts.values()), **counts}
    row |= _up_and_down(step.moved, "promoted", "demoted")
    if step.against is not None:
        row |= _up_and_down(step.against, "up", "down")
    if (figures := step.figures) is not None:
        row["auc"] = round(figures.auc, 4)
        if figures.auc_against is not None:
            row["auc_against"] = round(figures.auc_against, 4)
        observed, expected = float(figures.bad_weight.sum()), float(figures.expected.sum())
        row |= {"bad": int(figures.bad.sum()), "bad_over_expected": round(observed / expected, 3) if expected else None}
    return row | {"in_sample": "yes" if step.in_sample else ""}


def _up_and_down(matrix: "Ints | None", up: str, down: str) -> dict[str, int | None]:
    import numpy as np

    if matrix is None:
        return {up: None, down: None}
    rated = matrix[2:, 2:]  # without the absent and the unrated
    return {up: int(np.triu(rated, 1).sum()), down: int(np.tril(rated, -1).sum())}


def _by_tier(steps: "Sequence[BacktestDay]") -> list[dict[str, Any]]:
    figures = [step.figures for step in steps if step.figures is not None and not step.in_sample]
    if not figures:
        return []
    rows, bad, weight, bad_weight, expected = (sum(getattr(f, name) for f in figures).tolist() for name in _BY_TIER)
    return [
        {
            "tier": name,
            "observed": rows[place],
            "bad": bad[place],
            "bad_share": round(bad_weight[place] / weight[place], 4),
            "expected_share": round(expected[place] / weight[place], 4),
        }
        for place, name in enumerate(_NAMES)
        if rows[place]
    ]


def _list_moves(matrix: "Ints | None") -> list[dict[str, Any]] | None:
    if matrix is None:
        return None
    return [
        {"from": before, "to": after, "sellers": int(matrix[a, b])}
        for a, before in enumerate(_NAMES)
        for b, after in enumerate(_NAMES)
        if a != b and matrix[a, b]
    ]


_BY_TIER = ("rows", "bad", "weight", "bad_weight", "expected")


def _step_as_json(step: "BacktestDay") -> dict[str, Any]:
    figures = step.figures
    return {
        "day": format_day(step.day),
        "sellers": dict(zip(_NAMES, step.sellers.tolist(), strict=True)),
        "changed": step.changed,
        "moves": _list_moves(step.moved),
        "against": _list_moves(step.against),
        "in_sample": step.in_sample,
        "figures": None
        if figures is None
        else {
            "auc": figures.auc,
            "auc_against": figures.auc_against,
            "tiers": [
                {
                    "tier": name,
                    **{part: getattr(figures, part)[place].item() for part in _BY_TIER},
                }
                for place, name in enumerate(_NAMES)
                if figures.rows[place]
            ],
        },
    }


def _totals(found: "Backtest") -> dict[str, Any]:
    churn = found.churn_per_month
    return {
        "promotions": found.promotions,
        "demotions": found.demotions,
        "sellers_affected": found.affected,
        "churn_per_month": None if churn is None else round(churn, 5),
        "moves": _list_moves(found.moved),
        "by_tier": _by_tier(found.steps),
    }
