from dataclasses import replace

import pytest
import yaml

from beast_ml.cache.replay.replay import replay
from beast_ml.cache.replay.stream import Stream
from beast_ml.cache.tuning import CacheChoice, CacheTuning, Trial
from beast_ml.operations.cache_tuning import kept_choice, settings_fragment
from beast_ml.settings import CacheSettings

IN_FORCE = CacheChoice(life_s=3_600.0)
TUNED = CacheChoice(memory_entries=900, memory_mb=7, lives_s={"law": 7_200.4, "": 5.0}, life_s=86_400.0)


@pytest.fixture
def tuning():
    report = replay(Stream("none", 1.0, "nowhere", (), ()), cache=None, life_s=lambda _: 0.0)
    baseline, best = (Trial(choice, {}, report, 0.0, worth) for choice, worth in ((IN_FORCE, 1.0), (TUNED, 2.0)))
    return CacheTuning((baseline, best), baseline, best)


def test_what_was_worth_more_on_the_second_half_is_what_serve_is_told(tuning):
    told = yaml.safe_load(settings_fragment(tuning, "a log"))
    memory = {"memory_mb": 7, "memory_entries": 900, "memory_looked_at": 8}
    assert told == {"cache": {"life_s": 86_400, "lives_s": {"law": 7_200}, **memory}}
    settings = CacheSettings(**told["cache"])
    assert (settings.memory_entries, settings.lives_s) == (900, {"law": 7_200.0})


def test_what_lost_on_the_second_half_is_not_served(tuning):
    lost = replace(tuning, best=replace(tuning.best, worth_usd=0.5))
    assert kept_choice(lost) == IN_FORCE
    fragment = settings_fragment(lost, "a log")
    assert "stay" in fragment
    assert yaml.safe_load(fragment)["cache"]["life_s"] == 3_600
