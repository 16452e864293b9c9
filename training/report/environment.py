"""The templates of a report, with the functions that they call."""

import shlex
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.report.parts import Table, count, number, plural


@cache
def open_templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(kind=_name_kind, pos=_format_position, quote=shlex.quote)
    templates.globals.update(count=count, number=number, plural=plural)
    templates.filters.update(breakable=_allow_breaks, prose=_has_sentences)
    return templates


def _name_kind(thing: object) -> str:
    return type(thing).__name__.lower()


def _format_position(value: float) -> str:
    return f"{value:.4g}%"


def _allow_breaks(text: str) -> Markup:
    return Markup("_<wbr>").join(text.split("_"))


def _has_sentences(table: Table) -> bool:
    """Return whether a table has sentences beside its first column; phones then stack its rows."""
    return any(type(cell) is str and len(cell) > 34 for row in table.rows for cell in row[1:])
