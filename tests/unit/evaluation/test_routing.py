"""The evaluation contract, on outcomes in which routing pays."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.evaluation import routing
from beast_ml.evaluation.routing import RoutingConfig, evaluate_routing
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.operating_point import OperatingPoint

CONFIG = RoutingConfig(n_resamples=60)
PROMPT_ROUTERS = ["beast", "knn", "best_per_task", "random"]
SINGLES = ["single:large", "single:medium", "single:small"]


@pytest.fixture(scope="module")
def train(make_outcomes):
    return make_outcomes(400, 1, prefix="a")


@pytest.fixture(scope="module")
def test_set(make_outcomes):
    matrix = make_outcomes(240, 2, prefix="b")
    quality = matrix.quality.copy()
    quality[5], quality[7, 1] = np.nan, np.nan  # to be decided, not to be scored
    return replace(matrix, quality=quality)


@pytest.fixture(scope="module")
def evaluated(train, test_set, learner, encoder):
    return evaluate_routing(train, test_set, learner, encoder, RoutingConfig(n_resamples=300))


@pytest.fixture(scope="module")
def folder(evaluated, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "new" / "folder"
    evaluated.write(out)
    return out


@pytest.fixture(scope="module")
def decisions(folder):
    return pq.read_table(folder / "decisions.parquet").to_pandas()


def choices(evaluation) -> dict[str, list]:
    """Return every router's decisions at every trade-off, by query."""
    return {
        router.name: [evaluation.query_ids.tolist(), router.points.tolist(), router.operating.tolist()]
        for router in evaluation.decisions
    }


def test_the_decision_table_has_exactly_the_columns_of_the_contract(decisions):
    assert decisions.columns.tolist() == [
        "router", "tradeoff", "query_id", "model", "predicted_quality", "predicted_cost_usd",
    ]  # fmt: skip
    assert decisions.router.unique().tolist() == PROMPT_ROUTERS
    assert decisions.notna().all().all()


def test_every_router_decides_every_query_once_per_tradeoff_even_those_without_outcomes(decisions, test_set):
    everyone = sorted(test_set.query_ids.tolist())
    for _, rows in decisions.groupby(["router", "tradeoff"]):
        assert sorted(rows.query_id) == everyone


@pytest.mark.parametrize("router", ["beast", "knn", "best_per_task", "random"])
def test_tradeoffs_are_at_least_twenty_printed_numbers_and_the_operating_point(decisions, router):
    labels = decisions[decisions.router == router].tradeoff.unique().tolist()
    numbers = [label for label in labels if label != "operating"]
    assert len(numbers) + 1 == len(labels)
    assert len(set(numbers)) >= 20
    assert all(f"{float(label):.6g}" == label for label in numbers)


def test_beasts_tradeoffs_run_from_the_cheapest_to_the_best_predicted(decisions):
    ours = decisions[decisions.router == "beast"]
    mean = ours[ours.tradeoff != "operating"].groupby("tradeoff")[["predicted_cost_usd", "predicted_quality"]].mean()
    mean = mean.loc[sorted(mean.index, key=float)]
    assert mean.predicted_cost_usd.is_monotonic_increasing
    assert mean.predicted_quality.is_monotonic_increasing
    assert mean.predicted_cost_usd.iloc[0] < mean.predicted_cost_usd.iloc[-1]


def test_routing_pays_where_small_models_do_well_what_they_can_do(evaluated):
    verdict = evaluated.report["verdict"]
    assert verdict["pays"] is True
    assert verdict["sentence"].startswith("Routing pays here")
    assert verdict["saving"][1] > 0.1
    assert verdict["reference_model"] == "large"
    assert verdict["operating_point"]["kind"] == "router"


def test_the_report_is_plain_json_with_every_router_beside_what_it_must_beat(evaluated, folder):
    report = json.loads((folder / "report.json").read_text())
    assert report == json.loads(json.dumps(evaluated.report))
    assert next(iter(report["routers"])) == "beast"
    assert set(report["routers"]) == {*PROMPT_ROUTERS, *SINGLES, "best_per_true_task", "zero_router", "oracle"}
    assert report["data"]["test"] | {"digest": ""} == {"digest": "", "queries": 240, "scored": 238}
    assert report["data"]["overlap"]["questions"] == 0
    assert report["cost"] == {"kind": "cost_usd", "unit": "USD"}
    for name, router in report["routers"].items():
        for metric in ("aiq", "aiq_over_dearest_cost", "share_of_gap", "saving_at_equal_quality"):
            low, value, high = (router[metric][end] for end in ("low", "value", "high"))
            assert low <= value + 1e-9
            assert value <= high + 1e-9
        if name != "zero_router":
            assert {"quality", "cost", "saving", "regret", "optimal_selection"} <= set(router["operating"])
    assert {"ece", "ece_floor", "brier", "auc"} <= set(report["routers"]["beast"]["calibration"])
    assert {"log_r2", "median_ratio_error"} <= set(report["routers"]["knn"]["cost_accuracy"])


