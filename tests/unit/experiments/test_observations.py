from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.errors import DataError
from beast_ml.experiments.observations import Observations

NOW = datetime(2026, 4, 1, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)


def table(n=8, **changed):
    columns = {
        "unit_id": [f"u{i}" for i in range(n)],
        "variant": ["control", "new"] * (n // 2),
        "value": [float(i) for i in range(n)],
        "observed_at": [START + timedelta(minutes=i) for i in range(n)],
    } | changed
    return pa.table({name: column for name, column in columns.items() if column is not None})


def read(data, **options):
    return Observations.from_table(data, NOW, **options)


def test_the_order_of_the_rows_does_not_matter():
    shuffled = table().take(pa.array([3, 1, 7, 5, 0, 2, 6, 4]))
    for one, other in ((read(table()), read(shuffled)),):
        assert one.values.tolist() == other.values.tolist() == [[float(i)] for i in range(8)]
        assert one.observed_at.tolist() == other.observed_at.tolist()
        assert one.variants == other.variants == ("control", "new")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"value": [0.0, float("nan"), float("inf"), None, 4.0, 5.0, 6.0, 7.0]}, {"no finite value": 3}),
        ({"value": [0.0, 1e300, -1e300, *map(float, range(5))]}, {"a value too large to compute with": 2}),
        ({"unit_id": ["a", None, "c", "d", "e", "f", "g", "h"]}, {"no unit_id": 1}),
        ({"variant": ["control", None, "control", "new"] * 2}, {"no variant": 2}),
        ({"observed_at": [None, *[START + timedelta(hours=i) for i in range(7)]]}, {"no observed_at": 1}),
    ],
)
def test_rows_that_cannot_be_used_are_counted(changed, reason):
    observations = read(table(**changed))
    assert observations.excluded == reason
    assert len(observations) == 8 - sum(reason.values())


def test_copies_count_once():
    doubled = pa.concat_tables([table(), table()])
    observations = read(doubled)
    assert observations.excluded == {"copy of another row": 8}
    assert observations.values[:, 0].tolist() == [float(i) for i in range(8)]


def test_a_request_id_tells_copies_from_equal_observations():
    alike = {"unit_id": ["a", "b"] * 4, "value": [1.0] * 8, "observed_at": [START] * 8}
    request = ["1", "2", "3", "4", "1", "5", None, None]
    observations = read(table(**alike, request_id=request))
    assert observations.excluded == {"copy of another row": 1}


def test_times_that_are_too_coarse_to_tell_copies_leave_all_rows():
    day = {"unit_id": ["a", "b"] * 4, "value": [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0], "observed_at": [START] * 8}
    observations = read(table(**day))
    assert len(observations) == 8
    assert any("too coarse" in note for note in observations.notes)


def test_a_unit_in_two_variants_counts_for_its_first_one_until_it_switches():
    unit = ["a", "b", "a", "b", "a", "a", "c", "d"]  # control: a a a c; new: b b a d
    observations = read(table(unit_id=unit))
    assert observations.excluded == {"unit was in another variant before": 1}
    assert any("1 units were seen in two variants" in note for note in observations.notes)
    late = ["a", "b", "c", "a", "a", "d", "e", "f"]  # a: control, then new, then control again
    assert read(table(unit_id=late)).excluded == {"unit was in another variant before": 2}


def test_few_rows_from_the_future_are_a_clock_that_is_ahead_and_many_are_not():
    n = 400
    times = [START + timedelta(minutes=i) for i in range(n)]
    few = [*times[:-2], NOW + timedelta(hours=1), NOW + timedelta(days=900)]
    assert read(table(n, observed_at=few)).excluded == {"observed in the future": 2}
    many = [NOW + timedelta(minutes=10 + i) for i in range(n)]
    observations = read(table(n, observed_at=many))
    assert not observations.excluded
    assert any("later than this machine's clock" in note for note in observations.notes)


@pytest.mark.parametrize(
    "times",
    [
        np.datetime64("2026-03-01", "us") + np.arange(8) * np.timedelta64(1, "h"),
        [f"2026-03-01T0{i}:00:00Z" for i in range(8)],
    ],
)
def test_times_without_a_zone_and_texts_are_read(times):
    observations = read(table(observed_at=times))
    assert observations.observed_at[0] == np.datetime64("2026-03-01T00:00:00")
    assert len(observations) == 8


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"value": None}, "no column 'value'"),
        ({"value": ["a"] * 8}, "must hold numbers"),
        ({"observed_at": list(range(8))}, "must be a time"),
        ({"observed_at": ["yesterday"] * 8}, "no time"),
        ({"variant": ["a", "b"] * 4}, "name"),
        ({"variant": ["control"] * 8}, "only variant"),
        ({"value": [None, 1.0] * 4}, "no row of 'control' can be used"),
        ({"value": [1.0, None] * 4}, "no row of new can be used"),
    ],
)
def test_what_cannot_be_compared_is_refused(changed, words):
    with pytest.raises(DataError, match=words):
        read(table(**changed))


def test_an_expected_variant_without_a_row_is_kept():
    assert read(table(), variants=("control", "new", "silent")).variants == ("control", "new", "silent")


def test_a_missing_covariate_counts_as_its_mean():
    observations = read(table(x=[1.0, None, 3.0, 2.0, None, 2.0, 2.0, 2.0]), covariates=("x",))
    assert observations.values[:, 1].tolist() == [1.0, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    with pytest.raises(DataError, match="no value at all"):
        read(table(x=pa.nulls(8, pa.float64())), covariates=("x",))


def test_numbers_may_name_units():
    assert read(table(unit_id=[1, 2, 3, 4, 5, 6, 7, 8])).unit.tolist() == list(range(8))
