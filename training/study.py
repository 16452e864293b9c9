"""A study: one TOML file that states data, observation points, window, bad definition and model."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from scoring.artifact import canonical_json
from scoring.errors import ConfigurationWrong
from scoring.features import FEATURES, AttributeFeature, Feature
from scoring.fold import DEFAULT_WEIGHTS, Constants
from scoring.time import format_day, parse_day
from scoring.words import Category, Harm, Severity


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
    policy: Mapping[str, Any] | None
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
            span = self.observation(as_of).window_end - as_of + self.maturity_days
            test = [self.observation(as_of - span)]
            last = test[0].day - span
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


def load_study(path: Path) -> Study:
    """Reads and checks a study. ConfigurationWrong names the file and every wrong part of it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationWrong(f"there is no study {path}; the shipped ones are in training/studies") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationWrong(f"the study {path} is not TOML: {error}") from None
    reader = _Reader(data)
    study = _study(reader, sha256(canonical_json(data)).hexdigest())
    wrong = reader.problems()
    if wrong or study is None:
        raise ConfigurationWrong(f"the study {path} cannot be used: " + "; ".join(wrong))
    return study


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
    number = (int, float)
    reference = r.take("exposure.reference_orders", number, None)
    weights = r.take("constants.severity_weights", dict, {})
    constants = r.attempt(
        "constants.severity_weights must give whole numbers 1 to 63 by severity",
        lambda: Constants(
            DEFAULT_WEIGHTS | {Severity[k.upper()]: _weight(v) for k, v in weights.items()},
            float(r.take("constants.rate_damping_orders", number, 50.0)),
            float(r.take("constants.exposure_scale_orders", number, 1000.0)),
        ),
    )
    bad = r.attempt("bad.any must list tables of severity, harm, violation_type and category", lambda: _bad(r))
    attributes = r.attempt("attributes must list tables", lambda: _attributes(r.take("attributes", list, [])))
    left_out = r.take("features.without", list, [])
    window = r.take("window.days", int, None), r.take("window.months", int, None)
    r.check((window[0] is None) != (window[1] is None), "window must give either days or months")
    r.check(reference is None or reference > 0, "exposure.reference_orders must be above 0")
    train, test = r.take("observation.train", list, []), r.take("observation.test", list, [])
    r.check(bool(train) == bool(test), "observation must give both train and test, or neither")
    for day in [*train, *test]:
        r.attempt("observation has a day that is none", partial(parse_day, day))
    values = {
        "name": r.take("name", str),
        "marketplace": r.take("marketplace", str),
        "train": tuple(train),
        "test": tuple(test),
        "train_points": r.take("observation.train_points", int, 4),
        "step_days": r.take("observation.step_days", int, 45),
        "window_days": window[0],
        "window_months": window[1],
        "maturity_days": r.take("window.maturity_days", int, 0),
        "bad": bad,
        "bad_at_least": r.take("bad.at_least", int, 1),
        "reference_exposure": float(reference) if reference else None,
        "active_before_months": r.take("eligible.active_before_months", int, None),
        "active_in_window": r.take("eligible.active_in_window", bool, False),
        "constants": constants,
        "rounds": r.take("model.rounds", int, 200),
        "seed": r.take("model.seed", int, 1),
        "parameters": r.take("model.parameters", dict, {}),
        "policy": r.take("policy", dict, None),
        "digest": digest,
    }
    r.check(bool(bad), "bad.any must name at least one kind of violation")
    if r.problems():
        return None
    built_in = [f for f in FEATURES.values() if not any(f.name.startswith(prefix) for prefix in left_out)]
    return Study(features=(*built_in, *attributes), **values)


def _weight(value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= 63:
        raise ValueError(f"{value!r} is not a whole number from 1 to 63")
    return value


def _bad(r: _Reader) -> tuple[BadRule, ...]:
    rules = []
    for rule in r.take("bad.any", list, []):
        values = dict(rule)
        if "severity" in values:
            values["severity"] = Severity[values["severity"].upper()]
        if "harm" in values:
            values["harm"] = Harm[values["harm"].upper()]
        if "category" in values:
            values["category"] = Category[values["category"].upper()]
        rules.append(BadRule(**values))
    return tuple(rules)


def _attributes(rows: list[Mapping[str, Any]]) -> list[AttributeFeature]:
    features: list[AttributeFeature] = []
    for row in rows:
        if "one_of" in row:
            features += [AttributeFeature(row["name"], equals=text) for text in row["one_of"]]
        else:
            features.append(
                AttributeFeature(row["name"], default=float(row.get("default", 0.0)), direction=row.get("direction", 0))
            )
    return features


def _add_months(day: int, months: int) -> int:
    first = date(1970, 1, 1) + timedelta(days=day)
    month = first.month - 1 + months
    year, month = first.year + month // 12, month % 12 + 1
    last = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return (date(year, month, min(first.day, last)) - date(1970, 1, 1)).days
