from dataclasses import dataclass, replace

from scoring.answers.forecast import count_recent_orders, find_paths, forecast
from scoring.answers.leads import list_appeals
from scoring.answers.statements import find_barred_violations, list_statements
from scoring.answers.whole import WholeAnswer
from scoring.base.enums import Action, Ingredient
from scoring.base.errors import MeasureNotFound, PolicyNotFound, invalid
from scoring.base.time import DAY, format_day
from scoring.base.version import CORE_VERSION
from scoring.policy.policy import Policy
from scoring.scores.answer import Stamp
from scoring.scores.score import explain
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.access.rights import Right, not_granted
from service.api.reads import Reads
from service.call_context import current_call
from service.contract.answers import (
    find_largest_deposit,
    healing_messages,
    path_message,
    replay_message,
    simulation_message,
)
from service.contract.audiences import require_audience
from service.contract.entries import entries_of
from service.contract.fields import message_of, optional_time
from service.contract.letters import LetterFacts, Redress, notice_letter, statement_messages
from service.contract.resource_names import parse_seller
from service.contract.scores import stamp_message, stamp_of
from service.contract.texts import Texts
from service.ledger.append.supposing import suppose
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.registry.moves import is_digest
from service.scores.scorer import Scorer

MAX_DAYS_AHEAD = 366

OF_SELLER_AND_STAFF = (score_pb.AUDIENCE_UNSPECIFIED, score_pb.AUDIENCE_SELLER, score_pb.AUDIENCE_STAFF)
OF_STATEMENTS = (*OF_SELLER_AND_STAFF, score_pb.AUDIENCE_REGULATOR)

_ENDS_OF_APPEALS = {int(Action.REDUCE), int(Action.OVERTURN)}


