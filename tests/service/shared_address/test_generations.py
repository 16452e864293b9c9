from pathlib import Path

import pytest

from sellertrust.v1.trust_score_service_pb2 import TrustScore
from service.registry.registry import Registry
from service.scores.book.generation_file import GenerationFile
from service.scores.book.keeper import DAMAGED
from tests.helpers.filled import SELLERS
from tests.helpers.generations import opened_file, records
from tests.helpers.models import promote, publish
from tests.helpers.waiting import wait_until
from tests.service.shared_address.conftest import NUMBERS, Pair, ask

pytestmark = pytest.mark.long

OPEN, ADOPTED = "sellertrust_book_generations", "sellertrust_book_adopted_total"
COMPUTED = "sellertrust_book_answers_total"
HELD = range(0, SELLERS, 4)
"""Sellers to query, each by a new connection, so both processes answer."""


def made(pair: Pair, model: str) -> GenerationFile:
    before = pair.of_each(OPEN)
    file = opened_file(Path(pair.shell.json("rescore", "--model", model[:12])["file"]))
    wait_until(lambda: pair.of_each(OPEN) == [number + 1 for number in before])
    return file


def switch(pair: Pair, registry: Registry, model: str) -> None:
    promote(registry, model)
    wait_until(lambda: {ask(pair.address, 1).trust_score.stamp.model_digest for _ in range(24)} == {model})


def answers_of(pair: Pair) -> dict[str, TrustScore]:
    found = {}
    for number in HELD:
        score = ask(pair.address, number).trust_score
        score.ClearField("stamp")
        score.ClearField("freshness")
        found[score.seller] = score
    return found


def scores_in(file: GenerationFile) -> dict[str, TrustScore]:
    return {name: TrustScore.FromString(answer.body) for name, answer in records(file)}


def test_a_file_made_beforehand_answers_in_every_process(pair: Pair) -> None:
    registry = Registry(pair.folder / "registry")
    first, second = registry.champion_digest() or "", publish(registry, 3)
    files = {model: made(pair, model) for model in (first, second)}
    for model in (second, first):
        switch(pair, registry, model)
        adopted, computed = pair.of_each(ADOPTED), pair.of_each(COMPUTED, "miss")
        answers = answers_of(pair)
        assert answers.items() <= scores_in(files[model]).items()
        assert pair.of_each(COMPUTED, "miss") == computed
        if model == second:
            assert all(now > then for now, then in zip(pair.of_each(ADOPTED), adopted, strict=True))
    assert not answers.items() <= scores_in(files[second]).items()


def test_a_damaged_file_is_set_aside_once_for_all(pair: Pair) -> None:
    registry = Registry(pair.folder / "registry")
    first, third = registry.champion_digest() or "", publish(registry, 5)
    file = made(pair, third)
    switch(pair, registry, third)
    before = answers_of(pair)
    is_open = pair.of_each(OPEN)
    file.path.write_bytes(file.path.read_bytes()[:-9])
    wait_until(lambda: pair.of_each(OPEN) == [number - 1 for number in is_open])
    assert [path.name for path in file.path.parent.glob(f"*{DAMAGED}")] == [file.path.name + DAMAGED]
    assert not file.path.exists()
    assert "is damaged and set aside" in "".join(map(pair.log, NUMBERS))
    assert sum(pair.of_each("sellertrust_book_generations_damaged_total")) >= 1
    assert answers_of(pair) == before
    assert before.items() <= scores_in(made(pair, third)).items()
    switch(pair, registry, first)
