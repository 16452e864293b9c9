from scoring.answers.report_figures import FIGURES, NOT_FROM_LEDGER, FigureTally, FigureValue, Period, format_month
from sellertrust.v1 import review_service_pb2 as review_pb
from service.contract.fields import message_of
from service.ledger.records import Cut


def report_message(
    period: Period, now: Cut, tally: FigureTally, then: Cut | None, published: FigureTally | None, *, is_simulated: bool
) -> review_pb.GetTransparencyReportResponse:
    """Return a report; `then` and `published` are None before its publication."""
    message = message_of(
        review_pb.GetTransparencyReportResponse,
        period,
        now,
        period=period.text,
        publish_time=period.publish_time if then is not None else None,
        published_sequence=0 if then is None else then.sequence,
        known_sequence=now.sequence,
        simulated=is_simulated,
        not_from_ledger=NOT_FROM_LEDGER,
    )
    values, before = tally.show(), None if published is None else published.show()
    for key, figure in FIGURES.items():
        one = message.figures.add(key=key, part=figure.part, unit=review_pb.TransparencyUnit.ValueType(figure.unit))
        one.known.CopyFrom(_value_message(values[key], period))
        if before is not None:
            one.published.CopyFrom(_value_message(before[key], period))
    return message


def _value_message(value: FigureValue, period: Period) -> review_pb.TransparencyValue:
    shown = value.shown
    message = message_of(review_pb.TransparencyValue, shown, value, splits=None, months=None)
    for name, split in shown.splits.items():
        cells = [review_pb.TransparencyCell(name=cell, count=count) for cell, count in split.cells.items()]
        rest = shown.count - sum(split.cells.values())
        message.splits.add(dimension=name, cells=cells, together=split.together, together_count=rest)
    for month, of_month in zip(period.months if value.months else (), value.months, strict=True):
        message.months.add(
            month=format_month(month), state=review_pb.ShownState.ValueType(of_month.state), count=of_month.count
        )
    return message
