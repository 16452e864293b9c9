"""The demo: a checkout page with a cart of sellers, which shows their badges as any page would."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from starlette.responses import Response

from service.web.answers import EVERYWHERE
from service.web.drawing import NOTHING_SVG
from service.web.languages import LANGUAGES
from service.web.script import INTEGRITY

_FOLDER = Path(__file__).parent
_CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; style-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_TEXTS = {
    "en": {
        "title": "Your cart",
        "intro": "This page is a demo. It shows the badge of each seller who has one.",
        "item": "Item",
        "seller": "Seller",
        "price": "Price",
        "total": "Total",
        "pay": "Go to payment",
        "note": "Nothing is sold here. A seller without a badge is shown as any other.",
        "other": '<a href="/demo?lang=zh" lang="zh" hreflang="zh">中文</a>',
    },
    "zh": {
        "title": "购物车",
        "intro": "这是演示页面。有徽章的卖家会显示徽章。",
        "item": "商品",
        "seller": "卖家",
        "price": "价格",
        "total": "合计",
        "pay": "去付款",
        "note": "此处不出售任何商品。没有徽章的卖家与其他卖家显示方式相同。",
        "other": '<a href="/demo?lang=en" lang="en" hreflang="en">English</a>',
    },
}
_GOODS = {
    "en": ("Radio", "Lamp", "Kettle", "Coat"),
    "zh": ("收音机", "台灯", "水壶", "雨衣"),
}
_PRICES = (4990, 2450, 3200, 5900)  # cents


class Demo:
    """The pages of the demo for some sellers of a marketplace, by their ids."""

    paths = ("/demo", "/demo.css", "/demo.svg")

    def __init__(self, marketplace: str, sellers: Sequence[str]) -> None:
        headers = EVERYWHERE | {"Cache-Control": "no-store", "Content-Security-Policy": _CSP}
        css = (_FOLDER / "demo.css").read_bytes()
        self._files = {
            "/demo.css": Response(css, headers=headers, media_type="text/css"),
            "/demo.svg": Response(NOTHING_SVG, headers=headers, media_type="image/svg+xml"),
        }
        self._pages: dict[tuple[str, bool], Response] = {}
        for language in LANGUAGES:
            page = _page(marketplace, sellers, language)
            shown = headers | {"Content-Language": language}
            self._pages[language, False] = Response(page, headers=shown, media_type="text/html")
            negotiated = shown | {"Vary": "Accept-Language"}
            self._pages[language, True] = Response(page, headers=negotiated, media_type="text/html")

    def response(self, path: str, language: str, is_negotiated: bool) -> Response:
        """Return the response for one of `paths`."""
        return self._files.get(path) or self._pages[language, is_negotiated]


def _page(marketplace: str, sellers: Sequence[str], language: str) -> str:
    """Return the page in a language, with a line of the cart for each seller."""
    prices = [_PRICES[number % len(_PRICES)] for number in range(len(sellers))]
    rows = "\n".join(
        _row(marketplace, seller, _GOODS[language][number % len(_PRICES)], price)
        for number, (seller, price) in enumerate(zip(sellers, prices, strict=True))
    )
    template = Template((_FOLDER / "demo.html").read_text(encoding="utf-8"))
    texts = _TEXTS[language] | {"language": language, "rows": rows, "sum": _euro(sum(prices)), "integrity": INTEGRITY}
    return template.substitute(texts)


def _row(marketplace: str, seller: str, goods: str, price: int) -> str:
    """Return a line of the cart."""
    badge = (
        f'<span data-sellertrust-badge data-marketplace="{escape(marketplace)}" data-seller="{escape(seller)}"></span>'
    )
    return (
        f'<tr><th scope="row">{escape(goods)}</th><td><span class="seller">{escape(seller)}</span> {badge}</td>'
        f'<td class="price">{_euro(price)}</td></tr>'
    )


def _euro(cents: int) -> str:
    return f"€{cents // 100}.{cents % 100:02}"
