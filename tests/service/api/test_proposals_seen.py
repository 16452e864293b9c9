from collections.abc import Iterator
from pathlib import Path

import pytest

from sellertrust.errors import SellertrustCallError
from sellertrust.v1.proposal_service_pb2 import Proposal
from tests.helpers.callers import grant
from tests.helpers.four_eyes import (
    ALL,
    FOUR_EYES,
    PERSONS,
    SAID,
    World,
    override,
    overrides,
    persons,
    promotion,
    world,
)
from tests.helpers.models import evaluated, publish
from tests.helpers.refusals import refused
from tests.helpers.servers import MARKET
from tests.scoring.model.test_promises import giving_up

RULES = (
    grant("dns:modeller.staff.example", ["models", "read_models", "propose"], marketplaces=["*"]),
    grant("dns:second.staff.example", ["propose", "approve"]),
    grant("dns:elsewhere.staff.example", ["override", "propose", "approve"], marketplaces=["other"], entry_ids=["*"]),
    persons(**PERSONS),
    FOUR_EYES,
)


@pytest.fixture
def eyes(url: str, tmp_path: Path) -> Iterator[World]:
    with world(url, tmp_path, ALL, *RULES) as found:
        yield found


def listed(eyes: World, name: str, marketplace: str = MARKET, page_size: int = 2) -> list[str]:
    return [one.name for one in eyes(name).list_proposals(marketplace, page_size=page_size)]


def test_a_proposal_is_seen_by_who_may_do_or_approve_it(eyes: World) -> None:
    made = [eyes.propose("anna", overrides(override(f"o-{n}")), proposal_id=f"p-{n}") for n in range(5)]
    names = [one.name for one in reversed(made)]
    for name in ("bert", "robot", "second.staff"):
        assert listed(eyes, name) == names
        assert eyes(name).get_proposal(names[0]).name == names[0]
    absent = f"marketplaces/{MARKET}/proposals/p-9"
    modeller = eyes("modeller.staff")
    assert listed(eyes, "modeller.staff") == []

    def not_found(call: object, *arguments: str) -> str:
        assert callable(call)
        return refused("NOT_FOUND", "PROPOSAL_NOT_FOUND", call, *arguments, **options).message.replace("p-9", "p-0")

    options: dict[str, str] = {}
    assert not_found(modeller.get_proposal, made[0].name) == not_found(modeller.get_proposal, absent)
    options = SAID
    assert not_found(modeller.withdraw_proposal, made[0].name) == not_found(modeller.withdraw_proposal, absent)
    assert listed(eyes, "bert") == names
    refused("PERMISSION_DENIED", "CALLER_NOT_GRANTED", eyes("elsewhere.staff").get_proposal, made[0].name)


def test_a_promotion_is_seen_by_who_may_promote(eyes: World) -> None:
    first, second = (publish(eyes.registry, parts=evaluated(number, 0.7)) for number in (0, 1))
    made: Proposal = eyes.propose("anna", promotion(second))
    assert listed(eyes, "modeller.staff", "") == [made.name]
    assert eyes("modeller.staff").get_proposal(made.name).name == made.name
    assert eyes.propose("bert", promotion(second), proposal_id="again").name == made.name, "it is open already"
    with pytest.raises(SellertrustCallError, match="is of the champion already"):
        eyes.propose("anna", promotion(first))


def test_a_refused_model_is_not_proposed(eyes: World, tmp_path: Path) -> None:
    publish(eyes.registry, parts=evaluated(0, 0.7))
    untrue = publish(eyes.registry, parts=dict(giving_up().parts))
    refused("FAILED_PRECONDITION", "PROMISE_GIVEN_UP", eyes.propose, "anna", promotion(untrue))
    damaged = publish(eyes.registry, parts=evaluated(1, 0.7))
    part = tmp_path / "registry" / "models" / damaged / "model.txt"
    part.write_bytes(part.read_bytes()[:-9])
    refused("FAILED_PRECONDITION", "MODEL_REFUSED", eyes.propose, "anna", promotion(damaged))
