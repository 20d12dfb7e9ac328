"""Single predictors out of a bundle, as folders of their own: what the registry keeps beside the whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import UNREADABLE, arrays_of, read_arrays, restore_encoder, restore_predictor
from beast_ml.domain import CandidateModel
from beast_ml.errors import BundleError
from beast_ml.features.encoder import Encoder, Vectors
from beast_ml.predictors.contract import Floats, Predictor

__all__ = ["PARTS", "EncoderPart", "PartName", "PredictorPart", "available_parts", "read_part", "write_part"]

PartName = Literal["encoder", "quality", "cost", "latency"]
"""What a bundle is made of."""

PARTS: Final[tuple[PartName, ...]] = ("encoder", "quality", "cost", "latency")
"""All of `PartName`."""

_TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "quality": ("quality",),
    "cost": ("token_cost", "cost"),
    "latency": ("latency",),
}


@dataclass(frozen=True)
class EncoderPart:
    """An encoder on its own."""

    encoder: Encoder

    def predict(self, texts: NDArray[Any]) -> Vectors:
        """Return (n, dim) float32 vectors of n texts."""
        return self.encoder.encode([str(text) for text in texts])


@dataclass(frozen=True)
class PredictorPart:
    """A predictor on its own."""

    predictor: Predictor

    def predict(self, rows: NDArray[Any]) -> Floats:
        """Return (n, m) expected values for (n, d) features, candidates in the order of their names."""
        return self.predictor.predict(np.ascontiguousarray(rows, dtype=np.float32))


def available_parts(bundle: Path) -> tuple[PartName, ...]:
    """Return the parts a bundle has: always "encoder" and "quality", the others where it was trained for them."""
    calibration = json.loads((bundle / "calibration.json").read_bytes())
    has = {name for name, targets in _TARGETS.items() if any(target in calibration for target in targets)}
    return tuple(name for name in PARTS if name == "encoder" or name in has)


def write_part(bundle: Path, name: str, folder: Path) -> None:
    """Write one part of a bundle into a folder of its own.

    Raises
    ------
    BundleError
        If the bundle has no such part.
    """
    manifest = verify(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    if name == "encoder":
        (folder / "part.json").write_text(json.dumps({"part": name, "encoder": manifest.encoder}))
        if (bundle / "encoder").is_dir():
            shutil.copytree(bundle / "encoder", folder / "encoder", dirs_exist_ok=True)
        return
    calibration = json.loads((bundle / "calibration.json").read_bytes())
    target = next((target for target in _TARGETS.get(name, ()) if target in calibration), None)
    if target is None:
        raise BundleError(f"the bundle in {bundle} was not trained for {name}")
    description = {
        "part": name,
        "target": target,
        "candidates": msgspec.to_builtins(manifest.candidates),
        "calibration": calibration[target],
    }
    (folder / "part.json").write_text(json.dumps(description))
    arrays: dict[str, Any] = arrays_of(read_arrays(bundle / "heads.npz"), target)
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)


def read_part(folder: Path) -> EncoderPart | PredictorPart:
    """Load what `write_part` wrote.

    Raises
    ------
    BundleError
        If it cannot be read.
    """
    try:
        description = json.loads((folder / "part.json").read_bytes())
        if description["part"] == "encoder":
            return EncoderPart(restore_encoder(description["encoder"], folder / "encoder"))
        candidates = msgspec.convert(description["candidates"], list[CandidateModel])
        arrays = read_arrays(folder / "arrays.npz")
        return PredictorPart(restore_predictor(description["target"], candidates, arrays, description["calibration"]))
    except UNREADABLE as error:
        raise BundleError(f"cannot load the part in {folder}: {error!r}") from error
