# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Retraining on your own file
#
# From CSV files to a certified model, its promotion, and the way back. Everything that the text claims is computed and
# asserted in a cell, and the cells run as a test. The files are made up, so that for once we know the truth behind them;
# put your own in their place. The command line does the same in four commands: see [studies.md](../studies.md).

# %%
import json
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from plots import plot

from scoring.errors import GatesFailed
from scoring.time import format_day
from service.bootstrap import open_registry
from service.cli.imports import mapping_of_file
from service.cli.progress import StepProgress
from service.cli.train import Training
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from service.settings import load
from training.evaluation.equal_volume import auc_at_equal_volume
from training.market.files import write_market
from training.market.simulate import simulate
from training.observation.points import choose_points
from training.study.loading import load_study

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
(folder / "data").mkdir()
settings = load({"SELLERTRUST_DATA_DIR": str(folder / "data"), "SELLERTRUST_METRICS_ADDRESS": ""})
pl.Config(tbl_rows=40, fmt_str_lengths=140, tbl_width_chars=200, tbl_hide_dataframe_shape=True)

# %% [markdown]
# ## The files
#
# 1,500 sellers over two years: what they sold, what was alleged, and what became of the allegations. Some complaints are
# made in bad faith, some sellers are crooks in some months only, reports come weeks late. A fifth file, which no
# marketplace has, holds the truth.

# %%
write_market(simulate(1500, 730, date(2024, 1, 1), seed=7), folder / "files")
exposure = pl.read_csv(folder / "files" / "exposure.csv.gz")
violations = pl.read_csv(folder / "files" / "violations.csv.gz", try_parse_dates=True)
decisions = pl.read_csv(folder / "files" / "decisions.csv.gz")
violations.select("violation_id", "seller_id", "occurred_at", "reported_at", "type", "harm", "source").head(3)

# %% [markdown]
# Two facts about these files decide whether a model is honest. Most reports come more than a week after the fact: a
# model that is told of them on the day of the fact has seen the future. And some allegations come to nothing: a model
# that counts allegations punishes whoever has enemies.

# %%
lag = (violations["reported_at"] - violations["occurred_at"]).dt.total_days()
nothing = decisions.filter(pl.col("action") != "confirm")["violation_id"].n_unique() / len(violations)
print(f"reported more than a week later: {(lag > 7).mean():.0%}; dismissed, withdrawn or overturned: {nothing:.0%}")
assert (lag > 7).mean() > 0.5
assert nothing > 0.05

# %% [markdown]
# ## The mapping
#
# It says what a row means. `report_time` keeps the future out; a `status` entry says what was decided.
# All options are in [mappings.md](../mappings.md).

# %%
(folder / "mine.mapping.toml").write_text("""
marketplace = "mine"

[[files]]
path = "exposure.csv.gz"

[[files.entries]]
kind = "exposure"
entry_id = "exposure-{seller_id}-{day}"
seller = "{seller_id}"
day = "{day}"
settled_orders = "{settled_orders}"
late = "{late}"
cancelled = "{cancelled}"
not_received = "{not_received}"
returned = "{returned}"

[[files]]
path = "violations.csv.gz"

[[files.entries]]
kind = "violation"
entry_id = "{violation_id}"
seller = "{seller_id}"
occur_time = "{occurred_at}"
report_time = "{reported_at}"
violation_type = "{type}"
harm = "{harm}"
source = "{source}"
incident = "{incident_id}"
final = "{final}"
identifier_verified = "{identifier_verified}"

[[files]]
path = "decisions.csv.gz"

[[files.entries]]
kind = "status"
entry_id = "{decision_id}"
seller = "{seller_id}"
occur_time = "{decided_at}"
report_time = "{decided_at}"
violation = "{violation_id}"
action = "{action}"
actor = "{actor}"
reason = "{reason}"
""")
mapping = mapping_of_file(folder / "mine.mapping.toml")
with Ledger.open(settings.database_url, create=True) as ledger:
    first = import_files(ledger, mapping, folder / "files", lambda *_: None)
print(f"{first.appended:,} entries appended, {len(first.rejects)} rows rejected")
assert first.rejects == []
assert first.appended == len(exposure) + len(violations) + len(decisions)

# %% [markdown]
# The ledger only grows, and the same entry is never there twice: to import a mended file again is safe.

# %%
with Ledger.open(settings.database_url) as ledger:
    (folder / "again").mkdir()
    for name, rows in (("exposure", 200), ("violations", 50), ("decisions", 50)):
        pl.read_csv(folder / "files" / f"{name}.csv.gz").head(rows).write_csv(folder / "again" / f"{name}.csv")
    text = (folder / "mine.mapping.toml").read_text().replace(".csv.gz", ".csv")
    (folder / "again.mapping.toml").write_text(text)
    again = import_files(ledger, mapping_of_file(folder / "again.mapping.toml"), folder / "again", lambda *_: None)
