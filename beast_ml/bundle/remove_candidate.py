"""A bundle with one candidate less, without retraining what is known of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from beast_ml.bundle.add_candidate import prompt_rows
from beast_ml.bundle.manifest import Manifest
from beast_ml.bundle.read import read_bundle
from beast_ml.bundle.write import with_predictors
from beast_ml.predictors.one_less import remove_from_pool

__all__ = ["remove_candidate"]


def remove_candidate(source: Path, folder: Path, name: str, prompts: Sequence[str]) -> Manifest:
    """Write a bundle without one candidate, and return its manifest; the operating point stays as it is.

    A policy whose best single model it was takes the one that is predicted best on the prompts in its place.

    Parameters
    ----------
    source, folder
        The bundle there is, and the folder of the new one.
    prompts
        Such as the router sees.

    Raises
    ------
    BundleError
        If the bundle cannot be read, or the folder is not empty.
    UnknownModelError
        If there is no such candidate.
    InputError
        If it is the only one, or there are no prompts.
    """
    bundle = read_bundle(source)
    left = remove_from_pool(bundle.predictors, name)
    policy = bundle.policy
    if policy.model == name:
        best = int(left.quality.predict(prompt_rows(bundle, prompts)).mean(axis=0).argmax())
        policy = msgspec.structs.replace(policy, model=left.models[best])
    kept = tuple(each for each in bundle.manifest.candidates if each.name != name)
    return with_predictors(source, left, kept, folder, policy)
