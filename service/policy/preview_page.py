"""A preview as one self-contained HTML page."""

from collections.abc import Iterable, Sequence
from html import escape

from scoring.base.time import format_day
from service.policy.preview import Moved, Preview, Question

_COLOURS = (("stricter", "#b3541e"), ("mixed", "#b9a44c"), ("laxer", "#2f7f79"))
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%}"
)
_BAR, _LEFT, _WIDTH = 22, 220, 420


def render_page(asked: Question, found: Preview) -> str:
    before, after = (f"{policy.name} version {policy.version}, {policy.digest[:12]}" for policy in asked.policies())
    rows = found.segment_rows()
    columns = ("sellers", "tier_up", "tier_down", "stricter", "laxer", "mixed")
    stopped = [(v.marketplace, v.seller, v.violation) for v in found.stopped_by(new=True)]
    since = format_day(asked.since_day)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Policy preview</title><style>{_STYLE}</style><h1>Policy preview</h1>",
        f"<p>{found.sellers:,} sellers, from {escape(before)} to {escape(after)}.</p>",
        _plot(found),
        "<h2>Segments</h2>",
        _table(("by", "segment", *columns), ((kind, name, *(c[what] for what in columns)) for kind, name, c in rows)),
        "<h2>Terms</h2>",
        _table(("change", "sellers"), found.aspects.most_common()),
        "<h2>Tiers</h2>",
        _table(("before", "after", "sellers"), ((*pair, count) for pair, count in sorted(found.tiers.items()))),
        "<h2>Rules</h2>",
        _table(("rule", "sellers", "note"), found.rule_rows()),
        f"<h2>Since {since}</h2>",
        f"<p>Of {len(found.violations):,} violations that count, {len(stopped):,} would have been stopped beforehand by the"
        f" new policy alone, {len(found.stopped_by(new=False)):,} by the old one alone"
        f" ({found.violations_omitted:,} were not looked at). Of {found.good:,} sellers without one, {found.hurt:,} would"
        " have had stricter terms.</p>",
        _table(("marketplace", "seller", "violation"), stopped),
        "<h2>Sellers who move</h2>",
        _examples(found.examples),
        "<h2>Good sellers with stricter terms then</h2>",
        _examples(found.hurt_examples),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _examples(examples: Sequence[Moved]) -> str:
    rows = ((one.marketplace, one.seller, *one.tiers, "; ".join(one.aspects)) for one in examples)
    return _table(("marketplace", "seller", "tier before", "tier after", "changes"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    found = ["".join(f"<td class=n>{v:,}" if type(v) is int else f"<td>{escape(str(v))}" for v in row) for row in rows]
    if not found:
        return "<p>None.</p>"
    return (
        f"<table><tr>{''.join(f'<th>{escape(name)}' for name in head)}{''.join('<tr>' + row for row in found)}</table>"
    )


def _plot(found: Preview) -> str:
    """Return a bar per segment: the shares of stricter, mixed and laxer terms."""
    rows = [(f"{kind}: {name}", counts) for kind, name, counts in found.segment_rows() if counts["sellers"]]
    height = _BAR * len(rows) + 30
    parts = [
        '<svg role="img" aria-label="Share of sellers by how their terms change"'
        f' viewBox="0 0 {_LEFT + _WIDTH + 90} {height}"'
        ' font-size="12" font-family="system-ui,sans-serif">'
    ]
    for place, (name, colour) in enumerate(_COLOURS):
        parts.append(f'<rect x="{_LEFT + 90 * place}" y="4" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 90 * place + 17}" y="14">{name}</text>')
    for number, (label, counts) in enumerate(rows):
        y, x = 26 + _BAR * number, float(_LEFT)
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(label[:34])}</text>')
        for name, colour in _COLOURS:
            width = _WIDTH * counts[name] / counts["sellers"]
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" fill="{colour}"/>')
            x += width
        share = sum(counts[name] for name, _ in _COLOURS) / counts["sellers"]
        parts.append(f'<text x="{_LEFT + _WIDTH + 8}" y="{y + 13}">{share:.1%}</text>')
    return "".join([*parts, "</svg>"])
