"""The messages of facts in `entry.proto`, generated from the table of kinds; `--write` renews them.

`./dev check` and a test compare the contract with the table.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from scoring.entries.field_types import FactField
from scoring.entries.kinds.table import KINDS, KindRow

ENTRY = Path(__file__).parents[1] / "proto" / "sellertrust" / "v1" / "entry.proto"
FACTS = "// --- facts: generated from scoring/entries/kinds; change them there, then run: python -m tests.contract --write\n"
WORDS = "// --- words\n"
FIRST_FIELD = 6
"""A kind's field in Entry is the kind's number plus this."""


def contract(present: str) -> str:
    oneof = "  oneof fact {\n" + "".join(_choices()) + "  }\n"
    text = re.sub(r"  oneof fact \{\n.*?\n  \}\n", lambda _: oneof, present, count=1, flags=re.DOTALL)
    head, rest = text.split(FACTS)
    return head + FACTS + "\n" + "\n".join(map(_message, KINDS.values())) + "\n" + WORDS + rest.split(WORDS)[1]


def _choices() -> Iterator[str]:
    for kind, row in KINDS.items():
        yield _comment(f"See {row.fact.__name__}.", 4)
        yield f"    {row.fact.__name__} {row.kind.word} = {kind + FIRST_FIELD};\n"


def _message(row: KindRow) -> str:
    text = f"{' '.join((row.fact.__doc__ or '').split())} Effect on the score: {row.effect}."
    fields = "\n".join(
        _comment(field.text, 2) + f"  {_type(field)} {field.name} = {field.number};\n" for field in row.fields
    )
    return _comment(text, 0) + f"message {row.fact.__name__} {{\n{fields}}}\n"


def _type(field: FactField) -> str:
    return f"repeated {field.shape.proto}" if field.shape.kind == "ids" else field.shape.proto


def _comment(text: str, indent: int) -> str:
    lead = " " * indent + "// "
    return textwrap.fill(text, 120, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False) + "\n"


def main() -> int:
    present = ENTRY.read_text()
    wanted = contract(present)
    if "--write" in sys.argv[1:]:
        ENTRY.write_text(wanted)
        return 0
    if present != wanted:
        print("entry.proto is not what the table of kinds gives; run: python -m tests.contract --write")
    return int(present != wanted)


if __name__ == "__main__":
    sys.exit(main())
