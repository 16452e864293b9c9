import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.loss_certificate.certificate import certify, digest_certificate
from scoring.loss_certificate.independent.checking import NotProven, check_certificate, digest_of
from scoring.loss_certificate.states import build_states
from tests.helpers.policies import rule
from tests.scoring.loss_certificate.attackers import live_at_random
from tests.scoring.loss_certificate.damage import damage, forge_statement, misspell, provable, to_be_altered
from tests.scoring.loss_certificate.lives import Life
from tests.scoring.loss_certificate.test_certificate import FAKED, REAL, worlds
from tests.scoring.loss_certificate.toys import TOY, World, assumed, cap, policy_of, stated, toy


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_no_history_gets_laxer_terms_than_its_abstract_state(world: World, seed: int) -> None:
    policy, assumptions, chance = policy_of(world[0]), assumed(**world[1]), random.Random(seed)
    states = build_states(policy, assumptions)
    assert live_at_random(policy, states, Life(policy, assumptions), chance, 60) == 0


@pytest.mark.long
def test_no_damaged_certificate_is_proven() -> None:
    certificate = to_be_altered()
    where, chance = provable(certificate), random.Random(17)
    accepted = []
    for _ in range(400):
        damaged, what = damage(certificate, where, chance)
        if damaged == certificate:
            continue
        try:
            check_certificate(TOY, damaged, stated())
        except NotProven:
            continue
        accepted.append(what)
    assert accepted == []


def test_a_forged_statement_is_refused_or_listed_as_not_proven() -> None:
    certificate, chance, passed = to_be_altered(), random.Random(9), []
    for _ in range(150):
        forged, text = forge_statement(certificate, chance)
        with suppress(NotProven):
            passed += [] if any(text in one for one in check_certificate(TOY, forged).not_proven) else [text]
        policy = misspell(TOY, chance)
        forged = certificate | {"policy": certificate["policy"] | {"digest": digest_of(policy)}}
        with suppress(NotProven):
            passed.append(str(check_certificate(policy, forged | {"digest": digest_certificate(forged)})))
    assert passed == []


def test_all_that_a_sound_certificate_cannot_prove_is_listed() -> None:
    found = certify(policy_of(TOY), assumed(), {FAKED: "r.head"})
    assert check_certificate(TOY, json.loads(json.dumps(found))).not_proven == (
        *(
            f"the assumption {name} holds, by its source: {stated()[name]['source']}"
            for name in stated()
            if name != "currency"
        ),
        "nobody was granted more than the policy: nobody looked",
        "r.head accepted against_faked_history",
    )


def test_an_altered_certificate_is_refused_by_its_fault() -> None:
    found = json.loads(json.dumps(certify(policy_of(TOY), assumed())))

    def fault(change: Any = None, policy: Any = TOY, assumptions: Any = None, *, forge: bool = True) -> str:
        altered = json.loads(json.dumps(found))
        if change:
            change(altered)
        altered["digest"] = digest_certificate(altered) if forge else altered["digest"]
        with pytest.raises(NotProven) as error:
            check_certificate(policy, altered, assumptions)
        return str(error.value)

    def put(value: Any, *path: Any) -> Any:
        def change(altered: Any) -> None:
            for key in path[:-1]:
                altered = altered[key]
            altered[path[-1]] = value

        return change

    assert "was altered: its digest is another" in fault(put(1, "run_days"), forge=False)
    assert "run goes on for 5 days" in fault(put(1, "run_days"))
    assert "a notice adds 0 days" in fault(put(1, "notice_days"))
    assert "2401 is stated, and its best edge gives 2400" in fault(put(2_401, "verdicts", FAKED, "most_minor"))
    assert "best edge gives" in fault(put(9, "verdicts", FAKED, "running", 0, 0, 0))
    assert "buckets of settled value are not" in fault(lambda c: c["settled"].pop())
    assert "is of another policy" in fault(policy=TOY | {"version": 9})
    assert "not in one currency" in fault(put("USD", "currency"))
    assert "rests on other assumptions" in fault(assumptions=stated(stop={"days": 1}))
    assert "an assumption is missing, or one is none" in fault(put({"days": 14}, "assumptions", "caution"))
    assert "lacks a state" in fault(lambda c: c["verdicts"][REAL]["building"].pop())
    assert "lacks a state of a run" in fault(lambda c: c["verdicts"][REAL]["running"].pop())
    assert "must be a whole number of at least 0" in fault(put(-1, "assumptions", "wash", "ppm"))
    assert "must be a whole number of at least 1" in fault(put(0, "assumptions", "stop", "days"))
    assert "stop has other parts" in fault(lambda c: c["assumptions"]["stop"].pop("days"))
    assert "stop states no source" in fault(put(" ", "assumptions", "stop", "source"))
    assert "a part is missing or of another form" in fault(put(None, "verdicts", REAL, "attack"))
    assert "does not hold as stated" in fault(put(True, "verdicts", FAKED, "holds"))


def test_an_attack_that_does_not_pay_is_checked_as_well() -> None:
    data = toy(cap(1_000), rule("all", {"kind": "settlement_hold", "days": 5}, {"kind": "deposit", "amount_minor": 50}))
    found = json.loads(json.dumps(certify(policy_of(data), assumed())))
    assert found["verdicts"][FAKED]["holds"]
    for part, fault in (
        ("deposit_minor", "the attack's deposit"),
        ("entry_cash_minor", "the attack has no such entry"),
        ("history_cash_minor", "the attack's history"),
        ("run_cash_minor", "the attack's run"),
    ):
        altered = json.loads(json.dumps(found))
        altered["verdicts"][FAKED]["attack"][part] -= 1
        altered["digest"] = digest_certificate(altered)
        with pytest.raises(NotProven, match=fault):
            check_certificate(data, altered)
