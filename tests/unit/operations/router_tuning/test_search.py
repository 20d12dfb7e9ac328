"""The search as such, on settings whose worth is known: order, pruning, choice, kills, and several processes."""

import multiprocessing
import time
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.operations.router_tuning.frontier import changes, draw_trials, trial_frontier
from beast_ml.operations.router_tuning.search import best_of, chance_of_a_find
from beast_ml.operations.router_tuning.storage import PROCESS, open_storage
from beast_ml.testing.quick_search import quick_search, run_together


def quiet(_done, _total):
    pass


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/tuning.db"


@pytest.fixture(scope="module")
def processes():
    """Return the context of processes that start with everything imported: once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["beast_ml.testing.quick_search", "optuna"])
    return context


def child(processes, storage, n_trials, seconds, start=None):
    told = {"seconds": seconds, "start": start}
    process = processes.Process(target=run_together, args=(storage, "s", n_trials), kwargs=told)
    process.start()
    return process


def finished(search):
    return [trial for trial in search.study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def test_defaults_come_first_the_hopeless_are_pruned_and_the_best_is_found(storage):
    told = []
    trials = quick_search(storage, "s").run(7, lambda done, total: told.append((done, total)))
    assert len(trials) == 7
    assert told[0] == (0, 7)
    assert told[-1] == (7, 7)
    assert changes(trials[0], trials[0]) == {}
    assert (trials[0].gain, trials[0].gain_error) == (0.0, 0.0)
    by_encoder = {trial.settings.encoder: trial.pruned for trial in trials[1:6]}
    assert by_encoder == {"static": False, "hashing": True}
    best = best_of(trials)
    assert best.settings.prior_queries > 50
    assert best.gain == pytest.approx(0.1, abs=0.02)


def test_a_gain_within_noise_leaves_the_defaults(storage):
    trials = quick_search(storage, "s").run(4, quiet)
    rival = replace(trials[1], gain=0.02, gain_error=0.01, pruned=False)
    assert best_of((trials[0], rival)) is rival
    # Two errors are beyond noise for one rival; of forty, one shows as much by luck.
    assert best_of((trials[0], *[rival] * 40)) is trials[0]
    assert best_of((trials[0], replace(rival, pruned=True))) is trials[0]


def test_where_only_the_gain_counts_what_changes_nothing_is_given_up_and_the_best_is_found(storage):
    trials = quick_search(storage, "s", only_gain=True).run(7, quiet)
    changed = {next(iter(changes(each, trials[0]))): each for each in trials[1:6]}
    assert {name: each.pruned for name, each in changed.items()} == {
        "families": True, "encoder": True, "prior_queries": False, "hidden": True,
    }  # fmt: skip
    assert best_of(trials) is changed["prior_queries"]
    with pytest.raises(InputError, match="begun with other"):
        quick_search(storage, "s")  # whose trials are all asked for


def test_few_trials_that_would_be_found_are_given_up_and_most_of_those_that_are_none():
    rng = np.random.default_rng(0)
    n, n_rivals, share = 4_000, 15, 1 / 3
    needed = 2.713  # 1 - 0.05 / 15 of the normal
    for truth, is_gain in ((0.0, False), (3.0, True)):  # in standard errors of the whole
        first = truth + rng.normal(size=n) / share**0.5
        rest = truth + rng.normal(size=n) / (1 - share) ** 0.5
        found = share * first + (1 - share) * rest > needed
        given_up = np.array([chance_of_a_find(each, share**-0.5, share, n_rivals) < 0.05 for each in first])
        if is_gain:
            assert found.mean() > 0.5
            assert (given_up & found).mean() < 0.03 * found.mean()
        else:
            assert given_up.mean() > 0.5


def test_the_frontier_holds_what_nothing_beats_and_is_drawn(storage, tmp_path):
    trials = quick_search(storage, "s").run(3, quiet)
    a = replace(trials[0], number=1, quality=0.9, cost=1.0, latency_s=1.0, pruned=False)
    b = replace(a, number=2, quality=0.8, cost=0.5)
    slow = replace(a, number=3, quality=0.8, cost=0.5, latency_s=2.0)
    alike = replace(a, number=5)
    gone = replace(a, number=4, quality=1.0, cost=0.1, pruned=True)
    assert [trial.number for trial in trial_frontier([a, b, slow, gone, alike])] == [2, 1]
    draw_trials(tmp_path / "trials.png", [a, b, slow, gone], "cost_usd")
    assert (tmp_path / "trials.png").stat().st_size > 5_000


def test_a_finished_search_is_found_again_and_other_data_are_refused(storage):
    first = quick_search(storage, "s").run(4, quiet)
    again = quick_search(storage, "s").run(4, quiet)
    assert again == first
    with pytest.raises(InputError, match="begun with other outcomes"):
        quick_search(storage, "s", n_queries=61)


def test_a_killed_search_is_gone_on_with(processes, storage):
    process = child(processes, storage, 6, 0.2)
    search = quick_search(storage, "s")
    deadline = time.monotonic() + 120
    while len(finished(search)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.join()
    before = {trial.number: trial.values for trial in finished(search)}
    assert 2 <= len(before) < 6

    trials = search.run(6, quiet)
    assert len(trials) == 6
    assert {trial.number: trial.values for trial in finished(search)}.items() >= before.items()
    assert not [trial for trial in search.study.trials if trial.state.name == "RUNNING"]


def test_two_processes_share_one_search(processes, storage):
    start = processes.Barrier(2)
    pair = [child(processes, storage, 10, 0.2, start) for _ in range(2)]
    for process in pair:
        process.join(timeout=200)
    assert [process.exitcode for process in pair] == [0, 0]
    search = quick_search(storage, "s")
    trials = finished(search)
    assert 10 <= len(trials) <= 11  # each finishes the trial that it has begun
    assert len({trial.user_attrs[PROCESS] for trial in trials}) == 2
    # Those that stand in line are each taken once; what is drawn after them may come twice. So may the defaults, which
    # come first: a process that joins before the other has put them in line puts them there itself.
    defaults, *in_line = [tuple(sorted(t.params.items(), key=str)) for t in trials if "fixed_params" in t.system_attrs]
    others = [each for each in in_line if each != defaults]
    assert len(set(others)) == len(others) > 0
    assert len(in_line) - len(others) <= 1
    assert len(search.run(10, quiet)) == len(trials)


def test_a_storage_that_cannot_be_is_named_without_its_password(tmp_path):
    with pytest.raises(InputError, match="must be sqlite or postgresql"):
        open_storage("mysql://host/db")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot keep trials"):
        open_storage(f"sqlite:///{tmp_path}/file/x.db")


@pytest.mark.slow
def test_the_same_in_postgresql():
    from beast_ml.testing.postgresql import fresh_database, postgresql_server

    with postgresql_server() as server, fresh_database(server) as url:
        trials = quick_search(url, "s").run(5, quiet)
        assert quick_search(url, "s").run(5, quiet) == trials
        assert best_of(trials).settings.prior_queries > 50
        assert np.isfinite([trial.worth for trial in trials]).all()
