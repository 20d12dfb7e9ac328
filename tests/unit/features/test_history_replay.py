from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.features.history import History, HistorySpec, HistoryState
from beast_ml.features.history_replay import (
    LoggedHistory,
    Observation,
    Received,
    learn_history_spec,
    logged_history,
    replay,
)
from beast_ml.logs.ingest import ingest
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import routed_request, write_json_lines

SPEC = HistorySpec(("a", "b", "c"), half_life_s=5e-6, prior_strength=1.5, max_keys=2)

# few different times, so that observations and requests often fall on the same microsecond
TIMES = st.integers(0, 30)
TENANTS = st.sampled_from(["t", "u", "v"])
KINDS = st.sampled_from([None, "code", "chat"])
OBSERVATIONS = st.lists(
    st.builds(
        Observation,
        TIMES,
        st.sampled_from(SPEC.models),
        TENANTS,
        KINDS,
        st.none() | st.floats(0, 1),
        st.none() | st.booleans(),
        st.none() | st.floats(0, 100),
    ),
    max_size=25,
)
REQUESTS = st.lists(st.builds(Received, TIMES, TENANTS, KINDS), max_size=12)


def tell(history: History, seen: Observation) -> None:
    values = seen._asdict()
    history.observe(values.pop("model"), **values)


def online(
    history: History, observations: list[Observation], requests: list[Received], random: Any
) -> dict[int, np.ndarray]:
    """Live through the events as they happen; what falls on the same microsecond comes in any order."""
    events: list[tuple[int, float, Observation | int]] = [(o.known_us, random.random(), o) for o in observations]
    events += [(request.at_us, random.random(), i) for i, request in enumerate(requests)]
    rows = {}
    for at_us, _, event in sorted(events, key=lambda event: event[:2]):
        if isinstance(event, int):
            rows[event] = history.features(requests[event].tenant, requests[event].kind, at_us=at_us)
        else:
            tell(history, event)
    return rows


def defined(observations: list[Observation], request: Received) -> np.ndarray:
    """The features as the definition says, one sum over everything known before the request."""
    known = [seen for seen in observations if seen.known_us < request.at_us and seen[4:] != (None, None, None)]
    newest = max((seen.known_us for seen in known), default=0)

    def mean(chosen: list[tuple[int, float]], prior: float) -> float:
        weights = [2.0 ** ((at - newest) / (SPEC.half_life_s * 1e6)) for at, _ in chosen]
        total = sum(weight * value for weight, (_, value) in zip(weights, chosen, strict=True))
        return (total + SPEC.prior_strength * prior) / (sum(weights) + SPEC.prior_strength)

    values = (
        (lambda seen: seen.quality, SPEC.prior_quality),
        (lambda seen: seen.failed, SPEC.prior_failure_rate),
        (lambda seen: None if seen.latency_s is None else math.log(max(seen.latency_s, 1e-3)), 0.0),
    )
    rows: list[list[float]] = [[], [], []]
    for value, prior in values:
        for model in SPEC.models:
            of = [seen for seen in known if seen.model == model and value(seen) is not None]
            overall = mean([(seen.known_us, value(seen)) for seen in of], prior)
            rows[0].append(overall)
            rows[1].append(mean([(s.known_us, value(s)) for s in of if s.tenant == request.tenant], overall))
            of_kind = [(s.known_us, value(s)) for s in of if s.kind is not None and s.kind == request.kind]
            rows[2].append(mean(of_kind, overall))
    return np.concatenate(rows)


@settings(max_examples=150, deadline=None)
@given(OBSERVATIONS, REQUESTS, st.randoms(use_true_random=False))
def test_offline_rows_equal_online_rows_to_the_bit(
    observations: list[Observation], requests: list[Received], random: Any
) -> None:
    shuffled = random.sample(observations, len(observations))
    offline = replay(History(SPEC), shuffled, requests)
    lived = online(History(SPEC), observations, requests, random)
    assert [row.tobytes() for row in offline] == [lived[i].tobytes() for i in range(len(requests))]


