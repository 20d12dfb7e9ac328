from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import InputError, NotEnoughDataError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.simulate import (
    FailureConfig,
    LabelConfig,
    PolicyConfig,
    Simulation,
    SimulationConfig,
    TrafficConfig,
    simulate,
)
from beast_ml.logs.simulate.config import POLICY_KINDS
from beast_ml.testing.outcome_sets import random_outcomes

OUTCOMES = random_outcomes(np.random.default_rng(0))
BUSY = SimulationConfig(
    requests=400,
    traffic=TrafficConfig(paraphrase_share=0.3, rejected_rate=0.1),
    failures=FailureConfig(rate=0.4),
    labels=LabelConfig(share=0.5, mean_delay_h=24.0),
)


def generate(config: SimulationConfig, seed: int = 0) -> pa.Table:
    return pa.concat_tables(simulate(OUTCOMES, config, np.random.default_rng(seed)))


CONFIGS = st.builds(
    SimulationConfig,
    requests=st.integers(1, 80),
    policy=st.builds(PolicyConfig, kind=st.sampled_from(POLICY_KINDS), epsilon=st.floats(0, 1)),
    traffic=st.builds(TrafficConfig, paraphrase_share=st.floats(0, 1), rejected_rate=st.floats(0, 1)),
    failures=st.builds(FailureConfig, rate=st.floats(0, 1), max_attempts=st.integers(1, 4)),
    labels=st.builds(
        LabelConfig,
        share=st.floats(0, 1),
        mean_delay_h=st.floats(0, 100),
        delay=st.sampled_from(["exponential", "lognormal"]),
    ),
)


@settings(max_examples=60)
@given(CONFIGS, st.integers(0, 2**32 - 1))
def test_the_contract_of_the_log_holds_in_every_row(config: SimulationConfig, seed: int) -> None:
    table = generate(config, seed)
    assert table.schema.equals(REQUEST_SCHEMA)
    table.validate(full=True)
    assert table.num_rows == config.requests
    for row in table.to_pylist(maps_as_pydicts="strict"):
        if row["status"] == "rejected":
            assert row["chosen_model"] is row["propensity"] is row["policy_version"] is None
            assert row["attempts"] == []
        else:
            assert row["chosen_model"] in row["candidates"]
            assert 0 < row["propensity"] <= 1
            assert row["attempts"][0]["model"] == row["chosen_model"]
        answered = row["status"] == "ok"
        assert (row["served_model"] is not None) == answered
        assert (row["latency_s"] is not None) == answered
        assert (row["error_kind"] is None) == answered
        if answered:
            assert row["attempts"][-1] == {
                "model": row["served_model"],
                "status": "ok",
                "error_kind": None,
                "latency_s": row["latency_s"],
            }
            assert 0 < row["ttft_s"] <= row["latency_s"]
        elif row["attempts"]:
            assert row["attempts"][-1]["status"] == row["status"]
            assert row["attempts"][-1]["error_kind"] == row["error_kind"]
        assert all(attempt["status"] != "ok" for attempt in row["attempts"][:-1])
        labelled = row["quality"] is not None
        assert labelled == (row["feedback_at"] is not None) == (row["quality_source"] is not None)
        if labelled:
            assert answered
            assert row["feedback_at"] > row["received_at"]
        assert row["context"] in ({}, {"task": "code"}, {"task": "maths"})


def test_outcomes_are_those_of_the_served_model() -> None:
    rows = {query: i for i, query in enumerate(OUTCOMES.query_ids)}
    n_fallbacks = 0
    for chunk in Simulation(OUTCOMES, BUSY, np.random.default_rng(3)).chunks():
        for row, truth in zip(chunk.requests.to_pylist(), chunk.truth.to_pylist(), strict=True):
            assert row["request_id"] == truth["request_id"]
            assert truth["routed"] == (row["chosen_model"] is not None)
            query = rows[truth["query_id"]]
            assert (row["prompt"] == OUTCOMES.prompts[query]) == (truth["prompt_form"] == 0)
            known = [m for m, q in zip(OUTCOMES.models, OUTCOMES.quality[query], strict=True) if not np.isnan(q)]
            assert row["candidates"] == known
            if row["served_model"] is None:
                continue
            cell = query, OUTCOMES.models.index(row["served_model"])
            n_fallbacks += row["served_model"] != row["chosen_model"]
            assert row["quality"] in (None, OUTCOMES.quality[cell])
            assert row["cost_usd"] == (None if np.isnan(OUTCOMES.cost_usd[cell]) else OUTCOMES.cost_usd[cell])
            assert row["output_tokens"] == OUTCOMES.output_tokens[cell]
    assert n_fallbacks > 50


