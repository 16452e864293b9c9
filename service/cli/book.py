import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sellertrust.client import Client
from sellertrust.v1.trust_score_service_pb2 import FRESHNESS_STATE_UNKNOWN, BatchGetTrustScoresResponse
from service.cli.output import Format, emit_one, say

Result = BatchGetTrustScoresResponse.Result

BATCH = 100

VERDICTS = ("same", "differ", "not_found", "unknown", "changed")


def verify_book(connection: Client, marketplace: str, sample: int, output: Format) -> Counter[str]:
    """Recompute `sample` remembered scores (0: all), each at its stamp; list those that differ, and count the verdicts.

    Each seller is asked for twice, so that the second answer is a remembered one. A third call at its stamp's times is
    never answered from memory.
    """
    names = _sellers_of(connection, marketplace)
    if sample and sample < len(names):
        names = random.SystemRandom().sample(names, sample)
    found: Counter[str] = Counter(dict.fromkeys(VERDICTS, 0))
    for first in range(0, len(names), BATCH):
        part = names[first : first + BATCH]
        connection.batch_get_trust_scores(marketplace, part)
        answers = [one.message for one in connection.batch_get_trust_scores(marketplace, part)]
        for answer, verdict in zip(answers, _verdicts(connection, marketplace, part, answers), strict=True):
            found[verdict] += 1
            if verdict == "differ":
                say(f"error: {answer.seller}: differs from its recomputation at {answer.trust_score.stamp}")
            elif verdict == "unknown":
                say(f"{answer.seller}: not compared, as its score is missing on the server")
    emit_one({"sellers": len(names), **found}, output)
    return found


def _sellers_of(connection: Client, marketplace: str) -> list[str]:
    found = {entry.seller for entry in connection.list_entries(marketplace) if entry.seller}
    return sorted(name.rsplit("/", 1)[-1] for name in found)


def _verdicts(connection: Client, marketplace: str, sellers: Sequence[str], answers: Sequence[Result]) -> list[str]:
    stamps = [answer.trust_score.stamp for answer in answers if answer.trust_score.HasField("stamp")]
    if not stamps:
        return [_verdict(answer, Result()) for answer in answers]
    times: dict[str, Any] = {"observe_time": stamps[0].observe_time, "known_time": stamps[0].known_time}
    again = [one.message for one in connection.batch_get_trust_scores(marketplace, sellers, **times)]
    return [_verdict(answer, other) for answer, other in zip(answers, again, strict=True)]


def _verdict(answer: Result, again: Result) -> str:
    if answer.error.reason == "SELLER_NOT_FOUND":
        return "not_found"
    if not answer.HasField("trust_score") or answer.trust_score.freshness.state == FRESHNESS_STATE_UNKNOWN:
        return "unknown"
    made_by = [(one.trust_score.stamp.model_digest, one.trust_score.stamp.policy_digest) for one in (answer, again)]
    if made_by[0] != made_by[1] and again.HasField("trust_score"):
        return "changed"
    for result in (answer, again):
        result.trust_score.ClearField("freshness")
    is_same = answer.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    return "same" if is_same else "differ"
