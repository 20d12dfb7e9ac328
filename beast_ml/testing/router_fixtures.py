"""pytest fixtures for whatever stands on a fitted router; a conftest imports the ones it needs.

What takes seconds is made once a test session, also when several conftests import the fixture.
"""

from __future__ import annotations

import functools
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

_N_QUERIES = 300
_N_FOLDS = 5


@functools.cache
def _world() -> World:
    return make_world(np.random.default_rng(7), _N_QUERIES)


@functools.cache
def _fitted() -> FittedRouter:
    outcomes = replace(_world().outcomes, ttft_s=0.2 * _world().outcomes.latency_s)
    failed = (np.random.default_rng(3).random(outcomes.quality.shape) < (0.02, 0.05, 0.2)).astype(float)
    return RouterLearner("hashing", families=QUICK).fit(outcomes, failed=failed)


@functools.cache
def _distilled() -> StaticEncoder:
    return static_encoder()


@functools.cache
def _static() -> FittedRouter:
    _distilled()
    return RouterLearner("static", families=QUICK).fit(make_world(np.random.default_rng(8), 120).outcomes)


@pytest.fixture(scope="session")
def world() -> World:
    """Return a world of 300 queries."""
    return _world()


@pytest.fixture(scope="session")
def distilled() -> StaticEncoder:
    """Return the static encoder from the user's cache; distilling it there first takes half a minute."""
    return _distilled()


@pytest.fixture(scope="session")
def fitted() -> FittedRouter:
    """Return a router for that world with predictors of every target, on hashed words."""
    return _fitted()


@pytest.fixture(scope="session")
def paying_policy() -> PolicySpec:
    """Return a policy under which more than one model of the world is chosen."""
    return PolicySpec("router", "large", Objective(willingness_to_pay=0.03))


@pytest.fixture(scope="session")
def router_folder(tmp_path_factory: pytest.TempPathFactory, paying_policy: PolicySpec) -> Path:
    """Return the bundle of `fitted`; a test that changes it copies it first."""
    folder = tmp_path_factory.mktemp("routers") / "hashing"
    write_bundle(_fitted(), folder, policy=paying_policy, headline={"share_of_gap": 0.25})
    return folder


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle with a static encoder in it."""
    folder = tmp_path_factory.mktemp("routers") / "static"
    write_bundle(_static(), folder)
    return folder


@pytest.fixture(scope="session")
def loaded(router_folder: Path) -> RouterBundle:
    """Return the bundle of `fitted`, loaded."""
    return read_bundle(router_folder)


@pytest.fixture(scope="session")
def training_set() -> Callable[[World], TrainingSet]:
    """Return a function that makes a training set of a world, with the hashed words as features."""

    def make(world: World) -> TrainingSet:
        rows = _fitted().features.matrix(world.outcomes.prompts)
        return TrainingSet(rows, world.outcomes, query_fold(world.outcomes.prompts, _N_FOLDS, 0))

    return make
