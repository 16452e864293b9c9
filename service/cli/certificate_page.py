"""A loss certificate as a page for the person who signs: the largest cost first, and each claim with its limit."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from scoring.base.money import format_amount
from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.certificate import list_excess_losses
from scoring.loss_certificate.sensitivity import Sensitivity
from scoring.policy.measures import PaidAheadLimit, SettlementHold, Suspension
from scoring.policy.policy import Policy, TradeLimits
from service.cli.output import format_count

THIN_ABOVE = 0.8
"""A margin is thin if it is less than a fifth of what is assumed."""

_MEANINGS = {
    "against_faked_history": (
        "a faked or bought history brings less than it costs. A run after honest trade can still pay",
        "faking or buying a history for a run pays: one name gets {most}",
    ),
    "unconditional": (
        "one name gets up to {most} more than it paid to enter, and the policy allows {allowed}",
        "one name gets {most} more than it paid to enter, and the policy allows {allowed}",
    ),
}
"""By verdict: what it means if it holds, and if it does not."""

_LIMITS = (
    ("stop", "largest_stop_days", "stop_days", "up to a stop of {}"),
    ("wash", "smallest_wash_ppm", "wash_ppm", "from a cost of faked sales of {} on"),
    ("identity", "smallest_identity_minor", "identity_minor", "from a price of a name of {} on"),
)
"""Assumption, its limit in Sensitivity, its value in Assumptions, and the text of the limit."""


def list_lines(
    certificate: dict[str, Any], policy: Policy, assumed: Assumptions, limits: dict[str, Sensitivity]
) -> Iterator[str]:
    """Yield the lines of a certificate's page: the losses first, then gaps, verdicts and assumptions."""
    name, currency = certificate["policy"], certificate["currency"]
    yield f"Runs under the policy {name['name']} version {name['version']}: sellers take orders, deliver none, and leave."
    yield from _indent_section(
        "The most that buyers lose, after refunds from what is held", _list_largest_losses(certificate)
    )
    yield from _indent_section("This certificate does not cover", certificate["not_covered"])
    yield from _indent_section(
        "The verdicts, and how near each is to failing; THIN is less than a fifth",
        _list_verdicts(certificate, assumed, limits),
    )
    yield from _indent_section("Where the days come from", _list_days(certificate, policy, assumed))
    trade = policy.trade
    if trade is not None:
        names = [field.name for field in fields(TradeLimits)]
        terms = [f"{name} {format_value(name, getattr(trade, name), currency)}" for name in names]
        yield from _indent_section("Terms of trade, [trade] of the policy, which the marketplace must keep", terms)
    yield from _indent_section(
        "Assumed, which no ledger proves", _list_assumptions(certificate["assumptions"], currency)
    )
    yield ""
    yield f"digest {certificate['digest'][:12]}; check it: sellertrust verify FILE --policy POLICY"


def _indent_section(title: str, lines: Any) -> Iterator[str]:
    yield ""
    yield title
    yield from (f"  {line}" for line in lines)


def _list_largest_losses(certificate: dict[str, Any]) -> Iterator[str]:
    takes, currency, granted = certificate["takes"], certificate["currency"], certificate["granted"]
    runners = format_count(takes["runners"], "seller")
    for whose, take in (("by one seller", takes["largest"]),
                        (f"on one day, if {runners} begin a run on it", takes["runners_on_one_day"])):  # fmt: skip
        net, gross = (format_amount(take[key], currency) for key in ("after_refunds_minor", "gross_minor"))
        yield f"{net} {whose}, of {gross} that they paid"
    tiers_by_loss: dict[int, list[str]] = {}
    for tier, take in takes["by_tier"].items():
        tiers_by_loss.setdefault(take["after_refunds_minor"], []).append(tier)
    for minor, tiers in tiers_by_loss.items():
        whose = "any tier" if len(tiers_by_loss) == 1 else f"tier {', '.join(tiers)}"
        yield f"{format_amount(minor, currency)} by one seller of {whose}"
    if sequence := certificate["sequence"]:
        amount = format_amount(max(sequence["most_minor"].values()), currency)
        yield f"{amount} for one name whose run of {sequence['run_days']:,} days began under a policy before"
    if granted is None:
        yield "More, if a person granted a seller a tier or lifted a measure: certify with --ledger to see"
        return
    number = format_count(len(granted["sellers"]), "seller")
    yield f"Persons granted {number} a tier, or lifted measures of theirs, by entry {granted['sequence']:,}"
    for seller in granted["sellers"]:
        exceptions = [] if seller["tier"] is None else [f"tier {seller['tier']} until {seller['until']}"]
        exceptions += [f"without {measure['kind']} of {measure['rule']}" for measure in seller["lifted"]]
        most = seller["most"]
        amount = "any sum" if most is None else format_amount(most["after_refunds_minor"], currency)
        beyond = "" if seller["is_within"] else ", more than is certified of all others"
        yield f"  {seller['marketplace']}/{seller['seller']}: {', '.join(exceptions)}: {amount}{beyond}"


