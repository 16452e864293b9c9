import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from scoring.base.canonical import parse_json
from scoring.base.errors import ArtifactRefused
from scoring.base.time import parse_time
from scoring.model.artifact import MANIFEST, pinned_features
from scoring.model.card import describe_page, write_card
from scoring.model.page import read_page
from scoring.model.promises import broken_promises
from sellertrust.names import model_name
from sellertrust.v1 import model_service_pb2 as model_pb
from service.contract.fields import message_of
from service.registry.figures import FigureRow, features_of, flatten, headline_figures
from service.registry.gates import NEVER_OVERRIDDEN, GateResult, word_of_gates
from service.registry.moves import ModelMove, aliases_of, find_figure
from service.registry.registry import Registry


def model_message(registry: Registry, digest: str, moves: list[ModelMove], *, whole: bool) -> model_pb.Model:
    """Return a model of the registry as a message, with evaluation, lineage and certificate if `whole`.

    An unreadable model is `damaged` and has only its aliases.
    """
    aliases = sorted(alias for alias, target in aliases_of(moves).items() if target == digest)
    message = model_pb.Model(name=model_name(digest), digest=digest, aliases=aliases)
    try:
        parts = registry.content(digest)
        _fill_model_message(message, parts, registry.gates(digest, moves), whole=whole)
    except (ArtifactRefused, OverflowError, RecursionError, ValueError):
        return model_pb.Model(name=message.name, digest=digest, aliases=aliases, damaged=True)
    message.has_report = find_figure(moves, digest, "report_sha256") is not None
    return message


def _fill_model_message(
    message: model_pb.Model, parts: Mapping[str, bytes], gates: tuple[GateResult, ...] | None, *, whole: bool
) -> None:
    manifest, lineage = parse_json(parts[MANIFEST]), parse_json(parts["lineage.json"])
    message.study = str(manifest["study"])
    message.core_version = str(manifest["core_version"])
    message.ledger_as_of = str(lineage.get("ledger_as_of") or "")
    message.ledger_entries = int(lineage.get("ledger_entries") or 0)
    message.features.extend(features_of(manifest))
    message.promises_given_up.extend(promise.name for promise in broken_promises(pinned_features(manifest)))
    message.gates = word_of_gates(gates)
    message.gate_results.extend(map(_gate_message, gates or ()))
    if not whole:
        message.figures.update({name: float(value) for name, value in headline_figures(parts).items()})
        return
    message.figures.update(
        {name: float(value) for name, value in _list_finite_numbers(parse_json(parts["evaluation.json"]))}
    )
    page = read_page(parts["model.txt"].decode(), manifest["base"], len(manifest["features"]))
    message.card = write_card(describe_page(page, pinned_features(manifest)), manifest, message.digest)
    message.baseline_points = page.base
    message.lineage_json = parts["lineage.json"].decode()
    message.evaluation_json = parts["evaluation.json"].decode()
    message.certificate_json = parts["certificate.json"].decode()


def _list_finite_numbers(evaluation: Any) -> list[tuple[str, int | float]]:
    return [
        (name, value)
        for name, value in flatten(evaluation).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]


def _gate_message(gate: GateResult) -> model_pb.ModelGate:
    overridable = gate.overridable and gate.is_hard and gate.gate not in NEVER_OVERRIDDEN
    return message_of(model_pb.ModelGate, gate, hard=gate.is_hard, overridable=overridable)


def move_message(number: int, move: ModelMove) -> model_pb.ModelMove:
    """Return move `number` as a message, without an invalid time. Numbers become JSON text."""
    message = message_of(
        model_pb.ModelMove,
        move,
        number=number,
        model=model_name(move.digest),
        move_time=None,
        figures={name: value if isinstance(value, str) else json.dumps(value) for name, value in move.figures.items()},
    )
    with suppress(ValueError, OverflowError):
        message.move_time.FromMicroseconds(parse_time(move.time))
    return message


def row_message(row: FigureRow) -> model_pb.DiffModelsResponse.Row:
    """Return one compared figure of two models, as JSON; a None, a figure that a model leaves out, is unset."""
    message = model_pb.DiffModelsResponse.Row(section=row.section, name=row.name)
    if row.first is not None:
        message.first = json.dumps(row.first, ensure_ascii=False)
    if row.second is not None:
        message.second = json.dumps(row.second, ensure_ascii=False)
    return message
