"""What requests do: the share of each path, and what else clients tell about them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from beast_ml.errors import InputError

__all__ = ["HIT_PATHS", "MIXES", "REPORT_PATHS", "choose_mix", "with_hit_share"]

REPORT_PATHS: Final = ("outcomes", "feedback")
"""Calls that tell about a request, beside it: they are no requests of their own in a rate."""

HIT_PATHS: Final = ("seen", "hit", "hit streamed")
"""Requests that an earlier one has made cheaper."""

MIXES: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "route": MappingProxyType({"unseen": 0.7, "seen": 0.3, "outcomes": 1.0, "feedback": 0.05}),
        "gateway": MappingProxyType(
            {"miss": 0.35, "miss streamed": 0.35, "hit": 0.15, "hit streamed": 0.15, "feedback": 0.05}
        ),
    }
)
"""Clients that ask which model to call and tell what it cost, and clients whose calls go through the gateway."""

_TOLERANCE: Final = 1e-9


def choose_mix(text: str, known: tuple[str, ...]) -> dict[str, float]:
    """Return calls a request by path: of a mix by its name, or of ``path=share,path=share``.

    Parameters
    ----------
    text
        What was asked for.
    known
        Paths there are.

    Raises
    ------
    InputError
        If there is no such mix or path, or the shares of requests are not 1 together.

    Examples
    --------
    >>> choose_mix("unseen=0.25, seen=0.75, outcomes=1", ("unseen", "seen", "outcomes"))
    {'unseen': 0.25, 'seen': 0.75, 'outcomes': 1.0}
    """
    if text in MIXES:
        return dict(MIXES[text])
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (each.strip() for each in part.partition("="))
        if name not in known:
            raise InputError(
                f"`--mix` == {text!r}: {name!r} is neither a mix ({', '.join(MIXES)}) nor a path ({', '.join(known)})"
            )
        try:
            found[name] = float(share)
        except ValueError:
            raise InputError(f"`--mix` == {text!r}: {name} needs a share, such as {name}=0.5") from None
    total = sum(share for name, share in found.items() if name not in REPORT_PATHS)
    if any(share < 0 for share in found.values()) or abs(total - 1.0) > 1e-6:
        raise InputError(
            f"`--mix` == {text!r}: the shares of requests are {total:g} together, must be 1 and none below 0 "
            f"({', '.join(REPORT_PATHS)} are calls a request, beside them)"
        )
    return found


def with_hit_share(mix: Mapping[str, float], share: float) -> dict[str, float]:
    """Return a mix in which another share of requests is of `HIT_PATHS`; the others keep their proportions.

    Raises
    ------
    InputError
        If the mix has no hits, or nothing but hits.

    Examples
    --------
    >>> with_hit_share({"miss": 0.5, "hit": 0.5, "feedback": 0.1}, 0.9)["hit"]
    0.9
    """
    hits = sum(calls for name, calls in mix.items() if name in HIT_PATHS)
    others = sum(calls for name, calls in mix.items() if name not in (*HIT_PATHS, *REPORT_PATHS))
    if hits < _TOLERANCE or others < _TOLERANCE:
        raise InputError(f"a mix of {', '.join(mix)} has no share of hits to change")

    def scaled(name: str, calls: float) -> float:
        if name in REPORT_PATHS:
            return calls
        return calls / hits * share if name in HIT_PATHS else calls / others * (1.0 - share)

    return {name: scaled(name, calls) for name, calls in mix.items()}
