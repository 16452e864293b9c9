"""The pages of the badge server. No scripts."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from service.demo_cast import CAST
from service.web.drawing import WIDTHS, BadgeLook, draw_badge
from service.web.frame.rendering import read_texts, templates
from service.web.languages import day_in
from service.web.words import Wording

_FOLDER = Path(__file__).parent
STYLESHEET = (_FOLDER / "badge.css").read_bytes()
BADGE_SCRIPT = (_FOLDER / "badge.js").read_bytes()
ICON = draw_badge("star", "", BadgeLook(form="mark")).encode()

_TEXTS = read_texts(_FOLDER, "texts.toml")
GOODS = _TEXTS["goods"]
"""By seller id: words, and `drawing` with SVG elements of 320 x 240."""


class Award(NamedTuple):
    marketplace: str
    seller: str
    badge: str
    wording: Wording
    checked: datetime
    """In UTC."""


def shop_page(awards: Mapping[str, Award | None], words: Mapping[str, Wording], language: str) -> str:
    """Return the demo's shop as HTML, with each seller's award or None."""
    texts = _TEXTS["shop"][language]
    values = {"members": CAST, "awards": awards, "words": words, "goods": GOODS}
    return _render_page("shop", language, texts, title=texts["brand"], **values)


def record_page(award: Award | None, language: str) -> str:
    """Return the page behind a badge; None: the same page for all sellers without one."""
    texts = _TEXTS["record"][language]
    title = texts["none"] if award is None else award.wording.labels[language]
    return _render_page("badge_record", language, texts, title=title, award=award, day=day_in)


def _render_page(name: str, language: str, texts: Mapping[str, str], **values: Any) -> str:
    template = templates().get_template(f"{name}.html")
    return template.render(language=language, texts=texts, widths=WIDTHS[language], **values)
