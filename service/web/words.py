from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from scoring.base.errors import ConfigurationWrong
from scoring.base.parts import Part, parse_toml
from service.web.drawing import MARKS, label_fits
from service.web.languages import LANGUAGES

SHIPPED_WORDS = Path(__file__).with_name("badges.toml")
NEVER_SHOWN = ("new_seller", "none", "unknown")
"""They say nothing good, and look like an unknown seller."""


@dataclass(frozen=True)
class Wording:
    mark: str
    """One of MARKS."""
    labels: Mapping[str, str]
    """By language of LANGUAGES."""


def read_words(path: Path = SHIPPED_WORDS) -> Mapping[str, Wording]:
    """Return the wording of each shown badge. Raises ConfigurationWrong with every error of the file."""
    try:
        data = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationWrong(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise ConfigurationWrong(f"{path} cannot be read: {error}") from None
    root = Part(data, whole="a file of badges")
    wording = {}
    for badge in data:
        if badge in NEVER_SHOWN:
            root.refuse(badge, "is never shown, so that nobody is seen to lack a badge; leave the section out")
        else:
            wording[badge] = _read_wording(root.part(badge))
    root.refuse_what_is_left()
    if root.errors:
        raise ConfigurationWrong("\n".join(f"{path}: {text}" for text in root.errors))
    return MappingProxyType(wording)


def _read_wording(part: Part) -> Wording:
    labels = {language: part.text(language, 1) for language in LANGUAGES}
    for language, label in labels.items():
        if not label_fits(label, language):
            part.refuse(language, "is wider than a badge; shorten it to the width of the shipped labels")
    return Wording(part.word("mark", tuple(MARKS)), MappingProxyType(labels))
