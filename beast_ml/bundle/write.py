"""Write a router bundle: aside first, then moved into place, so that no half-written one can be loaded."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.manifest import CACHE_FOLDER, FORMAT_VERSION, MANIFEST, Manifest, file_sha256, verify
from beast_ml.cache.artefact import verify_cache
from beast_ml.domain import CandidateModel, Objective
from beast_ml.errors import BundleError, UnknownModelError
from beast_ml.features.encoder import StaticEncoder
from beast_ml.features.history import HistoryState
from beast_ml.policy.learner import FittedRouter
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.pool import PoolPredictors
from beast_ml.version import __version__

__all__ = ["always_single", "policy_of", "with_cache", "with_policy", "with_predictors", "write_bundle"]

_VERSION_DIGITS: Final = 12


def policy_of(router: FittedRouter, objective: Objective | None = None) -> PolicySpec:
    """Return the policy a fitted router decides by: its operating point, unless an objective is given.

    When the operating point is the best single model, the fallbacks behind it are ordered by quality.
    """
    point, exploration = router.operating_point, router.exploration
    if objective is not None:
        return PolicySpec("router", point.model, objective, router.cost, exploration=exploration)
    willingness = point.willingness_to_pay
    if point.kind == "single" or willingness is None:
        return PolicySpec("single", point.model, Objective(willingness_to_pay=0.0), "none", exploration=exploration)
    objective = Objective(willingness_to_pay=willingness)
    return PolicySpec("router", point.model, objective, router.cost, exploration=exploration)


def write_bundle(
    router: FittedRouter,
    folder: Path,
    *,
    policy: PolicySpec | None = None,
    headline: Mapping[str, float] | None = None,
    run_ids: Mapping[str, str] | None = None,
) -> Manifest:
    """Write everything that deciding needs into a new folder, and return its manifest.

    Raises
    ------
    BundleError
        If the folder exists and is not empty: bundles are immutable.
    UnknownModelError
        If the policy names a model that is not in the router's pool.
    """
    policy = policy or policy_of(router)
    _check_known(policy.model, router.models)
    predictors = router.pool.predictors
    arrays, calibration = _stored(predictors)
    prices = predictors.cost.prices if isinstance(predictors.cost, TokenCostPredictor) else (None,) * len(router.models)
    with _Staging(folder) as staging:
        if isinstance(router.features.encoder, StaticEncoder):
            router.features.encoder.save(staging / "encoder")
        _write_predictors(staging, arrays, calibration)
        (staging / "features.json").write_bytes(msgspec.json.encode(router.features.spec))
        if router.features.spec.history is not None:
            (staging / "history.json").write_bytes(msgspec.json.encode(router.history or HistoryState()))
        (staging / "policy.json").write_bytes(msgspec.json.encode(policy))
        return _seal(
            staging,
            Manifest(
                format_version=FORMAT_VERSION,
                kind=policy.kind,
                files={},
                encoder=router.features.spec.encoder,
                encoder_hash=router.features.spec.encoder_hash,
                feature_hash=router.features.spec.hash,
                candidates=tuple(
                    CandidateModel(name, price) for name, price in zip(router.models, prices, strict=True)
                ),
                training_digest=router.training.digest(),
                n_training_queries=router.training.n_queries,
                beast_version=__version__,
                headline=dict(headline or {}),
                run_ids=dict(run_ids or {}),
            ),
        )


def always_single(source: Path, model: str, folder: Path) -> Manifest:
    """Write a copy of a bundle whose policy always answers with one model, and return its manifest.

    Raises
    ------
    UnknownModelError
        If the model is not in the bundle's pool.
    """
    return with_policy(source, PolicySpec("single", model, Objective(willingness_to_pay=0.0), "none"), folder)


def with_policy(source: Path, policy: PolicySpec, folder: Path) -> Manifest:
    """Write a copy of a bundle that decides by another policy, and return its manifest.

    Raises
    ------
    UnknownModelError
        If the policy's model is not in the bundle's pool.
    """
    manifest = verify(source)
    _check_known(policy.model, manifest.models)
    with _Staging(folder) as staging:
        _copy_files(source, manifest, staging)
        (staging / "policy.json").write_bytes(msgspec.json.encode(policy))
        return _seal(staging, msgspec.structs.replace(manifest, kind=policy.kind))


def with_predictors(
    source: Path,
    predictors: PoolPredictors,
    candidates: tuple[CandidateModel, ...],
    folder: Path,
    policy: PolicySpec | None = None,
) -> Manifest:
    """Write a copy of a bundle with other predictors, for other candidates, and return its manifest.

    Features stay, and so do policy and operating point where no other policy is given. The headline does not: it was
    measured with the old predictors.

    Raises
    ------
    BundleError
        If the folder exists and is not empty.
    UnknownModelError
        If the policy's model is not among the candidates.
    """
    manifest = verify(source)
    if policy is not None:
        _check_known(policy.model, predictors.models)
    arrays, calibration = _stored(predictors)
    with _Staging(folder) as staging:
        _copy_files(source, manifest, staging)
        _write_predictors(staging, arrays, calibration)
        changed = msgspec.structs.replace(manifest, candidates=candidates, headline={}, beast_version=__version__)
        if policy is not None:
            (staging / "policy.json").write_bytes(msgspec.json.encode(policy))
            changed = msgspec.structs.replace(changed, kind=policy.kind)
        return _seal(staging, changed)


def with_cache(source: Path, cache: Path, folder: Path) -> Manifest:
    """Write a copy of a bundle with a trained cache in it, in place of one that it has, and return its manifest.

    Raises
    ------
    BundleError
        If either cannot be read, or the folder exists and is not empty.
    """
    manifest = verify(source)
    verify_cache(cache)
    with _Staging(folder) as staging:
        _copy_files(source, manifest, staging)
        shutil.rmtree(staging / CACHE_FOLDER, ignore_errors=True)
        shutil.copytree(cache, staging / CACHE_FOLDER)
        verify_cache(staging / CACHE_FOLDER)
        return _seal(staging, msgspec.structs.replace(manifest, beast_version=__version__))


def _copy_files(source: Path, manifest: Manifest, staging: Path) -> None:
    for name in manifest.files:
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, staging / name)


def _write_predictors(staging: Path, arrays: dict[str, NDArray[Any]], calibration: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    (staging / "heads.npz").write_bytes(buffer.getvalue())
    (staging / "calibration.json").write_text(json.dumps(calibration, indent=1, allow_nan=False))


def _check_known(model: str, pool: Sequence[str]) -> None:
    if model not in pool:
        raise UnknownModelError(f"no candidate {model!r}; the pool is {', '.join(pool)}")


class _Staging:
    """A temporary folder beside the target that takes its place on success and vanishes on failure."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BundleError(f"{folder} exists and is not empty: bundles are immutable, name a new folder")
        self._folder = folder

    def __enter__(self) -> Path:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._staging = Path(tempfile.mkdtemp(dir=self._folder.parent, prefix=".bundle-"))
        return self._staging

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._staging.chmod(0o755)
                self._staging.replace(self._folder)
        except OSError as error:
            raise BundleError(f"cannot move the bundle to {self._folder}: {error}; name a new folder") from error
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)


