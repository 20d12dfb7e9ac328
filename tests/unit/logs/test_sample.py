import pytest

from beast_ml.errors import InputError
from beast_ml.logs import sample
from beast_ml.logs.sample import sample_log
from beast_ml.testing.costly_logs import costly_log


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Every question is asked three times or so."""
    names = iter(range(10_000))

    def ask(row):
        row["prompt"] = f"What is {next(names) % 100}?"

    return costly_log(tmp_path_factory.mktemp("log"), days=10, per_day=40, change=ask)


def test_all_are_taken_where_they_are_few_or_all_are_asked_for(store):
    for at_most in (0, 10_000):
        drawn = sample_log(store, at_most)
        assert drawn.logged.matrix.digest() == store.logged_outcomes().matrix.digest()
        assert drawn.warning() is None


def test_questions_are_taken_whole_and_the_same_ones_each_time(store):
    whole, part = store.logged_outcomes(), sample_log(store, 120)
    drawn = set(part.logged.matrix.prompts)
    taken = [prompt for prompt in whole.matrix.prompts if prompt in drawn]
    assert sorted(part.logged.matrix.prompts) == sorted(taken)
    assert 60 < len(taken) < 180
    assert part.n_usable == whole.matrix.n_queries
    assert part.logged.matrix.digest() == sample_log(store, 120).logged.matrix.digest()
    assert f"learning from {len(taken)} of {whole.matrix.n_queries} requests" in part.warning()


def test_more_requests_hold_all_that_fewer_do(store):
    few, more = (set(sample_log(store, n).logged.matrix.query_ids.tolist()) for n in (60, 200))
    assert few < more


def test_somebody_is_drawn_even_where_so_few_are_asked_for_that_no_share_is_left(store, monkeypatch):
    monkeypatch.setattr(sample, "_STEPS", 10)
    assert 0 < sample_log(store, 1).logged.matrix.n_queries < 200


def test_a_negative_number_is_refused(store):
    with pytest.raises(InputError, match="`requests` == -1, must be >= 0"):
        sample_log(store, -1)
