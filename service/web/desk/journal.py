"""The desk's own memory: claims, findings, opened evidence, and decisions before they become entries.

Each event is a line of JSON, on disk before its page is answered. After a crash, decisions within their undo window can
still be undone; later ones are sent under the same entry id, which the ledger records once. One process holds the file.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from scoring.base.errors import ConfigurationWrong
from service.files import owner_only_opener, sync_folder

UNDO_SECONDS = 10.0
CLAIM_SECONDS = 1_200.0
QUEUE_SECONDS = 120.0
"""A remembered queue is younger."""
KEPT_DECISIONS = 5_000
T = TypeVar("T")


class Taken(Exception):
    """Another reviewer works on this case, or has decided it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True)
class Finding:
    """One reviewer's first step. It is not revised."""

    violation: str
    actor: str
    action: str
    reason: str
    severity: str


@dataclass(frozen=True)
class Decision:
    """A decision on its way into the ledger; `id` is the entry's."""

    id: str
    violation: str
    seller: str
    person: str
    """The visitor whose rights it needs."""
    actor: str
    action: str
    reason: str
    severity: str
    due: float
    """The undo window's end, in seconds since 1970."""
    state: str = "pending"
    """`pending`, `sent`, `undone`, or `refused`."""
    problem: str = ""


@dataclass
class Case:
    claimed_by: str = ""
    claimed_until: float = 0.0
    finding: dict[str, Finding] = field(default_factory=dict)
    """By actor, until they look at the consequence."""
    votes: dict[str, Finding] = field(default_factory=dict)
    """By actor, while a second person is needed."""
    opened: set[str] = field(default_factory=set)
    """Actors who opened the evidence."""
    waiting: str = ""
    """The requested information."""


