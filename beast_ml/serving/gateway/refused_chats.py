"""Chat requests that nobody was called for: as the log has them."""

from __future__ import annotations

from beast_ml.errors import BeastError, UnavailableError
from beast_ml.logs.schema import Status
from beast_ml.serving.gateway.chat_request import ChatRequest
from beast_ml.serving.logged_kinds import logged_kind
from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.services import Services

__all__ = ["log_refused_chat", "route_request_of"]


def route_request_of(chat: ChatRequest, candidates: list[str] | None) -> RouteRequest:
    """Return what is to be decided for a chat request."""
    options = chat.options
    return RouteRequest(
        messages=chat.messages,
        context=options.context,
        user_id=options.user_id,
        session_id=options.session_id,
        app=options.app,
        min_quality=options.min_quality,
        max_cost_usd=options.max_cost_usd,
        max_latency_s=options.max_latency_s,
        candidates=candidates,
        max_output_tokens=chat.max_output_tokens,
        needs=chat.needs,
    )


def log_refused_chat(services: Services, chat: ChatRequest, tenant: str, request_id: str, error: Exception) -> None:
    """Log a chat request that is refused before anybody was chosen for it.

    Raises
    ------
    UnavailableError
        If the log cannot be written: the client must not believe that its request is on record.
    """
    kind = logged_kind(error)
    status: Status = "rejected" if isinstance(error, BeastError) else "error"
    router = services.runtime.router
    request = route_request_of(chat, chat.options.candidates)
    try:
        services.log.rejected(request, request_id, tenant, router.models, router.version, kind, status)
    except UnavailableError:
        services.metrics.log_failed()
        raise
    services.metrics.unanswered(status, kind)
    services.metrics.log_rows("requests")
