import itertools
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from service.web.drawing import COLOURS, FORMS, SIZES, WIDTHS
from service.web.languages import accepted_language
from tests.helpers.badge_sites import INTEGRITY, NO_BADGE, Answer, Site

BASE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SVG = "{http://www.w3.org/2000/svg}"
LABELS = {
    ("best", "en"): "Excellent selling record",
    ("best", "zh"): "销售记录优秀",
    ("good", "en"): "Good selling record",
    ("good", "zh"): "销售记录良好",
}


@pytest.mark.parametrize("form", ["svg", "html"])
@pytest.mark.parametrize("query", ["", "?lang=zh"])
def test_sellers_without_a_badge_get_one_and_the_same_answer(site: Site, form: str, query: str) -> None:
    paths = [f"/badge/acme/{seller}.{form}{query}" for seller in NO_BADGE]
    paths += [f"/badge/nowhere/good.{form}{query}"]
    answers = [site.get(path) for path in paths + paths]
    first = answers[0]
    assert first.status == 200
    assert [answer.without_date() for answer in answers] == [first.without_date()] * len(answers)
    assert first.header("cache-control") == site.get(f"/badge/acme/good.{form}").header("cache-control")


@pytest.mark.parametrize(("seller", "language"), LABELS)
def test_a_badge_has_a_role_a_label_a_title_and_a_text(site: Site, seller: str, language: str) -> None:
    answer = site.get(f"/badge/acme/{seller}.svg?lang={language}")
    assert (answer.status, answer.header("content-type")) == (200, "image/svg+xml")
    label = LABELS[seller, language]
    root = ElementTree.fromstring(answer.body)
    assert (root.get("role"), root.get("aria-label"), root.get("lang")) == ("img", label, language)
    assert [root.findtext(f"{SVG}title"), root.findtext(f"{SVG}text")] == [label, label]


def test_every_picture_is_as_large_as_the_script_expects(site: Site) -> None:
    found = re.search(r"const widths = (.*);", site.get("/badge.js").body.decode())
    assert found is not None
    kept = json.loads(re.sub(r"(\w+):", r'"\1":', found[1]))
    for language, size, theme, form in itertools.product(WIDTHS, SIZES, COLOURS, FORMS):
        query = f"lang={language}&size={size}&theme={theme}&form={form}"
        roots = [
            ElementTree.fromstring(site.get(f"/badge/acme/{one}.svg?{query}").body) for one in ("best", "good", "low")
        ]
        width = str(size if form == "mark" else kept[language][str(size)])
        assert {(root.get("width"), root.get("height")) for root in roots} == {(width, str(size))}
        assert [root.find(f"{SVG}text") is None for root in roots] == [form == "mark", form == "mark", True]
        assert not list(roots[2])


def test_two_badges_differ_in_their_marks(site: Site) -> None:
    best, good = (
        ElementTree.fromstring(site.get(f"/badge/acme/{seller}.svg").body).findall(f"{SVG}g/*")
        for seller in ("best", "good")
    )
    assert {shape.get("fill") for shape in good} == {"none"} != {shape.get("fill") for shape in best}


def test_badges_stand_out_from_light_and_dark_pages() -> None:
    for theme, ground in (("light", "#ffffff"), ("light", "#f6f4ef"), ("dark", "#24282d"), ("dark", "#000000")):
        for colour in COLOURS[theme].values():
            lighter, darker = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, by WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_labels_of_a_page_come_in_one_request(site: Site) -> None:
    query = "&".join(f"seller={seller}" for seller in ("best", "good", *NO_BADGE, "good"))
    answer = site.get(f"/badge/acme.json?lang=zh&{query}")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.header("cache-control") == site.get("/badge/acme/good.svg").header("cache-control")
    badges = {
        seller: {
            "badge": badge,
            "label": LABELS[seller, "zh"],
            "page": f"badge/acme/{seller}.html?lang=zh",
        }
        for seller, badge in (("best", "exemplary"), ("good", "trusted"))
    }
    assert json.loads(answer.body) == {"language": "zh", "badges": badges}


def test_the_page_behind_a_badge_says_who_on_what_and_when(site: Site) -> None:
    text = site.get("/badge/acme/good.html?lang=en").body.decode()
    for part in (
        'alt="Good selling record"',
        "The marketplace <strong>acme</strong>",
        "orders that were settled, and violations that were confirmed",
        "vouches for no single item",
    ):
        assert part in text
    found = re.search(r'<time datetime="([^"]+)Z">', text)
    assert found is not None
    checked = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    assert timedelta() <= datetime.now(UTC) - checked < timedelta(minutes=15)


def test_a_badge_has_one_picture_whoever_has_it(site: Site) -> None:
    query = "lang=en&size=24&theme=dark"
    assert site.get(f"/picture/trusted.svg?{query}").body == site.get(f"/badge/acme/good.svg?{query}").body
    for badge in ("none", "new_seller", "unknown", "gold"):
        assert site.get(f"/picture/{badge}.svg").status == 404


