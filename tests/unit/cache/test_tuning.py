import numpy as np
import pytest

from beast_ml.cache.lifetimes import fit_lifetimes
from beast_ml.cache.replay.stream import Stream, StreamRequest
from beast_ml.cache.tuning import CacheChoice, CacheTuner, TuningPrices
from beast_ml.errors import InputError, NotEnoughDataError

DAY_S = 86_400.0


def guessed(stale_share, max_s):
    return fit_lifetimes([], stale_share, max_s=max_s)


def stream(n=600, n_questions=40, changes_s=()):
    """Return requests over two days, for questions whose answers change at the given times."""
    rng = np.random.default_rng(0)
    changes = np.array(changes_s, dtype=float)
    requests = []
    for i, at_s in enumerate(np.sort(rng.uniform(0.0, 2 * DAY_S, n))):
        question = int(rng.integers(n_questions))
        version = int(np.searchsorted(changes, at_s, side="right"))
        text = f"What is the boiling point of substance number {question}?"
        requests.append(StreamRequest(i, float(at_s), "acme", text, "science", question, version, "usual", 0.01, 1.0))
    return Stream("made up", 2.0, "by hand", tuple(requests), (changes,) * n_questions)


@pytest.fixture
def poor():
    """Settings that anything beats: a life of a minute."""
    return CacheChoice(life_s=60.0)


def test_the_winner_is_chosen_on_the_first_half_and_judged_on_the_second(poor):
    done = []
    found = CacheTuner(stream(), poor, guessed).tune(5, lambda n, of: done.append((n, of)))
    assert done == [(n, 5) for n in range(1, 6)]
    assert found.trials[0].choice == poor
    assert found.trials[0].params == {}
    best = max(found.trials, key=lambda trial: trial.worth_usd)
    assert found.best.choice == best.choice
    assert set(found.best.params) == {"max_life_h", "stale_share", "memory_entries", "memory_mb", "n_looked_at"}
    assert found.best.worth_usd > found.baseline.worth_usd + 1.0
    assert found.best.report.n_requests == found.baseline.report.n_requests == pytest.approx(300, abs=40)


def test_the_same_seed_draws_the_same_trials(poor):
    one, other = (CacheTuner(stream(), poor, guessed, seed=3).tune(3) for _ in range(2))
    assert [trial.params for trial in one.trials] == [trial.params for trial in other.trials]
    assert [trial.worth_usd for trial in one.trials] == [trial.worth_usd for trial in other.trials]


def test_a_baseline_that_nothing_beats_stays():
    changing = stream(changes_s=np.arange(1_800.0, 2 * DAY_S, 1_800.0))
    never = CacheChoice(life_s=0.0)
    found = CacheTuner(changing, never, guessed, prices=TuningPrices(stale_usd=10.0)).tune(3)
    assert found.best.choice == never
    assert found.best.worth_usd == 0.0


def test_worth_is_what_right_hits_saved_less_what_wrong_ones_and_memory_cost():
    found = CacheTuner(stream(), CacheChoice(), guessed, prices=TuningPrices(1_000.0, 2.0, 3.0)).tune(0).baseline
    report = found.report
    wrong_usd = 2.0 * report.n_stale + 3.0 * report.n_false
    assert found.memory_gb_h > 0.0
    assert found.worth_usd == pytest.approx(report.saved_usd - wrong_usd - 1_000.0 * found.memory_gb_h)


def test_says_what_it_cannot_do():
    with pytest.raises(NotEnoughDataError, match="must be 100 in each"):
        CacheTuner(stream(50), CacheChoice(), guessed)
    with pytest.raises(InputError, match="stale_usd"):
        TuningPrices(stale_usd=-1.0)
