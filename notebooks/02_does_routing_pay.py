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
# # Does routing pay?
#
# A router sends each request to one of several models. It is worth having only if it beats what you can do
# without one: always call the best single model. Often it does not, and then the right answer is *use that
# model*. This notebook asks the question on real outcomes and reads the answer carefully:
#
# 1. the frontier: what quality costs, with and without a router;
# 2. how much of the possible gain is realised, beside simpler routers;
# 3. what is saved if we give up no quality, 1% or 5%;
# 4. whether predicted quality and cost mean what they say, by model and by kind of request;
# 5. when it does not pay.
#
# Every figure is computed below; none is typed into the text.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image, Markdown

from beast_ml import OutcomeMatrix, RouterLearner, evaluate
from beast_ml.evaluation.by_task import judge_by_task
from beast_ml.evaluation.routing import RoutingConfig
from beast_ml.evaluation.savings import savings_at
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.operations.plots import draw_calibration, draw_cost_accuracy
from beast_ml.policy.learner import get_encoder

work = Path(tempfile.mkdtemp(prefix="beast-notebook-"))
pd.set_option("display.precision", 4)

# %% [markdown]
# ## The data
#
# Real prompts from public benchmarks, answered by three models; a judge scored each answer (0..1), and the
# price of each call is known. The router learns on one part and is scored on the other, which it has never
# seen. No prompt is in both.

# %%
training, test = (OutcomeMatrix.from_frame(frame) for frame in load_quickstart())
pd.DataFrame(
    {"quality": test.quality.mean(axis=0), "USD per query": test.cost_usd.mean(axis=0)}, index=list(test.models)
).sort_values("quality")

# %% [markdown]
# ## Train and evaluate
#
# `evaluate` fits the router on the training part, lets it and every baseline decide each test prompt, and only
# then looks at the test outcomes. The *operating point* (how much we pay for quality) is chosen on training
# data alone: the cheapest trade-off that is as good as the best single model there.

# %%
evaluation = evaluate(training, test, RouterLearner(), get_encoder("static"), RoutingConfig(n_resamples=500))
Markdown(f"**{evaluation.verdict.sentence}**")

# %% [markdown]
# The brackets are 95% intervals from resampling test queries. The rule behind the sentence: routing pays if it
# costs less *for certain* and loses at most one point of quality *for certain*, or if it is better for certain.
#
# ## The frontier
#
# Grey dots are the single models. The dashed line is what you get by mixing them blindly (the *zero router*): a
# router that knows nothing about the prompt can reach it. Only what lies above the dashed line is the router's
# merit. The dotted line, the *oracle*, sees the outcomes before choosing; part of it is luck that nobody can
# predict.

# %%
evaluation.write(work / "evaluation")
Image(filename=work / "evaluation" / "frontier.png", width=820)

# %% [markdown]
# ## How much of the gap is closed?
#
# AIQ is the mean height of a router's frontier. The *share of the gap* puts it on a scale: 0 is mixing single
# models, 1 is the oracle. `knn` looks up similar training prompts; `best_per_task` guesses the task and takes
# the model that is best for it; `best_per_true_task` is told the task, which a router usually is not. `random`
# flips a coin between the cheapest and the best model: it falls below the zero router where the blind mix of
# two models is not the best mix of three.

# %%
shares = pd.DataFrame(
    {
        name: evaluation.scores[name].curve["share_of_gap"].to_dict()
        for name in ("beast", "knn", "best_per_task", "best_per_true_task", "random", "oracle")
    }
).T.astype(float)
shares