def test_the_references_bound_every_router(evaluated):
    share = {name: score.curve["share_of_gap"].value for name, score in evaluated.scores.items()}
    assert share["zero_router"] == 0.0
    assert share["oracle"] == 1.0
    assert 0.1 < share["beast"] < 1.0
    assert max(share[name] for name in share if name.startswith("single:")) <= 0.0
    assert evaluated.scores["oracle"].operating["regret"].value == 0.0


def test_the_picture_is_a_png(folder):
    assert (folder / "frontier.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def scrambled(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Change everything of a test set but query ids and prompts."""
    rng = np.random.default_rng(9)
    quality = 1.0 - matrix.quality
    quality[rng.random(quality.shape) < 0.1] = np.nan
    return replace(
        matrix,
        tasks=rng.permutation(matrix.tasks),
        quality=quality,
        cost_usd=rng.permutation(matrix.cost_usd.ravel()).reshape(matrix.cost_usd.shape) * 7,
        input_tokens=np.ones_like(quality),
        output_tokens=np.full_like(quality, 5.0),
        latency_s=np.full_like(quality, 3.0),
    )


def test_changing_any_other_column_of_the_test_data_changes_no_decision(evaluated, train, test_set, learner, encoder):
    other = evaluate_routing(train, scrambled(test_set), learner, encoder, CONFIG)
    assert choices(other) == choices(evaluated)


def bare(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Leave nothing of a test set but query ids and prompts."""
    nothing = np.full((matrix.n_queries, 0), np.nan)
    unknown = np.full(matrix.n_queries, "")
    return matrix.with_measures(lambda _: nothing, models=(), tasks=unknown, apps=unknown)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (bare, "no usable quality and cost_usd of any model"),
        (
            lambda matrix: replace(matrix, models=("huge", "medium", "small")),
            "no usable quality and cost_usd of 'large'",
        ),
        (lambda matrix: replace(matrix, cost_usd=matrix.cost_usd * np.nan), "no usable quality and cost_usd of any"),
    ],
)
def test_where_nothing_can_be_scored_the_decisions_are_the_same_and_the_report_says_why(
    evaluated, train, test_set, learner, encoder, tmp_path, spoil, says
):
    (tmp_path / "frontier.png").write_bytes(b"of an earlier run")
    said: list[str] = []
    unscored = evaluate_routing(train, spoil(test_set), learner, encoder, CONFIG, say=said.append, must_score=False)
    assert choices(unscored) == choices(evaluated)
    unscored.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"decisions.parquet", "report.json"}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"]["pays"] is None
    assert report["verdict"]["sentence"].startswith(f"nothing could be scored: the test data have {says}")
    assert f"warning: {report['verdict']['sentence']}" in said
    assert report["routers"] == {}
    assert (report["data"]["test"]["queries"], report["data"]["test"]["scored"]) == (240, 0)
    with pytest.raises(NotEnoughDataError, match="nothing could be scored"):
        evaluate_routing(train, spoil(test_set), learner, encoder, CONFIG)


def test_every_router_has_twenty_tradeoffs_on_a_tiny_set_too(make_outcomes, test_set, learner, encoder, tmp_path):
    evaluate_routing(make_outcomes(8, 1), test_set, learner, encoder, CONFIG).write(tmp_path)
    table = pq.read_table(tmp_path / "decisions.parquet").to_pandas()
    assert table.router.unique().tolist() == PROMPT_ROUTERS
    assert (table[table.tradeoff != "operating"].groupby("router").tradeoff.nunique() >= 20).all()


def test_with_tasks_only_tasks_matter_besides(train, test_set, learner, encoder):
    learner = replace(learner, context=("task",))
    first = evaluate_routing(train, test_set, learner, encoder, CONFIG)
    same_tasks = replace(scrambled(test_set), tasks=test_set.tasks)
    assert choices(evaluate_routing(train, same_tasks, learner, encoder, CONFIG)) == choices(first)
    other_tasks = evaluate_routing(train, scrambled(test_set), learner, encoder, CONFIG)
    assert choices(other_tasks)["beast"] != choices(first)["beast"]
    assert choices(other_tasks)["best_per_task"] != choices(first)["best_per_task"]
    assert first.scores["beast"].reads == "prompt, task"
    assert "best_per_true_task" not in first.scores


def test_row_order_and_duplicate_questions_change_nothing_beyond_noise(
    evaluated, train, test_set, learner, encoder, as_frame
):
    shuffled = OutcomeMatrix.from_frame(as_frame(train).sample(frac=1, random_state=3))
    shuffled_test = OutcomeMatrix.from_frame(as_frame(test_set).sample(frac=1, random_state=4))
    again = evaluate_routing(shuffled, shuffled_test, learner, encoder, CONFIG)
    first = dict(zip(evaluated.query_ids.tolist(), evaluated.decisions[0].choices.T.tolist(), strict=True))
    for query, chosen in zip(again.query_ids.tolist(), again.decisions[0].choices.T.tolist(), strict=True):
        assert chosen == first[query]
    frame = as_frame(train)
    some = frame[frame.query_id < "a0040"].assign(query_id=lambda f: "again" + f.query_id)
    doubled = evaluate_routing(OutcomeMatrix.from_frame(pd.concat([frame, some])), test_set, learner, encoder, CONFIG)
    before, after = (e.scores["beast"].curve["aiq"].value for e in (evaluated, doubled))
    assert after == pytest.approx(before, abs=0.03)


def test_equal_seeds_give_equal_reports(evaluated, train, test_set, learner, encoder):
    again = evaluate_routing(train, test_set, learner, encoder, RoutingConfig(n_resamples=300))
    assert {**again.report, "seconds": None} == {**evaluated.report, "seconds": None}


def test_without_costs_the_quality_decides(train, test_set, learner, encoder, tmp_path):
    free = evaluate_routing(train, test_set, learner, encoder, replace(CONFIG, cost="none"))
    assert free.report["cost"] == {"kind": "none", "unit": None}
    assert free.report["verdict"]["saving"] == [None, None, None]
    assert "cost_accuracy" not in free.report["routers"]["beast"]
    assert free.scores["beast"].curve["aiq"] == free.scores["beast"].curve["best_quality"]
    free.write(tmp_path)
    table = pq.read_table(tmp_path / "decisions.parquet").to_pandas()
    ours = table[table.router == "beast"]
    assert ours.tradeoff.nunique() >= 21
    assert (ours.predicted_cost_usd == 0).all()
    assert (tmp_path / "frontier.png").stat().st_size > 5000


def test_seconds_stand_in_for_dollars(train, test_set, learner, encoder, tmp_path):
    def timed(matrix):
        return replace(matrix, cost_usd=np.full_like(matrix.cost_usd, np.nan), latency_s=matrix.cost_usd * 100)

    slow = evaluate_routing(timed(train), timed(test_set), learner, encoder, CONFIG)
    assert slow.report["cost"] == {"kind": "latency_s", "unit": "s"}
    assert slow.report["verdict"]["pays"] is True
    slow.write(tmp_path)
    assert (tmp_path / "frontier.png").stat().st_size > 5000


def test_two_models_are_ranked_by_strong_calls_too(train, test_set, learner, encoder):
    two = evaluate_routing(train, test_set, learner, encoder, replace(CONFIG, pool=("small", "large")))
    strong_calls = two.report["routers"]["beast"]["strong_calls"]
    assert strong_calls["apgr"]["value"] > 0.55
    assert strong_calls["cpt50"]["value"] < 0.45
    assert set(strong_calls) == {"apgr", "cpt50", "cpt80"}
    assert "strong_calls" not in two.report["routers"]["single:large"]


def test_one_task_leaves_best_per_task_out_and_says_so(train, test_set, learner, encoder):
    untold = replace(train, tasks=np.full(train.n_queries, ""))
    evaluation = evaluate_routing(untold, test_set, learner, encoder, CONFIG)
    assert "best_per_task" not in evaluation.scores
    assert "best_per_task: left out, the training data hold one task only" in evaluation.report["notes"]


def test_trained_on_questions_are_warned_of_and_decided_all_the_same(train, test_set, learner, encoder):
    said: list[str] = []
    leaky = replace(test_set, prompts=(*train.prompts[:30], *test_set.prompts[30:]))
    evaluation = evaluate_routing(train, leaky, learner, encoder, CONFIG, say=said.append)
    assert any(line.startswith("warning: 30 of 240 test queries") for line in said)
    assert evaluation.report["data"]["overlap"]["questions"] == 30
    assert len(evaluation.decisions[0].operating) == 240


def test_training_queries_without_any_outcome_of_the_pool_are_not_learned_from(train, test_set, learner, encoder):
    quality = train.quality.copy()
    quality[:50] = np.nan
    holes = replace(train, quality=quality)
    assert evaluate_routing(holes, test_set, learner, encoder, CONFIG).report["data"]["train"]["queries"] == 350


def test_peers_run_beside_it(train, test_set, learner, encoder):
    evaluation = evaluate_routing(train, test_set, learner, encoder, CONFIG, peers={"rival": learner})
    ours, rival = evaluation.scores["beast"], evaluation.scores["rival"]
    assert ours.curve["aiq"] == rival.curve["aiq"]
    assert [router.name for router in evaluation.decisions][:3] == ["beast", "rival", "knn"]


@pytest.mark.parametrize(("chosen", "measured_at"), [(None, np.inf), (0.5, 0.5), (0.0, 0.25)])
def test_regret_is_measured_at_the_operating_points_willingness_to_pay(evaluated, chosen, measured_at):
    point = OperatingPoint("single" if chosen is None else "router", "large", chosen)
    router = replace(evaluated.decisions[0], point=point, willingness=np.array([0.0, 0.25, np.inf]))
    assert routing._regret_willingness(router) == measured_at


def test_a_folder_that_cannot_be_written_is_an_error(evaluated, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the evaluation"):
        evaluated.write(tmp_path / "file")
