"""What a comparison of models says, wherever its figures come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from beast_ml.evaluation.bootstrap import Estimate

__all__ = ["ALL", "COMPARED", "LEAST_PAIRS", "Compared", "ModelComparison", "Source"]

Source = Literal["outcomes", "log", "live"]
"""What a comparison is made from: known outcomes, a log of choices, or answers asked for it."""

COMPARED: Final = ("quality", "cost_usd", "latency_s", "errors")
"""What is compared: quality 0..1, USD and seconds of an answer, share of failed calls."""

ALL: Final = "all"
"""The kind that is every request."""

LEAST_PAIRS: Final = 20
"""Kinds with fewer requests are left out: nothing could be said."""


@dataclass(frozen=True)
class Compared:
    """One measure of one model, on the requests of one kind.

    Parameters
    ----------
    measure, kind, model
        What, where (`ALL`: everywhere), whose.
    n
        Requests behind it; from a log, the effective number.
    value
        The model's own mean.
    difference
        That minus the reference's, paired by request; None for the reference itself.
    """

    measure: str
    kind: str
    model: str
    n: int
    value: Estimate
    difference: Estimate | None

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval of the difference leaves zero out."""
        d = self.difference
        return d is not None and d.low is not None and d.high is not None and not d.low <= 0.0 <= d.high


@dataclass(frozen=True)
class ModelComparison:
    """Models side by side.

    Parameters
    ----------
    source
        ``outcomes``: all answered the same requests. ``live``: as well, just now. ``log``: one answered each request,
        and the figures are doubly robust estimates of what each would have got on all of them.
    models
        The first is the reference.
    n_requests
        Looked at.
    rows
        Measure by measure, kind by kind (all first), model by model.
    notes
        What there is to know.
    trusted
        Model -> whether the log can tell; empty for other sources.
    untold
        The models of which it cannot: what their figures show is no finding.
    """

    source: Source
    models: tuple[str, ...]
    n_requests: int
    rows: tuple[Compared, ...]
    notes: tuple[str, ...] = ()
    trusted: dict[str, str] | None = None
    untold: tuple[str, ...] = ()

    def of(self, measure: str, kind: str = ALL) -> tuple[Compared, ...]:
        """Return the rows of one measure and kind, model by model."""
        return tuple(row for row in self.rows if (row.measure, row.kind) == (measure, kind))

    def tells_apart(self, row: Compared) -> bool:
        """Return whether a model differs from the reference by what can be told of both."""
        return row.is_told_apart and not {row.model, self.models[0]} & set(self.untold)

    def sentence(self) -> str:
        """Return what it comes to, for people."""
        reference = self.models[0]
        found = []
        for row in self.of("quality"):
            if row.difference is None or row.difference.value is None:
                continue
            if untold := [name for name in (row.model, reference) if name in self.untold]:
                why = f"it says too little of {' and '.join(untold)}"
                found.append(f"the log cannot tell whether {row.model} is better or worse than {reference}: {why}")
                continue
            d, value = row.difference, 100 * row.difference.value
            interval = f"{value:+.1f} points"
            if d.low is not None and d.high is not None:
                interval += f" [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
            if self.source == "log":
                interval += f", by {row.n:,} effective requests of {row.model}"
            if not row.is_told_apart:
                found.append(f"{row.model} and {reference} cannot be told apart in quality ({interval})")
            else:
                found.append(f"{row.model} is {'better' if value > 0 else 'worse'} than {reference}: {interval}")
        text = "; ".join(found) or "quality is not known of two of them on the same requests"
        return f"{text}, on {self.n_requests:,} requests."

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json``."""
        rows = [
            asdict(row)
            | {
                "value": row.value.to_dict(),
                "difference": None if row.difference is None else row.difference.to_dict(),
                "told_apart": self.tells_apart(row),
            }
            for row in self.rows
        ]
        return {
            "sentence": self.sentence(),
            "source": self.source,
            "reference": self.models[0],
            "models": list(self.models),
            "requests": self.n_requests,
            "compared": rows,
            "log_can_tell": self.trusted,
            "untold": list(self.untold),
            "notes": list(self.notes),
        }
