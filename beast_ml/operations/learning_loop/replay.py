"""What a bundle would have decided on known prompts, without exploration and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from beast_ml.bundle.read import RouterBundle
from beast_ml.errors import BundleError
from beast_ml.policy.decide import Constraints, decide_batch

__all__ = ["replayed"]


def replayed(
    bundle: RouterBundle, prompts: Sequence[str], contexts: Sequence[Mapping[str, str]] | None = None
) -> list[str]:
    """Return the model of each prompt; features of the past count as unknown.

    Parameters
    ----------
    contexts
        What is known of each prompt; None: nothing.

    Raises
    ------
    BundleError
        If it predicts nothing usable.
    NoCandidateError
        If nobody is left to choose.
    """
    history = bundle.features.spec.history
    past = None if history is None else np.zeros((len(prompts), history.dim), dtype=np.float32)
    expected = bundle.predictors.predict(bundle.features.matrix(prompts, contexts, past))
    wrong = int((~np.isfinite(expected.quality)).any(axis=1).sum())
    if wrong:
        raise BundleError(f"it predicts no quality for {wrong:,} of {len(prompts):,} prompts")
    models = bundle.manifest.models
    return [models[choice.chosen] for choice in decide_batch(bundle.policy, models, expected, Constraints())]
