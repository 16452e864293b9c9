from hypothesis import given, settings

from scoring.answers.statements import list_statements
from scoring.base.enums import Automation
from scoring.features.columns import FactRow
from tests.bench.answers import answer_whole
from tests.helpers.policies import shipped
from tests.helpers.worlds import numbered, sellers

POLICY = shipped("general")


@settings(max_examples=40, deadline=None)
@given(sellers())
def test_without_all_its_grounds_a_measure_ends(rows: list[FactRow]) -> None:
    rows = numbered(rows)
    rules = {rule.id: rule for rule in POLICY.rule_book.rules}
    for one in list_statements(answer_whole(rows, POLICY)):
        rest = [row for row in rows if row.violation not in one.violations and row.target not in one.violations]
        after = answer_whole(rest, POLICY).in_force if rest else None
        still = after is not None and one.measure.measure in {other.measure for other in after.measures}
        assert not still or one.reasons or one.conditions
        assert one.violations or one.reasons or one.conditions
        by_facts = rules[one.measure.rule].names_confirmed_facts
        assert one.decided_by is (Automation.PARTIAL if by_facts else Automation.FULL)
        assert not still or by_facts or not (one.reasons and one.violations)
        assert one.is_by_rule_without_violation is not bool(one.violations)
        for other in one.alike:
            assert other.current.kind is one.measure.current.kind