# %%
learned = shares.drop(index=["random", "oracle"]).iloc[::-1]
figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
arms = [learned["value"] - learned["low"], learned["high"] - learned["value"]]
axes.errorbar(learned["value"], learned.index, xerr=arms, fmt="o", color="#0b6e4f", capsize=3)
axes.axvline(0, color="0.6", linewidth=1)
axes.margins(y=0.15)
axes.set_xlabel("share of the zero-router-to-oracle gap closed, 95% interval")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Where intervals overlap widely, do not read an order into the dots. (All routers are scored on the same
# resamples, so the intervals move together; overlap alone does not prove that two routers are equal either.)
#
# ## What is saved at 100%, 99% and 95% of the best single model's quality?
#
# Read off the test frontier, so with hindsight: a bound on what a well-chosen operating point gets. The zero
# router is beside it because *anyone* saves money by accepting less quality. The router's merit is the
# difference: where the zero router saves almost as much, a cheaper single model does the same and you need no
# router.

# %%
reference = evaluation.verdict.model
savings = {
    (name, f"{saving.quality_fraction:.0%}"): saving.saving.to_dict()
    for name, points in {
        "beast": evaluation.scores["beast"].points,
        "knn": evaluation.scores["knn"].points,
        "zero router": evaluation.board.singles,
        "oracle": evaluation.board.oracle,
    }.items()
    for saving in savings_at(evaluation.board, points)
}
table = pd.DataFrame(savings).T.rename_axis(["router", f"of the quality of {reference}"]).astype(float)
table.style.format("{:.1%}")

# %% [markdown]
# What the router gets *without* hindsight is its operating point:

# %%
operating = evaluation.scores["beast"].operating
pd.DataFrame({name: operating[name].to_dict() for name in ("quality", "quality_gain", "cost", "saving")}).T

# %% [markdown]
# It was chosen on training data, with a margin for chance, so where on the frontier it ends up is not known
# beforehand.
#
# ## Do predictions mean what they say?
#
# If the router says 0.9, answers like this should be worth 0.9 on average: then the points below lie on the
# diagonal.

# %%
[ours] = [router for router in evaluation.decisions if router.name == "beast"]
draw_calibration(work / "calibration.png", test.models, ours.predictions.quality, test.quality)
Image(filename=work / "calibration.png", width=560)

# %% [markdown]
# ECE is the mean distance from the diagonal. It is never zero on a finite sample, so beside it stands the
# floor: what a perfectly calibrated predictor would show by chance. Only an excess over the floor is an error.
# AUC says how often a right answer was predicted better than a wrong one *of the same model*: 0.5 is a coin.
# Where it is near that, the router cannot tell which answers of this model will fail, and lives on the
# differences between models.

# %%
calibration = evaluation.scores["beast"].calibration
Markdown(
    f"All models: ECE {calibration.ece.value:.4f} [{calibration.ece.low:.4f}, {calibration.ece.high:.4f}], "
    f"floor {calibration.ece_floor:.4f} (95% quantile {calibration.ece_floor_high:.4f})"
)

# %%
pd.DataFrame(calibration.per_model).T

# %% [markdown]
# ## By kind of request
#
# Averages hide a lot. For each task of the test set: what the router changes against always calling the best
# single model, where the requests go, and the calibration there. Each interval is for its task alone; with this
# many rows, one in twenty may miss the truth.

# %%
results = judge_by_task(evaluation, test, np.random.default_rng(0))
by_task = pd.DataFrame(
    {
        "queries": [result.n_queries for result in results],
        "best model (hindsight)": [result.best_model.split("/")[-1] for result in results],
        "quality gain": [result.quality_gain.value for result in results],
        "saving": [result.saving.value for result in results],
        "ECE": [result.calibration.ece.value for result in results],
        "ECE floor": [result.calibration.ece_floor for result in results],
    },
    index=[result.task for result in results],
)
by_task

# %%
gains = pd.DataFrame({result.task: result.quality_gain.to_dict() for result in results}).T.astype(float).iloc[::-1]
sent = pd.DataFrame({result.task: result.shares for result in results}).T.fillna(0.0).iloc[::-1]
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 0.45 * len(gains) + 1.4), layout="constrained", sharey=True)
left.errorbar(
    gains["value"], gains.index, xerr=[gains["value"] - gains["low"], gains["high"] - gains["value"]], fmt="o",
    color="#0b6e4f", capsize=3,
)  # fmt: skip
left.axvline(0, color="0.6", linewidth=1)
left.set_xlabel(f"quality gain over {reference}")
sent.plot.barh(stacked=True, ax=right, width=0.7, color=["#30638e", "#edae49", "#d1495b"])
right.set_xlabel("share of the requests sent to each model")
right.legend().remove()
figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=8, frameon=False)

# %% [markdown]
# ## Cost, known before the request
#
# A router that is wrong about cost is wrong about the trade-off. R² of the logarithm is what is explained
# *within* a model (that one model costs more than another is easy); the median ratio error says how far a
# typical prediction is off.

# %%
draw_cost_accuracy(work / "cost.png", test.models, ours.predictions.cost, test.cost_usd, "USD")
Image(filename=work / "cost.png", width=560)

# %%
pd.DataFrame(evaluation.scores["beast"].cost_accuracy.per_model).T

# %% [markdown]
# ## When it does not pay
#
# Suppose your traffic were of one kind only. We ask the same question again for the two most frequent tasks of
# the test set, as if each were all there is: train on its training queries, score on its test queries.

# %%
alone = {
    task: evaluate(
        training.rows(training.tasks == task),
        test.rows(test.tasks == task),
        RouterLearner(),
        get_encoder("static"),
        RoutingConfig(n_resamples=500),
    )
    for task in by_task.index[:2]
}
Markdown("\n".join(f"- {task}: **{found.verdict.sentence}**" for task, found in alone.items()))

# %% [markdown]
# Where a sentence starts with "Use", that is the result: on requests of that kind one model is about as good as
# any choice among them, or the outcomes are too few to prove otherwise. The best single model need not be the
# one that is best over all tasks.
#
# Routing tends not to pay when
# - one model is both (nearly) the best and cheap;
# - the models fail on the same requests;
# - kinds of request that separate the models are rare in *your* traffic;
# - there are too few outcomes to tell: a wide interval is a reason to collect data, not to hope.
#
# ## The verdict

# %%
Markdown(f"**{evaluation.verdict.sentence}**")

# %% [markdown]
# It holds for requests like these test prompts, these models and these prices. To ask the question about your
# own: `beast evaluate routing --train A.parquet --test B.parquet --out DIR`.
