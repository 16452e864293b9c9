from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scoring.base.enums import Action, LinkState, MeasureKind, MeasureState
from scoring.base.errors import PolicyRefused
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.trade import ExposureStated
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from sellertrust.v1.measure_service_pb2 import Measure, Terms
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_SELLER
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.pictures import draw_network
from service.policy.policy_file import parse_policy_text
from tests.helpers import builders
from tests.helpers.builders import MARKET, confirmed, link, status
from tests.helpers.policies import TIERS
from tests.helpers.refusals import refused
from tests.helpers.servers import Running, identity, running_server

RULES = """
[[rules]]
id = "everybody"
reference = "terms 1"
measures = [{ kind = "value_cap", value_minor = 9_000, grows = [{ settled_minor = 1, value_minor = 50_000 }] }]

[[rules]]
id = "linked"
reference = "terms 9"
linked = { from_percent = 80 }
measures = [{ kind = "manual_review" }, { kind = "deposit", amount_minor = 70_000 }]
"""
POLICY = 'currency = "EUR"\n' + TIERS.read_text(encoding="utf-8") + RULES


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY + "[links]\nnewcomer_from_percent = 80\n")
    with running_server(tmp_path, policy=path) as found:
        yield found


def decided(entry_id: str, seller: str, thing: str) -> list[Entry]:
    return [link(entry_id, seller, thing), link(f"{entry_id}c", seller, thing, state=LinkState.CONFIRMED)]


def sales(entry_id: str, seller: str) -> Entry:
    fact = ExposureStated(builders.TODAY - 60, 100, value_minor=5_000_000, currency="EUR")
    return Entry(entry_id, seller, fact)


def suspension() -> Entry:
    fact = MeasureChanged("ban", MeasureKind.SUSPENSION, MeasureState.IMPOSED, "staff", "fakes", violations=("v1",))
    return Entry("m1", "bad", fact)


def seen(running: Running, seller: str) -> tuple[Terms, list[Measure]]:
    with running.client() as client:
        found = client.evaluate_measures(MARKET, seller)
    return found.terms, [one for one in found.measures if one.rule == "linked"]


def test_measures_rest_on_a_link_and_end_with_it(running: Running) -> None:
    entries = [*decided("l1", "bad", "iban"), *decided("l2", "late", "iban"), confirmed("v1", "bad")]
    running.ledger.append(MARKET, [builders.identity("i1", "late"), *entries])
    before = running.ledger.last()[0]
    terms, measures = seen(running, "late")
    assert (terms.manual_review, terms.deposit_minor) == (True, 70_000)
    assert {one.kind for one in measures} == {entry_pb2.MEASURE_KIND_MANUAL_REVIEW, entry_pb2.MEASURE_KIND_DEPOSIT}
    assert all(one.entries and one.HasField("end_time") for one in measures)
    running.ledger.append(MARKET, [status("v1", Action.OVERTURN)])
    terms, measures = seen(running, "late")
    assert (terms.manual_review, terms.deposit_minor, measures) == (False, 0, [])
    assert running.ledger.last()[0] == before + 2


def test_a_letter_names_the_link_and_no_other_seller(running: Running, client: Client) -> None:
    entries = [*decided("l1", "wicked", "iban"), *decided("l2", "late", "iban"), confirmed("v1", "wicked")]
    running.ledger.append(MARKET, [builders.identity("i1", "late"), *entries])
    found = client.list_statements_of_reasons(MARKET, "late", audience=AUDIENCE_SELLER)
    assert len(found.statements) == 2
    assert all("seems to share its operator" in one.text for one in found.statements)
    assert any("If the link is wrong, file a complaint" in one.next_action for one in found.statements)
    assert not any(name in str(found) for name in ("wicked", "l1", "v1"))


def test_points_and_badge_never_move_by_a_link(running: Running, client: Client) -> None:
    running.ledger.append(MARKET, [builders.identity("i1", "late"), sales("x1", "late")])
    before = client.get_trust_score(MARKET, "late")
    running.ledger.append(
        MARKET, [*decided("l1", "bad", "iban"), *decided("l2", "late", "iban"), confirmed("v1", "bad")]
    )
    after = client.get_trust_score(MARKET, "late", at_least_sequence=running.ledger.last()[0])
    assert (after.state, after.points, after.tier, after.badge) == (
        before.state,
        before.points,
        before.tier,
        before.badge,
    )


