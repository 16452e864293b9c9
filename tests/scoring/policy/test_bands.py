from typing import Any

import pytest

from scoring.base.enums import ScoreState, Tier
from scoring.base.errors import PolicyRefused
from scoring.features.columns import FactRow
from scoring.features.resolved import resolve_sellers
from scoring.policy.cases import parse_cases, run_cases
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from scoring.policy.value_changes import list_value_changes
from scoring.scores.notice import ServedPair, answer_within_notice
from scoring.scores.population import observe, place
from scoring.scores.score import compute_answer
from tests.helpers.answers import with_values
from tests.helpers.policies import data, policy_of, standing
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, override

NINE = {"clay": 0, "iron": 250, "tin": 500, "bronze": 550, "silver": 600, "gold": 625, "jade": 650, "ruby": 700}
CUT_OFFS = {"standard": 500, "trusted": 600, "exemplary": 700}


def with_bands(*, cut_offs: dict[str, int] = CUT_OFFS, **bands: int) -> dict[str, Any]:
    rows = [{"name": name, "from": least} for name, least in bands.items()]
    return data(standing=standing(), cut_offs=cut_offs | {"bands": rows})


def test_a_policy_names_up_to_nine_bands() -> None:
    policy = parse_policy(with_bands(**NINE, opal=990))
    named = {points: policy.find_band(policy.tier(points), points) for points in (0, 249, 250, 649, 650, 989, 1000)}
    assert named == {0: "clay", 249: "clay", 250: "iron", 649: "gold", 650: "jade", 989: "ruby", 1000: "opal"}
    assert policy.find_band(Tier.TRUSTED, 900) == "jade", "standing lowers the tier"
    assert policy.find_band(Tier.EXEMPLARY, 100) == "ruby", "a person raises the tier"
    assert policy.find_band(Tier.TRUSTED, None) == "", "a person gives an unrated seller a tier"
    assert policy.find_band(Tier.UNRATED, 900) == policy.find_band(None, 0) == ""
    assert parse_policy(data()).find_band(Tier.TRUSTED, 650) == ""


@pytest.mark.parametrize(
    ("bands", "fault"),
    [
        ({"clay": 0, "trusted": 500, "gold": 600, "ruby": 700}, 'bands[trusted].name "trusted" is taken by a tier'),
        ({"clay": 0, "UNRATED": 500, "gold": 600, "ruby": 700}, '"UNRATED" is taken by a tier, another band'),
        ({"clay": 0, "Gold": 500, "gold": 600, "ruby": 700}, 'bands[Gold].name "Gold" is taken'),
        ({"clay": 0, "None": 500, "gold": 600, "ruby": 700}, 'bands[None].name "None" is taken'),
        ({"clay": 0, "tin": 500, "gold": 700, "ruby": 600}, "cut_offs.bands must rise from band to band"),
        ({"clay": 0, "tin": 500, "iron": 500, "gold": 600, "ruby": 700}, "must rise from band to band"),
        ({"clay": 0, "tin": 550, "gold": 600, "ruby": 700}, "must have a band from 0 and one from each cut-off"),
        ({"clay": 1, "tin": 500, "gold": 600, "ruby": 700}, "must have a band from 0"),
        ({"clay": 0, "tin": 500, "gold": 600, "ruby": 1001}, "bands[ruby].from must be a whole number, 0 to 1,000"),
        (NINE | {"opal": 800, "onyx": 900}, "bands has 10 tables; at most 9 are allowed"),
    ],
)
def test_a_faulty_band_is_refused(bands: dict[str, int], fault: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(with_bands(**bands))
    assert fault in str(refused.value)


def test_a_name_of_another_band_is_taken() -> None:
    twice = with_bands(**NINE)
    twice["cut_offs"]["bands"][1]["name"] = "clay"
    with pytest.raises(PolicyRefused, match=r'bands\[1\]\.name "clay" is taken'):
        parse_policy(twice)


def test_a_difference_and_a_case_name_bands() -> None:
    before, after = parse_policy(with_bands(**NINE)), parse_policy(with_bands(**NINE | {"gold": 630}))
    assert list_value_changes(before, after) == ["cut_offs.bands[gold].from 625 -> 630"]
    [case] = parse_cases(
        {"now": "2026-03-01", "cases": [{"name": "c", "points": 640, "expect": {"band": "jade", "tier": "trusted"}}]}
    )
    [outcome] = run_cases(before, [case])
    assert outcome.faults == ("band is gold, expected jade",)


@pytest.mark.parametrize(
    ("seller", "expected", "fault"),
    [
        ({"points": 100}, "clay", "band is Clay, expected clay"),
        ({}, "Clay", "band is none, expected Clay"),
        ({"tier_set": "trusted"}, "gold", "band is none, expected gold"),
        ({}, "none", None),
    ],
)
def test_a_case_names_bands_as_the_policy_does(seller: dict[str, Any], expected: str, fault: str | None) -> None:
    policy = parse_policy(with_bands(Clay=0, tin=500, gold=600, ruby=700))
    one = {"name": "c", "expect": {"band": expected}} | seller
    [outcome] = run_cases(policy, parse_cases({"now": "2026-03-01", "cases": [one]}))
    assert outcome.faults == ((fault,) if fault else ())


ROWS = [identity("i", TODAY - 600), exposure("x", TODAY - 300, 5_000), exposure("y", TODAY - 10, 50)]


def score_by(policy: Policy, *, rows: list[FactRow] = ROWS, served: Policy | None = None) -> Any:
    known = resolve_sellers(["s"], with_values(numbered(rows), ["s"], {}, "EUR"), NOW)
    earlier = [ServedPair(artifact(), served, NOW - 1, NOW + 1)] if served else []
    [score] = answer_within_notice(compute_answer(known, artifact(), policy), earlier).scores
    assert score is not None
    return score


def test_a_tier_by_override_gives_no_band_unrated() -> None:
    policy = parse_policy(with_bands(**NINE))
    thin = [identity("i", TODAY - 2), override("o", NOW - 1, Tier.TRUSTED, NOW + 1)]
    score = score_by(policy, rows=thin)
    assert (score.state, score.tier, score.band) == (ScoreState.UNRATED, Tier.TRUSTED, "")
    known = resolve_sellers(["s"], with_values(numbered(thin), ["s"], {}, "EUR"), NOW)
    assert place(policy, observe(known, "m", artifact(), [policy])).tier_points.tolist() == [-1]


def test_a_band_lies_within_the_answered_tier() -> None:
    plain = score_by(policy_of())
    assert plain.band == ""
    low, high = {"standard": 1, "trusted": 2, "exemplary": 3}, {"standard": 998, "trusted": 999, "exemplary": 1000}
    points = plain.tier_points
    above = parse_policy(with_bands(cut_offs=low, clay=0, tin=1, gold=2, ruby=3, opal=points, onyx=points + 1))
    assert score_by(above).band == "opal"
    below = parse_policy(with_bands(cut_offs=high, clay=0, tin=998, gold=999, ruby=1000))
    assert (score_by(below).tier, score_by(below).band) == (Tier.PROBATION, "clay")
    kept = score_by(below, served=parse_policy(data(cut_offs=low, notice_days=9)))
    assert (kept.tier, kept.notice.tier, kept.band) == (Tier.EXEMPLARY, Tier.PROBATION, "ruby")
