import tomllib

import pytest

from scoring.base.errors import PolicyRefused
from scoring.policy.reading import parse_policy
from tests.helpers.policies import GRADED

GENERAL = GRADED.read_text(encoding="utf-8")
GROUP = """
[[rules]]
id = "toys"
reference = "Notice 3"
group = { product_category = "toys", from = "2026-11-01", until = "2026-11-30", legal_ground = "recall order 7" }
measures = [{ kind = "intake_cap", new_listings = 0, product_category = "toys" }]
"""


def edited(old: str, new: str, text: str = GENERAL) -> str:
    assert old in text
    return text.replace(old, new, 1)


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyRefused) as error:
        parse_policy(tomllib.loads(text))
    return error.value.faults


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("clear_days = 14", "clear_days = 1.5", "clear_days must be a whole number, 0 to 60, not 1.5"),
        (
            'currency = "EUR"',
            'currency = "euro"',
            'currency must be the ISO 4217 code of all amounts: three capital letters, such as EUR, not "euro"',
        ),
        ("standard = 380", "standard = [380]", "cut_offs.standard must be a whole number, 1 to 1,000, not a list"),
        ("[standing.points]", "[standing.pointz]", "standing.points must be a table; it is missing"),
        ("expiry_days = 365", "expiry_days = 0", "standing.expiry_days must be a whole number, 1 to 3,660, not 0"),
        (
            "incident_cap = 24",
            'incident_cap = "24"',
            'standing.incident_cap must be a whole number, 1 to 1,000,000, not "24"',
        ),
        (
            'unrated = "none"',
            'unrated = "trusted"',
            'badges.unrated must not be "trusted", which buyers take for earned: only tiers above the lowest show it',
        ),
        (
            'unrated = "none"',
            "unrated = []",
            "badges.unrated must be given as text of 0 to 500 printable characters, not",
        ),
        (
            'unknown = "unknown"',
            'unknown = "exemplary"',
            'badges.unknown must not be "exemplary", which buyers take for earned: only tiers above the lowest show it',
        ),
        (
            'reference = "Seller terms 7.1: new sellers"',
            'reference = "  "',
            'rules[newcomers].reference must be given as text of 1 to 500 printable characters, not "  "',
        ),
        ("standard = 380", "standard = 650", "cut_offs must rise from tier to tier"),
        ("exemplary = 600", "exemplary = 600\npremium = 700", "cut_offs has bands, exemplary, standard, trusted"),
        (
            '{ kind = "settlement_hold", days = 14 }',
            '{ kind = "settlement_hold", days = 181 }',
            "rules[newcomers].measures[settlement_hold].days must be a whole number, 1 to 180, not 181",
        ),
        ('kind = "settlement_hold", days = 3 }', 'kind = "hold", days = 3 }', 'not "hold"'),
        (
            "amount_minor = 50_000",
            "amount_minor = 500.0",
            "rules[newcomers].measures[deposit].amount_minor must be a whole number, 1 to 1,000,000,000,000,000, not",
        ),
        (
            "value_minor = 100_000",
            f"value_minor = {10**30}",
            "rules[newcomers].measures[value_cap].value_minor must be a whole number, 0 to 1,000,000,000,000,000, not",
        ),
        (
            "value_minor = 200_000 }",
            "value_minor = 100_000 }",
            "rules[newcomers].measures[value_cap].grows must rise from step to step, in settled_minor and in value_mi",
        ),
        (
            "value_minor = 200_000 }",
            "value_minor = 1.5 }",
            "rules[newcomers].measures[value_cap].grows[0].value_minor must be a whole number, 1 to 1,000,000,000,000",
        ),
        (
            "ppm = 100_000",
            "ppm = 0.1",
            "rules[newcomers].measures[rolling_reserve].ppm must be a whole number, 1 to 1,000,000, not 0.1",
        ),
        (
            'tiers = ["unrated"]',
            'tiers = ["unrated", "gold"]',
            "rules[newcomers].tiers must be a list of one or more of unrated, probation, standard, trusted, exemplary",
        ),
        ('tiers = ["unrated"]', 'tiers = ["unrated", "unrated"]', 'rules[newcomers].tiers names "unrated" twice'),
        (
            "notice_days = 30",
            "notice_days = 29",
            "rules[account-closed].measures[suspension].notice_days must be a whole number, 30 to 366, not 29",
        ),
        (
            ", notice_days = 30",
            "",
            "rules[account-closed].measures[suspension].notice_days must be stated: at least 30, unless exception nam",
        ),
        ('exception = "repeated_infringement"', 'exception = "we like"', 'not "we like"'),
        (
            "standing = { from = 24 }",
            'tiers = ["probation"]',
            "rules[suspended-a-week].measures[suspension] suspends without confirmed facts: state standing.from",
        ),
        ('id = "trusted"', 'id = "standard"', "rules has two rules with the id standard"),
        ('id = "trusted"', 'name = "trusted"', "rules[3].id"),
        (
            'measures = [{ kind = "manual_review" }]',
            "",
            "rules[new-listings-reviewed].measures must state one measure or more",
        ),
        (
            'measures = [{ kind = "manual_review" }]',
            "measures = 7",
            "rules[new-listings-reviewed].measures must be a list of tables",
        ),
        ("[hold_limits]", "[hold_limits]\nde = 181", "hold_limits.de must be a whole number, 1 to 180, not 181"),
        ("[hold_limits]", "[hold_limit]", "hold_limit is not a part of a policy"),
    ],
)
def test_one_fault_is_one_error_that_names_it(old: str, new: str, fault: str) -> None:
    found = faults(edited(old, new))
    is_renamed = "pointz" in new or "name =" in new
    assert len(found) == 1 + is_renamed, found
    assert fault in found[0]


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            'until = "2026-11-30"',
            'until = "2026-12-01"',
            "rules[toys].group.until must be within 30 days, from and until included",
        ),
        ('until = "2026-11-30"', 'until = "2026-10-30"', "rules[toys].group.until lies before from"),
        (
            'until = "2026-11-30"',
            "until = 2026-11-30",
            'rules[toys].group.until must be a date in quotation marks, such as "2026-11-01", not 2026-11-30',
        ),
        (
            'from = "2026-11-01", ',
            "",
            'rules[toys].group.from must be a date in quotation marks, such as "2026-11-01"; it is missing',
        ),
        (
            ', legal_ground = "recall order 7"',
            "",
            "rules[toys].group.legal_ground must be given as text of 1 to 500 printable characters; it is missing",
        ),
        (
            "legal_ground =",
            'nationality = "CN", legal_ground =',
            "rules[toys].group.nationality makes no group: a group is a product category, never a nationality or a pe",
        ),
        (
            "new_listings = 0, product_category",
            "new_listings = 0, product_categorie",
            "rules[toys].measures[intake_cap] must be an intake_cap of the group's product_category: a group rule lim",
        ),
        (
            '{ kind = "intake_cap", new_listings = 0, product_category = "toys" }',
            '{ kind = "settlement_hold", days = 9 }',
            "rules[toys].measures[settlement_hold] must be an intake_cap of the group's product_category: a group rul",
        ),
        (
            'reference = "Notice 3"',
            'reference = "Notice 3"\ntiers = ["probation"]',
            "rules[toys].group must be the only condition of its rule",
        ),
    ],
)
def test_one_fault_of_a_rule_for_a_group_is_one_error(old: str, new: str, fault: str) -> None:
    found = faults(GENERAL + edited(old, new, GROUP))
    assert fault in found[0]
    assert len(found) == 1 + ("product_categorie" in new), found
    parse_policy(tomllib.loads(GENERAL + GROUP))
