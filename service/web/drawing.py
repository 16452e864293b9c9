"""A badge as SVG and as JSON. Neither holds anything of its seller, so equal badges are equal bytes."""

import json
import unicodedata
from html import escape

from service.web.words import Wording

HEIGHT = 24
"""CSS pixels of a badge's height."""
_TEXT_SIZE = 12
_TEXT_START = 26  # after the mark
_TEXT_END = 10  # the space behind the text

_SHAPES = {
    "star": "M12 4.5l2.2 4.9 5.3.6-4 3.6 1.1 5.3L12 16.2l-4.6 2.7 1.1-5.3-4-3.6 5.3-.6z",
    "tick": "M6 12.5l4 4 8-9",
}
_STROKES = {"star": "none", "tick": "#fff"}

NOTHING_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1" viewBox="0 0 1 1" aria-hidden="true"></svg>\n'
)
"""The badge of a seller who has none: nothing is seen, and nothing is read out."""


def draw_svg(wording: Wording, language: str) -> bytes:
    """Draw a badge in a language as an SVG document, in UTF-8.

    White on dark green in a frame of white, which stands out from light and dark pages alike (7.9 to 1).
    """
    label = wording.labels[language]
    text_width = _text_width(label)
    width = _TEXT_START + text_width + _TEXT_END
    shown, stroke = escape(label), _STROKES[wording.mark]
    fill = "#fff" if stroke == "none" else "none"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}"'
        f' role="img" aria-label="{shown}" lang="{language}"><title>{shown}</title>'
        f'<rect x=".5" y=".5" width="{width - 1}" height="{HEIGHT - 1}" rx="11.5" fill="#0b5d3b" stroke="#fff"/>'
        f'<path d="{_SHAPES[wording.mark]}" fill="{fill}" stroke="{stroke}" stroke-width="2.5"'
        ' stroke-linecap="round" stroke-linejoin="round"/>'
        f'<text x="{_TEXT_START}" y="16.5" fill="#fff" font-family="system-ui,-apple-system,Segoe UI,Roboto,'
        f"Noto Sans,PingFang SC,Microsoft YaHei,Noto Sans CJK SC,sans-serif"
        f'" font-size="{_TEXT_SIZE}" font-weight="600" textLength="{text_width}" lengthAdjust="spacingAndGlyphs">'
        f"{shown}</text></svg>\n"
    ).encode()


def draw_json(badge: str | None, wording: Wording | None, language: str) -> bytes:
    """Write a badge as a JSON object, in UTF-8: badge, label and language.

    For no badge, `badge` is null and `label` empty.
    """
    label = "" if wording is None else wording.labels[language]
    return (json.dumps({"badge": badge, "label": label, "language": language}, ensure_ascii=False) + "\n").encode()


def _text_width(label: str) -> int:
    """Return the CSS pixels that a label is set in, whatever font the reader's machine has.

    A character of Chinese is as wide as it is high, one of Latin letters about 0.58 of that.
    """
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in label)
    return round(_TEXT_SIZE * (wide + 0.58 * (len(label) - wide)))
