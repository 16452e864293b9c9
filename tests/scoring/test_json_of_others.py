import re
from pathlib import Path

import pytest

from scoring.base.canonical import parse_json

ROOT = Path(__file__).parents[2]
TRUSTED = {
    "scoring/base/canonical.py": "the reader itself",
    "scoring/entries/entry.py": "rows of the ledger, as they were sealed",
    "service/ledger/queries/identities.py": "rows of the ledger, as they were sealed",
    "service/ledger/append/policy_moves.py": "rows of the ledger, as they were sealed",
    "service/ledger/append/proposals.py": "rows of the ledger, as they were sealed",
    "service/ledger/queries/facts.py": "rows of the ledger, as they were sealed",
    "service/ledger/queries/measures.py": "rows of the ledger, as they were sealed",
    "service/ledger/queries/links.py": "rows of the ledger, as they were sealed",
    "scoring/answers/report_figures.py": "rows of the ledger, as they were sealed",
    "service/web/desk/journal.py": "what this process has made",
    "service/scores/extract.py": "rows of the ledger, as they were exported",
    "training/observation/export.py": "rows of the ledger, as they were sealed",
    "service/cli/models.py": "what a server answered",
    "service/cli/train.py": "what this process has made",
    "service/ledger/queries/supposed.py": "what this process has made",
    "service/scale/manifest.py": "what this process has made",
    "training/monitoring/outcomes.py": "a part of an artifact that was verified",
}
"""Files that may read JSON otherwise: only this software writes their input."""


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 2}}]', '{"a": NaN}', "-Infinity"])
def test_a_doubled_key_and_what_is_no_number_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"the key 'a' stands twice|no number of JSON"):
        parse_json(text)
    assert parse_json('{"a": [1, {"b": 1}], "b": {"a": null}}') == {"a": [1, {"b": 1}], "b": {"a": None}}


def test_every_reader_of_others_json_refuses_doubled_keys() -> None:
    found = {
        str(path.relative_to(ROOT))
        for room in ("scoring", "service", "training", "proto/sellertrust")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"\bjson\.loads?\(", path.read_text())
    }
    assert found == TRUSTED.keys()
