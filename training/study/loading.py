from collections.abc import Mapping
from datetime import date
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from scoring.base.canonical import canonical_json
from scoring.base.enums import Category, Severity
from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.parts import parse_toml
from scoring.base.time import parse_day
from scoring.features.fold import DEFAULT_WEIGHTS, Constants
from scoring.features.table import FEATURES, AnyFeature, AttributeFeature, Feature
from scoring.model.promises import FREEABLE, free_direction
from training.gates.table import ADVISORY, GATES, Gates
from training.study.bad import read_bad
from training.study.context import EventPoints, read_context, read_events
from training.study.definition import (
    LEFT,
    EligibleTable,
    ExposureTable,
    ModelTable,
    MonitorTable,
    ObservationTable,
    Study,
    WindowTable,
)
from training.study.parameters import wrong_parameters
from training.study.reader import Reader, word


def load_study(path: Path) -> Study:
    """Read and check a study's TOML file.

    Raises InvalidInput if the file is missing; ConfigurationWrong that names the file and every wrong part, or why it is
    unreadable or not TOML.
    """
    try:
        data = parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise invalid("STUDY", f"there is no study {path}; the shipped ones are in training/studies") from None
    except OSError as error:
        raise ConfigurationWrong(f"the study {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationWrong(f"the study {path} is not TOML: {error}") from None
    plain = _plain(data)
    reader = Reader(plain)
    digest = reader.attempt("numbers must be finite", lambda: sha256(canonical_json(plain)).hexdigest())
    study = _study(reader, digest or "")
    wrong = reader.problems()
    if wrong or study is None:
        raise ConfigurationWrong(f"the study {path} cannot be used: " + "; ".join(wrong))
    return study


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value


def _study(r: Reader, digest: str) -> Study | None:
    context, events = read_context(r), read_events(r)
    features: tuple[AnyFeature, ...] = (*_built_in(r), *_declared(r))
    features = (*features, *(feature for source in context for feature in source.features))
    r.check(len({f.key for f in features}) == len(features), "attributes or context name the same feature twice")
    r.check(len(features) > 1, "features.without leaves fewer than two features")
    exposure = _exposure(r)
    values = {
        "name": r.take("name", str),
        "marketplace": r.take("marketplace", str),
        "observation": _observation(r, events),
        "window": _window(r, at_events=events is not None),
        "bad": read_bad(r, has_exposure=exposure.reference_orders is not None, at_events=events is not None),
        "exposure": exposure,
        "eligible": _eligible(r),
        "constants": _constants(r),
        "features": features,
        "pairs": _pairs(r, features),
        "context": context,
        "model": _model(r),
        "gates": read_gates(r),
        "monitor": _monitor(r),
        "digest": digest,
    }
    return None if r.problems() else Study(**values)


def _observation(r: Reader, events: EventPoints | None) -> ObservationTable:
    train, test = r.take("observation.train", list, []), r.take("observation.test", list, [])
    r.check(bool(train) == bool(test), "observation must give both train and test, or neither")
    for day in [*train, *test]:
        r.attempt("observation has a day that is none", partial(parse_day, day))
    return ObservationTable(
        train=tuple(train),
        test=tuple(test),
        train_points=r.positive("observation.train_points", 4),
        step_days=r.positive("observation.step_days", 45),
        embargo_days=r.number("observation.embargo_days", 0, least=0, whole=True),
        events=events,
    )


def _window(r: Reader, *, at_events: bool) -> WindowTable:
    days, months = r.positive("window.days", None), r.positive("window.months", None)
    if at_events and days is None and months is None:
        days = 1
    r.check((days is None) != (months is None), "window must give either days or months")
    return WindowTable(days, months, maturity_days=r.number("window.maturity_days", 0, least=0, whole=True))


def _model(r: Reader) -> ModelTable:
    parameters = r.take("model.parameters", dict, {})
    for wrong in wrong_parameters(parameters or {}):
        r.check(False, wrong)
    rounds, seeds = r.positive("model.rounds", 200), r.positive("model.seeds", 1)
    is_bounded = (rounds or 0) * (seeds or 0) <= MAX_ROUNDS
    r.check(is_bounded, f"model.rounds, of all model.seeds together, must be at most {MAX_ROUNDS:,}")
    return ModelTable(
        rounds=rounds,
        seed=r.take("model.seed", int, 1),
        seeds=seeds,
        parameters=parameters,
    )


def _exposure(r: Reader) -> ExposureTable:
    reference = r.number("exposure.reference_orders", None, above=0)
    slope = r.number("exposure.slope", None, least=-MAX_SLOPE, most=MAX_SLOPE)
    r.check(slope is None or reference is not None, "exposure.slope needs exposure.reference_orders beside it")
    return ExposureTable(
        reference_orders=float(reference) if reference else None,
        slope=None if slope is None else float(slope),
    )


MAX_ROUNDS = 20_000

MAX_SLOPE = 10
"""The largest absolute slope of the log-odds in ln(orders): a count of k incidents rises by at most k."""


def _eligible(r: Reader) -> EligibleTable:
    return EligibleTable(
        active_before_months=r.positive("eligible.active_before_months", None),
        active_in_window=r.take("eligible.active_in_window", bool, False),
        left=r.word("eligible.left", LEFT),
        least_share=r.number("eligible.least_share", 0.5, above=0, most=1),
    )


def read_gates(r: Reader) -> Gates:
    """Read the table `[gates]`: a limit by gate, `false` to switch an advisory gate off, and two settings."""
    limits: dict[str, float] = {}
    for gate in GATES:
        path = f"gates.{gate.name}"
        if r.is_false(path):
            r.check(gate.kind == ADVISORY, f"{path} is hard and cannot be switched off")
        else:
            limits[gate.name] = r.number(path, gate.limit, least=gate.least, most=gate.most)
    return Gates(
        limits,
        segment_rows=r.number("gates.segment_rows", Gates.segment_rows, least=50, most=5000, whole=True),
        harm_to_good=r.number("gates.harm_to_good", Gates.harm_to_good, least=0.001, most=0.5),
    )


def _monitor(r: Reader) -> MonitorTable:
    ignore = r.take("monitor.ignore", list, [])
    r.check(all(isinstance(name, str) and name for name in ignore), "monitor.ignore must list beginnings of features")
    return MonitorTable(
        psi=r.number("monitor.psi", MonitorTable.psi, least=0),
        csi=r.number("monitor.csi", MonitorTable.csi, least=0),
        calibration=r.number("monitor.calibration", MonitorTable.calibration, least=1),
        points=r.number("monitor.points", MonitorTable.points, least=1, most=24, whole=True),
        ignore=tuple(ignore),
    )


def _constants(r: Reader) -> Constants | None:
    weights = r.take("constants.severity_weights", dict, {})
    damping = r.number("constants.rate_damping_orders", 50.0, above=0)
    scale = r.number("constants.exposure_scale_orders", 1000.0, above=0)

    def make() -> Constants:
        stated = {word(Severity, key): _weight(value) for key, value in weights.items()}
        merged = DEFAULT_WEIGHTS | stated
        ordered = [merged[severity] for severity in Severity]
        if ordered != sorted(ordered):
            raise ValueError("a graver severity must not weigh less")
        return Constants(merged, float(damping), float(scale))

    constants: Constants | None = r.attempt("constants.severity_weights must give whole numbers 1 to 63", make)
    return constants


def _weight(value: object) -> int:
    """Return a severity's weight. Raise ValueError unless it is a whole number from 1 to 63."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 63:
        raise ValueError(f"{value!r} is not a whole number from 1 to 63")
    return value


def _built_in(r: Reader) -> list[Feature]:
    chosen: dict[str, tuple[str, ...]] = {}
    for choice in ("with", "without"):
        chosen[choice] = tuple(map(str, r.take(f"features.{choice}", list, [])))
        for prefix in chosen[choice]:
            known = any(f.name.startswith(prefix) for f in FEATURES.values())
            r.check(known, f"features.{choice}: no feature is {prefix}...")
    free = _free(r)
    return [
        free_direction(feature) if feature.name in free else feature
        for feature in FEATURES.values()
        if (feature.name in PAGE_FEATURES or feature.name.startswith(chosen["with"]))
        and not feature.name.startswith(chosen["without"])
    ]


PAGE_FEATURES = (
    *(f"{category.name.lower()}_mass_365d" for category in Category),
    *("violation_rate_365d", "incident_rate_365d", "incident_rate_ever", "severe_rate_ever"),
    *("service_failure_rate_365d", "failed_inspection_share_365d", "exposure", "tenure_days", "identity_level"),
)


def _pairs(r: Reader, features: tuple[AnyFeature, ...]) -> tuple[tuple[int, int], ...]:
    places = {getattr(feature, "name", feature.key): place for place, feature in enumerate(features)}
    found: list[tuple[int, int]] = []
    for names in r.take("features.pairs", list, []):
        known = isinstance(names, list) and len(names) == 2 and all(name in places for name in names)
        r.check(known, f"features.pairs: {names} must name two features of the study")
        if not known:
            continue
        first, second = sorted(places[name] for name in names)
        r.check(
            features[first].direction == -1 and features[second].direction != 0,
            f"features.pairs: {names} would break a direction: one must be of conduct, and both must have a direction",
        )
        r.check(first != second and not {first, second} & {p for pair in found for p in pair},
                f"features.pairs: {names} must be two features, and each in one pair")  # fmt: skip
        found.append((first, second))
    return tuple(found)


def _free(r: Reader) -> frozenset[str]:
    return frozenset(
        name for name, part in FREEABLE.items() if r.word(f"directions.{part}", ("fixed", "free")) == "free"
    )


def _declared(r: Reader) -> list[AttributeFeature]:
    features: list[AttributeFeature] = []
    for row in r.take("attributes", list, []):
        made = r.attempt(
            "attributes must list tables of name and one_of, or name, default and direction", partial(_attribute, row)
        )
        features += made or []
    return features


def _attribute(row: Mapping[str, Any]) -> list[AttributeFeature]:
    name, one_of = row["name"], row.get("one_of")
    if not isinstance(name, str) or not set(row) <= {"name", "one_of", "default", "direction"}:
        raise ValueError(f"{dict(row)} is none")
    if one_of is None:
        direction = row.get("direction", 0)
        if direction not in (-1, 0, 1):
            raise ValueError(f"the direction of {name} must be -1, 0 or 1")
        return [AttributeFeature(name, default=float(row.get("default", 0.0)), direction=direction)]
    if not isinstance(one_of, list) or set(row) > {"name", "one_of"}:
        raise ValueError(f"one_of of {name} must be a list, with nothing but the name beside it")
    return [AttributeFeature(name, equals=str(text)) for text in one_of]
