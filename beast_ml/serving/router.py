"""The router: loads a bundle and decides, per request, which model answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.bundle.read import RouterBundle, read_bundle
from beast_ml.domain import Clock, ModelForecast, Price, RoutingDecision, SystemClock
from beast_ml.errors import InputError
from beast_ml.events import events
from beast_ml.features.distill import user_cache
from beast_ml.features.history import History, to_us
from beast_ml.policy.decide import Choice, Constraints, choice_among, decide_batch, only, rank_batch
from beast_ml.policy.spec import PolicySpec
from beast_ml.policy.thrift import thrifty_router, thrifty_single
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.fused import fuse
from beast_ml.predictors.fused_heads import FusedHeads
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.resolve_child import resolve_in_child
from beast_ml.serving.expectation import Expectation, explanation_of, forecasts_of

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
        self.models: Final = bundle.predictors.models
        """The candidate pool, sorted."""
        self._rng = rng or np.random.default_rng()
        self._clock = clock or SystemClock()
        followed = bundle.features.spec.history
        self._history = None if followed is None else History(followed, bundle.history)
        self._predictors = fuse(bundle.predictors)
        kind = bundle.predictors.kind
        self._kind_head = None if kind is None else FusedHeads.of([kind.head])  # on one row two thirds of the time
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
        seen = self.expect(prompt, context=context, tenant=tenant)
        choice = self.choose(
            seen,
            min_quality=min_quality,
            max_cost_usd=max_cost_usd,
            max_latency_s=max_latency_s,
            candidates=candidates,
        )
        return self._answer(choice, tenant, seen.kind, seen if explain else None)

    def expect(
        self,
        prompt: str,
        *,
        context: Context | None = None,
        tenant: str = "default",
        features: Sequence[float] | bytes | None = None,
    ) -> Expectation:
        """Return what is expected of every candidate on one request, to be chosen by; see `route`.

        Without a history it is the same for the same prompt and context, so it may be kept.

        Parameters
        ----------
        prompt, context, tenant
            As in `route`.
        features
            The request's ready feature row, as numbers or as little-endian float32; then the prompt is not read.

        Raises
        ------
        InputError
            If there are too few or too many features, or one is not finite.
        """
        rows = self._rows([prompt], [context] if context else None, tenant) if features is None else _given(features)
        if features is not None and rows.shape[1] != self.bundle.features.dim:
            raise InputError(f"{rows.shape[1]} features were given, this router reads {self.bundle.features.dim}")
        return Expectation(rows, self._predictors.predict(rows), self._kinds(rows)[0])

    def expect_many(
        self, prompts: Sequence[str], *, contexts: Sequence[Context] | None = None, tenant: str = "default"
    ) -> list[Expectation]:
        """Return `expect` of many requests, read and predicted together: several times as fast."""
        rows = self._rows(prompts, contexts, tenant)
        expected = self._predictors.predict(rows)
        kinds = self._kinds(rows)
        return [Expectation(rows[i : i + 1], only(expected, i), kinds[i]) for i in range(len(prompts))]

    def choose(
        self,
        seen: Expectation,
        *,
        min_quality: float | None = None,
        max_cost_usd: float | None = None,
        max_latency_s: float | None = None,
        candidates: Sequence[str] | None = None,
        thrift: float = 0.0,
    ) -> Choice:
        """Choose among the candidates by what is expected of them; see `route`.

        Parameters
        ----------
        seen
            From `expect`.
        min_quality, max_cost_usd, max_latency_s, candidates
            As in `route`.
        thrift
            0..1: the share taken off the willingness to pay; at 1 cost alone decides. See `thrifty_single` for what it
            is where one model is chosen at any price.
        """
        constraints = self._standing
        if min_quality is not None or max_cost_usd is not None or max_latency_s is not None:
            constraints = constraints.tightened(Constraints(min_quality, max_cost_usd, max_latency_s))
        policy = self._thrifty(thrift, seen, constraints, candidates) if thrift else self.bundle.policy
        if thrift or candidates is not None or constraints is not self._standing:
            (ranking,) = rank_batch(policy, self.models, seen.expected, constraints, candidates)
        else:
            ranking = seen.standing or rank_batch(policy, self.models, seen.expected, constraints)[0]
            seen.standing = ranking
        return choice_among(ranking, self._rng.random()) if ranking.tried else choice_among(ranking)

    def upper_cost_usd(self, seen: Expectation) -> Floats | None:
        """Return (m,) costs that hold with 95% probability, USD; None where costs are not predicted."""
        cost = self.bundle.predictors.cost
        if seen.upper_cost_usd is None and cost is not None:
            seen.upper_cost_usd = cost.quantile(seen.rows, 0.95)[0]
        return seen.upper_cost_usd

    def route_batch(
        self, prompts: Sequence[str], *, contexts: Sequence[Context] | None = None, tenant: str = "default"
    ) -> list[RoutingDecision]:
        """Decide for many requests at once, under the policy's own constraints."""
        if contexts is not None and len(contexts) != len(prompts):
            raise InputError(f"{len(contexts)} contexts for {len(prompts)} prompts, give one each or none")
        if not prompts:
            return []
        rows = self._rows(prompts, contexts, tenant)
        policy = self.bundle.policy
        explores = policy.exploration_rate or policy.exploration is not None
        draws = self._rng.random(len(rows)).tolist() if explores else None
        choices = decide_batch(policy, self.models, self._predictors.predict(rows), self._standing, draws)
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
        return forecasts_of(self.bundle, self.expect(prompt, context=context, tenant=tenant))

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

    def _thrifty(
        self, thrift: float, seen: Expectation, constraints: Constraints, candidates: Sequence[str] | None
    ) -> PolicySpec:
        """Return by what a request is decided while money is short."""
        policy = self.bundle.policy
        if policy.kind == "router":
            return thrifty_router(policy, thrift)
        (ranking,) = rank_batch(policy, self.models, seen.expected, constraints, candidates)
        return thrifty_single(policy, self.models, seen.expected, ranking.allowed, thrift)

    def _kinds(self, rows: Rows) -> Sequence[str | None]:
        kind = self.bundle.predictors.kind
        if kind is None or self._kind_head is None:
            return [None] * len(rows)
        logits = self._kind_head.products(rows) + kind.head.biases[-1]
        return [kind.kinds[j] for j in logits.argmax(axis=1).tolist()]

    def _answer(self, choice: Choice, tenant: str, kind: str | None, why: Expectation | None = None) -> RoutingDecision:
        models = self.models
        fallbacks = tuple(models[j] for j in choice.ranking if j != choice.chosen)
        return RoutingDecision(
            model=models[choice.chosen],
            propensity=choice.propensity,
            fallbacks=fallbacks,
            policy_version=self._version,
            tenant=tenant,
            request_kind=kind,
            forecasts=() if why is None else forecasts_of(self.bundle, why),
            explanation=None if why is None else explanation_of(self.bundle, why, choice),
        )


def _given(features: Sequence[float] | bytes) -> Rows:
    try:
        if isinstance(features, bytes):
            row = np.frombuffer(features, "<f4")
        else:
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
                row = np.array(features, np.float32)
    except ValueError as error:
        raise InputError(f"`features` must be finite numbers, or their float32: {error}") from error
    if row.ndim != 1 or not np.isfinite(row).all():
        raise InputError("`features` must be one row of finite numbers")
    return row[None]
