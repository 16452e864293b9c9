import getpass
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from scoring.base.errors import ModelNotFound, invalid
from scoring.entries.field_types import escape_unprintable
from sellertrust.client import Client
from sellertrust.models import Models
from sellertrust.names import model_name
from sellertrust.v1 import model_service_pb2 as messages
from sellertrust.v1.policy_service_pb2 import PolicyMove
from service.bootstrap import open_registry
from service.cli.connecting import connect
from service.cli.options import AgainstModel, Model, Moves, Operator, Propose, Reason, Server, require_folder_of
from service.cli.output import Exit, Format, Output, emit, emit_one, say, write
from service.cli.proposals import propose
from service.cli.rows import row_of
from service.settings import load

if TYPE_CHECKING:
    from sellertrust.v1.model_service_pb2_grpc import ModelServiceStub
    from service.registry.registry import Registry


def list_models(
    history: Moves = False,
    server: Server = None,
    output: Output = Format.TABLE,
) -> None:
    """List the published models with their aliases and the verdict of their gates."""
    with _open_models(server) as models:
        if history:
            rows = [_make_model_move_row(move, output) for move in models.list_model_moves()]
        else:
            rows = [_make_model_row(model, output) for model in models.list_models()]
    if not rows and server is None and output is Format.TABLE:
        say(_describe_empty_registry(load().registry))
    else:
        emit(rows, output)


def show(
    model: Model = "champion",
    against: AgainstModel = None,
    card: Annotated[
        bool, typer.Option("--card", help="Its page to add up by hand: base points, and a table for each feature.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            callback=require_folder_of,
            help="Write the HTML report published with it to FILE.",
        ),
    ] = None,
    server: Server = None,
    output: Output = Format.TABLE,
) -> None:
    """Show one model: its training, its figures, its gates, features and certificate.

    With --against it shows where two models differ, and their evaluations side by side.
    """
    options = {"--against": against is not None, "--card": card, "--report": report is not None}
    stated_options = [name for name, is_stated in options.items() if is_stated]
    if len(stated_options) > 1:
        raise invalid(stated_options[1], f"does not belong to {stated_options[0]}; leave out one of them")
    with _open_models(server) as models:
        if against is not None:
            _show_differences(models.diff_models(model, against), output)
            return
        if report is not None:
            html = models.get_model_report(model)
            report.write_bytes(html)
            say(f"{len(html):,} bytes written to {report}")
            return
        shown_model = _read_model(models, model)
    if card:
        write(shown_model.card)
        return
    evaluation, certificate = json.loads(shown_model.evaluation_json), json.loads(shown_model.certificate_json)
    row: dict[str, Any] = {
        "digest": shown_model.digest,
        "aliases": list(shown_model.aliases),
        **json.loads(shown_model.lineage_json),
        **(figures_of(evaluation) if evaluation else {}),
        "baseline_points": shown_model.baseline_points,
        "certificate": f"{certificate['algorithm']}, {certificate['trees']} trees",
        "promises_given_up": list(shown_model.promises_given_up),
        "gates": shown_model.gates,
        **{f"gate {gate.gate}": _describe_gate(gate.ok, gate.hard, gate.text) for gate in shown_model.gate_results},
        "report": shown_model.has_report,
        "features": list(shown_model.features),
    }
    if output is Format.JSON:
        row["evaluation"] = evaluation
    emit_one(row if output is Format.JSON else format_estimates(row), output)


def _read_model(models: Models, model: str) -> messages.Model:
    shown_model = models.get_model(model).model
    if shown_model.damaged:  # the registry itself reports damage
        say(
            f"error: model {shown_model.digest[:12]} is damaged or of another format; train it again, publish it again, or"
            " promote another"
        )
        raise typer.Exit(Exit.CONFIGURATION)
    return shown_model


def _show_differences(response: messages.DiffModelsResponse, output: Format) -> None:
    rows = [
        {
            "section": row.section,
            "name": row.name,
            "a": json.loads(row.first) if row.HasField("first") else None,
            "b": json.loads(row.second) if row.HasField("second") else None,
        }
        for row in response.rows
    ]
    if output is Format.TABLE:
        say(f"a is {response.first.rpartition('/')[2][:12]}, b is {response.second.rpartition('/')[2][:12]}")
    emit(rows, output)


