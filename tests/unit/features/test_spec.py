import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.prompt import PROMPT_FEATURES
from beast_ml.features.spec import FeatureBuilder, FeatureSpec

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=300)
ODD_PROMPTS = [
    "",
    " \n\t ",
    "\x00",
    "\ud800 lone surrogate \udfff",
    "😀" * 700,
    "用中文写一首关于路由器的诗。" * 200,
    "a" * 1_000_000,
    "word " * 200_000,
    "\n" * 100_000,
]
CONTEXTS = [{"task": "code"}] * 12 + [{"task": "chat"}] * 11 + [{"task": "rare"}] + [{}]
PROMPTS = [f"You are helpful.\nWhat is {i}?" for i in range(len(CONTEXTS))]


@pytest.fixture(scope="module")
def builders(distilled):
    encoders = {"static": distilled, "hashing": HashingEncoder()}
    return {
        name: FeatureBuilder(FeatureSpec.learn(encoder, PROMPTS, CONTEXTS, ("task",)), encoder)
        for name, encoder in encoders.items()
    }


@pytest.mark.parametrize("encoder", ["static", "hashing"])
@settings(deadline=None, max_examples=60)
@given(prompts=st.lists(ANY_TEXT, min_size=1, max_size=8), seed=st.integers(0, 99))
def test_a_row_is_the_same_to_the_bit_whatever_stands_beside_it(builders, encoder, prompts, seed):
    builder = builders[encoder]
    contexts = [random.Random(seed + i).choice(CONTEXTS) for i in range(len(prompts))]
    matrix = builder.matrix(prompts, contexts)
    assert np.isfinite(matrix).all()
    for prompt, context, offline in zip(prompts, contexts, matrix, strict=True):
        assert builder.row(prompt, context).tobytes() == offline.tobytes()


@pytest.mark.parametrize("encoder", ["static", "hashing"])
def test_odd_and_huge_prompts_have_finite_rows_equal_offline_and_online(builders, encoder):
    builder = builders[encoder]
    matrix = builder.matrix(ODD_PROMPTS)
    assert matrix.shape == (len(ODD_PROMPTS), builder.dim)
    assert np.isfinite(matrix).all()
    for prompt, offline in zip(ODD_PROMPTS, matrix, strict=True):
        assert builder.row(prompt).tobytes() == offline.tobytes()


@pytest.mark.parametrize("encoder", ["static", "hashing"])
def test_ten_megabytes_are_read_at_head_and_tail_only(builders, encoder):
    ends = "You are helpful.\n" * 3000
    one, other = (f"{ends}{letter * 10_000_000}{ends}" for letter in "xy")
    assert np.isfinite(builders[encoder].row(one)).all()
    assert builders[encoder].row(one).tobytes() == builders[encoder].row(other).tobytes()


def test_names_say_what_each_column_is(builders):
    builder = builders["hashing"]
    names = builder.spec.names
    assert len(names) == len(set(names)) == builder.dim == builder.row("x").size
    assert names[512 : 512 + len(PROMPT_FEATURES)] == PROMPT_FEATURES
    assert names[-2:] == ("context_task=chat", "context_task=code")


def test_context_values_have_a_feature_when_frequent_and_read_as_none_otherwise(builders):
    builder = builders["hashing"]
    code, rare = builder.row("x", {"task": "code"}), builder.row("x", {"task": "rare"})
    assert code[-2:].tolist() == [0.0, 1.0]
    assert rare[-2:].tolist() == [0.0, 0.0]
    assert rare.tobytes() == builder.row("x").tobytes()
    assert rare.tobytes() == builder.row("x", {"unheard of": "code"}).tobytes()


def test_a_key_keeps_its_64_most_frequent_values():
    contexts = [{"app": f"app{i:02d}"} for i in range(70) for _ in range(10 + (i >= 6))]
    spec = FeatureSpec.learn(HashingEncoder(), ["x"] * len(contexts), contexts, ("app", "language"))
    assert spec.context == {"app": tuple(f"app{i:02d}" for i in range(6, 70))}


def test_a_spec_does_not_depend_on_the_order_of_the_training_requests():
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    shuffled = [PROMPTS[i] for i in order], [CONTEXTS[i] for i in order]
    assert (
        FeatureSpec.learn(HashingEncoder(), *shuffled, ("task",)).hash
        == FeatureSpec.learn(HashingEncoder(), PROMPTS, CONTEXTS, ("task",)).hash
    )


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "other"},
        {"encoder_hash": "0" * 64},
        {"encoder_dim": 513},
        {"prompt_names": PROMPT_FEATURES[::-1]},
        {"prompt_names": PROMPT_FEATURES[:-1]},
        {"boilerplate": ()},
        {"context": {"task": ("chat",)}},
        {"context": {"app": ("chat", "code")}},
        {"context": {}},
    ],
    ids=str,
)
def test_the_hash_changes_when_anything_does(builders, change):
    spec = builders["hashing"].spec
    assert msgspec.structs.replace(spec, **change).hash != spec.hash
    assert msgspec.structs.replace(spec).hash == spec.hash


def test_a_spec_survives_json_with_its_hash(builders):
    spec = builders["static"].spec
    again = msgspec.json.decode(msgspec.json.encode(spec), type=FeatureSpec)
    assert again == spec
    assert again.hash == spec.hash


def test_no_text_of_a_request_is_stored(builders):
    stored = msgspec.json.encode(builders["hashing"].spec).decode()
    assert len(builders["hashing"].spec.boilerplate) == 1
    assert "helpful" not in stored


def test_a_prompt_that_is_asked_again_is_read_once_and_has_the_same_row(builders):
    builder = builders["hashing"]
    rows = builder.matrix(["one", "two", "one", "three", "two"])
    assert rows.tobytes() == np.stack([builder.row(text) for text in ("one", "two", "one", "three", "two")]).tobytes()
