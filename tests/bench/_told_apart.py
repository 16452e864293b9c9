"""Whether the time of a refusal reveals what exists."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score

from sellertrust.client import Client, SellertrustCallError, seller_name
from sellertrust.v1 import entry_pb2
from tests.bench._access_place import Place
from tests.bench._real_data import Say
from tests.helpers.callers import grant, write_grants
from tests.helpers.servers import MARKET, running_server, violation

COUNT = 500
TRIES = 4_000
WARM = 200
LIMITS = {name: ["*"] for name in ("kinds", "sources", "notifiers", "entry_ids", "actions")}
RIGHTS = ["append", "read_scores", "explain", "read_measures", "read_ledger", "decide"]

Question = Callable[[Client, int, bool, int], object]
"""Its last number is new with each try."""


def _complaint(client: Client, number: int, exists: bool, turn: int) -> object:
    fact = entry_pb2.ComplaintFiled(measure=_name("m", exists, number), reason="so")
    return client.append_entries(MARKET, [_own(f"c-{turn}", complaint=fact)])


def _remediation(client: Client, number: int, exists: bool, turn: int) -> object:
    fact = entry_pb2.RemediationDone(violation=_name("v", exists, number), remedy="refund")
    return client.append_entries(MARKET, [_own(f"r-{turn}", remediation=fact)])


def _recovery(client: Client, number: int, exists: bool, turn: int) -> object:
    return client.append_entries(MARKET, [_own(f"k-{turn}", claim=_claim("RECOVERED", _name("k", exists, number)))])


def _decision(client: Client, number: int, exists: bool, turn: int) -> object:
    fact = entry_pb2.StatusChanged(
        violation=_name("v", exists, number), action=entry_pb2.ACTION_CONFIRM, actor="a", reason="so"
    )
    return client.append_entries(MARKET, [_own(f"d-{turn}", status=fact)])


QUESTIONS: dict[str, Question] = {
    "score": lambda client, number, exists, _: client.get_trust_score(MARKET, _name("s", exists, number)),
    "measures": lambda client, number, exists, _: client.evaluate_measures(MARKET, _name("s", exists, number)),
    "violation": lambda client, number, exists, _: client.get_violation(MARKET, _name("v", exists, number)),
    "restitution": lambda client, number, exists, _: client.get_restitution(MARKET, "own", _name("v", exists, number)),
    "complaint": _complaint,
    "remediation": _remediation,
    "claim": _recovery,
    "decision": _decision,
}


def told_apart(folder: Path, say: Say) -> dict[str, float]:
    """Return the AUC of the times that reveal most; 0.5 reveals nothing."""
    place = Place(folder)
    write_grants(
        place.grants,
        place.issuer.table(),
        grant("dns:all.example", ["append", "impose_measures"], **LIMITS),
        grant("dns:limited.example", RIGHTS, sellers=["own"], **LIMITS | {"entry_ids": ["c-", "r-", "k-", "d-"]}),
    )
    found: dict[str, float] = {}
    with running_server(folder, grants=place.grants, log_level="error", **place.authority.server_settings()) as running:
        running.hold_nobody()
        with running.client(**place.authority.certificate(dns=["all.example"]).options()) as everybody:
            everybody.append_entries(MARKET, [violation(f"v-{n}", f"s-{n}") for n in range(COUNT)])
            everybody.append_entries(MARKET, [_measure(n) for n in range(COUNT)])
            everybody.append_entries(MARKET, [_paid(n) for n in range(COUNT)])
            everybody.append_entries(MARKET, [violation("own-v", "own")])
        with running.client(**place.authority.certificate(dns=["limited.example"]).options()) as limited:
            for name, ask in QUESTIONS.items():
                found[name] = _asked(limited, name, ask)
                say(f"  told apart by {name}: {found[name]:.4f}")
    return {"timing.told_apart": round(max(found.values(), key=lambda auc: abs(auc - 0.5)), 4)}


def _asked(client: Client, name: str, ask: Question) -> float:
    chance = random.Random(name)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    told: set[object] = set()
    turns = [bool(turn % 2) for turn in range(2 * TRIES + WARM)]
    chance.shuffle(turns)
    for turn, exists in enumerate(turns):
        number = chance.randrange(COUNT)
        started = time.perf_counter()
        try:
            ask(client, number, exists, turn)
        except SellertrustCallError as error:
            passed = time.perf_counter() - started
            told.add((error.code, error.reason))
        else:
            raise AssertionError(f"{name} was not refused")
        if turn >= WARM:
            seconds[exists].append(passed)
    if len(told) != 1:
        raise AssertionError(f"{name} is refused in several ways: {told}")
    existing, missing = seconds[True], seconds[False]
    return float(roc_auc_score([1] * len(existing) + [0] * len(missing), [*existing, *missing]))


def _name(letter: str, exists: bool, number: int) -> str:
    return f"{letter}-{number}" if exists else f"{letter}-{number + COUNT}"


def _own(entry_id: str, **fact: Any) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, "own"), **fact)
    entry.occur_time.CopyFrom(violation("x", "own").occur_time)
    entry.occur_time.seconds += 3_600
    return entry


def _claim(change: str, name: str) -> entry_pb2.ClaimChanged:
    number = entry_pb2.ClaimChange.Value(f"CLAIM_CHANGE_{change}")
    return entry_pb2.ClaimChanged(claim=name, change=number, amount_minor=1, currency="EUR", actor="a")


def _paid(number: int) -> entry_pb2.Entry:
    entry = _own(f"p-{number}", claim=_claim("PAID", f"k-{number}"))
    entry.seller = seller_name(MARKET, f"s-{number}")
    return entry


def _measure(number: int) -> entry_pb2.Entry:
    fact = entry_pb2.MeasureChanged(
        measure=f"m-{number}",
        measure_kind=entry_pb2.MEASURE_KIND_MANUAL_REVIEW,
        state=entry_pb2.MEASURE_STATE_IMPOSED,
        actor="a",
        reason="so",
    )
    entry = _own(f"me-{number}", measure=fact)
    entry.seller = seller_name(MARKET, f"s-{number}")
    return entry
