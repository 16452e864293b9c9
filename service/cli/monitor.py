from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoring.base.errors import invalid
from scoring.base.time import parse_day
from service.bootstrap import open_registry
from service.cli.options import Export, Model, Study
from service.cli.output import Exit, Format, Output, emit, emit_one, say, write
from service.cli.progress import StepProgress
from service.cli.training_data import study_of, table_of
from service.settings import load

if TYPE_CHECKING:
    from training.monitoring.results import MonitorReport

MAX_FEATURES = 10


def monitor(
    study: Annotated[Path, Study],
    model: Model = "champion",
    export: Export = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DAY", help="By the knowledge of that day; default: the latest.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show how far sellers, scores and outcomes have moved since a model's training.

    Exit code 4 on an alert. Drift compares today's sellers with the model's training points. Calibration is observed
    over expected bad sellers in windows that are over (matured).
    """
    from service.policy.policy_file import load_policy
    from training.monitoring.monitor import monitor as run

    try:
        day = None if as_of is None else parse_day(as_of)
    except ValueError as error:
        raise invalid("--as-of", str(error)) from None
    settings, read_study = load(), study_of(study)
    registry = open_registry(settings)
    artifact = registry.load(registry.resolve(model))
    with StepProgress() as progress:
        table = table_of(settings, read_study.marketplace, export, progress)
        progress("monitor", 0, 1)
        report = run(table, read_study, artifact, load_policy(settings), day)
        progress("monitor", 1, 1)
    _show_report(report, output)
    if any(report.alerts.values()):
        say("error: at least one check alerts")
        raise typer.Exit(Exit.REFUSED)


def _show_report(report: "MonitorReport", output: Format) -> None:
    row = report.as_dict()
    if output is Format.JSON:
        emit_one(row, output)
        return
    alerts = [name for name, alert in row["alerts"].items() if alert]
    emit_one(
        {
            "model": row["model"],
            "as_of": row["as_of"],
            "sellers": f"{row['rows']:,} now, {row['reference_rows']:,} at the training points",
            "alerts": alerts or "none",
        },
        output,
    )
    write("\n")
    drift = [row["score"], *row["features"][:MAX_FEATURES]]
    emit([{**d, "value": round(d["value"], 4), "critical": round(d["critical"], 4)} for d in drift], output)
    write("\n")
    bases = {"matured": row["matured"], **{f"  {n}": t for n, t in row["tiers"].items()}}
    emit(
        [
            _make_calibration_row(name, calibration)
            for name, calibration in bases.items()
            if calibration["rows"] or calibration["why_not"]
        ],
        output,
    )


def _make_calibration_row(name: str, finding: dict[str, Any]) -> dict[str, Any]:
    ratio = finding["ratio"]
    ratio_text = f"{ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})" if ratio else finding["why_not"]
    return {
        "basis": name,
        "windows from": " ".join(finding["days"]) if not name.startswith(" ") else "",
        "sellers": finding["rows"],
        "bad": finding["bad"],
        "expected": round(finding["expected"], 1),
        "observed / expected": ratio_text,
        "alert": finding["alert"],
    }
