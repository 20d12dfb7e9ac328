import gc
import json

import numpy as np
import pytest

from beast_ml.benchmarks import decision_time
from beast_ml.benchmarks.decision_time import STAGES, decision_times, measure_router, time_calls
from beast_ml.serving.router import Router

PROMPTS = {20: [f"short prompt {i}" for i in range(20)], 50: [f"a longer prompt, number {i}" for i in range(20)]}


def test_every_item_is_timed_once_after_others_have_warmed_up():
    seen = []
    timing = time_calls(seen.append, ["c", "d"], ["a", "b"])
    assert seen == ["a", "b", "c", "d"]
    assert timing.n_calls == 2
    assert 0 < timing.median_us <= timing.p90_us <= timing.p99_us


def test_slow_calls_show_in_the_tail():
    timing = time_calls(lambda n: sum(range(n)), [100] * 95 + [100_000] * 5)
    assert timing.p99_to_median > 10
    assert timing.to_dict()["p99_us"] == pytest.approx(timing.p99_us, abs=0.1)


def test_a_router_is_measured_stage_by_stage_on_prompts_it_has_not_seen(loaded):
    router = Router(loaded, np.random.default_rng(0))
    met = []
    route = router.route
    router.route = lambda prompt, **asked: met.append(prompt) or route(prompt, **asked)
    times = measure_router(router, PROMPTS)
    warm, fresh = (
        [prompt for texts in PROMPTS.values() for prompt in texts[part]] for part in (slice(6), slice(6, 20))
    )
    assert met == [*warm, *fresh, *fresh]  # plain, then with reasons
    assert set(times.by_tokens) == {20, 50}
    for stages in times.by_tokens.values():
        assert tuple(stages) == STAGES
        assert all(timing.n_calls == 14 for timing in stages.values())
    assert (times.n_models, times.n_features) == (3, loaded.features.dim)
    assert times.features_given.n_calls == 28
    assert times.batch_per_s > 0
    assert gc.get_freeze_count() == 0


def test_results_are_json_by_router(loaded, monkeypatch):
    monkeypatch.setattr(decision_time, "prompts_by_length", lambda *_, n_prompts: PROMPTS)
    results = decision_times(routers={"own": Router(loaded)}, n_prompts=20)
    report = json.loads(json.dumps(results["own"].to_dict()))
    assert report["by_tokens"]["50"]["decision"].keys() == {"median_us", "p90_us", "p99_us", "p99_to_median"}
    assert report["models"] == 3
