"""First the fact, without anything that could sway; then the consequence, which revises nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.common import MAX_REASON, REASON, list_deciders
from scoring.entries.violation_types import TABLES
from sellertrust.client import Client
from sellertrust.v1.entry_pb2 import (
    ACTION_APPEAL,
    ACTION_REVIEW,
    ATTRIBUTION_CONTESTED,
    VIOLATION_STATUS_APPEALED,
    Entry,
    Severity,
    StatusChanged,
    ViolationReported,
)
from sellertrust.v1.ledger_service_pb2 import Violation
from sellertrust.v1.trust_score_service_pb2 import TrustScore
from service.web.desk.acting import WORDS, new_entry_id, require_entry_id
from service.web.desk.calls import READ_SECONDS
from service.web.desk.effects import Effect, simulate_decision
from service.web.desk.evidence import FILE_POLICY, File, read_evidence
from service.web.desk.journal import CaseTaken, DeskDecision, DeskFinding, Journal
from service.web.desk.queue import QueuePages, deadline_of
from service.web.desk.staff import working_name
from service.web.frame.rendering import HEADERS, action_name, action_of, last, redirect
from service.web.frame.visits import Problem, Visit


class Choice(NamedTuple):
    key: str
    action: str
    reason: str


CHOICES = [Choice(**fields) for fields in WORDS["choices"]]
CHOICE_BY_EVIDENCE = CHOICES[0]
SEVERITIES = Severity.keys()[1:]
_DESCRIPTIONS = {kind.key: kind.description for _, table in TABLES for kind in table.values()}


@dataclass(frozen=True)
class CasePages:
    marketplace: str
    journal: Journal
    queue: QueuePages
    evidence: str

    # --- the fact

    def show(self, visit: Visit, problems: Sequence[tuple[str, str]] = ()) -> Response:
        """Show the first step; with `problems`, (field, text) of a refused form, and status 400."""
        name, violation, recorded = self._load_case_and_drop_stale_findings(visit)
        actor, case = visit.visitor.actor, self.journal.case(name)
        queue, rows = self.queue.rows(visit.visitor)
        allowed = set(map(action_name, violation.allowed_actions))
        fact = read_report(recorded)
        file = self._read_evidence_or_problem(fact)
        evidence_problem = file if isinstance(file, Problem) else None
        return visit.page(
            "case.html",
            400 if problems else 200,
            id=name,
            violation=violation,
            fact=fact,
            evidence_problem=evidence_problem,
            is_picture=isinstance(file, File) and file.media_type.startswith("image/"),
            description=_DESCRIPTIONS.get(violation.violation_type, ""),
            deadline=deadline_of(violation),
            now=queue.now(),
            answers=list_seller_answers(recorded),
            case=case,
            finding=case.finding.get(actor) or case.votes.get(actor),
            words=WORDS["findings"],
            disabled_choice="" if evidence_problem is None else CHOICE_BY_EVIDENCE.key,
            choices=[choice for choice in CHOICES if choice.action in allowed | {"review"}],
            severities=SEVERITIES[: violation.severity - 1] if "reduce" in allowed else (),
            given={field: visit.form_value(field) for field in ("choice", "words", "severity")},
            problems=problems,
            left=len(rows),
            more=bool(queue.first_page.next_page_token),
        )

    def record_finding(self, visit: Visit) -> Response:
        """Keep the visitor's finding in the journal and go to the second step; wrong input shows the case again.

        The finding `review` puts the case aside. Nothing goes to the ledger yet.
        """
        name, violation, recorded = self._load_case_and_drop_stale_findings(visit)
        choice = next((option for option in CHOICES if option.key == visit.form_value("choice")), None)
        words, problems = visit.form_value("words"), []
        if choice is None:
            problems.append(("finding", "Choose what you found"))
        elif choice is CHOICE_BY_EVIDENCE and (
            obstacle := self._find_evidence_problem(visit, name, read_report(recorded))
        ):
            problems.append((f"choice-{choice.key}", f"{obstacle.title}. {obstacle.text}"))
        elif visit.visitor.actor in list_barred_deciders(violation, recorded):
            problems.append(("finding", "You decided this case before. Another person decides about the appeal"))
        elif choice.action == "review" and not words:
            problems.append(("words", "Write what information is missing"))
        elif choice.action == "reduce" and visit.form_value("severity") not in SEVERITIES:
            problems.append(("severity", "Choose the severity that remains"))
        if REASON.describe_error(words) is not None:
            problems.append(("words", f"Write one line of at most {MAX_REASON} characters"))
        if problems or choice is None:
            return self.show(visit, problems)
        actor = visit.visitor.actor
        severity = visit.form_value("severity") if choice.action == "reduce" else ""
        try:
            finding = DeskFinding(
                name, actor, choice.action, words or choice.reason, severity, appeal_of(violation, recorded)
            )
            if choice.action == "review":
                self.journal.claim(name, actor)
                return self._ask_for_information(visit, violation, finding)
            self.journal.record_finding(finding)
        except CaseTaken as taken:
            raise _make_problem(taken) from None
        return redirect(f"/cases/{name}/consequence")

    def _ask_for_information(self, visit: Visit, violation: Violation, finding: DeskFinding) -> Response:
        self.journal.wait_for_information(finding.violation, finding.reason)
        if ACTION_REVIEW in violation.allowed_actions:
            self.journal.decide(self._make_decision(visit, violation, finding, finding.actor, new_entry_id()))
        return self._open_next_case(visit)

    def open_evidence(self, visit: Visit) -> Response:
        """Record that the visitor opened the evidence, which a decision may require; redirect to the case's page.

        Raises Problem for evidence that cannot be shown.
        """
        name, _, recorded = self._load_case_and_drop_stale_findings(visit)
        self._read_evidence(read_report(recorded))
        self.journal.note_opened(name, visit.visitor.actor)
        return redirect(f"/cases/{name}#evidence")

    def evidence_file(self, visit: Visit) -> Response:
        """Return the evidence, without recording that it was opened; raises Problem as `open_evidence`."""
        file = self._read_evidence(read_report(self._load_case_and_drop_stale_findings(visit)[2]))
        headers = HEADERS | {"Content-Security-Policy": FILE_POLICY}
        if file.media_type == "application/octet-stream":
            headers |= {"Content-Disposition": "attachment"}
        return Response(file.body, headers=headers, media_type=file.media_type)

    def _read_evidence(self, fact: ViolationReported) -> File:
        return read_evidence(self.evidence, fact.evidence_uri, fact.evidence_sha256)

    def _read_evidence_or_problem(self, fact: ViolationReported) -> File | Problem:
        try:
            return self._read_evidence(fact)
        except Problem as problem:
            return problem

    def _find_evidence_problem(self, visit: Visit, name: str, fact: ViolationReported) -> Problem | None:
        if isinstance(problem := self._read_evidence_or_problem(fact), Problem):
            return problem
        if visit.visitor.actor not in self.journal.case(name).opened:
            return Problem(409, "Open the evidence before you decide", "Press o on the page of the case.")
        return None

    def change_claim(self, visit: Visit) -> Response:
        """Release the case, claim it, or assign it to the form's `to`."""
        name, to = self._load_case_and_drop_stale_findings(visit)[0], working_name(visit.form_value("to"))
        actor, holder = visit.visitor.actor, self.journal.case(name).claimed_by
        if to and not is_id(to):
            raise Problem(400, "This is no working name", f"A name is {ID_FORM}.")
        try:
            if visit.form_value("what") == "release":
                self.journal.release(name, actor)
            else:
                self.journal.claim(name, to or actor, is_handed_on=holder == actor)
        except CaseTaken as taken:
            raise _make_problem(taken) from None
        return redirect("/queue" if visit.form_value("what") == "release" or to else f"/cases/{name}")

    # --- the consequence

    def consequence(self, visit: Visit) -> Response:
        """Show the second step: what the finding would change. Raises Problem before the visitor's finding."""
        name, violation, recorded = self._load_case_and_drop_stale_findings(visit)
        finding = self._require_finding(visit, name)
        seller, client = last(violation.seller), visit.visitor.client
        effect, rows = self._simulate_effect(client, violation, finding), self.queue.rows(visit.visitor)[1]
        return visit.page(
            "consequence.html",
            id=name,
            violation=violation,
            seller=seller,
            finding=finding,
            words=WORDS["findings"],
            effect=effect,
            obstacle=self._find_needed_evidence_problem(visit, finding, effect, read_report(recorded)),
            linked=[row for row in rows if row.seller == seller != "" and row.id != name][:10],
            decision_id=new_entry_id(),
        )

    def decide(self, visit: Visit) -> Response:
        """Begin the undo window, or keep a vote if a second person must agree; a form sent twice counts once.

        Raises Problem if evidence was not opened, or another decision waits.
        """
        name, violation, recorded = self._load_case_and_drop_stale_findings(visit)
        decision_id, actor = require_entry_id(visit), visit.visitor.actor
        if any(decision.id == decision_id for decision in self.journal.list_decisions(actor)):  # sent twice
            return self._open_next_case(visit)
        barred = list_barred_deciders(violation, recorded)
        if actor in barred:
            text = "You decided this case before, and the seller appealed. Take the next case from the queue."
            raise Problem(409, "Another person decides about the appeal", text)
        finding, case = self._require_finding(visit, name), self.journal.case(name)
        effect = self._simulate_effect(visit.visitor.client, violation, finding)
        if obstacle := self._find_needed_evidence_problem(visit, finding, effect, read_report(recorded)):
            raise obstacle
        other_votes = [vote for vote in case.votes.values() if vote.actor not in barred | {actor}]
        agreeing = [vote for vote in other_votes if (vote.action, vote.severity) == (finding.action, finding.severity)]
        try:
            if (effect.is_grave or other_votes or visit.form_value("what") == "escalate") and not agreeing:
                self.journal.vote(finding)
            else:
                deciders = "~".join([*(vote.actor for vote in agreeing[:1]), actor])
                self.journal.decide(self._make_decision(visit, violation, finding, deciders, decision_id))
        except CaseTaken as taken:
            raise _make_problem(taken) from None
        return self._open_next_case(visit)

    def _find_needed_evidence_problem(
        self, visit: Visit, finding: DeskFinding, effect: Effect, fact: ViolationReported
    ) -> Problem | None:
        if finding.reason == CHOICE_BY_EVIDENCE.reason or (effect.is_grave and fact.evidence_uri):
            return self._find_evidence_problem(visit, finding.violation, fact)
        return None

    def undo(self, visit: Visit) -> Response:
        """Take the visitor's decision back before it is sent. Raises Problem after the undo window of 10 s."""
        try:
            decision = self.journal.undo(visit.path_value("decision"), visit.visitor.actor)
        except CaseTaken as taken:
            raise Problem(409, "This can no longer be undone", f"{taken.text}.") from None
        return redirect(f"/cases/{decision.violation}")

    def _open_next_case(self, visit: Visit) -> Response:
        row = self.queue.claim_next(visit.visitor)
        return redirect("/queue" if row is None else f"/cases/{row.id}")

    def _load_case_and_drop_stale_findings(self, visit: Visit) -> tuple[str, Violation, Sequence[Entry]]:
        name = visit.path_value("violation")
        if not is_id(name):
            raise Problem(404, "This is no violation's id", f"An id is {ID_FORM}.")
        client = visit.visitor.client
        answer = client.get_recorded_violation(self.marketplace, name, deadline_seconds=READ_SECONDS)
        self.journal.forget_findings_of_other_appeals(name, appeal_of(answer.violation, answer.recorded))
        return name, answer.violation, answer.recorded

    def _require_finding(self, visit: Visit, name: str) -> DeskFinding:
        finding = self.journal.case(name).finding.get(visit.visitor.actor)
        if finding is None:
            raise Problem(409, "First say what you found", f"Open the case {name} and answer its first step.")
        return finding

    def _make_decision(
        self, visit: Visit, violation: Violation, finding: DeskFinding, actor: str, decision_id: str
    ) -> DeskDecision:
        return DeskDecision(
            decision_id,
            finding.violation,
            last(violation.seller),
            visit.visitor.person,
            actor,
            finding.action,
            finding.reason,
            finding.severity,
            self.journal.new_deadline(),
            appeal=finding.appeal,
        )

    def _simulate_effect(self, client: Client, violation: Violation, finding: DeskFinding) -> Effect:
        seller = last(violation.seller)
        if not seller:  # a product's: each seller's own violation follows
            return Effect(TrustScore(), TrustScore(), is_grave=finding.action == "confirm")
        decision = StatusChanged(
            violation=finding.violation,
            action=action_of(finding.action),
            actor=finding.actor,
            reason=finding.reason,
            severity=Severity.Value(finding.severity or "SEVERITY_UNSPECIFIED"),
        )
        return simulate_decision(client, self.marketplace, seller, decision)


