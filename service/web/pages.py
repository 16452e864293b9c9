"""The pages of the badge server, by pure functions. No scripts."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from service.demo_cast import CAST, Member
from service.web.drawing import Look, draw_badge
from service.web.goods import DRAWINGS
from service.web.languages import day_in
from service.web.words import Wording

_FOLDER = Path(__file__).parent
STYLESHEET = (_FOLDER / "badge.css").read_bytes()
ICON = draw_badge("star", "", Look(form="mark")).encode()
DELIVERY_MINOR = 490

_TEXTS = tomllib.loads((_FOLDER / "texts.toml").read_text(encoding="utf-8"))
_OTHER_LANGUAGE = {"en": ("zh", "中文"), "zh": ("en", "English")}


class Award(NamedTuple):
    marketplace: str
    seller: str
    badge: str
    wording: Wording
    checked: datetime


def write_badge_link(award: Award, look: Look) -> str:
    page = f"/badge/{award.marketplace}/{award.seller}.html?lang={look.language}"
    return f'<a class="badge" href="{escape(page)}">{write_picture(award.badge, award.wording, look)}</a>'


def write_picture(badge: str, wording: Wording, look: Look) -> str:
    width, height = look.box()
    picture = f"/picture/{escape(badge)}.svg?lang={look.language}&amp;size={look.size}&amp;form={look.form}"
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{picture}&amp;theme=dark">'
        f'<img class="s{look.size}" src="{picture}" width="{width}" height="{height}"'
        f' alt="{escape(wording.labels[look.language])}"></picture>'
    )


def shop_page(awards: Mapping[str, Award | None], words: Mapping[str, Wording], language: str) -> str:
    look = Look(language)
    return _fill(
        "shop.html",
        language,
        _TEXTS["shop"][language],
        cards="\n".join(_card(member, awards.get(member.seller), language) for member in CAST),
        lines="\n".join(_line(member, awards.get(member.seller), language) for member in CAST),
        legend="\n".join(f"<p>{write_picture(badge, wording, look)}</p>" for badge, wording in words.items()),
        count=str(len(CAST)),
        delivery_price=_euro(DELIVERY_MINOR),
        sum=_euro(sum(member.price_minor for member in CAST) + DELIVERY_MINOR),
    )


def record_page(award: Award | None, language: str) -> str:
    """Return the page behind a badge; None: the same page for all sellers without one."""
    texts = _TEXTS["record"][language]
    rows = [("none_title", texts["none_text"])]
    title = heading = texts["none"]
    lead = ""
    if award is not None:
        title, heading = award.wording.labels[language], write_picture(award.badge, award.wording, Look(language, 24))
        lead = f"<p>{texts['lead'].format(seller=_strong(award.seller))}</p>"
        checked = award.checked.astimezone(UTC)
        time = f'<time datetime="{checked:%Y-%m-%dT%H:%MZ}">{_format_time(checked, language)}</time>'
        rows = [
            ("who_title", texts["who"].format(marketplace=_strong(award.marketplace))),
            ("what_title", texts["what"]),
            ("when_title", f"{time}<br>{texts['when']}"),
            ("not_title", texts["not"]),
        ]
    shown = "\n".join(f"<dt>{texts[name]}</dt>\n<dd>{text}</dd>" for name, text in rows)
    return _fill("record.html", language, {}, title=escape(title), heading=heading, lead=lead, rows=shown)


def _fill(name: str, language: str, texts: Mapping[str, str], **values: str) -> str:
    other, other_name = _OTHER_LANGUAGE[language]
    link = f'<a href="?lang={other}" lang="{other}" hreflang="{other}">{other_name}</a>'
    template = Template((_FOLDER / name).read_text(encoding="utf-8"))
    return template.substitute(texts, language=language, other=link, **values)


def _card(member: Member, award: Award | None, language: str) -> str:
    about, drawing = _TEXTS["goods"][member.seller][language], DRAWINGS[member.seller]
    badge = "" if award is None else write_badge_link(award, Look(language, 16))
    return (
        f'<li class="card"><div class="goods {member.seller}"><svg viewBox="0 0 320 240" aria-hidden="true">{drawing}'
        f'</svg></div><div class="words"><h2>{_item(member, language)}</h2><p class="about">{escape(about)}</p>'
        f'<p class="price">{_euro(member.price_minor)}</p><p class="shop-name">{_shop_name(member, language)}</p>'
        f'<p class="record-line">{badge}</p></div></li>'
    )


def _line(member: Member, award: Award | None, language: str) -> str:
    badge = "" if award is None else f" {write_badge_link(award, Look(language, 16, form='mark'))}"
    return (
        f'<li><span class="item">{_item(member, language)}</span><span class="price">{_euro(member.price_minor)}</span>'
        f'<span class="shop-name">{_shop_name(member, language)}{badge}</span></li>'
    )


def _item(member: Member, language: str) -> str:
    return escape(member.item_zh if language == "zh" else member.item)


def _shop_name(member: Member, language: str) -> str:
    return escape(_TEXTS["goods"][member.seller]["shop_name_zh"] if language == "zh" else member.shop_name)


def _strong(text: str) -> str:
    return f"<strong>{escape(text)}</strong>"


def _format_time(time: datetime, language: str) -> str:
    return f"{day_in(language, time)}{' ' if language == 'zh' else ', '}{time:%H:%M} UTC"


def _euro(minor: int) -> str:
    return f"€{minor // 100}.{minor % 100:02}"
