"""What a replay asks, and what it knows of the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Form", "Stream", "StreamRequest"]

Form = Literal["usual", "surface", "paraphrase", "near_miss"]
"""How a request of the stream came from an earlier question."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """One request, with what only the replay may know.

    Parameters
    ----------
    number
        Its place in the stream.
    at_s
        When, in seconds from the start.
    tenant_id, text, kind
        What a cache sees.
    question, version
        What is asked, and how often its answer had changed by then: the truth.
    form
        In which words.
    cost_usd, latency_s
        Of an answer by a model.
    """

    number: int
    at_s: float
    tenant_id: str
    text: str
    kind: str
    question: int
    version: int
    form: Form
    cost_usd: float
    latency_s: float

    def takes_answer_of(self, earlier: StreamRequest) -> bool:
        """Return whether the answer that an earlier request got is right for this one now."""
        return self.asks_the_same_as(earlier) and self.version == earlier.version

    def asks_the_same_as(self, earlier: StreamRequest) -> bool:
        """Return whether an earlier request's answer was right for this one when it was made."""
        return (self.tenant_id, self.question) == (earlier.tenant_id, earlier.question)


@dataclass(frozen=True)
class Stream:
    """Requests in order of time.

    Parameters
    ----------
    name, source
        What it is called, and where the requests come from.
    days
        How long it lasts.
    requests
        All of them.
    changes_s
        By question, the times at which its answer changes.
    """

    name: str
    days: float
    source: str
    requests: tuple[StreamRequest, ...]
    changes_s: tuple[NDArray[np.float64], ...]

    @property
    def half_s(self) -> float:
        """Seconds to its middle: what comes before is for learning, what comes after for judging."""
        return self.days * 86_400.0 / 2

    def version(self, question: int, at_s: float) -> int:
        """Return how often a question's answer has changed by a time."""
        return int(np.searchsorted(self.changes_s[question], at_s, side="right"))

    def is_right(self, request: StreamRequest, source: int) -> bool:
        """Return whether the answer that another request got, by number, is right for a request."""
        made_for = self.requests[source]
        return request.asks_the_same_as(made_for) and request.version == made_for.version

    def until(self, at_s: float) -> Stream:
        """Return the requests before a time, as a stream of that length."""
        before = tuple(request for request in self.requests if request.at_s < at_s)
        return Stream(self.name, at_s / 86_400.0, self.source, before, self.changes_s)
