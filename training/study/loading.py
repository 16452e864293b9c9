from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any

from scoring.base.canonical import canonical_json
from scoring.base.enums import Category, Severity
from scoring.base.errors import ConfigurationWrong, invalid
from scoring.base.parts import Part, parse_toml, read_fields
from scoring.features.fold import DEFAULT_WEIGHTS, Constants
from scoring.features.table import FEATURES, AnyFeature, AttributeFeature, Feature
from scoring.model.promises import FREEABLE, free_direction
from training.gates.table import ADVISORY, GATES, Gates
from training.study.context import MAX_DECLARED, EventPoints, read_context, read_events
from training.study.definition import (
    MAX_NUMBER,
    MAX_ROUNDS,
    BadRule,
    BadTable,
    EligibleTable,
    ExposureTable,
    ModelTable,
    MonitorTable,
    ObservationTable,
    Study,
    WindowTable,
)

SET_BY_TRAINING = (
    *("objective", "monotone_constraints", "monotone_constraints_method", "monotone_penalty", "deterministic"),
    *("force_row_wise", "force_col_wise", "verbosity", "seed", "num_threads", "num_iterations", "device_type"),
)

UNPROVABLE = (
    *("early_stopping_round", "forcedsplits_filename", "forcedbins_filename"),
    *("input_model", "linear_tree", "path_smooth"),
)
"""Parameters that need other rows, read other files, or make trees that cannot be proven monotone."""

DEFAULTED = (
    *("learning_rate", "num_leaves", "min_data_in_leaf", "lambda_l2", "bagging_fraction", "bagging_freq"),
    *("feature_fraction", "extra_trees", "boosting"),
)
"""Defaults that a study may replace, under these names alone."""


def refuse_wrong_parameters(part: Part) -> None:
    """Note errors for parameters that LightGBM lacks or that a study may not set, by any of LightGBM's names."""
    from lightgbm.basic import _ConfigAliases

    part.skip_others()
    names, set_by_training, unprovable = (
        set(part.data),
        _ConfigAliases.get(*SET_BY_TRAINING),
        _ConfigAliases.get(*UNPROVABLE),
    )
    known_names = {
        name for others in _ConfigAliases._get_all_param_aliases().items() for name in (others[0], *others[1])
    }
    if refused := sorted(names & set_by_training):
        part.refuse(
            "",
            f"may not set {', '.join(refused)}: the certificate rests on what training sets; trees and seed are model.rounds"
            " and model.seed",
        )
    if unproven := sorted(names & unprovable):
        part.refuse(
            "",
            f"may not set {', '.join(unproven)}: training has no rows to stop early by, reads no other file, and takes no"
            " trees that cannot be proven monotone; leave it out",
        )
    for name in sorted(names - known_names):
        similar_names = get_close_matches(name, sorted(known_names - set_by_training - unprovable), 1)
        part.refuse(
            name, "is no parameter of LightGBM" + (f"; did you mean {similar_names[0]}?" if similar_names else "")
        )
    for name in DEFAULTED:
        for other in (names & _ConfigAliases.get(name)) - {name}:
            part.refuse("", f"must write {name} for {other}")
    if part.data.get("boosting", "gbdt") != "gbdt":
        part.refuse("boosting", "may only be gbdt: other trees do not add up to log-odds")
    for name, value in part.data.items():
        if not all(isinstance(item, str | int | float) for item in (value if isinstance(value, list) else [value])):
            part.refuse(name, "must be a number, a text, true or false, or a list of these")


MAX_WEIGHT = 63
MAX_DEFAULT = 1e12


