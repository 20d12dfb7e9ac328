"""Take a model out of a registered router: a new version without it, with what is known of the difference."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from beast_ml.bundle.add_candidate import prompt_rows
from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.bundle.remove_candidate import remove_candidate
from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.calibration import calibrate_quality
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.operations.onboarding_evidence import choice_probabilities, moved
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence, Interval
from beast_ml.registry.models import RegisteredRouter
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import ResolvedBundle

__all__ = ["Retirement", "RetirementEffect", "retire", "retirement_effect"]

_RESAMPLES: Final = 1000
_LEAST_QUERIES: Final = 20


@dataclass(frozen=True)
class RetirementEffect:
    """What leaves with a model.

    Parameters
    ----------
    by
        What says so: ``outcomes`` that the router was not trained on, or its own ``predictions``.
    n_queries
        Requests looked at.
    share
        Of them, how many went to the model.
    heirs
        Who gets its requests: model -> share of them.
    quality
        Mean quality without it minus that with it, 0..1. By outcomes a 95% bootstrap interval; by predictions the ends
        of every prediction's 90% interval at once.
    cost
        Mean cost of a request without it minus that with it, as a share of the latter; None where costs play no part.
    """

    by: Literal["outcomes", "predictions"]
    n_queries: int
    share: float
    heirs: dict[str, float]
    quality: Interval
    cost: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return asdict(self) | {"quality": msgspec.to_builtins(self.quality), "cost": msgspec.to_builtins(self.cost)}


@dataclass(frozen=True)
class Retirement:
    """A ``registered`` version without the model, the ``evidence`` it carries, its ``effect``: what is different."""

    registered: RegisteredRouter
    evidence: Evidence
    effect: RetirementEffect


def retire(
    source: ResolvedBundle,
    name: str,
    prompts: Sequence[str],
    outcomes: OutcomeMatrix | None,
    *,
    tracking: TrackingConfig,
    seed: int = 0,
) -> Retirement:
    """Register a router without one of its candidates; nothing serves it before it went through the gates.

    Parameters
    ----------
    source
        The registered router.
    name
        The candidate that leaves.
    prompts
        Such as the router sees.
    outcomes
        Of all its candidates on queries that it was not trained on: then they are the evidence. None: that of the
        router there is, moved by what its predictions say of the difference, at their worst.

    Raises
    ------
    UnknownModelError, InputError
        If there is no such candidate, or no other.
    DataError
        If the outcomes are those of the training, or lack a candidate.
    RegistryError, RegistryUnavailableError
        If the registry refuses or does not answer.
    """
    recorded = recorded_evidence(source.version, tracking)
    before = read_bundle(source.path)
    if outcomes is not None:
        outcomes = _fresh(before, outcomes)
    with tempfile.TemporaryDirectory(prefix="beast-retirement-") as scratch:
        folder = Path(scratch) / "bundle"
        remove_candidate(source.path, folder, name, prompts)
        after = read_bundle(folder)
        effect = retirement_effect(before, after, name, prompts, outcomes, np.random.default_rng(seed))
        if outcomes is None:
            evidence = _moved_evidence(recorded, before, after, effect, prompt_rows(before, prompts))
        else:
            evidence = _measured_evidence(recorded, after, outcomes, np.random.default_rng(seed))
        title = f"version {source.version} without {name}"
        registered = register_bundle(folder, evidence, tracking=tracking, name=title).registered
    return Retirement(registered, evidence, effect)


def retirement_effect(
    before: RouterBundle,
    after: RouterBundle,
    name: str,
    prompts: Sequence[str],
    outcomes: OutcomeMatrix | None,
    rng: np.random.Generator,
) -> RetirementEffect:
    """Return what is different without a model, by outcomes where there are any, else by predictions; see `retire`."""
    models, at = before.predictors.models, before.predictors.models.index(name)
    texts = prompts if outcomes is None else outcomes.prompts
    rows = prompt_rows(before, texts)
    old = choice_probabilities(before.policy, models, before.predictors.predict(rows))
    left = choice_probabilities(after.policy, after.predictors.models, after.predictors.predict(rows))
    change = np.insert(left, at, 0.0, axis=1) - old
    gained = np.maximum(change, 0.0).sum(axis=0)
    heirs = {models[j]: float(gained[j] / gained.sum()) for j in np.argsort(-gained) if gained[j] > 0}
    by: Literal["outcomes", "predictions"] = "predictions"
    if outcomes is None:
        predicted = before.predictors.quality.predict(rows)
        quality = _at_worst(change, predicted, *before.predictors.quality.interval(rows))
        cost = _predicted_cost(before, rows, old, change)
    else:
        by = "outcomes"
        draws = QueryBootstrap.draw(rng, len(rows), _RESAMPLES)
        quality = _interval(draws.means((change * outcomes.quality).sum(axis=1)[:, None])[:, 0])
        paid = _paid(before, outcomes)
        cost = None
        if paid is not None:
            means = draws.means(np.stack([(change * paid).sum(axis=1), (old * paid).sum(axis=1)], axis=1))
            cost = _interval(means[:, 0] / np.maximum(means[:, 1], 1e-300))
    return RetirementEffect(by, len(rows), float(old[:, at].mean()), heirs, quality, cost)


def _fresh(bundle: RouterBundle, outcomes: OutcomeMatrix) -> OutcomeMatrix:
    """Return the outcomes of the pool, on queries of which every candidate's is known."""
    if outcomes.digest() == bundle.manifest.training_digest:
        raise DataError("these outcomes are what the router was trained on: give some that it has not seen")
    found = outcomes.pool(bundle.predictors.models)
    known = np.asarray(np.isfinite(found.quality).all(axis=1))
    if bundle.policy.cost != "none":
        known &= np.isfinite(found.cost_usd if bundle.policy.cost == "cost_usd" else found.latency_s).all(axis=1)
    if known.sum() < _LEAST_QUERIES:
        raise NotEnoughDataError(
            f"of {known.sum()} queries the outcome of every candidate is known, at least {_LEAST_QUERIES} are needed"
        )
    return found.rows(known)


