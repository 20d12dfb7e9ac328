"""The loop promotes on evidence alone, takes back what hurts, and is the same wherever it is killed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from beast_ml.errors import DataError, RegistryUnavailableError, SettingsError
from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.run import learn_once
from beast_ml.operations.learning_loop.state_file import StateFile
from beast_ml.operations.learning_loop.states import STEPS
from beast_ml.operations.learning_loop.surroundings import Collected
from beast_ml.testing.loop_surroundings import Killed, LoopSurroundings

WORSE = (-0.1, -0.15, -0.05)


class KillableFile(StateFile):
    """A state file at whose writing the process may end, too."""

    def __init__(self, path, around):
        super().__init__(path)
        self.around = around

    def write(self, state):
        self.around.moment()
        super().write(state)
        self.around.moment()


def cycle(file, around, config=None, days=8.0, rounds=20):
    """Run the loop daily until a cycle has ended; return how."""
    for _ in range(rounds):
        report = learn_once(file, around, config)
        if report.waiting is None:
            return report.state.finished[-1]
        around.pass_days(days)
    raise AssertionError(report.waiting)


def test_a_candidate_that_is_proven_is_promoted_and_watched(tmp_path):
    around, file = LoopSurroundings(), StateFile(tmp_path / "loop.json")
    report = learn_once(file, around)
    assert [each.step for each in report.transitions] == [
        "validate", "train", "evaluate", "shadow", "canary", "promote", "watch",
    ]  # fmt: skip
    assert "watched until" in report.waiting
    assert around.serving == 2
    assert around.exposed == "watch"
    around.pass_days(8)
    ended = learn_once(file, around).state.finished[-1]
    assert (ended.verdict, ended.champion, ended.candidate) == ("promoted", 1, 2)
    assert around.exposed is None
    assert [after for _, after in around.recorded] == [*STEPS[1:8], "conclude", "collect"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"passes": False}, "gates do not pass"),
        ({"refuses": True}, "a gate does not pass"),
        ({"trainable": False}, "labels are too few"),
        ({"canary_effect": WORSE}, "worse on live requests"),
        ({"canary_effect": (0.0, -0.2, 0.2)}, "given up after 21 days"),
        ({"harm": "errors +0.10"}, "does harm to live requests: errors"),
        ({"undecided": 100}, "left 100 of 1,000"),
        ({"undecided": 1_000}, "decided none of 1,000 shadowed requests: servers cannot load it"),
        ({"changes": ("small answers worse",)}, "no longer true, another is learnt: small answers worse"),
    ],
)
def test_what_is_not_proven_is_rejected_with_the_reason_and_the_champion_stays(tmp_path, changes, reason):
    around = LoopSurroundings(**changes)
    ended = cycle(StateFile(tmp_path / "loop.json"), around)
    assert ended.verdict == "rejected"
    assert reason in ended.reason
    assert around.serving == 1
    assert around.line == [1]
    assert around.exposed is None


def test_what_the_log_cannot_tell_live_requests_must_prove(tmp_path):
    undecided = LoopSurroundings(passes=False, promising=True, canary_effect=(0.02, -0.01, 0.05))
    ended = cycle(StateFile(tmp_path / "undecided.json"), undecided)
    assert ended.verdict == "rejected"
    assert "do not tell yet" in ended.reason
    proven = LoopSurroundings(passes=False, promising=True, canary_effect=(0.04, 0.01, 0.07))
    file = StateFile(tmp_path / "proven.json")
    report = learn_once(file, proven)
    assert report.state.step == "watch"
    assert (report.state.proof.low, report.state.proof.n_units) == (0.01, 500)
    nobody = LoopSurroundings(passes=False, promising=True, serving=None, line=[])
    assert cycle(StateFile(tmp_path / "nobody.json"), nobody).verdict == "rejected"


def test_a_promotion_that_hurts_is_rolled_back_by_itself(tmp_path):
    around = LoopSurroundings(watch_effect=WORSE)
    ended = cycle(StateFile(tmp_path / "loop.json"), around)
    assert ended.verdict == "rolled back"
    assert "worse than version 1" in ended.reason
    assert around.serving == 1
    assert around.exposed is None


@pytest.mark.parametrize(("watch_effect", "step"), [((0.02, -0.01, 0.05), 3), (WORSE, 1)])
def test_killed_at_any_moment_and_run_again_it_comes_to_the_same(tmp_path, watch_effect, step):
    straight = LoopSurroundings(watch_effect=watch_effect)
    expected = cycle(KillableFile(tmp_path / "straight.json", straight), straight)
    assert straight.moments > 30
    for moment in range(1, straight.moments + 1, step):
        around = LoopSurroundings(watch_effect=watch_effect, kill_at=moment)
        file = KillableFile(tmp_path / f"{moment}.json", around)
        with pytest.raises(Killed):
            cycle(file, around)
        state = file.read()
        ended = state.finished[-1] if state is not None and state.finished else cycle(file, around)
        assert (ended.verdict, ended.champion, ended.candidate) == (
            expected.verdict,
            expected.champion,
            expected.candidate,
        )
        assert around.line == straight.line
        assert around.versions == straight.versions
        assert around.exposed is None
        assert set(straight.recorded) <= set(around.recorded)


def test_killed_before_a_verdict_nothing_was_promoted(tmp_path):
    straight = LoopSurroundings(passes=False)
    cycle(KillableFile(tmp_path / "straight.json", straight), straight)
    for moment in range(1, straight.moments + 1):
        around = LoopSurroundings(passes=False, kill_at=moment)
        with pytest.raises(Killed):
            cycle(KillableFile(tmp_path / f"{moment}.json", around), around)
        assert around.line == [1]


def test_while_the_registry_is_away_the_loop_stays_where_it_is_and_goes_on_after(tmp_path):
    around, file = LoopSurroundings(canary_effect=(0.0, -0.2, 0.2)), StateFile(tmp_path / "loop.json")
    learn_once(file, around)
    assert file.read().step == "canary"
    around.away = True
    with pytest.raises(RegistryUnavailableError):
        learn_once(file, around)
    assert file.read().step == "canary"
    around.away, around.canary_effect = False, (0.02, -0.01, 0.05)
    assert cycle(file, around).verdict == "promoted"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"n_in_future": 500}, "received in the future"),
        ({"n_told_before": 500}, "labelled before they were received"),
        ({"n_without_propensity": 500}, "without a propensity"),
        ({"n_broken": 500}, "in quarantine"),
    ],
)
def test_data_that_may_not_be_learnt_from_are_told_and_nothing_is_learnt(tmp_path, changes, problem):
    around = LoopSurroundings()
    around.collected = Collected(around.time, 2_000, 2_000, **changes)
    ended = cycle(StateFile(tmp_path / "loop.json"), around)
    assert ended.verdict == "rejected"
    assert problem in ended.reason
    assert around.versions == {}


def test_without_labels_it_waits(tmp_path):
    around = LoopSurroundings(labelled=0)
    report = learn_once(StateFile(tmp_path / "loop.json"), around)
    assert report.waiting == "0 new labelled requests, 1,000 are needed"
    assert around.calls == []
    around.collected = Collected(around.time, 3_000, 12, n_in_future=400)
    waiting = learn_once(StateFile(tmp_path / "loop.json"), around).waiting
    assert "12 new labelled requests, 1,000 are needed; 2,588 more have no quality label: send feedback" in waiting
    assert "400 were received in the future: set the clocks" in waiting
    around.collected = Collected(around.time, labelled_of_others={"": 3_000, "0123456789abcdef": 1_000})
    waiting = learn_once(StateFile(tmp_path / "loop.json"), around).waiting
    assert "0 new labelled requests, 1,000 are needed; 4,000 labelled ones were decided by other policies" in waiting
    assert "(no known version: 3,000, 0123456789ab: 1,000), and only those count that the champion decided" in waiting


def test_the_next_cycle_waits_for_its_day_unless_something_drifts(tmp_path):
    around, file = LoopSurroundings(), StateFile(tmp_path / "loop.json")
    config = LoopConfig(every=timedelta(days=30))
    cycle(file, around, config)
    around.pass_days(2)
    assert "the next cycle begins 2026-01-31" in learn_once(file, around, config).waiting
    stale = {"small": around.time - timedelta(days=1)}
    around.collected = Collected(around.time, 5_000, 5_000, drifted=("small answers worse",), stale=stale)
    report = learn_once(file, around, config)
    assert report.transitions[0].step == "validate"
    assert "small answers worse" in report.transitions[0].reason
    assert report.state.stale == stale


def test_without_a_champion_the_gates_alone_decide(tmp_path):
    around = LoopSurroundings(serving=None, line=[])
    ended = cycle(StateFile(tmp_path / "loop.json"), around)
    assert (ended.verdict, around.serving) == ("promoted", 2)
    assert "canary" not in around.calls


def test_a_champion_that_somebody_else_made_is_neither_replaced_nor_taken_back(tmp_path):
    around, file = LoopSurroundings(canary_effect=(0.0, -0.2, 0.2)), StateFile(tmp_path / "loop.json")
    learn_once(file, around)
    around.serving, around.canary_effect = 7, (0.02, -0.01, 0.05)
    ended = cycle(file, around)
    assert ended.verdict == "rejected"
    assert "version 7 became champion meanwhile" in ended.reason
    assert around.serving == 7

    around, file = LoopSurroundings(), StateFile(tmp_path / "second.json")
    learn_once(file, around)
    around.serving, around.watch_effect = 7, WORSE
    assert "somebody else decided" in cycle(file, around).reason
    assert around.serving == 7


def test_two_loops_on_one_state_are_refused(tmp_path):
    around, file = LoopSurroundings(), StateFile(tmp_path / "loop.json")
    with file.held(), pytest.raises(DataError, match="another process"):
        learn_once(file, around)


def test_a_state_that_is_none_is_refused_and_nothing_is_done(tmp_path):
    path = tmp_path / "loop.json"
    path.write_text('{"step": "fly"}')
    around = LoopSurroundings()
    with pytest.raises(DataError, match="no state of the loop"):
        learn_once(StateFile(path), around)
    assert around.calls == []


@pytest.mark.parametrize(
    "changes", [{"every": timedelta(0)}, {"min_labelled": 0}, {"canary_margin": -1.0}, {"canary_share": 0.9}]
)
def test_impossible_settings_are_refused(changes):
    with pytest.raises(SettingsError, match=next(iter(changes))):
        LoopConfig(**changes)
