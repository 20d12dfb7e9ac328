import numpy as np

from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED, UNANSWERED, LoadResult, Quantiles, Records


def make_records(status, measured=None):
    n = len(status)
    return Records(
        12.5,
        np.arange(n, dtype=float),
        np.arange(n) + 0.1,
        np.arange(n) + 0.2,
        np.zeros(n),
        np.array(status),
        np.ones(n, dtype=bool) if measured is None else np.array(measured),
    )


def test_records_come_back_as_they_were_saved(tmp_path):
    records = make_records([200, CLOSED])
    records.save(str(tmp_path / "r.npz"))
    found = Records.load(str(tmp_path / "r.npz"))
    assert found.began_at == 12.5
    for name in ("due_s", "first_s", "done_s", "lag_s", "status", "measured"):
        np.testing.assert_array_equal(getattr(found, name), getattr(records, name))
        assert getattr(found, name).dtype == getattr(records, name).dtype


def test_failures_are_counted_by_name_and_only_where_measured():
    status = [200, 204, 503, 503, CLOSED, REFUSED, UNANSWERED, 429]
    assert make_records(status).failures() == {"503": 2, "429": 1, "closed": 1, "refused": 1, "unanswered": 1}
    assert make_records(status, [True] * 2 + [False] * 6).failures() == {}


def test_quantiles_are_in_microseconds():
    found = Quantiles.of(np.arange(1, 101) / 1000)
    assert (round(found.p50_us), round(found.p95_us), round(found.max_us)) == (50_500, 95_050, 100_000)
    assert Quantiles.of(np.array([])) is None


def test_a_result_tells_its_rate_and_failures():
    result = LoadResult(generator="own", seconds=2.0, answered=10, failures={"503": 1, "closed": 2}, latency=None)
    assert (result.per_s, result.failed) == (5.0, 3)
