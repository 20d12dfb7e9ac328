import dataclasses
import shutil
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.bundle import write as module
from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import read_bundle
from beast_ml.bundle.write import always_single, policy_of, write_bundle
from beast_ml.domain import Objective, Price
from beast_ml.errors import BundleError, UnknownModelError
from beast_ml.policy.operating_point import OperatingPoint
from beast_ml.policy.spec import PolicySpec
from beast_ml.serving.router import Router


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_manifest_says_what_is_in_it(fitted, tmp_path, paying_policy):
    manifest = write_bundle(
        fitted, tmp_path / "b", policy=paying_policy, headline={"saving": 0.5}, run_ids={"training": "abc"}
    )
    assert manifest == verify(tmp_path / "b")
    assert manifest.training_digest == fitted.training.digest()
    assert manifest.n_training_queries == fitted.training.n_queries
    assert manifest.feature_hash == fitted.features.spec.hash
    assert {candidate.price.source for candidate in manifest.candidates} == {"recovered from recorded costs"}
    assert len(manifest.price_version) == 12
    assert (manifest.headline, manifest.run_ids) == ({"saving": 0.5}, {"training": "abc"})


def test_another_price_is_another_price_version_and_no_price_is_none(fitted, tmp_path):
    usual = write_bundle(fitted, tmp_path / "usual")
    predictors = fitted.pool.predictors

    def written(name, cost):
        pool = replace(fitted.pool, predictors=replace(predictors, cost=cost))
        return write_bundle(replace(fitted, pool=pool), tmp_path / name)

    dearer = written("dearer", predictors.cost.with_prices({"large": Price(7.0, 7.0)}))
    assert dearer.price_version not in ("", usual.price_version)
    assert {candidate.name: candidate.price.source for candidate in dearer.candidates}["large"] == "given"
    assert written("dollars", predictors.cost.output_tokens).price_version == ""


def test_writing_twice_gives_the_same_bytes(fitted, tmp_path, paying_policy):
    for name in ("one", "two"):
        write_bundle(fitted, tmp_path / name, policy=paying_policy)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_no_prompt_is_in_a_bundle(fitted, router_folder):
    stored = b"".join(content(router_folder).values())
    assert not [prompt for prompt in fitted.training.prompts if prompt.encode() in stored]
    assert not [name for name in fitted.training.query_ids if str(name).encode() in stored]


@pytest.mark.parametrize("occupied", ["file", "folder"])
def test_bundles_are_immutable(fitted, tmp_path, occupied):
    target = tmp_path / "b"
    if occupied == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine.txt").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(BundleError, match="bundles are immutable, name a new folder"):
        write_bundle(fitted, target)
    assert content(tmp_path) == before


def test_an_empty_folder_is_as_good_as_none(fitted, tmp_path):
    (tmp_path / "b").mkdir()
    write_bundle(fitted, tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755
    assert read_bundle(tmp_path / "b").manifest.models == fitted.models


@pytest.mark.parametrize("step", ["_stored", "_seal", "file_sha256"])
def test_a_crash_in_the_middle_leaves_nothing(fitted, tmp_path, monkeypatch, step):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, step, crash)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(fitted, tmp_path / "new" / "b")
    assert content(tmp_path) == {}
    assert not list(tmp_path.rglob(".bundle-*"))


def test_a_folder_that_is_filled_meanwhile_is_left_alone(fitted, tmp_path, monkeypatch):
    seal = module._seal

    def slow(staging, manifest):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "theirs.txt").write_text("theirs")
        return seal(staging, manifest)

    monkeypatch.setattr(module, "_seal", slow)
    with pytest.raises(BundleError, match="cannot move the bundle"):
        write_bundle(fitted, tmp_path / "b")
    assert content(tmp_path) == {"b/theirs.txt": b"theirs"}


def test_a_policy_for_a_stranger_is_refused(fitted, tmp_path):
    stranger = PolicySpec("single", "gpt", Objective(0.0), "none")
    with pytest.raises(UnknownModelError, match="no candidate 'gpt'; the pool is large, medium, small"):
        write_bundle(fitted, tmp_path / "b", policy=stranger)
    assert not list(tmp_path.iterdir())


def test_always_single_answers_with_one_model(router_folder, tmp_path, world):
    manifest = always_single(router_folder, "medium", tmp_path / "single")
    assert (manifest.kind, verify(tmp_path / "single")) == ("single", manifest)
    assert manifest.digest != verify(router_folder).digest
    prompts = list(world.outcomes.prompts[:50])
    assert {d.model for d in Router.load(tmp_path / "single").route_batch(prompts)} == {"medium"}
    assert {d.model for d in Router.load(router_folder).route_batch(prompts)} > {"medium"}


def test_always_single_needs_a_known_model_and_an_intact_source(router_folder, tmp_path):
    with pytest.raises(UnknownModelError, match="no candidate 'gpt'"):
        always_single(router_folder, "gpt", tmp_path / "single")
    broken = shutil.copytree(router_folder, tmp_path / "broken")
    (broken / "policy.json").unlink()
    with pytest.raises(BundleError, match=r"policy\.json is missing"):
        always_single(broken, "medium", tmp_path / "single")
    assert not (tmp_path / "single").exists()


@pytest.mark.parametrize(
    ("point", "kind", "willingness", "cost"),
    [
        (OperatingPoint("router", "large", 0.25), "router", 0.25, "cost_usd"),
        (OperatingPoint("single", "large"), "single", 0.0, "none"),
        (OperatingPoint("router", "large", None), "single", 0.0, "none"),
    ],
)
def test_the_policy_is_the_operating_point(fitted, point, kind, willingness, cost):
    policy = policy_of(dataclasses.replace(fitted, operating_point=point))
    assert (policy.kind, policy.model, policy.cost) == (kind, "large", cost)
    assert policy.objective == Objective(willingness)


def test_an_objective_replaces_the_operating_point(fitted):
    objective = Objective(0.5, min_quality=0.7)
    policy = policy_of(fitted, objective)
    assert (policy.kind, policy.objective, policy.cost) == ("router", objective, fitted.cost)


def test_a_static_encoder_travels_with_its_bundle(static_folder, distilled):
    bundle = read_bundle(static_folder)
    assert bundle.features.encoder.hash == distilled.hash == bundle.manifest.encoder_hash
    np.testing.assert_array_equal(bundle.features.encoder.encode(["hello"]), distilled.encode(["hello"]))
