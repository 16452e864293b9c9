"""States, terms and costs, derived from a policy file's data and a certificate's assumptions."""

import hashlib
import itertools
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

TIERS = (None, "unrated", "probation", "standard", "trusted", "exemplary")
MILLION = 1_000_000
HIGH = 2**62
MOST_STATES = 4_000_000
Data = Mapping[str, Any]


KNOWN = {
    "policy": "name version currency clear_days cut_offs thin_file badges standing hold_limits trade rules seasons caution"
    " notice_days links",
    "links": "newcomer_from_percent",
    "trade": "delivery_promise_days claim_days deposit_returned_after_days deposit_is_refilled deposit_refill_days"
    " smallest_order_minor most_loss_minor",
    "seasons": "name from until times_ppm",
    "rules": "id reference measures tiers standing confirmed group settled tenure deposit failure_rate linked good_orders",
    "linked": "from_percent",
    "good_orders": "below",
    "standing": "from below categories",
    "confirmed": "categories severity days incidents",
    "group": "product_category from until legal_ground",
    "settled": "below product_category",
    "tenure": "below",
    "deposit": "below",
    "failure_rate": "from_ppm days orders of",
    "measures": "kind amount_minor days ppm value_minor grows product_category listings new_listings waives terminates"
    " notice_days exception at_most_minor until_plan",
    "grows": "settled_minor value_minor",
}
"""The known names in a policy, and in each part of it that terms rest on."""

KINDS = (
    "deposit settlement_hold delivery_hold paid_ahead_limit rolling_reserve value_cap listing_cap intake_cap"
    " manual_review search_demotion campaign_exclusion waiver suspension"
)
ASSUMED = {
    "stop": "days",
    "confirm": "days",
    "carrier": "days",
    "wash": "ppm",
    "identity": "minor",
    "aged_account": "minor ppm",
    "runners": "count",
    "overturned": "ppm",
}

NOT_COVERED = (
    "Fraud by buyers, such as claims against sales to oneself.",
    "Hijacked honest accounts, by `against_faked_history`: their history costs nothing. Only `unconditional` bounds them.",
    "Deposits that others pay, and cheats who value the money of others.",
    "Harm without a claim, such as goods that nobody reports.",
    "A marketplace that breaks its own `[trade]` limits.",
    "Wrong assumptions. No ledger shows the price of faked sales, names and accounts.",
    "Lifts of single sellers in a run across two policies: `granted` counts the new policy alone.",
    "Limits by product category: only the daily limit over all categories counts.",
)


UNCOUNTED_DEPOSITS = "What deposits deter as a share of sales, or with days to refill them: it counts as 0."


class NotProven(Exception):
    """The text names the first fault."""


class Unbounded(NotProven):
    """A policy under which nothing bounds a day's take."""


def digest_of(content: Data) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def identify_policy(policy: Data) -> Data:
    return {"name": policy["name"], "version": policy["version"], "digest": digest_of(policy)}


NOTHING_ON_YOUNG = (0, 0, 0, 180)


class WorldTerms(NamedTuple):
    cap: int
    deposit: int
    hold: int
    ppm: int
    reserve: int
    ahead: tuple[int, int, int, int]
    """The limit on young orders: without settled value, its share in parts per million, its largest value; the days
    before which none is paid.
    """


def need(holds: bool, text: str) -> None:
    if not holds:
        raise NotProven(text)


