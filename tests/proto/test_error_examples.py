import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import ErrorInfo

import scoring.base.errors
from scoring.base.errors import SellertrustError
from sellertrust.v1 import errors_pb2
from service.contract.statuses import DOMAIN, internal_status

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "proto" / "sellertrust" / "v1" / "errors.proto"
PREFIX = "ERROR_REASON_"
REASONS = [
    name.removeprefix(PREFIX)
    for name in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name
    if not name.endswith("_UNSPECIFIED")
]
_COMMENT = re.compile(r"((?:  // .*\n)+)  " + PREFIX + r"(\w+) = \d+;")


def _comments() -> dict[str, str]:
    found = _COMMENT.findall(CONTRACT.read_text())
    return {reason: " ".join(line.strip(" /") for line in comment.splitlines()) for comment, reason in found}


COMMENTS = _comments()


def _example(reason: str) -> ErrorInfo:
    return json_format.Parse(COMMENTS[reason].partition("Example: ")[2], ErrorInfo())


def _dictionaries(function: ast.AST) -> dict[str, ast.Dict]:
    return {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _sent() -> Iterator[tuple[str, set[str], str]]:
    """Yield (reason, keys of its metadata, place) of every error with a reason in the code."""
    reasons = {
        name: kind.reason
        for name, kind in vars(scoring.base.errors).items()
        if isinstance(kind, type) and issubclass(kind, SellertrustError) and kind.reason
    }
    for path in sorted((*ROOT.glob("scoring/**/*.py"), *ROOT.glob("service/**/*.py"))):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            named = _dictionaries(function)
            for node in ast.walk(function):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in reasons:
                    continue
                metadata = node.args[1] if len(node.args) > 1 else None
                if isinstance(metadata, ast.Name):
                    metadata = named[metadata.id]
                if isinstance(metadata, ast.Attribute):
                    continue  # passes on the metadata of another error
                keys = [ast.literal_eval(key) for key in metadata.keys if key] if isinstance(metadata, ast.Dict) else []
                yield reasons[node.func.id], set(keys), f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize("reason", REASONS)
def test_the_contract_has_an_example_of_every_reason(reason: str) -> None:
    example = _example(reason)
    assert (example.reason, example.domain) == (reason, DOMAIN)
    text = COMMENTS[reason].partition("Example: ")[0]
    assert all(f"`{key}`" in text for key in example.metadata)
    assert ("Metadata" in text) == bool(example.metadata)


@pytest.mark.long
def test_examples_carry_the_metadata_that_the_code_sends() -> None:
    sent: dict[str, set[str]] = {reason: set() for reason in REASONS}
    for reason, keys, place in _sent():
        assert keys <= set(_example(reason).metadata), place
        sent[reason] |= keys
    internal = ErrorInfo()
    internal_status("0f8f").details[0].Unpack(internal)
    sent["INTERNAL"] = set(internal.metadata)
    assert sent == {reason: set(_example(reason).metadata) for reason in REASONS}
