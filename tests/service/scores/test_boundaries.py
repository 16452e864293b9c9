from pathlib import Path

from scoring.base.enums import Tier
from scoring.base.errors import SellertrustError
from scoring.base.time import DAY, format_time
from scoring.policy.payout import Order
from scoring.scores.answer import Notice
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.policy.history import PolicyCommit
from service.policy.policy_file import parse_policy_text
from service.registry.moves import CHAMPION, ModelMove
from service.registry.registry import Registry
from service.scores.champion import Champion
from service.scores.payouts import Payouts
from tests.helpers.builders import MARKET, NOW, SELLER, TODAY, Clock, exposure, identity
from tests.helpers.models import publish
from tests.helpers.recordings import RULES


def test_a_policy_of_midnight_is_of_the_new_day(ledger: Ledger, clock: Clock) -> None:
    before, after = parse_policy_text(RULES), parse_policy_text(RULES.replace("expiry_days = 365", "expiry_days = 18"))
    scorer = build_scorer(ledger, before)
    ledger.append(MARKET, [identity("i1"), exposure(TODAY - 60)])
    clock.now = (TODAY + 1) * DAY - 1
    wanted = PolicyCommit(after.text, before.digest, "staff", "a trial")
    move = scorer.policy.history.commit(wanted, before)
    assert move.move_time == (TODAY + 1) * DAY
    assert scorer.policy.refresh()
    clock.now += 3 * DAY
    for day, policy in ((TODAY, before), (TODAY + 1, after)):
        order = Order(1_000, day, "EUR")
        found = Payouts(ledger, scorer).evaluate(MARKET, SELLER, order, day + 1, "", ledger.cut())
        assert found.capture_stamp.policy_digest == policy.digest
    assert scorer.policy.at(move.move_time).digest == before.digest
    assert scorer.policy.at(move.move_time + 1).digest == after.digest


def test_a_stricter_model_waits_for_its_notice(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(MARKET, [identity("i1"), exposure(TODAY - 60, settled_orders=5_000)])
    registry = Registry(tmp_path / "registry")
    publish(registry)
    stricter = publish(registry, 400)
    scorer = build_scorer(ledger, parse_policy_text(f"notice_days = 15\n{RULES}"), registry)

    def tier_and_notice() -> tuple[Tier | None, Notice | None]:
        [score], _ = scorer.scores(MARKET, [SELLER], ledger.cut())
        assert not isinstance(score, SellertrustError)
        return score.tier, score.notice

    before, no_notice = tier_and_notice()
    assert no_notice is None
    registry.promote(stricter, actor="staff", reason="so", now=NOW)
    assert scorer.champion.refresh()
    tier, notice = tier_and_notice()
    assert tier == before
    assert notice is not None


def test_a_champion_replaced_meanwhile_is_not_taken() -> None:
    first, moment = "a" * 64, 10 * DAY

    class Registry:
        def history(self) -> list[ModelMove]:
            return [ModelMove(CHAMPION, first, "staff", "so", format_time(moment))]

    class Replaced:
        @property
        def digest(self) -> str:
            champion.artifact = None
            return first

    champion = Champion()
    champion.registry = Registry()  # type: ignore[assignment]
    champion.artifact = found = Replaced()  # type: ignore[assignment]
    assert champion.at(moment) is found  # type: ignore[comparison-overlap]
    assert champion.at(moment - 1) is None
