"""The newest requests of the log, in columns, with what became known of them later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.logs.endings import REFUSED
from beast_ml.logs.secrets import without_secrets
from beast_ml.serving.dashboard.log_lines import FeedbackLine, LogLine, OutcomeLine, RequestLine

__all__ = ["NUMBERS", "TEXTS", "RequestTable", "Rows"]

Floats = NDArray[np.float64]

NUMBERS: Final = (
    "received_s",
    "latency_s",
    "cost_usd",
    "predicted_cost_usd",
    "predicted_quality",
    "quality",
    "decision_us",
    "input_tokens",
    "output_tokens",
)
"""Columns of numbers; NaN where not known."""

TEXTS: Final = (
    "tenant_id",
    "request_kind",
    "chosen_model",
    "served_model",
    "status",
    "error_kind",
    "failed_first",
    "cache_result",
    "cache_tier",
    "experiment_id",
    "variant",
)
"""Columns of words, kept as numbers of a vocabulary; "" where not known."""

_PROMPT_CHARACTERS: Final = 160
_MOST_EARLY: Final = 10_000
_OPEN: Final = "unreported"


class Rows:
    """Some requests, in no order; a column is gathered when it is first asked for.

    Parameters
    ----------
    numbers
        Name -> a whole column; see `NUMBERS`.
    codes
        Name -> a whole column of numbers of words; see `TEXTS`.
    words
        Name -> the words by number; the first one is "". They may become more, so they are read after the codes.
    places
        (n,) where these requests are in the columns.
    """

    def __init__(
        self,
        numbers: Mapping[str, Floats],
        codes: Mapping[str, NDArray[np.int32]],
        words: Mapping[str, list[str]],
        places: NDArray[np.intp],
    ) -> None:
        self.words, self.places = words, places
        self._all_numbers, self._all_codes = numbers, codes
        self._numbers: dict[str, Floats] = {}
        self._codes: dict[str, NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, name: str) -> Floats:
        """Return (n,) values of a column of numbers."""
        if name not in self._numbers:
            self._numbers[name] = self._all_numbers[name][self.places]
        return self._numbers[name]

    def codes(self, name: str) -> NDArray[np.int32]:
        """Return (n,) numbers of the words of a column."""
        if name not in self._codes:
            self._codes[name] = self._all_codes[name][self.places]
        return self._codes[name]

    def having(self, mask: NDArray[np.bool_]) -> Rows:
        """Return those for which the mask is true."""
        return Rows(self._all_numbers, self._all_codes, self.words, self.places[mask])

    def where(self, name: str, *wanted: str) -> NDArray[np.bool_]:
        """Return (n,) whether a column has one of some words."""
        codes = self.codes(name)
        return np.array([word in wanted for word in self.words[name]])[codes]

    def counts(self, name: str) -> dict[str, int]:
        """Return how often each word of a column is there, the most frequent first; without ""."""
        n = np.bincount(self.codes(name))
        found = {self.words[name][i]: int(n[i]) for i in np.flatnonzero(n) if self.words[name][i]}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


class RequestTable:
    """Keeps the newest rows, each request once.

    Parameters
    ----------
    capacity
        Rows; the oldest to come in leaves first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._numbers = {name: np.full(capacity, np.nan) for name in NUMBERS}
        self._codes = {name: np.zeros(capacity, np.int32) for name in TEXTS}
        self._numbers_of: dict[str, dict[str, int]] = {name: {"": 0} for name in TEXTS}
        self._words: dict[str, list[str]] = {name: [""] for name in TEXTS}
        self._told_s = {what: np.full(capacity, -np.inf) for what in ("outcome", "feedback")}
        self._ids: list[str] = [""] * capacity
        self._prompts: list[str | None] = [None] * capacity
        self._place_of: dict[str, int] = {}
        self._early: OrderedDict[str, list[OutcomeLine | FeedbackLine]] = OrderedDict()
        self.n_seen = 0
        """Requests that ever came in."""
        self.version = 0
        """Grows with every change."""

    @property
    def is_full(self) -> bool:
        """Whether older rows were dropped."""
        return self.n_seen > self._capacity

    def add(self, lines: Iterable[LogLine]) -> None:
        """Take in rows of the log; those that are known already change nothing.

        What is told of a request that did not come yet waits for it: workers write into files of their own.
        """
        for line in lines:
            match line:
                case RequestLine():
                    self._add_request(line)
                case OutcomeLine() | FeedbackLine():
                    self._tell(line)
        self.version += 1

    def rows(self, since_s: float) -> Rows:
        """Return the requests received at or after a time."""
        n = min(self.n_seen, self._capacity)
        places = np.flatnonzero(self._numbers["received_s"][:n] >= since_s)
        return Rows(self._numbers, self._codes, self._words, places)

    def request_id(self, place: int) -> str:
        """Return the id of the request at a place."""
        return self._ids[place]

    def prompt(self, place: int) -> str | None:
        """Return the beginning of a request's prompt; None where the log does not hold it."""
        return self._prompts[place]

    def _add_request(self, line: RequestLine) -> None:
        if line.request_id in self._place_of:
            return
        place = self.n_seen % self._capacity
        if self._ids[place]:
            del self._place_of[self._ids[place]]
        self.n_seen += 1
        self._ids[place] = line.request_id
        self._place_of[line.request_id] = place
        # A row of a million characters must not stay in memory for the sake of its beginning.
        self._prompts[place] = (
            None if line.prompt is None else _beginning(without_secrets(line.prompt[: 2 * _PROMPT_CHARACTERS]))
        )
        for name in NUMBERS[1:]:
            self._set_number(place, name, getattr(line, name))
        self._set_number(place, "received_s", line.received_at.timestamp())
        for name in TEXTS:
            self._set_word(place, name, getattr(line, name))
        self._told_s["outcome"][place] = -np.inf
        self._told_s["feedback"][place] = -np.inf if line.feedback_at is None else line.feedback_at.timestamp()
        self._infer_server(place)
        for late in self._early.pop(line.request_id, ()):
            self._tell(late)

    def _tell(self, line: OutcomeLine | FeedbackLine) -> None:
        place = self._place_of.get(line.request_id)
        if place is None:
            self._early.setdefault(line.request_id, []).append(line)
            if len(self._early) > _MOST_EARLY:
                self._early.popitem(last=False)
            return
        if self._word(place, "status") in REFUSED:  # nobody was called: there is nothing to tell
            return
        if isinstance(line, FeedbackLine):
            if self._is_newer(place, "feedback", line.feedback_at):
                self._set_number(place, "quality", line.quality)
                if self._word(place, "error_kind") == _OPEN:  # a label says that it was answered
                    self._set_word(place, "status", "ok")
        elif self._is_newer(place, "outcome", line.observed_at):
            for name in ("latency_s", "output_tokens", "cost_usd"):
                if getattr(line, name) is not None:
                    self._set_number(place, name, getattr(line, name))
            if line.served_model is not None:
                self._set_word(place, "served_model", line.served_model)
            if line.status is not None:
                self._set_word(place, "status", line.status)
                self._set_word(place, "error_kind", line.error_kind)
        self._infer_server(place)

    def _infer_server(self, place: int) -> None:
        """Of an answer of which nobody says who gave it: the chosen model; a success has no error."""
        if self._word(place, "status") == "ok":
            self._set_word(place, "error_kind", None)
            if not self._word(place, "served_model"):
                self._set_word(place, "served_model", self._word(place, "chosen_model"))

    def _is_newer(self, place: int, what: str, at: datetime) -> bool:
        told_s = self._told_s[what]
        if at.timestamp() < told_s[place]:
            return False
        told_s[place] = at.timestamp()
        return True

    def _set_number(self, place: int, name: str, value: float | None) -> None:
        self._numbers[name][place] = np.nan if value is None else value

    def _set_word(self, place: int, name: str, word: str | None) -> None:
        known = self._numbers_of[name]
        number = known.setdefault(word or "", len(known))
        if number == len(self._words[name]):
            self._words[name].append(word or "")
        self._codes[name][place] = number

    def _word(self, place: int, name: str) -> str:
        return self._words[name][int(self._codes[name][place])]


def _beginning(prompt: str) -> str:
    """Return a prompt, or its beginning with a sign that it goes on."""
    return prompt if len(prompt) <= _PROMPT_CHARACTERS else f"{prompt[: _PROMPT_CHARACTERS - 1]}…"
