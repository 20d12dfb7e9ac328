"""Answers made in advance: a plan from the log, carried out by the worker that leads, within a budget.

    every `every_s`, and at once where the last tier is empty: plan (a child process, which reads the log)
                                                               -> ask what no tier has -> keep

What is asked goes the way of every request: budgets hold, the log has its row, of a session that begins with
`WARMING`, from which nobody learns what is in demand.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from beast_ml.cache.demand import WARMING
from beast_ml.cache.warming import PlannedAnswer, WarmingPlan, execute_plan
from beast_ml.errors import BeastError, InputError, ServingError, UnavailableError
from beast_ml.events import events
from beast_ml.serving.answer_cache.answers import Found
from beast_ml.serving.answer_cache.chat_cache import ChatCache
from beast_ml.serving.gateway.chat_request import decode_chat
from beast_ml.serving.request_ids import RequestIds

if TYPE_CHECKING:
    from beast_ml.serving.gateway.gateway import Gateway

__all__ = ["Warmer"]

_SETTLED_S: Final = 5.0


class Warmer:
    """Warms the cache of a host.

    Parameters
    ----------
    cache, gateway, ids
        Of the worker.
    budget_usd
        What one round may cost.
    every_s
        Seconds from the end of a round to the next.
    warmed
        Is told how many answers were made.
    arguments
        Of the interpreter: what prints a plan as JSON.
    """

    def __init__(
        self,
        cache: ChatCache,
        gateway: Gateway,
        ids: RequestIds,
        budget_usd: float,
        every_s: float,
        warmed: Callable[[int], None],
        arguments: tuple[str, ...] | None = None,
    ) -> None:
        self._cache, self._gateway, self._ids = cache, gateway, ids
        self._budget_usd, self._every_s, self._warmed = budget_usd, every_s, warmed
        self._arguments = arguments or (
            *("-m", "beast_ml.cli", "cache", "warm", "--json"),
            *("--budget-usd", f"{budget_usd:.9f}"),
        )

    async def run(self) -> None:
        """Warm until cancelled; one worker of a host does it."""
        await asyncio.sleep(_SETTLED_S)
        if not await self._cache.cache.is_lost():
            await asyncio.sleep(self._every_s)
        while True:
            try:
                await self.warm()
            except (BeastError, OSError) as error:  # no log yet, or no model that answers: there will be another round
                events.warning("cache.not_warmed", error=str(error))
            except Exception as error:  # noqa: BLE001  the host's other chores would end with this one
                events.error("cache.not_warmed", error=repr(error))
            await asyncio.sleep(self._every_s)

    async def warm(self) -> int:
        """Go one round; return how many answers were made.

        Raises
        ------
        BeastError
            If there is no plan.
        """
        plan, loop = await self._plan(), asyncio.get_running_loop()

        def answer(planned: PlannedAnswer) -> float:
            return asyncio.run_coroutine_threadsafe(self._answer(planned), loop).result()

        result = await asyncio.to_thread(execute_plan, plan, answer)
        self._warmed(result.n_made)
        events.info(
            "cache.warmed", made=result.n_made, failed=result.n_failed, left=result.n_left, spent_usd=result.spent_usd
        )
        return result.n_made

    async def _plan(self) -> WarmingPlan:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            told, said = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            raise UnavailableError(f"there is no plan to warm by: {said.decode(errors='replace').strip()[-500:]}")
        try:
            return WarmingPlan.from_dict(msgspec.json.decode(told, type=dict))
        except msgspec.DecodeError as error:
            raise InputError(f"there is no plan to warm by: {error}") from error

    async def _answer(self, planned: PlannedAnswer) -> float:
        """Make one answer, unless a tier has it; return what it cost, in dollars."""
        tenant, cache = planned.tenant_id, self._cache
        body = {
            "model": "beast",
            "messages": [{"role": "user", "content": planned.text}],
            "beast": {"session_id": f"{WARMING}{planned.key[:32]}"},
        }
        raw = msgspec.json.encode(body)
        chat, request_id = decode_chat(raw), self._ids.issue(tenant, "chat")
        asked = cache.ask(chat, raw, tenant, request_id, ())
        if asked.exact is None or asked.request is None:
            raise UnavailableError("what is planned is none for the cache")
        looked = await cache.cache.find(asked.request, asked.exact, raw)
        if isinstance(looked, Found) and looked.hit is not None:
            return 0.0
        try:
            answer = await cache.answer(asked, partial(self._gateway.answer, chat, tenant, request_id))
        except ServingError:
            raise
        except BeastError as error:
            raise UnavailableError(str(error)) from error
        return float(answer.headers.get("x-beast-cost-usd", planned.cost_usd))
