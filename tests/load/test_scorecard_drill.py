"""The scorecard's drill, on a small router: a real gateway, a provider that fails, a log that tells."""

import pytest

from beast_ml.benchmarks.scorecard.drill import run_drill
from beast_ml.benchmarks.scorecard.log_readings import log_figures, log_share


@pytest.mark.slow
def test_a_drill_leaves_a_log_with_fallbacks_and_without_failures(router_folder, tmp_path):
    prompts = [f"Tell me {a} about {b}" for a in ("all", "little", "much") for b in ("whales", "kings", "rust", "tea")]
    prompts += [f"Compute {i} times {i + 7} and say how you did it" for i in range(400)]
    figures = log_figures(run_drill(router_folder, prompts, tmp_path / "drill", seconds=4.0))
    assert figures["ended"] > 100
    assert 0.0 < log_share("fallen_back", "answered")(figures).value < 0.2
    assert figures["failed"] <= figures["ended"] // 50
    assert figures["labelled"] == 0
