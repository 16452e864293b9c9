from collections.abc import Sequence
from pathlib import Path

from scoring.base.errors import FieldViolation, InvalidInput
from service.ingest.sources.tables import advise_commas, columns_of, csv_rows


def read_table(file: Path, known: Sequence[str], needed: Sequence[str]) -> dict[int, dict[str, str]]:
    """Return the rows of a CSV file, by line. Raises InvalidInput for unknown or missing columns and malformed lines."""
    columns = columns_of(file)
    advice = f"Use {', '.join(known)}{advise_commas(columns)}."
    wrong = [FieldViolation(("line 1",), f"{name!r} is no column. {advice}") for name in columns if name not in known]
    missing = [name for name in needed if columns and name not in columns]
    wrong += [FieldViolation(("line 1",), f"lacks the column {name}") for name in missing]
    with file.open("rb") as raw:
        reject = lambda line, reason: wrong.append(FieldViolation((f"line {line}",), reason))  # noqa: E731
        rows = {line: dict(row) for line, row in csv_rows(raw, file.name, reject)}
    if wrong:
        raise InvalidInput(wrong)
    return rows
