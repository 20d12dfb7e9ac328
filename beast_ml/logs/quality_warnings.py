"""What looks wrong in a log, said in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from beast_ml.logs.quality_report import LogQuality, PropensityQuality

__all__ = ["suspicions"]

_SMALL_PROPENSITY: Final = 0.01
_SMALL_ESS_SHARE: Final = 0.1
_LOW_COVERAGE: Final = 0.05
_HIGH_FAILURE_RATE: Final = 0.25
_HIGH_ERROR_RATE: Final = 0.1
_MANY_QUARANTINED: Final = 0.01
_FEW_CHOICES: Final = 100


def suspicions(report: LogQuality, now: datetime) -> Iterator[str]:
    """Yield a sentence for each thing that looks wrong or limits what the log can be used for.

    Parameters
    ----------
    report
        The report so far.
    now
        Aware; requests received later are in the future.
    """
    if not report.n_requests:
        yield "There is no request in this log."
    else:
        yield from _traffic(report, now)
        yield from _models(report)
        yield from _propensities(report.propensity)
        yield from _labels(report)
    yield from _rows(report)


def _traffic(report: LogQuality, now: datetime) -> Iterator[str]:
    if report.last_at is not None and report.last_at > now:
        yield f"The last request is in the future ({report.last_at:%Y-%m-%d %H:%M} UTC): check clocks and time zones."
    days = [date.fromisoformat(day) for day in report.days]
    n_missing = (days[-1] - days[0]).days + 1 - len(days)
    if n_missing:
        yield f"{n_missing} of the {n_missing + len(days)} days from {days[0]} to {days[-1]} have no request."
    n_failed = sum(n for status, n in report.statuses.items() if status in ("error", "timeout"))
    if n_failed / report.n_requests > _HIGH_ERROR_RATE:
        yield f"{n_failed / report.n_requests:.0%} of the requests failed (error or timeout)."
    if report.null_shares["prompt"] > 0:
        yield (
            f"{report.null_shares['prompt']:.1%} of the requests have no prompt: nothing that looks at the text can "
            "learn from them."
        )


def _models(report: LogQuality) -> Iterator[str]:
    chosen = [model for model in report.models if model.n_chosen]
    if not chosen:
        yield "No model was ever chosen: there is nothing to learn routing from."
    elif len(chosen) == 1:
        yield f"Only {chosen[0].model} was ever chosen: the log cannot tell how any other model would have done."
    never = [model.model for model in report.models if model.n_candidate and not model.n_chosen]
    if never and chosen:
        yield f"Candidates that were never chosen: {', '.join(never)}."
    rare = [model.model for model in chosen if model.n_chosen < _FEW_CHOICES]
    if rare and len(chosen) > 1:
        yield f"Models chosen fewer than {_FEW_CHOICES} times, too few to predict them well: {', '.join(rare)}."
    for model in chosen:
        if model.failure_rate is not None and model.failure_rate > _HIGH_FAILURE_RATE:
            yield f"{model.model} did not answer {model.failure_rate:.0%} of the requests it was chosen for."
    if report.null_shares["cost_usd"] == 1:
        yield "No request has a cost: routing cannot weigh quality against it."


def _propensities(propensity: PropensityQuality) -> Iterator[str]:
    if propensity.null_share:
        yield (
            f"{propensity.null_share:.1%} of the choices have no propensity: they can train predictors, but no policy "
            "can be evaluated on them."
        )
    if propensity.minimum is None or propensity.effective_sample_size is None or propensity.null_share is None:
        return
    n_known = propensity.n_choices * (1 - propensity.null_share)
    if propensity.minimum == 1:
        yield "Every propensity is 1: the router never explored, so that no other policy can be evaluated on this log."
    if propensity.minimum < _SMALL_PROPENSITY:
        yield f"The smallest propensity is {propensity.minimum:.2g}: single requests can dominate an estimate."
    if propensity.effective_sample_size < _SMALL_ESS_SHARE * n_known:
        yield (
            f"The {n_known:.0f} choices are worth {propensity.effective_sample_size:.0f} uniform ones: off-policy "
            "estimates will be wide."
        )


def _labels(report: LogQuality) -> Iterator[str]:
    coverage = report.feedback_coverage
    if coverage == 0:
        yield "No answer has a quality: join feedback or judge some answers before training."
    elif coverage is not None and coverage < _LOW_COVERAGE:
        yield f"Only {coverage:.1%} of the answers have a quality."
    if coverage:
        unlabelled = [model.model for model in report.models if model.n_chosen and not model.n_labelled]
        if unlabelled:
            yield f"Models without a single quality label: {', '.join(unlabelled)}."
        if report.n_quality_values == 1:
            yield "Every quality is the same number: it tells no model from another."
    if report.n_feedback_before_request:
        yield f"{report.n_feedback_before_request} quality labels are older than their request: check the clocks."


def _rows(report: LogQuality) -> Iterator[str]:
    if report.n_duplicates:
        yield f"{report.n_duplicates} requests are in the log more than once: ingest it again into a new store."
    n_quarantined = sum(report.quarantined.values())
    if n_quarantined > _MANY_QUARANTINED * (report.n_requests + n_quarantined):
        reason, count = next(iter(report.quarantined.items()))
        yield f"{n_quarantined} rows were quarantined, most of them ({count}) because {reason}."