def test_the_language_follows_the_header_or_the_query(site: Site) -> None:
    def asked(path: str, header: str) -> tuple[str | None, str | None]:
        answer = site.get(path, accept_language=header)
        return answer.header("content-language"), answer.header("vary")

    assert asked("/badge/acme/good.svg", "zh-CN,zh;q=0.9,en;q=0.8") == ("zh", "Accept-Language")
    assert asked("/badge/acme/good.svg", "de") == ("en", "Accept-Language")
    assert asked("/badge/acme/good.svg?lang=zh-Hant-TW", "en") == ("zh", None)
    assert asked("/badge/acme/good.svg?lang=de", "zh") == ("en", None)
    assert asked("/badge/acme/good.svg?other=zh", "zh") == ("zh", "Accept-Language")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("fr, zh-CN;q=0.9, en;q=0.8", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("zh;q=0", "en"),
        ("zh, en", "zh"),
        ("zh;q=nan, en;q=0.1", "en"),
        ("zh;q=9", "en"),
        ("zhuang", "en"),
        ("ZH-hans", "zh"),
        ("," * 300 + "zh", "en"),
    ],
)
def test_the_language_of_the_largest_weight_is_answered(header: str, language: str) -> None:
    assert accepted_language(header) == language


@pytest.mark.parametrize("path", ["/badge/acme/good.svg", "/badge/acme/low.html", "/badge.js"])
def test_who_has_a_badge_already_is_answered_without_a_body(site: Site, path: str) -> None:
    whole = site.get(path)
    etag = whole.header("etag")
    assert etag is not None
    kept = {"cache-control", "content-language", "vary", "etag", "x-content-type-options"}
    for stated in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = site.get(path, if_none_match=stated)
        assert (again.status, again.body) == (304, b"")
        assert {k: v for k, v in whole.headers if k in kept} == {k: v for k, v in again.headers if k in kept}
    assert site.get(path, if_none_match='"other"').body == whole.body != b""
    other = site.get(path.replace("good", "best").replace("low", "best").replace(".js", ".css"))
    assert other.header("etag") != etag


def test_head_is_answered_as_get_without_the_body(site: Site) -> None:
    got, head = site.get("/badge/acme/good.svg"), site.get("/badge/acme/good.svg", method="HEAD")
    assert head.without_date() == (got.status, got.without_date()[1], b"")


def test_caches_may_show_a_badge_for_a_stated_time(site: Site) -> None:
    caching = site.get("/badge/acme/good.svg").header("cache-control")
    assert caching == "public, max-age=60, stale-while-revalidate=300, stale-if-error=3600"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/badge/acme/a%20b.svg", "seller"),
        ("/badge/acme/%3Cscript%3E.html", "seller"),
        ("/badge/acme.json?seller=good&seller=a%20b", "seller"),
        ("/badge/ac%22me/good.svg", "marketplace"),
        (f"/badge/acme/{'s' * 129}.svg", "seller"),
        ("/badge/acme/%E5%8D%96.svg", "seller"),
    ],
)
def test_an_invalid_id_is_refused_by_its_field(site: Site, path: str, field: str) -> None:
    answer = site.get(path)
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert error == {"field": field, "problem": "must be 1 to 128 characters of [A-Za-z0-9._~:-]"}
    assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("/badge/acme/good.svg?size=18", "size", "must be 16, 20 or 24"),
        ("/picture/trusted.svg?theme=night", "theme", "must be light or dark"),
        ("/badge/acme/good.svg?form=pill", "form", "must be label or mark"),
        ("/badge/acme.json", "seller", "must be given 1 to 50 times"),
        ("/badge/acme.json?" + "&".join(f"seller={n}" for n in range(51)), "seller", "must be given 1 to 50 times"),
        ("/badge/acme.json?" + "&".join(f"seller={n}" for n in range(99)), "seller", "must be given 1 to 50 times"),
    ],
)
def test_a_wrong_query_is_refused_with_its_field(site: Site, query: str, field: str, problem: str) -> None:
    answer = site.get(query)
    assert (answer.status, json.loads(answer.body)["error"]) == (400, {"field": field, "problem": problem})


def test_an_id_may_end_as_a_file_does(site: Site) -> None:
    assert site.get("/badge/acme/a.html.svg").header("content-type") == "image/svg+xml"
    assert site.get("/badge/acme/a.svg.html").header("content-type") == "text/html; charset=utf-8"


def test_other_paths_and_methods_are_refused(site: Site) -> None:
    for path in ("/badge/acme/good", "/badge/acme/good.png", "/badge/acme/x/good.svg", "/demo/", "/demo.html"):
        assert site.get(path).status == 404, path
    answer = site.get("/badge/acme/good.svg", method="POST")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_the_root_leads_to_the_demo_and_names_no_host(site: Site) -> None:
    answer = site.get("/")
    assert (answer.status, answer.header("location")) == (307, "/demo")


def test_every_response_has_its_security_headers(site: Site) -> None:
    def policy(answer: Answer) -> str:
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("server") is None
        assert answer.header("set-cookie") is None
        return answer.header("content-security-policy") or ""

    for path in (
        "/badge/acme/good.svg",
        "/badge/acme.json?seller=low",
        "/badge.js",
        "/health",
        "/nothing",
        "/badge/acme/%20.svg",
    ):
        found = policy(site.get(path))
        assert found == f"default-src 'none'; {BASE}", path
    for path in ("/demo", "/badge/acme/good.html"):
        assert policy(site.get(path)) == f"default-src 'none'; img-src 'self'; style-src 'self'; {BASE}", path


def test_health_says_whether_the_server_answers(site: Site) -> None:
    assert json.loads(site.get("/health").body) == {"status": "serving", "server": "answers"}


def test_a_head_that_is_too_long_is_refused(site: Site) -> None:
    host, port = site.server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"GET /badge/acme/good.svg HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000)
        answer = raw.recv(1_000)
    assert answer.startswith(b"HTTP/1.1 4")


def test_the_documents_name_the_script_that_is_served() -> None:
    documented = (Path(__file__).parents[3] / "docs" / "tutorials" / "checkout.md").read_text()
    assert f'integrity="{INTEGRITY}"' in documented