def read_report(recorded: Sequence[Entry]) -> ViolationReported:
    """Return the first entry's report; of a product's violation what both kinds of reports state."""
    report = recorded[0]
    if report.WhichOneof("fact") == "violation":
        return report.violation
    fields = {field.name: value for field, value in report.product_violation.ListFields()}
    return ViolationReported(
        **{name: fields[name] for name in fields if name in ViolationReported.DESCRIPTOR.fields_by_name}
    )


def appeal_of(violation: Violation, recorded: Sequence[Entry]) -> str:
    """Return the entry id of the appeal that waits for a decision; "" without one."""
    appeals = [entry.entry_id for entry in recorded if entry.status.action == ACTION_APPEAL]
    return appeals[-1] if violation.status == VIOLATION_STATUS_APPEALED else ""


def list_barred_deciders(violation: Violation, recorded: Sequence[Entry]) -> set[str]:
    """Return who may not decide a waiting appeal: all who decided the case before; empty without an appeal."""
    if violation.status != VIOLATION_STATUS_APPEALED:
        return set()
    decisions = [entry.status for entry in recorded if entry.WhichOneof("fact") == "status"]
    return {
        name
        for decision in decisions
        if decision.action not in (ACTION_APPEAL, ACTION_REVIEW)
        for name in list_deciders(decision.actor)
    }


def list_seller_answers(recorded: Sequence[Entry]) -> list[tuple[Timestamp, str]]:
    """Return (time, text) of the seller's appeals and contested attributions."""
    answers = []
    for entry in recorded:
        kind = entry.WhichOneof("fact")
        if kind == "status" and entry.status.action == ACTION_APPEAL:
            answers.append((entry.occur_time, entry.status.reason))
        elif kind == "attribution" and entry.attribution.outcome == ATTRIBUTION_CONTESTED:
            answers.append((entry.occur_time, f"These are not our goods. {entry.attribution.reason}"))
    return answers


def _make_problem(error: CaseTaken) -> Problem:
    return Problem(409, "This case is not yours to decide now", f"{error.text}. Take the next case from the queue.")
