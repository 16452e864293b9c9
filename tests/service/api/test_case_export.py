import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scoring.base.enums import LinkState
from scoring.base.errors import EntryKindUnknown
from scoring.base.time import DAY
from scoring.base.version import CORE_VERSION
from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import ExposureStated
from sellertrust.v1 import entry_pb2
from sellertrust.v1.network_service_pb2 import ExportCaseRequest, ExportCaseResponse
from service.contract.case_export import find_faults, signed_bytes
from service.ledger.queries.facts import FactQueries
from service.policy.policy_file import SHIPPED_POLICY
from tests.bench.network import list_paths
from tests.helpers.builders import MARKET, confirmed, link, violation
from tests.helpers.four_eyes import SAID, World, promotion, world
from tests.helpers.models import publish
from tests.helpers.refusals import refused, refused_fields
from tests.helpers.shells import bare_shell
from tests.helpers.worlds import policy

PARENT = f"marketplaces/{MARKET}"
REQUEST = ExportCaseRequest(
    parent=PARENT,
    sellers=[f"{PARENT}/sellers/bad"],
    authority=entry_pb2.SOURCE_CUSTOMS,
    legal_basis="regulation 608/2013, article 18",
    **SAID,
)


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[World]:
    with world(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path) as found:
        entries = [link("l1", "bad", "iban"), link("l2", "bad", "", other="honest"), confirmed("v1", "bad")]
        more = [violation("v2", "bad", notifier="brand-7"), violation("v3", "honest", notifier="brand-7")]
        found.ledger.append(MARKET, [*entries, *more, link("l3", "honest", "iban", state=LinkState.OBSERVED)])
        yield found


def exported(eyes: World) -> ExportCaseResponse:
    done = eyes("anna").carry_out(eyes.agreed(REQUEST))
    assert isinstance(done, ExportCaseResponse)
    return done


def test_a_case_needs_two_persons_whatever_the_grants_say(eyes: World) -> None:
    refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", eyes("anna").export_case, REQUEST)
    proposal = eyes.propose("anna", REQUEST)
    refused("FAILED_PRECONDITION", "APPROVAL_REQUIRED", eyes("anna").carry_out, proposal)
    assert exported(eyes).bundle


def test_a_case_holds_its_sellers_and_nobody_else(eyes: World) -> None:
    found = exported(eyes)
    bundle = json.loads(found.bundle)
    assert {one["seller"].rpartition("/")[2] for one in bundle["entries"]} == {"bad"}
    assert {one["violation"]: one["status"] for one in bundle["violations"]} == {"v1": "confirmed", "v2": "alleged"}
    for text in (found.bundle, found.html):
        assert not any(word in text for word in ("honest", "brand-7", "analyst", "l3", "v3"))
    assert (bundle["authority"], bundle["persons"], len(bundle["proofs"])) == ("customs", 2, len(bundle["entries"]))
    assert "regulation 608/2013" in found.html


def test_every_change_of_a_case_is_found(eyes: World) -> None:
    found = exported(eyes)
    assert find_faults(found.bundle.encode(), found.signature, found.public_key) == []
    bundle = json.loads(found.bundle)
    accepted = 0
    for path in list_paths(bundle):
        changed: Any = deepcopy(bundle)
        part = changed
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = f"{part[path[-1]]}x"
        accepted += not find_faults(spell(changed), found.signature, found.public_key)
    assert accepted == 0


def test_a_case_shows_links_and_points_of_its_sellers_alone(eyes: World) -> None:
    eyes.ledger.append(MARKET, [link("l4", "twin", "iban"), link("l5", "twin", "iban", state=LinkState.CONFIRMED)])
    request = ExportCaseRequest()
    request.CopyFrom(REQUEST)
    request.sellers.append(f"{PARENT}/sellers/twin")
    found = eyes("anna").carry_out(eyes.agreed(request))
    assert isinstance(found, ExportCaseResponse)
    bundle = json.loads(found.bundle)
    assert [(one["seller"], one["other"], one["kind"]) for one in bundle["links"]] == [("twin", "bad", "bank_account")]
    assert {one["seller"] for one in bundle["points"]} == {"bad", "twin"} == {*bundle["pictures"]["points"]}
    for picture in (bundle["pictures"]["network"], *bundle["pictures"]["points"].values()):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert picture in found.html
    assert bundle["pictures"]["network"].count("<line") == 1
    assert not any("honest" in text or "l3" in text for text in (found.bundle, found.html))


def test_a_rated_seller_has_a_curve_of_its_points(eyes: World) -> None:
    publish(eyes.registry)
    eyes("anna").carry_out(eyes.agreed(promotion(publish(eyes.registry, 1))))
    day = eyes.clock.now // DAY - 60
    eyes.ledger.append(MARKET, [Entry("x1", "bad", ExposureStated(day, 500, value_minor=1_000, currency="EUR"))])
    found = exported(eyes)
    bundle = json.loads(found.bundle)
    rated = [one["points"] for one in bundle["points"] if one["points"] is not None]
    assert rated
    assert bundle["pictures"]["points"]["bad"].count("<circle") == len(rated)
    assert all(f"<td>{points}</td>" in found.html for points in rated)


