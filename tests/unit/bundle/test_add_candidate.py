import json

import numpy as np
import pytest

from beast_ml.bundle.add_candidate import Newcomer, ProbeResults, add_candidate, pick_probes
from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import read_bundle
from beast_ml.domain import Price
from beast_ml.errors import BundleError, InputError
from beast_ml.serving.router import Router

PRICE = Price(0.5, 1.5)


def results(world, n=80):
    unknown = np.full(n, np.nan)
    return ProbeResults(world.outcomes.prompts[:n], np.ones(n), *([unknown] * 5))


def test_the_new_bundle_loads_routes_and_keeps_its_policy(router_folder, world, tmp_path):
    added = add_candidate(router_folder, tmp_path / "more", Newcomer("a-new", PRICE, 0.97), world.outcomes.prompts)
    loaded = read_bundle(tmp_path / "more")
    assert loaded.manifest.models == ("a-new", "large", "medium", "small")
    assert loaded.manifest.candidates[0].price == PRICE
    assert loaded.policy == read_bundle(router_folder).policy
    assert loaded.manifest.training_digest == verify(router_folder).training_digest
    assert loaded.manifest.headline == {}
    assert added.manifest == loaded.manifest
    router = Router.load(str(tmp_path / "more"))
    assert "a-new" in {router.route(prompt).model for prompt in world.outcomes.prompts[:50]}


def test_the_same_policy_leaves_a_bad_and_dear_model_alone(router_folder, world, tmp_path):
    dear = Newcomer("a-new", Price(1000.0, 3000.0), 0.05)
    add_candidate(router_folder, tmp_path / "more", dear, world.outcomes.prompts)
    router = Router.load(str(tmp_path / "more"))
    assert "a-new" not in {router.route(prompt).model for prompt in world.outcomes.prompts[:50]}


def test_probes_change_what_is_expected(router_folder, world, tmp_path):
    new = Newcomer("a-new", PRICE, 0.5)
    added = add_candidate(router_folder, tmp_path / "more", new, world.outcomes.prompts, results(world))
    mean, low, high = added.expected_quality["a-new"]
    assert added.prior_quality == 0.5
    assert added.learnt.n_probes == 80
    assert 0.7 < low < mean < high
    assert set(added.expected_quality) == {"a-new", "large", "medium", "small"}


def test_the_expected_quality_is_that_of_the_benchmark_or_of_the_price(router_folder, world, tmp_path):
    scores = {"large": 0.9, "small": 0.4, "a-new": 0.9}
    by_score = add_candidate(
        router_folder, tmp_path / "score", Newcomer("a-new", PRICE, benchmark=scores), world.outcomes.prompts
    )
    assert by_score.prior_quality == pytest.approx(by_score.expected_quality["large"][0], abs=0.02)
    cheap = Newcomer("a-new", Price(0.001, 0.001))
    by_price = add_candidate(router_folder, tmp_path / "price", cheap, world.outcomes.prompts)
    assert by_price.prior_quality == pytest.approx(by_price.expected_quality["small"][0], abs=0.02)


def test_probes_are_picked_from_the_prompts(router_folder, world):
    picked = pick_probes(router_folder, Newcomer("a-new", PRICE), world.outcomes.prompts, 10)
    assert len(set(picked.tolist())) == 10


def test_a_pessimistic_router_stays_one(router_folder, world, copy, reseal, tmp_path):
    rows = read_bundle(router_folder).features.matrix(world.outcomes.prompts[:4])
    with np.load(copy / "heads.npz") as stored:
        arrays = dict(stored)
    d = rows.shape[1]
    arrays |= {
        "pessimism/center": np.zeros(d, np.float32),
        "pessimism/scale": np.ones(d, np.float32),
        "pessimism/centroids": np.zeros((1, d), np.float32),
        "pessimism/penalties": np.array([[0.1, 0.2, 0.3]]),
    }
    np.savez(copy / "heads.npz", **arrays)
    calibration = json.loads((copy / "calibration.json").read_text())
    (copy / "calibration.json").write_text(json.dumps(calibration | {"pessimism": {}}))
    reseal(copy)
    add_candidate(copy, tmp_path / "more", Newcomer("a-new", PRICE), world.outcomes.prompts)
    caution = read_bundle(tmp_path / "more").predictors.predict(rows).caution
    assert caution[0].tolist() == [0.3, 0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (lambda: Newcomer("small", PRICE), "already"),
        (lambda: Newcomer("a-new"), "no price"),
        (lambda: Newcomer("a-new", PRICE, 1.2), r"0\.\.1"),
        (lambda: Newcomer("a-new", PRICE, 0.5, {"a-new": 0.5}), "one of the two"),
        (lambda: Newcomer(" ", PRICE), "no name"),
    ],
)
def test_what_cannot_be_added_is_refused(new, words, router_folder, world, tmp_path):
    with pytest.raises(InputError, match=words):
        add_candidate(router_folder, tmp_path / "more", new(), world.outcomes.prompts)
    assert not (tmp_path / "more").exists()


def test_an_unknown_bundle_and_no_prompts_are_refused(router_folder, tmp_path):
    with pytest.raises(BundleError, match="no router bundle"):
        add_candidate(tmp_path / "nowhere", tmp_path / "more", Newcomer("a-new", PRICE), ["hello"])
    with pytest.raises(InputError, match="no prompts"):
        add_candidate(router_folder, tmp_path / "more", Newcomer("a-new", PRICE), [])
