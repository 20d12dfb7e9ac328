"""Load a verified bundle into what decides: numpy only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.manifest import Manifest, verify
from beast_ml.domain import CandidateModel, Price
from beast_ml.errors import BundleError, BundleIntegrityError, EncoderError
from beast_ml.features.encoder import Encoder, StaticEncoder
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.history import History, HistoryState
from beast_ml.features.prompt import PROMPT_FEATURES
from beast_ml.features.sentence import SentenceEncoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.features.tuning import TUNED
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.contract import Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.pessimism import Pessimism
from beast_ml.predictors.pool import PoolPredictors
from beast_ml.predictors.quality import QualityPredictor
from beast_ml.predictors.reliability import ReliabilityPredictor
from beast_ml.predictors.request_kind import RequestKindPredictor

__all__ = [
    "UNREADABLE",
    "RouterBundle",
    "arrays_of",
    "read_arrays",
    "read_bundle",
    "restore_encoder",
    "restore_predictor",
]

Arrays = Mapping[str, NDArray[Any]]

UNREADABLE: Final = (LookupError, TypeError, ValueError, AttributeError, OSError, EOFError, BadZipFile)
"""What msgspec, json, numpy and zipfile raise on content that is not what it should be."""


@dataclass(frozen=True)
class RouterBundle:
    """A loaded bundle.

    Parameters
    ----------
    manifest
        What it says of itself.
    features
        Builds feature rows.
    predictors
        Of every target it was trained for.
    policy
        How to choose.
    history
        What was known when training ended, where the features have a history.
    """

    manifest: Manifest
    features: FeatureBuilder
    predictors: PoolPredictors
    policy: PolicySpec
    history: HistoryState | None = None

    def with_prices(self, prices: Mapping[str, Price]) -> RouterBundle:
        """Return the same bundle under new token prices: what a price change needs instead of a retraining.

        They count where costs are price x predicted tokens; elsewhere, and for names that are no candidate, nothing
        changes.
        """
        cost = self.predictors.cost
        if not isinstance(cost, TokenCostPredictor):
            return self
        known = {name: price for name, price in prices.items() if name in cost.models}
        return replace(self, predictors=replace(self.predictors, cost=cost.with_prices(known)))


def read_bundle(folder: Path, loaded: Encoder | None = None) -> RouterBundle:
    """Verify and load a bundle.

    Parameters
    ----------
    folder
        Where it is.
    loaded
        An encoder that is in memory already: if it is the bundle's, it is shared instead of read again.

    Raises
    ------
    BundleError
        If it cannot be read; `BundleIntegrityError` if its content is not what its manifest says.
    """
    manifest = verify(folder)
    try:
        spec = msgspec.json.decode((folder / "features.json").read_bytes(), type=FeatureSpec)
        policy = msgspec.json.decode((folder / "policy.json").read_bytes(), type=PolicySpec)
        history = _history(folder) if spec.history else None
        calibration = json.loads((folder / "calibration.json").read_bytes())
        predictors = _predictors(manifest, read_arrays(folder / "heads.npz"), calibration)
    except UNREADABLE as error:
        raise BundleError(f"cannot load the bundle in {folder}: {error!r}") from error
    if spec.prompt_names != PROMPT_FEATURES:
        raise BundleError(f"the bundle in {folder} reads other prompt features than this beast-ml has: retrain")
    if policy.model not in manifest.models:
        raise BundleError(f"the policy in {folder} names {policy.model!r}, which is not in its pool: write it again")
    if loaded is not None and (loaded.name, loaded.hash) == (spec.encoder, spec.encoder_hash):
        encoder = loaded
    else:
        encoder = restore_encoder(spec.encoder, folder / "encoder")
    if encoder.hash != spec.encoder_hash or spec.hash != manifest.feature_hash:
        raise BundleIntegrityError(f"the encoder or the features of {folder} are not those it was trained with")
    bundle = RouterBundle(manifest, FeatureBuilder(spec, encoder), predictors, policy, history)
    _try_out(bundle, folder)
    return bundle


def _try_out(bundle: RouterBundle, folder: Path) -> None:
    """Predict for one prompt: what does not fit together fails here, not at the first request."""
    followed, past = bundle.features.spec.history, None
    try:
        if followed is not None:
            past = History(followed, bundle.history).features("", None, at_us=0)[None]
        rows = bundle.features.matrix(["warm up"], None, past)
        expected = bundle.predictors.predict(rows)
        shapes = {values.shape for values in vars(expected).values() if values is not None}
        if bundle.predictors.ttft is not None:
            shapes.add(bundle.predictors.ttft.predict(rows).shape)
        _check_kinds(bundle, rows)
    except (ValueError, IndexError) as error:
        raise BundleError(f"the parts of the bundle in {folder} do not fit together: {error}") from error
    if shapes != {(1, len(bundle.manifest.models))}:
        raise BundleError(f"the predictors in {folder} are not for its {len(bundle.manifest.models)} candidates")


def _check_kinds(bundle: RouterBundle, rows: Rows) -> None:
    kind = bundle.predictors.kind
    if kind is not None and (n := kind.posterior(rows).shape[1]) != len(kind.kinds):
        raise ValueError(f"the classifier tells {n} kinds apart, but names {len(kind.kinds)}")


def _history(folder: Path) -> HistoryState:
    return msgspec.json.decode((folder / "history.json").read_bytes(), type=HistoryState)


def restore_encoder(name: str, folder: Path) -> Encoder:
    """Return the encoder a feature spec names; a static table is read from its folder in the bundle."""
    if name in ("static", TUNED):
        try:
            return replace(StaticEncoder.load(folder), name=name)
        except EncoderError as error:
            raise BundleError(f"{error}; fetch the bundle again") from error
    if name == "hashing":
        return HashingEncoder()
    if name == "minilm":
        return SentenceEncoder.minilm()
    raise BundleError(f"unknown encoder {name!r}: this bundle needs a newer beast-ml")


def restore_predictor(
    target: str, candidates: Sequence[CandidateModel], arrays: Arrays, calibration: Mapping[str, Any]
) -> Any:
    """Return the predictor of one target, such as "quality", "token_cost" or "request_kind"."""
    models = tuple(candidate.name for candidate in candidates)
    if target == "quality":
        return QualityPredictor.restore(models, arrays, calibration)
    if target == "pessimism":
        return Pessimism.restore(arrays)
    if target == "reliability":
        return ReliabilityPredictor.restore(models, arrays, calibration)
    if target == "request_kind":
        return RequestKindPredictor.restore(arrays, calibration)
    if target == "token_cost":
        prices = tuple(candidate.price for candidate in candidates if candidate.price is not None)
        if len(prices) != len(models):
            raise BundleError("a candidate has no price, but the bundle's costs are price x tokens")
        return TokenCostPredictor.restore(models, prices, arrays, calibration)
    if target in ("cost", "latency", "ttft"):
        return AmountPredictor.restore(models, arrays, calibration)
    raise BundleError(f"unknown target {target!r}: this bundle needs a newer beast-ml")


def _predictors(manifest: Manifest, arrays: Arrays, calibration: Mapping[str, Any]) -> PoolPredictors:
    restored = {
        target: restore_predictor(target, manifest.candidates, arrays_of(arrays, target), numbers)
        for target, numbers in calibration.items()
    }
    return PoolPredictors(
        models=manifest.models,
        quality=restored["quality"],
        cost=restored.get("cost") or restored.get("token_cost"),
        latency=restored.get("latency"),
        ttft=restored.get("ttft"),
        reliability=restored.get("reliability"),
        kind=restored.get("request_kind"),
        pessimism=restored.get("pessimism"),
    )


def arrays_of(arrays: Arrays, target: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of one target, without its prefix."""
    prefix = f"{target}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file; one that holds pickled objects is refused."""
    # Opened here, because np.load leaves a file open that turns out to be no archive.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
