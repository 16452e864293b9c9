"""A study: one TOML file that states data, observation points, window, bad definition and model."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from scoring.artifact import canonical_json
from scoring.errors import ConfigurationWrong
from scoring.features import FEATURES, AttributeFeature, Feature
from scoring.fold import DEFAULT_WEIGHTS, Constants
from scoring.time import format_day, parse_day
from scoring.violation_types import TABLES
from scoring.words import Category, Harm, Severity

Word = TypeVar("Word", bound=IntEnum)


@dataclass(frozen=True, slots=True)
class BadRule:
    """Violations that make a seller bad: all that is stated must hold. `severity` and `harm` are the least ones."""

    severity: Severity = Severity.MINOR
    harm: Harm = Harm.LOW
    violation_type: str | None = None
    category: Category | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation point: the UTC day at whose beginning sellers are observed, and the day after its window."""

    day: int
    window_end: int


@dataclass(frozen=True, slots=True)
class Study:
    """A checked study. Days since 1970-01-01. `reference_exposure` in settled orders; None: bad counts over the window
    whatever the seller sells. `active_before_months`: only sellers with an exposure or violation so lately.
    """

    name: str
    marketplace: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    train_points: int
    step_days: int
    window_days: int | None
    window_months: int | None
    maturity_days: int
    bad: tuple[BadRule, ...]
    bad_at_least: int
    reference_exposure: float | None
    active_before_months: int | None
    active_in_window: bool
    constants: Constants
    features: tuple[Feature | AttributeFeature, ...]
    rounds: int
    seed: int
    parameters: Mapping[str, Any]
    digest: str

    def observation(self, day: int) -> Observation:
        """The observation point of a day."""
        if self.window_days is not None:
            return Observation(day, day + self.window_days)
        return Observation(day, _add_months(day, self.window_months or 0))

    def observations(self, as_of: int) -> tuple[list[Observation], list[Observation]]:
        """Training and test points, in order. `as_of`: the day up to which the ledger is complete.

        Stated days are taken as they are. Without any, the test point is the latest whose window and maturity are over
        by `as_of`, and the training points go back from it by `step_days`, each over before the test point begins.
        ConfigurationWrong if a training window is not over by the first test point, or a window not by `as_of`.
        """
        if self.test:
            test = [self.observation(parse_day(day)) for day in self.test]
            train = [self.observation(parse_day(day)) for day in self.train]
        else:
            test = [self._latest_over_by(as_of)]
            last = self._latest_over_by(test[0].day).day
            train = [self.observation(last - k * self.step_days) for k in reversed(range(self.train_points))]
        first_test = min(o.day for o in test)
        for point in train:
            if point.window_end + self.maturity_days > first_test:
                raise ConfigurationWrong(
                    f"the window of training point {format_day(point.day)} and its maturity are not over by the test"
                    f" point {format_day(first_test)}: the model would learn what the test asks; choose earlier days"
                )
        for point in test:
            if point.window_end + self.maturity_days > as_of:
                raise ConfigurationWrong(
                    f"the window of test point {format_day(point.day)} and its maturity are not over by"
                    f" {format_day(as_of)}, where the ledger ends; choose an earlier day"
                )
        return train, test

    def _latest_over_by(self, day: int) -> Observation:
        """The latest point whose window and maturity are over by `day`; looked for, since months are uneven."""
        about = 2 * day - self.observation(day).window_end - self.maturity_days
        candidates = map(self.observation, range(about + 6, about - 7, -1))
        return next(point for point in candidates if point.window_end + self.maturity_days <= day)


def load_study(path: Path) -> Study:
    """Reads and checks a study. ConfigurationWrong names the file and every wrong part of it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationWrong(f"there is no study {path}; the shipped ones are in training/studies") from None
    except OSError as error:
        raise ConfigurationWrong(f"the study {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationWrong(f"the study {path} is not TOML: {error}") from None
    plain = _plain(data)
    reader = _Reader(plain)
    digest = reader.attempt("numbers must be finite", lambda: sha256(canonical_json(plain)).hexdigest())
    study = _study(reader, digest or "")
    wrong = reader.problems()
    if wrong or study is None:
        raise ConfigurationWrong(f"the study {path} cannot be used: " + "; ".join(wrong))
    return study


def _plain(value: Any) -> Any:
    """The value with dates as texts: TOML knows dates without quotes."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value


