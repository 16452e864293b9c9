"""Build the wheel: the rooms lie in it as `sellertrust.scoring`, `sellertrust.service` and `sellertrust.training`.

A checkout imports them by their short names, which other distributions may use as well.
"""

import ast
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "sellertrust"
ROOMS = ("scoring", "service", "training")
ROOT = Path(__file__).parent

_ROOM = f"(?:{'|'.join(ROOMS)})"
_NAME_OF_MODULE = re.compile(rf"(?<![\w./-])({_ROOM})\.(\w+)|\bfrom {_ROOM}[\w.]* import\b|\bimport {_ROOM}\b")


class NameNotMapped(Exception):
    """The source names a module in a way that the build cannot rewrite."""


class RoomsBelowPackage(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            raise NameNotMapped("No editable install: in a checkout the rooms have short names. Use ./dev env dev.")
        self._folder = TemporaryDirectory()
        for room in ROOMS:
            target = Path(self._folder.name, room)
            shutil.copytree(ROOT / room, target, ignore=shutil.ignore_patterns("__pycache__"))
            for file in target.rglob("*.py"):
                source = file.read_text(encoding="utf-8")
                place = file.relative_to(self._folder.name).as_posix()
                file.write_text(with_long_imports(source, place), encoding="utf-8")
            build_data["force_include"][str(target)] = f"{PACKAGE}/{room}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        self._folder.cleanup()


def with_long_imports(source: str, place: str) -> str:
    """Return the source with `sellertrust.` before each imported room.

    Raises NameNotMapped, with `place` and line, if a room is imported in another form or a text names its module.
    """
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line[: node.col_offset] + _lengthen(node, line[node.col_offset :], place)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            _refuse_names(node.value, f"{place}, line {node.lineno}")
    return "".join(lines)


def _lengthen(node: ast.Import | ast.ImportFrom, statement: str, place: str) -> str:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    if not any(module.split(".")[0] in ROOMS for module in modules):
        return statement
    [module, *_] = modules
    if isinstance(node, ast.ImportFrom) and statement.startswith(f"from {module} import "):
        return statement.replace("from ", f"from {PACKAGE}.", 1)
    if statement == f"import {module}\n" and module in ROOMS:
        return f"from {PACKAGE} {statement}"
    raise NameNotMapped(
        f"{place}, line {node.lineno}: the build cannot map `{statement.strip()}`. Write `from MODULE import NAME`."
    )


def _refuse_names(text: str, place: str) -> None:
    for found in _NAME_OF_MODULE.finditer(text):
        room, module = found.groups()
        if room is None or any((ROOT / room / name).exists() for name in (module, f"{module}.py")):
            raise NameNotMapped(
                f"{place}: the text {found[0]!r} names a module, which has another name in the wheel."
                " Use __name__, __package__ or __file__."
            )