def test_the_same_seed_gives_the_same_log_in_any_chunks() -> None:
    whole = generate(BUSY)
    assert generate(replace(BUSY, chunk_rows=7)).combine_chunks().equals(whole.combine_chunks())
    other = generate(BUSY, seed=1)
    assert not set(whole["request_id"].to_pylist()) & set(other["request_id"].to_pylist())


def test_a_simulation_can_be_generated_again() -> None:
    simulation = Simulation(OUTCOMES, BUSY, np.random.default_rng(0))
    first, second = ([chunk.requests for chunk in simulation.chunks()] for _ in range(2))
    assert first == second


def test_changing_one_part_leaves_the_other_draws_alone() -> None:
    base = generate(BUSY)
    unlabelled = generate(replace(BUSY, labels=LabelConfig(share=0.0)))
    for name in ("received_at", "user_id", "prompt", "chosen_model", "attempts"):
        assert base[name].equals(unlabelled[name])
    assert unlabelled["quality"].null_count == BUSY.requests


def test_requests_come_in_order_and_sessions_belong_to_one_user() -> None:
    rows = generate(BUSY).to_pylist()
    assert all(a["received_at"] <= b["received_at"] for a, b in pairwise(rows))
    assert all(row["session_id"].startswith(f"{row['user_id']}/s") for row in rows)


def test_input_tokens_are_the_medians_that_are_known() -> None:
    tokens = np.full((40, 4), np.nan)
    tokens[1:, :2] = [10.0, 30.0]
    outcomes = replace(OUTCOMES, input_tokens=tokens)
    table = pa.concat_tables(simulate(outcomes, BUSY, np.random.default_rng(0)))
    assert set(table["input_tokens"].to_pylist()) == {20}
    estimated = generate(BUSY)["input_tokens"].to_pylist()
    assert set(estimated) == {-(-len(prompt) // 4) for prompt in OUTCOMES.prompts}


@pytest.mark.parametrize("name", ["requests", "chunk_rows", "min_candidates"])
def test_a_log_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}` == 0, must be at least 1"):
        SimulationConfig(**{name: 0})  # type: ignore[arg-type]


def test_a_query_without_a_choice_is_never_asked() -> None:
    quality = np.full((4, 3), np.nan)
    quality[0, 0] = quality[1, :2] = quality[2] = 0.5
    outcomes = random_outcomes(np.random.default_rng(0), 4, 3, quality=quality)

    def asked(least: int) -> set[int]:
        config = SimulationConfig(requests=200, min_candidates=least)
        return {
            int(q) for chunk in Simulation(outcomes, config, np.random.default_rng(0)).chunks() for q in chunk.queries
        }

    assert asked(1) == {0, 1, 2}
    assert asked(2) == {1, 2}
    assert asked(9) == {2}


def test_a_pool_of_one_model_can_be_simulated() -> None:
    outcomes = random_outcomes(np.random.default_rng(0), 5, 1, missing=0.0)
    table = pa.concat_tables(simulate(outcomes, SimulationConfig(requests=20), np.random.default_rng(0)))
    assert set(table["propensity"].to_pylist()) == {1.0}


def test_no_query_with_a_choice_is_too_little() -> None:
    outcomes = random_outcomes(np.random.default_rng(0), 2, 2, quality=np.array([[0.5, np.nan], [np.nan, 0.5]]))
    with pytest.raises(NotEnoughDataError, match="no query has 2 models of known quality"):
        Simulation(outcomes, SimulationConfig(), np.random.default_rng(0))
