"""Calls of providers: the openai SDK's clients, with bodies passed through as bytes.

The SDK's typed calls take several times the rest of the gateway's own time (they build and validate models of bodies
that are only passed on), so its clients give address, headers and authentication, and bytes go over the connections
that they share.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx2
import openai

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import ProviderError, SettingsError
from beast_ml.serving.gateway.connection import Answer
from beast_ml.serving.gateway.failures import failure_of_error, provider_error
from beast_ml.serving.gateway.transport import Patience, ProviderTransport, origin_of, request_head

__all__ = ["Providers"]

_CONNECT_S: Final = 5.0
_LEFT_OUT: Final = ("x-stainless-", "openai-organization", "openai-project")
_NO_KEY: Final = "none"
_NEW_CAP_FIELD: Final = (".openai.com", ".openai.azure.com")


class _Line:
    """How one endpoint is called."""

    def __init__(self, endpoint: Endpoint, client: openai.AsyncOpenAI, has_key: bool) -> None:
        self.endpoint, self.client = endpoint, client
        url = httpx2.URL(f"{endpoint.base_url.rstrip('/')}/chat/completions")
        told = {**client.default_headers, **client.auth_headers}
        headers = [
            (name.lower().encode(), value.encode())
            for name, value in told.items()
            if isinstance(value, str)
            and not name.lower().startswith(_LEFT_OUT)
            and (has_key or name.lower() != "authorization")
            and name.lower() not in ("content-type", "accept-encoding")
        ]
        headers += [(b"content-type", b"application/json"), (b"accept-encoding", b"identity")]
        self.origin = origin_of(url, has_key=has_key)
        try:
            self.head = request_head("POST", url, headers)
        except httpx2.LocalProtocolError as error:
            raise SettingsError(f"endpoint {endpoint.name!r} cannot be called: {error}; mend its key") from None
        self.patience = Patience(min(_CONNECT_S, endpoint.timeout_s), endpoint.timeout_s)
        host = "." + (urlsplit(endpoint.base_url).hostname or "")
        self.cap_field = "max_completion_tokens" if host.endswith(_NEW_CAP_FIELD) else "max_tokens"


class Providers:
    """A client for each endpoint, on connections they share.

    Parameters
    ----------
    endpoints
        Whom it may call.
    environment
        Holds their keys.

    Raises
    ------
    SettingsError
        If a key is not there, or cannot stand in a header.
    """

    def __init__(self, endpoints: Iterable[Endpoint], environment: Mapping[str, str]) -> None:
        self._transport = ProviderTransport()
        self._http = httpx2.AsyncClient(transport=self._transport)
        self._lines = {each.name: _Line(each, *self._client(each, environment)) for each in endpoints}

    def _client(self, endpoint: Endpoint, environment: Mapping[str, str]) -> tuple[openai.AsyncOpenAI, bool]:
        key = environment.get(endpoint.api_key_env) if endpoint.api_key_env else None
        if endpoint.api_key_env and not key:
            raise SettingsError(
                f"endpoint {endpoint.name!r} takes its key from {endpoint.api_key_env}, which is not set: set it, or "
                "leave `api_key_env` out for an endpoint that needs none"
            )
        client = openai.AsyncOpenAI(
            api_key=key or _NO_KEY,
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=endpoint.timeout_s,
            http_client=self._http,
        )
        return client, key is not None

    def __contains__(self, endpoint: str) -> bool:
        """Return whether it can be called."""
        return endpoint in self._lines

    @property
    def models(self) -> frozenset[str]:
        """Those that some endpoint serves."""
        return frozenset(line.endpoint.model for line in self._lines.values())

    def cap_field(self, endpoint: str) -> str:
        """Return what an endpoint calls the most tokens of an answer."""
        return self._lines[endpoint].cap_field

    async def send(self, endpoint: str, body: bytes) -> Answer:
        """Send a body; return the answer's head, its content still to be read. Whoever gets it closes it.

        Raises
        ------
        httpx2.TransportError
            If there is no answer; see `beast_ml.serving.gateway.failures.failure_of_error`.
        """
        line = self._lines[endpoint]
        return await self._transport.send(line.origin, line.head, body, line.patience)

    async def probe(self, endpoint: Endpoint) -> float:
        """Return the seconds of a look whether an endpoint is there: a list of its models costs nothing.

        Whatever it answers, it is there, but for errors of its own and a key that it does not know: not every server
        has such a list, nor shows it to every key that may call models.

        Raises
        ------
        ProviderError
            If it is not.
        """
        began = time.perf_counter()
        try:
            await self._lines[endpoint.name].client.with_options(timeout=_CONNECT_S).models.list()
        except openai.OpenAIError as error:
            if isinstance(error, openai.APIStatusError) and error.status_code < 500 and error.status_code != 401:
                return time.perf_counter() - began
            raise self.error(error, endpoint) from error
        return time.perf_counter() - began

    @staticmethod
    def error(error: Exception, endpoint: Endpoint) -> ProviderError:
        """Return an exception of the SDK in our words."""
        return provider_error(failure_of_error(error), endpoint.model, endpoint.name, 1)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
