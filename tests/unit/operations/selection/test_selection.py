"""What was chosen against what should have been."""

from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.operations.selection.accuracy import GroupAccuracy, accuracy_by_group, exact_regret, near_best
from beast_ml.operations.selection.context_value import context_columns, value_of_context
from beast_ml.operations.selection.fallbacks import count_fallbacks
from beast_ml.operations.selection.plot import draw_selection
from beast_ml.operations.selection.report import BY_PREDICTION, SelectionReport, selection_report
from beast_ml.testing.exploring_logs import exploring_log


def test_accuracy_is_the_share_within_epsilon_by_group_of_at_least_twenty() -> None:
    regret = np.repeat([0.0, 0.015, 0.5], 30)
    groups = {"tenant": ["a"] * 30 + ["b"] * 50 + ["c"] * 10, "none": [""] * 90}
    found = accuracy_by_group(near_best(regret, 0.02), regret, np.arange(90), groups, np.random.default_rng(0))
    assert [(each.field, each.value) for each in found] == [("all", ""), ("tenant", "b"), ("tenant", "a")]
    assert [each.accuracy for each in found] == pytest.approx([2 / 3, 0.6, 1.0])
    assert found[0].accuracy_low < 2 / 3 < found[0].accuracy_high
    assert found[0].regret == pytest.approx(regret.mean())
    with pytest.raises(InputError, match="epsilon"):
        near_best(regret, 2.0)


def only(regret: np.ndarray) -> GroupAccuracy:
    near = near_best(np.zeros(len(regret)), 0.02)
    return accuracy_by_group(near, regret, np.arange(len(regret)), {}, np.random.default_rng(0))[0]


def said_of(regret: np.ndarray) -> str:
    return SelectionReport(0.02, (only(regret),), (), (), len(regret), ()).sentence()


def test_a_loss_beyond_what_quality_allows_is_not_told() -> None:
    found = only(np.concatenate([np.zeros(60), [-60.0, -90.0]]))  # two requests of tiny propensities
    assert not found.regret_told
    assert -1.0 <= found.regret_low <= found.regret <= found.regret_high <= 1.0
    said = said_of(np.concatenate([np.zeros(60), [-60.0, -90.0]]))
    assert "how much quality was lost to it the log cannot tell." in said


def test_what_was_lost_is_lost_and_what_was_gained_is_not_a_negative_loss() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.05, 200)
    assert "were lost to it" in said_of(noise + 0.2)
    assert "did 20." in (gained := said_of(noise - 0.2))
    assert "-" not in gained
    assert "better on average" in gained
    assert "no quality was lost to it for certain" in said_of(noise - noise.mean())
    assert "0.00 points of quality [0.00, 0.00] were lost" in said_of(np.zeros(50))


def test_a_field_that_decides_is_worth_what_it_buys_and_noise_is_worth_nothing() -> None:
    rng, n = np.random.default_rng(1), 1200
    task = rng.integers(2, size=n)
    quality = np.where(np.arange(2) == task[:, None], 0.9, 0.3) + rng.normal(0, 0.05, (n, 2))
    fields = {
        "task": task.astype(str).tolist(),
        "noise": rng.integers(5, size=n).astype(str).tolist(),
        "one": ["x"] * n,
    }
    found = value_of_context(
        rng.normal(size=(n, 4)) * 0.1,
        fields,
        quality,
        np.ones((n, 2)),
        1.0,
        lambda decisions: quality[np.arange(n), decisions],
        np.arange(n),
        rng.integers(5, size=n),
        rng,
    )
    gains = {each.field: each for each in found}
    assert set(gains) == {"task", "noise", "everything"}
    assert gains["task"].gain == pytest.approx(0.3, abs=0.03)
    assert gains["task"].gain_low > 0.25
    assert gains["noise"].gain_low < 0.0 < gains["noise"].gain_high or abs(gains["noise"].gain) < 0.03


def test_rare_values_are_not_read() -> None:
    assert context_columns(["a"] * 20 + ["b"] * 5 + [""] * 30).shape == (55, 1)


def test_fallbacks_are_told_by_model_and_error_with_what_they_cost_and_lost() -> None:
    logged = exploring_log(requests=600, failure_rate=0.15)
    failed = logged.failed
    chosen = np.array(logged.matrix.models)[logged.chosen]
    attempts = {
        name: [{"model": model, "status": "error", "error_kind": "timeout", "latency_s": 1.0}]
        for name, model, bad in zip(logged.matrix.query_ids.tolist(), chosen.tolist(), failed, strict=True)
        if bad
    }
    n, m = logged.matrix.quality.shape
    found = count_fallbacks(logged, attempts, np.zeros(n), np.full(n, 2.0), np.full((n, m), 0.5), np.ones((n, m)))
    assert sum(each.n_failed for each in found) == failed.sum() > 0
    assert {each.error_kind for each in found} == {"timeout"}
    assert all(each.lost_quality == 0.5 and each.extra_usd in (1.0, None) for each in found)
    assert count_fallbacks(logged.rows(~failed), {}, np.zeros(n), np.zeros(n), np.zeros((n, m)), np.zeros((n, m))) == []


def test_the_report_tells_of_tenants_kinds_and_context(tmp_path) -> None:
    logged = exploring_log(requests=1500, failure_rate=0.05)
    found = selection_report(logged, HashingEncoder(), {})
    assert {each.field for each in found.accuracy} >= {"all", "tenant", "task"}
    assert [each.field for each in found.context] == ["task"]
    assert found.accuracy[0].regret_low > 0  # half of the choices are drawn at random
    assert {each.error_kind for each in found.fallbacks} == {"unknown"}
    assert "fallback answered" in found.sentence()
    assert BY_PREDICTION in found.sentence()
    assert found.to_dict()["best"] == "is predicted best"
    draw_selection(tmp_path / "s.png", found)
    assert (tmp_path / "s.png").stat().st_size > 20_000
    bare = replace(logged, context=tuple({} for _ in logged.context))
    assert selection_report(bare, HashingEncoder(), {}).context == ()


def test_exact_regret_is_to_the_best_of_all() -> None:
    assert exact_regret(np.array([[0.2, 0.9, 0.5]]), np.array([2])).tolist() == [pytest.approx(0.4)]
