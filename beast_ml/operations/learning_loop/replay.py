"""What a bundle would have decided on known prompts, without constraints."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.read import RouterBundle
from beast_ml.errors import BundleError
from beast_ml.features.history import History
from beast_ml.policy.decide import Constraints, rank_batch
from beast_ml.predictors.contract import Floats, Rows

__all__ = ["Replay", "replay", "replayed"]

_ALIKE: Final = 0.01


@dataclass(frozen=True)
class Replay:
    """A policy on n requests.

    Parameters
    ----------
    models
        Its m candidates.
    choices
        Length n: its own choices, without exploration.
    probability
        (n, m) with which it chooses each candidate, exploration included.
    quality
        (n, m) as it predicts it.
    """

    models: tuple[str, ...]
    choices: tuple[str, ...]
    probability: Floats
    quality: Floats

    def probability_of(self, names: Sequence[str | None]) -> Floats:
        """Return (n,) how probably it chooses a model a request; 0 for what is no candidate of it."""
        position = {name: j for j, name in enumerate(self.models)}
        wider = np.hstack([self.probability, np.zeros((len(names), 1))])
        return np.asarray(wider[np.arange(len(names)), [position.get(name or "", -1) for name in names]])

    def differs_from(self, other: Replay) -> NDArray[np.bool_]:
        """Return (n,) whether it decides otherwise than another policy, in more than a hundredth of the draws."""
        alike = np.zeros(len(self.choices))
        for j, name in enumerate(self.models):
            if name in other.models:
                alike += np.minimum(self.probability[:, j], other.probability[:, other.models.index(name)])
        return np.asarray(alike < 1.0 - _ALIKE)

    def expected_quality(self) -> Floats:
        """Return (n,) quality that it expects of what it does."""
        return np.asarray((self.probability * self.quality).sum(axis=1))


def replay(
    bundle: RouterBundle,
    prompts: Sequence[str],
    contexts: Sequence[Mapping[str, str]] | None = None,
    tenants: Sequence[str] | None = None,
) -> Replay:
    """Return what a bundle does with requests; of the past it knows what it did right after its training.

    Parameters
    ----------
    contexts
        What is known of each prompt; None: nothing.
    tenants
        Whose requests they are; None: of nobody known.

    Raises
    ------
    BundleError
        If it predicts nothing usable.
    NoCandidateError
        If nobody is left to choose.
    """
    past = None if bundle.features.spec.history is None else _past(bundle, len(prompts), contexts, tenants)
    expected = bundle.predictors.predict(bundle.features.matrix(prompts, contexts, past))
    wrong = int((~np.isfinite(expected.quality)).any(axis=1).sum())
    if wrong:
        raise BundleError(f"it predicts no quality for {wrong:,} of {len(prompts):,} prompts")
    models = tuple(bundle.manifest.models)
    rankings = rank_batch(bundle.policy, models, expected, Constraints())
    probability = np.zeros((len(prompts), len(models)))
    for row, ranking in enumerate(rankings):
        probability[row, ranking.allowed[0]] = ranking.propensity
        for j, propensity in ranking.tried:
            probability[row, j] = propensity
    choices = tuple(models[ranking.allowed[0]] for ranking in rankings)
    return Replay(models, choices, probability, expected.quality)


def replayed(
    bundle: RouterBundle, prompts: Sequence[str], contexts: Sequence[Mapping[str, str]] | None = None
) -> list[str]:
    """Return the model of each prompt, without exploration; see `replay`."""
    return list(replay(bundle, prompts, contexts).choices)


def _past(
    bundle: RouterBundle, n: int, contexts: Sequence[Mapping[str, str]] | None, tenants: Sequence[str] | None
) -> Rows:
    """Return (n, k) history features."""
    assert bundle.features.spec.history is not None  # noqa: S101  the caller has seen it
    history = History(bundle.features.spec.history, bundle.history)
    kinds = [None] * n if contexts is None else [context.get("task") for context in contexts]
    of_whom = tenants or [""] * n
    known = {key: history.features(*key, at_us=sys.maxsize) for key in dict.fromkeys(zip(of_whom, kinds, strict=True))}
    return np.array([known[key] for key in zip(of_whom, kinds, strict=True)], dtype=np.float32)
