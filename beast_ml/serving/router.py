"""The router: loads a bundle and decides, per request, which model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.domain import Clock, Explanation, Forecast, ModelForecast, Price, RoutingDecision, SystemClock
from beast_ml.errors import InputError
from beast_ml.events import events
from beast_ml.features.distill import user_cache
from beast_ml.features.history import History, to_us
from beast_ml.policy.decide import Choice, Constraints, decide_batch
from beast_ml.predictors.amounts import AmountPredictor
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.fused import fuse
from beast_ml.predictors.pool import Expected
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.resolve_child import resolve_in_child

__all__ = ["Router"]

_REGISTRY_SCHEME: Final = "models:/"

Context = Mapping[str, str]


class Router:
    """Decides which model answers a request.

    Parameters
    ----------
    bundle
        A loaded bundle; `load` reads one.
    rng
        Where exploration draws from.
    clock
        Tells what is known of the past when a request comes.

    Examples
    --------
    >>> router = Router.load("models:/beast-router@champion")  # doctest: +SKIP
    >>> router.route("What is 2 + 2?").model  # doctest: +SKIP
    'llama-3.1-8b'
    """

    def __init__(
        self, bundle: RouterBundle, rng: np.random.Generator | None = None, clock: Clock | None = None
    ) -> None:
        self.bundle = bundle
        self._rng = rng or np.random.default_rng()
        self._clock = clock or SystemClock()
        followed = bundle.features.spec.history
        self._history = None if followed is None else History(followed, bundle.history)
        self._predictors = fuse(bundle.predictors)
        self._version = bundle.manifest.digest
        self._standing = Constraints.of(bundle.policy.objective)

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        tracking_uri: str = "sqlite:///mlflow.db",
        cache: Path | None = None,
        rng: np.random.Generator | None = None,
        clock: Clock | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> Router:
        """Return a router from a bundle folder, or from a registry URI such as ``models:/beast-router@champion``.

        Parameters
        ----------
        source
            Folder, or ``models:/NAME@ALIAS``, or ``models:/NAME/VERSION``.
        tracking_uri
            The MLflow store that a registry URI is looked up in.
        cache
            Where bundles from the registry are kept; default: the user's cache folder.
        rng
            Where exploration draws from.
        clock
            Tells what is known of the past when a request comes; default: the machine's.
        prices
            Token prices that hold from now on, by candidate; see `RouterBundle.with_prices`.

        Raises
        ------
        BundleError
            If the bundle cannot be read or is not what its manifest says.
        RegistryError
            If the registry does not have it, or does not answer.
        """
        if str(source).startswith(_REGISTRY_SCHEME):
            source = resolve_in_child(str(source), TrackingConfig(tracking_uri), cache or user_cache() / "bundles")
        elif not Path(source).is_dir():
            raise InputError(f"no bundle folder {source}: name a folder, or a registry address such as models:/...")
        bundle = read_bundle(Path(source))
        events.info("router.loaded", bundle=bundle.manifest.digest, kind=bundle.manifest.kind, source=str(source))
        return cls(bundle.with_prices(prices) if prices else bundle, rng, clock)

    @property
    def models(self) -> tuple[str, ...]:
        """The candidate pool, sorted."""
        return self.bundle.predictors.models

    @property
    def version(self) -> str:
        """Digest of the bundle: what is logged as ``policy_version``."""
        return self._version

    @property
    def history(self) -> History | None:
        """What is known of each model's recent outcomes; None where the bundle does not go by them."""
        return self._history

    def route(
        self,
        prompt: str,
        *,
        context: Context | None = None,
        tenant: str = "default",
        min_quality: float | None = None,
        max_cost_usd: float | None = None,
        max_latency_s: float | None = None,
        candidates: Sequence[str] | None = None,
        explain: bool = False,
    ) -> RoutingDecision:
        """Decide for one request.

        Parameters
        ----------
        prompt
            The text that will be sent to the chosen model.
        context
            Known facts about the request: ``task``, ``language``, ...
        tenant
            Whose request it is; it shapes the decision only by what was observed of its earlier requests.
        min_quality, max_cost_usd, max_latency_s
            Constraints on what is predicted; they tighten the policy's own.
        candidates
            Restrict the choice to these models.
        explain
            Also return forecasts for every candidate, and why this one was chosen.

        Raises
        ------
        NoCandidateError
            If the constraints leave nobody.
        UnknownModelError
            If a candidate is not in the pool.
        """
        constraints = self._standing
        if min_quality is not None or max_cost_usd is not None or max_latency_s is not None:
            constraints = constraints.tightened(Constraints(min_quality, max_cost_usd, max_latency_s))
        rows = self._rows([prompt], [context] if context else None, tenant)
        expected = self._predictors.predict(rows)
        (choice,) = self._decide(expected, constraints, candidates)
        return self._answer(choice, tenant, self._kinds(rows)[0], (rows, expected) if explain else None)

    def route_batch(
        self, prompts: Sequence[str], *, contexts: Sequence[Context] | None = None, tenant: str = "default"
    ) -> list[RoutingDecision]:
        """Decide for many requests at once, under the policy's own constraints."""
        if contexts is not None and len(contexts) != len(prompts):
            raise InputError(f"{len(contexts)} contexts for {len(prompts)} prompts, give one each or none")
        if not prompts:
            return []
        rows = self._rows(prompts, contexts, tenant)
        choices = self._decide(self._predictors.predict(rows), self._standing, None)
        return [self._answer(choice, tenant, kind) for choice, kind in zip(choices, self._kinds(rows), strict=True)]

    def observe(
        self,
        model: str,
        *,
        tenant: str = "default",
        kind: str | None = None,
        known_at: datetime | None = None,
        quality: float | None = None,
        failed: bool | None = None,
        latency_s: float | None = None,
    ) -> None:
        """Take note of an outcome, which shapes later decisions where the bundle goes by history.

        Outcomes may be told piece by piece: the latency with the answer, the quality when it is judged. A failed
        model and the one that answered in its place are told of separately.

        Parameters
        ----------
        model
            The model that was called.
        tenant, kind
            Of the request; the kind is its context's ``task``.
        known_at
            When it became known, aware; default: now. Only requests after that time are decided by it.
        quality
            0..1.
        failed
            Whether the call failed.
        latency_s
            Seconds to the whole answer.

        Raises
        ------
        UnknownModelError
            If the model is none of those the history follows.
        InputError
            If a number is out of range, or the time has no zone.
        """
        if self._history is None:
            return
        now_us = to_us(self._clock.now())
        known_us = now_us if known_at is None else to_us(known_at)
        self._history.observe(
            model,
            known_us=known_us,
            tenant=tenant,
            kind=kind,
            quality=quality,
            failed=failed,
            latency_s=latency_s,
        )
        self._history.advance(now_us)  # else it would pile up where many outcomes come between two requests

    def forecast(
        self, prompt: str, *, context: Context | None = None, tenant: str = "default"
    ) -> tuple[ModelForecast, ...]:
        """Return what is expected of every candidate on one request, with intervals, in the order of the pool."""
        rows = self._rows([prompt], [context] if context else None, tenant)
        return self._forecasts(rows, self._predictors.predict(rows))

    def _rows(self, prompts: Sequence[str], contexts: Sequence[Context] | None, tenant: str) -> Rows:
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise InputError(f"a prompt must be a string, got {type(prompt).__name__}")
        past = None if self._history is None else self._past(self._history, len(prompts), contexts, tenant)
        return self.bundle.features.matrix(prompts, contexts, past)

    def _past(self, history: History, n: int, contexts: Sequence[Context] | None, tenant: str) -> Rows:
        """Return the (n, k) history features of requests that come now."""
        now_us = to_us(self._clock.now())
        kinds = [None] * n if contexts is None else [context.get("task") for context in contexts]
        return np.array([history.features(tenant, kind, at_us=now_us) for kind in kinds])

    def _decide(self, expected: Expected, constraints: Constraints, candidates: Sequence[str] | None) -> list[Choice]:
        policy, n = self.bundle.policy, len(expected.quality)
        draws = self._rng.random((n, 2)).tolist() if policy.exploration_rate else None
        return decide_batch(policy, self.models, expected, constraints, draws, candidates)

    def _kinds(self, rows: Rows) -> Sequence[str | None]:
        kind = self.bundle.predictors.kind
        return [None] * len(rows) if kind is None else kind.names(rows)

    def _answer(
        self, choice: Choice, tenant: str, kind: str | None, why: tuple[Rows, Expected] | None = None
    ) -> RoutingDecision:
        models = self.models
        fallbacks = tuple(models[j] for j in choice.ranking if j != choice.chosen)
        return RoutingDecision(
            model=models[choice.chosen],
            propensity=choice.propensity,
            fallbacks=fallbacks,
            policy_version=self._version,
            tenant=tenant,
            request_kind=kind,
            forecasts=self._forecasts(*why) if why else (),
            explanation=self._explain(choice, why[1]) if why else None,
        )

    def _forecasts(self, rows: Rows, expected: Expected) -> tuple[ModelForecast, ...]:
        predictors = self.bundle.predictors
        quality = _Ends(expected.quality, predictors.quality.interval(rows))
        cost = _Ends(expected.cost_usd, predictors.cost.interval(rows) if predictors.cost else None)
        latency = _Ends(expected.latency_s, predictors.latency.interval(rows) if predictors.latency else None)
        ttft = _amount_ends(predictors.ttft, rows)
        priced = predictors.cost if isinstance(predictors.cost, TokenCostPredictor) else None
        tokens = _amount_ends(priced.output_tokens if priced else None, rows)
        return tuple(
            ModelForecast(
                model=name,
                quality=quality.forecast(j) or Forecast(0.0, 0.0, 1.0),
                cost_usd=cost.forecast(j),
                latency_s=latency.forecast(j),
                ttft_s=ttft.forecast(j),
                output_tokens=tokens.forecast(j),
                failure_probability=None if expected.failure is None else float(expected.failure[0, j]),
                price=priced.prices[j] if priced else None,
            )
            for j, name in enumerate(self.models)
        )

    def _explain(self, choice: Choice, expected: Expected) -> Explanation:
        models, chosen = self.models, choice.chosen
        others = [j for j in choice.ranking if j != chosen]
        runner_up = others[0] if others else None
        quality = expected.quality[0]
        extra_cost = extra_quality = None
        if runner_up is not None:
            extra_quality = float(quality[runner_up] - quality[chosen])
            if expected.cost_usd is not None:
                extra_cost = float(expected.cost_usd[0, runner_up] - expected.cost_usd[0, chosen])
        return Explanation(
            reason=_reason(self.bundle.policy.kind, choice, models, self.bundle.policy.model),
            binding_constraint=choice.binding_constraint,
            runner_up=None if runner_up is None else models[runner_up],
            runner_up_extra_cost_usd=extra_cost,
            runner_up_extra_quality=extra_quality,
        )


class _Ends:
    """Values and interval ends of one request, or nothing."""

    def __init__(self, values: Floats | None, ends: tuple[Floats, Floats] | None) -> None:
        self._values, self._ends = values, ends

    def forecast(self, j: int) -> Forecast | None:
        if self._values is None or self._ends is None:
            return None
        low, high = self._ends
        return Forecast(float(self._values[0, j]), float(low[0, j]), float(high[0, j]))


def _amount_ends(predictor: AmountPredictor | None, rows: Rows) -> _Ends:
    return _Ends(None, None) if predictor is None else _Ends(predictor.predict(rows), predictor.interval(rows))


def _reason(kind: str, choice: Choice, models: Sequence[str], single: str) -> str:
    name = models[choice.chosen]
    if choice.chosen != choice.ranking[0]:
        return f"explored: {name} was drawn at random; {models[choice.ranking[0]]} has the highest utility"
    if choice.binding_constraint:
        return f"{name} has the highest utility of those that meet {choice.binding_constraint}"
    if kind == "single" and name == single:
        return f"routing does not pay on the training data, so {name} always answers"
    return f"{name} has the highest utility: willingness to pay x quality - cost"
