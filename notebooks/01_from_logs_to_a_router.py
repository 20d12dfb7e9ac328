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
# # From logs to a router
#
# You run several language models and have a log of which model answered which request. This notebook takes such
# a log to a registered router that decides, in one sitting:
#
# 1. make a log that looks like production, from real outcomes of real models;
# 2. ingest it, and ask what it is good for;
# 3. train a router from the log alone, and one from full outcomes;
# 4. compare both with the truth, which a simulated log lets us know;
# 5. promote through the gates, load the champion, route, estimate, explain.
#
# Everything is written to a temporary folder. With your own log, start at step 2.

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import msgspec
import numpy as np
import pandas as pd
from IPython.display import Markdown

from beast_ml import LogStore, OutcomeMatrix, Router, RouterLearner, train
from beast_ml.domain import SystemClock
from beast_ml.evaluation.realised import realised_value
from beast_ml.logs.ingest import ingest
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.logs.quality_report import log_quality
from beast_ml.logs.simulate import (
    ArrivalConfig,
    FailureConfig,
    LabelConfig,
    PolicyConfig,
    SimulationConfig,
    TrafficConfig,
    write_simulation,
)
from beast_ml.operations.log_training import train_from_log
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.promotion import promote

work = Path(tempfile.mkdtemp(prefix="beast-notebook-"))
tracking = TrackingConfig(f"sqlite:///{work / 'mlflow.db'}", work / "mlartifacts")
pd.set_option("display.precision", 4, "display.max_colwidth", 160)

# %% [markdown]
# ## 1. Outcomes, and a log made of them
#
# The outcome table holds, for each prompt, the judged quality and the price of *every* model's answer. Such
# full information is rare: you pay for it by asking all models.

# %%
frames = load_quickstart()
training, test = (OutcomeMatrix.from_frame(frame) for frame in frames)
frames[0].head(3)

# %% [markdown]
# Production gives you less: one model is chosen per request, and only its outcome is seen. We simulate that. A
# policy that prefers good models but also tries the others (a softmax over each task's mean quality) answers a
# week of traffic; some calls fail, one answer in five is never judged, and judgements come hours later. The
# policy writes down with what probability it chose: the *propensity*. That one number is what makes the log
# useful later.

# %%
config = SimulationConfig(
    requests=3_000,
    policy=PolicyConfig(kind="softmax", temperature=0.1, per="task"),
    arrivals=ArrivalConfig(kind="diurnal"),
    traffic=TrafficConfig(repeat_zipf=0.5),
    failures=FailureConfig(rate=0.02),
    labels=LabelConfig(share=0.8, mean_delay_h=6.0),
)
simulation = write_simulation(training, config, 0, work / "simulated", form="jsonl")
log_file = simulation.folder / "requests.jsonl"
with log_file.open() as lines:
    first = json.loads(next(lines))
{name: value for name, value in first.items() if name != "prompt" and value is not None}

# %% [markdown]
# ## 2. Ingest, and ask what the log is good for
#
# Every row is accepted, recognised as a copy, or put into quarantine with a reason. Nothing disappears.

# %%
store = LogStore(work / "logs")
summary = ingest([log_file], store, work / "quarantine")
pd.Series({name: n for name, n in summary.to_dict().items() if name.startswith("n_")}, name="rows")

# %%
report = log_quality(store, SystemClock(), summary.quarantined)
pd.DataFrame([msgspec.to_builtins(model) for model in report.models]).set_index("model")

# %% [markdown]
# The *effective sample size* tells how many uniformly random choices the log is worth: a policy that rarely
# tries a model leaves little to learn about it.

# %%
found = "\n".join(f"- {sentence}" for sentence in report.suspicions) or "Nothing looks wrong."
Markdown(
    f"{report.n_requests:,} requests, {report.feedback_coverage:.0%} of the answers judged, propensities from "
    f"{report.propensity.minimum:.3f} to {report.propensity.maximum:.3f}, effective sample size "
    f"{report.propensity.effective_sample_size:,.0f}.\n\n{found}"
)

# %%
days = pd.Series(report.days)
figure, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
axes.bar(days.index, days, color="#30638e")
axes.set_ylabel("requests")
axes.tick_params(axis="x", labelrotation=30)
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## 3. Train
#
# **From the log.** Nearly a third of the questions is held out. For them we know only what the chosen model
# did, so what another policy *would have* got is estimated: doubly robust, from predictions corrected by
# propensities. The question is whether the router may take over from *the policy that wrote the log*.

# %%
from_log = train_from_log(
    store.logged_outcomes(), tracking=tracking, learner=RouterLearner(), name="simulated log", source=str(store.path)
)
Markdown(f"**{from_log.sentence}**")

# %%
pd.DataFrame(from_log.evidence.rows(), columns=["on held-out requests", "mean [95% interval]"])

# %% [markdown]
# **From outcomes.** Where every model's answer is known, nothing has to be estimated: the router is scored on
# test prompts it has not seen, against *the best single model*.

# %%
from_outcomes = train(training, test, tracking=tracking, learner=RouterLearner(), name="quickstart")
Markdown(f"**{from_outcomes.evaluation.verdict.sentence}**")

