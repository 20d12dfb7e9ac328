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
# # What would another policy have got?
#
# A log knows only what the chosen model did. Because each choice was made with a known probability (its
# *propensity*), the log can still say what another policy *would have got*: off-policy evaluation. This notebook
# asks how far that goes:
#
# 1. a log whose truth is known, and a policy that never ran;
# 2. the estimates, their intervals, and the verdict;
# 3. a log that cannot tell, and what it says would help;
# 4. propensities that are wrong;
# 5. labels that are missing;
# 6. the promise: how often do 95% intervals hold the truth?
#
# Every figure is computed below; none is typed into the text.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Image, Markdown

from beast_ml.benchmarks.learning.coverage import policy_cells
from beast_ml.benchmarks.learning.simulated_logs import LogWorld
from beast_ml.benchmarks.partial_feedback import LOGGING_POLICIES
from beast_ml.evaluation.off_policy.evaluate import evaluate_policy
from beast_ml.evaluation.off_policy.plot import draw_evaluation
from beast_ml.evaluation.off_policy.read import read_policy_data
from beast_ml.features.distill import static_encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.logs.simulate.policies import logging_policy

work = Path(tempfile.mkdtemp(prefix="beast-notebook-"))

# %% [markdown]
# ## A log whose truth is known
#
# In the quickstart set every model has answered every question, so any policy's true value can be looked up. We draw
# a log from it as a router would write one: `epsilon-0.2` takes the best model, but one time in five any of them.
# The policy to be evaluated goes by the kind of question, softly: it takes each model the more often the better it
# is there.

# %%
encoder = static_encoder()
world = LogWorld.of(OutcomeMatrix.from_frame(load_quickstart()[0]), encoder)
quality, models = world.outcomes.quality, world.outcomes.models
wanted = world.targets["by task, soft"]


def write_log(policy: str, n: int, labelled: float = 1.0) -> tuple[Path, Path]:
    """Draw a log and the target's probabilities into two files, as `beast evaluate policy` wants them."""
    rng = np.random.default_rng(1)
    logging = logging_policy(world.outcomes, LOGGING_POLICIES[policy])
    query = rng.integers(len(quality), size=n)
    chosen = logging.choose(query, rng.random(n))
    ids = [f"r{i}" for i in range(n)]
    log = pd.DataFrame(
        {
            "request_id": ids,
            "prompt": [world.outcomes.prompts[i] for i in query],
            "candidates": [list(models)] * n,
            "chosen_model": np.array(models)[chosen],
            "propensity": logging.probabilities[query, chosen],
            "quality": np.where(rng.random(n) < labelled, quality[query, chosen], np.nan),
            "cost_usd": world.outcomes.cost_usd[query, chosen],
        }
    )
    target = pd.DataFrame(wanted[query], index=pd.Index(ids, name="request_id"), columns=pd.Index(models, name="model"))
    paths = work / f"{policy}-{n}-{labelled}.log.parquet", work / f"{policy}-{n}-{labelled}.target.parquet"
    log.to_parquet(paths[0])
    target.stack().rename("probability").reset_index().to_parquet(paths[1])
    return paths


def table(found) -> pd.DataFrame:
    """Show the estimates."""
    rows = {**found.estimates, "the log's own policy": found.logged, "gain over it": found.gain}
    return pd.DataFrame({name: each.to_dict() for name, each in rows.items()}).T[["value", "low", "high", "ess"]]


log, target = write_log("epsilon-0.2", 3000)
pd.read_parquet(log).head(3)

# %% [markdown]
# ## The estimates
#
# The same as `beast evaluate policy --log LOG --target TARGET --out DIR`. **DM** believes predictions; **IPS**
# weights what was seen by how much likelier the target would have chosen it; **DR** does both, and errs only by what
# both miss. Go by DR.

# %%
found = evaluate_policy(read_policy_data(log, target), encoder)
Markdown(f"True value: **{world.truth(wanted):.3f}**. {found.verdict.sentence}")

# %%
table(found)

# %%
draw_evaluation(work / "policy.png", found, "quality")
Image(filename=work / "policy.png", width=900)

# %% [markdown]
# ## A log that cannot tell
#
# The same question to a short log that hardly explores. The estimate looks like any other; the verdict does not.

# %%
poor = evaluate_policy(read_policy_data(*write_log("epsilon-0.05", 400)), encoder)
Markdown("\n\n".join([poor.verdict.sentence, *poor.verdict.reasons[1:], poor.verdict.exploration or ""]))

# %% [markdown]
# ## Wrong propensities
#
# Suppose the router logged half of the true probability of one model. IPS shifts most, and nothing in the
# outcomes shows it. The choices do: by their propensities that model should have been chosen half as often as it
# was.

# %%
wrong = pd.read_parquet(log)
often = wrong["chosen_model"].value_counts().index[1]
wrong.loc[wrong["chosen_model"] == often, "propensity"] /= 2
wrong.to_parquet(work / "wrong.parquet")
misled = evaluate_policy(read_policy_data(work / "wrong.parquet", target), encoder)
Markdown(f"IPS says {misled.estimates['ips'].value:.3f}. {misled.verdict.sentence}")

# %% [markdown]
# ## Missing labels
#
# Most logs have a quality label for few answers. Labels that are there are weighted by how likely they were, and
# predictions stand in for those that are not (`ppi`): unbiased however bad they are, as the labels correct them.

# %%
few = evaluate_policy(read_policy_data(*write_log("epsilon-0.2", 3000, labelled=0.3)), encoder)
Markdown(f"{few.diagnostics.n_labelled} labels; predictions spare {few.powered.labels_saved:.1%} of them.")

# %%
table(few)

# %% [markdown]
# ## Is 95% 95%?
#
# Forty logs of 800 requests, each evaluated anew: how often does the interval hold the truth, and how far off is the
# estimate?

# %%
cells = policy_cells(world, logging_policy(world.outcomes, LOGGING_POLICIES["uniform"]), 40, 800, 0)
records = cells["by task, soft"].estimators
pd.DataFrame(
    {name: {"coverage": one.coverage["normal"], "rmse": one.rmse, "bias": one.bias} for name, one in records.items()}
).T

# %% [markdown]
# `beast bench learning --parts ope` does that with 500 logs, on four public sets and four logging policies.
