"""A search of a cache's settings in MLflow, a child run for each trial, and what `beast serve` is told of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

import msgspec
import yaml

from beast_ml.cache.replay.stream import Stream
from beast_ml.cache.tuning import CacheChoice, CacheTuning, Trial, TuningPrices
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.models import VERDICT_TAG
from beast_ml.registry.proposals import KEPT_DEFAULTS, KEPT_TUNED
from beast_ml.registry.tracking import training_run

__all__ = ["kept_choice", "record_tuning", "settings_fragment"]


def kept_choice(tuning: CacheTuning) -> CacheChoice:
    """Return the choice to serve with: the best of the first half, unless the baseline was worth more on the second."""
    return tuning.best.choice if tuning.best.worth_usd > tuning.baseline.worth_usd else tuning.baseline.choice


def settings_fragment(tuning: CacheTuning, source: str) -> str:
    """Return the part ``cache`` of ``mlflow.yaml``, as far as it was tuned."""
    choice = kept_choice(tuning)
    told: dict[str, Any] = {"life_s": round(choice.life_s)}
    if choice.lives_s:
        told["lives_s"] = {kind: round(life_s) for kind, life_s in sorted(choice.lives_s.items()) if kind}
    told |= {"memory_mb": choice.memory_mb, "memory_entries": choice.memory_entries}
    told["memory_looked_at"] = choice.n_looked_at
    verdict = "" if choice == tuning.best.choice else " The settings before were worth more, and stay."
    return (
        f"# Tuned by replay of {source}. On its second half, which was not tuned on, worth "
        f"{tuning.best.worth_usd:.4g} USD;\n# the settings before: {tuning.baseline.worth_usd:.4g} USD.{verdict}\n"
        + yaml.safe_dump({"cache": told}, sort_keys=False)
    )


def record_tuning(
    tuning: CacheTuning, stream: Stream, prices: TuningPrices, tracking: TrackingConfig, seed: int
) -> str:
    """Record a search in MLflow; return the id of its run.

    Parameters
    ----------
    tuning
        What it came to.
    stream, prices, seed
        What it was told.
    tracking
        The MLflow store.

    Raises
    ------
    RegistryUnavailableError
        If MLflow does not answer.
    """
    best, baseline = tuning.best, tuning.baseline
    description = (
        f"Settings of the cache, searched by replay of {stream.source}. Trials are on the first half; the second, on "
        f"which nothing was tuned, is worth {best.worth_usd:.4g} USD with the best of them and "
        f"{baseline.worth_usd:.4g} USD with the settings before."
    )
    tags = {"data": stream.name, "kind of run": "tuning"}
    with training_run(tracking, f"tune cache {stream.name}", description, tags) as run:
        run.params({**asdict(prices), "trials": len(tuning.trials), "requests": len(stream.requests), "seed": seed})
        run.dataset(
            stream.name,
            digest=_digest(stream),
            source=stream.source,
            context="tuning",
            profile={"requests": len(stream.requests), "days": stream.days},
        )
        for number, trial in enumerate(tuning.trials):
            name = f"trial {number}" if number else "baseline"
            with run.child(name, "On the first half.", {"kind of run": "trial"}, _params(trial)) as child:
                child.metrics(_figures(trial))
        for name, trial in (("baseline", baseline), ("tuned", best)):
            run.metrics({f"{name}/{figure}": value for figure, value in _figures(trial).items()})
        run.text(settings_fragment(tuning, stream.source), "mlflow.yaml")
        run.tags({VERDICT_TAG: KEPT_DEFAULTS if kept_choice(tuning) == baseline.choice else KEPT_TUNED})
        return run.id


def _params(trial: Trial) -> Mapping[str, object]:
    told = {**asdict(trial.choice), **trial.params}
    lives = told.pop("lives_s")
    return told | {f"life_s/{kind or 'unknown'}": life_s for kind, life_s in lives.items()}


def _figures(trial: Trial) -> Mapping[str, float]:
    rates = {name: value for name, value in trial.report.to_dict().items() if isinstance(value, int | float)}
    figures = {**rates, "worth_usd": trial.worth_usd, "memory_gb_h": trial.memory_gb_h}
    return {name: float(value) for name, value in figures.items() if isfinite(value)}


def _digest(stream: Stream) -> str:
    rows = [(each.at_s, each.tenant_id, each.text) for each in stream.requests]
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()
