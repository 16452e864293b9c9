from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any


class PartAbsent(LookupError):
    """A part lacks something; the text names it for the reader."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The artifact's parts and `gates`, parsed."""

    manifest: Mapping[str, Json]
    evaluation: Mapping[str, Json]
    lineage: Mapping[str, Json]
    certificate: Mapping[str, Json]
    gates: Mapping[str, Json]
    digest: str
    is_champion: bool = False
    """Servers answer by it already."""

    @property
    def study(self) -> str:
        return str(self.manifest["study"])
