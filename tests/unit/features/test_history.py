from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest

from beast_ml.errors import InputError, UnknownModelError
from beast_ml.features.history import History, HistorySpec, HistoryState, MeansState, to_us

HOUR_US = 3_600_000_000


def make_spec(**changes: Any) -> HistorySpec:
    values: dict[str, Any] = {"models": ("a", "b"), "half_life_s": 3600.0, "prior_strength": 2.0}
    return HistorySpec(**(values | changes))


def feature(history: History, name: str, tenant: str = "t", kind: str | None = None, at_us: int = 10**18) -> float:
    row = history.features(tenant, kind, at_us=at_us)
    return float(row[history.spec.names.index(name)])


def test_every_feature_has_a_name_of_its_own() -> None:
    spec = make_spec()
    assert len(set(spec.names)) == spec.dim == 18
    assert spec.names[:2] == ("history_all_quality=a", "history_all_quality=b")
    assert spec.names[-1] == "history_kind_log_latency=b"
    assert History(spec).features("t", None, at_us=0).shape == (18,)
    assert History(spec).features("t", None, at_us=0).dtype == np.float32


def test_a_model_that_was_never_tried_has_the_prior() -> None:
    history = History(make_spec(prior_quality=0.6, prior_failure_rate=0.1, prior_latency_s=2.0))
    row = history.features("t", "k", at_us=0)
    np.testing.assert_allclose(row, np.tile(np.repeat([0.6, 0.1, math.log(2.0)], 2), 3), rtol=1e-6)


def test_each_statistic_is_a_shrunk_mean_of_its_own_observations() -> None:
    history = History(make_spec(by=()))
    history.observe("a", known_us=0, quality=1.0, latency_s=math.e)
    history.observe("a", known_us=0, failed=True)
    history.observe("b", known_us=0, failed=False)
    row = history.features("t", None, at_us=1)
    expected = [(1.0 + 2 * 0.5) / 3, 0.5, (1 + 2 * 0.05) / 3, 2 * 0.05 / 3, 1 / 3, 0.0]
    np.testing.assert_allclose(row, expected, rtol=1e-6)


def test_an_observation_weighs_half_after_a_half_life() -> None:
    history = History(make_spec(by=(), statistics=("quality",)))
    history.observe("a", known_us=0, quality=1.0)
    history.observe("a", known_us=HOUR_US, quality=0.0)
    assert feature(history, "history_all_quality=a") == pytest.approx((0.5 * 1.0 + 2 * 0.5) / (1.5 + 2))


def test_a_tenant_is_shrunk_to_all_and_forgotten_towards_it() -> None:
    history = History(make_spec(by=("tenant",), statistics=("quality",)))
    history.observe("a", known_us=0, tenant="good", quality=1.0)
    overall = (1.0 + 2 * 0.5) / 3
    assert feature(history, "history_tenant_quality=a", "good", at_us=1) == pytest.approx((1.0 + 2 * overall) / 3)
    assert feature(history, "history_tenant_quality=a", "new", at_us=1) == pytest.approx(overall)
    history.observe("b", known_us=1000 * HOUR_US, tenant="other", quality=1.0)
    assert feature(history, "history_tenant_quality=a", "good") == pytest.approx(0.5)


def test_kinds_are_told_apart_and_no_kind_is_as_all() -> None:
    history = History(make_spec(statistics=("quality",)))
    history.observe("a", known_us=0, kind="code", quality=1.0)
    history.observe("a", known_us=0, kind="chat", quality=0.0)
    history.observe("a", known_us=0, kind=None, quality=0.5)
    name, overall = "history_kind_quality=a", feature(history, "history_all_quality=a")
    assert feature(history, name, kind="code") == pytest.approx((1.0 + 2 * overall) / 3)
    assert feature(history, name, kind="chat") == pytest.approx((0.0 + 2 * overall) / 3)
    assert feature(history, name, kind=None) == feature(history, name, kind="") == pytest.approx(overall)


@pytest.mark.parametrize("told_first", ["observation", "request"])
def test_what_becomes_known_with_the_request_is_not_known_before_it(told_first: str) -> None:
    history = History(make_spec())
    before = history.features("t", None, at_us=5).tobytes()
    if told_first == "observation":
        history.observe("a", known_us=5, quality=1.0)
    assert history.features("t", None, at_us=5).tobytes() == before
    if told_first == "request":
        history.observe("a", known_us=5, quality=1.0)
    assert history.features("t", None, at_us=6).tobytes() != before


def test_silence_changes_nothing() -> None:
    history = History(make_spec())
    history.observe("a", known_us=0, quality=1.0, failed=False, latency_s=3.0)
    soon = history.features("default", None, at_us=1)
    assert history.features("default", None, at_us=10_000 * HOUR_US).tobytes() == soon.tobytes()