def load_study(path: Path) -> Study:
    """Read and check a study's TOML file.

    InvalidInput if the file is missing; ConfigurationWrong that names every wrong part, or why it is unreadable.
    """
    try:
        data = _write_dates_as_text(parse_toml(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise invalid("STUDY", f"there is no study {path}; the shipped ones are in training/studies") from None
    except OSError as error:
        raise ConfigurationWrong(f"the study {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationWrong(f"the study {path} is not TOML: {error}") from None
    root = Part(data, whole="a study")
    study = _read_study(root)
    root.refuse_what_is_left()
    if root.errors:
        raise ConfigurationWrong(f"the study {path} cannot be used: " + "; ".join(root.errors))
    return study


def _write_dates_as_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _write_dates_as_text(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_write_dates_as_text(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value


def _read_study(root: Part) -> Study:
    context = read_context(root)
    chosen = root.optional_part("features")
    features: tuple[AnyFeature, ...] = (
        *_read_built_in(chosen, root.optional_part("directions")),
        *_read_attributes(root),
    )
    features = (*features, *(feature for source in context for feature in source.features))
    if len({feature.key for feature in features}) < len(features):
        root.refuse("", "attributes or context name the same feature twice")
    if len(features) < 2:
        chosen.refuse("without", "leaves fewer than two features")
    observation = root.optional_part("observation")
    events = read_events(observation)
    exposure = read_fields(ExposureTable, root.optional_part("exposure"))
    if exposure.slope is not None and exposure.reference_orders is None:
        root.refuse("exposure.slope", "needs exposure.reference_orders beside it")
    return Study(
        name=root.text("name", 1),
        marketplace=root.text("marketplace", 1),
        observation=_read_observation(observation, events),
        window=_read_window(root.optional_part("window"), at_events=events is not None),
        bad=_read_bad(root.part("bad"), exposure, at_events=events is not None),
        exposure=exposure,
        eligible=read_fields(EligibleTable, root.optional_part("eligible")),
        constants=_read_constants(root.optional_part("constants")),
        features=features,
        pairs=_read_pairs(chosen, features),
        context=context,
        model=_read_model(root.optional_part("model")),
        gates=read_gates(root.optional_part("gates")),
        monitor=read_fields(MonitorTable, root.optional_part("monitor")),
        digest=_find_digest(root),
    )


def _find_digest(root: Part) -> str:
    try:
        return sha256(canonical_json(root.data)).hexdigest()
    except ValueError:
        root.refuse("", "numbers must be finite")
        return ""


def _read_observation(part: Part, events: EventPoints | None) -> ObservationTable:
    table = read_fields(ObservationTable, part, events=events)
    if bool(table.train) != bool(table.test):
        part.refuse("", "must give both train and test, or neither")
    if events is not None and table.train:
        part.refuse("", "needs no train and test: each inspection is a point")
    return table


def _read_window(part: Part, *, at_events: bool) -> WindowTable:
    table = read_fields(WindowTable, part)
    if table.days is None and table.months is None and at_events:
        return replace(table, days=1)
    if (table.days is None) == (table.months is None):
        part.refuse("", "must give either days or months")
    return table


def _read_bad(part: Part, exposure: ExposureTable, *, at_events: bool) -> BadTable:
    rules = tuple(read_fields(BadRule, rule) for rule in part.list_of_parts("any", MAX_DECLARED))
    table = read_fields(BadTable, part, rules=rules)
    if table.count == "service_failures":
        if rules:
            part.refuse("any", "says which violations count, and bad.count that orders do: leave out one of both")
        if table.amount_minor is not None:
            part.refuse("amount_minor", "is of violations, and service failures have no amount: leave out one of both")
    elif not rules:
        part.refuse("any", "must name at least one kind of violation")
    if (table.amount_minor is None) == bool(table.currency):
        part.refuse("", "needs both amount_minor and currency, or neither")
    for name in ("share", "worst"):
        if getattr(table, name) is not None and exposure.reference_orders is not None:
            part.refuse(
                name,
                "is a matter of the count over the orders, which exposure.reference_orders would account for a second"
                f" time: leave out [exposure], or state bad.at_least in place of bad.{name}",
            )
    if table.worst is not None and at_events:
        part.refuse(
            "worst",
            "compares the sellers of one day, and observation.at has each on a day of its own: state bad.share",
        )
    return table


def _read_model(part: Part) -> ModelTable:
    parameters = part.optional_part("parameters")
    table = read_fields(ModelTable, part, parameters=parameters.data)
    refuse_wrong_parameters(parameters)
    if table.rounds * table.seeds > MAX_ROUNDS:
        part.refuse("rounds", f"of all model.seeds together must be at most {MAX_ROUNDS:,}")
    return table


def read_gates(part: Part) -> Gates:
    """Read the table `[gates]`: a limit by gate, `false` to switch an advisory gate off, and one setting."""
    limits: dict[str, float] = {}
    for gate in GATES:
        if part.data.get(gate.name) is not False:
            limits[gate.name] = part.decimal(gate.name, gate.least, gate.most, gate.limit)
        elif gate.kind == ADVISORY:
            part.flag(gate.name)  # marks the key as read
        else:
            part.refuse(gate.name, "is hard and cannot be switched off")
    return Gates(limits, part.number("segment_rows", 50, 5_000, Gates.segment_rows))


def _read_constants(part: Part) -> Constants:
    weight_part = part.optional_part("severity_weights")
    weights = {s: weight_part.number(s.word, 1, MAX_WEIGHT, DEFAULT_WEIGHTS[s]) for s in Severity}
    if [*weights.values()] != sorted(weights.values()):
        weight_part.refuse("", "must not fall: a graver severity never weighs less")
    return Constants(
        weights,
        part.decimal("rate_damping_orders", 0.001, MAX_NUMBER, 50.0),
        part.decimal("exposure_scale_orders", 0.001, MAX_NUMBER, 1000.0),
    )


def _read_built_in(part: Part, directions: Part) -> list[Feature]:
    """Return the features of the page, more and fewer as the study states."""
    names = [feature.name for feature in FEATURES.values()]

    def read_beginnings(choice: str) -> tuple[str, ...]:
        if choice not in part:
            return ()
        return tuple(part.names(choice, lambda text: any(n.startswith(text) for n in names), "beginnings of features"))

    added, without = read_beginnings("with"), read_beginnings("without")
    freed_features = {
        name for name, key in FREEABLE.items() if directions.word(key, ("fixed", "free"), "fixed") == "free"
    }
    return [
        free_direction(feature) if feature.name in freed_features else feature
        for feature in FEATURES.values()
        if (feature.name in PAGE_FEATURES or feature.name.startswith(added)) and not feature.name.startswith(without)
    ]


PAGE_FEATURES = (
    *(f"{category.word}_mass_365d" for category in Category),
    *("violation_rate_365d", "incident_rate_365d", "incident_rate_ever", "severe_rate_ever"),
    *("service_failure_rate_365d", "failed_inspection_share_365d", "exposure", "tenure_days", "identity_level"),
)


def _read_pairs(part: Part, features: tuple[AnyFeature, ...]) -> tuple[tuple[int, int], ...]:
    places = {getattr(feature, "name", feature.key): index for index, feature in enumerate(features)}
    pairs: list[tuple[int, int]] = []
    stated_pairs = part.data.get("pairs", [])
    for names in stated_pairs if isinstance(stated_pairs, list) else [stated_pairs]:
        if not isinstance(names, list) or len(names) != 2 or not all(name in places for name in names):
            part.refuse("pairs", f"{names} must name two features of the study")
            continue
        first, second = sorted(places[name] for name in names)
        if features[first].direction != -1 or not features[second].direction:
            part.refuse(
                "pairs", f"{names} would break a direction: one must be of conduct, and both must have a direction"
            )
        if first == second or {first, second} & {index for pair in pairs for index in pair}:
            part.refuse("pairs", f"{names} must be two features, and each in one pair")
        pairs.append((first, second))
    return tuple(pairs)


def _read_attributes(root: Part) -> Iterator[AttributeFeature]:
    for part in root.list_of_parts("attributes", MAX_DECLARED, "name"):
        name = part.text("name", 1)
        if "one_of" in part:
            yield from (AttributeFeature(name, equals=text) for text in part.texts("one_of"))
        else:
            default = part.decimal("default", -MAX_DEFAULT, MAX_DEFAULT, 0.0)
            yield AttributeFeature(name, default=default, direction=part.number("direction", -1, 1, 0))
