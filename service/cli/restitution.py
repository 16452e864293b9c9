from scoring.base.money import format_amount
from sellertrust.v1.measure_service_pb2 import GetRestitutionResponse
from service.cli.output import Format, emit, emit_one, format_count, write
from service.cli.rows import dict_of, row_of


def show_restitution(found: GetRestitutionResponse, output: Format) -> None:
    if output is Format.JSON:
        emit_one(dict_of(found), output)
        return
    status = row_of(found, "status")["status"]
    write(f"{found.violation}: {status}; {format_count(len(found.items), 'measure')} stood on it\n")
    if not found.items:
        return
    fields = "measure=kind rule from=begin_time to=end_time days held=held_minor other_violations"
    rows = [row_of(item, fields) for item in found.items]
    for row in rows:
        row |= {name: row[name] and row[name][:16] + "Z" for name in ("from", "to")}
        row["held"] = format_amount(row["held"], found.currency) if row["held"] else None
        row["rule"] = row["rule"] or "(a person)"
    emit(rows, output)
    if found.captured_minor:
        write(f"captured meanwhile: {format_amount(found.captured_minor, found.currency)}\n")
