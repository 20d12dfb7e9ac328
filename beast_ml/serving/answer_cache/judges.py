"""Whether a cached answer would have served a request as well as the one that was made for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from beast_ml.cache.demand import AUDIT
from beast_ml.errors import BeastError
from beast_ml.events import events
from beast_ml.serving.answer_cache.completion import text_of_completion
from beast_ml.serving.gateway.chat_request import decode_chat
from beast_ml.serving.gateway.contract import WholeAnswer
from beast_ml.serving.request_ids import RequestIds

if TYPE_CHECKING:
    from beast_ml.serving.gateway.gateway import Gateway

__all__ = ["Doubt", "EqualAnswers", "Judge", "ModelJudge", "same_words"]

_INSTRUCTION: Final = (
    "You check a cache of answers. You are given a request and two answers: A was made for it, B for another request. "
    "Say whether B would serve the one who asked as well as A does: the same facts and conclusion, nothing wrong, "
    "nothing missing that was asked for. Wording and length do not matter. Reply with one word: yes or no."
)
_MOST_CHARS: Final = 8000


class Doubt(msgspec.Struct, frozen=True):
    """A cached completion that is judged by a new one.

    Parameters
    ----------
    tenant, question
        Whose request, and what it says.
    fresh, cached
        Completions: the one made for it, and the one that the cache has.
    """

    tenant: str
    question: str
    fresh: bytes
    cached: bytes


class Judge(Protocol):
    """Judges answers."""

    @property
    def is_free(self) -> bool:
        """Whether a verdict costs nothing."""
        ...

    def may_see(self, models: Collection[str] | None) -> bool:
        """Whether it may see the texts of a request that allows these models alone; None: it allows all."""
        ...

    async def wrong(self, doubt: Doubt) -> bool | None:
        """Return whether the cached completion is wrong; None where that cannot be told."""
        ...


class EqualAnswers:
    """Takes a cached answer for wrong unless it says the same in the same words: for labels, extracts and the like."""

    is_free = True  # as `Judge` has it

    def may_see(self, models: Collection[str] | None) -> bool:
        """Return True: no model sees anything."""
        return True

    async def wrong(self, doubt: Doubt) -> bool | None:
        """Return whether the answers differ in more than blanks, case and a full stop; see `Judge`."""
        texts = text_of_completion(doubt.fresh), text_of_completion(doubt.cached)
        if texts[0] is None or texts[1] is None:
            return None
        return not same_words(texts[0], texts[1])


class ModelJudge:
    """Asks a model. Its calls are in the request log, under the tenant whose cache it is, and count to its budgets.

    Parameters
    ----------
    gateway, ids
        Calls the model.
    model
        Which one.
    """

    is_free = False  # as `Judge` has it

    def __init__(self, gateway: Gateway, ids: RequestIds, model: str) -> None:
        self._gateway, self._ids, self._model = gateway, ids, model

    def may_see(self, models: Collection[str] | None) -> bool:
        """Return whether the model is one of those; see `Judge`."""
        return models is None or self._model in models

    async def wrong(self, doubt: Doubt) -> bool | None:
        """Return the model's verdict; None also where it would not see all: see `Judge`."""
        question, a, b = doubt.question, text_of_completion(doubt.fresh), text_of_completion(doubt.cached)
        if a is None or b is None or not question:
            return None
        if max(len(question), len(a), len(b)) > _MOST_CHARS:  # they may differ where they would be cut
            return None
        said = f"Request:\n{question}\n\nA:\n{a}\n\nB:\n{b}"
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": said}],
            "temperature": 0,
            "max_tokens": 4,
            "beast": {"app": AUDIT},
        }
        chat = decode_chat(msgspec.json.encode(body))
        try:
            answer = await self._gateway.answer(chat, doubt.tenant, self._ids.issue(doubt.tenant, "chat"))
        except BeastError as error:
            events.warning("cache.not_judged", error=str(error))
            return None
        word = (text_of_completion(answer.body) or "" if isinstance(answer, WholeAnswer) else "").strip().lower()
        return False if word.startswith("yes") else True if word.startswith("no") else None


def same_words(a: str, b: str) -> bool:
    """Return whether two answers differ in no more than blanks, case and a full stop.

    Examples
    --------
    >>> same_words("Paris.", " paris"), same_words("Paris", "Rome")
    (True, False)
    """
    return _words(a) == _words(b)


def _words(text: str) -> list[str]:
    return text.casefold().rstrip().removesuffix(".").split()
