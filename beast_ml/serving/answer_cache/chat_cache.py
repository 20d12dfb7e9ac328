"""Chat completions through the cache: exact hits at once, then all others, then whoever makes answers.

ask -> at_once -> (missed) -> answer: full key -> tiers -> wait for an equal request, or be the first
-> look for alike ones -> make the answer, keep it, verify by it
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from beast_ml.cache.bypass import Bypass
from beast_ml.cache.entry import CacheEntry, CacheKey
from beast_ml.cache.hit import Hit, own_hit
from beast_ml.cache.singleflight import Landed, Lead
from beast_ml.cache.tier_stats import CacheStats
from beast_ml.errors import BeastError, InputError, RateLimitedError
from beast_ml.events import events
from beast_ml.logs.schema import CacheResult
from beast_ml.serving.answer_cache.answers import UNFIT, AnswerCache, Found, reasons_of
from beast_ml.serving.answer_cache.asked import Asked, Make, Relayed, Write
from beast_ml.serving.answer_cache.chat_keys import cache_request_of
from beast_ml.serving.answer_cache.control import cache_control
from beast_ml.serving.answer_cache.freshness import Freshness
from beast_ml.serving.answer_cache.hit_log import HitLog
from beast_ml.serving.answer_cache.keeping import Keeping
from beast_ml.serving.answer_cache.known_bodies import KnownBodies, Made
from beast_ml.serving.answer_cache.replies import ReplayedAnswer, hit_headers, reply_of
from beast_ml.serving.answer_cache.semantic_parts import SemanticParts
from beast_ml.serving.gateway.chat_request import ROUTED, ChatRequest
from beast_ml.serving.gateway.contract import WholeAnswer
from beast_ml.serving.gateway.refused_chats import log_refused_chat
from beast_ml.serving.policy_choice import PolicyChoice

if TYPE_CHECKING:
    from beast_ml.serving.services import Services

__all__ = ["ChatCache"]

_NO_CACHE: Final = "no_cache"
_NO_STORE: Final = "no_store"
_VARIANT: Final = "variant"


class ChatCache:
    """Answers chat requests from the cache of a worker.

    Parameters
    ----------
    services
        The worker's parts.
    cache
        Of the worker.
    semantic
        For alike requests; None where only equal ones hit.
    freshness
        Has a share of hits answered anew; None: nothing is learnt of how answers age.
    """

    def __init__(
        self,
        services: Services,
        cache: AnswerCache,
        semantic: SemanticParts | None = None,
        freshness: Freshness | None = None,
    ) -> None:
        self._services, self.cache, self.semantic, self._freshness = services, cache, semantic, freshness
        self._policies, self.bodies, self._log = PolicyChoice(services), KnownBodies(), HitLog(services)

    async def refill(self) -> None:
        """Fill this worker's memory from the last tier, as it starts."""
        n_entries = await self.cache.warm()
        events.info("cache.refilled", entries=n_entries)

    def stats(self) -> CacheStats:
        """Return what the tiers have done."""
        return self.cache.stats()

    async def close(self) -> None:
        """Write what waits, and let go of everything."""
        if self.semantic is not None:
            await self.semantic.close()
        await self.cache.close()

    def ask(
        self, chat: ChatRequest, raw: bytes, tenant: str, request_id: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> Asked:
        """Return a request with its exact key, or with the reasons to leave the cache out."""
        asked = Asked(chat, raw, tenant, request_id, cache_control(headers))
        if asked.control.no_store:
            asked.reasons = (_NO_STORE,)
            return asked
        options = chat.options
        if chat.model == ROUTED:
            asked.drawn = self._policies.drawn(tenant, options.user_id, options.session_id, request_id)
            if asked.drawn is not None and asked.drawn.cache is not None:
                if asked.drawn.cache.hits == "none":
                    asked.reasons = (_VARIANT,)
                    return asked
                asked.control = asked.control.within(asked.drawn.cache.max_age_s)
                asked.only_equal = asked.drawn.cache.hits == "equal"
        try:
            asked.request, exact = self.bodies.made(raw, tenant, asked.drawn, lambda: self._key(asked))
        except InputError:
            asked.reasons = (UNFIT,)
            return asked
        if isinstance(exact, Bypass):
            asked.reasons = reasons_of(exact)
        else:
            asked.exact = exact
        return asked

    def at_once(self, asked: Asked) -> WholeAnswer | ReplayedAnswer | None:
        """Return what memory has under a request's exact key; None: it takes longer to tell.

        Raises
        ------
        ProviderError
            If what was kept is an error.
        ServingError
            If the tenant asks too much, or the hit cannot be logged.
        """
        if asked.exact is None or asked.control.no_cache:
            return None
        return self._served(asked, self.cache.lookup_exact(asked.exact))

    async def answer(self, asked: Asked, make: Make) -> WholeAnswer | Relayed:
        """Return what the cache has, else what is made, which is kept if it is fit.

        Raises
        ------
        BeastError
            As `at_once`, or what `make` raises.
        """
        if asked.exact is None or asked.request is None:
            return await self._made(asked, self._keeping(asked), make)
        if asked.control.no_cache:
            key = await self.cache.full_key(asked.request, asked.exact, asked.raw)
            asked.reasons = (_NO_CACHE,) if isinstance(key, CacheKey) else key
            return await self._made(asked, self._keeping(asked, key if isinstance(key, CacheKey) else None), make)
        looked = await self.cache.find(asked.request, asked.exact, asked.raw)
        if not isinstance(looked, Found):
            asked.reasons = looked
            return await self._made(asked, self._keeping(asked), make)
        key = looked.key
        if (served := self._served(asked, looked.hit)) is not None:
            return served
        found = await self.cache.flights.join(key.exact)
        if isinstance(found, Landed):
            if (served := self._served(asked, self._landed(found.value, key))) is not None:
                return served
            return await self._made_or_spared(asked, self._keeping(asked, key), make)
        keeping = self._keeping(asked, key, found)
        try:  # it may have been kept between our look and our turn
            served = self._served(asked, self.cache.lookup_exact(asked.exact))
            if served is None and asked.doubted is None:
                served = await self._alike(asked, key, keeping)
        except BaseException:
            keeping.close()
            raise
        if served is not None:
            keeping.needless()
            return served
        return await self._made_or_spared(asked, keeping, make)

    async def _alike(self, asked: Asked, key: CacheKey, keeping: Keeping) -> WholeAnswer | ReplayedAnswer | None:
        """Return the answer to an alike request, if there is one that may be served, and it is not picked for audit."""
        if self.semantic is None or asked.only_equal or not self._services.log.keeps_texts(asked.tenant):
            return None
        look = await self.semantic.search.look(key)
        check = self.semantic.audits.pick(key, look, asked.chat.allowed_models)
        if check is not None:
            keeping.verify(partial(self.semantic.audits.answered, check))
            asked.spare = look.best.hit if look.best is not None and look.hits else None
        elif look.best is not None and look.hits:
            return self._served(asked, look.best.hit)
        return None

    async def _made_or_spared(self, asked: Asked, keeping: Keeping, make: Make) -> WholeAnswer | Relayed:
        """Return a new answer; where it does not come, the one that it was made to verify, as a request of its own."""
        try:
            return await self._made(asked, keeping, make)
        except BeastError:
            if asked.spare is None:
                raise
            asked.request_id = self._services.ids.issue(asked.tenant, "chat")
            return self._given(asked, asked.spare)

    async def _made(self, asked: Asked, keeping: Keeping, make: Make) -> WholeAnswer | Relayed:
        asked.told["x-beast-cache"] = keeping.cache_result
        if asked.reasons:
            asked.told["x-beast-cache-reason"] = ",".join(asked.reasons)
            for reason in asked.reasons:
                self._services.metrics.cache_bypassed(reason)
        try:
            answer = await make(keeping)
        except BaseException:
            keeping.close()
            raise
        answer.headers.update(asked.told)
        if isinstance(answer, WholeAnswer):
            keeping.close()
            return answer
        return _Kept(answer, keeping)

    def _keeping(self, asked: Asked, key: CacheKey | None = None, lead: Lead[CacheEntry] | None = None) -> Keeping:
        if key is not None and not self._services.log.keeps_texts(asked.tenant):
            key = _without_text(key)
        result: CacheResult = "bypass" if asked.reasons else "miss"
        keeping = Keeping(self.cache, self._services.metrics, result, key, asked.drawn, lead)
        if asked.doubted is not None and self._freshness is not None:
            keeping.verify(partial(self._freshness.answered, asked.doubted, asked.tenant, self.cache.now))
        return keeping

    def _key(self, asked: Asked) -> Made:
        request = cache_request_of(asked.chat, asked.raw, asked.tenant, asked.drawn)
        return request, self.cache.keys.exact(request)

    def _landed(self, entry: CacheEntry, key: CacheKey) -> Hit | None:
        return own_hit(entry, key, "memory") if self.cache.invalidator.table.holds(entry) else None

    def _served(self, asked: Asked, hit: Hit | None) -> WholeAnswer | ReplayedAnswer | None:
        """Return a hit as an answer, once it is on record."""
        if hit is None or asked.doubted is not None:
            return None
        now = self.cache.now
        max_age_s = asked.control.max_age_s
        if max_age_s is not None and now - hit.entry.created_at > max_age_s:
            return None
        if self._is_doubted(asked, hit):
            asked.doubted = asked.spare = hit
            return None
        return self._given(asked, hit)

    def _is_doubted(self, asked: Asked, hit: Hit) -> bool:
        if self._freshness is None or not self._services.log.keeps_texts(asked.tenant):
            return False
        return self._freshness.picks(hit, asked.chat.allowed_models)

    def _given(self, asked: Asked, hit: Hit) -> WholeAnswer | ReplayedAnswer:
        self._take(asked)
        asked.told = hit_headers(hit, asked.request_id, self.cache.now)
        self._log.record(asked, hit)
        return reply_of(hit, asked.chat, asked.told)

    def _take(self, asked: Asked) -> None:
        services = self._services
        try:
            services.limiter.take(asked.tenant)
        except RateLimitedError as error:
            log_refused_chat(services, asked.chat, asked.tenant, asked.request_id, error)
            raise


class _Kept:
    """A stream whose keeping ends with it, however it ends."""

    def __init__(self, answer: Relayed, keeping: Keeping) -> None:
        self._answer, self._keeping = answer, keeping
        self.headers = answer.headers

    async def relay(self, write: Write) -> None:
        try:
            await self._answer.relay(write)
        finally:
            self._keeping.close()


def _without_text(key: CacheKey) -> CacheKey:
    """Return the key of a tenant whose texts are not to be kept: only equal, or normalised, requests hit."""
    return CacheKey(
        tenant_id=key.tenant_id, partition=key.partition, exact=key.exact, normalised=key.normalised, text=None
    )
