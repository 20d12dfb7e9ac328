"""pytest fixtures for whatever stands on a fitted router; a conftest imports the ones it needs.

What takes seconds is made once for all test processes (`beast_ml.testing.made_once`).
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.bundle.write import write_bundle
from beast_ml.domain import Objective
from beast_ml.features.distill import static_encoder
from beast_ml.features.encoder import StaticEncoder
from beast_ml.logs.splits import query_fold
from beast_ml.policy.learner import FittedRouter, RouterLearner
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.contract import TrainingSet
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.testing.made_once import made_once
from beast_ml.testing.worlds import World, make_world

__all__ = [
    "QUICK",
    "TINY",
    "distilled",
    "fitted",
    "loaded",
    "paying_policy",
    "router_folder",
    "static_folder",
    "training_set",
    "world",
]

QUICK: Final = PoolFamilies.of_names(("network",))
"""One network a target: for tests that look at what is done with predictors, not at how good they are."""

_SMALL: Final = NetworkConfig(hidden=(16,), dropout=0.1, epochs=3, learning_rate=1e-2)

TINY: Final = PoolFamilies(*[FamiliesConfig(("network",), _SMALL, student=_SMALL)] * 2)
"""The same with hardly any weights: for tests that fit many routers, or on thousands of rows."""

_PAYING: Final = PolicySpec("router", "large", Objective(willingness_to_pay=0.03))
_N_QUERIES = 300
_N_FOLDS = 5


@functools.cache
def _world() -> World:
    return make_world(np.random.default_rng(7), _N_QUERIES)


def _make_router(folder: Path) -> None:
    outcomes = replace(_world().outcomes, ttft_s=0.2 * _world().outcomes.latency_s)
    failed = (np.random.default_rng(3).random(outcomes.quality.shape) < (0.02, 0.05, 0.2)).astype(float)
    router = RouterLearner("hashing", families=QUICK).fit(outcomes, failed=failed)
    write_bundle(router, folder / "bundle", policy=_PAYING, headline={"share_of_gap": 0.25})
    served = {name: replace(target, undistilled=None) for name, target in router.pool.targets.items()}
    (folder / "router.pickle").write_bytes(pickle.dumps(replace(router, pool=replace(router.pool, targets=served))))


def _make_static(folder: Path) -> None:
    outcomes = make_world(np.random.default_rng(8), 120).outcomes
    write_bundle(RouterLearner("static", families=QUICK).fit(outcomes), folder)


def _router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once("router", _make_router, tmp_path_factory.mktemp("routers") / "hashing")


@pytest.fixture(scope="session")
def world() -> World:
    """Return a world of 300 queries."""
    return _world()


@pytest.fixture(scope="session")
def distilled() -> StaticEncoder:
    """Return the static encoder from the user's cache; distilling it there first takes half a minute."""
    return static_encoder()


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedRouter:
    """Return a router for that world with predictors of every target as they are served, on hashed words."""
    pickled = (_router(tmp_path_factory) / "router.pickle").read_bytes()
    router: FittedRouter = pickle.loads(pickled)  # noqa: S301 - this very code has made it
    return router


@pytest.fixture(scope="session")
def paying_policy() -> PolicySpec:
    """Return a policy under which more than one model of the world is chosen."""
    return _PAYING


@pytest.fixture(scope="session")
def router_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of `fitted`; a test that changes it copies it first."""
    return _router(tmp_path_factory) / "bundle"


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with a static encoder in it."""
    return made_once("static-router", _make_static, tmp_path_factory.mktemp("routers") / "static")


@pytest.fixture(scope="session")
def loaded(router_folder: Path) -> RouterBundle:
    """Return the bundle of `fitted`, loaded."""
    return read_bundle(router_folder)


@pytest.fixture(scope="session")
def training_set(fitted: FittedRouter) -> Callable[[World], TrainingSet]:
    """Return a function that makes a training set of a world, with the hashed words as features."""

    def make(world: World) -> TrainingSet:
        rows = fitted.features.matrix(world.outcomes.prompts)
        return TrainingSet(rows, world.outcomes, query_fold(world.outcomes.prompts, _N_FOLDS, 0))

    return make
