"""The JSON that a report is made from, read with care: models of earlier releases hold less of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any


class Absent(LookupError):
    """What a part of the report needs is not there; the text says what, in words for the reader."""


class Held(dict[str, Json]):
    """A table of an artifact's JSON. A key that it does not hold is `Absent`: a KeyError is then an error of ours."""

    def __missing__(self, key: str) -> Json:
        raise Absent(f"the figures of this model do not hold {key}")

    @staticmethod
    def of(value: Json) -> Json:
        """The same JSON with every table in it one of these."""
        if isinstance(value, Mapping):
            return Held((key, Held.of(part)) for key, part in value.items())
        return [Held.of(part) for part in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Reading:
    """An artifact's JSON parts, the gates beside it (None: not recorded) and its digest."""

    manifest: Mapping[str, Json]
    evaluation: Mapping[str, Json]
    lineage: Mapping[str, Json]
    certificate: Mapping[str, Json]
    gates: Mapping[str, Json] | None
    digest: str

    def found(self, path: str) -> Json:
        """A value of the evaluation by its path ("curves.roc"). Absent if it is missing, null or empty."""
        return _walk(self.evaluation, path, "evaluation.json")

    def traced(self, path: str) -> Json:
        """The same of the lineage."""
        return _walk(self.lineage, path, "lineage.json")

    @property
    def study(self) -> str:
        """The study's name, as the manifest has it."""
        return str(self.manifest.get("study", self.lineage.get("study", "unnamed study")))

    @property
    def has_champion(self) -> bool:
        """Whether the candidate was compared with a champion."""
        return "champion" in (self.evaluation.get("auc") or {})


def _walk(part: Json, path: str, name: str) -> Json:
    for step in path.split("."):
        part = part.get(step) if isinstance(part, Mapping) else None
        if part is None or (isinstance(part, Mapping | list) and not part):
            raise Absent(f"{name} of this model does not hold {path}")
    return part
