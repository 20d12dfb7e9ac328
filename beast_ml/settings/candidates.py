"""The candidates: what they cost, what they can take, where they answer."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from beast_ml.domain import Price
from beast_ml.domain.endpoint import CAPABILITIES, Endpoint, ModelLimits
from beast_ml.settings.part import Part

__all__ = ["CandidateSettings", "EndpointSettings"]


class CandidateSettings(Part):
    """What a candidate model costs: by token, or by the hour of its machine; or its name in the public price list.

    Parameters
    ----------
    name
        As the logs write it.
    input_usd_per_mtok, output_usd_per_mtok
        USD per million tokens; both or none.
    usd_per_request
        USD for every call beside them.
    usd_per_hour
        Of a self-hosted model's machine, with what it yields: ``output_tokens_per_s`` (and ``input_tokens_per_s``), or
        the mean number of requests in flight, ``concurrency``.
    listed_as
        Its name in ``genai-prices``, such as ``openai/gpt-4o``.
    context_tokens, max_output_tokens
        Most tokens of prompt and answer together, and of the answer.
    capabilities
        Which of ``tools``, ``vision`` and ``json`` it has; all where nothing is said.
    """

    name: str
    input_usd_per_mtok: float | None = Field(None, ge=0, allow_inf_nan=False)
    output_usd_per_mtok: float | None = Field(None, ge=0, allow_inf_nan=False)
    usd_per_request: float = Field(0.0, ge=0, allow_inf_nan=False)
    usd_per_hour: float | None = Field(None, ge=0, allow_inf_nan=False)
    output_tokens_per_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    input_tokens_per_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    concurrency: float | None = Field(None, gt=0, allow_inf_nan=False)
    listed_as: str | None = None
    context_tokens: int | None = Field(None, ge=1)
    max_output_tokens: int | None = Field(None, ge=1)
    capabilities: frozenset[str] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_token = self.input_usd_per_mtok is not None or self.output_usd_per_mtok is not None
        if by_token + (self.usd_per_hour is not None) + (self.listed_as is not None) != 1:
            raise ValueError(
                f"{self.name!r} needs one of: input_usd_per_mtok with output_usd_per_mtok, usd_per_hour, listed_as"
            )
        if by_token and (self.input_usd_per_mtok is None or self.output_usd_per_mtok is None):
            raise ValueError(f"{self.name!r} needs both input_usd_per_mtok and output_usd_per_mtok")
        yields = (self.output_tokens_per_s, self.input_tokens_per_s, self.concurrency)
        if self.usd_per_hour is None and any(value is not None for value in yields):
            raise ValueError(f"{self.name!r} has a throughput or a concurrency, which go with usd_per_hour")
        if self.usd_per_request and not by_token:
            raise ValueError(f"{self.name!r} has usd_per_request, which goes with prices by token")
        unknown = sorted((self.capabilities or frozenset()) - set(CAPABILITIES))
        if unknown:
            raise ValueError(f"{self.name!r} has no capability {unknown[0]!r}: there are {', '.join(CAPABILITIES)}")
        self.price()
        return self

    def limits(self) -> ModelLimits:
        """Return what it can take."""
        return ModelLimits(self.context_tokens, self.max_output_tokens, self.capabilities)

    def price(self) -> Price | None:
        """Return the price given here; None where it stands in the public list."""
        if self.usd_per_hour is not None:
            return Price.of_machine(
                self.usd_per_hour,
                output_tokens_per_s=self.output_tokens_per_s,
                input_tokens_per_s=self.input_tokens_per_s,
                concurrency=self.concurrency,
            )
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        return Price(self.input_usd_per_mtok, self.output_usd_per_mtok, usd_per_request=self.usd_per_request)


class EndpointSettings(Part):
    """Where a candidate answers; see `beast_ml.domain.endpoint.Endpoint`.

    Parameters
    ----------
    name
        Of the endpoint, in logs and headers.
    model
        The candidate that answers there.
    base_url
        OpenAI-compatible, with ``/v1``.
    provider_model
        What the provider calls the model; empty: the same.
    api_key_env
        Environment variable that holds the provider's key; empty: none is sent.
    region
        Where it stands: for the log, and to be near or far from the deployment's own ``region``; empty: near.
    timeout_s
        Seconds to wait for the first token, and for each next one.
    """

    name: str
    model: str
    base_url: str
    provider_model: str = ""
    api_key_env: str = ""
    region: str = ""
    timeout_s: float = Field(60.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _valid(self) -> Self:
        self.endpoint()
        return self

    def endpoint(self) -> Endpoint:
        """Return it in the words of the domain."""
        return Endpoint(**self.model_dump())
