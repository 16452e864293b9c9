"""Damaged and poisoned artifacts: each kind a function from a sound one, its neighbour and chance to parts."""

import json
import math
import random
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from scoring.canonical import canonical_json
from scoring.errors import ArtifactRefused
from scoring.model.artifact import MANIFEST, PARTS
from scoring.model.certificate import ALGORITHM
from scoring.model.page import read_page
from scoring.model.scale import Scale

Parts = dict[str, bytes]
Damage = Callable[[Parts, Parts, random.Random], Parts]


def forged(parts: Parts) -> Parts:
    """The attacker's best: certificate, golden vectors and every digest made anew to fit, as far as that can be done."""
    text = parts["model.txt"]
    certificate = _json(parts, "certificate.json")
    if isinstance(certificate, dict):
        certificate |= {"algorithm": ALGORITHM, "model_sha256": sha256(text).hexdigest()}
        certificate["trees"] = text.count(b"\nTree=")
        parts = {**parts, "certificate.json": canonical_json(certificate)}
    golden, manifest = _json(parts, "golden.json"), _json(parts, MANIFEST)
    try:
        page = read_page(text.decode(), manifest["base"], len(manifest["features"]))
        raw = page.raw_score(np.array(golden["inputs"], dtype=np.float64))
        golden |= {"raw_scores": raw.astype(int).tolist(), "points": Scale(page.base).points(raw).tolist()}
        parts = {**parts, "golden.json": canonical_json(golden)}
    except (ArtifactRefused, ValueError, IndexError, OverflowError, TypeError, RuntimeWarning):
        pass  # there is no model to compute with: the old golden vectors stay
    return sealed(parts)


def sealed(parts: Parts) -> Parts:
    """The parts under a manifest whose SHA-256s fit."""
    manifest = _json(parts, MANIFEST)
    manifest["parts"] = {name: sha256(parts[name]).hexdigest() for name in PARTS if name in parts}
    return {**parts, MANIFEST: _lenient(manifest)}


def _json(parts: Mapping[str, bytes], name: str) -> Any:
    return json.loads(parts[name])


def _lenient(value: Any) -> bytes:
    """As canonical, with NaN where an attacker writes one."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def truncated(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    name = chance.choice([MANIFEST, *PARTS])
    return {**parts, name: parts[name][: chance.randrange(len(parts[name]))]}


def flipped(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    name = chance.choice([MANIFEST, *PARTS])
    data = bytearray(parts[name])
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return {**parts, name: bytes(data)}


def missing(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    lost = chance.choice([MANIFEST, *PARTS])
    return {name: data for name, data in parts.items() if name != lost}


def mixed(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """A part of another model."""
    name = chance.choice(("golden.json", MANIFEST))
    return {**parts, name: other[name]}


def truncated_and_forged(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    text = parts["model.txt"]
    return forged({**parts, "model.txt": text[: chance.randrange(len(text))]})


def flipped_and_forged(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """Bits of the trees' text, with everything made to fit: what reads as another number is another model."""
    data = bytearray(parts["model.txt"])
    begin, end = data.index(b"\nTree="), data.index(b"\nend of trees")
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(begin, end)] ^= 1 << chance.randrange(8)
    return forged({**parts, "model.txt": bytes(data)})


