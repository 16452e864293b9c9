import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.training.report import sample
from tests.training.report.sample import poisoned
from training.report.page import render
from training.report.parts import Reading
from training.report.sections import PLANS

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; .ci/run installs it")

WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    hostile = poisoned(sample.parts(("log_loss", "psi")))
    hostile["evaluation"]["segments"]["country"][0]["name"] = "n" * 128
    pages = {"whole": sample.parts(), "hostile": hostile}
    folder = tmp_path_factory.mktemp("reports")
    for name, parts in pages.items():
        (folder / f"{name}.html").write_text(render(Reading(**parts)))
    return {name: folder / f"{name}.html" for name in pages}


@contextmanager
def opened(chromium: Browser, file: Path, width: int = 1280, scheme: Any = "light") -> Iterator[Page]:
    found: list[str] = []
    context = chromium.new_context(offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()

        def only_the_file(route: Route) -> None:
            if route.request.url == file.as_uri():
                route.continue_()
            else:
                found.append(f"asks for {route.request.url}")
                route.abort()

        page.route("**/*", only_the_file)
        page.on("console", lambda message: found.append(f"says {message.text}"))
        page.on("pageerror", lambda error: found.append(f"fails: {error}"))
        page.on("dialog", lambda dialog: (found.append("opens a dialog"), dialog.dismiss()))
        page.goto(file.as_uri(), wait_until="load")
        yield page
        assert found == []
    finally:
        context.close()


@pytest.mark.long
@pytest.mark.parametrize("name", ["whole", "hostile"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_loaded_nothing_runs_and_nothing_overflows(
    chromium: Browser, files: dict[str, Path], name: str, width: int
) -> None:
    with opened(chromium, files[name], width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.scripts.length + document.images.length") == 0
        assert page.title().endswith("model report")


@pytest.mark.long
def test_on_a_desk_no_table_hides_a_column(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["whole"]) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        wide = (
            "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth).map(s => s.ariaLabel)"
        )
        assert page.evaluate(wide) == []


@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_every_section_is_seen_and_reached_from_the_contents(
    chromium: Browser, files: dict[str, Path], width: int
) -> None:
    with opened(chromium, files["whole"], width) as page:
        for plan in PLANS:
            heading = page.get_by_role("heading", name=plan.title, exact=True, level=2)
            assert heading.is_visible()
            page.get_by_role("navigation").get_by_role("link", name=plan.title, exact=True).click()
            box = heading.bounding_box()
            assert 0 <= box["y"] < 900


@pytest.mark.long
@pytest.mark.parametrize("name", ["whole", "hostile"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_its_ground_in_both_schemes(
    chromium: Browser, files: dict[str, Path], name: str, scheme: str
) -> None:
    with opened(chromium, files[name], scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        texts = page.evaluate(CONTRASTS)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert len(texts) > 1000
    assert [text for text in texts if text["ratio"] < 4.5] == []
    dark = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")) < 382
    assert dark == (scheme == "dark")


@pytest.mark.long
def test_figures_have_names_and_tables_have_heads(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["whole"]) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        figures = page.get_by_role("img").all()
        assert len(figures) > 70
        assert all(len(figure.get_attribute("aria-label") or "") > 10 for figure in figures)
        # Figures without a name are hidden from screen readers.
        unnamed = "svg:not([role=img], [aria-hidden=true], [aria-hidden=true] *)"
        assert page.locator(unnamed).count() == 0
        bare = "table:not(:has(caption)), table:not(:has(th[scope=col])), table:not(:has(th[scope=row]))"
        assert page.locator("table").count() > 20
        assert page.locator(bare).count() == 0
        assert page.locator("figure:not(:has(figcaption))").count() == 0


@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_words_in_figures_keep_their_size_and_stay_apart(chromium: Browser, files: dict[str, Path], width: int) -> None:
    with opened(chromium, files["whole"], width) as page:
        words = page.evaluate(WORDS_IN_FIGURES)
    assert len(words["sizes"]) > 200
    assert min(words["sizes"]) >= 11
    assert words["collisions"] == []
    assert words["outside"] == []


@pytest.mark.long
def test_figures_are_drawn_where_their_numbers_are(chromium: Browser, files: dict[str, Path]) -> None:
    parts = copy.deepcopy(sample.parts())
    rows = parts["evaluation"]["reliability"]
    with opened(chromium, files["whole"]) as page:
        dots = page.evaluate(
            """() => { const plot = [...document.querySelectorAll('svg.plot')]
                 .find(p => p.getAttribute('aria-label').includes('Reliability'));
               const line = plot.querySelector('path.rule').getBoundingClientRect();
               return [...plot.querySelectorAll('circle.dot')].map(d => d.getBoundingClientRect()).map(b => [
                 (b.x + b.width / 2 - line.x) / line.width, 1 - (b.y + b.height / 2 - line.y) / line.height]) }"""
        )
    top = 0.5
    drawn = [(x * top, y * top) for x, y in dots]
    for (x, y), row in zip(drawn, rows, strict=True):
        assert (x, y) == pytest.approx((row["predicted"], row["observed"]), abs=0.004)


@pytest.mark.long
def test_on_paper_the_contents_are_left_out_and_the_page_prints(chromium: Browser, files: dict[str, Path]) -> None:
    with opened(chromium, files["whole"]) as page:
        page.emulate_media(media="print")
        assert not page.get_by_role("navigation").is_visible()
        assert len(page.pdf(format="A4")) > 100_000


CONTRASTS = """() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n };
  const over = (top, under) => top.slice(0, 3).map((v, k) => v * top[3] + under[k] * (1 - top[3]));
  const ground = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || ['STYLE', 'title'].includes(element.tagName) || element.closest('.skip')) continue;
    const behind = ground(element);
    const colour = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(over(colour, behind)), light(behind)].sort((x, y) => y - x);
    texts.push({text: node.data.trim().slice(0, 40), ratio: (a + 0.05) / (b + 0.05), colour, behind});
  }
  return texts;
}"""

WORDS_IN_FIGURES = """() => {
  const sizes = [], collisions = [], outside = [];
  for (const plot of document.querySelectorAll('svg.plot')) {
    const words = [...plot.querySelectorAll('text')].filter(t => t.checkVisibility())
      .map(t => ({text: t.textContent, size: parseFloat(getComputedStyle(t).fontSize), box: t.getBoundingClientRect()}));
    words.forEach((word, k) => {
      sizes.push(word.size);
      if (word.box.left < 0 || word.box.right > innerWidth) outside.push([word.text, word.box.left, word.box.right]);
      for (const other of words.slice(k + 1)) {
        const wide = Math.min(word.box.right, other.box.right) - Math.max(word.box.left, other.box.left);
        const high = Math.min(word.box.bottom, other.box.bottom) - Math.max(word.box.top, other.box.top);
        if (wide > 0 && high > 5) collisions.push([word.text, other.text, plot.getAttribute('aria-label').slice(0, 50)]);
      }
    });
  }
  return {sizes, collisions, outside};
}"""
