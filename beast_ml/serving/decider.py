"""From a request to a decision: who may be chosen, what is expected of them, who is chosen."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace as replace_fields

from beast_ml.domain.endpoint import ModelLimits
from beast_ml.errors import InputError, NoCandidateError, UnavailableError, UnknownModelError
from beast_ml.experiments.assignment import Assignment
from beast_ml.logs.schema import ASKED_FOR
from beast_ml.operations.health.fit import fits
from beast_ml.policy.decide import Choice
from beast_ml.serving.all_out import all_out
from beast_ml.serving.expectation import Expectation
from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.prompts import estimated_tokens, routed_text, text_of
from beast_ml.serving.router import Router

__all__ = ["Decider", "Decision", "Masks"]

_MEMO_ENTRIES: Final = 4096
_MEMO_CHARACTERS: Final = 8192


class Masks(Protocol):
    """Whoever knows which models may not be called now."""

    def masked_models(self) -> frozenset[str]:
        """Return them."""
        ...

    def tried_again_in_s(self, model: str) -> float:
        """Return in how many seconds one of them is tried again."""
        ...


class Decision(msgspec.Struct, frozen=True):
    """What was decided for one request, and by what.

    Parameters
    ----------
    request, prompt, tenant
        Whose request, and the text that was routed; None where only features were given.
    router, seen, choice
        What decided, on what expectations, and its choice.
    candidates
        Who might have been chosen.
    received_at
        When the request came.
    decision_us
        Microseconds from the decoded request to the choice.
    thrift
        The share taken off the willingness to pay, by a budget that runs short.
    assignment
        Which policy of an experiment decided; None where no experiment took the request.
    noted
        What the log's context keeps beside the request's own: a shadow's choice, the endpoints that were tried, the
        one model that the client asked for.
    """

    request: RouteRequest
    prompt: str | None
    tenant: str
    router: Router
    seen: Expectation
    choice: Choice
    candidates: tuple[str, ...]
    received_at: datetime
    decision_us: float
    thrift: float = 0.0
    assignment: Assignment | None = None
    noted: dict[str, str] = {}

    def asked_with(self, candidates: Sequence[str] | None) -> Decision:
        """Return it with a note of what the client asked for, where that was one model and no other.

        What else leaves a single candidate, as budgets and outages do, says nothing of the client.
        """
        if candidates is None or len(set(candidates)) != 1:
            return self
        return replace_fields(self, noted=self.noted | {ASKED_FOR: candidates[0]})

    @property
    def model(self) -> str:
        """The chosen candidate."""
        return self.router.models[self.choice.chosen]

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The other allowed candidates, best first."""
        models, chosen = self.router.models, self.choice.chosen
        return tuple([models[j] for j in self.choice.ranking if j != chosen])

    def upper_cost_usd(self, model: str) -> float | None:
        """Return what an answer of a candidate costs at most, with 95% probability; None where it is not predicted."""
        upper = self.router.upper_cost_usd(self.seen)
        return None if upper is None else float(upper[self.router.models.index(model)])


