"""Requests that were answered although a call for them failed: what no failed request shows, and yet went wrong."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.serving.dashboard.request_table import Rows

__all__ = ["KIND_NOT_TOLD", "answered_by_another", "rescued"]

KIND_NOT_TOLD: Final = "kind not told"
"""Of a client that called by itself, and told of another model's answer only."""


def answered_by_another(rows: Rows) -> NDArray[np.bool_]:
    """Return (n,) whether another model answered than the chosen one."""
    number: dict[str, int] = {"": -1}
    served, chosen = (
        np.array([number.setdefault(word, len(number)) for word in rows.words[name]])[codes]
        for name, codes in ((name, rows.codes(name)) for name in ("served_model", "chosen_model"))
    )
    return np.asarray((served >= 0) & (chosen >= 0) & (served != chosen))


def rescued(rows: Rows) -> NDArray[np.bool_]:
    """Return (n,) whether a request was answered by another call, of the same model or another, than the first."""
    again = answered_by_another(rows) | (rows.codes("failed_first") != 0)
    return np.asarray(rows.where("status", "ok") & again)
