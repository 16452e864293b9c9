import json

import pytest

from scoring.base.errors import PromiseGivenUp
from service.registry.figures import FigureRow, compare_models
from service.registry.gates import GateOverride
from service.registry.moves import CHALLENGER, CHAMPION
from service.registry.registry import Registry
from tests.helpers.models import giving_up, promote, publish
from tests.helpers.worlds import artifact


def test_a_model_that_gives_up_a_promise_is_never_champion(registry: Registry) -> None:
    digest = publish(registry, parts=giving_up().parts)
    assert registry.aliases() == {CHALLENGER: digest}
    with pytest.raises(PromiseGivenUp, match=r"never lower points \(exposure@1 is free\).* train again") as caught:
        promote(registry, digest)
    assert caught.value.metadata == {"model": digest, "promises": "clean_orders"}
    assert caught.value.reason == "PROMISE_GIVEN_UP"
    with pytest.raises(PromiseGivenUp):
        registry.promote(digest, actor="a", reason="b", now=1, override=GateOverride("dora", "dora"))
    assert registry.champion_digest() is None
    assert CHAMPION not in registry.aliases()


def test_a_model_says_what_it_gives_up(registry: Registry) -> None:
    from service.contract.models import model_message

    digest = publish(registry, parts=giving_up().parts)
    message = model_message(registry, digest, registry.history(), whole=False)
    assert list(message.promises_given_up) == ["clean_orders"]
    assert json.loads(registry.read(digest)["certificate.json"])["promises"]["given_up"] == ["clean_orders"]


def test_a_freed_direction_is_a_difference() -> None:
    fixed, free = artifact().parts, giving_up().parts
    shown = [row for row in compare_models(fixed, free) if row.section == "features"]
    assert shown == [FigureRow("features", "exposure@1.direction", "fixed", "free")]
    assert [row for row in compare_models(free, free) if row.section == "features"] == []