class Decider:
    """Decides for requests.

    Keeps what is expected of prompts that were seen lately: reading a prompt is most of what a decision takes.

    Parameters
    ----------
    masks
        Tells which models are out.
    limits
        What the candidates can take, where it is known.
    """

    def __init__(self, masks: Masks, limits: Mapping[str, ModelLimits]) -> None:
        self._masks = masks
        self._limits = {name: limit for name, limit in limits.items() if limit != ModelLimits()}
        self._memo: dict[tuple[str, tuple[tuple[str, str], ...]], Expectation] = {}
        self._memo_of: Router | None = None

    def decide(self, router: Router, request: RouteRequest, tenant: str, thrift: float = 0.0) -> Decision:
        """Decide for one request.

        Raises
        ------
        InputError
            If there is nothing to route, or the features do not fit the router.
        NoCandidateError, UnknownModelError
            If nobody meets the constraints, or a candidate is not in the pool.
        UnavailableError
            If all who might answer are out.
        """
        began = time.perf_counter_ns()
        prompt, n_characters = _text(request)
        if request.features is not None:
            seen = router.expect("", tenant=tenant, features=request.features)
        else:
            seen = self._expect(router, prompt or "", request.context, tenant)
        return self._choose(router, request, prompt, n_characters, seen, tenant, thrift, began)

    def decide_many(
        self, router: Router, requests: Sequence[RouteRequest], tenant: str, thrifts: Sequence[float]
    ) -> list[Decision | Exception]:
        """Decide for many requests; one that cannot be decided yields its error, the others are decided.

        ``thrifts`` has the share taken off the willingness to pay of each.
        """
        decisions: list[Decision | Exception] = []
        texts: list[tuple[str | None, int] | Exception] = []
        for request in requests:
            try:
                texts.append(_text(request))
            except InputError as error:
                texts.append(error)
        read = [
            i
            for i, (text, request) in enumerate(zip(texts, requests, strict=True))
            if isinstance(text, tuple) and request.features is None
        ]
        began = time.perf_counter_ns()
        prompts = [texts[i][0] or "" for i in read]  # type: ignore[index]
        expected = (
            router.expect_many(prompts, contexts=[requests[i].context for i in read], tenant=tenant) if read else []
        )
        of_position = dict(zip(read, expected, strict=True))
        shared_ns = (time.perf_counter_ns() - began) // max(1, len(read))
        for i, (text, request, thrift) in enumerate(zip(texts, requests, thrifts, strict=True)):
            if isinstance(text, Exception):
                decisions.append(text)
                continue
            began = time.perf_counter_ns() - shared_ns
            try:
                seen = of_position.get(i) or router.expect("", tenant=tenant, features=request.features)
                decisions.append(self._choose(router, request, text[0], text[1], seen, tenant, thrift, began))
            except (InputError, UnavailableError) as error:
                decisions.append(error)
        return decisions

    def _expect(self, router: Router, prompt: str, context: Mapping[str, str], tenant: str) -> Expectation:
        n_characters = len(prompt) + sum(len(key) + len(value) for key, value in context.items())
        if router.history is not None or n_characters > _MEMO_CHARACTERS:
            return router.expect(prompt, context=context, tenant=tenant)
        if self._memo_of is not router:
            self._memo, self._memo_of = {}, router
        key = (prompt, tuple(sorted(context.items())) if context else ())
        seen = self._memo.get(key)
        if seen is None:
            seen = router.expect(prompt, context=context, tenant=tenant)
            if len(self._memo) >= _MEMO_ENTRIES:
                del self._memo[next(iter(self._memo))]  # first in, first out: a look-up must not cost a move
            self._memo[key] = seen
        return seen

    def _choose(
        self,
        router: Router,
        request: RouteRequest,
        prompt: str | None,
        n_characters: int,
        seen: Expectation,
        tenant: str,
        thrift: float,
        began: int,
    ) -> Decision:
        candidates = self._candidates(router.models, request, n_characters)
        choice = router.choose(
            seen,
            min_quality=request.min_quality,
            max_cost_usd=request.max_cost_usd,
            max_latency_s=request.max_latency_s,
            candidates=candidates,
            thrift=thrift,
        )
        return Decision(
            request,
            prompt,
            tenant,
            router,
            seen,
            choice,
            router.models if candidates is None else tuple(candidates),
            datetime.now(UTC),
            (time.perf_counter_ns() - began) / 1000.0,
            thrift,
        )

    def _candidates(self, models: tuple[str, ...], request: RouteRequest, n_characters: int) -> list[str] | None:
        """Return who may be chosen; None: the whole pool."""
        masked = self._masks.masked_models()
        if request.candidates is None and not masked and not self._limits:
            return None
        asked: Sequence[str] = models
        if request.candidates is not None:
            unknown = sorted(set(request.candidates) - set(models))
            if unknown:
                raise UnknownModelError(f"no candidate {unknown[0][:256]!r}; the pool is {', '.join(models)}")
            asked = list(dict.fromkeys(request.candidates))
        able = [name for name in asked if self._unfit(name, request, n_characters) is None]
        if not able:
            why = {self._unfit(name, request, n_characters) for name in asked}
            raise NoCandidateError(
                f"no candidate can take this request ({', '.join(sorted(filter(None, why)))}): shorten it, ask for "
                "fewer capabilities, or widen `candidates`"
            )
        up = [name for name in able if name not in masked]
        if not up:
            widen = ", or allow others in `candidates`" if request.candidates is not None else ""
            raise all_out(self._masks, able, widen)
        return up

    def _unfit(self, name: str, request: RouteRequest, n_characters: int) -> str | None:
        limits = self._limits.get(name)
        if limits is None:
            return None
        return fits(limits, estimated_tokens(n_characters), request.max_output_tokens, request.needs)


def _text(request: RouteRequest) -> tuple[str | None, int]:
    """Return the text that is routed and the characters of all that will be sent."""
    given = [name for name in ("prompt", "messages") if getattr(request, name) is not None]
    if len(given) > 1 or not (given or request.features):
        got = " and ".join(given) or "neither"
        raise InputError(f"got {got}, must be one of `prompt` and `messages`, or `features` alone")
    if request.messages is not None:
        n_characters = sum(len(text_of(message.content)) for message in request.messages)
        return routed_text(request.messages), n_characters
    return request.prompt, len(request.prompt or "")
