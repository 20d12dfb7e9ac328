"""Put requests to endpoints within a bound of money; what was answered before is not asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ErrorKind
from beast_ml.domain.money import nano_usd, usd
from beast_ml.errors import InputError
from beast_ml.serving.answer_cache.completion import text_of_completion
from beast_ml.serving.asking.journal import AskedCall, CallJournal, call_key
from beast_ml.serving.asking.purse import Purse
from beast_ml.serving.gateway.accounting import cost_usd, estimated_usage, upper_nano
from beast_ml.serving.gateway.chat_request import ChatRequest, decode_chat, outgoing_body
from beast_ml.serving.gateway.failures import Failure, failure_of_answer, failure_of_error, provider_error
from beast_ml.serving.gateway.provider import Providers
from beast_ml.serving.gateway.whole import Completion, read_completion

__all__ = ["Asker"]

_TRIES: Final = 3
_TRIED_AGAIN: Final[frozenset[ErrorKind]] = frozenset({"provider", "timeout", "rate_limit"})
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_GIVEN_UP: Final[Completion | Failure] = Failure("internal", "given up before it was answered", may_cost=True)
_NO_TEXT: Final = Failure("provider", "a completion without text", 200, may_cost=True)


class Asker:
    """Asks endpoints.

    Parameters
    ----------
    endpoints
        Whom it may ask, one a model.
    prices
        Of those models: without one, no bound could be kept.
    environment
        Holds their keys.
    journal
        Where calls are kept; what they have cost counts.
    max_usd
        The most that all calls of the journal may cost.
    max_tokens
        Most tokens of an answer.

    Raises
    ------
    InputError
        If a model has no price, or the bound is no amount of money.
    SettingsError
        If a key is not there.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        prices: Mapping[str, Price],
        environment: Mapping[str, str],
        journal: CallJournal,
        *,
        max_usd: float,
        max_tokens: int = 1024,
    ) -> None:
        self._endpoints = {each.model: each for each in endpoints}
        unpriced = sorted(set(self._endpoints) - set(prices))
        if unpriced:
            raise InputError(
                f"{unpriced[0]!r} has no price, so no bound of money could be kept: give it one, or name it under "
                "`candidates` in mlflow.yaml"
            )
        self._prices = prices
        self._providers = Providers(self._endpoints.values(), environment)
        self._journal = journal
        self._purse = Purse(nano_usd(max_usd), journal.spent_nano)
        self._max_tokens = max_tokens

    @property
    def spent_usd(self) -> float:
        """What all calls of the journal may have cost, USD."""
        return usd(self._purse.spent)

    async def ask(self, model: str, messages: list[dict[str, str]], **fields: Any) -> AskedCall | None:
        """Return the answer of a model, or the last failure to get one; None where there is no money left for it.

        Parameters
        ----------
        model
            Of one of the endpoints.
        messages
            As OpenAI writes them.
        fields
            Further ones of the request.

        Raises
        ------
        ProviderError
            If the endpoint refuses the key: it would refuse all other calls, too.
        """
        endpoint = self._endpoints[model]
        chat = decode_chat(msgspec.json.encode({"model": model, "messages": messages, **fields}))
        most = chat.max_output_tokens or self._max_tokens
        field = self._providers.cap_field(endpoint.name)
        body = outgoing_body(chat, endpoint.provider_model or model, most, field)
        key = call_key(endpoint.base_url, body)
        if (known := self._journal.answer(key)) is not None:
            return known
        upper = upper_nano(self._prices[model], chat, most, endpoint.timeout_s)
        call = None
        for attempt in range(1, _TRIES + 1):
            if not await self._purse.hold(upper):
                break
            call, failure = await self._once(endpoint, chat, body, key, upper)
            if failure is None:
                return call
            if failure.kind == "auth":
                raise provider_error(failure, model, endpoint.name, attempt)
            if failure is _NO_TEXT or failure.kind not in _TRIED_AGAIN or attempt == _TRIES:
                break
            wait_s = failure.retry_after_s or _FIRST_WAIT_S * 2.0 ** (attempt - 1)
            await asyncio.sleep(min(wait_s, _LONGEST_WAIT_S))
        return call

    async def close(self) -> None:
        """Close all connections."""
        await self._providers.close()

    async def _once(
        self, endpoint: Endpoint, chat: ChatRequest, body: bytes, key: str, upper: int
    ) -> tuple[AskedCall, Failure | None]:
        """Make a call, keep it, and settle what was put aside for it, also where nobody waits for it any more."""
        began = time.perf_counter()
        found, text = _GIVEN_UP, ""
        try:
            found, text = await self._answer(endpoint, body)
        finally:
            latency_s = time.perf_counter() - began
            call = AskedCall(key=key, model=endpoint.model, endpoint=endpoint.name, latency_s=latency_s)
            if isinstance(found, Failure):
                actual = upper if found.may_cost else 0
                call = replace(call, error_kind=found.kind, said=found.said, cost_usd=usd(actual))
            else:
                usage = found.usage or estimated_usage(chat, found.n_characters)
                spent_usd = cost_usd(self._prices[endpoint.model], usage, latency_s)
                actual = nano_usd(spent_usd)
                call = replace(
                    call,
                    text=text,
                    input_tokens=usage.prompt_tokens,
                    output_tokens=usage.completion_tokens,
                    cost_usd=spent_usd,
                )
            self._journal.add(call)
            await self._purse.settle(upper, actual)
        return call, found if isinstance(found, Failure) else None

    async def _answer(self, endpoint: Endpoint, body: bytes) -> tuple[Completion | Failure, str]:
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                answer = await self._providers.send(endpoint.name, body)
                content = await answer.read()
        except Exception as error:  # noqa: BLE001  what is no failure of the provider is raised again
            return failure_of_error(error), ""
        if answer.status_code != 200:
            return failure_of_answer(answer.status_code, answer.headers, content), ""
        found = read_completion(content)
        text = text_of_completion(content)
        return (_NO_TEXT, "") if isinstance(found, Completion) and not text else (found, text or "")