def promote(
    model: Model,
    reason: Reason,
    actor: Operator = "",
    override: Annotated[
        str,
        typer.Option(
            "--override", metavar="NAME", help="Person who answers for hard gates that failed or are missing."
        ),
    ] = "",
    sign_off: Annotated[
        str, typer.Option("--sign-off", metavar="NAME", help="Person who signs off advisory gates that failed.")
    ] = "",
    proposes: Propose = False,
    server: Server = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a model champion, or propose it, if its gates allow it.

    Running servers adopt it within seconds, each after a trial in a separate process.
    """
    if proposes and not server:
        raise invalid("--server", "is required to propose: servers ask for approval, the registry itself does not")
    who = actor or login_name()
    with _open_models(server) as models:
        if proposes and isinstance(models, Client):
            digest = models.get_model(model).model.digest
            request = messages.PromoteModelRequest(
                name=model_name(digest), actor=who, reason=reason, override=override, sign_off=sign_off
            )
            propose(models, request, actor=who, reason=reason, output=output)
            return
        promoted = models.promote_model(model, actor=who, reason=reason, override=override, sign_off=sign_off)
    _report_champion(promoted.champion)


def rollback(reason: Reason, actor: Operator = "", server: Server = None) -> None:
    """Make the previous champion champion again.

    Running servers follow within a second.
    """
    with _open_models(server) as models:
        rolled_back = models.rollback_model(actor=actor or login_name(), reason=reason)
    _report_champion(rolled_back.champion)


class _LocalModels(Models):
    def __init__(self, registry: "Registry") -> None:
        from service.api.servicers.model import ModelServicer

        self._servicer = ModelServicer(registry)
        self._models = cast("ModelServiceStub", self)

    def __getattr__(self, method: str) -> Any:
        behave = getattr(self._servicer, method)
        return lambda request, timeout: behave(request)  # noqa: ARG005 (the stub's signature)


@contextmanager
def _open_models(server: str | None) -> Iterator[Models]:
    settings = load()
    if server is None:
        registry = open_registry(settings)
        try:
            yield _LocalModels(registry)
        except ModelNotFound as error:
            if registry.digests():
                raise
            problem = error.message.partition(";")[0]
            raise ModelNotFound(f"{problem}. {_describe_empty_registry(settings.registry)}", error.metadata) from None
        return
    with connect(settings, server) as client:
        yield client


def _describe_empty_registry(registry: object) -> str:
    return f"No model in {registry}. For the models of a running server add --server ADDRESS."


def _report_champion(champion: str) -> None:
    say(f"champion is now {champion.rpartition('/')[2][:12]}")


def _make_model_row(model: messages.Model, output: Format) -> dict[str, Any]:
    row = row_of(model, "digest aliases study auc=figures ledger_as_of entries=ledger_entries gates state=damaged")
    auc = row["auc"].get("auc")
    row |= {
        "aliases": " ".join(row["aliases"]),
        "auc": auc if auc is None else f"{auc:.4f}" if output is Format.TABLE else round(auc, 4),
        "state": "damaged" if model.damaged else "verified",
    }
    if output is Format.TABLE:
        row["digest"] = model.digest[:12]
    return {name: value if name == "aliases" else value or None for name, value in row.items()}


def move_row(move: messages.ModelMove | PolicyMove, fields: str, output: Format) -> dict[str, Any]:
    """Return a move's fields; `fields` must name `actor`, `reason` and `digest`.

    A table shortens the digest to 12 characters, and escapes control characters in actor and reason.
    """
    row = row_of(move, fields)
    if output is Format.TABLE:
        row |= {name: escape_unprintable(row[name]) for name in ("actor", "reason")}
        row["digest"] = row["digest"][:12]
    return row


MOVE = "number time=move_time alias digest=model actor reason figures"


def _make_model_move_row(move: messages.ModelMove, output: Format) -> dict[str, Any]:
    row = move_row(move, MOVE, output)
    figures = dict(sorted(move.figures.items()))
    written = " ".join(escape_unprintable(f"{name}={_shorten_digest(value)}") for name, value in figures.items())
    return row | {"figures": written if output is Format.TABLE else figures}


def _shorten_digest(value: str) -> str:
    return value[:12] if len(value) == 64 or "." in value else value


def _describe_gate(ok: bool, hard: bool, text: str) -> str:
    return f"{'ok' if ok else 'failed' if hard else 'failed, advisory'}: {text}"


def figures_of(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main figures of an evaluation by name: rows, base rate, each AUC.

    AUC is over the pairs that the study is judged by, with the differences, and over all pairs. An estimate is a table
    of value, low and high.
    """
    auc = dict(evaluation["auc"])
    intervals = {"auc": auc.pop("lightgbm"), **{f"auc_{name}": interval for name, interval in auc.items()}}
    # Earlier releases judged none: their pairs at equal volume, of all days, take the place; `pairs` is a weight.
    judged = evaluation.get("judged") or {"at_equal_volume": True, **evaluation["equal_volume"]}
    compared = [name for name in _COMPARED if name in judged["auc"]]
    return {
        "train_rows": evaluation["train"]["rows"],
        "test_rows": evaluation["test"]["rows"],
        "base_rate": round(evaluation["base_rate"], 4),
        "judged_by": "pairs at equal volume" if judged["at_equal_volume"] else "all pairs of a day",
        "judged_pairs": round(judged.get("pairs", 0)),
        "judged_auc": judged["auc"]["lightgbm"],
        **{f"judged_auc_{name}": judged["auc"][name] for name in compared},
        **{f"judged_difference_to_{name}": judged["difference"][f"lightgbm-{name}"] for name in compared},
        **intervals,
        "difference_to_logistic": evaluation["difference"]["lightgbm-logistic"],
    }


_COMPARED = {
    "points_rule": "a points rule",
    "logistic": "logistic regression",
    "unconstrained": "trees without this model's promises",
}


def compare_plainly(figures: Mapping[str, Any]) -> list[str]:
    """Return sentences that compare a model with simpler rankings, from `figures_of`.

    First over the judged pairs, claiming only differences that intervals prove. Then over all pairs, which prove less
    if volume is not the question. Empty if no pair is judged.
    """
    auc = figures["judged_auc"]["value"]
    if auc is None:
        return []
    others = []
    for name in (name for name in _COMPARED if f"judged_auc_{name}" in figures):
        difference = figures[f"judged_difference_to_{name}"]
        doubt = ", not told apart" if difference["low"] <= 0 <= difference["high"] else ""
        share = figures[f"judged_auc_{name}"]["value"] * 100
        others.append(f"{_COMPARED[name]} {share:.0f} %{doubt}")
    ranks = f"the model ranks a bad seller below a good one in {auc * 100:.0f} % of pairs ({'; '.join(others)})."
    if figures["judged_by"] != "pairs at equal volume":
        return [f"Among sellers of one day {ranks}"]
    all_pairs, rule = (figures[name]["value"] for name in ("auc", "auc_points_rule"))
    sentence_of_all = f"Among all sellers: {all_pairs * 100:.0f} %, a points rule {rule * 100:.0f} %."
    if figures["auc_window_volume"]["low"] > 0.5:
        sentence_of_all += " There sales decide much: who sells more is reported more."
    return [f"Among sellers of like sales {ranks}", sentence_of_all]


_INTERVAL = {"value", "low", "high"}


def format_estimates(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with estimates as text, `0.6800 (0.6400 to 0.7100)`.

    An estimate is a table of value, low and high; unknown numbers become dashes.
    """

    def format_interval(interval: Mapping[str, float | None]) -> str:
        value, low, high = ("-" if interval[n] is None else f"{interval[n]:.4f}" for n in ("value", "low", "high"))
        return f"{value} ({low} to {high})"

    return {k: format_interval(v) if isinstance(v, Mapping) and v.keys() == _INTERVAL else v for k, v in row.items()}


def login_name() -> str:
    """Return the name of the user who runs this process, "unnamed" without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unnamed"
