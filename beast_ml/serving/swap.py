"""Before a bundle replaces another one: it is loaded beside it, and tried on requests that were just served."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from beast_ml.bundle.read import read_bundle
from beast_ml.domain import Price
from beast_ml.errors import BeastError, BundleError, BundleIntegrityError, NoCandidateError
from beast_ml.events import events
from beast_ml.registry.bundle_cache import hold
from beast_ml.registry.bundle_pointer import BundlePointer
from beast_ml.serving.refusals import Refusals, refusal_of
from beast_ml.serving.router import Router

__all__ = ["Swap", "Trials", "load_router", "seconds_since"]

_WARM_UP: Final = (
    "What is 2 + 2?",
    "",
    "Write a Python function that reverses a linked list, and explain its complexity.\n```python\n```",
    "Résumé: naïve Überprüfung 漢字 🙂 " * 8,
    "Summarise the following meeting notes in three bullet points. " * 40,
)
"""Of every kind there is: empty, short, long, in other scripts."""

_SLOWER: Final = 5.0
_SLOW_S: Final = 0.001
"""A decision below a millisecond is quick enough, however quick it was before."""
_BREATH_S: Final = 0.0005
_N_RECENT: Final = 64
_RECENT_CHARS: Final = 8192
_N_TIMED: Final = 16


class Swap(msgspec.Struct, frozen=True):
    """What became of a bundle that was to be served.

    Parameters
    ----------
    result
        ``swapped`` in, ``refused`` before that, or ``rolled_back`` after it.
    digest, version
        Of the bundle.
    previous
        Digest of the one that served before.
    serving
        Digest of the one that serves now.
    alias
        None for the router that serves; else the alias that is followed beside it.
    reason
        Why not, where it was refused or rolled back.
    after_s
        Seconds from the moment the registry was found to point at it.
    """

    result: Literal["swapped", "refused", "rolled_back"]
    digest: str
    version: int | None
    previous: str
    serving: str
    alias: str | None = None
    reason: str | None = None
    after_s: float | None = None


class Trials:
    """Tries bundles before they serve.

    Parameters
    ----------
    refusals
        Takes in those that fail.
    prices
        Token prices that hold in place of those in the bundles.
    listener
        Is told of those that fail.
    """

    def __init__(
        self, refusals: Refusals, prices: Mapping[str, Price] | None, listener: Callable[[Swap], None]
    ) -> None:
        self._refusals = refusals
        self._prices = prices
        self._listener = listener
        self._recent: deque[str] = deque(maxlen=_N_RECENT)

    def served(self, prompt: str) -> None:
        """Keep a prompt to try the next bundle on: the last 64 are kept, of long ones the beginning."""
        self._recent.append(prompt if len(prompt) <= _RECENT_CHARS else prompt[:_RECENT_CHARS])

    async def router(self, pointer: BundlePointer, old: Router, alias: str | None = None) -> Router | None:
        """Return the router behind a pointer, which may take over from the old one; None where it is refused."""
        folder, prompts = Path(pointer.path or ""), tuple(self._recent)
        try:
            router = await asyncio.to_thread(load_router, folder, pointer.digest, self._prices, old)
            new_s = await asyncio.to_thread(_rehearse, router, prompts)
            _check_speed(router, new_s, await _seconds_beside_requests(old, prompts))
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, the one that serves goes on serving
            self._refuse(pointer, old, alias, str(error) if isinstance(error, BeastError) else repr(error))
            return None
        return router

    def _refuse(self, pointer: BundlePointer, old: Router, alias: str | None, reason: str) -> None:
        digest, version = pointer.digest or "", pointer.version
        self._refusals.add(refusal_of(digest, version, reason))
        events.error("runtime.refused", bundle=digest, version=version, alias=alias, reason=reason)
        self._listener(
            Swap("refused", digest, version, old.version, old.version, alias, reason, seconds_since(pointer))
        )


def load_router(
    folder: Path, digest: str | None, prices: Mapping[str, Price] | None, beside: Router | None = None
) -> Router:
    """Return the router of a verified bundle, warm: the first request after this is as quick as the others.

    Parameters
    ----------
    folder
        Where the bundle is.
    digest
        Which one it must be; None: whichever it is.
    prices
        Token prices that hold in place of those in the bundle.
    beside
        The router that serves; the two share an encoder that is the same, which is most of a bundle's memory.

    Raises
    ------
    BundleError
        If it cannot be read, or not decide; `BundleIntegrityError` if it is not the one that was meant.
    """
    bundle = read_bundle(folder, None if beside is None else beside.bundle.features.encoder)
    if digest is not None and bundle.manifest.digest != digest:
        raise BundleIntegrityError(
            f"{folder} holds the bundle {bundle.manifest.digest}, but {digest} was meant: its files were replaced"
        )
    router = Router(bundle.with_prices(prices) if prices else bundle)
    hold(folder, router)
    for prompt in _WARM_UP:
        try:
            _rehearse(router, [prompt])
        except NoCandidateError:
            continue  # the policy's own constraints may leave nobody for what nobody asked
    return router


def seconds_since(pointer: BundlePointer) -> float | None:
    """Return how long ago a pointer was found to have moved."""
    if pointer.changed_at is None:
        return None
    return round((datetime.now(UTC) - pointer.changed_at).total_seconds(), 3)


def _rehearse(router: Router, prompts: Sequence[str]) -> float:
    """Decide for prompts and return the median CPU seconds of a decision; give way to requests between them.

    Raises
    ------
    BundleError
        If a decision fails, or comes without a probability.
    NoCandidateError
        If the policy's constraints leave nobody.
    """
    seconds = []
    for i, prompt in enumerate(prompts):
        try:
            seconds.append(_seconds_of(router, prompt))
        except NoCandidateError:
            raise
        except Exception as error:
            raise BundleError(
                f"the bundle {router.version[:12]} fails on request {i + 1} of {len(prompts)} that it was tried on: "
                f"{error!r}"
            ) from error
        time.sleep(_BREATH_S)
    return statistics.median(seconds) if seconds else 0.0


async def _seconds_beside_requests(router: Router, prompts: Sequence[str]) -> float | None:
    """Return the median CPU seconds of a decision of the router that serves; None where it cannot decide.

    It is asked in the thread where it serves, between requests: routers are not made to be shared by threads.
    """
    seconds = []
    for prompt in prompts[:_N_TIMED]:
        try:
            seconds.append(_seconds_of(router, prompt))
        except Exception:  # noqa: BLE001  then there is nothing to compare with
            return None
        await asyncio.sleep(0)
    return statistics.median(seconds) if seconds else None


def _seconds_of(router: Router, prompt: str) -> float:
    began = time.thread_time()
    decision = router.route(prompt)
    took = time.thread_time() - began
    if not 0.0 < decision.propensity <= 1.0:
        raise BundleError(f"a propensity of {decision.propensity!r}, must be in (0, 1]")
    return took


def _check_speed(router: Router, new_s: float, old_s: float | None) -> None:
    if old_s is not None and new_s > max(_SLOW_S, _SLOWER * old_s):
        raise BundleError(
            f"the bundle {router.version[:12]} takes {new_s * 1e3:.2f} ms for a decision, the one that serves "
            f"{old_s * 1e3:.2f} ms: at most {_SLOWER:g} times as long is allowed"
        )
