"""pytest fixtures for whatever stands on the registry; a conftest imports the ones it needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from beast_ml.bundle.manifest import MANIFEST, verify
from beast_ml.bundle.write import always_single, write_bundle
from beast_ml.policy.learner import RouterLearner
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import RegisteredRouter, register_router
from beast_ml.registry.tracking import training_run
from beast_ml.testing.made_once import made_once
from beast_ml.testing.outcome_sets import random_outcomes
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.router_fixtures import QUICK

__all__ = ["Bundle", "config", "flip", "make_bundle", "migrated_store", "register", "small_bundle"]


def _make_store(folder: Path) -> None:
    folder.mkdir()
    connect(TrackingConfig(f"sqlite:///{folder}/mlflow.db"))


def _make_small(folder: Path) -> None:
    outcomes = random_outcomes(np.random.default_rng(0), 60, 2, missing=0.0, models=("large", "small"))
    router = RouterLearner("hashing", families=QUICK).fit(outcomes)
    write_bundle(router, folder / "small")
    np.save(folder / "features.npy", router.rows(outcomes.prompts[:2]))


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of an empty SQLite store whose tables exist: creating them costs seconds, copying them nothing."""
    return made_once("mlflow-store", _make_store, tmp_path_factory.mktemp("template") / "store") / "mlflow.db"


@pytest.fixture
def config(tmp_path: Path, migrated_store: Path) -> TrackingConfig:
    """Return an empty store of the test's own."""
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    return TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")


class Bundle(msgspec.Struct, frozen=True):
    """A fitted bundle, and feature rows that its predictors take.

    Parameters
    ----------
    folder, features
        Where it lies, and feature rows for it.
    """

    folder: Path
    features: NDArray[np.float32]


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return a real router for the candidates large and small, fitted once on made-up outcomes."""
    made = made_once("small-router", _make_small, tmp_path_factory.mktemp("bundle") / "made")
    return Bundle(made / "small", np.load(made / "features.npy"))


@pytest.fixture
def make_bundle(tmp_path: Path, small_bundle: Bundle) -> Callable[..., Path]:
    """Copy the small bundle under a name that changes its digest; with ``single``, one that always answers so."""

    def make(name: str, single: str | None = None) -> Path:
        folder = tmp_path / "bundles" / name
        if single is None:
            shutil.copytree(small_bundle.folder, folder)
        else:
            always_single(small_bundle.folder, single, folder)
        manifest = msgspec.structs.replace(verify(folder), run_ids={"training": name})
        (folder / MANIFEST).write_bytes(manifest.encoded())
        return folder

    return make


@pytest.fixture
def register(
    config: TrackingConfig, small_bundle: Bundle, make_bundle: Callable[..., Path]
) -> Callable[..., RegisteredRouter]:
    """Register a router as a training does."""

    def register(name: str, evidence: Evidence | None = None, single: str | None = None) -> RegisteredRouter:
        cards = {part: f"# The {part}" for part in ("router", "encoder", "quality", "cost")}
        with training_run(config, f"training {name}", "") as run:
            return register_router(
                run, make_bundle(name, single), evidence or make_evidence(), cards, small_bundle.features
            )

    return register


@pytest.fixture
def flip() -> Callable[[Path], Path]:
    """Flip one bit in the middle of a bundle's heads, and return the file."""

    def flip(folder: Path) -> Path:
        victim = folder / "heads.npz"
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
        return victim

    return flip
