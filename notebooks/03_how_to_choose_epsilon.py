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
# # How to choose epsilon
#
# A semantic cache answers a request with what was answered to one that is *alike*. Sometimes that is wrong, and
# epsilon is how often you allow it: **wrong hits / lookups**. A verifier scores each pair of request and cached
# candidate, and the threshold on its score is as loose as epsilon permits. This notebook asks what epsilon buys:
#
# 1. labelled pairs, and a verifier learnt from them;
# 2. hits against false hits, beside a fixed cosine;
# 3. the promise: is epsilon kept on pairs that did not choose the threshold, and how many labels does it take;
# 4. the threshold in service: what happens when traffic changes;
# 5. dollars: which epsilon pays, given what a call costs and what a wrong answer costs you.
#
# Every figure is computed below; none is typed into the text.

# %%
import os
import tempfile
from math import ceil, inf, log, log1p
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image, Markdown

from beast_ml.benchmarks.cache.pair_sets import adversarial_pairs, load_pairs
from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
from beast_ml.cache.verifier.curve_plot import Line, draw_lines
from beast_ml.cache.verifier.labelled import joined_pairs
from beast_ml.cache.verifier.online import OnlineThreshold
from beast_ml.cache.verifier.operating_points import verifier_curves
from beast_ml.cache.verifier.risk import RiskTarget, choose_threshold
from beast_ml.cache.verifier.text_vectors import StoredVectors
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.cache.verifier.variants import changed_pairs
from beast_ml.errors import InputError
from beast_ml.features.distill import static_encoder
from beast_ml.logs.public.quickstart import load_quickstart

work = Path(tempfile.mkdtemp(prefix="beast-notebook-"))
pd.set_option("display.max_colwidth", 70)

# %% [markdown]
# ## The pairs
#
# A labelled pair is a lookup: a request, the candidate that the index found for it, and whether the candidate's
# answer was right. Yours come from your own traffic. Here they are questions that people labelled (`cache_qqp`) if
# `BEAST_DATA_DIR` names a folder that has them; else pairs written by hand, where one word changes the answer or
# none does, and real prompts changed by rule. The latter are *easier* than life: take them for the method, not for
# the figures.

# %%
rng = np.random.default_rng(0)
quickstart = pd.concat(load_quickstart())
try:
    pairs, source = load_pairs(Path(os.environ.get("BEAST_DATA_DIR", "data")), "qqp", 4000), "questions people labelled"
except InputError:
    prompts = quickstart["prompt"].drop_duplicates()
    changed = changed_pairs(tuple(prompts[prompts.str.len() <= 160]), 1000, rng)
    pairs, source = joined_pairs([adversarial_pairs(), changed]), "written by hand, and prompts changed by rule"
Markdown(f"{len(pairs):,} pairs ({source}); for {pairs.same.mean():.0%} of them the answer may be served.")

# %% [markdown]
# ## The verifier
#
# `fit` learns from all pairs, and scores each pair once more with a model that saw *neither of its texts*. These
# cross-fitted scores are the evidence that thresholds are chosen on. It is what `beast cache build --pairs` does,
# and both go into the cache's folder.

# %%
encoder = StoredVectors(OnnxEncoder.minilm())
trained = TrainedVerifier.fit(pairs, encoder, static_encoder())
first, second = encoder.encode(pairs.texts)[pairs.text_ids.T]
cosines = np.einsum("ij,ij->i", first, second).astype(np.float64)
scores = {"verifier": trained.scores, "cosine": cosines}

# %% [markdown]
# Which wrong answers would each serve *first*? For the cosine, texts are alike when they share most words, also
# when the one word that differs is the one that matters.

# %%
table = pd.DataFrame({"request": pairs.text_a, "candidate": pairs.text_b, "right": pairs.same, **scores})
wrong = table[~table["right"]].drop(columns="right")
pd.concat({f"by the {name}": wrong.nlargest(3, name) for name in scores}).round(3)

# %% [markdown]
# ## Hits against false hits
#
# Each point of a line is a threshold. The dots are the thresholds that risk control allows for an epsilon of 0.5%,
# 1% and 2% (dashed): they stay left of their line, because what is promised must survive bad luck. The same picture
# is in the MLflow run of every `beast cache build`.

# %%
curves = verifier_curves(trained, cosines)
lines = {
    name: Line(curves.false_hit_rates, hits, [(at.false_hit_rate, at.hit_rate) for at in curves.points[name]])
    for name, hits in curves.hit_rates.items()
}
epsilons = [point.epsilon for point in curves.points["verifier"]]
draw_lines(work / "curves.png", lines, epsilons, 0.1, f"{curves.n_pairs} labelled pairs, cross-fitted")
Image(filename=work / "curves.png", width=720)

# %% [markdown]
# As numbers. A threshold of infinity means that these pairs do not show that *any* threshold keeps the promise, so
# nothing is served. The last column is what a user sees: of the answers that came from the cache, how many are
# wrong. It is larger than epsilon, which counts all lookups.

