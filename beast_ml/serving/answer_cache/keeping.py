"""What becomes of a request that the cache had no answer to: its answer is kept, if it is fit for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.singleflight import Lead
from beast_ml.errors import BeastError, ProviderError
from beast_ml.events import events
from beast_ml.experiments.assignment import Assignment
from beast_ml.logs.schema import CacheResult
from beast_ml.serving.answer_cache.answers import AnswerCache, Fresh
from beast_ml.serving.answer_cache.completion import KEPT_ERRORS, KeptError, kept_error, kind_of_completion
from beast_ml.serving.answer_cache.streams import assembled
from beast_ml.serving.decider import Decision
from beast_ml.serving.gateway.contract import CallRecord, Plan

if TYPE_CHECKING:
    from beast_ml.serving.metrics import ServingMetrics

__all__ = ["Keeping"]


class Keeping:
    """The witness of one request; see `beast_ml.serving.gateway.contract.Witness`.

    Parameters
    ----------
    cache, metrics
        The worker's.
    cache_result
        What the log says.
    key
        Under which the answer is kept; None: it is not.
    drawn
        What an experiment drew when the key was made.
    lead
        The duty to answer for those who wait; None: nobody can.
    """

    def __init__(
        self,
        cache: AnswerCache,
        metrics: ServingMetrics,
        cache_result: CacheResult,
        key: CacheKey | None = None,
        drawn: Assignment | None = None,
        lead: Lead[CacheEntry] | None = None,
    ) -> None:
        self.cache_result: CacheResult = cache_result
        self._verify: Callable[[bytes | None], None] | None = None
        self._cache, self._metrics, self._key, self._drawn, self._lead = cache, metrics, key, drawn, lead
        self._stamp = cache.stamp()

    @property
    def keeps(self) -> bool:
        """Whether it wants to see the answer."""
        return self._key is not None

    def verify(self, by: Callable[[bytes | None], None]) -> None:
        """Have the answer shown to whoever verifies the lookup by it; None: no answer came that could be compared."""
        self._verify = by

    def answered(self, plan: Plan, record: CallRecord, answer: bytes | Sequence[bytes]) -> None:
        """Keep a complete answer of the model that was chosen.

        That of a model that only stepped in is not: it would outlive the outage. What goes wrong here costs no client
        its answer.
        """
        try:
            decided = plan.decided
            same_policy = not isinstance(decided, Decision) or decided.assignment == self._drawn
            fresh = self._fresh(plan, record, answer) if same_policy and record.served_model == plan.models[0] else None
        except Exception as error:  # noqa: BLE001  the edge between an answer, which is right, and its keeping
            events.error("cache.not_kept", request_id=plan.request_id, error=repr(error))
            fresh = None
        self._show(fresh.answer if fresh is not None and fresh.kind == "answer" else None)
        self._end(fresh)

    def failed(self, record: CallRecord, error: BeastError) -> None:
        """Keep, for a moment, an error that all who were asked blame on the request."""
        kinds = {attempt.error_kind for attempt in record.attempts}
        fresh = None
        if isinstance(error, ProviderError) and kinds == {error.kind} and (kind := KEPT_ERRORS.get(error.kind)):
            fresh = Fresh(answer=kept_error(KeptError(error.kind, str(error))), model=error.model, kind=kind)
        self._show(None)
        self._end(fresh)

    def needless(self) -> None:
        """Let all who wait look for themselves, at once: the cache had an answer, and nothing is made."""
        self._end(None)

    def close(self) -> None:
        """Hand the duty to the next who waits, where nothing came of it: the client has gone, or we broke."""
        self._show(None)
        if self._lead is not None:
            lead, self._lead = self._lead, None
            lead.__exit__(None, None, None)

    def _show(self, answer: bytes | None) -> None:
        if self._verify is not None:
            verify, self._verify = self._verify, None
            verify(answer)

    def _fresh(self, plan: Plan, record: CallRecord, answer: bytes | Sequence[bytes]) -> Fresh | None:
        if self._key is None:
            return None
        body = answer if isinstance(answer, bytes) else assembled(answer)
        kind = None if body is None else kind_of_completion(body)
        if body is None or kind is None:
            return None
        return Fresh(
            answer=body,
            kind=kind,
            model=plan.models[0],
            policy_version=plan.policy_version or "",
            request_kind=plan.request_kind,
            cost_usd=record.cost_usd or 0.0,
            latency_s=record.latency_s or 0.0,
        )

    def _end(self, fresh: Fresh | None) -> None:
        entry = None
        if fresh is not None and self._key is not None:
            entry = self._cache.keep(self._key, self._stamp, fresh)
            if entry is not None:
                self._metrics.cache_kept(entry.kind)
        if self._lead is not None:
            lead, self._lead = self._lead, None
            if entry is None:
                lead.dismiss()
            else:
                lead.land(entry)
