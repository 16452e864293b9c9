"""The signed file of a sample: plan, results, and shares with intervals, and its check by a second draw."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from math import isclose
from typing import Any

from scoring.base.canonical import canonical_json
from scoring.base.errors import SellertrustError, invalid
from scoring.sampling.frame import Frame
from scoring.sampling.plan import FLOOR_PPM, Drawn, Plan, draw_plan
from scoring.sampling.share import ErrorsOfTest, Share, estimate_shares

FORMAT = "sellertrust.test-buys@1"
CLOSE = 1e-6


def describe_plan(plan: Plan) -> dict[str, Any]:
    drawn = [asdict(one.unit) | {"probability_ppb": one.probability_ppb} for one in plan.drawn]
    return {
        "format": FORMAT,
        "frame_digest": plan.frame.digest,
        "listings": len(plan.frame.units),
        "seed": plan.seed,
        "budget": plan.budget,
        "floor_ppm": FLOOR_PPM,
        "drawn": drawn,
    }


def name_plan(described: Mapping[str, Any]) -> str:
    """Return the plan's id, which each inspection for it carries: 16 hexadecimal digits of its digest."""
    return sha256(canonical_json(described)).hexdigest()[:16]


def read_plan(described: Any, frame: Frame) -> Plan:
    """Raise InvalidInput unless it is a plan over this frame."""
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise invalid("PLAN", f"is no plan of test buys ({FORMAT}); make one: sellertrust audit plan")
    if described["frame_digest"] != frame.digest:
        raise invalid("FRAME", f"has the digest {frame.digest}; the plan was drawn from {described['frame_digest']}")
    by_listing = {unit.listing: unit for unit in frame.units}
    drawn = tuple(Drawn(by_listing[one["listing"]], one["probability_ppb"]) for one in described["drawn"])
    return Plan(frame, described["seed"], described["budget"], drawn)


def describe_estimate(
    plan: Mapping[str, Any], is_fake: Mapping[str, bool], errors: ErrorsOfTest, shares: Sequence[Share]
) -> dict[str, Any]:
    """Return the plan with its results and shares; `missing`: drawn listings without a result."""
    drawn = [one["listing"] for one in plan["drawn"]]
    return {
        "plan": dict(plan),
        "results": {name: "failed" if is_fake[name] else "passed" for name in drawn if name in is_fake},
        "missing": [name for name in drawn if name not in is_fake],
        "test": asdict(errors),
        "shares": [asdict(share) for share in shares],
    }


def check_estimate(document: Any, frame: Frame) -> list[str]:
    """Draw again from the frame and estimate again from the results; return every problem found, in words."""
    try:
        stated = read_plan(document["plan"], frame)
        plan = draw_plan(frame, stated.seed, stated.budget)
        described = describe_plan(plan)
        if described != document["plan"]:
            return ["the seed does not draw the plan of the file from this frame"]
        is_fake = {name: result == "failed" for name, result in document["results"].items()}
        errors = ErrorsOfTest(**document["test"])
        again = describe_estimate(described, is_fake, errors, estimate_shares(plan, is_fake, errors))
        return [
            f"the {part} do not follow from the results" for part in again if not _agree(document[part], again[part])
        ]
    except SellertrustError as error:
        return [error.message]
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        return [f"the file lacks a part or has another form ({type(error).__name__}: {error})"]


def _agree(stated: Any, found: Any) -> bool:
    """Compare numbers to CLOSE, because processors differ in the last digits of an interval."""
    if isinstance(found, float):
        return isclose(stated, found, abs_tol=CLOSE, rel_tol=0.0)
    if isinstance(found, list):
        return len(stated) == len(found) and all(map(_agree, stated, found))
    if isinstance(found, dict):
        return stated.keys() == found.keys() and all(_agree(stated[name], found[name]) for name in found)
    return bool(stated == found)