class _Reader:
    """Takes values out of nested tables, remembering what is wrong, missing or left over."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._wrong: list[str] = []
        self._taken: set[str] = set()

    def take(self, path: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        self._taken.add(path)
        value: Any = self._data
        for part in path.split("."):
            value = value.get(part, ...) if isinstance(value, Mapping) else ...
        if value is ...:
            if default is ...:
                self._wrong.append(f"{path} is missing")
                return None
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self._wrong.append(f"{path} has the wrong type: {value!r}")
            return None if default is ... else default
        return value

    def positive(self, path: str, default: int | None) -> int | None:
        """A whole number above 0."""
        value: int | None = self.take(path, int, default)
        self.check(value is None or value > 0, f"{path} must be above 0")
        return value

    def check(self, holds: bool, text: str) -> None:
        if not holds:
            self._wrong.append(text)

    def attempt(self, text: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._wrong.append(f"{text} ({error})")
            return None

    def problems(self) -> list[str]:
        known = {path.split(".")[0] for path in self._taken}
        unknown = [key for key in self._data if key not in known]
        for key, value in self._data.items():
            if isinstance(value, Mapping) and key not in self._taken:
                unknown += [f"{key}.{part}" for part in value if f"{key}.{part}" not in self._taken]
        return self._wrong + [f"{key} is not a part of a study" for key in unknown]


def _study(r: _Reader, digest: str) -> Study | None:
    bad = r.attempt("bad.any must list tables of severity, harm, violation_type and category", lambda: _bad(r))
    r.check(bool(bad), "bad.any must name at least one kind of violation")
    features: tuple[Feature | AttributeFeature, ...] = (*_built_in(r), *_declared(r))
    r.check(len({f.key for f in features}) == len(features), "attributes name the same feature twice")
    r.check(bool(features), "features.without leaves no feature")
    window_days, window_months = r.positive("window.days", None), r.positive("window.months", None)
    r.check((window_days is None) != (window_months is None), "window must give either days or months")
    reference = r.take("exposure.reference_orders", _NUMBER, None)
    r.check(reference is None or reference > 0, "exposure.reference_orders must be above 0")
    train, test = r.take("observation.train", list, []), r.take("observation.test", list, [])
    r.check(bool(train) == bool(test), "observation must give both train and test, or neither")
    for day in [*train, *test]:
        r.attempt("observation has a day that is none", partial(parse_day, day))
    parameters = r.take("model.parameters", dict, {})
    if theirs := sorted(_OURS & set(parameters)):
        r.check(False, f"model.parameters may not set {', '.join(theirs)}: the certificate rests on what training sets")
    values = {
        "name": r.take("name", str),
        "marketplace": r.take("marketplace", str),
        "train": tuple(train),
        "test": tuple(test),
        "train_points": r.positive("observation.train_points", 4),
        "step_days": r.positive("observation.step_days", 45),
        "window_days": window_days,
        "window_months": window_months,
        "maturity_days": r.take("window.maturity_days", int, 0),
        "bad": bad,
        "bad_at_least": r.positive("bad.at_least", 1),
        "reference_exposure": float(reference) if reference else None,
        "active_before_months": r.positive("eligible.active_before_months", None),
        "active_in_window": r.take("eligible.active_in_window", bool, False),
        "constants": _constants(r),
        "features": features,
        "rounds": r.positive("model.rounds", 200),
        "seed": r.take("model.seed", int, 1),
        "parameters": parameters,
        "digest": digest,
    }
    r.check((values["maturity_days"] or 0) >= 0, "window.maturity_days must not be negative")
    return None if r.problems() else Study(**values)


_NUMBER = (int, float)
_OURS = frozenset(
    [
        *("objective", "monotone_constraints", "monotone_constraints_method", "deterministic", "force_row_wise"),
        *("verbosity", "seed", "num_threads", "num_iterations", "num_boost_round"),
    ]
)
"""LightGBM's parameters that training sets itself."""


def _constants(r: _Reader) -> Constants | None:
    weights = r.take("constants.severity_weights", dict, {})
    damping = float(r.take("constants.rate_damping_orders", _NUMBER, 50.0))
    scale = float(r.take("constants.exposure_scale_orders", _NUMBER, 1000.0))
    r.check(damping > 0, "constants.rate_damping_orders must be above 0")
    r.check(scale > 0, "constants.exposure_scale_orders must be above 0")

    def make() -> Constants:
        stated = {_word(Severity, key): _weight(value) for key, value in weights.items()}
        merged = DEFAULT_WEIGHTS | stated
        ordered = [merged[severity] for severity in Severity]
        if ordered != sorted(ordered):
            raise ValueError("a graver severity must not weigh less")
        return Constants(merged, damping, scale)

    constants: Constants | None = r.attempt("constants.severity_weights must give whole numbers 1 to 63", make)
    return constants


def _weight(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 63:
        raise ValueError(f"{value!r} is not a whole number from 1 to 63")
    return value


def _word(words: type[Word], text: object) -> Word:
    try:
        return words[str(text).upper()]
    except KeyError:
        known = ", ".join(word.name.lower() for word in words)
        raise ValueError(f"{text!r} is none of {known}") from None


def _bad(r: _Reader) -> tuple[BadRule, ...]:
    rules = []
    for rule in r.take("bad.any", list, []):
        values: dict[str, Any] = dict(rule)
        for name, words in (("severity", Severity), ("harm", Harm), ("category", Category)):
            if name in values:
                values[name] = _word(words, values[name])
        if unknown := sorted(set(values) - set(BadRule.__dataclass_fields__)):
            raise ValueError(f"{', '.join(unknown)} is none of them")
        if "violation_type" in values and values["violation_type"] not in _KNOWN_TYPES:
            raise ValueError(f"{values['violation_type']!r} is no violation type; see: sellertrust violation types")
        rules.append(BadRule(**values))
    return tuple(rules)


_KNOWN_TYPES = frozenset(key for _, table in TABLES for key in table)


def _built_in(r: _Reader) -> list[Feature]:
    left_out = tuple(map(str, r.take("features.without", list, [])))
    for prefix in left_out:
        r.check(
            any(f.name.startswith(prefix) for f in FEATURES.values()), f"features.without: no feature is {prefix}..."
        )
    return [feature for feature in FEATURES.values() if not feature.name.startswith(left_out)]


def _declared(r: _Reader) -> list[AttributeFeature]:
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


def _add_months(day: int, months: int) -> int:
    first = date(1970, 1, 1) + timedelta(days=day)
    month = first.month - 1 + months
    year, month = first.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return (date(year, month, min(first.day, last)) - date(1970, 1, 1)).days
