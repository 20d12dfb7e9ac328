"""The rules both kinds of table are checked by, as pandera checks that name the reason a row is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.logs.schema import MAX_ID_CHARACTERS

__all__ = [
    "MAX_PROMPT_BYTES",
    "amount",
    "broken_rules",
    "identifier",
    "nan_faults",
    "one_of",
    "prompt_size",
    "required",
    "rule",
    "share",
]

MAX_PROMPT_BYTES: Final = 10_000_000
"""Longer prompts are quarantined: no candidate model reads them, and one would outweigh a whole table in memory."""


def rule(reason: str, holds: Callable[[Any], Any]) -> pandera.Check:
    """Return a check that is handed a whole column, nulls included, and names the reason it fails for."""
    return pandera.Check(holds, error=reason, ignore_na=False)


def required(name: str) -> list[pandera.Check]:
    """Return the check that a value is there."""
    return [rule(f"{name} is missing", lambda column: column.notna())]


def amount(name: str) -> list[pandera.Check]:
    """Return the checks of a cost, a duration or a count: finite and not negative, or unknown."""
    return [
        rule(f"{name} is infinite", lambda column: ~np.isinf(column)),
        rule(f"{name} is negative", lambda column: ~(column < 0) | np.isinf(column)),
    ]


def share(name: str, *, zero: bool = True) -> list[pandera.Check]:
    """Return the checks of a number in 0..1 (or, without zero, in (0, 1]), or unknown."""
    low, words = ("both", "0..1") if zero else ("right", "(0, 1]")
    return [
        rule(f"{name} is infinite", lambda column: ~np.isinf(column)),
        rule(
            f"{name} is outside {words}",
            lambda column: column.between(0, 1, inclusive=low) | column.isna() | np.isinf(column),
        ),
    ]


def identifier(name: str) -> list[pandera.Check]:
    """Return the checks of an id or a name: not empty, not overlong, without control characters."""
    return [
        _text_rule(f"{name} is empty", lambda text: pc.not_equal(pc.utf8_trim_whitespace(text), "")),
        _text_rule(
            f"{name} is longer than {MAX_ID_CHARACTERS} characters",
            lambda text: pc.less_equal(pc.utf8_length(text), MAX_ID_CHARACTERS),
        ),
        _text_rule(
            f"{name} holds control characters",
            lambda text: pc.invert(pc.match_substring_regex(text, r"[\x00-\x1f]")),
        ),
    ]


def prompt_size(name: str = "prompt") -> list[pandera.Check]:
    """Return the check that a prompt is at most `MAX_PROMPT_BYTES` long."""
    reason = f"{name} is longer than {MAX_PROMPT_BYTES // 10**6} MB"
    return [_text_rule(reason, lambda text: pc.less_equal(pc.binary_length(text), MAX_PROMPT_BYTES))]


def one_of(name: str, values: Sequence[str]) -> list[pandera.Check]:
    """Return the check that a text is one of these, or unknown."""
    reason = f"{name} is none of {', '.join(values)}"
    return [rule(reason, lambda column: column.isin(list(values)) | column.isna())]


def nan_faults(table: pa.Table, names: Sequence[str]) -> dict[int, str]:
    """Return row -> reason where a number is NaN, which pandas could not tell from an unknown one."""
    faults: dict[int, str] = {}
    for name in names:
        is_nan = pc.is_nan(table[name]).fill_null(False).to_numpy()
        for position in np.flatnonzero(is_nan).tolist():
            faults.setdefault(position, f"{name} is NaN")
    return faults


def broken_rules(
    schema: pandera.DataFrameSchema, frame: pd.DataFrame, positions: NDArray[np.intp]
) -> list[tuple[int, str]]:
    """Return (position, reason) of each rule a row breaks, those of earlier columns and checks first.

    Parameters
    ----------
    schema
        Its checks' errors are the reasons.
    frame
        Rows, indexed 0 .. n - 1.
    positions
        (n,) what to call each row in the answer.
    """
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        order = {name: i for i, name in enumerate(frame.columns)}
        cases = cases.assign(_order=cases["column"].map(order))
        cases = cases.sort_values(["index", "_order", "check_number"], kind="stable")
        rows = positions[cases["index"].to_numpy(dtype=np.intp)]
        return list(zip(rows.tolist(), cases["check"].astype(str).tolist(), strict=True))
    return []


def _text_rule(reason: str, holds: Callable[[pa.Array], pa.Array]) -> pandera.Check:
    """Return a check of a rule on Arrow text; a null breaks none."""

    def held(column: pd.Series[Any]) -> pd.Series[bool]:
        mask = holds(pa.array(column, pa.large_string())).fill_null(True)
        return pd.Series(mask.to_numpy(zero_copy_only=False), index=column.index)

    return rule(reason, held)
