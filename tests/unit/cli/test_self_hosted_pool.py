"""A pool of a provider's model and a self-hosted one that no bill names: the estimate is what the machine costs."""

import json

import numpy as np
import pandas as pd
import pytest

from beast_ml.testing.worlds import make_world

PROVIDER, OWN = "large", "small"
CONFIG = """
candidates:
  - {name: small, usd_per_hour: 3.6, %s}
"""


def outcome_table(path):
    """Outcomes of both; of the self-hosted one nobody was billed."""
    outcomes = make_world(np.random.default_rng(4), 120).outcomes
    columns = {
        name: getattr(outcomes, name) for name in ("quality", "cost_usd", "input_tokens", "output_tokens", "latency_s")
    }
    frames = [
        pd.DataFrame(
            {"query_id": outcomes.query_ids, "prompt": outcomes.prompts, "model": model}
            | {name: values[:, outcomes.models.index(model)] for name, values in columns.items()}
        )
        for model in (PROVIDER, OWN)
    ]
    frames[1]["cost_usd"] = np.nan
    pd.concat(frames).to_parquet(path)
    return outcomes


def printed(beast, *arguments):
    code, out, err = beast(*arguments)
    assert code == 0, err
    return out


@pytest.mark.usefixtures("tiny_routers")
@pytest.mark.parametrize(
    ("machine", "amount", "usd_per_unit"),
    [("concurrency: 10", "latency_s", 1e-4), ("output_tokens_per_s: 1000", "output_tokens", 1e-6)],
)
def test_a_machine_paid_by_the_hour_is_estimated_in_dollars(beast, tmp_path, machine, amount, usd_per_unit):
    (tmp_path / "mlflow.yaml").write_text(CONFIG % machine)
    outcomes = outcome_table(tmp_path / "both.parquet")
    trained = json.loads(printed(beast, "train", "--outcomes", "both.parquet", "--encoder", "hashing", "--json"))
    asked = outcomes.prompts[0]
    estimated = json.loads(printed(beast, "estimate", asked, "--router", trained["uri"], "--json"))["candidates"]
    provider, own = sorted(estimated, key=lambda each: each["model"])
    assert (provider["model"], own["model"]) == (PROVIDER, OWN)
    assert own["cost_usd"]["value"] == pytest.approx(own[amount]["value"] * usd_per_unit, rel=1e-3)
    assert own["cost_usd"]["low"] < own["cost_usd"]["value"] < own["cost_usd"]["high"]
    assert own["price"]["source"] == "given"
    assert provider["price"]["source"] == "recovered from recorded costs"
    typical = np.nanmedian(outcomes.cost_usd[:, outcomes.models.index(PROVIDER)])
    assert typical / 10 < provider["cost_usd"]["value"] < typical * 10
    assert "USD" in printed(beast, "estimate", asked, "--router", trained["uri"])
