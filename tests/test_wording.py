"""Plain prose: refused words in finished rooms, and verbs first.

`docs/reference/glossary.md` lists the words. A room is added to FINISHED when its prose passes.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FINISHED = (
    "scoring/*.py",
    "scoring/loss_certificate/**/*.py",
    "scoring/entries/**/*.py",
    "scoring/features/*.py",
    "scoring/model/*.py",
    "scoring/policy/*.py",
    "service/*.py",
    *(f"service/{room}/**/*.py" for room in ("access", "api", "cli", "contract", "ingest", "ledger", "policy")),
    *(f"service/{room}/**/*.py" for room in ("registry", "review", "scores", "web")),
    *(f"training/{room}/*.py" for room in ("checks", "evaluation", "fitting", "gates", "market", "monitoring")),
    *(f"training/{room}/**/*.py" for room in ("observation", "pipeline", "report", "study")),
    "proto/sellertrust/*.py",
    "proto/sellertrust/v1/*.proto",
    "docs/**/*.md",
    "README.md",
    "ARCHITECTURE.md",
)
"""Rooms whose prose is checked; in the end all of scoring, service, training, docs and proto."""

REFUSED = (
    *("told(?! apart)", "tells", "said", "spelled", "spelt"),
    *("by why", "of what is none", "in so many words", "the room", "is asked as", "who waits", "what is said"),
)

NO_VERBS = re.compile(
    r"(a|all|an|and|any|anything|are|as|at|be|beside|by|each|either|every|everything|for|from|has|how|if|in|is|it|its|no"
    r"|not|nothing|of|on|one|or|other|several|some|something|that|the|their|there|these|this|those|to|under|what|whatever"
    r"|when|where|whether|which|who|whoever|whole|whose|why|with|\W.*)\b"
)
"""Words that may not begin a function's docstring: it begins with its verb."""

_REFUSED = re.compile(rf"\b({'|'.join(REFUSED)})\b", re.IGNORECASE)


def _files() -> list[Path]:
    return sorted({path for pattern in FINISHED for path in ROOT.glob(pattern)})


def _python_prose(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    if path.suffix == ".py":
        yield from _python_prose(text)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix == ".md" or line.lstrip().startswith("//"):
            yield number, line


def _names(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


@pytest.mark.long
@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_and_names_hold_no_refused_word(path: Path) -> None:
    found = [(line, match[0]) for line, text in _prose(path) if (match := _REFUSED.search(text))]
    if path.suffix == ".py":
        words = ((line, word) for line, name in _names(path.read_text()) for word in name.lower().split("_"))
        found += [(line, word) for line, word in words if word in REFUSED]
    assert found == [], "say it in the words of docs/reference/glossary.md"


@pytest.mark.parametrize(
    "path", [path for path in _files() if path.suffix == ".py"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_first_line_of_a_function_begins_with_its_verb(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    documented = [(node, text) for node in functions if (text := ast.get_docstring(node))]
    first_words = [(node.name, text.split()[0].lower()) for node, text in documented]
    assert [(name, word) for name, word in first_words if NO_VERBS.match(word)] == []


def test_names_of_tests_have_at_most_60_characters() -> None:
    files = [path for path in Path(__file__).parent.rglob("test_*.py") if "service" not in path.parts]
    names = [name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())]
    assert [name for name in names if len(name) > 60] == []
