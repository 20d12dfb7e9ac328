"""What people do tells how an answer was: they ask again, have it written anew, or stop it. Hints, not labels.

A hint is logged as a row of ``signals`` and never as a quality: many a retry has other causes. `WEAK_QUALITY` says how
strongly each speaks against an answer; the numbers are conventions, not estimates.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from beast_ml.errors import InputError

__all__ = ["WEAK_QUALITY", "ImplicitFeedback", "SignalKind", "WeakSignal"]

SignalKind = Literal["retry", "regeneration", "abandonment"]
"""What a user did that may say something of the answer."""

WEAK_QUALITY: Final[dict[SignalKind, float]] = {"retry": 0.3, "regeneration": 0.2, "abandonment": 0.4}
"""What an answer that is followed by this is worth, in 0..1, where nothing better is known."""

_MOST_REPEATS: Final = 3  # who sends the same more often is a program that samples or polls
_TOO_SOON_S: Final = 1.0  # nobody has read the answer by then: a double click, a hedged request
_SHORT: Final = 12  # "continue" and "yes" are said again in any conversation
_READ: Final = 0.9  # who stops an answer here has read it
_SPACE: Final = b" \t\n\r\v\f"
_LOWER: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")


class WeakSignal(msgspec.Struct, frozen=True):
    """A hint on how an answer was received.

    Parameters
    ----------
    request_id
        Whose answer it is about.
    kind
        ``retry``: the same prompt was sent again. ``regeneration``: the same conversation was, without the answer.
        ``abandonment``: the client stopped the answer before its end.
    weak_quality
        In 0..1; see `WEAK_QUALITY`.
    """

    request_id: str
    kind: SignalKind
    weak_quality: float


class _Seen:
    """A request of somebody, as long as it may be repeated."""

    __slots__ = ("at", "conversation", "failed", "repeats", "request_id", "text")

    def __init__(self, request_id: str, text: int, conversation: int, at: float) -> None:
        self.request_id, self.text, self.conversation, self.at = request_id, text, conversation, at
        self.repeats, self.failed = 0, False


class ImplicitFeedback:
    """Notices repeated requests, in one worker's memory.

    Repeats that another worker gets go unnoticed: the share of noticed ones falls with the number of workers. Requests
    that name neither user nor session are not looked at, and texts are kept as hashes only.

    Parameters
    ----------
    window_s
        Seconds within which the same prompt counts as a repeat.
    max_requests
        Most requests that are remembered; the oldest are forgotten first.
    monotonic
        Seconds that never run backwards.

    Examples
    --------
    >>> now = 0.0
    >>> noticed = ImplicitFeedback(monotonic=lambda: now)
    >>> noticed.sent("r1", "acme", "ann", None, "What is a monad?")
    >>> now = 30.0
    >>> noticed.sent("r2", "acme", "ann", None, "what is a  monad")
    WeakSignal(request_id='r1', kind='retry', weak_quality=0.3)
    """

    def __init__(
        self,
        *,
        window_s: float = 300.0,
        max_requests: int = 20_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < window_s < float("inf"):
            raise InputError(f"`window_s` == {window_s}, must be a number of seconds > 0")
        if max_requests < 1:
            raise InputError(f"`max_requests` == {max_requests}, must be at least 1")
        self._window_s, self._max = window_s, max_requests
        self._monotonic = monotonic
        self._by_text: OrderedDict[int, _Seen] = OrderedDict()  # the last sent with each text by each person, by age
        self._by_id: dict[str, _Seen] = {}

    def __len__(self) -> int:
        return len(self._by_text)

    def sent(
        self,
        request_id: str,
        tenant: str,
        user_id: str | None,
        session_id: str | None,
        prompt: str,
        turns: Sequence[tuple[str, str]] = (),
    ) -> WeakSignal | None:
        """Take note of a request, and return what it says of an earlier one, if anything.

        Parameters
        ----------
        request_id, tenant, user_id, session_id
            Of the request.
        prompt
            What the user said last.
        turns
            (role, text) of the whole conversation, where it is one.

        Raises
        ------
        InputError
            If a request of this id is remembered.
        """
        if session_id is not None:
            who = f"{tenant}\0session\0{session_id}"
        elif user_id is not None:
            who = f"{tenant}\0user\0{user_id}"
        else:
            return None
        if request_id in self._by_id:
            raise InputError(f"request {request_id!r} was sent already: ids must be new")
        now = self._monotonic()
        self._forget(now)
        normalised = _normalised(prompt)
        text = hash((who, normalised))
        seen = _Seen(request_id, text, hash(tuple(turns)) if turns else 0, now)
        earlier = self._by_text.pop(text, None)
        self._by_text[text] = self._by_id[request_id] = seen
        if earlier is None:
            return None
        del self._by_id[earlier.request_id]
        seen.repeats = earlier.repeats + 1
        if earlier.failed or seen.repeats > _MOST_REPEATS or now - earlier.at < _TOO_SOON_S:
            return None  # asked again for want of an answer, or not by a person
        if turns and seen.conversation == earlier.conversation:
            kind: SignalKind = "regeneration"
        elif len(turns) > 1 and len(normalised) < _SHORT:
            return None
        else:
            kind = "retry"
        return WeakSignal(earlier.request_id, kind, WEAK_QUALITY[kind])

    def failed(self, request_id: str) -> None:
        """Take note that a request got no answer, so that asking again says nothing of one."""
        seen = self._by_id.get(request_id)
        if seen is not None:
            seen.failed = True

    def abandoned(
        self, request_id: str, streamed_tokens: int, expected_tokens: float | None = None
    ) -> WeakSignal | None:
        """Return what it says that a client stopped an answer after so many tokens.

        Nothing where it had got nine tenths of what was expected.
        """
        self.failed(request_id)  # it is said already, a repeat would say it again
        if expected_tokens is not None and streamed_tokens >= _READ * expected_tokens:
            return None
        return WeakSignal(request_id, "abandonment", WEAK_QUALITY["abandonment"])

    def _forget(self, now: float) -> None:
        by_text, since = self._by_text, now - self._window_s
        while by_text:
            oldest = next(iter(by_text.values()))
            if oldest.at >= since and len(by_text) < self._max:
                return
            del by_text[oldest.text], self._by_id[oldest.request_id]


def _normalised(prompt: str) -> bytes:
    """Return a text that is the same for prompts that differ in case, white space and closing marks only."""
    if prompt.isascii():  # the quick way for most
        text = prompt.encode().translate(_LOWER, _SPACE)
    else:
        text = "".join(prompt.lower().split()).encode("utf-8", "surrogatepass")
    return text.rstrip(b".?!") or prompt.encode("utf-8", "surrogatepass")
