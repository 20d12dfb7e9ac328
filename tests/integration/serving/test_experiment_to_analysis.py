"""What a server logs of an experiment is what its analysis reads."""

from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.experiments import analyze, observe
from beast_ml.experiments.experiments_file import read_experiments
from beast_ml.experiments.log_metrics import shares_now
from beast_ml.logs.compaction import compact
from beast_ml.logs.store import LogStore
from beast_ml.testing.cli_fixtures import beast  # noqa: F401 - a fixture is used by name
from beast_ml.testing.router_fixtures import (  # noqa: F401 - fixtures are used by name
    distilled,
    fitted,
    loaded,
    paying_policy,
    router_folder,
    static_folder,
    training_set,
    world,
)
from beast_ml.testing.serving_fixtures import ADMIN_KEY, serving  # noqa: F401

USERS, REQUESTS = 90, 2
QUALITY = {"control": 0.2, "new": 0.9}


@pytest.mark.slow
def test_a_difference_between_served_variants_is_found_and_told_by_the_server(serving, beast, tmp_path):  # noqa: F811
    api = serving()
    arms = [
        {"name": "control", "policy": "champion", "share": 0.5},
        {"name": "new", "policy": "champion", "share": 0.5},
    ]
    assert api.post("/v1/admin/experiments", {"id": "same", "variants": arms}, ADMIN_KEY).status_code == 200
    told = {}
    for i in range(USERS * REQUESTS):
        answer = api.post("/v1/route", {"prompt": f"{i} + 2?", "user_id": f"u{i % USERS}"}).json()
        told.setdefault(i % USERS, set()).add(answer["variant"])
        known = {
            "request_id": answer["request_id"],
            "served_model": answer["model"],
            "latency_s": 1.0,
            "cost_usd": 0.01,
        }
        assert api.post("/v1/outcomes", known).status_code < 300
        quality = QUALITY[answer["variant"]] + 0.05 * (i % 3 - 1)
        assert api.post("/v1/feedback", {"request_id": answer["request_id"], "quality": quality}).status_code < 300
    assert all(len(variants) == 1 for variants in told.values())
    api.client.__exit__(None, None, None)  # the segment is sealed
    store = LogStore(tmp_path / "store")
    compact(api.state / "segments", store, tmp_path / "quarantine")
    (experiment,) = read_experiments(api.state / "experiments.json").experiments
    now = datetime.now(UTC) + timedelta(minutes=1)
    analysis = analyze(observe(store, experiment, "quality", now), "quality", shares=shares_now(experiment))
    (new,) = analysis.comparisons
    assert new.n_units + analysis.n_control_units == USERS
    assert new.n_rows == REQUESTS * new.n_units
    assert new.low < 0.7 < new.high
    assert new.p_value < 0.001
    assert not analysis.mismatch.found
    cost = analyze(observe(store, experiment, "cost", now), "cost")
    assert cost.comparisons[0].effect == pytest.approx(0.0)
    assert cost.stopped_at is None
    code, _, said = beast("experiment", "guard", "--experiments", api.state / "experiments.json", "--store", store.path)
    assert code == 0, said
    (kept,) = serving().get("/v1/admin/experiments/analyses", ADMIN_KEY).json()["analyses"]
    assert (kept["experiment"], kept["metric"]) == ("same", "quality")
    assert kept["report"]["variants"]["new"]["effect"] == pytest.approx(new.effect)
    assert kept["report"]["verdict"]["decision"] == "ship"
