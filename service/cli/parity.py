"""Compute the model's inputs from one seller's entries as listed over gRPC.

Training computes them from columns of an export. The gate `parity` demands equal bits.
"""

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scoring.base.arrays import Floats
from scoring.base.enums import Status
from scoring.base.time import DAY
from scoring.entries.entry import prepare_trusted
from scoring.entries.incidents import assign_incident
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.decisions import EntryCorrected
from scoring.entries.kinds.trade import InspectionDone
from scoring.entries.lifecycle import next_status
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import resolve
from scoring.features.fold import Constants, Folder
from scoring.features.table import AnyFeature, matrix
from scoring.policy.policy import Policy
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from service.bootstrap import build_server, open_ledger
from service.contract.entries import entries_of
from service.contract.fields import time_of
from service.ledger.database.rows import PLACE, row_of
from service.limits import Limits
from service.settings import Settings

if TYPE_CHECKING:
    from training.pipeline.job import Sample

_COLUMNS = [PLACE[name] for name in FactRow._fields[:-4]]


def count_differing_rows(settings: Settings, marketplace: str, policy: Policy, sample: "Sample") -> int:
    from service.api.telemetry.logs import make_log

    here = settings.model_copy(
        update={
            "address": "127.0.0.1:0",
            "metrics_address": "",
            "limits": Limits(drain_seconds=0, book_sellers=0),
            "tls": None,
        }
    )
    differing = 0
    with open_ledger(settings) as ledger:
        server = build_server(here, ledger, policy, None, log=make_log("json", "error", io.StringIO()))
        with server, Client(server.address, deadline_seconds=30) as client:
            for seller, day, x in zip(sample.sellers, sample.days, sample.x, strict=True):
                rows = rows_of(marketplace, seller, list(client.list_entries(marketplace, seller)))
                again = inputs_of(rows, seller, day, sample.study.features, sample.study.constants)
                differing += again.tobytes() != x.tobytes()
    return differing


def rows_of(marketplace: str, seller: str, messages: Sequence[entry_pb2.Entry]) -> list[FactRow]:
    """Convert one seller's listed entries into the rows that scoring reads, with derived statuses.

    Raises InvalidInput for an unreadable entry.
    """
    statuses: dict[str, int] = {}
    reports: dict[str, ViolationReported] = {}
    rows = []
    for message, entry in zip(messages, entries_of(marketplace, messages), strict=True):
        item = prepare_trusted(entry)
        row = row_of(item, message.sequence, marketplace, seller, time_of(message.record_time, "record_time"))
        fact = entry.fact
        if isinstance(fact, ViolationReported):
            statuses[entry.entry_id] = int(item.status or 0)
            reports[entry.entry_id] = fact
        elif isinstance(fact, StatusChanged) and not message.pending and fact.violation in statuses:
            following = next_status(Status(statuses[fact.violation]), fact.action)
            statuses[fact.violation] = row[PLACE["status"]] = int(following)
        elif isinstance(fact, EntryCorrected) and fact.moved_to is not None and fact.entry in reports:
            row[PLACE["incident"]] = assign_incident(fact.entry, reports[fact.entry], fact.moved_to)
        source = int(fact.source) if isinstance(fact, InspectionDone | ViolationReported) else None
        kind = TYPE_NUMBERS.get(fact.violation_type) if isinstance(fact, ViolationReported) else None
        attributes = fact.attributes if isinstance(fact, IdentityVerified) else None
        listing = fact.listing or None if isinstance(fact, ViolationReported) else None
        rows.append(FactRow._make([*(row[place] for place in _COLUMNS), source, kind, attributes or None, listing]))
    return rows


def inputs_of(
    rows: Iterable[FactRow],
    seller: str,
    day: int,
    features: tuple[AnyFeature, ...],
    constants: Constants,
) -> Floats:
    """Compute one seller's inputs, shape (features,), at the beginning of `day`, from all its `rows` reported by then."""
    listed = list(rows)
    facts = resolve(columns_of(listed, [seller]), np.array([day * DAY], dtype=np.int64), as_reported=True)
    place = int(facts.identity_row[0])
    attributes = (listed[place].attributes or {}) if place >= 0 else {}
    found: Floats = matrix(Folder(constants).fold(facts), features, [attributes])[0]
    return found
