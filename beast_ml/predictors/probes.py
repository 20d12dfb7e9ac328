"""Which few prompts to put to a new model: those whose answers tell most of how it will do on all the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.new_model import PopulationPrior

__all__ = ["choose_probes"]


def choose_probes(prior: PopulationPrior, logits: Floats, n_probes: int) -> NDArray[np.intp]:
    """Return the positions of the prompts to ask, the most telling first.

    Greedy Bayesian D-optimal design (Chaloner, Verdinelli 1995): each next prompt is the one of the largest expected
    information gain, ``0.5 log(1 + p (1 - p) x' S x)`` with x the `PopulationPrior.design` of the prompt, S what is
    uncertain after the prompts chosen so far, and p the quality that the prior expects. No answer is needed to choose.

    Parameters
    ----------
    logits
        (n, m) calibrated logits of the known candidates on the prompts there are to choose from.
    n_probes
        How many; all prompts where there are fewer.

    Raises
    ------
    InputError
        If ``n_probes`` is not positive.
    """
    if n_probes < 1:
        raise InputError(f"`n_probes` == {n_probes}, must be at least 1")
    design = prior.design(logits)
    expected = prior.prior_quality(logits)
    information = expected * (1.0 - expected)
    covariance = np.diag(prior.spread**2)
    left = np.ones(len(design), dtype=bool)
    chosen = []
    for _ in range(min(n_probes, len(design))):
        gain = np.where(left, information * ((design @ covariance) * design).sum(axis=1), -1.0)
        best = int(gain.argmax())
        chosen.append(best)
        left[best] = False
        reach = covariance @ design[best]
        covariance -= np.outer(reach, reach) * information[best] / (1.0 + gain[best])
    return np.array(chosen, dtype=np.intp)
