"""What the badge server answers over HTTP, byte by byte."""

import json
import socket
from xml.etree import ElementTree

import pytest

from service.web.languages import accepted_language
from tests.service.web.serving import NO_BADGE, Answer, Site

SVG = "{http://www.w3.org/2000/svg}"
LABELS = {
    ("best", "en"): "Exemplary seller",
    ("best", "zh"): "卓越卖家",
    ("good", "en"): "Trusted seller",
    ("good", "zh"): "可信卖家",
}


@pytest.mark.parametrize("form", ["svg", "json"])
@pytest.mark.parametrize("query", ["", "?lang=zh"])
def test_a_seller_without_a_badge_is_answered_with_the_same_bytes_and_headers_whyever_it_has_none(
    site: Site, form: str, query: str
) -> None:
    """A confirmed violation, too little history, nothing on record, a marketplace that is none: asked for twice."""
    paths = [f"/badge/acme/{seller}.{form}{query}" for seller in NO_BADGE]
    paths += [f"/badge/nowhere/good.{form}{query}"]
    answers = [site.get(path) for path in paths + paths]
    first = answers[0]
    assert first.status == 200
    assert [answer.without_date() for answer in answers] == [first.without_date()] * len(answers)
    assert first.header("cache-control") == site.get(f"/badge/acme/good.{form}").header("cache-control")


@pytest.mark.parametrize(("seller", "language"), LABELS)
def test_a_badge_has_a_role_a_label_a_title_a_text_and_a_mark_in_each_language(
    site: Site, seller: str, language: str
) -> None:
    answer = site.get(f"/badge/acme/{seller}.svg?lang={language}")
    assert (answer.status, answer.header("content-type")) == (200, "image/svg+xml")
    label = LABELS[seller, language]
    root = ElementTree.fromstring(answer.body)
    assert (root.get("role"), root.get("aria-label"), root.get("lang")) == ("img", label, language)
    assert [root.findtext(f"{SVG}title"), root.findtext(f"{SVG}text")] == [label, label]
    stated = json.loads(site.get(f"/badge/acme/{seller}.json?lang={language}").body)
    assert stated == {
        "badge": "exemplary" if seller == "best" else "trusted",
        "label": label,
        "language": language,
    }


def test_two_badges_differ_in_their_marks_and_not_in_colour_or_label_alone(site: Site) -> None:
    marks = [
        ElementTree.fromstring(site.get(f"/badge/acme/{seller}.svg").body).find(f"{SVG}path")
        for seller in ("best", "good")
    ]
    assert len({mark.get("d") for mark in marks if mark is not None}) == 2


def test_the_language_follows_from_accept_language_unless_the_query_names_one(site: Site) -> None:
    """Caches are told so by Vary, but where the query decided."""

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
def test_the_language_of_the_largest_weight_is_answered_and_what_is_malformed_counts_for_nothing(
    header: str, language: str
) -> None:
    assert accepted_language(header) == language


@pytest.mark.parametrize("path", ["/badge/acme/good.svg", "/badge/acme/low.json", "/badge.js"])
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
    other = site.get(path.replace("good", "best").replace("low", "best").replace(".js", ".json"))
    assert other.header("etag") != etag


def test_head_is_answered_as_get_without_the_body(site: Site) -> None:
    got, head = site.get("/badge/acme/good.svg"), site.get("/badge/acme/good.svg", method="HEAD")
    assert head.without_date() == (got.status, got.without_date()[1], b"")


def test_caches_may_show_a_badge_for_a_stated_time_and_while_the_badge_server_is_away(site: Site) -> None:
    caching = site.get("/badge/acme/good.svg").header("cache-control")
    assert caching == "public, max-age=60, stale-while-revalidate=300, stale-if-error=86400"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/badge/acme/a%20b.svg", "seller"),
        ("/badge/acme/%3Cscript%3E.json", "seller"),
        ("/badge/ac%22me/good.svg", "marketplace"),
        (f"/badge/acme/{'s' * 129}.svg", "seller"),
        ("/badge/acme/%E5%8D%96.svg", "seller"),
    ],
)
def test_an_id_that_is_none_is_refused_with_the_field_and_what_it_must_be(site: Site, path: str, field: str) -> None:
    answer = site.get(path)
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert error == {"field": field, "problem": "must be 1 to 128 characters of [A-Za-z0-9._~:-]"}
    assert answer.header("cache-control") == "no-store"


def test_an_id_may_end_as_a_file_does(site: Site) -> None:
    assert json.loads(site.get("/badge/acme/a.svg.json").body)["badge"] is None
    assert site.get("/badge/acme/a.json.svg").header("content-type") == "image/svg+xml"


def test_other_paths_and_methods_are_refused(site: Site) -> None:
    """Paths of the demo's files beside it too; nothing redirects to the host that a request states."""
    for path in ("/", "/badge/acme/good", "/badge/acme/good.png", "/badge/acme/x/good.svg", "/demo/", "/demo.html"):
        assert site.get(path).status == 404, path
    answer = site.get("/badge/acme/good.svg", method="POST")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_every_response_bars_sniffing_framing_and_scripts_and_names_no_software(site: Site) -> None:
    """The page of the demo alone may load what is its own."""

    def policy(answer: Answer) -> str:
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("server") is None
        assert answer.header("set-cookie") is None
        return answer.header("content-security-policy") or ""

    for path in (
        "/badge/acme/good.svg",
        "/badge/acme/low.json",
        "/badge.js",
        "/health",
        "/nothing",
        "/badge/acme/%20.svg",
    ):
        found = policy(site.get(path))
        assert found == "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", path
    page = policy(site.get("/demo"))
    assert "default-src 'none'" in page
    assert "script-src 'self';" in page
    assert "unsafe" not in page


def test_health_says_whether_the_server_answers(site: Site) -> None:
    assert json.loads(site.get("/health").body) == {"status": "serving", "server": "answers"}


def test_a_head_that_is_too_long_is_refused(site: Site) -> None:
    host, port = site.server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"GET /badge/acme/good.svg HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000)
        answer = raw.recv(1_000)
    assert answer.startswith(b"HTTP/1.1 4")
