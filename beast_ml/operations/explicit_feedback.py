"""What somebody says of an answer, as a quality in 0..1."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from beast_ml.errors import InputError
from beast_ml.logs.schema import QualitySource

__all__ = ["FeedbackReport", "quality_of"]

Share = Annotated[float, Meta(ge=0, le=1)]


class FeedbackReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How good the answer to a routed request was: exactly one of the five ways to say it.

    May come late, repeatedly and out of order: the latest observed wins.

    Parameters
    ----------
    request_id
        From the decision.
    rating
        1 (worst) to 5 (best); halves are fine.
    thumbs
        ``up`` or ``down``.
    quality
        0 (useless) to 1 (perfect), of a judge or a metric.
    edit_distance
        0 (used as it was) to 1 (rewritten): edits over the length of the longer text.
    test_passed
        Whether the answer passed a test, such as the unit tests of generated code.
    source
        Who says it; where it is left out: ``user`` for ratings and thumbs, ``heuristic`` for edits, ``test`` for
        tests, ``judge`` for a quality.
    observed_at
        When it was said; now where nothing is said. A report that is sent again, or late, needs it to stay older than
        what was said since.

    Raises
    ------
    InputError
        If none of the five is given, or several are, or a number is out of its range.

    Examples
    --------
    >>> quality_of(FeedbackReport(request_id="r1", rating=4))
    (0.75, 'user')
    >>> quality_of(FeedbackReport(request_id="r1", edit_distance=0.25))
    (0.75, 'heuristic')
    """

    request_id: Annotated[str, Meta(min_length=1, max_length=128)]
    rating: Annotated[float, Meta(ge=1, le=5)] | None = None
    thumbs: Literal["up", "down"] | None = None
    quality: Share | None = None
    edit_distance: Share | None = None
    test_passed: bool | None = None
    source: QualitySource | None = None
    observed_at: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        given = [name for name in _WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            got = "none" if not given else " and ".join(f"`{name}`" for name in given)
            raise InputError(f"feedback says {got}, give exactly one of {', '.join(f'`{name}`' for name in _WAYS)}")
        quality = _WAYS[given[0]][0](self)
        if not 0 <= quality <= 1:  # NaN neither; decoding has looked already, constructing by hand has not
            allowed = "1..5" if given[0] == "rating" else "0..1"
            raise InputError(f"`{given[0]}` == {getattr(self, given[0])}, must be in {allowed}")


def quality_of(report: FeedbackReport) -> tuple[float, QualitySource]:
    """Return the quality in 0..1 that was said, and who says it."""
    for name, (quality, source) in _WAYS.items():
        if getattr(report, name) is not None:
            return quality(report), report.source or source
    raise InputError("feedback says nothing")  # cannot be constructed


_WAYS: Final[dict[str, tuple[Callable[[FeedbackReport], float], QualitySource]]] = {
    "rating": (lambda report: ((report.rating or 0.0) - 1.0) / 4.0, "user"),
    "thumbs": (lambda report: float(report.thumbs == "up"), "user"),
    "quality": (lambda report: float(report.quality or 0.0), "judge"),
    "edit_distance": (lambda report: 1.0 - (report.edit_distance or 0.0), "heuristic"),
    "test_passed": (lambda report: float(bool(report.test_passed)), "test"),
}
"""Way to say it -> the quality it means, and who says it where nothing is said of that."""