def test_a_case_states_by_what_its_points_were_made(eyes: World) -> None:
    publish(eyes.registry)
    model = publish(eyes.registry, 1)
    eyes("anna").carry_out(eyes.agreed(promotion(model)))
    request = ExportCaseRequest()
    request.CopyFrom(REQUEST)
    request.sellers.append(f"{PARENT}/sellers/unknown")
    proposal = eyes.agreed(request)
    sequence = eyes.ledger.cut().sequence
    found = eyes("anna").carry_out(proposal)
    assert isinstance(found, ExportCaseResponse)
    bundle = json.loads(found.bundle)
    made_by = bundle["points_made_by"]
    assert sequence <= made_by.pop("ledger_sequence") <= eyes.ledger.cut().sequence
    assert made_by == {
        "model": model,
        "policy": policy().digest,
        "core": CORE_VERSION,
        "known_time": bundle["made_time"],
    }
    assert "by today's knowledge, model and policy" in found.html


def test_no_case_is_made_without_points_that_cannot_be_read(eyes: World, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = eyes.agreed(REQUEST)

    def fail(*_: object) -> None:
        raise EntryKindUnknown("of a later release", {"sequence": "1"})

    monkeypatch.setattr(FactQueries, "table", fail)
    refused("FAILED_PRECONDITION", "ENTRY_KIND_UNKNOWN", eyes("anna").carry_out, proposal)


def test_a_changed_page_beside_a_case_is_found(eyes: World) -> None:
    found = exported(eyes)
    signed = (found.bundle.encode(), found.signature, found.public_key)
    assert find_faults(*signed, found.html.encode()) == []
    [fault] = find_faults(*signed, found.html.replace("<circle", "<rect", 1).replace("<svg", "<svg ", 1).encode())
    assert "page" in fault


@pytest.mark.long
def test_the_command_verifies_a_case_by_its_signer(eyes: World, tmp_path: Path) -> None:
    found, shell, file = exported(eyes), bare_shell(tmp_path), tmp_path / "case.json"
    signed = {"bundle": found.bundle, "signature": found.signature, "public_key": found.public_key}
    file.write_text(json.dumps(signed))
    assert "; no case.html lies beside it, so no page" in shell("verify", file, "--public-key", found.public_key)[1]
    (tmp_path / "case.html").write_text(found.html)
    assert "; case.html is the page that was signed" in shell("verify", file, "--public-key", found.public_key)[1]
    older = sign(
        {name: one for name, one in json.loads(found.bundle).items() if name != "page_sha256"},
        Ed25519PrivateKey.generate(),
    )
    (tmp_path / "older.json").write_text(json.dumps(older))
    (tmp_path / "older.html").write_text("of then")
    assert "; it states no page" in shell("verify", tmp_path / "older.json", "--public-key", older["public_key"])[1]
    (tmp_path / "case.html").write_text(found.html + " ")
    assert "the page beside it" in shell.error(4, "verify", file, "--public-key", found.public_key)
    (tmp_path / "case.html").unlink()
    assert "--public-key: is missing" in shell.error(2, "verify", file)
    assert "--policy: does not belong" in shell.error(2, "verify", file, "--policy", SHIPPED_POLICY)
    assert "not signed by this key" in shell.error(4, "verify", file, "--public-key", "00" * 32)
    file.write_text(json.dumps(signed)[:-9])
    assert "no whole case" in shell.error(4, "verify", file, "--public-key", found.public_key)


def test_every_change_of_a_proof_is_found_though_validly_signed(eyes: World) -> None:
    found, key = exported(eyes), Ed25519PrivateKey.generate()
    bundle = json.loads(found.bundle)
    assert find_faults_of(bundle, key) == []
    for path in list_paths(bundle["proofs"]):
        changed = deepcopy(bundle)
        part: Any = changed["proofs"]
        for key_of in path[:-1]:
            part = part[key_of]
        part[path[-1]] = change(part[path[-1]])
        assert any("proof" in fault for fault in find_faults_of(changed, key)), path


def change(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    return {"left": "right", "right": "left"}.get(value) or f"{int(value[0], 16) ^ 1:x}{value[1:]}"


def spell(bundle: Any) -> bytes:
    return json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def find_faults_of(bundle: Any, key: Ed25519PrivateKey) -> list[str]:
    signed = sign(bundle, key)
    return find_faults(signed["bundle"].encode(), signed["signature"], signed["public_key"])


def sign(bundle: Any, key: Ed25519PrivateKey) -> dict[str, str]:
    text = spell(bundle)
    return {
        "bundle": text.decode(),
        "signature": key.sign(signed_bytes(text)).hex(),
        "public_key": key.public_key().public_bytes_raw().hex(),
    }


def test_a_wrong_case_is_refused_by_field(eyes: World) -> None:
    request = ExportCaseRequest(parent=PARENT, authority=entry_pb2.SOURCE_BRAND)
    fields = refused_fields(eyes("anna").create_proposal, request, **SAID)
    assert {"export_case.authority", "export_case.sellers", "export_case.legal_basis"} <= set(fields)
