import pytest

from beast_ml.benchmarks.comparison.contest import Contest, Entry


def contest(wanted, ours, *others):
    return Contest("routing", "a figure", "share", wanted, Entry("ours", *ours), tuple(Entry(*each) for each in others))


@pytest.mark.parametrize(
    ("wanted", "ours", "theirs", "verdict"),
    [
        ("more", (0.3, 0.25, 0.35), (0.2, 0.15, 0.24), "ahead"),
        ("more", (0.3, 0.25, 0.35), (0.2, 0.15, 0.26), "level"),
        ("more", (0.1, 0.05, 0.14), (0.2, 0.15, 0.24), "behind"),
        ("less", (0.3, 0.25, 0.35), (0.2, 0.15, 0.24), "behind"),
        ("less", (0.1, 0.05, 0.14), (0.2, 0.15, 0.24), "ahead"),
        ("less", (13, None, None), (77, None, None), "ahead"),
        ("less", (77, None, None), (77, None, None), "level"),
    ],
)
def test_ahead_and_behind_are_by_whole_intervals(wanted, ours, theirs, verdict):
    assert contest(wanted, ours, ("theirs", *theirs)).verdict == verdict


def test_the_best_of_the_others_counts():
    others = (("low", 0.1, 0.0, 0.2), ("high", 0.5, 0.4, 0.6), ("middle", 0.3, 0.2, 0.4))
    assert contest("more", (0.3, 0.25, 0.35), *others).best_other.name == "high"
    assert contest("more", (0.3, 0.25, 0.35), *others).verdict == "behind"
    assert contest("less", (0.3, 0.25, 0.35), *others).best_other.name == "low"


def test_who_is_alone_is_ahead_of_nobody():
    assert contest("more", (0.3,)).best_other is None
    assert contest("more", (0.3,)).verdict == "alone"
