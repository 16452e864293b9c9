"""`sellertrust ledger kinds`: what an entry can state, from the table that everything else follows."""

from typing import Annotated

import typer

from scoring.base.errors import invalid
from scoring.entries.field_types import list_names
from scoring.entries.kinds.table import KINDS
from service.cli.output import Format, Output, emit

app = typer.Typer()


@app.command("kinds")
def kinds(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="One of them, to list its fields.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """List the kinds of entries, or the fields of one."""
    rows = {row.key: row for row in KINDS.values()}
    if kind is None:
        stated = [
            {"kind": key, "seller": row.seller.value, "occur_time": row.occur_time.value, "effect": row.effect}
            for key, row in rows.items()
        ]
        emit(stated, output)
        return
    if kind not in rows:
        raise invalid("KIND", f"{kind!r} is none of {', '.join(rows)}")
    emit(
        [
            {
                "field": field.name,
                "type": list_names(field.shape.words) if field.shape.words else field.shape.kind,
                "required": field.required,
                "text": field.text,
            }
            for field in rows[kind].fields
        ],
        output,
    )
