import json

import msgspec
import pytest

from beast_ml.cache.lifetimes import AnswerAge, read_lifetimes
from beast_ml.cli.serving_process import cache_config
from beast_ml.serving.answer_cache.freshness import AGES_FILE
from beast_ml.settings import load_settings


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    ages = [AnswerAge("business", 3600.0 * hours, hours < 5) for hours in range(1, 25)] * 10
    (folder / AGES_FILE).write_bytes(b"".join(msgspec.json.encode(age) + b"\n" for age in ages))
    return folder


def test_lives_are_learnt_written_and_served_by(beast, state, monkeypatch, tmp_path):
    code, out, _ = beast("cache", "lives", "--state", state, "--json")
    assert (code, json.loads(out)["observations"]) == (0, 240)
    lives = read_lifetimes(tmp_path / "cache-lives.json")
    assert lives.ttl_s("business") < 5 * 3600 < lives.ttl_s("maths")
    monkeypatch.setenv("BEAST_CACHE__ENABLED", "true")
    monkeypatch.setenv("BEAST_CACHE__SECRET", "sixteen characters of it")
    monkeypatch.setenv("BEAST_CACHE__LIFETIMES", str(tmp_path / "cache-lives.json"))
    monkeypatch.setenv("BEAST_CACHE__LIVES_S", '{"law": 7}')
    kept = cache_config(load_settings()).lives
    assert kept.of("business") == lives.ttl_s("business")
    assert kept.of("maths") == 86_400.0  # no longer than life_s
    assert kept.of("law") == 7.0
