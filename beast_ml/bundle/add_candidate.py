"""A bundle with one candidate more, without retraining what is known of the others."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beast_ml.bundle.manifest import Manifest
from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.bundle.write import with_predictors
from beast_ml.domain import CandidateModel, Price
from beast_ml.errors import InputError
from beast_ml.features.history import History
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.expected_quality import blended_usd_per_mtok, from_benchmark, from_price
from beast_ml.predictors.new_model import LogitCombination, PopulationPrior, calibrated_logits
from beast_ml.predictors.onboard import NewCandidate, ProbeAnswers, add_to_pool
from beast_ml.predictors.probes import choose_probes

__all__ = ["AddedCandidate", "Newcomer", "ProbeResults", "add_candidate", "pick_probes", "prompt_rows"]


@dataclass(frozen=True)
class Newcomer:
    """A model to add, and what is known of it.

    Parameters
    ----------
    name
        As logs will name it.
    price
        What it charges.
    expected_quality
        Mean quality that is expected of it, 0..1.
    benchmark
        Published scores of it and of known candidates, where no quality is expected by hand.
    pool_prices
        Prices of known candidates, where the bundle does not hold them.

    Raises
    ------
    InputError
        If the expected quality is outside 0..1, or given beside a benchmark.
    """

    name: str
    price: Price | None = None
    expected_quality: float | None = None
    benchmark: Mapping[str, float] | None = None
    pool_prices: Mapping[str, Price] | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("the new model has no name: give the one that logs will have")
        if self.expected_quality is not None and not 0.0 <= self.expected_quality <= 1.0:
            raise InputError(f"`expected_quality` == {self.expected_quality}, must be in 0..1")
        if self.expected_quality is not None and self.benchmark:
            raise InputError("an expected quality and benchmark scores are both given: give one of the two")


@dataclass(frozen=True)
class ProbeResults:
    """Judged answers of the new model; arrays are (k,), NaN where something was not measured.

    Parameters
    ----------
    prompts
        What was asked.
    quality
        Judged (0..1).
    input_tokens, output_tokens, cost_usd, latency_s, ttft_s
        Of each answer.
    """

    prompts: tuple[str, ...]
    quality: Floats
    input_tokens: Floats
    output_tokens: Floats
    cost_usd: Floats
    latency_s: Floats
    ttft_s: Floats


@dataclass(frozen=True)
class AddedCandidate:
    """What came of adding a model.

    Parameters
    ----------
    manifest
        Of the new bundle.
    learnt
        What is believed of the new model.
    expected_quality
        Of every candidate, the new one included, over the prompts: name -> (mean, low, high).
    prior_quality
        What was expected of the new model before its probes.
    """

    manifest: Manifest
    learnt: LogitCombination
    expected_quality: dict[str, tuple[float, float, float]]
    prior_quality: float


def add_candidate(
    source: Path, folder: Path, new: Newcomer, prompts: Sequence[str], probes: ProbeResults | None = None
) -> AddedCandidate:
    """Write a bundle with one candidate more; policy and operating point stay as they are.

    Parameters
    ----------
    source, folder
        The bundle there is, and the folder of the new one.
    prompts
        Such as the router will see: what the candidates are expected to do on them is what the prior is made of.
    probes
        Answers that were judged; None: the prior alone.

    Raises
    ------
    BundleError
        If the bundle cannot be read, or the folder is not empty.
    InputError
        If the name is taken, a score is outside 0..1, or nothing tells what the model costs.
    """
    bundle = read_bundle(source)
    rows = prompt_rows(bundle, prompts)
    candidate = _candidate(bundle, new, rows)
    answers = None
    if probes is not None:
        answers = ProbeAnswers(
            prompt_rows(bundle, probes.prompts), probes.quality,
            probes.input_tokens, probes.output_tokens, probes.cost_usd, probes.latency_s, probes.ttft_s,
        )  # fmt: skip
    predictors, learnt = add_to_pool(bundle.predictors, candidate, rows, answers)
    known = {model.name: model for model in bundle.manifest.candidates}
    candidates = tuple(known.get(name) or CandidateModel(name, new.price) for name in predictors.models)
    manifest = with_predictors(source, predictors, candidates, folder)
    quality, (low, high) = predictors.quality.predict(rows), predictors.quality.interval(rows)
    expected = {
        name: (float(quality[:, j].mean()), float(low[:, j].mean()), float(high[:, j].mean()))
        for j, name in enumerate(predictors.models)
    } | {new.name: (learnt.mean_quality, learnt.low, learnt.high)}
    return AddedCandidate(manifest, learnt, expected, candidate.expected_quality)


def pick_probes(source: Path, new: Newcomer, prompts: Sequence[str], n_probes: int) -> NDArray[np.intp]:
    """Return the positions of the prompts whose answers would tell most of a new model, the most telling first.

    Raises
    ------
    BundleError, InputError
        As `add_candidate`.
    """
    bundle = read_bundle(source)
    rows = prompt_rows(bundle, prompts)
    candidate = _candidate(bundle, new, rows)
    logits = calibrated_logits(bundle.predictors.quality, rows)
    return choose_probes(PopulationPrior(logits, candidate.expected_quality, candidate.is_stated), logits, n_probes)


def _candidate(bundle: RouterBundle, new: Newcomer, rows: Rows) -> NewCandidate:
    """Return what is expected of the new model, by hand, by benchmark, or by its price."""
    manifest = bundle.manifest
    if new.name in manifest.models:
        raise InputError(
            f"{new.name!r} is in the pool already ({', '.join(manifest.models)}): give another name, or start from the "
            "bundle it was added to"
        )
    prices = [(new.pool_prices or {}).get(model.name, model.price) for model in manifest.candidates]
    quality = bundle.predictors.quality.predict(rows).mean(axis=0)
    if new.expected_quality is not None:
        expected = new.expected_quality
    elif new.benchmark:
        expected = from_benchmark(new.name, new.benchmark, manifest.models, quality)
    else:
        expected = from_price(new.price, prices, quality)
    ratio = None
    charged = [blended for price in prices if (blended := blended_usd_per_mtok(price)) > 0]
    if charged and new.price is not None and blended_usd_per_mtok(new.price) > 0:
        ratio = float(np.log(blended_usd_per_mtok(new.price)) - np.log(charged).mean())
    is_stated = new.expected_quality is not None or bool(new.benchmark)
    return NewCandidate(new.name, expected, is_stated, new.price, ratio)


def prompt_rows(bundle: RouterBundle, prompts: Sequence[str]) -> Rows:
    """Return feature rows of prompts, right after the training log where the features have a history.

    Raises
    ------
    InputError
        If there are none.
    """
    if not len(prompts):
        raise InputError("no prompts to compare the candidates on: give a file with prompts such as the router sees")
    spec = bundle.features.spec.history
    if spec is None:
        return bundle.features.matrix(prompts)
    past = History(spec, bundle.history).features("", None, at_us=sys.maxsize)
    return bundle.features.matrix(prompts, None, np.stack([past] * len(prompts)))
