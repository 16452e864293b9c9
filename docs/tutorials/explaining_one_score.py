# %% [markdown]
# # Explaining one seller's score
#
# A seller asks why it has so many points, and you have to answer. This script goes all the way from what was recorded
# to the points and back, by hand where a hand can do it, and asserts every claim. Then a decision turns out wrong.

# %%
import itertools
import math
import tempfile
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
from scipy.stats import gamma

from scoring.base.enums import Action, Harm, Kind, ScoreState, Severity, Source
from scoring.base.time import DAY, format_day, parse_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.features.columns import columns_of, tabulate
from scoring.features.decay import HALF_LIVES
from scoring.features.facts import resolve
from scoring.features.fold import FLOOR_PLACES
from scoring.features.resolved import resolve_sellers
from scoring.features.table import Feature, matrix
from scoring.model.artifact import load as load_artifact
from scoring.model.interval import LONGEST, append_ends
from scoring.scores.score import CoreAnswer, compute_answer, explain
from service.cli.common import ROOT
from service.cli.imports import mapping_of_file
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.settings import load
from training.market.files import write_market
from training.market.simulate import simulate
from training.observation.export import read_export, write_export
from training.pipeline.job import Job
from training.pipeline.run import run
from training.study.loading import load_study

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
policy = load_policy(load({}))
pl.Config(tbl_rows=30, fmt_str_lengths=110, tbl_width_chars=180, tbl_hide_dataframe_shape=True)

# %% [markdown]
# ## A marketplace and a model
#
# Made up, imported and trained. [Writing a study](your-own-file.md) shows the same with your own file.

# %%
studies = ROOT / "training" / "studies"
write_market(simulate(1000, 730, date(2024, 1, 1), seed=7), folder / "files")
ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", create=True)
import_files(ledger, mapping_of_file(studies / "marketplace.mapping.toml"), folder / "files", lambda *_: None)
write_export(ledger.entries.export("demo", ledger.cut()), folder / "export.parquet")
study = load_study(studies / "marketplace.toml")
study = replace(study, model=replace(study.model, rounds=100))
trained = run(Job(read_export(folder / "export.parquet"), study, policy, verify=False))
artifact = load_artifact(trained.parts)

now = parse_day("2025-12-31") * DAY
sellers = [f"s-{number:06d}" for number in range(1000)]
rows = ledger.facts.rows("demo", sellers, ledger.cut().sequence)


def answer_of(rows: list, sellers: list[str], time: int = now) -> CoreAnswer:
    return compute_answer(resolve_sellers(sellers, tabulate(rows, sellers), time), artifact, policy)


scores = dict(zip(sellers, answer_of(rows, sellers).scores, strict=True))
rated = {s: a for s, a in scores.items() if a and a.state is ScoreState.RATED}
print(f"{len(rated)} of {len(sellers)} sellers are rated, model {artifact.digest[:12]}")

# %% [markdown]
# Our seller has been found out in two ways, and has something to lose.

# %%
kinds = {s: sum(code.endswith("_CONFIRMED") for code in a.reason_codes) for s, a in rated.items()}
candidates = [s for s, a in rated.items() if kinds[s] == 2 and 2 <= a.counted_incidents <= 5]
seller = max(candidates, key=lambda s: (rated[s].points < 600, rated[s].points))
its_rows = ledger.facts.rows("demo", [seller], ledger.cut().sequence)
its_score = rated[seller]
assert answer_of(its_rows, [seller]).scores == [its_score]
pl.DataFrame([{"what": name, seller: str(value)} for name, value in asdict(its_score).items()])

# %% [markdown]
# The score is a pure function of the seller's rows, a time, a model and a policy: alone or among a thousand, the answer
# is equal. That is what lets us replay it here.
#
# ## The facts
#
# All entries about the seller except its orders. A decision of *confirm* makes an allegation count.