# %%
rows = []
for epsilon in (0.005, 0.01, 0.02, 0.05):
    for name, values in scores.items():
        chosen = choose_threshold(values, pairs.same, RiskTarget(epsilon), texts=pairs.text_ids)
        rows.append(
            {
                "epsilon": f"{epsilon:.1%}",
                "method": name,
                "threshold": chosen.value,
                "hit rate": chosen.n_hits / len(pairs),
                "false-hit rate": chosen.n_wrong / len(pairs),
                "wrong among hits": chosen.n_wrong / chosen.n_hits if chosen.n_hits else np.nan,
            }
        )
shares = dict.fromkeys(("hit rate", "false-hit rate", "wrong among hits"), "{:.2%}")
pd.DataFrame(rows).set_index(["epsilon", "method"]).style.format(shares | {"threshold": "{:.3f}"}, na_rep="-")

# %% [markdown]
# ## Is the promise kept?
#
# The promise: with confidence 98%, the false-hit rate is within epsilon. We draw halves of the texts over and over,
# choose a threshold on one half, and count wrong hits on the other. Beside it the obvious rule: the loosest
# threshold whose *observed* rate is within epsilon. It is fooled by luck, and more so the fewer labels there are.


# %%
def observed_rule(values: np.ndarray, right: np.ndarray, epsilon: float) -> float:
    """Return the loosest threshold with at most a share epsilon of wrong hits, as if there were no chance."""
    order = np.argsort(-values)
    allowed = np.flatnonzero(np.cumsum(~right[order]) <= epsilon * len(order))
    return values[order[allowed[-1]]]


epsilon, outcomes = 0.02, []
for _ in range(200):
    sides = pairs.text_parts(2, rng)[pairs.text_ids]
    learn, count = (np.flatnonzero((sides == side).all(axis=1)) for side in (0, 1))
    known, target = pairs.select(learn), RiskTarget(epsilon)
    promised = choose_threshold(
        trained.scores[learn], known.same, target, texts=known.text_ids, horizon=len(count)
    )  # the promise is about these `count` lookups
    thresholds = {
        "risk control": promised.value,
        "observed rate": observed_rule(trained.scores[learn], known.same, epsilon),
    }
    for rule, threshold in thresholds.items():
        hit = trained.scores[count] >= threshold
        outcomes.append({"rule": rule, "hit rate": hit.mean(), "false-hit rate": (hit & ~pairs.same[count]).mean()})
outcomes = pd.DataFrame(outcomes)

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
bins = np.linspace(0, 2 * epsilon, 41)
for (rule, found), colour in zip(outcomes.groupby("rule"), ("#8a8f98", "#0b6e4f"), strict=True):
    axes.hist(found["false-hit rate"], bins, alpha=0.7, color=colour, label=rule)
axes.axvline(epsilon, color="#444444", linestyle="--", linewidth=1)
axes.set_xlabel(f"false-hit rate on the other half; dashed: epsilon, {epsilon:.0%}")
axes.set_ylabel("splits")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %%
outcomes["kept"] = outcomes["false-hit rate"] <= epsilon
outcomes.groupby("rule").mean().style.format("{:.2%}")

# %% [markdown]
# The observed rule has a few more hits, and breaks its word whenever luck turns. The promise costs these hits, and
# fewer of them the more labels there are. (The scores stay and only the halves change; `beast bench cache` learns
# the verifier anew in every split.)
#
# ### How many labels does an epsilon take?
#
# At the least, so many lookups *without a single wrong hit* show that the rate is below epsilon, with confidence 98%.
# With fewer, nothing may be served, whatever the verifier.

# %%
least = {f"{each:.1%}": ceil(log(RiskTarget.delta) / log1p(-each)) for each in (0.001, 0.005, 0.01, 0.02, 0.05)}
pd.DataFrame({"labelled lookups, at the least": least}).rename_axis("epsilon")

# %% [markdown]
# ## In service
#
# Labelled pairs get you started; traffic may differ, and it changes. So a share of lookups is *verified*: the answer
# is made anew and compared. From these, each threshold of a grid earns or loses trust, valid at any time, however
# often you look. Below, 10% of lookups are verified, and they come from the pairs above until the middle. Then
# something happens (say, a product gets a near-namesake), and wrong candidates that look right come far more often.

# %%
online = OnlineThreshold(
    RiskTarget(epsilon), trained.grid(), least_audit=0.1, start=trained.threshold(RiskTarget(epsilon)).value
)
tempting = ~pairs.same & (trained.scores >= np.quantile(trained.scores[~pairs.same], 0.9))
weights = np.where(tempting, 8.0, 1.0)
half = 20_000
lookups = np.concatenate(
    [rng.integers(len(pairs), size=half), rng.choice(len(pairs), size=half, p=weights / weights.sum())]
)
verified = rng.random(len(lookups)) < 0.1
thresholds, false_hit = np.empty(len(lookups)), np.empty(len(lookups), dtype=bool)
for i, lookup in enumerate(lookups):
    score, is_wrong = trained.scores[lookup], bool(~pairs.same[lookup])
    thresholds[i] = online.value
    false_hit[i] = is_wrong and score >= online.value
    online.observe(score, wrong=is_wrong if verified[i] else None, probability=0.1)
