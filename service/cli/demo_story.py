from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scoring.base.errors import SellertrustError
from scoring.base.money import format_amount
from sellertrust.client import Client
from sellertrust.v1.measure_service_pb2 import EvaluatePayoutResponse
from sellertrust.v1.trust_score_service_pb2 import ExplainTrustScoreResponse, TrustScore
from service.cli.demo_market import BATCH, RECALL, SEIZED_UNITS
from service.cli.measures import describe_terms
from service.cli.output import write
from service.demo_cast import ACCUSED, CAST, GOOD, MARKETPLACE, NEWCOMER, NOW, OFFENDER, OTHER, Member

ROLES = {
    GOOD: "sells well, and stays out of it",
    NEWCOMER: "opened this month",
    OFFENDER: "will be caught",
    ACCUSED: "will be accused wrongly",
    OTHER: "sells the same batch",
}
_SECONDS = 30.0


@dataclass
class Story:
    steps: dict[str, Mapping[Member, ExplainTrustScoreResponse]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def tell(self, *lines: str) -> None:
        """Print a numbered step, and keep it as one line of text."""
        self.lines.append(" ".join(lines))
        write(f"\n{len(self.lines)}  " + "\n   ".join(lines) + "\n")

    def score(self, step: str, member: Member) -> TrustScore:
        """Return a member's score in the explanations kept under `step`, such as `before`."""
        return self.steps[step][member].trust_score


def tell(client: Client, import_file: Callable[[str], object]) -> Story:
    """Play and print the story on a server; `import_file` imports an authority's file by its mapping's name."""
    story = Story()
    _introduce(story, client)

    paid_before = _evaluate_payout(client)
    import_file("customs")
    story.tell(
        f"Customs seizes {SEIZED_UNITS} fake airbags and sends a file. It names no seller, but the licence"
        f" {OFFENDER.licence_number},",
        f"and {OFFENDER.seller} is on record with it, verified. A seizure needs no reviewer: it counts on arrival.",
    )
    story.steps["seizure"] = _explain_cast(client)
    story.tell(
        _describe_change(story, "before", "seizure", OFFENDER), _describe_largest_fact(story.steps["seizure"][OFFENDER])
    )

    _tell_terms(story, client, paid_before)

    import_file("quality_inspection")
    story.steps["recall"] = _explain_cast(client)
    recorded = client.list_violations(MARKETPLACE, ACCUSED.seller, deadline_seconds=_SECONDS)
    wrong = next(violation for violation in recorded if violation.incident == f"recall-{RECALL}")
    story.tell(
        f"The regulator recalls batch {BATCH}. It reaches the other two sellers who listed it:",
        *(_describe_change(story, "seizure", "recall", member) for member in (ACCUSED, OTHER)),
    )

    client.overturn_violation(
        MARKETPLACE,
        wrong.name.rsplit("/", 1)[-1],
        actor="appeals",
        reason="its invoices are of another batch: the listing named a wrong number",
    )
    story.steps["appeal"] = _explain_cast(client)
    before, after = (_clear_stamp(story.steps[step][ACCUSED]) for step in ("before", "appeal"))
    if before != after:
        raise SellertrustError("the demo failed: the overturned violation left a trace in the answer")
    story.tell(
        f"{ACCUSED.shop_name} appeals: its invoices are of another batch. The decision is overturned.",
        _describe_change(story, "recall", "appeal", ACCUSED),
        "Every field of the answer is what it was before, but for the stamp of when it was asked.",
    )

    return story


def _tell_terms(story: Story, client: Client, before: EvaluatePayoutResponse) -> None:
    paid = _evaluate_payout(client)
    price = format_amount(OFFENDER.price_minor, "EUR")
    story.tell(
        f"By the policy's terms an order of {price}, delivered today, would have been paid out on"
        f" {before.next_release_day}.",
        f"Now it is held until {paid.next_release_day}{_describe_reserve(paid)}.",
        *describe_terms(client.evaluate_measures(MARKETPLACE, OFFENDER.seller, deadline_seconds=_SECONDS)),
    )


def _introduce(story: Story, client: Client) -> None:
    story.steps["before"] = _explain_cast(client)
    write("\nBefore\n")
    for member in CAST:
        standing = _describe_standing(story.score("before", member))
        write(f"  {member.shop_name:<16} {member.seller:<16} {standing}  {ROLES[member]}\n")


def _explain_cast(client: Client) -> dict[Member, ExplainTrustScoreResponse]:
    return {m: client.explain_trust_score(MARKETPLACE, m.seller, deadline_seconds=_SECONDS) for m in CAST}


def _evaluate_payout(client: Client) -> EvaluatePayoutResponse:
    return client.evaluate_payout(
        MARKETPLACE,
        OFFENDER.seller,
        capture_day=NOW.date(),
        captured_minor=OFFENDER.price_minor,
        currency="EUR",
        delivered=True,
        confirmed_time=NOW,
        others_paid_ahead_minor=0,
        deadline_seconds=_SECONDS,
    )


def _describe_standing(score: TrustScore) -> str:
    points = f"{score.points} points" if score.HasField("points") else "unrated"
    return f"{points:<10}  badge {score.badge:<10}"


def _describe_change(story: Story, first: str, second: str, member: Member) -> str:
    before, after = story.score(first, member), story.score(second, member)
    return f"{member.shop_name}: badge {before.badge} -> {after.badge}, points {before.points} -> {after.points}."


def _describe_largest_fact(explanation: ExplainTrustScoreResponse) -> str:
    effects = [effect for reason in explanation.reasons for effect in reason.incidents]
    largest = max(effects, key=lambda effect: effect.points_if_overturned)
    entries, points = ", ".join(largest.entries[:2]), largest.points_if_overturned
    return f"The explanation names the fact: entry {entries}; overturning it would give back {points}."


def _clear_stamp(explanation: ExplainTrustScoreResponse) -> ExplainTrustScoreResponse:
    bare = ExplainTrustScoreResponse()
    bare.CopyFrom(explanation)
    bare.trust_score.ClearField("stamp")
    bare.trust_score.ClearField("freshness")
    return bare


def _describe_reserve(paid: EvaluatePayoutResponse) -> str:
    return f", and {paid.reserve_ppm / 10_000:g} % of it for {paid.reserve_days} days" if paid.reserve_ppm else ""
