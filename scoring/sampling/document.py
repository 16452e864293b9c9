"""The signed file of a sample: plan, results, and shares with intervals. `independent` checks it again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from scoring.base.canonical import canonical_json
from scoring.base.errors import invalid
from scoring.sampling.frame import Frame
from scoring.sampling.plan import FLOOR_PPM, DrawnUnit, Plan
from scoring.sampling.share import ErrorsOfTest, Share

FORMAT = "sellertrust.test-buys@1"


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values, without listings that were not drawn."""
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
    """Return the plan; raise InvalidInput unless it is a plan over this frame."""
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise invalid("PLAN", f"is no plan of test buys ({FORMAT}); make one: sellertrust audit plan")
    if described["frame_digest"] != frame.digest:
        raise invalid("FRAME", f"has the digest {frame.digest}; the plan was drawn from {described['frame_digest']}")
    by_listing = {unit.listing: unit for unit in frame.units}
    drawn = tuple(DrawnUnit(by_listing[one["listing"]], one["probability_ppb"]) for one in described["drawn"])
    return Plan(frame, described["seed"], described["budget"], drawn)


def describe_estimate(
    plan: Mapping[str, Any], is_fake: Mapping[str, bool], errors: ErrorsOfTest, shares: Sequence[Share]
) -> dict[str, Any]:
    """Return the plan with its results and shares."""
    drawn = [one["listing"] for one in plan["drawn"]]
    return {
        "plan": dict(plan),
        "results": {name: "failed" if is_fake[name] else "passed" for name in drawn if name in is_fake},
        "missing": [name for name in drawn if name not in is_fake],
        "test": asdict(errors),
        "shares": [asdict(share) for share in shares],
    }