# %% [markdown]
# Both are registered in MLflow as versions of `beast-router`, each with its data, metrics, plots, model card
# and evidence (`beast ui` shows them). Neither serves yet.
#
# ## 4. Compare with the truth
#
# We have what production never has: the outcome of every model on the test prompts. So let both routers decide
# there, and look up what they really got, against always calling the best single model.

# %%
reference = from_outcomes.evaluation.verdict.model
routers = {
    name: Router.load(result.registered.uri, tracking_uri=tracking.uri, cache=work / "bundles")
    for name, result in {"from the log": from_log, "from outcomes": from_outcomes}.items()
}
values = {
    name: realised_value(
        test,
        [decision.model for decision in router.route_batch(test.prompts)],
        reference,
        np.random.default_rng(0),
    )
    for name, router in routers.items()
}
truth = pd.DataFrame(
    {
        (name, figure): getattr(value, figure).to_dict()
        for name, value in values.items()
        for figure in ("quality", "quality_gain", "saving")
    }
).T
truth

# %%
figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
axes.scatter(test.cost_usd.mean(axis=0), test.quality.mean(axis=0), color="0.5", label="single models")
for name, cost, quality in zip(test.models, test.cost_usd.mean(axis=0), test.quality.mean(axis=0), strict=True):
    axes.annotate(name.split("/")[-1], (cost, quality), (0, 9), textcoords="offset points", fontsize=7, ha="center")
logging = simulation.description["true_value"]["logging_policy"]
axes.scatter(logging["cost_usd"], logging["quality"], marker="s", color="#edae49", label="the log's policy, on the log")
for (name, value), colour in zip(values.items(), ("#d1495b", "#0b6e4f"), strict=True):
    arms = [[value.quality.value - value.quality.low], [value.quality.high - value.quality.value]]
    point = (value.cost_usd.value, value.quality.value)
    axes.errorbar(
        *point, yerr=arms, fmt="D", markersize=5, capsize=4, color=colour, label=f"router {name}, 95% interval"
    )
axes.set_xscale("log")
axes.set_xlabel("USD per query")
axes.set_ylabel("mean quality on test prompts")
axes.margins(x=0.15, y=0.12)
axes.legend(fontsize=7, loc="lower right")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Read the two with their references in mind. The router from the log was asked to be better than *the policy
# that wrote the log* for no more money; where that policy is worse than the best single model, such a router
# may be, too. And look at the single models beside it: a router that lands next to one of them adds little to simply
# calling that one. A log that explores more, or is longer, lets a router aim higher.
#
# ## 5. Promote, load, route
#
# `promote` moves the alias `champion`, which is what serves, only if the evidence passes every gate. If routing
# does not pay, the champion becomes a bundle that always answers with the best single model.

# %%
promotion = promote(tracking, from_outcomes.registered.version)
Markdown(f"**{promotion.sentence}.**")

# %%
pd.DataFrame([msgspec.to_builtins(check) for check in promotion.report.checks])[["name", "passed", "got", "needed"]]

# %%
router = Router.load("models:/beast-router@champion", tracking_uri=tracking.uri, cache=work / "bundles")
prompt = "A train leaves at 9:40 and arrives at 13:05. Its mean speed is 84 km/h. How far did it travel?"
decision = router.route(prompt, explain=True)
Markdown(f"`{decision.model}`, propensity {decision.propensity:g}. {decision.explanation.reason}.")

# %% [markdown]
# **Estimate**: what each candidate would cost and how good it would be, before anything is sent. The brackets
# are 90% intervals; for cost they hold what one call will cost, for quality the mean over requests that are
# predicted alike.

# %%
pd.DataFrame(
    {
        forecast.model: {
            f"{target} {end}": value
            for target in ("quality", "cost_usd")
            for end, value in msgspec.to_builtins(getattr(forecast, target)).items()
        }
        for forecast in router.forecast(prompt)
    }
).T

# %% [markdown]
# **Explain**: the runner-up, and what it would have changed.

# %%
msgspec.to_builtins(decision.explanation)

# %% [markdown]
# **Constrain**: a ceiling on cost, a floor on quality, or fewer candidates for one request. The explanation
# names the constraint that decided.

# %%
cheapest = min(decision.forecasts, key=lambda forecast: forecast.cost_usd.value)
asked = {
    "no constraint": {},
    "a ceiling just above the cheapest": {"max_cost_usd": 1.01 * cheapest.cost_usd.value},
    f"without {decision.model}": {"candidates": [model for model in router.models if model != decision.model]},
}
answers = {what: router.route(prompt, explain=True, **constraints) for what, constraints in asked.items()}
pd.DataFrame({what: {"model": answer.model, "why": answer.explanation.reason} for what, answer in answers.items()}).T

# %% [markdown]
# Log each decision with its propensity and, later, its outcome: that is the next log. On the command line the
# same is `beast logs ingest`, `beast logs check`, `beast train`, `beast promote`, `beast route` and `beast
# estimate`; notebook 02 asks whether routing pays at all.
