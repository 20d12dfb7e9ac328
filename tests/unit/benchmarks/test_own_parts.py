from pathlib import Path

import numpy as np
import pytest

from beast_ml.benchmarks import logs_part, speed_part
from beast_ml.benchmarks.decision_time import DecisionTimes, Timing
from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.peers.decisions import peer_decisions
from beast_ml.benchmarks.peers.embedded import Examples


@pytest.fixture
def context(tmp_path: Path) -> PartContext:
    return PartContext(None, "hashing", 1, True, False, tmp_path, lambda _: None)


def test_what_was_measured_is_kept_until_its_settings_change(context):
    measured = []

    def measure() -> tuple[Figure, ...]:
        measured.append(1)
        return (Figure("p", "d", "beast", "n", float(len(measured))),)

    first = context.kept("a, b", {"n": 1}, measure)
    assert context.kept("a, b", {"n": 1}, measure) == first
    assert context.kept("a, b", {"n": 2}, measure) != first
    assert len(measured) == 2


def test_sets_that_are_absent_are_named(context):
    assert [note.split()[0] for note in logs_part.measure_logs(context).notes] == ["routerbench3", "mmlu_pro", "bfcl"]
    assert logs_part.measure_scale(context).notes == ("routerbench3 is not there: no logs were simulated from it",)


@pytest.mark.slow
def test_every_logging_policy_is_measured_and_a_rerun_measures_nothing(context, outcomes, monkeypatch):
    monkeypatch.setattr(logs_part, "load_set", lambda one, _: outcomes if one.name == "routerbench3" else None)
    monkeypatch.setattr(logs_part, "_QUICK_LOGS", 2)
    result = logs_part.measure_logs(context)
    found = {(figure.dataset, figure.name): figure for figure in result.figures}
    for policy in ("uniform", "softmax", "epsilon-0.2", "epsilon-0.05"):
        loss = found[f"routerbench3, {policy}", "loss"]
        assert loss.low <= loss.value <= loss.high
        ends = [found[f"routerbench3, {policy}", f"ended_with_{what}"].value for what in ("stay", "single", "router")]
        assert sum(ends) == pytest.approx(1.0)
    assert "share_kept" in {name for _, name in found}
    monkeypatch.setattr(logs_part, "no_harm_cell", None)
    monkeypatch.setattr(logs_part, "prepare_log_set", lambda *_: pytest.fail("a set was prepared for nothing"))
    assert logs_part.measure_logs(context) == result


def test_times_become_figures_of_each_length(context, monkeypatch):
    timing = Timing(10, 50.0, 60.0, 100.0)
    times = DecisionTimes(3, 9, {20: {"decision": timing}}, timing, 7000.0)
    monkeypatch.setattr(speed_part, "decision_times", lambda *_, **__: {"quickstart": times})
    found = {(figure.dataset, figure.name): figure.value for figure in speed_part.measure_speed(context).figures}
    assert found["quickstart router, 3 models, 20 tokens", "median_us"] == 50.0
    assert found["quickstart router, 3 models, 20 tokens", "p99_to_median"] == 2.0
    assert found["quickstart router, 3 models, features given", "p99_us"] == 100.0
    assert found["quickstart router, 3 models, batches", "decisions_per_s"] == 7000.0


def test_a_peer_decides_one_request_by_its_own_code(outcomes, encoder, monkeypatch):
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "llmrouter" else find(name))
    vectors = encoder.encode(outcomes.prompts)
    decisions = peer_decisions(Examples(vectors, outcomes.quality, outcomes.cost_usd.mean(axis=0), 0))
    assert list(decisions) == ["paretobandit"]
    model, log = decisions["paretobandit"](vectors[0])
    assert model in ("0", "1", "2")
    assert np.isfinite(log.predicted_utility)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_llmrouter_decides_one_request_by_its_own_code(outcomes, encoder):
    pytest.importorskip("llmrouter", reason="pip install --no-deps llmrouter-lib==0.4.0")
    vectors = encoder.encode(outcomes.prompts)
    decisions = peer_decisions(Examples(vectors, outcomes.quality, outcomes.cost_usd.mean(axis=0), 0))
    assert {name for name in decisions if name.startswith("llmrouter")} == {
        f"llmrouter_{f}" for f in ("knn", "mlp", "mf")
    }
    assert all(int(decide(vectors[0])) in (0, 1, 2) for name, decide in decisions.items() if name != "paretobandit")
