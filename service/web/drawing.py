"""Badges as SVG, by pure functions. Equal badges are equal bytes."""

import unicodedata
from html import escape
from typing import NamedTuple

SIZES = {16: 12, 20: 14, 24: 16}
"""Height and font size of each badge size, in CSS pixels. The baseline is a quarter above the lower edge."""
WIDTHS = {"en": {16: 176, 20: 204, 24: 232}, "zh": {16: 96, 20: 112, 24: 128}}
"""Every labelled badge has it, so that pages do not shift."""
COLOURS = {"light": {"tick": "#0b6b4a", "star": "#8a5200"}, "dark": {"tick": "#56d3a2", "star": "#f3c04b"}}
"""Contrast at least 4.5 to 1 on white, and on #24282d and darker."""
FORMS = ("label", "mark")

# An open ring and a filled seal: neither colour nor word alone distinguishes badges.
MARKS = {
    "tick": '<circle cx="10" cy="10" r="8" fill="none" stroke="{0}" stroke-width="1.8"/>'
    '<path d="M6.2 10.3l2.7 2.7 5-5.6" fill="none" stroke="{0}" stroke-width="2.1" stroke-linecap="round"'
    ' stroke-linejoin="round"/>',
    "star": '<path d="M10 1.1A3 3 0 0 1 14.4 2.3A3 3 0 0 1 17.7 5.5A3 3 0 0 1 18.9 10A3 3 0 0 1 17.7 14.5'
    "A3 3 0 0 1 14.5 17.7A3 3 0 0 1 10 18.9A3 3 0 0 1 5.5 17.7A3 3 0 0 1 2.3 14.5A3 3 0 0 1 1.1 10"
    "A3 3 0 0 1 2.3 5.5A3 3 0 0 1 5.5 2.3A3 3 0 0 1 10 1.1z"
    'M10 4.9l1.6 3.3 3.6.5-2.6 2.5.6 3.6-3.2-1.7-3.2 1.7.6-3.6-2.6-2.5 3.6-.5z" fill="{0}" fill-rule="evenodd"/>',
}
_FONTS = "Helvetica Neue,Helvetica,Arial,Liberation Sans,Roboto,PingFang SC,Microsoft YaHei,Noto Sans CJK SC,sans-serif"
"""Their letters are about equally wide; `textLength` makes other fonts as narrow."""
_LETTER_EMS = {" ',./I\\ijl|": 0.28, "!()-:;[]ft": 0.33, "r*": 0.39, "MW@%mw": 0.87}
"""Widths of some bold letters of Helvetica, in font sizes."""


class BadgeLook(NamedTuple):
    language: str = "en"
    size: int = 20
    theme: str = "light"
    form: str = "label"

    def box(self) -> tuple[int, int]:
        """Return width and height in CSS pixels."""
        return self.size if self.form == "mark" else WIDTHS[self.language][self.size], self.size


def draw_badge(mark: str, label: str, look: BadgeLook) -> str:
    """Return a badge as SVG with the label's text; `mark`: one of MARKS."""
    colour, size = COLOURS[look.theme][mark], look.size
    text = escape(label)
    scale = "" if size == 20 else f' transform="scale({size / 20:g})"'
    drawn = f"<title>{text}</title><g{scale}>{MARKS[mark].format(colour)}</g>"
    if look.form == "label":
        drawn += (
            f'<text x="{size * 5 // 4}" y="{size * 3 // 4}" fill="{colour}" font-family="{_FONTS}"'
            f' font-size="{SIZES[size]}" font-weight="600" textLength="{SIZES[size] * _measure_ems(label):.0f}"'
            f' lengthAdjust="spacingAndGlyphs">{text}</text>'
        )
    return _wrap_svg(look, f' role="img" aria-label="{text}" lang="{look.language}"', drawn)


def draw_nothing(look: BadgeLook) -> str:
    """Return an empty SVG of the badge's size, hidden from screen readers."""
    return _wrap_svg(look, ' aria-hidden="true"', "")


def label_fits(label: str, language: str) -> bool:
    """Return whether a label is no wider than a badge, in every size."""
    return all(size * 5 / 4 + font * _measure_ems(label) <= WIDTHS[language][size] for size, font in SIZES.items())


def _measure_ems(label: str) -> float:
    return sum(_measure_letter_ems(letter) for letter in label)


def _measure_letter_ems(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return next((ems for letters, ems in _LETTER_EMS.items() if letter in letters), 0.7 if letter.isupper() else 0.58)


def _wrap_svg(look: BadgeLook, attributes: str, drawn: str) -> str:
    width, height = look.box()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f"{attributes}>{drawn}</svg>\n"
    )