def test_new_accounts_of_a_banned_seller_are_one_newcomer(running: Running) -> None:
    entries = [*decided("l0", "bad", "iban"), confirmed("v1", "bad"), suspension()]
    for name in ("one", "two", "three"):
        entries += [builders.identity(f"i-{name}", name), sales(f"x-{name}", name)]
    running.ledger.append(MARKET, [*entries, builders.identity("i-new", "newcomer")])
    newcomer, grown = (seen(running, name)[0].value_caps[0].limit for name in ("newcomer", "one"))
    assert (newcomer, grown) == (9_000, 50_000)
    for count, name in enumerate(("one", "two", "three"), 1):
        running.ledger.append(MARKET, decided(f"l{count}", name, "iban"))
        caps = [seen(running, one)[0].value_caps[0].limit for one in ("one", "two", "three")[:count]]
        assert sum(caps) <= newcomer
    lifted = MeasureChanged("ban", MeasureKind.SUSPENSION, MeasureState.LIFTED, "staff", "appeal")
    running.ledger.append(MARKET, [Entry("m2", "bad", lifted)])
    assert seen(running, "one")[0].value_caps[0].limit == grown


def test_a_link_comes_over_grpc_and_its_cleartext_is_refused(client: Client) -> None:
    stated = entry_pb2.LinkChanged(
        state=entry_pb2.LINK_STATE_OBSERVED,
        basis="shared",
        actor="analyst",
        reason="seen",
        link_kind=entry_pb2.LINK_KIND_DEVICE,
        identifier="7" * 64,
        verified=True,
    )
    name = f"marketplaces/{MARKET}/sellers/late"
    client.append_entries(MARKET, [identity("i1", "late"), entry_pb2.Entry(entry_id="l1", seller=name, link=stated)])
    stated.identifier = "someone@example.org"
    with pytest.raises(Exception, match="keyed digest") as caught:
        client.append_entries(MARKET, [entry_pb2.Entry(entry_id="l2", seller=name, link=stated)])
    assert "someone" not in str(caught.value)


@pytest.mark.parametrize(
    "measure",
    [
        '{ kind = "suspension", days = 30 }',
        '{ kind = "waiver", waives = "deposit" }',
        '{ kind = "value_cap", value_minor = 0 }',
    ],
)
def test_a_policy_lets_no_link_suspend(measure: str) -> None:
    rule = f'[[rules]]\nid = "x"\nreference = "y"\nlinked = {{ from_percent = 80 }}\nmeasures = [{measure}]\n'
    with pytest.raises(PolicyRefused):
        parse_policy_text(POLICY + rule)


def test_staff_see_rings_and_a_certificate_of_each_term(running: Running, client: Client) -> None:
    entries = [*decided("l1", "bad", "iban"), *decided("l2", "late", "iban"), *decided("l3", "third", "iban")]
    running.ledger.append(MARKET, [builders.identity("i1", "late"), *entries, confirmed("v1", "bad")])
    assert client.refresh_links(MARKET).violator_count == 1
    found = client.get_seller_network(MARKET, "late")
    rings = client.list_rings(MARKET)
    refused("NOT_FOUND", "SELLER_NOT_FOUND", client.get_seller_network, MARKET, "stranger")
    [certificate] = found.certificates
    names = [f"marketplaces/{MARKET}/sellers/{name}" for name in ("late", "bad")]
    assert (list(certificate.sellers), list(certificate.entries)) == (names, ["l2", "l1", "v1"])
    assert (certificate.terms.manual_review, certificate.terms_without.manual_review) == (True, False)
    [precision] = certificate.precisions
    assert (precision.confirmed, precision.severed, precision.high_ppm) == (3, 0, 1_000_000)
    [ring] = rings.rings
    assert (ring.size, ring.violators, ring.joined, len(ring.sellers)) == (3, 1, 3, 3)
    assert rings.months[0].clean_touched == 2
    picture = draw_network(found)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert picture.count("<line") == len(found.links)


def test_a_violation_of_long_ago_is_neither_shown_nor_counted(tmp_path: Path) -> None:
    now = wall_clock()
    clock = builders.Clock(now - 400 * DAY)
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", create=True, clock=clock) as ledger:
        gang = [entry for name in ("bad", "late", "third") for entry in decided(f"l-{name}", name, "iban")]
        ledger.append(MARKET, [*gang, confirmed("v1", "bad", occur_time=now - 401 * DAY), suspension()])
        clock.now += 200 * DAY  # a ledger that rests for longer doubts the clock
        ledger.append(MARKET, [builders.identity("i1", "late")])
    with running_server(tmp_path) as running, running.client() as client:
        pair = [*decided("l-worse", "worse", "card"), *decided("l-other", "other", "card")]
        running.ledger.append(
            MARKET, [*pair, builders.identity("i2", "other"), confirmed("v2", "worse", occur_time=now - DAY)]
        )
        shown = {one.seller.rpartition("/")[2]: one for one in client.get_seller_network(MARKET, "late").sellers}
        assert (shown["bad"].violation, shown["bad"].suspended) == ("", True)
        assert client.get_seller_network(MARKET, "other").sellers[1].violation == "v2"
        rings = client.list_rings(MARKET, least_size=2).rings
        assert [(ring.size, ring.violators) for ring in rings] == [(2, 1), (3, 0)]
        assert client.refresh_links(MARKET).violator_count == 1
