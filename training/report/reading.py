"""The JSON behind a report; models of earlier releases have less of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any


class Absent(LookupError):
    """A part lacks something; the text names it for the reader."""


class JsonTable(dict[str, Json]):
    """A JSON object of an artifact. A missing key raises `Absent`, so a KeyError is a fault of this program."""

    def __missing__(self, key: str) -> Json:
        raise Absent(f"the figures of this model do not hold {key}")

    @staticmethod
    def of(value: Json) -> Json:
        """Return a copy of JSON with every object as a `JsonTable`."""
        if isinstance(value, Mapping):
            return JsonTable((key, JsonTable.of(part)) for key, part in value.items())
        return [JsonTable.of(part) for part in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Reading:
    manifest: Mapping[str, Json]
    evaluation: Mapping[str, Json]
    lineage: Mapping[str, Json]
    certificate: Mapping[str, Json]
    gates: Mapping[str, Json] | None
    digest: str

    def found(self, path: str) -> Json:
        """Return the evaluation's value at a path such as "curves.roc". Absent if missing, null or empty."""
        return _walk(self.evaluation, path, "evaluation.json")

    def traced(self, path: str) -> Json:
        """Return the lineage's value at a path. Absent if missing, null or empty."""
        return _walk(self.lineage, path, "lineage.json")

    @property
    def study(self) -> str:
        return str(self.manifest.get("study", self.lineage.get("study", "unnamed study")))

    @property
    def has_champion(self) -> bool:
        return "champion" in (self.evaluation.get("auc") or {})


def _walk(part: Json, path: str, name: str) -> Json:
    for step in path.split("."):
        part = part.get(step) if isinstance(part, Mapping) else None
        if part is None or (isinstance(part, Mapping | list) and not part):
            raise Absent(f"{name} of this model does not hold {path}")
    return part
