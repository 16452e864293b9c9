"""The contract's Entry from JSON as people and other systems write it: bare seller ids and plain words may be used."""

import json
import re
from typing import Any

from google.protobuf import json_format

from scoring.kinds import KINDS
from sellertrust.v1.entry_pb2 import Entry

MAX_DEPTH = 8


def entry_of_json(text: str | bytes, marketplace: str) -> Entry:
    """An entry from a JSON object; `high` stands for HARM_HIGH, a bare seller id for one in `marketplace`.

    ValueError says what is wrong with it.
    """
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("write a JSON object, as `sellertrust ledger append --help` shows")
        return _entry(values, marketplace)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    except json_format.ParseError as error:
        raise ValueError(str(error)) from None


def _entry(values: dict[str, Any], marketplace: str) -> Entry:
    seller = values.get("seller")
    if isinstance(seller, str) and seller and "/" not in seller:
        values["seller"] = f"marketplaces/{marketplace}/sellers/{seller}"
    for fact, words in _WORDS.items():
        fields = values.get(fact)
        if isinstance(fields, dict):
            for name, prefix in words.items():
                word = fields.get(name)
                if isinstance(word, str) and not word.startswith(prefix):
                    fields[name] = prefix + word.upper()
    return json_format.ParseDict(values, Entry(), max_recursion_depth=MAX_DEPTH)


def _prefix(name: str) -> str:
    """How the values of an enumeration begin in the contract: `IDENTITY_LEVEL_` for IdentityLevel."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() + "_"


_WORDS = {
    row.key: {f.name: _prefix(f.shape.proto) for f in row.fields if f.shape.kind == "word"} for row in KINDS.values()
}
