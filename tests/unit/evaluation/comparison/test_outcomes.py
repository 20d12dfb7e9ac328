from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import InputError, UnknownModelError
from beast_ml.evaluation.comparison.outcomes import compare_outcomes
from beast_ml.evaluation.comparison.plot import draw_comparison
from beast_ml.evaluation.proportion import wilson
from beast_ml.testing.worlds import make_world

KINDS = np.array(["code", "maths"])


def compared(seed=0, n=300, models=("large", "small"), **more):
    outcomes = make_world(np.random.default_rng(seed), n).outcomes
    kinds = KINDS[np.arange(n) % 2]
    kinds[: n // 3] = ""
    return compare_outcomes(outcomes, models, kinds, np.random.default_rng(1), **more), outcomes


def test_differences_are_paired_and_come_by_kind():
    found, outcomes = compared()
    gaps = outcomes.quality[:, 2] - outcomes.quality[:, 0]
    reference, small = found.of("quality")
    assert (reference.model, reference.difference) == ("large", None)
    assert small.n == 300
    assert small.difference.value == pytest.approx(gaps.mean())
    # As wide as the paired spread makes it, and not as two samples apart would.
    half = (small.difference.high - small.difference.low) / 2
    assert half == pytest.approx(1.96 * gaps.std() / 300**0.5, rel=0.12)
    assert {row.kind for row in found.rows} == {"all", "code", "maths"}
    assert small.is_told_apart
    assert "small is worse than large" in found.sentence()
    cheaper = found.of("cost_usd")[1]
    assert cheaper.difference.high < 0


def test_intervals_cover_the_truth():
    outcomes = make_world(np.random.default_rng(0), 6_000).outcomes
    nothing = np.full(outcomes.quality.shape, np.nan)
    population = replace(outcomes, cost_usd=nothing, latency_s=nothing)
    gap = (outcomes.quality[:, 1] - outcomes.quality[:, 0]).mean()
    rng, covered = np.random.default_rng(1), 0
    for rows in rng.permutation(6_000).reshape(60, 100):
        found = compare_outcomes(population.rows(rows), ("large", "medium"), np.full(100, ""), rng)
        d = found.of("quality")[1].difference
        covered += d.low <= gap <= d.high
    assert covered >= 51  # of 60, at 95%


def test_only_requests_that_all_answered_count(tmp_path):
    outcomes = make_world(np.random.default_rng(0), 100).outcomes
    quality = outcomes.quality.copy()
    quality[:40, 0] = np.nan
    failed = np.zeros(quality.shape)
    failed[:40, 0] = 1.0
    found = compare_outcomes(
        replace(outcomes, quality=quality, latency_s=np.full(quality.shape, np.nan)),
        ("medium", "large"),
        np.full(100, ""),
        np.random.default_rng(0),
        failed=failed,
        source="live",
    )
    assert found.of("quality")[1].n == 60
    assert any("40 of 100" in note for note in found.notes)
    assert any("latency_s is not known" in note for note in found.notes)
    never, errors = found.of("errors")
    assert (never.value.value, never.value.low) == (0.0, 0.0)
    assert never.value.high == pytest.approx(wilson(0.0, 100)[1])  # none of a hundred is not none ever
    assert errors.value.value == pytest.approx(0.4)
    assert errors.difference.value == pytest.approx(0.4)
    draw_comparison(tmp_path / "comparison.png", found)
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    report = found.to_dict()
    assert report["source"] == "live"
    assert report["compared"][0]["kind"] == "all"


@pytest.mark.parametrize(
    ("models", "error"),
    [(("large",), InputError), (("large", "large"), InputError), (("large", "huge"), UnknownModelError)],
)
def test_what_cannot_be_compared_is_refused(models, error):
    with pytest.raises(error):
        compared(models=models)