@dataclass(frozen=True)
class AnswerServicer:
    _ledger: Ledger
    _scorer: Scorer
    _reads: Reads
    _recorder: Recorder
    _redress: Redress

    def SimulateTrustScore(self, request: answer_pb.SimulateTrustScoreRequest) -> answer_pb.SimulateTrustScoreResponse:
        """Return a seller's answer now, and as if `entries` were recorded by `observe_time`. Records nothing.

        The audience seller may only suppose reductions and overturns.
        """
        marketplace, seller = parse_seller(request.seller, "seller")
        require_audience(request.audience, OF_SELLER_AND_STAFF)
        for_seller = request.audience == score_pb.AUDIENCE_SELLER
        if for_seller and not all(entry.status.action in _ENDS_OF_APPEALS for entry in request.entries):
            raise not_granted(Right.EXPLAIN)
        for entry in request.entries:
            entry.seller = entry.seller or request.seller
        entries = entries_of(marketplace, request.entries)
        cut, later = self._find_cuts(request)
        supposed = suppose(self._ledger.clock, marketplace, seller, entries, later)
        made_by = self._scorer.serving
        present = self._scorer.whole_answer(marketplace, seller, cut, made_by=made_by)
        simulated = self._scorer.whole_answer(marketplace, seller, later, supposed=supposed, made_by=made_by)
        return simulation_message(request.seller, present, simulated, for_seller=for_seller)

    def FindTierPath(self, request: answer_pb.FindTierPathRequest) -> answer_pb.FindTierPathResponse:
        """Return ways to better tiers, a forecast by day, and effects of appeals; without a model none of them."""
        marketplace, seller = parse_seller(request.seller, "seller")
        require_audience(request.audience, OF_SELLER_AND_STAFF)
        texts, require_caller = Texts(request.language), current_call().require_caller
        answer = self._scorer.whole_answer(marketplace, seller, self._reads.cut(request))
        response = answer_pb.FindTierPathResponse(
            seller=request.seller,
            tier=entry_pb2.Tier.ValueType(answer.score.tier or 0),
            deposit_minor=find_largest_deposit(answer),
            currency=answer.policy.rule_book.currency,
            stamp=stamp_message(answer.stamp),
        )
        forecasts, explanation = forecast(answer.core, require_caller), explain(answer.core)
        if forecasts is None or explanation is None:  # there is no model
            return response
        today, orders = answer.stamp.observe_time // DAY, count_recent_orders(answer.core.facts)
        response.paths.extend(
            path_message(path, orders, today, texts) for path in find_paths(forecasts, require_caller)
        )
        response.healing.extend(healing_messages(forecasts.wait, today))
        hidden = find_barred_violations(answer) if request.audience == score_pb.AUDIENCE_SELLER else set[str]()
        appeals = list_appeals(answer, explanation, require_caller)
        for appeal in appeals:
            if hidden.isdisjoint(appeal.entries):
                response.appeals.append(message_of(answer_pb.AppealEffect, appeal))
        response.stopped, response.fixed = forecasts.stopped, forecasts.is_fixed
        if forecasts.is_fixed and (days := forecasts.find_first_better_day(require_caller)) is not None:
            response.fixed_until_day = format_day(today + days)
        return response

    def ReplayTrustScore(self, request: answer_pb.ReplayTrustScoreRequest) -> answer_pb.ReplayTrustScoreResponse:
        """Compute an old answer again, then with one more of today's ingredients at each step.

        Raises InvalidInput for a stamp of another ledger.
        """
        marketplace, seller = parse_seller(request.seller, "seller")
        old_stamp = _read_stamp(request)
        cut = Cut(old_stamp.observe_time, old_stamp.known_time, old_stamp.ledger_sequence)
        if not self._reads.can_be_own(cut):
            raise invalid("stamp", "was not given by this ledger; ask the one that gave the answer")
        artifact, policy = (
            self._scorer.champion.find(old_stamp.model_digest),
            self._find_policy(old_stamp.policy_digest),
        )
        replay = self._scorer.whole_answer(marketplace, seller, cut, made_by=(artifact, policy))
        steps = self._replay_with_changes(marketplace, seller, replay, cut)
        if old_stamp.core_version != CORE_VERSION:
            steps.append((Ingredient.CORE, old_stamp.core_version, CORE_VERSION, replay))
        return replay_message(request.seller, request, replay, old_stamp, steps)

    def ListStatementsOfReasons(
        self, request: answer_pb.ListStatementsOfReasonsRequest
    ) -> answer_pb.ListStatementsOfReasonsResponse:
        """Return the letters about measures in force, after recording pending changes.

        Raises MeasureNotFound if `measure` is not in force.
        """
        marketplace, seller = parse_seller(request.seller, "seller")
        require_audience(request.audience, OF_STATEMENTS)
        texts = Texts(request.language)
        self._recorder.record_pending(marketplace, seller)
        cut = self._reads.cut(request)
        answer = self._scorer.whole_answer(marketplace, seller, cut)
        for_seller = request.audience == score_pb.AUDIENCE_SELLER
        letters = list_statements(answer, current_call().require_caller)
        letters = [statement for statement in letters if statement.bar is None or not for_seller]
        if request.measure:
            letters = [statement for statement in letters if statement.measure.measure == request.measure]
            if not letters:
                raise MeasureNotFound(
                    f"no measure {request.measure!r} restricts this seller now; it was lifted, ended, or is not on record",
                    {"measure": request.measure},
                    ("measure",),
                )
        names = {name for statement in letters for name in statement.violations}
        violations = self._ledger.violations.find_views(marketplace, names, cut)
        held_back = self._ledger.facts.find_held_back(marketplace, seller, cut)
        response = answer_pb.ListStatementsOfReasonsResponse(seller=request.seller, stamp=stamp_message(answer.stamp))
        if not request.measure and (notice := notice_letter(answer, texts, self._redress)) is not None:
            response.statements.append(notice)
        facts = LetterFacts(request.seller, answer, violations, held_back)
        response.statements.extend(statement_messages(facts, letters, texts, self._redress, for_seller=for_seller))
        return response

    def _find_policy(self, digest: str) -> Policy:
        if not is_digest(digest):
            raise PolicyNotFound(f"policy {digest[:12]!r} was never served; the stamp states a digest of 64 letters")
        return self._scorer.policy.find(digest)

    def _replay_with_changes(
        self, marketplace: str, seller: str, replay: WholeAnswer, cut: Cut
    ) -> list[tuple[Ingredient, str, str, WholeAnswer]]:
        """Return each ingredient that changed, its values then and now, and the answer by it and those before."""
        old_stamp, today = replay.stamp, self._ledger.cut()
        known_today = replace(today, observe_time=cut.observe_time)
        artifact, policy = self._scorer.serving
        then_made_by, model = (replay.core.artifact, replay.policy), artifact.digest if artifact else ""
        day_then, day_now = format_day(cut.observe_time // DAY), format_day(today.observe_time // DAY)
        changes = [
            (Ingredient.ENTRIES, str(cut.sequence), str(today.sequence), known_today, then_made_by),
            (Ingredient.DAY, day_then, day_now, today, then_made_by),
            (Ingredient.MODEL, old_stamp.model_digest, model, today, (artifact, replay.policy)),
            (Ingredient.POLICY, old_stamp.policy_digest, policy.digest, today, (artifact, policy)),
        ]
        return [
            (ingredient, then, now, self._scorer.whole_answer(marketplace, seller, changed_cut, made_by=made_by))
            for ingredient, then, now, changed_cut, made_by in changes
            if then != now
        ]

    def _find_cuts(self, request: answer_pb.SimulateTrustScoreRequest) -> tuple[Cut, Cut]:
        """Return the present cut, and the same entries observed at the request's time."""
        self._reads.tail.reach(request.at_least_sequence)
        cut = self._reads.cut(score_pb.ExplainTrustScoreRequest(at_least_sequence=request.at_least_sequence))
        later = optional_time(request, "observe_time") or cut.observe_time
        if not cut.observe_time <= later <= cut.observe_time + MAX_DAYS_AHEAD * DAY:
            raise invalid("observe_time", f"must lie between now and {MAX_DAYS_AHEAD} days ahead")
        return cut, replace(cut, observe_time=later)


def _read_stamp(request: answer_pb.ReplayTrustScoreRequest) -> Stamp:
    kind = request.WhichOneof("answer")
    if kind is None:
        raise invalid("stamp", "is required: an old answer, or its stamp")
    answer = getattr(request, kind)
    if kind == "stamp":
        return stamp_of(answer)
    if answer.seller != request.seller:
        raise invalid((kind, "seller"), "must be the seller of the request")
    return stamp_of(answer.stamp)
