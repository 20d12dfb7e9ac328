"""Which requests of a log a cache would have answered: the same key of the same tenant, within an answer's life."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.bypass import Bypass
from beast_ml.cache.replay.workers_cache import ReplayKeys

__all__ = ["repeats_of"]


def repeats_of(
    tenants: Sequence[str],
    prompts: Sequence[str],
    received_s: NDArray[np.float64],
    answered: NDArray[np.bool_],
    life_s: float,
) -> NDArray[np.intp]:
    """Return (n,) the earlier request whose answer a request would get, -1 where a model must answer.

    Keys and bypass rules are those that serve, exact and normalised. An answer is kept for its life from when it was
    made; whoever comes later makes a new one.

    Parameters
    ----------
    received_s
        (n,) seconds; the requests may come in any order.
    answered
        (n,) which of them were answered, so that there is something to keep.
    life_s
        Seconds that an answer is kept.
    """
    keys, kept = ReplayKeys(), dict[object, int]()
    source = np.full(len(prompts), -1, dtype=np.intp)
    for i in np.argsort(received_s, kind="stable").tolist():
        key = keys.of(tenants[i], prompts[i])
        if isinstance(key, Bypass):
            continue
        earlier = kept.get(key.normalised)
        if earlier is not None and received_s[i] - received_s[earlier] <= life_s:
            source[i] = earlier
        elif answered[i]:
            kept[key.normalised] = i
    return source
