"""What to do next, ranked by what it is expected to bring."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from beast_ml.operations.drift.report import DriftReport
from beast_ml.operations.error_patterns import ErrorReport
from beast_ml.operations.periodic_report.period import Period
from beast_ml.operations.savings.report import SavingsReport
from beast_ml.operations.selection.report import SelectionReport

__all__ = ["Recommendation", "recommend"]

_MONTH_DAYS: Final = 30.0
_MOST: Final = 5
_FEW_LABELS: Final = 0.05


@dataclass(frozen=True)
class Recommendation:
    """One thing to do.

    Parameters
    ----------
    what, how
        What, and with which command or line of settings.
    gain
        What it is expected to bring, in words, with its interval where there is one.
    usd_per_month, requests_per_month
        What it is ranked by: money, then requests that would be answered, or answered better.
    by
        What it comes from: ``savings``, ``failures``, ``refusals``, ``drift``, ``choices`` or ``labels``.
    """

    what: str
    how: str
    gain: str
    usd_per_month: float = 0.0
    requests_per_month: float = 0.0
    by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return asdict(self)


def recommend(
    period: Period,
    errors: ErrorReport | None,
    drift: DriftReport | None,
    savings: SavingsReport | None,
    selection: SelectionReport | None,
    labelled_share: float | None,
) -> tuple[Recommendation, ...]:
    """Return what to do, what brings most first: money that is saved, then requests, then what has no figure."""
    found: list[Recommendation] = []
    if savings is not None:
        found += _savings(savings)
    if errors is not None:
        found += _errors(errors, period.n_days)
    if drift is not None:
        found += [Recommendation(each.sentence, each.advice, "not known", by="drift") for each in drift.findings]
    if selection is not None:
        found += _selection(selection, period.n_days)
    if labelled_share is not None and labelled_share < _FEW_LABELS:
        found.append(
            Recommendation(
                f"label more answers: {labelled_share:.1%} have a label",
                "POST /v1/feedback, or beast logs ingest with `quality`",
                "what is learnt, and whether it is promoted, rests on labels",
                by="labels",
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.usd_per_month, -each.requests_per_month)))


def _savings(report: SavingsReport) -> list[Recommendation]:
    found = []
    for number, each in enumerate(report.ranked, 1):
        estimate = each.estimate
        if not estimate.recommended:
            continue
        usd, low, high = (report.spent_usd * x for x in (estimate.saving, estimate.saving_low, estimate.saving_high))
        gain = (
            f"${usd:,.4g} [{low:,.4g}, {high:,.4g}] a month, at a quality of {100 * estimate.quality:+.2f} points "
            f"[{100 * estimate.quality_low:+.2f}, {100 * estimate.quality_high:+.2f}]"
        )
        if number == 1:
            gain += "; confirmed on the other half" if each.confirmed else "; not confirmed on the other half"
        found.append(Recommendation(each.switch.name, each.switch.how, gain, usd_per_month=usd, by="savings"))
        if len(found) == _MOST:
            break
    return found


def _errors(report: ErrorReport, n_days: int) -> list[Recommendation]:
    """Return the kinds of failure, and of refusal, that cost the most; those that are over may come again."""
    found = []
    for pattern in sorted(report.patterns, key=lambda each: -each.rate.n_failed)[:_MOST]:
        month = pattern.rate.n_failed * _MONTH_DAYS / n_days
        over = "; it is over, and may come again" if pattern.is_new and pattern.ended_at is not None else ""
        found.append(
            Recommendation(
                f"{pattern.name[0].upper()}{pattern.name[1:]}: {pattern.cause.rstrip('.')}",
                pattern.next_step,
                f"{_fewer(month, 'refused request' if pattern.is_refusal else 'failed call')}{over}",
                requests_per_month=month,
                by="refusals" if pattern.is_refusal else "failures",
            )
        )
    return found


def _fewer(n: float, what: str) -> str:
    """Return how many of something a month are spared, in words."""
    return f"not one {what} a month fewer" if n < 0.5 else f"up to {n:,.0f} {what}{'s' * (n >= 1.5)} a month fewer"


def _selection(report: SelectionReport, n_days: int) -> list[Recommendation]:
    month = report.n_requests * _MONTH_DAYS / n_days
    return [
        Recommendation(
            f"let the router read {each.field}",
            "train with --use-app or --use-task" if each.field in ("app", "task") else "add it to `FeatureSpec`",
            f"{100 * each.gain:.2f} points of quality [{100 * each.gain_low:.2f}, {100 * each.gain_high:.2f}]",
            requests_per_month=each.gain * month,
            by="choices",
        )
        for each in report.context
        if each.gain_low > 0
    ]