assert (again.appended, again.already_present) == (0, 300)

# %% [markdown]
# ## The study
#
# Will the seller do serious harm within 180 days, per 1,000 orders? The truth is read 45 days after the window: what was
# confirmed by then counts, what was overturned at any later time does not.

# %%
(folder / "mine.toml").write_text("""
name = "mine"
marketplace = "mine"

[observation]
train_points = 4
step_days = 30

[window]
days = 180
maturity_days = 45

[bad]
any = [{ harm = "high" }]

[exposure]
reference_orders = 1000

[model]
rounds = 100
""")
study = load_study(folder / "mine.toml")

# %% [markdown]
# ## Dry run: look before you train
#
# The first three of nine steps. Sellers are observed at five days; the model learns from four and is asked about the
# fifth. Each training window, with its maturity, is over before the test begins, or the study is refused.

# %%
training = Training(settings, folder / "mine.toml")
with StepProgress() as progress:
    training.read(None, progress)
    planned = training.plan(progress)
pl.DataFrame({"step": list(planned.lines), "says": list(planned.lines.values())})

# %%
points = choose_points(training.job.table, study)
windows = pl.DataFrame(
    [
        {"used to": use, "observed": format_day(p.day), "window ends": format_day(p.window_end)}
        for use, used in (("train", points.train), ("test", points.test))
        for p in used
    ]
)
assert all(p.window_end + study.window.maturity_days <= points.test[0].day for p in points.train)
windows

# %% [markdown]
# The check that matters most deletes everything that happened or was reported from the observation day on, rebuilds the
# features and compares them bit by bit. Another trains on shuffled labels, which must tell nothing.

# %%
checks = pl.DataFrame([{k: c[k] for k in ("check", "ok", "text")} for c in planned.evaluation["checks"]["leakage"]])
by_name = {check["check"]: check for check in planned.evaluation["checks"]["leakage"]}
assert by_name["future_deleted"]["number"] == 0
assert by_name["shuffled_labels"]["ok"]
checks

# %% [markdown]
# ## Train
#
# By the very functions that `sellertrust train` calls. It trains twice and compares the digests; it serves the model
# on a socket of its own and reads features back over gRPC, to the last bit.

# %%
with StepProgress() as progress:
    trained = training.run(progress)
gates = {gate["gate"]: gate for gate in trained.gates["gates"]}
for name in ("certificate", "parity", "golden", "reproducible"):
    assert gates[name]["ok"], gates[name]["text"]
pl.DataFrame([{k: gate[k] for k in ("gate", "kind", "ok", "text")} for gate in gates.values()])

# %% [markdown]
# ## Is it any good?
#
# Compared out of time, on the same rows, by the scores as they are served: over the reference exposure, since nobody knows
# the orders to come. A lone AUC says nothing; the paired difference to a logistic regression on the same columns says
# whether the trees were worth it. Who sells more is bad more often, so a raw count of violations, or the volume of the window
# alone, may rank well without saying who deserves trust: the second column compares pairs of like volume only.

# %%
found = trained.evaluation
alike = found["equal_volume"]
ranking = pl.DataFrame(
    [
        {"model": name, "all pairs": round(v["value"], 3), "at equal volume": round(alike["auc"][name]["value"], 3)}
        for name, v in found["auc"].items()
    ]
)
difference = found["difference"]["lightgbm-logistic"]
says = "better than" if difference["low"] > 0 else "worse than" if difference["high"] < 0 else "not told apart from"
print(f"the trees are {says} a logistic regression: {difference['value']:+.3f} AUC")
assert found["auc"]["lightgbm"]["low"] > 0.5
assert alike["difference"]["lightgbm-points_rule"]["low"] > 0
assert alike["difference"]["lightgbm-raw_count"]["value"] > 0
ranking

# %% [markdown]
# Here the truth is known. The best that any model could rank by is each seller's own hazard, and even that does not
# reach 1: who offends within half a year is chance, too. If your AUC is near 1, look for the leak.

# %%
truth = pl.read_parquet(folder / "files" / "truth.parquet")
hazard = dict(zip(truth["seller_id"], truth["hazard_per_1000"], strict=True))
test = trained.test
hazards = np.array([hazard[training.job.table.sellers[code]] for code in test.seller.tolist()])
attainable = auc_at_equal_volume(hazards, test.bad, test.window_orders, test.seller).value
print(f"at equal volume: model {alike['auc']['lightgbm']['value']:.3f}, the sellers' true hazards {attainable:.3f}")
assert alike["auc"]["lightgbm"]["value"] < attainable < 0.97

