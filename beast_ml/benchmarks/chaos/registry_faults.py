"""A registry that is away, and one that hands out a bundle that is not what was registered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.chaos.process_faults import lacks
from beast_ml.benchmarks.chaos.traffic import Reply
from beast_ml.benchmarks.serving.registering import registered
from beast_ml.bundle.manifest import verify
from beast_ml.errors import UnavailableError
from beast_ml.registry.promotion import promote

__all__ = ["REGISTRY_FAULTS", "champion"]

_SEEN_S: Final = 60.0
_LOOK_S: Final = 0.2


def champion(deployment: Deployment) -> None:
    """Register the deployment's first bundle, and make it what its server follows."""
    promote(deployment.tracking, registered(deployment.bundles[0], deployment.tracking))


def _kill_mlflow(deployment: Deployment, _: np.random.Generator) -> None:
    if deployment.mlflow is not None:
        deployment.mlflow.kill()


def _start_mlflow(deployment: Deployment) -> None:
    if deployment.mlflow is not None:
        deployment.mlflow.start()


def _promote_corrupt(deployment: Deployment, rng: np.random.Generator) -> None:
    """Register the other bundle, move the alias to it, and change a byte of it where the registry keeps it."""
    version = registered(deployment.bundles[1], deployment.tracking)
    weights = (deployment.bundles[1] / "heads.npz").read_bytes()
    stored = [
        path for path in (deployment.folder / "mlflow" / "artifacts").rglob("heads.npz") if path.read_bytes() == weights
    ]
    if not stored:
        raise UnavailableError("the registry keeps the bundle in no file that is found: there is nothing to damage")
    # Promotion verifies it, too: so it is sound until then, and nobody may fetch it before it is damaged.
    deployment.networks["mlflow"].set("cut")
    try:
        promote(deployment.tracking, version)
        for path in stored:
            _flip(path, int(rng.integers(len(weights) // 4, len(weights) // 2)))
    finally:
        deployment.networks["mlflow"].set("up")
    _await_refusal(deployment)


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def _await_refusal(deployment: Deployment) -> None:
    until = time.monotonic() + _SEEN_S
    while time.monotonic() < until:
        router = deployment.readiness().get("router") or {}
        if "sha256" in str(router.get("registry_error")) or router.get("refused"):
            return
        time.sleep(_LOOK_S)
    deployment.noted.append(f"nobody said within {_SEEN_S:g} s that the bundle is not what was registered")


def _demote(deployment: Deployment) -> None:
    champion(deployment)


def _still_the_first(deployment: Deployment, _: Sequence[Reply]) -> list[str]:
    digest = verify(deployment.bundles[0]).digest
    serving = (deployment.readiness().get("router") or {}).get("digest")
    return [] if serving == digest else [f"the server serves {serving}, not {digest}"]


REGISTRY_FAULTS: Final = (
    Fault(
        "MLflow killed",
        "registry",
        "kill -9 of the MLflow server; it comes back",
        _kill_mlflow,
        Rate(12, 300.0, "shared"),
        mend=_start_mlflow,
        forbids=lacks("mlflow"),
        check=_still_the_first,
    ),
    Fault(
        "bundle corrupt",
        "registry",
        "another router is promoted, of which one byte has changed where the registry keeps it",
        _promote_corrupt,
        Rate(0.5, 600.0, "shared"),
        mend=_demote,
        forbids=lacks("mlflow"),
        check=_still_the_first,
    ),
)
"""In the order of the report."""
