import ast
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PROMISES = tomllib.loads((TESTS / "promises.toml").read_text())["promises"]


@pytest.mark.parametrize("stated", PROMISES, ids=[f"{n}" for n in range(1, len(PROMISES) + 1)])
def test_a_promise_has_tests_that_are_there(stated: dict[str, object]) -> None:
    assert stated["tests"], stated["promise"]
    for name in map(str, stated["tests"]):  # type: ignore[call-overload]
        path, _, function = name.partition("::")
        defined = ast.parse((TESTS / path).read_text()).body
        assert function in [node.name for node in defined if isinstance(node, ast.FunctionDef)], name
