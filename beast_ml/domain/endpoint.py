"""Where a candidate model answers."""

from __future__ import annotations

from typing import Final

import msgspec

from beast_ml.errors import InputError

__all__ = ["CAPABILITIES", "Endpoint", "ModelLimits"]

CAPABILITIES: Final = ("tools", "vision", "json")
"""What a request may need of a model beside text."""


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One address that serves one candidate model; several endpoints may serve the same.

    Parameters
    ----------
    name
        Unique; stands in logs and metrics.
    model
        The candidate it serves.
    base_url
        Of its OpenAI-compatible API, such as ``http://10.0.0.7:8000/v1``; it stands in logs, so it holds no password.
    provider_model
        What the model is called there; empty: the candidate's own name.
    api_key_env
        The environment variable that holds its key; empty: none is sent.
    region
        Where it stands.
    timeout_s
        Seconds to wait for the first token, and for each next one.
    """

    name: str
    model: str
    base_url: str
    provider_model: str = ""
    api_key_env: str = ""
    region: str = ""
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise InputError(f"`base_url` of endpoint {self.name!r} == {self.base_url!r}, must start with http(s)://")
        if "@" in self.base_url.split("/")[2]:
            raise InputError(
                f"`base_url` of endpoint {self.name!r} holds a user or password, which logs would show: leave them "
                "out, and name the environment variable of its key in `api_key_env`"
            )
        if "?" in self.base_url or "#" in self.base_url:
            raise InputError(
                f"`base_url` of endpoint {self.name!r} has a query or a fragment: paths are appended to it, so it must "
                "end with its own, such as /v1"
            )
        if not 0 < self.timeout_s < float("inf"):
            raise InputError(f"`timeout_s` of endpoint {self.name!r} == {self.timeout_s}, must be a number > 0")


class ModelLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate can take.

    Parameters
    ----------
    context_tokens
        Most tokens of prompt and answer together; None: not known, so not checked.
    max_output_tokens
        Most tokens it answers with; None: not known.
    capabilities
        Which of `CAPABILITIES` it has; None: not known, so taken to have all.
    """

    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] | None = None
