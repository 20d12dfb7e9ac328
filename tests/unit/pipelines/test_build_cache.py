import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.cache.artefact import load_verifier, open_cache, verify_cache
from beast_ml.cache.known_vectors import text_digest

pytestmark = pytest.mark.slow


@pytest.fixture
def files(folder, cache_questions) -> tuple[Path, Path]:
    """Write prompts with answers, and labelled pairs, as files of the working directory."""
    asked = [*cache_questions, *cache_questions[:5], *cache_questions[:2], None]
    pd.DataFrame({"prompt": asked, "answer": "yes", "model": "small"}).to_parquet("answers.parquet")
    same = [(f"may I {deed} {thing}", f"am I allowed to {deed} {thing}?") for deed, thing in _both()]
    other = [(f"may I {deed} {thing}", f"who will {deed} {thing}?") for deed, thing in _both()]
    pairs = pd.DataFrame([*same, *other], columns=["text_a", "text_b"])
    pairs["is_duplicate"] = [True] * len(same) + [False] * len(other)
    pairs.to_parquet("pairs.parquet")
    return folder / "answers.parquet", folder / "pairs.parquet"


def _both():
    return product(
        ("wash", "rent", "drop", "build", "lend", "steal"), (f"{n} red {what}s" for n in "2345" for what in _THINGS)
    )


_THINGS = ("car", "boat", "tent", "piano", "cow", "tree", "brick")


def test_the_cache_is_built_registered_and_put_into_a_bundle(files, run, query, folder, router_folder):
    answers, pairs = files
    result = run(
        "build_cache.py", "--prompts", answers, "--pairs", pairs, "--out", "made/cache", "--bundle", router_folder,
        "--max-lost", 0.05,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "registered models:/beast-cache/1 from made/cache" in result.stdout
    parts = open_cache(folder / "made" / "cache")
    assert parts.manifest.n_known == 550
    assert parts.known.get(text_digest("how do I bake bread?")) is not None
    assert parts.manifest.gate.n_hits >= 59
    assert -1 < parts.bound < 1
    curves = json.loads((folder / "made" / "cache" / "curves.json").read_text())
    assert curves["cosine"][0]["right"] <= curves["cosine"][0]["pairs"]

    bundle = verify(folder / "made" / "cache-bundle")
    assert bundle.has_cache
    assert not verify(router_folder).has_cache
    assert verify_cache(folder / "made" / "cache-bundle" / "cache") == parts.manifest

    [(version, tag)] = query("select version, value from model_version_tags where key = 'cache_digest'")
    assert (version, tag) == (1, parts.manifest.digest)
    metrics = dict(query("select key, value from metrics"))
    assert metrics["gate/bound"] == pytest.approx(parts.bound)
    trained = load_verifier(folder / "made" / "cache")
    assert (trained.hash, trained.vectors) == (parts.manifest.verifier_hash, parts.encoder.hash)
    assert len(trained.right) == 336
    assert metrics["verifier/pairs"] == 336
    assert metrics["verifier/hit_rate_at_0.02"] == pytest.approx(
        curves["verifier"]["points"]["verifier"][2]["hit_rate"]
    )
    [(picture,)] = query("select artifact_uri || '/plots/verifier.png' from runs")
    assert Path(picture.removeprefix("file://")).stat().st_size > 1000
    # what is kept holds neither a text nor an answer
    kept = b"".join(
        path.read_bytes() for path in (folder / "made" / "cache").rglob("*.[js]*") if path.stem != "tokenizer"
    )
    assert b"bake bread" not in kept


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to build a cache from"),
        (("--prompts", "none.parquet"), "cannot read none.parquet as Parquet"),
        (("--prompts", "pairs.parquet"), "has no column 'prompt'"),
        (("--pairs", "answers.parquet"), "has no column `text_a`"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(arguments, said, files, run, query):
    result = run("build_cache.py", *arguments, "--out", "made")
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert said in result.stderr
    assert query("select name from runs") == []
