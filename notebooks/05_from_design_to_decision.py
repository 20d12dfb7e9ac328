# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An experiment, from design to decision
#
# Is the new policy better? An ordinary test answers that once, at a sample size fixed beforehand. Who looks daily and
# stops when it "becomes significant" is wrong far oftener than 5% of the time. This notebook takes an experiment from
# its design to its decision with tests that may be looked at whenever you like:
#
# 1. how many units it takes, looked at once or all the time;
# 2. two variants on the outcomes of real models, request by request: when could you have stopped?
# 3. what looking all the time does to an ordinary test, on variants that do not differ;
# 4. covariates: the same answer from fewer units;
# 5. what must make you distrust an answer.
#
# Every figure is computed below; none is typed into the text.

# %%
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from IPython.display import Image, Markdown

from beast_ml.benchmarks.learning.sequential import false_alarms
from beast_ml.experiments import (
    Observations,
    analyze,
    design_for_effect,
    draw_experiment,
    reach_verdict,
)
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart

work = Path(tempfile.mkdtemp(prefix="beast-notebook-"))
rng = np.random.default_rng(0)

# %% [markdown]
# ## Design
#
# Every outcome of every model is known here, so we know how much a request's quality varies. The control always asks
# one model of the middle of the field, the variants ask others.

# %%
outcomes = OutcomeMatrix.from_frame(load_quickstart()[0])
known = outcomes.rows(np.flatnonzero(np.isfinite(outcomes.quality).all(axis=1)))
quality = pd.Series(known.quality.mean(axis=0), index=known.models).sort_values()
arms = {
    "control": quality.index[len(quality) // 2],
    "better": quality.index[-1],
    "worse": quality.index[0],
}
pd.DataFrame({"model": arms, "mean quality": {name: quality[model] for name, model in arms.items()}})

# %%
spread = float(known.quality.std())
plan = design_for_effect(0.03, spread, (1 / 3, 1 / 3, 1 / 3), units_per_day=500)
pd.DataFrame(
    {
        "units": [plan.n_fixed, plan.n_mean, plan.n_mean_at_twice, plan.n_most],
        "days": [plan.days(n) for n in (plan.n_fixed, plan.n_mean, plan.n_mean_at_twice, plan.n_most)],
    },
    index=["one look", "always looking, on average", "... if the effect is twice as large", "... at most"],
)

# %% [markdown]
# ## Run
#
# Users come by, a request each; each is drawn for one variant, whose model answers a question of the set.

# %%
n = 4_000
names = np.array(list(arms))
variant = names[rng.integers(3, size=n)]
question = rng.integers(known.n_queries, size=n)
column = np.array([known.models.index(arms[name]) for name in variant])
table = pa.table(
    {
        "unit_id": np.arange(n),
        "variant": variant,
        "value": known.quality[question, column],
        "hardness": known.quality[question].mean(axis=1),
        "observed_at": pd.date_range("2026-03-01", periods=n, freq="173s", tz="UTC"),
    }
)
now = datetime(2026, 6, 1, tzinfo=UTC)
analysis = analyze(Observations.from_table(table, now), "quality", shares=dict.fromkeys(arms, 1 / 3))
verdict = reach_verdict(analysis)
Markdown("\n".join([f"**{verdict.sentence}**", "", *(f"- {reason}" for reason in verdict.reasons[1:])]))

# %%
columns = ["effect", "low", "high", "p_value", "found_at", "n_units"]
pd.DataFrame(analysis.to_dict()["variants"]).T[columns]

# %%
effects, p_values, forest = draw_experiment(work, analysis)
Image(effects)

# %% [markdown]
# ## What looking all the time does to an ordinary test
#
# Experiments without any difference, looked at after each of a thousand observations: how many ever claim one?

# %%
alarms = [false_alarms(name, 200, 1_000, 0) for name in ("normal, halves", "binary (0.5), halves")]
pd.DataFrame(
    {
        "always-valid test": [each.rate for each in alarms],
        "ordinary test": [each.ordinary_rate for each in alarms],
    },
    index=[each.outcomes for each in alarms],
)

# %% [markdown]
# ## Covariates
#
# How hard a question is has nothing to do with the variant, and much with the outcome. Here it is known from all
# models' answers; in production a prediction for fixed models, or the user's own past, plays its part. A covariate that
# the variant acts on would hide the effect, and is refused.

# %%
adjusted = analyze(Observations.from_table(table, now, ["hardness"]), "quality")
pd.DataFrame(
    {
        each.name: {
            "width without": alone.high - alone.low,
            "width with": each.high - each.low,
            "variance explained": each.variance_reduction,
        }
        for alone, each in zip(analysis.comparisons, adjusted.comparisons, strict=True)
    }
).T

# %% [markdown]
# ## When not to trust it
#
# A fifth of the best variant's rows get lost on the way to the log. Nobody knows which, so the groups may differ in
# more than the variant, and no figure means anything: the division of the units tells.

# %%
frame = table.to_pandas()
lost = (frame["variant"] == "better") & (rng.random(n) < 0.2)
broken = analyze(
    Observations.from_table(pa.Table.from_pandas(frame[~lost]), now), "quality", shares=dict.fromkeys(arms, 1 / 3)
)
Markdown(f"**{reach_verdict(broken).sentence}**")
