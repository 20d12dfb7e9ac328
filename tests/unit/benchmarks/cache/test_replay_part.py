import json
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.cache.ladder import RUNGS
from beast_ml.benchmarks.cache.replay_part import ReplaySize, measure_replay, measure_replays, resized
from beast_ml.benchmarks.cache.replay_report import draw_ladder, replay_sheets
from beast_ml.benchmarks.cache.stream import HOSTILE, ORDINARY, make_stream
from beast_ml.cache.replay.workers_cache import ReplayKeys
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.text_vectors import StoredVectors
from beast_ml.features.hashing import HashingEncoder


@pytest.mark.slow
def test_every_figure_of_a_setting_is_there_and_can_be_shown(tmp_path):
    stream = make_stream(resized(replace(ORDINARY, days=3.0), 800))
    found = json.loads(json.dumps(measure_replay(stream, ReplayKeys(), None, n_trials=2)))
    rungs = found["ladder"]
    assert tuple(rungs) == RUNGS
    assert rungs["exact"]["hit_rate"] < rungs["normalised"]["hit_rate"] < rungs["tiers"]["hit_rate"]
    assert rungs["tiers"]["known_served_rate"] == 1.0 > rungs["normalised"]["known_served_rate"]
    assert len({(rung["common_share"], rung["known_share"]) for rung in rungs.values()}) == 1  # the same requests
    assert set(rungs["normalised"]["tiers"]) == {"memory"}
    assert set(rungs["tiers"]["tiers"]) == {"memory", "sql"}
    assert rungs["warming"]["warmed_usd"] > rungs["tiers"]["warmed_usd"] == 0.0
    assert rungs["warming"]["first_request_hit_rate"] > rungs["tiers"]["first_request_hit_rate"]
    assert found["lives"]["24 h"]["stale_ratio"] < 1.0
    assert found["warming"]["with"]["warmed_usd"] > found["warming"]["without"]["warmed_usd"] == 0.0
    assert found["requests"] == 800
    replays = {"settings": {"ordinary": found}, "recognition": {}}
    tables = list(replay_sheets(replays))
    assert [row[0] for row in tables[0].rows] == list(RUNGS)
    draw_ladder(replays, tmp_path / "ladder.png")
    assert (tmp_path / "ladder.png").stat().st_size > 10_000


@pytest.mark.slow
def test_both_settings_are_replayed_with_what_was_learnt_from_other_pairs(distilled):
    rng = np.random.default_rng(0)
    things = ("invoice", "password", "passport", "laptop", "contract", "ticket", "payment", "licence", "parcel", "visa")
    drawn = [(*rng.choice(things, 2, replace=False), bool(rng.random() < 0.6)) for _ in range(900)]
    pairs = LabelledPairs(
        tuple(f"how do I renew the {thing} number {i}" for i, (thing, _, _) in enumerate(drawn)),
        tuple(
            f"how do I renew the {thing if same else other} number {i} please sir"
            for i, (thing, other, same) in enumerate(drawn)
        ),
        np.array([same for _, _, same in drawn]),
    )
    size = ReplaySize(n_requests=300, n_pairs=1_000, n_trials=1)
    settings = [replace(each, days=1.5) for each in (ORDINARY, HOSTILE)]
    found = measure_replays(pairs, StoredVectors(HashingEncoder(64)), distilled, size, settings=settings)
    assert found["recognition"]["pairs"] == 900
    assert found["recognition"]["wrong"] <= 0.01 * found["recognition"]["lookups"]
    assert list(found["settings"]) == ["ordinary", "hostile"]
    for figures in found["settings"].values():
        assert 0.0 <= figures["bypass_share"] < 0.5
        assert figures["tuning"]["trials"] == 2  # the baseline, and one
        assert set(figures["ladder"]["exact"]["hits"]) <= {"exact"}
