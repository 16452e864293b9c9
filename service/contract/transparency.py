from scoring.answers.report_figures import FIGURES, NOT_FROM_LEDGER, FigureTally, FigureValue, Period, format_month
from scoring.base.time import format_time
from sellertrust.v1 import review_service_pb2 as review_pb
from service.contract.fields import message_of
from service.ledger.records import Cut


def report_message(
    period: Period,
    now: Cut,
    tally: FigureTally,
    published_cut: Cut | None,
    published: FigureTally | None,
    *,
    is_simulated: bool,
) -> review_pb.GetTransparencyReportResponse:
    """Fill a report; `published_cut` and `published` are None before its publication."""
    message = message_of(
        review_pb.GetTransparencyReportResponse,
        period,
        now,
        period=period.text,
        publish_time=period.publish_time if published_cut is not None else None,
        published_sequence=0 if published_cut is None else published_cut.sequence,
        known_sequence=now.sequence,
        simulated=is_simulated,
        not_from_ledger=NOT_FROM_LEDGER,
    )
    last_month = format_time(now.observe_time)[: len("2026-03")]
    values, before = tally.show(), None if published is None else published.show()
    for key, figure in FIGURES.items():
        message_of_figure = message.figures.add(
            key=key, part=figure.part, unit=review_pb.TransparencyUnit.ValueType(figure.unit)
        )
        message_of_figure.known.CopyFrom(_value_message(values[key], period, last_month))
        if before is not None:
            message_of_figure.published.CopyFrom(_value_message(before[key], period, last_month))
    return message


def _value_message(value: FigureValue, period: Period, last_month: str) -> review_pb.TransparencyValue:
    shown_count = value.shown
    message = message_of(review_pb.TransparencyValue, shown_count, value, splits=None, months=None)
    for name, split in shown_count.splits.items():
        cells = [review_pb.TransparencyCell(name=cell, count=count) for cell, count in split.cells.items()]
        hidden_count = shown_count.count - sum(split.cells.values())
        message.splits.add(dimension=name, cells=cells, together=split.together, together_count=hidden_count)
    names = map(format_month, period.months if value.months else ())
    for name, month_count in zip(names, value.months, strict=True):
        if name <= last_month:
            state = review_pb.ShownState.ValueType(month_count.state)
            message.months.add(month=name, state=state, count=month_count.count)
    return message
