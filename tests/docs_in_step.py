"""Compare the documents with the code: generated pages and links; `--write` renews the pages.

`./dev check` and a test run the comparison.
"""

import re
import sys
from pathlib import Path

from tests import contract, openapi
from tests.reference_pages import reference_pages
from tests.tour import write_links

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[str, str]:
    tour = DOCS / "tour.md"
    return (
        reference_pages()
        | {"reference/openapi.json": openapi.text()}
        | ({"tour.md": write_links(tour.read_text())} if tour.exists() else {})
    )


def stale() -> list[str]:
    return [name for name, text in pages().items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]


def documents() -> list[Path]:
    root = DOCS.parent
    return sorted([*root.glob("*.md"), *DOCS.rglob("*.md"), *root.glob(".github/**/*.md")])


def dead_links() -> list[str]:
    """Return dead relative links and paths of documents, as `FILE: TARGET`."""
    found = []
    for document in documents():
        shown = document.relative_to(DOCS.parent)
        for target, heading in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", _without_code(document.read_text())):
            linked = document.parent / target if target else document
            if not linked.exists() or (heading and heading not in _anchors(linked)):
                found.append(f"{shown}: {target}{'#' * bool(heading)}{heading}")
        paths = re.findall(r"`((?:docs|proto|scoring|service|tests|training)/[\w./-]+)`", document.read_text())
        found += [f"{shown}: `{path}`" for path in paths if not (DOCS.parent / path).exists()]
    return found


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def main() -> int:
    if "--write" in sys.argv[1:]:
        for name, text in pages().items():
            (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / name).write_text(text)
        return 0
    found = stale()
    wrong_contract = contract.main()
    for name in found:
        print(f"docs/{name} is not what the code gives; run: python -m tests.docs_in_step --write")
    dead = dead_links()
    for link in dead:
        print(f"{link} leads nowhere")
    return bool(found) or bool(wrong_contract) or bool(dead)


if __name__ == "__main__":
    sys.exit(main())
