import numpy as np
import pyarrow.parquet as pq
import pytest

from beast_ml.evaluation.decisions import DECISION_COLUMNS, RouterDecisions, decide, write_decisions
from beast_ml.policy.utility import Predictions, choose

MODELS = ("cheap", "dear")
IDS = ["q0", "q1", "q2"]


@pytest.fixture
def learned():
    rng = np.random.default_rng(0)
    quality = (rng.random((200, 2)) < [0.3, 0.9]).astype(float)
    cost = np.tile([1.0, 10.0], (200, 1))
    out_of_fold = Predictions(MODELS, np.clip(quality * 0.6 + 0.2, 0, 1), cost)
    test = Predictions(MODELS, np.array([[0.2, 0.9], [0.8, 0.9], [0.5, 0.5]]), np.tile([1.0, 10.0], (3, 1)))
    return decide("beast", "prompt", out_of_fold, test, quality, cost), test


def single(position):
    nothing = np.zeros((0, 3), dtype=np.int16)
    means = Predictions(MODELS, np.tile([0.3, 0.9], (3, 1)), np.tile([1.0, 10.0], (3, 1)))
    chosen = np.full(3, position, dtype=np.int16)
    return RouterDecisions(f"single:{MODELS[position]}", "nothing", np.zeros(0), nothing, chosen, None, means)


def test_decisions_run_from_the_cheapest_to_the_best_predicted(learned):
    router, _ = learned
    assert router.choices[0].tolist() == [0, 0, 0]
    assert router.choices[-1].tolist() == [1, 1, 0]  # a tie in quality goes to the cheaper
    assert (np.diff(router.choices, axis=0) >= 0).all()


def test_the_operating_point_decides_like_its_willingness_to_pay(learned):
    router, test = learned
    assert router.point.kind == "router"
    assert router.operating.tolist() == choose(test, router.point.willingness_to_pay).tolist()


def test_without_a_point_that_passes_the_best_single_model_answers_everything():
    rng = np.random.default_rng(0)
    quality = (rng.random((200, 2)) < [0.3, 0.9]).astype(float)
    noise = Predictions(MODELS, rng.random((200, 2)) * [1, 0.2], np.tile([1.0, 10.0], (200, 1)))
    test = Predictions(MODELS, np.ones((3, 2)) * [1, 0], np.ones((3, 2)))
    assert decide("x", "prompt", noise, test, quality, noise.cost).operating.tolist() == [1, 1, 1]


def test_the_table_has_one_row_per_router_tradeoff_and_query(learned, tmp_path):
    path = tmp_path / "decisions.parquet"
    rows = write_decisions(path, IDS, [learned[0], single(0), single(1)], "latency_s")
    table = pq.read_table(path)
    frame = table.to_pandas()
    assert tuple(frame.columns) == DECISION_COLUMNS
    assert rows == len(frame) == 3 * (49 + 1 + 1)
    assert not frame.duplicated(["router", "tradeoff", "query_id"]).any()
    assert (frame.groupby(["router", "tradeoff"]).query_id.apply(list).map(lambda ids: ids == IDS)).all()
    assert {str(field.type) for field in table.schema} == {"string", "double"}
    assert pq.read_metadata(path).metadata[b"cost"] == b"latency_s"


def test_the_table_holds_what_was_decided_and_why(learned, tmp_path):
    router, test = learned
    write_decisions(tmp_path / "d.parquet", IDS, [router, single(1)], "cost_usd")
    frame = pq.read_table(tmp_path / "d.parquet").to_pandas()
    ours = frame[frame.router == "beast"]
    labels = [label for label in ours.tradeoff.unique() if label != "operating"]
    assert len(labels) == 48
    assert all(f"{float(label):.6g}" == label for label in labels)
    for label in labels:  # whoever reads the table can decide again from it
        rows = ours[ours.tradeoff == label]
        chosen = choose(test, float(label))
        assert rows.model.tolist() == [MODELS[i] for i in chosen]
        assert rows.predicted_quality.tolist() == test.quality[np.arange(3), chosen].tolist()
        assert rows.predicted_cost_usd.tolist() == test.cost[np.arange(3), chosen].tolist()
    fixed = frame[frame.router == "single:dear"]
    assert fixed.tradeoff.unique().tolist() == ["operating"]
    assert fixed.predicted_quality.unique().tolist() == [0.9]
