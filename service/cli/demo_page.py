from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.demo_story import Story
from service.demo_cast import ACCUSED, CAST, GOOD, NOW, OFFENDER, OTHER

if TYPE_CHECKING:
    from training.report.parts import Mark, Plot, Table

STEPS = {"before": "before", "seizure": "seizure", "recall": "recall", "appeal": "appeal"}
_STYLES = {ACCUSED: "m-lightgbm", GOOD: "m-unconstrained", OTHER: "m-logistic", OFFENDER: "m-champion"}


def write_page(story: Story, file: Path) -> None:
    from service.web.goods import DRAWINGS
    from training.report.page import render_template

    last = [*STEPS][-1]
    html = render_template(
        "demo.html.j2",
        day=f"{NOW:%-d %B %Y}",
        lines=[text.replace("->", "→") for text in story.lines],
        points=_points(story),
        facts=_facts(story),
        offender=OFFENDER.shop_name,
        cart=[
            (m, f"€{m.price_minor / 100:.2f}", DRAWINGS[m.seller], _badges(story.score(last, m).badge)) for m in CAST
        ],
    )
    file.write_text(html, encoding="utf-8")


def _badges(badge: str) -> list[str]:
    from service.web.drawing import Look, draw_badge
    from service.web.words import read_words

    wording = read_words().get(badge)
    if wording is None:
        return []
    return [draw_badge(wording.mark, wording.labels["en"], Look(theme=theme)) for theme in ("light", "dark")]


def _points(story: Story) -> "Plot":
    from training.report.drawing import axis, curve, dot, names
    from training.report.parts import Key, Plot

    rated = [m for m in _STYLES if all(story.score(step, m).HasField("points") for step in STEPS)]
    points = {m: [story.score(step, m).points for step in STEPS] for m in rated}
    x = names([*STEPS.values()], "")
    y = axis([p for line in points.values() for p in line], "points")
    at = [number + 0.5 for number in range(len(STEPS))]
    marks: list[Mark] = []
    for member in reversed(rated):
        marks.append(curve(at, [float(p) for p in points[member]], x, y, _STYLES[member]))
        for place, value in zip(at, points[member], strict=True):
            marks.append(dot(place, value, x, y, _STYLES[member], says=f"{member.shop_name}: {value} points"))
    first, low, *_, end = points[ACCUSED][0], points[ACCUSED][2], points[ACCUSED][-1]
    return Plot(
        f"{ACCUSED.shop_name} falls from {first} to {low} points, and returns to {end}",
        f"The recall reached it by a wrong batch number. {GOOD.shop_name} listed no such batch: nothing moves it.",
        x,
        y,
        marks,
        [Key("line", _STYLES[m], m.shop_name) for m in rated],
        height=300,
    )


def _facts(story: Story) -> "Table":
    from training.report.parts import Bar, Table

    found = story.steps["appeal"][OFFENDER]
    most = max([abs(reason.points) for reason in found.reasons], default=1)
    rows: list[Sequence[str | Bar]] = [("Base (the best row of every table)", str(found.baseline_points), "")]
    for reason in found.reasons:
        rows.append((_words(reason.reason_code), Bar(_signed(reason.points), abs(reason.points) / most), ""))
        for effect in reason.incidents:
            fact = f"{', '.join(effect.entries)} ({effect.occur_time.ToDatetime():%-d %B %Y})"
            rows.append((fact, "", _signed(effect.points_if_overturned)))
    rows.append(("Points", str(found.trust_score.points), ""))
    return Table(
        f"Why {OFFENDER.shop_name} has {found.trust_score.points} points",
        "Below each reason stand the entries in the ledger that it rests on, with what overturning them would give back.",
        ("reason, and its facts", "points", "if overturned"),
        rows,
    )


def _words(code: str) -> str:
    return code.replace("_", " ").capitalize()


def _signed(points: int) -> str:
    return f"{points:+d}".replace("-", "\N{MINUS SIGN}")
