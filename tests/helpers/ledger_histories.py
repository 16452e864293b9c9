import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from hypothesis import strategies as st

from scoring.base.enums import Action, Attribution, CorrectionKind, Harm, IncidentChange, Severity, Source
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import EntryCorrected
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, ago, exposure, identity

SELLERS = ("s0", "s1")


sellers, reports = st.sampled_from(SELLERS), st.sampled_from(["v0", "v1", "v2", "p0"])


incidents, sources = st.sampled_from(["x0", "x1", "v0", "v1"]), st.sampled_from([Source.BRAND, Source.CUSTOMS])


units, flags = st.sampled_from([0, 9, 10, 1_000]), st.booleans()


kinds, harms = st.sampled_from(["counterfeit_goods", "misleading_listing"]), st.sampled_from(Harm)


said: dict[str, Any] = {"actor": st.just("staff"), "reason": st.just("examined")}


def decision(about: str, action: Action, severity: Severity, counted: int) -> StatusChanged:
    left = severity if action is Action.REDUCE else None
    order = "order 7" if action is Action.REINSTATE else ""
    found = counted if action in (Action.CONFIRM, Action.REINSTATE) and about != "p0" else 0
    return StatusChanged(about, action, "staff", "examined", left, order, found)


VIOLATION = st.builds(
    ViolationReported,
    *(kinds, harms, sources, st.sampled_from(["", "x0"]), st.sampled_from(["", "n"]), flags, flags),
    listing=st.sampled_from(["", "l"]),
    units=units,
)


DECISION = st.builds(decision, reports, st.sampled_from(Action), st.sampled_from(Severity), units)


RECALL = st.builds(
    ProductViolationReported, kinds, harms, sources, st.just("p"), final=flags, identifier_verified=flags
)


MERGE = st.builds(IncidentChanged, st.just(IncidentChange.MERGED), incidents, incident=incidents, **said)


SPLIT = st.builds(IncidentChanged, st.just(IncidentChange.SPLIT), incidents, violation=reports, **said)


VOID = st.builds(EntryCorrected, st.sampled_from(["e0", "e1", "e2"]), st.just(CorrectionKind.VOID), **said)


MOVED = st.builds(
    EntryCorrected, reports, st.just(CorrectionKind.MOVED), moved_to=st.sampled_from([ago(30), ago(25)]), **said
)


STEP = st.one_of(
    st.tuples(st.sampled_from(["v0", "v1", "v2"]), sellers, VIOLATION),
    *[st.tuples(st.just(""), sellers | st.just(""), DECISION)] * 3,
    st.tuples(st.just("p0"), st.just(""), RECALL),
    st.tuples(st.just(""), sellers, st.just(ProductListed("p"))),
    st.tuples(st.just(""), st.just(""), st.builds(AttributionStated, reports, st.sampled_from(Attribution), **said)),
    st.tuples(st.just(""), sellers, MERGE | SPLIT),
    st.tuples(st.just(""), st.just(""), VOID | MOVED),
)


Steps = list[tuple[tuple[str, str, Any], int]]


@cache
def template() -> str:
    path = tempfile.mkdtemp(prefix="sellertrust-sqlite-") + "/ledger.db"
    upgrade(f"sqlite:///{path}")
    with Ledger.open(f"sqlite:///{path}", clock=Clock()) as ledger:
        ledger.append(
            MARKET,
            [entry for seller in SELLERS for entry in (identity(f"i-{seller}", seller), exposure(seller=seller))],
        )
    return path


@contextmanager
def empty() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(template(), f"{folder}/ledger.db")
        with Ledger.open(f"sqlite:///{folder}/ledger.db", clock=Clock()) as ledger:
            yield ledger


def entries_of(steps: Steps) -> list[Entry]:
    return [
        Entry(
            name or f"e{number}", seller, fact, None if isinstance(fact, EntryCorrected) else ago(days), ago(days) + 9
        )
        for number, ((name, seller, fact), days) in enumerate(steps)
    ]
