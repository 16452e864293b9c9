import json
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from scoring.base.enums import Action, Harm, IdentityLevel, Severity, Source
from scoring.base.time import MAX_TIME
from scoring.entries.entry import Entry, encode_content, entry_from_content
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.table import Fact
from scoring.entries.kinds.trade import ExposureStated

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SAID = TEXTS.filter(bool)
TIMES = st.none() | st.sampled_from([0, 1, MAX_TIME]) | st.integers(0, MAX_TIME)
COUNTS = st.sampled_from([0, 1, 10**15])
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        ViolationReported,
        *(SAID, st.sampled_from(Harm), st.sampled_from(Source), TEXTS, TEXTS),
        *(st.booleans(), st.booleans(), TEXTS, TEXTS),
    ),
    st.builds(StatusChanged, SAID, st.sampled_from(Action), SAID, SAID, st.none() | st.sampled_from(Severity)),
    st.builds(ExposureStated, st.integers(0, 40_000), COUNTS, TEXTS, *[COUNTS] * 3, TEXTS, *[COUNTS] * 4),
    st.builds(IdentityVerified, st.sampled_from(IdentityLevel), TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3)),
)
ENTRIES = st.builds(Entry, SAID, TEXTS, FACTS, TIMES, TIMES)


def canonical_content(entry: Entry) -> str:
    content, sealed, digest = encode_content(entry)
    whole = written(json.loads(content) | json.loads(sealed or "{}"))
    assert sha256(whole.encode()).digest() == digest
    return whole


def written(values: object) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(ENTRIES)
def test_an_entry_comes_back_from_its_content(entry: Entry) -> None:
    assert entry_from_content(entry.entry_id, *encode_content(entry)[:2]) == entry


@given(ENTRIES)
def test_content_is_json_with_sorted_keys_and_no_blanks(entry: Entry) -> None:
    for part in filter(None, encode_content(entry)[:2]):
        assert part == written(json.loads(part))


@given(ENTRIES, ENTRIES)
def test_different_facts_have_different_content(one: Entry, other: Entry) -> None:
    equal = (one.seller, one.fact, one.occur_time, one.report_time) == (
        *(other.seller, other.fact, other.occur_time, other.report_time),
    )
    assert (canonical_content(one) == canonical_content(other)) == equal


def test_content_of_each_kind() -> None:
    violation = ViolationReported("counterfeit_goods", Harm.HIGH, Source.BRAND, final=True)
    assert canonical_content(Entry("v1", "s1", violation, occur_time=0)) == (
        '{"final":true,"harm":"high","kind":"violation","occur_time":"1970-01-01T00:00:00Z","seller":"s1",'
        '"source":"brand","violation_type":"counterfeit_goods"}'
    )
    change = StatusChanged("v1", Action.REDUCE, "staff-7", 'said "no"', Severity.MINOR)
    assert canonical_content(Entry("c1", "", change)) == (
        '{"action":"reduce","actor":"staff-7","kind":"status","reason":"said \\"no\\"","severity":"minor",'
        '"violation":"v1"}'
    )
    assert canonical_content(Entry("e1", "s1", ExposureStated(1, 0, units=7))) == (
        '{"day":"1970-01-02","kind":"exposure","seller":"s1","units":7}'
    )
    identity = IdentityVerified(IdentityLevel.NONE, attributes={"b": "1", "a": "2"})
    assert canonical_content(Entry("i1", "s1", identity, 1_000_001)) == (
        '{"attributes":{"a":"2","b":"1"},"kind":"identity","level":"none",'
        '"occur_time":"1970-01-01T00:00:01.000001Z","seller":"s1"}'
    )