# %%
cut = ledger.cut(observe_time=now)
entries = ledger.entries.list("demo", cut, sellers=[seller], limit=10_000)
pl.DataFrame(
    [
        {
            "entry": e.entry.entry_id,
            "states": type(e.entry.fact).__name__,
            "happened": format_day(e.occur_time // DAY),
            "reported": format_day(e.report_time // DAY),
            "what": getattr(e.entry.fact, "violation_type", None) or str(getattr(e.entry.fact, "action", "")),
        }
        for e in entries
        if not type(e.entry.fact).__name__.startswith("Exposure")
    ]
)

# %% [markdown]
# ## Facts to features
#
# Each feature has a definition and direction ([features](../reference/features.md)). Most come from decayed sums: an incident
# weighs 1 on its day, half of that after a half-life. Let us add one of them up by hand.

# %%
facts = resolve(columns_of(its_rows, [seller]), np.array([now]))
sums = artifact.folder.fold(facts)
identity = [its_rows[row].attributes or {} for row in facts.identity_row.tolist()]
x = matrix(sums, artifact.features, identity)
values = {feature.key: value for feature, value in zip(artifact.features, x[0].tolist(), strict=True)}

first = {}  # of each incident that counts: its first day
for incident, day in zip(facts.violations.incident, facts.violations.day, strict=True):
    first[incident] = min(first.get(incident, day), day)
by_hand = sum(2.0 ** (-(int(facts.observe_day[0]) - day) / 365) for day in first.values())
by_fold = sums.decayed(FLOOR_PLACES[Severity.MINOR], 365)[0]
print(f"by hand {by_hand:.6f}, the fold says {by_fold:.6f}")
assert len(first) == its_score.counted_incidents
assert abs(by_hand - by_fold) < 1e-6

# %% [markdown]
# The 1e-6 is the only liberty: the fold adds integers, so that a million sellers at once and one alone, in any order, come
# to the same bits.

# %%
pl.DataFrame(
    [
        {
            "feature": f.key,
            "value": round(values[f.key], 4),
            "more of it": "helps" if f.direction > 0 else "hurts",
            "is": f.definition,
        }
        for f in artifact.features
        if isinstance(f, Feature) and values[f.key] and ("365d" in f.key or f.name in ("tenure_days", "incidents"))
    ]
)

# %% [markdown]
# ## Features to points
#
# The model is a page of tables, one a feature: each takes whole points from the base. As a LightGBM model each table is one
# tree, whose leaves are the points with their sign turned.

# %%
booster = lightgbm.Booster(model_str=artifact.parts["model.txt"].decode())
parts = artifact.page.parts(x)[0]
raw = int(booster.predict(x)[0])
points = max(0, min(1000, artifact.page.base + int(parts.sum())))
log_odds = (600 - artifact.page.base + raw) * math.log(2) / 50 - math.log(20)
p_bad = 1 / (1 + math.exp(-log_odds))
from_odds = 600 + 50 * math.log2(math.exp(-log_odds) / 20)
print(
    f"base {artifact.page.base}, tables take {raw}: {points} points, from the odds {from_odds:.2f}; p_bad {p_bad:.6f}"
)
assert raw == -parts.sum() == artifact.raw_score(x)[0]
assert points == its_score.points
assert abs(from_odds - points) <= 0.5 + 1e-9
assert math.isclose(p_bad, its_score.p_bad, rel_tol=1e-9)

# %% [markdown]
# ## Why not more?
#
# The explanation begins at the base (the best row of every table), and ends at the points, exactly. Each reason takes whole
# points and shows what is behind it: incidents by category, failed orders by day, orders and days on record so far.

# %%
explanation = explain(answer_of(its_rows, [seller]))
shares = {reason.reason_code: reason.points for reason in explanation.reasons}
assert explanation.baseline_points + sum(shares.values()) == its_score.points
pl.DataFrame(
    [{"step": "base", "points": explanation.baseline_points}]
    + [{"step": r.reason_code, "points": r.points, "counted": r.counted} for r in explanation.reasons]
    + [{"step": "points", "points": its_score.points}]
)

# %% [markdown]
# The shares are Shapley values of groups: what a group takes away, averaged over the orders in which the groups may come.
# With two groups that is one line each, computed here from the points of sellers that lack one group or both. Shares do
# not say what taking one incident back would give; the next section does.

# %%
ids = {effect.incident: effect for reason in explanation.reasons for effect in reason.incidents}
group_of = {effect.incident: reason.reason_code for reason in explanation.reasons for effect in reason.incidents}
names = sorted(set(group_of.values()))


def without(incidents: set[str]) -> int:
    """Points of the seller if nothing had been recorded about these incidents."""
    gone = {entry for incident in incidents for entry in ids[incident].entries}
    left = [row for row in its_rows if row.entry_id not in gone]
    return answer_of(left, [seller]).scores[0].points


def lacking(*groups: str) -> int:
    return without({incident for incident, group in group_of.items() if group in groups})


a, b = names
both, only_a, only_b, neither = lacking(), lacking(b), lacking(a), lacking(a, b)
by_hand = {a: ((only_a - neither) + (both - only_b)) / 2, b: ((only_b - neither) + (both - only_a)) / 2}
print(f"by hand {by_hand}, explained { ({name: shares[name] for name in names}) }")
assert all(abs(by_hand[name] - shares[name]) <= 0.5 for name in names)
assert sum(points for code, points in shares.items() if code not in names) == neither - explanation.baseline_points

# %% [markdown]
# ## What if one were overturned?
#
# `points_if_overturned` is no estimate: it folds the seller's rows anew without the incident. It is never negative, since
# the model is certified: to take a violation back never costs points.

# %%
for incident, effect in ids.items():
    assert without({incident}) == its_score.points + effect.points_if_overturned
    assert effect.points_if_overturned >= 0
pl.DataFrame(
    [
        {
            "incident": e.incident,
            "category": e.category.name.lower(),
            "severity": e.severity.name.lower(),
            "if overturned": f"{e.points_if_overturned:+d}",
            "entries": " ".join(e.entries),
        }
        for e in ids.values()
    ]
)

# %% [markdown]
# ## How sure is it?
#
# A seller with few orders may have been lucky. `points_low` to `points_high` is the 90 % interval of the seller's own
# rates, a Gamma posterior, pushed through the monotone model. The core has its own quantiles, in + - x / and square roots
# alone, so that they are equal on every machine. For a seller without incidents, once by scipy and once by the core:

# %%
clean = max((s for s, a in rated.items() if not a.counted_incidents), key=lambda s: rated[s].points)
clean_rows = ledger.facts.rows("demo", [clean], cut.sequence)
clean_facts = resolve(columns_of(clean_rows, [clean]), np.array([now]))
clean_sums = artifact.folder.fold(clean_facts)
events, orders = artifact.prior.incidents  # what is assumed of a seller before its history
decayed = clean_sums.orders[HALF_LIVES.index(LONGEST)][0]
# Decayed orders tell more than they weigh: up to twice as much, when they are spread over years.
spread = min(max(decayed / artifact.folder.effective_size_terms(clean_facts, 1)[0][0], 1.0), 2.0)
rate = gamma.ppf(0.95, events) / (orders + spread * decayed)
print(f"assumed {events:.2f} incidents in {orders:.0f} orders; {clean}: none in {spread * decayed:.0f}")
print(f"its true rate is below {1000 * rate:.2f} per 1,000 orders with 95 % probability")
ended_sums = append_ends(clean_sums, clean_facts, 1, artifact.prior, artifact.folder)
at_low_end = ended_sums.decayed(FLOOR_PLACES[Severity.MINOR], LONGEST)
assert abs(at_low_end[1] / (rate * decayed) - 1) < 0.01
assert at_low_end[0] == at_low_end[2] == 0

# %% [markdown]
# The bound of the rate falls with orders, as it must. In points it looks different: many features are sums, not rates,
# and what a rate may still hide is more incidents at a seller of many orders. So do not read the width of the interval as
# the size of the file; it is what the points could be, if the seller's true rates were at their ends. It always holds the
# points.

# %%
sold = dict.fromkeys(rated, 0)
for row in rows:
    if row.kind == Kind.EXPOSURE and row.seller in sold:
        sold[row.seller] += row.settled_orders or 0
clean_sellers = sorted((s for s, a in rated.items() if not a.counted_incidents), key=sold.get)
few, many = clean_sellers[: len(clean_sellers) // 3], clean_sellers[-(len(clean_sellers) // 3) :]
bounds = [np.median([1000 * gamma.ppf(0.95, events) / (orders + sold[s]) for s in group]) for group in (few, many)]
widths = [np.median([rated[s].points_high - rated[s].points_low for s in group]) for group in (few, many)]
for name, bound, width in zip(("few", "many"), bounds, widths, strict=True):
    print(f"clean sellers with {name} orders: rate below {bound:.2f} per 1,000, interval {width:.0f} points wide")
assert bounds[0] > bounds[1]
assert all(a.points_low <= a.points <= a.points_high for a in rated.values())

# %% [markdown]
# ## Alleged is not confirmed
#
# Now somebody accuses the clean seller of counterfeits. Until somebody confirms it, not a point moves; the answer says
# that something is open, and what the points would be.

# %%
happened = now - 10 * DAY


def ask(sequence: int | None = None):
    """The clean seller's answer from everything recorded so far, or up to a sequence number."""
    found = ledger.facts.rows("demo", [clean], sequence or ledger.last()[0])
    return answer_of(found, [clean]).scores[0]


before, before_sequence = ask(), ledger.last()[0]
report = ViolationReported("counterfeit_goods", Harm.HIGH, Source.BRAND)
ledger.append("demo", [Entry("case-1", clean, report, happened, happened)], imported=True)
alleged = ask()
assert (alleged.points, alleged.tier, alleged.points_low) == (before.points, before.tier, before.points_low)
assert alleged.open_allegations == before.open_allegations + 1
assert alleged.points_if_upheld < before.points
print(f"{before.points} points, alleged {alleged.points}, if upheld {alleged.points_if_upheld}")

# %% [markdown]
# It is confirmed. The points are those that were announced; the tier falls at once.

# %%


def decide(action: Action, reason: str, days: int) -> None:
    """Records a decision about the case, so many days before now."""
    when = now - days * DAY
    decision = StatusChanged("case-1", action, "reviewer-3", reason)
    ledger.append("demo", [Entry(f"case-1-{action.name.lower()}", "", decision, when, when)], imported=True)


decide(Action.CONFIRM, "test buy: fake", 5)
confirmed, confirmed_sequence = ask(), ledger.last()[0]
assert confirmed.points == alleged.points_if_upheld < before.points
assert confirmed.tier < before.tier
print(f"{confirmed.points} points, tier {confirmed.tier.name.lower()}, {' '.join(confirmed.reason_codes)}")

# %% [markdown]
# ## Overturned, and the trace is gone
#
# The laboratory mixed up two parcels. Every field of the answer is what it was, the tier too: a tier rises only after
# fourteen clear days, but those days have never been otherwise.

# %%
decide(Action.OVERTURN, "the laboratory mixed up two parcels", 1)
overturned = ask()
assert overturned == before
its_past, its_present = (ledger.facts.rows("demo", [clean], end) for end in (before_sequence, ledger.last()[0]))
assert explain(answer_of(its_present, [clean])) == explain(answer_of(its_past, [clean]))
pl.DataFrame(
    [
        {"then": then, "points": a.points, "tier": a.tier.name.lower(), "open": a.open_allegations}
        for then, a in (("before", before), ("alleged", alleged), ("confirmed", confirmed), ("overturned", overturned))
    ]
)

# %% [markdown]
# ## Time travel
#
# Nothing was deleted. With the knowledge of that time the wrong answer comes again, so the seller whom it hurt gets
# an explanation.

# %%
assert ask(confirmed_sequence) == confirmed
assert ask(before_sequence) == before

# %% [markdown]
# And the seller that we began with, week by week. A past day is answered by what was reported until then and decided until
# today: the points fall when something is reported that turned out true, and come back in steps as it ages.

# %%
days = list(range(parse_day("2024-07-01"), now // DAY + 1, 7))
past = [answer_of(its_rows, [seller], d * DAY).scores[0] for d in days]
seen = [(d, a) for d, a in zip(days, past, strict=True) if a and a.points is not None]
falls = [next_.points - a.points for (_, a), (_, next_) in itertools.pairwise(seen)]
print(f"{len(seen)} weeks; the largest fall in a week {min(falls)}, the largest rise {max(falls)}")
week = seen[int(np.argmin(falls))][0]
reported = {its_rows[row].report_time // DAY for row in facts.violations.row.tolist()}
assert any(week <= day < week + 7 for day in reported)

# %%
ledger.close()
temporary.cleanup()
