import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scoring.base.errors import ConfigurationWrong
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
    """By language, for every one of LANGUAGES."""


def read_words(path: Path = SHIPPED_WORDS) -> Mapping[str, Wording]:
    """Return the wording of each shown badge. Raises ConfigurationWrong with every error of the file."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationWrong(f"{path} cannot be read: {error}") from None
    problems = [text for badge, section in data.items() for text in _problems(badge, section)]
    if problems:
        raise ConfigurationWrong("\n".join(f"{path}: {text}" for text in problems))
    return MappingProxyType(
        {
            badge: Wording(section["mark"], MappingProxyType({one: section[one] for one in LANGUAGES}))
            for badge, section in data.items()
        }
    )


def _problems(badge: str, section: Any) -> list[str]:
    if badge in NEVER_SHOWN:
        return [f"{badge}: is never shown, so that nobody is seen to lack a badge; leave the section out"]
    if not isinstance(section, dict):
        return [f"{badge}: must be a section [{badge}] with mark, {' and '.join(LANGUAGES)}"]
    found = [f"{badge}.{name}: is not known; leave it out" for name in section if name not in ("mark", *LANGUAGES)]
    if section.get("mark") not in MARKS:
        found.append(f"{badge}.mark: must be one of {', '.join(MARKS)}")
    for language in LANGUAGES:
        label = section.get(language)
        if not (isinstance(label, str) and label.strip() and label.isprintable()):
            found.append(f"{badge}.{language}: must be a label of printable characters")
        elif not label_fits(label, language):
            found.append(f"{badge}.{language}: is wider than a badge; shorten it to the width of the shipped labels")
    return found
