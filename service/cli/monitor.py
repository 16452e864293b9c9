"""`sellertrust model monitor`: does the model still fit the world? For a person, for Prometheus, and as an exit code."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from prometheus_client import CollectorRegistry, Gauge, start_http_server, write_to_textfile

from scoring.errors import ConfigurationWrong, SellertrustError, invalid
from scoring.time import parse_day
from service.bootstrap import open_registry
from service.cli.backtest import Export, study_of, table_of
from service.cli.output import Exit, Format, Output, emit, emit_one, say, training_missing, write
from service.cli.progress import StepProgress
from service.settings import host_and_port, load

if TYPE_CHECKING:
    from training.monitoring.results import MonitorReport

app = typer.Typer()

MAX_FEATURES = 10
"""Features shown to a person; JSON and Prometheus have them all."""


@app.command("monitor")
def monitor(
    study: Annotated[
        Path, typer.Option("--study", metavar="FILE", help="The model's study; [monitor] in it says when to alert.")
    ],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An alias, or the beginning of a digest.")] = "champion",
    export: Export = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DAY", help="By the knowledge of that day; default: the latest.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="ADDRESS", help="Offer gauges to Prometheus there, until stopped.")
    ] = None,
    textfile: Annotated[
        Path | None, typer.Option("--textfile", metavar="FILE", help="Write the gauges for node_exporter's collector.")
    ] = None,
    every: Annotated[
        float | None, typer.Option("--every", metavar="SECONDS", min=1, help="Look again so often, until stopped.")
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Show how far sellers, scores and outcomes have moved from those of a model's training.

    Exit code 4 on an alert. Drift is of today's sellers against the model's training points. Calibration is observed over
    expected bad sellers: in windows that are over (matured), and in those still open, lifted by how past windows
    developed (estimated). With --listen or --every it goes on until SIGTERM or Ctrl-C; the exit code is then that of the
    last look.
    """
    gauges = Gauges()
    stop = threading.Event()
    if listen is not None or every is not None:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if listen is not None:
        _offer(listen, gauges)
    alert = False
    while True:
        try:
            report = _look(model, study, export, as_of)
        except SellertrustError as error:
            if listen is None and every is None:
                raise
            say(f"error: {error.message}")  # the next look may succeed; the time of the last one shows that it did not
        else:
            gauges.show(report)
            if textfile is not None:
                write_to_textfile(str(textfile), gauges.registry)
            _emit(report, output)
            alert = any(report.alerts.values())
        if (listen is None and every is None) or stop.wait(every or 3600.0):
            break
    if alert:
        say("error: at least one check alerts")
        raise typer.Exit(Exit.REFUSED)


class Gauges:
    """The gauges of one model, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"sellertrust_model_{name}", text, labels, registry=self.registry)

        self._psi = gauge("score_psi", "Population stability index of the score against the training.")
        self._psi_critical = gauge("score_psi_critical", "What the index passes by chance in 5 % of such samples.")
        self._csi = gauge("feature_csi", "Stability index of each feature against the training.", "feature")
        self._ratio = gauge("calibration_ratio", "Observed over expected bad sellers.", "basis")
        self._low = gauge("calibration_ratio_low", "Lower end of its 95 % interval.", "basis")
        self._high = gauge("calibration_ratio_high", "Upper end of its 95 % interval.", "basis")
        self._alert = gauge("alert", "Whether a check alerts: 1 or 0.", "check")
        self._time = gauge("monitor_last_success_timestamp_seconds", "When a look last succeeded, since 1970.")
        self._info = gauge("monitored_info", "1 for the model looked at.", "model")

    def show(self, report: "MonitorReport") -> None:
        """Set every gauge to the figures of a report; clear those of which it has no figure.

        And the time of the last look.
        """
        for gauge in (self._csi, self._ratio, self._low, self._high, self._alert, self._info):
            gauge.clear()
        self._psi.set(report.score.value)
        self._psi_critical.set(report.score.critical)
        for feature in report.features:
            self._csi.labels(feature.name).set(feature.value)
        for basis, found in (("matured", report.matured), ("estimated", report.estimated)):
            if found.ratio is not None:
                self._ratio.labels(basis).set(found.ratio.value)
                self._low.labels(basis).set(found.ratio.low)
                self._high.labels(basis).set(found.ratio.high)
        for check, alerts in report.alerts.items():
            self._alert.labels(check).set(int(alerts))
        self._info.labels(report.model).set(1)
        self._time.set_to_current_time()


def _look(model: str, study: Path, export: Path | None, as_of: str | None) -> "MonitorReport":
    try:
        from training.monitoring.monitor import monitor as run
    except ImportError as error:
        raise training_missing(error) from None
    from service.policy.policy_file import load_policy

    try:
        day = None if as_of is None else parse_day(as_of)
    except ValueError as error:
        raise invalid("--as-of", str(error)) from None
    settings, stated = load(), study_of(study)
    registry = open_registry(settings)
    artifact = registry.load(registry.resolve(model))
    with StepProgress() as progress:
        table = table_of(settings, stated.marketplace, export, progress)
        progress("monitor", 0, 1)
        report = run(table, stated, artifact, load_policy(settings), day)
        progress("monitor", 1, 1)
    return report


def _offer(address: str, gauges: Gauges) -> None:
    try:
        host, port = host_and_port(address)
        start_http_server(port, host, gauges.registry)
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationWrong(f"--listen {address} cannot be had: {problem}; name another address") from None


def _emit(report: "MonitorReport", output: Format) -> None:
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
    bases = {"matured": row["matured"], **{f"  {n}": t for n, t in row["tiers"].items()}, "estimated": row["estimated"]}
    emit([_calibration(name, found) for name, found in bases.items() if found["rows"] or found["why_not"]], output)


def _calibration(name: str, found: dict[str, Any]) -> dict[str, Any]:
    ratio = found["ratio"]
    shown = f"{ratio['value']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})" if ratio else found["why_not"]
    return {
        "basis": name,
        "windows from": " ".join(found["days"]) if not name.startswith(" ") else "",
        "sellers": found["rows"],
        "bad": found["bad"],
        "expected": round(found["expected"], 1),
        "observed / expected": shown,
        "lifted by": " ".join(f"{factor:.2f}" for factor in found["factors"]),
        "alert": found["alert"],
    }
