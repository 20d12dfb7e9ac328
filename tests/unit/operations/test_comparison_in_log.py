import numpy as np
import pytest

from beast_ml.errors import UnknownModelError
from beast_ml.evaluation.proportion import wilson
from beast_ml.features.hashing import HashingEncoder
from beast_ml.operations.comparison_in_log import compare_in_log
from beast_ml.testing.exploring_logs import exploring_log
from beast_ml.testing.worlds import make_world

MODELS = ("large", "medium", "small")


def test_what_each_would_have_got_on_all_requests_is_covered():
    """The log chose the models by the request, so their means in it are not comparable; doubly robust ones are."""
    logged = exploring_log(0, 2_000, epsilon=0.5)
    world = make_world(np.random.default_rng(0), 900)
    truth = dict(zip(world.outcomes.prompts, world.quality, strict=True))
    means = np.stack([truth[prompt] for prompt in logged.matrix.prompts]).mean(axis=0)
    found = compare_in_log(logged, MODELS, HashingEncoder())
    assert found.source == "log"
    for row, mean in zip(found.of("quality"), means, strict=True):
        assert row.value.low - 0.03 <= mean <= row.value.high + 0.03
        if row.difference is not None:
            assert row.difference.low - 0.03 <= mean - means[0] <= row.difference.high + 0.03
    assert found.of("quality")[2].is_told_apart
    assert found.of("cost_usd")[2].difference.high < 0
    assert found.of("latency_s")[2].difference.high < 0
    assert set(found.trusted) == set(MODELS)
    assert found.trusted["large"].startswith("Trust")
    assert found.to_dict()["log_can_tell"] == found.trusted
    assert found.untold == ()
    assert "effective requests of small" in found.sentence()


def test_a_log_without_exploration_says_that_it_cannot_tell():
    logged = exploring_log(1, 800, epsilon=0.01, failure_rate=0.1)
    found = compare_in_log(logged, ("large", "small"), HashingEncoder())
    assert found.untold
    assert all(found.trusted[name].startswith("Cannot be answered by this log") for name in found.untold)
    assert "the log cannot tell whether small is better or worse than large: it says too little of" in found.sentence()
    assert not any(row["told_apart"] for row in found.to_dict()["compared"])
    assert found.of("errors")


def test_few_calls_without_a_failure_leave_room_for_failures():
    found = compare_in_log(exploring_log(0, 300, epsilon=0.05), ("large", "small"), HashingEncoder())
    large, small = found.of("errors")
    assert small.value.value == 0.0
    assert small.value.high >= wilson(0.0, small.n + 1)[1] > 0.0
    assert small.difference.low <= 0.0 <= small.difference.high
    assert small.difference.high >= small.value.high - large.value.value


def test_no_mean_leaves_what_it_can_be_and_differences_agree_with_the_means():
    """A log that hardly explores gives doubly robust means of the model it avoids far below zero."""
    found = compare_in_log(exploring_log(0, 300, epsilon=0.05), ("large", "small"), HashingEncoder())
    assert {row.measure for row in found.rows if row.value.value == 0.0} >= {"quality", "cost_usd", "latency_s"}
    for row in found.rows:
        ends = (row.value.low, row.value.value, row.value.high)
        assert all(end >= 0.0 for end in ends if end is not None)
        assert row.measure not in ("quality", "errors") or all(end <= 1.0 for end in ends if end is not None)
        if row.difference is not None:
            reference = next(each for each in found.of(row.measure, row.kind) if each.model == "large")
            assert row.difference.value == pytest.approx(row.value.value - reference.value.value)
            assert row.difference.low <= row.difference.value <= row.difference.high


def test_a_model_that_the_log_never_had_is_refused():
    with pytest.raises(UnknownModelError, match="huge"):
        compare_in_log(exploring_log(0, 200), ("large", "huge"), HashingEncoder())
