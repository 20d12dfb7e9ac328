import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beast_ml.benchmarks import routing_bench
from beast_ml.benchmarks.parts import SCORED_PARTS, choose_parts
from beast_ml.benchmarks.peers.embedded import EmbeddedLearner, FitScores
from beast_ml.benchmarks.plots import draw_all
from beast_ml.benchmarks.report import describe, to_markdown
from beast_ml.benchmarks.routing_bench import BenchConfig, BenchResult, run_bench
from beast_ml.benchmarks.sets import BenchmarkSet
from beast_ml.errors import InputError
from beast_ml.logs.outcomes import OutcomeMatrix

WORLD = BenchmarkSet("world", "world", "cost_usd", "all of it", lambda frame: frame)
ABSENT = replace(WORLD, name="absent", folder="absent")


@pytest.fixture(scope="module")
def data(outcomes: OutcomeMatrix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "world").mkdir()
    rows, columns = np.nonzero(np.isfinite(outcomes.quality))
    pd.DataFrame(
        {
            "query_id": outcomes.query_ids[rows],
            "task": outcomes.tasks[rows],
            "prompt": [outcomes.prompts[i] for i in rows],
            "model": [outcomes.models[j] for j in columns],
            "quality": outcomes.quality[rows, columns],
            "cost_usd": outcomes.cost_usd[rows, columns],
        }
    ).to_parquet(folder / "world" / "outcomes.parquet")
    return folder


@pytest.fixture(scope="module")
def config(data: Path, tmp_path_factory: pytest.TempPathFactory) -> BenchConfig:
    out = tmp_path_factory.mktemp("out")
    return BenchConfig((ABSENT, WORLD), tuple(SCORED_PARTS), 2, 1, "hashing", data, out, n_resamples=30)


@pytest.fixture(scope="module")
def run(ridge: FitScores) -> Callable[[BenchConfig], BenchResult]:
    return partial(run_bench, make_learner=lambda _, encoder, groups: EmbeddedLearner(encoder, ridge))


@pytest.fixture(scope="module")
def result(config: BenchConfig, run: Callable[[BenchConfig], BenchResult]) -> BenchResult:
    return run(config)


def test_what_is_there_is_measured_and_what_is_not_is_named(result, config):
    assert list(result.left_out) == ["absent"]
    assert f"no absent/outcomes.parquet in {config.data}" in result.left_out["absent"]
    (one,) = result.sets
    assert (one.name, one.queries, one.scored, one.models) == ("world", 240, 240, ("large", "medium", "small"))
    assert {figure.part for figure in result.figures} == {"shares", "savings", "calibration", "cost"}
    share = {figure.router: figure.value for figure in result.figures if figure.name == "share_of_gap"}
    assert share["beast"] > 0


def test_a_rerun_finds_every_result_again(result, config, run, monkeypatch):
    monkeypatch.setattr(routing_bench, "cross_validate", None)
    again = run(config)
    assert again.sets == result.sets


def test_other_settings_are_measured_anew_on_the_folds_that_are_there(result, config, run, monkeypatch):
    monkeypatch.setattr("beast_ml.benchmarks.cross_validation.run_fold", None)
    again = run(replace(config, n_resamples=20))
    assert [figure.value for figure in again.figures] == [figure.value for figure in result.figures]


def test_some_sets_are_measured_again_with_tasks_left_out(config, run, monkeypatch):
    monkeypatch.setattr(routing_bench, "LEAVE_TASK_OUT", ("world",))
    found = run(replace(config, parts=("shares",)))
    assert [one.name for one in found.sets] == ["world", "world, leave task out"]


def test_the_report_says_everything_twice_for_programs_and_for_people(result, config):
    report = json.loads(json.dumps(describe(config, result, "beast bench routing"), allow_nan=False))
    assert report["command"] == "beast bench routing"
    assert report["left_out"].keys() == {"absent"}
    assert report["sets"]["world"]["models"] == ["large", "medium", "small"]
    assert len(report["figures"]) == len(result.figures)
    assert {floor["met"] for floor in report["floors"]} == {None}  # there are no floors under a made-up world
    text = to_markdown(config, result, "beast bench routing")
    for piece in ("    beast bench routing", "Left out: absent", "## Floors", "### share_of_gap", "### saving_100"):
        assert piece in text
    assert text.index("| beast | ") < text.index("| knn | ") < text.index("| oracle | ")


def test_pictures_are_drawn_of_what_was_measured(result, tmp_path):
    files = draw_all(result, tmp_path, "static")
    assert [path.name for path in files] == ["frontiers.png", "shares.png", "savings.png"]
    assert all(path.stat().st_size > 10_000 for path in files)
    assert draw_all(replace(result, sets=()), tmp_path, "static") == ()


def test_parts_come_in_the_order_of_reports_and_unknown_ones_are_named():
    assert choose_parts("savings, shares") == ("shares", "savings")
    assert set(SCORED_PARTS) <= set(choose_parts(None))
    with pytest.raises(InputError, match="no part 'luck', there are shares, savings"):
        choose_parts("luck")
