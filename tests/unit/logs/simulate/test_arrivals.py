from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import DataError, InputError
from beast_ml.logs.simulate.arrivals import PoissonArrivals, TraceArrivals, arrivals, read_trace
from beast_ml.logs.simulate.config import ArrivalConfig


@pytest.mark.parametrize("kind", ["poisson", "diurnal"])
@given(cuts=st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_the_stream_does_not_depend_on_how_it_is_cut(kind: str, cuts: list[int]) -> None:
    config = ArrivalConfig(kind=kind)  # type: ignore[arg-type]
    pieces = arrivals(config, 100, np.random.default_rng(0))
    whole = arrivals(config, 100, np.random.default_rng(0))
    cut = np.concatenate([pieces.take(n) for n in cuts])
    assert cut.tobytes() == whole.take(sum(cuts)).tobytes()
    assert (np.diff(cut) >= 0).all()
    assert cut[0] >= 0


def test_requests_fill_the_days_they_are_expected_in() -> None:
    for kind in ("poisson", "diurnal"):
        config = ArrivalConfig(kind=kind, days=3, start=datetime(2026, 1, 9, 7, tzinfo=UTC))  # type: ignore[arg-type]
        times = arrivals(config, 40_000, np.random.default_rng(1)).take(40_000)
        assert times[-1] == pytest.approx(3 * 86_400, rel=0.03)


def test_weekends_are_quieter_wherever_the_week_begins() -> None:
    config = ArrivalConfig(kind="diurnal", days=28, weekend_factor=0.25, start=datetime(2026, 1, 8, tzinfo=UTC))
    times = arrivals(config, 50_000, np.random.default_rng(2)).take(50_000)
    weekday = ((times + config.start_us / 1e6) // 86_400 + 3) % 7  # 1970-01-01 was a Thursday
    counts = np.bincount(weekday.astype(int), minlength=7)
    assert counts[5:].mean() / counts[:5].mean() == pytest.approx(0.25, rel=0.1)


def test_a_trace_repeats_after_a_mean_gap() -> None:
    trace = TraceArrivals(np.array([12.0, 10.0, 14.0]), speed=2.0)
    assert trace.take(2).tolist() == [0.0, 1.0]
    assert trace.take(4).tolist() == [2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("times", [[1.0], [2.0, 2.0]])
def test_a_trace_of_one_moment_is_refused(times: list[float]) -> None:
    with pytest.raises(DataError, match="two different timestamps"):
        TraceArrivals(np.array(times))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_traces_are_read_in_three_forms(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"timestamp_s": [0.0, 1.5], "input_tokens": [1, 2]})
    path = tmp_path / f"trace{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    assert read_trace(path).tolist() == [0.0, 1.5]
    stream = arrivals(ArrivalConfig(kind="trace", trace=path), 10, np.random.default_rng(0))
    assert stream.take(3).tolist() == [0.0, 1.5, 3.0]


def test_a_trace_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        read_trace(tmp_path / "no.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="cannot read the trace"):
        read_trace(broken)
    other = tmp_path / "other.csv"
    other.write_text("time\n1\n")
    with pytest.raises(DataError, match="has the columns time, must have `timestamp_s`"):
        read_trace(other)
    words = tmp_path / "words.csv"
    words.write_text("timestamp_s\nsoon\n")
    with pytest.raises(DataError, match="must be finite numbers"):
        read_trace(words)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "trace"}, "a trace file goes with 'trace'"),
        ({"trace": Path("x")}, "a trace file goes with 'trace'"),
        ({"kind": "random"}, "must be one of poisson, diurnal, trace"),
        ({"days": 0}, "`days` == 0, must be a finite number > 0"),
        ({"amplitude": 2}, "`amplitude` == 2, must be between 0 and 1"),
        ({"start": datetime(2026, 1, 1)}, "has no time zone"),  # noqa: DTZ001
    ],
)
def test_a_wrong_setting_says_what_is_allowed(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ArrivalConfig(**arguments)


def test_gaps_have_the_rate_that_was_asked_for() -> None:
    times = PoissonArrivals(2.0, np.random.default_rng(0)).take(50_000)
    assert np.diff(times).mean() == pytest.approx(0.5, rel=0.02)
