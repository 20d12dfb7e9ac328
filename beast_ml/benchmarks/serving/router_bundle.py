"""The router that is served: fitted on the quickstart set, written once a version of the code that learns."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.benchmarks.results import LEARNING_CODE, code_digest, result_key
from beast_ml.bundle.write import write_bundle
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.policy.learner import RouterLearner
from beast_ml.serving.router import Router

__all__ = ["feature_rows", "quickstart_bundle"]

_N_TRAINING: Final = 400  # what was learnt does not change the time that a decision takes


def quickstart_bundle(out: Path, part: int = 0) -> Path:
    """Return the folder of a router's bundle, fitted where it is not there yet.

    Parameters
    ----------
    out
        Holds bundles.
    part
        Which part of the set it learns from: bundles of two parts differ, as two versions of a router do.
    """
    key = result_key({"code": code_digest((*LEARNING_CODE, "bundle")), "rows": _N_TRAINING, "part": part})
    folder = out / f"router-{key}"
    if not (folder / "manifest.json").is_file():
        outcomes = OutcomeMatrix.from_frame(load_quickstart()[0])
        write_bundle(RouterLearner("static").fit(outcomes.rows(np.arange(_N_TRAINING) + part * _N_TRAINING)), folder)
    return folder


def feature_rows(bundle: Path, prompts: Sequence[str]) -> list[str]:
    """Return the feature rows that a client would send along with these prompts: float32, in base64."""
    features = Router.load(bundle).bundle.features
    return [base64.b64encode(features.row(prompt).astype("<f4").tobytes()).decode() for prompt in prompts]
