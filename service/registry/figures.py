"""Flat figures of a model's parts, read as JSON and never executed, and the differences of two models."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from scoring.base.canonical import JsonObject, parse_json
from scoring.base.frozen import frozen
from scoring.features.table import AttributeFeature, ContextFeature
from service.registry.moves import Figure

Flat = dict[str, Any]
"""Dotted names, such as `auc.lightgbm.value`; null is None."""


@frozen
class FigureRow:
    """None if a model leaves it out."""

    section: str
    name: str
    """Dotted for nested values."""
    first: Any
    second: Any


def headline_figures(parts: Mapping[str, bytes]) -> dict[str, Figure]:
    """Return `auc` and `log_loss`, if the evaluation states them."""
    evaluation = _parse_object(parts.get("evaluation.json"))
    places = {"auc": ("auc", "lightgbm", "value"), "log_loss": ("models", "lightgbm", "log_loss", "value")}
    values = {name: _find_value(evaluation, path) for name, path in places.items()}
    return {name: value for name, value in values.items() if isinstance(value, float) and math.isfinite(value)}


def features_of(manifest: JsonObject) -> list[str]:
    """Return the model's features in the order of its inputs, such as `exposure@1`."""
    return [_name_feature(row) for row in manifest["features"]]


def _name_feature(row: JsonObject) -> str:
    if "context" in row:
        return ContextFeature(**row).key
    return AttributeFeature(**row).key if "attribute" in row else str(row["feature"])


def _find_directions(manifest: JsonObject) -> dict[str, str | int]:
    """Return by feature `fixed` or `free`, or the stated direction of an attribute."""
    return {
        _name_feature(row): row["direction"] if "attribute" in row else "free" if "direction" in row else "fixed"
        for row in manifest["features"]
        if "context" not in row
    }


def compare_models(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> list[FigureRow]:
    """Return the figures that differ between two artifacts, and all figures of the evaluation."""
    manifests = [_parse_object(parts["manifest.json"]) for parts in (first, second)]
    keys = [features_of(manifest) for manifest in manifests]
    rows = [FigureRow("features", key, True, None) for key in keys[0] if key not in keys[1]]
    rows += [FigureRow("features", key, None, True) for key in keys[1] if key not in keys[0]]
    old, new = (_find_directions(manifest) for manifest in manifests)
    rows += [
        FigureRow("features", f"{key}.direction", direction, new[key])
        for key, direction in old.items()
        if direction != new.get(key, direction)
    ]
    lineages = [_parse_object(parts["lineage.json"]) for parts in (first, second)]
    parameters = [
        {name: manifest[name] for name in ("base", "constants", "reference_exposure")}
        | {name: lineage.get(name) for name in ("parameters", "rounds", "seed")}
        for manifest, lineage in zip(manifests, lineages, strict=True)
    ]
    sections = {
        "parameters": parameters,
        "lineage": [_without(lineage, "parameters", "rounds", "seed") for lineage in lineages],
    }
    for section, pair in sections.items():
        rows += [row for row in _pair_figures(section, *pair) if row.first != row.second]
    evaluations = [_parse_object(parts["evaluation.json"]) for parts in (first, second)]
    return rows + list(_pair_figures("evaluation", *evaluations))


def _pair_figures(section: str, first: JsonObject, second: JsonObject) -> Iterator[FigureRow]:
    with_lists = section != "evaluation"
    old, new = flatten(first, with_lists=with_lists), flatten(second, with_lists=with_lists)
    for name in sorted(old.keys() | new.keys()):
        yield FigureRow(section, name, old.get(name), new.get(name))


def flatten(value: JsonObject, prefix: str = "", *, with_lists: bool = False) -> Flat:
    """Return one level with dotted names: `{"a": {"b": 1}}` becomes `{"a.b": 1}`.

    Lists become JSON text if `with_lists`; otherwise they are left out.
    """
    flat: Flat = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat |= flatten(item, f"{prefix}{name}.", with_lists=with_lists)
        elif not isinstance(item, list):
            flat[prefix + name] = item
        elif with_lists:
            flat[prefix + name] = json.dumps(item, ensure_ascii=False, sort_keys=True)
    return flat


def _without(value: JsonObject, *names: str) -> JsonObject:
    return {name: item for name, item in value.items() if name not in names}


def _parse_object(data: bytes | None) -> JsonObject:
    value = parse_json(data) if data else {}
    return value if isinstance(value, dict) else {}


def _find_value(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
