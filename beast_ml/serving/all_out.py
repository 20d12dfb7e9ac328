"""What is said where nobody may be called: when each model is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, Protocol

from beast_ml.errors import UnavailableError

__all__ = ["all_out"]

_MAX_NAMED: Final = 5


class _Waits(Protocol):
    def tried_again_in_s(self, model: str) -> float: ...


def all_out(health: _Waits, models: Sequence[str], otherwise: str = "") -> UnavailableError:
    """Return the error, the model that is tried again the soonest first.

    Parameters
    ----------
    health
        Knows in how many seconds a model is tried again.
    models
        Those that could answer.
    otherwise
        What a client can do beside waiting.
    """
    waits = sorted((max(1, ceil(health.tried_again_in_s(name))), name) for name in models)
    told = ", ".join(f"{name!r} is tried again in {wait} s" for wait, name in waits[:_MAX_NAMED])
    more = f", and {len(waits) - _MAX_NAMED} others later" if len(waits) > _MAX_NAMED else ""
    soonest_s = waits[0][0]
    return UnavailableError(
        f"every candidate that could answer is out, their last calls failed ({told}{more}): try again in "
        f"{soonest_s} s{otherwise}",
        soonest_s,
    )
