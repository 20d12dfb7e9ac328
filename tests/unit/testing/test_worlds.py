import numpy as np
import pytest

from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.testing.worlds import WORLD_MODELS, make_world, thin_out


def test_a_world_is_reproducible_and_its_questions_are_its_own():
    one, same, other = (
        make_world(np.random.default_rng(seed), 50, prefix=p) for seed, p in ((0, "a"), (0, "a"), (0, "b"))
    )
    assert isinstance(one.outcomes, OutcomeMatrix)
    assert one.outcomes.digest() == same.outcomes.digest()
    assert not set(one.outcomes.prompts) & set(other.outcomes.prompts)
    assert len(set(one.outcomes.prompts)) == 50
    assert one.outcomes.models == tuple(sorted(WORLD_MODELS))


def test_outcomes_scatter_around_the_truth():
    world = make_world(np.random.default_rng(1), 20_000)
    np.testing.assert_allclose(world.outcomes.quality.mean(axis=0), world.quality.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(world.outcomes.output_tokens.mean(axis=0), world.output_tokens.mean(axis=0), rtol=0.01)
    np.testing.assert_allclose(world.outcomes.cost_usd.mean(axis=0), world.cost_usd.mean(axis=0), rtol=0.01)


def test_routing_pays_in_it():
    world = make_world(np.random.default_rng(2), 2000)
    utility = 0.005 * world.quality - world.cost_usd
    assert utility.max(axis=1).mean() > utility.mean(axis=0).max() + 1e-5


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_thinning_hides_whole_cells(share):
    outcomes = make_world(np.random.default_rng(3), 100).outcomes
    thin = thin_out(outcomes, np.random.default_rng(0), share)
    hidden = np.isnan(thin.quality)
    assert hidden.mean() == pytest.approx(share, abs=0.1)
    for name in ("cost_usd", "input_tokens", "output_tokens", "latency_s"):
        np.testing.assert_array_equal(np.isnan(getattr(thin, name)), hidden)
        np.testing.assert_array_equal(getattr(thin, name)[~hidden], getattr(outcomes, name)[~hidden])