def _paid(bundle: RouterBundle, outcomes: OutcomeMatrix) -> Floats | None:
    return {"cost_usd": outcomes.cost_usd, "latency_s": outcomes.latency_s, "none": None}[bundle.policy.cost]


def _predicted_cost(bundle: RouterBundle, rows: Rows, old: Floats, change: Floats) -> Interval | None:
    pool = bundle.predictors
    predictor = {"cost_usd": pool.cost, "latency_s": pool.latency, "none": None}[bundle.policy.cost]
    if predictor is None:
        return None
    expected = predictor.predict(rows)
    total = float((old * expected).sum(axis=1).mean())
    return None if total <= 0 else _at_worst(change / total, expected, *predictor.interval(rows))


def _at_worst(change: Floats, expected: Floats, low: Floats, high: Floats) -> Interval:
    """Return the mean of what (n, m) changes come to, with all predictions at the bad, and at the good end at once."""
    up, down = np.maximum(change, 0.0), np.minimum(change, 0.0)
    middle = float((change * expected).sum(axis=1).mean())
    worst = float((up * low + down * high).sum(axis=1).mean())
    best = float((up * high + down * low).sum(axis=1).mean())
    return Interval(middle, min(worst, middle), max(best, middle))


def _moved_evidence(
    recorded: Evidence, before: RouterBundle, after: RouterBundle, effect: RetirementEffect, rows: Rows
) -> Evidence:
    """Return a router's evidence, moved by the effect; what it is measured against moves, too, where that leaves."""
    pool, reference = before.predictors, recorded.best_single_model
    quality = moved(recorded.quality_gain, effect.quality.low, effect.quality.mean, effect.quality.high)
    saving, paid = recorded.cost_saving, recorded.router_cost
    share = 1.0 if saving is None else 1.0 - saving.mean  # of the reference's cost, what the router pays
    if saving is not None and effect.cost is not None:
        more = [-share * end for end in (effect.cost.high, effect.cost.mean, effect.cost.low)]
        saving = moved(saving, *more)
    if paid is not None and effect.cost is not None:
        paid = max(paid * (1.0 + effect.cost.mean), 0.0)
    evidence = msgspec.structs.replace(
        recorded,
        router_quality=float(np.clip(recorded.router_quality + effect.quality.mean, 0.0, 1.0)),
        router_cost=paid,
        quality_gain=quality,
        cost_saving=saving,
    )
    if reference in after.predictors.models:
        return evidence
    heir = after.policy.model
    change = np.zeros((len(rows), len(pool.models)))
    change[:, pool.models.index(heir)] = 1.0
    if reference in pool.models:
        change[:, pool.models.index(reference)] -= 1.0
    by = _at_worst(change, pool.quality.predict(rows), *pool.quality.interval(rows))
    evidence = msgspec.structs.replace(
        evidence,
        best_single_model=heir,
        best_single_quality=float(np.clip(recorded.best_single_quality + by.mean, 0.0, 1.0)),
    )
    if recorded.reference == "logging_policy":  # it goes on being measured against that
        return evidence
    gain = moved(quality, -by.high, -by.mean, -by.low)
    # Nobody measured what the new reference costs on those queries, so nothing is claimed to be saved against it.
    return msgspec.structs.replace(evidence, quality_gain=gain, cost_saving=None, best_single_cost=None)


def _measured_evidence(
    recorded: Evidence, after: RouterBundle, outcomes: OutcomeMatrix, rng: np.random.Generator
) -> Evidence:
    """Return what outcomes say of the router without the model."""
    left = outcomes.pool(after.predictors.models)
    rows = prompt_rows(after, left.prompts)
    expected = after.predictors.predict(rows)
    chosen = choice_probabilities(after.policy, left.models, expected)
    best = left.models.index(after.policy.model)
    draws = QueryBootstrap.draw(rng, left.n_queries, _RESAMPLES)
    got = (chosen * left.quality).sum(axis=1)
    means = draws.means(np.stack([got, left.quality[:, best]], axis=1))
    calibration = calibrate_quality(left.models, expected.quality, left.quality, draws.first(200), rng)
    paid, saving = _paid(after, left), None
    costs: tuple[float | None, float | None] = (None, None)
    if paid is not None:
        spent = draws.means(np.stack([(chosen * paid).sum(axis=1), paid[:, best]], axis=1))
        costs = (float(spent[0, 0]), float(spent[0, 1]))
        saving = _interval(1.0 - spent[:, 0] / spent[:, 1]) if spent[0, 1] > 0 else None
    return msgspec.structs.replace(
        recorded,
        source="outcomes",
        reference="best_single",
        n_test_queries=left.n_queries,
        router_quality=float(means[0, 0]),
        router_cost=costs[0],
        best_single_model=left.models[best],
        best_single_quality=float(means[0, 1]),
        best_single_cost=costs[1],
        quality_gain=_interval(means[:, 0] - means[:, 1]),
        cost_saving=saving,
        quality_ece=calibration.ece.value or 0.0,
        quality_ece_floor=calibration.ece_floor,
        logging_policy=None,
    )


def _interval(statistics: Floats) -> Interval:
    found = Estimate.of(statistics)
    assert found.value is not None and found.low is not None and found.high is not None  # noqa: S101, PT018  of means
    return Interval(found.value, min(found.low, found.value), max(found.high, found.value))
