import json

from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.answers.statements import list_statements
from scoring.base.enums import Source
from scoring.features.columns import FactRow
from service.contract.dsa_records import LAWS
from service.contract.letters import LetterFacts, Redress, statement_messages
from service.contract.texts import Texts
from tests.bench.answers import answer_whole
from tests.helpers.dsa_records import list_broken, view_of
from tests.helpers.policies import shipped
from tests.helpers.worlds import numbered, sellers

POLICY = shipped("general")


@settings(max_examples=40, deadline=None)
@given(sellers(), st.sampled_from([*Source]), st.booleans(), st.sampled_from(["en", "zh"]))
def test_every_letter_names_the_next_action_and_the_end(
    rows: list[FactRow], source: Source, automated: bool, language: str
) -> None:
    rows = numbered(rows)
    whole = answer_whole(rows, POLICY)
    stated, texts = list_statements(whole), Texts(language)
    views = {row.entry_id: view_of(row, source, automated=automated) for row in rows if row.entry_id == row.violation}
    facts = LetterFacts("marketplaces/m/sellers/secret-seller", whole, views)
    found = statement_messages(facts, stated, texts, Redress(LAWS), for_seller=False)
    for one, letter in zip(stated, found, strict=True):
        assert letter.next_action in letter.text
        end = one.measure.end
        ends = [texts.say(f"letter.{key}", day=texts.say_day(end or 0)) for key in ("end", "end_followed")]
        assert any(said in letter.text for said in ([texts.say("letter.no_end")] if end is None else ends))
        assert one.measure.measure in letter.text
        names = [one.measure.measure, *(other.measure for other in one.alike)]
        assert len({*names}) == len(names)
        assert letter.title not in letter.paragraphs
        assert texts.say("letter.alike") not in letter.text or one.alike
        assert "rule~" not in "".join(letter.paragraphs[:-1])
        assert bool(letter.record) is bool([name for name in one.violations if name in views])
        if letter.record:
            assert list_broken(json.loads(letter.record)) == []
            assert "secret" not in letter.record
            is_by_software = json.loads(letter.record)["automated_detection"] == "Yes"
            assert is_by_software is automated
