"""What clients send and get: the bodies of the HTTP API, decoded and checked by msgspec."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from beast_ml.domain import Explanation, ModelForecast
from beast_ml.domain.failure import ErrorKind
from beast_ml.serving.reserved_context import check_context

__all__ = [
    "MAX_BATCH",
    "BatchAnswer",
    "BatchRequest",
    "Estimate",
    "Message",
    "ModelInfo",
    "ModelList",
    "OutcomeReport",
    "Predicted",
    "Recorded",
    "RouteAnswer",
    "RouteRequest",
]

MAX_BATCH = 1024
"""Most requests of one batch."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
RequestId = Annotated[str, Meta(min_length=1, max_length=128)]
Share = Annotated[float, Meta(ge=0, le=1)]
Amount = Annotated[float, Meta(ge=0, le=1e12)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation, as OpenAI writes it; other fields are passed over.

    Parameters
    ----------
    role
        Whose turn it is: ``user``, ``assistant``, ``system``, ...
    content
        Text, or parts of text and pictures.
    """

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[dict[str, Any]] | None = None


class RouteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request to be routed: a ``prompt``, or the ``messages`` of a conversation.

    Parameters
    ----------
    prompt, messages
        What will be sent to the chosen model; exactly one of them, or ``features`` alone.
    context
        Known facts: ``task``, ``language``, ... .
    user_id, session_id, app
        Who asks, and from where.
    min_quality, max_cost_usd, max_latency_s
        Constraints on what is predicted; they tighten the policy's own.
    candidates
        Only these models.
    features
        A ready feature row of the serving router: numbers, or (three times as fast) base64 of little-endian float32.
    max_output_tokens
        Most tokens of the answer, where the client will ask for no more.
    needs
        What the model must be able to do: ``tools``, ``vision``, ``json``.
    explain
        Also say what is expected of every candidate, and why this one was chosen.
    """

    prompt: Annotated[str, Meta(min_length=1)] | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    context: Annotated[dict[Name, Annotated[str, Meta(max_length=1024)]], Meta(max_length=64)] = {}
    user_id: Name | None = None
    session_id: Name | None = None
    app: Name | None = None
    min_quality: Share | None = None
    max_cost_usd: Amount | None = None
    max_latency_s: Amount | None = None
    candidates: Annotated[list[Name], Meta(min_length=1, max_length=1000)] | None = None
    features: (
        Annotated[list[float], Meta(min_length=1, max_length=10_000)]
        | Annotated[bytes, Meta(min_length=4, max_length=40_000)]
        | None
    ) = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    needs: frozenset[Literal["tools", "vision", "json"]] = frozenset()
    explain: bool = False

    def __post_init__(self) -> None:
        if self.context:
            check_context(self.context)


class Predicted(msgspec.Struct, frozen=True):
    """What is expected of the chosen model; null where the training data did not tell.

    Parameters
    ----------
    quality
        Expected quality (0..1).
    cost_usd
        Expected cost of the call.
    latency_s
        Expected seconds until the answer is complete.
    """

    quality: float
    cost_usd: float | None = None
    latency_s: float | None = None


class RouteAnswer(msgspec.Struct, frozen=True):
    """Which model answers, with what probability it was chosen, and who steps in if it fails.

    Parameters
    ----------
    request_id
        To be given with the outcome and with feedback.
    model, propensity, fallbacks, policy_version, request_kind
        As in `beast_ml.domain.RoutingDecision`.
    predicted
        Of the chosen model.
    experiment_id, variant
        Where the request takes part in an experiment.
    forecasts, explanation
        On demand.
    """

    request_id: str
    model: str
    propensity: float
    fallbacks: tuple[str, ...]
    policy_version: str
    predicted: Predicted
    request_kind: str | None = None
    experiment_id: str | UnsetType = UNSET
    variant: str | UnsetType = UNSET
    forecasts: tuple[ModelForecast, ...] | UnsetType = UNSET
    explanation: Explanation | UnsetType = UNSET


class BatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many requests at once.

    Parameters
    ----------
    requests
        Each as for `/v1/route`.
    """

    requests: Annotated[list[RouteRequest], Meta(min_length=1, max_length=MAX_BATCH)]


class BatchProblem(msgspec.Struct, frozen=True):
    """Why the request at a position of the batch (from 0) was not decided.

    Parameters
    ----------
    position
        Of the request in the batch, from 0.
    kind, detail, status
        As in a `Problem` of its own.
    """

    position: int
    kind: str
    detail: str
    status: int


class BatchAnswer(msgspec.Struct, frozen=True):
    """One decision a request, in their order; null where ``problems`` says why there is none.

    Parameters
    ----------
    decisions
        In the order of the requests.
    problems
        Of those that have no decision.
    """

    decisions: list[RouteAnswer | None]
    problems: list[BatchProblem] = []


class Estimate(msgspec.Struct, frozen=True):
    """What every candidate would cost, how good and how slow it would be, before anything is sent.

    Parameters
    ----------
    candidates
        All that the request allows.
    """

    candidates: tuple[ModelForecast, ...]


class OutcomeReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What became of a routed request; may come late, repeatedly and out of order: the latest observed wins.

    Parameters
    ----------
    request_id
        From the decision.
    status
        How the call ended.
    error_kind
        What went wrong, where something did.
    served_model
        Who answered in the end; the chosen model where nothing is said and it went well.
    latency_s, ttft_s, output_tokens, cost_usd
        Of the model that answered.
    observed_at
        When it was observed; now where nothing is said.
    """

    request_id: RequestId
    status: Literal["ok", "error", "timeout", "cancelled"] = "ok"
    error_kind: ErrorKind | None = None
    served_model: Name | None = None
    latency_s: Amount | None = None
    ttft_s: Amount | None = None
    output_tokens: Count | None = None
    cost_usd: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    observed_at: Annotated[datetime, Meta(tz=True)] | None = None


class Recorded(msgspec.Struct, frozen=True):
    """How many rows are in the log now.

    Parameters
    ----------
    recorded
        How many rows were written.
    """

    recorded: int


class ModelInfo(msgspec.Struct, frozen=True):
    """A candidate model.

    Parameters
    ----------
    id
        Its name, as requests give it.
    object, owned_by
        Always the same; OpenAI's clients ask for them.
    available
        Whether it may be called now: not all of its endpoints are out.
    endpoints
        Names of the addresses where it answers; empty where clients call it themselves.
    """

    id: str
    object: Literal["model"] = "model"
    owned_by: str = "beast-ml"
    available: bool = True
    endpoints: tuple[str, ...] = ()


class ModelList(msgspec.Struct, frozen=True):
    """The candidates, as OpenAI lists models.

    Parameters
    ----------
    data
        One entry a candidate.
    object
        Always ``list``.
    """

    data: list[ModelInfo]
    object: Literal["list"] = "list"