unmoved = ~pairs.same[lookups] & (trained.scores[lookups] >= thresholds[0])

figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True, layout="constrained")
top.plot(np.where(thresholds < inf, thresholds, np.nan), color="#0b6e4f")
top.set_ylabel("threshold")
window = np.ones(1000) / 1000
for found, colour, name in ((unmoved, "#8a8f98", "threshold left where it was"), (false_hit, "#0b6e4f", "moved")):
    bottom.plot(np.arange(999, len(lookups)), np.convolve(found, window, "valid"), color=colour, label=name)
bottom.axhline(epsilon, color="#444444", linestyle="--", linewidth=1)
bottom.set_ylabel("false-hit rate, last 1,000")
bottom.set_xlabel("lookups")
bottom.legend(frameon=False)
for axes in (top, bottom):
    axes.axvline(half, color="#d1495b", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)

# %%
stopped = np.flatnonzero((thresholds[half:] == inf) & (thresholds[half - 1] < inf))
Markdown(
    f"{online.n_alarms} alarm(s); the first {stopped[0]:,} lookups after the change. Wrong hits after it: "
    f"{false_hit[half:].sum():,}, where the unmoved threshold would have served {unmoved[half:].sum():,}."
    if len(stopped)
    else "No alarm: the rate in use stayed within what the evidence allows."
)

# %% [markdown]
# A gap in the upper line: after an alarm nothing is served until there is new evidence, and then strict thresholds
# come back first. A smaller epsilon needs more verified lookups for that: what an epsilon costs in service is the
# audit.
#
# ## Dollars
#
# A hit saves a call; a wrong hit costs whatever a wrong answer costs *you*. Per lookup:
#
#     saved = hit rate x cost of a call - false-hit rate x damage of a wrong answer
#
# The call below is to the dearest model of the quickstart's outcomes; the damage is a multiple of it. For each
# epsilon, hits and false hits at the threshold that the labels allow.

# %%
call_usd = quickstart.groupby("model")["cost_usd"].mean().max()
damages = {f"{times}x a call": times * call_usd for times in (1, 5, 20, 100)}
candidates = np.geomspace(0.003, 0.1, 25)
saved = {}
for name, values in scores.items():
    for each in candidates:
        chosen = choose_threshold(values, pairs.same, RiskTarget(each), texts=pairs.text_ids)
        saved[name, each] = {
            damage: 1000 * (chosen.n_hits * call_usd - chosen.n_wrong * usd) / len(pairs)
            for damage, usd in damages.items()
        }
saved = pd.DataFrame(saved).T

highest = saved.to_numpy().max()
figure, panels = plt.subplots(1, len(damages), figsize=(12, 3), sharey=True, layout="constrained")
panels[0].set_ylabel("USD saved per 1,000 lookups")
panels[0].set_ylim(-highest / 4, 1.1 * highest)
for axes, damage in zip(panels, damages, strict=True):
    for name, colour in (("cosine", "#8a8f98"), ("verifier", "#0b6e4f")):
        axes.plot(candidates, saved.loc[name, damage], color=colour, label=name)
    axes.axhline(0, color="0.6", linewidth=1)
    axes.set_xscale("log")
    axes.set_title(f"a wrong answer: {damage}", fontsize=10)
    axes.set_xlabel("epsilon")
    axes.legend(frameon=False)

# %%
best = {
    (damage, name): {"best epsilon": saved.loc[name, damage].idxmax(), "USD per 1,000": saved.loc[name, damage].max()}
    for damage in damages
    for name in ("verifier", "cosine")
}
table = pd.DataFrame(best).T.rename_axis(["a wrong answer costs", "method"])
table.style.format({"best epsilon": "{:.1%}", "USD per 1,000": "{:.2f}"})

# %% [markdown]
# Where the best is not above zero, serve nothing. Otherwise the rule is marginal: loosen while a further wrong hit
# comes with more right ones than its damage is worth calls. That is the slope of the curve in section 2, and it
# falls; so the dearer a wrong answer, the smaller epsilon.
#
# Read the dollars with care:
# - they are of lookups that reach the verifier; exact repeats are served before it, without any risk;
# - whoever tries many epsilons and keeps the best has looked many times. Fix epsilon from the damage first, or divide
#   delta by the number of candidates;
# - damage is rarely one number. Where some tenants or routes cannot bear a wrong answer, give them an epsilon of
#   their own, or no semantic hits.
#
# ## With your own pairs
#
# `beast cache evaluate --train-pairs A.parquet --test-pairs B.parquet --epsilon 0.01 --out DIR` draws the curve and
# counts on pairs that chose nothing; `beast cache build --pairs A.parquet --out DIR` trains what is served, and
# registers it with its figures at 0.5%, 1% and 2%.
