"""The paths that are measured: where requests go, what is in them, and which server answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from beast_ml.benchmarks.serving.hit_part import cacheable
from beast_ml.benchmarks.serving.payloads import chats, routes, varied, write_bodies

__all__ = ["CACHED_PATHS", "PATHS", "PLAIN_PATHS", "PROVIDER_PATHS", "MeasuredPath", "bodies_of", "chosen_paths"]

_N_AGAIN: Final = 200
_SPARE: Final = 20
_ROUTE: Final = "/v1/route"
_CHAT: Final = "/v1/chat/completions"


@dataclass(frozen=True)
class MeasuredPath:
    """One kind of request.

    Parameters
    ----------
    name
        In reports, mixes and files.
    url
        Where it is posted to.
    sends
        ``new``: prompts that were not sent before; ``again``: a few over and over; ``ids``: about decisions made just
        before.
    streamed
        Whether a chat wants a stream.
    """

    name: str
    url: str
    sends: Literal["new", "again", "ids"]
    streamed: bool = False


PLAIN_PATHS: Final = (
    MeasuredPath("unseen", _ROUTE, "new"),
    MeasuredPath("seen", _ROUTE, "again"),
    MeasuredPath("outcomes", "/v1/outcomes", "ids"),
    MeasuredPath("feedback", "/v1/feedback", "ids"),
    MeasuredPath("gateway", _CHAT, "new"),
    MeasuredPath("gateway streamed", _CHAT, "new", streamed=True),
)
"""Of a server without a cache. Those about decisions come after the one that makes them."""

CACHED_PATHS: Final = (
    MeasuredPath("miss", _CHAT, "new"),
    MeasuredPath("miss streamed", _CHAT, "new", streamed=True),
    MeasuredPath("hit", _CHAT, "again"),
    MeasuredPath("hit streamed", _CHAT, "again", streamed=True),
)
"""Of a server with one."""

PATHS: Final = {path.name: path for path in (*PLAIN_PATHS, *CACHED_PATHS)}
"""All of them, by name."""

PROVIDER_PATHS: Final = ("gateway", "gateway streamed", "miss", "miss streamed")
"""Those on which a provider is waited for."""


def chosen_paths(names: Sequence[str]) -> tuple[tuple[MeasuredPath, ...], tuple[MeasuredPath, ...]]:
    """Return the paths of these names that a server without a cache answers, and those of one with it."""
    return tuple(p for p in PLAIN_PATHS if p.name in names), tuple(p for p in CACHED_PATHS if p.name in names)


def bodies_of(path: MeasuredPath, folder: Path, base: Sequence[str], n_new: int, ids: Sequence[str] = ()) -> Path:
    """Return a file of a path's bodies, written where it is not there yet; those about ids always.

    Parameters
    ----------
    path
        Whose bodies.
    folder
        For files.
    base
        Different prompts.
    n_new
        Prompts that are not sent twice, where they must be new.
    ids
        Of decisions.
    """
    known = {"new": str(n_new), "again": "again", "ids": path.name}[path.sends]
    kind = "chats" if path.url == _CHAT else "routes"
    kind = f"fit-{kind}" if path in CACHED_PATHS else kind
    file = folder / f"{kind}{'-streamed' * path.streamed}-{known}.jsonl"
    if path.sends == "ids":
        write_bodies(file, _reports(path, ids))
    elif not file.is_file():
        write_bodies(file, _requests(path, base, n_new))
    return file


def _requests(path: MeasuredPath, base: Sequence[str], n_new: int) -> Iterator[dict[str, Any]]:
    n_prompts = _N_AGAIN if path.sends == "again" else n_new
    prompts: Iterator[str] = varied(base, n_prompts)
    if path in CACHED_PATHS:  # what is not fit for a cache would be neither a hit nor a miss
        prompts = iter(_fit(tuple(base), n_prompts))
    if path.url == _CHAT:
        return chats(prompts, "beast", stream=path.streamed)
    return routes(prompts)


@lru_cache(maxsize=4)
def _fit(base: tuple[str, ...], n_prompts: int) -> tuple[str, ...]:
    return tuple(islice(cacheable(varied(base, _SPARE * n_prompts)), n_prompts))


def _reports(path: MeasuredPath, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    told: dict[str, Any] = {"thumbs": "up"} if path.name == "feedback" else {"cost_usd": 0.001, "latency_s": 1.5}
    for request_id in ids:
        yield {"request_id": request_id, **told}
