"""LiteLLM's proxy asks a running `beast serve` which of its models answers, and tells it what became of the call.

Beside the proxy's ``config.yaml`` a file, here ``beast_hook.py``, makes the hook, and ``callbacks: beast_hook.hook`` in
``litellm_settings`` names it::

    from beast_ml.integrations.litellm import BeastHook

    hook = BeastHook("http://127.0.0.1:8080/v1", "an API key of beast", default_model="small")
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, cast

from litellm.integrations.custom_logger import CustomLogger
from openai import APIConnectionError, AsyncOpenAI, InternalServerError

__all__ = ["BeastHook"]

_log = logging.getLogger(__name__)


class BeastHook(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed where types are checked
    """A callback of LiteLLM's proxy: requests for the model ``beast`` go to the model that the router chooses.

    The models of the proxy that are to be chosen have the names of the router's candidates.

    Parameters
    ----------
    base_url
        Of the server, with ``/v1``.
    api_key
        A key of the server; any text where it asks for none.
    default_model
        Who answers where the server does not (it is away, or answers 5xx); None: the request fails.
    timeout_s
        How long a request waits for the decision.
    """

    def __init__(
        self, base_url: str, api_key: str = "none", *, default_model: str | None = None, timeout_s: float = 1.0
    ) -> None:
        super().__init__()
        self._server = AsyncOpenAI(base_url=base_url, api_key=api_key, timeout=timeout_s, max_retries=0)
        self._default_model = default_model

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Return the request with the chosen model in it, and who steps in if that fails."""
        if data.get("model") != "beast" or "messages" not in data:
            return data
        asked = {"messages": data["messages"], "user_id": data.get("user"), "app": "litellm"}
        try:
            decision = cast("dict[str, Any]", await self._server.post("/route", cast_to=object, body=asked))
        except (APIConnectionError, InternalServerError) as error:
            if self._default_model is None:
                raise
            _log.warning("no decision from %s (%s): %s answers", self._server.base_url, error, self._default_model)
            return data | {"model": self._default_model}
        metadata = (data.get("metadata") or {}) | {"beast_request_id": decision["request_id"]}
        return data | {"model": decision["model"], "fallbacks": decision["fallbacks"], "metadata": metadata}

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Tell who answered, how fast, and what it cost."""
        usage = getattr(response_obj, "usage", None)
        said = {"output_tokens": getattr(usage, "completion_tokens", None), "cost_usd": kwargs.get("response_cost")}
        await self._tell(kwargs, {"status": "ok", "latency_s": (end_time - start_time).total_seconds(), **said})

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: datetime, end_time: datetime
    ) -> None:
        """Tell that a call failed; where another model steps in, its answer is told after it."""
        await self._tell(kwargs, {"status": "error", "latency_s": (end_time - start_time).total_seconds()})

    async def _tell(self, kwargs: dict[str, Any], outcome: dict[str, Any]) -> None:
        metadata = kwargs["litellm_params"].get("metadata") or {}
        if request_id := metadata.get("beast_request_id"):
            body = {"request_id": request_id, "served_model": metadata.get("model_group"), **outcome}
            await self._server.post("/outcomes", cast_to=object, body=body)
