"""A LangChain model that is several: a running `beast serve` chooses, input by input, which of them answers.

::

    model = routed({"small": ChatOpenAI(...), "large": ChatAnthropic(...)}, OpenAI(base_url="http://127.0.0.1:8080/v1"))
    (prompt | model | StrOutputParser()).invoke(...)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import convert_to_messages, convert_to_openai_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda
from openai import OpenAI

__all__ = ["routed"]


def routed(models: Mapping[str, Runnable[Any, Any]], server: OpenAI) -> Runnable[Any, Any]:
    """Return a Runnable that asks the server who answers, has it answer, and tells the server what became of it.

    Where the chosen model fails, the others step in, in the order of the decision.

    Parameters
    ----------
    models
        Candidate model of the router -> who answers for it: a chat model, or a chain around one.
    server
        OpenAI's client of `beast serve`.
    """

    def choose(asked: Any) -> Runnable[Any, Any]:
        said = {"prompt": asked} if isinstance(asked, str) else {"messages": _openai_messages(asked)}
        body = {**said, "candidates": list(models), "app": "langchain"}
        decision = cast("dict[str, Any]", server.post("/route", cast_to=object, body=body))
        ranked = [name for name in (decision["model"], *decision["fallbacks"]) if name in models]
        first, *others = (_told(models[name], name, decision["request_id"], server) for name in ranked)
        return first.with_fallbacks(others)

    return RunnableLambda(choose)


def _openai_messages(asked: Any) -> Any:
    messages = asked.to_messages() if isinstance(asked, PromptValue) else convert_to_messages(asked)
    return convert_to_openai_messages(messages)


def _told(model: Runnable[Any, Any], name: str, request_id: str, server: OpenAI) -> Runnable[Any, Any]:
    """Return the model, made to tell the server how each of its calls ended."""

    def tell(run: Any) -> None:
        usage = getattr((run.outputs or {}).get("output"), "usage_metadata", None) or {}
        outcome = {
            "request_id": request_id,
            "served_model": name,
            "status": "error" if run.error else "ok",
            "latency_s": (run.end_time - run.start_time).total_seconds(),
            "output_tokens": usage.get("output_tokens"),
        }
        server.post("/outcomes", cast_to=object, body=outcome)

    return model.with_listeners(on_end=tell, on_error=tell)
