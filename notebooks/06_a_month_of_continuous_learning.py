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
# # A month of continuous learning
#
# `beast learn watch` learns from the log, proves what it learnt, tries it on live requests, promotes it, watches it,
# and takes it back: by itself. Here it runs for a month on traffic made of real outcomes, of which everything is known.
# On the eleventh day the provider of a model silently serves a much smaller one under the same name. We see
#
# 1. what the loop did, step by step, and why;
# 2. what that was worth, beside a router that never learns again, and one that is retrained every day without asking;
# 3. how long it took to recover.
#
# What is simulated is the world around the loop: requests, outcomes, a registry. The loop's decisions are made by the
# code that runs live: its state machine, the drift monitor, the gates, the comparison of live variants. The same over a
# year with three shifts: `beast bench learning --parts loop`. Every figure is computed below; none is typed into the
# text.

# %%
from datetime import timedelta

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from beast_ml.benchmarks.learning.loop_part import run_year
from beast_ml.benchmarks.learning.year import Scenario
from beast_ml.benchmarks.partial_feedback import prepare_log_set
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.policy.learner import get_encoder

# %% [markdown]
# ## The world
#
# Three models answered every prompt of the quickstart's set, and a judge says how well. A right answer is worth half a
# dollar: at that, the middle one is the best buy for most prompts, until it becomes the small one.

# %%
outcomes = OutcomeMatrix.from_frame(load_quickstart()[0])
scenario = Scenario(
    days=30,
    per_day=300,
    worth_usd=0.5,
    degrades="mistralai/mistral-large-2512",
    becomes="meta-llama/llama-3.1-8b-instruct",
    degrades_at=10,
)
pd.DataFrame(
    {"mean quality": outcomes.quality.mean(axis=0), "mean cost, USD": outcomes.cost_usd.mean(axis=0)},
    index=outcomes.models,
)

# %% [markdown]
# ## The month
#
# The loop may learn every ten days, or when outcomes drift. A candidate that the log alone cannot prove serves half of
# the requests for a while; the champion that it replaces stays on a small share for three days, to compare.

# %%
config = LoopConfig(
    every=timedelta(days=10),
    min_labelled=500,
    shadow_requests=100,
    canary_units=100,
    watch_for=timedelta(days=3),
    longest=timedelta(days=7),
)
log_set = prepare_log_set(outcomes, get_encoder("hashing"))
month = run_year(log_set, 0, scenario=scenario, config=config)
pd.set_option("display.max_colwidth", None)
pd.DataFrame(month.records, columns=["day", "now", "because"]).set_index("day")

# %% [markdown]
# ## What it was worth
#
# Worth is quality less cost, in units of quality; the regret of a request is what it falls short of an oracle that
# knows every outcome beforehand. Nobody reaches zero: `informed` knows the past outcomes of every model, also of those
# that it did not choose, and stands for what can be learnt. `paretobandit` learns from every answer, by its own code;
# another router is retrained every day and promoted without asking. Both are back sooner here than the loop, which
# waits until live requests prove its candidate: that is the price of never promoting what is not proven. What such
# gates save shows over a longer time (`beast_ml/operations/learning_loop/README.md`).

# %%
shift = scenario.degrades_at
figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
for name, daily in month.regret.items():
    above.plot(daily, label=name, linewidth=2.5 if name == "loop" else 1.2)
for name, value in month.value.items():
    below.plot(value, label=name, linewidth=2.5 if name == "loop" else 1.2)
for axis in (above, below):
    axis.axvline(shift, color="grey", linestyle=":")
    axis.legend(frameon=False, fontsize="small")
above.set_ylabel("regret a request")
below.set(xlabel="day", ylabel="true worth of the router's own choices")
above.set_title("A model becomes another one on the dotted day")
plt.show()

# %%
pd.DataFrame(
    {
        "mean regret before": {name: daily[:shift].mean() for name, daily in month.regret.items()},
        "mean regret after": {name: daily[shift:].mean() for name, daily in month.regret.items()},
        "days to recover": {name: month.recovery_days(name, shift) for name in month.value},
    }
)

# %%
Markdown(
    f"The loop went through {month.n_cycles} cycles, promoted {month.n_promoted} routers, took {month.n_rolled_back} "
    f"back, and of those it promoted {month.hurt} were truly and significantly worse than what they replaced."
)

# %% [markdown]
# `days to recover` counts until four fifths of what the change cost are won back, on true worth; one that is missing
# was not reached. To run the loop on your own log: `beast learn once` by a timer, or `beast learn watch`; `beast learn
# status` and the tags of its MLflow runs tell the same story as the table above.
