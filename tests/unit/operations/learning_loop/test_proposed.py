"""What the loop's cycles found, beside what the registry has on record."""

from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.operations.learning_loop.proposed import with_cycles
from beast_ml.operations.learning_loop.states import Finished
from beast_ml.registry.proposals import Proposal

START = datetime(2026, 3, 1, tzinfo=UTC)


def cycle(verdict, candidate=2, number=1):
    at = START + timedelta(days=number)
    return Finished(cycle=number, verdict=verdict, reason="so it was", champion=1, candidate=candidate, at=at)


def recorded(outcome, version=2):
    return Proposal("learning", f"version {version}", START, outcome, "", version)


@pytest.mark.parametrize(
    ("outcome", "verdict", "found"),
    [
        ("open", "rejected", "refused"),
        ("adopted", "promoted", "adopted"),
        ("taken back", "promoted", "taken back"),  # by hand, later
        ("adopted", "rejected", "adopted"),  # the same
        ("taken back", "rolled back", "taken back"),
        ("open", "rolled back", "taken back"),
    ],
)
def test_a_candidate_is_what_its_cycle_found_unless_it_was_moved_since(outcome, verdict, found):
    (told,) = with_cycles([recorded(outcome)], [cycle(verdict)])
    assert told.outcome == found


def test_others_stay_as_they_are_and_candidates_that_are_gone_are_told_by_their_cycles():
    settings = Proposal("tuning", "tune router", START, "refused", "nothing better")
    cycles = [cycle("rejected", candidate=9), cycle("rejected", candidate=None, number=2)]
    told = with_cycles([recorded("open"), settings], cycles)
    assert [(each.version, each.outcome) for each in told] == [(None, "refused"), (2, "open"), (9, "refused")]
    assert "registered no more" in told[-1].what