def test_a_late_report_weighs_as_if_it_had_come_in_time() -> None:
    in_time, late = History(make_spec()), History(make_spec())
    reports = [(0, 1.0), (HOUR_US, 0.0), (3 * HOUR_US, 0.25)]
    for known_us, quality in reports:
        in_time.observe("a", known_us=known_us, quality=quality)
    for known_us, quality in reports[::-1]:
        late.observe("a", known_us=known_us, quality=quality)
        late.advance(10 * HOUR_US)
    at = {"at_us": 10 * HOUR_US}
    np.testing.assert_allclose(late.features("t", None, **at), in_time.features("t", None, **at), rtol=1e-6)


def test_only_the_tenants_observed_last_are_remembered() -> None:
    history = History(make_spec(by=("tenant",), statistics=("quality",), max_keys=2))
    for at, tenant in enumerate(["first", "second", "first", "third"]):
        history.observe("a", known_us=at, tenant=tenant, quality=1.0)
    history.advance(10)
    assert [means.key for means in history.state().means if means.level == "tenant"] == ["first", "third"]


def test_a_half_life_far_exceeded_leaves_finite_features() -> None:
    history = History(make_spec(half_life_s=1e-6))
    history.observe("a", known_us=-(10**15), quality=1.0, failed=True, latency_s=0.0)
    history.observe("b", known_us=10**15, tenant="u", quality=1.0)
    assert np.isfinite(history.features("default", None, at_us=10**16)).all()
    assert feature(history, "history_all_quality=a") == 0.5


def test_threads_lose_no_observation() -> None:
    history = History(make_spec(by=(), statistics=("quality",), half_life_s=1e12))

    def work(thread: int) -> None:
        for i in range(500):
            history.observe("a", known_us=thread * 500 + i, quality=1.0)
            history.features("t", None, at_us=thread * 500 + i)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    history.advance(10_000)
    assert history.state().means[0].weights[0] == pytest.approx(2000)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quality": 1.5}, "`quality` == 1.5"),
        ({"quality": math.nan}, "`quality` == nan"),
        ({"latency_s": -1.0}, "`latency_s` == -1.0"),
        ({"latency_s": math.inf}, "`latency_s` == inf"),
    ],
)
def test_numbers_out_of_range_are_refused_and_leave_no_trace(given: dict[str, float], message: str) -> None:
    history = History(make_spec())
    with pytest.raises(InputError, match=message):
        history.observe("a", known_us=0, failed=True, **given)
    assert history.state() == HistoryState()


def test_a_model_outside_the_pool_is_refused() -> None:
    with pytest.raises(UnknownModelError, match=r"no candidate 'c'; the pool is a, b"):
        History(make_spec()).observe("c", known_us=0, failed=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"half_life_s": 0.0}, "half_life_s"),
        ({"prior_strength": math.inf}, "prior_strength"),
        ({"prior_latency_s": -1.0}, "prior_latency_s"),
        ({"prior_quality": 1.5}, "prior_quality"),
        ({"prior_failure_rate": math.nan}, "prior_failure_rate"),
        ({"max_keys": 0}, "max_keys"),
        ({"models": ()}, "models"),
        ({"models": ("b", "a")}, "models"),
        ({"models": ("a", "a")}, "models"),
        ({"statistics": ()}, "statistics"),
        ({"statistics": ("failure", "quality")}, "statistics"),
        ({"statistics": ("cost",)}, "statistics"),
        ({"by": ("tenant", "tenant")}, "by"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"`{message}`"):
        make_spec(**changes)


def test_a_spec_survives_json() -> None:
    spec = make_spec(statistics=("failure",), by=("kind",))
    assert msgspec.json.decode(msgspec.json.encode(spec), type=HistorySpec) == spec


def test_whole_numbers_make_the_same_spec_to_the_byte() -> None:
    given = msgspec.json.encode(make_spec(half_life_s=3600, prior_strength=2, prior_quality=1))
    assert given == msgspec.json.encode(msgspec.json.decode(given, type=HistorySpec))


ONE = MeansState("all", "", 5, (1.0,), (1.0,))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (HistoryState((MeansState("all", "", 0, (1.0, 2.0), (1.0, 2.0)),)), "means of all"),
        (HistoryState((MeansState("all", "", 0, (1.0,), ()),)), "means of all"),
        (HistoryState((ONE, MeansState("kind", "code", 0, (1.0,), (1.0,)))), "means of kind 'code'"),
        (HistoryState((ONE, MeansState("tenant", "t", 6, (1.0,), (1.0,)))), "newer observations"),
        (HistoryState((MeansState("tenant", "t", 6, (1.0,), (1.0,)),)), "newer observations"),
        (HistoryState((), ((0, "t", "", 1, 0.5),)), "pending observation"),
    ],
)
def test_the_state_of_another_history_is_refused(state: HistoryState, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        History(HistorySpec(("a",), ("quality",), ("tenant",)), state)


def test_times_are_whole_microseconds_whatever_their_zone() -> None:
    at = datetime(2026, 3, 1, 10, 0, 0, 123_456, UTC)
    expected = int(np.datetime64("2026-03-01T10:00:00.123456", "us").astype(np.int64))
    assert to_us(at) == to_us(at.astimezone(timezone(timedelta(hours=5)))) == expected


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="has no time zone"):
        to_us(datetime(2026, 3, 1))  # noqa: DTZ001
