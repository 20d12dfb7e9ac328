from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import RegistryError
from beast_ml.registry.champions import (
    HISTORY_TAG,
    SINCE_TAG,
    Champions,
    crown,
    read_champions,
    reconcile,
    settle,
    step_back,
)
from beast_ml.registry.config import CHAMPION, PREVIOUS, ROUTER
from beast_ml.registry.connection import connect

histories = st.lists(st.integers(1, 6), max_size=8).map(tuple)


@pytest.fixture
def registry(config, tmp_path):
    """Return a client of a store with five versions of a router."""
    client = connect(config)
    client.create_registered_model(ROUTER)
    for _ in range(5):
        client.create_model_version(ROUTER, source=tmp_path.as_uri(), await_creation_for=0)
    return client


def champion_since(client, version):
    return client.get_model_version(ROUTER, str(version)).tags[SINCE_TAG]


def aliases(client):
    return {name: int(version) for name, version in client.get_registered_model(ROUTER).aliases.items()}


@given(histories, st.integers(1, 6))
def test_the_alias_is_the_truth_whatever_the_history_says(written, current):
    champions = reconcile(written, current)
    assert champions.current == current
    assert champions.before in (written[: len(champions.before)], written)


@given(histories, st.integers(1, 6))
def test_a_crash_between_history_and_alias_has_changed_nothing(line, new):
    if not line:
        return
    before = Champions(line, has_champion=True)
    written = before.followed_by(new).line  # the history was written, the alias was not moved
    if new != before.current:
        assert reconcile(written, before.current) == before


@given(histories.filter(lambda line: len(line) > 1))
def test_a_crash_between_alias_and_history_has_stepped_back(line):
    deduplicated = tuple(v for i, v in enumerate(line) if i == 0 or line[i - 1] != v)
    if len(deduplicated) < 2:
        return
    # the alias was moved back, the history was not written
    assert reconcile(deduplicated, deduplicated[-2]).line == deduplicated[:-1]


def test_stepping_back_walks_through_all_that_served(registry, config):
    champions = read_champions(registry, config)
    assert champions.current is None
    for version in (1, 2, 1, 4):
        champions = crown(registry, config, champions, version)
    assert aliases(registry) == {CHAMPION: 4, PREVIOUS: 1}
    walked = []
    for _ in range(3):
        champions = step_back(registry, config, read_champions(registry, config))
        walked.append(champions.current)
    assert walked == [1, 2, 1]
    assert aliases(registry) == {CHAMPION: 1}
    with pytest.raises(RegistryError, match="no earlier champion"):
        step_back(registry, config, read_champions(registry, config))
    assert aliases(registry) == {CHAMPION: 1}


def test_crowning_twice_changes_nothing(registry, config):
    champions = crown(registry, config, crown(registry, config, Champions(), 1), 2)
    since = champion_since(registry, 2)
    registry.set_model_version_tag(ROUTER, "2", SINCE_TAG, "long ago")
    assert crown(registry, config, champions, 2) == champions == read_champions(registry, config)
    assert champion_since(registry, 2) == "long ago" != since


def test_a_version_says_since_when_it_is_champion(registry, config):
    began = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    champions = crown(registry, config, crown(registry, config, Champions(), 1), 2)
    assert (
        began
        <= champion_since(registry, 1)
        <= champion_since(registry, 2)
        <= f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    )
    registry.set_model_version_tag(ROUTER, "1", SINCE_TAG, "long ago")
    step_back(registry, config, champions)
    assert champion_since(registry, 1) >= began
    assert champion_since(registry, 1) != "long ago"


def test_deleted_versions_are_left_out_of_the_line(registry, config):
    champions = Champions()
    for version in (1, 2, 3):
        champions = crown(registry, config, champions, version)
    registry.delete_model_version(ROUTER, "2")
    assert read_champions(registry, config).line == (1, 3)
    registry.delete_model_version(ROUTER, "3")  # the champion itself: MLflow drops its alias with it
    champions = read_champions(registry, config)
    assert champions.current is None
    assert step_back(registry, config, champions).current == 1


def test_an_alias_moved_by_hand_joins_the_line(registry, config):
    crown(registry, config, Champions(), 1)
    registry.set_registered_model_alias(ROUTER, CHAMPION, "5")
    assert read_champions(registry, config).line == (1, 5)


def test_two_promotions_at_once_leave_one_whole_champion(registry, config):
    start = crown(registry, config, Champions(), 1)
    crown(registry, config, start, 2)
    crown(registry, config, start, 3)  # began before the other ended
    champions = read_champions(registry, config)
    assert champions.current == aliases(registry)[CHAMPION] == 3
    assert step_back(registry, config, champions).current == 1


def test_a_history_that_makes_no_sense_is_shown(registry, config):
    registry.set_registered_model_tag(ROUTER, HISTORY_TAG, "one, two")
    with pytest.raises(RegistryError, match="'one, two'"):
        read_champions(registry, config)


def test_without_a_router_the_advice_is_to_train(config):
    with pytest.raises(RegistryError, match="train one first"):
        read_champions(connect(config), config)


def test_what_a_step_back_that_was_killed_leaves_is_put_right(registry, config):
    for version in (1, 2):
        crown(registry, config, read_champions(registry, config), version)
    registry.set_registered_model_alias(ROUTER, CHAMPION, "1")  # and no more
    assert aliases(registry) == {CHAMPION: 1, PREVIOUS: 1}
    for _ in range(2):
        assert settle(registry, config).line == (1,)
        assert aliases(registry) == {CHAMPION: 1}
        assert registry.get_registered_model(ROUTER).tags[HISTORY_TAG] == "1"