class Journal:
    """Thread-safe. Raises ConfigurationWrong if another process holds the file, or it is damaged."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cases: dict[str, Case] = {}
        self._decisions: dict[str, Decision] = {}
        self._bulk: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._held = (path.parent / f"{path.name}.lock").open("ab")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for event in _read_events(path):
                self._apply(event)
        except (BlockingIOError, ConfigurationWrong) as error:
            self._held.close()
            text = f"another desk uses {path}; give each desk its own data folder"
            raise ConfigurationWrong(text if isinstance(error, BlockingIOError) else str(error)) from None
        self._rewrite(path)
        self._file = path.open("a", encoding="utf-8")

    def close(self) -> None:
        with self._lock:
            self._file.close()
            self._held.close()

    # --- reading

    def case(self, violation: str) -> Case:
        """Return a case, empty if unknown, without a claim that is over."""
        with self._lock:
            case = self._cases.get(violation, Case())
            return replace(case, claimed_by=case.claimed_by if case.claimed_until > self._clock() else "")

    def list_decisions(self, actor: str = "") -> list[Decision]:
        """Return decisions, the latest first; of `actor` those that it took alone or with a second person."""
        with self._lock:
            found = reversed(self._decisions.values())
            return [one for one in found if not actor or actor in one.actor.split("~")]

    def find_decision(self, name: str) -> Decision | None:
        with self._lock:
            return self._decisions.get(name)

    def decided(self) -> set[str]:
        """Return violations decided lately, which a remembered queue may still list."""
        since = self._clock() - QUEUE_SECONDS
        with self._lock:
            decided = [
                decision for decision in self._decisions.values() if decision.state == "pending" or decision.due > since
            ]
            return {one.violation for one in decided if one.state in ("pending", "sent")}

    def list_due(self) -> list[Decision]:
        now = self._clock()
        with self._lock:
            return [
                decision for decision in self._decisions.values() if decision.state == "pending" and decision.due <= now
            ]

    def seconds_left(self, decision: Decision) -> float:
        return max(0.0, decision.due - self._clock())

    def list_bulk(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(reversed(self._bulk.values()))

    # --- writing

    def claim(self, violation: str, actor: str, *, by_other: bool = False) -> None:
        """Claim or assign a case.

        Raises Taken if another person holds it, unless its holder hands it on (`by_other`).
        """
        with self._lock:
            self._claim(violation, actor, by_other=by_other)

    def _claim(self, violation: str, actor: str, *, by_other: bool = False) -> None:
        case = self._cases.get(violation, Case())
        if case.claimed_until > self._clock() and case.claimed_by != actor and not by_other:
            raise Taken(f"{case.claimed_by} works on this case")
        until = self._clock() + CLAIM_SECONDS
        self._write({"kind": "claim", "violation": violation, "actor": actor, "until": until})

    def release(self, violation: str, actor: str) -> None:
        """Give a case back. Raises Taken if another person holds it."""
        with self._lock:
            self._claim(violation, actor)
            self._write({"kind": "claim", "violation": violation, "actor": "", "until": 0.0})

    def note_opened(self, violation: str, actor: str) -> None:
        with self._lock:
            if actor not in self._cases.get(violation, Case()).opened:
                self._write({"kind": "opened", "violation": violation, "actor": actor})

    def record_finding(self, finding: Finding) -> None:
        """Record the first step, and claim the case.

        Raises Taken if this reviewer found something before, or another works on the case.
        """
        with self._lock:
            self._require_open(finding.violation)
            case = self._cases.get(finding.violation, Case())
            if finding.actor in case.votes:
                raise Taken("You have given your finding; another person must give theirs")
            if finding.actor in case.finding:
                raise Taken("You have answered the first step, and it is not revised")
            self._claim(finding.violation, finding.actor)
            self._write({"kind": "finding", **asdict(finding)})

    def vote(self, finding: Finding) -> None:
        """Keep a finding for comparison, and end this reviewer's claim to the case."""
        with self._lock:
            self._write({"kind": "vote", **asdict(finding)})

    def wait_for_information(self, violation: str, text: str) -> None:
        """Put a case aside until a claim; `text`: what is missing."""
        with self._lock:
            self._write({"kind": "waiting", "violation": violation, "text": text})

    def decide(self, decision: Decision) -> Decision:
        """Begin the undo window. The same id again changes nothing. Raises Taken if another decision waits."""
        with self._lock:
            if (found := self._decisions.get(decision.id)) is not None:
                return found
            self._require_open(decision.violation)
            self._write({"kind": "decision", **asdict(decision)})
            return self._decisions[decision.id]

    def undo(self, name: str, actor: str) -> Decision:
        """Take a decision back within its window. Raises Taken if it is another's, or the window is over."""
        with self._lock:
            decision = self._decisions.get(name)
            if decision is None or decision.actor.split("~")[-1] != actor:
                raise Taken("This decision is another person's")
            if decision.state == "pending" and decision.due <= self._clock():
                raise Taken("The time to undo is over: the decision is becoming an entry")
            if decision.state == "pending":
                self._write({"kind": "state", "id": name, "state": "undone", "problem": ""})
            elif decision.state != "undone":
                raise Taken("The decision is an entry by now; an overturn takes it back")
            return self._decisions[name]

    def settle(self, name: str, state: str, problem: str = "") -> None:
        """Record a decision as `sent` or `refused`."""
        with self._lock:
            self._write({"kind": "state", "id": name, "state": state, "problem": problem})

    def note_bulk(self, fields: dict[str, Any]) -> None:
        with self._lock:
            self._write({"kind": "bulk", **fields})

    def new_deadline(self) -> float:
        """Return an undo window's end, in seconds since 1970."""
        return self._clock() + UNDO_SECONDS

    # --- the file

    def _require_open(self, violation: str) -> None:
        for decision in self._decisions.values():
            if decision.violation == violation and decision.state == "pending":
                raise Taken("Another decision about this case is on its way")

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event, sort_keys=True) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._apply(event)

    def _apply(self, event: dict[str, Any]) -> None:
        given = {name: value for name, value in event.items() if name != "kind"}
        kind, case = event["kind"], self._cases.setdefault(event.get("violation", ""), Case())
        match kind:
            case "claim":
                case.claimed_by, case.claimed_until, case.waiting = given["actor"], given["until"], ""
            case "opened":
                case.opened = case.opened | {given["actor"]}
            case "finding":
                case.finding = case.finding | {given["actor"]: _made(Finding, given)}
            case "vote":
                case.votes = case.votes | {given["actor"]: _made(Finding, given)}
                if case.claimed_by == given["actor"]:
                    case.claimed_by, case.claimed_until = "", 0.0
            case "waiting":
                case.claimed_by, case.claimed_until, case.waiting = "", 0.0, given["text"]
            case "decision":
                self._decisions[given["id"]] = _made(Decision, given)
            case "state":
                self._settle(_made(Decision, {**asdict(self._decisions[given["id"]]), **given}))
            case "bulk":
                self._bulk[given["decision_id"]] = given

    def _settle(self, decision: Decision) -> None:
        """Note how a decision ended: undone or refused, its finding goes; sent, its case does."""
        self._decisions[decision.id] = decision
        if decision.state == "sent" and decision.action != "review":
            self._cases.pop(decision.violation, None)
        elif (case := self._cases.get(decision.violation)) is not None:
            people = decision.actor.split("~")
            case.finding = {name: one for name, one in case.finding.items() if name not in people}
            case.votes = {name: one for name, one in case.votes.items() if name != people[-1]}

    def _rewrite(self, path: Path) -> None:
        fresh = path.with_name(f"{path.name}.new")
        with open(fresh, "w", encoding="utf-8", opener=owner_only_opener) as file:
            for event in self._events():
                file.write(json.dumps(event, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(path.parent)

    def _events(self) -> Iterator[dict[str, Any]]:
        decisions = list(self._decisions.values())
        old = {one.id for one in [decision for decision in decisions if decision.state != "pending"][:-KEPT_DECISIONS]}
        self._decisions = {decision.id: decision for decision in decisions if decision.id not in old}
        for decision in self._decisions.values():
            yield {"kind": "decision", **asdict(decision)}
        yield from ({"kind": "bulk", **given} for given in self._bulk.values())
        for violation, case in self._cases.items():
            yield from ({"kind": "vote", **asdict(vote)} for vote in case.votes.values())  # first: a vote ends a claim
            if case.claimed_by:
                yield {"kind": "claim", "violation": violation, "actor": case.claimed_by, "until": case.claimed_until}
            yield from ({"kind": "opened", "violation": violation, "actor": actor} for actor in case.opened)
            yield from ({"kind": "finding", **asdict(one)} for one in case.finding.values())
            if case.waiting:
                yield {"kind": "waiting", "violation": violation, "text": case.waiting}


def _made(kind: type[T], given: dict[str, Any]) -> T:
    """Leave out what an older desk wrote besides."""
    return kind(**{name: given[name] for name in given if name in kind.__annotations__})


def _read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield whole lines; the last may be torn, since its page was never answered."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines):
                raise ConfigurationWrong(f"line {number} of {path} is damaged; restore the file") from None
