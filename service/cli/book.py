"""`sellertrust book`: whether the scores that a server remembers are those of its ledger."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sellertrust.client import Client
from sellertrust.v1.trust_score_service_pb2 import FRESHNESS_STATE_UNKNOWN, BatchGetTrustScoresResponse
from service.cli.common import Marketplace, client, marketplace_of
from service.cli.generations import verify_generations
from service.cli.output import Exit, Format, Output, emit_one, say

Result = BatchGetTrustScoresResponse.Result

BATCH = 100
"""Sellers that are asked for at a time."""

VERDICTS = ("same", "differ", "not_found", "unknown", "changed")
"""What can become of an answer, as the help of the command explains it."""

app = typer.Typer()


@app.command("verify")
def verify(
    sellers: Annotated[
        list[str] | None, typer.Argument(metavar="[SELLER...]", help="Ids of sellers; default: all of the marketplace.")
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="So many of them, drawn by chance; 0: every one.")] = 0,
    generations: Annotated[
        bool,
        typer.Option("--generations", help="Verify the files that `rescore` wrote here instead, without a server."),
    ] = False,
    marketplace: Marketplace = None,
    output: Output = Format.TABLE,
) -> None:
    """Recompute remembered scores from the ledger, each at its stamp; name those that differ.

    Each seller is asked for as a checkout does, twice, so that the second answer is one that is remembered, and once more by
    the times of its stamp, which no server answers from memory. `same` and `differ` count those that were compared. Not
    compared were `not_found`, of whom nothing is on record; `unknown`, for whom the server had no score (its database is
    away, or computing it failed); and `changed`, whose model or policy was swapped in between. Ends with 4 if any
    differ to the bit, with 3 if a seller that was named is not on record, or nobody is, and with 5 if nothing was compared.

    With --generations each file of SELLERTRUST_GENERATIONS is held against its checksums, and what it holds, or a sample of
    that, against the configured ledger; it ends with 4 if a file is damaged or a score differs.
    """
    if generations:
        if sellers or marketplace:
            raise typer.BadParameter("--generations verifies whole files; give no ids and no marketplace")
        verify_generations(sample, output)
        return
    if sample and sellers:
        raise typer.BadParameter("--sample draws from all sellers of the marketplace; give it or ids, not both")
    with client() as (connection, settings):
        where = marketplace_of(marketplace, settings)
        names = list(dict.fromkeys(sellers or _sellers_of(connection, where)))
        if sample and sample < len(names):
            names = random.SystemRandom().sample(names, sample)
        found: Counter[str] = Counter(dict.fromkeys(VERDICTS, 0))
        for first in range(0, len(names), BATCH):
            part = names[first : first + BATCH]
            connection.batch_get_trust_scores(where, part)
            answers = [one.message for one in connection.batch_get_trust_scores(where, part)]
            for answer, verdict in zip(answers, _verdicts(connection, where, part, answers), strict=True):
                found[verdict] += 1
                if verdict == "differ":
                    say(f"error: {answer.seller}: differs from its recomputation at {answer.trust_score.stamp}")
                elif verdict == "not_found" and sellers:
                    say(f"error: {answer.seller}: not on record")
                elif verdict == "unknown":
                    say(f"{answer.seller}: not compared, as the server had no score for it")
    emit_one({"sellers": len(names), **found}, output)
    code = _exit_code(found, are_named=bool(sellers))
    if code is not Exit.OK:
        raise typer.Exit(code)


def _exit_code(found: Counter[str], *, are_named: bool) -> Exit:
    """Return how the command ends; says so if nothing was compared."""
    is_any_compared = bool(found["same"] or found["differ"])
    if not is_any_compared:
        say("error: nothing was compared, so nothing is verified")
    if found["differ"]:
        return Exit.REFUSED
    if (are_named and found["not_found"]) or found["not_found"] == found.total():
        return Exit.NOT_FOUND
    return Exit.OK if is_any_compared else Exit.UNAVAILABLE


def _sellers_of(connection: Client, marketplace: str) -> list[str]:
    """Return the ids of all sellers of whom anything is on record."""
    found = {entry.seller for entry in connection.list_entries(marketplace) if entry.seller}
    return sorted(name.rsplit("/", 1)[-1] for name in found)


def _verdicts(connection: Client, marketplace: str, sellers: Sequence[str], answers: Sequence[Result]) -> list[str]:
    """Return what became of each answer of a batch when it was asked for again.

    By the times of its stamp.
    """
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
        result.trust_score.ClearField("freshness")  # which is about the present
    is_same = answer.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    return "same" if is_same else "differ"
