"""What was observed in an experiment, as arrays in order of time, and what had to be left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.errors import DataError

__all__ = ["CONTROL", "OBSERVATION_COLUMNS", "Observations"]

CONTROL: Final = "control"
"""The variant that the others are compared with."""

OBSERVATION_COLUMNS: Final = ("unit_id", "variant", "value", "observed_at")
"""Of the data of an analysis."""

Floats = NDArray[np.float64]

_CLOCKS_DIFFER_US: Final = 5 * 60 * 1_000_000
_SKEWED_SHARE: Final = 0.01
_LARGEST: Final = 1e90  # sums of cubes of more are no numbers any longer


@dataclass(frozen=True)
class Observations:
    """Values of one metric, in order of time.

    Parameters
    ----------
    variants
        Names, the control first, the others sorted; also those of which nothing usable was observed.
    variant, unit
        (n,) position of the variant; number of the unit.
    values
        (n, 1 + k) the value, and covariates.
    observed_at
        (n,) in UTC.
    weight
        (n,) what each counts for: 1, or 1 over the variant's share of the units where shares changed on the way.
    covariates
        Names of the covariates.
    excluded
        Reason -> number of rows that were left out for it.
    notes
        What a reader should know of the data, in sentences.
    meant
        (n, variants) the shares by which each row's unit was drawn, where they were not always the same; NaN in rows
        that cannot tell whether units are divided as meant. None: nobody said.
    """

    variants: tuple[str, ...]
    variant: NDArray[np.intp]
    unit: NDArray[np.intp]
    values: Floats
    observed_at: NDArray[np.datetime64]
    weight: Floats
    covariates: tuple[str, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    meant: Floats | None = None

    def __len__(self) -> int:
        return len(self.values)

    def of(self, variant: int) -> NDArray[np.bool_]:
        """Return which observations are of a variant."""
        return np.asarray(self.variant == variant)

    @classmethod
    def from_table(
        cls,
        table: pa.Table,
        now: datetime,
        covariates: Sequence[str] = (),
        variants: Sequence[str] = (),
        meant: Mapping[str, Floats] | None = None,
    ) -> Observations:
        """Take what is usable from a table; its rows may come in any order.

        Left out, and counted, are rows without a unit, a variant, a time or a finite value; copies of a row (the same
        ``request_id`` where there is such a column, else equal in everything); rows from the future where they are
        few, as of a clock that is ahead; and of a unit that was seen in two variants what came after the second one
        appeared: until then its draw was a fair one. A covariate that is missing counts as its mean.

        Parameters
        ----------
        table
            Columns of `OBSERVATION_COLUMNS`; times without a zone are taken as UTC. A column ``weight`` says what each
            row counts for.
        now
            Aware; what is later comes from a clock that is ahead.
        covariates
            Further columns of numbers, known before a variant could act on them.
        variants
            Names that are to be reported even when nothing was observed of them.
        meant
            Variant -> (rows,) the share by which each row's unit was drawn for it, as in `Observations.meant`.

        Raises
        ------
        DataError
            If a column is missing or of another type, there is no control, or nothing to compare it with.
        """
        _check_columns(table, (*OBSERVATION_COLUMNS, *covariates))
        times, notes = _times(table["observed_at"])
        values = np.stack([_numbers(table[name], name) for name in ("value", *covariates)], axis=1)
        unit, _ = _codes(table["unit_id"])
        variant, found = _codes(table["variant"])
        names = [str(name) for name in found]
        ordered = _ordered_names(names, variants)
        variant = np.array([*(ordered.index(name) for name in names), -1], dtype=np.intp)[variant]

        left_out = _Exclusions(len(times))
        left_out.drop("no unit_id", unit < 0)
        left_out.drop("no variant", variant < 0)
        left_out.drop("no observed_at", np.isnat(times))
        left_out.drop("no finite value", ~np.isfinite(values[:, 0]))
        left_out.drop("a value too large to compute with", np.abs(values[:, 0]) > _LARGEST)
        weight = _numbers(table["weight"], "weight") if "weight" in table.column_names else np.ones(len(times))
        left_out.drop("its variant had no share then", ~(weight > 0))
        left_out.drop("observed in the future", _ahead(times, now, notes))
        left_out.drop("copy of another row", _copies(table, unit, variant, values, times, left_out.kept, notes))
        kept = np.flatnonzero(left_out.kept)
        kept = kept[np.lexsort((values[kept, 0], unit[kept], variant[kept], times[kept]))]
        switched = _after_a_switch(unit[kept], variant[kept])
        n_switchers = len(np.unique(unit[kept][switched]))
        if n_switchers:
            notes.append(f"{n_switchers} units were seen in two variants: they count for their first one, until then")
        left_out.count("unit was in another variant before", int(switched.sum()))
        kept = kept[~switched]
        _check_comparable(ordered, variant[kept])
        values = _filled(values[kept], covariates, notes)
        return cls(
            tuple(ordered),
            variant[kept],
            np.unique(unit[kept], return_inverse=True)[1].astype(np.intp),
            values,
            times[kept],
            weight[kept],
            tuple(covariates),
            left_out.reasons,
            tuple(notes),
            None if meant is None else _by_variant(meant, ordered, len(times))[kept],
        )


class _Exclusions:
    """Counts each row that is left out once, for the first reason that applies."""

    def __init__(self, n: int) -> None:
        self.kept = np.ones(n, dtype=bool)
        self.reasons: dict[str, int] = {}

    def drop(self, reason: str, rows: NDArray[np.bool_]) -> None:
        self.count(reason, int((rows & self.kept).sum()))
        self.kept &= ~rows

    def count(self, reason: str, n: int) -> None:
        if n:
            self.reasons[reason] = n


def _check_columns(table: pa.Table, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise DataError(
            f"the data have no column {missing[0]!r}, only {', '.join(table.column_names) or 'none'}: "
            f"needed are {', '.join(needed)}"
        )


def _times(column: pa.ChunkedArray) -> tuple[NDArray[np.datetime64], list[str]]:
    """Return times in UTC; texts are read as ISO 8601."""
    notes: list[str] = []
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.cast(column, pa.timestamp("us", tz="UTC"))
        elif pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("us"))
        if not pa.types.is_timestamp(column.type):
            raise DataError(f"`observed_at` is of type {column.type}, must be a time: write timestamps in UTC")
        if column.type.tz is None:
            notes.append("observed_at has no time zone: taken as UTC")
        column = pc.cast(column, pa.timestamp("us", tz=column.type.tz), safe=False)
    except pa.ArrowInvalid as error:
        raise DataError(f"`observed_at` holds what is no time ({error}): write timestamps in UTC") from error
    # By way of integers: pyarrow would import pandas to make times of its own.
    since_1970 = pc.fill_null(pc.cast(column, pa.int64()), np.iinfo(np.int64).min).to_numpy()
    return np.asarray(since_1970.view("datetime64[us]")), notes


def _numbers(column: pa.ChunkedArray, name: str) -> Floats:
    try:
        return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(), dtype=float)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"`{name}` is of type {column.type}, must hold numbers: {error}") from error


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.intp], list[Any]]:
    """Return each row's position among the distinct values, -1 for a null or NaN."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks() if encoded.num_chunks else pa.array([], pa.string()).dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.intp)
    return codes, encoded.dictionary.to_pylist()