# %% [markdown]
# A page that adds up may have a price, and it is measured: a model of all features whose trees use any of them. Here none can
# be shown: at equal volume the interval of the paired difference holds 0.

# %%
price = alike["difference"]["lightgbm-unconstrained"]
print(
    "the page less trees of any features, at equal volume: {value:+.4f} AUC ({low:+.4f} to {high:+.4f})".format(**price)
)
assert price["low"] <= 0 <= price["high"]

# %% [markdown]
# ## Are its probabilities right?
#
# Predicted and observed by tenth of volume: a model may be right on average and wrong for the small. On the straight
# line predictions would be right.

# %%
volume = pl.DataFrame(found["calibration_by_volume"]).select(
    "orders_from", "orders_to", "rows", "predicted", "observed", "low", "high"
)
inside = ((volume["predicted"] >= volume["low"]) & (volume["predicted"] <= volume["high"])).sum()
print(f"in {inside} of {len(volume)} tenths the prediction lies in the observed rate's 95 % interval")
assert inside >= len(volume) - 3
volume

# %%
rows = volume.sort("predicted")
most = float(max(rows["predicted"].max(), rows["high"].max()))
plot(
    {
        "observed, with 95 % intervals": (rows["predicted"].to_list(), rows["observed"].to_list()),
        "right": ([0, most], [0, most]),
    },
    "predicted share of bad sellers",
    "observed share",
    between=(rows["predicted"].to_list(), rows["low"].to_list(), rows["high"].to_list()),
)

# %% [markdown]
# ## What does it do?
#
# The model is a page: base points, and what each feature takes from them. Points never turn: more of what speaks against a
# seller never raises them. That is proven row by row; here we only look. `sellertrust model card` shows the whole page.

# %%
tables = sorted(found["page"]["tables"], key=lambda table: min(table["points"]))
for table in tables[:2]:
    print(table["features"][0], "of a base of", found["page"]["base"], "points")
    for row, points in zip(table["rows"], table["points"], strict=True):
        print(f"  {row:40} {points:5}")

# %% [markdown]
# ## Register and promote
#
# The model goes to the registry with its gates and its report. A first model whose gates all pass becomes champion at
# once. Past a failed gate it takes a person's name, which is kept for ever; without one the promotion is refused.

# %%
row = training.finish(trained, publish=True, report=folder / "report.html")
registry = open_registry(settings)
digest = row["digest"]
hard, advisory = row["failed_hard"], row["failed_advisory"]
print(f"{row['alias']} {digest[:12]}; failed: hard {hard}, advisory {advisory}")
assert (folder / "report.html").stat().st_size < 2_000_000


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


if hard or advisory:
    assert row["alias"] == "challenger"
    try:
        registry.promote(digest, actor="me", reason="it looks good", now=now())
        raise AssertionError("promoted past a failed gate")
    except GatesFailed as error:
        print(error.message)
    names = {"override": "A. Lead" if hard else "", "sign_off": "A. Lead" if advisory else ""}
    registry.promote(digest, actor="me", reason="a lesson", now=now(), **names)
assert registry.champion() == digest

# %% [markdown]
# ## The world moved: recalibrate
#
# When the ranking still holds and only the level is off, keep every table and fit the base anew. The test compares it
# with the champion, as it will every later training. `verify=False` leaves one hard gate unproven, *reproducible*: what
# nobody has looked at does not pass.

# %%
second = Training(settings, folder / "mine.toml", recalibrate=True, verify=False)
with StepProgress() as progress:
    second.read(None, progress)
    shifted = second.run(progress)
assert shifted.parts["model.txt"] == trained.parts["model.txt"]
assert json.loads(shifted.parts["lineage.json"])["recalibrated_from"] == digest
assert "champion" in shifted.evaluation["auc"]
other = second.finish(shifted, publish=True, report=None)
print(f"{other['alias']} {other['digest'][:12]}; {shifted.lines['impact']}")
assert "reproducible" in other["failed_hard"]

# %% [markdown]
# ## And back
#
# Promote it by override, regret it, go back. Nothing is lost on the way: models stay under their digests, and the log
# says who did what, and why.

# %%
if other["digest"] != digest:
    names = {"override": "A. Lead", "sign_off": "A. Lead" if other["failed_advisory"] else ""}
    registry.promote(other["digest"], actor="me", reason="a lesson", now=now(), **names)
    assert registry.champion() == other["digest"]
    started = time.perf_counter()
    registry.rollback(actor="me", reason="regretted", now=now())
    print(f"back after {time.perf_counter() - started:.3f} s")
assert registry.champion() == digest
pl.DataFrame(
    [
        {"alias": m.alias, "digest": m.digest[:12], "who": m.actor, "why": m.reason, "auc": m.figures.get("auc")}
        for m in registry.history()
    ]
)

# %%
temporary.cleanup()
