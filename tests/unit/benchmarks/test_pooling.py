from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks import pooling, pooling_part
from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.labelled_questions import question_stem
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.pooling import PoolingPoint, mean_over_seeds, pooling_curves
from beast_ml.benchmarks.pooling_plot import draw_pooling
from beast_ml.errors import InputError
from beast_ml.logs.splits import holdout_mask
from beast_ml.predictors.pooling import TrunkConfig
from beast_ml.testing.worlds import make_world

_CONFIG = TrunkConfig(hidden=32, units=8, steps=150, dropout=0.0)


@pytest.fixture(scope="module")
def sets():
    """Three deployments of one world; the second asks some questions of the first, in a frame of its own."""
    worlds = [make_world(np.random.default_rng(i), 400, prefix=str(i)).outcomes for i in range(3)]
    framed = (
        *(f"Question: {text}\nA. yes\nB. no\nAnswer:" for text in worlds[0].prompts[:50]),
        *worlds[1].prompts[50:],
    )
    other_pool = replace(worlds[1], prompts=framed, models=("fast", "new", "old"))
    return {"target": worlds[0], "framed": other_pool, "alike": worlds[2]}


def test_no_question_of_the_target_reaches_the_trunk_and_no_held_out_one_the_learner(sets, encoder, monkeypatch):
    seen, learnt = [], []
    fit_trunk, fit_quality = pooling.fit_trunk, pooling.fit_quality
    monkeypatch.setattr(pooling, "fit_trunk", lambda found, *rest: (seen.extend(found), fit_trunk(found, *rest))[1])
    monkeypatch.setattr(
        pooling,
        "fit_quality",
        lambda data, *rest: (learnt.append(data.outcomes.prompts), fit_quality(data, *rest))[1],
    )
    result = pooling_curves(sets, ["target"], [60, 10**6, None], [3], encoder, config=_CONFIG)
    asked = {question_stem(text) for text in sets["target"].prompts}
    assert sorted(len(one.prompts) for one in seen) == [350, 400]
    assert not any(question_stem(text) in asked for one in seen for text in one.prompts)
    assert result.shared_questions == {"target": 50}
    assert result.sources == {"target": ("framed", "alike")}
    held = holdout_mask(sets["target"].prompts, 0.3, 3)
    own = {text for text, out in zip(sets["target"].prompts, held, strict=True) if not out}
    assert [len(texts) for texts in learnt] == [60, 60, len(own), len(own)]  # both arms, same queries
    assert learnt[0] == learnt[1]
    assert all(set(texts) <= own for texts in learnt)


def test_other_deployments_help_one_with_few_queries_where_they_share_its_structure(sets, encoder):
    result = pooling_curves(sets, ["target"], [60], [0, 1], encoder, config=_CONFIG)
    (point,) = result.points
    assert np.mean(point.brier_pooled) < np.mean(point.brier_alone)
    assert all(alone <= means for alone, means in zip(point.brier_alone, point.brier_means, strict=True))
    assert pooling_curves(sets, ["target"], [60], [0, 1], encoder, config=_CONFIG).to_dict() == result.to_dict()
    assert np.mean(point.skill_pooled) > np.mean(point.skill_alone)
    plain = result.to_dict()["points"][0]
    assert plain["brier_gain"]["low"] < plain["brier_gain"]["value"] < plain["brier_gain"]["high"]


def test_a_target_needs_to_be_there_and_to_have_company(sets, encoder):
    with pytest.raises(InputError, match="no set 'absent'"):
        pooling_curves(sets, ["absent"], [60], [0], encoder)
    with pytest.raises(InputError, match="at least two"):
        pooling_curves({"target": sets["target"]}, ["target"], [60], [0], encoder)


def test_intervals_are_those_of_students_t():
    estimate = mean_over_seeds((1.0, 2.0, 3.0))
    assert estimate.value == 2.0
    assert estimate.high - estimate.value == pytest.approx(4.30265 / np.sqrt(3.0), rel=1e-4)
    assert mean_over_seeds((1.0,)).low is None


@pytest.fixture
def points():
    def point(size, n, gain):
        shares = (0.1, 0.12), (0.1, 0.2), (0.1 + gain, 0.2 + gain)
        briers = (0.3, 0.3), (0.2, 0.2), (0.19, 0.19)
        return PoolingPoint("mmlu", size, n, *shares, *briers, (0.0, 1.0), (0.0, 0.0), (0.1, 0.1), (0.2, 0.1))

    return point(100, 100.0, 0.05), point(None, 900.0, 0.0)


def test_points_become_figures_that_are_kept_and_drawn(sets, points, tmp_path, monkeypatch):
    there = {"mmlu": sets["target"], "gsm8k": sets["alike"]}
    monkeypatch.setattr(pooling_part, "load_set", lambda one, _: there.get(one.name))
    result = pooling.PoolingResult(points, {"mmlu": ("gsm8k",)}, {"mmlu": 0})
    monkeypatch.setattr(pooling_part, "pooling_curves", lambda *_: result)
    context = PartContext(None, "hashing", 2, False, False, tmp_path, lambda _: None)
    measured = pooling_part.measure_pooling(context)
    found = {(figure.dataset, figure.router, figure.name): figure for figure in measured.figures}
    gain = found["mmlu, 100 own queries", "pooled", "gain_in_share"]
    assert gain.value == pytest.approx(0.05)
    assert found["mmlu, all own queries", "alone", "share_of_held_out_gap"].seeds == (0.1, 0.2)
    assert found["mmlu, all own queries", "pooled", "own_queries"].value == 900.0
    assert any(note.startswith("mmlu_pro is not there") for note in measured.notes)
    monkeypatch.setattr(pooling_part, "pooling_curves", lambda *_: pytest.fail("measured again"))
    assert pooling_part.measure_pooling(context) == measured
    draw_pooling(tmp_path / "pooling.png", measured.figures)
    assert (tmp_path / "pooling.png").stat().st_size > 10_000


def test_without_a_second_set_nothing_is_measured(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(pooling_part, "load_set", lambda one, _: sets["target"] if one.name == "mmlu" else None)
    context = PartContext(None, "hashing", 2, True, False, tmp_path, lambda _: None)
    measured = pooling_part.measure_pooling(context)
    assert measured.figures == ()
    assert "quickstart is not there: nothing is pooled with it" in measured.notes


def test_the_picture_is_drawn_without_intervals_too(tmp_path):
    figures = [Figure("pooling", "s, 100 own queries", "pooled", "own_queries", 100.0)]
    figures += [
        Figure("pooling", "s, 100 own queries", router, "share_of_held_out_gap", 0.1) for router in ("alone", "pooled")
    ]
    draw_pooling(tmp_path / "one.png", figures)
    assert (tmp_path / "one.png").is_file()
