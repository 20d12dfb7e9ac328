"""Servers as they show themselves: scraped, and remembered while they are away."""

from __future__ import annotations

import time
from typing import Final, Literal

import httpx2

from beast_ml.serving.dashboard.metric_history import MetricHistory, parse_metrics

__all__ = ["ServerWatch"]

State = Literal["waiting", "up", "down", "refused"]

_WITHIN_S: Final = 5.0


class ServerWatch:
    """One server.

    Parameters
    ----------
    url
        Where it is.
    admin_key
        Sent once it asks for it, and never shown; None: not known.
    """

    def __init__(self, url: str, admin_key: str | None) -> None:
        self.url = url.rstrip("/")
        self.history = MetricHistory()
        self.state: State = "waiting"
        self.since_s = time.time()
        self.problem: str | None = None
        self.wants_key = False
        """Whether it shows metrics to the operator alone; so does this dashboard, then."""
        self._admin_key = admin_key
        self._client = httpx2.AsyncClient(timeout=_WITHIN_S)

    async def look(self) -> bool:
        """Scrape it; return whether it answered with metrics."""
        try:
            answer = await self._ask()
            if answer.status_code in (401, 403):
                self.wants_key = True
                if self._admin_key is not None:
                    answer = await self._ask()
            if answer.status_code in (401, 403):
                return self._is("refused", "it wants its admin key: set BEAST_ADMIN_KEY to that server's")
            if answer.status_code != httpx2.codes.OK:
                return self._is("down", f"/metrics answered {answer.status_code}")
            self.history.add(time.time(), parse_metrics(answer.text))
        except httpx2.HTTPError as error:
            return self._is("down", f"it does not answer ({type(error).__name__})")
        except ValueError:
            return self._is("down", "/metrics answered something else than metrics: is it `beast serve`?")
        return self._is("up", None)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _ask(self) -> httpx2.Response:
        headers = {}
        if self.wants_key and self._admin_key is not None:
            headers["authorization"] = f"Bearer {self._admin_key}"
        return await self._client.get(f"{self.url}/metrics", headers=headers)

    def _is(self, state: State, problem: str | None) -> bool:
        if state == "down" and self.state == "waiting":
            state = "waiting"  # it was never there
        if state != self.state:
            self.state, self.since_s = state, time.time()
        self.problem = problem
        return state == "up"
