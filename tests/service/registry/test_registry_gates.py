import json
from pathlib import Path
from typing import Any

import pytest

from scoring.base.errors import ArtifactRefused, GatesFailed, InvalidInput
from service.registry.moves import CHALLENGER, Figure
from service.registry.registry import Registry
from tests.helpers.models import ADVISORY, HARD, gate, gates_json, promote, publish


def test_a_model_that_passed_its_gates_is_promoted(registry: Registry) -> None:
    publish(registry)
    beside = {"gates.json": gates_json(gate("certificate"), gate("psi", kind="advisory")), "report.html": b"<p>fine"}
    digest = publish(registry, 1, attachments=beside)
    published = registry.history()[-1].figures
    assert (published["gates"], len(str(published["gates_sha256"])), len(str(published["report_sha256"]))) == (
        "passed",
        64,
        64,
    )
    assert promote(registry, digest) == digest
    figures = registry.history()[-1].figures
    assert (figures["gates"], figures["gates_sha256"]) == ("passed", published["gates_sha256"])
    assert {"override", "sign_off"}.isdisjoint(figures)
    assert registry.load(digest).digest == digest


def test_past_a_failed_hard_gate_it_takes_a_person(registry: Registry) -> None:
    publish(registry)
    digest = publish(registry, 1, attachments={"gates.json": gates_json(HARD, gate("size", ok=False), gate("latency"))})
    with pytest.raises(GatesFailed, match=r"past calibration, size it takes a named person's override") as caught:
        promote(registry, digest)
    assert caught.value.metadata == {"fixed": "", "hard": "calibration,size", "advisory": ""}
    with pytest.raises(InvalidInput, match="sign_off: must be left out"):
        promote(registry, digest, override="dora", sign_off="dora")
    promote(registry, digest, override="dora", reason="the world moved; recalibration is on its way")
    figures = registry.history()[-1].figures
    assert (figures["gates"], figures["override"], figures["overridden"]) == ("failed", "dora", "calibration,size")


def test_advisory_gates_that_failed_are_signed_off_by_name(registry: Registry) -> None:
    publish(registry)
    digest = publish(registry, 1, attachments={"gates.json": gates_json(gate("size"), ADVISORY)})
    with pytest.raises(GatesFailed, match=r"psi must be signed off by name"):
        promote(registry, digest)
    promote(registry, digest, sign_off="emil")
    figures = registry.history()[-1].figures
    assert (figures["gates"], figures["sign_off"], figures["signed_off"]) == ("passed", "emil", "psi")


@pytest.mark.parametrize(
    "fixed", [gate("certificate", ok=False), gate("parity", ok=False), gate("x", ok=False, overridable=False)]
)
def test_past_certificate_and_parity_nobody_gets(registry: Registry, fixed: dict[str, object]) -> None:
    champion = publish(registry)
    digest = publish(registry, 1, attachments={"gates.json": gates_json(fixed, HARD)})
    with pytest.raises(GatesFailed, match=f"{fixed['gate']} cannot be overridden"):
        promote(registry, digest, override="dora", sign_off="")
    assert registry.champion_digest() == champion


@pytest.mark.parametrize("name", ["certificate", "parity"])
def test_gates_without_the_fixed_ones_are_refused(registry: Registry, name: str) -> None:
    rows = json.loads(gates_json(gate("size")))["gates"]
    without = [row for row in rows if row["gate"] != name]
    for wrong in ([], without, [*without, gate(name, kind="advisory")]):
        with pytest.raises(ArtifactRefused, match=f"must hold .*{name}.* as hard gates"):
            publish(registry, attachments={"gates.json": json.dumps({"gates": wrong}).encode()})
    assert registry.history() == []


@pytest.mark.parametrize(
    "stated",
    [
        gate("parity") | {"number": 9},
        gate("parity") | {"number": 9, "limit": 10},
        gate("certificate") | {"number": None},
        gate("size") | {"number": 5, "limit": 4},
        gate("size") | {"number": None},
        gate("size") | {"limit": None},
        gate("psi", kind="advisory") | {"number": 5, "limit": 4},
    ],
)
def test_a_gate_past_its_limit_does_not_hold(registry: Registry, stated: dict[str, object]) -> None:
    publish(registry)
    digest = publish(registry, 1, attachments={"gates.json": gates_json(stated)})
    with pytest.raises(GatesFailed, match=str(stated["gate"])):
        promote(registry, digest)


@pytest.mark.parametrize("number", [b"1e999", b"1" + b"0" * 400, b"true"])
def test_a_number_of_a_gate_is_a_finite_one(registry: Registry, number: bytes) -> None:
    wrong = gates_json(gate("size") | {"limit": 7654321}).replace(b"7654321", number)
    with pytest.raises(ArtifactRefused, match="cannot be read"):
        publish(registry, attachments={"gates.json": wrong})


def test_a_model_without_gates_takes_a_person(registry: Registry) -> None:
    first, second = (publish(registry, number, attachments=None) for number in range(2))
    assert registry.aliases() == {CHALLENGER: second}
    for digest in (first, second):
        with pytest.raises(GatesFailed, match=r"past gates\.json it takes a named person's override") as caught:
            promote(registry, digest)
        assert caught.value.metadata["hard"] == "gates.json"
        promote(registry, digest, override="dora")
    figures = registry.history()[-1].figures
    assert (figures["gates"], figures["override"], figures["overridden"]) == ("none", "dora", "gates.json")
    promote(registry, first)
    assert registry.champion_digest() == first
    assert "override" not in registry.history()[-1].figures


@pytest.mark.long
def test_the_first_model_whose_gates_hold_is_champion(registry: Registry) -> None:
    publish(registry, attachments=None)
    publish(registry, 1, attachments={"gates.json": gates_json(HARD)})
    publish(registry, 1, attachments=None)
    assert registry.champion_digest() is None
    third = publish(registry, 2)
    publish(registry, 3)
    assert registry.champion_digest() == third


class Slow(Registry):
    """After the check of gates, another process publishes that model with a failed gate."""

    def _check_gates(self, *question: Any) -> dict[str, Figure]:
        found = super()._check_gates(*question)
        publish(self, 1, attachments={"gates.json": gates_json(HARD)})
        return found


def test_gates_published_meanwhile_are_asked(registry: Registry, place: Path | str) -> None:
    first, second = publish(registry), publish(registry, 1)
    with pytest.raises(GatesFailed, match="calibration"):
        promote(Slow(place), second)
    assert registry.champion_digest() == first


@pytest.mark.parametrize("failed", [HARD, ADVISORY])
def test_a_first_model_may_wait_for_a_person(registry: Registry, failed: dict[str, object]) -> None:
    digest = publish(registry, attachments={"gates.json": gates_json(failed)})
    assert registry.aliases() == {CHALLENGER: digest}
    promote(registry, digest, **({"override": "dora"} if failed is HARD else {"sign_off": "dora"}))
    assert registry.champion_digest() == digest
