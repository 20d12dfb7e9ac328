import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beast_ml.errors import InputError, NotEnoughDataError, UnknownModelError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import POLICY_KINDS, PolicyConfig
from beast_ml.logs.simulate.policies import logging_policy, mean_utility


def matrix(quality: np.ndarray, cost: np.ndarray | None = None, tasks: list[str] | None = None) -> OutcomeMatrix:
    n, m = quality.shape
    nothing = np.full((n, m), np.nan)
    return OutcomeMatrix(
        query_ids=np.array([f"q{i}" for i in range(n)]),
        prompts=tuple(f"prompt {i}" for i in range(n)),
        tasks=np.array(tasks or [""] * n),
        apps=np.full(n, ""),
        models=tuple(f"m{j}" for j in range(m)),
        quality=quality,
        cost_usd=nothing if cost is None else cost,
        input_tokens=nothing,
        output_tokens=nothing,
        latency_s=nothing,
        ttft_s=nothing,
    )


QUALITIES = hnp.arrays(
    float,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.one_of(st.floats(0, 1), st.just(float("nan"))),
).filter(lambda quality: not np.isnan(quality).all())
CONFIGS = st.builds(
    PolicyConfig,
    kind=st.sampled_from(POLICY_KINDS),
    epsilon=st.floats(0, 1),
    temperature=st.floats(1e-3, 10),
    per=st.sampled_from(["model", "task"]),
    willingness_to_pay=st.one_of(st.none(), st.floats(1e-3, 1e3)),
)


@given(QUALITIES, CONFIGS, st.integers(0, 2**32 - 1))
def test_every_choice_is_a_candidate_with_its_own_propensity(
    quality: np.ndarray, config: PolicyConfig, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    policy = logging_policy(matrix(quality, rng.random(quality.shape)), config)
    usable = np.flatnonzero(policy.candidates.any(axis=1))
    assert np.allclose(policy.probabilities[usable].sum(axis=1), 1.0)
    assert (policy.probabilities[~policy.candidates] == 0).all()
    queries = rng.choice(usable, 50)
    chosen = policy.choose(queries, np.append(rng.random(48), [0.0, np.nextafter(1.0, 0.0)]))
    propensity = policy.probabilities[queries, chosen]
    assert policy.candidates[queries, chosen].all()
    assert (propensity > 0).all()
    assert (propensity <= 1).all()


def test_uniform_gives_every_candidate_the_same() -> None:
    policy = logging_policy(matrix(np.array([[0.1, np.nan, 0.3, 0.4]])), PolicyConfig(kind="uniform"))
    assert policy.probabilities.tolist() == [[1 / 3, 0.0, 1 / 3, 1 / 3]]
    assert policy.version == "simulated:uniform"


def test_epsilon_greedy_prefers_the_best_by_mean() -> None:
    policy = logging_policy(matrix(np.array([[0.9, 0.1], [0.0, 0.2]])), PolicyConfig(epsilon=0.2))
    assert np.allclose(policy.probabilities, [[0.9, 0.1], [0.9, 0.1]])


def test_a_given_model_is_preferred_where_it_is_a_candidate() -> None:
    quality = np.array([[0.9, 0.1, 0.5], [0.9, np.nan, 0.5]])
    policy = logging_policy(matrix(quality), PolicyConfig(kind="deterministic", model="m1"))
    assert policy.probabilities.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert policy.preference.tolist() == [[1, 0, 2], [0, 2, 1]]


def test_per_task_prefers_the_best_of_the_task() -> None:
    quality = np.array([[1.0, 0.0], [0.0, 0.5]])
    policy = logging_policy(matrix(quality, tasks=["a", "b"]), PolicyConfig(kind="deterministic", per="task"))
    assert policy.probabilities.tolist() == [[1, 0], [0, 1]]


def test_softmax_odds_are_exponential_in_utility() -> None:
    quality = np.array([[0.5, 0.25]])
    policy = logging_policy(matrix(quality), PolicyConfig(kind="softmax", temperature=0.25))
    assert policy.probabilities[0, 0] / policy.probabilities[0, 1] == pytest.approx(np.e)


def test_cost_counts_at_the_willingness_to_pay() -> None:
    outcomes = matrix(np.array([[0.6, 0.5], [0.6, 0.5]]), np.array([[2.0, 0.0], [np.nan, 0.0]]))
    config = PolicyConfig(willingness_to_pay=4.0)
    assert np.allclose(mean_utility(outcomes, config), [[0.1, 0.5], [0.1, 0.5]])


def test_a_model_never_tried_on_a_task_has_its_overall_mean_there() -> None:
    outcomes = matrix(np.array([[0.6, 0.5], [np.nan, 0.3]]), tasks=["a", "b"])
    assert np.allclose(mean_utility(outcomes, PolicyConfig(per="task")), [[0.6, 0.5], [0.6, 0.3]])


def test_an_unknown_model_is_named_with_what_there_is() -> None:
    with pytest.raises(UnknownModelError, match="'gpt-9' is not in the outcome set; it has m0, m1"):
        logging_policy(matrix(np.ones((2, 2))), PolicyConfig(model="gpt-9"))


def test_no_known_outcome_is_too_little() -> None:
    with pytest.raises(NotEnoughDataError, match="no query"):
        logging_policy(matrix(np.full((2, 2), np.nan)), PolicyConfig())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "greedy"}, "must be one of uniform, epsilon-greedy"),
        ({"epsilon": 1.5}, "`epsilon` == 1.5, must be between 0 and 1"),
        ({"temperature": 0.0}, "`temperature` == 0.0, must be a finite number > 0"),
        ({"willingness_to_pay": float("inf")}, "must be a finite number > 0"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PolicyConfig(**arguments)