def require_whole(value: object, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise NotProven(f"{value!r} must be a whole number of at least {least}")
    return value


def add_implied_rules(policy: Data) -> Data:
    """Return the policy with what its rules imply: holds at a termination, no sales before a deposit."""
    trade, rules = policy["trade"], []
    for rule in policy.get("rules", ()):
        measures = list(rule["measures"])
        if any(m.get("terminates") for m in measures):
            days = max(
                [min(trade["claim_days"], 180), *(m["days"] for m in measures if m["kind"] == "settlement_hold")]
            )
            measures += [{"kind": "settlement_hold", "days": days}, {"kind": "intake_cap", "new_listings": 0}]
        rules.append({**rule, "measures": measures})
        deposit = max((m.get("amount_minor", 0) for m in measures if m["kind"] == "deposit"), default=0)
        if (deposit or _asks_for_share(measures)) and trade.get("deposit_is_refilled", False):
            below, nothing = {"below": deposit}, [{"kind": "value_cap", "value_minor": 0}]
            rules.append({**rule, "id": name_awaiting_rule(rule["id"]), "measures": nothing, "deposit": below})
    return {**policy, "rules": rules}


def _asks_for_share(measures: Iterable[Data]) -> bool:
    return any(m["kind"] == "deposit" and "ppm" in m for m in measures)


def list_not_covered(policy: Data) -> list[str]:
    is_share = any(_asks_for_share(rule["measures"]) for rule in policy.get("rules", ()))
    is_uncounted = is_share or policy["trade"].get("deposit_refill_days", 0) > 0
    return [*NOT_COVERED, *([UNCOUNTED_DEPOSITS] if is_uncounted else ())]


def name_awaiting_rule(rule: str) -> str:
    """Return the id of the rule that forbids sales before the deposit of `rule`."""
    return f"{rule[:49]}-awaits-deposit"


class World:
    def __init__(self, policy: Data, assumed: Data, beside: Sequence["World"] = ()) -> None:
        """Derive all; `beside`: policies that share its buckets and length of runs."""
        self.policy, self.trade = policy, policy["trade"]
        unknown = {*policy}.difference(KNOWN["policy"].split())
        unknown |= {
            name for part in ("trade", "seasons", "rules") for name in _find_unknown_names(policy.get(part, ()), part)
        }
        need(not unknown, f"nothing is known here of these parts of a policy: {', '.join(sorted(unknown))}")
        _check_assumptions(assumed)
        self.season = max([MILLION, *(one["times_ppm"] for one in policy.get("seasons", ()))])
        stop = [require_whole(assumed["stop"]["days"], 1), *_list_by_category(assumed["stop"], "days", 1)]
        days: int = self.trade["delivery_promise_days"] + max(stop) + require_whole(assumed["confirm"]["days"])
        self.carrier = min(require_whole(assumed.get("carrier", {"days": 0})["days"]), 180)
        self.wash = min([require_whole(assumed["wash"]["ppm"]), *_list_by_category(assumed["wash"], "ppm", 0)])
        self.identity = require_whole(assumed["identity"]["minor"])
        self.aged = require_whole(assumed["aged_account"]["minor"]), require_whole(assumed["aged_account"]["ppm"])
        self.runners, self.overturned = (
            require_whole(assumed["runners"]["count"], 1),
            require_whole(assumed["overturned"]["ppm"]),
        )
        together = (self, *beside)
        self.days: int = max([days, *(one.days for one in beside)])
        self.claim_days: int = min([self.trade["claim_days"], *(one.claim_days for one in beside)])
        self.most_loss: int = self.trade.get("most_loss_minor", 0)
        self.returned: int = min([self.trade["deposit_returned_after_days"], *(one.returned for one in beside)])
        self.smallest: int = min([self.trade.get("smallest_order_minor", 1), *(one.smallest for one in beside)])
        is_whole = self.trade.get("deposit_is_refilled", False) and not self.trade.get("deposit_refill_days", 0)
        self.refilled: bool = is_whole and all(one.refilled for one in beside)
        self.comes_back = self.returned < self.days
        # Some sellers escape rules for a missing deposit, a bad rate, a link or too few good orders.
        beside_all = {"group", "deposit", "failure_rate", "linked", "good_orders"}
        self.rules = [rule for rule in policy.get("rules", ()) if not beside_all & {*rule}]
        self.notice = self._count_notice_days(days)
        values, ages = (
            sorted({0}.union(*axis)) for axis in zip(*(one.list_thresholds() for one in together), strict=True)
        )
        self.tenure: Sequence[int] = ages
        grants = zip(*(one.list_laxest_terms(TIERS, values, ages) for one in together), strict=True)
        rows = [[terms for row in rows for terms in row] for rows in grants]
        self.deposits: Sequence[int] = sorted({0, *(terms.deposit for row in rows for terms in row)})
        self.settled: Sequence[int] = self._cut_buckets(values, rows)
        self.terms = self.list_laxest_terms(TIERS, self.settled, ages)

    def _count_notice_days(self, run_days: int) -> int:
        most, rules = 0, self.policy.get("rules", ())
        for rule in rules:
            notice = max([0, *(m.get("notice_days", 0) for m in rule["measures"])])
            beside = (other for other in rules if _always_suspends_beside(other, rule))
            days = notice - max(
                [0, *(m.get("days", HIGH) for one in beside for m in one["measures"] if _is_timed_suspension(m))]
            )
            if not notice or days <= 0:
                continue
            holds = (m["days"] for m in rule["measures"] if m["kind"] == "settlement_hold")
            hold_days = min([180, max(holds, default=0), *self.policy.get("hold_limits", {}).values()])
            if hold_days < run_days:
                raise Unbounded(f"the orders of the notice of {rule['id']} are paid out before a run is stopped")
            most = max(most, days)
        return most

    def compare(self, certificate: Data) -> None:
        """Raise NotProven unless a certificate states the days, buckets and deposits of this world."""
        need(certificate["notice_days"] == self.notice, f"a notice adds {self.notice} days, and not as stated")
        need(certificate["run_days"] == self.days, f"a run goes on for {self.days} days, and not as stated")
        need(certificate["settled"] == self.settled, "the buckets of settled value are not those of the policy")
        need(certificate["tenure"] == self.tenure, "the buckets of tenure are not those of the policy")
        need(certificate["deposits"] == self.deposits, "the deposits are not those that the policy asks for")

    def count_states(self) -> int:
        return 2 + len(self.settled) * len(self.tenure) * (len(self.deposits) + self.days)

    def list_laxest_terms(
        self, tiers: Sequence[str | None], settled: Sequence[int], tenure: Sequence[int]
    ) -> list[list[WorldTerms]]:
        """Return the laxest terms of `tiers` at each bucket's upper end: a row by settled value, a column by tenure."""
        values, days = self.list_thresholds()
        terms_by_place: dict[tuple[int, int], WorldTerms] = {}
        table = []
        for top in (*settled[1:], HIGH):
            row = []
            for last in (*tenure[1:], HIGH):
                place = bisect_right(values, top - 1), bisect_right(days, last - 1)
                if place not in terms_by_place:
                    terms_by_place[place] = self._find_laxest_terms(top - 1, last - 1, tiers)
                row.append(terms_by_place[place])
            table.append(row)
        return table

    def _cut_buckets(self, values: Sequence[int], terms: Sequence[Sequence[WorldTerms]]) -> list[int]:
        """Return the buckets of settled value: quarters of a day's sales below each threshold, or wider."""
        for parts in (4, 2, 1):
            edges = {*values}
            for (low, high), row in zip(itertools.pairwise(values), terms, strict=False):
                width = max(max(one.cap for one in row) // parts, 1)
                edges.update(
                    itertools.takewhile(low.__lt__, (high - n * width for n in range(1, self.days * parts + 1)))
                )
            if 2 + len(edges) * len(self.tenure) * (len(self.deposits) + self.days) <= MOST_STATES:
                break
        return sorted(edges)

    def list_thresholds(self) -> tuple[list[int], list[int]]:
        """Return (settled values in minor units, days of tenure) at which terms change, sorted."""
        values = {step["settled_minor"] for rule in self.rules for m in rule["measures"] for step in m.get("grows", ())}
        values |= {rule["settled"]["below"] for rule in self.rules if "settled" in rule}
        return sorted(values), sorted({rule["tenure"]["below"] for rule in self.rules if "tenure" in rule})

    def _find_laxest_terms(self, settled: int, tenure: int, tiers: Sequence[str | None]) -> WorldTerms:
        """Return the laxest terms over tiers, standings, incidents and limits of holds."""
        bands = [rule["standing"] for rule in self.rules if "standing" in rule and not _counts_incidents(rule)]
        standings = {0, *(v for band in bands for v in band.values())}
        counted = [rule["id"] for rule in self.rules if _counts_incidents(rule)]
        confirmed = [set(), set(counted), *({name} for name in counted)]
        hold_limits = [180, *self.policy.get("hold_limits", {}).values()]
        terms = [
            self._combine_rules(
                [r for r in self.rules if _holds(r, tier, standing, facts, settled, tenure)], settled, limit
            )
            for tier, standing, facts, limit in itertools.product(tiers, standings, confirmed, hold_limits)
        ]
        return WorldTerms(
            cap=max(term.cap for term in terms),
            deposit=min(term.deposit for term in terms),
            hold=min(term.hold for term in terms),
            ppm=min(term.ppm for term in terms),
            reserve=min(term.reserve for term in terms),
            ahead=_join_laxest_limits(term.ahead for term in terms),
        )

    def _combine_rules(self, rules: Sequence[Data], settled: int, limit: int) -> WorldTerms:
        """Return the strictest terms of rules that hold together."""
        waived = {m["waives"] for rule in rules for m in rule["measures"] if m["kind"] == "waiver"}
        counting = [
            (m, _is_on_facts(rule))
            for rule in rules
            for m in rule["measures"]
            if m["kind"] not in waived or _is_on_facts(rule)
        ]

        def strictest(kind: str, part: str) -> int:
            return max([0, *(int(m.get(part, 0)) for m, _ in counting if m["kind"] == kind)])

        caps = [
            [m["value_minor"], *(s["value_minor"] for s in m.get("grows", ()) if settled >= s["settled_minor"])][-1]
            * (MILLION if is_on_facts else self.season)
            // MILLION
            for m, is_on_facts in counting
            if m["kind"] == "value_cap" and not m.get("product_category")
        ]
        if not caps:
            raise Unbounded(f"nothing bounds a day's sales of who settled {settled}")
        hold = min(max(strictest("settlement_hold", "days"), self.carrier + strictest("delivery_hold", "days")), limit)
        limits = [m for m, _ in counting if m["kind"] == "paid_ahead_limit"]
        young = min(max([0, *(m["days"] for m in limits)]), limit)
        ahead = NOTHING_ON_YOUNG
        if young > hold:
            ahead = (
                min(m["value_minor"] for m in limits),
                min(m["ppm"] for m in limits),
                min(m["at_most_minor"] for m in limits),
                hold,
            )
        return WorldTerms(
            cap=min(caps),
            deposit=strictest("deposit", "amount_minor"),
            hold=max(hold, young),
            ppm=strictest("rolling_reserve", "ppm"),
            reserve=min(strictest("rolling_reserve", "days"), limit),
            ahead=ahead,
        )

    def find_paid_on_young(self, table: Sequence[Sequence[WorldTerms]], is_free: bool) -> list[list[int]]:
        """Return the most that is paid out on a run's young orders, by the bucket and tenure of its end.

        In minor units. `table`: terms by bucket (rows) and tenure. `is_free`: settled value cost the run nothing.
        Orders keep the limits of all buckets that the run came through.
        """
        cost = 0 if is_free or self.days > self.claim_days else min(self.wash, self.aged[1])
        below = [NOTHING_ON_YOUNG] * len(self.tenure)
        sums_by_bucket = []
        for bucket, low in enumerate(self.settled):
            top = self.settled[bucket + 1] - 1 if bucket + 1 < len(self.settled) else HIGH
            later, sums = NOTHING_ON_YOUNG, []
            for last, terms in enumerate(table[bucket]):
                later = below[last] = _join_laxest_limits([terms.ahead, below[last], later])
                plain, ppm, most, first_day = later
                value = _find_most_in_bucket(plain, ppm, most, low, top, cost)
                sums.append(value if first_day < self.days else 0)
            sums_by_bucket.append(sums)
        return sums_by_bucket

    def find_most_released(self, terms: WorldTerms, day: int) -> int:
        """Return the most paid out of a run day's orders before the stop."""
        age = self.days - 1 - day
        if age < terms.hold:
            return 0
        held_minor = 0 if age >= terms.reserve else terms.cap * terms.ppm // MILLION - terms.cap // self.smallest
        return terms.cap - max(held_minor, 0)

    def list_history_costs(self, is_real: bool) -> list[int]:
        return [0 if is_real else edge * self.wash // MILLION for edge in self.settled]

    def find_farthest_bucket(self, terms: WorldTerms, bucket: int) -> int:
        """Return the highest bucket of settled value that one day's sales reach from `bucket`."""
        if bucket + 1 == len(self.settled):
            return bucket
        place = bisect_right(self.settled, self.settled[bucket + 1] - 1 + terms.cap) - 1
        return min(place + 1, len(self.settled) - 1)

    def find_lost_deposit(self, deposit: int) -> int:
        """Return what a run loses of a deposit: all if it is refilled and the run ends before its return, else 0."""
        return deposit if self.refilled and not self.comes_back else 0


def _join_laxest_limits(limits: Iterable[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    plain, ppm, most, first_day = zip(*limits, strict=True)
    return max(plain), max(ppm), max(most), min(first_day)


def _find_most_in_bucket(limit: int, ppm: int, largest_limit: int, low: int, top: int, cost_ppm: int) -> int:
    """Return the most of the limit at any settled value of a bucket, less the cost of that value beyond `low`."""
    settled_values = {low, top}
    if ppm and largest_limit > limit:
        settled_values.add(max(low, min(top, ((largest_limit - limit) * MILLION + ppm - 1) // ppm)))
    return max(
        min(limit + (v * ppm + MILLION - 1) // MILLION, largest_limit) - (v - low) * cost_ppm // MILLION
        for v in settled_values
    )


def _find_unknown_names(data: Any, name: str) -> set[str]:
    if isinstance(data, Sequence):
        return {found for one in data for found in _find_unknown_names(one, name)}
    below = (_find_unknown_names(part, key) for key, part in data.items() if key in KNOWN)
    kind = {data["kind"]}.difference(KINDS.split()) if name == "measures" else ()
    return {*data}.difference(KNOWN[name].split()).union(kind, *below)


def _check_assumptions(assumed: Data) -> None:
    need({*assumed, "carrier"} == {*ASSUMED, "currency"}, "an assumption is missing, or one is none")
    for name in assumed.keys() - {"currency"}:
        part = {**assumed[name]}
        rows = part.pop("by_product_category", {}) if name in ("stop", "wash") else {}
        source, numbers = part.pop("source", None), {*ASSUMED[name].split()}
        need(all({*row} == numbers for row in (part, *rows.values())), f"{name} has other parts")
        need(isinstance(source, str) and source.strip() != "", f"{name} states no source")


def _holds(rule: Data, tier: str | None, standing: int, facts: set[str], settled: int, tenure: int) -> bool:
    band = {} if _counts_incidents(rule) else rule.get("standing", {})
    return (
        (not rule.get("tiers") or tier in rule["tiers"])
        and standing >= band.get("from", 0)
        and standing < band.get("below", HIGH)
        and (not _counts_incidents(rule) or rule["id"] in facts)
        and settled < rule.get("settled", {"below": HIGH})["below"]
        and tenure < rule.get("tenure", {"below": HIGH})["below"]
    )


def _counts_incidents(rule: Data) -> bool:
    return "confirmed" in rule or "categories" in rule.get("standing", {})


def _is_timed_suspension(measure: Data) -> bool:
    return measure["kind"] == "suspension" and not measure.get("terminates")


def _always_suspends_beside(other: Data, rule: Data) -> bool:
    if other is rule:
        return not rule.get("tiers")
    asks = {*other} - {"id", "reference", "measures"} == {"standing"} and {*other["standing"]} == {"from"}
    is_plain = not rule.get("tiers") and not _counts_incidents(rule) and "standing" in rule
    return asks and is_plain and other["standing"]["from"] <= rule["standing"]["from"]


def _is_on_facts(rule: Data) -> bool:
    """Return whether a rule names confirmed facts: waivers and seasons do not reach it."""
    return "confirmed" in rule or rule.get("standing", {}).get("from", 0) > 0


def _list_by_category(part: Data, name: str, least: int) -> Iterator[int]:
    return (require_whole(row[name], least) for row in part.get("by_product_category", {}).values())
