"""`beast report savings` and `beast report selection` in this process: what cannot be, is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from beast_ml.cli.report_router import bundle_of
from beast_ml.logs.store import LogStore
from beast_ml.settings import Settings, TrackingSettings
from beast_ml.testing.exploring_logs import exploring_requests
from beast_ml.testing.worlds import make_world


@pytest.mark.parametrize("price", ["large", "large=1", "large=1,2,3", "=1,2", "large=a,b"])
def test_a_price_that_is_none_is_refused(beast, price) -> None:
    code, _, error = beast("report", "savings", "--store", "s", "--price", price)
    assert code == 2
    assert "MODEL=IN,OUT" in error


@pytest.mark.parametrize("command", ["savings", "selection"])
def test_an_empty_store_is_refused_with_the_way_out(beast, command) -> None:
    code, _, error = beast("report", command, "--store", "nowhere")
    assert code == 2
    assert "no log store in nowhere" in error


def test_looking_for_a_champion_makes_no_registry(tmp_path) -> None:
    config = TrackingSettings(uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert bundle_of(None, Settings(tracking=config)) is None
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_of_a_price_is_refused_with_the_known_ones(beast, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("beast_ml.features.distill.static_encoder", lambda **_: None)
    LogStore(tmp_path / "s").append_requests(exploring_requests(requests=40))
    code, _, error = beast("report", "savings", "--store", "s", "--router", "none", "--price", "huge=1,2")
    assert code == 2
    assert "large, medium, small" in error


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--router", "here"), "is for --outcomes"),
        (("--outcomes", "o.parquet", "--since", "24h"), "are for the log"),
        (("--outcomes", "o.parquet", "--router", "nowhere"), "nowhere"),
    ],
)
def test_a_router_is_judged_on_outcomes_and_choices_on_a_log(beast, tmp_path, options, told) -> None:
    outcome_table(tmp_path / "o.parquet")
    code, _, error = beast("report", "selection", *options)
    assert code != 0
    assert told in error


def test_a_router_s_choices_are_judged_by_known_outcomes(beast, router_folder, tmp_path) -> None:
    outcome_table(tmp_path / "o.parquet")
    options = ("--outcomes", "o.parquet", "--router", router_folder, "--epsilon", 0.5, "--out", "out", "--json")
    code, printed, error = beast("report", "selection", *options)
    assert code == 0, error
    report = json.loads(printed)
    assert report["requests"] == 60
    assert 0.0 <= report["accuracy"][0]["accuracy_low"] <= report["accuracy"][0]["accuracy"] <= 1.0
    assert "the model that is best" in report["sentence"]
    assert (tmp_path / "out" / "selection.png").stat().st_size > 5_000


def outcome_table(path):
    world = make_world(np.random.default_rng(3), 60).outcomes
    columns = {"query_id": world.query_ids, "prompt": world.prompts}
    frames = [
        pd.DataFrame({**columns, "model": model, "quality": world.quality[:, j], "cost_usd": world.cost_usd[:, j]})
        for j, model in enumerate(world.models)
    ]
    pd.concat(frames).to_parquet(path)