def not_a_number(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    word = chance.choice(["nan", "NaN", "inf", "-inf", "1e999", "0x1p3", "", "1_0", "\u0661"])
    key = chance.choice(["leaf_value", "threshold"])
    return forged(_with_numbers(parts, chance, key, lambda numbers: [word, *numbers[1:]], every=False))


def constant(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """The same of everybody."""
    value = chance.choice(["0", "7", repr(chance.uniform(-3, 3))])
    return forged(_with_numbers(parts, chance, "leaf_value", lambda numbers: [value] * len(numbers)))


def inverted(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """Trust for the worst."""
    return forged(_with_numbers(parts, chance, "leaf_value", lambda numbers: numbers[::-1]))


def wrong_features(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """Unknown, dropped, doubled, or in the order of others that point the other way."""
    manifest = _json(parts, MANIFEST)
    rows = manifest["features"]
    at = chance.randrange(len(rows))
    manifest["features"] = chance.choice(
        [
            [*rows[:at], {"feature": "telepathy@1"}, *rows[at + 1 :]],
            [*rows[:at], *rows[at + 1 :]],
            [*rows, rows[at]],
            rows[::-1],
            [*rows[:at], {"attribute": 7, "equals": None}, *rows[at + 1 :]],
            "features",
        ]
    )
    return forged({**parts, MANIFEST: _lenient(manifest)})


def uncertified(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """Without a certificate, or with one of something else."""
    certificate = chance.choice([b"", b"{}", b"null", b"[]", other["certificate.json"].replace(b"@1", b"@0")])
    return sealed({**parts, "certificate.json": certificate})


def crashing(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """What LightGBM's own reader follows out of its memory: cycles, children and features that are not there."""
    key, word = chance.choice(
        [
            ("left_child", "0"), ("right_child", "99999"), ("left_child", "-999999"), ("split_feature", "2147483647"),
            ("split_feature", "-1"), ("decision_type", "1"), ("decision_type", "8"),
        ]
    )  # fmt: skip
    if chance.random() < 0.3:
        text = re.sub(
            rb"num_leaves=\d+", chance.choice([b"num_leaves=4096", b"num_leaves=999999999"]), parts["model.txt"]
        )
        return forged({**parts, "model.txt": text})
    return forged(_with_numbers(parts, chance, key, lambda numbers: [word, *numbers[1:]], every=False))


def parted_otherwise(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """A tab or the like for a blank: Python parts numbers there, and LightGBM reads 0 for all that follow. The golden
    vectors stay those of the text.
    """
    key = chance.choice(["left_child", "right_child", "split_feature", "decision_type", "threshold", "leaf_value"])
    blank = chance.choice("\t\v\f\x1c\x1d\x1e\x1f\x85\xa0") if chance.random() < 0.8 else "  "

    def change(numbers: list[str]) -> list[str]:
        return [*numbers[:-2], blank.join(numbers[-2:])]

    return forged(_with_numbers(parts, chance, key, change, every=chance.random() < 0.5))


def wrong_golden(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    golden = _json(parts, "golden.json")
    change = chance.choice(["inputs", "raw_scores", "points", "width", "none"])
    if change == "inputs":
        golden["inputs"][0][0] = math.nan
    elif change == "width":
        golden["inputs"] = [row[:-1] for row in golden["inputs"]]
    elif change == "none":
        golden = {"inputs": [], "raw_scores": [], "points": []}
    else:
        golden[change][chance.randrange(len(golden[change]))] = golden[change][0] if change == "raw_scores" else 1001
        golden[change] = golden[change][::-1]
    return sealed({**parts, "golden.json": _lenient(golden)})


def wrong_constants(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    table, name, value = chance.choice(
        [
            ("constants", "rate_damping", 0), ("constants", "exposure_scale", -1.0), ("constants", "rate_damping", 10**400),
            ("constants", "severity_weights", {"minor": 27, "moderate": 9, "major": 3, "critical": 1}),
            ("", "base", "600"), ("", "base", math.nan), ("", "base", 10**400), ("", "pairs", None), ("", "pairs", [7]),
            ("constants", "rate_damping", True), ("constants", "exposure_scale", 5e-324),
        ]
    )  # fmt: skip
    return forged(_with_manifest(parts, table, **{name: value}))


def retold(parts: Parts, other: Parts, chance: random.Random) -> Parts:
    """Other texts about the same model: no score rests on them, and whoever may publish may write them."""
    evaluation = {"note": chance.random(), **_json(parts, "evaluation.json")}
    return sealed({**parts, "evaluation.json": canonical_json(evaluation)})


def _with_manifest(parts: Parts, table: str, **values: Any) -> Parts:
    manifest = _json(parts, MANIFEST)
    (manifest[table] if table else manifest).update(values)
    return {**parts, MANIFEST: _lenient(manifest)}


def _with_numbers(
    parts: Parts, chance: random.Random, key: str, change: Callable[[list[str]], list[str]], *, every: bool = True
) -> Parts:
    """The model text with the numbers of `key` changed, in every tree or in one; the sizes of the trees fit again."""
    head, *trees = parts["model.txt"].decode().split("\nTree=")
    chosen = range(len(trees)) if every else [chance.randrange(len(trees))]
    for index in chosen:
        trees[index] = re.sub(
            rf"(?m)^{key}=(.*)$", lambda found: f"{key}={' '.join(change(found[1].split(' ')))}", trees[index]
        )
    blocks = [f"Tree={tree}\n" for tree in trees]
    last, end, rest = blocks[-1].partition("\nend of trees")
    sizes = [len(block.encode()) for block in blocks[:-1]] + [len(f"{last}\n".encode())]
    head = re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={' '.join(map(str, sizes))}", head)
    return {**parts, "model.txt": f"{head}\n{''.join(blocks[:-1])}{last}{end}{rest}".rstrip("\n").encode() + b"\n"}


KINDS: dict[Damage, int] = {
    truncated: 120, flipped: 120, missing: 40, mixed: 40, truncated_and_forged: 100, flipped_and_forged: 20,
    not_a_number: 100, constant: 80, inverted: 80, wrong_features: 80, uncertified: 60, crashing: 100, wrong_golden: 60,
    wrong_constants: 60, parted_otherwise: 60, retold: 2,
}  # fmt: skip
"""Each kind with its weight. The two that can be consistent in themselves are rare: they are models."""