def _ordered_names(found: Sequence[str], expected: Sequence[str]) -> list[str]:
    names = sorted({*found, *expected} - {CONTROL})
    if CONTROL not in found:
        seen = ", ".join(sorted(found)) or "none"
        raise DataError(
            f"no row has the variant {CONTROL!r} to compare the others with, only {seen}: give the reference that name"
        )
    if not names:
        raise DataError(f"{CONTROL!r} is the only variant: there is nothing to compare it with")
    return [CONTROL, *names]


def _ahead(times: NDArray[np.datetime64], now: datetime, notes: list[str]) -> NDArray[np.bool_]:
    """Return the few rows that come from a clock that is ahead; if they are many, the clock here may be wrong."""
    limit = np.datetime64(int(now.timestamp() * 1e6) + _CLOCKS_DIFFER_US, "us")
    ahead = times > limit
    if ahead.mean() > _SKEWED_SHARE if len(ahead) else False:
        notes.append(
            f"{ahead.sum()} rows ({ahead.mean():.0%}) are later than this machine's clock: taken as they are, only "
            "their order counts"
        )
        return np.zeros_like(ahead)
    return np.asarray(ahead)


def _copies(
    table: pa.Table,
    unit: NDArray[np.intp],
    variant: NDArray[np.intp],
    values: Floats,
    times: NDArray[np.datetime64],
    kept: NDArray[np.bool_],
    notes: list[str],
) -> NDArray[np.bool_]:
    """Return which rows repeat another."""
    rows = np.flatnonzero(kept)
    if "request_id" in table.column_names:
        request, _ = _codes(table["request_id"])
        return _repeats(rows, [request], len(kept)) & (request >= 0)
    moments = times.astype(np.int64)
    repeated = _repeats(rows, [moments, unit, variant, *values.T], len(kept))
    if not repeated.any():
        return repeated
    same_moment = _repeats(rows, [moments, unit, variant], len(kept))
    if (same_moment & ~repeated).any():
        # A unit has different values at one time, so times are too coarse to tell one observation from the next.
        notes.append(
            f"{int(repeated.sum())} rows equal another one and were kept, for observed_at is too coarse to tell copies "
            "from observations of their own: add a column request_id"
        )
        return np.zeros_like(repeated)
    return repeated


