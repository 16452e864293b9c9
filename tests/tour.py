"""The links of `docs/tour.md`: each leads to the file of its name, within a total of lines.

`python -m tests.docs_in_step --write` follows a name that has moved.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_LINES = 1_500
_LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./([^)]*)\)")


def write_links(text: str) -> str:
    """Return the tour with each link to the file that defines its name; raise ValueError unless one does."""
    return _LINK.sub(lambda match: f"[`{match[1]}`](../{_find(match[1], match[2])[0]})", text)


def count_lines(text: str) -> int:
    return sum(_find(name, target)[1] for name, target in set(_LINK.findall(text)))


def _find(name: str, target: str) -> tuple[str, int]:
    if (ROOT / target).is_file() and (lines := _lines_of(name, ROOT / target)):
        return target, lines
    paths = [path for room in ("scoring", "service", "training") for path in (ROOT / room).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): lines for path in paths if (lines := _lines_of(name, path))}
    if len(found) != 1:
        raise ValueError(f"docs/tour.md: `{name}` is defined in {sorted(found) or 'no file'}; link one of them")
    return next(iter(found.items()))


def _lines_of(name: str, path: Path) -> int:
    text = path.read_text()
    if name.rpartition(".")[2] not in text:
        return 0
    body: list[ast.stmt] = ast.parse(text).body
    node: ast.stmt | None = None
    for part in name.split("."):
        node = next((one for one in body if part in _names(one)), None)
        body = getattr(node, "body", [])
    return (node.end_lineno or 0) - node.lineno + 1 if node else 0


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign | ast.Assign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