def _list_verdicts(certificate: dict[str, Any], assumed: Assumptions, limits: dict[str, Sensitivity]) -> Iterator[str]:
    currency, allowed, losses = certificate["currency"], certificate["most_loss_minor"], list_excess_losses(certificate)
    for name, verdict in certificate["verdicts"].items():
        most, if_holds = verdict["most_minor"], verdict["holds"]
        text = _MEANINGS[name][0 if if_holds else 1]
        sums = {"most": format_amount(most, currency), "allowed": format_amount(allowed, currency)}
        thin = " THIN" if if_holds and name == "unconditional" and most > allowed * THIN_ABOVE else ""
        yield f"{name} {'holds' if if_holds else 'DOES NOT HOLD'}: {text.format(**sums)}{thin}"
        if not if_holds:
            yield f"  {describe_attack(verdict['attack'], currency)}"
        if (loss := losses.get(name)) is not None and loss > most:
            yield f"  DOES NOT HOLD if a run began under a policy before: one name gets {format_amount(loss, currency)}"
        yield from (f"  {line}" for line in _list_limits(assumed, limits[name]))


def _list_limits(assumed: Assumptions, limits: Sensitivity) -> Iterator[str]:
    """Yield a line per assumption: up to which value one verdict holds. None: at no value; 0: at any cost."""
    for name, limit_name, field, text in _LIMITS:
        limit, value = getattr(limits, limit_name), getattr(assumed, field)
        assumed_value = f"assumed: {format_value(field, value, assumed.currency)}"
        if limit is None:
            yield f"fails whatever is assumed of {name} ({assumed_value})"
            continue
        low, high = sorted((limit, value))
        thin = " THIN" if low > high * THIN_ABOVE else ""
        bound = text.format(format_value(field, limit, assumed.currency)) if limit else f"whatever is assumed of {name}"
        yield f"holds {bound} ({assumed_value}){thin}"


def _list_days(certificate: dict[str, Any], policy: Policy, assumed: Assumptions) -> Iterator[str]:
    run_days, promise = certificate["run_days"], policy.trade.delivery_promise_days if policy.trade else 0
    yield (
        f"a run lasts {format_count(run_days, 'day')} = {promise:,} until the latest promised arrival ([trade]) +"
        f" {assumed.stop_days:,} until orders and payouts stop ([stop]) + {assumed.confirm_days:,} until the confirmation"
        " ([confirm])"
    )
    if notice := certificate["notice_days"]:
        yield f"a closed seller goes on for {format_count(notice, 'day')} of its notice"
    rules_by_hold: dict[tuple[int, bool, str], list[str]] = {}
    for rule in policy.rule_book.rules:
        closes = any(isinstance(measure, Suspension) and measure.terminates for measure in rule.measures)
        for measure in rule.measures:
            if isinstance(measure, PaidAheadLimit | SettlementHold):
                rules_by_hold.setdefault((measure.days, closes, measure.kind.word), []).append(rule.id)
    for (days, closes, kind), rules in sorted(rules_by_hold.items()):
        spare = days - run_days
        spare_text = f" = {run_days:,} of a run + {spare:,}" if spare >= 0 else f", {-spare:,} less than a run lasts"
        if closes:
            spare_text = ": after a closure, until claims have ended ([trade] claim_days)"
        yield f"{kind} of {', '.join(rules)}: {format_count(days, 'day')}{spare_text}"


def _list_assumptions(assumptions: dict[str, Any], currency: str) -> Iterator[str]:
    for name, part in assumptions.items():
        if isinstance(part, dict):
            rows = [("", part), *part.get("by_product_category", {}).items()]
            values = [
                f"{format_value(key, value, currency)}{f' of {row}' if row else ''}"
                for row, cells in rows
                for key, value in cells.items()
                if isinstance(value, int)
            ]
            yield f"{name}: {', '.join(values)} ({part['source']})"


def format_value(name: str, value: int, currency: str) -> str:
    """Return a number by the unit in its name: `format_value("wash_ppm", 50_000, "EUR") == "5 %"`.

    Units are minor, ppm and days; other numbers stay plain, a bool is `true` or `false`.
    """
    if isinstance(value, bool):
        return str(value).lower()
    unit = name.rpartition("_")[2]
    if unit == "minor":
        return format_amount(value, currency)
    return {"ppm": f"{value / 10_000:g} %", "days": format_count(value, "day")}.get(unit, f"{value:,}")


def describe_attack(attack: dict[str, Any], currency: str) -> str:
    """Return an attack in one sentence; its gains and costs, in minor units, add up to the last number."""

    def gain(minor: int) -> str:
        return f"{'+' if minor > 0 else ''}{format_amount(minor, currency)}"

    days, first = attack["days"], attack["days"][0]
    total = (
        attack["entry_cash_minor"] + attack["history_cash_minor"] + attack["run_cash_minor"] - attack["deposit_minor"]
    )
    settled, built, a_day = (
        format_amount(minor, currency)
        for minor in (attack["entered_with_minor"], first["settled_minor"], first["captured_minor"])
    )
    lost = f", lose the deposit ({gain(-attack['deposit_minor'])})" if attack["deposit_minor"] else ""
    return (
        f"enter with {settled} settled ({gain(attack['entry_cash_minor'])}), settle {built}"
        f" ({gain(attack['history_cash_minor'])}), run for {len(days)} days at {a_day} a day"
        f" ({gain(attack['run_cash_minor'])}){lost}, come back under a new name: {gain(total)}"
    )