def _repeats(rows: NDArray[np.intp], columns: Sequence[NDArray[Any]], n: int) -> NDArray[np.bool_]:
    """Return which of these rows equal an earlier one in all columns."""
    repeated = np.zeros(n, dtype=bool)
    order = rows[np.lexsort([rows, *(column[rows] for column in columns)])]
    if len(order) > 1:
        same = np.ones(len(order) - 1, dtype=bool)
        for column in columns:
            now, before = column[order[1:]], column[order[:-1]]
            both_nan = np.isnan(now) & np.isnan(before) if now.dtype.kind == "f" else False
            same &= (now == before) | both_nan
        repeated[order[1:]] = same
    return repeated


def _after_a_switch(unit: NDArray[np.intp], variant: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the rows, in order of time, from the first one on that is not of its unit's first variant."""
    order = np.argsort(unit, kind="stable")
    starts = np.flatnonzero(np.diff(unit[order], prepend=-1))
    group = np.cumsum(np.diff(unit[order], prepend=-1) != 0) - 1
    differs = variant[order] != variant[order][starts][group] if len(unit) else np.zeros(0, dtype=bool)
    seen = np.cumsum(differs)
    switched = np.empty(len(unit), dtype=bool)
    switched[order] = (seen - (seen - differs)[starts][group]) > 0 if len(unit) else False
    return switched


def _by_variant(meant: Mapping[str, Floats], names: Sequence[str], n: int) -> Floats:
    """Return (n, variants) shares; a variant that nobody speaks of was meant to have none."""
    return np.stack([meant.get(name, np.zeros(n)) for name in names], axis=1)


def _check_comparable(names: Sequence[str], variant: NDArray[np.intp]) -> None:
    counts = np.bincount(variant, minlength=len(names))
    if counts[0] == 0:
        raise DataError(f"no row of {CONTROL!r} can be used, so that nothing can be compared: look at its values")
    if counts[1:].sum() == 0:
        raise DataError(f"no row of {', '.join(names[1:])} can be used: there is nothing to compare with {CONTROL!r}")


def _filled(values: Floats, covariates: Sequence[str], notes: list[str]) -> Floats:
    for column, name in enumerate(covariates, start=1):
        unknown = ~np.isfinite(values[:, column])
        if unknown.all():
            raise DataError(f"covariate {name!r} has no value at all: leave it out")
        if unknown.any():
            values[unknown, column] = values[~unknown, column].mean()
            notes.append(f"covariate {name} is missing in {unknown.mean():.1%} of the rows: its mean was taken there")
    return values