def _seal(staging: Path, manifest: Manifest) -> Manifest:
    """Hash every file and write the manifest last."""
    names = sorted(str(path.relative_to(staging).as_posix()) for path in staging.rglob("*") if path.is_file())
    sealed = msgspec.structs.replace(
        manifest,
        files={name: file_sha256(staging / name) for name in names},
        price_version=_price_version(manifest.candidates),
    )
    (staging / MANIFEST).write_bytes(sealed.encoded())
    return sealed


def _price_version(candidates: Sequence[CandidateModel]) -> str:
    if all(candidate.price is None for candidate in candidates):
        return ""
    return hashlib.sha256(msgspec.json.encode(candidates)).hexdigest()[:_VERSION_DIGITS]


def _stored(predictors: PoolPredictors) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return all arrays and all calibration numbers, by target."""
    targets = {
        "quality": predictors.quality,
        "token_cost" if isinstance(predictors.cost, TokenCostPredictor) else "cost": predictors.cost,
        "latency": predictors.latency,
        "ttft": predictors.ttft,
        "reliability": predictors.reliability,
        "request_kind": predictors.kind,
    }
    arrays: dict[str, NDArray[Any]] = {}
    calibration: dict[str, Any] = {}
    for target, predictor in targets.items():
        if predictor is not None:
            arrays |= {f"{target}/{name}": array for name, array in predictor.arrays().items()}
            calibration[target] = predictor.calibration()
    if predictors.pessimism is not None:
        arrays |= {f"pessimism/{name}": array for name, array in predictors.pessimism.arrays().items()}
        calibration["pessimism"] = {}
    return arrays, calibration
