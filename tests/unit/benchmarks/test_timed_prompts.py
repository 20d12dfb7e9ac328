import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer

from beast_ml.benchmarks.timed_prompts import prompts_by_length, real_prompts, widened
from beast_ml.errors import NotEnoughDataError
from beast_ml.testing.worlds import make_world

WORDS = Tokenizer.from_buffer(
    msgspec.json.encode(
        {
            "version": "1.0",
            "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
        }
    )
)


def bucketed(prompts, n_prompts, tokens, seed=0):
    rng = np.random.default_rng(seed)
    return prompts_by_length(prompts, rng, n_prompts=n_prompts, tokens=tokens, tokenizer=WORDS)


def test_prompts_of_the_length_come_first_then_cut_then_joined_ones():
    exact = [f"a{i} b c d" for i in range(5)]
    longer = [f"x{i} y z u v w" for i in range(5)]
    found = bucketed([*exact, *longer], 10, (4, 8))
    assert set(exact) < set(found[4])
    assert all(len(prompt.split()) == n for n, prompts in found.items() for prompt in prompts)
    assert [len(set(prompts)) for prompts in found.values()] == [10, 10]


def test_a_word_is_not_cut(distilled):
    tokenizer = Tokenizer.from_buffer(distilled.tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prompts = [f"{i} antidisestablishmentarianism" for i in range(30)]
    cut = prompts_by_length(prompts, np.random.default_rng(0), n_prompts=5, tokens=(2,), tokenizer=tokenizer)[2]
    assert all(prompt in prompts for prompt in cut)


def test_the_draw_is_reproducible_and_random():
    prompts = [f"w{i} w w" for i in range(50)]
    assert bucketed(prompts, 10, (3,)) == bucketed(prompts, 10, (3,))
    assert bucketed(prompts, 10, (3,)) != bucketed(prompts, 10, (3,), seed=1)


def test_too_few_prompts_are_an_error_that_says_so():
    with pytest.raises(NotEnoughDataError, match="1 prompts make only 1 different ones of about 2 tokens, 3 are asked"):
        bucketed(["only this"], 3, (2,))


def test_prompts_come_from_the_quickstart_and_from_every_set_in_a_folder(tmp_path):
    import pandas as pd

    (tmp_path / "own").mkdir()
    pd.DataFrame({"prompt": ["mine", None, "mine"]}).to_parquet(tmp_path / "own" / "outcomes.parquet")
    without = real_prompts()
    assert sorted([*without, "mine"]) == real_prompts(tmp_path)
    assert len(without) > 3000


def test_made_up_models_have_token_counts_and_costs_at_their_prices():
    outcomes = make_world(np.random.default_rng(0), 20).outcomes
    wide, prices = widened(outcomes, 7, np.random.default_rng(1))
    assert wide.quality.shape == wide.cost_usd.shape == (20, 7)
    assert wide.models == tuple(prices)
    last = prices["model-06"]
    usd = wide.input_tokens[:, 6] * last.input_usd_per_mtok + wide.output_tokens[:, 6] * last.output_usd_per_mtok
    np.testing.assert_allclose(wide.cost_usd[:, 6], usd / 1e6)