@settings(max_examples=100, deadline=None)
@given(OBSERVATIONS, REQUESTS)
def test_rows_are_what_the_definition_says(observations: list[Observation], requests: list[Received]) -> None:
    spec = msgspec.structs.replace(SPEC, max_keys=3)  # the definition forgets nobody
    rows = replay(History(spec), observations, requests)
    for row, request in zip(rows, requests, strict=True):
        np.testing.assert_allclose(row, defined(observations, request), rtol=1e-5, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(OBSERVATIONS, OBSERVATIONS, REQUESTS, TIMES)
def test_what_becomes_known_later_changes_nothing_earlier(
    observations: list[Observation], others: list[Observation], requests: list[Received], at_us: int
) -> None:
    changed = [seen for seen in observations if seen.known_us < at_us] + [o for o in others if o.known_us >= at_us]
    earlier = [i for i, request in enumerate(requests) if request.at_us <= at_us]
    before, after = (replay(History(SPEC), seen, requests)[earlier] for seen in (observations, changed))
    assert before.tobytes() == after.tobytes()


@settings(max_examples=100, deadline=None)
@given(OBSERVATIONS, REQUESTS, TIMES)
def test_a_stored_history_goes_on_to_the_bit(
    observations: list[Observation], requests: list[Received], split_us: int
) -> None:
    whole = replay(History(SPEC), observations, requests)
    first = [request for request in requests if request.at_us <= split_us]
    rest = [request for request in requests if request.at_us > split_us]
    history = History(SPEC)
    # told before the split though some is known only after it
    head = replay(history, [seen for seen in observations if seen.known_us % 2 or seen.known_us <= split_us], first)
    stored = msgspec.json.encode(history.state())
    restored = History(SPEC, msgspec.json.decode(stored, type=HistoryState))
    assert restored.state() == history.state()
    late = [seen for seen in observations if not (seen.known_us % 2 or seen.known_us <= split_us)]
    tail = replay(restored, late, rest)
    rows = dict(zip([*map(id, first), *map(id, rest)], [*head, *tail], strict=True))
    assert [row.tobytes() for row in whole] == [rows[id(request)].tobytes() for request in requests]


def at(second: float) -> str:
    minutes, seconds = divmod(second, 60)
    return f"2026-03-01T10:{int(minutes):02d}:{seconds:09.6f}Z"


def logged(tmp_path: Path, *rows: dict[str, Any]) -> LoggedOutcomes:
    store = LogStore(tmp_path / "store")
    numbered = [routed_request(**({"request_id": f"r{i}", "input_tokens": i} | row)) for i, row in enumerate(rows)]
    report = ingest([write_json_lines(tmp_path / "log.jsonl", numbered)], store, tmp_path / "quarantine")
    assert report.n_accepted == len(rows)
    return store.logged_outcomes()


def attempt(model: str, seconds: float, status: str = "ok") -> dict[str, Any]:
    return {"model": model, "status": status, "error_kind": None, "latency_s": seconds}


def column(history: LoggedHistory, name: str) -> list[float]:
    return [round(float(value), 6) for value in history.rows[:, history.spec.names.index(name)]]


PLAIN = HistorySpec(("large", "small"), by=(), half_life_s=1e9, prior_strength=1.0)


def test_latency_is_known_with_the_answer_and_quality_with_its_feedback(tmp_path: Path) -> None:
    answered = {"received_at": at(0), "latency_s": 2.0, "attempts": [attempt("small", 2.0)], "feedback_at": at(10)}
    silent = {"quality": None, "quality_source": None, "feedback_at": None, "status": "cancelled"}
    silent |= {"served_model": None, "latency_s": None, "attempts": None}
    times = (2.0, 2.000001, 10.0, 10.000001)
    data = logged(tmp_path, answered, *({"received_at": at(second)} | silent for second in times))
    history = logged_history(data, PLAIN)
    seen = round(math.log(2) / 2, 6)
    assert column(history, "history_all_log_latency=small") == [0.0, 0.0, seen, seen, seen]
    assert column(history, "history_all_quality=small") == [0.5, 0.5, 0.5, 0.5, 0.75]
    assert column(history, "history_all_failure=small") == [0.05, 0.05, 0.025, 0.025, 0.025]
    assert column(history, "history_all_quality=large") == [0.5] * 5


def test_a_failure_falls_on_the_chosen_model_and_the_answer_on_the_one_that_gave_it(tmp_path: Path) -> None:
    fallen_back = {
        "received_at": at(0),
        "attempts": [attempt("small", 30.0, "timeout"), attempt("large", 1.0)],
        "served_model": "large",
        "latency_s": 1.0,
        "feedback_at": at(1),  # of a skewed clock: it was judged before it was given
    }
    data = logged(tmp_path, fallen_back, {"received_at": at(31)}, {"received_at": at(31.1)})
    history = logged_history(data, PLAIN)
    assert column(history, "history_all_failure=small") == [0.05, 0.05, 0.525]
    assert column(history, "history_all_failure=large") == [0.05, 0.05, 0.025]
    assert column(history, "history_all_quality=small") == [0.5, 0.5, 0.5]
    assert column(history, "history_all_quality=large") == [0.5, 0.5, 0.75]


def test_an_outcome_of_unknown_duration_is_not_taken_as_known_early(tmp_path: Path) -> None:
    timeout = {"received_at": at(0), "status": "timeout", "served_model": None, "latency_s": None, "attempts": None}
    timeout |= {"quality": None, "quality_source": None, "feedback_at": None}
    data = logged(tmp_path, timeout, {"received_at": at(600)}, {"received_at": at(600.1)})
    assert column(logged_history(data, PLAIN), "history_all_failure=small") == [0.05, 0.05, 0.525]
    soon = logged_history(data, PLAIN, assumed_delay_s=1.0)
    assert column(soon, "history_all_failure=small")[1] == 0.525
    with pytest.raises(InputError, match="`assumed_delay_s` == -1"):
        logged_history(data, PLAIN, assumed_delay_s=-1)


def test_models_that_are_not_followed_are_passed_over(tmp_path: Path) -> None:
    fallen_back = {"attempts": [attempt("small", 1.0, "error"), attempt("other", 1.0)], "served_model": "other"}
    data = logged(tmp_path, fallen_back, {"received_at": at(3000)})
    history = logged_history(data, HistorySpec(("large",)))
    assert (history.rows[0] == history.rows[1]).all()
    assert history.end == HistoryState()


def test_a_log_in_two_parts_gives_the_rows_of_the_whole(tmp_path: Path) -> None:
    rows = [
        {
            "received_at": at(i * 7.0),
            "tenant_id": "acme" if i % 3 else "other",
            "context": {"task": "maths" if i % 2 else "code"},
            "quality": (i % 4) / 4 if i % 5 else None,
            "feedback_at": at(i * 7.0 + 60) if i % 5 else None,  # judged only after the next part has begun
        }
        for i in range(20)
    ]
    whole = logged(tmp_path, *rows)
    spec = learn_history_spec(whole, use_task=True)
    assert spec is not None
    assert spec.by == ("tenant", "kind")
    together = logged_history(whole, spec)
    halves = [LogStore(tmp_path / "store").logged_outcomes(where=f"input_tokens {sign} 10") for sign in ("<", ">=")]
    first = logged_history(halves[0], spec)
    second = logged_history(halves[1], spec, start=first.end)
    ids = [request for half in halves for request in half.matrix.query_ids.tolist()]
    parts = dict(zip(ids, [*first.rows, *second.rows], strict=True))
    assert [row.tobytes() for row in together.rows] == [parts[i].tobytes() for i in whole.matrix.query_ids.tolist()]
    assert second.end == together.end


def test_only_what_a_log_tells_becomes_a_feature(tmp_path: Path) -> None:
    data = logged(tmp_path / "one", {}, {"received_at": at(5)})
    assert learn_history_spec(data) == HistorySpec(("large", "small"), ("quality", "log_latency"), ())
    rich = logged(
        tmp_path / "two",
        {"latency_s": None, "context": None},
        {"latency_s": None, "tenant_id": "other", "status": "error", "served_model": None, "quality": None},
    )
    expected = HistorySpec(("large", "small"), ("quality", "failure"), ("tenant", "kind"), 60.0)
    assert learn_history_spec(rich, use_task=True, half_life_s=60.0) == expected
    small = learn_history_spec(rich, ["small", "unheard"])
    assert small is not None
    assert small.models == ("small", "unheard")
    assert small.by == ("tenant",)
    assert learn_history_spec(data, ["large"]) is None


def test_a_fallback_outside_the_pool_still_tells_that_the_chosen_model_failed(tmp_path: Path) -> None:
    fallen_back = {"attempts": [attempt("small", 1.0, "error"), attempt("other", 1.0)], "served_model": "other"}
    data = logged(tmp_path, fallen_back, {"received_at": at(3000)}).pool(["large", "small"])
    assert column(logged_history(data, PLAIN), "history_all_failure=small") == [0.05, 0.525]


def test_the_history_of_some_requests_keeps_what_the_others_told(tmp_path: Path) -> None:
    data = logged(tmp_path, {"feedback_at": at(1)}, {"received_at": at(5)})
    history = logged_history(data, PLAIN)
    later = history.select(np.array([False, True]))
    np.testing.assert_array_equal(later.rows, history.rows[1:])
    assert column(later, "history_all_quality=small") == [0.75]


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(InputError, match=r"must be \(n, 6\)"):
        LoggedHistory(PLAIN, np.zeros((3, 5), np.float32), HistoryState())
