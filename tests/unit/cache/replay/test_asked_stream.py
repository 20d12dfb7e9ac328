import numpy as np
import pytest

from beast_ml.cache.demand import AskedRequest
from beast_ml.cache.lifetimes import AnswerAge, fit_lifetimes
from beast_ml.cache.replay.asked_stream import lives_at, stream_of_asked
from beast_ml.errors import NotEnoughDataError

DAY_S = 86_400.0


def test_requests_of_a_tenant_with_one_canonical_form_ask_the_same():
    asked = [
        AskedRequest(1_000.0, "acme", "What is entropy?", "science", 0.02, 3.0),
        AskedRequest(1_060.0, "acme", "what is  entropy", "science"),
        AskedRequest(1_120.0, "zeta", "What is entropy?", "science", 0.04, 1.0),
        AskedRequest(1_180.0, "acme", "What is enthalpy?", "science", 0.02, 3.0),
    ]
    stream = stream_of_asked(asked, fit_lifetimes([]), np.random.default_rng(0), "a log")
    first, same, other_tenant, other = stream.requests
    assert same.asks_the_same_as(first)
    assert not other_tenant.asks_the_same_as(first)
    assert not other.asks_the_same_as(first)
    assert [each.at_s for each in stream.requests] == [0.0, 60.0, 120.0, 180.0]
    assert (same.cost_usd, same.latency_s) == (0.02, 3.0)  # not known: the median
    assert stream.half_s == pytest.approx(90.5)


def test_answers_change_at_the_rate_that_is_known_of_their_kind():
    seen = [AnswerAge("business", DAY_S * x, False) for x in np.linspace(0.5, 2.0, 400)]
    seen += [AnswerAge("business", 3_600.0 * x, True) for x in np.linspace(0.1, 1.0, 400)]
    lives = fit_lifetimes(seen)
    asked = [AskedRequest(DAY_S * i, "acme", f"Is item number {i} sold?", "business", 0.01) for i in range(60)]
    asked += [AskedRequest(DAY_S * 100, "acme", "What is an atom?", "maths", 0.01)]
    stream = stream_of_asked(asked, lives, np.random.default_rng(1))
    changed = [len(each) for each in stream.changes_s]
    assert np.mean(changed[:60]) == pytest.approx(100 * lives.kinds["business"].hazard_per_day, rel=0.15)
    assert changed[60] <= 1


def test_a_greater_share_of_stale_answers_is_a_longer_life_up_to_the_bound():
    lives = fit_lifetimes([])
    careful, careless = (lives_at(lives, share, 1e12) for share in (0.01, 0.2))
    assert careful.ttl_s("business") < lives.ttl_s("business") * 1.5
    assert careless.ttl_s("business") > 10 * careful.ttl_s("business")
    assert careless.ttl_s("never heard of") > 10 * careful.ttl_s("never heard of")
    assert lives_at(lives, 0.2, 3_600.0).ttl_s("maths") == 3_600.0


def test_a_log_without_costs_says_nothing_of_savings():
    with pytest.raises(NotEnoughDataError, match="none of 1 requests of a log has a cost"):
        stream_of_asked([AskedRequest(0.0, "acme", "hi")], fit_lifetimes([]), np.random.default_rng(0))
