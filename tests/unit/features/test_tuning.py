import json
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import InputError, MissingExtraError
from beast_ml.features.bags import TokenBags
from beast_ml.features.encoder import StaticEncoder
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.features.tuning import TableTuning, tune_features, tune_table
from beast_ml.testing.outcome_sets import random_outcomes

QUICK = TableTuning(epochs=2, batch=32, hidden=16)
N_WORDS, DIM = 200, 16


def tiny_encoder():
    """Return random vectors for words w0, w1, ..."""
    words = {f"w{i}": i for i in range(N_WORDS)}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }
    table = np.random.default_rng(0).normal(size=(N_WORDS, DIM)).astype(np.float16)
    return StaticEncoder(table, json.dumps(tokenizer).encode())


def noise(rng, n=200, n_words=N_WORDS):
    """Return outcomes whose quality is a coin flip that no prompt tells anything of."""
    prompts = tuple(" ".join(f"w{w}" for w in rng.integers(1, n_words, size=6)) for _ in range(n))
    quality = (rng.random((n, 2)) < 0.5).astype(float)
    return replace(random_outcomes(rng, n, 2, missing=0), prompts=prompts, quality=quality, tasks=np.full(n, ""))


def built(encoder, outcomes):
    features = FeatureBuilder(FeatureSpec.learn(encoder, outcomes.prompts), encoder)
    return features, features.matrix(outcomes.prompts)


def tuned(outcomes, folds, seed=0, tuning=QUICK, **kw):
    return tune_features(
        *built(tiny_encoder(), outcomes), outcomes, folds, np.random.default_rng(seed), tuning=tuning, **kw
    )


def test_no_vector_depends_on_the_outcomes_of_its_own_fold():
    outcomes, folds = noise(np.random.default_rng(1)), np.arange(200) % 4
    flipped = outcomes.quality.copy()
    flipped[folds == 2] = 1 - flipped[folds == 2]
    before, after = (tuned(one, folds).rows for one in (outcomes, replace(outcomes, quality=flipped)))
    np.testing.assert_array_equal(before[folds == 2], after[folds == 2])
    for other in (0, 1, 3):
        assert not np.array_equal(before[folds == other], after[folds == other])


def test_only_the_vectors_change():
    outcomes, folds = noise(np.random.default_rng(1)), np.arange(200) % 4
    features, rows = built(tiny_encoder(), outcomes)
    result = tuned(outcomes, folds)
    np.testing.assert_array_equal(result.rows[:, DIM:], rows[:, DIM:])
    np.testing.assert_allclose(np.linalg.norm(result.rows[:, :DIM], axis=1), 1, atol=1e-3)
    assert result.features.spec.names == features.spec.names
    assert result.features.spec.encoder == result.features.encoder.name == "tuned"
    assert result.features.spec.encoder_hash == result.features.encoder.hash != features.encoder.hash
    assert result.features.spec.hash != features.spec.hash


def test_the_same_seed_gives_the_same_table():
    outcomes, folds = noise(np.random.default_rng(1)), np.arange(200) % 4
    one, same, other = (tuned(outcomes, folds, seed) for seed in (0, 0, 1))
    assert one.features.encoder.hash == same.features.encoder.hash != other.features.encoder.hash
    np.testing.assert_array_equal(one.rows, same.rows)


def test_words_that_decide_quality_come_apart():
    rng = np.random.default_rng(3)
    outcomes = noise(rng, 300)
    good = rng.random(300) < 0.5
    prompts = tuple(f"{text} {'w1' if is_good else 'w2'}" for text, is_good in zip(outcomes.prompts, good, strict=True))
    outcomes = replace(outcomes, prompts=prompts, quality=np.column_stack([good, ~good]).astype(float))
    start = tiny_encoder()
    end = tuned(outcomes, np.arange(300) % 3, tuning=TableTuning(epochs=10, batch=32)).features.encoder
    before, after = start.encode(["w1", "w2"]), end.encode(["w1", "w2"])
    assert after[0] @ after[1] < before[0] @ before[1] - 0.02


def test_unknown_outcomes_teach_nothing():
    outcomes, folds = noise(np.random.default_rng(1)), np.arange(200) % 4
    unknown = replace(outcomes, quality=np.full_like(outcomes.quality, np.nan))
    np.testing.assert_array_equal(tuned(unknown, folds).features.encoder.table, tiny_encoder().table)


def test_tokens_that_do_not_occur_keep_their_vectors():
    encoder, outcomes = tiny_encoder(), noise(np.random.default_rng(1), n_words=50)
    bags, tasks = TokenBags.of(encoder, outcomes.prompts), np.zeros(200, dtype=np.intp)
    table = tune_table(encoder.table, bags, outcomes.quality, tasks, np.random.default_rng(0), QUICK)
    np.testing.assert_array_equal(table[50:], encoder.table[50:].astype(np.float32))
    assert not np.array_equal(table[1:50], encoder.table[1:50].astype(np.float32))


def test_texts_without_tokens_leave_the_table_alone():
    encoder = tiny_encoder()
    bags, quality = TokenBags.of(encoder, ["", ""]), np.array([[0.0], [1.0]])
    table = tune_table(encoder.table, bags, quality, np.zeros(2, dtype=np.intp), np.random.default_rng(0), QUICK)
    np.testing.assert_array_equal(table, encoder.table.astype(np.float32))


def test_progress_is_told_by_fold():
    steps = []
    tuned(noise(np.random.default_rng(1)), np.arange(200) % 4, progress=lambda *step: steps.append(step))
    assert steps == [("fine-tuning the encoder", done, 4) for done in (1, 2, 3, 4)]


def test_an_encoder_without_a_table_cannot_be_tuned():
    outcomes = noise(np.random.default_rng(1))
    features, rows = built(HashingEncoder(), outcomes)
    with pytest.raises(InputError, match="hashing encoder has no table of token vectors"):
        tune_features(features, rows, outcomes, np.arange(200) % 4, np.random.default_rng(0))


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match='fine-tuning the encoder needs the "train" extra'):
        tuned(noise(np.random.default_rng(1)), np.arange(200) % 4)
