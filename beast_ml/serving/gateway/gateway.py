"""The gateway: from a chat request to an answer, along the fallbacks of the router's decision."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import (
    BeastError,
    BudgetExceededError,
    InputError,
    ServingError,
    UnavailableError,
)
from beast_ml.events import events
from beast_ml.serving.all_out import all_out
from beast_ml.serving.gateway.accounting import estimated_usage
from beast_ml.serving.gateway.attempt import Attempt
from beast_ml.serving.gateway.call import Call
from beast_ml.serving.gateway.chat_request import ChatRequest
from beast_ml.serving.gateway.contract import WholeAnswer, Witness
from beast_ml.serving.gateway.failures import Failure, failure_of_answer, failure_of_error, provider_error
from beast_ml.serving.gateway.parts import GatewayParts
from beast_ml.serving.gateway.streamed import StreamedAnswer, opened_stream
from beast_ml.serving.gateway.targets import Targets
from beast_ml.serving.gateway.whole import read_completion

__all__ = ["Gateway"]


class Gateway:
    """Answers chat requests.

    Parameters
    ----------
    parts
        Of the worker.
    """

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts

    async def probe(self, endpoint: Endpoint) -> float:
        """Return the seconds of a look whether an endpoint is there; see `Providers.probe`."""
        return await self._parts.providers.probe(endpoint)

    async def close(self) -> None:
        """Close all connections to providers."""
        await self._parts.providers.close()

    async def answer(
        self, chat: ChatRequest, tenant: str, request_id: str, witness: Witness | None = None
    ) -> WholeAnswer | StreamedAnswer:
        """Return the answer; of a stream, once its first token is there.

        One row is logged in any case, and everything that was reserved is settled.

        Parameters
        ----------
        chat, tenant, request_id
            What is asked, and whose request it is.
        witness
            Sees the answer, to keep it.

        Raises
        ------
        ProviderError
            If all who might answer failed.
        ServingError, InputError
            If nobody may be called.
        """
        plan = self._parts.planner.plan(chat, tenant, request_id)
        call = Call(self._parts, plan, chat, witness)
        self._parts.retries.request()
        try:
            return await self._try_all(call)
        except asyncio.CancelledError:
            with suppress(UnavailableError):  # there is nobody to be told
                call.cancelled()
            raise
        except BeastError as error:
            call.refused(error)
            if witness is not None and call.record is not None:
                witness.failed(call.record, error)
            raise
        except Exception as error:
            events.error("gateway.failed", request_id=request_id, error=repr(error))
            call.broken()
            raise

    async def _try_all(self, call: Call) -> WholeAnswer | StreamedAnswer:
        targets = Targets(call.plan, self._parts.fleet)
        patience = self._parts.patience
        refusal: BeastError | None = None
        said_before = ""
        while (target := targets.next()) is not None:
            model, endpoint = target
            if not call.attempts and model != call.plan.models[0]:
                # Whom the plan chose cannot be called: the choice that goes on record must be of one who is.
                try:
                    call.plan_again(self._parts.planner.plan_again(call.plan, targets.models))
                except (ServingError, InputError) as error:
                    refusal = refusal or error
                    break
                targets = Targets(call.plan, self._parts.fleet)
                continue
            if call.attempts and not self._may_retry(call):
                break
            attempt = call.begin(model, endpoint)
            try:
                await attempt.reserve()
            except BudgetExceededError as error:
                refusal = refusal or error
                targets.give_up(model)  # another may be cheaper
                continue
            try:
                async with asyncio.timeout(max(0.001, patience.deadline_s - call.elapsed_s)):
                    result = await self._try_one(call, attempt)
            except Exception as error:  # noqa: BLE001  what is no failure of the provider is raised again
                result = failure_of_error(error)
            if not isinstance(result, Failure):
                return result
            call.failed(result)
            refusal = provider_error(result, model, endpoint.name, len(call.attempts), said_before)
            said_before = f"; before that: {result.kind} of {model!r} at {endpoint.name!r}{said_before}"
            if not targets.failed(model, result.kind):
                break
        if refusal is None:
            raise all_out(self._parts.fleet, call.plan.models)
        raise refusal

    def _may_retry(self, call: Call) -> bool:
        patience = self._parts.patience
        if len(call.attempts) >= patience.max_attempts or call.elapsed_s >= patience.deadline_s:
            return False
        return self._parts.retries.take()

    async def _try_one(self, call: Call, attempt: Attempt) -> WholeAnswer | StreamedAnswer | Failure:
        response = await attempt.send()
        try:
            if response.status_code != 200:
                return failure_of_answer(response.status_code, response.headers, await response.read())
            if not call.chat.stream:
                return self._whole(call, await response.read())
            stream = await opened_stream(call, response)
        except BaseException:
            response.close()
            raise
        if isinstance(stream, Failure):
            response.close()
        return stream

    def _whole(self, call: Call, body: bytes) -> WholeAnswer | Failure:
        completion = read_completion(body)
        if isinstance(completion, Failure):
            return completion
        usage = completion.usage or estimated_usage(call.chat, completion.n_characters)
        headers = call.served(usage)
        call.witnessed(body)
        return WholeAnswer(body, headers)
