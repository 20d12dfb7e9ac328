import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.benchmarks.serving import payloads
from beast_ml.benchmarks.serving.payloads import base_prompts, batches, chats, routes, varied, write_bodies
from beast_ml.errors import NotEnoughDataError

BASE = ["one two three four", "five six seven eight", "nine ten eleven twelve", "a b c d"]


@settings(deadline=None)
@given(st.lists(st.text("ab ", max_size=8), min_size=1, max_size=6, unique=True), st.integers(0, 40))
def test_varied_prompts_are_as_many_as_asked_for_and_all_different(base, n):
    try:
        found = list(varied(base, n))
    except NotEnoughDataError:
        return
    assert len(found) == n == len(set(found))
    assert found[: len(base)] == base[:n]


def test_more_prompts_than_can_be_made_are_refused():
    with pytest.raises(NotEnoughDataError, match="16 different ones, 17 are asked for"):
        list(varied(BASE, 17))


def test_spliced_prompts_keep_whole_words():
    words = {word for prompt in BASE for word in prompt.split()}
    assert {word for prompt in varied(BASE, 16) for word in prompt.split()} == words


def test_base_prompts_are_real_and_of_about_fifty_tokens(monkeypatch):
    asked = {}

    def chosen(prompts, rng, *, n_prompts, tokens):
        asked.update(prompts=prompts, n_prompts=n_prompts, tokens=tokens)
        return {50: ["x"]}

    monkeypatch.setattr(payloads, "real_prompts", lambda data: ["real"])
    monkeypatch.setattr(payloads, "prompts_by_length", chosen)
    assert base_prompts(None, 7) == ["x"]
    assert asked == {"prompts": ["real"], "n_prompts": 7, "tokens": (50,)}


def test_bodies_are_what_the_api_takes():
    assert list(routes(["p", "q"])) == [{"prompt": "p"}, {"prompt": "q"}]
    assert list(batches("abc", 2)) == [{"requests": [{"prompt": "a"}, {"prompt": "b"}]}]
    (plain,), (streamed,) = chats(["p"], "beast"), chats(["p"], "beast", stream=True)
    assert plain["messages"] == streamed["messages"] == [{"role": "user", "content": "p"}]
    assert (plain.get("stream"), streamed["stream"]) == (None, True)


def test_bodies_are_written_a_line_each(tmp_path):
    assert write_bodies(tmp_path / "deep" / "b.jsonl", routes(["a\nb", "ü"])) == 2
    lines = (tmp_path / "deep" / "b.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["a\nb", "ü"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["b.jsonl"]
