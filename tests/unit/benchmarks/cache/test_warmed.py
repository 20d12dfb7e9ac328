from dataclasses import replace

import pytest

from beast_ml.benchmarks.cache.stream import ORDINARY, make_stream
from beast_ml.benchmarks.cache.warmed import compare_warming

DAY_S = 86_400.0


@pytest.mark.slow
def test_warming_answers_first_requests_within_its_budget():
    setting = replace(ORDINARY, n_requests=3_000, n_questions=40, n_tenants=1, days=5.0, paraphrase_share=0.0)
    stream = make_stream(setting, seed=2)
    cold, warm = compare_warming(stream, lambda _: 4 * 3_600.0, 0.02, 3 * DAY_S, lost_at_s=4 * DAY_S)
    assert cold.warmed_usd == 0.0
    assert 0.0 < warm.warmed_usd <= 0.02 * 48
    assert warm.n_first == cold.n_first > 100  # the same requests
    assert warm.n_first_hits > 1.5 * cold.n_first_hits + 30
    assert warm.first_s < cold.first_s
    assert warm.n_false == 0
