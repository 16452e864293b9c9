"""Reading the JSON that a report is made from: models of earlier releases hold less of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any


class Absent(LookupError):
    """Something that a part of the report needs is missing.

    The text names it, in words for the reader.
    """


class JsonTable(dict[str, Json]):
    """A JSON object of an artifact.

    A missing key raises `Absent`; any KeyError is thus a fault of this program.
    """

    def __missing__(self, key: str) -> Json:
        """Raise Absent, which names the key."""
        raise Absent(f"the figures of this model do not hold {key}")

    @staticmethod
    def of(value: Json) -> Json:
        """Return a copy of JSON in which every object is a `JsonTable`."""
        if isinstance(value, Mapping):
            return JsonTable((key, JsonTable.of(part)) for key, part in value.items())
        return [JsonTable.of(part) for part in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Reading:
    """The JSON that one report is made from."""

    manifest: Mapping[str, Json]
    """Part of the artifact, as are `evaluation`, `lineage` and `certificate`."""
    evaluation: Mapping[str, Json]
    lineage: Mapping[str, Json]
    certificate: Mapping[str, Json]
    gates: Mapping[str, Json] | None
    """The gates beside the artifact; None: not recorded."""
    digest: str
    """The artifact's digest."""

    def found(self, path: str) -> Json:
        """Return a value of the evaluation by its path, such as "curves.roc".

        Raises Absent if it is missing, null or empty.
        """
        return _walk(self.evaluation, path, "evaluation.json")

    def traced(self, path: str) -> Json:
        """Return a value of the lineage by its path.

        Raises Absent if it is missing, null or empty.
        """
        return _walk(self.lineage, path, "lineage.json")

    @property
    def study(self) -> str:
        """Return the study's name, as the manifest has it, else the lineage."""
        return str(self.manifest.get("study", self.lineage.get("study", "unnamed study")))

    @property
    def has_champion(self) -> bool:
        """Return whether the candidate was compared with a champion."""
        return "champion" in (self.evaluation.get("auc") or {})


def _walk(part: Json, path: str, name: str) -> Json:
    """Return a value of a part by its path.

    Absent names the part (`name`) and the path if the value is missing or empty.
    """
    for step in path.split("."):
        part = part.get(step) if isinstance(part, Mapping) else None
        if part is None or (isinstance(part, Mapping | list) and not part):
            raise Absent(f"{name} of this model does not hold {path}")
    return part
